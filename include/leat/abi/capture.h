/*
 * capture.h - the ring in which a capture's packets go from the DPU to whoever watches.
 *
 * A memfd that leatd and `leat capture` map: a page with the words below, then a ring of bytes with
 * records in it. A record begins at a multiple of 8 and may wrap. What finds no room is counted,
 * and lost: nothing waits for a watcher.
 */
#pragma once

#include <stdint.h>

#define DPU_CAPTURE_MAGIC 0x70616354U
#define DPU_CAPTURE_DATA_OFF 4096U
#define DPU_CAPTURE_RING (4U << 20) /* a power of two */

struct dpu_capture_ring {
	/* Written by the DPU. */
	uint32_t magic;
	uint32_t snap_bytes;
	uint64_t head;    /* bytes put in so far; release */
	uint64_t dropped; /* packets that found no room */
	uint32_t ended;   /* the instance has gone; after the last head */
	uint8_t dpu_pad[36];

	/* Written by the watcher. */
	uint64_t tail; /* bytes taken out so far; release */
};

enum { DPU_CAPTURE_RECEIVED = 1, DPU_CAPTURE_SENT = 2 }; /* by the instance */

struct dpu_capture_record {
	uint64_t time_ns; /* CLOCK_REALTIME */
	uint32_t bytes;   /* of the packet that follow */
	uint32_t length;  /* of the whole packet */
	uint32_t direction;
	uint32_t pad;
};
