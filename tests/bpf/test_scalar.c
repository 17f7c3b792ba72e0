/*
 * The verifier's numbers: every operation over-approximates. Known bits are checked exhaustively at
 * five bits, intervals at four and by random at eight, whole scalars by random at 64.
 */
#include "bpf/code.h"
#include "bpf/scalar.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static const uint8_t ops[] = {EBPF_ADD, EBPF_SUB, EBPF_MUL, EBPF_DIV, EBPF_OR,  EBPF_AND,
			      EBPF_LSH, EBPF_RSH, EBPF_MOD, EBPF_XOR, EBPF_ARSH};
static const uint8_t jumps[] = {EBPF_JEQ,  EBPF_JGT, EBPF_JGE, EBPF_JSET, EBPF_JNE,  EBPF_JSGT,
				EBPF_JSGE, EBPF_JLT, EBPF_JLE, EBPF_JSLT, EBPF_JSLE, EBPF_JSET | 1};

/* The meaning of an operation on @width bits, written apart from the code under test. */
static uint64_t meaning(unsigned int width, uint8_t op, uint64_t a, uint64_t b)
{
	uint64_t mask = width_mask(width), count = b & (width - 1);

	switch (op) {
	case EBPF_ADD:
		return (a + b) & mask;
	case EBPF_SUB:
		return (a - b) & mask;
	case EBPF_MUL:
		return (a * b) & mask;
	case EBPF_DIV:
		return b ? a / b : 0;
	case EBPF_MOD:
		return b ? a % b : a;
	case EBPF_OR:
		return a | b;
	case EBPF_AND:
		return a & b;
	case EBPF_XOR:
		return a ^ b;
	case EBPF_LSH:
		return (a << count) & mask;
	case EBPF_RSH:
		return a >> count;
	default:
		return (uint64_t)(width_signed(width, a) >> count) & mask;
	}
}

static bool holds(unsigned int width, uint8_t op, uint64_t a, uint64_t b)
{
	int64_t sa = width_signed(width, a), sb = width_signed(width, b);

	switch (op) {
	case EBPF_JEQ:
		return a == b;
	case EBPF_JNE:
		return a != b;
	case EBPF_JGT:
		return a > b;
	case EBPF_JGE:
		return a >= b;
	case EBPF_JLT:
		return a < b;
	case EBPF_JLE:
		return a <= b;
	case EBPF_JSGT:
		return sa > sb;
	case EBPF_JSGE:
		return sa >= sb;
	case EBPF_JSLT:
		return sa < sb;
	case EBPF_JSLE:
		return sa <= sb;
	case EBPF_JSET:
		return a & b;
	default:
		return !(a & b);
	}
}

static bool tnum_has(struct tnum t, uint64_t value)
{
	return (value & ~t.mask) == t.value;
}

static bool range_has(unsigned int width, const struct range *r, uint64_t value)
{
	int64_t s = width_signed(width, value);

	return value >= r->umin && value <= r->umax && s >= r->smin && s <= r->smax;
}

static void check_tnums(unsigned int width, struct tnum a, struct tnum b)
{
	uint64_t x, y, values = UINT64_C(1) << width;
	size_t i;

	for (i = 0; i < sizeof(ops); i++) {
		struct tnum r = tnum_op(width, ops[i], a, b);

		assert_int_equal(r.value & r.mask, 0);
		for (x = 0; x < values; x++)
			for (y = 0; tnum_has(a, x) && y < values; y++)
				if (tnum_has(b, y))
					assert_true(tnum_has(r, meaning(width, ops[i], x, y)));
	}
}

/* Widths must be powers of two for the shifts; four bits exhaustively. */
static void test_tnums(void **state)
{
	const unsigned int width = 4;
	uint64_t av, am, bv, bm, all = width_mask(width);

	(void)state;
	for (am = 0; am <= all; am++)
		for (av = 0; av <= all; av++)
			for (bm = 0; !(av & am) && bm <= all; bm++)
				for (bv = 0; bv <= all; bv++)
					if (!(bv & bm))
						check_tnums(width, (struct tnum){av, am},
							    (struct tnum){bv, bm});
}

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* An interval and bits that @value certainly fits. */
static void around(unsigned int width, uint64_t value, struct range *r, struct tnum *bits)
{
	uint64_t all = width_mask(width), slack = random64() & all;
	int64_t s = width_signed(width, value);

	*r = range_full(width);
	*bits = (struct tnum){0, all};
	if (random64() & 1) {
		r->umin = value - (value < slack ? value : slack);
		slack = random64() & all;
		r->umax = all - value < slack ? all : value + slack;
	}
	if (random64() & 1) {
		slack = random64() & (all >> (random64() % width));
		if ((uint64_t)s - (uint64_t)r->smin >= slack)
			r->smin = (int64_t)((uint64_t)s - slack);
		if ((uint64_t)r->smax - (uint64_t)s >= slack)
			r->smax = (int64_t)((uint64_t)s + slack);
	}
	if (random64() & 1) {
		bits->mask = random64() & random64() & all;
		bits->value = value & ~bits->mask;
	}
}

