/*
 * A filter of some 4,000 instructions: 118 rules written out as code, each with branches, a lookup
 * and comparisons with the packet's end. How long its proof takes is measured (leat bpf bench,
 * verify_4000).
 */
#include "filter_common.h"
#include "headers.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

static __always_inline int rule(const struct leat_pkt_ctx *ctx, __u32 number)
{
	const struct eth *eth = packet_data(ctx);
	const struct ipv4 *ip = (const void *)(eth + 1);
	const struct udp *udp = (const void *)(ip + 1);
	__u32 key = number;
	__u64 *hits;

	if ((void *)(udp + 1) > packet_end(ctx))
		return 0;
	if (ip->dst != bpf_htonl(0x0a000000 + number * 257) || ip->proto != IP_UDP)
		return 0;
	if (bpf_ntohs(udp->dst) < number * 16 || bpf_ntohs(udp->dst) > number * 16 + 7)
		return 0;
	hits = bpf_map_lookup_elem(&seen, &key);
	if (hits)
		__sync_fetch_and_add(hits, ctx->len);
	return hits != 0;
}

#define RULES_4(ctx, n) (rule(ctx, n) || rule(ctx, n + 1) || rule(ctx, n + 2) || rule(ctx, n + 3))
#define RULES_16(ctx, n)                                                                           \
	(RULES_4(ctx, n) || RULES_4(ctx, n + 4) || RULES_4(ctx, n + 8) || RULES_4(ctx, n + 12))
#define RULES_64(ctx, n)                                                                           \
	(RULES_16(ctx, n) || RULES_16(ctx, n + 16) || RULES_16(ctx, n + 32) ||                     \
	 RULES_16(ctx, n + 48))

SEC(LEAT_SEC_EGRESS) int egress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_EGRESS);
	if (RULES_64(ctx, 0) || RULES_16(ctx, 64) || RULES_16(ctx, 80) || RULES_16(ctx, 96) ||
	    RULES_4(ctx, 112) || rule(ctx, 116) || rule(ctx, 117))
		return drop(LEAT_COUNT_DROP_POLICY);
	return pass(LEAT_COUNT_PASS_EGRESS);
}
