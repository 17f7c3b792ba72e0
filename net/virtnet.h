/*
 * The virtio-net driver: split virtqueues (virtio 1.2 section 2.7) in the window, polled.
 *
 * Transmit: every packet is a descriptor chain of one header slot (virtio header, protocol headers,
 * small payloads) and ranges of pages. A page has a reference for as long as the device may read
 * it. Receive: pages of the pool are posted as buffers and handed to the protocols as they are.
 */
#pragma once

#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include "leat/abi/netdev.h"
#include "net/buf.h"

#define VIRTNET_RX_SIZE 1024u
#define VIRTNET_TX_SIZE 512u
#define VIRTNET_HEADER_BYTES 256u /* a header slot */
#define VIRTNET_VNET_BYTES 12u    /* struct virtio_net_hdr_mrg_rxbuf */
#define VIRTNET_RX_POST_FIRST 256u
#define VIRTNET_RX_POST_LEAST 64u

struct net;

struct virtq {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint32_t *page;  /* of each descriptor, or BUF_NONE */
	uint16_t *next;  /* free list and chains, out of the device's reach */
	uint16_t *chain; /* descriptors of the chain that starts here, 0: none does */
	uint16_t size;
	uint16_t avail_next; /* where we write next */
	uint16_t published;  /* what the device was told */
	uint16_t used_seen;
	uint16_t free_head;
	uint16_t free_count;
};

struct virtnet_pair {
	struct virtq rx, tx;
	uint8_t *headers; /* VIRTNET_TX_SIZE slots */
	uint64_t headers_offset;
	uint16_t rx_target; /* how many buffers to keep posted: follows the load */
	uint16_t rx_peak;   /* most packets waiting at once lately */
	uint32_t rx_polls;
};

struct virtnet {
	struct abi_netdev *regs; /* NULL: no device */
	uint64_t features;       /* ABI_NET_F_* in force */
	unsigned int pair_count;
	struct virtnet_pair *pairs;
};

/* A received frame, or a packet on its way up; what it owns is in `data`. */
struct pkt {
	struct frag_list data;
	uint16_t gso_bytes; /* payload per segment of a merged packet, or 0 */
	bool csum_ok;       /* summed by the device, or never left the machine */
	bool broadcast;     /* to a broadcast or multicast address of the link */
	bool loopback;
};

/* A packet being put together on the ring. */
struct virtnet_tx {
	struct virtnet_pair *pair;
	uint16_t head, last;
};

int virtnet_init(struct net *net, void *window, struct abi_netdev *regs, unsigned int pairs);
void virtnet_finish(struct net *net);

/* Takes a received frame out of the ring, the virtio header removed. False when there is none. */
bool virtnet_rx(struct net *net, struct virtnet_pair *pair, struct pkt *ret_pkt);
void virtnet_rx_refill(struct net *net, struct virtnet_pair *pair);
bool virtnet_rx_pending(const struct virtnet_pair *pair);

/*
 * Begins a packet of a header and at most `ranges` page ranges on the ring of the running vcpu.
 * Returns the header slot (VIRTNET_HEADER_BYTES), or NULL when the ring is full.
 */
uint8_t *virtnet_tx_begin(struct net *net, unsigned int ranges, struct virtnet_tx *tx);
/* Adds a range of a page: takes a reference for as long as the device has it. */
void virtnet_tx_add(struct net *net, struct virtnet_tx *tx, uint32_t page, uint32_t offset,
		    uint32_t bytes);
void virtnet_tx_end(struct net *net, struct virtnet_tx *tx, uint32_t header_bytes,
		    uint32_t packet_bytes);

/* Takes back what the device has sent. */
void virtnet_tx_reclaim(struct net *net, struct virtnet_pair *pair);
bool virtnet_tx_pending(const struct virtnet_pair *pair);
void virtnet_tx_publish(struct net *net, unsigned int index);
