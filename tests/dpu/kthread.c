/*
 * kthread.c - a model instance's kthread (kthread.h).
 */
#include "tests/dpu/kthread.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "apps/leatd/dataplane.h"

#define ROUND_OLD_NS 20000U /* give way to the dataplane when its last round is so old */

uint64_t kthread_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

void kthread_init(struct kthread *kt, const struct abi_control *control, void *window)
{
	*kt = (struct kthread){
		.control = control,
		.slot = abi_vcpu_of(window, 0),
		.core = UINT32_MAX,
	};
}

void kthread_doorbell(const struct kthread *kt)
{
	const struct abi_core *core = &kt->control->core[kt->core];
	uint64_t one = 1;

	atomic_thread_fence(memory_order_seq_cst);
	if (__atomic_load_n(&core->state, __ATOMIC_ACQUIRE) != ABI_DP_SLEEP)
		return;
	if (write(dataplane_doorbell_fd(kt->core), &one, sizeof(one)) < 0)
		perror("doorbell");
}

void kthread_wait_grant(struct kthread *kt)
{
	cpu_set_t set;

	while (__atomic_load_n(&kt->slot->grant, __ATOMIC_ACQUIRE) == kt->grant)
		syscall(SYS_futex, &kt->slot->grant, FUTEX_WAIT, kt->grant, NULL, NULL, 0);
	kt->grant = __atomic_load_n(&kt->slot->grant, __ATOMIC_ACQUIRE);
	kt->slot->state = ABI_VCPU_RUNNING;
	if (kt->core != kt->slot->core) {
		kt->core = kt->slot->core;
		CPU_ZERO(&set);
		CPU_SET(kt->core, &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
}

void kthread_park(struct kthread *kt, uint64_t deadline_ns, bool want)
{
	kt->slot->deadline_ns = deadline_ns;
	kt->slot->state = want ? ABI_VCPU_WANT : ABI_VCPU_PARKED;
	kt->slot->yields++;
	kt->parks++;
	__atomic_store_n(&kt->slot->parked_grant, kt->grant, __ATOMIC_RELEASE);
	if (want)
		kthread_doorbell(kt);
	kthread_wait_grant(kt);
}

void kthread_yield(struct kthread *kt)
{
	kt->slot->yields++;
	kt->yields++;
	sched_yield();
}

void kthread_give_way(struct kthread *kt)
{
	const struct abi_core *core = &kt->control->core[kt->core];

	if (__atomic_load_n(&core->state, __ATOMIC_RELAXED) != ABI_DP_YIELD)
		kthread_doorbell(kt);
	else if (kthread_now_ns() - __atomic_load_n(&core->round_ns, __ATOMIC_RELAXED) >
		 ROUND_OLD_NS)
		kthread_yield(kt);
}

void kthread_idle(struct kthread *kt, bool (*pending)(void *arg), void *arg, uint64_t deadline_ns)
{
	uint64_t until_ns = kthread_now_ns() + kt->control->linger_ns;

	if (deadline_ns && deadline_ns < until_ns)
		until_ns = deadline_ns;
	kt->slot->state = ABI_VCPU_LINGER;
	kthread_doorbell(kt);
	while (!pending(arg)) {
		if (kthread_now_ns() >= until_ns) {
			kthread_park(kt, deadline_ns, false);
			return;
		}
		kthread_yield(kt);
	}
	kt->slot->state = ABI_VCPU_RUNNING;
}
