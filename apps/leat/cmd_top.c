/*
 * cmd_top.c - leat top: rates of all instances, live.
 *
 * On a terminal by curses; with -b lines for a file.
 */
#include <curses.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/common/parse.h"
#include "apps/leat/leat.h"
#include "apps/leat/stats.h"

static const char help[] =
	"usage: leat top [-d SECONDS] [-n COUNT] [-b]\n"
	"Shows what instances send and receive a second, live. Keys: p packets, b bits, d drops,\n"
	"w waiting time, n name: the order; q ends it.\n"
	"\n"
	"  -d SECONDS   between two looks (1)\n"
	"  -n COUNT     ends after so many\n"
	"  -b           prints lines instead\n";

struct row {
	const char *name, *tenant; /* the second sample's */
	json_int_t cores;          /* that it holds now */
	double tx_pps, rx_pps, tx_bps, rx_bps, drops, delay_us, grants;
};

struct top {
	int fd;
	json_t *before;
	struct row *rows;
	size_t nr_rows;
	char order;
};

static char order_now; /* for qsort's comparison */

static double key_of(const struct row *row)
{
	switch (order_now) {
	case 'b':
		return row->tx_bps + row->rx_bps;
	case 'd':
		return row->drops;
	case 'w':
		return row->delay_us;
	default:
		return row->tx_pps + row->rx_pps;
	}
}

static int compare(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	double difference = key_of(y) - key_of(x);

	if (order_now != 'n' && difference != 0)
		return difference > 0 ? 1 : -1;
	return strcmp(x->name, y->name);
}

static json_int_t drops_of(const json_t *inst)
{
	return stats_sum(json_object_get(inst, "drops_sent")) +
	       stats_sum(json_object_get(inst, "drops_received"));
}

static double rate(const json_t *now, const json_t *before, const char *key, double seconds)
{
	return (double)(stats_number(now, key) - stats_number(before, key)) / seconds;
}

static struct row row_of(const json_t *now, const json_t *before, double seconds)
{
	double grants = rate(now, before, "grants", seconds);

	return (struct row){
		.name = json_string_value(json_object_get(now, "name")),
		.tenant = json_string_value(json_object_get(now, "tenant")),
		.cores = stats_number(now, "cores"),
		.tx_pps = rate(now, before, "tx_packets", seconds),
		.rx_pps = rate(now, before, "rx_packets", seconds),
		.tx_bps = 8 * rate(now, before, "tx_bytes", seconds),
		.rx_bps = 8 * rate(now, before, "rx_bytes", seconds),
		.drops = (double)(drops_of(now) - drops_of(before)) / seconds,
		.grants = grants,
		.delay_us = grants > 0 ? rate(now, before, "delay_ns", seconds) / grants / 1e3 : 0,
	};
}

/* Both lists are in the order of their numbers, oldest first; who is new has no rates yet. */
static int rows_make(struct top *top, const json_t *now)
{
	json_t *list = json_object_get(now, "instances");
	json_t *old = json_object_get(top->before, "instances");
	double seconds =
		(double)(stats_number(now, "now_ns") - stats_number(top->before, "now_ns")) / 1e9;
	size_t i, at = 0;
	json_t *inst;

	free(top->rows);
	top->nr_rows = 0;
	top->rows = calloc(json_array_size(list) + 1, sizeof(*top->rows));
	if (top->rows == NULL)
		return leat_error("out of memory");
	json_array_foreach(list, i, inst)
	{
		json_int_t id = stats_number(inst, "id");
		size_t found = at;

		while (found < json_array_size(old) &&
		       stats_number(json_array_get(old, found), "id") != id)
			found++;
		if (found == json_array_size(old)) { /* it came meanwhile */
			top->rows[top->nr_rows++] = row_of(inst, inst, seconds);
			continue;
		}
		top->rows[top->nr_rows++] = row_of(inst, json_array_get(old, found), seconds);
		at = found + 1;
	}
	order_now = top->order;
	qsort(top->rows, top->nr_rows, sizeof(*top->rows), compare);
	return 0;
}

/* 1234567 as 1.23M. */
static const char *short_number(double v, char *text, size_t size)
{
	static const char units[] = " KMGT";
	const char *unit = units;

	while (v >= 1000 && unit[1] != '\0') {
		v /= 1000;
		unit++;
	}
	snprintf(text, size, "%.*f%c", v < 10 && unit != units ? 2 : v < 100 ? 1 : 0, v, *unit);
	return text;
}

