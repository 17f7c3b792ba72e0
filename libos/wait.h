/*
 * wait.h - wait queues: everything that can wait waits here.
 *
 * One mechanism behind blocking calls, poll, select, epoll and futex.  An object that becomes ready
 * calls wait_queue_wake(); each entry's function decides what that means (wake a task, queue an
 * epoll item).  Guard: the instance lock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "leat/base/list.h"

struct task;
struct wait_entry;

/* Returns true if the entry consumed an exclusive wake-up. */
typedef bool (*wait_func)(struct wait_entry *entry, uint32_t events);

struct wait_queue {
	struct list entries;
};

struct wait_entry {
	struct list node;
	wait_func func;
	struct task *task;
	uint32_t events; /* POLL* bits of interest; 0: all */
	bool exclusive;
	bool fired;
	void *data;
};

void wait_queue_init(struct wait_queue *wq);
void wait_queue_add(struct wait_queue *wq, struct wait_entry *entry);
void wait_queue_add_exclusive(struct wait_queue *wq, struct wait_entry *entry); /* at the tail */
void wait_queue_remove(struct wait_entry *entry);                               /* harmless twice */

/* Wakes every non-exclusive entry whose events match, and exclusive ones until one consumed it. */
void wait_queue_wake(struct wait_queue *wq, uint32_t events);
void wait_queue_wake_n(struct wait_queue *wq, uint32_t events, unsigned nr_exclusive);

/* An entry that wakes `task` (func = wait_wake_task, sets fired). */
void wait_entry_init(struct wait_entry *entry, struct task *task, uint32_t events);
bool wait_wake_task(struct wait_entry *entry, uint32_t events);

#define WAIT_FOREVER UINT64_MAX

/*
 * Parks the current task until woken, until deadline_ns (CLOCK_MONOTONIC; WAIT_FOREVER: none), or
 * until a signal is deliverable.  The instance lock is released while parked.  Returns 0 when woken
 * (the caller checks its condition again), -ETIMEDOUT, or -EINTR with the task woken by a signal:
 * the caller returns -ERESTARTSYS, -ERESTARTNOHAND or -EINTR as signal(7) says for its call.
 */
int task_sleep(uint64_t deadline_ns);
int task_sleep_uninterruptible(uint64_t deadline_ns);

/* Waits on one queue: add, sleep, remove.  Returns as task_sleep. */
int wait_on(struct wait_queue *wq, uint32_t events, uint64_t deadline_ns);

/* Kernel-internal results, seen by the program only as EINTR or a restart (signal.c). */
#define ERESTARTSYS 512           /* restart if SA_RESTART or no handler */
#define ERESTARTNOINTR 513        /* restart always */
#define ERESTARTNOHAND 514        /* restart only if no handler ran */
#define ERESTART_RESTARTBLOCK 516 /* restart through restart_syscall with task->restart */
