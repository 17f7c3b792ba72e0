/*
 * Policies: what is refused, what is survived, what the base library does; and that the simulator
 * and a replay come to the same decisions.
 */
#include "bpf/bpf.h"
#include "sched/sched.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define US 1000ULL
#define MS 1000000ULL

static char reason[4096];

static struct ebpf_object *object_load(const char *dir, const char *name)
{
	struct ebpf_object *object = NULL;
	char path[512];
	static uint8_t elf[1 << 20];
	FILE *file;
	size_t size;

	snprintf(path, sizeof(path), "%s/%s.bpf.o", dir, name);
	file = fopen(path, "rb");
	assert_non_null(file);
	size = fread(elf, 1, sizeof(elf), file);
	fclose(file);
	if (ebpf_object_load(elf, size, reason, sizeof(reason), &object))
		return NULL;
	return object;
}

static int policy_load(const char *dir, const char *name, struct sched_policy **ret_policy)
{
	struct ebpf_object *object = object_load(dir, name);
	int r;

	if (!object)
		return -EACCES;
	r = sched_policy_create(object, name, reason, sizeof(reason), ret_policy);
	ebpf_object_unref(object);
	return r;
}

static struct sched_policy *library(const char *name)
{
	struct sched_policy *policy;

	if (policy_load(PROGRAMS, name, &policy))
		fail_msg("%s: %s", name, reason);
	return policy;
}

static struct sched_policy *bad(const char *name)
{
	struct sched_policy *policy;

	if (policy_load(BAD, name, &policy))
		fail_msg("%s: %s", name, reason);
	return policy;
}

static struct sched_sim_config load(const char *policy)
{
	return (struct sched_sim_config){
		.nr_cores = 4,
		.nr_instances = 60,
		.nr_tenants = 1,
		.seed = 1,
		.duration_ns = 2000 * MS,
		.service_ns = 200 * US,
		.load_permille = 500,
		.policy = policy ? library(policy) : NULL,
	};
}

/* ---- refused ---- */

static void refused(const char *name, int code, const char *because)
{
	struct sched_policy *policy = NULL;

	assert_int_equal(policy_load(BAD, name, &policy), code);
	if (!strstr(reason, because))
		fail_msg("%s was refused because %s", name, reason);
}

static void test_refused(void **state)
{
	(void)state;
	refused("bad_loop", -EACCES, "a loop without end");
	refused("bad_overrun", -E2BIG, "pick_next may take");
	refused("bad_hook", -EINVAL, "leat/sched/select_cores is no hook");
	refused("bad_map", -ENOTSUP, "counts");
	refused("bad_write", -EACCES, "context");
	refused("bad_clock", -EACCES, "ktime_get_ns");
}

static void test_init_says_no(void **state)
{
	struct sched_sim_config config = load(NULL);
	struct sched_sim_result result;

	(void)state;
	config.policy = bad("bad_init");
	assert_int_equal(sched_simulate(&config, &result), -EPERM);
}

/* ---- survived ---- */

static void falls_back(const char *name, const char *because)
{
	struct sched_sim_config config = load(NULL);
	struct sched_sim_result result, without;

	assert_int_equal(sched_simulate(&config, &without), 0);
	config.policy = bad(name);
	assert_int_equal(sched_simulate(&config, &result), 0);
	assert_false(result.policy.active);
	if (!strstr(result.policy.reason, because))
		fail_msg("%s was fallen back from because '%s'", name, result.policy.reason);
	assert_true(result.requests > without.requests * 95 / 100);
}

static void test_wrong_core(void **state)
{
	(void)state;
	falls_back("bad_core", "16 bad answers, select_core: 4");
}

static void test_wrong_quantum(void **state)
{
	struct sched_sim_config config = load(NULL);
	struct sched_sim_result result;

	(void)state;
	config.nr_hogs = 12;
	config.policy = bad("bad_quantum");
	assert_int_equal(sched_simulate(&config, &result), 0);
	assert_false(result.policy.active);
	assert_non_null(strstr(result.policy.reason, "quantum_expired"));
}

