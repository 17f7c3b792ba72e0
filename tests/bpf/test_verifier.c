/*
 * The labelled programs of verifier.txt: each is accepted, or refused for the reason that its label
 * names. Also that disassembly assembles to the same bytes.
 */
#include "asm.h"
#include "programs.h"

#include "bpf/disasm.h"
#include "bpf/verify.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INSNS_MAX 512
#define TEXT_MAX 65536

/* One labelled program: "== name", "accept" or "reject REASON", instructions. */
struct labelled {
	char name[128];
	char reason[128]; /* empty: accept */
	char section[64];
	char text[TEXT_MAX];
	int line; /* of the first instruction */
};

static FILE *file;
static char pending[256];
static int line_number;

static bool next_line(char *line, size_t size)
{
	if (pending[0]) {
		snprintf(line, size, "%s", pending);
		pending[0] = '\0';
		return true;
	}
	line_number++;
	return fgets(line, (int)size, file);
}

static bool next_program(struct labelled *p)
{
	char line[256];
	size_t n;

	do {
		if (!next_line(line, sizeof(line)))
			return false;
	} while (strncmp(line, "== ", 3) != 0);
	line[strcspn(line, "\n")] = '\0';
	snprintf(p->name, sizeof(p->name), "%.*s", (int)sizeof(p->name) - 1, line + 3);
	p->reason[0] = p->text[0] = '\0';
	if (!next_line(line, sizeof(line)))
		return false;
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, "reject ", 7) == 0)
		snprintf(p->reason, sizeof(p->reason), "%.*s", (int)sizeof(p->reason) - 1,
			 line + 7);
	snprintf(p->section, sizeof(p->section), "leat/egress");
	p->line = line_number + 1;
	for (n = 0; next_line(line, sizeof(line)) && n + sizeof(line) < TEXT_MAX;
	     n += strlen(line)) {
		if (strncmp(line, "== ", 3) == 0) {
			snprintf(pending, sizeof(pending), "%s", line);
			break;
		}
		if (sscanf(line, "section %63s", p->section) == 1)
			snprintf(line, sizeof(line), "\n"); /* lines keep their numbers */
		memcpy(p->text + n, line, strlen(line) + 1);
	}
	return true;
}

static bool open_programs(void)
{
	file = fopen(LEAT_SOURCE "/tests/bpf/verifier.txt", "r");
	line_number = 0;
	pending[0] = '\0';
	return file;
}

static int assemble(const struct labelled *p, struct ebpf_insn *insns)
{
	int line, count = asm_program(p->text, program_maps, insns, INSNS_MAX, &line);

	if (count < 0)
		fail_msg("%s: verifier.txt:%d does not assemble", p->name, p->line + line - 1);
	return count;
}

/* 1 if the verifier does not say what the label says */
static int check_program(struct ebpf_object *obj, const struct labelled *p)
{
	struct ebpf_insn insns[INSNS_MAX];
	int count = assemble(p, insns), err;
	char log[EBPF_LOG_SIZE] = "";

	err = ebpf_verify(obj, program_add(obj, p->section, insns, (size_t)count), log,
			  sizeof(log));
	program_drop(obj);
	if (!p->reason[0] && !err)
		return 0;
	if (p->reason[0] && err && strstr(log, p->reason))
		return 0;
	print_error("verifier.txt:%d: %s: expected %s %s, got %d\n%s", p->line, p->name,
		    p->reason[0] ? "refusal" : "acceptance", p->reason, err, log);
	return 1;
}

static void test_labels(void **state)
{
	struct ebpf_object *obj = program_object();
	struct labelled *p = malloc(sizeof(*p));
	int accepted = 0, refused = 0, wrong = 0;

	(void)state;
	assert_true(open_programs());
	while (next_program(p)) {
		wrong += check_program(obj, p);
		if (p->reason[0])
			refused++;
		else
			accepted++;
	}
	fclose(file);
	print_message("%d to accept, %d to refuse, %d wrong\n", accepted, refused, wrong);
	assert_int_equal(wrong, 0);
	assert_true(accepted > 20 && refused > 40);
	free(p);
	ebpf_object_unref(obj);
}

