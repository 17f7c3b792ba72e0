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
#include "libos/instance.h"
#include "libos/mm.h"

uint64_t meminfo_process_rss(const struct process *process)
{
	struct mm_stats stats;

	if (process->mm == NULL)
		return 0;
	if (process->mm == current()->process->mm)
		return mm_resident_bytes(process->mm);
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
