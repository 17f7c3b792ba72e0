/*
 * The stack: eight-byte slots that hold a whole register or single bytes. A pointer is in a slot
 * whole or not at all: overwriting part of it leaves the rest unwritten.
 */
#include "bpf/verify_priv.h"

#include <string.h>

static const char *const cure_stack = "the stack of a function is 512 bytes below r10";
static const char *const cure_init = "write the variable before it is read: T x = {0};";

/* First and last byte of an access as positions 0..511 from the stack's low end. */
struct span {
	uint32_t first, last;
	bool fixed;
};

static int span_of(struct verifier *v, const struct vreg *base, int64_t off, uint32_t size,
		   struct span *ret_span)
{
	int64_t low = base->off + off + base->var.r64.smin + EBPF_STACK_SIZE;
	int64_t high = base->off + off + base->var.r64.smax + EBPF_STACK_SIZE + (int64_t)size;

	if (size == 0 || low < 0 || high > EBPF_STACK_SIZE)
		return verify_fail(v, cure_stack,
				   "%u bytes at r10%+lld..%+lld are not in the stack", size,
				   (long long)(low - EBPF_STACK_SIZE),
				   (long long)(high - EBPF_STACK_SIZE));
	*ret_span = (struct span){(uint32_t)low, (uint32_t)(high - 1), scalar_is_const(&base->var)};
	return 0;
}

static uint32_t slot_index(uint32_t position)
{
	return (EBPF_STACK_SIZE - 1 - position) / 8;
}

/* The slot of a byte; makes room up to it. */
static struct vslot *slot_for(struct vframe *frame, uint32_t position)
{
	uint32_t index = slot_index(position);

	while (frame->slot_count <= index)
		memset(&frame->slots[frame->slot_count++], 0, sizeof(frame->slots[0]));
	return &frame->slots[index];
}

/* Half slots are numbered from the top of the stack down, as slots are. */
static uint32_t half_index(uint32_t position)
{
	return (EBPF_STACK_SIZE - 1 - position) / 4;
}

/* Notes in the states that led here that their @bits are read, up to where they were written. */
static void note_read(struct verifier *v, uint32_t frame, uint32_t word, uint64_t bits)
{
	struct vnode *node;

	bits &= ~v->written.bits[frame][word];
	for (node = v->parent; node && bits; node = node->parent) {
		/* whoever knows it already has told its parents */
		bits &= ~node->read.bits[frame][word];
		node->read.bits[frame][word] |= bits;
		bits &= ~node->written.bits[frame][word];
	}
}

static void note_span_read(struct verifier *v, uint32_t frame, const struct span *span)
{
	uint32_t half;

	for (half = half_index(span->last); half <= half_index(span->first); half++)
		note_read(v, frame, half / 64, UINT64_C(1) << half % 64);
}

/* Only whole halves count as written: the rest of a half keeps what it held. */
static void note_written(struct verifier *v, uint32_t frame, uint32_t position, uint32_t size)
{
	uint32_t half;

	if (size < 4 || position % 4)
		return;
	for (half = half_index(position + size - 1); half <= half_index(position); half++)
		v->written.bits[frame][half / 64] |= UINT64_C(1) << half % 64;
}

void verify_stack_inherit(struct verifier *v, const struct vhalves *read)
{
	uint32_t frame, word;

	for (frame = 0; frame <= v->now.depth; frame++)
		for (word = 0; word < STACK_HALVES / 64; word++)
			note_read(v, frame, word, read->bits[frame][word]);
}

static bool is_zero(const struct vreg *reg)
{
	return reg->type == V_SCALAR && scalar_is_const(&reg->var) && reg->var.bits.value == 0;
}

/* A slot's register as bytes: a number's eight, none of a pointer. Those of a half are there. */
static void slot_to_bytes(struct vslot *slot)
{
	bool whole = slot->spilled == SPILL_WHOLE;

	slot->spilled = SPILL_NONE;
	if (!whole)
		return;
	slot->init = slot->reg.type == V_SCALAR ? 0xff : 0;
	slot->zero = is_zero(&slot->reg) ? 0xff : 0;
	slot->zero_source = slot->zero ? slot->reg.source : 0;
}

