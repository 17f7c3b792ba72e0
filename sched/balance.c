/*
 * balance.c - how busy a core is, and vcpus that should be on another one.
 *
 * The policy says where the vcpu that came last should be; one vcpu moves at a time, by giving its
 * core back and being granted elsewhere.
 */
#include "sched/private.h"

#include <limits.h>

static void holders_view_locked(const struct sched_core *core, struct leat_sched_core *view)
{
	struct list *pos;

	list_for_each(pos, &core->granted) {
		const struct sched_instance *inst = list_entry(pos, struct sched_vcpu, node)->inst;

		view->tags |= inst->config.tag;
		if (view->tenant == 0)
			view->tenant = inst->config.tenant;
		else if (view->tenant != inst->config.tenant)
			view->tenant = UINT32_MAX;
	}
}

void sched_core_view_locked(const struct sched *sched, unsigned core,
			    struct leat_sched_core *ret_view)
{
	const struct sched_core *c = &sched->core[core];

	*ret_view = (struct leat_sched_core){
		.granted = c->nr_granted,
		.waiting = c->waiting[SCHED_GIVES_WAY].nr,
		.computing = c->nr_computing + c->waiting[SCHED_COMPUTES].nr,
		.flags = (c->spinner ? LEAT_CORE_SPINNER : 0) | (c->gone ? LEAT_CORE_GONE : 0),
		.busy_permille = c->nr_granted ? c->busy_permille : 0,
		.crowded_permille = c->nr_granted > 1 ? c->crowded_permille : 0,
		.overlap_permille = c->overlap_permille,
		.delay_us = (uint32_t)MIN(c->delay_ns / 1000, (uint64_t)UINT32_MAX),
		.sibling = c->sibling,
		.node = c->node,
	};
	holders_view_locked(c, ret_view);
}

static void add(_Atomic(uint64_t) *sum, uint64_t ns)
{
	atomic_fetch_add_explicit(sum, ns, memory_order_relaxed);
}

void sched_core_sample(struct sched *sched, unsigned core, unsigned nr_with_work, uint64_t now_ns)
{
	struct sched_core *c = &sched->core[core];
	uint64_t before = atomic_exchange_explicit(&c->sampled_ns, now_ns, memory_order_relaxed);
	uint64_t dt_ns = now_ns > before ? MIN(now_ns - before, (uint64_t)SCHED_SAMPLE_MAX_NS) : 0;
	unsigned had =
		atomic_exchange_explicit(&c->nr_with_work, nr_with_work, memory_order_relaxed);
	unsigned cores;

	if (!had != !nr_with_work)
		atomic_fetch_add_explicit(&sched->nr_cores_with_work, nr_with_work ? 1U : -1U,
					  memory_order_relaxed);
	add(&c->total_ns, dt_ns);
	if (!nr_with_work)
		return;
	cores = atomic_load_explicit(&sched->nr_cores_with_work, memory_order_relaxed);
	add(&c->busy_ns, dt_ns);
	if (cores > 1)
		add(&c->overlap_ns, dt_ns);
	if (nr_with_work > 1)
		add(&c->crowded_ns, dt_ns);
}

/* The share moves towards what was seen, the more the longer it was seen. */
static unsigned share_fold(unsigned permille, uint64_t part_ns, uint64_t total_ns)
{
	int64_t seen = (int64_t)(MIN(part_ns, total_ns) * 1000 / total_ns);
	int64_t weight_ns = (int64_t)MIN(total_ns, (uint64_t)SCHED_BUSY_WINDOW_NS);

	return (unsigned)(permille +
			  (seen - (int64_t)permille) * weight_ns / (int64_t)SCHED_BUSY_WINDOW_NS);
}

/* Folds what was sampled into the shares, once it is enough to say something. */
static void shares_update_locked(struct sched *sched, unsigned core, uint64_t now_ns)
{
	struct sched_core *c = &sched->core[core];
	uint64_t total_ns = 0, busy_ns = 0, crowded_ns = 0, overlap_ns = 0;

	if (atomic_load_explicit(&c->total_ns, memory_order_relaxed) >= SCHED_FOLD_NS) {
		total_ns = atomic_exchange_explicit(&c->total_ns, 0, memory_order_relaxed);
		busy_ns = atomic_exchange_explicit(&c->busy_ns, 0, memory_order_relaxed);
		crowded_ns = atomic_exchange_explicit(&c->crowded_ns, 0, memory_order_relaxed);
		overlap_ns = atomic_exchange_explicit(&c->overlap_ns, 0, memory_order_relaxed);
	}
	sched_trace(sched, SCHED_TRACE_TICK, NULL, core, now_ns, total_ns, busy_ns, crowded_ns,
		    overlap_ns);
	if (total_ns == 0)
		return;
	c->overlap_permille = share_fold(c->overlap_permille, overlap_ns, total_ns);
	c->busy_permille = share_fold(c->busy_permille, busy_ns, total_ns);
	c->crowded_permille = share_fold(c->crowded_permille, crowded_ns, total_ns);
}

void sched_core_measure_locked(struct sched *sched, unsigned core, uint64_t now_ns)
{
	struct sched_core *c = &sched->core[core];
	bool spinner = false;
	struct list *pos;

	shares_update_locked(sched, core, now_ns);
	list_for_each(pos, &c->granted) {
		const struct sched_vcpu *vcpu = list_entry(pos, struct sched_vcpu, node);

		spinner |= now_ns > vcpu->way_ns && now_ns - vcpu->way_ns > SCHED_SPINNER_NS;
	}
	c->spinner = spinner;
}

void sched_balance_locked(struct sched *sched, unsigned core, uint64_t now_ns)
{
	struct sched_core *c = &sched->core[core];
	struct sched_vcpu *vcpu;
	unsigned to;

	if (sched->config.nr_cores == 1 || c->nr_granted == 0 ||
	    now_ns - sched->balanced_ns < SCHED_BALANCE_NS)
		return;
	vcpu = list_entry(c->granted.prev, struct sched_vcpu, node);
	if (vcpu->asked_ns)
		return;
	to = (unsigned)sched_decide_locked(LEAT_SCHED_BALANCE, vcpu, LEAT_SCHED_NO_CORE, core,
					   now_ns);
	if (to == core)
		return;
	if (c->nr_granted + c->nr_waiting > 1)
		sched->spread_ns = now_ns;
	sched->balanced_ns = now_ns;
	vcpu->move_to = to;
	sched_trace(sched, SCHED_TRACE_MOVE, vcpu, to, now_ns, 0, 0, 0, 0);
	sched_ask_locked(vcpu, now_ns);
}
