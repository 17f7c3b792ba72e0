/*
 * metrics.h - counters of one function, printed in Prometheus' text format.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define METRICS_CODES 32U
#define METRICS_BUCKETS 14U

enum cold_phase {
	COLD_LAUNCH, /* asked for an instance until leatd had made it */
	COLD_BOOT,   /* until it was ready */
	COLD_ANSWER, /* until the first byte of the first answer */
	COLD_TOTAL,  /* arrival of the call to that byte */
	COLD_PHASES
};

struct histogram {
	uint64_t bucket[METRICS_BUCKETS]; /* not cumulative; what is longer is only in count */
	uint64_t count;
	double sum;
};

struct metrics {
	uint64_t started;
	unsigned nr_codes;
	struct {
		int code;
		struct histogram seconds;
	} codes[METRICS_CODES];
	struct histogram cold[COLD_PHASES];
	uint64_t starts, failed_starts, rejected;
};

void metrics_answer(struct metrics *metrics, int code, double seconds);
void metrics_cold(struct metrics *metrics, enum cold_phase phase, double seconds);

/* Everything, as text; the caller frees. NULL: out of memory. */
char *metrics_print(size_t *ret_size);