static void test_round_trip(void **state)
{
	struct ebpf_object *obj = program_object();
	struct labelled *p = malloc(sizeof(*p));
	struct ebpf_insn insns[INSNS_MAX], again[INSNS_MAX];
	char *text = malloc(TEXT_MAX);

	(void)state;
	assert_true(open_programs());
	while (next_program(p)) {
		int count = assemble(p, insns), line, second;
		struct ebpf_code code = {.insns = insns, .count = (uint32_t)count};

		assert_true(ebpf_disasm_code(obj, &code, text, TEXT_MAX) < TEXT_MAX);
		second = asm_program(text, program_maps, again, INSNS_MAX, &line);
		if (second != count || memcmp(insns, again, (size_t)count * sizeof(*insns)) != 0)
			fail_msg("%s: reads back differently (line %d)\n%s", p->name, line, text);
	}
	fclose(file);
	free(text);
	free(p);
	ebpf_object_unref(obj);
}

/* Names come from a stranger: nothing in them ends the JSON string, or reaches a terminal raw. */
static void check_escapes(struct ebpf_object *obj)
{
	struct ebpf_refusal refusal = *ebpf_object_refusal(obj);
	char log[EBPF_LOG_SIZE];

	snprintf(refusal.program, sizeof(refusal.program), "a\"b\\c\x1b\xff\n");
	ebpf_refusal_json(&refusal, log, sizeof(log));
	assert_non_null(strstr(log, "\"program\": \"a\\\"b\\\\c\\u001b?\\u000a\", "));
}

/* A report names the instruction, the reason, the registers and the cure. */
static void test_report(void **state)
{
	struct ebpf_object *obj = program_object();
	struct ebpf_insn insns[INSNS_MAX];
	char log[EBPF_LOG_SIZE];
	int line, count;

	(void)state;
	count = asm_program("r2 = *(u64 *)(r1 +0)\nr0 = *(u8 *)(r2 +4)\nexit\n", program_maps,
			    insns, INSNS_MAX, &line);
	assert_int_equal(ebpf_verify(obj, program_add(obj, "leat/egress", insns, (size_t)count),
				     log, sizeof(log)),
			 -EACCES);
	assert_non_null(strstr(log, "instruction 1: r0 = *(u8 *)(r2 +4)"));
	assert_non_null(strstr(log, "reason: 1 bytes at packet offset +4, but only 0 are known"));
	assert_non_null(strstr(log, "r2: packet, bytes known to be there: 0"));
	assert_non_null(strstr(log, "cure:   compare first"));
	assert_int_equal(ebpf_object_refusal(obj)->instruction, 1);
	count = ebpf_refusal_json(ebpf_object_refusal(obj), log, sizeof(log));
	assert_int_equal(count, strlen(log));
	assert_string_equal(log,
			    "{\"program\": \"test\", \"section\": \"leat/egress\", "
			    "\"instruction\": 1, \"text\": \"r0 = *(u8 *)(r2 +4)\", "
			    "\"reason\": \"1 bytes at packet offset +4, but only 0 are known to be "
			    "there\", \"registers\": {\"r2\": \"packet, bytes known to be there: "
			    "0\"}, \"cure\": \"compare first: if ((void *)(hdr + 1) > data_end) "
			    "return LEAT_DROP;\"}");
	check_escapes(obj);
	/* a small buffer is filled, not overrun */
	memset(log, 'x', sizeof(log));
	ebpf_verify(obj, &obj->progs[0], log, 16);
	assert_int_equal(log[15], '\0');
	assert_int_equal(log[16], 'x');
	assert_int_equal(ebpf_verify(obj, &obj->progs[0], NULL, 0), -EACCES);
	program_drop(obj);
	ebpf_object_unref(obj);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
