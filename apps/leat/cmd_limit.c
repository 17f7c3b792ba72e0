/*
 * cmd_limit.c - leat limit: what a running instance may send and receive, changed at once.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "apps/common/parse.h"
#include "apps/leat/leat.h"

static const char help[] =
	"usage: leat limit [--pps N[:BURST]] [--bps N[:BURST]] NAME\n"
	"Limits what an instance may send, and what it may be sent: packets and bits a second,\n"
	"with K, M or G for thousands; none takes a limit away. BURST packets or bits may pass at\n"
	"once. What it sends too fast waits; what it is sent too fast is dropped and counted.\n";

int limit_add(json_t *limits, const char *key, const char *text)
{
	char burst_key[16];
	uint64_t rate, burst = 0;

	if (strcmp(text, "none") == 0) {
		json_object_set_new(limits, key, json_integer(0));
		return 0;
	}
	if (parse_rate(text, &rate, &burst) < 0)
		return leat_error("cannot use --%s %s: N or N:BURST, e.g. 200K or 1G:10M, or none",
				  key, text);
	json_object_set_new(limits, key, json_integer((json_int_t)rate));
	snprintf(burst_key, sizeof(burst_key), "%s_burst", key);
	if (burst != 0)
		json_object_set_new(limits, burst_key, json_integer((json_int_t)burst));
	return 0;
}

int cmd_limit(int argc, char **argv)
{
	static const struct option options[] = {
		{"pps", required_argument, NULL, 'p'},
		{"bps", required_argument, NULL, 'b'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	json_t *limits = json_object(), *answer;
	int c, code = 0;

	while (code == 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			json_decref(limits);
			return 0;
		}
		if (c == '?')
			code = leat_error("see leat limit --help");
		else
			code = limit_add(limits, c == 'p' ? "pps" : "bps", optarg);
	}
	if (code == 0 && (optind + 1 != argc || json_object_size(limits) == 0))
		code = leat_error(
			"give a limit and the name of one instance; see leat limit --help");
	if (code != 0) {
		json_decref(limits);
		return code;
	}
	answer = daemon_ask(json_pack("{s:s, s:s, s:o}", "op", "limit", "name", argv[optind],
				      "limits", limits),
			    NULL, NULL);
	json_decref(answer);
	return answer != NULL ? 0 : EXIT_LEAT;
}
