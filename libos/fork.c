/*
 * fork.c - fork, vfork and clone: threads, processes that share memory, and processes of their own.
 *
 * fork: the host forks, so that the program's memory is copied on write; the arena is shared, and
 * the child's task, made here, starts in the new host process with a copy of the registers. vfork
 * (and any clone with CLONE_VM but not CLONE_THREAD): a second process in the same host process;
 * only execve gives it a host process of its own.
 */
#include <errno.h>
#include <linux/sched.h>
#include <string.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/file.h"
#include "libos/fs/vfs.h"
#include "libos/instance.h"
#include "libos/kthread.h"
#include "libos/mm.h"
#include "libos/pidfd.h"
#include "libos/process.h"
#include "libos/uaccess.h"
#include "libos/xstate.h"

#define CLONE_NAMESPACES                                                                           \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)

/* clone(2), ERRORS. */
static int clone_check(uint64_t flags, uint64_t tls)
{
	if ((flags & CLONE_NAMESPACES) != 0)
		return -EPERM;
	if ((flags & CLONE_SIGHAND) != 0 && (flags & CLONE_VM) == 0)
		return -EINVAL;
	if ((flags & CLONE_THREAD) != 0 && (flags & CLONE_SIGHAND) == 0)
		return -EINVAL;
	if ((flags & CLONE_SIGHAND) != 0 && (flags & CLONE_CLEAR_SIGHAND) != 0)
		return -EINVAL;
	if ((flags & CLONE_SETTLS) != 0 && tls >= ABI_USER_HIGH)
		return -EPERM;
	if ((flags & CLONE_PIDFD) != 0 && (flags & (CLONE_THREAD | CLONE_DETACHED)) != 0)
		return -EINVAL;
	return 0;
}

/* First steps of a child that has a copy of the memory: what clone(2) wants written there. */
static void child_set_tid(void *arg)
{
	put_user_u32(arg, (uint32_t)current()->tid);
}

/* sched(7): SCHED_RESET_ON_FORK keeps real-time classes and negative nice values from children. */
static void clone_scheduling(struct task *task, const struct task *self)
{
	task->sched_policy = self->sched_policy;
	task->rt_priority = self->rt_priority;
	if (!self->reset_on_fork)
		return;
	if (task->process != self->process)
		task->process->nice = self->rt_priority > 0 ? 0 : MAX(task->process->nice, 0);
	if (self->rt_priority > 0)
		task->sched_policy = 0; /* SCHED_OTHER */
	task->rt_priority = 0;
}

static struct task *clone_task(struct process *process, const struct clone_request *req)
{
	struct task *self = current();
	bool own_memory = (req->flags & CLONE_VM) == 0;
	bool set_tid = (req->flags & CLONE_CHILD_SETTID) != 0;
	struct task *task = task_create(process, own_memory && set_tid ? child_set_tid : NULL,
					(void *)req->child_tid);

	if (task == NULL)
		return NULL;
	*task->regs = *self->regs;
	task->regs->rax = 0;
	if (req->stack != 0)
		task->regs->rsp = req->stack;
	task->fs_base = (req->flags & CLONE_SETTLS) != 0 ? req->tls : fs_base_read();
	xstate_save(task->xstate);
	task->xstate_saved = true;
	clone_scheduling(task, self);
	if ((req->flags & CLONE_CHILD_CLEARTID) != 0)
		task->clear_child_tid = req->child_tid;
	if (own_memory || (req->flags & CLONE_VFORK) != 0)
		task->altstack = self->altstack;
	memcpy(task->comm, self->comm, sizeof(task->comm));
	/* Failures to write are ignored, as the kernel does. */
	if (!own_memory && set_tid)
		put_user_u32((uint32_t *)req->child_tid, (uint32_t)task->tid);
	if ((req->flags & CLONE_PARENT_SETTID) != 0)
		put_user_u32((uint32_t *)req->parent_tid, (uint32_t)task->tid);
	return task;
}

/* ---- processes ---- */

static int clone_resources(struct process *child, struct process *self, uint64_t flags)
{
	child->mm = (flags & CLONE_VM) != 0 ? mm_ref(self->mm) : mm_copy(self->mm);
	child->files =
		(flags & CLONE_FILES) != 0 ? fdtable_ref(self->files) : fdtable_copy(self->files);
	child->fs = (flags & CLONE_FS) != 0 ? path_ctx_ref(self->fs) : path_ctx_copy(self->fs);
	if (child->mm == NULL || child->files == NULL || child->fs == NULL)
		return -ENOMEM;
	if (self->exe_path != NULL) {
		size_t size = strlen(self->exe_path) + 1;

		child->exe_path = arena_alloc(size);
		if (child->exe_path == NULL)
			return -ENOMEM;
		memcpy(child->exe_path, self->exe_path, size);
	}
	child->args = self->args;
	if (child->args != NULL)
		child->args->refs++;
	creds_copy(&child->creds, my_creds());
	child->arg_start = self->arg_start;
	child->arg_end = self->arg_end;
	child->env_start = self->env_start;
	child->env_end = self->env_end;
	memcpy(child->auxv, self->auxv, sizeof(child->auxv));
	return signal_process_init(child, self, (flags & CLONE_SIGHAND) != 0);
}

