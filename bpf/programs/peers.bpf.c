/*
 * Allowed peers by tag, behind the anti-spoofing rules: the map "peers" says with instances of
 * which tags the instance may speak, in which direction. Who has no tag (the uplink, an address
 * that is no instance's) has tag 0. ARP and neighbour discovery pass: without them nobody is
 * reachable. IPv6 is judged where it comes in: a tag is found by an IPv4 address only.
 */
#include "antispoof.h"
#include "flow.h"
#include "leat/abi/filter_helpers.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct leat_peer);
} peers SEC(".maps");

static __always_inline int may(__u32 tag, __u32 flag)
{
	const struct leat_peer *peer = bpf_map_lookup_elem(&peers, &tag);

	return peer && (peer->flags & flag);
}

static __always_inline int judge_egress(const struct leat_pkt_ctx *ctx)
{
	__be16 type = 0;
	const struct ipv4 *ip = flow_network(ctx, &type);
	struct flow flow = {};
	long tag;

	if (flow_read(&flow, ctx, 1) == FLOW_LINK)
		return LEAT_PASS;
	if (type != bpf_htons(ETH_IPV4))
		return LEAT_PASS;
	if (!ip || (void *)(ip + 1) > packet_end(ctx))
		return drop(LEAT_COUNT_DROP_SHORT);
	tag = leat_tag_lookup(ip->dst);
	if (!may(tag < 0 ? LEAT_PEER_UPLINK : (__u32)tag, LEAT_PEER_SEND))
		return drop(LEAT_COUNT_DROP_POLICY);
	return LEAT_PASS;
}

static __always_inline int judge_ingress(const struct leat_pkt_ctx *ctx)
{
	struct flow flow = {};

	if (flow_read(&flow, ctx, 0) == FLOW_LINK)
		return LEAT_PASS;
	if (!may(ctx->peer_tag, LEAT_PEER_RECEIVE))
		return drop(LEAT_COUNT_DROP_POLICY);
	return LEAT_PASS;
}

SEC(LEAT_SEC_EGRESS) int egress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_EGRESS);
	if (antispoof_egress(ctx) != LEAT_PASS || judge_egress(ctx) != LEAT_PASS)
		return LEAT_DROP;
	return pass(LEAT_COUNT_PASS_EGRESS);
}

SEC(LEAT_SEC_INGRESS) int ingress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_INGRESS);
	if (antispoof_ingress(ctx) != LEAT_PASS || judge_ingress(ctx) != LEAT_PASS)
		return LEAT_DROP;
	return pass(LEAT_COUNT_PASS_INGRESS);
}
