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
	V_META, /* metadata in front of the packet */
	V_FUNC, /* a function of the program: off is its first instruction */
	/* Each of these is followed by what a helper returned and nobody compared with 0 yet. */
	V_VALUE, /* into a value of a map */
	V_VALUE_OR_NULL,
	V_MAP,
	V_MAP_OR_NULL, /* from a map of maps */
	V_RECORD,      /* of a ring */
	V_RECORD_OR_NULL,
	V_OBJECT, /* of Linux's */
	V_OBJECT_OR_NULL,
};

/* In vreg.map: not the object's map itself, but one of those that are in it. */
#define VMAP_INNER 0x8000

#define VREFS_MAX 8 /* records and objects held at once */

/* Pointers are (base of their kind) + var + off. */
struct vreg {
	uint8_t type;  /* enum vtype */
	uint8_t frame; /* V_STACK: whose */
	uint16_t map;  /* V_VALUE, V_MAP: index, | VMAP_INNER; V_OBJECT: enum ebpf_object_kind */
	/*
	 * Registers with the same id (not 0) hold the same: scalars the same number, V_PKT and
	 * V_META the same var, ..._OR_NULL the result of the same call; V_RECORD the same record.
	 */
	uint32_t id;
	int32_t off;
	union {
		/*
		 * V_PKT, V_META: bytes behind base + var that are known to be there; V_RECORD: its
		 * size; V_OBJECT: the reference with whose release it dies, or 0.
		 */
		uint32_t range;
		uint32_t source; /* V_SCALAR: what it was made from, or 0 */
	};
	struct scalar var;
};

/* Where a number came from, by index; see vsource.c. */
struct vsource {
	uint32_t from[2];
	bool relied; /* something was decided by it */
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
	uint32_t zero_source;
	struct vreg reg;
};

/* A function that bpf_loop() calls, and where the loop stands. */
struct vloop {
	bool active;
	bool no_ctx; /* the callback gets 0, else a pointer to a stack */
	uint8_t ctx_frame;
	int32_t ctx_off;
	uint32_t callback;
	uint32_t round;
	uint32_t least, most; /* rounds */
};

struct vframe {
	struct vreg regs[EBPF_REGS];
	uint32_t return_pc;
	struct vloop loop;
	uint32_t slot_count;  /* slots from the top of the stack down that may hold something */
	struct vslot slots[]; /* slot i: bytes fp - 8 * (i + 1) .. fp - 8 * i - 1 */
};

struct vstate {
	uint32_t depth; /* of the running function, 0 for the program itself */
	uint32_t ref_count;
	uint32_t refs[VREFS_MAX]; /* ids of what has to be given back before the end */
	struct vframe *frames[EBPF_CALL_DEPTH];
};

static inline bool vreg_is_pointer(const struct vreg *reg)
{
	return reg->type != V_NONE && reg->type != V_SCALAR;
}

static inline bool vreg_may_be_null(const struct vreg *reg)
{
	return reg->type == V_VALUE_OR_NULL || reg->type == V_MAP_OR_NULL ||
	       reg->type == V_RECORD_OR_NULL || reg->type == V_OBJECT_OR_NULL;
}

/* The reference that a register lives by, or 0. */
static inline uint32_t vreg_ref(const struct vreg *reg)
{
	switch (reg->type) {
	case V_RECORD:
	case V_RECORD_OR_NULL:
		return reg->id;
	case V_OBJECT:
	case V_OBJECT_OR_NULL:
		return reg->range;
	default:
		return 0;
	}
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

/* Is the reference held? Taking one beyond the limit: false. */
bool vstate_holds(const struct vstate *state, uint32_t ref);
bool vstate_acquire(struct vstate *state, uint32_t ref);
void vstate_release(struct vstate *state, uint32_t ref);

/* Calls @visit for every register and spilled register of every function. */
void vstate_each(struct vstate *state, void (*visit)(struct vreg *reg, void *arg), void *arg);

/* Registers at an instruction: bit i is register i. */
struct vlive {
	uint16_t read;    /* may be read from here on */
	uint16_t matters; /* and not only to compute others that are not */
};

/* What a proof that began at a state needed of it. */
struct vused {
	const struct vlive *live; /* per instruction */
	uint32_t pc;
	const struct vsource *sources;
	const uint64_t (*read)[2]; /* half slots of each function's stack that were read */
	uint32_t packet;           /* bytes of it that were accessed, known when it began */
};

/*
 * Is everything that @seen allows at least what @now allows, so that a proof for @seen holds for
 * @now? used->read NULL: are the two the same in all that may matter?
 */
bool vstate_covers(const struct vstate *seen, const struct vstate *now, const struct vused *used);
