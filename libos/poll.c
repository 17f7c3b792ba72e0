/*
 * poll.c - poll, ppoll, select and pselect6.  See poll(2), select(2).
 *
 * One pass asks every file and leaves an entry in its wait queues; if nothing is ready the task
 * sleeps once and asks again.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/select.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/file.h"
#include "libos/instance.h"
#include "libos/signal.h"
#include "libos/syscall.h"
#include "libos/timespec.h"

#define POLL_ALWAYS (POLLERR | POLLHUP)
#define POLL_FDS_MAX 1048576U /* fs.nr_open */
#define ENTRIES_INLINE 16U

#define SELECT_IN (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SELECT_OUT (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SELECT_EX POLLPRI

/* A wait entry that keeps its file alive while the task sleeps. */
struct poll_entry {
	struct wait_entry wait;
	struct file *file;
	struct poll_entry *next;
};

struct poll_wait {
	struct poll_table table;
	uint32_t events; /* of the file being asked */
	struct poll_entry *entries;
	unsigned nr_inline;
	int error;
	struct poll_entry inline_entries[ENTRIES_INLINE];
};

static void poll_queue(struct poll_table *table, struct file *file, struct wait_queue *wq)
{
	struct poll_wait *pw = container_of(table, struct poll_wait, table);
	struct poll_entry *entry;

	if (pw->nr_inline < ENTRIES_INLINE)
		entry = &pw->inline_entries[pw->nr_inline++];
	else
		entry = arena_alloc(sizeof(*entry));
	if (entry == NULL) {
		pw->error = -ENOMEM;
		return;
	}
	wait_entry_init(&entry->wait, current(), pw->events | POLL_ALWAYS);
	entry->file = file_ref(file);
	entry->next = pw->entries;
	pw->entries = entry;
	wait_queue_add(wq, &entry->wait);
}

static bool entry_is_inline(const struct poll_wait *pw, const struct poll_entry *entry)
{
	return entry >= pw->inline_entries && entry < pw->inline_entries + ENTRIES_INLINE;
}

static void poll_wait_finish(struct poll_wait *pw)
{
	struct poll_entry *entry = pw->entries, *next;

	for (; entry != NULL; entry = next) {
		next = entry->next;
		wait_queue_remove(&entry->wait);
		file_unref(entry->file);
		if (!entry_is_inline(pw, entry))
			arena_free(entry);
	}
	pw->entries = NULL;
	pw->nr_inline = 0;
}

/* One fd: what is ready of what was asked for; registers with pw unless that is NULL. */
static short poll_one(struct poll_wait *pw, int fd, short events)
{
	struct file *file;
	uint32_t got;

	if (fd < 0)
		return 0;
	file = fd_get(fd);
	if (file == NULL)
		return POLLNVAL;
	if (pw != NULL)
		pw->events = (uint16_t)events;
	got = file_poll(file, pw != NULL ? &pw->table : NULL);
	return (short)(got & ((uint16_t)events | POLL_ALWAYS));
}

static unsigned poll_pass(struct poll_wait *pw, struct pollfd *fds, unsigned nr)
{
	unsigned ready = 0;

	for (unsigned i = 0; i < nr; i++) {
		/* With something ready nobody will sleep: no more entries are needed. */
		fds[i].revents = poll_one(ready > 0 ? NULL : pw, fds[i].fd, fds[i].events);
		ready += fds[i].revents != 0;
	}
	return ready;
}

/* The count of ready fds, 0 at the deadline, -EINTR, -ENOMEM. */
static long poll_loop(struct pollfd *fds, unsigned nr, uint64_t deadline_ns)
{
	struct poll_wait pw = {.table.queue = poll_queue};
	bool may_wait = deadline_ns != 0;
	unsigned ready = poll_pass(may_wait ? &pw : NULL, fds, nr);
	int err = pw.error;

	while (ready == 0 && err == 0 && may_wait) {
		err = task_sleep(deadline_ns);
		poll_wait_finish(&pw);
		ready = poll_pass(err == 0 ? &pw : NULL, fds, nr);
		if (err == 0)
			err = pw.error;
	}
	poll_wait_finish(&pw);
	if (ready > 0 || err == -ETIMEDOUT)
		return ready;
	return err;
}

static long poll_fds(struct pollfd *user_fds, unsigned nr, uint64_t deadline_ns)
{
	struct pollfd small[32], *fds = small;
	long ready;

	if (nr > MIN(current()->process->rlimits[RLIMIT_NOFILE].rlim_cur, (rlim_t)POLL_FDS_MAX))
		return -EINVAL;
	if (nr > ARRAY_SIZE(small)) {
		fds = arena_alloc(nr * sizeof(*fds));
		if (fds == NULL)
			return -ENOMEM;
	}
	ready = copy_from_user(fds, user_fds, nr * sizeof(*fds));
	if (ready == 0) {
		ready = poll_loop(fds, nr, deadline_ns);
		for (unsigned i = 0; i < nr && ready >= 0; i++)
			if (copy_to_user(&user_fds[i].revents, &fds[i].revents, sizeof(short)) != 0)
				ready = -EFAULT;
	}
	if (fds != small)
		arena_free(fds);
	return ready;
}

