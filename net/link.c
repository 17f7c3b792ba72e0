/*
 * Ethernet frames, ARP, and the table of neighbours.
 *
 * The table is a set-associative cache of fixed size: a flood of addresses displaces entries and
 * never grows anything. An entry is used until it has not been confirmed for NEIGH_STALE_NS, then
 * asked for again while it is still used, and given up after NEIGH_PROBES requests.
 */
#include "net/env.h"
#include "net/stack.h"

#define ARP_REQUEST 1u
#define ARP_REPLY 2u
#define ARP_BYTES 28u

#define NEIGH_STALE_NS (30 * NSEC_PER_SEC)
#define NEIGH_RETRY_NS NSEC_PER_SEC
#define NEIGH_PROBES 3u

static const uint8_t mac_broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void neigh_timer_fire(struct net *net, struct net_timer *timer);

void link_init(struct net *net)
{
	net_timer_init(&net->neigh_timer, neigh_timer_fire);
}

void link_finish(struct net *net)
{
	for (unsigned int i = 0; i < NET_NEIGH_SETS * NET_NEIGH_WAYS; i++)
		frag_list_free(&net->pool, &net->neighs[i].pending);
}

/* ---- sending frames ---- */

uint8_t *link_begin(struct net *net, struct neigh *neigh, const uint8_t *mac, uint16_t type,
		    unsigned int ranges, struct out *out)
{
	struct wire_eth *eth;

	*out = (struct out){.page = BUF_NONE};
	if (neigh != NULL && neigh->state != NEIGH_KNOWN) {
		out->page = buf_page_alloc(&net->pool, false);
		if (out->page == BUF_NONE)
			return NULL;
		out->neigh = neigh;
		out->frame = buf_page(&net->pool, out->page);
		out->page_bytes = VIRTNET_HEADER_BYTES;
		mac = mac_broadcast; /* filled in when it is known */
	} else {
		out->frame = virtnet_tx_begin(net, ranges, &out->tx);
		if (out->frame == NULL)
			return NULL;
	}
	eth = (void *)(out->frame + VIRTNET_VNET_BYTES);
	__builtin_memcpy(eth->dst, mac != NULL ? mac : neigh->mac, 6);
	__builtin_memcpy(eth->src, net->mac, 6);
	eth->type = be16(type);
	return out->frame + LINK_HEADER_BYTES;
}

void link_add(struct net *net, struct out *out, uint32_t page, uint32_t offset, uint32_t bytes)
{
	out->payload_bytes += bytes;
	if (out->neigh == NULL) {
		virtnet_tx_add(net, &out->tx, page, offset, bytes);
		return;
	}
	if (bytes > BUF_BYTES - out->page_bytes) {
		out->too_big = true;
		return;
	}
	memcpy(out->frame + out->page_bytes, buf_page(&net->pool, page) + offset, bytes);
	out->page_bytes += bytes;
}

void link_add_list(struct net *net, struct out *out, const struct frag_list *list, uint32_t offset,
		   uint32_t bytes)
{
	for (const struct frag *f = list->head; f != NULL && bytes > 0; f = f->next) {
		uint32_t part;

		if (offset >= f->bytes) {
			offset -= f->bytes;
			continue;
		}
		part = min_u32(f->bytes - offset, bytes);
		link_add(net, out, f->page, f->offset + offset, part);
		bytes -= part;
		offset = 0;
	}
}

static void link_pend(struct net *net, struct out *out, uint32_t header_bytes)
{
	struct neigh *neigh = out->neigh;
	struct frag *frag;

	frag = neigh->pending_count < NET_NEIGH_PENDING && !out->too_big ? frag_alloc(&net->pool) :
									   NULL;
	if (frag == NULL) {
		buf_page_unref(&net->pool, out->page);
		return;
	}
	/* header and payload were written with a gap between them: close it */
	memmove(out->frame + header_bytes, out->frame + VIRTNET_HEADER_BYTES,
		out->page_bytes - VIRTNET_HEADER_BYTES);
	frag->page = out->page;
	frag->offset = 0;
	frag->bytes = (uint16_t)(out->page_bytes - VIRTNET_HEADER_BYTES + header_bytes);
	net->pool.meta[out->page].used = BUF_BYTES;
	frag_list_push(&neigh->pending, frag);
	neigh->pending_count++;
}

void link_end(struct net *net, struct out *out, uint32_t bytes)
{
	struct virtio_net_hdr_mrg_rxbuf *header = (void *)out->frame;

	header->hdr.flags = out->flags;
	header->hdr.gso_type = out->gso_type;
	header->hdr.hdr_len = out->gso_header_bytes;
	header->hdr.gso_size = out->gso_bytes;
	header->hdr.csum_start = out->csum_start;
	header->hdr.csum_offset = out->csum_offset;
	header->num_buffers = 0;
	bytes += LINK_HEADER_BYTES;
	if (out->neigh != NULL)
		link_pend(net, out, bytes);
	else
		virtnet_tx_end(net, &out->tx, bytes,
			       bytes - VIRTNET_VNET_BYTES + out->payload_bytes);
}

