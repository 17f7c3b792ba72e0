/*
 * patch.c - lazy rewriting of system-call sites, and the record of them.
 *
 * A site is rewritten when it traps for the second time: most sites of a program's start run once,
 * and a rewritten one costs a private copy of its page.  What is moved and why that is right stands
 * in shape.h.  The record belongs to the address space: fork copies it, munmap and exec forget what
 * lies in their range, and whoever makes text writable gets its own bytes back first.
 *
 * Never rewritten: rt_sigreturn, whose bytes unwinders and debuggers look for behind a signal
 * frame.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "leat/abi/layout.h"
#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/instance.h"
#include "libos/mm_internal.h"
#include "libos/task.h"
#include "loader/loader.h"
#include "loader/shape.h"
#include "loader/stub.h"
#include "loader/text.h"

#define TRAPS_BEFORE_PATCH 2U
#define SITES_MIN 64U
#define SITES_MAX (1U << 16)
#define INT3 0xcc

/* entry.S */
extern const char entry_stub[];

enum site_state {
	SITE_NEW,
	SITE_PATCHED,
	SITE_KEEPS, /* traps for good */
};

struct patch_site {
	uint64_t addr;  /* of the syscall instruction; 0: free slot of the table */
	uint64_t start; /* of the jump */
	uint64_t stub;
	uint64_t traps;
	enum site_state state;
	uint8_t moved;
	uint8_t nr_insns;
	uint8_t off[SHAPE_MAX_INSNS];          /* of each moved instruction, from start */
	uint8_t stub_off[SHAPE_MAX_INSNS + 1]; /* and in the stub */
	uint8_t old[SHAPE_MAX_MOVED];          /* the text's own bytes from start */
};

/* Open addressing, at most half full. */
struct patch_table {
	struct patch_site *site;
	unsigned room; /* a power of two */
	unsigned count;
	struct stub_pages pages;
};

static unsigned site_hash(uint64_t addr)
{
	return (unsigned)((addr * 0x9e3779b97f4a7c15UL) >> 40);
}

/* Where addr is in the table, or where it would go. */
static struct patch_site *site_slot(const struct patch_table *t, uint64_t addr)
{
	unsigned i = site_hash(addr);

	while (t->site[i & (t->room - 1)].addr && t->site[i & (t->room - 1)].addr != addr)
		i++;
	return &t->site[i & (t->room - 1)];
}

static struct patch_site *site_find(const struct patch_table *t, uint64_t addr)
{
	struct patch_site *s = t ? site_slot(t, addr) : NULL;

	return s && s->addr ? s : NULL;
}

/* A table of `room` with the sites of t for which keep says so (NULL: all). False: no memory. */
static bool table_rebuild(struct patch_table *t, unsigned room,
			  bool (*keep)(const struct patch_site *s))
{
	struct patch_site *old = t->site, *s;
	unsigned old_room = t->room, i;

	s = arena_zalloc(room * sizeof(*s));
	if (!s)
		return false;
	t->site = s;
	t->room = room;
	t->count = 0;
	for (i = 0; i < old_room; i++) {
		if (!old[i].addr || (keep && !keep(&old[i])))
			continue;
		*site_slot(t, old[i].addr) = old[i];
		t->count++;
	}
	arena_free(old);
	return true;
}

static struct patch_table *table_of(struct mm *mm)
{
	struct patch_table **table = mm_patches(mm);
	struct patch_table *t;

	if (*table)
		return *table;
	t = arena_zalloc(sizeof(*t));
	if (t && !table_rebuild(t, SITES_MIN, NULL)) {
		arena_free(t);
		t = NULL;
	}
	*table = t;
	return t;
}

/* The record of a site, made on demand. NULL: no memory, or too many. */
static struct patch_site *site_get(struct mm *mm, uint64_t addr)
{
	struct patch_table *t = table_of(mm);
	struct patch_site *s;