/* poll goes on after a stop with what is left of its time (signal(7)). */
static long poll_restart(struct task *task)
{
	long ready = poll_fds((struct pollfd *)task->restart_arg[0], (unsigned)task->restart_arg[1],
			      task->restart_arg[2]);

	return ready == -EINTR ? -ERESTART_RESTARTBLOCK : ready;
}

SYS3(poll, struct pollfd *, user_fds, unsigned, nr, int, timeout_ms)
{
	struct task *task = current();
	uint64_t deadline_ns = 0;
	long ready;

	if (timeout_ms < 0)
		deadline_ns = WAIT_FOREVER;
	else if (timeout_ms > 0)
		deadline_ns = deadline_after((uint64_t)timeout_ms * NS_PER_MS);
	ready = poll_fds(user_fds, nr, deadline_ns);
	if (ready != -EINTR)
		return ready;
	task->restart = poll_restart;
	task->restart_arg[0] = (uint64_t)(uintptr_t)user_fds;
	task->restart_arg[1] = nr;
	task->restart_arg[2] = deadline_ns;
	return -ERESTART_RESTARTBLOCK;
}

/* A relative timespec of the program: its deadline, 0 for "do not wait". */
static int deadline_import(const struct timespec *user_timeout, uint64_t *ret_deadline_ns)
{
	struct timespec ts;

	*ret_deadline_ns = WAIT_FOREVER;
	if (user_timeout == NULL)
		return 0;
	if (copy_from_user(&ts, user_timeout, sizeof(ts)) != 0)
		return -EFAULT;
	if (!timespec_ok(&ts))
		return -EINVAL;
	*ret_deadline_ns =
		ts.tv_sec == 0 && ts.tv_nsec == 0 ? 0 : deadline_after(timespec_to_ns(&ts));
	return 0;
}

/* Linux writes back what is left of the time. */
static void timeout_export(struct timespec *user_timeout, uint64_t deadline_ns)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct timespec ts = ns_to_timespec(deadline_ns > now_ns ? deadline_ns - now_ns : 0);

	if (user_timeout != NULL && deadline_ns != 0)
		(void)copy_to_user(user_timeout, &ts, sizeof(ts)); /* a read-only timeout is no
								      error */
}

SYS5(ppoll, struct pollfd *, user_fds, unsigned, nr, struct timespec *, user_timeout,
     const uint64_t *, user_mask, uint64_t, mask_size)
{
	uint64_t deadline_ns;
	long ready;
	int err = deadline_import(user_timeout, &deadline_ns);

	if (err == 0)
		err = signal_set_temporary_mask(user_mask, mask_size);
	if (err != 0)
		return err;
	ready = poll_fds(user_fds, nr, deadline_ns);
	timeout_export(user_timeout, deadline_ns);
	if (ready == -EINTR)
		return -ERESTARTNOHAND;
	signal_restore_mask();
	return ready;
}

/* ---- select ---- */

struct select_sets {
	uint64_t in[FD_SETSIZE / 64];
	uint64_t out[FD_SETSIZE / 64];
	uint64_t ex[FD_SETSIZE / 64];
};

static int set_import(uint64_t *set, const void *user_set, unsigned nr)
{
	memset(set, 0, FD_SETSIZE / 8);
	if (user_set == NULL)
		return 0;
	return copy_from_user(set, user_set, (nr + 63) / 64 * 8);
}

static int set_export(const uint64_t *set, void *user_set, unsigned nr)
{
	if (user_set == NULL)
		return 0;
	return copy_to_user(user_set, set, (nr + 63) / 64 * 8);
}

static bool set_has(const uint64_t *set, unsigned fd)
{
	return (set[fd / 64] >> (fd % 64) & 1) != 0;
}

static short select_events(const struct select_sets *sets, unsigned fd)
{
	return (short)((set_has(sets->in, fd) ? SELECT_IN : 0) |
		       (set_has(sets->out, fd) ? SELECT_OUT : 0) |
		       (set_has(sets->ex, fd) ? SELECT_EX : 0));
}

