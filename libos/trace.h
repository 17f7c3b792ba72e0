/*
 * trace.h - `leat run --trace`: one line a system call, in strace's manner, on the instance's
 * stderr.
 *
 * entry.c calls these when abi_instance.trace is set (relaxed load): trace_enter before calls that
 * may not return (exit, exit_group, execve, rt_sigreturn) or that block, trace_exit after each
 * call.
 */
#pragma once

#include "libos/regs.h"

void trace_enter(const struct pt_regs *regs);
void trace_exit(const struct pt_regs *regs, long result);

/* A signal that is about to be delivered: `--- SIGSEGV {...} ---`. */
void trace_signal(int sig, const void *siginfo);