	if (!t)
		return NULL;
	s = site_slot(t, addr);
	if (s->addr)
		return s;
	if (t->count * 2 >= t->room &&
	    (t->room >= SITES_MAX || !table_rebuild(t, 2 * t->room, NULL)))
		return NULL;
	s = site_slot(t, addr);
	s->addr = addr;
	s->start = addr;
	t->count++;
	return s;
}

/* May other threads of the current process be executing its text now? */
static bool text_shared(void)
{
	return current()->process->host->nr_kthreads > 1;
}

/* Is it text of the program that it does not write itself? */
static bool site_in_text(struct mm *mm, uint64_t addr)
{
	const struct vma *v = mm_find(mm, addr - SHAPE_BEFORE);

	return v && v->start <= addr - SHAPE_BEFORE && v->end >= addr + 2 &&
	       (v->prot & PROT_EXEC) && !(v->prot & PROT_WRITE) && (v->flags & MAP_PRIVATE) &&
	       v->kind != VMA_VDSO && v->kind != VMA_HOST;
}

/* The jump in place of the first instruction; int3 in place of those behind it. */
static bool site_write(struct mm *mm, struct patch_site *s, bool shared)
{
	static const uint8_t int3 = INT3;
	uint8_t jump[SHAPE_JUMP] = {0xe9};
	int32_t rel = (int32_t)(s->stub - (s->start + SHAPE_JUMP));
	unsigned i;

	memcpy(jump + 1, &rel, sizeof(rel));
	for (i = 1; i < s->nr_insns; i++)
		if (s->off[i] >= SHAPE_JUMP &&
		    text_write(mm, s->start + s->off[i], &int3, 1, shared) < 0)
			return false;
	return text_write(mm, s->start, jump, sizeof(jump), shared) == 0;
}

/* Gives the text its own bytes back. */
static void site_restore(struct mm *mm, struct patch_site *s)
{
	bool shared = text_shared();
	unsigned i;

	if (s->state != SITE_PATCHED)
		return;
	text_write(mm, s->start, s->old, SHAPE_JUMP, shared);
	for (i = SHAPE_JUMP; i < s->moved; i++)
		text_write(mm, s->start + i, s->old + i, 1, shared);
	s->state = SITE_NEW;
	s->traps = 0;
}

/* Rewrites the site in one of its shapes. False: it cannot be. */
static bool site_patch_as(struct mm *mm, struct patch_site *s, const uint8_t *text,
			  const struct shape *shape)
{
	struct patch_table *t = *mm_patches(mm);
	const uint8_t *moved = text + SHAPE_BEFORE - shape->moved;
	uint8_t code[STUB_SIZE];
	bool shared = text_shared();
	unsigned n, i;

	s->start = s->addr - shape->moved;
	s->moved = (uint8_t)shape->moved;
	s->nr_insns = (uint8_t)shape->nr_insns;
	memcpy(s->old, moved, shape->moved);
	for (i = 1, s->off[0] = 0; i < shape->nr_insns; i++)
		s->off[i] = (uint8_t)(s->off[i - 1] + shape->insn[i - 1].len);
	s->stub = stub_alloc(mm, &t->pages, s->start, shape->pun, s->addr);
	if (!s->stub)
		return false;
	n = stub_build(code, s->stub, moved, s->start, shape, (uint64_t)entry_stub, s->stub_off);
	if (!n || text_fill(mm, s->stub, code, n, shared) < 0)
		return false;
	s->state = SITE_PATCHED;
	if (site_write(mm, s, shared))
		return true;
	site_restore(mm, s);
	return false;
}

/*
 * Puts the own bytes of sites that were rewritten before back into the copy of the text in front of
 * addr, so that it decodes as it was.  None of them can overlap what this site will move: a syscall
 * lies between.
 */
static void text_original(const struct patch_table *t, uint64_t addr, uint8_t *text)
{
	const struct patch_site *s;
	uint64_t low = addr - SHAPE_BEFORE, at;
	unsigned i;

	for (at = low; at < addr; at++) {
		s = site_find(t, at);
		if (!s || s->state != SITE_PATCHED)
			continue;
		for (i = 0; i < s->moved; i++)
			if (s->start + i >= low)
				text[s->start + i - low] = s->old[i];
	}
}

