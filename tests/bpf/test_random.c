/*
 * Random and mutated programs: whatever the verifier accepts runs in the oracle on random input
 * without a finding, every number inside what the verifier knew of it, and gives the same result
 * and leaves the same maps and packet in interpreter and compiler. LEAT_BPF_PROGRAMS sets how many
 * (default 5000), LEAT_BPF_INPUTS how many inputs each gets, LEAT_BPF_EXECUTIONS after how many it
 * is enough, LEAT_BPF_SEED where to begin; a failure prints the seed of its program.
 */
#include "engines.h"
#include "generate.h"
#include "programs.h"

#include "bpf/disasm.h"
#include "bpf/jit.h"
#include "bpf/verify_priv.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STATES_MAX 48 /* abstract states remembered per instruction; beyond, nothing is checked */

/* What the verifier believed before an instruction. */
struct belief {
	uint32_t count;
	struct {
		uint32_t depth;
		struct vreg regs[EBPF_REGS];
		uint16_t relied; /* bit per register: a number by which something is decided */
	} states[STATES_MAX];
};

struct run {
	struct ebpf_object *obj;
	struct engines engines;
	struct ebpf_code *code;
	uint64_t executions, inputs;
	struct belief *beliefs;
	char wrong[256];
};

/* The proof is complete: now it is known which numbers it relied on. */
static void conclude(void *arg, const struct verifier *v)
{
	struct run *run = arg;
	uint32_t pc, i, j;

	for (pc = 0; pc < v->count; pc++) {
		struct belief *belief = &run->beliefs[pc];

		for (i = 0; i < belief->count && i < STATES_MAX; i++)
			for (j = 0; j < EBPF_REGS; j++) {
				const struct vreg *reg = &belief->states[i].regs[j];

				if (reg->type != V_SCALAR || !(v->live[pc].read >> j & 1))
					continue;
				if (!reg->source || v->sources.all[reg->source].relied)
					belief->states[i].relied |= (uint16_t)(1u << j);
			}
	}
}

static void believe(void *arg, const struct verifier *v)
{
	struct run *run = arg;
	struct belief *belief = &run->beliefs[v->pc];

	if (belief->count < STATES_MAX) {
		belief->states[belief->count].depth = v->now.depth;
		belief->states[belief->count].relied = 0;
		memcpy(belief->states[belief->count].regs, v->now.frames[v->now.depth]->regs,
		       sizeof(belief->states[0].regs));
	}
	belief->count++;
}

/* Some remembered state must hold every number that the proof relies on from there on. */
static void watch(void *arg, uint32_t pc, uint32_t depth, const uint64_t *regs, uint16_t numbers)
{
	struct run *run = arg;
	const struct belief *belief = &run->beliefs[pc];
	uint32_t i, j;

	if (belief->count > STATES_MAX || run->wrong[0])
		return;
	for (i = 0; i < belief->count; i++) {
		for (j = 0; j < EBPF_REGS; j++) {
			const struct vreg *reg = &belief->states[i].regs[j];

			if (!(belief->states[i].relied >> j & 1))
				continue;
			if (!(numbers >> j & 1) || !scalar_contains(&reg->var, regs[j]))
				break;
		}
		if (j == EBPF_REGS && belief->states[i].depth == depth)
			return;
	}
	snprintf(run->wrong, sizeof(run->wrong), "at %u no abstract state holds the registers", pc);
}

static void fill_input(struct generator *g, struct engines_input *input)
{
	uint32_t *words = (uint32_t *)(void *)&input->ctx.now_ns, i;

	memset(input, 0, sizeof(*input));
	for (i = 0; i < 11; i++)
		words[i] = (uint32_t)(generate_random(g) >> (32 + generate_random(g) % 32));
	input->packet_len = (uint32_t)generate_random(g) % ENGINES_PACKET_MAX;
	for (i = 0; i < input->packet_len; i++)
		input->packet[i] = (uint8_t)(generate_random(g) >> 40);
	input->seed = generate_random(g);
}

static void show_program(const struct run *run)
{
	char *text = malloc(65536);

	ebpf_disasm_code(run->obj, run->code, text, 65536);
	print_error("%s", text);
	free(text);
}

/* 1: accepted, 0: refused, -1: something is wrong */
static int try_program(struct run *run, struct generator *g, const struct ebpf_insn *insns,
		       uint32_t count)
{
	struct engines_input input;
	char wrong[256];
	uint64_t n;
	int i, err;

	run->wrong[0] = '\0';
	run->code = program_add(run->obj, "leat/egress", insns, count);
	for (i = 0; i < (int)count; i++)
		run->beliefs[i].count = 0;
	verify_observer = believe;
	verify_observer_of_end = conclude;
	verify_observer_arg = run;
	err = ebpf_verify(run->obj, run->code, NULL, 0);
	verify_observer = verify_observer_of_end = NULL;
	if (!err) {
		assert_int_equal(ebpf_jit_compile(run->obj, run->code), 0);
		for (n = 0; n < run->inputs && !run->wrong[0]; n++) {
			fill_input(g, &input);
			engines_run(&run->engines, run->code, &input, watch, run, wrong);
			if (!run->wrong[0])
				memcpy(run->wrong, wrong, sizeof(wrong));
			run->executions++;
		}
	}
	if (run->wrong[0])
		show_program(run);
	program_drop(run->obj);
	return run->wrong[0] ? -1 : !err;
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void test_programs(void **state)
{
	uint64_t programs = setting("LEAT_BPF_PROGRAMS", 5000);
	uint64_t enough = setting("LEAT_BPF_EXECUTIONS", UINT64_MAX);
	uint64_t seed = setting("LEAT_BPF_SEED", (uint64_t)time(NULL)), i;
	struct run run = {.obj = program_object()};
	struct ebpf_insn insns[GENERATE_MAX];
	uint64_t accepted = 0;

	(void)state;
	run.inputs = setting("LEAT_BPF_INPUTS", 6);
	engines_init(&run.engines, run.obj);
	run.beliefs = calloc(GENERATE_MAX, sizeof(*run.beliefs));
	print_message("seed %llu\n", (unsigned long long)seed);
	for (i = 0; i < programs && run.executions < enough; i++) {
		/* scattered, so that neighbouring seeds are unlike */
		struct generator g = {((seed + i) * 0x9e3779b97f4a7c15u) | 1};
		uint32_t count = generate_program(&g, insns);
		int mutations = (int)(generate_random(&g) % 4), result;

		while (mutations-- > 1)
			generate_mutate(&g, insns, count);
		if (!program_is_repeatable(insns, count))
			continue;
		result = try_program(&run, &g, insns, count);
		if (result < 0)
			fail_msg("LEAT_BPF_SEED=%llu LEAT_BPF_PROGRAMS=1: %s",
				 (unsigned long long)(seed + i), run.wrong);
		accepted += (uint64_t)result;
	}
	print_message("%llu of %llu accepted, %llu executions in each engine\n",
		      (unsigned long long)accepted, (unsigned long long)i,
		      (unsigned long long)run.executions);
	assert_true(i < 1000 || accepted * 20 > i);
	engines_finish(&run.engines);
	free(run.beliefs);
	ebpf_object_unref(run.obj);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
