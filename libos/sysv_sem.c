/*
 * sysv_sem.c - System V semaphores.  See semop(2), semctl(2).
 *
 * All operations of a call happen at once or not at all.  Who has to wait sleeps on the set's queue
 * and looks again after every change of the set.
 */
#include <errno.h>
#include <string.h>
#include <sys/sem.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/instance.h"
#include "libos/syscall.h"
#include "libos/sysv.h"
#include "libos/timespec.h"
#include "libos/uaccess.h"
#include "libos/wait.h"

#define SEM_SETS_MAX 32000 /* SEMMNI */
#define SEM_PER_SET 32000  /* SEMMSL */
#define SEM_OPS_MAX 500U   /* SEMOPM */
#define SEM_VALUE_MAX 32767

struct sem {
	int value;
	int pid; /* who changed it last */
};

struct sem_set {
	struct list node; /* sysv.sems */
	int id;
	bool removed;
	unsigned refs; /* the table's, and one for each call that sleeps */
	struct semid_ds ds;
	struct list waiters;
	struct list undos;
	struct wait_queue wq;
	unsigned nr;
	struct sem sems[];
};

/* A call that sleeps, and which semaphore it waits for. */
struct sem_waiter {
	struct list node;
	unsigned num;
	bool for_zero;
};

/* What is added to the values when the process ends. */
struct sem_undo {
	struct list node;
	int pid;
	int adjust[];
};

static unsigned sets_count(struct sysv *sysv, unsigned *ret_sems)
{
	struct list *pos;
	unsigned n = 0;

	*ret_sems = 0;
	list_for_each(pos, &sysv->sems) {
		*ret_sems += list_entry(pos, struct sem_set, node)->nr;
		n++;
	}
	return n;
}

static struct sem_set *set_by_key(struct sysv *sysv, key_t key)
{
	struct list *pos;

	list_for_each(pos, &sysv->sems) {
		struct sem_set *set = list_entry(pos, struct sem_set, node);

		if (set->ds.sem_perm.__ipc_perm_key == key)
			return set;
	}
	return NULL;
}

static struct sem_set *set_by_id(int id)
{
	struct sysv *sysv = sysv_get();
	struct list *pos;

	if (sysv == NULL)
		return NULL;
	list_for_each(pos, &sysv->sems) {
		struct sem_set *set = list_entry(pos, struct sem_set, node);

		if (set->id == id)
			return set;
	}
	return NULL;
}

static struct sem_set *set_by_index(int index)
{
	struct sysv *sysv = sysv_get();
	struct list *pos;

	if (sysv == NULL || index < 0)
		return NULL;
	list_for_each(pos, &sysv->sems)
		if (index-- == 0)
			return list_entry(pos, struct sem_set, node);
	return NULL;
}

static long set_create(struct sysv *sysv, key_t key, unsigned nr, int flags)
{
	struct sem_set *set;
	unsigned sems;

	if (sets_count(sysv, &sems) >= SEM_SETS_MAX)
		return -ENOSPC;
	set = arena_zalloc(sizeof(*set) + nr * sizeof(struct sem));
	if (set == NULL)
		return -ENOMEM;
	set->refs = 1;
	set->id = sysv->next_id++;
	set->nr = nr;
	sysv_perm_init(&set->ds.sem_perm, key, flags);
	set->ds.sem_nsems = (unsigned short)nr;
	set->ds.sem_ctime = sysv_now();
	list_init(&set->waiters);
	list_init(&set->undos);
	wait_queue_init(&set->wq);
	list_add_tail(&sysv->sems, &set->node);
	return set->id;
}

static void set_unref(struct sem_set *set)
{
	if (--set->refs == 0)
		arena_free(set);
}

static void set_changed(struct sem_set *set)
{
	wait_queue_wake_n(&set->wq, 0, UINT32_MAX);
}

static void undos_clear(struct sem_set *set)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &set->undos) {
		list_del(pos);
		arena_free(list_entry(pos, struct sem_undo, node));
	}
}

static void set_remove(struct sem_set *set)
{
	set->removed = true;
	list_del(&set->node);
	undos_clear(set);
	set_changed(set);
	set_unref(set);
}

