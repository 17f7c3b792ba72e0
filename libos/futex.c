/*
 * futex.c - futexes: tasks that sleep on a word of the program's memory.
 *
 * Waiters hang in a hash table in the arena, keyed by the memory's identity (mm_key), so that words
 * in memory shared between processes of the instance work too.  No host futex is involved: a waiter
 * is a parked task.  See futex(2); the operations on locks that are handed over are in futex_pi.c.
 */
#include "libos/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/clock.h"
#include "libos/futex_internal.h"
#include "libos/instance.h"
#include "libos/mm.h"
#include "libos/syscall.h"
#include "libos/task.h"
#include "libos/timespec.h"
#include "libos/uaccess.h"
#include "libos/wait.h"

#define FUTEX_BUCKETS 256
#define ROBUST_LIST_LIMIT 2048 /* as the kernel: a cycle ends there */

struct futex_table {
	struct list bucket[FUTEX_BUCKETS];
};

int futex_init(struct instance *inst)
{
	struct futex_table *table = arena_alloc(sizeof(*table));

	if (table == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < FUTEX_BUCKETS; i++)
		list_init(&table->bucket[i]);
	inst->futexes = table;
	list_init(&inst->futex_pis);
	return 0;
}

struct list *futex_bucket(const struct mem_key *key)
{
	struct futex_table *table = instance()->futexes;
	uint64_t hash = ((uint64_t)(uintptr_t)key->object >> 4) + (key->offset >> 2);

	hash *= 0x9e3779b97f4a7c15UL;
	return &table->bucket[hash >> 56];
}

bool futex_key_equal(const struct mem_key *a, const struct mem_key *b)
{
	return a->object == b->object && a->offset == b->offset;
}

/* Private futexes need no look-up of the mapping: the address is the identity. */
int futex_key(uint64_t uaddr, bool is_private, struct mem_key *ret_key)
{
	struct mm *mm = current()->process->mm;

	if (uaddr % sizeof(uint32_t) != 0)
		return -EINVAL;
	if (!user_range_ok((void *)uaddr, sizeof(uint32_t)))
		return -EFAULT;
	if (!is_private)
		return mm_key(mm, uaddr, ret_key);
	ret_key->object = mm;
	ret_key->offset = uaddr;
	return 0;
}

void futex_waiter_wake(struct futex_waiter *waiter)
{
	list_del(&waiter->node);
	waiter->woken = true;
	task_wake(waiter->task);
}

/* How many were woken; -EINVAL: who waits there takes part in handing over a lock. */
static long futex_wake_key(const struct mem_key *key, unsigned nr, uint32_t bitset)
{
	struct list *bucket = futex_bucket(key);
	struct list *pos, *tmp;
	unsigned woken = 0;

	list_for_each_safe(pos, tmp, bucket) {
		struct futex_waiter *waiter = list_entry(pos, struct futex_waiter, node);

		if (woken >= nr)
			break;
		if (!futex_key_equal(&waiter->key, key))
			continue;
		if (futex_is_pi(waiter))
			return -EINVAL;
		if ((waiter->bitset & bitset) == 0)
			continue;
		futex_waiter_wake(waiter);
		woken++;
	}
	return woken;
}

/*
 * Waiters on private memory may have used either kind of key (a shared futex in private memory is
 * keyed by mm and address as well), so one look-up by the shared rule finds both.
 */
int futex_wake_addr(uint64_t uaddr, unsigned nr)
{
	struct mem_key key;
	int err = futex_key(uaddr, false, &key);

	if (err != 0)
		return err;
	return (int)futex_wake_key(&key, nr, FUTEX_BITSET_MATCH_ANY);
}

/* Sleeps until woken: 0, -ETIMEDOUT or -EINTR. */
static int futex_sleep(struct futex_waiter *waiter, uint64_t deadline_ns)
{
	int err = 0;

	waiter->woken = false;
	waiter->task = current();
	list_add_tail(futex_bucket(&waiter->key), &waiter->node);
	while (!waiter->woken && err == 0)
		err = task_sleep(deadline_ns);
	if (waiter->woken)
		return 0;
	list_del(&waiter->node);
	return err;
}

struct futex_wait_args {
	uint64_t uaddr;
	uint32_t expected;
	uint32_t bitset;
	bool is_private;
	uint64_t deadline_ns;
};

static long futex_wait(const struct futex_wait_args *args);

