/*
 * task.c - handlers of processes and threads: making, naming, grouping and ending them.
 */
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <string.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/kthread.h"
#include "libos/process.h"
#include "libos/syscall.h"
#include "libos/uaccess.h"

#define MEMBARRIER_PRIVATE 0x78 /* PRIVATE_EXPEDITED and its SYNC_CORE, and their registrations */
#define CLONE_ARGS_SIZE_0 64    /* struct clone_args of Linux 5.3 */
#define PATH_ORDER 0U           /* PATH_MAX bytes */

_Static_assert(PATH_MAX <= ABI_PAGE_SIZE, "a path fits a page");

/* ---- making ---- */

SYS5(clone, unsigned long, flags, unsigned long, stack, unsigned long, parent_tid, unsigned long,
     child_tid, unsigned long, tls)
{
	struct clone_request req = {
		.flags = flags & 0xffffffffUL & ~(unsigned long)CSIGNAL,
		.exit_signal = (int)(flags & CSIGNAL),
		.stack = stack,
		.parent_tid = parent_tid,
		.child_tid = child_tid,
		.tls = tls,
		.pidfd = parent_tid,
	};

	/* They are one argument. */
	if ((flags & CLONE_PIDFD) != 0 && (flags & CLONE_PARENT_SETTID) != 0)
		return -EINVAL;
	return process_clone(&req);
}

SYS0(fork)
{
	struct clone_request req = {.exit_signal = SIGCHLD};

	return process_clone(&req);
}

SYS0(vfork)
{
	struct clone_request req = {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD};

	return process_clone(&req);
}

/* As clone(2) says: what is beyond the fields that we know must be zero. */
static int clone_args_import(struct clone_args *args, const void *user_args, size_t size)
{
	size_t known = MIN(size, sizeof(*args));
	uint8_t byte;

	if (size < CLONE_ARGS_SIZE_0)
		return -EINVAL;
	if (size > ABI_PAGE_SIZE)
		return -E2BIG;
	memset(args, 0, sizeof(*args));
	if (copy_from_user(args, user_args, known) != 0)
		return -EFAULT;
	for (size_t i = known; i < size; i++) {
		if (copy_from_user(&byte, (const char *)user_args + i, 1) != 0)
			return -EFAULT;
		if (byte != 0)
			return -E2BIG;
	}
	return 0;
}

SYS2(clone3, const void *, user_args, size_t, size)
{
	struct clone_request req = {0};
	struct clone_args args;
	int err = clone_args_import(&args, user_args, size);

	if (err != 0)
		return err;
	if ((args.flags & CSIGNAL) != 0 || args.exit_signal >= NR_SIGNALS ||
	    args.set_tid_size != 0 || (args.flags & CLONE_INTO_CGROUP) != 0 ||
	    (args.stack == 0) != (args.stack_size == 0))
		return -EINVAL;
	req.flags = args.flags;
	req.exit_signal = (int)args.exit_signal;
	req.stack = args.stack == 0 ? 0 : args.stack + args.stack_size;
	req.parent_tid = args.parent_tid;
	req.child_tid = args.child_tid;
	req.tls = args.tls;
	req.pidfd = args.pidfd;
	return process_clone(&req);
}

static long exec_at(int dirfd, const char *user_path, uint64_t argv, uint64_t envp, int flags)
{
	char *path = page_alloc(PATH_ORDER);
	long ret;

	if (path == NULL)
		return -ENOMEM;
	ret = strncpy_from_user(path, user_path, PATH_MAX);
	if (ret == 0 && (flags & AT_EMPTY_PATH) == 0)
		ret = -ENOENT;
	if (ret >= 0)
		ret = process_exec(dirfd, path, argv, envp, flags);
	page_free(path, PATH_ORDER);
	return ret;
}

SYS3(execve, const char *, path, uint64_t, argv, uint64_t, envp)
{
	return exec_at(AT_FDCWD, path, argv, envp, 0);
}

SYS5(execveat, int, dirfd, const char *, path, uint64_t, argv, uint64_t, envp, int, flags)
{
	if ((flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) != 0)
		return -EINVAL;
	return exec_at(dirfd, path, argv, envp, flags);
}

/* ---- ending ---- */

SYS1(exit, int, code)
{
	task_exit(code);
}

SYS1(exit_group, int, code)
{
	process_exit(((uint32_t)code & 0xff) << 8);
}

/* ---- names and groups ---- */

SYS0(getpid)
{
	return current()->process->pid;
}

SYS0(gettid)
{
	return task_number(current());
}

/* Orphans and the first program are children of Leat's reaper, 1. */
SYS0(getppid)
{
	const struct process *parent = current()->process->parent;

	return parent == NULL ? 1 : parent->pid;
}

