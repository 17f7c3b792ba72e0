/*
 * Records lie one behind the other, each with a header, none wrapped around the end: what is left
 * there is given to a record that nobody sees. A record is busy from its reservation to its commit;
 * the reader stops at a busy one, so order is kept.
 */
#include "bpf/ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RING_MIN 4096u
#define LOCK_SPINS_MAX 4096 /* some 50 us; a reservation takes less than one */

enum { RECORD_BUSY, RECORD_READY, RECORD_DISCARDED };

struct header {
	uint32_t size; /* of the record, without header and padding */
	_Atomic(uint32_t) state;
};

static uint32_t footprint(uint32_t size)
{
	return (uint32_t)sizeof(struct header) + ((size + 7u) & ~7u);
}

static struct header *header_at(struct ebpf_ring *ring, uint64_t position)
{
	return (struct header *)(void *)(ring->bytes + (position & (ring->size - 1)));
}

int ebpf_ring_init(struct ebpf_ring *ring, uint32_t size)
{
	if (size < RING_MIN || (size & (size - 1)))
		return -EINVAL;
	memset(ring, 0, sizeof(*ring));
	atomic_flag_clear(&ring->lock);
	atomic_flag_clear(&ring->reader);
	ring->size = size;
	ring->bytes = calloc(1, size);
	return ring->bytes ? 0 : -ENOMEM;
}

void ebpf_ring_finish(struct ebpf_ring *ring)
{
	free(ring->bytes);
	ring->bytes = NULL;
}

static bool lock(struct ebpf_ring *ring)
{
	int spins;

	for (spins = 0; spins < LOCK_SPINS_MAX; spins++) {
		/* acquire: pairs with the release in unlock */
		if (!atomic_flag_test_and_set_explicit(&ring->lock, memory_order_acquire))
			return true;
		__builtin_ia32_pause();
	}
	return false;
}

static void unlock(struct ebpf_ring *ring)
{
	atomic_flag_clear_explicit(&ring->lock, memory_order_release);
}

static void *reserve_locked(struct ebpf_ring *ring, uint32_t size)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	/* acquire: pairs with the reader's release: it is done with what is overwritten */
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
	uint32_t end = ring->size - (uint32_t)(head & (ring->size - 1));
	uint32_t need = footprint(size), skip = need > end ? end : 0;
	struct header *header;

	if (head + skip + need - tail > ring->size)
		return NULL;
	if (skip) {
		header = header_at(ring, head);
		header->size = skip - (uint32_t)sizeof(*header);
		atomic_store_explicit(&header->state, RECORD_DISCARDED, memory_order_relaxed);
	}
	header = header_at(ring, head + skip);
	header->size = size;
	atomic_store_explicit(&header->state, RECORD_BUSY, memory_order_relaxed);
	/* release: the reader that sees the new head sees the headers */
	atomic_store_explicit(&ring->head, head + skip + need, memory_order_release);
	return header + 1;
}

void *ebpf_ring_reserve(struct ebpf_ring *ring, uint32_t size)
{
	void *record = NULL;

	if (size <= ring->size / 2 && lock(ring)) {
		record = reserve_locked(ring, size);
		unlock(ring);
	}
	if (!record)
		atomic_fetch_add_explicit(&ring->lost, 1, memory_order_relaxed);
	return record;
}

void ebpf_ring_commit(void *record, bool discard)
{
	struct header *header = (struct header *)record - 1;

	/* release: pairs with the reader's acquire: it sees the bytes */
	atomic_store_explicit(&header->state, discard ? RECORD_DISCARDED : RECORD_READY,
			      memory_order_release);
}

int ebpf_ring_put(struct ebpf_ring *ring, const void *record, uint32_t size)
{
	void *to = ebpf_ring_reserve(ring, size);

	if (!to)
		return -EAGAIN;
	memcpy(to, record, size);
	ebpf_ring_commit(to, false);
	return 0;
}

static int64_t take_reading(struct ebpf_ring *ring, void *buf, size_t size)
{
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	int64_t taken = -ENOENT;

	while (taken < 0 && tail != atomic_load_explicit(&ring->head, memory_order_acquire)) {
		struct header *header = header_at(ring, tail);
		uint32_t state = atomic_load_explicit(&header->state, memory_order_acquire);

		if (state == RECORD_BUSY)
			break;
		if (state == RECORD_READY) {
			memcpy(buf, header + 1, size < header->size ? size : header->size);
			taken = header->size;
		}
		tail += footprint(header->size);
		/* release: pairs with the acquire in reserve_locked */
		atomic_store_explicit(&ring->tail, tail, memory_order_release);
	}
	return taken;
}

int64_t ebpf_ring_take(struct ebpf_ring *ring, void *buf, size_t size)
{
	int64_t taken;

	if (atomic_flag_test_and_set_explicit(&ring->reader, memory_order_acquire))
		return -EBUSY;
	taken = take_reading(ring, buf, size);
	atomic_flag_clear_explicit(&ring->reader, memory_order_release);
	return taken;
}

uint64_t ebpf_ring_waiting(struct ebpf_ring *ring)
{
	/* the tail first: it never passes a head that was read later */
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

	return atomic_load_explicit(&ring->head, memory_order_acquire) - tail;
}
