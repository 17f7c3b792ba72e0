/*
 * vq_packed.c - packed virtqueues (virtio 1.2, section 2.8).
 *
 * A place in the ring is its index and, in bit 15, the wrap counter with which it is available: so
 * it looks in the driver's event structure too.
 */
#include "net/dpu/private.h"

#include <errno.h>

#define AVAIL (1U << VRING_PACKED_DESC_F_AVAIL)
#define USED (1U << VRING_PACKED_DESC_F_USED)
#define PLACE_WRAP (1U << VRING_PACKED_EVENT_F_WRAP_CTR)

int dpu_packed_bind(struct dpu_vq *vq, const struct dpu_ring *ring, const struct dpu_port *port)
{
	const struct dpu_memory *memory = &port->memory;
	uint64_t size = ring->size;

	if (size == 0 || size > DPU_QUEUE_SIZE_MAX)
		return DPU_REASON_SIZE;
	vq->size = (uint16_t)size;
	vq->packed_desc =
		dpu_memory_at(memory, ring->desc, size * sizeof(struct vring_packed_desc));
	vq->driver_event =
		dpu_memory_at(memory, ring->driver, sizeof(struct vring_packed_desc_event));
	vq->device_event =
		dpu_memory_at(memory, ring->device, sizeof(struct vring_packed_desc_event));
	if (!vq->packed_desc || !vq->driver_event || !vq->device_event ||
	    (uintptr_t)vq->packed_desc % 16 || (uintptr_t)vq->driver_event % 4 ||
	    (uintptr_t)vq->device_event % 4 || (ring->next & ~PLACE_WRAP) >= size ||
	    (ring->used & ~PLACE_WRAP) >= size)
		return DPU_REASON_LAYOUT;
	vq->next = ring->next;
	vq->used_at = ring->used;
	return 0;
}

static uint16_t place_after(const struct dpu_vq *vq, uint16_t at, unsigned n)
{
	unsigned index = (at & ~PLACE_WRAP) + n;
	unsigned wrap = at & PLACE_WRAP;

	if (index >= vq->size) {
		index -= vq->size;
		wrap ^= PLACE_WRAP;
	}
	return (uint16_t)(index | wrap);
}

static bool is_available(uint16_t flags, uint16_t at)
{
	bool wrap = at & PLACE_WRAP;

	return !(flags & AVAIL) != wrap && !(flags & USED) == wrap;
}

bool dpu_packed_pending(const struct dpu_vq *vq, uint16_t at)
{
	/* a hint: who takes it looks again, with acquire */
	return is_available(__atomic_load_n(&vq->packed_desc[at & ~PLACE_WRAP].flags,
					    __ATOMIC_RELAXED),
			    at);
}

/* The descriptors of an indirect table, one after the other (section 2.8.7). */
static int table_take(const struct dpu_port *port, const struct dpu_vq *vq, uint64_t address,
		      uint32_t bytes, struct dpu_segs *segs)
{
	uint32_t entries = bytes / sizeof(struct vring_packed_desc);
	volatile struct vring_packed_desc *desc;

	if (!vq->indirect)
		return DPU_REASON_FLAGS;
	if (entries == 0 || bytes % sizeof(struct vring_packed_desc) || address % 16)
		return DPU_REASON_INDIRECT;
	if (entries > DPU_CHAIN_MAX)
		return DPU_REASON_CHAIN;
	desc = dpu_memory_at(&port->memory, address, bytes);
	if (!desc)
		return DPU_REASON_RANGE;
	for (uint32_t i = 0; i < entries; i++) {
		uint16_t flags = desc[i].flags;
		int reason = DPU_REASON_FLAGS;

		/* of the others only WRITE says something here; drivers set NEXT all the same */
		if (!(flags & VRING_DESC_F_INDIRECT))
			reason = dpu_segs_add(port, desc[i].addr, desc[i].len, flags, segs);
		if (reason)
			return reason;
	}
	return 0;
}

static int desc_take(const struct dpu_port *port, const struct dpu_vq *vq,
		     volatile struct vring_packed_desc *desc, uint16_t flags, struct dpu_segs *segs)
{
	uint64_t address = desc->addr;
	uint32_t bytes = desc->len;

	flags &= (uint16_t) ~(AVAIL | USED);
	if (unlikely(flags & ~(VRING_DESC_F_NEXT | VRING_DESC_F_WRITE))) {
		if (flags & ~(VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE))
			return DPU_REASON_FLAGS;
		return table_take(port, vq, address, bytes, segs);
	}
	return dpu_segs_add(port, address, bytes, flags, segs);
}