static void site_patch(struct mm *mm, struct patch_site *s)
{
	struct shape shape[4];
	uint8_t text[SHAPE_BEFORE + 2];
	unsigned n, i;

	s->state = SITE_KEEPS;
	if (!site_in_text(mm, s->addr) || text_read(s->addr - SHAPE_BEFORE, text, sizeof(text)) < 0)
		return;
	text_original(*mm_patches(mm), s->addr, text);
	n = shape_find(text, ARRAY_SIZE(shape), shape);
	for (i = 0; i < n; i++)
		if (site_patch_as(mm, s, text, &shape[i]))
			return;
	s->state = SITE_KEEPS;
	s->start = s->addr;
}

/* Is the jump still there? The program may have written over it. */
static bool site_intact(const struct patch_site *s)
{
	uint8_t jump[SHAPE_JUMP];
	int32_t rel;

	if (text_read(s->start, jump, sizeof(jump)) < 0 || jump[0] != 0xe9)
		return false;
	memcpy(&rel, jump + 1, sizeof(rel));
	return s->start + SHAPE_JUMP + (uint64_t)(int64_t)rel == s->stub;
}

void patch_site(uint64_t insn_addr, uint64_t nr)
{
	struct mm *mm = current()->process->mm;
	struct patch_site *s;

	if (nr == SYS_rt_sigreturn || insn_addr < ABI_USER_LOW + SHAPE_BEFORE)
		return;
	s = site_get(mm, insn_addr);
	if (!s)
		return;
	s->traps++;
	/* Other code lies here now: look again. */
	if (s->state == SITE_PATCHED && !site_intact(s)) {
		s->state = SITE_NEW;
		s->traps = 1;
	}
	if (s->state == SITE_NEW && s->traps >= TRAPS_BEFORE_PATCH)
		site_patch(mm, s);
}

bool patch_pc_in_stub(uint64_t pc, uint64_t *ret_site_pc)
{
	const struct patch_table *t = *mm_patches(current()->process->mm);
	const struct stub_page *page = t ? stub_page_of(&t->pages, pc) : NULL;
	const struct patch_site *s;
	unsigned i;

	if (!page)
		return false;
	s = site_find(t, page->site[(pc - page->addr) / STUB_SIZE]);
	if (!s || s->state != SITE_PATCHED || pc < s->stub)
		return false;
	for (i = 0; i < s->nr_insns; i++)
		if (pc == s->stub + s->stub_off[i]) {
			*ret_site_pc = s->start + s->off[i];
			return true;
		}
	*ret_site_pc = s->addr; /* all moved instructions are done */
	return true;
}

/* Is the byte at addr, which was an int3 of ours, the text's own again (text.c, site_restore)? */
static bool int3_gone(uint64_t addr)
{
	uint8_t byte;

	return text_read(addr, &byte, 1) == 0 && byte != INT3;
}

bool patch_trap(uint64_t pc, uint64_t *ret_pc)
{
	const struct patch_table *t = *mm_patches(current()->process->mm);
	const struct patch_site *s;
	uint64_t addr = pc - 1;
	unsigned ahead, i;

	for (ahead = 1; t && ahead <= SHAPE_MAX_MOVED; ahead++) {
		s = site_find(t, addr + ahead);
		if (!s || !s->stub || addr < s->start)
			continue;
		if (int3_gone(addr)) {
			*ret_pc = addr;
			return true;
		}
		for (i = 1; s->state == SITE_PATCHED && i < s->nr_insns; i++)
			if (addr == s->start + s->off[i]) {
				*ret_pc = s->stub + s->stub_off[i];
				return true;
			}
	}
	return false;
}

