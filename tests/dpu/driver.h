/*
 * driver.h - a fake instance: a window and the simplest virtio-net driver, for tests and models.
 *
 * The hostile tests reach into the rings themselves.
 */
#pragma once

#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "leat/abi/netdev.h"
#include "leat/abi/window.h"

#define DRIVER_WINDOW_BYTES (16UL << 20)
#define DRIVER_BUFFER_BYTES 2048U
#define DRIVER_HDR_BYTES 12U
#define DRIVER_RING 64U

struct driver_queue {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t size;
	uint16_t used_seen;
	uint16_t next_desc;   /* transmit: where the next chain begins */
	uint64_t buffers_off; /* size buffers of DRIVER_BUFFER_BYTES */
	uint64_t tables_off;  /* size indirect tables of size descriptors */
	/* packed rings */
	struct vring_packed_desc *packed;
	struct vring_packed_desc_event *driver_event;
	uint16_t avail_at, used_at; /* places: index, and wrap counter in bit 15 */
	uint16_t slots_of[DRIVER_RING];
};

/* A part of a chain to be sent. */
struct driver_part {
	uint64_t off; /* in the window */
	uint32_t bytes;
	uint16_t flags;
};

struct driver {
	int fd;
	char *window;
	struct abi_netdev *dev;
	unsigned nr_pairs;
	bool packed;   /* to be set before driver_start */
	bool indirect; /* chains go into tables of their own */
	struct driver_queue rx[ABI_MAX_VCPUS];
	struct driver_queue tx[ABI_MAX_VCPUS];
};

/* A sealed window. */
int driver_create(struct driver *ret_driver);
void driver_destroy(struct driver *driver);

/* Lays out the rings, gives `rx_buffers` buffers, sets DRIVER_OK. After the port was attached. */
void driver_start(struct driver *driver, unsigned rx_buffers);

void driver_rx_give(struct driver *driver, unsigned pair, uint16_t index);

/*
 * Sends a frame cut into descriptors of at most `cut` bytes; the header has one of its own. The
 * caller sees to it that no more than DRIVER_RING descriptors are in flight.
 */
bool driver_send(struct driver *driver, unsigned pair, const struct virtio_net_hdr *hdr,
		 const void *frame, size_t bytes, size_t cut);
/* Waits for nothing: takes what was sent back, returns how many chains. */
unsigned driver_reclaim(struct driver *driver, unsigned pair);

/* driver_packed.c: what differs with packed rings */
void driver_packed_init(struct driver_queue *q, const struct abi_netq *netq, char *window);
void driver_packed_rx_give(struct driver_queue *q, uint16_t index);
void driver_packed_send(struct driver_queue *q, const struct driver_part *part, unsigned nr);
unsigned driver_packed_reclaim(struct driver_queue *q);
bool driver_packed_take(struct driver_queue *q, struct vring_used_elem *ret_elem);

/* Takes the next frame (header apart) and gives its buffers back: bytes, or 0. */
size_t driver_receive(struct driver *driver, unsigned pair,
		      struct virtio_net_hdr_mrg_rxbuf *ret_hdr, void *frame, size_t room);
