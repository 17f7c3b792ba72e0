/*
 * The facade of bpf/: eBPF objects, proved safe by Leat's own verifier and run as native code.
 *
 * An *object* is what one ELF file holds: programs, map definitions, initial data. It is opened,
 * verified and prepared once, is immutable from then on, and shared by reference. An *instance* of
 * an object is a set of maps of its own, reached by the shared code through a table: making one
 * costs the memory of its maps and no compilation.
 *
 *	ebpf_object_load(elf, size, log, sizeof(log), &obj);	open + verify + prepare
 *	ebpf_instance_create(obj, &inst);
 *	ebpf_map_update(ebpf_instance_map(inst, "identity"), &(uint32_t){0}, &identity, 0);
 *	prog = ebpf_instance_prog(inst, LEAT_SEC_EGRESS);
 *	verdict = ebpf_prog_run(prog, &ctx);
 *
 * Nothing that has not passed the verifier can be run: ebpf_instance_create() refuses it.
 *
 * Threads: objects and instances may be used by any number of threads at once once they are made;
 * making, referencing and destroying one needs no lock either, but whoever destroys an instance
 * must know that nobody runs its programs any more.
 *
 * All functions return 0 (or what is said) or a negative errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ebpf_object;
struct ebpf_instance;
struct ebpf_map;
struct ebpf_env;

/*
 * What a proof depends on besides the object: this number, which is raised whenever the verifier or
 * the compiler change what they accept or make, and the platform table.
 */
#define EBPF_VERIFIER_VERSION 2
uint64_t ebpf_platform_hash(void);

/* Threads that per-CPU arrays may tell apart. */
#define EBPF_CPUS_MAX 32

/* What helpers ask of whoever embeds an instance. */
struct ebpf_host {
	/* Tag word of the instance with this address (network order), or -ENOENT; NULL: none. */
	int64_t (*tag_of)(void *arg, uint32_t ipv4);
	/*
	 * Fills the @size bytes at @to with what core @core is like (struct leat_sched_core, then
	 * zeros): 0, or -ENOENT; then they are zero. @ctx is the program's context. NULL: none.
	 */
	int64_t (*core_get)(void *arg, const void *ctx, uint32_t core, void *to, size_t size);
	void *arg;
};

/* A program of an instance. In the header only so that running one costs one call. */
struct ebpf_prog {
	uint64_t (*entry)(uint64_t ctx, const struct ebpf_env *env, const struct ebpf_prog *prog);
	const struct ebpf_env *env;
	const void *code;
};

/* A buffer of this size holds every verifier report whole. */
#define EBPF_LOG_SIZE 4096

/* Why a program was refused. */
struct ebpf_refusal {
	char program[64];
	char section[64];
	uint32_t instruction; /* its index, or EBPF_WHOLE_PROGRAM */
	char text[128];       /* the instruction */
	char file[256];       /* its source, if line is not 0 */
	uint32_t line;
	char source[256];
	char reason[256];
	uint32_t reg_count; /* what was known of the registers that it reads */
	struct {
		uint32_t number;
		char state[192];
	} regs[5];
	char cure[128];
};

#define EBPF_WHOLE_PROGRAM UINT32_MAX

enum ebpf_engine {
	EBPF_ENGINE_AUTO, /* native code where there is a compiler for this machine */
	EBPF_ENGINE_INTERPRETER,
	EBPF_ENGINE_COMPILER, /* -ENOTSUP where there is none */
};

/*
 * Reads an ELF object from memory (the bytes are not needed afterwards). @log (may be NULL) gets
 * a NUL-terminated explanation of a failure: -EINVAL malformed, -ENOTSUP uses something that Leat
 * does not have (map type, extern symbol), -ENOMEM.
 */
int ebpf_object_open(const void *elf, size_t size, char *log, size_t log_size,
		     struct ebpf_object **ret_obj);

/*
 * Verifies every program of the object. -EACCES: a program could do something unsafe; @log then
 * names the first such program, the instruction, the source line, what is known of the registers
 * involved, and what would make it safe. -E2BIG: the proof needs more states or steps than are
 * allowed.
 */
