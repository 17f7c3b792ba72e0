/*
 * cmd_end.c - leat stop, kill and rm: each does the same to every instance named.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "apps/common/parse.h"
#include "apps/leat/leat.h"

#define STOP_SECONDS_MAX 3600

/* Asks once for each name; the exit code is 0 only if all went well. */
static int for_each(char **names, json_t *request)
{
	int code = 0;

	for (; *names != NULL; names++) {
		json_t *one = json_copy(request);
		json_t *answer;

		json_object_set_new(one, "name", json_string(*names));
		answer = daemon_ask(one, NULL, NULL);
		if (answer == NULL)
			code = EXIT_LEAT;
		json_decref(answer);
	}
	json_decref(request);
	return code;
}

static int names_check(int argc, char **argv)
{
	if (optind < argc)
		return 0;
	return leat_error("give the name of an instance; see leat %s --help", argv[0]);
}

int cmd_stop(int argc, char **argv)
{
	static const char help[] =
		"usage: leat stop [-t SECONDS] NAME...\n"
		"Sends SIGTERM, and SIGKILL after SECONDS (10); returns when they have ended.\n";
	static const struct option options[] = {
		{"time", required_argument, NULL, 't'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	uint64_t seconds = 10;
	int c;

	while ((c = getopt_long(argc, argv, "t:", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (c == '?')
			return leat_error("see leat stop --help");
		if (parse_number(optarg, 0, STOP_SECONDS_MAX, &seconds) < 0)
			return leat_error("cannot use -t %s: seconds, 0 to %d", optarg,
					  STOP_SECONDS_MAX);
	}
	if (names_check(argc, argv) != 0)
		return EXIT_LEAT;
	return for_each(argv + optind, json_pack("{s:s, s:I}", "op", "stop", "timeout_ms",
						 (json_int_t)seconds * 1000));
}

int cmd_kill(int argc, char **argv)
{
	static const char help[] =
		"usage: leat kill [-s SIGNAL] NAME...\n"
		"Sends SIGNAL (KILL), by name or number, to the instance's foreground program.\n";
	static const struct option options[] = {
		{"signal", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int sig = SIGKILL;
	int c;

	while ((c = getopt_long(argc, argv, "s:", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (c == '?')
			return leat_error("see leat kill --help");
		if (parse_signal(optarg, &sig) < 0)
			return leat_error("cannot use -s %s: a signal's name or number, e.g. TERM",
					  optarg);
	}
	if (names_check(argc, argv) != 0)
		return EXIT_LEAT;
	return for_each(argv + optind, json_pack("{s:s, s:i}", "op", "signal", "signal", sig));
}

/* A name that only the gateway knows is a function's. */
static json_t *remove_one(const char *name, bool force)
{
	int fd = daemon_probe();
	bool instance = false;
	json_t *request, *answer = NULL;
	unsigned nr = 0;
	int fds[CHANNEL_FDS_MAX];

	if (fd >= 0) {
		request = json_pack("{s:s, s:s}", "op", "inspect", "name", name);
		if (channel_send(fd, request, NULL, 0) == 0 &&
		    channel_receive(fd, true, &answer, fds, &nr) == 1)
			instance = json_object_get(answer, "error") == NULL;
		json_decref(answer);
		json_decref(request);
		close(fd);
	}
	if (!instance && gateway_has(name))
		return gateway_ask(json_pack("{s:s, s:s}", "op", "undeploy", "name", name), -1,
				   NULL, NULL);
	return daemon_ask(json_pack("{s:s, s:s, s:b}", "op", "rm", "name", name, "force", force),
			  NULL, NULL);
}

int cmd_rm(int argc, char **argv)
{
	static const char help[] =
		"usage: leat rm [-f] NAME...\n"
		"Forgets instances that have ended, and their logs; -f: ends them first.\n"
		"A name that is a function's removes the function, as leat undeploy does.\n";
	static const struct option options[] = {
		{"force", no_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	bool force = false;
	int c, code = 0;

	while ((c = getopt_long(argc, argv, "f", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (c == '?')
			return leat_error("see leat rm --help");
		force = true;
	}
	if (names_check(argc, argv) != 0)
		return EXIT_LEAT;
	for (int i = optind; i < argc; i++) {
		json_t *answer = remove_one(argv[i], force);

		if (answer == NULL)
			code = EXIT_LEAT;
		json_decref(answer);
	}
	return code;
}
