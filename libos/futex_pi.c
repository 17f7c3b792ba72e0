/*
 * futex_pi.c - futexes that hand themselves over: the priority-inheriting operations of futex(2).
 *
 * The program's word holds the owner's tid, FUTEX_WAITERS and FUTEX_OWNER_DIED.  Who waits hangs in
 * the table of futex.c with a struct futex_pi, one for each lock that somebody waits for; it names
 * the owner, also where the word cannot be written at once (it lies in another process's memory
 * when an owner dies: then the new owner writes it).  Priorities are not lent: no task has one that
 * the core scheduler knows (sys/sched.c); waiters get the lock in the order in which they came.
 */
#include <errno.h>
#include <linux/futex.h>
#include <string.h>

#include "libos/arena.h"
#include "libos/futex.h"
#include "libos/futex_internal.h"
#include "libos/instance.h"
#include "libos/task.h"
#include "libos/uaccess.h"
#include "libos/wait.h"

#define CHAIN_MAX 1024 /* owners that wait for owners: as the kernel's limit */

struct futex_pi {
	struct list all_node; /* instance()->futex_pis */
	struct mem_key key;
	struct task *owner; /* NULL only while it is being made */
	bool owner_died;    /* the last one: the new owner's word says so */
	unsigned nr_waiters;
};

/* The lock that the task waits for, or NULL. */
static struct futex_pi *task_waits_for(const struct task *task)
{
	const struct futex_waiter *waiter = task->futex_waiter;

	return waiter != NULL && !waiter->woken ? waiter->pi : NULL;
}

static struct futex_pi *pi_find(const struct mem_key *key)
{
	struct list *pos;

	list_for_each(pos, &instance()->futex_pis) {
		struct futex_pi *pi = list_entry(pos, struct futex_pi, all_node);

		if (futex_key_equal(&pi->key, key))
			return pi;
	}
	return NULL;
}

static struct futex_pi *pi_get(const struct mem_key *key, struct task *owner)
{
	struct futex_pi *pi = pi_find(key);

	if (pi != NULL)
		return pi;
	pi = arena_zalloc(sizeof(*pi));
	if (pi == NULL)
		return NULL;
	pi->key = *key;
	pi->owner = owner;
	list_add_tail(&instance()->futex_pis, &pi->all_node);
	return pi;
}

static void pi_put_if_unused(struct futex_pi *pi)
{
	if (pi->nr_waiters > 0)
		return;
	list_del(&pi->all_node);
	arena_free(pi);
}

/* Would waiting for that owner close a circle? */
static bool pi_deadlock(const struct task *owner)
{
	const struct futex_pi *pi;

	for (unsigned i = 0; i < CHAIN_MAX; i++) {
		if (owner == current())
			return true;
		pi = task_waits_for(owner);
		if (pi == NULL)
			return false;
		owner = pi->owner;
	}
	return true;
}

/* The first waiter of a lock, or NULL. */
static struct futex_waiter *pi_first(const struct futex_pi *pi)
{
	struct list *pos;

	list_for_each(pos, futex_bucket(&pi->key)) {
		struct futex_waiter *waiter = list_entry(pos, struct futex_waiter, node);

		if (waiter->pi == pi)
			return waiter;
	}
	return NULL;
}

/* The word keeps the bits of `keep` and gets those of `set`, atomically: 0 or -EFAULT. */
static int word_replace(uint64_t uaddr, uint32_t keep, uint32_t set)
{
	uint32_t value, found;

	do {
		if (get_user_u32(&value, (const uint32_t *)uaddr) != 0 ||
		    cmpxchg_user_u32((uint32_t *)uaddr, value, (value & keep) | set, &found) != 0)
			return -EFAULT;
	} while (found != value);
	return 0;
}

/*
 * Takes the lock for `task` if it is free. 1: taken; 0: held by *ret_owner, the word says that
 * somebody waits (unless try_only); negative: -EDEADLK, -ESRCH, -EFAULT.
 */
static int pi_take(uint64_t uaddr, const struct mem_key *key, struct task *task, bool try_only,
		   struct task **ret_owner)
{
	const struct futex_pi *pi = pi_find(key);
	uint32_t value, found, want;
	struct task *owner;

