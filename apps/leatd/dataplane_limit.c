/*
 * dataplane_limit.c - see dataplane_limit.h.
 */
#include "apps/leatd/dataplane_limit.h"

#include "apps/leatd/dataplane_private.h"

#define LIMIT_WAITING_MAX 1024U
#define LIMIT_BUDGET 64U

/* A place is filled in rounds, and emptied in dp_limit_scan or by a control thread. */
static _Atomic(struct dp_vcpu *) waiting[LIMIT_WAITING_MAX];
static atomic_uint nr_places; /* one past the highest place ever used */
static atomic_uint scan_lock; /* tried only */
static _Atomic(uint64_t) due_ns = UINT64_MAX;

static void due_at(uint64_t ns)
{
	uint64_t due = atomic_load_explicit(&due_ns, memory_order_relaxed);

	/* ends: whoever makes it fail has made it earlier, or looks at all */
	while (ns < due &&
	       !atomic_compare_exchange_weak_explicit(&due_ns, &due, ns, memory_order_relaxed,
						      memory_order_relaxed))
		;
}

bool dp_limit_add(struct dp_vcpu *vcpu, uint64_t ready_ns)
{
	if (atomic_exchange_explicit(&vcpu->limit_waits, true, memory_order_acq_rel)) {
		due_at(ready_ns);
		return true;
	}
	for (unsigned i = 0; i < LIMIT_WAITING_MAX; i++) {
		struct dp_vcpu *none = NULL;

		/* release: pairs with the acquire in dp_limit_scan */
		if (!atomic_compare_exchange_strong_explicit(&waiting[i], &none, vcpu,
							     memory_order_release,
							     memory_order_relaxed))
			continue;
		if (i >= atomic_load_explicit(&nr_places, memory_order_relaxed))
			atomic_store_explicit(&nr_places, i + 1, memory_order_release);
		due_at(ready_ns);
		return true;
	}
	atomic_store_explicit(&vcpu->limit_waits, false, memory_order_relaxed);
	return false;
}

void dp_limit_remove(struct dp_instance *inst)
{
	for (unsigned i = 0; i < LIMIT_WAITING_MAX; i++) {
		struct dp_vcpu *vcpu = atomic_load_explicit(&waiting[i], memory_order_relaxed);

		if (vcpu >= inst->vcpu && vcpu < inst->vcpu + inst->nr_vcpus)
			atomic_store_explicit(&waiting[i], NULL, memory_order_relaxed);
	}
}

uint64_t dp_limit_due_ns(void)
{
	return atomic_load_explicit(&due_ns, memory_order_relaxed);
}

void dp_limit_changed(void)
{
	atomic_store_explicit(&due_ns, 0, memory_order_relaxed);
}

/* Takes what may pass; leaves the list when nothing has to wait. */
static unsigned vcpu_look(struct dp_vcpu *vcpu, unsigned place, unsigned by_core, uint64_t now_ns)
{
	struct dpu_port *port = vcpu->inst->port;
	unsigned n = dpu_txq_poll(port, vcpu->index, by_core, LIMIT_BUDGET);

	if (dpu_txq_pending(port, vcpu->index)) {
		due_at(MAX(dpu_txq_ready_ns(port, vcpu->index), now_ns + 1));
		return n;
	}
	atomic_store_explicit(&waiting[place], NULL, memory_order_relaxed);
	/* acq_rel: either dp_limit_add sees this and takes a place, or we see its frames */
	atomic_exchange_explicit(&vcpu->limit_waits, false, memory_order_acq_rel);
	if (dpu_txq_pending(port, vcpu->index))
		dp_limit_add(vcpu, dpu_txq_ready_ns(port, vcpu->index));
	return n;
}

unsigned dp_limit_scan(struct dp_core *core, uint64_t now_ns)
{
	unsigned places, n = 0;

	if (likely(now_ns < dp_limit_due_ns()) ||
	    atomic_exchange_explicit(&scan_lock, 1, memory_order_acquire))
		return 0;
	atomic_store_explicit(&due_ns, UINT64_MAX, memory_order_relaxed);
	places = atomic_load_explicit(&nr_places, memory_order_acquire);
	for (unsigned i = 0; i < places; i++) {
		struct dp_vcpu *vcpu = atomic_load_explicit(&waiting[i], memory_order_acquire);

		if (vcpu && !atomic_load_explicit(&vcpu->inst->dying, memory_order_acquire))
			n += vcpu_look(vcpu, i, core->index, now_ns);
	}
	atomic_store_explicit(&scan_lock, 0, memory_order_release);
	return n;
}