/* A number of four bytes at an aligned place is remembered, beside its bytes. */
static void spill_half(struct vslot *slot, uint32_t position, const struct vreg *value)
{
	slot->reg = *value;
	slot->reg.var = scalar_truncate(&value->var, 32);
	if (value->var.r64.umax > UINT32_MAX)
		slot->reg.id = 0; /* not the same number any more */
	slot->spilled = position % 8 ? SPILL_HIGH : SPILL_LOW;
}

int verify_stack_store(struct verifier *v, const struct vreg *base, struct ebpf_insn insn,
		       const struct vreg *value)
{
	struct vframe *frame = v->now.frames[base->frame];
	uint32_t size = ebpf_size_bytes(insn.code), position;
	struct span span = {0};
	struct vslot *slot;
	int err = span_of(v, base, insn.off, size, &span);

	if (err)
		return err;
	if (vreg_is_pointer(value) && (size != 8 || span.first % 8 || !span.fixed))
		return verify_fail(v, "store pointers whole, aligned, at a constant offset",
				   "part of a pointer would be stored, or to an unknown place");
	/* the callee's stack is gone when the caller looks */
	if (value->type == V_STACK && value->frame > base->frame)
		return verify_fail(v, "do not store the address of a local variable there",
				   "a pointer to a function's stack would outlive the function");
	if (!span.fixed)
		return verify_stack_clobber(v, base, insn.off, size, false);
	note_written(v, base->frame, span.first, size);
	if (size == 8 && span.first % 8 == 0) {
		slot = slot_for(frame, span.first);
		*slot = (struct vslot){.spilled = SPILL_WHOLE, .reg = *value};
		return 0;
	}
	for (position = span.first; position <= span.last; position++) {
		uint8_t bit = (uint8_t)(1u << (position % 8));

		slot = slot_for(frame, position);
		slot_to_bytes(slot);
		slot->init |= bit;
		slot->zero &= (uint8_t)~bit;
		if (is_zero(value)) {
			slot->zero |= bit;
			slot->zero_source = verify_source_join(v, slot->zero_source, value->source);
		}
	}
	if (size == 4 && span.first % 4 == 0)
		spill_half(slot_for(frame, span.first), span.first, value);
	return 0;
}

int verify_stack_clobber(struct verifier *v, const struct vreg *base, int64_t off, uint32_t size,
			 bool certainly)
{
	struct vframe *frame = v->now.frames[base->frame];
	struct span span = {0};
	uint32_t position;
	int err = span_of(v, base, off, size, &span);

	if (err)
		return err;
	/* what the bytes are now depends on what they were */
	note_span_read(v, base->frame, &span);
	for (position = span.first; position <= span.last; position++) {
		struct vslot *slot = slot_for(frame, position);
		uint8_t bit = (uint8_t)(1u << (position % 8));

		slot_to_bytes(slot);
		slot->zero &= (uint8_t)~bit;
		if (certainly && span.fixed)
			slot->init |= bit;
	}
	return 0;
}

static bool byte_written(const struct vframe *frame, uint32_t position, bool *ret_pointer)
{
	const struct vslot *slot = &frame->slots[slot_index(position)];

	*ret_pointer = false;
	if (slot_index(position) >= frame->slot_count)
		return false;
	if (slot->spilled == SPILL_WHOLE) {
		*ret_pointer = slot->reg.type != V_SCALAR;
		return slot->reg.type == V_SCALAR;
	}
	return slot->init >> (position % 8) & 1;
}

int verify_stack_read(struct verifier *v, const struct vreg *base, int64_t off, uint32_t size)
{
	const struct vframe *frame = v->now.frames[base->frame];
	struct span span = {0};
	uint32_t position;
	bool pointer;
	int err = span_of(v, base, off, size, &span);

	if (err)
		return err;
	note_span_read(v, base->frame, &span);
	for (position = span.first; position <= span.last; position++) {
		if (byte_written(frame, position, &pointer))
			continue;
		if (pointer)
			return verify_fail(v, "read pointers back whole, into a register",
					   "a pointer on the stack (r10%+d) would be read as data",
					   (int)position - EBPF_STACK_SIZE);
		return verify_fail(v, cure_init, "the stack at r10%+d was never written",
				   (int)position - EBPF_STACK_SIZE);
	}
	return 0;
}