/* A rank that keeps one instance behind all others for ever. */
static void test_starving(void **state)
{
	struct sched_sim_config config = load(NULL);
	struct sched_sim_result result;

	(void)state;
	config.nr_cores = 1;
	config.nr_instances = 40;
	config.nr_hogs = 20; /* the first of them is instance 1 */
	config.duration_ns = 10000 * MS;
	config.load_permille = 100;
	config.policy = bad("bad_starve");
	assert_int_equal(sched_simulate(&config, &result), 0);
	assert_false(result.policy.active);
	assert_non_null(strstr(result.policy.reason, "starved"));
	assert_true(result.hog_wait_ns_max < 1000 * MS);
}

/* Who keeps cores for as long as may be keeps them for no longer than that. */
static void test_holding_on(void **state)
{
	struct sched_sim_config config = load(NULL);
	struct sched_sim_result result;

	(void)state;
	config.nr_cores = 1;
	config.nr_instances = 10;
	config.nr_hogs = 4;
	config.load_permille = 100;
	config.duration_ns = 4000 * MS;
	config.policy = bad("bad_hold");
	assert_int_equal(sched_simulate(&config, &result), 0);
	if (!result.policy.active)
		fail_msg("%s", result.policy.reason);
	assert_true(result.hog_wait_ns_max < 700 * MS);
}

/* ---- by hand ---- */

struct seat {
	struct sched_instance *inst;
	struct sched_vcpu *vcpu;
	unsigned core;
};

static void on_grant(void *arg, unsigned core, uint64_t now_ns)
{
	(void)now_ns;
	((struct seat *)arg)->core = core;
}

static void on_evict(void *arg, unsigned attempt, uint64_t now_ns)
{
	(void)arg;
	(void)attempt;
	(void)now_ns;
}

static void on_other(void *arg, uint64_t now_ns)
{
	(void)arg;
	(void)now_ns;
}

static uint64_t on_cpu_ns(void *arg)
{
	(void)arg;
	return 0;
}

static void on_poke(void *ctx, unsigned core)
{
	(void)ctx;
	(void)core;
}

static struct sched *sched;
static struct seat seats[3];

static void start(void)
{
	const struct sched_config config = {
		.nr_cores = 2,
		.host = {on_grant, on_other, on_evict, on_other, on_other, on_cpu_ns, on_poke,
			 NULL},
	};

	assert_int_equal(sched_create(&config, &sched), 0);
	for (unsigned i = 0; i < 3; i++) {
		const struct sched_instance_config inst = {
			.id = i + 1, .tenant = 9, .tag = 100, .function_tag = 3, .weight = 50};

		seats[i] = (struct seat){.core = UINT_MAX};
		assert_int_equal(sched_instance_attach(sched, &inst, &seats[i].inst), 0);
		assert_int_equal(sched_vcpu_attach(seats[i].inst, &seats[i], 0, &seats[i].vcpu), 0);
	}
}

static void finish(void)
{
	for (unsigned i = 0; i < 3; i++) {
		sched_vcpu_detach(seats[i].vcpu);
		sched_instance_detach(seats[i].inst);
	}
	sched_destroy(sched);
}

static void turn(unsigned i, uint64_t now_ns)
{
	sched_work(seats[i].vcpu, UINT_MAX, now_ns);
	sched_parked(seats[i].vcpu, 0, false, now_ns);
}

