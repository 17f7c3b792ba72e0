/*
 * cmd_sched.c - leat sched: the core scheduler's policy, shares, and what it does.
 */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/common/parse.h"
#include "apps/common/paths.h"
#include "apps/leat/bpf_common.h"
#include "apps/leat/leat.h"
#include "apps/leat/sched_cmd.h"

static const char help[] =
	"usage: leat sched load F.bpf.o|NAME\n"
	"       leat sched list [--json]\n"
	"       leat sched show [--json]\n"
	"       leat sched rollback\n"
	"       leat sched share [--tag N] [--weight N] instance|tenant|function NAME\n"
	"       leat sched trace [-w FILE] [--decisions]\n"
	"       leat sched simulate [--policy F.bpf.o|NAME] [OPTION]... | --replay FILE\n"
	"The policy decides which instance runs on which core: load puts a verified one in the\n"
	"place of the other between two decisions, rollback goes back. NAME: default, fifo,\n"
	"latency, fair, batch or interference. share sets the tag word and the weight that\n"
	"policies see. simulate tries a policy out in virtual time.\n";

int sched_policy_find(const char *text, char *ret_path, size_t size)
{
	char name[128];

	if (strchr(text, '/') != NULL || access(text, R_OK) == 0 || strlen(text) > 64) {
		snprintf(ret_path, size, "%s", text);
		return 0;
	}
	snprintf(name, sizeof(name), "sched_%s.bpf.o", text);
	if (paths_find_filter(name, ret_path, size) == 0)
		return 0;
	return leat_error("cannot find the policy %s: neither a file, nor one of the base library",
			  text);
}

struct sched_policy *sched_policy_open(const char *text)
{
	struct sched_policy *policy = NULL;
	char path[PATH_MAX], error[512] = "";
	struct ebpf_object *object;
	double us;

	if (sched_policy_find(text, path, sizeof(path)) != 0)
		return NULL;
	object = bpf_ready(path, EBPF_ENGINE_AUTO, &us);
	if (object == NULL)
		return NULL;
	if (sched_policy_create(object, text, error, sizeof(error), &policy) < 0)
		leat_error("cannot use the policy: %s", error);
	ebpf_object_unref(object);
	return policy;
}

static const char *name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static int sched_load(const char *text)
{
	char path[PATH_MAX];
	int fds[2], nr, fd, code = EXIT_LEAT;
	json_t *request, *answer;

	if (sched_policy_find(text, path, sizeof(path)) != 0)
		return EXIT_LEAT;
	nr = filter_open(path, fds);
	if (nr < 0)
		return -nr;
	fd = daemon_connect(false);
	if (fd >= 0) {
		request = json_pack("{s:s, s:s}", "op", "sched-load", "name", name_of(text));
		answer = daemon_call(fd, request, fds, (unsigned)nr, NULL, NULL);
		json_decref(request);
		if (answer != NULL) {
			printf("loaded in %.1f us\n",
			       (double)json_integer_value(json_object_get(answer, "swap_ns")) /
				       1e3);
			code = 0;
		}
		json_decref(answer);
		close(fd);
	}
	while (nr > 0)
		close(fds[--nr]);
	return code;
}

static int sched_rollback(void)
{
	json_t *answer = daemon_ask(json_pack("{s:s}", "op", "sched-rollback"), NULL, NULL);

	if (answer == NULL)
		return EXIT_LEAT;
	json_decref(answer);
	return 0;
}

static long long number(const json_t *json, const char *key)
{
	return (long long)json_integer_value(json_object_get(json, key));
}

static void print_list(const json_t *policies)
{
	json_t *policy;
	size_t i;

	json_array_foreach(policies, i, policy)
	{
		const char *reason = json_string_value(json_object_get(policy, "reason"));

		printf("%s %3lld  %s%s%s\n",
		       json_is_true(json_object_get(policy, "active")) ? "*" : " ",
		       number(policy, "number"), json_string_value(json_object_get(policy, "name")),
		       *reason ? ": fallen back from, since " : "", reason);
	}
}

static void print_hooks(const json_t *policy)
{
	json_t *hook;
	size_t i;

	printf("policy %s\n", json_string_value(json_object_get(policy, "name")));
	printf("%-16s %10s %10s %12s %10s %6s\n", "hook", "longest", "budget", "asked", "passed",
	       "bad");
	json_array_foreach(json_object_get(policy, "hooks"), i, hook)
	{
		printf("%-16s %10lld %10lld %12lld %10lld %6lld\n",
		       json_string_value(json_object_get(hook, "hook")),
		       number(hook, "longest_path"), number(hook, "budget"), number(hook, "asked"),
		       number(hook, "passed"), number(hook, "bad"));
	}
}

