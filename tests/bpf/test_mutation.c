/*
 * Each bounds check of the base library's filters is taken out in turn: the verifier must refuse
 * what is left, whichever way the check is made to go. A check that can be taken out both ways
 * without a refusal would be superfluous, or the verifier blind.
 */
#include "bpf/object.h"
#include "bpf/verify.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static struct ebpf_object *open_filter(const char *name)
{
	static uint8_t elf[1 << 20];
	char path[4096], log[EBPF_LOG_SIZE];
	struct ebpf_object *obj;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", FILTERS, name);
	file = fopen(path, "r");
	assert_non_null(file);
	if (ebpf_object_open(elf, fread(elf, 1, sizeof(elf), file), log, sizeof(log), &obj))
		fail_msg("%s", log);
	fclose(file);
	return obj;
}

/* The only comparisons of two 64-bit registers by order in these filters are with data_end. */
static bool is_packet_check(struct ebpf_insn insn)
{
	uint8_t op = EBPF_OP(insn.code);

	return EBPF_CLASS(insn.code) == EBPF_JMP && (insn.code & EBPF_X) &&
	       (op == EBPF_JGT || op == EBPF_JGE || op == EBPF_JLT || op == EBPF_JLE);
}

static bool is_refused(const struct ebpf_object *obj, struct ebpf_code *code)
{
	return ebpf_verify(obj, code, NULL, 0) != 0;
}

static void remove_checks(const char *name, int expected)
{
	struct ebpf_object *obj = open_filter(name);
	int checks = 0;
	uint32_t i, pc;

	for (i = 0; i < obj->prog_count; i++) {
		struct ebpf_code *code = &obj->progs[i];

		assert_false(is_refused(obj, code));
		for (pc = 0; pc < code->count; pc++) {
			struct ebpf_insn insn = code->insns[pc];
			bool never, always;

			if (!is_packet_check(insn))
				continue;
			code->insns[pc] = (struct ebpf_insn){.code = EBPF_JMP | EBPF_JA};
			never = is_refused(obj, code);
			code->insns[pc].off = insn.off;
			always = is_refused(obj, code);
			code->insns[pc] = insn;
			checks++;
			if (!never && !always)
				fail_msg("%s %s: the check at %u can be taken out", name,
					 code->section, pc);
		}
	}
	print_message("%s: %d checks\n", name, checks);
	assert_true(checks >= expected);
	ebpf_object_unref(obj);
}

/* A lookup's null check, taken out. */
static void test_null_checks(void **state)
{
	struct ebpf_object *obj = open_filter("../../tests/bpf/features.bpf.o");
	uint32_t i, pc;
	int checks = 0;

	(void)state;
	for (i = 0; i < obj->prog_count; i++) {
		struct ebpf_code *code = &obj->progs[i];

		for (pc = 0; pc + 1 < code->count; pc++) {
			struct ebpf_insn insn = code->insns[pc + 1];

			if (!ebpf_is_call(code->insns[pc]) ||
			    code->insns[pc].imm != BPF_FUNC_map_lookup_elem ||
			    insn.code != (EBPF_JMP | EBPF_JEQ) || insn.imm != 0)
				continue;
			code->insns[pc + 1] = (struct ebpf_insn){.code = EBPF_JMP | EBPF_JA};
			assert_true(is_refused(obj, code));
			code->insns[pc + 1] = insn;
			checks++;
		}
	}
	assert_true(checks > 0);
	ebpf_object_unref(obj);
}

static void test_antispoof(void **state)
{
	(void)state;
	remove_checks("antispoof.bpf.o", 10);
}

static void test_features(void **state)
{
	(void)state;
	remove_checks("../../tests/bpf/features.bpf.o", 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_antispoof),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_null_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
