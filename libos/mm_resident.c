/*
 * mm_resident.c - how much of the current process's memory is present.
 *
 * The host tells by mincore, page by page: a walk of a large heap takes milliseconds, and runtimes
 * ask often (the JVM before each compilation).  So a result is good for a multiple of the time that
 * it took: small processes get exact answers, and nobody spends more than a fiftieth of the time on
 * it.
 */
#include <stddef.h>
#include <sys/mman.h>

#include "libos/clock.h"
#include "libos/host.h"
#include "libos/mm_internal.h"

#define CHUNK_PAGES 2048UL /* asked for at once */
#define WORTH 50U

uint64_t mm_range_resident(uint64_t start, uint64_t end)
{
	unsigned char vec[CHUNK_PAGES];
	uint64_t pages = 0, n, i;

	for (; start < end; start += n * ABI_PAGE_SIZE) {
		n = MIN((end - start) / ABI_PAGE_SIZE, CHUNK_PAGES);
		if (host_mincore((void *)start, n * ABI_PAGE_SIZE, vec) != 0)
			break;
		for (i = 0; i < n; i++)
			pages += vec[i] & 1;
	}
	return pages * ABI_PAGE_SIZE;
}

/* Reservations without access hold nothing and may span terabytes: not walked. */
static uint64_t walk_resident(const struct mm *mm)
{
	const struct vma_node *n;
	uint64_t sum = 0;

	for (n = mm->tree.first; n; n = n->next)
		if (n->v.prot != PROT_NONE && n->v.kind != VMA_HOST)
			sum += mm_range_resident(n->v.start, n->v.end);
	return sum;
}

uint64_t mm_resident_bytes(struct mm *mm)
{
	uint64_t now = clock_monotonic_ns();

	if (now < mm->resident_until_ns)
		return mm->resident_bytes;
	mm->resident_bytes = walk_resident(mm);
	mm->resident_until_ns = now + WORTH * (clock_monotonic_ns() - now);
	return mm->resident_bytes;
}