static void print_show(const json_t *answer)
{
	json_t *each;
	size_t i;

	json_array_foreach(json_object_get(answer, "policies"), i, each)
	{
		if (json_is_true(json_object_get(each, "active")))
			print_hooks(each);
	}
	printf("%-6s %8s %8s %10s %6s %8s %9s %5s\n", "core", "granted", "waiting", "computing",
	       "busy%", "crowded%", "delay_us", "node");
	json_array_foreach(json_object_get(answer, "cores"), i, each)
	{
		printf("%-6lld %8lld %8lld %10lld %6.1f %8.1f %9lld %5lld\n", number(each, "core"),
		       number(each, "granted"), number(each, "waiting"), number(each, "computing"),
		       (double)number(each, "busy_permille") / 10,
		       (double)number(each, "crowded_permille") / 10, number(each, "delay_us"),
		       number(each, "node"));
	}
	json_array_foreach(json_object_get(answer, "printed"), i, each)
	{
		printf("printed: %s\n", json_string_value(each));
	}
}

static int sched_look(bool show, bool as_json)
{
	json_t *answer = daemon_ask(json_pack("{s:s, s:b}", "op", "sched-list", "printed", show),
				    NULL, NULL);

	if (answer == NULL)
		return EXIT_LEAT;
	if (as_json) {
		json_object_del(answer, "ok");
		json_dumpf(show ? answer : json_object_get(answer, "policies"), stdout,
			   JSON_INDENT(2));
		putchar('\n');
	} else if (show) {
		print_show(answer);
	} else {
		print_list(json_object_get(answer, "policies"));
	}
	json_decref(answer);
	return 0;
}

static int sched_share(int argc, char **argv)
{
	static const struct option options[] = {
		{"tag", required_argument, NULL, 't'},
		{"weight", required_argument, NULL, 'w'},
		{NULL, 0, NULL, 0},
	};
	json_t *request = json_pack("{s:s}", "op", "sched-share"), *answer;
	uint64_t n;
	int c, code = 0;

	while (code == 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 't' && parse_number(optarg, 0, UINT32_MAX, &n) == 0)
			json_object_set_new(request, "tag", json_integer((json_int_t)n));
		else if (c == 'w' && parse_number(optarg, 1, SCHED_WEIGHT_MAX, &n) == 0)
			json_object_set_new(request, "weight", json_integer((json_int_t)n));
		else
			code = leat_error("see leat sched --help");
	}
	if (code == 0 &&
	    (optind + 2 != argc || json_object_size(request) == 1 ||
	     (strcmp(argv[optind], "instance") != 0 && strcmp(argv[optind], "tenant") != 0 &&
	      strcmp(argv[optind], "function") != 0)))
		code = leat_error("see leat sched --help");
	if (code != 0) {
		json_decref(request);
		return code;
	}
	json_object_set_new(request, "kind", json_string(argv[optind]));
	json_object_set_new(request, "name", json_string(argv[optind + 1]));
	answer = daemon_ask(request, NULL, NULL);
	json_decref(answer);
	return answer != NULL ? 0 : EXIT_LEAT;
}

int cmd_sched(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "--help";
	bool as_json = argc == 3 && strcmp(argv[2], "--json") == 0;

	if (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0) {
		fputs(help, argc > 1 ? stdout : stderr);
		return argc > 1 ? 0 : EXIT_LEAT;
	}
	if (strcmp(what, "load") == 0 && argc == 3)
		return sched_load(argv[2]);
	if (strcmp(what, "list") == 0 && argc == 2 + as_json)
		return sched_look(false, as_json);
	if (strcmp(what, "show") == 0 && argc == 2 + as_json)
		return sched_look(true, as_json);
	if (strcmp(what, "rollback") == 0 && argc == 2)
		return sched_rollback();
	if (strcmp(what, "share") == 0)
		return sched_share(argc - 1, argv + 1);
	if (strcmp(what, "trace") == 0)
		return sched_trace_command(argc - 1, argv + 1);
	if (strcmp(what, "simulate") == 0)
		return sched_simulate_command(argc - 1, argv + 1);
	return leat_error("see leat sched --help");
}
