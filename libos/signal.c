/*
 * signal.c - signals: sending, queues, masks, and delivery on the way back to user mode.
 *
 * The rules are signal(7)'s.  A signal is pending in its task's or its process's queue; delivery
 * happens in the receiving task only, in signal_deliver().  A standard signal is queued once, a
 * real-time one as often as it was sent.
 */
#include "libos/signal.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>

#include "leat/abi/window.h"
#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/instance.h"
#include "libos/syscall.h"
#include "libos/trace.h"
#include "libos/uaccess.h"

#define SIG_UNBLOCKABLE (SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP))
#define SIG_STOPS (SIG_BIT(SIGSTOP) | SIG_BIT(SIGTSTP) | SIG_BIT(SIGTTIN) | SIG_BIT(SIGTTOU))
#define SIG_IGNORED_BY_DEFAULT                                                                     \
	(SIG_BIT(SIGCHLD) | SIG_BIT(SIGCONT) | SIG_BIT(SIGURG) | SIG_BIT(SIGWINCH))
#define SIG_SYNCHRONOUS                                                                            \
	(SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) |                 \
	 SIG_BIT(SIGFPE) | SIG_BIT(SIGSYS))

#define SIGQUEUE_MAX                                                                               \
	8192U /* queued real-time signals of one process, RLIMIT_SIGPENDING's default */

static const struct ksigaction *signal_action(const struct process *process, int sig)
{
	return &process->sighand->action[sig - 1];
}

bool signal_ignores(const struct process *process, int sig)
{
	uint64_t handler = signal_action(process, sig)->handler;

	if (handler == (uint64_t)(uintptr_t)SIG_IGN)
		return (SIG_BIT(sig) & SIG_UNBLOCKABLE) == 0;
	return handler == (uint64_t)(uintptr_t)SIG_DFL &&
	       (SIG_BIT(sig) & SIG_IGNORED_BY_DEFAULT) != 0;
}

/* ---- pending sets ---- */

static void sigpending_init(struct sigpending *pending)
{
	pending->set = 0;
	list_init(&pending->queue);
}

static void sigpending_flush(struct sigpending *pending, uint64_t set)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &pending->queue) {
		struct sigqueue_entry *entry = list_entry(pos, struct sigqueue_entry, node);

		if ((SIG_BIT(entry->info.si_signo) & set) == 0)
			continue;
		list_del(&entry->node);
		arena_free(entry);
	}
	pending->set &= ~set;
}

static unsigned sigpending_count(const struct sigpending *pending, int sig)
{
	const struct list *pos;
	unsigned n = 0;

	list_for_each(pos, &pending->queue)
		n += list_entry(pos, struct sigqueue_entry, node)->info.si_signo == sig;
	return n;
}

/* Real-time signals queue up; a standard one that is pending already is merged with it. */
static int sigpending_add(struct sigpending *pending, int sig, const siginfo_t *info)
{
	struct sigqueue_entry *entry;

	if (sig < SIGRTMIN_KERNEL && (pending->set & SIG_BIT(sig)) != 0)
		return 0;
	if (sig >= SIGRTMIN_KERNEL && sigpending_count(pending, sig) >= SIGQUEUE_MAX)
		return -EAGAIN;
	entry = arena_alloc(sizeof(*entry));
	if (entry == NULL)
		return -ENOMEM;
	if (info != NULL)
		entry->info = *info;
	else
		entry->info = (siginfo_t){.si_code = SI_KERNEL};
	entry->info.si_signo = sig;
	list_add_tail(&pending->queue, &entry->node);
	pending->set |= SIG_BIT(sig);
	return 0;
}

static int sigpending_take(struct sigpending *pending, int sig, siginfo_t *ret_info)
{
	struct list *pos, *tmp;
	bool found = false;

	list_for_each_safe(pos, tmp, &pending->queue) {
		struct sigqueue_entry *entry = list_entry(pos, struct sigqueue_entry, node);

		if (entry->info.si_signo != sig)
			continue;
		if (found)
			return sig; /* another instance stays pending */
		*ret_info = entry->info;
		found = true;
		list_del(&entry->node);
		arena_free(entry);
	}
	pending->set &= ~SIG_BIT(sig);
	return sig;
}

