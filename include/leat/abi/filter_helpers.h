/*
 * The helpers that a leat/egress or leat/ingress program may call, for *.bpf.c. Those of Linux keep
 * their numbers and meanings; where <bpf/bpf_helpers.h> declares them for another context there is
 * one here for struct leat_pkt_ctx. From <bpf/bpf_helpers.h> as they are: bpf_map_lookup_elem,
 * bpf_map_update_elem, bpf_map_delete_elem, bpf_ktime_get_ns, bpf_get_prandom_u32,
 * bpf_get_smp_processor_id, bpf_printk (rate-limited, into the filter's trace ring), bpf_csum_diff,
 * bpf_loop, bpf_ringbuf_output, bpf_ringbuf_reserve, bpf_ringbuf_submit, bpf_ringbuf_discard,
 * bpf_ringbuf_query.
 *
 * Negative results are negated error numbers. Offsets count from data.
 */
#pragma once

#include "leat/abi/filter.h"

#define LEAT_HELPER __attribute__((unused)) static

/*
 * For "return leat_redirect(ctx, &handles, index);": LEAT_REDIRECT, or LEAT_DROP if no handle is
 * set at @index. The verifier has to see that @index is below the map's max_entries. The frame goes
 * to the handle's instance whatever its destination MAC is; the ingress filter there judges it.
 */
LEAT_HELPER long (*const leat_redirect)(struct leat_pkt_ctx *ctx, void *handles,
					__u32 index) = (void *)LEAT_FUNC_redirect;

/*
 * Takes @amount units from the bucket if they are there: 1, else 0 and nothing is taken. @now_ns:
 * ctx->now_ns. The bucket must be in a map's value, aligned to 8 bytes.
 */
LEAT_HELPER long (*const leat_bucket_take)(struct leat_bucket *bucket, __u64 amount,
					   __u64 now_ns) = (void *)LEAT_FUNC_bucket_take;

/* Tag word of the instance of the same tenant that has this address (network order); or -ENOENT. */
LEAT_HELPER long (*const leat_tag_lookup)(__u32 ipv4) = (void *)LEAT_FUNC_tag_lookup;

/* Copies bytes out of the packet (data .. data_end): 0, or -EFAULT if they are not all there. */
LEAT_HELPER long (*const leat_load_bytes)(struct leat_pkt_ctx *ctx, __u32 offset, void *to,
					  __u32 len) = (void *)26;

/*
 * Writes bytes into the packet: 0, or -EFAULT. @flags: 0. As on Linux, packet pointers must be read
 * again from the context after this and the following four.
 */
LEAT_HELPER long (*const leat_store_bytes)(struct leat_pkt_ctx *ctx, __u32 offset, const void *from,
					   __u32 len, __u64 flags) = (void *)9;

/*
 * Updates the internet checksum at @offset for a field that changed from @from to @to; the low four
 * bits of @flags are the field's size (2 or 4), or 0: @to is a difference made by bpf_csum_diff().
 */
LEAT_HELPER long (*const leat_l3_csum_replace)(struct leat_pkt_ctx *ctx, __u32 offset, __u64 from,
					       __u64 to, __u64 flags) = (void *)10;

/*
 * The same for TCP and UDP, with Linux's flags BPF_F_PSEUDO_HDR (the field is in the pseudo header;
 * others leave a checksum alone that LEAT_PKT_CSUM_PARTIAL says is not made yet) and
 * BPF_F_MARK_MANGLED_0 (UDP: 0 means no checksum).
 */
LEAT_HELPER long (*const leat_l4_csum_replace)(struct leat_pkt_ctx *ctx, __u32 offset, __u64 from,
					       __u64 to, __u64 flags) = (void *)11;

/*
 * Moves data by @delta: negative adds room in front (at most ctx->headroom bytes, zeroed), positive
 * takes bytes away. At least an Ethernet header must stay. 0, or -EINVAL.
 */
LEAT_HELPER long (*const leat_adjust_head)(struct leat_pkt_ctx *ctx, int delta) = (void *)44;

/* Shortens the frame by -@delta bytes: 0, or -EINVAL. It cannot grow, nor lose its headers. */
LEAT_HELPER long (*const leat_adjust_tail)(struct leat_pkt_ctx *ctx, int delta) = (void *)65;