/* ---- ARP ---- */

static void arp_send(struct net *net, uint16_t op, const uint8_t *to_mac, const uint8_t *target_mac,
		     uint32_t target_ip)
{
	struct out out;
	struct wire_arp *arp = (void *)link_begin(net, NULL, to_mac, ETH_TYPE_ARP, 0, &out);

	if (arp == NULL)
		return;
	arp->hw_type = be16(1);
	arp->proto_type = be16(ETH_TYPE_IP4);
	arp->hw_bytes = 6;
	arp->proto_bytes = 4;
	arp->op = be16(op);
	__builtin_memcpy(arp->sender_mac, net->mac, 6);
	arp->sender_ip = ip_addr_to_v4(&net->ip);
	__builtin_memcpy(arp->target_mac, target_mac, 6);
	arp->target_ip = target_ip;
	link_end(net, &out, ARP_BYTES);
}

static void arp_input(struct net *net, const struct pkt *pkt)
{
	static const uint8_t zero[6];
	struct wire_arp arp;
	union ip_addr sender;
	bool for_us;

	if (pkt->data.head == NULL || pkt->data.head->bytes < sizeof(arp)) {
		net->stats.rx_malformed++;
		return;
	}
	__builtin_memcpy(&arp, frag_data(&net->pool, pkt->data.head), sizeof(arp));
	if (arp.hw_type != be16(1) || arp.proto_type != be16(ETH_TYPE_IP4) || arp.hw_bytes != 6 ||
	    arp.proto_bytes != 4 || arp.sender_mac[0] & 1 || memcmp(arp.sender_mac, zero, 6) == 0)
		return;
	sender = ip_addr_v4(arp.sender_ip);
	for_us = arp.target_ip == ip_addr_to_v4(&net->ip);
	/* someone else's claim on our own address changes nothing */
	if (arp.sender_ip == ip_addr_to_v4(&net->ip))
		return;
	if (arp.sender_ip != 0)
		neigh_learn(net, &sender, arp.sender_mac, for_us);
	if (for_us && arp.op == be16(ARP_REQUEST))
		arp_send(net, ARP_REPLY, arp.sender_mac, arp.sender_mac, arp.sender_ip);
}

/* ---- neighbours ---- */

static void neigh_request(struct net *net, struct neigh *neigh)
{
	static const uint8_t zero[6];
	const uint8_t *mac = neigh->state == NEIGH_KNOWN ? neigh->mac : NULL;

	neigh->probes++;
	if (ip_addr_is_v4(&neigh->addr))
		arp_send(net, ARP_REQUEST, mac != NULL ? mac : mac_broadcast, zero,
			 ip_addr_to_v4(&neigh->addr));
	else
		icmp6_send_ns(net, &neigh->addr, mac);
	if (!net_timer_armed(&net->neigh_timer))
		net_timer_arm(&net->wheel, &net->neigh_timer, net->now_ns + NEIGH_RETRY_NS);
}

static struct neigh *neigh_set(struct net *net, const union ip_addr *addr)
{
	return &net->neighs[net_hash(net, addr, addr, 0) % NET_NEIGH_SETS * NET_NEIGH_WAYS];
}

static struct neigh *neigh_find(struct net *net, const union ip_addr *addr)
{
	struct neigh *set = neigh_set(net, addr);

	for (unsigned int i = 0; i < NET_NEIGH_WAYS; i++)
		if (set[i].state != NEIGH_FREE && ip_addr_equal(&set[i].addr, addr))
			return &set[i];
	return NULL;
}

static struct neigh *neigh_claim(struct net *net, const union ip_addr *addr)
{
	struct neigh *set = neigh_set(net, addr);
	struct neigh *oldest = &set[0];

	for (unsigned int i = 0; i < NET_NEIGH_WAYS; i++) {
		if (set[i].state == NEIGH_FREE) {
			oldest = &set[i];
			break;
		}
		if (set[i].used_ns < oldest->used_ns)
			oldest = &set[i];
	}
	frag_list_free(&net->pool, &oldest->pending);
	*oldest = (struct neigh){.addr = *addr, .state = NEIGH_INCOMPLETE};
	oldest->used_ns = net->now_ns;
	return oldest;
}

struct neigh *neigh_get(struct net *net, const union ip_addr *addr)
{
	struct neigh *neigh = neigh_find(net, addr);

