/*
 * kthread.h - a kthread of a model instance: one vcpu, as window.h wants it, without a libOS.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "leat/abi/control.h"
#include "leat/abi/window.h"

struct kthread {
	const struct abi_control *control;
	struct abi_vcpu *slot;
	uint32_t grant;
	unsigned core;
	uint64_t parks, yields;
};

uint64_t kthread_now_ns(void);
void kthread_init(struct kthread *kt, const struct abi_control *control, void *window);

/* Waits for the next grant, and goes to its core. */
void kthread_wait_grant(struct kthread *kt);
void kthread_park(struct kthread *kt, uint64_t deadline_ns, bool want);
void kthread_yield(struct kthread *kt);

/* Rings the core's dataplane thread, if it sleeps and nobody polls. */
void kthread_doorbell(const struct kthread *kt);
/* After frames were published: has the dataplane look at them soon. */
void kthread_give_way(struct kthread *kt);

/* Polls, giving way, until something is there or the time for it is over: then parks. */
void kthread_idle(struct kthread *kt, bool (*pending)(void *arg), void *arg, uint64_t deadline_ns);

static inline bool kthread_preempt_asked(const struct kthread *kt)
{
	return __atomic_load_n(&kt->slot->preempt, __ATOMIC_RELAXED) == kt->grant;
}
