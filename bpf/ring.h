/*
 * A ring of records: any number of threads put records in without waiting for long, one reader
 * takes them out. What does not fit is lost and counted.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ebpf_ring {
	uint8_t *bytes;
	uint32_t size; /* power of two */
	atomic_flag lock;
	atomic_flag reader;
	_Atomic(uint64_t) head; /* where the next record goes; guarded by lock */
	_Atomic(uint64_t) tail; /* what was read; guarded by reader */
	_Atomic(uint64_t) lost;
};

/* -EINVAL: @size is no power of two from 4096 up; -ENOMEM. */
int ebpf_ring_init(struct ebpf_ring *ring, uint32_t size);
void ebpf_ring_finish(struct ebpf_ring *ring);

/* Memory for a record, aligned to 8; NULL without room. It keeps all later ones from the reader. */
void *ebpf_ring_reserve(struct ebpf_ring *ring, uint32_t size);

/* Shows a reserved record to the reader, or takes it back. */
void ebpf_ring_commit(void *record, bool discard);

/* 0, or -EAGAIN without room. */
int ebpf_ring_put(struct ebpf_ring *ring, const void *record, uint32_t size);

/* The oldest record's length, after copying at most @size bytes of it; -ENOENT: none; -EBUSY. */
int64_t ebpf_ring_take(struct ebpf_ring *ring, void *buf, size_t size);

/* Bytes that wait for the reader. */
uint64_t ebpf_ring_waiting(struct ebpf_ring *ring);