/* Faults first, then the lowest number (signal(7), "real-time signals"). */
static int sigset_first(uint64_t set)
{
	uint64_t first = (set & SIG_SYNCHRONOUS) != 0 ? set & SIG_SYNCHRONOUS : set;

	return first == 0 ? 0 : __builtin_ctzl(first) + 1;
}

int signal_dequeue(struct task *task, uint64_t set, siginfo_t *ret_info)
{
	int sig = sigset_first(task->pending.set & set);

	if (sig != 0)
		return sigpending_take(&task->pending, sig, ret_info);
	sig = sigset_first(task->process->pending.set & set);
	if (sig != 0)
		return sigpending_take(&task->process->pending, sig, ret_info);
	return 0;
}

uint64_t signal_pending_set(const struct task *task)
{
	return task->pending.set | task->process->pending.set;
}

bool signal_pending(const struct task *task)
{
	return task->killed || task->process->stopped ||
	       (signal_pending_set(task) & ~task->blocked) != 0;
}

/* ---- sending ---- */

static void signal_notify(struct task *task)
{
	task_interrupt(task);
	task_kick(task);
}

/* Some task that does not block the signal shall look at it; the leader if it can. */
static void signal_notify_process(struct process *process, int sig)
{
	struct list *pos;

	if (process->leader != NULL && process->leader->state != TASK_DEAD &&
	    (process->leader->blocked & SIG_BIT(sig)) == 0) {
		signal_notify(process->leader);
		return;
	}
	list_for_each(pos, &process->tasks) {
		struct task *task = list_entry(pos, struct task, process_node);

		if (task->state != TASK_DEAD && (task->blocked & SIG_BIT(sig)) == 0) {
			signal_notify(task);
			return;
		}
	}
}

void signal_flush(struct process *process, uint64_t set)
{
	struct list *pos;

	sigpending_flush(&process->pending, set);
	list_for_each(pos, &process->tasks)
		sigpending_flush(&list_entry(pos, struct task, process_node)->pending, set);
}

/* The parent learns of stops and continues by SIGCHLD and through wait4. */
static void signal_tell_parent(struct process *process, int code, int status)
{
	struct process *parent = process->parent;
	siginfo_t info = {.si_signo = SIGCHLD, .si_code = code};

	if (parent == NULL)
		return;
	info.si_pid = process->pid;
	info.si_uid = process->creds.uid;
	info.si_status = status;
	if ((signal_action(parent, SIGCHLD)->flags & SA_NOCLDSTOP) == 0)
		signal_send_process(parent, SIGCHLD, &info);
	wait_queue_wake(&parent->child_wait, 0);
}

static void signal_continue(struct process *process)
{
	signal_flush(process, SIG_STOPS);
	if (!process->stopped)
		return;
	process->stopped = false;
	process->stop_reported = false;
	process->continued = true;
	wait_queue_wake(&process->stop_wait, 0);
	signal_tell_parent(process, CLD_CONTINUED, SIGCONT);
}

/* Effects that happen at sending, whether the signal is blocked or not. True: nothing left to
 * queue. */
static bool signal_send_effects(struct process *process, int sig)
{
	if (sig == SIGKILL) {
		process_kill(process, SIGKILL);
		wait_queue_wake(&process->stop_wait, 0);
		return true;
	}
	if (sig == SIGCONT)
		signal_continue(process);
	else if ((SIG_BIT(sig) & SIG_STOPS) != 0)
		signal_flush(process, SIG_BIT(SIGCONT));
	return false;
}

int signal_send_task(struct task *task, int sig, const siginfo_t *info)
{
	struct process *process = task->process;
	int err;

	if (task->state == TASK_DEAD || signal_send_effects(process, sig))
		return 0;
	if (signal_ignores(process, sig) && (task->blocked & SIG_BIT(sig)) == 0)
		return 0;
	err = sigpending_add(&task->pending, sig, info);
	if (err != 0)
		return err;
	wait_queue_wake(&task->sigwait, 0);
	if ((task->blocked & SIG_BIT(sig)) == 0)
		signal_notify(task);
	return 0;
}

