/*
 * queue.c - from work to grant: where a vcpu waits, in what order, and who is held back.
 *
 * A core has places for several who give way to each other, and one for somebody who computes; so
 * those who compute take turns by quanta, in the policy's order, and the others need not wait for
 * them. Whoever waits stands in a heap by rank, and in a list by arrival: nobody starves, whatever
 * the ranks.
 */
#include "sched/private.h"

#include <limits.h>

static void grant_locked(struct sched_vcpu *vcpu, uint64_t now_ns)
{
	struct sched *sched = vcpu->sched;
	struct sched_core *c = &sched->core[vcpu->core];
	uint64_t delay_ns = now_ns > vcpu->work_ns ? now_ns - vcpu->work_ns : 0;

	list_add_tail(&c->granted, &vcpu->node);
	c->nr_granted++;
	c->nr_computing += vcpu->computes;
	c->grants[vcpu->computes]++;
	c->delay_ns += ((int64_t)delay_ns - (int64_t)c->delay_ns) / 8;
	bit_set(sched->idle, vcpu->core, false);
	vcpu->inst->nr_granted++;
	vcpu->state = SCHED_GRANTED;
	vcpu->stats.grants++;
	vcpu->stats.moves += vcpu->last_core != UINT_MAX && vcpu->last_core != vcpu->core;
	vcpu->stats.delay_ns_sum += delay_ns;
	vcpu->stats.delay_ns_max = MAX(vcpu->stats.delay_ns_max, delay_ns);
	vcpu->last_core = vcpu->core;
	vcpu->move_to = UINT_MAX;
	vcpu->granted_ns = now_ns;
	vcpu->way_ns = now_ns;
	vcpu->has_work = true;
	vcpu->asked_ns = 0;
	vcpu->extended_ns = 0;
	vcpu->evictions = 0;
	vcpu->suspect_ns = 0;
	vcpu->work_pending = false;
	atomic_store_explicit(&vcpu->gave_way_ns, now_ns, memory_order_relaxed);
	atomic_store_explicit(&vcpu->sampled_ns, now_ns, memory_order_relaxed);
	atomic_store_explicit(&vcpu->sampled_core, vcpu->core, memory_order_relaxed);
	if (vcpu->computes)
		vcpu->granted_cpu_ns = sched_cpu_ns_locked(vcpu, now_ns);
	sched_trace(sched, SCHED_TRACE_GRANT, vcpu, vcpu->core, now_ns, delay_ns, vcpu->rank.key, 0,
		    0);
	sched->config.host.grant(vcpu->arg, vcpu->core, now_ns);
}

void sched_unqueue_locked(struct sched_vcpu *vcpu)
{
	struct sched_core *c = &vcpu->sched->core[vcpu->core];

	list_del(&vcpu->node);
	sched_heap_remove(&c->waiting[vcpu->computes], &vcpu->rank);
	c->nr_waiting--;
}

/* Was it overtaken by some who came later, for so long that it is enough? */
static bool starves(const struct sched_core *c, const struct sched_vcpu *vcpu, uint64_t now_ns)
{
	return now_ns > vcpu->work_ns && now_ns - vcpu->work_ns > SCHED_STARVE_NS &&
	       c->grants[vcpu->computes] - vcpu->arrival > vcpu->ahead;
}

static struct sched_vcpu *first_of(struct sched_heap *heap)
{
	struct sched_heap_node *node = sched_heap_first(heap);

	return node ? container_of(node, struct sched_vcpu, rank) : NULL;
}

/* Who is next on this core, NULL: nobody for whom there is room. */
static struct sched_vcpu *next_locked(struct sched *sched, struct sched_core *c, uint64_t now_ns)
{
	struct sched_vcpu *way = first_of(&c->waiting[SCHED_GIVES_WAY]);
	struct sched_vcpu *computes = first_of(&c->waiting[SCHED_COMPUTES]);
	struct sched_vcpu *oldest = list_entry(c->arrived.next, struct sched_vcpu, node);

	if (c->nr_waiting == 0 || c->nr_granted >= sched->config.max_granted || c->gone)
		return NULL;
	if (c->nr_computing >= SCHED_MAX_COMPUTING)
		computes = NULL;
	if (starves(c, oldest, now_ns) && (!oldest->computes || computes)) {
		oldest->stats.rescues++;
		sched_trace(sched, SCHED_TRACE_RESCUE, oldest, oldest->core, now_ns, 0, 0, 0, 0);
		sched_policy_rescue_locked(sched, now_ns);
		return oldest;
	}
	if (!way || !computes)
		return way ? way : computes;
	return computes->rank.key < way->rank.key ? computes : way;
}

