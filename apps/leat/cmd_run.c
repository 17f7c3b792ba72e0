/*
 * cmd_run.c - leat run: makes the request of a command line.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "apps/common/parse.h"
#include "apps/leat/foreground.h"
#include "apps/leat/leat.h"
#include "apps/leat/run.h"

static const char help[] =
	"usage: leat run [OPTION]... [--] PROGRAM [ARG]...\n"
	"       leat run --image IMAGE [OPTION]... [--] [ARG]...\n"
	"Runs PROGRAM in an instance of its own. It sees the host's files (or --rootfs), may\n"
	"write "
	"anywhere, and the host sees nothing of that but what goes to a volume.\n"
	"\n"
	"      --name NAME       name for ps, inspect, stop, ...\n"
	"  -d, --detach          run in the background; leat logs NAME shows what it prints\n"
	"      --cpus N|MIN:MAX  cores it may use at once (all), of them MIN guaranteed\n"
	"      --weight N        its part of what is shared (100)\n"
	"      --memory SIZE     limit, e.g. 512M\n"
	"      --ip ADDRESS      in 10.99.0.0/16 (any free one), or the IPv6 address of one\n"
	"  -p, --publish [IP:]HOST:GUEST[/udp]\n"
	"                        forward a port of the host; IP is 127.0.0.1\n"
	"  -v, --volume SRC:DST[:ro]\n"
	"                        directory of the host at DST\n"
	"  -e, --env NAME[=VALUE] set, or pass on; PATH, HOME, USER, TERM, TZ, LANG and LC_* are\n"
	"                        passed on anyway\n"
	"  -w, --workdir DIR     working directory (the current one)\n"
	"      --rootfs DIR      / of the instance (the host's)\n"
	"      --image IMAGE     the same from an image: a file, NAME[:TAG] or a digest; its own\n"
	"                        program, environment, user, ... where nothing else is said\n"
	"      --entrypoint PROG instead of the image's; '' for none\n"
	"  -P, --publish-all     forward the ports that the image exposes, by the same numbers\n"
	"      --filter FILE     eBPF filter of its queues: an object, default, or none: no\n"
	"                        network\n"
	"      --pps N[:BURST], --bps N[:BURST]\n"
	"                        packets and bits a second, each way; leat limit changes them\n"
	"      --tenant NAME     instances of different tenants do not see each other (default)\n"
	"      --tag NAME=VALUE  shown by inspect; filters and policies see the number of the\n"
	"                        tag word\n"
	"      --hostname NAME   (the host's; the instance's name with --rootfs)\n"
	"  -u, --user USER[:GROUP]\n"
	"                        whom the program runs as, by name or number (root)\n"
	"      --trace           print system calls on stderr\n"
	"      --help\n";

enum {
	OPT_NAME = 256,
	OPT_CPUS,
	OPT_WEIGHT,
	OPT_MEMORY,
	OPT_IP,
	OPT_ROOTFS,
	OPT_IMAGE,
	OPT_ENTRYPOINT,
	OPT_FILTER,
	OPT_PPS,
	OPT_BPS,
	OPT_TENANT,
	OPT_TAG,
	OPT_HOSTNAME,
	OPT_TRACE,
	OPT_HELP,
};

static const struct option options[] = {
	{"name", required_argument, NULL, OPT_NAME},
	{"detach", no_argument, NULL, 'd'},
	{"cpus", required_argument, NULL, OPT_CPUS},
	{"weight", required_argument, NULL, OPT_WEIGHT},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"ip", required_argument, NULL, OPT_IP},
	{"publish", required_argument, NULL, 'p'},
	{"volume", required_argument, NULL, 'v'},
	{"env", required_argument, NULL, 'e'},
	{"workdir", required_argument, NULL, 'w'},
	{"rootfs", required_argument, NULL, OPT_ROOTFS},
	{"image", required_argument, NULL, OPT_IMAGE},
	{"entrypoint", required_argument, NULL, OPT_ENTRYPOINT},
	{"publish-all", no_argument, NULL, 'P'},
	{"filter", required_argument, NULL, OPT_FILTER},
	{"pps", required_argument, NULL, OPT_PPS},
	{"bps", required_argument, NULL, OPT_BPS},
	{"tenant", required_argument, NULL, OPT_TENANT},
	{"tag", required_argument, NULL, OPT_TAG},
	{"hostname", required_argument, NULL, OPT_HOSTNAME},
	{"user", required_argument, NULL, 'u'},
	{"trace", no_argument, NULL, OPT_TRACE},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static int set_text(struct run_request *run, const char *key, const char *text)
{
	json_object_set_new(run->json, key, json_string(text));
	return 0;
}

static int set_cpus(struct run_request *run, const char *text)
{
	const char *colon = strchr(text, ':');
	char low_text[16] = "0";
	uint64_t low = 0, n = 0;

	if (colon != NULL)
		snprintf(low_text, sizeof(low_text), "%.*s", (int)(colon - text), text);
	if (parse_number(colon != NULL ? colon + 1 : text, 1, 32, &n) < 0 ||
	    parse_number(low_text, 0, n, &low) < 0)
		return leat_error("cannot use --cpus %s: N or MIN:MAX, up to 32", text);
	json_object_set_new(run->json, "cpus", json_integer((json_int_t)n));
	json_object_set_new(run->json, "guaranteed", json_integer((json_int_t)low));
	return 0;
}

static int set_weight(struct run_request *run, const char *text)
{
	uint64_t n;

	if (parse_number(text, 1, 10000, &n) < 0)
		return leat_error("cannot use --weight %s: a number from 1 to 10000", text);
	json_object_set_new(run->json, "weight", json_integer((json_int_t)n));
	return 0;
}

static int set_memory(struct run_request *run, const char *text)
{
	uint64_t bytes;

	if (parse_size(text, &bytes) < 0 || bytes < (4U << 20))
		return leat_error("cannot use --memory %s: a size of at least 4M, e.g. 512M or 2G",
				  text);
	json_object_set_new(run->json, "memory", json_integer((json_int_t)bytes));
	return 0;
}

static int add_port(struct run_request *run, const char *text)
{
	struct publish publish;

	if (parse_publish(text, &publish) < 0)
		return leat_error("cannot use -p %s: [IP:]HOST:GUEST[/udp], e.g. 8080:80", text);
	json_array_append_new(json_object_get(run->json, "ports"), json_string(text));
	return 0;
}

static int set_tenant(struct run_request *run, const char *text)
{
	if (!parse_name_ok(text))
		return leat_error("cannot use --tenant %s: letters, digits, '_', '.' and '-', at "
				  "most %u",
				  text, NAME_LEN_MAX);
	return set_text(run, "tenant", text);
}

static int add_tag(struct run_request *run, const char *text)
{
	const char *equals = strchr(text, '=');
	uint64_t word;
	char name[128];

	if (equals == NULL || equals == text || (size_t)(equals - text) >= sizeof(name))
		return leat_error("cannot use --tag %s: NAME=VALUE", text);
	snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
	if (strcmp(name, "word") == 0 && parse_number(equals + 1, 0, UINT32_MAX, &word) < 0)
		return leat_error("cannot use --tag %s: the tag word is a number of 32 bits", text);
	json_object_set_new(json_object_get(run->json, "tags"), name, json_string(equals + 1));
	return 0;
}

static int option_take(struct run_request *run, int option, char *value)
{
	switch (option) {
	case OPT_NAME:
		return parse_name_ok(value) ?
			       set_text(run, "name", value) :
			       leat_error("cannot use --name %s: letters, digits, '_', '.' and "
					  "'-', at most %u",
					  value, NAME_LEN_MAX);
	case 'd':
		run->detach = true;
		return 0;
	case OPT_CPUS:
		return set_cpus(run, value);
	case OPT_WEIGHT:
		return set_weight(run, value);
	case OPT_MEMORY:
		return set_memory(run, value);
	case OPT_IP:
		return set_text(run, "ip", value);
	case 'p':
		return add_port(run, value);
	case 'v':
		return run_add_volume(run, value);
	case 'e':
		return run_add_env(run, value);
	case 'w':
		run->workdir = value;
		return 0;
	case OPT_ROOTFS:
		run->rootfs = value;
		return 0;
	case OPT_IMAGE:
		run->image_name = value;
		return 0;
	case OPT_ENTRYPOINT:
		run->entrypoint = value;
		return 0;
	case 'P':
		run->publish_all = true;
		return 0;
	case 'u':
		run->user = value;
		return 0;
	case OPT_FILTER:
		return run_set_filter(run, value);
	case OPT_PPS:
		return limit_add(json_object_get(run->json, "limits"), "pps", value);
	case OPT_BPS:
		return limit_add(json_object_get(run->json, "limits"), "bps", value);
	case OPT_TENANT:
		return set_tenant(run, value);
	case OPT_TAG:
		return add_tag(run, value);
	case OPT_HOSTNAME:
		return set_text(run, "hostname", value);
	case OPT_TRACE:
		json_object_set_new(run->json, "trace", json_true());
		return 0;
	default:
		return leat_error("see leat run --help");
	}
}

int cmd_run(int argc, char **argv)
{
	struct run_request run;
	int option, code = 0;

	run_init(&run);
	while (code == 0 &&
	       (option = getopt_long(argc, argv, "+dPp:v:e:w:u:", options, NULL)) != -1) {
		if (option == OPT_HELP) {
			fputs(help, stdout);
			run_finish(&run);
			return 0;
		}
		code = option_take(&run, option, optarg);
	}
	if (code == 0 && run.image_name == NULL && (run.publish_all || run.entrypoint != NULL))
		code = leat_error("--entrypoint and --publish-all go with --image");
	if (code == 0 && run.image_name != NULL && run.rootfs != NULL)
		code = leat_error("--image and --rootfs exclude each other");
	if (code == 0 && run.image_name == NULL && optind >= argc)
		code = leat_error("no program given; leat run -- PROGRAM [ARG]...");
	if (code == 0)
		code = run_prepare(&run, argv + optind);
	if (code == 0)
		code = run_send(&run);
	run_finish(&run);
	return code;
}