static struct process *process_or_self(int pid)
{
	return pid == 0 ? current()->process : process_find(pid);
}

SYS1(getpgid, int, pid)
{
	const struct process *process = process_or_self(pid);

	return process == NULL ? -ESRCH : process->pgid;
}

SYS0(getpgrp)
{
	return current()->process->pgid;
}

SYS1(getsid, int, pid)
{
	const struct process *process = process_or_self(pid);

	return process == NULL ? -ESRCH : process->sid;
}

static bool group_in_session(int pgid, int sid)
{
	struct list *pos;

	list_for_each(pos, &instance()->processes) {
		const struct process *process = list_entry(pos, struct process, all_node);

		if (process->pgid == pgid && process->sid == sid)
			return true;
	}
	return false;
}

SYS2(setpgid, int, pid, int, pgid)
{
	struct process *self = current()->process;
	struct process *process = process_or_self(pid);

	if (pgid < 0)
		return -EINVAL;
	if (process == NULL || (process != self && process->parent != self))
		return -ESRCH;
	if (process != self && process->execed)
		return -EACCES;
	if (process->sid != self->sid || process->sid == process->pid)
		return -EPERM;
	if (pgid == 0)
		pgid = process->pid;
	if (pgid != process->pid && !group_in_session(pgid, process->sid))
		return -EPERM;
	process->pgid = pgid;
	return 0;
}

SYS0(setsid)
{
	struct process *self = current()->process;
	struct list *pos;

	list_for_each(pos, &instance()->processes)
		if (list_entry(pos, struct process, all_node)->pgid == self->pid)
			return -EPERM;
	self->sid = self->pid;
	self->pgid = self->pid;
	self->no_tty = false;
	return self->pid;
}

/* ---- threads ---- */

SYS1(set_tid_address, uint64_t, addr)
{
	current()->clear_child_tid = addr;
	return current()->tid;
}

SYS0(sched_yield)
{
	task_yield();
	return 0;
}

/* The %gs register is the libOS's. */
SYS2(arch_prctl, int, code, uint64_t, addr)
{
	switch (code) {
	case ARCH_SET_FS:
		if (addr >= ABI_USER_HIGH)
			return -EPERM;
		fs_base_write(addr);
		return 0;
	case ARCH_GET_FS:
		return put_user_u64((uint64_t *)addr, fs_base_read());
	case ARCH_SET_GS:
		return -EPERM;
	default:
		return -EINVAL;
	}
}

/* ---- processors: the instance's vcpus, numbered from 0 ---- */

static uint64_t all_cpus(void)
{
	return (1UL << instance()->boot->nr_vcpus) - 1; /* at most ABI_MAX_VCPUS = 32 */
}

SYS3(sched_getaffinity, int, pid, unsigned, size, uint64_t *, user_mask)
{
	const struct task *task = pid == 0 ? current() : task_find(pid);

	if (size < sizeof(uint64_t) || size % sizeof(uint64_t) != 0)
		return -EINVAL;
	if (task == NULL)
		return -ESRCH;
	if (put_user_u64(user_mask, task->affinity != 0 ? task->affinity : all_cpus()) != 0)
		return -EFAULT;
	return sizeof(uint64_t);
}

SYS3(sched_setaffinity, int, pid, unsigned, size, const void *, user_mask)
{
	struct task *task = pid == 0 ? current() : task_find(pid);
	uint64_t mask = 0;

	if (copy_from_user(&mask, user_mask, MIN(size, sizeof(mask))) != 0)
		return -EFAULT;
	if (task == NULL)
		return -ESRCH;
	mask &= all_cpus();
	if (mask == 0)
		return -EINVAL;
	task->affinity = mask;
	return 0;
}

SYS2(getcpu, uint32_t *, user_cpu, uint32_t *, user_node)
{
	if (user_cpu != NULL && put_user_u32(user_cpu, (uint32_t)this_kthread()->vcpu) != 0)
		return -EFAULT;
	if (user_node != NULL && put_user_u32(user_node, 0) != 0)
		return -EFAULT;
	return 0;
}

/*
 * Passed on: the process's kthreads are the only ones that run its tasks, and a task that does not
 * run has been through the instance lock.
 */
SYS3(membarrier, int, cmd, unsigned, flags, int, cpu)
{
	(void)cpu;
	if (flags != 0 || (cmd & ~MEMBARRIER_PRIVATE) != 0)
		return -EINVAL;
	return cmd == 0 ? host_membarrier(0, 0) & MEMBARRIER_PRIVATE : host_membarrier(cmd, 0);
}
