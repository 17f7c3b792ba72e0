/* Counts and drops everything: an instance with this filter has a queue that leads nowhere. */
#include "filter_common.h"

SEC(LEAT_SEC_EGRESS) int egress(struct leat_pkt_ctx *ctx)
{
	(void)ctx;
	count(LEAT_COUNT_EGRESS);
	return LEAT_DROP;
}

SEC(LEAT_SEC_INGRESS) int ingress(struct leat_pkt_ctx *ctx)
{
	(void)ctx;
	count(LEAT_COUNT_INGRESS);
	return LEAT_DROP;
}
