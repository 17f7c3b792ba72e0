/*
 * task.c - tasks and processes as objects: making, finding, freeing.
 */
#include "libos/task.h"

#include <poll.h>
#include <string.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/clock.h"
#include "libos/instance.h"
#include "libos/kthread.h"
#include "libos/process.h"

#define TID_MAX 4194304    /* as /proc/sys/kernel/pid_max on 64-bit Linux */
#define TID_FIRST 2        /* 1 is Leat's reaper */
#define ARGS_COPY_MAX 4096 /* bytes of arguments that others see */
#define TASK_STACK_BYTES (ABI_PAGE_SIZE << TASK_STACK_ORDER)

void entry_task_start(void); /* entry.S */
void task_start(void);       /* called from there */

static struct list *tid_bucket(int tid)
{
	return &instance()->tid_hash[(unsigned)tid % ARRAY_SIZE(instance()->tid_hash)];
}

struct task *task_find(int tid)
{
	struct list *pos;

	list_for_each(pos, tid_bucket(tid)) {
		struct task *task = list_entry(pos, struct task, tid_node);

		if (task->tid == tid)
			return task;
	}
	list_for_each(pos, &instance()->processes) {
		struct process *process = list_entry(pos, struct process, all_node);

		if (process->pid == tid)
			return process->leader;
	}
	return NULL;
}

int task_number(const struct task *task)
{
	return task == task->process->leader ? task->process->pid : task->tid;
}

/* In a clone the number that it had before is good, too: see process_renumber. */
static bool process_is(const struct process *process, int pid)
{
	return process->pid == pid || (process->leader != NULL && process->leader->tid == pid);
}

struct process *process_find(int pid)
{
	struct list *pos;

	list_for_each(pos, &instance()->processes) {
		struct process *process = list_entry(pos, struct process, all_node);

		if (process_is(process, pid))
			return process;
	}
	return NULL;
}

struct process *process_find_group(int pgid)
{
	struct list *pos;

	list_for_each(pos, &instance()->processes) {
		struct process *process = list_entry(pos, struct process, all_node);

		if (process->pgid == pgid && !process->zombie)
			return process;
	}
	return NULL;
}

/* Is the number in use: as a task, a process (zombies too), a process group or a session? */
static bool tid_used(int tid)
{
	struct list *pos;

	if (task_find(tid) != NULL)
		return true;
	list_for_each(pos, &instance()->processes) {
		struct process *process = list_entry(pos, struct process, all_node);

		if (process->pid == tid || process->pgid == tid || process->sid == tid)
			return true;
	}
	return false;
}

static int tid_take(void)
{
	int tid = instance()->last_tid;

	do
		tid = tid + 1 >= TID_MAX || tid < TID_FIRST - 1 ? TID_FIRST : tid + 1;
	while (tid_used(tid));
	instance()->last_tid = tid;
	return tid;
}

void process_renumber(struct process *process)
{
	int old = process->pid, pid = tid_take();
	struct list *pos;

	list_for_each(pos, &instance()->processes) {
		struct process *other = list_entry(pos, struct process, all_node);

		if (other->pgid == old)
			other->pgid = pid;
		if (other->sid == old)
			other->sid = pid;
	}
	tty_job_renumber(old, pid);
	process->pid = pid;
}

/* ---- tasks ---- */

/* What context_switch pops: six registers, then the address to return to. */
static void task_stack_init(struct task *task)
{
	uint64_t *sp;

	task->regs = (struct pt_regs *)((char *)task->kstack + TASK_STACK_BYTES) - 1;
	memset(task->regs, 0, sizeof(*task->regs));
	task->regs->full = 1;
	task->regs->orig_rax = UINT64_MAX;
	sp = (uint64_t *)task->regs;
	*--sp = (uint64_t)(uintptr_t)entry_task_start;
	for (unsigned i = 0; i < 6; i++)
		*--sp = 0;
	task->ksp = (uint64_t)(uintptr_t)sp;
}

struct task *task_create(struct process *process, void (*start)(void *arg), void *arg)
{
	struct task *task = arena_zalloc(sizeof(*task));

	if (task == NULL)
		return NULL;
	task->kstack = page_alloc(TASK_STACK_ORDER);
	task->xstate = arena_zalloc(instance()->xsave_size);
	if (task->kstack == NULL || task->xstate == NULL ||
	    signal_task_init(task, current()) != 0) {
		page_free(task->kstack, TASK_STACK_ORDER);
		arena_free(task->xstate);
		arena_free(task);
		return NULL;
	}
	task_stack_init(task);
	task->start = start;
	task->start_arg = arg;
	task->state = TASK_SLEEPING;
	task->process = process;
	task->tid = process->leader == NULL ? process->pid : tid_take();
	if (process->leader == NULL)
		process->leader = task;
	task->timer_slack_ns = current() == NULL ? TIMER_SLACK_NS : current()->timer_slack_ns;
	if (current() != NULL)
		creds_copy(&task->creds, my_creds());
	process->refs++;
	process->nr_tasks++;
	list_add_tail(&process->tasks, &task->process_node);
	list_add(tid_bucket(task->tid), &task->tid_node);
	list_init(&task->rq_node);
	timer_init(&task->sleep_timer, NULL, NULL);
	instance()->nr_tasks++;
	return task;
}

