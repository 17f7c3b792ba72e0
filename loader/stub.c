/*
 * stub.c - placing and building stubs.
 */
#include "loader/stub.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "leat/abi/layout.h"
#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/mm_internal.h"

#define REACH (1L << 30) /* of a jump: half of what it has */
#define PUN_BYTE 0xccL
#define PUN_WINDOWS 32
#define JCC_SIZE 6 /* a conditional jump in its long form */

/* Is slot a place to which a jump at `jump` can lead, with the byte that it must have? */
static bool slot_fits(uint64_t slot, uint64_t jump, int pun)
{
	int64_t disp = (int64_t)(slot - (jump + SHAPE_JUMP));

	if (disp > REACH || disp < -REACH)
		return false;
	return pun < 0 || (((uint64_t)disp >> (8 * pun)) & 0xff) == PUN_BYTE;
}

static uint64_t take_slot(struct stub_page *page, uint64_t jump, int pun, uint64_t site)
{
	uint64_t slot;
	unsigned i;

	for (i = 0; i < STUB_PAGE_SLOTS; i++) {
		slot = page->addr + i * STUB_SIZE;
		if (page->site[i] || !slot_fits(slot, jump, pun))
			continue;
		page->site[i] = site;
		return slot;
	}
	return 0;
}

/* A free page within [low, high). 0: none. */
static uint64_t free_page(struct mm *mm, uint64_t low, uint64_t high)
{
	uint64_t addr;

	low = align_up(MAX(low, ABI_USER_LOW), ABI_PAGE_SIZE);
	high = align_down(MIN(high, ABI_USER_HIGH), ABI_PAGE_SIZE);
	if (high <= low || !vma_tree_gap(&mm->tree, ABI_PAGE_SIZE, low, high, &addr))
		return 0;
	return addr;
}

/* A free page in one of the windows of addresses that have the byte. 0: none. */
static uint64_t free_page_pun(struct mm *mm, uint64_t from, int pun)
{
	int64_t size = 1L << (8 * pun), stride = size << 8, n, start;
	uint64_t addr;
	int i;

	for (i = 0; i < PUN_WINDOWS; i++) {
		n = (i & 1) ? i / 2 : -1 - i / 2; /* -1, 0, -2, 1, ...: below the text first */
		start = n * stride + PUN_BYTE * size;
		if (start > REACH || start < -REACH ||
		    (int64_t)from + start < (int64_t)ABI_USER_LOW)
			continue;
		addr = from + (uint64_t)start;
		/* A window smaller than a page lies in the page of its first whole slot. */
		if (size < (int64_t)ABI_PAGE_SIZE) {
			addr = align_down(align_up(addr, STUB_SIZE), ABI_PAGE_SIZE);
			addr = free_page(mm, addr, addr + ABI_PAGE_SIZE);
		} else {
			addr = free_page(mm, addr, addr + (uint64_t)size);
		}
		if (addr)
			return addr;
	}
	return 0;
}

static struct stub_page *add_page(struct mm *mm, struct stub_pages *pages, uint64_t addr)
{
	struct stub_page *page;
	unsigned room;

	if (pages->count == pages->room) {
		room = pages->room ? 2 * pages->room : 4;
		page = arena_zalloc(room * sizeof(*page));
		if (!page)
			return NULL;
		if (pages->page)
			memcpy(page, pages->page, pages->count * sizeof(*page));
		arena_free(pages->page);
		pages->page = page;
		pages->room = room;
	}
	if (mm_map(mm, addr, ABI_PAGE_SIZE, PROT_READ | PROT_EXEC,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, NULL, 0) < 0)
		return NULL;
	page = &pages->page[pages->count++];
	memset(page, 0, sizeof(*page));
	page->addr = addr;
	return page;
}