int ebpf_object_verify(struct ebpf_object *obj, char *log, size_t log_size);

/*
 * The refusal of the first program that ebpf_object_verify() refused, or of the one called @name;
 * NULL if there is none; lives as long as the object. Then as text (what @log gets) and as one JSON
 * object: both return the length of the whole like snprintf().
 */
const struct ebpf_refusal *ebpf_object_refusal(const struct ebpf_object *obj);
const struct ebpf_refusal *ebpf_object_prog_refusal(const struct ebpf_object *obj,
						    const char *name);
int ebpf_refusal_text(const struct ebpf_refusal *refusal, char *buf, size_t size);
int ebpf_refusal_json(const struct ebpf_refusal *refusal, char *buf, size_t size);

/*
 * Makes a verified object runnable. -EACCES if it was not verified, -ENOTSUP if it has programs for
 * Linux (socket, tc, xdp), which are only verified here.
 */
int ebpf_object_prepare(struct ebpf_object *obj, enum ebpf_engine engine);

/* All three steps with EBPF_ENGINE_AUTO. */
int ebpf_object_load(const void *elf, size_t size, char *log, size_t log_size,
		     struct ebpf_object **ret_obj);

struct ebpf_object *ebpf_object_ref(struct ebpf_object *obj);
void ebpf_object_unref(struct ebpf_object *obj); /* NULL is allowed */

/* Is there a program in section (or of the function's name) @name? */
bool ebpf_object_has_prog(const struct ebpf_object *obj, const char *name);

/* Name of the program number @index, NULL behind the last. Its section in @ret_section (may be
 * NULL). */
const char *ebpf_object_prog_name(const struct ebpf_object *obj, uint32_t index,
				  const char **ret_section);

/* Instructions of @name; 0 if there is none. */
uint32_t ebpf_object_prog_size(const struct ebpf_object *obj, const char *name);

/* Instructions on the longest path through @name that the verifier saw; 0 if not verified. */
uint64_t ebpf_object_prog_cost(const struct ebpf_object *obj, const char *name);

/* The engine that ebpf_object_prepare() chose: "compiler", "interpreter", or "none". */
const char *ebpf_object_engine(const struct ebpf_object *obj);

/* Can @name change the packet? Then whoever delivers it has to look at it again. */
bool ebpf_object_prog_writes_packet(const struct ebpf_object *obj, const char *name);

/* An instance with fresh maps (initial data copied). Holds a reference to @obj. */
int ebpf_instance_create(struct ebpf_object *obj, struct ebpf_instance **ret_inst);
void ebpf_instance_destroy(struct ebpf_instance *inst); /* NULL is allowed */

/* Before its programs run: answers for helpers. */
void ebpf_instance_set_host(struct ebpf_instance *inst, const struct ebpf_host *host);

/*
 * The oldest line that a program printed (bpf_trace_printk): its length, after copying at most
 * @size bytes, no NUL; -ENOENT if there is none. Lines above the rate are counted in @ret_lost (may
 * be NULL).
 */
int64_t ebpf_instance_trace(struct ebpf_instance *inst, char *buf, size_t size, uint64_t *ret_lost);

/*
 * How many threads with numbers of their own run programs, 1 .. EBPF_CPUS_MAX: so many copies get
 * the per-CPU arrays of instances that are made from now on. ebpf_thread_cpu_set() numbers the
 * calling thread from 0; the others share copy 0.
 */
int ebpf_cpus_set(uint32_t count);
void ebpf_thread_cpu_set(uint32_t cpu);

/* What it is an instance of; lives as long as the instance. */
const struct ebpf_object *ebpf_instance_object(const struct ebpf_instance *inst);

/* Program by section or function name, NULL if there is none; lives as long as the instance. */
const struct ebpf_prog *ebpf_instance_prog(const struct ebpf_instance *inst, const char *name);

/*
 * Runs a program on its context (struct leat_pkt_ctx for the leat/ sections; data..data_end must be
 * readable for as long as this takes, and nobody may write there meanwhile). Returns r0. Never
 * blocks, never allocates; thread-safe.
 */
