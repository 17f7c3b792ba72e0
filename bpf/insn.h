/* The instruction encoding of RFC 9669: one struct, its opcode fields, and what is well formed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ebpf_insn {
	uint8_t code;
	uint8_t dst : 4;
	uint8_t src : 4;
	int16_t off;
	int32_t imm;
};

_Static_assert(sizeof(struct ebpf_insn) == 8, "an instruction is eight bytes");

#define EBPF_CLASS(code) ((code)&0x07)
enum ebpf_class {
	EBPF_LD = 0,
	EBPF_LDX = 1,
	EBPF_ST = 2,
	EBPF_STX = 3,
	EBPF_ALU = 4,
	EBPF_JMP = 5,
	EBPF_JMP32 = 6,
	EBPF_ALU64 = 7,
};

/* Arithmetic and jumps: operation in the high four bits, source in bit 3. */
#define EBPF_OP(code) ((code)&0xf0)
#define EBPF_K 0x00
#define EBPF_X 0x08

enum ebpf_alu_op {
	EBPF_ADD = 0x00,
	EBPF_SUB = 0x10,
	EBPF_MUL = 0x20,
	EBPF_DIV = 0x30, /* off 1: signed */
	EBPF_OR = 0x40,
	EBPF_AND = 0x50,
	EBPF_LSH = 0x60,
	EBPF_RSH = 0x70,
	EBPF_NEG = 0x80,
	EBPF_MOD = 0x90, /* off 1: signed */
	EBPF_XOR = 0xa0,
	EBPF_MOV = 0xb0, /* off 8, 16, 32: sign extended */
	EBPF_ARSH = 0xc0,
	EBPF_END = 0xd0,
};

enum ebpf_jmp_op {
	EBPF_JA = 0x00,
	EBPF_JEQ = 0x10,
	EBPF_JGT = 0x20,
	EBPF_JGE = 0x30,
	EBPF_JSET = 0x40,
	EBPF_JNE = 0x50,
	EBPF_JSGT = 0x60,
	EBPF_JSGE = 0x70,
	EBPF_CALL = 0x80,
	EBPF_EXIT = 0x90,
	EBPF_JLT = 0xa0,
	EBPF_JLE = 0xb0,
	EBPF_JSLT = 0xc0,
	EBPF_JSLE = 0xd0,
};

/* Loads and stores: mode in the high three bits, size in bits 3 and 4. */
#define EBPF_MODE(code) ((code)&0xe0)
#define EBPF_IMM 0x00
#define EBPF_ABS 0x20 /* of classic BPF */
#define EBPF_IND 0x40
#define EBPF_MEM 0x60
#define EBPF_MEMSX 0x80
#define EBPF_ATOMIC 0xc0
#define EBPF_SIZE(code) ((code)&0x18)
#define EBPF_W 0x00
#define EBPF_H 0x08
#define EBPF_B 0x10
#define EBPF_DW 0x18

/* Atomics: the operation is in imm; the arithmetic ones may be combined with FETCH. */
#define EBPF_FETCH 0x01
#define EBPF_XCHG (0xe0 | EBPF_FETCH)
#define EBPF_CMPXCHG (0xf0 | EBPF_FETCH)

#define EBPF_LDDW (EBPF_LD | EBPF_IMM | EBPF_DW)

/* src of EBPF_LDDW. After loading an object, imm is the index of the map, not a descriptor. */
enum ebpf_lddw_kind {
	EBPF_LDDW_IMM = 0,
	EBPF_LDDW_MAP = 1,
	EBPF_LDDW_VALUE = 2,
	EBPF_LDDW_FUNC = 4, /* imm as in a local call */
};

/* src of EBPF_CALL */
enum ebpf_call_kind { EBPF_CALL_HELPER = 0, EBPF_CALL_LOCAL = 1 };

#define EBPF_REG_FP 10
#define EBPF_REGS 11
#define EBPF_STACK_SIZE 512 /* of one function */
#define EBPF_CALL_DEPTH 8   /* functions active at once */
#define EBPF_INSNS_MAX 32768

static inline unsigned int ebpf_size_bytes(uint8_t code)
{
	switch (EBPF_SIZE(code)) {
	case EBPF_B:
		return 1;
	case EBPF_H:
		return 2;
	case EBPF_W:
		return 4;
	default:
		return 8;
	}
}

static inline bool ebpf_is_jump(struct ebpf_insn insn)
{
	uint8_t class = EBPF_CLASS(insn.code), op = EBPF_OP(insn.code);

	return (class == EBPF_JMP || class == EBPF_JMP32) && op != EBPF_CALL && op != EBPF_EXIT;
}

static inline bool ebpf_is_call(struct ebpf_insn insn)
{
	return insn.code == (EBPF_JMP | EBPF_CALL);
}

static inline bool ebpf_is_exit(struct ebpf_insn insn)
{
	return insn.code == (EBPF_JMP | EBPF_EXIT);
}

static inline bool ebpf_is_ja(struct ebpf_insn insn)
{
	return ebpf_is_jump(insn) && EBPF_OP(insn.code) == EBPF_JA;
}

/* Does it name a function of the program: a local call, or the address of a callback? */
static inline bool ebpf_is_func(struct ebpf_insn insn)
{
	return (ebpf_is_call(insn) && insn.src == EBPF_CALL_LOCAL) ||
	       (insn.code == EBPF_LDDW && insn.src == EBPF_LDDW_FUNC);
}

/* First instruction of that function. */
static inline int64_t ebpf_func_target(struct ebpf_insn insn, int64_t pc)
{
	return pc + 1 + insn.imm;
}

/* The packet access of classic BPF. */
static inline bool ebpf_is_classic(struct ebpf_insn insn)
{
	return EBPF_CLASS(insn.code) == EBPF_LD &&
	       (EBPF_MODE(insn.code) == EBPF_ABS || EBPF_MODE(insn.code) == EBPF_IND);
}

/* Index that a jump at @pc goes to when taken; any integer if the jump is malformed. */
static inline int64_t ebpf_jump_target(struct ebpf_insn insn, int64_t pc)
{
	if (insn.code == (EBPF_JMP32 | EBPF_JA))
		return pc + 1 + insn.imm;
	return pc + 1 + insn.off;
}

/* The 64-bit constant of a two-slot load. */
static inline uint64_t ebpf_lddw_imm(const struct ebpf_insn *insn)
{
	return (uint64_t)(uint32_t)insn[0].imm | (uint64_t)(uint32_t)insn[1].imm << 32;
}

/*
 * Checks that every instruction is one of RFC 9669 with its unused fields zero, that jumps and
 * local calls land on an instruction, and that control cannot run off the end. On failure returns
 * -EINVAL with the index of the instruction and a reason.
 */
int ebpf_insns_check(const struct ebpf_insn *insns, size_t count, size_t *ret_index,
		     const char **ret_reason);
