/*
 * sim.c - the scheduler in virtual time: instances that answer requests, and some that compute
 * without end, on cores whose host gives everybody who has work a slice in turn.
 *
 * Everything follows from the seed: a run can be repeated to the last decision.
 */
#include "sched/private.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define SIM_SLICE_NS 100000U
#define SIM_HEAR_NS 5000U   /* from a grant, a poke or a request to give way to what follows */
#define SIM_QUEUE 64U       /* requests that an instance keeps */
#define SIM_SUB_BUCKETS 64U /* of each power of two: latencies are known to a 64th */
#define SIM_PLACES 64U
#define SIM_SEED_STEP 0x9e3779b97f4a7c15ULL

struct sim_event {
	struct sched_heap_node node;
	enum { EVENT_ARRIVAL, EVENT_CORE, EVENT_TICK } kind;
	unsigned index;
};

struct sim_vcpu {
	struct sim *sim;
	struct sched_instance *inst;
	struct sched_vcpu *vcpu;
	struct sim_event arrival;
	bool hog, deaf;
	bool asked, demoted;
	unsigned tenant;
	unsigned core; /* UINT_MAX: parked */
	uint32_t turns;
	uint64_t queue[SIM_QUEUE]; /* arrival times */
	unsigned head, nr;
	uint64_t left_ns; /* of the first request */
	uint64_t cpu_ns;
	uint64_t parked_ns; /* since when it has no core */
};

struct sim_core {
	struct sim_event event, tick;
	struct sim_vcpu *place[SIM_PLACES];
	unsigned nr;
	unsigned turn;
	struct sim_vcpu *running;
	uint64_t since_ns;
	uint64_t busy_ns, hog_ns;
};

struct sim {
	const struct sched_sim_config *config;
	struct sched *sched;
	struct sched_heap events;
	struct sim_core *core;
	struct sim_vcpu *vcpu;
	uint64_t now_ns;
	uint64_t random;
	uint64_t mean_gap_ns; /* between requests to an instance */
	uint64_t *histogram;
	uint64_t hog_ns[SCHED_SIM_TENANTS];
	struct sched_sim_result result;
};

