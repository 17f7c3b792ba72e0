/*
 * locks.c - advisory locks: flock(2), and fcntl(2)'s by process and by open file.
 *
 * All locks of a file hang at its inode; an owner is an open file (flock, OFD locks) or a process
 * (POSIX locks).  Waiters sleep on the inode's queue and look again.  A process that would wait for
 * one that waits for it gets EDEADLK, as POSIX locks have it; open files have no such circles.
 */
#include "libos/fs/locks.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/instance.h"

enum lock_kind {
	LOCK_KIND_FLOCK,
	LOCK_KIND_POSIX,
	LOCK_KIND_OFD,
};

struct lock {
	struct list node;
	enum lock_kind kind;
	const void *owner;
	int pid;
	bool exclusive;
	uint64_t start;
	uint64_t end; /* last byte; UINT64_MAX: to the end of the file, however it grows */
};

struct lock_state {
	struct list locks;
	struct wait_queue wq;
};

#define DEADLOCK_STEPS 10 /* as far as Linux follows who waits for whom */

static struct lock_state *state_of(struct inode *inode)
{
	if (inode->locks == NULL) {
		inode->locks = arena_alloc(sizeof(*inode->locks));
		if (inode->locks == NULL)
			return NULL;
		list_init(&inode->locks->locks);
		wait_queue_init(&inode->locks->wq);
	}
	return inode->locks;
}

/* flock locks and the others do not see each other (flock(2)). */
static bool conflicts(const struct lock *have, const struct lock *want)
{
	if ((have->kind == LOCK_KIND_FLOCK) != (want->kind == LOCK_KIND_FLOCK))
		return false;
	if (have->owner == want->owner && have->kind == want->kind)
		return false;
	if (have->end < want->start || want->end < have->start)
		return false;
	return have->exclusive || want->exclusive;
}

static struct lock *find_conflict(struct lock_state *state, const struct lock *want)
{
	struct list *pos;

	list_for_each(pos, &state->locks) {
		struct lock *have = list_entry(pos, struct lock, node);

		if (conflicts(have, want))
			return have;
	}
	return NULL;
}

static struct lock *lock_copy(const struct lock *from)
{
	struct lock *lock = arena_alloc(sizeof(*lock));

	if (lock != NULL)
		*lock = *from;
	return lock;
}

static void lock_drop(struct lock *lock)
{
	list_del(&lock->node);
	arena_free(lock);
}

/* Takes [cut->start, cut->end] out of the owner's locks; may split one. 0 or -ENOLCK. */
static int cut_owned(struct lock_state *state, const struct lock *cut)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &state->locks) {
		struct lock *have = list_entry(pos, struct lock, node);
		struct lock *tail;

		if (have->owner != cut->owner || have->kind != cut->kind ||
		    have->end < cut->start || cut->end < have->start)
			continue;
		if (have->start < cut->start && have->end > cut->end) {
			tail = lock_copy(have);
			if (tail == NULL)
				return -ENOLCK;
			tail->start = cut->end + 1;
			have->end = cut->start - 1;
			list_add_tail(&state->locks, &tail->node);
		} else if (have->start < cut->start) {
			have->end = cut->start - 1;
		} else if (have->end > cut->end) {
			have->start = cut->end + 1;
		} else {
			lock_drop(have);
		}
	}
	return 0;
}

/* Does the owner of `have` wait, over some steps, for a lock of ours? */
static bool is_deadlock(const struct lock *want, const struct lock *have)
{
	const struct process *owner;
	int pid = have->pid;

	if (want->kind != LOCK_KIND_POSIX || have->kind != LOCK_KIND_POSIX)
		return false;
	for (unsigned i = 0; i < DEADLOCK_STEPS && pid != 0; i++) {
		if (pid == want->pid)
			return true;
		owner = process_find(pid);
		pid = owner != NULL ? owner->lock_wait_pid : 0;
	}
	return false;
}

static int lock_wait(struct lock_state *state, const struct lock *want, const struct lock *have)
{
	struct process *process = current()->process;
	int err;

	if (is_deadlock(want, have))
		return -EDEADLK;
	if (want->kind == LOCK_KIND_POSIX && have->kind == LOCK_KIND_POSIX)
		process->lock_wait_pid = have->pid;
	err = wait_on(&state->wq, 0, WAIT_FOREVER);
	process->lock_wait_pid = 0;
	return err;
}

/* Waits for its turn, then puts the lock in place of what the owner had there. */
static int lock_take(struct inode *inode, const struct lock *want, bool wait)
{
	struct lock_state *state = state_of(inode);
	struct lock *lock = lock_copy(want), *have;
	int err = 0;

	if (state == NULL || lock == NULL) {
		arena_free(lock);
		return -ENOLCK;
	}
	while (err == 0 && (have = find_conflict(state, want)) != NULL) {
		err = wait ? lock_wait(state, want, have) : -EAGAIN;
		if (err == -EINTR)
			err = -ERESTARTSYS;
	}
	if (err == 0)
		err = cut_owned(state, want);
	if (err != 0) {
		arena_free(lock);
		return err;
	}
	list_add_tail(&state->locks, &lock->node);
	wait_queue_wake_n(&state->wq, 0, UINT32_MAX); /* a downgrade lets others in */
	return 0;
}

