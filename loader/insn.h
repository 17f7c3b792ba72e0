/*
 * insn.h - a strict x86-64 instruction decoder: how long, and where does it go next.
 *
 * Anything that it does not know for certain is no instruction to it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSN_MAX 15U

enum insn_flow {
	INSN_NEXT, /* goes on behind itself (int3 and syscall too) */
	INSN_COND, /* to the target or behind itself: jcc, loop */
	INSN_CALL, /* to the target (if direct) and, as a rule, back */
	INSN_JUMP, /* to the target only */
	INSN_AWAY, /* never behind itself: ret, indirect jmp, ud2, hlt */
};

struct insn {
	uint8_t len;
	uint8_t map; /* 0: one-byte, 1: 0f, 2: 0f 38, 3: 0f 3a, ... */
	uint8_t opcode;
	uint8_t modrm;    /* valid if has_modrm */
	uint8_t rex;      /* 0 if none; of VEX and EVEX not kept */
	uint8_t prefixes; /* count of legacy prefixes */
	bool opsize;      /* 66 */
	bool vex;         /* VEX or EVEX */
	bool has_modrm;
	bool has_target;  /* direct branch: target = address + len + rel */
	bool rip;         /* memory operand relative to rip */
	uint8_t disp_off; /* of the displacement, if rip */
	uint8_t imm_len;
	enum insn_flow flow;
	int32_t rel;
};

/* Decodes the instruction in bytes[0, n). Its length, or 0: unknown, or longer than n. */
unsigned insn_decode(const uint8_t *bytes, size_t n, struct insn *ret_insn);

/* Is it one of the no-operations that assemblers pad with? */
bool insn_is_nop(const uint8_t *bytes, const struct insn *insn);