static long futex_wait_restart(struct task *task)
{
	const struct futex_wait_args args = {
		.uaddr = task->restart_arg[0],
		.expected = (uint32_t)task->restart_arg[1],
		.bitset = (uint32_t)(task->restart_arg[1] >> 32),
		.is_private = task->restart_arg[2] != 0,
		.deadline_ns = task->restart_arg[3],
	};

	return futex_wait(&args);
}

static long futex_wait(const struct futex_wait_args *args)
{
	struct task *task = current();
	struct futex_waiter waiter = {.bitset = args->bitset};
	uint32_t value;
	int err;

	if (args->bitset == 0)
		return -EINVAL;
	err = futex_key(args->uaddr, args->is_private, &waiter.key);
	if (err != 0)
		return err;
	err = get_user_u32(&value, (const uint32_t *)args->uaddr);
	if (err != 0)
		return err;
	if (value != args->expected)
		return -EAGAIN;
	err = futex_sleep(&waiter, args->deadline_ns);
	if (err != -EINTR)
		return err;
	if (args->deadline_ns == WAIT_FOREVER)
		return -ERESTARTSYS;
	/* with a timeout a handler ends it, SA_RESTART or not (signal(7)) */
	task->restart = futex_wait_restart;
	task->restart_arg[0] = args->uaddr;
	task->restart_arg[1] = args->expected | (uint64_t)args->bitset << 32;
	task->restart_arg[2] = args->is_private;
	task->restart_arg[3] = args->deadline_ns;
	return -ERESTART_RESTARTBLOCK;
}

static long futex_requeue(const struct mem_key *from, const struct mem_key *to, unsigned nr_wake,
			  unsigned nr_requeue)
{
	struct list *bucket = futex_bucket(from);
	struct list *target = futex_bucket(to);
	struct list *pos, *tmp;
	unsigned woken = 0, moved = 0;

	list_for_each_safe(pos, tmp, bucket) {
		struct futex_waiter *waiter = list_entry(pos, struct futex_waiter, node);

		if (!futex_key_equal(&waiter->key, from))
			continue;
		if (futex_is_pi(waiter))
			return -EINVAL;
		if (woken < nr_wake) {
			futex_waiter_wake(waiter);
			woken++;
			continue;
		}
		if (moved >= nr_requeue)
			break;
		moved++;
		if (futex_key_equal(from, to))
			continue;
		list_del(&waiter->node);
		waiter->key = *to;
		list_add_tail(target, &waiter->node);
	}
	return (long)(woken + moved);
}

/* The operation half of FUTEX_WAKE_OP on one value: the new value, or -ENOSYS. */
static int futex_op_apply(uint32_t op, uint32_t arg, uint32_t old, uint32_t *ret_new)
{
	switch (op) {
	case FUTEX_OP_SET:
		*ret_new = arg;
		return 0;
	case FUTEX_OP_ADD:
		*ret_new = old + arg;
		return 0;
	case FUTEX_OP_OR:
		*ret_new = old | arg;
		return 0;
	case FUTEX_OP_ANDN:
		*ret_new = old & ~arg;
		return 0;
	case FUTEX_OP_XOR:
		*ret_new = old ^ arg;
		return 0;
	default:
		return -ENOSYS;
	}
}

static int futex_op_compare(uint32_t cmp, int32_t old, int32_t arg)
{
	switch (cmp) {
	case FUTEX_OP_CMP_EQ:
		return old == arg;
	case FUTEX_OP_CMP_NE:
		return old != arg;
	case FUTEX_OP_CMP_LT:
		return old < arg;
	case FUTEX_OP_CMP_LE:
		return old <= arg;
	case FUTEX_OP_CMP_GT:
		return old > arg;
	case FUTEX_OP_CMP_GE:
		return old >= arg;
	default:
		return -ENOSYS;
	}
}

static long futex_wake_op(const struct mem_key *key1, const struct mem_key *key2, uint64_t uaddr2,
			  unsigned nr_wake, unsigned nr_wake2, uint32_t encoded)
{
	uint32_t op = (encoded >> 28) & 7;
	uint32_t arg = (encoded >> 12) & 0xfff;
	int32_t cmp_arg = (int32_t)(encoded << 20) >> 20;
	uint32_t old, new, found;
	long woken;
	int err, hit;

	if ((arg & 0x800) != 0)
		arg |= 0xfffff000U;
	if (((encoded >> 28) & FUTEX_OP_OPARG_SHIFT) != 0)
		arg = 1U << (arg & 31);
	do {
		err = get_user_u32(&old, (const uint32_t *)uaddr2);
		if (err == 0)
			err = futex_op_apply(op, arg, old, &new);
		if (err == 0)
			err = cmpxchg_user_u32((uint32_t *)uaddr2, old, new, &found);
		if (err != 0)
			return err;
	} while (found != old);
	hit = futex_op_compare((encoded >> 24) & 0xf, (int32_t)old, cmp_arg);
	if (hit < 0)
		return hit;
	woken = futex_wake_key(key1, nr_wake, FUTEX_BITSET_MATCH_ANY);
	if (woken >= 0 && hit) {
		long more = futex_wake_key(key2, nr_wake2, FUTEX_BITSET_MATCH_ANY);

		woken = more < 0 ? more : woken + more;
	}
	return woken;
}