/* Does every task of the process block it? Then even an ignored signal stays pending. */
static bool signal_all_block(const struct process *process, int sig)
{
	const struct list *pos;

	list_for_each(pos, &process->tasks)
		if ((list_entry(pos, struct task, process_node)->blocked & SIG_BIT(sig)) == 0)
			return false;
	return true;
}

int signal_send_process(struct process *process, int sig, const siginfo_t *info)
{
	struct list *pos;
	int err;

	if (process->zombie || signal_send_effects(process, sig))
		return 0;
	if (signal_ignores(process, sig) && !signal_all_block(process, sig))
		return 0;
	err = sigpending_add(&process->pending, sig, info);
	if (err != 0)
		return err;
	wait_queue_wake(&process->sigwait, 0);
	list_for_each(pos, &process->tasks)
		wait_queue_wake(&list_entry(pos, struct task, process_node)->sigwait, 0);
	signal_notify_process(process, sig);
	return 0;
}

int signal_send_pgrp(int pgid, int sig, const siginfo_t *info)
{
	struct list *pos, *tmp;
	int err = -ESRCH;

	list_for_each_safe(pos, tmp, &instance()->processes) {
		struct process *process = list_entry(pos, struct process, all_node);

		if (process->pgid != pgid || process->zombie)
			continue;
		if (sig == 0 || signal_send_process(process, sig, info) == 0)
			err = 0;
	}
	return err;
}

/* CAP_KILL for uid 0; else the sender's real or effective uid must match; SIGCONT within a session.
 */
bool signal_may_send(const struct process *to, int sig)
{
	const struct process *self = current()->process;
	const struct creds *me = my_creds();

	if (creds_capable(me, CAP_KILL) || self == to)
		return true;
	if (me->euid == to->creds.suid || me->euid == to->creds.uid || me->uid == to->creds.suid ||
	    me->uid == to->creds.uid)
		return true;
	return sig == SIGCONT && self->sid == to->sid;
}

/* A fault may be neither blocked nor ignored: the process dies of it then. */
void signal_force_fault(struct kthread *kt)
{
	struct task *task = kt->current;
	int sig = kt->fault_info.si_signo;
	struct ksigaction *action = &task->process->sighand->action[sig - 1];

	task->trapno = kt->fault_trapno;
	task->trap_error = kt->fault_error;
	task->trap_cr2 = kt->fault_cr2;
	if ((task->blocked & SIG_BIT(sig)) != 0 ||
	    action->handler == (uint64_t)(uintptr_t)SIG_IGN) {
		action->handler = (uint64_t)(uintptr_t)SIG_DFL;
		task->blocked &= ~SIG_BIT(sig);
	}
	if (sigpending_add(&task->pending, sig, &kt->fault_info) != 0)
		process_kill(task->process, (uint32_t)sig);
}

/* ---- masks ---- */

void signal_set_blocked(struct task *task, uint64_t blocked)
{
	uint64_t newly;
	int sig;

	blocked &= ~SIG_UNBLOCKABLE;
	newly = blocked & ~task->blocked & task->process->pending.set;
	task->blocked = blocked;
	for (; newly != 0; newly &= newly - 1) {
		sig = __builtin_ctzl(newly) + 1;
		signal_notify_process(task->process, sig);
	}
}

int signal_set_temporary_mask(const uint64_t *user_set, uint64_t size)
{
	struct task *task = current();
	uint64_t set;

	if (user_set == NULL)
		return 0;
	if (size != sizeof(set))
		return -EINVAL;
	if (copy_from_user(&set, user_set, sizeof(set)) != 0)
		return -EFAULT;
	task->saved_blocked = task->blocked;
	task->restore_blocked = true;
	signal_set_blocked(task, set);
	return 0;
}

void signal_restore_mask(void)
{
	struct task *task = current();

	if (!task->restore_blocked)
		return;
	task->restore_blocked = false;
	signal_set_blocked(task, task->saved_blocked);
}

/* ---- delivery ---- */

static uint32_t signal_exit_status(int sig)
{
	return (uint32_t)sig; /* WCOREDUMP stays clear: no core file is written */
}

/* Sleeps until SIGCONT or death. */
static void signal_stopped_wait(struct task *task)
{
	struct process *process = task->process;
	struct wait_entry entry;

	while (process->stopped && !task->killed) {
		wait_entry_init(&entry, task, 0);
		wait_queue_add(&process->stop_wait, &entry);
		task_sleep_uninterruptible(WAIT_FOREVER);
		wait_queue_remove(&entry);
	}
}

