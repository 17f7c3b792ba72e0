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

static unsigned share_fold(unsigned permille, bool now, int64_t dt_ns)
{
	int64_t share = permille;

	return (unsigned)(share + ((now ? 1000 : 0) - share) * dt_ns / SCHED_BUSY_WINDOW_NS);
}

/* Folds what the samples say now into the busy share, weighted by the time since the last look. */
void sched_core_measure_locked(struct sched *sched, unsigned core, uint64_t now_ns)
{
	struct sched_core *c = &sched->core[core];
	int64_t dt = (int64_t)MIN(now_ns - c->sampled_ns, (uint64_t)SCHED_BUSY_WINDOW_NS);
	unsigned busy = 0;
	bool spinner = false;
	struct list *pos;

	list_for_each(pos, &c->granted) {
		struct sched_vcpu *vcpu = list_entry(pos, struct sched_vcpu, node);
		uint64_t way_ns = atomic_load_explicit(&vcpu->gave_way_ns, memory_order_relaxed);

		busy += atomic_load_explicit(&vcpu->has_work, memory_order_relaxed);
		spinner |= now_ns > way_ns && now_ns - way_ns > SCHED_SPINNER_NS;
	}
	c->busy_permille = share_fold(c->busy_permille, busy > 0, dt);
	c->crowded_permille = share_fold(c->crowded_permille, busy > 1, dt);
	c->spinner = spinner;
	c->sampled_ns = now_ns;
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
		    c->busy_permille + o->busy_permille < SCHED_JOIN_PERMILLE)
			move_locked(sched, core, other, now_ns);
	}
}