static int lock_release(struct inode *inode, const struct lock *what)
{
	int err;

	if (inode->locks == NULL)
		return 0;
	err = cut_owned(inode->locks, what);
	wait_queue_wake_n(&inode->locks->wq, 0, UINT32_MAX);
	return err;
}

/* ---- flock ---- */

int locks_flock(struct file *file, int operation)
{
	bool wait = (operation & LOCK_NB) == 0;
	struct lock want = {.kind = LOCK_KIND_FLOCK, .owner = file, .end = UINT64_MAX};
	int err;

	if (file->inode == NULL)
		return -EBADF;
	switch (operation & ~LOCK_NB) {
	case LOCK_UN:
		return lock_release(file->inode, &want);
	case LOCK_EX:
		want.exclusive = true;
		break;
	case LOCK_SH:
		break;
	default:
		return -EINVAL;
	}
	/* A conversion gives up the old lock first (flock(2)). */
	lock_release(file->inode, &want);
	file->locked = true;
	err = lock_take(file->inode, &want, wait);
	return err == -EAGAIN ? -EWOULDBLOCK : err;
}

/* ---- fcntl ---- */

static int flock_range(struct file *file, const struct flock *fl, uint64_t *ret_start,
		       uint64_t *ret_end)
{
	int64_t base = 0, start;

	if (fl->l_whence == SEEK_CUR)
		base = (int64_t)file->pos;
	else if (fl->l_whence == SEEK_END)
		base = (int64_t)file->inode->size;
	else if (fl->l_whence != SEEK_SET)
		return -EINVAL;
	if (__builtin_add_overflow(base, fl->l_start, &start))
		return -EOVERFLOW;
	if (fl->l_len < 0) {
		*ret_end = (uint64_t)(start - 1);
		start += fl->l_len;
	} else if (fl->l_len == 0) {
		*ret_end = UINT64_MAX;
	} else {
		*ret_end = (uint64_t)start + (uint64_t)fl->l_len - 1;
	}
	if (start < 0)
		return -EINVAL;
	*ret_start = (uint64_t)start;
	return 0;
}

static int flock_check(const struct file *file, const struct flock *fl)
{
	unsigned mode = file->flags & O_ACCMODE;

	if (fl->l_type == F_RDLCK && mode == O_WRONLY)
		return -EBADF;
	if (fl->l_type == F_WRLCK && mode == O_RDONLY)
		return -EBADF;
	return fl->l_type == F_RDLCK || fl->l_type == F_WRLCK || fl->l_type == F_UNLCK ? 0 :
											 -EINVAL;
}

static void flock_describe(struct flock *fl, const struct lock *lock)
{
	fl->l_type = lock->exclusive ? F_WRLCK : F_RDLCK;
	fl->l_whence = SEEK_SET;
	fl->l_start = (off_t)lock->start;
	fl->l_len = lock->end == UINT64_MAX ? 0 : (off_t)(lock->end - lock->start + 1);
	fl->l_pid = lock->kind == LOCK_KIND_POSIX ? lock->pid : -1;
}

static int lock_query(struct file *file, const struct lock *want, struct flock *fl)
{
	struct lock *have =
		file->inode->locks != NULL ? find_conflict(file->inode->locks, want) : NULL;

	if (have == NULL)
		fl->l_type = F_UNLCK;
	else
		flock_describe(fl, have);
	return 0;
}

int locks_fcntl(struct file *file, int cmd, struct flock *fl)
{
	bool ofd = cmd == F_OFD_GETLK || cmd == F_OFD_SETLK || cmd == F_OFD_SETLKW;
	struct lock want = {.kind = ofd ? LOCK_KIND_OFD : LOCK_KIND_POSIX,
			    .owner = ofd ? (const void *)file : (const void *)current()->process,
			    .pid = current()->process->pid,
			    .exclusive = fl->l_type == F_WRLCK};
	int err;

	if (file->inode == NULL)
		return -EINVAL;
	if (ofd && fl->l_pid != 0)
		return -EINVAL;
	err = flock_range(file, fl, &want.start, &want.end);
	if (err != 0)
		return err;
	if (cmd == F_GETLK || cmd == F_OFD_GETLK)
		return fl->l_type == F_UNLCK ? -EINVAL : lock_query(file, &want, fl);
	err = flock_check(file, fl);
	if (err != 0)
		return err;
	if (fl->l_type == F_UNLCK)
		return lock_release(file->inode, &want);
	file->locked = true;
	return lock_take(file->inode, &want, cmd == F_SETLKW || cmd == F_OFD_SETLKW);
}

/* ---- ends ---- */

static void release_all(struct inode *inode, enum lock_kind kind, const void *owner)
{
	const struct lock all = {.kind = kind, .owner = owner, .end = UINT64_MAX};

	if (inode != NULL)
		lock_release(inode, &all);
}

void locks_file_closed(struct file *file)
{
	release_all(file->inode, LOCK_KIND_FLOCK, file);
	release_all(file->inode, LOCK_KIND_OFD, file);
}

/* Any descriptor of the file that is closed takes the process's locks with it (fcntl(2)). */
void locks_fd_closed(struct file *file)
{
	release_all(file->inode, LOCK_KIND_POSIX, current()->process);
}

void locks_inode_evict(struct inode *inode)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &inode->locks->locks)
		lock_drop(list_entry(pos, struct lock, node));
	arena_free(inode->locks);
	inode->locks = NULL;
}
