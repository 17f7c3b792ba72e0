/*
 * cmd_functions.c - leat functions: what is deployed, and how it fares.
 */
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "apps/leat/leat.h"

static const char help[] = "usage: leat functions [--json]\n"
			   "Lists the functions of the gateway, and why one failed last.\n";

static int number(const json_t *fn, const char *key)
{
	return (int)json_integer_value(json_object_get(fn, key));
}

static void print(const json_t *all)
{
	size_t i;
	const json_t *fn;

	printf("%-20s %-8s %6s %6s %7s %8s %7s  %s\n", "NAME", "CONTRACT", "READY", "START",
	       "QUEUED", "CALLS", "STARTS", "LAST FAILURE");
	json_array_foreach(all, i, fn)
		printf("%-20s %-8s %6d %6d %7d %8d %7d  %s\n",
		       json_string_value(json_object_get(fn, "name")),
		       json_string_value(json_object_get(fn, "contract")), number(fn, "ready"),
		       number(fn, "starting"), number(fn, "queued"), number(fn, "calls"),
		       number(fn, "starts"), json_string_value(json_object_get(fn, "last_error")));
}

int cmd_functions(int argc, char **argv)
{
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
						{"help", no_argument, NULL, 'h'},
						{NULL, 0, NULL, 0}};
	int fds[CHANNEL_FDS_MAX], c;
	bool as_json = false;
	unsigned nr = 0;
	json_t *answer, *all = NULL;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (c == '?')
			return leat_error("see leat functions --help");
		as_json |= c == 'j';
	}
	answer = gateway_ask(json_pack("{s:s}", "op", "functions"), -1, fds, &nr);
	if (answer == NULL)
		return EXIT_LEAT;
	json_decref(answer);
	if (nr == 1 && lseek(fds[0], 0, SEEK_SET) == 0)
		all = json_loadfd(fds[0], 0, NULL);
	while (nr > 0)
		close(fds[--nr]);
	if (all == NULL)
		return leat_error("cannot read the gateway's answer");
	if (as_json) {
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print(all);
	}
	json_decref(all);
	return 0;
}
