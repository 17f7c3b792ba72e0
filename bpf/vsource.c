/*
 * Which numbers a proof relies on. A number in a kept state (vnode) has a source of its own, and
 * what is computed from several numbers has a source that joins theirs; what an instruction alone
 * says (a constant, a load of something unknown) has none. Where the walk decides something by a
 * number (a branch with one possible way, an offset, a size), it relies on the number's source and
 * on all that it was made from. A finished state then knows which of its numbers mattered; all
 * others may have any value in a state that it covers.
 *
 * A branch both of whose ways are walked relies on nothing: whatever the number is, its way was
 * proved safe. What such a branch teaches is made from both its operands.
 */
#include "bpf/verify_priv.h"

#include <stdlib.h>

static int add_room(struct vsources *s)
{
	uint32_t room = s->room ? s->room * 2 : 1024;
	struct vsource *all = realloc(s->all, room * sizeof(*all));
	uint32_t *stack;

	if (!all)
		return -ENOMEM;
	s->all = all;
	stack = realloc(s->stack, room * sizeof(*stack));
	if (!stack)
		return -ENOMEM;
	s->stack = stack;
	s->room = room;
	return 0;
}

/* A source made from two others (0: none). Without memory the walk ends: see walk_path(). */
static uint32_t source_new(struct verifier *v, uint32_t a, uint32_t b)
{
	struct vsources *s = &v->sources;

	if (s->count == s->room && add_room(s)) {
		s->no_memory = true;
		return 0;
	}
	if (s->count == 0)
		s->all[s->count++] = (struct vsource){0}; /* number 0 means none */
	v->bytes += sizeof(s->all[0]) + sizeof(s->stack[0]);
	s->all[s->count] = (struct vsource){.from = {a, b}};
	return s->count++;
}

uint32_t verify_source_join(struct verifier *v, uint32_t a, uint32_t b)
{
	if (!a || a == b)
		return b;
	return b ? source_new(v, a, b) : a;
}

void verify_rely(struct verifier *v, uint32_t source)
{
	struct vsources *s = &v->sources;
	uint32_t count = 0, i;

	if (!source || s->all[source].relied)
		return;
	/* each source is put there once in its life: there is room */
	s->all[source].relied = true;
	s->stack[count++] = source;
	while (count) {
		const struct vsource *at = &s->all[s->stack[--count]];

		for (i = 0; i < 2; i++)
			if (at->from[i] && !s->all[at->from[i]].relied) {
				s->all[at->from[i]].relied = true;
				s->stack[count++] = at->from[i];
			}
	}
}

void verify_rely_reg(struct verifier *v, const struct vreg *reg)
{
	if (reg->type == V_SCALAR)
		verify_rely(v, reg->source);
}

void verify_sources_renew(struct verifier *v)
{
	uint32_t i, j;

	for (i = 0; i <= v->now.depth; i++) {
		struct vframe *frame = v->now.frames[i];

		for (j = 0; j < EBPF_REGS; j++)
			if (frame->regs[j].type == V_SCALAR)
				frame->regs[j].source = source_new(v, frame->regs[j].source, 0);
		for (j = 0; j < frame->slot_count; j++) {
			struct vslot *slot = &frame->slots[j];

			if (slot->spilled && slot->reg.type == V_SCALAR)
				slot->reg.source = source_new(v, slot->reg.source, 0);
			if (slot->spilled != SPILL_WHOLE && slot->zero)
				slot->zero_source = source_new(v, slot->zero_source, 0);
		}
	}
}

static bool is_relied(const struct verifier *v, uint32_t source)
{
	return source && v->sources.all[source].relied;
}

static void inherit_reg(struct verifier *v, const struct vreg *seen, const struct vreg *now)
{
	if (seen->type == V_SCALAR && is_relied(v, seen->source))
		verify_rely_reg(v, now);
}

static void inherit_slot(struct verifier *v, const struct vslot *seen, const struct vslot *now)
{
	if (seen->spilled)
		inherit_reg(v, &seen->reg, &now->reg);
	if (seen->spilled == SPILL_WHOLE || !seen->zero || !is_relied(v, seen->zero_source))
		return;
	if (now->spilled == SPILL_WHOLE)
		verify_rely_reg(v, &now->reg);
	else
		verify_rely(v, now->zero_source);
}

void verify_sources_inherit(struct verifier *v, const struct vstate *seen)
{
	uint32_t i, j;

	for (i = 0; i <= seen->depth; i++) {
		const struct vframe *from = seen->frames[i], *to = v->now.frames[i];

		for (j = 0; j < EBPF_REGS; j++)
			inherit_reg(v, &from->regs[j], &to->regs[j]);
		for (j = 0; j < from->slot_count && j < to->slot_count; j++)
			inherit_slot(v, &from->slots[j], &to->slots[j]);
	}
}

void verify_sources_finish(struct verifier *v)
{
	free(v->sources.all);
	free(v->sources.stack);
}
