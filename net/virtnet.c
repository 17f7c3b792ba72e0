/*
 * The virtio-net driver. Shared words and their pairs: avail->idx is written here with release and
 * read by the device with acquire; used->idx is written by the device with release and read here
 * with acquire. Indices from the device are checked before use.
 */
#include "net/virtnet.h"

#include <errno.h>

#include "net/env.h"
#include "net/stack.h"

#define ALIGN_UP(n, to) (((n) + (to)-1) / (to) * (to))
#define DESC_BYTES(size) ((size)*16u)
#define AVAIL_BYTES(size) ALIGN_UP(6u + 2u * (size), 64u)
#define USED_BYTES(size) ALIGN_UP(6u + 8u * (size), 64u)
#define QUEUE_BYTES(size) ALIGN_UP(DESC_BYTES(size) + AVAIL_BYTES(size) + USED_BYTES(size), 4096u)
#define HEADERS_BYTES (VIRTNET_TX_SIZE * VIRTNET_HEADER_BYTES)
#define PAIR_BYTES (QUEUE_BYTES(VIRTNET_RX_SIZE) + QUEUE_BYTES(VIRTNET_TX_SIZE) + HEADERS_BYTES)

_Static_assert(PAIR_BYTES *ABI_MAX_VCPUS <= ABI_BUFS_OFF - ABI_RINGS_OFF, "all rings fit");
_Static_assert(sizeof(struct virtio_net_hdr_mrg_rxbuf) == VIRTNET_VNET_BYTES, "virtio 1.x header");

#define WANTED_FEATURES                                                                            \
	(ABI_NET_F_CSUM | ABI_NET_F_GUEST_CSUM | ABI_NET_F_MTU | ABI_NET_F_MAC |                   \
	 ABI_NET_F_GUEST_TSO4 | ABI_NET_F_GUEST_TSO6 | ABI_NET_F_HOST_TSO4 | ABI_NET_F_HOST_TSO6 | \
	 ABI_NET_F_MRG_RXBUF | ABI_NET_F_MQ | ABI_F_VERSION_1)

static int virtq_init(struct virtq *q, void *window, uint64_t offset, uint16_t size,
		      struct abi_netq *regs)
{
	uint8_t *base = (uint8_t *)window + offset;

	*q = (struct virtq){.size = size, .free_count = size};
	q->desc = (void *)base;
	q->avail = (void *)(base + DESC_BYTES(size));
	q->used = (void *)(base + DESC_BYTES(size) + AVAIL_BYTES(size));
	q->page = net_env_alloc(size * sizeof(*q->page));
	q->next = net_env_alloc(size * sizeof(*q->next));
	q->chain = net_env_alloc(size * sizeof(*q->chain));
	if (q->page == NULL || q->next == NULL || q->chain == NULL)
		return -ENOMEM;
	for (uint16_t i = 0; i < size; i++) {
		q->next[i] = (uint16_t)(i + 1);
		q->page[i] = BUF_NONE;
	}
	/* nobody is told when rings move: both sides poll */
	q->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	regs->size = size;
	regs->desc_off = offset;
	regs->avail_off = offset + DESC_BYTES(size);
	regs->used_off = regs->avail_off + AVAIL_BYTES(size);
	return 0;
}

static void virtq_finish(struct virtq *q)
{
	if (q->page != NULL)
		net_env_free(q->page, q->size * sizeof(*q->page));
	if (q->next != NULL)
		net_env_free(q->next, q->size * sizeof(*q->next));
	if (q->chain != NULL)
		net_env_free(q->chain, q->size * sizeof(*q->chain));
}

