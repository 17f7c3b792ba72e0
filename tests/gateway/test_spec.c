/*
 * test_spec.c - descriptions of functions: what is taken, and what is refused with which sentence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "apps/gateway/spec.h"

static int parse(const char *yaml, struct spec *spec, char *error)
{
	json_t *json = yaml_parse(yaml, strlen(yaml), error);
	int r = json != NULL ? spec_init(spec, json, error) : -1;

	json_decref(json);
	return r;
}

static void test_all_keys(void **state)
{
	char error[SPEC_ERROR_MAX];
	struct spec spec;

	(void)state;
	assert_int_equal(parse("name: f\ntenant: t\ncommand: [./a, 1.5, 'yes']\n", &spec, error),
			 -22); /* numbers are no strings */
	assert_int_equal(
		parse("name: f\ntenant: t\ncontract: http\ncommand: [./a, '1']\nport: 80\n"
		      "concurrency: 9\nqueue: 0\ncpus: 2\nmin: 1\nmax: 3\nretries: 5\n"
		      "memory: 128M\ntimeout: 1.5s\nstartup: 200ms\ndelay: 2m\nidle: 1h\nbin: 7\n"
		      "keepwarm: fixed\nenv: {A: 'b'}\nlabels: {x: y}\nsecrets: [k]\n",
		      &spec, error),
		0);
	assert_string_equal(spec.name, "f");
	assert_string_equal(spec.tenant, "t");
	assert_int_equal(spec.port, 80);
	assert_int_equal(spec.concurrency, 9);
	assert_int_equal(spec.queue, 0);
	assert_int_equal(spec.max, 3);
	assert_int_equal(spec.memory_bytes, 128 << 20);
	assert_int_equal(spec.timeout_ms, 1500);
	assert_int_equal(spec.startup_ms, 200);
	assert_int_equal(spec.delay_ms, 120000);
	assert_int_equal(spec.idle_ms, 3600000);
	assert_int_equal(spec.bin_ms, 7000);
	assert_int_equal(spec.policy, KEEPWARM_FIXED);
	spec_finish(&spec);
}

static void test_refused(void **state)
{
	static const struct {
		const char *yaml, *error;
	} cases[] = {
		{"name: f\n", "'command' must be a list"},
		{"command: [a]\n", "'name' must be a name"},
		{"name: ../f\ncommand: [a]\n", "'name' must be a name"},
		{"name: f\ncommand: [a]\ncolour: red\n", "there is no key 'colour'"},
		{"name: f\ncommand: [a]\nport: 0\n", "'port' must be a number from 1 to 65535"},
		{"name: f\ncommand: [a]\nport: '80'\n", "'port' must be a number"},
		{"name: f\ncommand: [a]\nmin: 5\nmax: 2\n", "'min' is more than 'max'"},
		{"name: f\ncommand: [a]\ntimeout: soon\n", "'timeout' must be a time"},
		{"name: f\ncommand: [a]\ntimeout: -1s\n", "'timeout' must be a time"},
		{"name: f\ncommand: [a]\nmemory: 1K\n", "'memory' must be a size"},
		{"name: f\ncommand: [a]\ncontract: soap\n", "one of http, lambda"},
		{"name: f\ncommand: [a]\ncontract: lambda\nconcurrency: 2\n", "'concurrency' is 1"},
		{"name: f\ncommand: [a]\nenv: {A: 1}\n", "'env' must map names to strings"},
		{"name: f\ncommand: [a]\ndir: here\n", "'dir' must be an absolute path"},
		{"name: f\ncommand: [a]\nsecrets: ['../x']\n", "no name of a secret"},
		{"name: f\nname: g\n", "a key appears twice"},
		{"[1, 2", "did not find expected"},
		{"", "empty"},
		{"- a\n", "is a map of keys"},
	};
	char error[SPEC_ERROR_MAX];
	struct spec spec;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		error[0] = '\0';
		assert_int_not_equal(parse(cases[i].yaml, &spec, error), 0);
		if (strstr(error, cases[i].error) == NULL)
			fail_msg("'%s': said '%s'", cases[i].yaml, error);
	}
}

/* A few bytes that would become many: refused, not unfolded. */
static void test_yaml_bomb(void **state)
{
	static const char bomb[] =
		"a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
		"c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
		"e: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n";
	char error[SPEC_ERROR_MAX];

	(void)state;
	assert_null(yaml_parse(bomb, sizeof(bomb) - 1, error));
	assert_non_null(strstr(error, "too large"));
	assert_null(yaml_parse("a: &a [*a]\n", 11, error));
}

/* Cut and damaged documents: an answer of either kind, never a crash. */
static void test_yaml_damaged(void **state)
{
	static const char good[] = "name: f\ncommand: [./a, 'b', \"c\\n\"]\nenv: {A: 'b'}\n";
	char error[SPEC_ERROR_MAX], text[sizeof(good)];

	(void)state;
	for (size_t i = 0; i < sizeof(good) - 1; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(text, good, sizeof(good));
			text[i] ^= (char)(1 << bit);
			json_decref(yaml_parse(text, sizeof(good) - 1, error));
			json_decref(yaml_parse(text, i, error));
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_keys),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_yaml_bomb),
		cmocka_unit_test(test_yaml_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
