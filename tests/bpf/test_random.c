/*
 * Random and mutated programs: whatever the verifier accepts runs in the oracle on random input
 * without a finding, every number inside what the verifier knew of it, and gives the same result
 * and the same maps in interpreter and compiler. LEAT_BPF_PROGRAMS sets how many (default 20000),
 * LEAT_BPF_SEED where to begin; a failure prints the seed of its program.
 */
#include "generate.h"
#include "oracle.h"
#include "programs.h"

#include "bpf/disasm.h"
#include "bpf/jit.h"
#include "bpf/verify_priv.h"
#include "leat/abi/filter.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INPUTS 6
#define STATES_MAX 48 /* abstract states remembered per instruction; beyond, nothing is checked */
#define PACKET_MAX 96

/* What the verifier believed before an instruction. */
struct belief {
	uint32_t count;
	struct {
		uint32_t depth;
		struct vreg regs[EBPF_REGS];
	} states[STATES_MAX];
};

struct run {
	struct ebpf_object *obj;
	struct ebpf_code *code;
	struct belief *beliefs;
	struct vneed *needs; /* of the program, copied while it was verified */
	char wrong[256];
};

static void believe(void *arg, const struct verifier *v)
{
	struct run *run = arg;
	struct belief *belief = &run->beliefs[v->pc];

	if (belief->count < STATES_MAX) {
		belief->states[belief->count].depth = v->now.depth;
		memcpy(belief->states[belief->count].regs, v->now.frames[v->now.depth]->regs,
		       sizeof(belief->states[0].regs));
	}
	belief->count++;
	run->needs[v->pc] = v->needs[v->pc];
}

/* Some remembered state must hold every number that matters. */
static void watch(void *arg, uint32_t pc, uint32_t depth, const uint64_t *regs, uint16_t numbers)
{
	struct run *run = arg;
	const struct belief *belief = &run->beliefs[pc];
	uint16_t exact = run->needs[pc].exact & run->needs[pc].live & numbers;
	uint32_t i, j;

	if (belief->count > STATES_MAX || run->wrong[0])
		return;
	for (i = 0; i < belief->count; i++) {
		for (j = 0; j < EBPF_REGS; j++) {
			const struct vreg *reg = &belief->states[i].regs[j];

			if (!(exact >> j & 1))
				continue;
			/* not written in this state, and so never read after it */
			if (reg->type == V_NONE)
				continue;
			/* a lookup's null is a number already */
			if (reg->type == V_VALUE_OR_NULL && regs[j] == 0)
				continue;
			if (reg->type != V_SCALAR || !scalar_contains(&reg->var, regs[j]))
				break;
		}
		if (j == EBPF_REGS && belief->states[i].depth == depth)
			return;
	}
	snprintf(run->wrong, sizeof(run->wrong), "at %u no abstract state holds the registers", pc);
}

struct maps {
	uint8_t bytes[4][32 * 64];
	struct ebpf_env env;
};

static void fill_maps(struct ebpf_object *obj, struct ebpf_env *env, uint64_t seed)
{
	struct generator g = {seed | 1};
	uint32_t i, j;

	memset(env, 0, sizeof(*env));
	for (i = 0; i < obj->map_count; i++) {
		uint32_t size = obj->maps[i].max_entries * ebpf_map_stride(obj->maps[i].value_size);

		assert_int_equal(ebpf_map_create(&obj->maps[i], &env->slot[i].map), 0);
		env->slot[i].values = ebpf_map_values(env->slot[i].map);
		for (j = 0; env->slot[i].values && j < size; j++)
			env->slot[i].values[j] = (uint8_t)(generate_random(&g) >> 32);
	}
}

static void free_maps(struct ebpf_object *obj, struct ebpf_env *env)
{
	uint32_t i;

	for (i = 0; i < obj->map_count; i++)
		ebpf_map_destroy(env->slot[i].map);
}

static bool same_maps(struct ebpf_object *obj, const struct ebpf_env *a, const struct ebpf_env *b)
{
	uint64_t key;
	uint32_t i;
	uint8_t x[64], y[64];

	for (i = 0; i < obj->map_count; i++) {
		if (a->slot[i].values) {
			if (memcmp(a->slot[i].values, b->slot[i].values,
				   obj->maps[i].max_entries *
					   ebpf_map_stride(obj->maps[i].value_size)) != 0)
				return false;
			continue;
		}
		for (key = 0; key < 4; key++) {
			int found = ebpf_map_lookup(a->slot[i].map, &key, x);

			if (found != ebpf_map_lookup(b->slot[i].map, &key, y) ||
			    (!found && memcmp(x, y, obj->maps[i].value_size) != 0))
				return false;
		}
	}
	return true;
}