SYS3(semget, int, key, int, nr, int, flags)
{
	struct sysv *sysv = sysv_get();
	struct sem_set *set;

	if (sysv == NULL)
		return -ENOMEM;
	if (nr < 0 || nr > SEM_PER_SET)
		return -EINVAL;
	set = key == IPC_PRIVATE ? NULL : set_by_key(sysv, key);
	if (set == NULL) {
		if (key != IPC_PRIVATE && (flags & IPC_CREAT) == 0)
			return -ENOENT;
		return nr == 0 ? -EINVAL : set_create(sysv, key, (unsigned)nr, flags);
	}
	if ((flags & IPC_CREAT) != 0 && (flags & IPC_EXCL) != 0)
		return -EEXIST;
	if ((unsigned)nr > set->nr)
		return -EINVAL;
	return sysv_may(&set->ds.sem_perm, sysv_rights(flags)) ? set->id : -EACCES;
}

/* ---- semop ---- */

static struct sem_undo *undo_find(struct sem_set *set, int pid)
{
	struct list *pos;

	list_for_each(pos, &set->undos)
		if (list_entry(pos, struct sem_undo, node)->pid == pid)
			return list_entry(pos, struct sem_undo, node);
	return NULL;
}

static struct sem_undo *undo_make(struct sem_set *set, int pid)
{
	struct sem_undo *undo = undo_find(set, pid);

	if (undo != NULL)
		return undo;
	undo = arena_zalloc(sizeof(*undo) + set->nr * sizeof(int));
	if (undo == NULL)
		return NULL;
	undo->pid = pid;
	list_add_tail(&set->undos, &undo->node);
	return undo;
}

/* Takes back the first n operations. */
static void ops_revert(struct sem_set *set, const struct sembuf *ops, unsigned n)
{
	while (n-- > 0)
		set->sems[ops[n].sem_num].value -= ops[n].sem_op;
}

/* 0: all done. 1: *ret_waiter says what has to be waited for. Or -ERANGE, -EAGAIN. */
static int ops_try(struct sem_set *set, const struct sembuf *ops, unsigned n,
		   const struct sem_undo *undo, struct sem_waiter *ret_waiter)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		struct sem *sem = &set->sems[ops[i].sem_num];
		int op = ops[i].sem_op, err = 0;

		if ((op == 0 && sem->value != 0) || sem->value + op < 0) {
			ret_waiter->num = ops[i].sem_num;
			ret_waiter->for_zero = op == 0;
			err = (ops[i].sem_flg & IPC_NOWAIT) != 0 ? -EAGAIN : 1;
		} else if (sem->value + op > SEM_VALUE_MAX) {
			err = -ERANGE;
		} else if ((ops[i].sem_flg & SEM_UNDO) != 0 &&
			   (undo->adjust[ops[i].sem_num] - op > SEM_VALUE_MAX ||
			    undo->adjust[ops[i].sem_num] - op < -SEM_VALUE_MAX - 1)) {
			err = -ERANGE;
		}
		if (err != 0) {
			ops_revert(set, ops, i);
			return err;
		}
		sem->value += op;
	}
	return 0;
}

static void ops_done(struct sem_set *set, const struct sembuf *ops, unsigned n,
		     struct sem_undo *undo)
{
	for (unsigned i = 0; i < n; i++) {
		set->sems[ops[i].sem_num].pid = current()->process->pid;
		if ((ops[i].sem_flg & SEM_UNDO) != 0)
			undo->adjust[ops[i].sem_num] -= ops[i].sem_op;
	}
	set->ds.sem_otime = sysv_now();
	set_changed(set);
}

static int ops_check(const struct sem_set *set, const struct sembuf *ops, unsigned n,
		     bool *ret_undo)
{
	bool alter = false;

	*ret_undo = false;
	for (unsigned i = 0; i < n; i++) {
		if (ops[i].sem_num >= set->nr)
			return -EFBIG;
		alter |= ops[i].sem_op != 0;
		*ret_undo |= (ops[i].sem_flg & SEM_UNDO) != 0;
	}
	return sysv_may(&set->ds.sem_perm, alter ? 2 : 4) ? 0 : -EACCES;
}

/* Sleeps until the set changes. */
static int ops_wait(struct sem_set *set, struct sem_waiter *waiter, uint64_t deadline_ns)
{
	int err;

	list_add_tail(&set->waiters, &waiter->node);
	err = wait_on(&set->wq, 0, deadline_ns);
	list_del(&waiter->node);
	if (set->removed)
		return -EIDRM;
	return err == -ETIMEDOUT ? -EAGAIN : err;
}

