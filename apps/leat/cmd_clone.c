/*
 * cmd_clone.c - leat clone: an instance that goes on where a snapshot was taken.
 */
#include <getopt.h>
#include <stdio.h>

#include "apps/common/parse.h"
#include "apps/leat/clone.h"
#include "apps/leat/foreground.h"
#include "apps/leat/leat.h"

static const char help[] =
	"usage: leat clone [OPTION]... DIR\n"
	"Starts an instance from the snapshot in DIR: its program goes on where it was, with a\n"
	"name, addresses, boot id and random numbers of its own. What it does not write it shares\n"
	"with all other clones.\n"
	"\n"
	"      --name NAME       name for ps, inspect, stop, ...\n"
	"  -d, --detach          run in the background; leat logs NAME shows what it prints\n"
	"      --ip ADDRESS      in 10.99.0.0/16 (any free one)\n"
	"  -p, --publish [IP:]HOST:GUEST[/udp]\n"
	"                        forward a port of the host; IP is 127.0.0.1\n"
	"      --hostname NAME   (as it was)\n"
	"      --filter FILE     eBPF filter of its queues (as it was)\n"
	"      --pps N[:BURST], --bps N[:BURST]\n"
	"                        packets and bits a second (as it was)\n"
	"      --help\n";

enum { OPT_NAME = 256, OPT_IP, OPT_HOSTNAME, OPT_FILTER, OPT_PPS, OPT_BPS, OPT_HELP };

static const struct option options[] = {
	{"name", required_argument, NULL, OPT_NAME},
	{"detach", no_argument, NULL, 'd'},
	{"ip", required_argument, NULL, OPT_IP},
	{"publish", required_argument, NULL, 'p'},
	{"hostname", required_argument, NULL, OPT_HOSTNAME},
	{"filter", required_argument, NULL, OPT_FILTER},
	{"pps", required_argument, NULL, OPT_PPS},
	{"bps", required_argument, NULL, OPT_BPS},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static int port_add(struct run_request *run, const char *text)
{
	struct publish publish;

	if (parse_publish(text, &publish) < 0)
		return leat_error("cannot use -p %s: [IP:]HOST:GUEST[/udp], e.g. 8080:80", text);
	json_array_append_new(json_object_get(run->json, "ports"), json_string(text));
	return 0;
}

static int option_take(struct run_request *run, int option, const char *value)
{
	switch (option) {
	case OPT_NAME:
		json_object_set_new(run->json, "name", json_string(value));
		return 0;
	case 'd':
		run->detach = true;
		return 0;
	case OPT_IP:
		json_object_set_new(run->json, "ip", json_string(value));
		return 0;
	case 'p':
		return port_add(run, value);
	case OPT_HOSTNAME:
		json_object_set_new(run->json, "hostname", json_string(value));
		return 0;
	case OPT_FILTER:
		return run_set_filter(run, value);
	case OPT_PPS:
		return limit_add(json_object_get(run->json, "limits"), "pps", value);
	case OPT_BPS:
		return limit_add(json_object_get(run->json, "limits"), "bps", value);
	default:
		return leat_error("see leat clone --help");
	}
}

int cmd_clone(int argc, char **argv)
{
	struct run_request run;
	int option, code = 0;

	run_init(&run);
	while (code == 0 && (option = getopt_long(argc, argv, "dp:", options, NULL)) != -1) {
		if (option == OPT_HELP) {
			fputs(help, stdout);
			run_finish(&run);
			return 0;
		}
		code = option_take(&run, option, optarg);
	}
	if (code == 0 && optind + 1 != argc)
		code = leat_error("give the folder of a snapshot; see leat clone --help");
	if (code == 0)
		code = clone_prepare(&run, argv[optind]);
	if (code == 0)
		code = run_send(&run);
	run_finish(&run);
	return code;
}
