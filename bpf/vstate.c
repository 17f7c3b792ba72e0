/* Copies of verifier states, and when one covers another. */
#include "bpf/vstate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IDS_MAX 256

/* What an id of the seen state may stand for, besides ids of the present one. */
#define ID_CONSTANT (UINT64_C(1) << 63) /* | the constant */
#define ID_SINGLE (UINT64_C(1) << 62)   /* | a number that is used once */

/*
 * Which id of the present state stands for which id of the seen one. Two seen ids may stand for the
 * same present one: what was proved for any two numbers holds for two equal ones.
 */
struct id_map {
	const struct vused *used;
	uint32_t count;
	struct {
		uint32_t seen;
		uint64_t now;
	} pairs[IDS_MAX];
};

static size_t frame_size(size_t slots)
{
	return sizeof(struct vframe) + slots * sizeof(struct vslot);
}

struct vframe *vframe_create(void)
{
	struct vframe *frame = malloc(frame_size(STACK_SLOTS));

	if (frame)
		memset(frame, 0, sizeof(*frame));
	return frame;
}

int vstate_copy(struct vstate *to, const struct vstate *from, bool trimmed)
{
	uint32_t i;

	*to = (struct vstate){.depth = from->depth, .ref_count = from->ref_count};
	memcpy(to->refs, from->refs, sizeof(to->refs));
	for (i = 0; i <= from->depth; i++) {
		const struct vframe *frame = from->frames[i];

		to->frames[i] = malloc(frame_size(trimmed ? frame->slot_count : STACK_SLOTS));
		if (!to->frames[i]) {
			vstate_finish(to);
			return -ENOMEM;
		}
		memcpy(to->frames[i], frame, frame_size(frame->slot_count));
	}
	return 0;
}

int vstate_expand(struct vstate *state)
{
	uint32_t i;

	for (i = 0; i <= state->depth; i++) {
		void *frame = realloc(state->frames[i], frame_size(STACK_SLOTS));

		if (!frame)
			return -ENOMEM;
		state->frames[i] = frame;
	}
	return 0;
}

size_t vstate_bytes(const struct vstate *state)
{
	size_t bytes = 0;
	uint32_t i;

	for (i = 0; i <= state->depth; i++)
		bytes += frame_size(state->frames[i]->slot_count);
	return bytes;
}

void vstate_finish(struct vstate *state)
{
	uint32_t i;

	for (i = 0; i < EBPF_CALL_DEPTH; i++) {
		free(state->frames[i]);
		state->frames[i] = NULL;
	}
}

bool vstate_holds(const struct vstate *state, uint32_t ref)
{
	uint32_t i;

	for (i = 0; i < state->ref_count; i++)
		if (state->refs[i] == ref)
			return true;
	return false;
}

bool vstate_acquire(struct vstate *state, uint32_t ref)
{
	if (state->ref_count == VREFS_MAX)
		return false;
	state->refs[state->ref_count++] = ref;
	return true;
}

void vstate_release(struct vstate *state, uint32_t ref)
{
	uint32_t i;

	for (i = 0; i < state->ref_count; i++)
		if (state->refs[i] == ref) {
			state->refs[i] = state->refs[--state->ref_count];
			return;
		}
}

void vstate_each(struct vstate *state, void (*visit)(struct vreg *reg, void *arg), void *arg)
{
	uint32_t i, j;

	for (i = 0; i <= state->depth; i++) {
		struct vframe *frame = state->frames[i];

		for (j = 0; j < EBPF_REGS; j++)
			visit(&frame->regs[j], arg);
		for (j = 0; j < frame->slot_count; j++)
			if (frame->slots[j].spilled)
				visit(&frame->slots[j].reg, arg);
	}
}

/* Does @seen stand for @now wherever it occurs? */
static bool ids_match(struct id_map *map, uint32_t seen, uint64_t now)
{
	uint32_t i;

	for (i = 0; i < map->count; i++)
		if (map->pairs[i].seen == seen)
			return map->pairs[i].now == now;
	if (map->count == IDS_MAX)
		return false;
	map->pairs[map->count].seen = seen;
	map->pairs[map->count++].now = now;
	return true;
}

