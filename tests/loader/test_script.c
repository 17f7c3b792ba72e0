/*
 * test_script.c - the first line of scripts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "loader/script.h"

static int parse(const char *text, size_t n, struct script *script, char buf[SCRIPT_HEAD])
{
	memset(buf, 0, SCRIPT_HEAD);
	memcpy(buf, text, n < SCRIPT_HEAD ? n : SCRIPT_HEAD);
	return script_parse(buf, n < SCRIPT_HEAD ? n : SCRIPT_HEAD, script);
}

static void expect(const char *text, const char *interp, const char *arg)
{
	char buf[SCRIPT_HEAD];
	struct script script;

	assert_int_equal(parse(text, strlen(text), &script, buf), 0);
	assert_string_equal(script.interp, interp);
	if (arg)
		assert_string_equal(script.arg, arg);
	else
		assert_null(script.arg);
}

static void test_lines(void **state)
{
	(void)state;
	expect("#!/bin/sh\necho", "/bin/sh", NULL);
	expect("#!/bin/sh", "/bin/sh", NULL);
	expect("#! \t/bin/sh \t \n", "/bin/sh", NULL);
	expect("#!/usr/bin/env python3 -u\n", "/usr/bin/env", "python3 -u");
	expect("#!/bin/awk\t-f  \n", "/bin/awk", "-f");
}

static void test_refused(void **state)
{
	char buf[SCRIPT_HEAD], longer[SCRIPT_HEAD + 44];
	struct script script;

	(void)state;
	assert_int_equal(parse("#!\n", 3, &script, buf), -ENOEXEC);
	assert_int_equal(parse("#!  \t\n", 6, &script, buf), -ENOEXEC);
	assert_int_equal(parse("#", 1, &script, buf), -ENOEXEC);
	assert_int_equal(parse("echo hello\n", 11, &script, buf), -ENOEXEC);
	/* A name that may have been cut off. */
	memset(longer, 'a', sizeof(longer));
	memcpy(longer, "#!/", 3);
	assert_int_equal(parse(longer, sizeof(longer), &script, buf), -ENOEXEC);
	/* An argument may be. */
	longer[9] = ' ';
	assert_int_equal(parse(longer, sizeof(longer), &script, buf), 0);
	assert_int_equal(strlen(script.interp), 7);
	assert_int_equal(strlen(script.arg), SCRIPT_HEAD - 1 - 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