	do {
		if (get_user_u32(&value, (const uint32_t *)uaddr) != 0)
			return -EFAULT;
		owner = pi != NULL ? pi->owner : task_find((int)(value & FUTEX_TID_MASK));
		if (owner == task || (value & FUTEX_TID_MASK) == (uint32_t)task->tid)
			return -EDEADLK;
		if (pi == NULL && (value & FUTEX_TID_MASK) == 0)
			want = (value & FUTEX_OWNER_DIED) | (uint32_t)task->tid;
		else if (owner == NULL || owner->state == TASK_DEAD)
			want = value; /* it may just have let go: looks twice */
		else if (try_only)
			return 0;
		else
			want = value | FUTEX_WAITERS;
		if (cmpxchg_user_u32((uint32_t *)uaddr, value, want, &found) != 0)
			return -EFAULT;
	} while (found != value);
	if (want == value && (owner == NULL || owner->state == TASK_DEAD))
		return -ESRCH;
	*ret_owner = owner;
	return (want & FUTEX_TID_MASK) == (uint32_t)task->tid;
}

/* Hangs the waiter up at the lock. */
static int pi_enqueue(struct futex_waiter *waiter, const struct mem_key *key, struct task *owner)
{
	struct futex_pi *pi = pi_get(key, owner);

	if (pi == NULL)
		return -ENOMEM;
	pi->nr_waiters++;
	waiter->pi = pi;
	waiter->key = *key;
	list_add_tail(futex_bucket(key), &waiter->node);
	return 0;
}

static void pi_leave(struct futex_waiter *waiter)
{
	struct futex_pi *pi = waiter->pi;

	list_del(&waiter->node);
	waiter->pi = NULL;
	pi->nr_waiters--;
	pi_put_if_unused(pi);
}

/* The first waiter owns the lock now; it leaves the list when it runs (pi_got). */
static void pi_hand_over(struct futex_pi *pi, bool died)
{
	struct futex_waiter *first = pi_first(pi);

	pi->owner = first->task;
	pi->owner_died = died;
	first->woken = true;
	task_wake(first->task);
}

/* In the new owner: its word, and off the list. */
static long pi_got(struct futex_waiter *waiter, uint64_t uaddr)
{
	struct futex_pi *pi = waiter->pi;
	/* FUTEX_WAITERS stays, as on Linux: the owner has to ask before it lets go. */
	uint32_t set = (uint32_t)waiter->task->tid | FUTEX_WAITERS |
		       (pi->owner_died ? FUTEX_OWNER_DIED : 0);

	pi_leave(waiter);
	return word_replace(uaddr, FUTEX_OWNER_DIED, set);
}

/* Sleeps until the lock is ours: 0, -ETIMEDOUT, -EINTR, -EFAULT. */
static long pi_sleep(struct futex_waiter *waiter, uint64_t uaddr, uint64_t deadline_ns)
{
	int err = 0;

	while (!waiter->woken && err == 0)
		err = task_sleep(deadline_ns);
	if (waiter->woken)
		return pi_got(waiter, uaddr);
	pi_leave(waiter);
	return err;
}

long futex_lock_pi(uint64_t uaddr, bool is_private, uint64_t deadline_ns, bool try_only)
{
	struct task *task = current(), *owner = NULL;
	struct futex_waiter waiter = {.task = task};
	struct mem_key key;
	long err = futex_key(uaddr, is_private, &key);

	if (err != 0)
		return err;
	err = pi_take(uaddr, &key, task, try_only, &owner);
	if (err != 0)
		return err > 0 ? 0 : err;
	if (try_only)
		return -EAGAIN;
	if (pi_deadlock(owner))
		return -EDEADLK;
	err = pi_enqueue(&waiter, &key, owner);
	if (err != 0)
		return err;
	task->futex_waiter = &waiter;
	err = pi_sleep(&waiter, uaddr, deadline_ns);
	task->futex_waiter = NULL;
	return err == -EINTR ? -ERESTARTNOINTR : err;
}

