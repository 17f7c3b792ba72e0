/*
 * cmd_ps.c - leat ps: a table of instances.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/leat/leat.h"

static const char help[] = "usage: leat ps [-a] [--json]\n"
			   "Lists running instances; -a: those that have ended too.\n";

static const char *text_of(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text != NULL ? text : "";
}

/* 12s, 5m, 3h, 2d: as coarse as a table needs. */
static void age_text(double seconds, char *text, size_t size)
{
	unsigned long s = (unsigned long)seconds;

	if (s < 120)
		snprintf(text, size, "%lus", s);
	else if (s < 7200)
		snprintf(text, size, "%lum", s / 60);
	else if (s < 172800)
		snprintf(text, size, "%luh", s / 3600);
	else
		snprintf(text, size, "%lud", s / 86400);
}

static void print_list(const json_t *list)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item) printf("%s%s", i > 0 ? " " : "", json_string_value(item));
}

static void print_instance(const json_t *inst)
{
	const json_t *code = json_object_get(inst, "exit_code");
	char age[24], state[32];

	age_text(json_real_value(json_object_get(inst, "age")), age, sizeof(age));
	if (json_is_integer(code))
		snprintf(state, sizeof(state), "exited (%d)", (int)json_integer_value(code));
	else
		snprintf(state, sizeof(state), "%s", text_of(inst, "state"));
	printf("%-16s %-14s %-15s %-7d %-5s ", text_of(inst, "name"), state, text_of(inst, "ip"),
	       (int)json_integer_value(json_object_get(inst, "pid")), age);
	print_list(json_object_get(inst, "ports"));
	printf("%s", json_array_size(json_object_get(inst, "ports")) > 0 ? "  " : "");
	print_list(json_object_get(inst, "command"));
	putchar('\n');
}

/* What is to be shown, as a new list. */
static json_t *chosen(const json_t *all, bool ended_too)
{
	json_t *list = json_array(), *inst;
	size_t i;

	json_array_foreach(all, i,
			   inst) if (ended_too || strcmp(text_of(inst, "state"), "running") == 0)
		json_array_append(list, inst);
	return list;
}

static void print_instances(const json_t *list, bool as_json)
{
	size_t i;
	json_t *inst;

	if (as_json) {
		json_dumpf(list, stdout, JSON_INDENT(2));
		putchar('\n');
		return;
	}
	printf("%-16s %-14s %-15s %-7s %-5s %s\n", "NAME", "STATE", "IP", "PID", "AGE",
	       "PORTS  COMMAND");
	json_array_foreach(list, i, inst) print_instance(inst);
}

int cmd_ps(int argc, char **argv)
{
	static const struct option options[] = {
		{"all", no_argument, NULL, 'a'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	bool all = false, as_json = false;
	json_t *answer, *list;
	int c, fd;

	while ((c = getopt_long(argc, argv, "a", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (c == '?')
			return leat_error("see leat ps --help");
		all |= c == 'a';
		as_json |= c == 'j';
	}
	fd = daemon_probe();
	if (fd < 0) { /* no daemon, no instances: that is an answer */
		list = json_array();
		print_instances(list, as_json);
		json_decref(list);
		return 0;
	}
	answer = daemon_call(fd, json_pack("{s:s}", "op", "ps"), NULL, 0, NULL, NULL);
	if (answer == NULL)
		return EXIT_LEAT;
	list = chosen(json_object_get(answer, "instances"), all);
	print_instances(list, as_json);
	json_decref(list);
	json_decref(answer);
	return 0;
}
