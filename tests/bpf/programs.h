/* Programs assembled by tests, in an object with a standard set of maps. */
#pragma once

#include "bpf/object.h"

/*
 * "counters": array of 32 u64; "value": array of one 48-byte value; "hash": u64 keys, 16-byte
 * values; "const": read-only array of one 64-byte value; "percpu": per-CPU array of 4 values of 24
 * bytes; "ring": ring buffer of 4096 bytes; "outer": array of 4 maps, each an array of 4 values of
 * 24 bytes; "handles": 4 of them; "lru": u64 keys, 4 values of 24 bytes; "sockets": 4 of
 * AF_XDP.
 */
enum {
	PROGRAM_COUNTERS,
	PROGRAM_VALUE,
	PROGRAM_HASH,
	PROGRAM_CONST,
	PROGRAM_PERCPU,
	PROGRAM_RING,
	PROGRAM_OUTER,
	PROGRAM_HANDLES,
	PROGRAM_LRU,
	PROGRAM_SOCKETS,
};
extern const char *const program_maps[];

/* An object with these maps and no program. */
struct ebpf_object *program_object(void);

/* Adds @insns as a program of section @section; the object owns the copy. */
struct ebpf_code *program_add(struct ebpf_object *obj, const char *section,
			      const struct ebpf_insn *insns, size_t count);

/* Forgets the last program. */
void program_drop(struct ebpf_object *obj);

/* Does it ask for the time or random numbers nowhere? Those differ from run to run. */
bool program_is_repeatable(const struct ebpf_insn *insns, size_t count);