/* A number that was linked to others was perhaps narrowed through them: the link must be there. */
static bool links_match(const struct vreg *seen, const struct vreg *now, struct id_map *ids)
{
	if (!seen->id)
		return true;
	/* equal constants are as good as a link; ids are 32 bits, so none is confused with one */
	if (scalar_is_const(&now->var) && now->var.bits.value < UINT64_MAX >> 2)
		return ids_match(ids, seen->id, now->var.bits.value | ID_CONSTANT);
	if (now->id)
		return ids_match(ids, seen->id, now->id);
	/* linked to nothing: good for a single occurrence of the seen id */
	return ids_match(ids, seen->id, ID_SINGLE | ids->count);
}

static bool is_relied(const struct id_map *ids, uint32_t source)
{
	return source && ids->used->sources[source].relied;
}

static bool scalars_match(const struct vreg *seen, const struct vreg *now, struct id_map *ids,
			  bool exactly)
{
	if (!exactly && !is_relied(ids, seen->source))
		return true;
	if (!links_match(seen, now, ids))
		return false;
	return exactly ? scalar_equal(&seen->var, &now->var) : scalar_within(&seen->var, &now->var);
}

/*
 * Packet pointers with one id have one var. No id: var is 0, which the seen id may stand for if it
 * does so everywhere; but not the other way round.
 */
static bool packets_match(const struct vreg *seen, const struct vreg *now, struct id_map *ids,
			  bool exactly)
{
	uint32_t range = seen->range;

	if (seen->type == V_PKT && !seen->id && range > ids->used->packet)
		range = ids->used->packet; /* the rest is not relied on */
	if (exactly ? seen->range != now->range : range > now->range)
		return false;
	return seen->id ? ids_match(ids, seen->id, now->id) : now->id == 0;
}

static bool refs_match(struct id_map *ids, uint32_t seen, uint32_t now)
{
	return seen && now ? ids_match(ids, seen, now) : seen == now;
}

static bool reg_covers(const struct vreg *seen, const struct vreg *now, struct id_map *ids,
		       bool exactly)
{
	if (seen->type == V_NONE)
		return !exactly || now->type == V_NONE;
	if (seen->type != now->type)
		return false;
	if (seen->type == V_SCALAR)
		return scalars_match(seen, now, ids, exactly);
	if (seen->off != now->off || seen->frame != now->frame || seen->map != now->map)
		return false;
	if (exactly ? !scalar_equal(&seen->var, &now->var) : !scalar_within(&seen->var, &now->var))
		return false;
	switch (seen->type) {
	case V_PKT:
	case V_META:
		return packets_match(seen, now, ids, exactly);
	case V_VALUE_OR_NULL:
	case V_MAP_OR_NULL:
		return ids_match(ids, seen->id, now->id);
	case V_RECORD:
	case V_RECORD_OR_NULL:
		return seen->range == now->range && ids_match(ids, seen->id, now->id);
	case V_OBJECT:
	case V_OBJECT_OR_NULL:
		return ids_match(ids, seen->id, now->id) &&
		       refs_match(ids, seen->range, now->range);
	default:
		return true;
	}
}

/* A slot as bytes: an intact number counts as eight written ones, a pointer as none. */
static void slot_bytes(const struct vslot *slot, uint8_t *ret_init, uint8_t *ret_zero)
{
	bool number = slot->reg.type == V_SCALAR;

	*ret_init = slot->init;
	*ret_zero = slot->zero;
	if (slot->spilled != SPILL_WHOLE)
		return;
	*ret_init = number ? 0xff : 0;
	*ret_zero =
		number && scalar_is_const(&slot->reg.var) && !slot->reg.var.bits.value ? 0xff : 0;
}

static bool slot_equals(const struct vslot *seen, const struct vslot *now, struct id_map *ids)
{
	if (seen->spilled != now->spilled)
		return false;
	if (seen->spilled && !reg_covers(&seen->reg, &now->reg, ids, true))
		return false;
	return seen->spilled == SPILL_WHOLE || (seen->init == now->init && seen->zero == now->zero);
}

