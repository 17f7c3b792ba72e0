/*
 * signalfd.c - signalfd(2): blocked signals read as data.
 *
 * What is read belongs to the task that reads, whoever made the descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>

#include "libos/arena.h"
#include "libos/file.h"
#include "libos/signal.h"
#include "libos/syscall.h"

struct signalfd {
	uint64_t set;
};

static const struct file_ops signalfd_ops;

static void signalfd_fill(struct signalfd_siginfo *out, const siginfo_t *info)
{
	memset(out, 0, sizeof(*out));
	out->ssi_signo = (uint32_t)info->si_signo;
	out->ssi_errno = info->si_errno;
	out->ssi_code = info->si_code;
	out->ssi_pid = (uint32_t)info->si_pid;
	out->ssi_uid = info->si_uid;
	if (info->si_signo == SIGCHLD) {
		out->ssi_status = info->si_status;
	} else if (info->si_code == SI_TIMER) {
		out->ssi_pid = 0;
		out->ssi_uid = 0;
		out->ssi_tid = (uint32_t)info->si_timerid;
		out->ssi_overrun = (uint32_t)info->si_overrun;
		out->ssi_ptr = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
		out->ssi_int = info->si_value.sival_int;
	} else if (info->si_code == SI_QUEUE) {
		out->ssi_ptr = (uint64_t)(uintptr_t)info->si_value.sival_ptr;
		out->ssi_int = info->si_value.sival_int;
	}
}

/* Sleeps until a signal of the set is pending: it may arrive for the task or for its process. */
static int signalfd_wait(struct task *task)
{
	struct wait_entry own, shared;
	int err;

	wait_entry_init(&own, task, 0);
	wait_entry_init(&shared, task, 0);
	wait_queue_add(&task->sigwait, &own);
	wait_queue_add(&task->process->sigwait, &shared);
	err = task_sleep(WAIT_FOREVER);
	wait_queue_remove(&own);
	wait_queue_remove(&shared);
	return err == -EINTR ? -ERESTARTSYS : err;
}

static ssize_t signalfd_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	const struct signalfd *sfd = file->data;
	struct task *task = current();
	struct signalfd_siginfo out;
	siginfo_t info = {0};
	ssize_t done = 0;
	int err;

	(void)pos;
	if (uio->left < sizeof(out))
		return -EINVAL;
	while (uio->left >= sizeof(out)) {
		if (signal_dequeue(task, sfd->set, &info) == 0) {
			if (done > 0)
				return done;
			if ((file->flags & O_NONBLOCK) != 0)
				return -EAGAIN;
			err = signalfd_wait(task);
			if (err != 0)
				return err;
			continue;
		}
		signalfd_fill(&out, &info);
		if (uio_copy_out(uio, &out, sizeof(out)) != sizeof(out))
			return done > 0 ? done : -EFAULT;
		done += (ssize_t)sizeof(out);
	}
	return done;
}

static uint32_t signalfd_poll(struct file *file, struct poll_table *table)
{
	const struct signalfd *sfd = file->data;
	struct task *task = current();

	if (table != NULL && table->queue != NULL) {
		table->queue(table, file, &task->sigwait);
		table->queue(table, file, &task->process->sigwait);
	}
	return (signal_pending_set(task) & sfd->set) != 0 ? POLLIN | POLLRDNORM : 0;
}

static void signalfd_release(struct file *file)
{
	arena_free(file->data);
}

static const struct file_ops signalfd_ops = {
	.name = "anon_inode:[signalfd]",
	.read = signalfd_read,
	.poll = signalfd_poll,
	.release = signalfd_release,
};

static long signalfd_new(uint64_t set, int flags)
{
	struct signalfd *sfd = arena_alloc(sizeof(*sfd));
	struct file *file;
	int fd;

	if (sfd == NULL)
		return -ENOMEM;
	sfd->set = set;
	file = file_create(&signalfd_ops, sfd,
			   O_RDWR | ((flags & SFD_NONBLOCK) != 0 ? O_NONBLOCK : 0));
	if (file == NULL) {
		arena_free(sfd);
		return -ENOMEM;
	}
	fd = fd_install(file, 0, (flags & SFD_CLOEXEC) != 0);
	if (fd < 0)
		file_unref(file);
	return fd;
}

static long signalfd_open(int fd, const uint64_t *user_set, uint64_t size, int flags)
{
	struct file *file;
	uint64_t set;

	if (size != sizeof(set) || (flags & ~(SFD_CLOEXEC | SFD_NONBLOCK)) != 0)
		return -EINVAL;
	if (copy_from_user(&set, user_set, sizeof(set)) != 0)
		return -EFAULT;
	set &= ~(SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP));
	if (fd == -1)
		return signalfd_new(set, flags);
	file = fd_get(fd);
	if (file == NULL)
		return -EBADF;
	if (file->ops != &signalfd_ops)
		return -EINVAL;
	((struct signalfd *)file->data)->set = set;
	wait_queue_wake(&current()->process->sigwait, 0);
	return fd;
}

SYS3(signalfd, int, fd, const uint64_t *, user_set, uint64_t, size)
{
	return signalfd_open(fd, user_set, size, 0);
}

SYS4(signalfd4, int, fd, const uint64_t *, user_set, uint64_t, size, int, flags)
{
	return signalfd_open(fd, user_set, size, flags);
}
