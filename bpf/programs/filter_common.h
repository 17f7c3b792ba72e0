/* What the filters of the base library share: the two standard maps and how to count. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "leat/abi/filter.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LEAT_COUNT_MAX);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* Two threads may run the filters of one instance at once: one per direction, at least. */
static __always_inline void count(__u32 index)
{
	__u64 *counter = bpf_map_lookup_elem(&counters, &index);

	if (counter)
		__sync_fetch_and_add(counter, 1);
}

static __always_inline int drop(enum leat_counter reason)
{
	count(reason);
	return LEAT_DROP;
}

/* value & mask, even where the compiler knows that it changes nothing: the verifier may not. */
#ifdef __bpf__
#define masked(value, mask)                                                                        \
	({                                                                                         \
		__u32 masked_ = (value);                                                           \
		asm volatile("%0 &= " #mask : "+r"(masked_));                                      \
		masked_;                                                                           \
	})
#else
#define masked(value, mask) ((value) & (mask))
#endif
