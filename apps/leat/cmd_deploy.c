/*
 * cmd_deploy.c - leat deploy, undeploy, secret and quota: what changes functions.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "apps/common/parse.h"
#include "apps/leat/leat.h"

static const char deploy_help[] =
	"usage: leat deploy FILE.yaml|DIR...\n"
	"Hands in functions: each a file that describes it, or a folder with an f.yaml. A gateway\n"
	"is started when none runs. leat-functions(7) has the keys.\n";

static const char undeploy_help[] = "usage: leat undeploy NAME...\n"
				    "Removes functions; calls that run are finished.\n";

static const char secret_help[] =
	"usage: leat secret [--tenant NAME] NAME --from FILE | --remove\n"
	"Sets a secret (FILE - is standard input); functions that name it see the new file.\n";

static const char quota_help[] =
	"usage: leat quota TENANT [--instances N] [--functions N] [--memory SIZE]\n"
	"Limits what the functions of a tenant may use together; what is not given has no limit.\n";

/* --help alone. 1: it was printed, 125: a mistake, 0: go on. */
static int help_take(int argc, char **argv, const char *help)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'},
						{NULL, 0, NULL, 0}};
	int c = getopt_long(argc, argv, "", options, NULL);

	if (c == 'h') {
		fputs(help, stdout);
		return 1;
	}
	if (c != -1)
		return leat_error("see leat %s --help", argv[0]);
	if (optind == argc) {
		fputs(help, stderr);
		return EXIT_LEAT;
	}
	return 0;
}

static int deploy_one(const char *path)
{
	char real[PATH_MAX];
	json_t *answer;

	if (realpath(path, real) == NULL)
		return leat_error("cannot deploy %s: %s", path, strerror(errno));
	answer = gateway_ask(json_pack("{s:s, s:s}", "op", "deploy", "path", real), -1, NULL, NULL);
	if (answer == NULL)
		return EXIT_LEAT;
	puts(json_string_value(json_object_get(answer, "name")));
	json_decref(answer);
	return 0;
}

int cmd_deploy(int argc, char **argv)
{
	int code = help_take(argc, argv, deploy_help), fd;

	if (code != 0)
		return code == 1 ? 0 : code;
	fd = gateway_connect(true);
	if (fd < 0)
		return EXIT_LEAT;
	close(fd);
	for (int i = optind; i < argc; i++)
		if (deploy_one(argv[i]) != 0)
			code = EXIT_LEAT;
	return code;
}

int cmd_undeploy(int argc, char **argv)
{
	int code = help_take(argc, argv, undeploy_help);

	if (code != 0)
		return code == 1 ? 0 : code;
	for (int i = optind; i < argc; i++) {
		json_t *answer =
			gateway_ask(json_pack("{s:s, s:s}", "op", "undeploy", "name", argv[i]), -1,
				    NULL, NULL);

		if (answer == NULL)
			code = EXIT_LEAT;
		json_decref(answer);
	}
	return code;
}

static int secret_send(const char *tenant, const char *name, int fd)
{
	json_t *answer = gateway_ask(json_pack("{s:s, s:s, s:s}", "op", "secret", "tenant", tenant,
					       "name", name),
				     fd, NULL, NULL);
	int code = answer != NULL ? 0 : EXIT_LEAT;

	json_decref(answer);
	return code;
}

int cmd_secret(int argc, char **argv)
{
	static const struct option options[] = {{"tenant", required_argument, NULL, 't'},
						{"from", required_argument, NULL, 'f'},
						{"remove", no_argument, NULL, 'r'},
						{"help", no_argument, NULL, 'h'},
						{NULL, 0, NULL, 0}};
	const char *tenant = "default", *from = NULL;
	bool removal = false;
	int c, fd, code;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(secret_help, stdout);
			return 0;
		}
		if (c == '?')
			return leat_error("see leat secret --help");
		if (c == 't')
			tenant = optarg;
		if (c == 'f')
			from = optarg;
		removal |= c == 'r';
	}
	if (optind + 1 != argc || removal == (from != NULL))
		return leat_error("give a name, and --from FILE or --remove");
	if (removal)
		return secret_send(tenant, argv[optind], -1);
	fd = strcmp(from, "-") == 0 ? dup(0) : open(from, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return leat_error("cannot open %s: %s", from, strerror(errno));
	code = secret_send(tenant, argv[optind], fd);
	close(fd);
	return code;
}

static int quota_option(json_t *request, int option, const char *text)
{
	uint64_t n;

	if (option == 'm' ? parse_size(text, &n) < 0 : parse_number(text, 0, 1000000, &n) < 0)
		return leat_error("cannot use '%s': see leat quota --help", text);
	json_object_set_new(request,
			    option == 'm' ? "memory" :
			    option == 'i' ? "instances" :
					    "functions",
			    json_integer((json_int_t)n));
	return 0;
}

int cmd_quota(int argc, char **argv)
{
	static const struct option options[] = {{"instances", required_argument, NULL, 'i'},
						{"functions", required_argument, NULL, 'f'},
						{"memory", required_argument, NULL, 'm'},
						{"help", no_argument, NULL, 'h'},
						{NULL, 0, NULL, 0}};
	json_t *request = json_pack("{s:s}", "op", "quota"), *answer;
	int c, code = 0;

	while (code == 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(quota_help, stdout);
			json_decref(request);
			return 0;
		}
		code = c == '?' ? leat_error("see leat quota --help") :
				  quota_option(request, c, optarg);
	}
	if (code == 0 && optind + 1 != argc)
		code = leat_error("give the name of one tenant; see leat quota --help");
	if (code != 0) {
		json_decref(request);
		return code;
	}
	json_object_set_new(request, "tenant", json_string(argv[optind]));
	answer = gateway_ask(request, -1, NULL, NULL);
	code = answer != NULL ? 0 : EXIT_LEAT;
	json_decref(answer);
	return code;
}
