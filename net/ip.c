/*
 * IPv4 and IPv6: routing (one interface, one gateway), input checks, headers and fragments on the
 * way out.
 */
#include "net/stack.h"

bool ip_is_local(const struct net *net, const union ip_addr *addr)
{
	if (ip_addr_is_loopback(addr))
		return true;
	return ip_addr_equal(addr, &net->ip) || ip_addr_equal(addr, &net->ip6) ||
	       (ip_addr_equal(addr, &net->ip6_global) && !ip_addr_is_any6(addr));
}

bool ip_is_broadcast(const struct net *net, const union ip_addr *addr)
{
	uint32_t ip = ip_addr_to_v4(addr);

	if (!ip_addr_is_v4(addr))
		return false;
	return ip == UINT32_MAX || (net->prefix_bits < 31 && net->dev.regs != NULL &&
				    ip == (ip_addr_to_v4(&net->ip) | ~net->netmask_be));
}

static void route_multicast(const struct net *net, const union ip_addr *dst, struct route *route)
{
	route->broadcast = true;
	if (ip_is_broadcast(net, dst)) {
		for (unsigned int i = 0; i < 6; i++)
			route->mac[i] = 0xff;
	} else if (ip_addr_is_v4(dst)) {
		const uint8_t mac[6] = {0x01,           0x00,          0x5e, dst->bytes[13] & 0x7f,
					dst->bytes[14], dst->bytes[15]};

		__builtin_memcpy(route->mac, mac, 6);
	} else {
		const uint8_t mac[6] = {0x33,           0x33,           dst->bytes[12],
					dst->bytes[13], dst->bytes[14], dst->bytes[15]};

		__builtin_memcpy(route->mac, mac, 6);
	}
}

/* The address is in the prefix of our global one. */
static bool ip6_on_link(const struct net *net, const union ip_addr *dst)
{
	unsigned int bits = net->prefix6_bits;

	if (ip_addr_is_any6(&net->ip6_global))
		return false;
	for (unsigned int i = 0; i < bits / 8; i++)
		if (dst->bytes[i] != net->ip6_global.bytes[i])
			return false;
	return bits % 8 == 0 ||
	       ((dst->bytes[bits / 8] ^ net->ip6_global.bytes[bits / 8]) >> (8 - bits % 8)) == 0;
}

const union ip_addr *ip_source(const struct net *net, const union ip_addr *dst)
{
	if (ip_addr_is_v4(dst))
		return &net->ip;
	/* RFC 6724 5, rule 2: of the same scope; a group has its own (RFC 4291 2.7) */
	if (ip_addr_is_any6(&net->ip6_global) || ip_addr_is_linklocal6(dst) ||
	    (dst->bytes[0] == 0xff && (dst->bytes[1] & 0xf) <= 2))
		return &net->ip6;
	return &net->ip6_global;
}

const union ip_addr *ip_next_hop(const struct net *net, const union ip_addr *dst)
{
	if (!ip_addr_is_v4(dst))
		return ip_addr_is_linklocal6(dst) || ip6_on_link(net, dst) ? dst : NULL;
	if (((ip_addr_to_v4(dst) ^ ip_addr_to_v4(&net->ip)) & net->netmask_be) == 0)
		return dst;
	return ip_addr_is_any(&net->gateway) ? NULL : &net->gateway;
}

int ip_route(struct net *net, const union ip_addr *dst, struct route *ret_route)
{
	struct route route = {.mtu = ip_pmtu(net, dst)};
	const union ip_addr *hop;

	if (ip_is_local(net, dst)) {
		if (!net->loopback && ip_addr_is_loopback(dst))
			return -ENETUNREACH;
		route.local = true;
		route.mtu = NET_LO_MTU;
		route.src = *dst;
		if (ip_addr_is_loopback(dst) && ip_addr_is_v4(dst))
			route.src = ip_addr_v4(be32(INADDR_LOOPBACK));
		*ret_route = route;
		return 0;
	}
	if (net->dev.regs == NULL)
		return -ENETUNREACH;
	route.src = *ip_source(net, dst);
	if (ip_addr_is_multicast(dst) || ip_is_broadcast(net, dst)) {
		route_multicast(net, dst, &route);
		*ret_route = route;
		return 0;
	}
	hop = ip_next_hop(net, dst);
	if (hop == NULL)
		return -ENETUNREACH;
	route.neigh = neigh_get(net, hop);
	*ret_route = route;
	return 0;
}

