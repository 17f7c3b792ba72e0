/* What the files of the verifier share: one verification in progress. */
#pragma once

#include "bpf/object.h"
#include "bpf/verify.h"
#include "bpf/vstate.h"

#include <errno.h>

#define VERIFY_STEPS_MAX 1000000     /* instructions walked, over all paths */
#define VERIFY_NODES_MAX 16384       /* states kept for pruning: bounds the memory of a proof */
#define VERIFY_NODES_AT 24           /* of them at one instruction */
#define VERIFY_PENDING_MAX 8192      /* branches not walked yet */
#define VERIFY_BYTES_MAX (64u << 20) /* of kept states and waiting branches */
#define VERIFY_OFFSET_MAX (1 << 29)  /* of a pointer from its base */

/* In an ebpf_call_note: not reached yet; reached with different or unknown ones. */
#define CALL_NOT_SEEN (-1)
#define CALL_MANY (-2)

/*
 * A set of half slots (four bytes) of every active function's stack. What a path reads of the stack
 * is noted in the states that it came through, up to where it was written last: a finished state
 * then knows which of its stack mattered, and only that is compared.
 */
#define STACK_HALVES (EBPF_STACK_SIZE / 4)
struct vhalves {
	uint64_t bits[EBPF_CALL_DEPTH][STACK_HALVES / 64];
};

/*
 * A state seen at a join of control flow. It is the parent of the states reached next; when every
 * path from it has ended safely (open == 0) it can prove others.
 */
struct vnode {
	struct vnode *parent;
	struct vnode *next; /* of all nodes, for the end */
	struct vstate state;
	uint32_t pc;
	uint32_t open;          /* paths below it that have not ended */
	uint64_t distance;      /* instructions from the parent */
	uint64_t cost;          /* of the longest path from here to the end */
	struct vhalves written; /* between the parent and here */
	struct vhalves read;    /* later, before being written */
	uint32_t packet_known;  /* bytes that the best pointer without an id has behind it */
	uint32_t packet_used;   /* of them, relied on later */
};

struct vbranch {
	struct vstate state;
	struct vnode *parent;
	uint64_t distance; /* from the parent */
	uint32_t pc;
	struct vhalves written; /* since the parent */
};

struct vjoin {
	bool here; /* may states be kept at this instruction? */
	uint8_t count;
	uint8_t evict;
	struct vnode *nodes[VERIFY_NODES_AT];
};

struct vsources {
	struct vsource *all;
	uint32_t *stack; /* as many: room for verify_rely() */
	uint32_t count, room;
	bool no_memory;
};

struct verifier {
	const struct ebpf_object *obj;
	struct ebpf_code *code;
	const struct ebpf_prog_type *type;
	const struct ebpf_insn *insns;
	uint32_t count;
	struct vlive *live;    /* per instruction */
	uint32_t *function_of; /* first instruction of the function of each */
	struct vjoin *joins;

	/* the path being walked */
	struct vstate now;
	uint32_t pc;
	struct vnode *parent;
	uint64_t distance;
	struct vhalves written;

	struct vbranch *pending;
	uint32_t pending_count;
	uint32_t pending_room;
	struct vnode *nodes;
	uint32_t node_count;
	struct vsources sources;
	size_t bytes; /* of kept states, waiting branches and sources */
	uint32_t next_id;
	uint64_t steps;
};

/* For tests: called before each instruction that is walked; the other one when all is proved. */
extern _Thread_local void (*verify_observer)(void *arg, const struct verifier *v);
extern _Thread_local void (*verify_observer_of_end)(void *arg, const struct verifier *v);
extern _Thread_local void *verify_observer_arg;

static inline struct vreg *vreg_at(struct verifier *v, unsigned int reg)
{
	return &vstate_top(&v->now)->regs[reg];
}

/* Notes the refusal; returns -EACCES. @cure: what would make the program safe. */
__attribute__((format(printf, 3, 4))) int verify_fail(struct verifier *v, const char *cure,
						      const char *format, ...);

/* live.c: fills v->live. */
void verify_live(struct verifier *v);

