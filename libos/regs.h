/*
 * regs.h - the user registers as entry.S lays them out on the task's kernel stack.
 *
 * Offsets are used by entry.S and asserted in entry.c.  `partial` frames come from a rewritten site
 * or a trap: rip is the return address, rcx and r11 are dead.  Full frames (faults, preemption,
 * sigreturn) restore everything.
 */
#pragma once

#include <stdint.h>

struct pt_regs {
	uint64_t r15;
	uint64_t r14;
	uint64_t r13;
	uint64_t r12;
	uint64_t rbp;
	uint64_t rbx;
	uint64_t r11;
	uint64_t r10;
	uint64_t r9;
	uint64_t r8;
	uint64_t rax; /* the result */
	uint64_t rcx;
	uint64_t rdx;
	uint64_t rsi;
	uint64_t rdi;
	uint64_t orig_rax; /* the call's number; -1: not a system call */
	uint64_t rip;
	uint64_t eflags;
	uint64_t rsp;
	uint64_t full; /* 1: restore rcx, r11 and eflags too */
};

_Static_assert(sizeof(struct pt_regs) == 160, "pt_regs layout");