static bool slot_covers(const struct vslot *seen, const struct vslot *now, struct id_map *ids)
{
	bool register_used =
		seen->spilled && (seen->reg.type != V_SCALAR || is_relied(ids, seen->reg.source));
	uint8_t init, zero, seen_init, seen_zero;

	if (register_used &&
	    (now->spilled != seen->spilled || !reg_covers(&seen->reg, &now->reg, ids, false)))
		return false;
	if (register_used && seen->spilled == SPILL_WHOLE)
		return true;
	slot_bytes(seen, &seen_init, &seen_zero);
	slot_bytes(now, &init, &zero);
	if (seen->spilled == SPILL_WHOLE || !is_relied(ids, seen->zero_source))
		seen_zero = 0;
	return !(seen_init & ~init) && !(seen_zero & ~zero);
}

static const struct vslot nothing;

/* All slots if @read is NULL, else those with a half that is read later. */
static bool stack_covers(const struct vframe *seen, const struct vframe *now, const uint64_t *read,
			 struct id_map *ids)
{
	uint32_t i, count = seen->slot_count;

	if (!read && now->slot_count > count)
		count = now->slot_count;
	for (i = 0; i < count; i++) {
		const struct vslot *a = i < seen->slot_count ? &seen->slots[i] : &nothing;
		const struct vslot *b = i < now->slot_count ? &now->slots[i] : &nothing;

		/* slot i holds the halves 2i (upper) and 2i + 1 */
		if (read && !(read[i / 32] >> (i % 32 * 2) & 3))
			continue;
		if (read ? !slot_covers(a, b, ids) : !slot_equals(a, b, ids))
			return false;
	}
	return true;
}

static bool frame_covers(const struct vframe *seen, const struct vframe *now, uint16_t live,
			 const uint64_t *read, struct id_map *ids)
{
	uint32_t i;

	for (i = 0; i < EBPF_REGS; i++)
		if ((live >> i & 1) && !reg_covers(&seen->regs[i], &now->regs[i], ids, !read))
			return false;
	return stack_covers(seen, now, read, ids);
}

/* The same loop at the same round: then what the rounds to come do is the same too. */
static bool loops_match(const struct vloop *a, const struct vloop *b)
{
	return a->active == b->active &&
	       (!a->active || (a->no_ctx == b->no_ctx && a->ctx_frame == b->ctx_frame &&
			       a->ctx_off == b->ctx_off && a->callback == b->callback &&
			       a->round == b->round && a->least == b->least && a->most == b->most));
}

static bool holdings_match(const struct vstate *seen, const struct vstate *now, struct id_map *ids)
{
	uint32_t i;

	if (seen->ref_count != now->ref_count)
		return false;
	for (i = 0; i < seen->ref_count; i++)
		if (!ids_match(ids, seen->refs[i], now->refs[i]))
			return false;
	return true;
}

bool vstate_covers(const struct vstate *seen, const struct vstate *now, const struct vused *used)
{
	const uint16_t kept = 0x7c0; /* r6..r10: what a caller finds again after a call */
	struct id_map ids;
	uint32_t i, at;

	if (seen->depth != now->depth)
		return false;
	ids.count = 0;
	ids.used = used;
	if (!holdings_match(seen, now, &ids))
		return false;
	for (i = 0; i <= now->depth; i++) {
		bool top = i == now->depth;
		uint16_t live;

		/* return_pc of frame i + 1 is where frame i goes on */
		at = top ? used->pc : now->frames[i + 1]->return_pc;
		if (!top && seen->frames[i + 1]->return_pc != at)
			return false;
		live = used->read ? used->live[at].read : used->live[at].matters;
		if (!loops_match(&seen->frames[i]->loop, &now->frames[i]->loop))
			return false;
		if (!frame_covers(seen->frames[i], now->frames[i], top ? live : live & kept,
				  used->read ? used->read[i] : NULL, &ids))
			return false;
	}
	return true;
}
