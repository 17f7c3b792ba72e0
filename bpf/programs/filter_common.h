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

static __always_inline int pass(enum leat_counter direction)
{
	count(direction);
	return LEAT_PASS;
}

static __always_inline void *packet_data(const struct leat_pkt_ctx *ctx)
{
	return (void *)(unsigned long)ctx->data;
}

static __always_inline void *packet_end(const struct leat_pkt_ctx *ctx)
{
	return (void *)(unsigned long)ctx->data_end;
}

/*
 * What the verifier needs in some places, and a C compiler does not:
 * masked(value, mask): value & mask, even where the compiler knows that it changes nothing.
 * opaque(pointer): the pointer, which the compiler keeps in one register from here on, so that what
 *	a comparison says about it is known where it is used.
 */
#ifdef __bpf__
#define masked(value, mask)                                                                        \
	({                                                                                         \
		__u32 masked_ = (value);                                                           \
		asm volatile("%0 &= " #mask : "+r"(masked_));                                      \
		masked_;                                                                           \
	})
#define opaque(pointer)                                                                            \
	({                                                                                         \
		const void *opaque_ = (pointer);                                                   \
		asm volatile("" : "+r"(opaque_));                                                  \
		opaque_;                                                                           \
	})
#else
#define masked(value, mask) ((value) & (mask))
#define opaque(pointer) (pointer)
#endif

/* Bytes in pieces as large as they are, wherever they lie: in the order of this machine's bytes. */
static __always_inline __u16 load16(const void *at)
{
	return *(const __u16 *)at;
}

static __always_inline __u32 load32(const void *at)
{
	return *(const __u32 *)at;
}

static __always_inline __u64 load64(const void *at)
{
	return *(const __u64 *)at;
}
