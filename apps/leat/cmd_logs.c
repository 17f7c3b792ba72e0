/*
 * cmd_logs.c - leat logs: what a detached instance has printed.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apps/leat/leat.h"

#define FOLLOW_US 100000

static const char help[] = "usage: leat logs [-f] NAME\n"
			   "Prints the last megabyte or two of a detached instance's or a "
			   "function's output.\n"
			   "\n"
			   "  -f, --follow   go on printing until it ends\n";

/* Copies what is there; 0 or -1. */
static int copy_all(int fd)
{
	char chunk[65536];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		if (fwrite(chunk, 1, (size_t)n, stdout) != (size_t)n)
			return -1;
	return fflush(stdout) == 0 && n == 0 ? 0 : -1;
}

/* Opens the log of an instance anew: the files change when they are full. */
static json_t *logs_ask(const char *name, int *fds, unsigned *nr)
{
	json_t *request = json_pack("{s:s, s:s}", "op", "logs", "name", name);

	return gateway_has(name) ? gateway_ask(request, -1, fds, nr) : daemon_ask(request, fds, nr);
}

static int follow(const char *name, int fd)
{
	int fds[CHANNEL_FDS_MAX];
	unsigned nr;

	for (;;) {
		json_t *answer = logs_ask(name, fds, &nr);
		bool running = answer != NULL && json_is_true(json_object_get(answer, "running"));

		json_decref(answer);
		for (unsigned i = 0; answer != NULL && i < nr; i++)
			close(fds[i]);
		if (copy_all(fd) < 0)
			return leat_error("cannot print: %s", strerror(errno));
		if (!running)
			return 0;
		usleep(FOLLOW_US);
	}
}

int cmd_logs(int argc, char **argv)
{
	static const struct option options[] = {
		{"follow", no_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int fds[CHANNEL_FDS_MAX], c, code = 0;
	bool following = false;
	unsigned nr = 0;
	json_t *answer;

	while ((c = getopt_long(argc, argv, "f", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (c == '?')
			return leat_error("see leat logs --help");
		following |= c == 'f';
	}
	if (optind + 1 != argc)
		return leat_error("give the name of one instance; see leat logs --help");
	answer = logs_ask(argv[optind], fds, &nr);
	if (answer == NULL)
		return EXIT_LEAT;
	json_decref(answer);
	for (unsigned i = 0; i < nr && code == 0; i++)
		if (copy_all(fds[i]) < 0)
			code = leat_error("cannot print: %s", strerror(errno));
	if (following && code == 0 && nr > 0)
		code = follow(argv[optind], fds[nr - 1]);
	for (unsigned i = 0; i < nr; i++)
		close(fds[i]);
	return code;
}
