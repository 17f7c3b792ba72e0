/*
 * An instance speaks only for itself, and hears only what is for it: the rules with which every
 * filter of the base library begins that lets something pass.
 *
 * Egress: source MAC, VLAN tag, IPv4 source, ARP sender, IPv6 source, neighbour discovery, DHCP
 * server and client. Ingress: destination MAC, VLAN tag, tenant. Everything that is not IPv4, IPv6
 * or ARP is dropped: what cannot be checked does not pass. The map "identity" says who the instance
 * is.
 *
 * A frame is at least 14 bytes long, and data_end may lie before the end of a long frame: every
 * header is compared with data_end before it is read, and one that is not there whole is dropped.
 * What lies in the frame but behind the packet's own length is not the packet: a header there is
 * not there.
 */
#pragma once

#include "filter_common.h"
#include "headers.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct leat_identity);
} identity SEC(".maps");

static __always_inline int same_mac(const __u8 *a, const __u8 *b)
{
	return load32(a) == load32(b) && load16(a + 4) == load16(b + 4);
}

static __always_inline int same_ip6(const __u8 *a, const __u8 *b)
{
	return load64(a) == load64(b) && load64(a + 8) == load64(b + 8);
}

static __always_inline int is_zero_ip6(const __u8 *a)
{
	return !(load64(a) | load64(a + 8));
}

/* fe80::/64 with the interface identifier made of the MAC (RFC 4291, appendix A). */
static __always_inline int is_own_link_local(const __u8 *ip, const struct leat_identity *id)
{
	const __u8 *mac = id->mac;

	return load64(ip) == bpf_cpu_to_be64(0xfe80000000000000) &&
	       load16(ip + 8) == (load16(mac) ^ bpf_htons(0x0200)) &&
	       load32(ip + 10) == bpf_htonl((__u32)mac[2] << 24 | 0xfffe00 | mac[3]) &&
	       load16(ip + 14) == load16(mac + 4);
}

static __always_inline int is_own_ipv6(const __u8 *ip, const struct leat_identity *id)
{
	if (!is_zero_ip6(id->ipv6) && same_ip6(ip, id->ipv6))
		return 1;
	return is_own_link_local(ip, id);
}

static __always_inline int egress_arp(const struct arp *arp, void *end,
				      const struct leat_identity *id)
{
	if ((void *)(arp + 1) > end)
		return drop(LEAT_COUNT_DROP_SHORT);
	if (arp->hardware != bpf_htons(1) || arp->protocol != bpf_htons(ETH_IPV4) ||
	    arp->hardware_len != 6 || arp->protocol_len != 4)
		return drop(LEAT_COUNT_DROP_ARP);
	if (!same_mac(arp->sender_mac, id->mac))
		return drop(LEAT_COUNT_DROP_ARP);
	/* 0.0.0.0 is an address probe (RFC 5227) */
	if (arp->sender_ip != 0 && (id->ipv4 == 0 || arp->sender_ip != id->ipv4))
		return drop(LEAT_COUNT_DROP_ARP);
	return LEAT_PASS;
}

/* A client asks for itself: RFC 2131's chaddr is its MAC. Others would use up a server's addresses.
 */
static __always_inline int egress_bootp(const struct bootp *bootp, void *end,
					const struct leat_identity *id)
{
	if (id->flags & (LEAT_ID_DHCP_SERVER | LEAT_ID_ROUTER))
		return LEAT_PASS; /* a relay speaks for others */
	if ((void *)(bootp + 1) > end)
		return drop(LEAT_COUNT_DROP_SHORT);
	if (bootp->operation != BOOTP_REQUEST || bootp->hardware != 1 || bootp->hardware_len != 6 ||
	    !same_mac(bootp->client, id->mac))
		return drop(LEAT_COUNT_DROP_DHCP);
	return LEAT_PASS;
}

/*
 * From a server's port only with the right to serve. rest: bytes of the packet from here on, as its
 * own header says.
 */
