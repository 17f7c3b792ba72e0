/*
 * The default filter: an instance speaks only for itself, and hears only what is for it. The rules
 * are in antispoof.h, with which the other filters begin too.
 */
#include "antispoof.h"

SEC(LEAT_SEC_EGRESS) int egress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_EGRESS);
	if (antispoof_egress(ctx) != LEAT_PASS)
		return LEAT_DROP;
	return pass(LEAT_COUNT_PASS_EGRESS);
}

SEC(LEAT_SEC_INGRESS) int ingress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_INGRESS);
	if (antispoof_ingress(ctx) != LEAT_PASS)
		return LEAT_DROP;
	return pass(LEAT_COUNT_PASS_INGRESS);
}