static void test_dead_core(void **state)
{
	struct sched_policy_info infos[SCHED_MAX_POLICIES + 1];

	(void)state;
	start();
	assert_int_equal(sched_policy_load(sched, bad("bad_dead"), 1), 0);
	turn(0, 2);
	assert_int_equal(seats[0].core, 1);
	sched_core_use(sched, 1, false, 3);
	for (unsigned i = 0; i < 20; i++) {
		turn(0, 4 + i);
		assert_int_equal(seats[0].core, 0);
	}
	assert_int_equal(sched_policy_list(sched, infos), 2);
	assert_false(infos[1].active);
	assert_true(infos[0].active);
	assert_string_equal(infos[1].reason, "it gave 16 bad answers, select_core: 1");
	finish();
}

static uint64_t told_of(struct ebpf_instance *inst, uint32_t key)
{
	uint64_t value = 0;

	assert_int_equal(ebpf_map_lookup(ebpf_instance_map(inst, "told"), &key, &value), 0);
	return value;
}

/* Hooks hear of the right things, in time; and swaps and rollbacks take effect at once. */
static void test_told_and_swapped(void **state)
{
	struct sched_policy *told = bad("good_told");
	struct sched_policy_info infos[SCHED_MAX_POLICIES + 1];
	struct ebpf_instance *inst = sched_policy_programs(told);

	(void)state;
	start();
	assert_int_equal(sched_tenant_set(sched, 9, 5, 300), 0);
	assert_int_equal(sched_policy_load(sched, told, 1), 0);
	assert_int_equal(told_of(inst, LEAT_SCHED_INIT), 1);
	assert_int_equal(told_of(inst, LEAT_SCHED_ATTACH), 0);
	turn(0, 2);
	turn(0, 3);
	turn(1, 4);
	assert_int_equal(told_of(inst, LEAT_SCHED_ATTACH), 2);
	assert_int_equal(told_of(inst, 10), 3 * 100);
	assert_int_equal(told_of(inst, 11), 3 * 5);
	assert_int_equal(told_of(inst, 12), 3 * 3);
	assert_int_equal(told_of(inst, 13), 3 * 50);
	assert_int_equal(told_of(inst, 14), 3 * 300);
	sched_vcpu_detach(seats[0].vcpu);
	seats[0].vcpu = NULL;
	assert_int_equal(told_of(inst, LEAT_SCHED_DETACH), 7 + 2);

	assert_int_equal(sched_policy_load(sched, library("sched_fifo"), 5), 0);
	assert_int_equal(told_of(inst, LEAT_SCHED_EXIT), 1);
	turn(1, 6);
	assert_int_equal(told_of(inst, 10), 3 * 100);
	assert_int_equal(sched_policy_list(sched, infos), 3);
	assert_true(infos[2].active && !infos[1].active && !infos[0].active);

	assert_int_equal(sched_policy_rollback(sched, 7), 0);
	assert_int_equal(told_of(inst, LEAT_SCHED_INIT), 2);
	turn(1, 8);
	assert_int_equal(told_of(inst, 10), 4 * 100);
	assert_int_equal(told_of(inst, LEAT_SCHED_ATTACH), 3);
	assert_int_equal(sched_policy_rollback(sched, 9), 0);
	assert_int_equal(sched_policy_list(sched, infos), 1);
	assert_true(infos[0].active);
	assert_int_equal(sched_policy_rollback(sched, 10), -ENOENT);
	finish();
}

static void test_remembers_eight(void **state)
{
	struct sched_policy_info infos[SCHED_MAX_POLICIES + 1];

	(void)state;
	start();
	for (unsigned i = 0; i < SCHED_MAX_POLICIES + 3; i++)
		assert_int_equal(sched_policy_load(sched, library("sched_fifo"), i), 0);
	assert_int_equal(sched_policy_list(sched, infos), SCHED_MAX_POLICIES + 1);
	assert_int_equal(infos[1].number, 4);
	for (unsigned i = 0; i < SCHED_MAX_POLICIES; i++)
		assert_int_equal(sched_policy_rollback(sched, 20), 0);
	assert_int_equal(sched_policy_rollback(sched, 20), -ENOENT);
	finish();
}

