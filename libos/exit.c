/*
 * exit.c - the end of tasks, processes, host processes, and of the instance.
 *
 * A task ends in its own context, with exit(2) or because it finds itself killed on its way back to
 * the program.  The last task of a process ends the process, which becomes a zombie until its
 * parent has waited for it; orphans go to Leat's reaper, which wants nothing of them.  A host
 * process ends with the last of its processes.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>

#include "libos/arena.h"
#include "libos/cputime.h"
#include "libos/file.h"
#include "libos/fs/vfs.h"
#include "libos/futex.h"
#include "libos/host.h"
#include "libos/hostio.h"
#include "libos/instance.h"
#include "libos/itimer.h"
#include "libos/kthread.h"
#include "libos/mm.h"
#include "libos/process.h"
#include "libos/sysv.h"

/* ---- the instance ---- */

static _Noreturn void instance_end(uint32_t status)
{
	struct abi_instance *abi = abi_instance_of(window());
	struct instance *inst = instance();
	struct list *pos, *kpos;

	kthread_publish(this_kthread());
	abi->exit_status = status;
	/* Release pairs with leatd's acquire: the status is there when it sees the state. */
	__atomic_store_n(&abi->state, ABI_STATE_EXITED, __ATOMIC_RELEASE);
	__atomic_store_n(&inst->exiting, true, __ATOMIC_RELEASE);
	list_for_each(pos, &inst->hosts) {
		struct hostproc *host = list_entry(pos, struct hostproc, all_node);

		if (host == this_kthread()->host)
			continue;
		/* The handler of this signal sees `exiting` and ends its host process. */
		list_for_each(kpos, &host->kthreads)
			kthread_kick(list_entry(kpos, struct kthread, node));
	}
	instance_unlock();
	host_exit_group(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* ---- host processes ---- */

/* The last process of this host process has ended, and so does it: its vcpu goes to another. */
_Noreturn void hostproc_end(struct kthread *kt)
{
	struct hostproc *host = kt->host;
	struct list *pos, *tmp;

	kthread_publish(kt);
	list_del(&host->all_node);
	list_for_each(pos, &host->kthreads)
		kthread_pass_on(list_entry(pos, struct kthread, node));
	kthread_end_others(kt);
	list_for_each_safe(pos, tmp, &host->kthreads) {
		struct kthread *other = list_entry(pos, struct kthread, node);

		if (instance()->ticker == other) {
			instance()->ticker = NULL;
			instance()->ticker_deadline_ns = UINT64_MAX;
		}
		list_del(&other->node);
		list_add_tail(&instance()->dead_kthreads, &other->node);
	}
	hostio_host_gone(host);
	sched_want_for_waiting(NULL, 0);
	arena_free(host);
	instance_unlock();
	kthread_wake_handed(kt);
	host_exit_group(0);
}

/* ---- processes ---- */

/* Whoever waits for this vfork child may go on. */
void process_vfork_end(struct process *process)
{
	if (!process->vfork_busy)
		return;
	process->vfork_busy = false;
	wait_queue_wake(&process->vfork_done, 0);
}

/* Where orphans go: the nearest ancestor that asked for them (prctl(2)), else Leat's reaper: NULL.
 */
static struct process *process_reaper(const struct process *process)
{
	struct process *p = process->parent;

	while (p != NULL && (!p->subreaper || p->exiting))
		p = p->parent;
	return p;
}

static void process_parent_died(struct process *child)
{
	struct list *pos;

	list_for_each(pos, &child->tasks) {
		struct task *task = list_entry(pos, struct task, process_node);

		if (task->pdeath_signal != 0)
			signal_send_task(task, task->pdeath_signal, NULL);
	}
}

/* Children live on as the reaper's. Leat's own wants nothing of them, so zombies go at once. */
static void process_orphan_children(struct process *process)
{
	struct process *reaper = process_reaper(process);
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &process->children) {
		struct process *child = list_entry(pos, struct process, sibling);

		list_del(&child->sibling);
		child->parent = reaper;
		if (reaper != NULL)
			list_add_tail(&reaper->children, &child->sibling);
		if (!child->zombie)
			process_parent_died(child);
		else if (reaper == NULL)
			process_reap(child);
		else
			wait_queue_wake(&reaper->child_wait, 0);
	}
}

static void process_release(struct process *process)
{
	itimers_finish(process);
	fdtable_unref(process->files);
	process->files = NULL;
	path_ctx_unref(process->fs);
	process->fs = NULL;
	mm_unref(process->mm);
	process->mm = NULL;
}

/* SIGCHLD ignored, or SA_NOCLDWAIT: the parent wants no zombies (wait(2), NOTES). */
static bool parent_wants_no_zombie(const struct process *parent)
{
	const struct ksigaction *action = &parent->sighand->action[SIGCHLD - 1];

	return action->handler == (uint64_t)(uintptr_t)SIG_IGN ||
	       (action->flags & SA_NOCLDWAIT) != 0;
}

static void process_tell_parent(struct process *process)
{
	struct process *parent = process->parent;
	siginfo_t info = {.si_signo = process->exit_signal};
	uint32_t status = process->exit_status;
	bool auto_reap;

	wait_queue_wake(&process->exit_wait, POLLIN | POLLRDNORM);
	if (parent == NULL) {
		process_reap(process);
		return;
	}
	auto_reap = process->exit_signal == SIGCHLD && parent_wants_no_zombie(parent);
	info.si_code = WIFEXITED(status) ? CLD_EXITED : CLD_KILLED;
	info.si_pid = process->pid;
	info.si_uid = process->creds.uid;
	info.si_status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
	if (process->exit_signal != 0)
		signal_send_process(parent, process->exit_signal, &info);
	if (auto_reap)
		process_reap(process);
	wait_queue_wake(&parent->child_wait, 0);
}

/* The last task is ending. Returns true if the host process has to end too. */
static bool process_end(struct process *process)
{
	struct hostproc *host = process->host;

	if (process == instance()->init)
		instance_end(process->exit_status);
	tty_job_leader_gone(process);
	sysv_sem_exit(process);
	process_release(process);
	process->zombie = true;
	signal_process_leaves(process);
	process_vfork_end(process);
	process_orphan_children(process);
	signal_process_finish(process);
	process->host = NULL;
	host->nr_processes--;
	process_tell_parent(process);
	return host->nr_processes == 0 && !host->first;
}

void process_kill(struct process *process, uint32_t status)
{
	struct list *pos;

	if (process->zombie)
		return;
	if (!process->exiting) {
		process->exiting = true;
		process->exit_status = status;
	}
	list_for_each(pos, &process->tasks) {
		struct task *task = list_entry(pos, struct task, process_node);

		if (task->state == TASK_DEAD)
			continue;
		task->killed = true;
		if (task->state == TASK_SLEEPING)
			task_wake(task);
		else
			task_kick(task);
	}
}

/* ---- tasks ---- */

/* set_tid_address(2): whoever joins this thread waits there. */
static void task_clear_child_tid(struct task *task)
{
	if (task->clear_child_tid == 0)
		return;
	if (put_user_u32((uint32_t *)task->clear_child_tid, 0) == 0)
		futex_wake_addr(task->clear_child_tid, 1);
	task->clear_child_tid = 0;
}

/* Ends the current task; the kthread's loop frees what is left of it. */
static _Noreturn void task_end(struct task *task)
{
	struct process *process = task->process;
	struct kthread *kt;
	bool host_ends = false;

	futex_task_exit(task);
	futex_pi_task_exit(task);
	task_clear_child_tid(task);
	process->nr_tasks--;
	wait_queue_wake(&process->vfork_done, 0); /* execve waits for the others to go */
	if (process->nr_tasks == 0)
		host_ends = process_end(process);
	kt = this_kthread();
	task->state = TASK_DEAD;
	process->dead_run_ns += cputime_of_task(task);
	if (host_ends)
		kt->host->dead = true; /* seen by the kthread's loop, which is on a stack of its own
					*/
	kt->dead_task = task;
	sched_switch_out(task);
	panic("a dead task ran");
}

void task_exit(int code)
{
	struct task *task = current();
	struct process *process = task->process;

	if (process->nr_tasks == 1 && !process->exiting) {
		process->exiting = true;
		process->exit_status = ((uint32_t)code & 0xff) << 8;
	}
	task_end(task);
}

/* For a task that finds itself killed: alone (by execve in another thread) or with its process. */
void task_die(void)
{
	struct process *process = current()->process;

	if (process->exiting)
		process_exit(process->exit_status);
	task_exit(0);
}

void process_exit(uint32_t status)
{
	struct task *task = current();

	process_kill(task->process, status);
	task_end(task);
}
