/*
 * dataplane_grant.c - the scheduler's decisions into windows, and what windows say back to it.
 *
 * A granted vcpu stands in its core's list of places; nothing else is ever looked at. Wake-ups of
 * kthreads and of other dataplane threads are put off until the scheduler's lock is free.
 */
#include "apps/leatd/dataplane_limit.h"
#include "apps/leatd/dataplane_private.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SCAN_BUDGET 64U /* frames from one queue in one round */
#define DEFERRED_MAX 64U
#define SAMPLE_EVERY_NS 5000U /* what granted vcpus do is sampled so often at least */

struct deferred {
	unsigned nr_wakes;
	uint32_t *wake[DEFERRED_MAX];
	uint64_t pokes; /* bit per core */
};

static _Thread_local struct deferred deferred;
/* The core whose thread we are, so that we do not ring ourselves. */
static _Thread_local unsigned own_core = DP_NO_CORE;

void dp_deferred_flush(void)
{
	uint64_t one = 1;

	for (unsigned i = 0; i < deferred.nr_wakes; i++)
		syscall(SYS_futex, deferred.wake[i], FUTEX_WAKE, 1, NULL, NULL, 0);
	deferred.nr_wakes = 0;
	while (deferred.pokes) {
		unsigned core = (unsigned)__builtin_ctzll(deferred.pokes);

		deferred.pokes &= deferred.pokes - 1;
		if (core != own_core &&
		    __atomic_load_n(&dp.core[core].pub->state, __ATOMIC_ACQUIRE) == ABI_DP_SLEEP &&
		    write(dp.core[core].doorbell_fd, &one, sizeof(one)) < 0)
			dp_log("doorbell of core %u does not ring", core);
	}
}

static void wake_later(uint32_t *word)
{
	if (deferred.nr_wakes == DEFERRED_MAX) {
		/* rare: a batch of grants larger than the list */
		syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
		return;
	}
	deferred.wake[deferred.nr_wakes++] = word;
}

static bool place(struct dp_core *core, struct dp_vcpu *vcpu)
{
	for (unsigned i = 0; i < DP_MAX_GRANTED; i++) {
		struct dp_vcpu *none = NULL;

		/* release: the scanner that sees the vcpu sees its grant */
		if (!atomic_compare_exchange_strong_explicit(&core->granted[i], &none, vcpu,
							     memory_order_acq_rel,
							     memory_order_relaxed))
			continue;
		if (i >= atomic_load_explicit(&core->nr_places, memory_order_relaxed))
			atomic_store_explicit(&core->nr_places, i + 1, memory_order_release);
		atomic_fetch_add_explicit(&core->nr_granted, 1, memory_order_relaxed);
		return true;
	}
	return false;
}

/* Takes the vcpu out of its core's places, if it stands in one. */
void dp_vcpu_unplace(struct dp_vcpu *vcpu)
{
	uint32_t index = atomic_exchange_explicit(&vcpu->core, DP_NO_CORE, memory_order_acq_rel);
	struct dp_core *core;

	if (index == DP_NO_CORE)
		return;
	core = &dp.core[index];
	for (unsigned i = 0; i < DP_MAX_GRANTED; i++) {
		struct dp_vcpu *expected = vcpu;

		if (!atomic_compare_exchange_strong(&core->granted[i], &expected, NULL))
			continue;
		atomic_fetch_sub_explicit(&core->nr_granted, 1, memory_order_relaxed);
		return;
	}
}

