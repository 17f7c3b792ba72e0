/*
 * libFuzzer: bytes as instructions. What the verifier accepts must run in the oracle without a
 * finding and give the same result in the interpreter and as native code.
 */
#include "tests/bpf/engines.h"
#include "tests/bpf/programs.h"

#include "bpf/jit.h"
#include "bpf/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const struct ebpf_object *obj, const struct ebpf_code *code)
{
	static struct engines engines;
	struct engines_input input = {
		.ctx = {.now_ns = UINT64_MAX / 3, .len = 1500, .instance = 5, .tag = UINT32_MAX},
		.packet = {0, 1, 2, 3, 0x45, 255, 128, 127},
		.packet_len = 40,
		.seed = 1,
	};
	char wrong[256];

	if (!engines.obj)
		engines_init(&engines, obj);
	if (!engines_run(&engines, code, &input, NULL, NULL, wrong)) {
		fprintf(stderr, "%s\n", wrong);
		abort();
	}
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