/* ---- path MTU ---- */

#define PMTU_NS (600 * NSEC_PER_SEC)
#define PMTU_LEAST4 552u /* Linux's ip_rt_min_pmtu: nobody honest says less */
#define PMTU_LEAST6 1280u

static struct pmtu *pmtu_slot(const struct net *net, const union ip_addr *dst)
{
	const struct pmtu *slot = &net->pmtus[net_hash(net, dst, dst, 0) % NET_PMTUS];

	return (struct pmtu *)(uintptr_t)slot;
}

uint32_t ip_pmtu(const struct net *net, const union ip_addr *dst)
{
	const struct pmtu *p = pmtu_slot(net, dst);

	if (p->mtu == 0 || p->expires_ns <= net->now_ns || !ip_addr_equal(&p->dst, dst))
		return net->mtu;
	return min_u32(p->mtu, net->mtu);
}

void ip_pmtu_learn(struct net *net, const union ip_addr *dst, uint32_t mtu)
{
	struct pmtu *p = pmtu_slot(net, dst);

	mtu = max_u32(mtu, ip_addr_is_v4(dst) ? PMTU_LEAST4 : PMTU_LEAST6);
	if (mtu >= ip_pmtu(net, dst))
		return;
	*p = (struct pmtu){.dst = *dst, .mtu = mtu, .expires_ns = net->now_ns + PMTU_NS};
}

/* ---- output ---- */

/* The five words of a header without options, whose checksum field is zero. */
static uint16_t ip4_header_checksum(const struct wire_ip4 *header)
{
	uint32_t w[5];

	__builtin_memcpy(w, header, sizeof(w));
	return csum_finish((uint64_t)w[0] + w[1] + w[2] + w[3] + w[4]);
}

static uint8_t *ip4_header_write(struct net *net, const struct ip_out *ip, uint8_t *at)
{
	struct wire_ip4 *header = (void *)at;

	header->version_ihl = 0x45;
	header->tos = ip->tos;
	header->total_bytes = be16((uint16_t)(IP4_BYTES + ip->l4_bytes));
	header->id = be16(ip->frag != 0 ? ip->id : net->ip_id++);
	header->frag = be16((uint16_t)(ip->frag | (ip->dont_fragment ? IP4_FLAG_DF : 0)));
	header->ttl = ip->ttl != 0 ? ip->ttl : NET_DEFAULT_TTL;
	header->protocol = ip->protocol;
	header->checksum = 0;
	header->src = ip_addr_to_v4(ip->src);
	header->dst = ip_addr_to_v4(ip->dst);
	header->checksum = ip4_header_checksum(header);
	return at + IP4_BYTES;
}

static uint8_t *ip6_header_write(const struct ip_out *ip, uint8_t *at)
{
	struct wire_ip6 *header = (void *)at;

	header->version_class_flow = be32(6u << 28 | (uint32_t)ip->tos << 20);
	header->payload_bytes = be16((uint16_t)ip->l4_bytes);
	header->next = ip->protocol;
	header->hops = ip->ttl != 0 ? ip->ttl : NET_DEFAULT_TTL;
	__builtin_memcpy(header->src, ip->src->bytes, 16);
	__builtin_memcpy(header->dst, ip->dst->bytes, 16);
	return at + IP6_BYTES;
}