static void host_grant(void *arg, unsigned core, uint64_t now_ns)
{
	struct dp_vcpu *vcpu = arg;
	struct abi_vcpu *slot = vcpu->slot;
	uint32_t grant = atomic_load_explicit(&vcpu->grant, memory_order_relaxed) + 1;

	if (atomic_load_explicit(&vcpu->inst->dying, memory_order_acquire))
		return;
	slot->core = dp.core[core].cpu;
	slot->granted_ns = now_ns;
	atomic_store_explicit(&vcpu->grant, grant, memory_order_relaxed);
	atomic_store_explicit(&vcpu->core, core, memory_order_relaxed);
	place(&dp.core[core], vcpu);
	atomic_store_explicit(&dp.core[core].tick_ns, 0, memory_order_relaxed);
	/* release: the kthread that sees the grant sees its core (window.h) */
	__atomic_store_n(&slot->grant, grant, __ATOMIC_RELEASE);
	wake_later(&slot->grant);
}

static void host_preempt(void *arg, uint64_t now_ns)
{
	struct dp_vcpu *vcpu = arg;

	(void)now_ns;
	__atomic_store_n(&vcpu->slot->preempt,
			 atomic_load_explicit(&vcpu->grant, memory_order_relaxed),
			 __ATOMIC_RELEASE);
}

static void host_evict(void *arg, unsigned attempt, uint64_t now_ns)
{
	struct dp_vcpu *vcpu = arg;

	(void)attempt;
	(void)now_ns;
	dp_enforce(vcpu->inst, DP_ENFORCE_SIGNAL);
}

static void host_demote(void *arg, uint64_t now_ns)
{
	struct dp_vcpu *vcpu = arg;

	(void)now_ns;
	dp_enforce(vcpu->inst, DP_ENFORCE_DEMOTE);
}

static void host_restore(void *arg, uint64_t now_ns)
{
	struct dp_vcpu *vcpu = arg;

	(void)now_ns;
	dp_enforce(vcpu->inst, DP_ENFORCE_RESTORE);
}

static uint64_t host_cpu_ns(void *arg)
{
	return dp_instance_cpu_ns(((struct dp_vcpu *)arg)->inst);
}

static void host_poke(void *ctx, unsigned core)
{
	(void)ctx;
	atomic_store_explicit(&dp.core[core].tick_ns, 0, memory_order_relaxed);
	deferred.pokes |= 1ULL << core;
}

void dp_poke(unsigned core)
{
	host_poke(NULL, core);
}

void dp_sched_host_init(struct sched_host *ret_host)
{
	*ret_host = (struct sched_host){
		.grant = host_grant,
		.preempt = host_preempt,
		.evict = host_evict,
		.demote = host_demote,
		.restore = host_restore,
		.cpu_ns = host_cpu_ns,
		.poke = host_poke,
	};
}

/* ---- what windows say ---- */

static bool is_off(const struct dp_vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->slot->state, __ATOMIC_RELAXED) == ABI_VCPU_OFF;
}

static bool has_parked(const struct dp_vcpu *vcpu)
{
	/* acquire: deadline and state were written before (window.h) */
	uint32_t parked = __atomic_load_n(&vcpu->slot->parked_grant, __ATOMIC_ACQUIRE);

	return parked == atomic_load_explicit(&vcpu->grant, memory_order_relaxed) ||
	       (parked != 0 && is_off(vcpu));
}

/* The vcpu was seen parked, and what it sent before was taken. Holds its core's scan lock. */
static void vcpu_parked(struct dp_vcpu *vcpu, uint64_t now_ns)
{
	uint64_t deadline_ns = __atomic_load_n(&vcpu->slot->deadline_ns, __ATOMIC_RELAXED);
	bool want = __atomic_load_n(&vcpu->slot->state, __ATOMIC_RELAXED) == ABI_VCPU_WANT;
	bool unseen = dpu_rxq_unseen(vcpu->inst->port, vcpu->index);
	unsigned core = atomic_load_explicit(&vcpu->core, memory_order_relaxed);
	unsigned awaited = dp_vcpu_awaited(vcpu->inst);

	dp_vcpu_unplace(vcpu);
	if (is_off(vcpu) && awaited != vcpu->index) {
		sched_parked(vcpu->sched, 0, false, now_ns);
		if (unseen)
			sched_work(vcpu->inst->vcpu[awaited].sched, core, now_ns);
		return;
	}
	sched_parked(vcpu->sched, deadline_ns, want || unseen, now_ns);
	if (deadline_ns && core < dp.nr_cores &&
	    deadline_ns < atomic_load_explicit(&dp.core[core].tick_ns, memory_order_relaxed))
		host_poke(NULL, core);
}

