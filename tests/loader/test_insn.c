/*
 * test_insn.c - the decoder: lengths, where instructions go, and what it must not know.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "leat/base/bits.h"
#include "loader/insn.h"

static const struct {
	const char *bytes;
	unsigned len; /* 0: unknown */
	enum insn_flow flow;
} vector[] = {
	{"\x0f\x05", 2, INSN_NEXT},
	{"\xb8\x27\x00\x00\x00", 5, INSN_NEXT},
	{"\x48\xb8\x01\x02\x03\x04\x05\x06\x07\x08", 10, INSN_NEXT},
	{"\x48\xc7\xc0\x0f\x00\x00\x00", 7, INSN_NEXT},
	{"\x66\xb8\x01\x00", 4, INSN_NEXT},
	{"\x31\xc0", 2, INSN_NEXT},
	{"\x4c\x8b\x4c\x24\x08", 5, INSN_NEXT},
	{"\x48\x8d\x3d\x01\x02\x03\x04", 7, INSN_NEXT},
	{"\x8b\x04\x25\x00\x10\x00\x00", 7, INSN_NEXT},
	{"\xf7\xd8", 2, INSN_NEXT},
	{"\xf7\xc0\x01\x00\x00\x00", 6, INSN_NEXT},
	{"\xf6\x42\x06\x20", 4, INSN_NEXT},
	{"\x74\x05", 2, INSN_COND},
	{"\x0f\x85\x30\xfe\xff\xff", 6, INSN_COND},
	{"\xe8\x00\x00\x00\x00", 5, INSN_CALL},
	{"\xeb\xfe", 2, INSN_JUMP},
	{"\xe9\x00\x00\x00\x00", 5, INSN_JUMP},
	{"\xff\xe0", 2, INSN_AWAY},
	{"\xff\xd0", 2, INSN_CALL},
	{"\xc3", 1, INSN_AWAY},
	{"\x0f\x0b", 2, INSN_AWAY},
	{"\xc5\xf8\x77", 3, INSN_NEXT},
	{"\xc4\xe3\x79\x61\xc1\x0c", 6, INSN_NEXT},
	{"\x62\xf1\x7c\x48\x10\x44\x24\x01", 8, INSN_NEXT},
	{"\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00", 10, INSN_NEXT},
	{"\xf0\x48\x0f\xb1\x17", 5, INSN_NEXT},
	{"\x9a", 0, INSN_NEXT},                     /* not in 64-bit mode */
	{"\x48\x66\x90", 0, INSN_NEXT},             /* REX that does not count */
	{"\x66\xe9\x00\x00\x00\x00", 0, INSN_NEXT}, /* Intel and AMD differ */
	{"\x0f\x0a", 0, INSN_NEXT},
	{"\xb8\x27\x00", 0, INSN_NEXT}, /* cut off: the terminating NUL is byte 4 */
};

static void test_vectors(void **state)
{
	struct insn insn;
	unsigned i;
	size_t n;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(vector); i++) {
		n = vector[i].len ? vector[i].len : 4;
		assert_int_equal(insn_decode((const uint8_t *)vector[i].bytes, n, &insn),
				 vector[i].len);
		if (!vector[i].len)
			continue;
		assert_int_equal(insn.flow, vector[i].flow);
		/* One byte less is not enough. */
		assert_int_equal(insn_decode((const uint8_t *)vector[i].bytes, n - 1, &insn), 0);
	}
}

static void test_targets(void **state)
{
	struct insn insn;

	(void)state;
	assert_int_equal(insn_decode((const uint8_t *)"\xeb\xfe", 2, &insn), 2);
	assert_true(insn.has_target);
	assert_int_equal(insn.rel, -2);
	assert_int_equal(insn_decode((const uint8_t *)"\x48\x8d\x3d\x01\x02\x03\x04", 7, &insn), 7);
	assert_true(insn.rip);
	assert_int_equal(insn.disp_off, 3);
}

/* No bytes make it read or say more than there is. */
static void test_any_bytes(void **state)
{
	uint8_t bytes[INSN_MAX + 1];
	struct insn insn;
	unsigned i, k, n;

	(void)state;
	srand(1);
	for (i = 0; i < 1000000; i++) {
		for (k = 0; k < sizeof(bytes); k++)
			bytes[k] = (uint8_t)rand();
		n = 1 + (unsigned)rand() % INSN_MAX;
		assert_true(insn_decode(bytes, n, &insn) <= n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
