/*
 * queue.c - frames out of transmit queues and into receive queues.
 *
 * What anybody will judge (the virtio-net header and the frame's first DPU_HEAD_BYTES) is copied to
 * private memory before it is looked at, and delivered from there; the payload behind it is copied
 * once, from the sender's buffer to the receiver's.
 */
#include "net/dpu/private.h"

#include <errno.h>
#include <string.h>

/* Both wrap counters of a packed ring start at 1 (virtio 1.2, section 2.8.1). */
#define PACKED_START (1U << VRING_PACKED_EVENT_F_WRAP_CTR)

/* Copies a queue's registers and binds it. 0 or enum dpu_reason. */
static int queue_bind(const struct dpu_port *port, struct dpu_vq *vq, const struct abi_netq *regs)
{
	struct abi_netq netq;
	struct dpu_ring ring;

	memcpy(&netq, regs, sizeof(netq));
	BARRIER(); /* what is checked is the copy */
	if (netq.size > ABI_NET_QUEUE_SIZE_MAX)
		return DPU_REASON_SIZE;
	ring = (struct dpu_ring){netq.size, netq.desc_off, netq.avail_off, netq.used_off, 0, 0};
	if (port->features & ABI_F_RING_PACKED)
		ring.next = ring.used = PACKED_START;
	return dpu_vq_bind(vq, &ring, port);
}

/* Copies the register block and binds all queues. 0 or enum dpu_reason. */
static int port_bind(struct dpu_port *port)
{
	const struct abi_netdev *dev = abi_netdev_of(port->config.window);
	uint64_t features = __atomic_load_n(&dev->driver_features, __ATOMIC_RELAXED);
	int reason;

	if ((features & ~DPU_FEATURES) || !(features & ABI_F_VERSION_1) ||
	    !(features & ABI_NET_F_GUEST_CSUM))
		return DPU_REASON_FEATURES;
	port->features = features;
	port->memory.nr_regions = 1;
	port->memory.region[0] = (struct dpu_region){
		.start = ABI_RINGS_OFF, /* the words in front of it are not for packets */
		.bytes = port->config.window_bytes - ABI_RINGS_OFF,
		.base = (uint8_t *)port->config.window + ABI_RINGS_OFF,
	};
	for (unsigned i = 0; i < port->config.nr_queue_pairs; i++) {
		reason = queue_bind(port, &port->rxq[i], &dev->queue[2 * i]);
		if (!reason)
			reason = queue_bind(port, &port->txq[i], &dev->queue[2 * i + 1]);
		if (reason)
			return reason;
	}
	return 0;
}

static void port_start(struct dpu_port *port)
{
	struct abi_netdev *dev = abi_netdev_of(port->config.window);
	int reason;

	if (!dpu_trylock(&port->start_lock))
		return;
	if (atomic_load_explicit(&port->started, memory_order_relaxed) == 0) {
		reason = port_bind(port);
		__atomic_store_n(&dev->device_reason, (uint32_t)reason, __ATOMIC_RELAXED);
		/* release: the driver that sees the status sees the reason */
		__atomic_store_n(&dev->device_status,
				 reason ? ABI_NET_S_FAILED : ABI_NET_S_DRIVER_OK, __ATOMIC_RELEASE);
		for (unsigned i = 0; reason && i < port->config.nr_queue_pairs; i++) {
			atomic_store_explicit(&port->txq[i].reason, reason, memory_order_relaxed);
			atomic_store_explicit(&port->rxq[i].reason, reason, memory_order_relaxed);
		}
		/* release: pairs with dpu_port_ready's acquire, for the bound rings */
		atomic_store_explicit(&port->started, reason ? 2 : 1, memory_order_release);
	}
	dpu_unlock(&port->start_lock);
}

/* Are the rings bound? Binds them when the driver has just said DRIVER_OK. */
bool dpu_port_ready(struct dpu_port *port)
{
	uint32_t started = atomic_load_explicit(&port->started, memory_order_acquire);
	const struct abi_netdev *dev = abi_netdev_of(port->config.window);

	if (likely(started))
		return started == 1;
	if (port->config.ipv4_be == 0 || !port->config.window)
		return false;
	/* acquire: pairs with the driver's release of its status */
	if (!(__atomic_load_n(&dev->driver_status, __ATOMIC_ACQUIRE) & ABI_NET_S_DRIVER_OK))
		return false;
	port_start(port);
	return atomic_load_explicit(&port->started, memory_order_acquire) == 1;
}