/* Parked vcpus that ask for a core: their instance runs, so this costs nothing when idle. */
static void siblings_check(struct dp_instance *inst, unsigned by_core, uint64_t now_ns)
{
	for (unsigned i = 0; i < inst->nr_vcpus; i++) {
		struct dp_vcpu *vcpu = &inst->vcpu[i];

		if (atomic_load_explicit(&vcpu->core, memory_order_relaxed) == DP_NO_CORE &&
		    __atomic_load_n(&vcpu->slot->state, __ATOMIC_RELAXED) == ABI_VCPU_WANT &&
		    has_parked(vcpu))
			sched_work(vcpu->sched, by_core, now_ns);
	}
}

/* Tells the scheduler what a vcpu that holds its core does. Returns whether it has work. */
static bool vcpu_sample(struct dp_vcpu *vcpu, uint64_t now_ns)
{
	const struct abi_vcpu *slot = vcpu->slot;
	uint32_t state = __atomic_load_n(&slot->state, __ATOMIC_RELAXED);
	bool has_work = state == ABI_VCPU_RUNNING ||
			(state == ABI_VCPU_LINGER && dpu_rxq_unseen(vcpu->inst->port, vcpu->index));

	sched_sample(vcpu->sched, has_work,
		     __atomic_load_n(&slot->yields, __ATOMIC_RELAXED) + vcpu->sent, now_ns);
	return has_work;
}

/* Are there frames that a parked vcpu should keep its core for, until they are taken? */
static bool sends_yet(struct dp_vcpu *vcpu, uint64_t now_ns)
{
	struct dpu_port *port = vcpu->inst->port;
	uint64_t ready_ns;

	if (!dpu_txq_pending(port, vcpu->index))
		return false;
	ready_ns = dpu_txq_ready_ns(port, vcpu->index);
	return ready_ns <= now_ns || !dp_limit_add(vcpu, ready_ns);
}

static unsigned vcpu_scan(struct dp_vcpu *vcpu, unsigned by_core, uint64_t now_ns,
			  unsigned *inout_with_work)
{
	struct dp_instance *inst = vcpu->inst;
	/* read before the queue: what was sent before parking is then seen */
	bool parked = has_parked(vcpu);
	unsigned n;

	n = dpu_txq_poll(inst->port, vcpu->index, by_core, SCAN_BUDGET);
	if (parked && !sends_yet(vcpu, now_ns)) {
		vcpu_parked(vcpu, now_ns);
		n++;
	} else {
		vcpu->sent += n;
		*inout_with_work += vcpu_sample(vcpu, now_ns);
	}
	if (inst->nr_vcpus > 1)
		siblings_check(inst, by_core, now_ns);
	return n;
}

static bool sends_now(const struct dp_vcpu *vcpu, uint64_t now_ns)
{
	const struct dpu_port *port = vcpu->inst->port;

	return dpu_txq_pending(port, vcpu->index) && dpu_txq_ready_ns(port, vcpu->index) <= now_ns;
}

/*
 * Is there anything to do for this core? Looked at without its lock: who polls may be taken off its
 * own core at any time, and should hold the lock as seldom as can be when that happens.
 */
static bool scan_due(struct dp_core *core, unsigned places, uint64_t now_ns)
{
	uint64_t scanned_ns = atomic_load_explicit(&core->scanned_ns, memory_order_relaxed);

	if (now_ns > scanned_ns && now_ns - scanned_ns > SAMPLE_EVERY_NS)
		return true;
	for (unsigned i = 0; i < places; i++) {
		struct dp_vcpu *vcpu =
			atomic_load_explicit(&core->granted[i], memory_order_acquire);

		if (vcpu && (has_parked(vcpu) || sends_now(vcpu, now_ns)))
			return true;
	}
	return false;
}

