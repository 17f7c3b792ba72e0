/*
 * vq.c - split virtqueues (virtio 1.2, section 2.7) as a device that believes nothing reads them.
 *
 * Every word that the driver writes is read once into a local and checked there. A wrong one stops
 * the queue for good, with a reason; the driver's window is the only thing that it can spoil.
 */
#include "net/dpu/private.h"

#include <errno.h>

/* Is [offset, offset + bytes) inside the part of the window that rings and buffers may use? */
static bool range_ok(const struct dpu_port *port, uint64_t offset, uint64_t bytes)
{
	uint64_t end = port->config.window_bytes;

	return offset >= ABI_RINGS_OFF && offset <= end && bytes <= end - offset;
}

void dpu_vq_stop(struct dpu_port *port, struct dpu_vq *vq, enum dpu_reason reason)
{
	struct abi_netdev *dev = abi_netdev_of(port->config.window);

	atomic_store_explicit(&vq->reason, reason, memory_order_relaxed);
	__atomic_store_n(&dev->device_reason, reason, __ATOMIC_RELAXED);
	/* release: whoever sees the status sees the reason */
	__atomic_store_n(&dev->device_status, ABI_NET_S_DRIVER_OK | ABI_NET_S_NEEDS_RESET,
			 __ATOMIC_RELEASE);
}

/* `netq` is a private copy. 0 or enum dpu_reason. */
int dpu_vq_bind(struct dpu_vq *vq, const struct abi_netq *netq, const struct dpu_port *port)
{
	char *window = port->config.window;
	uint64_t size = netq->size;

	if (size == 0 || size > ABI_NET_QUEUE_SIZE_MAX || (size & (size - 1)))
		return DPU_REASON_SIZE;
	if (netq->desc_off % 16 || netq->avail_off % 2 || netq->used_off % 4 ||
	    !range_ok(port, netq->desc_off, size * sizeof(struct vring_desc)) ||
	    !range_ok(port, netq->avail_off, sizeof(struct vring_avail) + size * 2 + 2) ||
	    !range_ok(port, netq->used_off,
		      sizeof(struct vring_used) + size * sizeof(struct vring_used_elem) + 2))
		return DPU_REASON_LAYOUT;
	vq->size = (uint16_t)size;
	vq->desc = (void *)(window + netq->desc_off);
	vq->avail = (void *)(window + netq->avail_off);
	vq->used = (void *)(window + netq->used_off);
	vq->next_avail = 0;
	vq->used_idx = 0;
	return 0;
}

/* One descriptor, copied. 0 or enum dpu_reason; *ret_next: the next index, or -1. */
static int desc_take(const struct dpu_port *port, const struct dpu_vq *vq, uint16_t index,
		     bool device_writes, struct dpu_seg *ret_seg, int *ret_next)
{
	volatile struct vring_desc *desc = &vq->desc[index];
	uint64_t addr = desc->addr;
	uint32_t bytes = desc->len;
	uint16_t flags = desc->flags;
	uint16_t next = desc->next;

	if (flags & ~(VRING_DESC_F_NEXT | VRING_DESC_F_WRITE))
		return DPU_REASON_FLAGS;
	if (!(flags & VRING_DESC_F_WRITE) == device_writes)
		return DPU_REASON_FLAGS;
	if (bytes == 0)
		return DPU_REASON_EMPTY;
	if (!range_ok(port, addr, bytes))
		return DPU_REASON_RANGE;
	ret_seg->base = (uint8_t *)port->config.window + addr;
	ret_seg->bytes = bytes;
	*ret_next = flags & VRING_DESC_F_NEXT ? next : -1;
	return 0;
}

/*
 * Copies and checks the chain that lies `index` places behind the next one to be taken. Returns the
 * number of segments, 0 if the driver has not published so many, -EIO after stopping the queue,
 * -ENOSPC if there are more than max_segs (fewer than DPU_CHAIN_MAX: the caller's limit).
 */
int dpu_vq_peek(struct dpu_port *port, struct dpu_vq *vq, uint16_t index, bool device_writes,
		struct dpu_seg *segs, unsigned max_segs, uint16_t *ret_head)
{
	/* acquire: pairs with the driver's release of avail->idx */
	uint16_t avail = __atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE);
	uint16_t nr = (uint16_t)(avail - vq->next_avail);
	unsigned nr_segs = 0;
	int next, reason;

	if (unlikely(nr > vq->size)) {
		reason = DPU_REASON_AVAIL;
		goto bad;
	}
	if (index >= nr)
		return 0;
	next = vq->avail->ring[(uint16_t)(vq->next_avail + index) & (vq->size - 1)];
	*ret_head = (uint16_t)next;
	while (next >= 0) {
		if (unlikely(next >= vq->size)) {
			reason = DPU_REASON_INDEX;
			goto bad;
		}
		if (unlikely(nr_segs == DPU_CHAIN_MAX || nr_segs == vq->size)) {
			reason = DPU_REASON_CHAIN;
			goto bad;
		}
		if (nr_segs == max_segs)
			return -ENOSPC;
		reason = desc_take(port, vq, (uint16_t)next, device_writes, &segs[nr_segs], &next);
		if (unlikely(reason))
			goto bad;
		nr_segs++;
	}
	return (int)nr_segs;
bad:
	dpu_vq_stop(port, vq, reason);
	return -EIO;
}

/* Gives a chain back; seen by the driver after dpu_vq_publish(). */
void dpu_vq_push(struct dpu_vq *vq, uint16_t head, uint32_t bytes)
{
	volatile struct vring_used_elem *elem = &vq->used->ring[vq->used_idx & (vq->size - 1)];

	elem->id = head;
	elem->len = bytes;
	vq->used_idx++;
}

void dpu_vq_publish(struct dpu_vq *vq)
{
	/* release: pairs with the driver's acquire of used->idx */
	__atomic_store_n(&vq->used->idx, vq->used_idx, __ATOMIC_RELEASE);
}
