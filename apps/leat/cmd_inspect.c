/*
 * cmd_inspect.c - leat inspect: everything about one instance.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "apps/leat/leat.h"

static const char help[] =
	"usage: leat inspect [--json] [--sandbox] NAME\n"
	"Shows an instance: state, limits, queues, drops, system calls.\n"
	"\n"
	"  --sandbox   the host calls that it may make, one a line, with the checks\n";

/* Nested objects as dotted names, a line each. */
static void print_flat(const char *prefix, json_t *json)
{
	char name[256];
	const char *key;
	json_t *value;
	size_t i;

	if (json_is_object(json)) {
		json_object_foreach(json, key, value)
		{
			snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? "." : "", key);
			print_flat(name, value);
		}
		return;
	}
	if (json_is_array(json)) {
		json_array_foreach(json, i, value)
		{
			snprintf(name, sizeof(name), "%s.%zu", prefix, i);
			print_flat(name, value);
		}
		return;
	}
	printf("%-28s ", prefix);
	if (json_is_string(json))
		puts(json_string_value(json));
	else if (json_is_integer(json))
		printf("%lld\n", (long long)json_integer_value(json));
	else if (json_is_real(json))
		printf("%.3f\n", json_real_value(json));
	else
		puts(json_is_true(json) ? "yes" : json_is_null(json) ? "-" : "no");
}

int cmd_inspect(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"sandbox", no_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	bool as_json = false, sandbox = false;
	json_t *answer, *inst;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (c == '?')
			return leat_error("see leat inspect --help");
		as_json |= c == 'j';
		sandbox |= c == 's';
	}
	if (optind + 1 != argc)
		return leat_error("give the name of one instance; see leat inspect --help");
	answer = daemon_ask(json_pack("{s:s, s:s}", "op", "inspect", "name", argv[optind]), NULL,
			    NULL);
	if (answer == NULL)
		return EXIT_LEAT;
	inst = json_object_get(answer, "instance");
	if (sandbox) {
		fputs(json_string_value(json_object_get(inst, "sandbox")), stdout);
	} else {
		json_object_del(inst, "sandbox");
		if (as_json) {
			json_dumpf(inst, stdout, JSON_INDENT(2));
			putchar('\n');
		} else {
			print_flat("", inst);
		}
	}
	json_decref(answer);
	return 0;
}