static long select_result(struct select_sets *sets, const struct pollfd *fds, unsigned nr)
{
	const struct select_sets asked = *sets;
	long bits = 0;

	memset(sets, 0, sizeof(*sets));
	for (unsigned i = 0; i < nr; i++) {
		unsigned fd = (unsigned)fds[i].fd;
		uint64_t bit = 1UL << (fd % 64);

		if (set_has(asked.in, fd) && (fds[i].revents & SELECT_IN) != 0) {
			sets->in[fd / 64] |= bit;
			bits++;
		}
		if (set_has(asked.out, fd) && (fds[i].revents & SELECT_OUT) != 0) {
			sets->out[fd / 64] |= bit;
			bits++;
		}
		if (set_has(asked.ex, fd) && (fds[i].revents & SELECT_EX) != 0) {
			sets->ex[fd / 64] |= bit;
			bits++;
		}
	}
	return bits;
}

/* select is poll over the fds that are in any set. */
static long select_sets_wait(struct select_sets *sets, unsigned nr, uint64_t deadline_ns)
{
	struct pollfd *fds = arena_alloc(MAX(nr, 1U) * sizeof(*fds));
	unsigned n = 0;
	long ready;

	if (fds == NULL)
		return -ENOMEM;
	for (unsigned fd = 0; fd < nr; fd++) {
		short events = select_events(sets, fd);

		if (events != 0)
			fds[n++] = (struct pollfd){.fd = (int)fd, .events = events};
	}
	ready = poll_loop(fds, n, deadline_ns);
	for (unsigned i = 0; i < n && ready > 0; i++)
		if ((fds[i].revents & POLLNVAL) != 0)
			ready = -EBADF;
	if (ready >= 0)
		ready = select_result(sets, fds, n);
	arena_free(fds);
	return ready;
}

static long select_fds(int nr, void *user_in, void *user_out, void *user_ex, uint64_t deadline_ns)
{
	struct select_sets sets;
	/* Linux looks no further than the descriptor table goes. */
	unsigned size = fdtable_size(current()->process->files);
	unsigned n = (unsigned)MIN(nr, FD_SETSIZE);
	long ready;

	if (nr < 0)
		return -EINVAL;
	n = MIN(n, size);
	if (set_import(sets.in, user_in, n) != 0 || set_import(sets.out, user_out, n) != 0 ||
	    set_import(sets.ex, user_ex, n) != 0)
		return -EFAULT;
	if (n < FD_SETSIZE && n % 64 != 0) {
		uint64_t mask = (1UL << (n % 64)) - 1;

		sets.in[n / 64] &= mask;
		sets.out[n / 64] &= mask;
		sets.ex[n / 64] &= mask;
	}
	ready = select_sets_wait(&sets, n, deadline_ns);
	if (ready < 0)
		return ready;
	if (set_export(sets.in, user_in, n) != 0 || set_export(sets.out, user_out, n) != 0 ||
	    set_export(sets.ex, user_ex, n) != 0)
		return -EFAULT;
	return ready;
}

SYS5(select, int, nr, void *, user_in, void *, user_out, void *, user_ex, struct timeval *,
     user_timeout)
{
	uint64_t deadline_ns = WAIT_FOREVER, now_ns;
	struct timeval tv;
	long ready;

	if (user_timeout != NULL) {
		if (copy_from_user(&tv, user_timeout, sizeof(tv)) != 0)
			return -EFAULT;
		if (tv.tv_sec < 0 || tv.tv_usec < 0)
			return -EINVAL;
		deadline_ns =
			tv.tv_sec == 0 && tv.tv_usec == 0 ? 0 : deadline_after(timeval_to_ns(&tv));
	}
	ready = select_fds(nr, user_in, user_out, user_ex, deadline_ns);
	if (user_timeout != NULL && deadline_ns != 0) {
		now_ns = clock_monotonic_ns();
		tv = ns_to_timeval(deadline_ns > now_ns ? deadline_ns - now_ns : 0);
		(void)copy_to_user(user_timeout, &tv, sizeof(tv));
	}
	return ready == -EINTR ? -ERESTARTNOHAND : ready;
}

/* The sixth argument: a pointer to {mask, size}. */
struct pselect_mask {
	const uint64_t *mask;
	uint64_t size;
};

SYS6(pselect6, int, nr, void *, user_in, void *, user_out, void *, user_ex, struct timespec *,
     user_timeout, const struct pselect_mask *, user_mask)
{
	struct pselect_mask mask = {0};
	uint64_t deadline_ns;
	long ready;
	int err = deadline_import(user_timeout, &deadline_ns);

	if (err == 0 && user_mask != NULL)
		err = copy_from_user(&mask, user_mask, sizeof(mask));
	if (err == 0)
		err = signal_set_temporary_mask(mask.mask, mask.size);
	if (err != 0)
		return err;
	ready = select_fds(nr, user_in, user_out, user_ex, deadline_ns);
	timeout_export(user_timeout, deadline_ns);
	if (ready == -EINTR)
		return -ERESTARTNOHAND;
	signal_restore_mask();
	return ready;
}
