/*
 * capture.c - copies of a port's packets for somebody who watches (capture.h).
 *
 * Several threads may serve queues of one port, so the ring has a lock; like all of them it is only
 * tried, for a moment, and a packet that finds it taken is counted as dropped.
 */
#include "leat/abi/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "net/dpu/private.h"

#define LOCK_TRIES 1000U
#define MAP_BYTES ((size_t)DPU_CAPTURE_DATA_OFF + DPU_CAPTURE_RING)

struct dpu_capture {
	struct dpu_capture_ring *ring;
	uint8_t *data;
	uint32_t snap_bytes;
	int fd;
	atomic_uint lock;
	uint64_t head; /* our own: the ring's is what the watcher is told; guarded by lock */
};

static void ring_copy(struct dpu_capture *capture, uint64_t at, const void *from, size_t bytes)
{
	size_t offset = at & (DPU_CAPTURE_RING - 1);
	size_t first = MIN(bytes, DPU_CAPTURE_RING - offset);

	memcpy(capture->data + offset, from, first);
	memcpy(capture->data, (const uint8_t *)from + first, bytes - first);
}

static bool lock_try(struct dpu_capture *capture)
{
	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (dpu_trylock(&capture->lock))
			return true;
		cpu_relax();
	}
	return false;
}

static void drop(struct dpu_capture *capture)
{
	__atomic_fetch_add(&capture->ring->dropped, 1, __ATOMIC_RELAXED);
}

/* Head and payload, as far as they are wanted. */
static void frame_copy(struct dpu_capture *capture, uint64_t at, const struct dpu_frame *frame,
		       uint32_t bytes)
{
	uint32_t n = MIN(bytes, frame->head_bytes);

	ring_copy(capture, at, frame->head, n);
	for (unsigned i = 0; n < bytes && i < frame->nr_segs; i++) {
		uint32_t part = MIN(bytes - n, frame->seg[i].bytes);

		ring_copy(capture, at + n, frame->seg[i].base, part);
		n += part;
	}
}

void dpu_capture_put(struct dpu_capture *capture, const struct dpu_frame *frame, uint32_t direction)
{
	uint32_t bytes = MIN(frame->len, capture->snap_bytes);
	uint64_t need = sizeof(struct dpu_capture_record) + align_up(bytes, 8);
	struct dpu_capture_record record = {
		.bytes = bytes,
		.length = frame->len,
		.direction = direction,
	};
	struct timespec ts;
	uint64_t tail;

	if (!lock_try(capture)) {
		drop(capture);
		return;
	}
	/* acquire: the watcher has read what lay there */
	tail = __atomic_load_n(&capture->ring->tail, __ATOMIC_ACQUIRE);
	/* a watcher that lies about its tail gets nothing, or loses what it had */
	if (capture->head - tail > DPU_CAPTURE_RING ||
	    need > DPU_CAPTURE_RING - (capture->head - tail)) {
		drop(capture);
	} else {
		clock_gettime(CLOCK_REALTIME, &ts);
		record.time_ns = (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
		ring_copy(capture, capture->head, &record, sizeof(record));
		frame_copy(capture, capture->head + sizeof(record), frame, bytes);
		capture->head += need;
		/* release: pairs with the watcher's acquire */
		__atomic_store_n(&capture->ring->head, capture->head, __ATOMIC_RELEASE);
	}
	dpu_unlock(&capture->lock);
}

static void capture_destroy(struct dpu_capture *capture)
{
	if (!capture)
		return;
	if (capture->ring)
		munmap(capture->ring, MAP_BYTES);
	if (capture->fd >= 0)
		close(capture->fd);
	free(capture);
}

static int capture_create(uint32_t snap_bytes, struct dpu_capture **ret_capture)
{
	struct dpu_capture *capture = calloc(1, sizeof(*capture));
	void *map;
	int r;

	if (!capture)
		return -ENOMEM;
	capture->snap_bytes = snap_bytes;
	capture->fd = memfd_create("leat-capture", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (capture->fd < 0 || ftruncate(capture->fd, (off_t)MAP_BYTES) ||
	    fcntl(capture->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		goto fail;
	map = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, capture->fd, 0);
	if (map == MAP_FAILED)
		goto fail;
	capture->ring = map;
	capture->data = (uint8_t *)map + DPU_CAPTURE_DATA_OFF;
	capture->ring->magic = DPU_CAPTURE_MAGIC;
	capture->ring->snap_bytes = snap_bytes;
	*ret_capture = capture;
	return 0;
fail:
	r = -errno;
	capture_destroy(capture);
	return r;
}

/* Replaces the port's capture; the old one is told its end and freed. */
static void capture_replace(struct dpu_port *port, struct dpu_capture *capture)
{
	struct dpu_capture *old;

	pthread_mutex_lock(&port->dpu->control);
	/* release: rounds that see the capture see it whole */
	old = atomic_exchange_explicit(&port->capture, capture, memory_order_acq_rel);
	dpu_synchronize(port->dpu);
	pthread_mutex_unlock(&port->dpu->control);
	if (old)
		__atomic_store_n(&old->ring->ended, 1, __ATOMIC_RELEASE);
	capture_destroy(old);
}

int dpu_port_capture_start(struct dpu_port *port, uint32_t snap_bytes, int *ret_fd)
{
	struct dpu_capture *capture = NULL;
	int r;

	snap_bytes = MIN(snap_bytes, DPU_FRAME_MAX);
	if (atomic_load_explicit(&port->capture, memory_order_relaxed))
		return -EBUSY;
	r = capture_create(snap_bytes, &capture);
	if (r)
		return r;
	*ret_fd = capture->fd;
	capture_replace(port, capture);
	return 0;
}

void dpu_port_capture_stop(struct dpu_port *port)
{
	capture_replace(port, NULL);
}
