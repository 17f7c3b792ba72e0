/*
 * Each bounds check of the base library's filters is taken out in turn: the verifier must refuse
 * what is left, whichever way the check is made to go. A check that can be taken out both ways
 * without a refusal is superfluous, or the verifier blind: the table says how many are known to be
 * superfluous (behind the anti-spoofing rules the ingress programs look for the Ethernet header
 * once more).
 */
#include "bpf/object.h"
#include "bpf/verify.h"
#include "bpf/verify_priv.h"

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

/* Which instructions compare something with data_end, as the verifier sees it. */
static bool compares_end[1 << 16];

static void note_comparisons(void *arg, const struct verifier *v)
{
	const struct vreg *regs = v->now.frames[v->now.depth]->regs;
	struct ebpf_insn insn = v->insns[v->pc];

	(void)arg;
	if (EBPF_CLASS(insn.code) == EBPF_JMP && (insn.code & EBPF_X) && ebpf_is_jump(insn) &&
	    (regs[insn.dst].type == V_PKT_END || regs[insn.src].type == V_PKT_END))
		compares_end[v->pc] = true;
}

static void find_comparisons(const struct ebpf_object *obj, struct ebpf_code *code)
{
	memset(compares_end, 0, sizeof(compares_end));
	verify_observer = note_comparisons;
	assert_int_equal(ebpf_verify(obj, code, NULL, 0), 0);
	verify_observer = NULL;
}

static bool is_refused(const struct ebpf_object *obj, struct ebpf_code *code)
{
	return ebpf_verify(obj, code, NULL, 0) != 0;
}

static void remove_checks(const char *name, int expected, int expected_superfluous)
{
	struct ebpf_object *obj = open_filter(name);
	int checks = 0, superfluous = 0;
	uint32_t i, pc;

	for (i = 0; i < obj->prog_count; i++) {
		struct ebpf_code *code = &obj->progs[i];

		find_comparisons(obj, code);
		for (pc = 0; pc < code->count; pc++) {
			struct ebpf_insn insn = code->insns[pc];
			bool never, always;

			if (!compares_end[pc])
				continue;
			code->insns[pc] = (struct ebpf_insn){.code = EBPF_JMP | EBPF_JA};
			never = is_refused(obj, code);
			code->insns[pc].off = insn.off;
			always = is_refused(obj, code);
			code->insns[pc] = insn;
			checks++;
			superfluous += !never && !always;
			if (!never && !always)
				print_message("%s %s: the check at %u can be taken out\n", name,
					      code->section, pc);
		}
	}
	print_message("%s: %d checks\n", name, checks);
	assert_int_equal(superfluous, expected_superfluous);
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

static void test_library(void **state)
{
	static const struct {
		const char *name;
		int checks, superfluous;
	} filters[] = {
		{"antispoof.bpf.o", 18, 0},
		{"count.bpf.o", 40, 1},
		{"secgroup.bpf.o", 40, 1},
		{"stateful.bpf.o", 55, 1},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
		remove_checks(filters[i].name, filters[i].checks, filters[i].superfluous);
}

static void test_features(void **state)
{
	(void)state;
	remove_checks("../../tests/bpf/features.bpf.o", 1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_library),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_null_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
