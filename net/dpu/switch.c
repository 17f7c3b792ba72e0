/*
 * switch.c - where a frame goes: to a port by its MAC, to a tenant's ports, or to the uplink.
 *
 * The order for every frame: does its virtio-net header agree with its bytes, may its receiver have
 * it now (if not, it stays in the sender's queue for a moment), the sender's filter, the receiver's
 * filter, the copy. So filters run exactly once for each frame that leaves a queue.
 */
#include "net/dpu/private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/ip6.h>
#include <string.h>

/* A receive queue whose lock is held until the poll ends, and buffers found in it. */
struct landing {
	struct dpu_vq *rxq;
	unsigned queue;
	struct dpu_room room;
};

/* Mixes addresses and ports; 0 for what is neither TCP nor UDP over IPv4. */
static uint32_t flow_hash(const struct dpu_frame *frame)
{
	const uint8_t *ip = frame->head + DPU_ETH_BYTES;
	uint64_t addresses, mix;
	uint32_t ports;
	uint16_t type;

	if (frame->head_bytes < DPU_ETH_BYTES + 24)
		return 0;
	memcpy(&type, frame->head + 12, sizeof(type));
	if (type != htons(ETHERTYPE_IP) || ip[0] != 0x45 ||
	    (ip[9] != IPPROTO_TCP && ip[9] != IPPROTO_UDP))
		return 0;
	memcpy(&addresses, ip + 12, sizeof(addresses));
	memcpy(&ports, ip + 20, sizeof(ports));
	mix = (addresses ^ ((uint64_t)ports << 16)) * 0x9e3779b97f4a7c15ULL;
	return (uint32_t)(mix >> 32);
}

static unsigned queue_choose(struct dpu_port *to, const struct dpu_frame *frame)
{
	unsigned nr = to->config.nr_queue_pairs;
	const struct dpu_ops *ops = &to->dpu->config.ops;
	uint32_t hash;

	if (nr == 1)
		return 0;
	hash = flow_hash(frame);
	return ops->steer && to->config.window ? ops->steer(to->config.owner, hash) % nr :
						 hash % nr;
}

/* Did the receiver's driver agree to take the frame with what is left to do for it? */
static bool can_take(const struct dpu_port *to, const struct dpu_frame *frame)
{
	if (frame->hdr.hdr.flags && !(to->features & ABI_NET_F_GUEST_CSUM))
		return false;
	switch (frame->hdr.hdr.gso_type) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return to->features & ABI_NET_F_GUEST_TSO4;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return to->features & ABI_NET_F_GUEST_TSO6;
	default:
		return false;
	}
}

/* What has to be found room for at once. */
static uint32_t landing_bytes(const struct dpu_port *to, const struct dpu_frame *frame)
{
	const struct virtio_net_hdr *hdr = &frame->hdr.hdr;

	if (hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE || can_take(to, frame))
		return frame->len;
	return MIN(frame->len, (uint32_t)hdr->hdr_len + hdr->gso_size);
}

/*
 * 0: it is found. -EBUSY: somebody else delivers there; -EAGAIN: no buffers; -EIO: nothing can be
 * received there.
 */
static int landing_find(struct dpu_core *core, struct dpu_port *to, const struct dpu_frame *frame,
			struct landing *ret_landing)
{
	struct dpu_vq *rxq;

	if (!dpu_port_ready(to))
		return -EIO;
	ret_landing->queue = queue_choose(to, frame);
	rxq = &to->rxq[ret_landing->queue];
	if (!dpu_touched(core, to, ret_landing->queue)) {
		if (!dpu_trylock(&rxq->lock))
			return -EBUSY;
		dpu_touch(core, to, ret_landing->queue);
	}
	ret_landing->rxq = rxq;
	return dpu_rxq_find(to, rxq, landing_bytes(to, frame), &ret_landing->room);
}

static void drop(struct dpu_port *port, bool tx, enum dpu_drop reason)
{
	dpu_count(tx ? &port->drops_tx[reason] : &port->drops_rx[reason], 1);
}

