/*
 * shape.h - which instructions in front of a `syscall` can make room for a jump: a pure decision.
 *
 * The jump takes five bytes in front of the syscall, whose own two bytes stay as they are, so that
 * a branch to them still traps.  The whole instructions under the jump move into the stub.  For
 * that to be right two things have to be certain:
 *
 * 1. Where these instructions begin.  The site trapped, so it is an instruction.  Decoding is begun
 * at every byte of a stretch that ends SHAPE_SYNC bytes before the site.  x86 code falls into step
 * with itself within a few instructions; every decoding that arrives at the site must have gone
 * through each of the boundaries used, and there must be at least SHAPE_AGREE of them.
 * 2. That nobody lands between them.  Instead of proving that no branch does, each boundary inside
 * is made an int3: behind the jump's five bytes by writing it, within them by choosing the stub's
 *    address such that this byte of the displacement is 0xcc.  Whoever lands there (a branch, a
 * return from a signal handler, a thread that was preempted there) traps and goes on in the stub.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/insn.h"

#define SHAPE_BEFORE 64U /* bytes of text needed in front of the site */
#define SHAPE_SYNC 28U
#define SHAPE_AGREE 8U
#define SHAPE_JUMP 5U
#define SHAPE_MAX_MOVED 24U
#define SHAPE_MAX_INSNS 5U

struct shape {
	unsigned moved; /* bytes in front of the site whose instructions go into the stub */
	unsigned nr_insns;
	struct insn insn[SHAPE_MAX_INSNS];
	int pun; /* byte of the jump's displacement that has to be 0xcc, or -1 */
};

/*
 * text: SHAPE_BEFORE bytes in front of the site, and the site.  At most max shapes, best first, for
 * the caller to try.  How many.
 */
unsigned shape_find(const uint8_t text[SHAPE_BEFORE + 2], unsigned max, struct shape *ret_shapes);
