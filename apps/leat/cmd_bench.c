/*
 * cmd_bench.c - leat bench: the table of benchmarks, and what they share.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apps/leat/bench.h"
#include "apps/leat/leat.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} benchmarks[] = {
	{"apps", bench_script, "redis, memcached, nginx, Go, node, Python and Java under load"},
	{"coldstart", bench_script, "calls to functions without an instance: clones, starts"},
	{"density", bench_density, "many instances at once: starts, memory, requests, leaks"},
	{"dpu", bench_script, "frames through the software DPU, beside Open vSwitch and testpmd"},
	{"net", bench_script, "round trips, streams, datagrams, connections between programs"},
	{"syscall", bench_syscall, "single system calls, round trips between threads, fork"},
};

#define NR_BENCHMARKS (sizeof(benchmarks) / sizeof(benchmarks[0]))

bool bench_option(struct bench *bench, int option, const char *value)
{
	switch (option) {
	case 'J':
		bench->json = true;
		return true;
	case 'Q':
		bench->quick = true;
		return true;
	case 'O':
		bench->only = value;
		return true;
	default:
		return false;
	}
}

bool bench_wants(const struct bench *bench, const char *name)
{
	const char *at = bench->only;

	while (at != NULL) {
		size_t len = strcspn(at, ",");

		if (len > 0 && strncmp(name, at, len) == 0 && (name[len] == 0 || name[len] == '.'))
			return true;
		at = at[len] == ',' ? at + len + 1 : NULL;
	}
	return bench->only == NULL;
}

void bench_figure(struct bench *bench, const char *name, double value, const char *unit)
{
	if (!bench->json) {
		printf("%s %.*f %s\n", name, value < 10 ? 3 : value < 1000 ? 1 : 0, value, unit);
		fflush(stdout);
		return;
	}
	if (bench->figures == NULL)
		bench->figures = json_array();
	json_array_append_new(bench->figures, json_pack("{s:s, s:f, s:s}", "name", name, "value",
							value, "unit", unit));
}

void bench_finish(struct bench *bench)
{
	if (bench->figures != NULL && json_dumpf(bench->figures, stdout, JSON_INDENT(1)) == 0)
		putchar('\n');
	json_decref(bench->figures);
	bench->figures = NULL;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_quantile(double *values, size_t nr, double share)
{
	if (nr == 0)
		return 0;
	qsort(values, nr, sizeof(*values), compare);
	return values[(size_t)((double)(nr - 1) * share + 0.5)];
}

double bench_median(double *values, size_t nr)
{
	return bench_quantile(values, nr, 0.5);
}

uint64_t bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static int help(int code)
{
	FILE *out = code == 0 ? stdout : stderr;

	fputs("usage: leat bench BENCHMARK [OPTION]...\n"
	      "Measures Leat beside native processes on this machine; one line a figure.\n\n",
	      out);
	for (size_t i = 0; i < NR_BENCHMARKS; i++)
		fprintf(out, "  %-8s  %s\n", benchmarks[i].name, benchmarks[i].summary);
	fputs("\nleat bench BENCHMARK --help says more.\n", out);
	return code;
}

int cmd_bench(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "--help";

	if (strcmp(name, "--help") == 0)
		return help(argc > 1 ? 0 : EXIT_LEAT);
	for (size_t i = 0; i < NR_BENCHMARKS; i++)
		if (strcmp(benchmarks[i].name, name) == 0)
			return benchmarks[i].run(argc - 1, argv + 1);
	return leat_error("no benchmark '%s'; leat bench --help lists them", name);
}
