/*
 * libFuzzer: bytes as instructions. What the verifier accepts must run in the oracle without a
 * finding and give the same result in the interpreter and as native code.
 */
#include "tests/bpf/oracle.h"
#include "tests/bpf/programs.h"

#include "bpf/jit.h"
#include "bpf/verify.h"
#include "leat/abi/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void create_maps(const struct ebpf_object *obj, struct ebpf_env *env)
{
	uint32_t i;

	memset(env, 0, sizeof(*env));
	for (i = 0; i < obj->map_count; i++) {
		if (ebpf_map_create(&obj->maps[i], &env->slot[i].map))
			abort();
		env->slot[i].values = ebpf_map_values(env->slot[i].map);
	}
}

static void destroy_maps(const struct ebpf_object *obj, struct ebpf_env *env)
{
	uint32_t i;

	for (i = 0; i < obj->map_count; i++)
		ebpf_map_destroy(env->slot[i].map);
}

static void run(const struct ebpf_object *obj, const struct ebpf_code *code)
{
	uint8_t packet[40] = {0, 1, 2, 3, 0x45, 255, 128, 127};
	struct leat_pkt_ctx ctx = {
		.data = (uintptr_t)packet,
		.data_end = (uintptr_t)packet + sizeof(packet),
		.now_ns = UINT64_MAX / 3,
		.len = 1500,
		.instance = 5,
		.tag = UINT32_MAX,
	};
	struct ebpf_env env;
	struct oracle_input input = {(uint8_t *)&ctx, sizeof(ctx), ctx.data,
				     ctx.data_end,    &env,        1000000};
	struct oracle_result result;
	uint64_t interp, native;

	create_maps(obj, &env);
	if (!oracle_run(obj, code, &input, NULL, NULL, &result)) {
		fprintf(stderr, "at %u: %s\n", result.pc, result.finding);
		abort();
	}
	destroy_maps(obj, &env);
	create_maps(obj, &env);
	interp = ebpf_interp_run(code, (uintptr_t)&ctx, 0, &env);
	destroy_maps(obj, &env);
	create_maps(obj, &env);
	native = code->native((uintptr_t)&ctx, &env, NULL);
	destroy_maps(obj, &env);
	if (interp != result.r0 || native != result.r0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ebpf_object *obj;
	struct ebpf_insn insns[256];
	size_t count = size / sizeof(insns[0]);
	struct ebpf_code *code;
	char log[EBPF_LOG_SIZE];

	if (!obj)
		obj = program_object();
	if (count == 0 || count > 256)
		return 0;
	memcpy(insns, data, count * sizeof(insns[0]));
	if (!program_is_repeatable(insns, count))
		return 0;
	code = program_add(obj, LEAT_SEC_EGRESS, insns, count);
	if (ebpf_verify(obj, code, log, sizeof(log)) == 0 && ebpf_jit_compile(obj, code) == 0)
		run(obj, code);
	program_drop(obj);
	return 0;
}
