/*
 * Counts, behind the anti-spoofing rules: packets and bytes in each direction by protocol, and by
 * the address of the other side.
 */
#include "antispoof.h"
#include "flow.h"

#define COUNT_ARP 255 /* reserved by IANA: no IP packet has it */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, union leat_addr);
	__type(value, struct leat_count);
} peers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct leat_count);
} protocols SEC(".maps");

static __always_inline void add(struct leat_count *sum, __u32 bytes, int outgoing)
{
	__sync_fetch_and_add(outgoing ? &sum->egress_packets : &sum->ingress_packets, 1);
	__sync_fetch_and_add(outgoing ? &sum->egress_bytes : &sum->ingress_bytes, bytes);
}

static __always_inline void count_peer(const union leat_addr *addr, __u32 bytes, int outgoing)
{
	static const struct leat_count none;
	struct leat_count *sum = bpf_map_lookup_elem(&peers, addr);

	if (!sum) {
		/* whoever is first makes it; the others find it then */
		bpf_map_update_elem(&peers, addr, &none, BPF_NOEXIST);
		sum = bpf_map_lookup_elem(&peers, addr);
	}
	if (sum)
		add(sum, bytes, outgoing);
}

static __always_inline void count_packet(const struct leat_pkt_ctx *ctx, int outgoing)
{
	struct leat_count *sum;
	struct flow flow = {};
	int kind = flow_read(&flow, ctx, outgoing);
	__u32 proto = kind == FLOW_LINK && flow.proto == 0 ? COUNT_ARP : flow.proto;

	sum = bpf_map_lookup_elem(&protocols, &proto);
	if (sum)
		add(sum, ctx->len, outgoing);
	if (proto != COUNT_ARP && kind != FLOW_UNREADABLE)
		count_peer(&flow.remote, ctx->len, outgoing);
}

SEC(LEAT_SEC_EGRESS) int egress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_EGRESS);
	if (antispoof_egress(ctx) != LEAT_PASS)
		return LEAT_DROP;
	count_packet(ctx, 1);
	return pass(LEAT_COUNT_PASS_EGRESS);
}

SEC(LEAT_SEC_INGRESS) int ingress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_INGRESS);
	if (antispoof_ingress(ctx) != LEAT_PASS)
		return LEAT_DROP;
	count_packet(ctx, 0);
	return pass(LEAT_COUNT_PASS_INGRESS);
}
