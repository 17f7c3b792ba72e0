/*
 * cmd_stats.c - leat stats: everybody's counters, for a reader, for a program, for Prometheus.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "apps/leat/leat.h"
#include "apps/leat/stats.h"

static const char help[] =
	"usage: leat stats [--json|--prometheus]\n"
	"Prints counters of cores, uplink and instances, from the start of each.\n"
	"\n"
	"  --json         one object\n"
	"  --prometheus   the text format of Prometheus, for a textfile collector\n";

/* The counters of an instance, as Prometheus names them. */
static const struct {
	const char *key, *metric, *help;
} counters[] = {
	{"tx_packets", "leat_tx_packets_total", "packets that the instance sent"},
	{"tx_bytes", "leat_tx_bytes_total", "bytes that the instance sent"},
	{"rx_packets", "leat_rx_packets_total", "packets that the instance was given"},
	{"rx_bytes", "leat_rx_bytes_total", "bytes that the instance was given"},
	{"tx_waits", "leat_tx_limit_waits_total", "times that its limits made it wait"},
	{"grants", "leat_grants_total", "times that it was given a core"},
	{"delay_ns", "leat_delay_nanoseconds_total", "from having work to having a core"},
};

/* Names are letters, digits, '_', '.' and '-': nothing in them needs an escape. */
static void print_labels(const json_t *inst)
{
	printf("{instance=\"%s\",tenant=\"%s\"", json_string_value(json_object_get(inst, "name")),
	       json_string_value(json_object_get(inst, "tenant")));
}

static void print_drops(const json_t *list, const char *key, const char *direction)
{
	const char *reason;
	json_t *inst, *value;
	size_t i;

	json_array_foreach(list, i, inst)
	{
		json_object_foreach(json_object_get(inst, key), reason, value)
		{
			fputs("leat_drops_total", stdout);
			print_labels(inst);
			printf(",direction=\"%s\",reason=\"%s\"} %lld\n", direction, reason,
			       (long long)json_integer_value(value));
		}
	}
}

static void print_prometheus(const json_t *all)
{
	const json_t *list = json_object_get(all, "instances");
	const json_t *uplink = json_object_get(all, "uplink");
	static const char *const of_uplink[] = {"tx_packets", "tx_bytes", "rx_packets", "rx_bytes"};
	json_t *inst;
	size_t i;

	for (size_t c = 0; c < sizeof(counters) / sizeof(counters[0]); c++) {
		printf("# HELP %s %s\n# TYPE %s counter\n", counters[c].metric, counters[c].help,
		       counters[c].metric);
		json_array_foreach(list, i, inst)
		{
			fputs(counters[c].metric, stdout);
			print_labels(inst);
			printf("} %lld\n", (long long)stats_number(inst, counters[c].key));
		}
	}
	puts("# HELP leat_drops_total packets that were dropped\n# TYPE leat_drops_total counter");
	print_drops(list, "drops_sent", "sent");
	print_drops(list, "drops_received", "received");
	for (size_t c = 0; c < sizeof(of_uplink) / sizeof(of_uplink[0]); c++)
		printf("# TYPE leat_uplink_%s_total counter\nleat_uplink_%s_total %lld\n",
		       of_uplink[c], of_uplink[c], (long long)stats_number(uplink, of_uplink[c]));
}

static void print_table(const json_t *all)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(all, "cores"), i, item)
		printf("core %lld %s, %lld granted, %lld waiting\n",
		       (long long)stats_number(item, "cpu"),
		       json_string_value(json_object_get(item, "state")),
		       (long long)stats_number(item, "grants"),
		       (long long)stats_number(item, "waiting"));
	printf("%-16s %-12s %12s %14s %12s %14s %10s %10s\n", "NAME", "TENANT", "TX-PACKETS",
	       "TX-BYTES", "RX-PACKETS", "RX-BYTES", "DROPS", "GRANTS");
	json_array_foreach(json_object_get(all, "instances"), i, item)
		printf("%-16s %-12s %12lld %14lld %12lld %14lld %10lld %10lld\n",
		       json_string_value(json_object_get(item, "name")),
		       json_string_value(json_object_get(item, "tenant")),
		       (long long)stats_number(item, "tx_packets"),
		       (long long)stats_number(item, "tx_bytes"),
		       (long long)stats_number(item, "rx_packets"),
		       (long long)stats_number(item, "rx_bytes"),
		       (long long)(stats_sum(json_object_get(item, "drops_sent")) +
				   stats_sum(json_object_get(item, "drops_received"))),
		       (long long)stats_number(item, "grants"));
}

int cmd_stats(int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, 'j'},
		{"prometheus", no_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c, fd, form = 't';
	json_t *all;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (c == '?')
			return leat_error("see leat stats --help");
		form = c;
	}
	if (optind != argc)
		return leat_error("see leat stats --help");
	fd = daemon_connect(false);
	all = fd < 0 ? NULL : stats_fetch(fd);
	if (all == NULL)
		return EXIT_LEAT;
	if (form == 'j') {
		json_dumpf(all, stdout, JSON_INDENT(1));
		putchar('\n');
	} else if (form == 'p') {
		print_prometheus(all);
	} else {
		print_table(all);
	}
	json_decref(all);
	return 0;
}
