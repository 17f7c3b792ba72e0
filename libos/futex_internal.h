/*
 * futex_internal.h - what futex.c and futex_pi.c share: waiters and their hash table.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "leat/base/list.h"
#include "libos/mm.h"

struct futex_pi;
struct task;

struct futex_waiter {
	struct list node; /* its bucket */
	struct mem_key key;
	uint32_t bitset;
	bool woken;
	struct task *task;
	bool requeue_pi;       /* waits for FUTEX_CMP_REQUEUE_PI: no other call wakes it */
	struct mem_key pi_key; /* requeue_pi: of the lock that it was promised */
	struct futex_pi *pi;   /* the lock that it waits for; NULL: none */
};

struct list *futex_bucket(const struct mem_key *key);
bool futex_key_equal(const struct mem_key *a, const struct mem_key *b);
int futex_key(uint64_t uaddr, bool is_private, struct mem_key *ret_key);
void futex_waiter_wake(struct futex_waiter *waiter);

/* Does this waiter have to do with a lock that hands itself over? Plain calls may not touch it. */
static inline bool futex_is_pi(const struct futex_waiter *waiter)
{
	return waiter->pi != NULL || waiter->requeue_pi;
}

/* ---- futex_pi.c: the operations, with deadline_ns as CLOCK_MONOTONIC has it ---- */

long futex_lock_pi(uint64_t uaddr, bool is_private, uint64_t deadline_ns, bool try_only);
long futex_unlock_pi(uint64_t uaddr, bool is_private);

struct futex_requeue_pi_args {
	uint64_t uaddr, uaddr2;
	bool is_private;
	uint32_t nr_wake, nr_requeue; /* of CMP_REQUEUE_PI */
	uint32_t expected;
	uint32_t bitset;      /* of WAIT_REQUEUE_PI */
	uint64_t deadline_ns; /* of WAIT_REQUEUE_PI */
};

long futex_wait_requeue_pi(const struct futex_requeue_pi_args *args);
long futex_cmp_requeue_pi(const struct futex_requeue_pi_args *args);