bool dpu_txq_pending(const struct dpu_port *port, unsigned queue)
{
	const struct dpu_vq *vq = &port->txq[queue];
	const struct abi_netdev *dev = abi_netdev_of(port->config.window);
	uint32_t started = atomic_load_explicit(&port->started, memory_order_acquire);

	if (started != 1)
		return started == 0 && port->config.ipv4_be && port->config.window &&
		       (__atomic_load_n(&dev->driver_status, __ATOMIC_RELAXED) &
			ABI_NET_S_DRIVER_OK);
	/* a hint: the poll that follows reads it again with acquire */
	if (atomic_load_explicit(&vq->reason, memory_order_relaxed) != DPU_REASON_NONE)
		return false;
	if (vq->packed)
		return dpu_packed_pending(vq, __atomic_load_n(&vq->next, __ATOMIC_RELAXED));
	return __atomic_load_n(&vq->avail->idx, __ATOMIC_RELAXED) !=
	       __atomic_load_n(&vq->next, __ATOMIC_RELAXED);
}

bool dpu_rxq_unseen(const struct dpu_port *port, unsigned queue)
{
	const struct dpu_vq *vq = &port->rxq[queue];
	uint16_t seen;

	if (atomic_load_explicit(&port->started, memory_order_acquire) != 1 ||
	    atomic_load_explicit(&vq->reason, memory_order_relaxed) != DPU_REASON_NONE)
		return false;
	/* acquire: what the driver wrote before it parked */
	if (vq->packed)
		seen = __atomic_load_n(&vq->driver_event->off_wrap, __ATOMIC_ACQUIRE);
	else
		seen = __atomic_load_n(&vq->avail->ring[vq->size], __ATOMIC_ACQUIRE);
	return seen != __atomic_load_n(&vq->used_at, __ATOMIC_RELAXED);
}

void dpu_txq_kicks_set(struct dpu_port *port, unsigned queue, bool wanted)
{
	struct dpu_vq *vq = &port->txq[queue];

	/* who holds the lock takes frames now, and asks for kicks itself before it sleeps */
	if (!dpu_port_ready(port) || !dpu_trylock(&vq->lock))
		return;
	if (atomic_load_explicit(&vq->reason, memory_order_relaxed) == DPU_REASON_NONE) {
		if (vq->packed)
			dpu_packed_kicks_set(vq, wanted);
		else
			dpu_split_kicks_set(vq, wanted);
	}
	dpu_unlock(&vq->lock);
}

/* Copies `bytes` from the front of the segment list, and shortens the list. */
static void segs_copy_out(struct dpu_frame *frame, void *dst, uint32_t bytes)
{
	struct dpu_seg *seg = frame->seg;
	uint8_t *to = dst;
	unsigned gone = 0;

	while (bytes) {
		uint32_t n = MIN(bytes, seg[gone].bytes);

		memcpy(to, seg[gone].base, n);
		to += n;
		bytes -= n;
		seg[gone].base += n;
		seg[gone].bytes -= n;
		if (seg[gone].bytes == 0)
			gone++;
	}
	frame->nr_segs -= gone;
	if (gone)
		memmove(seg, seg + gone, frame->nr_segs * sizeof(*seg));
}

/* Makes a frame of the next chain. 1, 0 if there is none, -EIO after stopping the queue. */
static int txq_take(struct dpu_port *port, struct dpu_vq *vq, uint16_t *inout_at,
		    struct dpu_frame *frame, struct dpu_chain *ret_chain)
{
	struct dpu_segs segs = {.seg = frame->seg, .max = DPU_CHAIN_MAX};
	uint64_t bytes = 0;
	int r = dpu_vq_peek(port, vq, inout_at, &segs, ret_chain);