static int virtnet_pair_init(struct net *net, void *window, unsigned int index)
{
	struct virtnet_pair *pair = &net->dev.pairs[index];
	struct abi_netq *regs = &net->dev.regs->queue[(size_t)2 * index];
	uint64_t offset = ABI_RINGS_OFF + (uint64_t)index * PAIR_BYTES;
	int rc;

	rc = virtq_init(&pair->rx, window, offset, VIRTNET_RX_SIZE, &regs[0]);
	if (rc != 0)
		return rc;
	offset += QUEUE_BYTES(VIRTNET_RX_SIZE);
	rc = virtq_init(&pair->tx, window, offset, VIRTNET_TX_SIZE, &regs[1]);
	if (rc != 0)
		return rc;
	offset += QUEUE_BYTES(VIRTNET_TX_SIZE);
	pair->headers = (uint8_t *)window + offset;
	pair->headers_offset = offset;
	pair->rx_target = VIRTNET_RX_POST_FIRST;
	virtnet_rx_refill(net, pair);
	return 0;
}

int virtnet_init(struct net *net, void *window, struct abi_netdev *regs, unsigned int pairs)
{
	struct virtnet *dev = &net->dev;

	dev->features = regs->device_features & WANTED_FEATURES;
	if (!(dev->features & ABI_F_VERSION_1) || pairs > ABI_MAX_VCPUS)
		return -EINVAL;
	if (!(dev->features & ABI_NET_F_MRG_RXBUF))
		dev->features &= ~(ABI_NET_F_GUEST_TSO4 | ABI_NET_F_GUEST_TSO6);
	dev->pairs = net_env_alloc(pairs * sizeof(*dev->pairs));
	if (dev->pairs == NULL)
		return -ENOMEM;
	dev->regs = regs;
	dev->pair_count = pairs;
	for (unsigned int i = 0; i < pairs; i++) {
		int rc = virtnet_pair_init(net, window, i);

		if (rc != 0)
			return rc;
	}
	regs->driver_features = dev->features;
	/* pairs with leatd's acquire load of driver_status */
	__atomic_store_n(&regs->driver_status, ABI_NET_S_DRIVER_OK, __ATOMIC_RELEASE);
	return 0;
}

void virtnet_finish(struct net *net)
{
	struct virtnet *dev = &net->dev;

	for (unsigned int i = 0; i < dev->pair_count && dev->pairs != NULL; i++) {
		virtq_finish(&dev->pairs[i].rx);
		virtq_finish(&dev->pairs[i].tx);
	}
	if (dev->pairs != NULL)
		net_env_free(dev->pairs, dev->pair_count * sizeof(*dev->pairs));
}

static uint16_t virtq_used_count(const struct virtq *q)
{
	return (uint16_t)(__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) - q->used_seen);
}

static uint16_t virtq_desc_take(struct virtq *q)
{
	uint16_t id = q->free_head;

	q->free_head = q->next[id];
	q->free_count--;
	return id;
}

static void virtq_desc_put(struct virtq *q, uint16_t id)
{
	q->page[id] = BUF_NONE;
	q->chain[id] = 0;
	q->next[id] = q->free_head;
	q->free_head = id;
	q->free_count++;
}

static void virtq_avail_push(struct virtq *q, uint16_t head)
{
	q->avail->ring[q->avail_next % q->size] = head;
	q->avail_next++;
}

/* ---- receive ---- */

/*
 * Where a buffer starts in its page. Pages are 4096 apart, so headers at the same place of each
 * would all fall into the same few sets of the cache.
 */
static uint32_t rx_color(uint32_t page)
{
	return (page % 8) * 128;
}

void virtnet_rx_refill(struct net *net, struct virtnet_pair *pair)
{
	struct virtq *q = &pair->rx;

	while (q->size - q->free_count < pair->rx_target) {
		uint32_t page = buf_page_alloc(&net->pool, true);
		uint32_t offset = rx_color(page);
		uint16_t id;

		if (page == BUF_NONE)
			break;
		id = virtq_desc_take(q);
		q->page[id] = page;
		q->chain[id] = 1;
		q->desc[id].addr = net->pool.base_offset + (uint64_t)page * BUF_BYTES + offset;
		q->desc[id].len = BUF_BYTES - offset;
		q->desc[id].flags = VRING_DESC_F_WRITE;
		virtq_avail_push(q, id);
	}
	if (q->published != q->avail_next) {
		q->published = q->avail_next;
		__atomic_store_n(&q->avail->idx, q->avail_next, __ATOMIC_RELEASE);
	}
}