bool signal_group_is_orphaned(int pgid, const struct process *leaving)
{
	struct list *pos;

	list_for_each(pos, &instance()->processes) {
		const struct process *process = list_entry(pos, struct process, all_node);
		const struct process *parent = process->parent;

		if (process->pgid != pgid || process->zombie || process == leaving ||
		    parent == NULL || parent->zombie || parent == leaving)
			continue;
		if (parent->pgid != pgid && parent->sid == process->sid)
			return false;
	}
	return true;
}

static bool group_has_stopped(int pgid)
{
	struct list *pos;

	list_for_each(pos, &instance()->processes) {
		const struct process *process = list_entry(pos, struct process, all_node);

		if (process->pgid == pgid && process->stopped)
			return true;
	}
	return false;
}

/* A stopped group that nobody can continue any more gets SIGHUP and SIGCONT (POSIX, _exit). */
static void group_release(int pgid, const struct process *leaving)
{
	if (!signal_group_is_orphaned(pgid, leaving) || !group_has_stopped(pgid))
		return;
	signal_send_pgrp(pgid, SIGHUP, NULL);
	signal_send_pgrp(pgid, SIGCONT, NULL);
}

void signal_process_leaves(struct process *process)
{
	const struct process *parent = process->parent;
	struct list *pos;

	if (parent != NULL && parent->pgid != process->pgid && parent->sid == process->sid)
		group_release(process->pgid, process);
	list_for_each(pos, &process->children) {
		const struct process *child = list_entry(pos, struct process, sibling);

		if (child->pgid != process->pgid && child->sid == process->sid)
			group_release(child->pgid, process);
	}
}

static void signal_stop(struct task *task, int sig)
{
	struct process *process = task->process;
	struct list *pos;

	process->stopped = true;
	process->stop_signal = sig;
	process->stop_reported = false;
	process->continued = false;
	list_for_each(pos, &process->tasks) {
		struct task *other = list_entry(pos, struct task, process_node);

		if (other != task)
			signal_notify(other);
	}
	signal_tell_parent(process, CLD_STOPPED, sig);
}

/* The default action of a signal that has one. */
static void signal_default(struct task *task, int sig)
{
	if ((SIG_BIT(sig) & SIG_IGNORED_BY_DEFAULT) != 0)
		return;
	if ((SIG_BIT(sig) & SIG_STOPS) != 0) {
		/* Job control stops nobody for whom there is no job control. */
		if (sig == SIGSTOP || !signal_group_is_orphaned(task->process->pgid, NULL))
			signal_stop(task, sig);
		return;
	}
	process_exit(signal_exit_status(sig));
}

static bool result_is_restart(int64_t result)
{
	return result == -ERESTARTSYS || result == -ERESTARTNOINTR || result == -ERESTARTNOHAND ||
	       result == -ERESTART_RESTARTBLOCK;
}

/* After a handler the call is restarted, or fails with EINTR: what each restart code says. */
static bool signal_restarts(int64_t result, const struct ksigaction *action)
{
	if (result == -ERESTARTNOINTR)
		return true;
	return result == -ERESTARTSYS && (action->flags & SA_RESTART) != 0;
}

static void signal_handle(struct pt_regs *regs, int sig, const siginfo_t *info)
{
	struct task *task = current();
	struct ksigaction *slot = &task->process->sighand->action[sig - 1];
	struct ksigaction action = *slot;
	uint64_t restore_mask = task->restore_blocked ? task->saved_blocked : task->blocked;
	bool restart = false;

	if (regs->orig_rax != UINT64_MAX && result_is_restart((int64_t)regs->rax)) {
		restart = signal_restarts((int64_t)regs->rax, &action);
		if (!restart)
			regs->rax = (uint64_t)-EINTR;
	}
	if ((action.flags & SA_RESETHAND) != 0)
		slot->handler = (uint64_t)(uintptr_t)SIG_DFL;
	if (sigframe_push(regs, sig, &action, info, restore_mask, restart) != 0)
		process_exit(signal_exit_status(SIGSEGV));
	task->restore_blocked = false;
	signal_set_blocked(task, task->blocked | action.mask |
					 ((action.flags & SA_NODEFER) != 0 ? 0 : SIG_BIT(sig)));
}