/* FUTEX_WAIT's timeout is relative, FUTEX_LOCK_PI's by the real time; the others' by either clock.
 */
static int futex_deadline(int op, const struct timespec *user_timeout, uint64_t *ret_deadline_ns)
{
	struct timespec ts;
	int err;

	*ret_deadline_ns = WAIT_FOREVER;
	if (user_timeout == NULL)
		return 0;
	err = copy_from_user(&ts, user_timeout, sizeof(ts));
	if (err != 0)
		return err;
	if (!timespec_ok(&ts))
		return -EINVAL;
	if ((op & FUTEX_CMD_MASK) == FUTEX_WAIT)
		*ret_deadline_ns = deadline_after(timespec_to_ns(&ts));
	else if ((op & FUTEX_CLOCK_REALTIME) != 0 || (op & FUTEX_CMD_MASK) == FUTEX_LOCK_PI)
		*ret_deadline_ns = deadline_from_realtime(timespec_to_ns(&ts));
	else
		*ret_deadline_ns = timespec_to_ns(&ts);
	return 0;
}

static long futex_op_wait(uint64_t uaddr, int op, uint32_t val, const struct timespec *timeout,
			  uint32_t bitset)
{
	struct futex_wait_args args = {
		.uaddr = uaddr,
		.expected = val,
		.bitset = bitset,
		.is_private = (op & FUTEX_PRIVATE_FLAG) != 0,
	};
	int err = futex_deadline(op, timeout, &args.deadline_ns);

	return err != 0 ? err : futex_wait(&args);
}

static long futex_op_wake(uint64_t uaddr, bool is_private, uint32_t nr, uint32_t bitset)
{
	struct mem_key key;
	int err = futex_key(uaddr, is_private, &key);

	if (err != 0)
		return err;
	if (bitset == 0)
		return -EINVAL;
	return futex_wake_key(&key, nr, bitset);
}

/* The operations on two words. */
static long futex_op_pair(int op, uint64_t uaddr, uint64_t uaddr2, uint32_t val, uint32_t val2,
			  uint32_t val3)
{
	bool is_private = (op & FUTEX_PRIVATE_FLAG) != 0;
	struct mem_key key1, key2;
	uint32_t value;
	int err = futex_key(uaddr, is_private, &key1);

	if (err == 0)
		err = futex_key(uaddr2, is_private, &key2);
	if (err != 0)
		return err;
	if ((op & FUTEX_CMD_MASK) == FUTEX_WAKE_OP)
		return futex_wake_op(&key1, &key2, uaddr2, val, val2, val3);
	if ((int32_t)val < 0 || (int32_t)val2 < 0)
		return -EINVAL;
	if ((op & FUTEX_CMD_MASK) == FUTEX_CMP_REQUEUE) {
		err = get_user_u32(&value, (const uint32_t *)uaddr);
		if (err != 0)
			return err;
		if (value != val3)
			return -EAGAIN;
	}
	return futex_requeue(&key1, &key2, val, val2);
}

static long futex_op_lock_pi(uint64_t uaddr, int op, const struct timespec *timeout)
{
	uint64_t deadline_ns;
	int err = futex_deadline(op, timeout, &deadline_ns);

	if (err != 0)
		return err;
	return futex_lock_pi(uaddr, (op & FUTEX_PRIVATE_FLAG) != 0, deadline_ns, false);
}

static long futex_op_requeue_pi(int op, struct futex_requeue_pi_args *args, uint64_t arg4)
{
	int err;

	args->is_private = (op & FUTEX_PRIVATE_FLAG) != 0;
	if ((op & FUTEX_CMD_MASK) == FUTEX_CMP_REQUEUE_PI) {
		args->nr_requeue = (uint32_t)arg4;
		return futex_cmp_requeue_pi(args);
	}
	err = futex_deadline(op, (const struct timespec *)arg4, &args->deadline_ns);
	return err != 0 ? err : futex_wait_requeue_pi(args);
}

