/*
 * What the verifier knows of a number: known bits, and intervals, signed and unsigned, of the whole
 * and of its low half. Every operation over-approximates: the result holds for every pair of
 * concrete values. The operations on one width are parametrised by it, so that tests can check them
 * exhaustively at a few bits.
 */
#pragma once

#include "bpf/insn.h"

/* Bits that are 1 in mask are unknown; the others are as in value (value & mask == 0). */
struct tnum {
	uint64_t value;
	uint64_t mask;
};

struct range {
	uint64_t umin, umax;
	int64_t smin, smax;
};

struct scalar {
	struct tnum bits;
	struct range r64;
	struct range r32; /* of the low 32 bits: unsigned as they are, signed as int32_t */
};

#define TNUM_UNKNOWN ((struct tnum){0, UINT64_MAX})

static inline uint64_t width_mask(unsigned int width)
{
	return width >= 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1;
}

static inline uint64_t width_sign(unsigned int width)
{
	return UINT64_C(1) << (width - 1);
}

/* The low @width bits of a value as a signed number. */
static inline int64_t width_signed(unsigned int width, uint64_t value)
{
	return (int64_t)(value << (64 - width)) >> (64 - width);
}

struct tnum tnum_range(uint64_t min, uint64_t max);
struct range range_full(unsigned int width);

/*
 * A binary operation of EBPF_ALU kind (not MOV, END, NEG, signed division) on numbers of @width
 * bits. Shifts take their count modulo the width.
 */
struct tnum tnum_op(unsigned int width, uint8_t op, struct tnum a, struct tnum b);
struct range range_op(unsigned int width, uint8_t op, const struct range *a, const struct range *b);

/* Exchanges knowledge between the bits and the intervals of one width; false: nothing fits. */
bool range_tighten(unsigned int width, struct range *range, struct tnum *bits);

/* Assumes "a OP b" of an EBPF_JMP kind; false: impossible. */
bool range_assume(unsigned int width, uint8_t op, struct range *a, struct tnum *abits,
		  struct range *b, struct tnum *bbits);

struct scalar scalar_unknown(void);
struct scalar scalar_const(uint64_t value);
/* A number from @min to @max, signed. */
struct scalar scalar_between(int64_t min, int64_t max);
/* An unknown number of @bytes bytes, zero extended. */
struct scalar scalar_sized(unsigned int bytes);
struct scalar scalar_sign_extend(const struct scalar *a, unsigned int width);
struct scalar scalar_truncate(const struct scalar *a, unsigned int width);

static inline bool scalar_is_const(const struct scalar *a)
{
	return a->bits.mask == 0;
}

/* Does every value of @inner belong to @outer? */
bool scalar_within(const struct scalar *outer, const struct scalar *inner);
bool scalar_equal(const struct scalar *a, const struct scalar *b);
bool scalar_contains(const struct scalar *a, uint64_t value);

/* Any ALU or ALU64 instruction; @b is the operand (the constant, for the K forms). */
struct scalar scalar_alu(struct ebpf_insn insn, const struct scalar *a, const struct scalar *b);

/* Assumes that a conditional jump is taken (or not); false: that cannot be. */
bool scalar_assume(struct ebpf_insn insn, bool taken, struct scalar *a, struct scalar *b);