static void fill_context(struct generator *g, struct leat_pkt_ctx *ctx, uint8_t *packet)
{
	uint32_t *words = (uint32_t *)(void *)&ctx->now_ns, i;
	uint32_t len = (uint32_t)generate_random(g) % PACKET_MAX;

	for (i = 0; i < 10; i++)
		words[i] = (uint32_t)(generate_random(g) >> (32 + generate_random(g) % 32));
	for (i = 0; i < len; i++)
		packet[i] = (uint8_t)(generate_random(g) >> 40);
	ctx->data = (uintptr_t)packet;
	ctx->data_end = (uintptr_t)packet + len;
}

/* One input through all engines; false with run->wrong filled. */
static bool run_engines(struct run *run, struct generator *g)
{
	uint8_t *packet = malloc(PACKET_MAX);
	struct ebpf_env oracle_env, interp_env, native_env;
	struct leat_pkt_ctx ctx;
	struct oracle_result result;
	struct oracle_input input = {(uint8_t *)&ctx, sizeof(ctx), 0, 0, &oracle_env, 2000000};
	uint64_t seed = generate_random(g), interp, native;
	bool ok;

	fill_context(g, &ctx, packet);
	input.data = ctx.data;
	input.data_end = ctx.data_end;
	fill_maps(run->obj, &oracle_env, seed);
	fill_maps(run->obj, &interp_env, seed);
	fill_maps(run->obj, &native_env, seed);
	ok = oracle_run(run->obj, run->code, &input, watch, run, &result);
	if (!ok) {
		snprintf(run->wrong, sizeof(run->wrong), "at %u: %.200s", result.pc,
			 result.finding);
	} else if (!run->wrong[0]) {
		interp = ebpf_interp_run(run->code, (uintptr_t)&ctx, 0, &interp_env);
		native = run->code->native((uintptr_t)&ctx, &native_env, NULL);
		if (interp != result.r0 || native != result.r0)
			snprintf(run->wrong, sizeof(run->wrong),
				 "oracle %#llx, interpreter %#llx, compiler %#llx",
				 (unsigned long long)result.r0, (unsigned long long)interp,
				 (unsigned long long)native);
		else if (!same_maps(run->obj, &oracle_env, &interp_env) ||
			 !same_maps(run->obj, &oracle_env, &native_env))
			snprintf(run->wrong, sizeof(run->wrong), "engines leave different maps");
		if (result.steps > run->code->cost)
			snprintf(run->wrong, sizeof(run->wrong), "%llu steps, proved %llu",
				 (unsigned long long)result.steps,
				 (unsigned long long)run->code->cost);
	}
	free_maps(run->obj, &oracle_env);
	free_maps(run->obj, &interp_env);
	free_maps(run->obj, &native_env);
	free(packet);
	return !run->wrong[0];
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
	char log[EBPF_LOG_SIZE];
	int i, err;

	run->wrong[0] = '\0';
	run->code = program_add(run->obj, "leat/egress", insns, count);
	for (i = 0; i < (int)count; i++)
		run->beliefs[i].count = 0;
	verify_observer = believe;
	verify_observer_arg = run;
	err = ebpf_verify(run->obj, run->code, log, sizeof(log));
	verify_observer = NULL;
	if (!err) {
		assert_int_equal(ebpf_jit_compile(run->obj, run->code), 0);
		for (i = 0; i < INPUTS && !run->wrong[0]; i++)
			run_engines(run, g);
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
	uint64_t programs = setting("LEAT_BPF_PROGRAMS", 20000);
	uint64_t seed = setting("LEAT_BPF_SEED", (uint64_t)time(NULL)), i;
	struct run run = {.obj = program_object()};
	struct ebpf_insn insns[GENERATE_MAX];
	uint64_t accepted = 0;

	(void)state;
	run.beliefs = calloc(GENERATE_MAX, sizeof(*run.beliefs));
	run.needs = calloc(GENERATE_MAX, sizeof(*run.needs));
	print_message("seed %llu\n", (unsigned long long)seed);
	for (i = 0; i < programs; i++) {
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
	print_message("%llu of %llu accepted\n", (unsigned long long)accepted,
		      (unsigned long long)programs);
	assert_true(programs < 1000 || accepted * 20 > programs);
	free(run.beliefs);
	free(run.needs);
	ebpf_object_unref(run.obj);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
