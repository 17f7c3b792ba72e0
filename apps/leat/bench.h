/*
 * bench.h - what the benchmarks of `leat bench` share: options, and figures as they are printed.
 *
 * One line a figure, "CASE.native V UNIT"; with --json the same as one array.  The program comes
 * with `leat`, the tables in docs/bench.md say what each figure means.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench {
	bool json;
	bool quick;
	const char *only; /* CASE,...; NULL: all */
	json_t *figures;
};

/* Options that all benchmarks have, for getopt_long; bench_option takes them: false if unknown. */
#define BENCH_OPTIONS                                                                              \
	{"json", no_argument, NULL, 'J'}, {"quick", no_argument, NULL, 'Q'},                       \
	{                                                                                          \
		"only", required_argument, NULL, 'O'                                               \
	}
bool bench_option(struct bench *bench, int option, const char *value);

/* Is the case, or a part of it in front of a '.', among --only's? */
bool bench_wants(const struct bench *bench, const char *name);

/* One figure: printed now, or kept for --json. */
void bench_figure(struct bench *bench, const char *name, double value, const char *unit);
/* Prints what was kept. */
void bench_finish(struct bench *bench);

double bench_median(double *values, size_t nr);
/* share: 0.99 for p99.  Both sort the values; none are 0. */
double bench_quantile(double *values, size_t nr, double share);
uint64_t bench_now_ns(void);

int bench_density(int argc, char **argv);

/* bench_script.c: the benchmarks in Python; argv[0] is the name. */
int bench_script(int argc, char **argv);
int bench_syscall(int argc, char **argv);