/* Does for the receiver what it cannot: one finished frame, or some. False: they found no room. */
static bool put_finished(struct dpu_port *to, struct landing *landing, struct dpu_frame *frame)
{
	struct dpu_frame segment;
	uint32_t index = 0;

	if (frame->hdr.hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		dpu_csum_finish(frame);
		dpu_rxq_put(landing->rxq, &landing->room, frame);
		return true;
	}
	while (dpu_segment_next(frame, &index, &segment)) {
		if (dpu_rxq_find(to, landing->rxq, segment.len, &landing->room))
			return false;
		dpu_rxq_put(landing->rxq, &landing->room, &segment);
	}
	return true;
}

/* Runs the receiver's filter, which may change the frame, and copies. */
static void land(struct dpu *dpu, unsigned core, struct dpu_port *from, struct dpu_port *to,
		 struct landing *landing, struct dpu_frame *frame)
{
	struct dpu_vq *rxq = landing->rxq;
	uint32_t len = frame->len;
	enum dpu_drop reason;
	bool pass;

	pass = dpu_filter_ingress(to, frame, from, dpu->core[core].now_ns, &rxq->filter_runs,
				  &reason);
	if (pass && frame->len != len &&
	    dpu_rxq_find(to, rxq, landing_bytes(to, frame), &landing->room)) {
		reason = DPU_DROP_RX_FULL;
		pass = false;
	}
	if (pass && dpu_limit_wait(&to->limit_rx, dpu->core[core].now_ns)) {
		reason = DPU_DROP_LIMIT;
		pass = false;
	}
	if (pass) {
		dpu_limit_take(&to->limit_rx, frame->len, dpu->core[core].now_ns);
		dpu_watch(to, frame, DPU_CAPTURE_RECEIVED);
		if (likely(can_take(to, frame)))
			dpu_rxq_put(rxq, &landing->room, frame);
		else if (!put_finished(to, landing, frame))
			drop(to, false, DPU_DROP_RX_FULL); /* the rest of it */
	} else
		drop(to, false, reason);
}

/* Finds a landing or counts why there is none; for frames that nobody holds back. */
static void deliver_now(struct dpu *dpu, unsigned core, struct dpu_port *from, struct dpu_port *to,
			struct dpu_frame *frame)
{
	struct landing landing;
	int r = landing_find(&dpu->core[core], to, frame, &landing);

	if (r == 0)
		land(dpu, core, from, to, &landing, frame);
	else
		drop(to, false, r == -EIO ? DPU_DROP_RX_DOWN : DPU_DROP_RX_FULL);
}

/* One of several receivers: what its filter makes of the frame is for it alone. */
static void deliver_copy(struct dpu *dpu, unsigned core, struct dpu_port *from, struct dpu_port *to,
			 struct dpu_frame *frame)
{
	struct dpu_frame own;

	if (!dpu_filter_changes_ingress(to)) {
		deliver_now(dpu, core, from, to, frame);
		return;
	}
	own = *frame; /* frames of ports have their head in themselves */
	own.head = own.room + (frame->head - frame->room);
	deliver_now(dpu, core, from, to, &own);
}

/* May the frame still wait for its receiver? Starts the clock at the first call. */
static bool hold(uint64_t *since_ns, uint64_t now_ns)
{
	if (*since_ns == 0)
		*since_ns = now_ns;
	return now_ns - *since_ns < DPU_HOLD_NS;
}

static void forward(struct dpu *dpu, unsigned core, const struct dpu_table *table,
		    struct dpu_port *from, uint32_t redirect, struct dpu_frame *frame);

static enum dpu_outcome unicast(struct dpu *dpu, unsigned core, const struct dpu_table *table,
				struct dpu_port *from, struct dpu_vq *txq, struct dpu_port *to,
				struct dpu_frame *frame)
{
	uint64_t now_ns = dpu->core[core].now_ns;
	uint32_t redirect, len = frame->len;
	struct landing landing;
	enum dpu_drop reason;
	int r = landing_find(&dpu->core[core], to, frame, &landing);

	if ((r == -EBUSY || r == -EAGAIN) && hold(&txq->held_since_ns, now_ns))
		return DPU_BUSY;
	txq->held_since_ns = 0;
	if (!dpu_filter_egress(from, frame, now_ns, &txq->filter_runs, &redirect, &reason)) {
		drop(from, true, reason);
		return DPU_DONE;
	}
	if (unlikely(redirect || frame->len != len || dpu_mac_key(frame->head) != to->mac_key)) {
		forward(dpu, core, table, from, redirect, frame);
		return DPU_DONE;
	}
	if (r == 0)
		land(dpu, core, from, to, &landing, frame);
	else
		drop(to, false, r == -EIO ? DPU_DROP_RX_DOWN : DPU_DROP_RX_FULL);
	return DPU_DONE;
}

