/*
 * Who speaks to whom in a frame that passed the anti-spoofing rules: the addresses, the protocol,
 * the ports. Whatever cannot be told (a later fragment, headers that are not there) has no ports.
 */
#pragma once

#include "filter_common.h"
#include "headers.h"
#include "leat/abi/library.h"

enum flow_kind {
	FLOW_UNREADABLE, /* not a whole IP header */
	FLOW_LINK,       /* ARP and neighbour discovery: an address is made usable */
	FLOW_PORTS,    /* TCP or UDP with ports, ICMP with its type in port and identifier in id */
	FLOW_NO_PORTS, /* other protocols, and later fragments */
};

struct flow {
	union leat_addr local, remote;
	const void *upper; /* of ICMP: the header behind IP's and its extensions */
	/* numbers of 8 and 16 bits in 32: no instruction is needed to keep them small */
	__u32 local_port, remote_port;
	__u32 port; /* the destination port, or an ICMP type, or LEAT_PORT_NONE */
	__u32 proto;
	__u32 type;      /* of ICMP */
	__u32 tcp_flags; /* 0 if they are not there */
};

static __always_inline void flow_addr4(union leat_addr *addr, __be32 ip)
{
	addr->halves[0] = 0;
	addr->halves[1] = (__u64)ip << 32 | bpf_htonl(0xffff); /* of a little-endian machine */
}

static __always_inline void flow_addr6(union leat_addr *addr, const __u8 *ip)
{
	addr->halves[0] = load64(ip);
	addr->halves[1] = load64(ip + 8);
}

/* The network header behind at most one VLAN tag, and its type. */
static __always_inline const void *flow_network(const struct leat_pkt_ctx *ctx, __be16 *ret_type)
{
	/* read anew: what the rules before compared says nothing of this pointer */
	const struct eth *eth = (const void *)(long)*(const volatile __u64 *)&ctx->data;
	const struct vlan *tag = (const void *)(eth + 1);
	void *end = packet_end(ctx);

	if ((void *)(eth + 1) > end)
		return 0;
	*ret_type = eth->type;
	if (eth->type != bpf_htons(ETH_VLAN))
		return tag;
	if ((void *)(tag + 1) > end)
		return 0;
	*ret_type = tag->type;
	return tag + 1;
}

static __always_inline void flow_ports(struct flow *flow, __be16 src, __be16 dst, int outgoing)
{
	flow->port = bpf_ntohs(dst);
	flow->local_port = bpf_ntohs(outgoing ? src : dst);
	flow->remote_port = bpf_ntohs(outgoing ? dst : src);
}

/* Ports, or type and identifier, from the upper header; rest: bytes of the packet from there on. */
static __always_inline int flow_upper(struct flow *flow, const void *upper, void *end, __u32 rest,
				      int outgoing)
{
	if (flow->proto == IP_TCP || flow->proto == IP_UDP) {
		const struct tcp *tcp = upper;
		const struct udp *ports = upper;

		if ((void *)(ports + 1) > end || rest < sizeof(*ports))
			return FLOW_UNREADABLE;
		flow_ports(flow, ports->src, ports->dst, outgoing);
		if (flow->proto == IP_TCP && (void *)(tcp + 1) <= end && rest >= sizeof(*tcp))
			flow->tcp_flags = tcp->flags;
		return FLOW_PORTS;
	}
	if (flow->proto == IP_ICMP || flow->proto == IP_ICMP6) {
		const struct icmp *icmp = upper;

		if ((void *)(icmp + 1) > end || rest < sizeof(*icmp))
			return FLOW_UNREADABLE;
		flow->upper = upper;
		flow->type = icmp->type;
		flow->port = icmp->type;
		flow->local_port = bpf_ntohs(icmp->id);
		flow->remote_port = flow->local_port;
		if (flow->proto == IP_ICMP6 && icmp->type >= ND_FIRST && icmp->type <= ND_LAST)
			return FLOW_LINK;
		return FLOW_PORTS;
	}
	flow->port = LEAT_PORT_NONE;
	return FLOW_NO_PORTS;
}

static __always_inline int flow_ipv4(struct flow *flow, const struct ipv4 *ip, void *end,
				     int outgoing)
{
	__u32 header, len;

	if ((void *)(ip + 1) > end)
		return FLOW_UNREADABLE;
	header = (ip->version_len & 0xf) * 4;
	len = bpf_ntohs(ip->len);
	if (header < sizeof(*ip) || len < header)
		return FLOW_UNREADABLE;
	flow_addr4(&flow->local, outgoing ? ip->src : ip->dst);
	flow_addr4(&flow->remote, outgoing ? ip->dst : ip->src);
	flow->proto = ip->proto;
	flow->port = LEAT_PORT_NONE;
	if (ip->frag & bpf_htons(IPV4_OFFSET))
		return FLOW_NO_PORTS;
	return flow_upper(flow, opaque((const void *)ip + header), end, len - header, outgoing);
}

static __always_inline int flow_is_extension(__u8 next)
{
	return next == IP6_HOP || next == IP6_ROUTING || next == IP6_DEST || next == IP6_FRAGMENT;
}

/* Where the upper header is, and its protocol; 0: a later fragment; -1: unreadable. */
static __always_inline int flow_ip6_extensions(struct flow *flow, const struct ipv6 *ip, void *end)
{
	__u32 offset = sizeof(*ip), len = offset + bpf_ntohs(ip->len);
	__u8 next = ip->next;
	int i;

#pragma clang loop unroll(full)
	for (i = 0; i < IP6_HEADERS_MAX && flow_is_extension(next); i++) {
		const struct ip6_ext *ext = (const void *)ip + offset;

		if ((void *)(ext + 1) > end)
			return -1;
		flow->proto = ext->next;
		if (next == IP6_FRAGMENT && (ext->frag & bpf_htons(IP6_OFFSET)))
			return 0;
		offset += 8 + (next == IP6_FRAGMENT ? 0 : ext->len * 8u);
		next = ext->next;
		if (offset >= LEAT_PKT_COPY || offset > len)
			return -1;
		offset = masked(offset, 0xf8); /* as in antispoof.h */
	}
	if (flow_is_extension(next))
		return -1;
	flow->proto = next;
	return (int)offset;
}

static __always_inline int flow_ipv6(struct flow *flow, const struct ipv6 *ip, void *end,
				     int outgoing)
{
	int offset;

	if ((void *)(ip + 1) > end)
		return FLOW_UNREADABLE;
	flow_addr6(&flow->local, outgoing ? ip->src : ip->dst);
	flow_addr6(&flow->remote, outgoing ? ip->dst : ip->src);
	offset = flow_ip6_extensions(flow, ip, end);
	if (offset < 0)
		return FLOW_UNREADABLE;
	flow->port = LEAT_PORT_NONE;
	if (offset == 0)
		return FLOW_NO_PORTS;
	return flow_upper(flow, opaque((const void *)ip + offset), end,
			  sizeof(*ip) + bpf_ntohs(ip->len) - offset, outgoing);
}

/* Fills *flow (all zero before) and says what it is: enum flow_kind. */
static __always_inline int flow_read(struct flow *flow, const struct leat_pkt_ctx *ctx,
				     int outgoing)
{
	__be16 type = 0;
	const void *network = flow_network(ctx, &type);

	if (!network)
		return FLOW_UNREADABLE;
	if (type == bpf_htons(ETH_ARP))
		return FLOW_LINK;
	if (type == bpf_htons(ETH_IPV4))
		return flow_ipv4(flow, network, packet_end(ctx), outgoing);
	return flow_ipv6(flow, network, packet_end(ctx), outgoing);
}