void patch_restore_range(struct mm *mm, uint64_t start, uint64_t end)
{
	struct patch_table *t = *mm_patches(mm);
	unsigned i;

	for (i = 0; t && i < t->room; i++) {
		struct patch_site *s = &t->site[i];

		if (s->addr && s->start < end && s->addr > start)
			site_restore(mm, s);
	}
}

static bool site_kept(const struct patch_site *s)
{
	return s->state != SITE_NEW || s->traps;
}

/* A page of stubs goes: whoever jumps there gets its own bytes back. */
static void forget_pages(struct mm *mm, struct patch_table *t, uint64_t start, uint64_t end)
{
	struct patch_site *s;
	unsigned i, k;

	for (i = 0; i < t->pages.count;) {
		struct stub_page *page = &t->pages.page[i];

		if (page->addr >= end || page->addr + ABI_PAGE_SIZE <= start) {
			i++;
			continue;
		}
		for (k = 0; k < STUB_PAGE_SLOTS; k++) {
			s = page->site[k] ? site_find(t, page->site[k]) : NULL;
			if (s && s->stub == page->addr + k * STUB_SIZE)
				site_restore(mm, s);
		}
		*page = t->pages.page[--t->pages.count];
	}
}

void patch_forget_range(struct mm *mm, uint64_t start, uint64_t end)
{
	struct patch_table *t = *mm_patches(mm);
	bool some = false;
	unsigned i;

	if (!t)
		return;
	forget_pages(mm, t, start, end);
	for (i = 0; i < t->room; i++) {
		struct patch_site *s = &t->site[i];

		/* A site whose moved bytes lie just outside the range gets them back. */
		if (!s->addr || s->start >= end || s->addr + 2 <= start)
			continue;
		s->state = SITE_NEW;
		s->traps = 0;
		some = true;
	}
	if (some)
		table_rebuild(t, t->room, site_kept);
}

int patch_table_copy(struct mm *to, struct mm *from)
{
	const struct patch_table *old = *mm_patches(from);
	struct patch_table *t;
	size_t bytes;

	if (!old)
		return 0;
	t = arena_zalloc(sizeof(*t));
	if (!t)
		return -1;
	*t = *old;
	bytes = old->room * sizeof(*old->site);
	t->site = arena_alloc(bytes);
	t->pages.page = arena_zalloc(MAX(1U, old->pages.room) * sizeof(*old->pages.page));
	*mm_patches(to) = t;
	if (!t->site || !t->pages.page) {
		patch_table_destroy(to);
		return -1;
	}
	memcpy(t->site, old->site, bytes);
	memcpy(t->pages.page, old->pages.page, old->pages.count * sizeof(*old->pages.page));
	return 0;
}

void patch_table_destroy(struct mm *mm)
{
	struct patch_table *t = *mm_patches(mm);

	if (!t)
		return;
	arena_free(t->site);
	arena_free(t->pages.page);
	arena_free(t);
	*mm_patches(mm) = NULL;
}

/* Puts info among the first n of ret, which are in order of traps. */
static void report_insert(struct patch_site_info *ret, size_t n, size_t max,
			  const struct patch_site_info *info)
{
	size_t at = n < max ? n : max - 1;

	for (; at > 0 && ret[at - 1].traps < info->traps; at--)
		ret[at] = ret[at - 1];
	ret[at] = *info;
}

size_t patch_sites_report(struct mm *mm, struct patch_site_info *ret_info, size_t max)
{
	const struct patch_table *t = *mm_patches(mm);
	struct patch_site_info info;
	size_t n = 0;
	unsigned i;

	for (i = 0; t && max && i < t->room; i++) {
		if (!t->site[i].addr)
			continue;
		info = (struct patch_site_info){.addr = t->site[i].addr,
						.traps = t->site[i].traps,
						.patched = t->site[i].state == SITE_PATCHED};
		if (n == max && ret_info[max - 1].traps >= info.traps)
			continue;
		report_insert(ret_info, n, max, &info);
		n = MIN(n + 1, max);
	}
	return n;
}