void task_destroy(struct task *task)
{
	struct process *process;

	if (task == NULL)
		return;
	process = task->process;
	timer_cancel(&task->sleep_timer);
	creds_finish(&task->creds);
	signal_task_finish(task);
	list_del(&task->process_node);
	list_del(&task->tid_node);
	if (process->leader == task)
		process->leader = NULL;
	instance()->nr_tasks--;
	page_free(task->kstack, TASK_STACK_ORDER);
	arena_free(task->xstate);
	arena_free(task);
	process_unref(process);
}

void task_become_leader(struct task *task)
{
	struct process *process = task->process;

	if (process->leader == task && task->tid == process->pid)
		return;
	list_del(&task->tid_node);
	task->tid = process->pid;
	list_add(tid_bucket(task->tid), &task->tid_node);
	process->leader = task;
	creds_copy(&process->creds, &task->creds);
}

/* A new task's first C code: it was switched to, so the lock is held. */
void task_start(void)
{
	struct task *task = current();

	if (task->start != NULL)
		task->start(task->start_arg);
	instance_unlock();
}

/* ---- processes ---- */

static void rlimits_init(struct rlimit *rlimits)
{
	const struct abi_boot *boot = instance()->boot;

	for (unsigned i = 0; i < RLIM_NLIMITS; i++)
		rlimits[i] = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
	if (boot->nofile != 0)
		rlimits[RLIMIT_NOFILE] = (struct rlimit){boot->nofile, boot->nofile};
	if (boot->stack_max != 0)
		rlimits[RLIMIT_STACK].rlim_cur = boot->stack_max;
	rlimits[RLIMIT_CORE].rlim_cur = 0;
	rlimits[RLIMIT_NICE] = rlimits[RLIMIT_RTPRIO] = (struct rlimit){0, 0};
}

struct process *process_create(struct process *parent, struct hostproc *host)
{
	struct process *process = arena_zalloc(sizeof(*process));

	if (process == NULL)
		return NULL;
	process->rlimits = arena_alloc(RLIM_NLIMITS * sizeof(struct rlimit));
	if (process->rlimits == NULL) {
		arena_free(process);
		return NULL;
	}
	if (parent != NULL)
		memcpy(process->rlimits, parent->rlimits, RLIM_NLIMITS * sizeof(struct rlimit));
	else
		rlimits_init(process->rlimits);
	process->refs = 1;
	process->pid = tid_take();
	process->pgid = parent != NULL ? parent->pgid : process->pid;
	process->sid = parent != NULL ? parent->sid : process->pid;
	process->oom_score_adj = parent != NULL ? parent->oom_score_adj : 0;
	process->no_tty = parent != NULL && parent->no_tty;
	process->nice = parent != NULL ? parent->nice : 0;
	process->host = host;
	process->started_ns = clock_monotonic_ns();
	list_init(&process->children);
	list_init(&process->sibling);
	list_init(&process->tasks);
	list_init(&process->posix_timers);
	wait_queue_init(&process->child_wait);
	wait_queue_init(&process->exit_wait);
	wait_queue_init(&process->vfork_done);
	wait_queue_init(&process->sigwait);
	wait_queue_init(&process->stop_wait);
	list_add_tail(&instance()->processes, &process->all_node);
	instance()->nr_processes++;
	host->nr_processes++;
	return process;
}

static void args_unref(struct args_copy *args)
{
	if (args != NULL && --args->refs == 0)
		arena_free(args);
}

void process_set_args(struct process *process, const char *const *argv)
{
	struct args_copy *args;
	size_t len = 0;

	for (unsigned i = 0; argv[i] != NULL; i++)
		len += strlen(argv[i]) + 1;
	len = MIN(len, (size_t)ARGS_COPY_MAX);
	args = arena_alloc(sizeof(*args) + len);
	args_unref(process->args);
	process->args = args;
	if (args == NULL)
		return;
	args->refs = 1;
	args->len = 0;
	for (unsigned i = 0; argv[i] != NULL && args->len < len; i++) {
		size_t n = MIN(strlen(argv[i]) + 1, len - args->len);

		memcpy(args->text + args->len, argv[i], n);
		args->len += n;
	}
}

void process_reap(struct process *process)
{
	list_del(&process->all_node);
	list_del(&process->sibling);
	process->parent = NULL;
	process->reaped = true;
	instance()->nr_processes--;
	wait_queue_wake(&process->exit_wait, POLLHUP);
	process_unref(process);
}

void process_unref(struct process *process)
{
	if (--process->refs > 0)
		return;
	creds_finish(&process->creds);
	arena_free(process->rlimits);
	arena_free(process->exe_path);
	args_unref(process->args);
	arena_free(process);
}
