/*
 * test_fmt.c - fmt_print against libc's snprintf.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "libos/instance.h"

#define SAME(...)                                                                                  \
	do {                                                                                       \
		char a_[128], b_[128];                                                             \
		assert_int_equal(snprintf(a_, sizeof(a_), __VA_ARGS__),                            \
				 fmt_print(b_, sizeof(b_), __VA_ARGS__));                          \
		assert_string_equal(a_, b_);                                                       \
	} while (0)

static void test_numbers(void **state)
{
	(void)state;
	SAME("%d %i %u", -5, INT_MIN, UINT_MAX);
	SAME("%ld %lu %lx %lX %lo", LONG_MIN, ULONG_MAX, 0xdeadbeefcafeUL, 0xabcUL, 0777UL);
	SAME("%lld %zu %zd", LLONG_MAX, (size_t)7, (ssize_t)-7);
	SAME("[%5d] [%-5d] [%05d] [%05d]", 42, 42, 42, -42);
	SAME("[%.3d] [%8.3x] [%-8.3x]", 7, 10, 11);
	SAME("[%#x] [%#lx] [%#o] [%#x] [%#010x]", 255, 255UL, 8, 0, 255);
	SAME("[%*d] [%.*d]", 6, 1, 4, 2);
	SAME("%hd %hhd %hhu", (short)-3, (signed char)-4, (unsigned char)200);
	SAME("%p", (void *)0x1234);
}

static void test_text(void **state)
{
	(void)state;
	SAME("%s|%10s|%-10s|%.2s|%%|%c", "abc", "abc", "abc", "abc", 'x');
	SAME("[%3c] [%-3c]", 'a', 'b');
	SAME("plain");
}

static void test_cut(void **state)
{
	char buf[8];

	(void)state;
	memset(buf, 'z', sizeof(buf));
	assert_int_equal(fmt_print(buf, 4, "%s", "hello"), 5);
	assert_string_equal(buf, "hel");
	assert_int_equal(buf[4], 'z');
	assert_int_equal(fmt_print(buf, 0, "%d", 12345), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