	if (neigh == NULL) {
		neigh = neigh_claim(net, addr);
		neigh_request(net, neigh);
		return neigh;
	}
	neigh->used_ns = net->now_ns;
	if (neigh->state == NEIGH_KNOWN && neigh->probes == 0 &&
	    net->now_ns - neigh->confirmed_ns > NEIGH_STALE_NS)
		neigh_request(net, neigh);
	return neigh;
}

/* Sends what waited for the MAC: frames that lie whole in a page each. */
static void neigh_send_pending(struct net *net, struct neigh *neigh)
{
	for (struct frag *f = neigh->pending.head; f != NULL; f = f->next) {
		struct virtnet_tx tx;
		uint8_t *slot = virtnet_tx_begin(net, 1, &tx);
		uint8_t *frame = frag_data(&net->pool, f);
		struct wire_eth *eth = (void *)(frame + VIRTNET_VNET_BYTES);

		if (slot == NULL)
			break;
		__builtin_memcpy(eth->dst, neigh->mac, 6);
		__builtin_memcpy(slot, frame, VIRTNET_VNET_BYTES);
		virtnet_tx_add(net, &tx, f->page, VIRTNET_VNET_BYTES,
			       f->bytes - VIRTNET_VNET_BYTES);
		virtnet_tx_end(net, &tx, VIRTNET_VNET_BYTES, f->bytes - VIRTNET_VNET_BYTES);
	}
	frag_list_free(&net->pool, &neigh->pending);
	neigh->pending_count = 0;
}

void neigh_learn(struct net *net, const union ip_addr *addr, const uint8_t mac[6], bool create)
{
	struct neigh *neigh = neigh_find(net, addr);

	if (neigh == NULL && create)
		neigh = neigh_claim(net, addr);
	if (neigh == NULL)
		return;
	__builtin_memcpy(neigh->mac, mac, 6);
	neigh->state = NEIGH_KNOWN;
	neigh->probes = 0;
	neigh->confirmed_ns = net->now_ns;
	neigh_send_pending(net, neigh);
}

void neigh_advertised(struct net *net, const union ip_addr *addr, const uint8_t *mac, uint8_t flags)
{
	struct neigh *neigh = neigh_find(net, addr);
	bool other;

	if (neigh == NULL || (neigh->state != NEIGH_KNOWN && mac == NULL))
		return;
	other = neigh->state == NEIGH_KNOWN && mac != NULL && memcmp(neigh->mac, mac, 6) != 0;
	if (other && !(flags & NEIGH_FLAG_OVERRIDE)) {
		/* it may have moved: asked before it is used again for long */
		neigh->confirmed_ns = net->now_ns - NEIGH_STALE_NS - 1;
		return;
	}
	neigh_learn(net, addr, mac != NULL ? mac : neigh->mac, false);
	if (!(flags & NEIGH_FLAG_SOLICITED))
		neigh->confirmed_ns = net->now_ns - NEIGH_STALE_NS - 1;
}

/* Asks again for those that did not answer, and gives up after some. */
static void neigh_timer_fire(struct net *net, struct net_timer *timer)
{
	bool again = false;

	for (unsigned int i = 0; i < NET_NEIGH_SETS * NET_NEIGH_WAYS; i++) {
		struct neigh *neigh = &net->neighs[i];

		if (neigh->state == NEIGH_FREE || neigh->probes == 0)
			continue;
		if (neigh->probes >= NEIGH_PROBES) {
			frag_list_free(&net->pool, &neigh->pending);
			neigh->pending_count = 0;
			neigh->state = NEIGH_FREE;
			sock_host_unreachable(net, &neigh->addr);
			continue;
		}
		neigh_request(net, neigh);
		again = true;
	}
	if (again)
		net_timer_arm(&net->wheel, timer, net->now_ns + NEIGH_RETRY_NS);
}

/* ---- receiving frames ---- */

void link_input(struct net *net, struct pkt *pkt)
{
	struct wire_eth eth;

	if (pkt->data.head == NULL || pkt->data.head->bytes < sizeof(eth)) {
		if (pkt->data.head != NULL)
			net->stats.rx_malformed++;
		frag_list_free(&net->pool, &pkt->data);
		return;
	}
	__builtin_memcpy(&eth, frag_data(&net->pool, pkt->data.head), sizeof(eth));
	pkt->broadcast = eth.dst[0] & 1;
	if (!pkt->broadcast && memcmp(eth.dst, net->mac, 6) != 0) {
		frag_list_free(&net->pool, &pkt->data);
		return;
	}
	frag_list_pull(&net->pool, &pkt->data, sizeof(eth));
	switch (be16(eth.type)) {
	case ETH_TYPE_ARP:
		arp_input(net, pkt);
		break;
	case ETH_TYPE_IP4:
	case ETH_TYPE_IP6:
		ip_input(net, pkt, be16(eth.type));
		break;
	default:
		break;
	}
	frag_list_free(&net->pool, &pkt->data);
}