/* Delivers one signal. False: none is deliverable. */
static bool signal_deliver_one(struct pt_regs *regs)
{
	struct task *task = current();
	siginfo_t info = {0};
	int sig;

	if (task->killed)
		task_exit(0);
	if (task->process->stopped) {
		signal_stopped_wait(task);
		return true;
	}
	sig = signal_dequeue(task, ~task->blocked, &info);
	if (sig == 0)
		return false;
	if (abi_instance_of(window())->trace != 0)
		trace_signal(sig, &info);
	if (signal_ignores(task->process, sig))
		return true;
	if (signal_action(task->process, sig)->handler == (uint64_t)(uintptr_t)SIG_DFL)
		signal_default(task, sig);
	else
		signal_handle(regs, sig, &info);
	return true;
}

long syscall_redo(struct pt_regs *regs)
{
	struct task *task = current();
	uint64_t nr = regs->orig_rax;

	if ((int64_t)regs->rax == -ERESTART_RESTARTBLOCK && task->restart != NULL)
		return task->restart(task);
	return syscall_table[nr].fn((long)regs->rdi, (long)regs->rsi, (long)regs->rdx,
				    (long)regs->r10, (long)regs->r8, (long)regs->r9);
}

/*
 * No handler ran: an interrupted call goes on as if nothing had happened.  It is simply called
 * again here, since not every rewritten site has a syscall instruction left to go back to.
 */
static bool signal_resume_call(struct pt_regs *regs)
{
	if (regs->orig_rax == UINT64_MAX || !result_is_restart((int64_t)regs->rax))
		return false;
	signal_restore_mask();
	regs->rax = (uint64_t)syscall_redo(regs);
	return true;
}

void signal_deliver(struct pt_regs *regs)
{
	struct task *task = current();

	do {
		while (signal_deliver_one(regs))
			;
	} while (signal_resume_call(regs));
	if (task->restore_blocked)
		signal_restore_mask();
}

/* ---- life of tasks and processes ---- */

int signal_task_init(struct task *task, const struct task *parent)
{
	sigpending_init(&task->pending);
	wait_queue_init(&task->sigwait);
	task->blocked = parent != NULL ? parent->blocked : 0;
	task->restore_blocked = false;
	task->altstack = (struct altstack){.flags = SS_DISABLE};
	task->restart = NULL;
	return 0;
}

int signal_process_init(struct process *process, struct process *parent, bool share_sighand)
{
	sigpending_init(&process->pending);
	wait_queue_init(&process->sigwait);
	wait_queue_init(&process->stop_wait);
	if (share_sighand) {
		process->sighand = parent->sighand;
		process->sighand->refs++;
		return 0;
	}
	process->sighand = arena_zalloc(sizeof(*process->sighand));
	if (process->sighand == NULL)
		return -ENOMEM;
	if (parent != NULL)
		memcpy(process->sighand, parent->sighand, sizeof(*process->sighand));
	process->sighand->refs = 1;
	return 0;
}

void signal_task_finish(struct task *task)
{
	sigpending_flush(&task->pending, UINT64_MAX);
}

void signal_process_finish(struct process *process)
{
	sigpending_flush(&process->pending, UINT64_MAX);
	if (process->sighand != NULL && --process->sighand->refs == 0)
		arena_free(process->sighand);
	process->sighand = NULL;
}

/* execve(2): handlers go back to default, ignored signals stay ignored, the mask stays. */
void signal_process_exec(struct process *process)
{
	struct task *task = current();

	for (int sig = 1; sig <= NR_SIGNALS; sig++) {
		struct ksigaction *action = &process->sighand->action[sig - 1];
		bool ignored = action->handler == (uint64_t)(uintptr_t)SIG_IGN;

		*action = (struct ksigaction){.handler = ignored ? (uint64_t)(uintptr_t)SIG_IGN :
								   (uint64_t)(uintptr_t)SIG_DFL};
	}
	task->altstack = (struct altstack){.flags = SS_DISABLE};
	task->restore_blocked = false;
	task->robust_list = 0;
}