/* Serves the rings of all who hold the core. Returns how much there was to do. */
unsigned dp_core_scan(struct dp_core *core, unsigned by_core, uint64_t now_ns)
{
	unsigned places = atomic_load_explicit(&core->nr_places, memory_order_acquire);
	unsigned with_work = 0, n = 0;

	own_core = by_core;
	if (atomic_load_explicit(&core->nr_granted, memory_order_relaxed) == 0 ||
	    !scan_due(core, places, now_ns) ||
	    atomic_exchange_explicit(&core->scan_lock, 1, memory_order_acquire))
		return 0;
	atomic_store_explicit(&core->scanned_ns, now_ns, memory_order_relaxed);
	/* by turns, so that nobody is always the first to find a receiver's buffers */
	for (unsigned i = 0; i < places; i++) {
		unsigned at = (core->scan_first + i) % places;
		struct dp_vcpu *vcpu =
			atomic_load_explicit(&core->granted[at], memory_order_acquire);

		if (vcpu)
			n += vcpu_scan(vcpu, by_core, now_ns, &with_work);
	}
	core->scan_first++;
	sched_core_sample(dp.sched, core->index, with_work, now_ns);
	atomic_store_explicit(&core->scan_lock, 0, memory_order_release);
	return n;
}

/* dpu_ops.work: frames lie in a receive queue. */
void dp_work(void *owner, unsigned queue, unsigned core, uint64_t now_ns)
{
	struct dp_instance *inst = owner;
	struct dp_vcpu *vcpu = &inst->vcpu[queue];

	if (is_off(vcpu))
		vcpu = &inst->vcpu[dp_vcpu_awaited(inst)];
	uint32_t on = atomic_load_explicit(&vcpu->core, memory_order_acquire);

	if (atomic_load_explicit(&inst->dying, memory_order_acquire))
		return;
	if (on != DP_NO_CORE && !has_parked(vcpu))
		return; /* it runs, and will look; or used_event will tell when it parks */
	sched_work(vcpu->sched, core, now_ns);
	if (on != DP_NO_CORE && on != core)
		host_poke(NULL, on);
}

/* A vcpu for which a kthread waits, or 0: at the start none has said so yet. */
unsigned dp_vcpu_awaited(const struct dp_instance *inst)
{
	for (unsigned i = 0; i < inst->nr_vcpus; i++)
		if (__atomic_load_n(&inst->vcpu[i].slot->state, __ATOMIC_RELAXED) != ABI_VCPU_OFF)
			return i;
	return 0;
}

/* dpu_ops.steer: the queue of a vcpu that runs, the same one as long as it does. */
unsigned dp_steer(void *owner, uint32_t flow_hash)
{
	struct dp_instance *inst = owner;
	uint32_t now = atomic_load_explicit(&inst->rx_vcpu, memory_order_relaxed);

	(void)flow_hash; /* all vcpus of an instance share one lock as yet: one queue at a time is
			    best */
	if (atomic_load_explicit(&inst->vcpu[now].core, memory_order_relaxed) != DP_NO_CORE)
		return now;
	for (unsigned i = 0; i < inst->nr_vcpus; i++) {
		if (atomic_load_explicit(&inst->vcpu[i].core, memory_order_relaxed) == DP_NO_CORE)
			continue;
		atomic_store_explicit(&inst->rx_vcpu, i, memory_order_relaxed);
		return i;
	}
	if (__atomic_load_n(&inst->vcpu[now].slot->state, __ATOMIC_RELAXED) == ABI_VCPU_OFF) {
		now = dp_vcpu_awaited(inst);
		atomic_store_explicit(&inst->rx_vcpu, now, memory_order_relaxed);
	}
	return now;
}
