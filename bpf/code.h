/* What the parts of bpf/ share: a program's code, and the table through which it finds its maps. */
#pragma once

#include "bpf/bpf.h"
#include "bpf/insn.h"

struct ebpf_trace;

#define EBPF_MAPS_MAX 32

/*
 * The instance table: a program's register-held pointer at run time (r12 in native code). Shared
 * code loads the addresses of maps and of their values from here instead of having them baked in.
 */
struct ebpf_env {
	struct {
		struct ebpf_map *map;
		uint8_t *values; /* plain arrays: the first value */
	} slot[EBPF_MAPS_MAX];
	struct ebpf_trace *trace; /* NULL: no program of the object prints */
	struct ebpf_host host;
};

/* What every execution of a call of a helper has in common. */
struct ebpf_call_note {
	int32_t map; /* index of the only map that it is given, or < 0 */
	int64_t key; /* the only key, of 4 bytes, or < 0 */
};

struct ebpf_prog;

/* r1, the instance table, r2 (which programs of filters do not read) */
typedef uint64_t (*ebpf_native_fn)(uint64_t arg1, const struct ebpf_env *env,
				   const struct ebpf_prog *arg2);

struct ebpf_code {
	char name[64];    /* of the function */
	char section[64]; /* "leat/egress" */
	struct ebpf_insn *insns;
	int32_t *lines; /* per instruction: index of its source line in the object, or -1 */
	struct ebpf_call_note *calls; /* per instruction; by the verifier, or NULL */
	uint32_t count;
	const struct ebpf_prog_type *type;
	uint64_t cost; /* longest path, by the verifier */
	bool verified;
	bool writes_packet;           /* by the verifier: perhaps */
	struct ebpf_refusal *refusal; /* by the verifier, or NULL */
	ebpf_native_fn native;        /* NULL: interpret */
	size_t native_size;           /* of the mapping */
};

/*
 * Runs verified code. @arg1 and @arg2 are r1 and r2 at entry (filters have only the context; the
 * conformance vectors have a buffer and its length).
 */
uint64_t ebpf_interp_run(const struct ebpf_code *code, uint64_t arg1, uint64_t arg2,
			 const struct ebpf_env *env);

/* One arithmetic instruction on concrete values; the meaning that everything else is tested by. */
uint64_t ebpf_alu64(struct ebpf_insn insn, uint64_t a, uint64_t b);
uint64_t ebpf_alu32(struct ebpf_insn insn, uint64_t a, uint64_t b);

/* Does a conditional jump (JMP or JMP32 class) of @a against @b go to its target? */
bool ebpf_jump_taken(struct ebpf_insn insn, uint64_t a, uint64_t b);

/* What a two-slot load at @pc puts into its register; a function's is its first instruction. */
uint64_t ebpf_lddw_value(const struct ebpf_insn *insn, uint32_t pc, const struct ebpf_env *env);
