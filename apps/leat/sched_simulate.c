/*
 * sched_simulate.c - leat sched simulate: a policy in virtual time, under a load that follows from
 * a seed; or against the trace of a live run.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apps/common/parse.h"
#include "apps/leat/leat.h"
#include "apps/leat/sched_cmd.h"

static const char help[] =
	"usage: leat sched simulate [--policy F.bpf.o|NAME] [OPTION]...\n"
	"       leat sched simulate [--policy F.bpf.o|NAME] --replay FILE\n"
	"The same scheduler and the same eBPF as in leatd, in virtual time.\n"
	"\n"
	"      --cores N        (16)\n"
	"      --instances N    each answers requests, one after the other (1000)\n"
	"      --hogs N         of them: compute without end; bit 0 of their tag word is set (0)\n"
	"      --deaf N         of those: do not hear polite requests to give way (0)\n"
	"      --tenants N      instances by turns; tenant n has the weight n * 100 (1)\n"
	"      --load PERCENT   of all cores, by requests that come at random (50)\n"
	"      --service US     mean of what a request takes (100)\n"
	"      --duration MS    of virtual time (1000)\n"
	"      --seed N         all chance follows from it (1)\n"
	"      --write FILE     a trace of the run, as leat sched trace makes one of leatd's\n"
	"      --json\n"
	"      --replay FILE    feeds a trace's events to the scheduler, and compares its\n"
	"                       decisions: status 1 if they differ\n";

struct options {
	struct sched_sim_config sim;
	const char *policy, *replay, *write;
	FILE *out;
	bool json;
};

/* ---- a load ---- */

static void record_write(void *ctx, const struct sched_trace_record *record)
{
	fwrite(record, sizeof(*record), 1, ctx);
}

static json_t *result_json(const struct sched_sim_config *config,
			   const struct sched_sim_result *result)
{
	char digest[24];
	json_t *json, *shares = json_array();

	snprintf(digest, sizeof(digest), "%016" PRIx64, result->digest);
	for (unsigned i = 0; i < config->nr_tenants; i++)
		json_array_append_new(shares,
				      json_real((double)result->tenant_hog_permille[i] / 10));
	json = json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "seed",
			 (json_int_t)config->seed, "requests", (json_int_t)result->requests,
			 "latency_us_p50", (double)result->latency_ns_p50 / 1e3, "latency_us_p99",
			 (double)result->latency_ns_p99 / 1e3, "latency_us_max",
			 (double)result->latency_ns_max / 1e3, "busy_percent",
			 (double)result->busy_permille / 10, "hogs_percent",
			 (double)result->hog_permille / 10, "hog_wait_ms_max",
			 (double)result->hog_wait_ns_max / 1e6);
	json_object_set_new(json, "tenant_hogs_percent", shares);
	json_object_set_new(json, "grants", json_integer((json_int_t)result->grants));
	json_object_set_new(json, "preempts", json_integer((json_int_t)result->preempts));
	json_object_set_new(json, "evictions", json_integer((json_int_t)result->evictions));
	json_object_set_new(json, "demotions", json_integer((json_int_t)result->demotions));
	json_object_set_new(json, "moves", json_integer((json_int_t)result->moves));
	json_object_set_new(json, "rescues", json_integer((json_int_t)result->policy.rescues));
	json_object_set_new(json, "decisions", json_integer((json_int_t)result->decisions));
	json_object_set_new(json, "digest", json_string(digest));
	json_object_set_new(json, "policy", json_string(result->policy.name));
	json_object_set_new(json, "fallen_back", json_string(result->policy.reason));
	return json;
}

static void result_print(json_t *json)
{
	const char *key;
	json_t *value, *each;
	size_t i;

	json_object_foreach(json, key, value)
	{
		printf("%-20s", key);
		if (json_is_string(value))
			printf(" %s", json_string_value(value));
		else if (json_is_integer(value))
			printf(" %lld", (long long)json_integer_value(value));
		else if (json_is_real(value))
			printf(" %.1f", json_real_value(value));
		json_array_foreach(value, i, each)
		{
			printf(" %.1f", json_real_value(each));
		}
		putchar('\n');
	}
}

static int simulate(struct options *options)
{
	const struct sched_trace_file header = {SCHED_TRACE_MAGIC, SCHED_TRACE_VERSION, 0};
	struct sched_sim_result result;
	json_t *json;
	int r;

	if (options->write != NULL) {
		options->out = fopen(options->write, "wbe");
		if (options->out == NULL || fwrite(&header, sizeof(header), 1, options->out) != 1)
			return leat_error("cannot write %s: %s", options->write, strerror(errno));
		options->sim.record = record_write;
		options->sim.record_ctx = options->out;
	}
	if (options->policy != NULL) {
		options->sim.policy = sched_policy_open(options->policy);
		if (options->sim.policy == NULL)
			return EXIT_LEAT;
	}
	r = sched_simulate(&options->sim, &result);
	if (options->out != NULL && fclose(options->out) != 0)
		return leat_error("cannot write %s: %s", options->write, strerror(errno));
	if (r < 0)
		return leat_error("cannot simulate: %s",
				  r == -EPERM ? "the policy's init says no" : strerror(-r));
	json = result_json(&options->sim, &result);
	if (options->json && json_dumpf(json, stdout, JSON_INDENT(2)) == 0)
		putchar('\n');
	else if (!options->json)
		result_print(json);
	json_decref(json);
	return 0;
}