static long ops_run(struct sem_set *set, const struct sembuf *ops, unsigned n, uint64_t deadline_ns)
{
	struct sem_undo *undo = NULL;
	struct sem_waiter waiter;
	bool with_undo;
	int err = ops_check(set, ops, n, &with_undo);

	if (err == 0 && with_undo) {
		undo = undo_make(set, current()->process->pid);
		err = undo == NULL ? -ENOMEM : 0;
	}
	while (err == 0) {
		err = ops_try(set, ops, n, undo, &waiter);
		if (err == 0) {
			ops_done(set, ops, n, undo);
			return 0;
		}
		if (err == 1)
			err = ops_wait(set, &waiter, deadline_ns);
	}
	return err;
}

static long semop_common(int id, const struct sembuf *user_ops, unsigned n, uint64_t deadline_ns)
{
	struct sem_set *set = set_by_id(id);
	struct sembuf *ops;
	long err;

	if (n == 0)
		return -EINVAL;
	if (n > SEM_OPS_MAX)
		return -E2BIG;
	ops = arena_alloc(n * sizeof(*ops));
	if (ops == NULL)
		return -ENOMEM;
	err = copy_from_user(ops, user_ops, n * sizeof(*ops));
	if (err == 0 && set == NULL)
		err = -EINVAL;
	if (err == 0) {
		set->refs++;
		err = ops_run(set, ops, n, deadline_ns);
		set_unref(set);
	}
	arena_free(ops);
	return err;
}

SYS3(semop, int, id, const struct sembuf *, ops, unsigned, n)
{
	return semop_common(id, ops, n, WAIT_FOREVER);
}

SYS4(semtimedop, int, id, const struct sembuf *, ops, unsigned, n, const struct timespec *,
     user_timeout)
{
	uint64_t deadline_ns = WAIT_FOREVER;
	struct timespec ts;

	if (user_timeout != NULL) {
		if (copy_from_user(&ts, user_timeout, sizeof(ts)) != 0)
			return -EFAULT;
		if (!timespec_ok(&ts))
			return -EINVAL;
		deadline_ns = deadline_after(timespec_to_ns(&ts));
	}
	return semop_common(id, ops, n, deadline_ns);
}

void sysv_sem_exit(const struct process *process)
{
	struct sysv *sysv = instance()->sysv;
	struct list *pos;

	if (sysv == NULL)
		return;
	list_for_each(pos, &sysv->sems) {
		struct sem_set *set = list_entry(pos, struct sem_set, node);
		struct sem_undo *undo = undo_find(set, process->pid);

		if (undo == NULL)
			continue;
		for (unsigned i = 0; i < set->nr; i++) {
			int value = set->sems[i].value + undo->adjust[i];

			set->sems[i].value = MIN(MAX(value, 0), SEM_VALUE_MAX);
			if (undo->adjust[i] != 0)
				set->sems[i].pid = process->pid;
		}
		list_del(&undo->node);
		arena_free(undo);
		set_changed(set);
	}
}

/* ---- semctl ---- */

static long set_stat(const struct sem_set *set, void *user_buf, long result)
{
	if (!sysv_may(&set->ds.sem_perm, 4))
		return -EACCES;
	return copy_to_user(user_buf, &set->ds, sizeof(set->ds)) != 0 ? -EFAULT : result;
}

static long set_set(struct sem_set *set, const void *user_buf)
{
	struct semid_ds ds;
	int err;

	if (copy_from_user(&ds, user_buf, sizeof(ds)) != 0)
		return -EFAULT;
	err = sysv_perm_set(&set->ds.sem_perm, &ds.sem_perm);
	if (err == 0)
		set->ds.sem_ctime = sysv_now();
	return err;
}

static long sems_info(int cmd, void *user_buf)
{
	struct sysv *sysv = sysv_get();
	struct seminfo info = {.semmap = 1024000000,
			       .semmni = SEM_SETS_MAX,
			       .semmns = 1024000000,
			       .semmnu = 1024000000,
			       .semmsl = SEM_PER_SET,
			       .semopm = (int)SEM_OPS_MAX,
			       .semume = (int)SEM_OPS_MAX,
			       .semusz = 20,
			       .semvmx = SEM_VALUE_MAX,
			       .semaem = SEM_VALUE_MAX};
	unsigned sets, sems;

	if (sysv == NULL)
		return -ENOMEM;
	sets = sets_count(sysv, &sems);
	if (cmd == SEM_INFO) {
		info.semusz = (int)sets;
		info.semaem = (int)sems;
	}
	if (copy_to_user(user_buf, &info, sizeof(info)) != 0)
		return -EFAULT;
	return sets > 0 ? (long)sets - 1 : 0;
}

