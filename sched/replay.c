/*
 * replay.c - a recorded trace's events into the scheduler, and its decisions against the recorded
 * ones.
 */
#include "sched/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct replay {
	const struct sched_trace_record *records;
	size_t nr;
	size_t at;       /* the event that is under way */
	size_t expected; /* index of the next recorded decision that was not compared */
	size_t cpu_at;   /* of the next answer about CPU time */
	struct sched *sched;
	struct sched_policy *policy; /* NULL: loaded, or there is none */
	struct sched_vcpu **vcpus;   /* by number */
	uint32_t max_vcpu;
	struct sched_instance **instances; /* in the order of their coming; NULL: gone */
	size_t nr_instances;
	struct sched_replay_result result;
	bool differs;
};

static void on_vcpu(void *arg, uint64_t now_ns)
{
	(void)arg;
	(void)now_ns;
}

static void on_grant(void *arg, unsigned core, uint64_t now_ns)
{
	(void)arg;
	(void)core;
	(void)now_ns;
}

static void on_poke(void *ctx, unsigned core)
{
	(void)ctx;
	(void)core;
}

/* `arg` is the replay itself: what the host said comes in the order in which it was asked. */
static uint64_t on_cpu_ns(void *arg)
{
	struct replay *replay = arg;

	if (replay->cpu_at < replay->at)
		replay->cpu_at = replay->at;
	while (replay->cpu_at < replay->nr)
		if (replay->records[replay->cpu_at++].kind == SCHED_TRACE_CPU)
			return replay->records[replay->cpu_at - 1].a;
	return 0;
}

static bool same(const struct sched_trace_record *a, const struct sched_trace_record *b)
{
	if (a->kind != b->kind || a->time_ns != b->time_ns)
		return false;
	if (a->kind == SCHED_TRACE_FALLBACK) /* numbers of policies differ */
		return strncmp(a->text, b->text, sizeof(a->text)) == 0;
	return a->core == b->core && a->vcpu == b->vcpu && a->instance == b->instance &&
	       a->a == b->a && a->b == b->b;
}

static void expected_skip(struct replay *replay)
{
	while (replay->expected < replay->nr &&
	       replay->records[replay->expected].kind < SCHED_TRACE_DECISIONS)
		replay->expected++;
}

static void on_record(void *ctx, const struct sched_trace_record *record)
{
	struct replay *replay = ctx;

	if (record->kind < SCHED_TRACE_DECISIONS || replay->differs)
		return;
	expected_skip(replay);
	if (replay->expected < replay->nr && same(&replay->records[replay->expected], record)) {
		replay->expected++;
		replay->result.same++;
		return;
	}
	replay->differs = true;
	replay->result.differs_at = replay->expected;
	replay->result.got = *record;
	if (replay->expected < replay->nr)
		replay->result.expected = replay->records[replay->expected];
}

static struct sched_vcpu *vcpu_of(const struct replay *replay,
				  const struct sched_trace_record *record)
{
	return record->vcpu <= replay->max_vcpu ? replay->vcpus[record->vcpu] : NULL;
}

static struct sched_instance **instance_of(const struct replay *replay, uint32_t id)
{
	for (size_t i = replay->nr_instances; i > 0; i--)
		if (replay->instances[i - 1] && replay->instances[i - 1]->config.id == id)
			return &replay->instances[i - 1];
	return NULL;
}

/* ---- events ---- */

static int instance_event(struct replay *replay, const struct sched_trace_record *record)
{
	struct sched_instance **found = instance_of(replay, record->instance);
	struct sched_instance_config config = {
		.id = record->instance,
		.tenant = record->vcpu,
		.tag = (uint32_t)record->a,
		.function_tag = (uint32_t)record->b,
		.weight = (uint32_t)record->c,
		.guaranteed = (uint32_t)record->d,
	};

	if (record->kind == SCHED_TRACE_INSTANCE_GONE) {
		if (!found)
			return -EINVAL;
		sched_instance_detach(*found);
		*found = NULL;
		return 0;
	}
	if (found) {
		sched_instance_set(*found, &config);
		return 0;
	}
	return sched_instance_attach(replay->sched, &config,
				     &replay->instances[replay->nr_instances++]);
}

static int attach_event(struct replay *replay, const struct sched_trace_record *record)
{
	struct sched_instance **inst = instance_of(replay, record->instance);

	if (!inst || record->vcpu > replay->max_vcpu || replay->vcpus[record->vcpu] ||
	    record->vcpu != replay->sched->next_vcpu + 1)
		return -EINVAL;
	return sched_vcpu_attach(*inst, replay, (unsigned)record->a, &replay->vcpus[record->vcpu]);
}

static int policy_event(struct replay *replay, const struct sched_trace_record *record)
{
	struct sched_policy *policy = record->instance ? replay->policy : NULL;

	if (record->instance && !policy)
		return -ENOKEY;
	replay->policy = record->instance ? NULL : replay->policy;
	return sched_policy_load(replay->sched, policy, record->time_ns);
}

static int tenant_event(struct replay *replay, const struct sched_trace_record *record)
{
	struct list *pos;
	int r = sched_tenant_set(replay->sched, record->vcpu, (uint32_t)record->a,
				 (uint32_t)record->b);

	list_for_each(pos, &replay->sched->tenants[record->vcpu % SCHED_TENANT_BUCKETS]) {
		struct sched_tenant *tenant = list_entry(pos, struct sched_tenant, node);

		if (tenant->id == record->vcpu)
			tenant->cpu_ns = record->c;
	}
	return r;
}

