/*
 * process.h - what fork.c, exec.c, exit.c and sys/task.c share.
 */
#pragma once

#include <stdint.h>

#include "libos/task.h"

/* clone(2) in all its forms, as fork, vfork, clone and clone3 ask for it. */
struct clone_request {
	uint64_t flags; /* CLONE_*, without the signal */
	int exit_signal;
	uint64_t stack;      /* the child's stack pointer, 0: as the parent's */
	uint64_t parent_tid; /* user addresses */
	uint64_t child_tid;
	uint64_t tls;
	uint64_t pidfd; /* user address, CLONE_PIDFD */
};

/* The child's tid, or negative errno. */
long process_clone(const struct clone_request *request);

/* The vfork child has execed or ended: its parent goes on. */
void process_vfork_end(struct process *process);

/*
 * Moves the current task, the only one of its process, to a host process of its own: a copy of this
 * one.  Returns there. 0 or negative errno.
 */
int process_move_host(void);

/*
 * execve(2): path is libOS memory, argv and envp are the program's arrays.  Does not return to the
 * old program on success: the registers are the new program's.
 */
long process_exec(int dirfd, const char *path, uint64_t user_argv, uint64_t user_envp, int flags);

/* exec.c: the registers of a program that is about to start; its name. */
void exec_user_regs(struct pt_regs *regs, uint64_t entry, uint64_t sp);
void exec_set_comm(struct task *task, const char *path);

/* task.c: the only task left of its process takes the process's number (execve in a thread). */
void task_become_leader(struct task *task);
