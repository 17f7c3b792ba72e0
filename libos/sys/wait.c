/*
 * wait.c - handlers of wait4 and waitid.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/wait.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "libos/cputime.h"
#include "libos/file.h"
#include "libos/instance.h"
#include "libos/pidfd.h"
#include "libos/syscall.h"
#include "libos/task.h"
#include "libos/timespec.h"
#include "libos/uaccess.h"

#define WAIT_OPTIONS                                                                               \
	(WNOHANG | WUNTRACED | WEXITED | WCONTINUED | WNOWAIT | __WNOTHREAD | __WCLONE | __WALL)

/* Which children, and what about them. */
struct wait_request {
	int pid; /* > 0: that one; -1: any; 0: our group; < -1: group -pid */
	int options;
	const struct process *process; /* not NULL: this one, whatever pid says */
	bool nonblock;                 /* a pidfd's: -EAGAIN instead of waiting */
};

/* What was found. */
struct wait_result {
	int pid; /* 0: nothing yet */
	unsigned uid;
	uint32_t status; /* as wait4 has it */
	uint64_t cpu_ns;
};

static bool wait_matches(const struct wait_request *req, const struct process *child)
{
	bool clone_child = child->exit_signal != SIGCHLD;

	if ((req->options & __WALL) == 0 && clone_child != ((req->options & __WCLONE) != 0))
		return false;
	if (req->process != NULL)
		return child == req->process;
	if (req->pid > 0)
		return child->pid == req->pid;
	if (req->pid == -1)
		return true;
	return child->pgid == (req->pid == 0 ? current()->process->pgid : -req->pid);
}

/* The parent takes over the dead child's time; the child's number is free again. */
static void wait_reap(struct process *child)
{
	struct process *self = current()->process;

	self->child_run_ns += cputime_of_process(child) + child->child_run_ns;
	process_reap(child);
}

static bool wait_look(const struct wait_request *req, struct process *child,
		      struct wait_result *ret_result)
{
	bool keep = (req->options & WNOWAIT) != 0;

	ret_result->uid = child->creds.uid;
	if (child->zombie && (req->options & WEXITED) != 0) {
		ret_result->pid = child->pid;
		ret_result->status = child->exit_status;
		ret_result->cpu_ns = cputime_of_process(child) + child->child_run_ns;
		if (!keep)
			wait_reap(child);
		return true;
	}
	if (child->stopped && !child->stop_reported && (req->options & WUNTRACED) != 0) {
		ret_result->pid = child->pid;
		ret_result->status = (uint32_t)child->stop_signal << 8 | 0x7f;
		child->stop_reported = !keep;
		return true;
	}
	if (child->continued && (req->options & WCONTINUED) != 0) {
		ret_result->pid = child->pid;
		ret_result->status = 0xffff;
		child->continued = keep;
		return true;
	}
	return false;
}

/* 0 with ret_result, -ECHILD, or -ERESTARTSYS. */
static int wait_for_child(const struct wait_request *req, struct wait_result *ret_result)
{
	struct process *self = current()->process;
	struct list *pos, *tmp;

	for (;;) {
		bool any = false;

		list_for_each_safe(pos, tmp, &self->children) {
			struct process *child = list_entry(pos, struct process, sibling);

			if (!wait_matches(req, child))
				continue;
			any = true;
			if (wait_look(req, child, ret_result))
				return 0;
		}
		if (!any)
			return -ECHILD;
		if ((req->options & WNOHANG) != 0)
			return 0;
		if (req->nonblock)
			return -EAGAIN;
		if (wait_on(&self->child_wait, 0, WAIT_FOREVER) == -EINTR)
			return -ERESTARTSYS;
	}
}

static int put_rusage(struct rusage *user_usage, uint64_t cpu_ns)
{
	struct rusage usage;

	if (user_usage == NULL)
		return 0;
	memset(&usage, 0, sizeof(usage));
	usage.ru_utime = ns_to_timeval(cpu_ns);
	/* The kernel's structure ends before libc's reserved fields. */
	return copy_to_user(user_usage, &usage, offsetof(struct rusage, __reserved));
}

SYS4(wait4, int, pid, int *, user_status, int, options, struct rusage *, user_usage)
{
	struct wait_request req = {.pid = pid, .options = options | WEXITED};
	struct wait_result result = {0};
	int err;

	if ((options & ~(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL)) != 0)
		return -EINVAL;
	if (pid == INT32_MIN)
		return -ESRCH;
	err = wait_for_child(&req, &result);
	if (err != 0 || result.pid == 0)
		return err;
	if (user_status != NULL && put_user_u32((uint32_t *)user_status, result.status) != 0)
		return -EFAULT;
	if (put_rusage(user_usage, result.cpu_ns) != 0)
		return -EFAULT;
	return result.pid;
}

static void wait_siginfo(const struct wait_result *result, siginfo_t *ret_info)
{
	uint32_t status = result->status;

	memset(ret_info, 0, sizeof(*ret_info));
	if (result->pid == 0)
		return;
	ret_info->si_signo = SIGCHLD;
	ret_info->si_pid = result->pid;
	ret_info->si_uid = result->uid;
	if (status == 0xffff) {
		ret_info->si_code = CLD_CONTINUED;
		ret_info->si_status = SIGCONT;
	} else if ((status & 0xff) == 0x7f) {
		ret_info->si_code = CLD_STOPPED;
		ret_info->si_status = (int)(status >> 8);
	} else if ((status & 0x7f) == 0) {
		ret_info->si_code = CLD_EXITED;
		ret_info->si_status = (int)(status >> 8 & 0xff);
	} else {
		ret_info->si_code = (status & 0x80) != 0 ? CLD_DUMPED : CLD_KILLED;
		ret_info->si_status = (int)(status & 0x7f);
	}
}

static int waitid_pidfd(int fd, struct wait_request *req)
{
	const struct file *file = fd < 0 ? NULL : fd_get(fd);

	if (fd < 0)
		return -EINVAL;
	req->process = file == NULL ? NULL : pidfd_process(file);
	if (req->process == NULL)
		return -EBADF;
	req->nonblock = (file->flags & O_NONBLOCK) != 0;
	return 0;
}

/* Whom waitid is about. */
static int waitid_who(int type, int id, struct wait_request *req)
{
	switch (type) {
	case P_ALL:
		req->pid = -1;
		return 0;
	case P_PID:
		req->pid = id;
		return id > 0 ? 0 : -EINVAL;
	case P_PGID:
		req->pid = id == 0 ? 0 : id == 1 ? INT32_MIN : -id; /* -1 would mean any */
		return id >= 0 ? 0 : -EINVAL;
	case P_PIDFD:
		return waitid_pidfd(id, req);
	default:
		return -EINVAL;
	}
}

SYS5(waitid, int, type, int, id, siginfo_t *, user_info, int, options, struct rusage *, user_usage)
{
	struct wait_request req = {.options = options};
	struct wait_result result = {0};
	siginfo_t info;
	int err;

	if ((options & ~WAIT_OPTIONS) != 0 || (options & (WEXITED | WUNTRACED | WCONTINUED)) == 0)
		return -EINVAL;
	err = waitid_who(type, id, &req);
	if (err == 0)
		err = wait_for_child(&req, &result);
	if (err != 0)
		return err;
	wait_siginfo(&result, &info);
	if (user_info != NULL && copy_to_user(user_info, &info, sizeof(info)) != 0)
		return -EFAULT;
	return result.pid == 0 ? 0 : put_rusage(user_usage, result.cpu_ns);
}
