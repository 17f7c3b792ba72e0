/*
 * A stateless security group: behind the anti-spoofing rules, a list of rules by direction, remote
 * network, protocol and destination port (or ICMP type). The first one that matches decides; what
 * matches none is dropped. ARP and neighbour discovery pass: without them nothing is reachable.
 * Answers need rules of their own; see stateful for those that remember.
 */
#include "antispoof.h"
#include "rules.h"

static __always_inline int judge(const struct leat_pkt_ctx *ctx, __u32 direction)
{
	struct flow flow = {};
	int kind = flow_read(&flow, ctx, direction == LEAT_RULE_EGRESS);

	if (kind == FLOW_LINK)
		return LEAT_PASS;
	if (kind == FLOW_UNREADABLE)
		return drop(LEAT_COUNT_DROP_SHORT);
	if (!rules_pass(&flow, direction))
		return drop(LEAT_COUNT_DROP_POLICY);
	return LEAT_PASS;
}

SEC(LEAT_SEC_EGRESS) int egress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_EGRESS);
	if (antispoof_egress(ctx) != LEAT_PASS || judge(ctx, LEAT_RULE_EGRESS) != LEAT_PASS)
		return LEAT_DROP;
	return pass(LEAT_COUNT_PASS_EGRESS);
}

SEC(LEAT_SEC_INGRESS) int ingress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_INGRESS);
	if (antispoof_ingress(ctx) != LEAT_PASS || judge(ctx, LEAT_RULE_INGRESS) != LEAT_PASS)
		return LEAT_DROP;
	return pass(LEAT_COUNT_PASS_INGRESS);
}