uint8_t *ip_begin(struct net *net, const struct ip_out *ip, unsigned int ranges, struct out *out)
{
	const struct route *route = ip->route;
	bool v4 = ip_addr_is_v4(ip->dst);
	uint8_t *at = link_begin(net, route->neigh, route->neigh != NULL ? NULL : route->mac,
				 v4 ? ETH_TYPE_IP4 : ETH_TYPE_IP6, ranges, out);

	if (at == NULL)
		return NULL;
	return v4 ? ip4_header_write(net, ip, at) : ip6_header_write(ip, at);
}

void ip_end(struct net *net, const struct ip_out *ip, struct out *out, uint32_t l4_inline_bytes)
{
	link_end(net, out, ip_header_bytes(ip->dst) + l4_inline_bytes);
}

unsigned int frag_list_count(const struct frag_list *list, uint32_t offset, uint32_t bytes)
{
	unsigned int count = 0;

	for (const struct frag *f = list->head; f != NULL && bytes > 0; f = f->next) {
		if (offset >= f->bytes) {
			offset -= f->bytes;
			continue;
		}
		bytes -= min_u32(f->bytes - offset, bytes);
		offset = 0;
		count++;
	}
	return count;
}

static int ip_send_whole(struct net *net, const struct ip_out *ip, const struct frag_list *l4)
{
	uint32_t header = ip_header_bytes(ip->dst);
	bool inlined = l4->bytes <= VIRTNET_HEADER_BYTES - LINK_HEADER_BYTES - header;
	unsigned int ranges = inlined ? 0 : frag_list_count(l4, 0, l4->bytes);
	struct out out;
	uint8_t *at = ip_begin(net, ip, ranges, &out);

	if (at == NULL)
		return -EAGAIN;
	if (ip->csum_offset != 0) {
		out.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		out.csum_start = (uint16_t)(ETH_BYTES + header);
		out.csum_offset = ip->csum_offset;
	}
	if (inlined)
		frag_list_peek(&net->pool, l4, 0, at, l4->bytes);
	else
		link_add_list(net, &out, l4, 0, l4->bytes);
	ip_end(net, ip, &out, inlined ? l4->bytes : 0);
	return 0;
}

/* One fragment: [offset, offset + bytes) of the list. */
static int ip_send_piece(struct net *net, const struct ip_out *whole, const struct frag_list *l4,
			 uint32_t offset, uint32_t bytes, uint32_t id)
{
	struct ip_out ip = *whole;
	bool more = offset + bytes < l4->bytes;
	bool v4 = ip_addr_is_v4(ip.dst);
	uint32_t inline_bytes = v4 ? 0 : 8;
	struct out out;
	uint8_t *at;

	ip.l4_bytes = bytes + inline_bytes;
	ip.dont_fragment = false;
	if (v4) {
		ip.frag = (uint16_t)(offset / 8 | (more ? IP4_FLAG_MF : 0));
		ip.id = (uint16_t)id;
	} else {
		ip.protocol = PROTO_FRAG6;
	}
	at = ip_begin(net, &ip, frag_list_count(l4, offset, bytes), &out);
	if (at == NULL)
		return -EAGAIN;
	if (!v4) {
		at[0] = whole->protocol;
		at[1] = 0;
		store_be16(at + 2, offset | (more ? 1 : 0));
		store_be32(at + 4, id);
	}
	link_add_list(net, &out, l4, offset, bytes);
	ip_end(net, &ip, &out, inline_bytes);
	return 0;
}

int ip_send_list(struct net *net, const struct ip_out *ip, const struct frag_list *l4)
{
	uint32_t room = ip->route->mtu - ip_header_bytes(ip->dst);
	uint32_t id;

	if (l4->bytes <= room)
		return ip_send_whole(net, ip, l4);
	if (ip->must_fit)
		return -EMSGSIZE;
	if (!ip_addr_is_v4(ip->dst))
		room -= 8;
	room &= ~7u;
	id = net->ip_id++;
	for (uint32_t offset = 0; offset < l4->bytes; offset += room) {
		int rc = ip_send_piece(net, ip, l4, offset, min_u32(room, l4->bytes - offset), id);

		if (rc != 0)
			return rc;
	}
	return 0;
}

