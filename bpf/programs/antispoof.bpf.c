/*
 * The default filter: an instance speaks only for itself, and hears only what is for it.
 *
 * Egress: source MAC, VLAN tag, IPv4 source, ARP sender, IPv6 source, neighbour discovery, DHCP
 * server. Ingress: destination MAC, VLAN tag, tenant. Everything that is not IPv4, IPv6 or ARP is
 * dropped: what cannot be checked does not pass. The map "identity" says who the instance is.
 *
 * A frame is at least 14 bytes long, and data_end may lie before the end of a long frame: every
 * header is compared with data_end before it is read, and one that is not there whole is dropped.
 */
#include "filter_common.h"

#define ETH_IPV4 0x0800
#define ETH_ARP 0x0806
#define ETH_IPV6 0x86dd
#define ETH_VLAN 0x8100
#define ETH_QINQ 0x88a8
#define VLAN_ID 0x0fff

#define IP_UDP 17
#define IP_ICMP6 58
#define IP6_HOP 0
#define IP6_ROUTING 43
#define IP6_FRAGMENT 44
#define IP6_DEST 60
#define IP6_HEADERS_MAX 4 /* extension headers that are followed */
#define IPV4_OFFSET 0x1fff
#define IPV4_FRAGMENT 0x3fff /* offset, or more to come */
#define IP6_OFFSET 0xfff8

#define DHCP_CLIENT_PORT 68
#define DHCP_SERVER_PORT 67
#define DHCP6_SERVER_PORT 547

#define ND_ROUTER_ADVERT 134
#define ND_NEIGHBOUR_SOLICIT 135
#define ND_NEIGHBOUR_ADVERT 136
#define ND_REDIRECT 137
#define ND_OPT_SOURCE_LINK 1
#define ND_OPT_TARGET_LINK 2

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct leat_identity);
} identity SEC(".maps");

struct eth {
	__u8 dst[6];
	__u8 src[6];
	__be16 type;
} __attribute__((packed));

struct vlan {
	__be16 tci;
	__be16 type;
} __attribute__((packed));

struct arp {
	__be16 hardware, protocol;
	__u8 hardware_len, protocol_len;
	__be16 operation;
	__u8 sender_mac[6];
	__be32 sender_ip;
	__u8 target_mac[6];
	__be32 target_ip;
} __attribute__((packed));

struct ipv4 {
	__u8 version_len, tos;
	__be16 len, id, frag;
	__u8 ttl, proto;
	__be16 check;
	__be32 src, dst;
} __attribute__((packed));

struct ipv6 {
	__be32 flow;
	__be16 len;
	__u8 next, hops;
	__u8 src[16], dst[16];
} __attribute__((packed));

struct ip6_ext {
	__u8 next, len;
	__be16 frag;
	__be32 rest;
} __attribute__((packed));

struct ports {
	__be16 src, dst;
} __attribute__((packed));

/* A neighbour advertisement or solicitation. */
struct nd {
	__u8 type, code;
	__be16 check;
	__be32 flags;
	__u8 target[16];
} __attribute__((packed));

struct nd_option {
	__u8 type, len; /* len in units of 8 bytes */
	__u8 mac[6];
} __attribute__((packed));

static __always_inline int same(const __u8 *a, const __u8 *b, int n)
{
	int i, differ = 0;

#pragma clang loop unroll(full)
	for (i = 0; i < n; i++)
		differ |= a[i] ^ b[i];
	return !differ;
}

static __always_inline int is_zero(const __u8 *a, int n)
{
	int i, any = 0;

#pragma clang loop unroll(full)
	for (i = 0; i < n; i++)
		any |= a[i];
	return !any;
}

/* fe80::/64 with the interface identifier made of the MAC (RFC 4291, appendix A). */
static __always_inline int is_own_link_local(const __u8 *ip, const struct leat_identity *id)
{
	return ip[0] == 0xfe && ip[1] == 0x80 && is_zero(ip + 2, 6) && ip[8] == (id->mac[0] ^ 2) &&
	       same(ip + 9, id->mac + 1, 2) && ip[11] == 0xff && ip[12] == 0xfe &&
	       same(ip + 13, id->mac + 3, 3);
}

static __always_inline int is_own_ipv6(const __u8 *ip, const struct leat_identity *id)
{
	if (!is_zero(id->ipv6, 16) && same(ip, id->ipv6, 16))
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
	if (!same(arp->sender_mac, id->mac, 6))
		return drop(LEAT_COUNT_DROP_ARP);
	/* 0.0.0.0 is an address probe (RFC 5227) */
	if (arp->sender_ip != 0 && (id->ipv4 == 0 || arp->sender_ip != id->ipv4))
		return drop(LEAT_COUNT_DROP_ARP);
	return LEAT_PASS;
}

/* From a server's port only with the right to serve. */
static __always_inline int egress_udp(const struct ports *ports, void *end, __u16 server,
				      const struct leat_identity *id)
{
	if ((void *)(ports + 1) > end)
		return drop(LEAT_COUNT_DROP_SHORT);
	if (ports->src == bpf_htons(server) && !(id->flags & LEAT_ID_DHCP_SERVER))
		return drop(LEAT_COUNT_DROP_DHCP);
	return LEAT_PASS;
}

/* A client without an address yet: 0.0.0.0:68 to 255.255.255.255:67, in one piece. */
static __always_inline int egress_dhcp(const struct ipv4 *ip, const struct ports *ports, void *end)
{
	if (ip->src != 0 || ip->dst != 0xffffffff || ip->proto != IP_UDP ||
	    (ip->frag & bpf_htons(IPV4_FRAGMENT)))
		return drop(LEAT_COUNT_DROP_IPV4);
	if ((void *)(ports + 1) > end)
		return drop(LEAT_COUNT_DROP_SHORT);
	if (ports->src != bpf_htons(DHCP_CLIENT_PORT) || ports->dst != bpf_htons(DHCP_SERVER_PORT))
		return drop(LEAT_COUNT_DROP_IPV4);
	return LEAT_PASS;
}