static int core_event(struct replay *replay, const struct sched_trace_record *record)
{
	struct sched_core *c = &replay->sched->core[record->core];

	if (record->core >= replay->sched->config.nr_cores)
		return -EINVAL;
	if (record->kind == SCHED_TRACE_TICK) {
		atomic_store(&c->total_ns, record->a);
		atomic_store(&c->busy_ns, record->b);
		atomic_store(&c->crowded_ns, record->c);
		atomic_store(&c->overlap_ns, record->d);
		sched_tick(replay->sched, record->core, record->time_ns);
		return 0;
	}
	sched_core_place(replay->sched, record->core, (unsigned)record->a, (unsigned)record->b);
	if (c->gone != (record->c != 0))
		sched_core_use(replay->sched, record->core, record->c == 0, record->time_ns);
	return 0;
}

static int vcpu_event(struct replay *replay, const struct sched_trace_record *record)
{
	struct sched_vcpu *vcpu = vcpu_of(replay, record);

	if (!vcpu)
		return -EINVAL;
	switch (record->kind) {
	case SCHED_TRACE_DETACH:
		replay->vcpus[record->vcpu] = NULL;
		sched_vcpu_detach(vcpu);
		return 0;
	case SCHED_TRACE_WORK:
		sched_work(vcpu, record->core, record->time_ns);
		return 0;
	case SCHED_TRACE_PARKED:
		atomic_store(&vcpu->charge_ns, record->c);
		sched_parked(vcpu, record->a, record->b != 0, record->time_ns);
		return 0;
	default: /* a holder: the tick that follows takes it */
		atomic_store(&vcpu->gave_way_ns, record->a);
		atomic_store(&vcpu->charge_ns, record->b);
		atomic_store(&vcpu->working, record->c != 0);
		return 0;
	}
}

static int event(struct replay *replay, const struct sched_trace_record *record)
{
	switch (record->kind) {
	case SCHED_TRACE_CORE:
	case SCHED_TRACE_TICK:
		return core_event(replay, record);
	case SCHED_TRACE_POLICY:
		return policy_event(replay, record);
	case SCHED_TRACE_TENANT:
		return tenant_event(replay, record);
	case SCHED_TRACE_INSTANCE:
	case SCHED_TRACE_INSTANCE_GONE:
		return instance_event(replay, record);
	case SCHED_TRACE_ATTACH:
		return attach_event(replay, record);
	case SCHED_TRACE_DETACH:
	case SCHED_TRACE_WORK:
	case SCHED_TRACE_PARKED:
	case SCHED_TRACE_HOLDER:
		return vcpu_event(replay, record);
	case SCHED_TRACE_CPU:
		return 0; /* taken when it is asked for */
	default:
		return -EINVAL;
	}
}

/* ---- all of it ---- */

static int replay_prepare(struct replay *replay)
{
	const struct sched_trace_record *first = replay->records;
	struct sched_config config = {
		.host = {on_grant, on_vcpu, NULL, on_vcpu, on_vcpu, on_cpu_ns, on_poke, NULL},
	};
	size_t nr_instances = 0;
	int r;

	config.host.evict = on_grant; /* a number and a time too */
	if (replay->nr == 0 || first->kind != SCHED_TRACE_CONFIG || first->c != 0 ||
	    first->d > SCHED_MAX_VCPUS * 1024ULL)
		return -EINVAL;
	config.nr_cores = first->core;
	config.max_granted = (unsigned)first->a;
	config.quantum_ns = first->b;
	r = sched_create(&config, &replay->sched);
	if (r)
		return r;
	replay->sched->next_vcpu = (uint32_t)first->d;
	replay->max_vcpu = (uint32_t)first->d;
	for (size_t i = 0; i < replay->nr; i++) {
		const struct sched_trace_record *record = &replay->records[i];

		if (record->kind == SCHED_TRACE_ATTACH)
			replay->max_vcpu++;
		nr_instances += record->kind == SCHED_TRACE_INSTANCE;
		replay->result.decisions += record->kind >= SCHED_TRACE_DECISIONS;
	}
	replay->vcpus = calloc(replay->max_vcpu + 1UL, sizeof(struct sched_vcpu *));
	replay->instances = calloc(nr_instances + 1, sizeof(struct sched_instance *));
	return replay->vcpus && replay->instances ? 0 : -ENOMEM;
}

static void replay_finish(struct replay *replay)
{
	for (uint32_t i = 0; replay->vcpus && i <= replay->max_vcpu; i++)
		sched_vcpu_detach(replay->vcpus[i]);
	for (size_t i = 0; replay->instances && i < replay->nr_instances; i++)
		sched_instance_detach(replay->instances[i]);
	sched_destroy(replay->sched);
	sched_policy_destroy(replay->policy);
	free(replay->vcpus);
	free(replay->instances);
}

int sched_replay(const struct sched_trace_record *records, size_t nr, struct sched_policy *policy,
		 struct sched_replay_result *ret_result)
{
	struct replay replay = {.records = records, .nr = nr, .policy = policy};
	int r = replay_prepare(&replay);

	if (!r)
		r = sched_trace_set(replay.sched, on_record, &replay, records[0].time_ns);
	for (replay.at = 1; !r && replay.at < nr; replay.at++) {
		if (records[replay.at].kind >= SCHED_TRACE_DECISIONS)
			continue;
		replay.result.events++;
		r = event(&replay, &records[replay.at]);
	}
	if (!r)
		sched_trace_set(replay.sched, NULL, NULL, 0);
	if (!r && !replay.differs) {
		expected_skip(&replay);
		replay.result.differs_at = replay.expected;
		if (replay.expected < nr) /* it decided less than was recorded */
			replay.result.expected = records[replay.expected];
	}
	replay_finish(&replay);
	if (!r)
		*ret_result = replay.result;
	return r;
}
