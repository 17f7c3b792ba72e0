/*
 * vq_split.c - split virtqueues (virtio 1.2, section 2.7).
 */
#include "net/dpu/private.h"

#include <errno.h>

int dpu_split_bind(struct dpu_vq *vq, const struct dpu_ring *ring, const struct dpu_port *port)
{
	const struct dpu_memory *memory = &port->memory;
	uint64_t size = ring->size;

	if (size == 0 || size > DPU_QUEUE_SIZE_MAX || (size & (size - 1)))
		return DPU_REASON_SIZE;
	vq->size = (uint16_t)size;
	vq->desc = dpu_memory_at(memory, ring->desc, size * sizeof(struct vring_desc));
	vq->avail = dpu_memory_at(memory, ring->driver, sizeof(struct vring_avail) + size * 2 + 2);
	vq->used = dpu_memory_at(memory, ring->device,
				 sizeof(struct vring_used) + size * sizeof(struct vring_used_elem) +
					 2);
	if (!vq->desc || !vq->avail || !vq->used || (uintptr_t)vq->desc % 16 ||
	    (uintptr_t)vq->avail % 2 || (uintptr_t)vq->used % 4)
		return DPU_REASON_LAYOUT;
	vq->next = ring->next;
	vq->used_at = ring->next;
	vq->avail_seen = ring->next;
	return 0;
}

/* A table of descriptors: the ring's, or an indirect one. */
struct table {
	volatile struct vring_desc *desc;
	uint32_t size;
};

/* An indirect table takes the place of the ring's for the rest of the chain. */
static int table_enter(const struct dpu_port *port, const struct dpu_vq *vq, uint64_t address,
		       uint32_t bytes, struct table *inout_table)
{
	uint32_t entries = bytes / sizeof(struct vring_desc);

	if (!vq->indirect || inout_table->desc != vq->desc)
		return DPU_REASON_FLAGS;
	if (entries == 0 || bytes % sizeof(struct vring_desc) || address % 16)
		return DPU_REASON_INDIRECT;
	inout_table->desc = dpu_memory_at(&port->memory, address, bytes);
	inout_table->size = entries;
	return inout_table->desc ? 0 : DPU_REASON_RANGE;
}

/* One descriptor, copied. 0 or enum dpu_reason; *inout_index: the next one, or -1. */
static int desc_take(const struct dpu_port *port, const struct dpu_vq *vq,
		     struct table *inout_table, int *inout_index, struct dpu_segs *segs)
{
	volatile struct vring_desc *desc = &inout_table->desc[*inout_index];
	uint64_t address = desc->addr;
	uint32_t bytes = desc->len;
	uint16_t flags = desc->flags;
	uint16_t next = desc->next;

	if (unlikely(flags & ~(VRING_DESC_F_NEXT | VRING_DESC_F_WRITE))) {
		if (flags & ~(VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE))
			return DPU_REASON_FLAGS;
		*inout_index = 0;
		return table_enter(port, vq, address, bytes, inout_table);
	}
	*inout_index = flags & VRING_DESC_F_NEXT ? next : -1;
	return dpu_segs_add(port, address, bytes, flags, segs);
}

int dpu_split_peek(struct dpu_port *port, struct dpu_vq *vq, uint16_t *inout_at,
		   struct dpu_segs *segs, struct dpu_chain *ret_chain)
{
	struct table table = {vq->desc, vq->size};
	int reason = DPU_REASON_AVAIL;
	unsigned taken = 0;
	int index;

	if (vq->avail_seen == *inout_at) {
		/* acquire: pairs with the driver's release of avail->idx */
		vq->avail_seen = __atomic_load_n(&vq->avail->idx, __ATOMIC_ACQUIRE);
		if (unlikely((uint16_t)(vq->avail_seen - vq->next) > vq->size))
			goto bad;
		if (vq->avail_seen == *inout_at)
			return 0;
	}
	index = vq->avail->ring[*inout_at & (vq->size - 1)];
	*ret_chain = (struct dpu_chain){(uint16_t)index, 1};
	while (index >= 0) {
		reason = DPU_REASON_INDEX;
		if (unlikely((uint32_t)index >= table.size))
			goto bad;
		reason = DPU_REASON_CHAIN; /* so a loop ends */
		if (unlikely(taken++ > DPU_CHAIN_MAX))
			goto bad;
		reason = desc_take(port, vq, &table, &index, segs);
		if (unlikely(reason))
			goto bad;
	}
	(*inout_at)++;
	return 1;
bad:
	if (reason == DPU_REASON_CHAIN && segs->max < DPU_CHAIN_MAX)
		return -ENOSPC;
	dpu_vq_stop(port, vq, reason);
	return -EIO;
}

void dpu_split_push(struct dpu_vq *vq, struct dpu_chain chain, uint32_t bytes)
{
	volatile struct vring_used_elem *elem = &vq->used->ring[vq->used_at & (vq->size - 1)];

	elem->id = chain.id;
	elem->len = bytes;
	vq->used_at++;
}

void dpu_split_publish(struct dpu_vq *vq)
{
	/* release: pairs with the driver's acquire of used->idx */
	__atomic_store_n(&vq->used->idx, vq->used_at, __ATOMIC_RELEASE);
}

bool dpu_split_wants_call(const struct dpu_vq *vq)
{
	uint16_t old = (uint16_t)(vq->used_at - vq->nr_unpublished);

	if (!vq->event_idx)
		return !(vq->avail->flags & VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(vq->avail->ring[vq->size], vq->used_at, old);
}

/* avail_event, behind the used ring: the driver rings when its index passes it. */
static volatile uint16_t *avail_event(const struct dpu_vq *vq)
{
	return (volatile uint16_t *)&vq->used->ring[vq->size];
}

void dpu_split_kicks_set(struct dpu_vq *vq, bool wanted)
{
	if (!vq->event_idx)
		vq->used->flags = wanted ? 0 : VRING_USED_F_NO_NOTIFY;
	else
		/* half the ring's numbers away: not before it has been set again */
		*avail_event(vq) = (uint16_t)(vq->next + (wanted ? 0 : 0x7fff));
}

/* Reads ahead of what is to be taken; what is read there is a hint and used for nothing else. */
void dpu_split_prefetch(const struct dpu_port *port, const struct dpu_vq *vq, uint16_t at)
{
	const struct dpu_region *region = &port->memory.region[0];
	uint16_t mask = (uint16_t)(vq->size - 1);
	uint16_t far = vq->avail->ring[(at + DPU_AHEAD_DESC) & mask] & mask;
	uint16_t near = vq->avail->ring[(at + DPU_AHEAD_DATA) & mask] & mask;
	uint64_t offset = vq->desc[near].addr - region->start;

	__builtin_prefetch((const void *)(uintptr_t)&vq->desc[far]);
	if (offset < region->bytes) {
		__builtin_prefetch(region->base + offset);
		__builtin_prefetch(region->base + offset + 64);
	}
}