static uint64_t random_next(struct sim *sim)
{
	/* splitmix64, by Steele, Lea and Flood */
	uint64_t z = sim->random += SIM_SEED_STEP;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/* Exponential, to some percent: -log2 of 32 random bits, its fraction by a straight line. */
static uint64_t random_gap(struct sim *sim, uint64_t mean_ns)
{
	uint64_t u = (random_next(sim) >> 32) + 1, log2_16;
	unsigned top = 63U - (unsigned)__builtin_clzll(u);
	uint64_t fraction = ((u << 16) >> top) - (1U << 16);

	log2_16 = (32ULL << 16) - ((uint64_t)top << 16) - fraction; /* in 1/65536 */
	return 1 + (((mean_ns * log2_16) >> 16) * 45426 >> 16);     /* times ln 2 */
}

static unsigned bucket_of(uint64_t ns)
{
	unsigned top = ns < SIM_SUB_BUCKETS ? 6 : 63U - (unsigned)__builtin_clzll(ns);

	return (top - 6) * SIM_SUB_BUCKETS + (unsigned)(ns >> (top - 6));
}

static uint64_t bucket_ns(unsigned bucket)
{
	unsigned shift = bucket < 2 * SIM_SUB_BUCKETS ? 0 : bucket / SIM_SUB_BUCKETS - 1;

	return (uint64_t)(bucket - shift * SIM_SUB_BUCKETS) << shift;
}

static void event_at(struct sim *sim, struct sim_event *event, uint64_t at_ns)
{
	sched_heap_remove(&sim->events, &event->node);
	if (at_ns != SCHED_NEVER)
		sched_heap_insert(&sim->events, &event->node, at_ns);
}

/* Something changed on the core: it thinks again, soon. */
static void kick(struct sim *sim, unsigned core)
{
	struct sim_core *c = &sim->core[core];
	uint64_t at_ns = sim->now_ns + SIM_HEAR_NS;

	if (c->tick.node.place == SCHED_HEAP_NONE || c->tick.node.key > at_ns)
		event_at(sim, &c->tick, at_ns);
	if (c->event.node.place == SCHED_HEAP_NONE || c->event.node.key > at_ns)
		event_at(sim, &c->event, at_ns);
}

/* ---- the scheduler's host ---- */

static void on_grant(void *arg, unsigned core, uint64_t now_ns)
{
	struct sim_vcpu *v = arg;
	struct sim_core *c = &v->sim->core[core];

	v->core = core;
	v->asked = false;
	if (v->hog && now_ns - v->parked_ns > v->sim->result.hog_wait_ns_max)
		v->sim->result.hog_wait_ns_max = now_ns - v->parked_ns;
	c->place[c->nr++] = v;
	kick(v->sim, core);
}

static void on_preempt(void *arg, uint64_t now_ns)
{
	struct sim_vcpu *v = arg;

	(void)now_ns;
	v->asked = !v->deaf;
	if (v->asked)
		kick(v->sim, v->core);
}

static void on_evict(void *arg, unsigned attempt, uint64_t now_ns)
{
	(void)arg;
	(void)attempt;
	(void)now_ns;
}

static void on_demote(void *arg, uint64_t now_ns)
{
	struct sim_vcpu *v = arg;

	(void)now_ns;
	v->demoted = true;
	if (v->core != UINT_MAX)
		kick(v->sim, v->core);
}

static void on_restore(void *arg, uint64_t now_ns)
{
	(void)now_ns;
	((struct sim_vcpu *)arg)->demoted = false;
}

static uint64_t on_cpu_ns(void *arg)
{
	return 1 + ((struct sim_vcpu *)arg)->cpu_ns;
}

static void on_poke(void *ctx, unsigned core)
{
	kick(ctx, core);
}

static void on_record(void *ctx, const struct sched_trace_record *record)
{
	struct sim *sim = ctx;
	const uint64_t words[] = {record->time_ns, record->kind, record->core, record->vcpu};

	if (sim->config->record)
		sim->config->record(sim->config->record_ctx, record);
	if (record->kind < SCHED_TRACE_DECISIONS)
		return;
	sim->result.decisions++;
	for (unsigned i = 0; i < 4; i++) /* FNV-1a, by words */
		sim->result.digest = (sim->result.digest ^ words[i]) * 0x100000001b3ULL;
}

/* ---- cores ---- */

static bool has_work(const struct sim_vcpu *v)
{
	return v->hog || v->nr > 0;
}

/* The one that ran, up to now. */
static void run_account(struct sim *sim, struct sim_core *c)
{
	struct sim_vcpu *v = c->running;
	uint64_t ran_ns = sim->now_ns - c->since_ns;

	c->since_ns = sim->now_ns;
	if (!v)
		return;
	v->cpu_ns += ran_ns;
	c->busy_ns += ran_ns;
	if (v->hog) {
		c->hog_ns += ran_ns;
		sim->hog_ns[v->tenant - 1] += ran_ns;
		return;
	}
	v->left_ns -= MIN(ran_ns, v->left_ns);
}

static void request_done(struct sim *sim, struct sim_vcpu *v)
{
	uint64_t latency_ns = sim->now_ns - v->queue[v->head];

	sim->histogram[bucket_of(latency_ns)]++;
	sim->result.requests++;
	sim->result.latency_ns_max = MAX(sim->result.latency_ns_max, latency_ns);
	v->head = (v->head + 1) % SIM_QUEUE;
	v->nr--;
	v->turns++;
	v->left_ns = random_gap(sim, sim->config->service_ns);
}

static void sample(struct sim *sim, unsigned core)
{
	struct sim_core *c = &sim->core[core];
	unsigned with_work = 0;

	for (unsigned i = 0; i < c->nr; i++) {
		struct sim_vcpu *v = c->place[i];

		with_work += has_work(v);
		sched_sample(v->vcpu, has_work(v), v->turns, sim->now_ns);
	}
	if (c->nr)
		sched_core_sample(sim->sched, core, with_work, sim->now_ns);
}

static void park(struct sim *sim, struct sim_core *c, unsigned place)
{
	struct sim_vcpu *v = c->place[place];

	c->place[place] = c->place[--c->nr];
	if (c->running == v)
		c->running = NULL;
	v->core = UINT_MAX;
	v->parked_ns = sim->now_ns;
	v->turns++;
	sched_parked(v->vcpu, 0, has_work(v), sim->now_ns);
}

/* Those who have nothing to do, or are asked to, give the core back. */
static void places_clear(struct sim *sim, struct sim_core *c)
{
	for (unsigned i = 0; i < c->nr;) {
		if (c->place[i]->asked || !has_work(c->place[i]))
			park(sim, c, i);
		else
			i++;
	}
}

/* By turns; those who are demoted only when nobody else has work. */
static struct sim_vcpu *next_of(struct sim_core *c)
{
	for (unsigned demoted = 0; demoted < 2; demoted++)
		for (unsigned i = 0; i < c->nr; i++) {
			struct sim_vcpu *v = c->place[(c->turn + i) % c->nr];

			if (v->demoted != (demoted == 1))
				continue;
			c->turn = (c->turn + i + 1) % c->nr;
			return v;
		}
	return NULL;
}

static void core_run(struct sim *sim, unsigned core)
{
	struct sim_core *c = &sim->core[core];

	run_account(sim, c);
	if (c->running && !c->running->hog && c->running->left_ns == 0)
		request_done(sim, c->running);
	sample(sim, core);
	places_clear(sim, c);
	c->running = next_of(c);
	c->since_ns = sim->now_ns;
	if (!c->running)
		event_at(sim, &c->event, SCHED_NEVER);
	else
		event_at(sim, &c->event,
			 sim->now_ns + (c->running->hog ?
						SIM_SLICE_NS :
						MIN(c->running->left_ns, (uint64_t)SIM_SLICE_NS)));
}

static void core_tick(struct sim *sim, unsigned core)
{
	struct sim_core *c = &sim->core[core];
	uint64_t next_ns;

	event_at(sim, &c->tick, SCHED_NEVER);
	sample(sim, core);
	next_ns = sched_tick(sim->sched, core, sim->now_ns);
	if (next_ns != SCHED_NEVER &&
	    (c->tick.node.place == SCHED_HEAP_NONE || c->tick.node.key > next_ns))
		event_at(sim, &c->tick, MAX(next_ns, sim->now_ns + 1));
}

static void arrive(struct sim *sim, struct sim_vcpu *v)
{
	if (v->nr < SIM_QUEUE)
		v->queue[(v->head + v->nr++) % SIM_QUEUE] = sim->now_ns;
	event_at(sim, &v->arrival, sim->now_ns + random_gap(sim, sim->mean_gap_ns));
	sched_work(v->vcpu, UINT_MAX, sim->now_ns);
	if (v->core != UINT_MAX)
		kick(sim, v->core);
}

/* ---- all of it ---- */

static int vcpus_make(struct sim *sim)
{
	const struct sched_sim_config *config = sim->config;
	int r = 0;

	for (unsigned t = 1; !r && t <= config->nr_tenants; t++)
		r = sched_tenant_set(sim->sched, t, 0, t * SCHED_WEIGHT);
	for (unsigned i = 0; !r && i < config->nr_instances; i++) {
		struct sim_vcpu *v = &sim->vcpu[i];
		struct sched_instance_config inst = {.id = i + 1};

		v->sim = sim;
		v->core = UINT_MAX;
		v->hog = i < config->nr_hogs;
		v->deaf = i < config->nr_deaf;
		v->tenant = i % config->nr_tenants + 1;
		v->left_ns = random_gap(sim, config->service_ns);
		v->arrival = (struct sim_event){{0, 0, SCHED_HEAP_NONE}, EVENT_ARRIVAL, i};
		inst.tenant = v->tenant;
		inst.tag = v->hog;
		r = sched_instance_attach(sim->sched, &inst, &v->inst);
		if (!r)
			r = sched_vcpu_attach(v->inst, v, 0, &v->vcpu);
		if (!v->hog)
			event_at(sim, &v->arrival, random_gap(sim, sim->mean_gap_ns));
	}
	return r;
}

static int sim_prepare(struct sim *sim)
{
	const struct sched_sim_config *config = sim->config;
	struct sched_config sched = {
		.nr_cores = config->nr_cores,
		.host = {on_grant, on_preempt, on_evict, on_demote, on_restore, on_cpu_ns, on_poke,
			 sim},
	};
	unsigned services = config->nr_instances - config->nr_hogs;
	int r = sched_create(&sched, &sim->sched);

	if (!r)
		r = sched_heap_reserve(&sim->events, config->nr_instances + 2 * config->nr_cores);
	sim->core = calloc(config->nr_cores, sizeof(*sim->core));
	sim->vcpu = calloc(config->nr_instances, sizeof(*sim->vcpu));
	sim->histogram = calloc(64UL * SIM_SUB_BUCKETS, sizeof(*sim->histogram));
	if (!r && (!sim->core || !sim->vcpu || !sim->histogram))
		r = -ENOMEM;
	for (unsigned i = 0; !r && i < config->nr_cores; i++) {
		sim->core[i].event = (struct sim_event){{0, 0, SCHED_HEAP_NONE}, EVENT_CORE, i};
		sim->core[i].tick = (struct sim_event){{0, 0, SCHED_HEAP_NONE}, EVENT_TICK, i};
	}
	sim->random = config->seed;
	sim->result.digest = 0xcbf29ce484222325ULL;
	if (services && config->load_permille)
		sim->mean_gap_ns = config->service_ns * 1000 / config->load_permille * services /
				   config->nr_cores;
	return r;
}

static uint64_t quantile(const struct sim *sim, unsigned permille)
{
	uint64_t before = 0, rank = sim->result.requests * permille / 1000;

	for (unsigned i = 0; i < 64 * SIM_SUB_BUCKETS; i++) {
		before += sim->histogram[i];
		if (before > rank)
			return bucket_ns(i);
	}
	return 0;
}

static void result_fill(struct sim *sim)
{
	struct sched_policy_info infos[SCHED_MAX_POLICIES + 1];
	struct sched_sim_result *result = &sim->result;
	uint64_t busy_ns = 0, hog_ns = 0, all_ns = sim->config->duration_ns * sim->config->nr_cores;
	unsigned nr = sched_policy_list(sim->sched, infos);

	for (unsigned i = 0; i < sim->config->nr_cores; i++) {
		busy_ns += sim->core[i].busy_ns;
		hog_ns += sim->core[i].hog_ns;
	}
	result->busy_permille = busy_ns * 1000 / all_ns;
	result->hog_permille = hog_ns * 1000 / all_ns;
	for (unsigned i = 0; i < SCHED_SIM_TENANTS && hog_ns; i++)
		result->tenant_hog_permille[i] = sim->hog_ns[i] * 1000 / hog_ns;
	for (unsigned i = 0; i < sim->config->nr_instances; i++) {
		const struct sim_vcpu *v = &sim->vcpu[i];
		struct sched_vcpu_stats stats;

		sched_vcpu_stats_get(v->vcpu, &stats);
		result->grants += stats.grants;
		result->preempts += stats.preempts;
		result->evictions += stats.evictions;
		result->demotions += stats.demotions;
		result->moves += stats.moves;
		if (v->hog && v->core == UINT_MAX)
			result->hog_wait_ns_max =
				MAX(result->hog_wait_ns_max, sim->now_ns - v->parked_ns);
	}
	result->latency_ns_p50 = quantile(sim, 500);
	result->latency_ns_p99 = quantile(sim, 990);
	result->policy = infos[nr - 1];
}

static void run(struct sim *sim)
{
	struct sched_heap_node *first;

	for (unsigned i = 0; i < sim->config->nr_hogs; i++)
		sched_work(sim->vcpu[i].vcpu, UINT_MAX, 0);
	while ((first = sched_heap_first(&sim->events)) && first->key < sim->config->duration_ns) {
		struct sim_event *event = container_of(first, struct sim_event, node);

		sim->now_ns = MAX(sim->now_ns, first->key);
		if (event->kind == EVENT_ARRIVAL)
			arrive(sim, &sim->vcpu[event->index]);
		else if (event->kind == EVENT_CORE)
			core_run(sim, event->index);
		else
			core_tick(sim, event->index);
	}
	sim->now_ns = sim->config->duration_ns;
	for (unsigned i = 0; i < sim->config->nr_cores; i++)
		run_account(sim, &sim->core[i]);
}

static void sim_finish(struct sim *sim)
{
	for (unsigned i = 0; sim->vcpu && i < sim->config->nr_instances; i++) {
		sched_vcpu_detach(sim->vcpu[i].vcpu);
		sched_instance_detach(sim->vcpu[i].inst);
	}
	sched_destroy(sim->sched);
	sched_heap_finish(&sim->events);
	free(sim->core);
	free(sim->vcpu);
	free(sim->histogram);
}

int sched_simulate(const struct sched_sim_config *config, struct sched_sim_result *ret_result)
{
	struct sim sim = {.config = config};
	struct sched_policy *policy = config->policy;
	int r = -EINVAL;

	if (config->nr_instances && config->nr_hogs <= config->nr_instances &&
	    config->nr_deaf <= config->nr_hogs && config->nr_tenants &&
	    config->nr_tenants <= SCHED_SIM_TENANTS && config->service_ns && config->duration_ns &&
	    config->load_permille)
		r = sim_prepare(&sim);
	if (!r)
		r = sched_trace_set(sim.sched, on_record, &sim, 0);
	if (!r && policy) {
		r = sched_policy_load(sim.sched, policy, 0);
		policy = NULL;
	}
	if (!r)
		r = vcpus_make(&sim);
	if (!r) {
		run(&sim);
		result_fill(&sim);
		*ret_result = sim.result;
	}
	sched_policy_destroy(policy);
	sim_finish(&sim);
	return r;
}
