/* Machine instructions of x86-64, as far as the compiler needs them: bytes into a buffer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum x86_reg {
	RAX,
	RCX,
	RDX,
	RBX,
	RSP,
	RBP,
	RSI,
	RDI,
	R8,
	R9,
	R10,
	R11,
	R12,
	R13,
	R14,
	R15,
};

/* The /digit of arithmetic with an immediate; the register form is digit * 8 + 1. */
enum x86_alu {
	X86_ADD = 0,
	X86_OR = 1,
	X86_SBB = 3,
	X86_AND = 4,
	X86_SUB = 5,
	X86_XOR = 6,
	X86_CMP = 7
};

enum x86_shift { X86_ROR = 1, X86_SHL = 4, X86_SHR = 5, X86_SAR = 7 };

enum x86_cond {
	X86_B = 0x2,
	X86_AE = 0x3,
	X86_E = 0x4,
	X86_NE = 0x5,
	X86_BE = 0x6,
	X86_A = 0x7,
	X86_L = 0xc,
	X86_GE = 0xd,
	X86_LE = 0xe,
	X86_G = 0xf,
	X86_ALWAYS = 0x10,
};

/* Counts in len even when there is no room: a first pass with room 0 measures. */
struct x86_buf {
	uint8_t *bytes;
	size_t room;
	size_t len;
};

void x86_bytes(struct x86_buf *b, const void *bytes, size_t count);
void x86_byte(struct x86_buf *b, uint8_t byte);
void x86_u32(struct x86_buf *b, uint32_t value);

/* [prefix 0x66] REX opcode modrm; wide: 64 bits. An opcode above 0xff has 0x0f before it. */
void x86_rr(struct x86_buf *b, bool wide, unsigned int opcode, enum x86_reg reg, enum x86_reg rm);
void x86_rm(struct x86_buf *b, bool wide, unsigned int opcode, enum x86_reg reg, enum x86_reg base,
	    int32_t disp);

/* The same with a REX prefix always, for the byte registers sil and dil. */
void x86_rm8(struct x86_buf *b, unsigned int opcode, enum x86_reg reg, enum x86_reg base,
	     int32_t disp);
void x86_rr8(struct x86_buf *b, bool wide, unsigned int opcode, enum x86_reg reg, enum x86_reg rm);

void x86_mov(struct x86_buf *b, bool wide, enum x86_reg dst, enum x86_reg src);
void x86_mov_imm(struct x86_buf *b, enum x86_reg dst, uint64_t value);
void x86_alu_rr(struct x86_buf *b, bool wide, enum x86_alu op, enum x86_reg dst, enum x86_reg src);
void x86_alu_imm(struct x86_buf *b, bool wide, enum x86_alu op, enum x86_reg dst, int32_t imm);
void x86_shift_imm(struct x86_buf *b, bool wide, enum x86_shift op, enum x86_reg dst,
		   uint8_t count);
void x86_shift_cl(struct x86_buf *b, bool wide, enum x86_shift op, enum x86_reg dst);
void x86_push(struct x86_buf *b, enum x86_reg reg);
void x86_pop(struct x86_buf *b, enum x86_reg reg);

/* A short forward jump; x86_land() makes it lead here. */
size_t x86_jump_short(struct x86_buf *b, enum x86_cond cond);
void x86_land(struct x86_buf *b, size_t jump);