static void test_ranges(void **state)
{
	const unsigned int widths[] = {4, 8, 32, 64};
	int i;

	(void)state;
	for (i = 0; i < 400000; i++) {
		unsigned int width = widths[i & 3];
		uint64_t x = random64() & width_mask(width), y = random64() & width_mask(width);
		uint8_t op = ops[random64() % sizeof(ops)];
		struct range a, b, r;
		struct tnum abits, bbits, bits;

		around(width, x, &a, &abits);
		around(width, y, &b, &bbits);
		assert_true(range_tighten(width, &a, &abits));
		assert_true(range_tighten(width, &b, &bbits));
		assert_true(range_has(width, &a, x) && tnum_has(abits, x));
		assert_true(range_has(width, &b, y) && tnum_has(bbits, y));
		r = range_op(width, op, &a, &b);
		bits = tnum_op(width, op, abits, bbits);
		x = meaning(width, op, x, y);
		assert_true(range_has(width, &r, x));
		assert_true(tnum_has(bits, x));
		assert_true(range_tighten(width, &r, &bits));
		assert_true(range_has(width, &r, x) && tnum_has(bits, x));
	}
}

static void test_assumptions(void **state)
{
	const unsigned int widths[] = {4, 8, 32, 64};
	int i;

	(void)state;
	for (i = 0; i < 400000; i++) {
		unsigned int width = widths[i & 3];
		uint64_t x = random64() & width_mask(width), y = random64() & width_mask(width);
		uint8_t op = jumps[random64() % sizeof(jumps)];
		struct range a, b;
		struct tnum abits, bbits;

		if (random64() % 4 == 0)
			y = x;
		around(width, x, &a, &abits);
		around(width, y, &b, &bbits);
		if (random64() % 4 == 0) {
			bbits = (struct tnum){y, 0};
			assert_true(range_tighten(width, &b, &bbits));
		}
		if (!holds(width, op, x, y))
			continue;
		/* what is true may not be ruled out */
		assert_true(range_assume(width, op, &a, &abits, &b, &bbits));
		assert_true(range_tighten(width, &a, &abits));
		assert_true(range_tighten(width, &b, &bbits));
		assert_true(range_has(width, &a, x) && tnum_has(abits, x));
		assert_true(range_has(width, &b, y) && tnum_has(bbits, y));
	}
}

/* A scalar that knows something true about @value. */
static struct scalar scalar_around(uint64_t value)
{
	struct scalar s = scalar_unknown();
	struct scalar other;
	struct ebpf_insn insn = {.code = EBPF_JMP | EBPF_JGE};
	int i;

	if (random64() % 4 == 0)
		return scalar_const(value);
	for (i = 0; i < 4; i++) {
		uint64_t bound = random64() % 3 ? value + (random64() >> (random64() & 63)) :
						  value - (random64() >> (random64() & 63));
		uint8_t op = jumps[random64() % (sizeof(jumps) - 1)];

		insn.code = (uint8_t)((random64() & 1 ? EBPF_JMP : EBPF_JMP32) | op);
		other = scalar_const(bound);
		assert_true(scalar_assume(insn, ebpf_jump_taken(insn, value, bound), &s, &other));
		assert_true(scalar_contains(&s, value));
	}
	return s;
}

static struct ebpf_insn random_alu(void)
{
	static const int16_t moves[] = {0, 8, 16, 32};
	struct ebpf_insn insn = {0};
	uint8_t op = (uint8_t)((random64() % 14) << 4);

	insn.code = (uint8_t)((random64() & 1 ? EBPF_ALU : EBPF_ALU64) | op | EBPF_X);
	if (op == EBPF_END)
		insn.imm = 16 << (random64() % 3);
	if (op == EBPF_MOV)
		insn.off = moves[random64() % (EBPF_CLASS(insn.code) == EBPF_ALU ? 3 : 4)];
	if (op == EBPF_DIV || op == EBPF_MOD)
		insn.off = random64() & 1;
	return insn;
}

static void test_scalars(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 400000; i++) {
		uint64_t x = random64() >> (random64() & 63), y = random64() >> (random64() & 63);
		struct ebpf_insn insn = random_alu();
		struct scalar a = scalar_around(x), b = scalar_around(y), r;
		uint64_t result;

		r = scalar_alu(insn, &a, &b);
		result = EBPF_CLASS(insn.code) == EBPF_ALU64 ? ebpf_alu64(insn, x, y) :
							       ebpf_alu32(insn, x, y);
		if (!scalar_contains(&r, result))
			fail_msg("code %#x off %d imm %d: %#llx, %#llx", insn.code, insn.off,
				 insn.imm, (unsigned long long)x, (unsigned long long)y);
	}
}

/* Precision that filters rely on; soundness alone would be met by "anything". */
static void test_precision(void **state)
{
	struct ebpf_insn insn = {.code = EBPF_ALU64 | EBPF_AND | EBPF_X};
	struct scalar byte = scalar_sized(1), c = scalar_const(15), four = scalar_const(4), r;

	(void)state;
	r = scalar_alu(insn, &byte, &c);
	assert_int_equal(r.r64.umax, 15);
	insn.code = EBPF_ALU64 | EBPF_MUL | EBPF_X;
	r = scalar_alu(insn, &r, &four);
	assert_int_equal(r.r64.umax, 60);
	assert_int_equal(r.r64.smin, 0);
	assert_int_equal(r.bits.mask, 60);
	insn = (struct ebpf_insn){.code = EBPF_JMP32 | EBPF_JGT, .imm = 9};
	r = scalar_sized(4);
	c = scalar_const(9);
	assert_true(scalar_assume(insn, false, &r, &c));
	assert_int_equal(r.r64.umax, 9);
	assert_int_equal(r.r32.smax, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tnums),       cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_assumptions), cmocka_unit_test(test_scalars),
		cmocka_unit_test(test_precision),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