uint32_t ip_header_rebuild(const struct ip_info *info, uint8_t *at)
{
	if (ip_addr_is_v4(&info->dst)) {
		struct wire_ip4 *ip = (void *)at;

		*ip = (struct wire_ip4){
			.version_ihl = 0x45,
			.tos = info->tos,
			.total_bytes =
				be16((uint16_t)(info->total_bytes - info->l4_offset + IP4_BYTES)),
			.id = (uint16_t)info->frag_id,
			.frag = info->dont_fragment ? be16(IP4_FLAG_DF) : 0,
			.ttl = info->ttl,
			.protocol = info->protocol,
			.src = ip_addr_to_v4(&info->src),
			.dst = ip_addr_to_v4(&info->dst),
		};
		ip->checksum = csum_finish(csum_add(0, ip, IP4_BYTES));
		return IP4_BYTES;
	}
	store_be32(at, 6u << 28 | (uint32_t)info->tos << 20);
	store_be16(at + 4, info->total_bytes - info->l4_offset);
	at[6] = info->protocol;
	at[7] = info->ttl;
	__builtin_memcpy(at + 8, info->src.bytes, 16);
	__builtin_memcpy(at + 24, info->dst.bytes, 16);
	return IP6_BYTES;
}

/* ---- input ---- */

void ip_deliver(struct net *net, struct pkt *pkt, const struct ip_info *info)
{
	bool raw = !list_empty(&net->raws) && raw_input(net, pkt, info);
	bool v4 = ip_addr_is_v4(&info->dst);

	if (info->protocol == PROTO_TCP)
		tcp_input(net, pkt, info);
	else if (info->protocol == PROTO_UDP || info->protocol == PROTO_UDPLITE)
		udp_input(net, pkt, info);
	else if (info->protocol == PROTO_ICMP && v4)
		icmp_input(net, pkt, info);
	else if (info->protocol == PROTO_ICMP6 && !v4)
		icmp6_input(net, pkt, info);
	else if (v4 && !raw)
		icmp_send_error(net, info, pkt, 3, 2, 0);
	else if (!v4 && !raw && info->protocol != PROTO_NONE6)
		icmp_send_error(net, info, pkt, 4, 1, 6);
}

/* The packet is for this instance: one of its addresses, or one for many. */
static bool ip_for_us(const struct net *net, const struct pkt *pkt, const struct ip_info *info)
{
	if (!pkt->loopback && (ip_addr_is_loopback(&info->dst) || ip_addr_is_loopback(&info->src)))
		return false;
	if (ip_is_local(net, &info->dst))
		return true;
	return ip_addr_is_multicast(&info->dst) || ip_is_broadcast(net, &info->dst);
}

void ip_input(struct net *net, struct pkt *pkt, uint16_t type)
{
	struct ip_info info;
	const struct frag *head = pkt->data.head;
	const uint8_t *data;
	int rc;

	if (head == NULL) {
		net->stats.rx_malformed++;
		return;
	}
	data = frag_data(&net->pool, head);
	if (type == ETH_TYPE_IP4)
		rc = wire_ip4_parse(data, head->bytes, pkt->data.bytes, &info);
	else
		rc = wire_ip6_parse(data, head->bytes, pkt->data.bytes, &info);
	if (rc != 0 || info.l4_offset > info.total_bytes) {
		net->stats.rx_malformed++;
		return;
	}
	if (!ip_for_us(net, pkt, &info) || ip_addr_is_multicast(&info.src) ||
	    ip_is_broadcast(net, &info.src))
		return;
	/* what Ethernet padded is not the packet's */
	frag_list_trim(&net->pool, &pkt->data, info.total_bytes);
	frag_list_pull(&net->pool, &pkt->data, info.l4_offset);
	if (info.fragment && !reassembly_add(net, pkt, &info))
		return;
	ip_deliver(net, pkt, &info);
}
