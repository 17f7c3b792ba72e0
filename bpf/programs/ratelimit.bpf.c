/*
 * Limits of packets and bytes a second, in each direction, behind the anti-spoofing rules: token
 * buckets, in the map "buckets". A bucket that was not set limits nothing.
 *
 * What a bucket holds is one number, the time at which it will be full again: so that any number of
 * threads may take from it at once, by one compare and swap. A packet that comes while that time is
 * further away than the burst lasts is dropped.
 */
#include "antispoof.h"
#include "leat/abi/library.h"

#define TRIES 4 /* of others that come between */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LEAT_RATE_MAX);
	__type(key, __u32);
	__type(value, struct leat_rate);
} rates SEC(".maps");

/* Is there room for @amount units? They are taken then. */
static __always_inline int take(__u32 index, __u32 amount, __u64 now_ns)
{
	struct leat_rate *rate = bpf_map_lookup_elem(&rates, &index);
	__u64 cost_ns, full_ns, begin_ns;
	int i;

	if (!rate || rate->unit_ps == 0)
		return 1;
	cost_ns = rate->unit_ps * amount / 1000;
#pragma clang loop unroll(full)
	for (i = 0; i < TRIES; i++) {
		full_ns = *(volatile __u64 *)&rate->full_ns;
		begin_ns = full_ns > now_ns ? full_ns : now_ns;
		if (begin_ns + cost_ns - now_ns > rate->burst_ns)
			return 0;
		if (__sync_val_compare_and_swap(&rate->full_ns, full_ns, begin_ns + cost_ns) ==
		    full_ns)
			return 1;
	}
	return 0;
}

static __always_inline int judge(const struct leat_pkt_ctx *ctx, __u32 packets, __u32 bytes)
{
	if (!take(packets, 1, ctx->now_ns) || !take(bytes, ctx->len, ctx->now_ns))
		return drop(LEAT_COUNT_DROP_POLICY);
	return LEAT_PASS;
}

SEC(LEAT_SEC_EGRESS) int egress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_EGRESS);
	if (antispoof_egress(ctx) != LEAT_PASS ||
	    judge(ctx, LEAT_RATE_EGRESS_PACKETS, LEAT_RATE_EGRESS_BYTES) != LEAT_PASS)
		return LEAT_DROP;
	return pass(LEAT_COUNT_PASS_EGRESS);
}

SEC(LEAT_SEC_INGRESS) int ingress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_INGRESS);
	if (antispoof_ingress(ctx) != LEAT_PASS ||
	    judge(ctx, LEAT_RATE_INGRESS_PACKETS, LEAT_RATE_INGRESS_BYTES) != LEAT_PASS)
		return LEAT_DROP;
	return pass(LEAT_COUNT_PASS_INGRESS);
}
