/*
 * shape.c - finding the instructions in front of a site.
 */
#include "loader/shape.h"

#include <string.h>

/* How many decodings arrive at the site, and how many of them pass each offset. */
struct votes {
	unsigned total;
	uint8_t through[SHAPE_BEFORE];
};

static void count_votes(const uint8_t *text, struct votes *votes)
{
	uint8_t len[SHAPE_BEFORE];
	bool arrives[SHAPE_BEFORE + 1] = {[SHAPE_BEFORE] = true};
	struct insn insn;
	unsigned at;

	memset(votes, 0, sizeof(*votes));
	/* Each offset is decoded once: what follows it is the same for all who come there. */
	for (at = SHAPE_BEFORE; at-- > 0;) {
		len[at] = (uint8_t)insn_decode(text + at, SHAPE_BEFORE - at, &insn);
		arrives[at] = len[at] && arrives[at + len[at]];
	}
	for (at = 0; at < SHAPE_BEFORE; at++) {
		if (!arrives[at])
			continue;
		if (at < SHAPE_BEFORE - SHAPE_SYNC) {
			votes->through[at]++;
			votes->total++;
		}
		if (at + len[at] < SHAPE_BEFORE)
			votes->through[at + len[at]] =
				(uint8_t)(votes->through[at + len[at]] + votes->through[at]);
	}
}

/*
 * Does the instruction do the same anywhere?  The stub adjusts displacements from rip and the
 * targets of conditional jumps.
 */
static bool can_move(const struct insn *insn)
{
	unsigned op = insn->opcode;

	if (insn->vex || insn->flow == INSN_CALL || insn->flow == INSN_JUMP ||
	    insn->flow == INSN_AWAY)
		return false;
	if (insn->flow == INSN_COND) /* not loop and jrcxz, which have no long form */
		return insn->map == 1 || (op & 0xf0) == 0x70;
	if (insn->map == 0) /* int3, int, icebp, wait; xabort and xbegin */
		return op != 0xcc && op != 0xcd && op != 0xf1 && op != 0x9b &&
		       !((op == 0xc6 || op == 0xc7) && insn->modrm == 0xf8);
	/* syscall, sysenter, and whatever is rare */
	return insn->map == 1 && op != 0x05 && op != 0x34 && op != 0x07 && op != 0x35 && op != 0x01;
}

/* Tries the instructions from `first` to the site. */
static bool try_shape(const uint8_t *text, unsigned first, const struct votes *votes,
		      struct shape *shape)
{
	unsigned at = first, inside;

	*shape = (struct shape){.moved = SHAPE_BEFORE - first, .pun = -1};
	while (at < SHAPE_BEFORE) {
		if (votes->through[at] != votes->total || shape->nr_insns == SHAPE_MAX_INSNS ||
		    !insn_decode(text + at, SHAPE_BEFORE - at, &shape->insn[shape->nr_insns]) ||
		    !can_move(&shape->insn[shape->nr_insns]))
			return false;
		inside = at - first;
		if (inside > 0 && inside < SHAPE_JUMP) {
			/* A second boundary, or one in the lowest byte: no address would do. */
			if (shape->pun >= 0 || inside == 1)
				return false;
			shape->pun = (int)inside - 1;
		}
		at += shape->insn[shape->nr_insns++].len;
	}
	return at == SHAPE_BEFORE;
}

unsigned shape_find(const uint8_t text[SHAPE_BEFORE + 2], unsigned max, struct shape *ret_shapes)
{
	struct votes votes;
	struct shape shape;
	unsigned moved, n = 0;
	int pun;

	if (text[SHAPE_BEFORE] != 0x0f || text[SHAPE_BEFORE + 1] != 0x05)
		return 0;
	count_votes(text, &votes);
	if (votes.total < SHAPE_AGREE)
		return 0;
	/* Those that need no particular address come first. */
	for (pun = 0; pun < 2; pun++)
		for (moved = SHAPE_JUMP; moved <= SHAPE_MAX_MOVED && n < max; moved++)
			if (try_shape(text, SHAPE_BEFORE - moved, &votes, &shape) &&
			    (shape.pun >= 0) == pun)
				ret_shapes[n++] = shape;
	return n;
}