/* Are all bytes known to be 0? Then from @ret_source. */
static bool all_zero(struct verifier *v, const struct vframe *frame, const struct span *span,
		     uint32_t *ret_source)
{
	uint32_t position, source = 0;

	for (position = span->first; position <= span->last; position++) {
		const struct vslot *slot = &frame->slots[slot_index(position)];

		if (slot->spilled == SPILL_WHOLE ? !is_zero(&slot->reg) :
						   !(slot->zero >> (position % 8) & 1))
			return false;
		source = verify_source_join(v, source,
					    slot->spilled == SPILL_WHOLE ? slot->reg.source :
									   slot->zero_source);
	}
	*ret_source = source;
	return true;
}

/* What is known of the number that a load finds in one slot. */
static struct vreg slot_number(struct verifier *v, const struct vframe *frame,
			       const struct vslot *slot, const struct span *span, uint32_t size)
{
	bool low = span->first % 8 == 0, high = span->first % 8 == 4;
	struct vreg number = vreg_scalar(scalar_sized(size));

	if (!slot || !span->fixed)
		return number;
	if (slot->reg.type == V_SCALAR &&
	    ((slot->spilled == SPILL_WHOLE && low) ||
	     (size <= 4 &&
	      ((slot->spilled == SPILL_LOW && low) || (slot->spilled == SPILL_HIGH && high))))) {
		number.var = scalar_truncate(&slot->reg.var, size * 8);
		number.source = slot->reg.source;
	} else if (all_zero(v, frame, span, &number.source)) {
		number.var = scalar_const(0);
	}
	return number;
}

struct vreg verify_stack_number(struct verifier *v, const struct vreg *base, uint32_t size)
{
	const struct vframe *frame = v->now.frames[base->frame];
	int64_t low = base->off + base->var.r64.smin + EBPF_STACK_SIZE;
	struct span span = {(uint32_t)low, (uint32_t)low + size - 1, scalar_is_const(&base->var)};

	if (!span.fixed || slot_index(span.first) >= frame->slot_count)
		return vreg_scalar(scalar_sized(size));
	return slot_number(v, frame, &frame->slots[slot_index(span.first)], &span, size);
}

struct vreg verify_stack_known(struct verifier *v, const struct vreg *base, struct ebpf_insn insn)
{
	struct vreg at = *base;
	int64_t low = (int64_t)base->off + insn.off;
	uint32_t size = ebpf_size_bytes(insn.code);

	if (!scalar_is_const(&base->var) || base->var.bits.value || low < -EBPF_STACK_SIZE ||
	    low + (int64_t)size > 0)
		return vreg_scalar(scalar_sized(size));
	at.off = (int32_t)low;
	return verify_stack_number(v, &at, size);
}

/* Does a load take a slot's register as it is? */
static bool is_fill(const struct vslot *slot, const struct span *span, struct ebpf_insn insn)
{
	uint32_t size = ebpf_size_bytes(insn.code);

	if (!slot || !span->fixed || EBPF_MODE(insn.code) != EBPF_MEM)
		return false;
	switch (slot->spilled) {
	case SPILL_WHOLE:
		return size == 8 && span->first % 8 == 0;
	case SPILL_LOW:
		return size == 4 && span->first % 8 == 0;
	case SPILL_HIGH:
		return size == 4 && span->first % 8 == 4;
	default:
		return false;
	}
}

int verify_stack_load(struct verifier *v, const struct vreg *base, struct ebpf_insn insn)
{
	struct vframe *frame = v->now.frames[base->frame];
	struct vreg *dst = vreg_at(v, insn.dst);
	uint32_t size = ebpf_size_bytes(insn.code);
	struct vreg value;
	struct vslot *slot = NULL;
	struct span span = {0};
	int err = span_of(v, base, insn.off, size, &span);

	if (err)
		return err;
	if (slot_index(span.first) < frame->slot_count)
		slot = &frame->slots[slot_index(span.first)];
	if (is_fill(slot, &span, insn)) {
		note_span_read(v, base->frame, &span);
		if (slot->reg.type == V_SCALAR && !slot->reg.id && !scalar_is_const(&slot->reg.var))
			slot->reg.id = v->next_id++;
		*dst = slot->reg;
		return 0;
	}
	err = verify_stack_read(v, base, insn.off, size);
	if (err)
		return err;
	value = slot_number(v, frame, slot, &span, size);
	if (EBPF_MODE(insn.code) == EBPF_MEMSX)
		value.var = scalar_sign_extend(&value.var, size * 8);
	*dst = value;
	return 0;
}