static bool futex_takes_clock(int cmd)
{
	return cmd == FUTEX_WAIT_BITSET || cmd == FUTEX_WAIT_REQUEUE_PI || cmd == FUTEX_LOCK_PI2;
}

SYS6(futex, uint64_t, uaddr, int, op, uint32_t, val, uint64_t, arg4, uint64_t, uaddr2, uint32_t,
     val3)
{
	bool is_private = (op & FUTEX_PRIVATE_FLAG) != 0;
	int cmd = op & FUTEX_CMD_MASK;
	struct futex_requeue_pi_args pi = {.uaddr = uaddr, .uaddr2 = uaddr2};

	if ((op & FUTEX_CLOCK_REALTIME) != 0 && !futex_takes_clock(cmd))
		return -ENOSYS;
	switch (cmd) {
	case FUTEX_WAIT:
		return futex_op_wait(uaddr, op, val, (const struct timespec *)arg4,
				     FUTEX_BITSET_MATCH_ANY);
	case FUTEX_WAIT_BITSET:
		return futex_op_wait(uaddr, op, val, (const struct timespec *)arg4, val3);
	case FUTEX_WAKE:
		return futex_op_wake(uaddr, is_private, val, FUTEX_BITSET_MATCH_ANY);
	case FUTEX_WAKE_BITSET:
		return futex_op_wake(uaddr, is_private, val, val3);
	case FUTEX_REQUEUE:
	case FUTEX_CMP_REQUEUE:
	case FUTEX_WAKE_OP:
		return futex_op_pair(op, uaddr, uaddr2, val, (uint32_t)arg4, val3);
	case FUTEX_LOCK_PI:
	case FUTEX_LOCK_PI2:
		return futex_op_lock_pi(uaddr, op, (const struct timespec *)arg4);
	case FUTEX_TRYLOCK_PI:
		return futex_lock_pi(uaddr, is_private, 0, true);
	case FUTEX_UNLOCK_PI:
		return futex_unlock_pi(uaddr, is_private);
	case FUTEX_WAIT_REQUEUE_PI:
		pi.expected = val;
		pi.bitset = FUTEX_BITSET_MATCH_ANY;
		return futex_op_requeue_pi(op, &pi, arg4);
	case FUTEX_CMP_REQUEUE_PI:
		pi.nr_wake = val;
		pi.expected = val3;
		return futex_op_requeue_pi(op, &pi, arg4);
	default:
		return -ENOSYS;
	}
}

/* ---- futex_waitv(2): several words at once ---- */

static int waitv_import(struct futex_waitv *waitv, const struct futex_waitv *user_waitv,
			unsigned nr)
{
	if (copy_from_user(waitv, user_waitv, nr * sizeof(*waitv)) != 0)
		return -EFAULT;
	for (unsigned i = 0; i < nr; i++) {
		if (waitv[i].__reserved != 0 || (waitv[i].flags & ~FUTEX_PRIVATE_FLAG) != FUTEX_32)
			return -EINVAL;
		if (waitv[i].val > UINT32_MAX)
			return -EINVAL;
	}
	return 0;
}

/* All words have their values: hangs up a waiter at each. Else -EAGAIN, -EFAULT, -EINVAL. */
static int waitv_enqueue(struct futex_waiter *waiter, const struct futex_waitv *waitv, unsigned nr,
			 unsigned *ret_nr)
{
	uint32_t value;
	int err = 0;

	for (unsigned i = 0; i < nr && err == 0; i++) {
		waiter[i].task = current();
		waiter[i].bitset = FUTEX_BITSET_MATCH_ANY;
		err = futex_key(waitv[i].uaddr, (waitv[i].flags & FUTEX_PRIVATE_FLAG) != 0,
				&waiter[i].key);
		if (err == 0)
			err = get_user_u32(&value, (const uint32_t *)waitv[i].uaddr);
		if (err == 0 && value != (uint32_t)waitv[i].val)
			err = -EAGAIN;
		if (err != 0)
			break;
		list_add_tail(futex_bucket(&waiter[i].key), &waiter[i].node);
		*ret_nr = i + 1;
	}
	return err;
}

/* Takes the waiters down: the last one that was woken, or -1. */
static int waitv_dequeue(struct futex_waiter *waiter, unsigned nr)
{
	int woken = -1;

	for (unsigned i = 0; i < nr; i++) {
		if (waiter[i].woken)
			woken = (int)i;
		else
			list_del(&waiter[i].node);
	}
	return woken;
}