static __always_inline int egress_udp(const struct udp *udp, void *end, __u32 rest, __u16 server,
				      const struct leat_identity *id)
{
	if ((void *)(udp + 1) > end || rest < sizeof(*udp))
		return drop(LEAT_COUNT_DROP_SHORT);
	if (udp->src == bpf_htons(server) && !(id->flags & LEAT_ID_DHCP_SERVER))
		return drop(LEAT_COUNT_DROP_DHCP);
	return LEAT_PASS;
}

static __always_inline int egress_udp4(const struct ipv4 *ip, const struct udp *udp, void *end,
				       __u32 rest, const struct leat_identity *id)
{
	/*
	 * A later fragment has no ports of its own: it is nothing without the first one, which is
	 * judged. One at offset 8 of a packet could overwrite ports, but never the first four
	 * bytes: they lie at offset 0, and fragments at 0 are judged.
	 */
	if (ip->frag & bpf_htons(IPV4_OFFSET))
		return LEAT_PASS;
	if (egress_udp(udp, end, rest, DHCP_SERVER_PORT, id) != LEAT_PASS)
		return LEAT_DROP;
	if (udp->dst != bpf_htons(DHCP_SERVER_PORT))
		return LEAT_PASS;
	/* in pieces, the client's address could be in one that is not judged */
	if (ip->frag & bpf_htons(IPV4_FRAGMENT) || rest < sizeof(*udp) + sizeof(struct bootp))
		return drop(LEAT_COUNT_DROP_DHCP);
	return egress_bootp((const void *)(udp + 1), end, id);
}

/* A client without an address yet: 0.0.0.0:68 to 255.255.255.255:67, in one piece. */
static __always_inline int is_dhcp_client(const struct ipv4 *ip, const struct udp *udp, void *end)
{
	return ip->src == 0 && ip->dst == 0xffffffff && ip->proto == IP_UDP &&
	       !(ip->frag & bpf_htons(IPV4_FRAGMENT)) && (void *)(udp + 1) <= end &&
	       udp->src == bpf_htons(DHCP_CLIENT_PORT) && udp->dst == bpf_htons(DHCP_SERVER_PORT);
}

static __always_inline int egress_ipv4(const struct ipv4 *ip, void *end,
				       const struct leat_identity *id)
{
	const void *payload;
	__u32 header, len;

	if ((void *)(ip + 1) > end)
		return drop(LEAT_COUNT_DROP_SHORT);
	header = (ip->version_len & 0xf) * 4;
	len = bpf_ntohs(ip->len);
	if (ip->version_len >> 4 != 4 || header < sizeof(*ip))
		return drop(LEAT_COUNT_DROP_IPV4);
	if (len < header)
		return drop(LEAT_COUNT_DROP_SHORT);
	payload = (const void *)ip + header;
	if ((id->ipv4 == 0 || ip->src != id->ipv4) && !(id->flags & LEAT_ID_ROUTER) &&
	    !is_dhcp_client(ip, payload, end))
		return drop(LEAT_COUNT_DROP_IPV4);
	if (ip->proto == IP_UDP)
		return egress_udp4(ip, payload, end, len - header, id);
	return LEAT_PASS;
}

/*
 * At most one option: a link-layer address, which must be the instance's own, or a nonce (RFC
 * 7527). More could hide an address behind one that is judged.
 */
static __always_inline int nd_option_is_own(const struct nd_option *option, void *end, __u32 rest,
					    const struct leat_identity *id)
{
	if (rest == 0)
		return 1;
	if (rest != sizeof(*option) || (void *)(option + 1) > end || option->len != 1)
		return 0;
	if (option->type == ND_OPT_NONCE)
		return 1;
	return (option->type == ND_OPT_SOURCE_LINK || option->type == ND_OPT_TARGET_LINK) &&
	       same_mac(option->mac, id->mac);
}

