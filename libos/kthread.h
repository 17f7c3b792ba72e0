/*
 * kthread.h - host threads: making them, giving them vcpus, and what they do without work.
 *
 * Guard: the instance lock, which every function here expects to be held.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "libos/task.h"

#define KTHREAD_STACK_ORDER 2
#define KTHREAD_SIGSTACK_ORDER 3 /* 32 KiB: the largest frame (AVX-512, AMX) is some 12 KiB */
#define KTHREAD_NO_CORE (~0U)

/* A host process's description; its kthreads and processes are added by others. NULL: no memory. */
struct hostproc *hostproc_create(void);

/* A kthread's memory, parked, in host's list. NULL: no memory, or ABI_MAX_KTHREADS. */
struct kthread *kthread_create(struct hostproc *host);
void kthread_destroy(struct kthread *kt); /* one that never ran */

/* In a clone: the host threads of before are not there. Tasks are to be made nobody's first. */
void kthread_forget_all(struct hostproc *host);

/* The kthread's own loop: where a new host thread or process begins. */
void kthread_main(void *arg);

/* Makes the calling host thread run as kt from now on: registers %gs and the signal stack. */
void kthread_adopt(struct kthread *kt);

/*
 * A host thread for Leat's own purposes, which waits on host descriptors or timers and then wakes
 * tasks.  It runs fn(arg) without the lock and without a vcpu; fn must not return.  It may take the
 * lock and call task_wake and the like, but not sleep as a task does.  0 or negative errno.
 */
int kthread_spawn_helper(void (*fn)(void *), void *arg, struct kthread **ret_kt);

/* Sleeps on the helper's own word until kthread_helper_wake or for timeout_ns. Without the lock. */
void kthread_helper_wait(struct kthread *kt, uint64_t timeout_ns);
void kthread_helper_wake(struct kthread *kt);

/*
 * The caller's end if its host process ends: never returns then.  For wherever a host thread waits
 * without the lock, the wait for the lock included.
 */
void kthread_leave_if_dead(void);

/*
 * Makes the other kthreads of kt's host process leave, and waits until they have.  The lock is held
 * throughout, so that none can have it, nor owe somebody a wake-up, when the host kills what is
 * left.
 */
void kthread_end_others(struct kthread *kt);

/* Makes it enter the libOS soon, if it runs the program's code. */
void kthread_kick(struct kthread *kt);

/*
 * Hands its vcpu to a kthread that is parked.  That is woken by kthread_wait or
 * kthread_wake_handed, when the lock is free: it would run at once, on this core, and wait for the
 * lock.
 */
void kthread_hand_over(struct kthread *kt, struct kthread *to);

void kthread_wake_handed(struct kthread *kt); /* without the lock */

/* Gives its vcpu back to leatd: want: it is needed again as soon as may be. */
void kthread_give_back(struct kthread *kt, bool want);

/* The way for the vcpu that kt holds or waits for when kt is about to vanish. */
void kthread_pass_on(struct kthread *kt);

/* Statistics for leatd: those of the instance, and what the kthread has counted since the last
 * time. */
void kthread_publish(struct kthread *kt);

/* The instance's first kthread waits for vcpu 0, and wants it. */
void kthread_standby_first(struct kthread *kt);

/* Waits, without the lock meanwhile, until it holds a vcpu. */
void kthread_wait(struct kthread *kt);

/* Has leatd asked for the vcpu back? */
bool kthread_preempt_asked(const struct kthread *kt);

/* A kthread of that host process which waits to be handed a vcpu; NULL if none. */
struct kthread *hostproc_parked_kthread(struct hostproc *host);

/* Sees to it that one more vcpu will be granted, for the host process's runnable tasks. */
void vcpu_want(struct hostproc *host);

/*
 * A new host process: a copy of the current one's memory, with a kthread of its own, parked.
 * 0 or negative errno.
 */
int hostproc_fork(struct hostproc **ret_host);

/* exit.c: the last process of this host process has ended. On kt's own stack, never returns. */
_Noreturn void hostproc_end(struct kthread *kt);

/* ---- sched.c ---- */

_Noreturn void sched_loop(struct kthread *kt);
void sched_enqueue(struct task *task); /* becomes runnable; nobody is told */
/* A real-time priority (0: none), and the place in the queue that goes with it. */
void sched_set_priority(struct task *task, int priority);
void sched_preempt_lower(const struct task *task); /* one that was made runnable */
void sched_vectors_save(struct kthread *kt);       /* to their owner's memory */
void sched_poll(struct kthread *kt);               /* network, timers, signals from outside */

/*
 * Asks for vcpus for host processes whose runnable tasks have waited for min_ticks, but for one
 * that has got one just now.
 */
void sched_want_for_waiting(const struct hostproc *served, uint64_t min_ticks);

/* Switches away from the current task, whose state says why; returns when it runs again. */
void sched_switch_out(struct task *task);

/* At the end of a system call: gives way if the time slice is over or leatd asked. */
void sched_safe_point(struct kthread *kt);

/* ---- ticker.c ---- */

/* Sees to it that the ticker runs if runnable tasks wait or timers are pending. */
void ticker_cover(void);
/* Makes the tick for which the ticker found the lock held. */
void ticker_catch_up(void);
void kthread_timer_armed(uint64_t deadline_ns); /* timer.c: a new earliest timer */

/* ---- segbase.c: the bases of %fs and %gs ---- */

uint64_t fs_base_read(void);          /* the current task's */
void fs_base_write(uint64_t base);    /* of the calling kthread, from now on */
void gs_base_set(struct kthread *kt); /* %gs leads to kt in the calling host thread */