uint64_t stub_alloc(struct mm *mm, struct stub_pages *pages, uint64_t jump, int pun, uint64_t site)
{
	struct stub_page *page;
	uint64_t slot, addr;
	unsigned i;

	for (i = 0; i < pages->count; i++) {
		slot = take_slot(&pages->page[i], jump, pun, site);
		if (slot)
			return slot;
	}
	if (pun >= 0) {
		addr = free_page_pun(mm, jump + SHAPE_JUMP, pun);
	} else {
		/* Below the text: what grows (the heap) lies above. */
		addr = free_page(mm, jump > REACH ? jump - REACH : 0, jump);
		if (!addr)
			addr = free_page(mm, jump, jump + REACH);
	}
	page = addr ? add_page(mm, pages, addr) : NULL;
	return page ? take_slot(page, jump, pun, site) : 0;
}

struct stub_page *stub_page_of(const struct stub_pages *pages, uint64_t pc)
{
	unsigned i;

	for (i = 0; i < pages->count; i++)
		if (pc - pages->page[i].addr < ABI_PAGE_SIZE)
			return &pages->page[i];
	return NULL;
}

/* Adjusts an operand relative to rip of an instruction that was copied by `moved` bytes. */
static bool fix_rip(uint8_t *insn, unsigned disp_off, int64_t moved)
{
	int32_t disp;
	int64_t fixed;

	memcpy(&disp, insn + disp_off, sizeof(disp));
	fixed = disp - moved;
	if (fixed != (int32_t)fixed)
		return false;
	disp = (int32_t)fixed;
	memcpy(insn + disp_off, &disp, sizeof(disp));
	return true;
}

/* Writes one moved instruction at code, which will run at `addr`. Bytes, or 0: out of reach. */
static unsigned move_insn(uint8_t *code, uint64_t addr, const uint8_t *text, uint64_t from,
			  const struct insn *insn)
{
	int64_t rel = (int64_t)(from + insn->len) + insn->rel - (int64_t)(addr + JCC_SIZE);
	int32_t rel32 = (int32_t)rel;

	if (insn->flow == INSN_COND) {
		if (rel != rel32)
			return 0;
		code[0] = 0x0f;
		code[1] = (uint8_t)(0x80 | (insn->opcode & 0x0f));
		memcpy(code + 2, &rel32, sizeof(rel32));
		return JCC_SIZE;
	}
	memcpy(code, text, insn->len);
	if (insn->rip && !fix_rip(code, insn->disp_off, (int64_t)(addr - from)))
		return 0;
	return insn->len;
}

unsigned stub_build(uint8_t code[STUB_SIZE], uint64_t addr, const uint8_t *moved, uint64_t from,
		    const struct shape *shape, uint64_t entry, uint8_t ret_off[SHAPE_MAX_INSNS + 1])
{
	static const uint8_t lea[] = {0x48, 0x8d, 0x0d}, movabs[] = {0x49, 0xbb},
			     jump[] = {0x41, 0xff, 0xe3};
	uint64_t next = from + shape->moved + 2;
	unsigned i, at = 0, in_text = 0, n;
	int32_t rel;

	_Static_assert(SHAPE_MAX_MOVED + SHAPE_MAX_INSNS * (JCC_SIZE - 2) + 7 + 10 + 3 <= STUB_SIZE,
		       "a stub fits into its slot");
	for (i = 0; i < shape->nr_insns; i++) {
		ret_off[i] = (uint8_t)at;
		n = move_insn(code + at, addr + at, moved + in_text, from + in_text,
			      &shape->insn[i]);
		if (!n)
			return 0;
		in_text += shape->insn[i].len;
		at += n;
	}
	ret_off[i] = (uint8_t)at;
	rel = (int32_t)(next - (addr + at + 7));
	memcpy(code + at, lea, 3);
	memcpy(code + at + 3, &rel, 4);
	memcpy(code + at + 7, movabs, 2);
	memcpy(code + at + 9, &entry, 8);
	memcpy(code + at + 17, jump, 3);
	return at + 20;
}