/* vsource.c */
uint32_t verify_source_join(struct verifier *v, uint32_t a, uint32_t b);
/* Something is decided by a number from here. */
void verify_rely(struct verifier *v, uint32_t source);
void verify_rely_reg(struct verifier *v, const struct vreg *reg); /* if it is a number */
/* The present state is going to be kept: each of its numbers gets a source of its own. */
void verify_sources_renew(struct verifier *v);
/* The proof of @seen stands for the present state's: it relies on the same numbers. */
void verify_sources_inherit(struct verifier *v, const struct vstate *seen);
void verify_sources_finish(struct verifier *v);

/* -EACCES if a register was never written. */
int verify_reads(struct verifier *v, unsigned int reg);
int verify_writes(struct verifier *v, unsigned int reg);

/* valu.c */
int verify_alu(struct verifier *v, struct ebpf_insn insn);

/* vmem.c */
int verify_classic_load(struct verifier *v, struct ebpf_insn insn);
int verify_load(struct verifier *v, struct ebpf_insn insn);
int verify_store(struct verifier *v, struct ebpf_insn insn);
int verify_atomic(struct verifier *v, struct ebpf_insn insn);

enum vaccess { ACCESS_READ = 1, ACCESS_WRITE = 2 };

/* Is [reg + off, + size) of a packet or a map's value there, and writable if asked? */
int verify_area(struct verifier *v, const struct vreg *reg, int64_t off, uint32_t size,
		enum vaccess access);

/* Notes that @bytes of the packet were relied on, in the states that knew of them. */
void verify_packet_inherit(struct verifier *v, uint32_t bytes);

/* vstack.c; offsets are relative to the pointer. */
int verify_stack_load(struct verifier *v, const struct vreg *base, struct ebpf_insn insn);
int verify_stack_store(struct verifier *v, const struct vreg *base, struct ebpf_insn insn,
		       const struct vreg *value);
/* Are the bytes written, and numbers? */
int verify_stack_read(struct verifier *v, const struct vreg *base, int64_t off, uint32_t size);
/* Some number is written to the bytes; @certainly: to all of them. */
int verify_stack_clobber(struct verifier *v, const struct vreg *base, int64_t off, uint32_t size,
			 bool certainly);

/* What is known of the number at a fixed place in the stack. For an access not checked yet. */
struct vreg verify_stack_known(struct verifier *v, const struct vreg *base, struct ebpf_insn insn);

/* What is known of the @size bytes that a checked pointer to the stack leads to, as a number. */
struct vreg verify_stack_number(struct verifier *v, const struct vreg *base, uint32_t size);

/* Everything that a path from a finished state reads will be read from here too. */
void verify_stack_inherit(struct verifier *v, const struct vhalves *read);

/* Is reg + off always a multiple of @size, if the base of its kind is? */
bool verify_is_aligned(const struct vreg *reg, int64_t off, uint32_t size);

/* vcall.c: these set v->pc */
int verify_call(struct verifier *v, struct ebpf_insn insn);
int verify_local_call(struct verifier *v, struct ebpf_insn insn);
int verify_enter(struct verifier *v, uint32_t target, uint32_t return_pc);
void verify_forget_arguments(struct vstate *state);
/* Is everything given back? */
int verify_end(struct verifier *v);

/* The definition behind vreg.map. */
const struct ebpf_map_def *verify_map_def(const struct verifier *v, uint16_t map);

/* vloop.c: a call of bpf_loop() whose arguments are right; a round is over, @result in r0. */
int verify_loop(struct verifier *v);
int verify_loop_round(struct verifier *v, struct vloop *loop, const struct scalar *result);
/* Returns 1 at the program's own end, 0 after a return from a function. */
int verify_exit(struct verifier *v);

/* vjump.c: sets v->pc; returns 1 if the path cannot go on. */
int verify_jump(struct verifier *v, struct ebpf_insn insn);

/* verify.c: walk @state from @pc later; takes it over. */
int verify_push(struct verifier *v, struct vstate *state, uint32_t pc);