/* ---- the base library ---- */

static const char *const names[] = {"sched_default", "sched_fifo",  "sched_latency",
				    "sched_fair",    "sched_batch", "sched_interference"};

/* Under each: everybody is served, nobody is starved, and a seed is a run. */
static void test_library(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct sched_sim_config config = load(names[i]);
		struct sched_sim_result result, again;

		config.nr_hogs = 8;
		assert_int_equal(sched_simulate(&config, &result), 0);
		if (!result.policy.active)
			fail_msg("%s: %s", names[i], result.policy.reason);
		assert_int_equal(result.policy.rescues, 0);
		/* 4 cores at half load by requests of 200 us: 20,000 in 2 s */
		assert_in_range(result.requests, 18000, 22000);
		assert_true(result.hog_permille > 350);
		config.policy = library(names[i]);
		assert_int_equal(sched_simulate(&config, &again), 0);
		assert_memory_equal(&result, &again, offsetof(struct sched_sim_result, policy));
	}
}

/* The default policy as a program decides as the built-in one does. */
static void test_default_is_built_in(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed < 8; seed++) {
		struct sched_sim_config config = load(NULL);
		struct sched_sim_result one, other;

		config.seed = seed;
		config.nr_cores = 1 + seed * 2;
		config.nr_hogs = seed;
		config.duration_ns = 300 * MS;
		config.load_permille = 100 * seed;
		assert_int_equal(sched_simulate(&config, &one), 0);
		config.policy = library("sched_default");
		assert_int_equal(sched_simulate(&config, &other), 0);
		assert_true(other.policy.active);
		assert_true(one.decisions > 300);
		assert_int_equal(one.decisions, other.decisions);
		assert_int_equal(one.digest, other.digest);
	}
}

/* Tenants with the weights 1, 2, 3, 4 share what hogs get by them; not so under fifo. */
static void test_fair_shares(void **state)
{
	struct sched_sim_config config = load("sched_fair");
	struct sched_sim_result result;

	(void)state;
	config.nr_cores = 2;
	config.nr_instances = 40;
	config.nr_hogs = 24;
	config.nr_tenants = 4;
	config.duration_ns = 8000 * MS;
	config.load_permille = 100;
	assert_int_equal(sched_simulate(&config, &result), 0);
	assert_true(result.policy.active);
	for (unsigned i = 0; i < 4; i++)
		assert_in_range(result.tenant_hog_permille[i], (i + 1) * 100 - 35,
				(i + 1) * 100 + 35);
	config.policy = library("sched_fifo");
	assert_int_equal(sched_simulate(&config, &result), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_in_range(result.tenant_hog_permille[i], 220, 280);
}

/* Beside batch work on every core, requests are answered about as fast as without it. */
static void test_hogs_hardly_hurt(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct sched_sim_config config = load(names[i]);
		struct sched_sim_result alone, beside;

		config.load_permille = 200;
		assert_int_equal(sched_simulate(&config, &alone), 0);
		config = load(names[i]);
		config.load_permille = 200;
		config.nr_instances += 8;
		config.nr_hogs = 8;
		assert_int_equal(sched_simulate(&config, &beside), 0);
		if (beside.latency_ns_p99 > 2 * alone.latency_ns_p99)
			fail_msg("%s: %llu us alone, %llu beside hogs", names[i],
				 (unsigned long long)alone.latency_ns_p99 / 1000,
				 (unsigned long long)beside.latency_ns_p99 / 1000);
	}
}

/* One who hears no request to give way keeps neither requests nor other hogs from running. */
static void test_deaf(void **state)
{
	struct sched_sim_config config = load(NULL);
	struct sched_sim_result result;

	(void)state;
	config.nr_hogs = 8;
	config.nr_deaf = 2;
	assert_int_equal(sched_simulate(&config, &result), 0);
	assert_in_range(result.requests, 18000, 22000);
	assert_true(result.evictions > 0);
	assert_true(result.demotions > 0);
}

