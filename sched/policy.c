/*
 * policy.c - the built-in policy: where it was while that core keeps up, else where it is quiet.
 *
 * Two instances that talk to each other have the shortest round trip on one core, and the highest
 * throughput on two (design.md, section 11). A core does not keep up when often more than one of
 * those who hold it have work at the same time.
 */
#include <limits.h>

#include "sched/sched.h"

#define CROWDED_PERMILLE 200U
#define BUSY_PERMILLE 850U

static bool keeps_up(const struct sched_core_view *core)
{
	return !core->spinner && core->waiting == 0 && core->crowded_permille < CROWDED_PERMILLE &&
	       (core->granted == 0 || core->busy_permille < BUSY_PERMILLE);
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
	if (vcpu->last_core < nr_cores && keeps_up(&cores[vcpu->last_core]))
		return vcpu->last_core;
	if (waker < nr_cores && cores[waker].granted > 0 && keeps_up(&cores[waker]))
		return waker;
	return quietest(cores, nr_cores);
}

const struct sched_ops sched_policy_default = {
	.name = "default",
	.select_core = select_core,
};
