/*
 * driver_packed.c - the fake instance's driver with packed rings (driver.h).
 *
 * Slot n of a transmit ring has buffer n, and a chain is known by its first slot. Receive buffers
 * are given in any slot; their number is their id.
 */
#include "tests/dpu/driver.h"

#include <string.h>

#define WRAP (1U << VRING_PACKED_EVENT_F_WRAP_CTR)
#define AVAIL (1U << VRING_PACKED_DESC_F_AVAIL)
#define USED (1U << VRING_PACKED_DESC_F_USED)

static uint16_t step(const struct driver_queue *q, uint16_t at, unsigned n)
{
	unsigned index = (at & ~WRAP) + n;

	return (uint16_t)(index < q->size ? (index | (at & WRAP)) :
					    ((index - q->size) | (~(unsigned)at & WRAP)));
}

/* A descriptor in front of `at` becomes available, with its wrap counter. */
static void desc_give(struct driver_queue *q, uint16_t at, struct vring_packed_desc desc)
{
	struct vring_packed_desc *to = &q->packed[at & ~WRAP];

	to->addr = desc.addr;
	to->len = desc.len;
	to->id = desc.id;
	__atomic_store_n(&to->flags, (uint16_t)(desc.flags | (at & WRAP ? AVAIL : USED)),
			 __ATOMIC_RELEASE);
}

static bool is_used(const struct driver_queue *q)
{
	uint16_t flags = __atomic_load_n(&q->packed[q->used_at & ~WRAP].flags, __ATOMIC_ACQUIRE);
	bool wrap = q->used_at & WRAP;

	return !(flags & AVAIL) != wrap && !(flags & USED) != wrap;
}

void driver_packed_init(struct driver_queue *q, const struct abi_netq *netq, char *window)
{
	q->packed = (void *)(window + netq->desc_off);
	q->driver_event = (void *)(window + netq->avail_off);
	q->avail_at = q->used_at = WRAP;
	q->driver_event->off_wrap = WRAP;
}

void driver_packed_rx_give(struct driver_queue *q, uint16_t index)
{
	desc_give(q, q->avail_at,
		  (struct vring_packed_desc){
			  .addr = q->buffers_off + index * DRIVER_BUFFER_BYTES,
			  .len = DRIVER_BUFFER_BYTES,
			  .id = index,
			  .flags = VRING_DESC_F_WRITE,
		  });
	q->avail_at = step(q, q->avail_at, 1);
}

void driver_packed_send(struct driver_queue *q, const struct driver_part *part, unsigned nr)
{
	uint16_t head = q->avail_at & (uint16_t)~WRAP;

	/* from the end, so that the first descriptor shows all of the chain */
	for (unsigned i = nr; i-- > 0;)
		desc_give(q, step(q, q->avail_at, i),
			  (struct vring_packed_desc){
				  .addr = part[i].off,
				  .len = part[i].bytes,
				  .id = head,
				  .flags = (uint16_t)(part[i].flags |
						      (i + 1 < nr ? VRING_DESC_F_NEXT : 0)),
			  });
	q->slots_of[head] = (uint16_t)nr;
	q->avail_at = step(q, q->avail_at, nr);
}

unsigned driver_packed_reclaim(struct driver_queue *q)
{
	unsigned n = 0;

	while (is_used(q)) {
		uint16_t id = q->packed[q->used_at & ~WRAP].id;

		q->used_at = step(q, q->used_at, q->slots_of[id % q->size]);
		n++;
	}
	return n;
}

bool driver_packed_take(struct driver_queue *q, struct vring_used_elem *ret_elem)
{
	if (!is_used(q))
		return false;
	*ret_elem = (struct vring_used_elem){q->packed[q->used_at & ~WRAP].id,
					     q->packed[q->used_at & ~WRAP].len};
	q->used_at = step(q, q->used_at, 1);
	__atomic_store_n(&q->driver_event->off_wrap, q->used_at, __ATOMIC_RELEASE);
	return true;
}