static void to_uplink(struct dpu *dpu, struct dpu_port *from, const struct dpu_frame *frame)
{
	/* acquire: pairs with the release in dpu_uplink_attach_tap */
	struct dpu_uplink *uplink = atomic_load_explicit(&dpu->uplink, memory_order_acquire);

	if (!uplink)
		drop(from, true, DPU_DROP_NO_PORT);
	else if (dpu_uplink_send(uplink, frame) < 0)
		drop(from, true, DPU_DROP_UPLINK_FULL);
}

/* Broadcast and multicast: to the sender's tenant, and out. */
static void flood(struct dpu *dpu, unsigned core, const struct dpu_table *table,
		  struct dpu_port *from, struct dpu_frame *frame)
{
	unsigned receivers = 0;

	for (unsigned i = 0; i < table->nr_ports && receivers < DPU_GROUP_MAX; i++) {
		struct dpu_port *to = table->port[i];

		if (to == from || to->config.tenant != from->config.tenant)
			continue;
		deliver_copy(dpu, core, from, to, frame);
		receivers++;
	}
	to_uplink(dpu, from, frame);
}

/* A request that the sender's filter let pass. */
static void arp_request(struct dpu *dpu, unsigned core, const struct dpu_table *table,
			struct dpu_port *from, const struct dpu_arp *arp, struct dpu_frame *frame)
{
	struct dpu_port *target = dpu_table_by_ip(table, arp->target_ip_be);
	struct dpu_frame reply;

	if (!target && dpu->config.service_ip_be &&
	    arp->target_ip_be == dpu->config.service_ip_be) {
		dpu_arp_reply(arp, dpu_service_mac, &reply);
		deliver_now(dpu, core, NULL, from, &reply);
		return;
	}
	if (!target) {
		to_uplink(dpu, from, frame);
		return;
	}
	if (target == from)
		return; /* an announcement: everybody learns from the table */
	if (target->config.tenant != from->config.tenant) {
		drop(from, true, DPU_DROP_TENANT);
		return;
	}
	dpu_arp_reply(arp, target->config.mac, &reply);
	deliver_now(dpu, core, target, from, &reply);
}

/* The same for IPv6. What is none of ours may be somebody's beyond the uplink. */
static void nd_solicit(struct dpu *dpu, unsigned core, const struct dpu_table *table,
		       struct dpu_port *from, const struct dpu_nd *nd, struct dpu_frame *frame)
{
	struct dpu_port *target = dpu_table_by_ip6(table, nd->target_ip);
	struct dpu_frame reply;

	if (!target) {
		to_uplink(dpu, from, frame);
		return;
	}
	if (target == from)
		return;
	if (target->config.tenant != from->config.tenant) {
		drop(from, true, DPU_DROP_TENANT);
		return;
	}
	dpu_nd_reply(nd, target->config.mac, &reply);
	deliver_now(dpu, core, target, from, &reply);
}

/* To the handle's instance; the operator may have named one that went, or another tenant's. */
static void follow_handle(struct dpu *dpu, unsigned core, const struct dpu_table *table,
			  struct dpu_port *from, uint32_t redirect, struct dpu_frame *frame)
{
	struct dpu_port *to = dpu_table_by_id(table, redirect);

	if (!to)
		drop(from, true, DPU_DROP_NO_PORT);
	else if (to->config.tenant != from->config.tenant)
		drop(from, true, DPU_DROP_TENANT);
	else
		deliver_now(dpu, core, from, to, frame);
}

/*
 * The port that has the frame's IP address, whose MAC is not the frame's: the sender knew the
 * address when another instance had it. NULL: none of ours has it.
 */
static struct dpu_port *new_owner(const struct dpu_table *table, const struct dpu_frame *frame)
{
	const uint8_t *ip = frame->head + DPU_ETH_BYTES;
	uint16_t type;
	uint32_t ipv4;