/* Ten thousand instances on 128 cores. */
static void test_large(void **state)
{
	struct sched_sim_config config = load("sched_latency");
	struct sched_sim_result result;

	(void)state;
	config.nr_cores = 128;
	config.nr_instances = 10000;
	config.nr_hogs = 64;
	config.nr_tenants = 10;
	config.duration_ns = 100 * MS;
	assert_int_equal(sched_simulate(&config, &result), 0);
	assert_true(result.policy.active);
	/* 128 cores at half load for 0.1 s */
	assert_in_range(result.requests, 28000, 36000);
}

/* ---- replay ---- */

static struct sched_trace_record *records;
static size_t nr_records, room;

static void record(void *ctx, const struct sched_trace_record *one)
{
	(void)ctx;
	if (nr_records == room) {
		room = room ? 2 * room : 4096;
		records = realloc(records, room * sizeof(*records));
		assert_non_null(records);
	}
	records[nr_records++] = *one;
}

/* What the simulator did is a trace as a live run makes one. */
static void trace_make(const char *policy, const char *dir)
{
	struct sched_sim_config config = load(NULL);
	struct sched_sim_result result;

	nr_records = 0;
	if (policy)
		assert_int_equal(policy_load(dir, policy, &config.policy), 0);
	config.nr_hogs = 6;
	config.nr_deaf = 1;
	config.duration_ns = 200 * MS;
	config.record = record;
	assert_int_equal(sched_simulate(&config, &result), 0);
}

static void replays(const char *policy, const char *dir)
{
	struct sched_replay_result result;
	struct sched_policy *again = NULL;

	trace_make(policy, dir);
	if (policy)
		assert_int_equal(policy_load(dir, policy, &again), 0);
	assert_int_equal(sched_replay(records, nr_records, again, &result), 0);
	assert_true(result.decisions > 1000);
	if (result.same != result.decisions)
		fail_msg("%s: the same up to record %llu of %zu (kind %u, got %u)",
			 policy ? policy : "built-in", (unsigned long long)result.differs_at,
			 nr_records, result.expected.kind, result.got.kind);
}

static void test_replay(void **state)
{
	(void)state;
	replays(NULL, NULL);
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		replays(names[i], PROGRAMS);
	replays("bad_core", BAD); /* with its fall back */
	free(records);
	records = NULL;
	room = 0;
}

static void test_replay_differs(void **state)
{
	struct sched_replay_result result;

	(void)state;
	trace_make("sched_latency", PROGRAMS);
	/* another policy decides otherwise, and that is found */
	assert_int_equal(sched_replay(records, nr_records, library("sched_fifo"), &result), 0);
	assert_true(result.same < result.decisions);
	/* what is no trace is refused */
	assert_int_equal(sched_replay(records + 1, nr_records - 1, NULL, &result), -EINVAL);
	assert_int_equal(sched_replay(records, 0, NULL, &result), -EINVAL);
	for (size_t i = 1; i < nr_records; i += 997) {
		records[i].vcpu = 1U << 30;
		records[i].core = 500;
	}
	(void)sched_replay(records, nr_records, library("sched_latency"), &result);
	free(records);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_init_says_no),
		cmocka_unit_test(test_wrong_core),
		cmocka_unit_test(test_wrong_quantum),
		cmocka_unit_test(test_starving),
		cmocka_unit_test(test_holding_on),
		cmocka_unit_test(test_dead_core),
		cmocka_unit_test(test_told_and_swapped),
		cmocka_unit_test(test_remembers_eight),
		cmocka_unit_test(test_library),
		cmocka_unit_test(test_default_is_built_in),
		cmocka_unit_test(test_fair_shares),
		cmocka_unit_test(test_hogs_hardly_hurt),
		cmocka_unit_test(test_deaf),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_replay_differs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