	if (r <= 0)
		return r;
	for (unsigned i = 0; i < segs.nr; i++)
		bytes += frame->seg[i].bytes;
	if (bytes < DPU_HDR_BYTES) {
		dpu_vq_stop(port, vq, DPU_REASON_EMPTY);
		return -EIO;
	}
	frame->nr_segs = segs.nr;
	/* more than a frame can have is judged by its length, which the head does not change */
	frame->len = (uint32_t)MIN(bytes - DPU_HDR_BYTES, (uint64_t)UINT32_MAX);
	frame->head = frame->copy;
	frame->head_bytes = MIN(frame->len, DPU_HEAD_BYTES);
	segs_copy_out(frame, &frame->hdr, DPU_HDR_BYTES);
	segs_copy_out(frame, frame->head, frame->head_bytes);
	BARRIER(); /* from here on only the private copy is read */
	return 1;
}

/* May the queue's next frame pass, by its port's limits? Says until when not. */
static bool txq_within_limits(struct dpu_port *port, struct dpu_vq *vq, uint64_t now_ns)
{
	uint64_t ready_ns = dpu_limit_wait(&port->limit_tx, now_ns);

	if (likely(ready_ns == 0))
		return true;
	atomic_store_explicit(&vq->ready_ns, ready_ns, memory_order_relaxed);
	dpu_count_owned(&vq->waits, 1);
	return false;
}

/* Is it still time to wait for the limits? */
static bool txq_waits(struct dpu_vq *vq, uint64_t now_ns)
{
	uint64_t ready_ns = atomic_load_explicit(&vq->ready_ns, memory_order_relaxed);

	if (likely(ready_ns == 0))
		return false;
	if (now_ns < ready_ns)
		return true;
	atomic_store_explicit(&vq->ready_ns, 0, memory_order_relaxed);
	return false;
}

/* Takes frames until one of them has to stay; returns how many were taken. */
static unsigned txq_drain(struct dpu_port *port, struct dpu_vq *vq, unsigned core, unsigned budget)
{
	uint64_t now_ns = port->dpu->core[core].now_ns;
	struct dpu_frame frame;
	struct dpu_chain chain;
	unsigned taken = 0;

	vq->deficit = MIN(vq->deficit + DPU_QUANTUM, DPU_QUANTUM);
	while (taken < budget && vq->deficit > 0 &&
	       atomic_load_explicit(&vq->reason, memory_order_relaxed) == DPU_REASON_NONE) {
		uint16_t at = vq->next;
		uint32_t len;

		dpu_vq_prefetch(port, vq, at);
		if (txq_take(port, vq, &at, &frame, &chain) <= 0) {
			vq->deficit = 0; /* nothing is saved up for later */
			break;
		}
		len = frame.len;
		if (!txq_within_limits(port, vq, now_ns) ||
		    dpu_switch_from_port(port->dpu, core, port, vq, &frame) == DPU_BUSY)
			break;
		dpu_watch(port, &frame, DPU_CAPTURE_SENT);
		dpu_limit_take(&port->limit_tx, MIN(len, DPU_FRAME_MAX), now_ns);
		vq->deficit -= (int32_t)MIN(len, DPU_FRAME_MAX) + DPU_FRAME_COST;
		vq->next = at;
		dpu_vq_push(vq, chain, 0);
		dpu_count_owned(&vq->packets, 1);
		dpu_count_owned(&vq->bytes, len);
		taken++;
	}
	return taken;
}

unsigned dpu_txq_poll(struct dpu_port *port, unsigned queue, unsigned core, unsigned budget)
{
	struct dpu_vq *vq = &port->txq[queue];
	unsigned taken;

	if (txq_waits(vq, port->dpu->core[core].now_ns) || !dpu_port_ready(port) ||
	    !dpu_trylock(&vq->lock))
		return 0;
	taken = txq_drain(port, vq, core, budget);
	if (unlikely(atomic_load_explicit(&port->fault, memory_order_relaxed)))
		dpu_vq_stop(port, vq, DPU_REASON_FAULT);
	dpu_vq_publish(vq);
	dpu_unlock(&vq->lock);
	dpu_touched_flush(port->dpu, core);
	return taken;
}

