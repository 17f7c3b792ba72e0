/*
 * Each bounds check of the base library's filters is taken out in turn: the verifier must refuse
 * what is left, in one of the two ways that the check can be made to go. What it accepts in the
 * other way must stay inside its memory in the checking interpreter.
 */
#include "engines.h"
#include "generate.h"
#include "programs.h"

#include "bpf/jit.h"
#include "bpf/object.h"
#include "bpf/verify_priv.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <glob.h>
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

/* Which instructions compare a packet pointer with the end, as the walk sees them. */
#define INSNS_MAX 32768
static bool is_check[INSNS_MAX];

static void note_checks(void *arg, const struct verifier *v)
{
	struct ebpf_insn insn = v->insns[v->pc];
	const struct vreg *regs = v->now.frames[v->now.depth]->regs;

	(void)arg;
	if (EBPF_CLASS(insn.code) == EBPF_JMP && ebpf_is_jump(insn) && (insn.code & EBPF_X) &&
	    (regs[insn.dst].type == V_PKT_END || regs[insn.src].type == V_PKT_END))
		is_check[v->pc] = true;
}

static void find_checks(const struct ebpf_object *obj, struct ebpf_code *code)
{
	memset(is_check, 0, sizeof(is_check));
	verify_observer = note_checks;
	if (ebpf_verify(obj, code, NULL, 0))
		fail_msg("%s %s is refused as it is", code->name, code->section);
	verify_observer = NULL;
}

static bool is_refused(const struct ebpf_object *obj, struct ebpf_code *code)
{
	return ebpf_verify(obj, code, NULL, 0) != 0;
}

/* A program without one of its checks that was accepted: does it stay inside, whatever comes? */
static bool is_clean(const struct ebpf_object *obj, struct ebpf_code *code)
{
	struct engines_input input = {.ctx = {.len = 60, .tenant = 1, .peer_tenant = 1}};
	struct generator g = {code->count | 1};
	struct engines engines;
	char wrong[256] = "";
	uint32_t i;

	if (!code->type->runnable || !program_is_repeatable(code->insns, code->count))
		return true; /* it is Linux's to run, or the engines would differ */
	assert_int_equal(ebpf_jit_compile(obj, code), 0);
	engines_init(&engines, obj);
	for (input.packet_len = 0; input.packet_len < ENGINES_PACKET_MAX && !wrong[0];
	     input.packet_len++) {
		for (i = 0; i < input.packet_len; i++)
			input.packet[i] = (uint8_t)generate_random(&g);
		if (input.packet_len > 14) { /* IPv4, IPv6, ARP, VLAN */
			static const uint8_t types[][2] = {{8, 0}, {0x86, 0xdd}, {8, 6}, {0x81, 0}};

			memcpy(input.packet + 12, types[generate_random(&g) % 4], 2);
			input.packet[14] = generate_random(&g) & 1 ? 0x45 : 0x60;
		}
		engines_run(&engines, code, &input, NULL, NULL, wrong);
	}
	engines_finish(&engines);
	ebpf_jit_free(code);
	return !wrong[0];
}

/* One check, taken out both ways. */
static bool is_needed(const struct ebpf_object *obj, struct ebpf_code *code, uint32_t pc)
{
	struct ebpf_insn insn = code->insns[pc];
	bool never, always;

	code->insns[pc] = (struct ebpf_insn){.code = EBPF_JMP | EBPF_JA};
	never = is_refused(obj, code);
	if (!never && !is_clean(obj, code))
		fail_msg("%s: without the check at %u it is unsafe", code->section, pc);
	code->insns[pc].off = insn.off;
	always = is_refused(obj, code);
	if (!always && !is_clean(obj, code))
		fail_msg("%s: with the check at %u always true it is unsafe", code->section, pc);
	code->insns[pc] = insn;
	return never || always;
}

static int remove_checks(const char *name)
{
	struct ebpf_object *obj = open_filter(name);
	static bool checks[INSNS_MAX];
	int needed = 0;
	uint32_t i, pc;

	for (i = 0; i < obj->prog_count; i++) {
		struct ebpf_code *code = &obj->progs[i];

		find_checks(obj, code);
		memcpy(checks, is_check, sizeof(checks));
		for (pc = 0; pc < code->count; pc++) {
			if (!checks[pc])
				continue;
			if (is_needed(obj, code, pc)) {
				needed++;
				continue;
			}
			fail_msg("%s %s: the check at %u can be taken out", name, code->section,
				 pc);
		}
	}
	print_message("%s: %d checks, none can be taken out\n", name, needed);
	ebpf_object_unref(obj);
	return needed;
}

/* Every program of the base library, whatever is in it. */
static void test_library(void **state)
{
	char pattern[4096];
	int needed = 0;
	glob_t found;
	size_t i;

	(void)state;
	snprintf(pattern, sizeof(pattern), "%s/*.bpf.o", FILTERS);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	for (i = 0; i < found.gl_pathc; i++) {
		const char *name = strrchr(found.gl_pathv[i], '/') + 1;

		/* the same C for the kernel's verifier: ours need not be able to prove it */
		if (!strstr(name, ".kernel."))
			needed += remove_checks(name);
	}
	globfree(&found);
	assert_true(needed >= 17);
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
	assert_true(remove_checks("antispoof.bpf.o") >= 10);
}

static void test_features(void **state)
{
	(void)state;
	assert_true(remove_checks("../../tests/bpf/features.bpf.o") >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_antispoof),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_library),
		cmocka_unit_test(test_null_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
