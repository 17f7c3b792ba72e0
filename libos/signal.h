/*
 * signal.h - the parts of signals that sys/signal.c, signalfd and sigframe.c share.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "libos/task.h"

#define SIG_BIT(sig) (1UL << ((sig)-1))

/* Flags of a kernel action that libc hides. */
#define KSA_RESTORER 0x04000000UL

#define SIGRTMIN_KERNEL 32

#define SS_AUTODISARM_FLAG ((int)(1U << 31))

/* stack_t as the kernel has it. */
struct altstack_user {
	uint64_t sp;
	int32_t flags;
	uint32_t pad;
	uint64_t size;
};

struct sigqueue_entry {
	struct list node;
	siginfo_t info;
};

/* Takes the next pending signal out of `set` for the task: its number, or 0. */
int signal_dequeue(struct task *task, uint64_t set, siginfo_t *ret_info);

/* What is pending for the task, blocked or not: its own and its process's. */
uint64_t signal_pending_set(const struct task *task);

/* Sets the mask (SIGKILL and SIGSTOP stay out of it) and wakes others for what we no longer take.
 */
void signal_set_blocked(struct task *task, uint64_t blocked);

/*
 * For calls with a temporary mask (ppoll, pselect, epoll_pwait, sigsuspend): installs it until the
 * call's end; the old mask comes back at the return to user mode, after a handler has run.
 * user_set NULL: nothing. 0, -EFAULT or -EINVAL.
 */
int signal_set_temporary_mask(const uint64_t *user_set, uint64_t size);

/* The call ended without a signal: the old mask at once. */
void signal_restore_mask(void);

/* Would an unblocked instance of sig be thrown away? By SIG_IGN or by default. */
bool signal_ignores(const struct process *process, int sig);

/* May the current process send sig to it? kill(2)'s rule. */
bool signal_may_send(const struct process *to, int sig);

/* What kill(2) and tkill(2) tell the receiver about the caller. */
siginfo_t siginfo_from_me(int sig, int code);

/* The program's siginfo: it may not pretend to be the kernel or kill(2) towards others. */
int siginfo_import(siginfo_t *ret_info, const siginfo_t *user_info, bool to_self);

/* Drops pending instances of the signals in `set` from the task's process and all its tasks. */
void signal_flush(struct process *process, uint64_t set);

/* ---- sigframe.c ---- */

/* Builds the handler's frame and points regs at the handler. 0 or -EFAULT (no stack: SIGSEGV). */
int sigframe_push(struct pt_regs *regs, int sig, const struct ksigaction *action,
		  const siginfo_t *info, uint64_t restore_mask, bool restart);

/* rt_sigreturn: restores everything from the frame. 0 or -EFAULT. */
int sigframe_pop(struct pt_regs *regs, bool *ret_restart);

/* ---- the call that was interrupted is answered again (signal.c) ---- */
long syscall_redo(struct pt_regs *regs);