/* ---- a trace ---- */

static int replay(const struct options *options)
{
	struct sched_policy *policy = NULL;
	struct sched_replay_result result;
	struct sched_trace_record *records;
	uint64_t dropped;
	char line[512];
	size_t nr;
	int r;

	if (options->policy != NULL) {
		policy = sched_policy_open(options->policy);
		if (policy == NULL)
			return EXIT_LEAT;
	}
	records = sched_trace_read(options->replay, &nr, &dropped);
	if (records == NULL) {
		sched_policy_destroy(policy);
		return EXIT_LEAT;
	}
	r = sched_replay(records, nr, policy, &result);
	free(records);
	if (r < 0)
		return leat_error("cannot replay %s: %s", options->replay,
				  r == -EINVAL ?
					  "it does not begin before the first instance, or is "
					  "no trace" :
				  r == -ENOKEY ? "it has a policy, or more than one; give one with "
						 "--policy" :
						 strerror(-r));
	printf("events     %" PRIu64 "\ndecisions  %" PRIu64 "\nsame       %" PRIu64
	       "\ndropped    %" PRIu64 "\n",
	       result.events, result.decisions, result.same, dropped);
	if (result.same == result.decisions)
		return 0;
	sched_record_text(&result.expected, line, sizeof(line));
	printf("record %" PRIu64 " was  %s\n", result.differs_at, line);
	sched_record_text(&result.got, line, sizeof(line));
	printf("it is now      %s\n", line);
	return 1;
}

/* ---- options ---- */

static const struct option long_options[] = {
	{"cores", required_argument, NULL, 'c'},
	{"instances", required_argument, NULL, 'i'},
	{"hogs", required_argument, NULL, 'h'},
	{"deaf", required_argument, NULL, 'd'},
	{"tenants", required_argument, NULL, 't'},
	{"load", required_argument, NULL, 'l'},
	{"service", required_argument, NULL, 's'},
	{"duration", required_argument, NULL, 'm'},
	{"seed", required_argument, NULL, 'x'},
	{"policy", required_argument, NULL, 'p'},
	{"replay", required_argument, NULL, 'r'},
	{"write", required_argument, NULL, 'w'},
	{"json", no_argument, NULL, 'j'},
	{"help", no_argument, NULL, '?'},
	{NULL, 0, NULL, 0},
};

/* 0; 1: it is none; or EXIT_LEAT after a word. */
static int number_take(struct sched_sim_config *sim, int option, const char *text)
{
	uint64_t n;

	if (text == NULL || parse_number(text, 0, UINT32_MAX, &n) < 0)
		return 1;
	switch (option) {
	case 'c':
		sim->nr_cores = (unsigned)n;
		return n >= 1 && n <= SCHED_MAX_CORES ? 0 : 1;
	case 'i':
		sim->nr_instances = (unsigned)n;
		return n >= 1 && n <= SCHED_MAX_VCPUS ? 0 : 1;
	case 'h':
		sim->nr_hogs = (unsigned)n;
		return 0;
	case 'd':
		sim->nr_deaf = (unsigned)n;
		return 0;
	case 't':
		sim->nr_tenants = (unsigned)n;
		return n >= 1 && n <= SCHED_SIM_TENANTS ? 0 : 1;
	case 'l':
		sim->load_permille = (unsigned)n * 10;
		return n >= 1 && n <= 200 ? 0 : 1;
	case 's':
		sim->service_ns = n * 1000;
		return n >= 1 && n <= 1000000 ? 0 : 1;
	case 'm':
		sim->duration_ns = n * 1000000;
		return n >= 1 && n <= 3600000 ? 0 : 1;
	case 'x':
		sim->seed = n;
		return 0;
	default:
		return 1;
	}
}

int sched_simulate_command(int argc, char **argv)
{
	struct options options = {.sim = {.nr_cores = 16,
					  .nr_instances = 1000,
					  .nr_tenants = 1,
					  .seed = 1,
					  .duration_ns = 1000000000,
					  .service_ns = 100000,
					  .load_permille = 500}};
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (c == '?' && strcmp(argv[optind - 1], "--help") == 0) {
			fputs(help, stdout);
			return 0;
		}
		if (c == 'p')
			options.policy = optarg;
		else if (c == 'r')
			options.replay = optarg;
		else if (c == 'w')
			options.write = optarg;
		else if (c == 'j')
			options.json = true;
		else if (number_take(&options.sim, c, optarg) != 0)
			return leat_error("see leat sched simulate --help");
	}
	if (optind != argc)
		return leat_error("see leat sched simulate --help");
	if (options.replay != NULL)
		return replay(&options);
	if (options.sim.nr_hogs > options.sim.nr_instances ||
	    options.sim.nr_deaf > options.sim.nr_hogs)
		return leat_error("hogs are some of the instances, and deaf ones some of the hogs");
	return simulate(&options);
}