	if (frame->head_bytes < DPU_ETH_BYTES + sizeof(struct ip6_hdr))
		return NULL;
	memcpy(&type, frame->head + 12, sizeof(type));
	memcpy(&ipv4, ip + 16, sizeof(ipv4));
	if (type == htons(ETHERTYPE_IP))
		return dpu_table_by_ip(table, ipv4);
	return type == htons(ETHERTYPE_IPV6) ? dpu_table_by_ip6(table, ip + 24) : NULL;
}

/* "This address is at that MAC now", for whoever sent the frame. */
static void announce_make(const struct dpu_port *owner, const struct dpu_frame *frame,
			  struct dpu_frame *ret_announce)
{
	const uint8_t *ip = frame->head + DPU_ETH_BYTES;

	if (ip[0] >> 4 == 4) {
		struct dpu_arp arp;

		memcpy(arp.sender_mac, frame->head + 6, sizeof(arp.sender_mac));
		memcpy(&arp.sender_ip_be, ip + 12, sizeof(arp.sender_ip_be));
		memcpy(&arp.target_ip_be, ip + 16, sizeof(arp.target_ip_be));
		dpu_arp_reply(&arp, owner->config.mac, ret_announce);
	} else {
		struct dpu_nd nd;

		memcpy(nd.sender_mac, frame->head + 6, sizeof(nd.sender_mac));
		memcpy(nd.sender_ip, ip + 8, sizeof(nd.sender_ip));
		memcpy(nd.target_ip, ip + 24, sizeof(nd.target_ip));
		dpu_nd_reply(&nd, owner->config.mac, ret_announce);
	}
}

/* To a MAC that nobody has. An address that has a new owner is told, and the frame not lost. */
static void to_unknown(struct dpu *dpu, unsigned core, const struct dpu_table *table,
		       struct dpu_port *from, struct dpu_frame *frame)
{
	struct dpu_port *owner = new_owner(table, frame);
	struct dpu_frame announce;

	if (!owner || owner == from || owner->config.tenant != from->config.tenant) {
		to_uplink(dpu, from, frame);
		return;
	}
	announce_make(owner, frame, &announce);
	memcpy(frame->head, owner->config.mac, sizeof(owner->config.mac));
	deliver_now(dpu, core, from, owner, frame);
	deliver_now(dpu, core, owner, from, &announce);
}

/* A frame for none of the ports: a question to the DPU itself, or one for the uplink. */
static void to_nobody(struct dpu *dpu, unsigned core, const struct dpu_table *table,
		      struct dpu_port *from, struct dpu_frame *frame)
{
	uint8_t packet[DPU_SERVICE_BYTES];
	struct dpu_frame reply;

	if (dpu->config.service_ip_be &&
	    dpu_service_answer(dpu, table, from, frame, packet, &reply))
		deliver_now(dpu, core, NULL, from, &reply);
	else if (dpu->config.service_ip_be && !memcmp(frame->head, dpu_service_mac, 6))
		drop(from, true, DPU_DROP_NO_PORT);
	else
		to_unknown(dpu, core, table, from, frame);
}

/* Where a frame goes that the sender's filter let pass, as it is now. */
static void forward(struct dpu *dpu, unsigned core, const struct dpu_table *table,
		    struct dpu_port *from, uint32_t redirect, struct dpu_frame *frame)
{
	struct dpu_arp arp;
	struct dpu_nd nd;
	struct dpu_port *to;

	if (redirect) {
		follow_handle(dpu, core, table, from, redirect, frame);
		return;
	}
	if (frame->head[0] & 1) {
		if (dpu_arp_is_request(frame, &arp))
			arp_request(dpu, core, table, from, &arp, frame);
		else if (dpu_nd_is_solicit(frame, &nd))
			nd_solicit(dpu, core, table, from, &nd, frame);
		else
			flood(dpu, core, table, from, frame);
		return;
	}
	to = dpu_table_by_mac(table, dpu_mac_key(frame->head));
	if (to == from)
		drop(from, true, DPU_DROP_NO_PORT);
	else if (to && to->config.tenant != from->config.tenant)
		drop(from, true, DPU_DROP_TENANT); /* whatever the filters say */
	else if (to)
		deliver_now(dpu, core, from, to, frame);
	else
		to_nobody(dpu, core, table, from, frame);
}