static void row_text(const struct row *row, char *text, size_t size)
{
	const double values[] = {row->tx_pps, row->tx_bps, row->rx_pps,
				 row->rx_bps, row->drops,  row->grants};
	char number[24];
	int n = snprintf(text, size, "%-16.16s %-10.10s %5lld", row->name, row->tenant,
			 (long long)row->cores);

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]) && n > 0 && (size_t)n < size; i++)
		n += snprintf(text + n, size - (size_t)n, " %8s",
			      short_number(values[i], number, sizeof(number)));
	if (n > 0 && (size_t)n < size)
		snprintf(text + n, size - (size_t)n, " %9.1f", row->delay_us);
}

static void head_text(char *text, size_t size)
{
	snprintf(text, size, "%-16s %-10s %5s %8s %8s %8s %8s %8s %8s %9s", "NAME", "TENANT",
		 "CORES", "TX-PPS ", "TX-BPS ", "RX-PPS ", "RX-BPS ", "DROPS/S", "GRANTS/S",
		 "DELAY-US");
}

static void cores_text(const json_t *now, char *text, size_t size)
{
	json_t *core;
	size_t i;
	int n = snprintf(text, size, "%zu instances;",
			 json_array_size(json_object_get(now, "instances")));

	json_array_foreach(json_object_get(now, "cores"), i, core) if (n > 0 && (size_t)n < size)
		n += snprintf(text + n, size - (size_t)n, " core %lld %s %lld+%lld",
			      (long long)stats_number(core, "cpu"),
			      json_string_value(json_object_get(core, "state")),
			      (long long)stats_number(core, "grants"),
			      (long long)stats_number(core, "waiting"));
}

static void show_lines(const struct top *top, const json_t *now)
{
	char text[512];

	cores_text(now, text, sizeof(text));
	puts(text);
	head_text(text, sizeof(text));
	puts(text);
	for (size_t i = 0; i < top->nr_rows; i++) {
		row_text(&top->rows[i], text, sizeof(text));
		puts(text);
	}
	puts("");
	fflush(stdout);
}

static void show_screen(const struct top *top, const json_t *now)
{
	char text[512];

	erase();
	cores_text(now, text, sizeof(text));
	mvaddnstr(0, 0, text, COLS);
	head_text(text, sizeof(text));
	attron(A_REVERSE);
	mvaddnstr(2, 0, text, COLS);
	attroff(A_REVERSE);
	for (size_t i = 0; i < top->nr_rows && (int)i + 3 < LINES; i++) {
		row_text(&top->rows[i], text, sizeof(text));
		mvaddnstr((int)i + 3, 0, text, COLS);
	}
	refresh();
}

/* Waits for the next look; a key may end it or change the order.  False: the end. */
static bool screen_wait(struct top *top, unsigned ms)
{
	int key;

	timeout((int)ms);
	key = getch();
	if (key == 'q' || key == 'Q')
		return false;
	if (key > 0 && key < 128 && strchr("pbdwn", key) != NULL)
		top->order = (char)key;
	return true;
}

static int top_run(struct top *top, unsigned ms, uint64_t count, bool lines)
{
	int code = 0;

	for (bool more = true; more && code == 0 && count-- > 0;) {
		json_t *now;

		if (lines)
			usleep(ms * 1000);
		else
			more = screen_wait(top, ms);
		now = more ? stats_fetch(top->fd) : NULL;
		if (now == NULL)
			return more ? EXIT_LEAT : 0;
		code = rows_make(top, now);
		if (code == 0)
			(lines ? show_lines : show_screen)(top, now);
		json_decref(top->before);
		top->before = now;
	}
	return code;
}

int cmd_top(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	uint64_t seconds = 1, count = UINT64_MAX;
	struct top top = {.order = 'p'};
	bool lines = !isatty(STDOUT_FILENO);
	int c, code = EXIT_LEAT;

	while ((c = getopt_long(argc, argv, "d:n:b", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (c == 'b')
			lines = true;
		else if ((c != 'd' || parse_number(optarg, 1, 3600, &seconds) < 0) &&
			 (c != 'n' || parse_number(optarg, 1, INT64_MAX, &count) < 0))
			return leat_error("see leat top --help");
	}
	top.fd = daemon_connect(false);
	top.before = top.fd < 0 ? NULL : stats_fetch(top.fd);
	if (top.before == NULL)
		return EXIT_LEAT;
	if (!lines) {
		initscr();
		noecho();
		cbreak();
		curs_set(0);
	}
	code = top_run(&top, (unsigned)seconds * 1000, count, lines);
	if (!lines)
		endwin();
	json_decref(top.before);
	free(top.rows);
	close(top.fd);
	return code;
}