/* Posts more buffers when bursts come near what is posted, and fewer after a quiet time. */
static void rx_target_adapt(struct virtnet_pair *pair, uint16_t waiting)
{
	if (waiting > pair->rx_peak)
		pair->rx_peak = waiting;
	if (waiting > pair->rx_target / 2 && pair->rx_target < VIRTNET_RX_SIZE)
		pair->rx_target = (uint16_t)(pair->rx_target * 2);
	if (++pair->rx_polls % 4096 != 0)
		return;
	if (pair->rx_peak < pair->rx_target / 8 && pair->rx_target > VIRTNET_RX_POST_LEAST)
		pair->rx_target = (uint16_t)(pair->rx_target / 2);
	pair->rx_peak = 0;
}

bool virtnet_rx_pending(const struct virtnet_pair *pair)
{
	return virtq_used_count(&pair->rx) != 0;
}

/* The next used buffer as a frag, or NULL when the ring says nonsense (that entry is skipped). */
static struct frag *rx_buffer_take(struct net *net, struct virtq *q)
{
	const struct vring_used_elem *elem = &q->used->ring[q->used_seen % q->size];
	uint32_t id = elem->id;
	uint32_t bytes = elem->len;
	struct frag *frag;
	uint32_t page;

	q->used_seen++;
	/* used_event: leatd compares it when the vcpu has parked, so that no frame waits unseen
	 * (window.h) */
	q->avail->ring[q->size] = q->used_seen;
	if (id >= q->size || q->chain[id] == 0)
		return NULL;
	page = q->page[id];
	virtq_desc_put(q, (uint16_t)id);
	frag = bytes <= BUF_BYTES - rx_color(page) ? frag_alloc(&net->pool) : NULL;
	if (frag == NULL) {
		buf_page_unref(&net->pool, page);
		return NULL;
	}
	frag->page = page;
	frag->offset = (uint16_t)rx_color(page);
	frag->bytes = (uint16_t)bytes;
	net->pool.meta[page].used = (uint16_t)(frag->offset + bytes);
	return frag;
}

