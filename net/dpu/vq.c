/*
 * vq.c - virtqueues as a device that believes nothing reads them: what split and packed ones share.
 *
 * Every word that the driver writes is read once into a local and checked there. A wrong one stops
 * the queue for good, with a reason; the driver's memory is the only thing that it can spoil.
 */
#include "net/dpu/private.h"

#include <errno.h>

void dpu_vq_stop(struct dpu_port *port, struct dpu_vq *vq, enum dpu_reason reason)
{
	struct abi_netdev *dev;

	atomic_store_explicit(&vq->reason, reason, memory_order_relaxed);
	if (!port->config.window)
		return;
	dev = abi_netdev_of(port->config.window);
	__atomic_store_n(&dev->device_reason, reason, __ATOMIC_RELAXED);
	/* release: whoever sees the status sees the reason */
	__atomic_store_n(&dev->device_status, ABI_NET_S_DRIVER_OK | ABI_NET_S_NEEDS_RESET,
			 __ATOMIC_RELEASE);
}

void *dpu_memory_at(const struct dpu_memory *memory, uint64_t address, uint64_t bytes)
{
	for (unsigned i = 0; i < memory->nr_regions; i++) {
		const struct dpu_region *region = &memory->region[i];
		uint64_t offset = address - region->start;

		if (offset < region->bytes && bytes <= region->bytes - offset)
			return region->base + offset;
	}
	return NULL;
}

/* The part of [address, address + bytes) that lies in one region; 0: none does. */
static uint32_t piece_find(const struct dpu_memory *memory, uint64_t address, uint32_t bytes,
			   struct dpu_seg *ret_seg)
{
	for (unsigned i = 0; i < memory->nr_regions; i++) {
		const struct dpu_region *region = &memory->region[i];
		uint64_t offset = address - region->start;

		if (offset >= region->bytes)
			continue;
		ret_seg->base = region->base + offset;
		ret_seg->bytes = (uint32_t)MIN((uint64_t)bytes, region->bytes - offset);
		return ret_seg->bytes;
	}
	return 0;
}

int dpu_segs_add(const struct dpu_port *port, uint64_t address, uint32_t bytes, uint16_t flags,
		 struct dpu_segs *segs)
{
	if (unlikely(!(flags & VRING_DESC_F_WRITE) == segs->device_writes))
		return DPU_REASON_FLAGS;
	if (unlikely(bytes == 0))
		return DPU_REASON_EMPTY;
	/* nearly always one turn: regions that border on each other are rare */
	while (bytes) {
		uint32_t n;

		if (segs->nr == segs->max)
			return DPU_REASON_CHAIN;
		n = piece_find(&port->memory, address, bytes, &segs->seg[segs->nr]);
		if (unlikely(n == 0))
			return DPU_REASON_RANGE;
		segs->nr++;
		address += n;
		bytes -= n;
	}
	return 0;
}

/* `ring` is a private copy. 0 or enum dpu_reason. */
int dpu_vq_bind(struct dpu_vq *vq, const struct dpu_ring *ring, const struct dpu_port *port)
{
	vq->packed = port->features & ABI_F_RING_PACKED;
	vq->indirect = port->features & ABI_F_INDIRECT_DESC;
	vq->event_idx = port->features & ABI_F_EVENT_IDX;
	vq->nr_unpublished = 0;
	return vq->packed ? dpu_packed_bind(vq, ring, port) : dpu_split_bind(vq, ring, port);
}
