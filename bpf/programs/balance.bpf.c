/*
 * Load balancing over a function's instances, in front of those who use it, behind the
 * anti-spoofing rules: what goes to a service's address and port (IPv4, TCP or UDP, not in
 * fragments) gets the address, port and MAC of one of its backends, and what comes back those of
 * the service. A connection keeps its backend, whatever happens to the list, while it is used.
 */
#include "antispoof.h"
#include "leat/abi/library.h"

#define TRIES 16 /* backends in a row that take no connections */

/* The address of a member of a packed header: it is read and written as it lies. */
#define FIELD(header, member) ((void *)(header) + __builtin_offsetof(typeof(*(header)), member))

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct leat_service_key);
	__type(value, struct leat_service);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LEAT_BACKENDS_MAX);
	__type(key, __u32);
	__type(value, struct leat_backend);
} backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct leat_flow_key);
	__type(value, struct leat_flow);
} flows SEC(".maps");

/* RFC 1624; a checksum that is left to the receiver is the pseudo header's sum, not its complement.
 */
static __always_inline __u16 sum_replace(__u16 check, __u32 from, __u32 to, int partial)
{
	__u32 sum = partial ? check : (__u16)~check;

	sum += (__u16)~from + (__u16)(~from >> 16) + (__u16)to + (to >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return partial ? (__u16)sum : (__u16)~sum;
}

/* The checksum's field; NULL: not there. UDP's 0 means that there is none. */
static __always_inline __be16 *check_of(const struct ipv4 *ip, void *upper, void *end)
{
	struct tcp *tcp = upper;
	struct udp *udp = upper;

	if (ip->proto == IP_TCP)
		return (void *)(tcp + 1) <= end ? FIELD(tcp, check) : 0;
	return udp->check ? FIELD(udp, check) : 0;
}

/* One side of the packet gets another address and port. */
static __always_inline void rewrite(const struct leat_pkt_ctx *ctx, struct ipv4 *ip, __be32 *addr,
				    __be16 *port, __be16 *check, const struct leat_flow *flow)
{
	int partial = ctx->flags & LEAT_PKT_CSUM_PARTIAL;
	__be16 to = bpf_htons(flow->port);

	if (check) {
		*check = sum_replace(*check, *addr, flow->ipv4, partial);
		if (!partial)
			*check = sum_replace(*check, *port, to, 0);
	}
	ip->check = sum_replace(ip->check, *addr, flow->ipv4, 0);
	*addr = flow->ipv4;
	*port = to;
}

/* IPv4 without options and VLAN tag, TCP or UDP, the ports in it; NULL: something else. */
static __always_inline struct ipv4 *balanced_packet(const struct leat_pkt_ctx *ctx)
{
	struct eth *eth = packet_data(ctx);
	struct ipv4 *ip = (void *)(eth + 1);
	struct udp *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > packet_end(ctx) || eth->type != bpf_htons(ETH_IPV4))
		return 0;
	if (ip->version_len != 0x45 || (ip->frag & bpf_htons(IPV4_FRAGMENT)))
		return 0;
	return ip->proto == IP_TCP || ip->proto == IP_UDP ? ip : 0;
}

/* A backend for a new connection, by its ports: the number of it, -1: none takes any. */
static __always_inline int choose(const struct leat_service *service, const struct udp *udp,
				  struct leat_flow *flow)
{
	__u32 hash = (udp->src * 0x9e3779b1u) >> 8, i;

	if (service->count == 0)
		return -1;
#pragma clang loop unroll(disable)
	for (i = 0; i < TRIES; i++) {
		__u32 index = service->first + (hash + i) % service->count;
		const struct leat_backend *backend = bpf_map_lookup_elem(&backends, &index);

		if (!backend || !(backend->flags & LEAT_BACKEND_UP))
			continue;
		flow->backend = index;
		flow->ipv4 = backend->ipv4;
		flow->port = backend->port;
		__builtin_memcpy(flow->mac, backend->mac, 6);
		return 0;
	}
	return -1;
}

static __always_inline void flow_keep(const struct leat_flow_key *key, const struct leat_flow *flow)
{
	struct leat_flow_key back = {.remote = flow->ipv4,
				     .local_port = key->local_port,
				     .remote_port = flow->port,
				     .proto = key->proto,
				     .reply = 1};
	struct leat_flow service = {.seen_ns = flow->seen_ns,
				    .backend = flow->backend,
				    .ipv4 = key->remote,
				    .port = key->remote_port};

	bpf_map_update_elem(&flows, key, flow, BPF_ANY);
	bpf_map_update_elem(&flows, &back, &service, BPF_ANY);
}

static __always_inline int balance(const struct leat_pkt_ctx *ctx)
{
	struct ipv4 *ip = balanced_packet(ctx);
	struct eth *eth = packet_data(ctx);
	struct leat_service_key to = {};
	struct leat_flow_key key = {};
	const struct leat_service *service;
	const struct leat_flow *known;
	struct leat_flow flow = {};
	struct udp *udp;

	if (!ip)
		return LEAT_PASS;
	udp = (void *)(ip + 1);
	to.ipv4 = ip->dst;
	to.port = bpf_ntohs(udp->dst);
	to.proto = ip->proto;
	service = bpf_map_lookup_elem(&services, &to);
	if (!service)
		return LEAT_PASS;
	key.remote = to.ipv4;
	key.local_port = bpf_ntohs(udp->src);
	key.remote_port = to.port;
	key.proto = to.proto;
	known = bpf_map_lookup_elem(&flows, &key);
	if (known) {
		flow = *known;
	} else {
		flow.seen_ns = ctx->now_ns;
		if (choose(service, udp, &flow))
			return drop(LEAT_COUNT_DROP_POLICY);
		flow_keep(&key, &flow);
	}
	rewrite(ctx, ip, FIELD(ip, dst), FIELD(udp, dst), check_of(ip, udp, packet_end(ctx)),
		&flow);
	__builtin_memcpy(eth->dst, flow.mac, 6);
	return LEAT_PASS;
}

static __always_inline void unbalance(const struct leat_pkt_ctx *ctx)
{
	struct ipv4 *ip = balanced_packet(ctx);
	struct leat_flow_key key = {};
	const struct leat_flow *flow;
	struct udp *udp;

	if (!ip)
		return;
	udp = (void *)(ip + 1);
	key.remote = ip->src;
	key.local_port = bpf_ntohs(udp->dst);
	key.remote_port = bpf_ntohs(udp->src);
	key.proto = ip->proto;
	key.reply = 1;
	flow = bpf_map_lookup_elem(&flows, &key);
	if (flow)
		rewrite(ctx, ip, FIELD(ip, src), FIELD(udp, src),
			check_of(ip, udp, packet_end(ctx)), flow);
}

SEC(LEAT_SEC_EGRESS) int egress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_EGRESS);
	if (antispoof_egress(ctx) != LEAT_PASS || balance(ctx) != LEAT_PASS)
		return LEAT_DROP;
	return pass(LEAT_COUNT_PASS_EGRESS);
}

SEC(LEAT_SEC_INGRESS) int ingress(struct leat_pkt_ctx *ctx)
{
	count(LEAT_COUNT_INGRESS);
	if (antispoof_ingress(ctx) != LEAT_PASS)
		return LEAT_DROP;
	unbalance(ctx);
	return pass(LEAT_COUNT_PASS_INGRESS);
}
