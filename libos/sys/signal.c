/*
 * signal.c - handlers of the signal calls: actions, masks, sending, waiting, the alternate stack.
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "leat/base/bits.h"
#include "libos/instance.h"
#include "libos/mm.h"
#include "libos/signal.h"
#include "libos/syscall.h"
#include "libos/timespec.h"
#include "libos/uaccess.h"

#define MINSIGSTKSZ_KERNEL 2048UL

static bool sig_valid(int sig)
{
	return sig >= 1 && sig <= NR_SIGNALS;
}

/* ---- actions ---- */

SYS4(rt_sigaction, int, sig, const struct ksigaction *, user_act, struct ksigaction *, user_old,
     uint64_t, size)
{
	struct process *process = current()->process;
	struct ksigaction *slot, old, new;

	if (size != sizeof(uint64_t) || !sig_valid(sig))
		return -EINVAL;
	slot = &process->sighand->action[sig - 1];
	old = *slot;
	if (user_act != NULL) {
		if (sig == SIGKILL || sig == SIGSTOP)
			return -EINVAL;
		if (copy_from_user(&new, user_act, sizeof(new)) != 0)
			return -EFAULT;
		new.mask &= ~(SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP));
		*slot = new;
		if (signal_ignores(process, sig))
			signal_flush(process, SIG_BIT(sig));
	}
	if (user_old != NULL)
		return copy_to_user(user_old, &old, sizeof(old));
	return 0;
}

SYS4(rt_sigprocmask, int, how, const uint64_t *, user_set, uint64_t *, user_old, uint64_t, size)
{
	struct task *task = current();
	uint64_t old = task->blocked;
	uint64_t set;

	if (size != sizeof(set))
		return -EINVAL;
	if (user_set != NULL) {
		if (copy_from_user(&set, user_set, sizeof(set)) != 0)
			return -EFAULT;
		switch (how) {
		case SIG_BLOCK:
			set |= old;
			break;
		case SIG_UNBLOCK:
			set = old & ~set;
			break;
		case SIG_SETMASK:
			break;
		default:
			return -EINVAL;
		}
		signal_set_blocked(task, set);
	}
	if (user_old != NULL)
		return copy_to_user(user_old, &old, sizeof(old));
	return 0;
}

SYS2(rt_sigpending, uint64_t *, user_set, uint64_t, size)
{
	struct task *task = current();
	uint64_t set = signal_pending_set(task) & task->blocked;

	if (size > sizeof(set))
		return -EINVAL;
	return copy_to_user(user_set, &set, size);
}

SYS2(sigaltstack, const struct altstack_user *, user_new, struct altstack_user *, user_old)
{
	struct task *task = current();
	uint64_t sp = task->regs->rsp;
	bool on_it = (task->altstack.flags & SS_DISABLE) == 0 &&
		     sp - task->altstack.sp <= task->altstack.size;
	struct altstack_user old = {
		.sp = task->altstack.sp,
		.flags = task->altstack.flags | (on_it ? SS_ONSTACK : 0),
		.size = task->altstack.size,
	};
	struct altstack_user new;
	int mode;

	if (user_new != NULL) {
		if (copy_from_user(&new, user_new, sizeof(new)) != 0)
			return -EFAULT;
		mode = new.flags & ~SS_AUTODISARM_FLAG;
		if (on_it)
			return -EPERM;
		if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
			return -EINVAL;
		if (mode == SS_DISABLE) {
			new.sp = 0;
			new.size = 0;
		} else if (new.size < MINSIGSTKSZ_KERNEL) {
			return -ENOMEM;
		}
		task->altstack = (struct altstack){
			.sp = new.sp,
			.size = new.size,
			.flags = new.flags & ~SS_ONSTACK,
		};
	}
	if (user_old != NULL)
		return copy_to_user(user_old, &old, sizeof(old));
	return 0;
}

SYS0(rt_sigreturn)
{
	struct task *task = current();
	struct pt_regs *regs = task->regs;
	uint64_t nr;
	bool restart;

	if (sigframe_pop(regs, &restart) != 0) {
		siginfo_t info = {.si_signo = SIGSEGV, .si_code = SI_KERNEL};

		task->blocked &= ~SIG_BIT(SIGSEGV);
		signal_send_task(task, SIGSEGV, &info);
		return -EFAULT;
	}
	nr = regs->rax;
	if (restart && nr < SYSCALL_MAX && syscall_table[nr].fn != NULL) {
		regs->orig_rax = nr;
		return syscall_redo(regs);
	}
	return (long)regs->rax;
}

/* ---- sending ---- */

siginfo_t siginfo_from_me(int sig, int code)
{
	const struct process *me = current()->process;
	siginfo_t info = {.si_signo = sig, .si_code = code};

	info.si_pid = me->pid;
	info.si_uid = my_creds()->uid;
	return info;
}

/* kill(-1): everyone that may be signalled but the caller itself. */
static long kill_all(int sig, const siginfo_t *info)
{
	struct list *pos, *tmp;
	long result = -ESRCH;

	list_for_each_safe(pos, tmp, &instance()->processes) {
		struct process *process = list_entry(pos, struct process, all_node);

		if (process == current()->process || process->zombie ||
		    !signal_may_send(process, sig))
			continue;
		if (sig != 0)
			signal_send_process(process, sig, info);
		result = 0;
	}
	return result;
}