/*
 * Finds receive buffers for `bytes` of frame and its virtio-net header. 0, -EAGAIN if the driver
 * has not given enough, -EIO after stopping the queue.
 */
int dpu_rxq_find(struct dpu_port *port, struct dpu_vq *rxq, uint32_t bytes,
		 struct dpu_room *ret_room)
{
	uint64_t need = (uint64_t)bytes + DPU_HDR_BYTES;
	uint64_t have = 0;
	unsigned max_heads = port->features & ABI_NET_F_MRG_RXBUF ? DPU_CHAIN_MAX : 1;

	if (unlikely(atomic_load_explicit(&port->fault, memory_order_relaxed)))
		dpu_vq_stop(port, rxq, DPU_REASON_FAULT);
	if (atomic_load_explicit(&rxq->reason, memory_order_relaxed) != DPU_REASON_NONE)
		return -EIO;
	ret_room->nr_heads = 0;
	ret_room->nr_segs = 0;
	ret_room->at = rxq->next;
	dpu_vq_prefetch(port, rxq, rxq->next);
	while (have < need) {
		unsigned h = ret_room->nr_heads;
		struct dpu_seg *seg = &ret_room->seg[ret_room->nr_segs];
		struct dpu_segs segs = {.seg = seg,
					.max = DPU_CHAIN_MAX - ret_room->nr_segs,
					.device_writes = true};
		int r;

		if (h == max_heads)
			return -EAGAIN;
		r = dpu_vq_peek(port, rxq, &ret_room->at, &segs, &ret_room->head[h]);
		if (r <= 0)
			return r == -EIO ? -EIO : -EAGAIN;
		if (h == 0 && seg->bytes < DPU_HDR_BYTES) {
			dpu_vq_stop(port, rxq, DPU_REASON_EMPTY);
			return -EIO;
		}
		for (unsigned i = 0; i < segs.nr; i++)
			have += seg[i].bytes;
		ret_room->segs_of[h] = (uint8_t)segs.nr;
		ret_room->nr_segs += segs.nr;
		ret_room->nr_heads++;
	}
	return 0;
}

/* The parts of a frame, one after the other, as they go into the receiver's buffers. */
struct source {
	const struct dpu_frame *frame;
	unsigned part; /* 0 header, 1 head, 2 + n payload segment n */
	const uint8_t *at;
	uint32_t left;
};

static void source_next(struct source *src)
{
	const struct dpu_frame *frame = src->frame;

	if (src->part == 0) {
		src->at = frame->head;
		src->left = frame->head_bytes;
	} else {
		src->at = frame->seg[src->part - 1].base;
		src->left = frame->seg[src->part - 1].bytes;
	}
	src->part++;
}

/* Fills one buffer; returns what fitted. */
static uint32_t buffer_fill(struct source *src, const struct dpu_seg *dst, uint64_t *inout_left)
{
	uint32_t done = 0;

	while (done < dst->bytes && *inout_left) {
		uint32_t n;

		while (src->left == 0)
			source_next(src);
		n = MIN(src->left, dst->bytes - done);
		memcpy(dst->base + done, src->at, n);
		src->at += n;
		src->left -= n;
		done += n;
		*inout_left -= n;
	}
	return done;
}

/* Copies the frame into the buffers found for it; the driver sees them at the poll's end. */
void dpu_rxq_put(struct dpu_vq *rxq, const struct dpu_room *room, struct dpu_frame *frame)
{
	uint64_t left = DPU_HDR_BYTES + (uint64_t)frame->len;
	struct source src = {.frame = frame, .at = (uint8_t *)&frame->hdr, .left = DPU_HDR_BYTES};
	unsigned s = 0;

	frame->hdr.num_buffers = (uint16_t)room->nr_heads;
	for (unsigned h = 0; h < room->nr_heads; h++) {
		uint32_t bytes = 0;

		for (unsigned end = s + room->segs_of[h]; s < end; s++)
			bytes += buffer_fill(&src, &room->seg[s], &left);
		dpu_vq_push(rxq, room->head[h], bytes);
	}
	rxq->next = room->at;
	dpu_count_owned(&rxq->packets, 1);
	dpu_count_owned(&rxq->bytes, frame->len);
}
