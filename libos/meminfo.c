/*
 * meminfo.c - what /proc/meminfo, sysinfo and getrusage say about memory.
 *
 * The instance's share is --memory.  What its processes use is counted: resident pages of the
 * current process by mincore, the mapped private memory of the others (an upper bound: their page
 * tables cannot be read from here), the arena and memfs's data.
 */
#include "libos/meminfo.h"

#include "leat/abi/layout.h"
#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/mm.h"

#define MINCORE_CHUNK 512UL /* pages asked for at once */

static uint64_t range_resident(uint64_t start, uint64_t end)
{
	unsigned char vec[MINCORE_CHUNK];
	uint64_t pages = 0;

	while (start < end) {
		uint64_t n = MIN((end - start) / ABI_PAGE_SIZE, MINCORE_CHUNK);

		if (host_mincore((void *)start, n * ABI_PAGE_SIZE, vec) != 0)
			return pages * ABI_PAGE_SIZE;
		for (uint64_t i = 0; i < n; i++)
			pages += vec[i] & 1;
		start += n * ABI_PAGE_SIZE;
	}
	return pages * ABI_PAGE_SIZE;
}

/* Reservations without access (PROT_NONE) hold nothing and may span terabytes: not walked. */
static uint64_t current_resident(struct mm *mm)
{
	uint64_t sum = 0;

	for (const struct vma *vma = mm_find(mm, 0); vma != NULL; vma = mm_next(mm, vma))
		if (vma->prot != 0 && vma->kind != VMA_HOST)
			sum += range_resident(vma->start, vma->end);
	return sum;
}

uint64_t meminfo_process_rss(const struct process *process)
{
	struct mm_stats stats;

	if (process->mm == NULL)
		return 0;
	if (process->mm == current()->process->mm)
		return current_resident(process->mm);
	mm_stats_get(process->mm, &stats);
	return stats.data_bytes + stats.stack_bytes;
}

void meminfo_get(struct meminfo *ret_info)
{
	const struct abi_instance *shared = abi_instance_of(window());
	struct arena_stats arena;
	struct list *pos;
	uint64_t used = 0;

	arena_stats_get(&arena);
	list_for_each(pos, &instance()->processes)
		used += meminfo_process_rss(list_entry(pos, struct process, all_node));
	ret_info->total_bytes = instance()->boot->memory_max;
	ret_info->arena_bytes = arena.used_bytes;
	ret_info->shared_bytes = shared->store_bytes;
	used += arena.used_bytes + shared->store_bytes;
	ret_info->free_bytes = ret_info->total_bytes > used ? ret_info->total_bytes - used : 0;
}
