/*
 * dataplane_wish.c - see dataplane_wish.h.
 */
#include "apps/leatd/dataplane_wish.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "apps/leatd/dataplane_private.h"
#include "leat/abi/control.h"

#define WISH_INSTANCES_MAX 20000U /* LAUNCHER_INSTANCES_MAX */
#define WISH_LOOK_NS 50000U       /* a thread that does not sleep reads its doorbell so often */

/* Written under dp.control, read in rounds. */
static _Atomic(struct dp_instance *) instances[WISH_INSTANCES_MAX];
static atomic_uint nr_instances; /* one past the highest place ever used */

static _Thread_local bool wished;
static _Thread_local uint64_t looked_ns;

int dp_wish_add(struct dp_instance *inst)
{
	for (unsigned i = 0; i < WISH_INSTANCES_MAX; i++) {
		if (atomic_load_explicit(&instances[i], memory_order_relaxed))
			continue;
		/* release: pairs with the acquire in dp_wish_scan */
		atomic_store_explicit(&instances[i], inst, memory_order_release);
		if (i >= atomic_load_explicit(&nr_instances, memory_order_relaxed))
			atomic_store_explicit(&nr_instances, i + 1, memory_order_release);
		return 0;
	}
	return -ENOSPC;
}

void dp_wish_remove(struct dp_instance *inst)
{
	for (unsigned i = 0; i < WISH_INSTANCES_MAX; i++)
		if (atomic_load_explicit(&instances[i], memory_order_relaxed) == inst)
			atomic_store_explicit(&instances[i], NULL, memory_order_release);
}

void dp_wish_heard(uint64_t count)
{
	wished |= count >= ABI_BELL_WISH;
}

static unsigned instance_look(struct dp_instance *inst, unsigned by_core, uint64_t now_ns)
{
	unsigned n = 0;

	for (unsigned i = 0; i < inst->nr_vcpus; i++) {
		struct dp_vcpu *vcpu = &inst->vcpu[i];
		const struct abi_vcpu *slot = vcpu->slot;

		if (atomic_load_explicit(&vcpu->core, memory_order_relaxed) != DP_NO_CORE ||
		    __atomic_load_n(&slot->state, __ATOMIC_RELAXED) != ABI_VCPU_WANT)
			continue;
		sched_work(vcpu->sched, by_core, now_ns);
		n++;
	}
	return n;
}

unsigned dp_wish_scan(struct dp_core *core, uint64_t now_ns)
{
	unsigned nr = atomic_load_explicit(&nr_instances, memory_order_acquire);
	unsigned n = 0;
	uint64_t count;

	if (!wished && now_ns - looked_ns >= WISH_LOOK_NS) {
		looked_ns = now_ns;
		if (read(core->doorbell_fd, &count, sizeof(count)) == sizeof(count))
			dp_wish_heard(count);
	}
	if (!wished)
		return 0;
	wished = false;
	for (unsigned i = 0; i < nr; i++) {
		struct dp_instance *inst =
			atomic_load_explicit(&instances[i], memory_order_acquire);

		if (inst && !atomic_load_explicit(&inst->dying, memory_order_acquire))
			n += instance_look(inst, core->index, now_ns);
	}
	return n;
}