static bool waitv_any_woken(const struct futex_waiter *waiter, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		if (waiter[i].woken)
			return true;
	return false;
}

static long waitv_wait(const struct futex_waitv *waitv, unsigned nr, uint64_t deadline_ns)
{
	struct futex_waiter *waiter = arena_zalloc(nr * sizeof(*waiter));
	unsigned queued = 0;
	int err, woken;

	if (waiter == NULL)
		return -ENOMEM;
	err = waitv_enqueue(waiter, waitv, nr, &queued);
	while (err == 0 && !waitv_any_woken(waiter, nr))
		err = task_sleep(deadline_ns);
	woken = waitv_dequeue(waiter, queued);
	arena_free(waiter);
	if (woken >= 0)
		return woken;
	return err == -EINTR ? -ERESTARTSYS : err;
}

static int waitv_deadline(const struct timespec *user_timeout, int clock, uint64_t *ret_deadline_ns)
{
	*ret_deadline_ns = WAIT_FOREVER;
	if (user_timeout == NULL)
		return 0;
	if (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME)
		return -EINVAL;
	return futex_deadline(FUTEX_WAIT_BITSET |
				      (clock == CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0),
			      user_timeout, ret_deadline_ns);
}

SYS5(futex_waitv, const struct futex_waitv *, user_waitv, unsigned, nr, unsigned, flags,
     const struct timespec *, user_timeout, int, clock)
{
	struct futex_waitv *waitv;
	uint64_t deadline_ns;
	long err;

	if (flags != 0 || nr == 0 || nr > FUTEX_WAITV_MAX || user_waitv == NULL)
		return -EINVAL;
	err = waitv_deadline(user_timeout, clock, &deadline_ns);
	if (err != 0)
		return err;
	waitv = arena_alloc(nr * sizeof(*waitv));
	if (waitv == NULL)
		return -ENOMEM;
	err = waitv_import(waitv, user_waitv, nr);
	if (err == 0)
		err = waitv_wait(waitv, nr, deadline_ns);
	arena_free(waitv);
	return err;
}

/* ---- robust lists ---- */

SYS2(set_robust_list, uint64_t, head, uint64_t, size)
{
	struct task *task = current();

	if (size != sizeof(struct robust_list_head))
		return -EINVAL;
	task->robust_list = head;
	task->robust_list_size = size;
	return 0;
}

SYS3(get_robust_list, int, tid, uint64_t *, user_head, uint64_t *, user_size)
{
	struct task *task = tid == 0 ? current() : task_find(tid);
	int err;

	if (task == NULL)
		return -ESRCH;
	err = put_user_u64(user_size, sizeof(struct robust_list_head));
	return err != 0 ? err : put_user_u64(user_head, task->robust_list);
}

/* One mutex of the dead task: mark it and wake one waiter (robust futexes, kernel documentation).
 */
static int futex_robust_one(const struct task *task, uint64_t uaddr, bool pending)
{
	uint32_t value, found;

	do {
		if (uaddr % sizeof(uint32_t) != 0 || get_user_u32(&value, (uint32_t *)uaddr) != 0)
			return -EFAULT;
		if (pending && value == 0) {
			futex_wake_addr(uaddr, 1);
			return 0;
		}
		if ((value & FUTEX_TID_MASK) != (uint32_t)task->tid)
			return 0;
		if (cmpxchg_user_u32((uint32_t *)uaddr, value,
				     (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED, &found) != 0)
			return -EFAULT;
	} while (found != value);
	if ((value & FUTEX_WAITERS) != 0)
		futex_wake_addr(uaddr, 1);
	return 0;
}

void futex_task_exit(struct task *task)
{
	struct robust_list_head head;
	uint64_t list_head = task->robust_list;
	uint64_t entry, next, pending;

	task->robust_list = 0;
	if (list_head == 0 || copy_from_user(&head, (const void *)list_head, sizeof(head)) != 0)
		return;
	entry = (uint64_t)head.list.next & ~1UL;
	pending = (uint64_t)head.list_op_pending & ~1UL;
	for (unsigned i = 0; i < ROBUST_LIST_LIMIT && entry != list_head; i++) {
		if (get_user_u64(&next, (const uint64_t *)entry) != 0)
			break;
		if (entry != pending &&
		    futex_robust_one(task, entry + (uint64_t)head.futex_offset, false) != 0)
			break;
		entry = next & ~1UL;
	}
	if (pending != 0)
		futex_robust_one(task, pending + (uint64_t)head.futex_offset, true);
}
