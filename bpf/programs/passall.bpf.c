/* Counts and passes everything: to measure, and to prove that every packet meets its filter. */
#include "filter_common.h"

SEC(LEAT_SEC_EGRESS) int egress(struct leat_pkt_ctx *ctx)
{
	(void)ctx;
	count(LEAT_COUNT_EGRESS);
	count(LEAT_COUNT_PASS_EGRESS);
	return LEAT_PASS;
}

SEC(LEAT_SEC_INGRESS) int ingress(struct leat_pkt_ctx *ctx)
{
	(void)ctx;
	count(LEAT_COUNT_INGRESS);
	count(LEAT_COUNT_PASS_INGRESS);
	return LEAT_PASS;
}