static long kill_one(int pid, int sig, const siginfo_t *info)
{
	struct process *process = process_find(pid);

	if (process == NULL)
		return -ESRCH;
	if (!signal_may_send(process, sig))
		return -EPERM;
	return sig == 0 ? 0 : signal_send_process(process, sig, info);
}

SYS2(kill, int, pid, int, sig)
{
	siginfo_t info = siginfo_from_me(sig, SI_USER);

	if (sig < 0 || sig > NR_SIGNALS)
		return -EINVAL;
	if (pid > 0)
		return kill_one(pid, sig, &info);
	if (pid == -1)
		return kill_all(sig, &info);
	return signal_send_pgrp(pid == 0 ? current()->process->pgid : -pid, sig, &info);
}

static long send_to_task(int tgid, int tid, int sig, const siginfo_t *info)
{
	struct task *task;

	if (sig < 0 || sig > NR_SIGNALS || tid <= 0 || tgid == 0)
		return -EINVAL;
	task = task_find(tid);
	if (task == NULL || task->state == TASK_DEAD || (tgid > 0 && task->process->pid != tgid))
		return -ESRCH;
	if (!signal_may_send(task->process, sig))
		return -EPERM;
	return sig == 0 ? 0 : signal_send_task(task, sig, info);
}

SYS3(tgkill, int, tgid, int, tid, int, sig)
{
	siginfo_t info = siginfo_from_me(sig, SI_TKILL);

	return tgid <= 0 ? -EINVAL : send_to_task(tgid, tid, sig, &info);
}

SYS2(tkill, int, tid, int, sig)
{
	siginfo_t info = siginfo_from_me(sig, SI_TKILL);

	return send_to_task(-1, tid, sig, &info);
}

int siginfo_import(siginfo_t *ret_info, const siginfo_t *user_info, bool to_self)
{
	if (copy_from_user(ret_info, user_info, sizeof(*ret_info)) != 0)
		return -EFAULT;
	if ((ret_info->si_code >= 0 || ret_info->si_code == SI_TKILL) && !to_self)
		return -EPERM;
	return 0;
}

SYS3(rt_sigqueueinfo, int, pid, int, sig, const siginfo_t *, user_info)
{
	siginfo_t info;
	int err = siginfo_import(&info, user_info, pid == current()->process->pid);

	if (err != 0)
		return err;
	if (sig < 0 || sig > NR_SIGNALS)
		return -EINVAL;
	return kill_one(pid, sig, &info);
}

SYS4(rt_tgsigqueueinfo, int, tgid, int, tid, int, sig, const siginfo_t *, user_info)
{
	siginfo_t info;
	int err = siginfo_import(&info, user_info, tgid == current()->process->pid);

	if (err != 0)
		return err;
	return tgid <= 0 ? -EINVAL : send_to_task(tgid, tid, sig, &info);
}

/* ---- waiting ---- */

SYS0(pause)
{
	while (task_sleep(WAIT_FOREVER) == 0)
		;
	return -ERESTARTNOHAND;
}

SYS2(rt_sigsuspend, const uint64_t *, user_set, uint64_t, size)
{
	int err;

	if (user_set == NULL)
		return -EFAULT;
	err = signal_set_temporary_mask(user_set, size);
	if (err != 0)
		return err;
	while (task_sleep(WAIT_FOREVER) == 0)
		;
	return -ERESTARTNOHAND;
}

/* Sleeps until one of `set` is pending, which may be blocked; the signal, or why it ended. */
static int sigwait_sleep(struct task *task, uint64_t set, uint64_t deadline_ns, siginfo_t *ret_info)
{
	struct wait_entry own, shared;
	int sig, err = 0;

	for (;;) {
		sig = signal_dequeue(task, set, ret_info);
		if (sig != 0)
			return sig;
		if (err != 0)
			return err == -ETIMEDOUT ? -EAGAIN : -EINTR;
		wait_entry_init(&own, task, 0);
		wait_entry_init(&shared, task, 0);
		wait_queue_add(&task->sigwait, &own);
		wait_queue_add(&task->process->sigwait, &shared);
		err = task_sleep(deadline_ns);
		wait_queue_remove(&own);
		wait_queue_remove(&shared);
	}
}

SYS4(rt_sigtimedwait, const uint64_t *, user_set, siginfo_t *, user_info, const struct timespec *,
     user_timeout, uint64_t, size)
{
	struct task *task = current();
	uint64_t deadline_ns = WAIT_FOREVER;
	uint64_t set, blocked;
	struct timespec ts;
	siginfo_t info = {0};
	int sig;

	if (size != sizeof(set))
		return -EINVAL;
	if (copy_from_user(&set, user_set, sizeof(set)) != 0)
		return -EFAULT;
	if (user_timeout != NULL) {
		if (copy_from_user(&ts, user_timeout, sizeof(ts)) != 0)
			return -EFAULT;
		if (!timespec_ok(&ts))
			return -EINVAL;
		deadline_ns = deadline_after(timespec_to_ns(&ts));
	}
	set &= ~(SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP));
	/* While it waits, the signals waited for do not interrupt: they are the answer. */
	blocked = task->blocked;
	task->blocked |= set;
	sig = sigwait_sleep(task, set, deadline_ns, &info);
	signal_set_blocked(task, blocked);
	if (sig > 0 && user_info != NULL && copy_to_user(user_info, &info, sizeof(info)) != 0)
		return -EFAULT;
	return sig;
}

SYS0(restart_syscall)
{
	struct task *task = current();

	return task->restart != NULL ? task->restart(task) : -EINTR;
}
