/*
 * stub.h - the pages that stubs lie in, near the text that jumps to them.
 */
#pragma once

#include <stdint.h>

#include "loader/shape.h"

#define STUB_SIZE 64U
#define STUB_PAGE_SLOTS 64U

struct mm;

struct stub_page {
	uint64_t addr;
	uint64_t site[STUB_PAGE_SLOTS]; /* whose stub it is, 0: free; never given back */
};

struct stub_pages {
	struct stub_page *page;
	unsigned count;
	unsigned room;
};

/*
 * A free slot from which `jump` (the address of the 5-byte jump) is within reach, and for which
 * byte `pun` of the jump's displacement is 0xcc (-1: any).  Its address, or 0: none to be had.
 */
uint64_t stub_alloc(struct mm *mm, struct stub_pages *pages, uint64_t jump, int pun, uint64_t site);

/* The page that holds pc, or NULL. */
struct stub_page *stub_page_of(const struct stub_pages *pages, uint64_t pc);

/*
 * Builds the code of a stub at addr: the moved instructions, which lay at `from`, then
 * `lea site_end(%rip),%rcx; movabs $entry,%r11; jmp *%r11`.  ret_off[i] gets where the i-th moved
 * instruction begins, ret_off[nr_insns] where the lea does.  Bytes of code, or 0 when an operand
 * relative to rip is out of reach.
 */
unsigned stub_build(uint8_t code[STUB_SIZE], uint64_t addr, const uint8_t *moved, uint64_t from,
		    const struct shape *shape, uint64_t entry,
		    uint8_t ret_off[SHAPE_MAX_INSNS + 1]);