/* Fills the free places of a core from its queue. */
void sched_fill_locked(struct sched *sched, unsigned core, uint64_t now_ns)
{
	struct sched_vcpu *vcpu;

	while ((vcpu = next_locked(sched, &sched->core[core], now_ns))) {
		sched_unqueue_locked(vcpu);
		grant_locked(vcpu, now_ns);
	}
}

/* Someone who computes keeps its place in line when it is found out to do so, or not any more. */
void sched_computes_set_locked(struct sched_vcpu *vcpu, bool computes, uint64_t now_ns)
{
	struct sched_core *c = &vcpu->sched->core[vcpu->core];

	if (vcpu->computes == computes || vcpu->state == SCHED_WAITING)
		return;
	if (vcpu->state == SCHED_GRANTED)
		c->nr_computing += computes ? 1U : -1U;
	vcpu->computes = computes;
	vcpu->computes_since_ns = now_ns;
}

static void queue_locked(struct sched_vcpu *vcpu, unsigned waker, uint64_t now_ns)
{
	struct sched *sched = vcpu->sched;
	struct sched_core *c;
	uint64_t rank;

	if (vcpu->move_to < sched->config.nr_cores && !sched->core[vcpu->move_to].gone)
		vcpu->core = vcpu->move_to;
	else
		vcpu->core = (unsigned)sched_decide_locked(LEAT_SCHED_SELECT_CORE, vcpu, waker,
							   LEAT_SCHED_NO_CORE, now_ns);
	c = &sched->core[vcpu->core];
	rank = sched_decide_locked(LEAT_SCHED_PICK_NEXT, vcpu, waker, vcpu->core, now_ns);
	vcpu->state = SCHED_WAITING;
	vcpu->arrival = c->grants[vcpu->computes];
	vcpu->ahead = c->waiting[vcpu->computes].nr;
	vcpu->inst->nr_active++;
	/* what is guaranteed comes first */
	sched_heap_insert(&c->waiting[vcpu->computes], &vcpu->rank,
			  vcpu->guaranteed ? 0 : MAX(rank, 1ULL));
	list_add_tail(&c->arrived, &vcpu->node);
	c->nr_waiting++;
	sched_fill_locked(sched, vcpu->core, now_ns);
	if (vcpu->core != waker)
		sched->config.host.poke(sched->config.host.ctx, vcpu->core);
}

/* Beyond its guarantee, and with another vcpu at work: may it have a core now? */
static bool may_have_core(struct sched_vcpu *vcpu, unsigned waker, uint64_t now_ns)
{
	if (vcpu->inst->nr_active == 0)
		return true;
	if (now_ns - vcpu->work_ns >= SCHED_HOLD_MAX_NS)
		return true;
	return sched_decide_locked(LEAT_SCHED_CONGESTED, vcpu, waker, vcpu->core, now_ns) != 0;
}

/* A parked vcpu has work now. */
void sched_ready_locked(struct sched_vcpu *vcpu, unsigned waker, uint64_t now_ns)
{
	struct sched *sched = vcpu->sched;
	struct sched_instance *inst = vcpu->inst;
	unsigned near = vcpu->last_core < sched->config.nr_cores ? vcpu->last_core : 0;

	if (vcpu->last_core != UINT_MAX)
		sched_heap_remove(&sched->core[vcpu->last_core].deadlines, &vcpu->deadline);
	vcpu->work_ns = now_ns;
	vcpu->core = near;
	vcpu->guaranteed = inst->nr_guaranteed < inst->config.guaranteed;
	inst->nr_guaranteed += vcpu->guaranteed;
	if (vcpu->guaranteed || may_have_core(vcpu, waker, now_ns)) {
		queue_locked(vcpu, waker, now_ns);
		return;
	}
	sched_trace(sched, SCHED_TRACE_HOLD, vcpu, near, now_ns, 0, 0, 0, 0);
	vcpu->state = SCHED_HELD;
	list_add_tail(&sched->core[near].held, &vcpu->node);
	sched->config.host.poke(sched->config.host.ctx, near);
}

/* Those who were held back: now? */
void sched_held_run_locked(struct sched *sched, unsigned core, uint64_t now_ns)
{
	struct list *held = &sched->core[core].held;

	for (unsigned i = 0; i < SCHED_HOLDS_PER_TICK && !list_empty(held); i++) {
		struct sched_vcpu *vcpu = list_entry(held->next, struct sched_vcpu, node);
		struct sched_instance *inst = vcpu->inst;

		list_del(&vcpu->node);
		vcpu->guaranteed = inst->nr_guaranteed < inst->config.guaranteed;
		inst->nr_guaranteed += vcpu->guaranteed;
		if (vcpu->guaranteed || may_have_core(vcpu, UINT_MAX, now_ns))
			queue_locked(vcpu, UINT_MAX, now_ns);
		else
			list_add_tail(held, &vcpu->node);
	}
}