int dpu_packed_peek(struct dpu_port *port, struct dpu_vq *vq, uint16_t *inout_at,
		    struct dpu_segs *segs, struct dpu_chain *ret_chain)
{
	uint16_t at = *inout_at;
	volatile struct vring_packed_desc *desc = &vq->packed_desc[at & ~PLACE_WRAP];
	/* acquire: pairs with the driver's release of the first descriptor's flags */
	uint16_t flags = __atomic_load_n(&desc->flags, __ATOMIC_ACQUIRE);
	uint16_t nr = 0;
	int reason;

	if (!is_available(flags, at))
		return 0;
	for (;;) {
		reason = DPU_REASON_CHAIN;
		if (unlikely(nr == vq->size || nr == DPU_CHAIN_MAX))
			goto bad;
		reason = desc_take(port, vq, desc, flags, segs);
		if (unlikely(reason))
			goto bad;
		ret_chain->id = desc->id; /* the last one's counts */
		nr++;
		at = place_after(vq, at, 1);
		if (!(flags & VRING_DESC_F_NEXT))
			break;
		desc = &vq->packed_desc[at & ~PLACE_WRAP];
		flags = desc->flags;
	}
	ret_chain->slots = nr;
	*inout_at = at;
	return 1;
bad:
	if (reason == DPU_REASON_CHAIN && segs->max < DPU_CHAIN_MAX)
		return -ENOSPC;
	dpu_vq_stop(port, vq, reason);
	return -EIO;
}

/* The first of a batch shows the driver all of it, so its flags are kept back to the last. */
void dpu_packed_push(struct dpu_vq *vq, struct dpu_chain chain, uint32_t bytes)
{
	volatile struct vring_packed_desc *desc = &vq->packed_desc[vq->used_at & ~PLACE_WRAP];
	uint16_t flags = vq->used_at & PLACE_WRAP ? AVAIL | USED : 0;

	if (bytes)
		flags |= VRING_DESC_F_WRITE;
	desc->id = chain.id;
	desc->len = bytes;
	if (vq->nr_unpublished == 0) {
		vq->first_at = vq->used_at;
		vq->first_flags = flags;
	} else {
		/* release: should the driver look here first, it sees id and length */
		__atomic_store_n(&desc->flags, flags, __ATOMIC_RELEASE);
	}
	vq->used_at = place_after(vq, vq->used_at, chain.slots);
}

void dpu_packed_publish(struct dpu_vq *vq)
{
	/* release: pairs with the driver's acquire of the flags */
	__atomic_store_n(&vq->packed_desc[vq->first_at & ~PLACE_WRAP].flags, vq->first_flags,
			 __ATOMIC_RELEASE);
}

bool dpu_packed_wants_call(const struct dpu_vq *vq)
{
	uint16_t flags = vq->driver_event->flags;
	uint16_t event = vq->driver_event->off_wrap;
	uint16_t new = vq->used_at &(uint16_t)~PLACE_WRAP, old = vq->first_at;
	uint16_t at = event & (uint16_t)~PLACE_WRAP;

	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !vq->event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	/* all three as numbers on one line that ends at `new` (section 2.8.10) */
	if ((event ^ vq->used_at) & PLACE_WRAP)
		at = (uint16_t)(at - vq->size);
	if ((old ^ vq->used_at) & PLACE_WRAP)
		old = (uint16_t)((old & ~PLACE_WRAP) - vq->size);
	else
		old &= (uint16_t)~PLACE_WRAP;
	return vring_need_event(at, new, old);
}

void dpu_packed_kicks_set(struct dpu_vq *vq, bool wanted)
{
	vq->device_event->flags =
		wanted ? VRING_PACKED_EVENT_FLAG_ENABLE : VRING_PACKED_EVENT_FLAG_DISABLE;
}

void dpu_packed_prefetch(const struct dpu_port *port, const struct dpu_vq *vq, uint16_t at)
{
	const struct dpu_region *region = &port->memory.region[0];
	uint16_t far = place_after(vq, at, MIN(DPU_AHEAD_DESC, (unsigned)vq->size - 1));
	uint16_t near = place_after(vq, at, MIN(DPU_AHEAD_DATA, (unsigned)vq->size - 1));
	uint64_t offset = vq->packed_desc[near & ~PLACE_WRAP].addr - region->start;

	__builtin_prefetch((const void *)(uintptr_t)&vq->packed_desc[far & ~PLACE_WRAP]);
	if (offset < region->bytes) {
		__builtin_prefetch(region->base + offset);
		__builtin_prefetch(region->base + offset + 64);
	}
}
