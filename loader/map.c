/*
 * map.c - mapping the segments of a program and of its interpreter.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

#include "leat/abi/layout.h"
#include "leat/base/bits.h"
#include "libos/instance.h"
#include "libos/mm.h"
#include "libos/uaccess.h"
#include "loader/plan.h"

/* Position-independent programs lie here or up to 1 TiB above, as on Linux. */
#define PIE_BASE 0x555555554000UL
#define PIE_RANDOM_PAGES (1UL << 28)
#define BRK_RANDOM_PAGES (1UL << 13)

/*
 * Memory behind the file's bytes: the rest of the last page, all of it (ld.so takes it for zeroed
 * memory of its own), then anonymous pages.
 */
static int map_bss(struct mm *mm, const struct elf_segment *s, uint64_t bias)
{
	uint64_t start = bias + s->vaddr + s->filesz;
	uint64_t end = bias + s->vaddr + s->memsz;
	uint64_t page =
		s->filesz ? align_up(start, ABI_PAGE_SIZE) : align_down(start, ABI_PAGE_SIZE);
	int64_t r;

	if (s->filesz && start < page && (s->prot & PROT_WRITE) &&
	    clear_user((void *)start, page - start) < 0)
		return -EFAULT;
	if (end <= page)
		return 0;
	r = mm_map(mm, page, end - page, s->prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NULL, 0);
	return r < 0 ? (int)r : 0;
}

static int map_segment(struct mm *mm, struct file *file, const struct elf_segment *s, uint64_t bias)
{
	uint64_t skew = s->vaddr % ABI_PAGE_SIZE;
	int64_t r;

	if (s->filesz) {
		r = mm_map(mm, bias + s->vaddr - skew, s->filesz + skew, s->prot,
			   MAP_PRIVATE | MAP_FIXED, file, s->off - skew);
		if (r < 0)
			return (int)r;
	}
	return s->memsz > s->filesz ? map_bss(mm, s, bias) : 0;
}

/*
 * Where a program goes: base is a wish for those that can go anywhere (0: among the mappings).  The
 * whole range is reserved first, so that its segments stay together.
 */
static int map_elf(struct mm *mm, const struct plan_elf *elf, uint64_t base, uint64_t *ret_bias)
{
	const struct elf_image *image = &elf->image;
	uint64_t bytes = image->high - image->low, bias = 0;
	unsigned i;
	int64_t at;
	int r = 0;

	if (image->dyn) {
		at = mm_map(mm, base, bytes + image->align - ABI_PAGE_SIZE, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, NULL, 0);
		if (at < 0)
			return (int)at;
		bias = align_up((uint64_t)at, image->align) - align_down(image->low, image->align);
		r = mm_unmap(mm, (uint64_t)at, bytes + image->align - ABI_PAGE_SIZE);
	}
	for (i = 0; i < image->nr_segments && r == 0; i++)
		r = map_segment(mm, elf->file, &image->segment[i], bias);
	if (r == 0)
		*ret_bias = bias;
	return r;
}

int load_map(struct exec_plan *plan, struct loaded *ret_loaded)
{
	struct loaded l = {0};
	uint64_t bias = 0, brk;
	int r;

	r = map_elf(plan->mm, &plan->main,
		    PIE_BASE + random_u64() % PIE_RANDOM_PAGES * ABI_PAGE_SIZE, &l.bias);
	if (r < 0)
		return r;
	l.entry = l.bias + plan->main.image.entry;
	l.start = l.entry;
	brk = align_up(l.bias + plan->main.image.brk, ABI_PAGE_SIZE);
	mm_set_brk(plan->mm, brk + random_u64() % BRK_RANDOM_PAGES * ABI_PAGE_SIZE);
	if (plan->interp.file) {
		r = map_elf(plan->mm, &plan->interp, 0, &bias);
		if (r < 0)
			return r;
		l.interp_base = bias + plan->interp.image.low;
		l.start = bias + plan->interp.image.entry;
	}
	*ret_loaded = l;
	return 0;
}
