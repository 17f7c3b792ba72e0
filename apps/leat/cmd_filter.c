/*
 * cmd_filter.c - leat filter: the filter of a running instance: another one, what it is, what it
 * counted.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "apps/leat/bpf_common.h"
#include "apps/leat/leat.h"

static const char help[] =
	"usage: leat filter set NAME FILE|default|none\n"
	"       leat filter show NAME [--json]\n"
	"       leat filter stats NAME [--json]\n"
	"set replaces the filter between two packets; FILE.sig beside FILE goes with it.\n"
	"none: the queues carry nothing. show says what it is; stats what it\n"
	"and the DPU counted.\n";

static int filter_set(const char *name, const char *filter)
{
	bool named = strcmp(filter, "default") == 0 || strcmp(filter, "none") == 0;
	int fds[2], nr = named ? 0 : filter_open(filter, fds), fd, code = EXIT_LEAT;
	json_t *request, *answer;

	if (nr < 0)
		return -nr;
	fd = daemon_connect(false);
	if (fd >= 0) {
		request = json_pack("{s:s, s:s, s:s}", "op", "filter", "name", name, "filter",
				    named ? filter : "object");
		answer = daemon_call(fd, request, fds, (unsigned)nr, NULL, NULL);
		json_decref(request);
		if (answer != NULL)
			code = 0;
		json_decref(answer);
		close(fd);
	}
	while (nr > 0)
		close(fds[--nr]);
	return code;
}

static void print_drops(const char *direction, json_t *drops)
{
	const char *reason;
	json_t *count;

	json_object_foreach(drops, reason, count)
	{
		printf("%s %-18s %lld\n", direction, reason, (long long)json_integer_value(count));
	}
}

static void print_stats(json_t *filter)
{
	json_t *counters = json_object_get(filter, "counters"), *count;
	char buf[16];
	size_t i;

	printf("executions egress      %lld\nexecutions ingress     %lld\n",
	       (long long)json_integer_value(json_object_get(filter, "egress_runs")),
	       (long long)json_integer_value(json_object_get(filter, "ingress_runs")));
	json_array_foreach(counters, i, count)
	{
		if (i < LEAT_COUNT_MAX && json_integer_value(count) != 0)
			printf("counter %-14s %lld\n", bpf_counter_name((uint32_t)i, buf),
			       (long long)json_integer_value(count));
	}
	print_drops("sent", json_object_get(filter, "dropped_sent"));
	print_drops("received", json_object_get(filter, "dropped_received"));
}

static void print_show(json_t *filter)
{
	json_t *each;
	size_t i;

	printf("filter  %s%s\n", json_string_value(json_object_get(filter, "filter")),
	       json_is_true(json_object_get(filter, "signed")) ? ", signed" : "");
	if (json_object_get(filter, "engine") != NULL)
		printf("engine  %s\n", json_string_value(json_object_get(filter, "engine")));
	json_array_foreach(json_object_get(filter, "programs"), i, each)
	{
		printf("program %s (%s), %lld instructions, %lld on the longest path\n",
		       json_string_value(json_object_get(each, "name")),
		       json_string_value(json_object_get(each, "section")),
		       (long long)json_integer_value(json_object_get(each, "instructions")),
		       (long long)json_integer_value(json_object_get(each, "longest_path")));
	}
	json_array_foreach(json_object_get(filter, "maps"), i, each)
	{
		printf("map     %s\n", json_string_value(json_object_get(each, "name")));
	}
}

static int filter_look(const char *name, bool stats, bool as_json)
{
	json_t *answer =
		daemon_ask(json_pack("{s:s, s:s}", "op", "filter-show", "name", name), NULL, NULL);
	json_t *filter = json_object_get(answer, "filter");

	if (answer == NULL)
		return EXIT_LEAT;
	if (as_json) {
		json_dumpf(filter, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (stats) {
		print_stats(filter);
	} else {
		print_show(filter);
	}
	json_decref(answer);
	return 0;
}

int cmd_filter(int argc, char **argv)
{
	bool as_json = argc > 3 && strcmp(argv[argc - 1], "--json") == 0;

	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		fputs(help, stdout);
		return 0;
	}
	if (argc == 4 && strcmp(argv[1], "set") == 0)
		return filter_set(argv[2], argv[3]);
	if (argc == 3 + as_json && strcmp(argv[1], "show") == 0)
		return filter_look(argv[2], false, as_json);
	if (argc == 3 + as_json && strcmp(argv[1], "stats") == 0)
		return filter_look(argv[2], true, as_json);
	return leat_error("see leat filter --help");
}
