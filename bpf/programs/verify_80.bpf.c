/*
 * A filter of some 80 instructions in both directions together: how long its proof takes is
 * measured (leat bpf bench, verify_80).
 */
#include "filter_common.h"
#include "headers.h"

SEC(LEAT_SEC_EGRESS) int egress(struct leat_pkt_ctx *ctx)
{
	const struct eth *eth = packet_data(ctx);
	const struct ipv4 *ip = (const void *)(eth + 1);
	const struct tcp *tcp = (const void *)(ip + 1);

	count(LEAT_COUNT_EGRESS);
	if ((void *)(ip + 1) > packet_end(ctx) || eth->type != bpf_htons(ETH_IPV4))
		return drop(LEAT_COUNT_DROP_SHORT);
	if (ip->version_len != 0x45 || (ip->frag & bpf_htons(IPV4_OFFSET)))
		return drop(LEAT_COUNT_DROP_IPV4);
	if (ip->proto == IP_TCP) {
		if ((void *)(tcp + 1) > packet_end(ctx))
			return drop(LEAT_COUNT_DROP_SHORT);
		if (tcp->dst == bpf_htons(25) || (tcp->flags & 0x3) == 0x3)
			return drop(LEAT_COUNT_DROP_POLICY);
	}
	return pass(LEAT_COUNT_PASS_EGRESS);
}