static long values_get(const struct sem_set *set, uint16_t *user_values)
{
	if (!sysv_may(&set->ds.sem_perm, 4))
		return -EACCES;
	for (unsigned i = 0; i < set->nr; i++) {
		uint16_t value = (uint16_t)set->sems[i].value;

		if (copy_to_user(&user_values[i], &value, sizeof(value)) != 0)
			return -EFAULT;
	}
	return 0;
}

/* A value that was set is not undone. */
static void value_put(struct sem_set *set, unsigned num, int value)
{
	struct list *pos;

	set->sems[num].value = value;
	set->sems[num].pid = current()->process->pid;
	list_for_each(pos, &set->undos)
		list_entry(pos, struct sem_undo, node)->adjust[num] = 0;
}

static long values_set(struct sem_set *set, const uint16_t *user_values)
{
	uint16_t *values;
	long err = 0;

	if (!sysv_may(&set->ds.sem_perm, 2))
		return -EACCES;
	values = arena_alloc(set->nr * sizeof(*values));
	if (values == NULL)
		return -ENOMEM;
	if (copy_from_user(values, user_values, set->nr * sizeof(*values)) != 0)
		err = -EFAULT;
	for (unsigned i = 0; err == 0 && i < set->nr; i++)
		err = values[i] > SEM_VALUE_MAX ? -ERANGE : 0;
	for (unsigned i = 0; err == 0 && i < set->nr; i++)
		value_put(set, i, values[i]);
	arena_free(values);
	if (err == 0) {
		set->ds.sem_ctime = sysv_now();
		set_changed(set);
	}
	return err;
}

static long waiters_count(const struct sem_set *set, unsigned num, bool for_zero)
{
	struct list *pos;
	long n = 0;

	list_for_each(pos, &set->waiters) {
		const struct sem_waiter *waiter = list_entry(pos, struct sem_waiter, node);

		n += waiter->num == num && waiter->for_zero == for_zero;
	}
	return n;
}

/* What is about one semaphore. */
static long sem_ctl(struct sem_set *set, int num, int cmd, unsigned long arg)
{
	if (!sysv_may(&set->ds.sem_perm, cmd == SETVAL ? 2 : 4))
		return -EACCES;
	if (num < 0 || (unsigned)num >= set->nr)
		return -EINVAL;
	switch (cmd) {
	case GETVAL:
		return set->sems[num].value;
	case GETPID:
		return set->sems[num].pid;
	case GETNCNT:
		return waiters_count(set, (unsigned)num, false);
	case GETZCNT:
		return waiters_count(set, (unsigned)num, true);
	default:
		break;
	}
	if ((int)arg < 0 || (int)arg > SEM_VALUE_MAX)
		return -ERANGE;
	value_put(set, (unsigned)num, (int)arg);
	set->ds.sem_ctime = sysv_now();
	set_changed(set);
	return 0;
}

SYS4(semctl, int, id, int, num, int, cmd, unsigned long, arg)
{
	struct sem_set *set;

	if (cmd == IPC_INFO || cmd == SEM_INFO)
		return sems_info(cmd, (void *)arg);
	if (cmd == SEM_STAT || cmd == SEM_STAT_ANY) {
		set = set_by_index(id);
		return set == NULL ? -EINVAL : set_stat(set, (void *)arg, set->id);
	}
	set = set_by_id(id);
	if (set == NULL)
		return -EINVAL;
	switch (cmd) {
	case IPC_STAT:
		return set_stat(set, (void *)arg, 0);
	case IPC_SET:
		return set_set(set, (const void *)arg);
	case IPC_RMID:
		if (!sysv_owns(&set->ds.sem_perm))
			return -EPERM;
		set_remove(set);
		return 0;
	case GETALL:
		return values_get(set, (uint16_t *)arg);
	case SETALL:
		return values_set(set, (const uint16_t *)arg);
	case GETVAL:
	case GETPID:
	case GETNCNT:
	case GETZCNT:
	case SETVAL:
		return sem_ctl(set, num, cmd, arg);
	default:
		return -EINVAL;
	}
}