/* The caller holds txq's lock. */
enum dpu_outcome dpu_switch_from_port(struct dpu *dpu, unsigned core, struct dpu_port *from,
				      struct dpu_vq *txq, struct dpu_frame *frame)
{
	/* acquire: pairs with the release in table_replace */
	const struct dpu_table *table = atomic_load_explicit(&dpu->table, memory_order_acquire);
	enum dpu_drop reason;
	struct dpu_port *to;
	uint32_t redirect;

	if (dpu_offload_check(frame, from->config.mtu, &reason)) {
		drop(from, true, reason);
		return DPU_DONE;
	}
	to = frame->head[0] & 1 ? NULL : dpu_table_by_mac(table, dpu_mac_key(frame->head));
	if (to && to != from && to->config.tenant == from->config.tenant)
		return unicast(dpu, core, table, from, txq, to, frame);
	if (!dpu_filter_egress(from, frame, dpu->core[core].now_ns, &txq->filter_runs, &redirect,
			       &reason))
		drop(from, true, reason);
	else
		forward(dpu, core, table, from, redirect, frame);
	return DPU_DONE;
}

/* A request for one of our instances is answered on the spot. */
static void arp_from_uplink(const struct dpu_table *table, struct dpu_uplink *uplink,
			    const struct dpu_arp *arp)
{
	struct dpu_port *target = dpu_table_by_ip(table, arp->target_ip_be);
	struct dpu_frame reply;

	if (!target)
		return;
	dpu_arp_reply(arp, target->config.mac, &reply);
	if (dpu_uplink_send(uplink, &reply) < 0)
		dpu_uplink_drop(uplink, DPU_DROP_UPLINK_FULL);
}

static void nd_from_uplink(const struct dpu_table *table, struct dpu_uplink *uplink,
			   const struct dpu_nd *nd)
{
	struct dpu_port *target = dpu_table_by_ip6(table, nd->target_ip);
	struct dpu_frame reply;

	if (!target)
		return;
	dpu_nd_reply(nd, target->config.mac, &reply);
	if (dpu_uplink_send(uplink, &reply) < 0)
		dpu_uplink_drop(uplink, DPU_DROP_UPLINK_FULL);
}

enum dpu_outcome dpu_switch_from_uplink(struct dpu *dpu, unsigned core, struct dpu_uplink *uplink,
					struct dpu_frame *frame)
{
	const struct dpu_table *table = atomic_load_explicit(&dpu->table, memory_order_acquire);
	struct dpu_frame announce;
	struct landing landing;
	struct dpu_arp arp;
	struct dpu_nd nd;
	struct dpu_port *to;
	int r;

	if (frame->len < DPU_ETH_BYTES) {
		dpu_uplink_drop(uplink, DPU_DROP_LENGTH);
		return DPU_DONE;
	}
	if (dpu_arp_is_request(frame, &arp)) {
		/* also one to the instance itself, by which the kernel makes sure: it need not wake
		 */
		arp_from_uplink(table, uplink, &arp);
		return DPU_DONE;
	}
	if ((frame->head[0] & 1) && dpu_nd_is_solicit(frame, &nd)) {
		nd_from_uplink(table, uplink, &nd);
		return DPU_DONE;
	}
	if (frame->head[0] & 1) {
		dpu_uplink_drop(uplink, DPU_DROP_UPLINK_GROUP);
		return DPU_DONE;
	}
	to = dpu_table_by_mac(table, dpu_mac_key(frame->head));
	if (!to) {
		to = new_owner(table, frame);
		if (!to) {
			dpu_uplink_drop(uplink, DPU_DROP_NO_PORT);
			return DPU_DONE;
		}
		announce_make(to, frame, &announce);
		memcpy(frame->head, to->config.mac, sizeof(to->config.mac));
		if (dpu_uplink_send(uplink, &announce) < 0)
			dpu_uplink_drop(uplink, DPU_DROP_UPLINK_FULL);
	}
	r = landing_find(&dpu->core[core], to, frame, &landing);
	if (r == -EBUSY || r == -EAGAIN)
		return DPU_BUSY;
	if (r == 0)
		land(dpu, core, NULL, to, &landing, frame);
	else
		drop(to, false, DPU_DROP_RX_DOWN);
	return DPU_DONE;
}
