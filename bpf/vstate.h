/*
 * The verifier's picture of a running program: what each register and each eight bytes of stack
 * hold, for every active function. Also when one picture covers another, which is what makes the
 * walk end.
 */
#pragma once

#include "bpf/code.h"
#include "bpf/scalar.h"

#define STACK_SLOTS (EBPF_STACK_SIZE / 8)

enum vtype {
	V_NONE = 0, /* never written: may not be read */
	V_SCALAR,
	V_CTX,
	V_STACK,
	V_PKT,
	V_PKT_END,
	V_VALUE,         /* into a value of a map */
	V_VALUE_OR_NULL, /* what a lookup returned, not compared with 0 yet */
	V_MAP,
};

/* Pointers are (base of their kind) + var + off. */
struct vreg {
	uint8_t type;  /* enum vtype */
	uint8_t frame; /* V_STACK: whose */
	uint16_t map;  /* V_VALUE, V_VALUE_OR_NULL, V_MAP: index */
	/*
	 * Registers with the same id (not 0) hold the same: scalars the same number, V_PKT the same
	 * var, V_VALUE_OR_NULL the result of the same lookup.
	 */
	uint32_t id;
	int32_t off;
	uint32_t range; /* V_PKT: bytes behind base + var that are known to be in the packet */
	struct scalar var;
};

/* What of a slot the register in it describes. */
enum vspill {
	SPILL_NONE = 0,
	SPILL_WHOLE, /* all eight bytes; init and zero mean nothing */
	SPILL_LOW,   /* a number of four bytes, zero extended, in bytes 0..3 */
	SPILL_HIGH,  /* the same in bytes 4..7 */
};

struct vslot {
	uint8_t spilled; /* enum vspill */
	uint8_t init;    /* bit per byte: written */
	uint8_t zero;    /* bit per byte: known to be 0 */
	struct vreg reg;
};

struct vframe {
	struct vreg regs[EBPF_REGS];
	uint32_t return_pc;
	uint32_t slot_count;  /* slots from the top of the stack down that may hold something */
	struct vslot slots[]; /* slot i: bytes fp - 8 * (i + 1) .. fp - 8 * i - 1 */
};

struct vstate {
	uint32_t depth; /* of the running function, 0 for the program itself */
	struct vframe *frames[EBPF_CALL_DEPTH];
};

static inline bool vreg_is_pointer(const struct vreg *reg)
{
	return reg->type != V_NONE && reg->type != V_SCALAR;
}

static inline struct vframe *vstate_top(struct vstate *state)
{
	return state->frames[state->depth];
}

static inline struct vreg vreg_scalar(struct scalar value)
{
	return (struct vreg){.type = V_SCALAR, .var = value};
}

static inline struct vreg vreg_pointer(enum vtype type)
{
	return (struct vreg){.type = (uint8_t)type, .var = scalar_const(0)};
}

/* A frame with room for every slot; NULL without memory. */
struct vframe *vframe_create(void);

/* -ENOMEM leaves @to empty. A @trimmed copy has no room for further slots. */
int vstate_copy(struct vstate *to, const struct vstate *from, bool trimmed);
void vstate_finish(struct vstate *state);

/* Gives a trimmed copy room for every slot again. */
int vstate_expand(struct vstate *state);

/* Memory of a trimmed copy. */
size_t vstate_bytes(const struct vstate *state);

/* Calls @visit for every register and spilled register of every function. */
void vstate_each(struct vstate *state, void (*visit)(struct vreg *reg, void *arg), void *arg);

/* Which registers matter at an instruction: bit i is register i. */
struct vneed {
	uint16_t live;    /* may be read */
	uint16_t exact;   /* its value can decide what is safe or where control goes */
	uint16_t pointer; /* may be a pointer here */
	uint16_t stack;   /* may point to the stack here */
};

/*
 * Is everything that @seen allows at least what @now allows, so that a proof for @seen holds for
 * @now?
 * @read: half slots of each function's stack that are read later; @packet_used: bytes of the packet
 * that are accessed later on the strength of what is known now. NULL: are the two the same in all
 * that may matter?
 */
bool vstate_covers(const struct vstate *seen, const struct vstate *now, const struct vneed *needs,
		   uint32_t pc, const uint64_t (*read)[2], uint32_t packet_used);