/* rest: bytes of the packet from here on, as its own header says; so below. */
static __always_inline int egress_icmp6(const struct nd *nd, void *end, __u32 rest, __u32 fragment,
					const struct ipv6 *ip, const struct leat_identity *id)
{
	if ((void *)nd + ICMP6_HEADER > end || rest < ICMP6_HEADER)
		return drop(LEAT_COUNT_DROP_SHORT);
	if (nd->type < ND_FIRST || nd->type > ND_LAST)
		return LEAT_PASS;
	/* RFC 6980: whoever fragments discovery hides something */
	if (fragment)
		return drop(LEAT_COUNT_DROP_ND);
	if (nd->type == ND_ROUTER_SOLICIT)
		return LEAT_PASS;
	if (nd->type == ND_ROUTER_ADVERT || nd->type == ND_REDIRECT)
		return id->flags & LEAT_ID_ROUTER ? LEAT_PASS : drop(LEAT_COUNT_DROP_ND);
	if ((void *)(nd + 1) > end || rest < sizeof(*nd))
		return drop(LEAT_COUNT_DROP_SHORT);
	/* an advertisement speaks for its target; a probe from :: claims it */
	if ((nd->type == ND_NEIGHBOUR_ADVERT || is_zero_ip6(ip->src)) &&
	    !is_own_ipv6(nd->target, id))
		return drop(LEAT_COUNT_DROP_ND);
	if (!nd_option_is_own((const void *)(nd + 1), end, rest - sizeof(*nd), id))
		return drop(LEAT_COUNT_DROP_ND);
	return LEAT_PASS;
}

static __always_inline int is_ip6_extension(__u8 next)
{
	return next == IP6_HOP || next == IP6_ROUTING || next == IP6_DEST || next == IP6_FRAGMENT;
}

/* What is behind the IPv6 header and its extensions. */
static __always_inline int egress_ip6_payload(const struct ipv6 *ip, void *end,
					      const struct leat_identity *id)
{
	__u32 offset = sizeof(*ip); /* always a multiple of 8 */
	__u32 len = offset + bpf_ntohs(ip->len), fragment = 0;
	const void *upper;
	__u8 next = ip->next;
	int i;

#pragma clang loop unroll(full)
	for (i = 0; i < IP6_HEADERS_MAX && is_ip6_extension(next); i++) {
		const struct ip6_ext *ext = (const void *)ip + offset;

		if ((void *)(ext + 1) > end || offset + sizeof(*ext) > len)
			return drop(LEAT_COUNT_DROP_SHORT);
		if (next == IP6_FRAGMENT) {
			/* later fragments have no header of what they carry */
			if (ext->frag & bpf_htons(IP6_OFFSET))
				return LEAT_PASS;
			fragment = 1;
			offset += 8;
		} else {
			offset += 8 + ext->len * 8u;
		}
		next = ext->next;
		if (offset >= LEAT_PKT_COPY || offset > len)
			return drop(LEAT_COUNT_DROP_SHORT);
		/* changes nothing, but all ways here look alike to the verifier from now on */
		offset = masked(offset, 0xf8);
	}
	upper = (const void *)ip + offset;
	if (next == IP_ICMP6)
		return egress_icmp6(upper, end, len - offset, fragment, ip, id);
	if (next == IP_UDP)
		return egress_udp(upper, end, len - offset, DHCP6_SERVER_PORT, id);
	/* more headers than are followed: what is behind them cannot be judged */
	if (is_ip6_extension(next))
		return drop(LEAT_COUNT_DROP_IPV6);
	return LEAT_PASS;
}

static __always_inline int egress_ipv6(const struct ipv6 *ip, void *end,
				       const struct leat_identity *id)
{
	if ((void *)(ip + 1) > end)
		return drop(LEAT_COUNT_DROP_SHORT);
	if ((bpf_ntohl(ip->flow) >> 28) != 6)
		return drop(LEAT_COUNT_DROP_IPV6);
	if (!is_own_ipv6(ip->src, id) && !(id->flags & LEAT_ID_ROUTER)) {
		/* ::, to a multicast group, in ICMPv6: address probes and group reports */
		if (!is_zero_ip6(ip->src) || ip->dst[0] != 0xff ||
		    (ip->next != IP_ICMP6 && ip->next != IP6_HOP))
			return drop(LEAT_COUNT_DROP_IPV6);
	}
	return egress_ip6_payload(ip, end, id);
}

