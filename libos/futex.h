/*
 * futex.h - what the rest of the libOS needs of futexes.
 */
#pragma once

#include <stdint.h>

struct instance;
struct mm;
struct task;

/* Makes the hash table: once, at the instance's start. 0 or -ENOMEM. */
int futex_init(struct instance *inst);

/* Wakes up to nr waiters on a user word of the current address space. Waiters woken or -EFAULT. */
int futex_wake_addr(uint64_t uaddr, unsigned nr);

/* A task ends: marks the robust mutexes that it holds and wakes their waiters (robust futexes). */
void futex_task_exit(struct task *task);

/* futex_pi.c: the locks that it holds and others wait for go to the first of these. */
void futex_pi_task_exit(struct task *task);
