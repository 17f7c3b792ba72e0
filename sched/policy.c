/*
 * policy.c - the built-in policy: near the waker while that core keeps up, else where it is quiet.
 *
 * Two instances that talk to each other have the shortest round trip on one core, and the highest
 * throughput on two (design.md, section 11). What "keeps up" means is a share of busy samples.
 */
#include <limits.h>

#include "sched/sched.h"

#define CROWDED_PERMILLE 700U

static bool keeps_up(const struct sched_core_view *core)
{
	return !core->spinner && core->waiting == 0 &&
	       (core->granted == 0 || core->busy_permille < CROWDED_PERMILLE);
}

static unsigned quietest(const struct sched_core_view *cores, unsigned nr_cores)
{
	unsigned best = 0;

	for (unsigned i = 1; i < nr_cores; i++) {
		const struct sched_core_view *a = &cores[i], *b = &cores[best];
		unsigned load_a = a->granted + a->waiting + a->spinner;
		unsigned load_b = b->granted + b->waiting + b->spinner;

		if (load_a < load_b || (load_a == load_b && a->busy_permille < b->busy_permille))
			best = i;
	}
	return best;
}

static unsigned select_core(const struct sched_core_view *cores, unsigned nr_cores,
			    const struct sched_vcpu_view *vcpu, unsigned waker)
{
	if (waker < nr_cores && cores[waker].granted > 0 && keeps_up(&cores[waker]))
		return waker;
	if (vcpu->last_core < nr_cores && cores[vcpu->last_core].granted == 0 &&
	    keeps_up(&cores[vcpu->last_core]))
		return vcpu->last_core;
	return quietest(cores, nr_cores);
}

const struct sched_ops sched_policy_default = {
	.name = "default",
	.select_core = select_core,
};
