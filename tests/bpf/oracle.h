/*
 * The checking interpreter: runs a program on concrete input and checks every step against the
 * provenance of its pointers, not against the verifier's idea of them. What the verifier accepts
 * must never fail here.
 */
#pragma once

#include "bpf/object.h"

struct oracle_input {
	uint8_t *ctx; /* a struct leat_pkt_ctx */
	size_t ctx_size;
	const struct ebpf_env *env;
	uint64_t budget; /* instructions */
};

struct oracle_result {
	uint64_t r0;
	uint64_t steps;
	char finding[256]; /* empty: nothing wrong */
	uint32_t pc;       /* of the finding */
};

/* Called before each instruction with the registers and which of them hold numbers. */
typedef void (*oracle_watch)(void *arg, uint32_t pc, uint32_t depth, const uint64_t *regs,
			     uint16_t numbers);

/* false: the program did something that no accepted program may do. */
bool oracle_run(const struct ebpf_object *obj, const struct ebpf_code *code,
		const struct oracle_input *input, oracle_watch watch, void *arg,
		struct oracle_result *ret_result);