static inline uint64_t ebpf_prog_run(const struct ebpf_prog *prog, void *ctx)
{
	return prog->entry((uintptr_t)ctx, prog->env, prog);
}

/* Map by name, NULL if there is none; lives as long as the instance. */
struct ebpf_map *ebpf_instance_map(const struct ebpf_instance *inst, const char *name);

/* Map number @index, NULL behind the last. */
struct ebpf_map *ebpf_instance_map_at(const struct ebpf_instance *inst, uint32_t index);

struct ebpf_map_info {
	const char *name;
	uint32_t type; /* enum bpf_map_type of linux/bpf.h */
	uint32_t key_size;
	uint32_t value_size;
	uint32_t max_entries; /* ring buffers: bytes */
	uint32_t copies;      /* per-CPU arrays: threads; else 1 */
};

void ebpf_map_info(const struct ebpf_map *map, struct ebpf_map_info *ret_info);

/*
 * Lookup copies the value out; -ENOENT if the key is absent. Update's @flags are those of Linux
 * (BPF_ANY 0, BPF_NOEXIST 1, BPF_EXIST 2): -EEXIST, -ENOENT, -E2BIG when full, -EINVAL, -EPERM (the
 * object's constants). Operations
 * on a hash map give up with -EBUSY (in a program, a lookup finds nothing) when others hold it for
 * some 50 us.
 */
int ebpf_map_lookup(struct ebpf_map *map, const void *key, void *ret_value);
int ebpf_map_update(struct ebpf_map *map, const void *key, const void *value, uint64_t flags);
int ebpf_map_delete(struct ebpf_map *map, const void *key);

/*
 * A per-CPU array has a copy per thread: lookup finds the calling thread's, update writes all. This
 * finds one of them.
 */
int ebpf_map_lookup_copy(struct ebpf_map *map, const void *key, uint32_t copy, void *ret_value);

/*
 * Maps of maps: a program finds a map at @key if one was put there, as initial data of the object
 * or here, by one thread at a time. Inner maps belong to the outer one's instance and to no other;
 * one that is removed lives on, unreachable, until the instance ends. -EEXIST, -ENOENT, -E2BIG,
 * -EINVAL if it is no map of maps.
 */
int ebpf_map_inner_create(struct ebpf_map *outer, const void *key);
int ebpf_map_inner_remove(struct ebpf_map *outer, const void *key);
struct ebpf_map *ebpf_map_inner(struct ebpf_map *outer, const void *key); /* NULL: none */

/*
 * The oldest record of a ring buffer: its length, after copying at most @size bytes; -ENOENT if
 * there is none, -EBUSY if somebody else reads. Records that found no room are counted in @ret_lost
 * (may be NULL).
 */
int64_t ebpf_map_ring_take(struct ebpf_map *map, void *buf, size_t size, uint64_t *ret_lost);

/* The key after @key (the first one if @key is NULL or gone); -ENOENT after the last. */
int ebpf_map_next_key(struct ebpf_map *map, const void *key, void *ret_key);

/*
 * A program as text, one instruction a line, with source lines where the object has them. Returns
 * the length of the whole text like snprintf(), or -ENOENT.
 */
int ebpf_object_disasm(const struct ebpf_object *obj, const char *name, char *buf, size_t size);

/*
 * The function behind helper @number, as compiled programs call it; NULL if it cannot be called
 * here. For benchmarks that call it from C.
 */
typedef uint64_t (*ebpf_helper_fn)(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5,
				   const struct ebpf_env *env);
ebpf_helper_fn ebpf_helper_find(int32_t number);

/*
 * For the public conformance suite only: runs @count bare instructions (8 bytes each) that are
 * trusted and not verified, with r1 = @memory and r2 = @memory_size. -EINVAL if they are malformed
 * or call helpers that are not there.
 */
int ebpf_run_trusted(const void *insns, size_t count, enum ebpf_engine engine, void *memory,
		     size_t memory_size, uint64_t *ret_r0);