/* The network header, behind at most one VLAN tag that the instance owns; its type in *type. */
static __always_inline const void *network_header(const struct eth *eth, void *end,
						  const struct leat_identity *id, __be16 *type)
{
	const struct vlan *tag = (const void *)(eth + 1);

	*type = eth->type;
	if (eth->type != bpf_htons(ETH_VLAN) && eth->type != bpf_htons(ETH_QINQ))
		return tag;
	if ((void *)(tag + 1) > end || eth->type != bpf_htons(ETH_VLAN) || id->vlan == 0 ||
	    (bpf_ntohs(tag->tci) & VLAN_ID) != id->vlan)
		return 0;
	if (tag->type == bpf_htons(ETH_VLAN) || tag->type == bpf_htons(ETH_QINQ))
		return 0;
	*type = tag->type;
	return tag + 1;
}

static __always_inline int egress_judge(const struct eth *eth, void *end,
					const struct leat_identity *id)
{
	const void *network;
	__be16 type;

	if ((void *)(eth + 1) > end)
		return drop(LEAT_COUNT_DROP_SHORT);
	if (!same_mac(eth->src, id->mac))
		return drop(LEAT_COUNT_DROP_MAC);
	network = network_header(eth, end, id, &type);
	if (!network)
		return drop(LEAT_COUNT_DROP_VLAN);
	if (type == bpf_htons(ETH_IPV4))
		return egress_ipv4(network, end, id);
	if (type == bpf_htons(ETH_IPV6))
		return egress_ipv6(network, end, id);
	if (type == bpf_htons(ETH_ARP))
		return egress_arp(network, end, id);
	return drop(LEAT_COUNT_DROP_PROTO);
}

static __always_inline int ingress_judge(const struct leat_pkt_ctx *ctx, const struct eth *eth,
					 void *end, const struct leat_identity *id)
{
	__be16 type;

	if ((void *)(eth + 1) > end)
		return drop(LEAT_COUNT_DROP_SHORT);
	/* bit 0 of the first byte: a group, the broadcast address included */
	if (!(eth->dst[0] & 1) && !same_mac(eth->dst, id->mac))
		return drop(LEAT_COUNT_DROP_MAC);
	if (!network_header(eth, end, id, &type))
		return drop(LEAT_COUNT_DROP_VLAN);
	if (type != bpf_htons(ETH_IPV4) && type != bpf_htons(ETH_IPV6) &&
	    type != bpf_htons(ETH_ARP))
		return drop(LEAT_COUNT_DROP_PROTO);
	if (!(ctx->flags & LEAT_PKT_FROM_UPLINK) && ctx->peer_tenant != id->tenant)
		return drop(LEAT_COUNT_DROP_TENANT);
	return LEAT_PASS;
}

/* NULL if leatd has not said who the instance is: nothing passes then. */
static __always_inline const struct leat_identity *who_am_i(void)
{
	const struct leat_identity *id;
	__u32 zero = 0;

	id = bpf_map_lookup_elem(&identity, &zero);
	return id && id->tenant ? id : 0;
}

static __always_inline int antispoof_egress(const struct leat_pkt_ctx *ctx)
{
	const struct leat_identity *id = who_am_i();

	if (!id)
		return drop(LEAT_COUNT_DROP_IDENTITY);
	return egress_judge(packet_data(ctx), packet_end(ctx), id);
}

static __always_inline int antispoof_ingress(const struct leat_pkt_ctx *ctx)
{
	const struct leat_identity *id = who_am_i();

	if (!id)
		return drop(LEAT_COUNT_DROP_IDENTITY);
	return ingress_judge(ctx, packet_data(ctx), packet_end(ctx), id);
}