static void signal_handlers_clear(struct process *process)
{
	for (unsigned i = 0; i < NR_SIGNALS; i++)
		if (process->sighand->action[i].handler != (uint64_t)(uintptr_t)SIG_IGN)
			process->sighand->action[i] = (struct ksigaction){0};
}

/* A child that never ran. */
static void process_discard(struct process *child)
{
	if (child->sighand != NULL)
		signal_process_finish(child);
	if (child->files != NULL)
		fdtable_unref(child->files);
	if (child->fs != NULL)
		path_ctx_unref(child->fs);
	if (child->mm != NULL)
		mm_unref(child->mm);
	child->host->nr_processes--;
	process_reap(child);
}

static struct process *clone_process(const struct clone_request *req, int *ret_err)
{
	struct process *self = current()->process;
	struct process *parent = (req->flags & CLONE_PARENT) != 0 ? self->parent : self;
	struct process *child = process_create(self, self->host);

	*ret_err = -ENOMEM;
	if (child == NULL)
		return NULL;
	*ret_err = clone_resources(child, self, req->flags);
	if (*ret_err != 0) {
		process_discard(child);
		return NULL;
	}
	if ((req->flags & CLONE_CLEAR_SIGHAND) != 0)
		signal_handlers_clear(child);
	child->exit_signal = req->exit_signal;
	child->parent = parent;
	child->vfork_busy = (req->flags & CLONE_VFORK) != 0;
	if (parent != NULL)
		list_add_tail(&parent->children, &child->sibling);
	return child;
}

/* Gives the child, still asleep, a host process of its own. */
static int clone_host(struct process *child)
{
	struct hostproc *host;
	int err = vfs_prepare_fork();

	if (err == 0)
		err = hostproc_fork(&host);
	if (err != 0)
		return err;
	child->host->nr_processes--;
	child->host = host;
	host->nr_processes++;
	return 0;
}

/* Uninterruptible, as vfork(2) says; but a killed parent does not wait. */
static void vfork_wait(struct process *child)
{
	struct wait_entry entry;

	while (child->vfork_busy && !current()->killed) {
		wait_entry_init(&entry, current(), 0);
		wait_queue_add(&child->vfork_done, &entry);
		task_sleep_uninterruptible(WAIT_FOREVER);
		wait_queue_remove(&entry);
	}
}

/* CLONE_PIDFD: a descriptor in the parent's table, which the child does not get. */
static int clone_pidfd(struct process *child, const struct clone_request *req, int *ret_fd)
{
	int fd;

	if ((req->flags & CLONE_PIDFD) == 0)
		return 0;
	fd = pidfd_create(child, 0);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return put_user_u32((uint32_t *)req->pidfd, (uint32_t)fd);
}

static long clone_new_process(const struct clone_request *req)
{
	struct process *child;
	struct task *task;
	int err, pid, pidfd = -1;

	child = clone_process(req, &err);
	if (child == NULL)
		return err;
	task = clone_task(child, req);
	err = task == NULL ? -ENOMEM : clone_pidfd(child, req, &pidfd);
	if (err == 0 && (req->flags & CLONE_VM) == 0)
		err = clone_host(child);
	if (err != 0) {
		if (pidfd >= 0)
			fd_close(pidfd);
		task_destroy(task);
		process_discard(child);
		return err;
	}
	pid = child->pid;
	sched_enqueue(task);
	sched_preempt_lower(task);
	if (child->vfork_busy) {
		child->refs++;
		vfork_wait(child);
		process_unref(child);
	}
	return pid;
}

int process_move_host(void)
{
	struct task *task = current();
	struct process *process = task->process;
	struct hostproc *host;
	int err = vfs_prepare_fork();

	if (err == 0)
		err = hostproc_fork(&host);
	if (err != 0)
		return err;
	process->host->nr_processes--;
	process->host = host;
	host->nr_processes++;
	xstate_save(task->xstate);
	task->xstate_saved = true;
	this_kthread()->vector_owner = NULL;
	process_vfork_end(process);
	sched_enqueue(task);
	sched_preempt_lower(task);
	sched_switch_out(task);
	return 0;
}

/* ---- threads ---- */

static long clone_thread(const struct clone_request *req)
{
	struct task *task = clone_task(current()->process, req);
	int tid;

	if (task == NULL)
		return -ENOMEM;
	tid = task->tid;
	task_wake(task);
	return tid;
}

long process_clone(const struct clone_request *request)
{
	int err = clone_check(request->flags, request->tls);

	if (err != 0)
		return err;
	if (current()->process->exiting)
		return -ERESTARTNOINTR;
	if ((request->flags & CLONE_THREAD) != 0)
		return clone_thread(request);
	return clone_new_process(request);
}