static __always_inline int egress_ipv4(const struct ipv4 *ip, void *end,
				       const struct leat_identity *id)
{
	const void *payload;
	__u16 offset;

	if ((void *)(ip + 1) > end)
		return drop(LEAT_COUNT_DROP_SHORT);
	if (ip->version_len >> 4 != 4 || (ip->version_len & 0xf) < 5)
		return drop(LEAT_COUNT_DROP_IPV4);
	payload = (const void *)ip + (ip->version_len & 0xf) * 4;
	if ((id->ipv4 == 0 || ip->src != id->ipv4) && !(id->flags & LEAT_ID_ROUTER))
		return egress_dhcp(ip, payload, end);
	if (ip->proto != IP_UDP)
		return LEAT_PASS;
	/*
	 * A later fragment has no ports of its own: it is nothing without the first one, which is
	 * judged. One at offset 8 of a packet could overwrite ports, but never the first four
	 * bytes: they lie at offset 0, and fragments at 0 are judged.
	 */
	offset = bpf_ntohs(ip->frag) & IPV4_OFFSET;
	if (offset)
		return LEAT_PASS;
	return egress_udp(payload, end, DHCP_SERVER_PORT, id);
}

/* Link-layer address options must name the instance itself. */
static __always_inline int nd_option_is_own(const struct nd_option *option, void *end,
					    const struct leat_identity *id)
{
	if ((void *)(option + 1) > end)
		return 1; /* none: allowed */
	if (option->type != ND_OPT_SOURCE_LINK && option->type != ND_OPT_TARGET_LINK)
		return 0; /* others could hide one behind them */
	return option->len == 1 && same(option->mac, id->mac, 6);
}

static __always_inline int egress_icmp6(const struct nd *nd, void *end, const struct ipv6 *ip,
					const struct leat_identity *id)
{
	if ((void *)nd + 4 > end)
		return drop(LEAT_COUNT_DROP_SHORT);
	if (nd->type == ND_ROUTER_ADVERT || nd->type == ND_REDIRECT)
		return id->flags & LEAT_ID_ROUTER ? LEAT_PASS : drop(LEAT_COUNT_DROP_ND);
	if (nd->type != ND_NEIGHBOUR_SOLICIT && nd->type != ND_NEIGHBOUR_ADVERT)
		return LEAT_PASS;
	if ((void *)(nd + 1) > end)
		return drop(LEAT_COUNT_DROP_SHORT);
	/* an advertisement speaks for its target; a probe from :: claims it */
	if ((nd->type == ND_NEIGHBOUR_ADVERT || is_zero(ip->src, 16)) &&
	    !is_own_ipv6(nd->target, id))
		return drop(LEAT_COUNT_DROP_ND);
	if (!nd_option_is_own((const void *)(nd + 1), end, id))
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
	__u8 next = ip->next;
	int i;

#pragma clang loop unroll(full)
	for (i = 0; i < IP6_HEADERS_MAX && is_ip6_extension(next); i++) {
		const struct ip6_ext *ext = (const void *)ip + offset;

		if ((void *)(ext + 1) > end)
			return drop(LEAT_COUNT_DROP_SHORT);
		if (next == IP6_FRAGMENT) {
			/* later fragments have no header of what they carry */
			if (ext->frag & bpf_htons(IP6_OFFSET))
				return LEAT_PASS;
			offset += 8;
		} else {
			offset += 8 + ext->len * 8u;
		}
		next = ext->next;
		if (offset >= LEAT_PKT_COPY)
			return drop(LEAT_COUNT_DROP_SHORT);
		/* changes nothing, but all ways here look alike to the verifier from now on */
		offset = masked(offset, 0xf8);
	}
	if (next == IP_ICMP6)
		return egress_icmp6((const void *)ip + offset, end, ip, id);
	if (next == IP_UDP)
		return egress_udp((const void *)ip + offset, end, DHCP6_SERVER_PORT, id);
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
		if (!is_zero(ip->src, 16) || ip->dst[0] != 0xff ||
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
	if (!same(eth->src, id->mac, 6))
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
	if (!(eth->dst[0] & 1) && !same(eth->dst, id->mac, 6))
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

SEC(LEAT_SEC_EGRESS) int egress(struct leat_pkt_ctx *ctx)
{
	const struct leat_identity *id = who_am_i();
	int verdict;

	count(LEAT_COUNT_EGRESS);
	if (!id)
		return drop(LEAT_COUNT_DROP_IDENTITY);
	verdict = egress_judge((void *)(unsigned long)ctx->data,
			       (void *)(unsigned long)ctx->data_end, id);
	if (verdict == LEAT_PASS)
		count(LEAT_COUNT_PASS_EGRESS);
	return verdict;
}

SEC(LEAT_SEC_INGRESS) int ingress(struct leat_pkt_ctx *ctx)
{
	const struct leat_identity *id = who_am_i();
	int verdict;

	count(LEAT_COUNT_INGRESS);
	if (!id)
		return drop(LEAT_COUNT_DROP_IDENTITY);
	verdict = ingress_judge(ctx, (void *)(unsigned long)ctx->data,
				(void *)(unsigned long)ctx->data_end, id);
	if (verdict == LEAT_PASS)
		count(LEAT_COUNT_PASS_INGRESS);
	return verdict;
}