long futex_unlock_pi(uint64_t uaddr, bool is_private)
{
	struct task *task = current();
	struct futex_pi *pi;
	struct mem_key key;
	uint32_t value;
	long err = get_user_u32(&value, (const uint32_t *)uaddr);

	if (err != 0)
		return err;
	if ((value & FUTEX_TID_MASK) != (uint32_t)task->tid)
		return -EPERM;
	err = futex_key(uaddr, is_private, &key);
	if (err != 0)
		return err;
	pi = pi_find(&key);
	if (pi == NULL)
		return word_replace(uaddr, 0, 0);
	err = word_replace(uaddr, 0, FUTEX_WAITERS | (uint32_t)pi_first(pi)->task->tid);
	if (err == 0)
		pi_hand_over(pi, false);
	return err;
}

/* ---- condition variables ---- */

long futex_wait_requeue_pi(const struct futex_requeue_pi_args *args)
{
	struct task *task = current();
	struct futex_waiter waiter = {.task = task, .bitset = args->bitset, .requeue_pi = true};
	uint32_t value;
	long err;

	if (args->uaddr == args->uaddr2 || args->bitset == 0)
		return -EINVAL;
	err = futex_key(args->uaddr, args->is_private, &waiter.key);
	if (err == 0)
		err = futex_key(args->uaddr2, args->is_private, &waiter.pi_key);
	if (err == 0)
		err = get_user_u32(&value, (const uint32_t *)args->uaddr);
	if (err != 0)
		return err;
	if (value != args->expected)
		return -EAGAIN;
	list_add_tail(futex_bucket(&waiter.key), &waiter.node);
	task->futex_waiter = &waiter;
	while (!waiter.woken && err == 0)
		err = task_sleep(args->deadline_ns);
	if (waiter.woken)
		err = waiter.pi != NULL ? pi_got(&waiter, args->uaddr2) : 0;
	else if (waiter.pi != NULL)
		pi_leave(&waiter);
	else
		list_del(&waiter.node);
	task->futex_waiter = NULL;
	return err == -EINTR ? -EAGAIN : err;
}

/* Gives the lock to the waiter or hangs it up there: 1, or why not. */
static int requeue_pi_one(struct futex_waiter *waiter, const struct mem_key *to, uint64_t uaddr2)
{
	struct task *owner = NULL;
	int got;

	if (!waiter->requeue_pi || !futex_key_equal(&waiter->pi_key, to))
		return -EINVAL;
	got = pi_take(uaddr2, to, waiter->task, false, &owner);
	if (got < 0)
		return got;
	list_del(&waiter->node);
	waiter->requeue_pi = false;
	if (got > 0) {
		waiter->woken = true;
		task_wake(waiter->task);
		return 1;
	}
	got = pi_enqueue(waiter, to, owner);
	return got != 0 ? got : 1;
}

long futex_cmp_requeue_pi(const struct futex_requeue_pi_args *args)
{
	struct mem_key from, to;
	struct list *pos, *tmp;
	uint32_t value, moved = 0;
	long err;

	if (args->nr_wake != 1 || args->uaddr == args->uaddr2)
		return -EINVAL;
	err = futex_key(args->uaddr, args->is_private, &from);
	if (err == 0)
		err = futex_key(args->uaddr2, args->is_private, &to);
	if (err == 0)
		err = get_user_u32(&value, (const uint32_t *)args->uaddr);
	if (err != 0)
		return err;
	if (value != args->expected)
		return -EAGAIN;
	list_for_each_safe(pos, tmp, futex_bucket(&from)) {
		struct futex_waiter *waiter = list_entry(pos, struct futex_waiter, node);

		if (!futex_key_equal(&waiter->key, &from))
			continue;
		if (moved >= args->nr_wake + args->nr_requeue)
			break;
		err = requeue_pi_one(waiter, &to, args->uaddr2);
		if (err < 0)
			return moved > 0 ? (long)moved : err;
		moved++;
	}
	return (long)moved;
}

void futex_pi_task_exit(struct task *task)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &instance()->futex_pis) {
		struct futex_pi *pi = list_entry(pos, struct futex_pi, all_node);

		if (pi->owner == task)
			pi_hand_over(pi, true);
	}
}
