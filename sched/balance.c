/*
 * balance.c - how busy a core is, and vcpus that should be on another one.
 *
 * Instances that talk to each other are left together while their core keeps up, spread when it
 * does not, and brought together again when the cores are mostly waiting. One vcpu moves at a time;
 * it moves by giving its core back and being granted elsewhere.
 */
#include "sched/private.h"

#include <limits.h>

void sched_core_view_locked(const struct sched_core *core, struct sched_core_view *ret_view)
{
	ret_view->granted = core->nr_granted;
	ret_view->waiting = core->nr_waiting;
	ret_view->busy_permille = core->nr_granted ? core->busy_permille : 0;
	ret_view->crowded_permille = core->nr_granted > 1 ? core->crowded_permille : 0;
	ret_view->spinner = core->spinner;
}

static void add(_Atomic(uint64_t) *sum, uint64_t ns)
{
	atomic_fetch_add_explicit(sum, ns, memory_order_relaxed);
}

void sched_core_sample(struct sched *sched, unsigned core, unsigned nr_with_work, uint64_t now_ns)
{
	struct sched_core *c = &sched->core[core];
	uint64_t before = atomic_exchange_explicit(&c->sampled_ns, now_ns, memory_order_relaxed);
	bool elsewhere = false;
	uint64_t dt_ns = now_ns > before ? MIN(now_ns - before, (uint64_t)SCHED_SAMPLE_MAX_NS) : 0;

	for (unsigned i = 0; i < sched->config.nr_cores; i++)
		elsewhere |= i != core &&
			     atomic_load_explicit(&sched->core[i].has_work, memory_order_relaxed);
	atomic_store_explicit(&c->has_work, nr_with_work > 0, memory_order_relaxed);
	add(&c->total_ns, dt_ns);
	if (nr_with_work > 0 && elsewhere)
		add(&c->overlap_ns, dt_ns);
	if (nr_with_work > 0)
		add(&c->busy_ns, dt_ns);
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
static void shares_update_locked(struct sched_core *c)
{
	uint64_t total_ns, busy_ns, crowded_ns, overlap_ns;

	if (atomic_load_explicit(&c->total_ns, memory_order_relaxed) < SCHED_FOLD_NS)
		return;
	total_ns = atomic_exchange_explicit(&c->total_ns, 0, memory_order_relaxed);
	busy_ns = atomic_exchange_explicit(&c->busy_ns, 0, memory_order_relaxed);
	crowded_ns = atomic_exchange_explicit(&c->crowded_ns, 0, memory_order_relaxed);
	overlap_ns = atomic_exchange_explicit(&c->overlap_ns, 0, memory_order_relaxed);
	c->overlap_permille = share_fold(c->overlap_permille, overlap_ns, total_ns);
	c->busy_permille = share_fold(c->busy_permille, busy_ns, total_ns);
	c->crowded_permille = share_fold(c->crowded_permille, crowded_ns, total_ns);
}

void sched_core_measure_locked(struct sched *sched, unsigned core, uint64_t now_ns)
{
	struct sched_core *c = &sched->core[core];
	bool spinner = false;
	struct list *pos;

	shares_update_locked(c);
	list_for_each(pos, &c->granted) {
		struct sched_vcpu *vcpu = list_entry(pos, struct sched_vcpu, node);
		uint64_t way_ns = atomic_load_explicit(&vcpu->gave_way_ns, memory_order_relaxed);

		spinner |= now_ns > way_ns && now_ns - way_ns > SCHED_SPINNER_NS;
	}
	c->spinner = spinner;
}

static unsigned other_core(const struct sched *sched, unsigned core, bool want_quiet)
{
	unsigned best = UINT_MAX, best_load = 0;

	for (unsigned i = 0; i < sched->config.nr_cores; i++) {
		const struct sched_core *c = &sched->core[i];
		unsigned load = c->nr_granted ? c->busy_permille : 0;

		if (i == core || c->nr_waiting || (!want_quiet && !c->nr_granted))
			continue;
		if (best == UINT_MAX || (want_quiet ? load < best_load : load > best_load)) {
			best = i;
			best_load = load;
		}
	}
	return best;
}

/* Sends the vcpu that came last to another core. */
static void move_locked(struct sched *sched, unsigned from, unsigned to, uint64_t now_ns)
{
	struct sched_core *c = &sched->core[from];
	struct sched_vcpu *vcpu = list_entry(c->granted.prev, struct sched_vcpu, node);

	if (vcpu->asked_ns)
		return;
	vcpu->move_to = to;
	vcpu->asked_ns = now_ns;
	vcpu->stats.preempts++;
	sched->balanced_ns = now_ns;
	sched->config.host.preempt(vcpu->arg, now_ns);
}

void sched_balance_locked(struct sched *sched, unsigned core, uint64_t now_ns)
{
	struct sched_core *c = &sched->core[core];
	struct sched_core *o;
	unsigned other;

	if (sched->config.nr_cores == 1 || c->nr_granted == 0 ||
	    now_ns - sched->balanced_ns < SCHED_BALANCE_NS)
		return;
	if (c->nr_granted + c->nr_waiting > 1 &&
	    (c->nr_waiting || c->crowded_permille > SCHED_SPREAD_PERMILLE)) {
		other = other_core(sched, core, true);
		if (other == UINT_MAX)
			return;
		if (sched->core[other].nr_granted + 1 >= c->nr_granted + c->nr_waiting)
			return; /* no better there */
		sched->spread_ns = now_ns;
		move_locked(sched, core, other, now_ns);
		return;
	}
	if (c->nr_granted == 1 && !c->spinner && now_ns - sched->spread_ns > SCHED_SETTLE_NS) {
		other = other_core(sched, core, false);
		if (other == UINT_MAX)
			return;
		o = &sched->core[other];
		if (!o->spinner && o->nr_granted < sched->config.max_granted &&
		    (other < core || o->nr_granted > 1) &&
		    c->busy_permille + o->busy_permille < SCHED_JOIN_PERMILLE &&
		    c->overlap_permille < SCHED_OVERLAP_PERMILLE)
			move_locked(sched, core, other, now_ns);
	}
}
