/*
 * metrics.c - Prometheus' text format, with the names that OpenFaaS' gateway has: its dashboards
 * work.
 */
#include "apps/gateway/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "apps/gateway/gateway.h"

static const double bounds[METRICS_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
					       0.25,  0.5,    1,     2.5,  5,     10,   30};

static const char *const phase_names[COLD_PHASES] = {"launch", "boot", "answer", "total"};

static void histogram_add(struct histogram *h, double seconds)
{
	h->count++;
	h->sum += seconds;
	for (unsigned i = 0; i < METRICS_BUCKETS; i++)
		if (seconds <= bounds[i]) {
			h->bucket[i]++;
			return;
		}
}

void metrics_answer(struct metrics *metrics, int code, double seconds)
{
	unsigned i;

	for (i = 0; i < metrics->nr_codes && metrics->codes[i].code != code; i++)
		;
	if (i == metrics->nr_codes) {
		if (i == METRICS_CODES) /* a function that makes up codes: its last entry has them
					 */
			i--;
		else
			metrics->nr_codes++;
		metrics->codes[i].code = code;
	}
	histogram_add(&metrics->codes[i].seconds, seconds);
}

void metrics_cold(struct metrics *metrics, enum cold_phase phase, double seconds)
{
	histogram_add(&metrics->cold[phase], seconds);
}

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void histogram_print(FILE *out, const char *name, const char *labels,
			    const struct histogram *h)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
		sum += h->bucket[i];
		fprintf(out, "%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", name, labels, bounds[i], sum);
	}
	fprintf(out, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, labels, h->count);
	fprintf(out, "%s_sum{%s} %.9g\n", name, labels, h->sum);
	fprintf(out, "%s_count{%s} %" PRIu64 "\n", name, labels, h->count);
}

static void each_function(FILE *out, void (*print)(FILE *out, const struct function *fn))
{
	struct list *pos;

	list_for_each(pos, &gw.functions) {
		const struct function *fn = list_entry(pos, struct function, node);

		if (!fn->removed)
			print(out, fn);
	}
}

static void print_started(FILE *out, const struct function *fn)
{
	fprintf(out, "gateway_function_invocation_started{function_name=\"%s\"} %" PRIu64 "\n",
		fn->spec.name, fn->metrics.started);
}

static void print_totals(FILE *out, const struct function *fn)
{
	for (unsigned i = 0; i < fn->metrics.nr_codes; i++)
		fprintf(out,
			"gateway_function_invocation_total{function_name=\"%s\",code=\"%d\"} "
			"%" PRIu64 "\n",
			fn->spec.name, fn->metrics.codes[i].code,
			fn->metrics.codes[i].seconds.count);
}

static void print_seconds(FILE *out, const struct function *fn)
{
	char labels[160];

	for (unsigned i = 0; i < fn->metrics.nr_codes; i++) {
		snprintf(labels, sizeof(labels), "function_name=\"%s\",code=\"%d\"", fn->spec.name,
			 fn->metrics.codes[i].code);
		histogram_print(out, "gateway_functions_seconds", labels,
				&fn->metrics.codes[i].seconds);
	}
}

static void print_count(FILE *out, const struct function *fn)
{
	fprintf(out, "gateway_service_count{function_name=\"%s\"} %u\n", fn->spec.name,
		fn->nr_ready + fn->nr_starting);
}

static void print_queue(FILE *out, const struct function *fn)
{
	fprintf(out, "gateway_function_queue_length{function_name=\"%s\"} %u\n", fn->spec.name,
		fn->queued);
}

static void print_starts(FILE *out, const struct function *fn)
{
	uint64_t good = fn->metrics.starts - fn->metrics.failed_starts;

	fprintf(out,
		"gateway_function_starts_total{function_name=\"%s\",outcome=\"started\"} %" PRIu64
		"\n"
		"gateway_function_starts_total{function_name=\"%s\",outcome=\"failed\"} %" PRIu64
		"\n",
		fn->spec.name, good, fn->spec.name, fn->metrics.failed_starts);
}

static void print_rejected(FILE *out, const struct function *fn)
{
	fprintf(out, "gateway_function_rejected_total{function_name=\"%s\"} %" PRIu64 "\n",
		fn->spec.name, fn->metrics.rejected);
}

static void print_cold(FILE *out, const struct function *fn)
{
	char labels[160];

	for (unsigned i = 0; i < COLD_PHASES; i++) {
		snprintf(labels, sizeof(labels), "function_name=\"%s\",phase=\"%s\"", fn->spec.name,
			 phase_names[i]);
		histogram_print(out, "gateway_function_cold_start_seconds", labels,
				&fn->metrics.cold[i]);
	}
}

char *metrics_print(size_t *ret_size)
{
	static const struct {
		const char *name, *type, *help;
		void (*print)(FILE *out, const struct function *fn);
	} families[] = {
		{"gateway_function_invocation_started", "counter", "Calls that arrived.",
		 print_started},
		{"gateway_function_invocation_total", "counter", "Calls that were answered.",
		 print_totals},
		{"gateway_functions_seconds", "histogram", "Time from arrival to the answer's end.",
		 print_seconds},
		{"gateway_service_count", "gauge", "Instances of a function.", print_count},
		{"gateway_function_queue_length", "gauge", "Calls that wait for an instance.",
		 print_queue},
		{"gateway_function_starts_total", "counter", "Instances that were started.",
		 print_starts},
		{"gateway_function_rejected_total", "counter",
		 "Calls that were refused for a full queue or a quota.", print_rejected},
		{"gateway_function_cold_start_seconds", "histogram",
		 "Cold starts by phase: launch, boot, answer, and their total.", print_cold},
	};
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_size);

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		head(out, families[i].name, families[i].type, families[i].help);
		each_function(out, families[i].print);
	}
	head(out, "gateway_uptime_seconds", "gauge", "Time since the gateway was started.");
	fprintf(out, "gateway_uptime_seconds %.3f\n", (double)(now_ns() - gw.start_ns) / 1e9);
	return fclose(out) == 0 ? text : NULL;
}