/* Reads the virtio header (virtio 1.2 section 5.1.6.4) and takes it off. False: drop. */
static bool rx_header_take(struct net *net, struct pkt *pkt)
{
	struct virtio_net_hdr_mrg_rxbuf header;

	if (pkt->data.head->bytes < sizeof(header))
		return false;
	__builtin_memcpy(&header, frag_data(&net->pool, pkt->data.head), sizeof(header));
	frag_list_pull(&net->pool, &pkt->data, sizeof(header));
	pkt->csum_ok = (header.hdr.flags &
			(VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID)) != 0;
	if (header.hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		pkt->gso_bytes = header.hdr.gso_size;
	return pkt->data.head != NULL;
}

bool virtnet_rx(struct net *net, struct virtnet_pair *pair, struct pkt *ret_pkt)
{
	struct virtq *q = &pair->rx;
	uint16_t waiting = virtq_used_count(q);
	uint32_t buffers = 1;

	if (waiting == 0)
		return false;
	rx_target_adapt(pair, waiting);
	*ret_pkt = (struct pkt){0};
	for (uint32_t i = 0; i < buffers; i++) {
		struct frag *frag;

		if (i >= waiting)
			goto bad;
		frag = rx_buffer_take(net, q);
		if (frag == NULL)
			goto bad;
		frag_list_push(&ret_pkt->data, frag);
		if (i == 0 && (net->dev.features & ABI_NET_F_MRG_RXBUF) != 0 &&
		    frag->bytes >= VIRTNET_VNET_BYTES) {
			const struct virtio_net_hdr_mrg_rxbuf *header =
				(const void *)frag_data(&net->pool, frag);

			buffers = header->num_buffers;
		}
	}
	net->stats.rx_packets++;
	net->stats.rx_bytes += ret_pkt->data.bytes;
	if (rx_header_take(net, ret_pkt))
		return true;
bad:
	net->stats.rx_malformed++;
	frag_list_free(&net->pool, &ret_pkt->data);
	return true;
}

/* ---- transmit ---- */

void virtnet_tx_reclaim(struct net *net, struct virtnet_pair *pair)
{
	struct virtq *q = &pair->tx;
	uint16_t count = virtq_used_count(q);

	for (uint16_t i = 0; i < count; i++) {
		uint32_t id = q->used->ring[q->used_seen % q->size].id;
		uint16_t left;

		q->used_seen++;
		if (id >= q->size)
			continue;
		left = q->chain[id];
		while (left-- > 0) {
			uint16_t next = q->next[id];

			if (q->page[id] != BUF_NONE)
				buf_page_unref(&net->pool, q->page[id]);
			virtq_desc_put(q, (uint16_t)id);
			id = next;
		}
	}
}

uint8_t *virtnet_tx_begin(struct net *net, unsigned int ranges, struct virtnet_tx *tx)
{
	unsigned int vcpu = net_env_vcpu();
	struct virtnet_pair *pair;

	if (vcpu >= net->dev.pair_count)
		vcpu = 0;
	pair = &net->dev.pairs[vcpu];
	if (pair->tx.free_count < ranges + 1) {
		virtnet_tx_reclaim(net, pair);
		if (pair->tx.free_count < ranges + 1) {
			net->stats.tx_ring_full++;
			return NULL;
		}
	}
	tx->pair = pair;
	tx->head = virtq_desc_take(&pair->tx);
	tx->last = tx->head;
	pair->tx.chain[tx->head] = 1;
	pair->tx.desc[tx->head].flags = 0;
	return pair->headers + (size_t)tx->head * VIRTNET_HEADER_BYTES;
}

void virtnet_tx_add(struct net *net, struct virtnet_tx *tx, uint32_t page, uint32_t offset,
		    uint32_t bytes)
{
	struct virtq *q = &tx->pair->tx;
	uint16_t id = virtq_desc_take(q);

	buf_page_ref(&net->pool, page);
	q->page[id] = page;
	q->desc[id].addr = net->pool.base_offset + (uint64_t)page * BUF_BYTES + offset;
	q->desc[id].len = bytes;
	q->desc[id].flags = 0;
	q->desc[tx->last].flags = VRING_DESC_F_NEXT;
	q->desc[tx->last].next = id;
	q->next[tx->last] = id;
	q->chain[tx->head]++;
	tx->last = id;
}

void virtnet_tx_end(struct net *net, struct virtnet_tx *tx, uint32_t header_bytes,
		    uint32_t packet_bytes)
{
	struct virtq *q = &tx->pair->tx;

	q->desc[tx->head].addr =
		tx->pair->headers_offset + (uint64_t)tx->head * VIRTNET_HEADER_BYTES;
	q->desc[tx->head].len = header_bytes;
	virtq_avail_push(q, tx->head);
	net->stats.tx_packets++;
	net->stats.tx_bytes += packet_bytes;
}

bool virtnet_tx_pending(const struct virtnet_pair *pair)
{
	const struct virtq *q = &pair->tx;

	return __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) != q->published;
}

void virtnet_tx_publish(struct net *net, unsigned int index)
{
	struct virtq *q = &net->dev.pairs[index].tx;

	if (q->published == q->avail_next)
		return;
	q->published = q->avail_next;
	__atomic_store_n(&q->avail->idx, q->avail_next, __ATOMIC_RELEASE);
	net_env_kick(net, index);
}
