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
};

struct driver {
	int fd;
	char *window;
	struct abi_netdev *dev;
	unsigned nr_pairs;
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

/* Takes the next frame (header apart) and gives its buffers back: bytes, or 0. */
size_t driver_receive(struct driver *driver, unsigned pair,
		      struct virtio_net_hdr_mrg_rxbuf *ret_hdr, void *frame, size_t room);
