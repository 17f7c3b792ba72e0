/*
 * pidfd.c - pidfds: descriptors that stand for a process, also when its number is used again.
 *
 * A pidfd keeps the process's object; process->reaped says that its parent has waited for it, and
 * that nothing can be sent to it any more.
 */
#include "libos/pidfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "libos/file.h"
#include "libos/fs/proc.h"
#include "libos/instance.h"
#include "libos/process.h"
#include "libos/signal.h"
#include "libos/syscall.h"

/* Ready when the process has ended; a hang-up when its parent knows. */
static uint32_t pidfd_poll(struct file *file, struct poll_table *table)
{
	struct process *process = file->data;

	if (table != NULL && table->queue != NULL)
		table->queue(table, file, &process->exit_wait);
	return (process->zombie ? POLLIN | POLLRDNORM : 0U) | (process->reaped ? POLLHUP : 0U);
}

static void pidfd_release(struct file *file)
{
	process_unref(file->data);
}

static const struct file_ops pidfd_ops = {
	.name = "anon_inode:[pidfd]",
	.poll = pidfd_poll,
	.release = pidfd_release,
};

struct process *pidfd_process(const struct file *file)
{
	return file->ops == &pidfd_ops ? file->data : NULL;
}

/* pidfd_send_signal(2) takes a directory /proc/PID too; it may have outlived the process. */
static int signal_target(const struct file *file, struct process **ret_process)
{
	struct proc_object object;

	*ret_process = pidfd_process(file);
	if (*ret_process != NULL)
		return (*ret_process)->reaped ? -ESRCH : 0;
	if (file->inode == NULL || !proc_is_process(file->inode, &object))
		return -EBADF;
	*ret_process = proc_process(&object);
	return *ret_process != NULL ? 0 : -ESRCH;
}

int pidfd_create(struct process *process, int flags)
{
	struct file *file = file_create(&pidfd_ops, process, O_RDWR | (unsigned)flags);
	int fd;

	if (file == NULL)
		return -ENOMEM;
	process->refs++;
	fd = fd_install(file, 0, true);
	if (fd < 0)
		file_unref(file);
	return fd;
}

SYS2(pidfd_open, int, pid, unsigned, flags)
{
	struct process *process;

	if ((flags & ~(unsigned)O_NONBLOCK) != 0 || pid <= 0)
		return -EINVAL;
	process = process_find(pid);
	if (process == NULL) /* one of a process's other threads is no process */
		return task_find(pid) != NULL ? -ENOENT : -ESRCH;
	return pidfd_create(process, (int)flags);
}

SYS4(pidfd_send_signal, int, fd, int, sig, const siginfo_t *, user_info, unsigned, flags)
{
	struct file *file = fd_get(fd);
	struct process *process;
	siginfo_t info;
	int err;

	if (flags != 0)
		return -EINVAL;
	err = file == NULL ? -EBADF : signal_target(file, &process);
	if (err != 0)
		return err;
	info = siginfo_from_me(sig, SI_USER);
	if (user_info != NULL)
		err = siginfo_import(&info, user_info, process == current()->process);
	if (err != 0)
		return err;
	if (sig < 0 || sig > NR_SIGNALS || info.si_signo != sig)
		return -EINVAL;
	if (!signal_may_send(process, sig))
		return -EPERM;
	return sig == 0 ? 0 : signal_send_process(process, sig, &info);
}

SYS3(pidfd_getfd, int, fd, int, target_fd, unsigned, flags)
{
	struct file *file = fd_get(fd);
	struct process *process;
	int got;

	if (flags != 0)
		return -EINVAL;
	process = file == NULL ? NULL : pidfd_process(file);
	if (process == NULL)
		return -EBADF;
	if (process->zombie || process->files == NULL)
		return -ESRCH;
	if (!may_look_into(process))
		return -EPERM;
	file = fd_get_from(process->files, target_fd);
	if (file == NULL)
		return -EBADF;
	got = fd_install(file_ref(file), 0, true);
	if (got < 0)
		file_unref(file);
	return got;
}
