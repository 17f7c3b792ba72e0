/*
 * test_shape.c - which instructions in front of a syscall are moved.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "leat/base/bits.h"
#include "loader/shape.h"

/* Text that ends with the given bytes and a syscall; the rest is nops of one byte. */
static unsigned find(const char *bytes, size_t n, struct shape *shapes, unsigned max)
{
	uint8_t text[SHAPE_BEFORE + 2];

	memset(text, 0x90, sizeof(text));
	memcpy(text + SHAPE_BEFORE - n, bytes, n);
	memcpy(text + SHAPE_BEFORE, "\x0f\x05", 2);
	return shape_find(text, max, shapes);
}

#define FIND(bytes) find(bytes, sizeof(bytes) - 1, shapes, ARRAY_SIZE(shapes))

static void test_single(void **state)
{
	struct shape shapes[4];

	(void)state;
	assert_true(FIND("\xb8\x27\x00\x00\x00") > 0); /* mov $39,%eax */
	assert_int_equal(shapes[0].moved, 5);
	assert_int_equal(shapes[0].nr_insns, 1);
	assert_int_equal(shapes[0].pun, -1);
	assert_true(FIND("\x4c\x8b\x4c\x24\x08") > 0); /* mov 8(%rsp),%r9: glibc's syscall() */
	assert_int_equal(shapes[0].moved, 5);
	assert_true(FIND("\x48\xc7\xc0\x27\x00\x00\x00") > 0);
	assert_int_equal(shapes[0].moved, 7);
	assert_true(FIND("\x48\x8d\x3d\x24\x44\x09\x00") > 0); /* lea off(%rip),%rdi */
	assert_int_equal(shapes[0].moved, 7);
	assert_true(shapes[0].insn[0].rip);
}

static void test_several(void **state)
{
	struct shape shapes[4];

	(void)state;
	/* The boundary inside lies behind the jump: an int3 is written there. */
	assert_true(FIND("\xbe\x01\x00\x00\x00\x4c\x89\xc0") > 0);
	assert_int_equal(shapes[0].moved, 8);
	assert_int_equal(shapes[0].nr_insns, 2);
	assert_int_equal(shapes[0].pun, -1);
	/* Within the jump: its third displacement byte has to be one (Go's Syscall6). */
	assert_true(FIND("\xc3\xc3\xc3\x48\x89\xce\x48\x89\xdf") > 0);
	assert_int_equal(shapes[0].moved, 6);
	assert_int_equal(shapes[0].pun, 2);
}

/* cmpb $0,off(%rip); je +17; xor %eax,%eax: glibc's read() in a program with one thread. */
static void test_branch(void **state)
{
	struct shape shapes[4];

	(void)state;
	assert_true(FIND("\x80\x3d\x31\x33\x0e\x00\x00\x74\x17\x31\xc0") > 0);
	assert_int_equal(shapes[0].moved, 11);
	assert_int_equal(shapes[0].nr_insns, 3);
	assert_int_equal(shapes[0].pun, -1);
}

static void test_refused(void **state)
{
	struct shape shapes[4];

	(void)state;
	/* A call, a jump, a return and a loop do not move. */
	assert_int_equal(FIND("\xe8\x00\x00\x00\x00"), 0);
	assert_int_equal(FIND("\xeb\x03\x4c\x89\xc8"), 0);
	assert_int_equal(FIND("\xc3\xc3\xc3\xc3\xc3\xc3\xc3"), 0);
	assert_int_equal(FIND("\xe2\x03\x4c\x89\xc8"), 0);
	/* Nor does another syscall. */
	assert_int_equal(FIND("\xc3\xb8\x27\x00\x00\x00\x0f\x05\x31\xc0"), 0);
	/* Five instructions of one byte: two boundaries within the jump. */
	assert_int_equal(FIND("\xc3\x50\x51\x52\x53\x54"), 0);
}

/* mov $imm,%r8d: its REX prefix must not be left behind. */
static void test_prefix(void **state)
{
	struct shape shapes[4];
	unsigned i, n = FIND("\x41\xb8\x27\x00\x00\x00");

	(void)state;
	assert_true(n > 0);
	for (i = 0; i < n; i++)
		assert_int_not_equal(shapes[i].moved, 5);
}

/* Bytes that read differently from different starts give no certain boundary. */
static void test_ambiguous(void **state)
{
	uint8_t text[SHAPE_BEFORE + 2];
	struct shape shapes[4];

	(void)state;
	/* mov $0x04b80405,%eax over and over: five phases that never meet. */
	memset(text, 0xb8, sizeof(text));
	memcpy(text + SHAPE_BEFORE, "\x0f\x05", 2);
	assert_int_equal(shape_find(text, ARRAY_SIZE(shapes), shapes), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_single), cmocka_unit_test(test_several),
		cmocka_unit_test(test_branch), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_prefix), cmocka_unit_test(test_ambiguous),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
