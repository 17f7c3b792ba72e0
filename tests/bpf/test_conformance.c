/*
 * The public conformance vectors of RFC 9669, run by the interpreter and by the compiler. The file
 * is found through LEAT_CORPORA or beside the checkout; without it the test is skipped.
 */
#include "vectors.h"

#include "bpf/code.h"
#include "bpf/jit.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*runner)(struct vector *vector, uint64_t *ret_result);

static int run_interpreter(struct vector *vector, uint64_t *ret_result)
{
	struct ebpf_env env = {0};
	struct ebpf_code code = {.insns = vector->insns, .count = (uint32_t)vector->count};
	uint8_t memory[VECTOR_MEMORY];

	memcpy(memory, vector->memory, sizeof(memory));
	*ret_result = ebpf_interp_run(&code, vector->memory_size ? (uintptr_t)memory : 0,
				      vector->memory_size, &env);
	return 0;
}

static int run_compiler(struct vector *vector, uint64_t *ret_result)
{
	struct ebpf_object obj = {.map_count = 0};
	struct ebpf_env env = {0};
	struct ebpf_code code = {.insns = vector->insns, .count = (uint32_t)vector->count};
	uint8_t memory[VECTOR_MEMORY];
	int err = ebpf_jit_compile(&obj, &code);

	if (err)
		return err;
	memcpy(memory, vector->memory, sizeof(memory));
	*ret_result = code.native(vector->memory_size ? (uintptr_t)memory : 0, &env,
				  (const void *)(uintptr_t)vector->memory_size);
	ebpf_jit_free(&code);
	return 0;
}

/* Vectors that cannot be right here, because what they need is refused on purpose. */
static bool must_be_refused(struct vector *vector)
{
	return strcmp(vector->name, "callx") == 0; /* call through a register */
}

static void run_all(runner run, const char *engine)
{
	struct vector vector;
	int passed = 0, refused = 0, wrong = 0;
	uint64_t result;
	size_t index;
	const char *reason;

	if (vectors_open())
		skip();
	while (vectors_next(&vector)) {
		if (ebpf_insns_check(vector.insns, vector.count, &index, &reason)) {
			if (must_be_refused(&vector)) {
				refused++;
				continue;
			}
			print_error("%s: refused at %zu: %s\n", vector.name, index, reason);
			wrong++;
			continue;
		}
		if (run(&vector, &result)) {
			print_error("%s: %s cannot run it\n", vector.name, engine);
			wrong++;
		} else if (result != vector.expected) {
			print_error("%s: %s gives %#llx, not %#llx\n", vector.name, engine,
				    (unsigned long long)result,
				    (unsigned long long)vector.expected);
			wrong++;
		} else {
			passed++;
		}
	}
	vectors_close();
	print_message("%s: %d right, %d refused, %d wrong\n", engine, passed, refused, wrong);
	assert_int_equal(wrong, 0);
	assert_true(passed > 300);
}

static void test_interpreter(void **state)
{
	(void)state;
	run_all(run_interpreter, "interpreter");
}

static void test_compiler(void **state)
{
	(void)state;
	run_all(run_compiler, "compiler");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compiler),
		cmocka_unit_test(test_interpreter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
