/*
 * A filter of the base library as XDP programs, for the kernel's verifier and compiler: a second
 * opinion, and something to be measured against. What leatd would say in the context is in a
 * variable; the filter's functions are compiled into the kernel's.
 */
#define egress leat_egress
#define ingress leat_ingress
#include FILTER
#undef egress
#undef ingress

char _license[] SEC("license") = "GPL";

struct leat_pkt_ctx given SEC(".data.given");

static __always_inline struct leat_pkt_ctx context_of(const struct xdp_md *md)
{
	struct leat_pkt_ctx ctx = given;

	ctx.data = md->data;
	ctx.data_end = md->data_end;
	return ctx;
}

SEC("xdp") __attribute__((flatten)) int egress(struct xdp_md *md)
{
	struct leat_pkt_ctx ctx = context_of(md);

	return leat_egress(&ctx);
}

SEC("xdp") __attribute__((flatten)) int ingress(struct xdp_md *md)
{
	struct leat_pkt_ctx ctx = context_of(md);

	return leat_ingress(&ctx);
}
