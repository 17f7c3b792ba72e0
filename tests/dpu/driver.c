/*
 * driver.c - a fake instance's driver (driver.h).
 *
 * Each transmit descriptor n has buffer n; a chain is n, n+1, ..., and descriptors are used in
 * turn.
 */
#include "tests/dpu/driver.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int driver_create(struct driver *ret_driver)
{
	int fd = memfd_create("window", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	memset(ret_driver, 0, sizeof(*ret_driver));
	if (fd < 0 || ftruncate(fd, DRIVER_WINDOW_BYTES) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -1;
	ret_driver->fd = fd;
	ret_driver->window =
		mmap(NULL, DRIVER_WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ret_driver->dev = abi_netdev_of(ret_driver->window);
	return ret_driver->window == MAP_FAILED ? -1 : 0;
}

void driver_destroy(struct driver *driver)
{
	munmap(driver->window, DRIVER_WINDOW_BYTES);
	close(driver->fd);
}

static void queue_lay_out(struct driver *driver, struct driver_queue *q, struct abi_netq *netq,
			  unsigned n)
{
	uint64_t at = ABI_RINGS_OFF + n * 8192UL;

	q->size = DRIVER_RING;
	q->used_seen = 0;
	q->desc = (void *)(driver->window + at);
	q->avail = (void *)(driver->window + at + 4096);
	q->used = (void *)(driver->window + at + 6144);
	q->buffers_off = ABI_BUFS_OFF + n * (uint64_t)DRIVER_RING * DRIVER_BUFFER_BYTES;
	*netq = (struct abi_netq){
		.size = DRIVER_RING,
		.desc_off = at,
		.avail_off = at + 4096,
		.used_off = at + 6144,
	};
	q->tables_off = ABI_RINGS_OFF + (1UL << 20) +
			n * (uint64_t)DRIVER_RING * DRIVER_RING * sizeof(struct vring_desc);
	if (driver->packed)
		driver_packed_init(q, netq, driver->window);
}

void driver_rx_give(struct driver *driver, unsigned pair, uint16_t index)
{
	struct driver_queue *q = &driver->rx[pair];
	uint16_t idx;

	if (driver->packed) {
		driver_packed_rx_give(q, index);
		return;
	}
	idx = q->avail->idx;
	q->desc[index] = (struct vring_desc){
		.addr = q->buffers_off + index * DRIVER_BUFFER_BYTES,
		.len = DRIVER_BUFFER_BYTES,
		.flags = VRING_DESC_F_WRITE,
	};
	q->avail->ring[idx % q->size] = index;
	__atomic_store_n(&q->avail->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
}

void driver_start(struct driver *driver, unsigned rx_buffers)
{
	uint64_t unwanted = driver->packed ? 0 : ABI_F_RING_PACKED;

	driver->nr_pairs = driver->dev->nr_queue_pairs;
	for (unsigned i = 0; i < driver->nr_pairs; i++) {
		queue_lay_out(driver, &driver->rx[i], &driver->dev->queue[2 * i], 2 * i);
		queue_lay_out(driver, &driver->tx[i], &driver->dev->queue[2 * i + 1], 2 * i + 1);
		for (uint16_t b = 0; b < rx_buffers; b++)
			driver_rx_give(driver, i, b);
	}
	driver->dev->driver_features = driver->dev->device_features & ~unwanted;
	__atomic_store_n(&driver->dev->driver_status, ABI_NET_S_DRIVER_OK, __ATOMIC_RELEASE);
}

/* Copies header and frame into the buffers from `head` on. Returns how many. */
static unsigned parts_fill(struct driver *driver, const struct driver_queue *q, unsigned head,
			   const struct virtio_net_hdr *hdr, const void *frame, size_t bytes,
			   size_t cut, struct driver_part *ret_part)
{
	struct virtio_net_hdr_mrg_rxbuf full = {0};
	unsigned nr = 1;

	if (hdr)
		full.hdr = *hdr;
	ret_part[0] = (struct driver_part){.bytes = DRIVER_HDR_BYTES};
	for (size_t at = 0; at < bytes; at += cut)
		ret_part[nr++].bytes = (uint32_t)(bytes - at < cut ? bytes - at : cut);
	for (unsigned i = 0; i < nr; i++) {
		ret_part[i].off = q->buffers_off + (head + i) % q->size * DRIVER_BUFFER_BYTES;
		ret_part[i].flags = 0;
		memcpy(driver->window + ret_part[i].off,
		       i ? (const char *)frame + (i - 1) * cut : (const char *)&full,
		       ret_part[i].bytes);
	}
	return nr;
}

/* Puts the parts into the table of `head`, and makes a single part of that. */
static void parts_into_table(struct driver *driver, const struct driver_queue *q, unsigned head,
			     struct driver_part *part, unsigned nr)
{
	uint64_t off = q->tables_off + head * DRIVER_RING * sizeof(struct vring_desc);
	struct vring_desc *split = (void *)(driver->window + off);
	struct vring_packed_desc *packed = (void *)(driver->window + off);

	for (unsigned i = 0; i < nr; i++) {
		if (driver->packed)
			packed[i] = (struct vring_packed_desc){part[i].off, part[i].bytes, 0, 0};
		else
			split[i] = (struct vring_desc){part[i].off, part[i].bytes,
						       i + 1 < nr ? VRING_DESC_F_NEXT : 0,
						       (uint16_t)(i + 1)};
	}
	*part = (struct driver_part){off, (uint32_t)(nr * sizeof(*split)), VRING_DESC_F_INDIRECT};
}

static void split_send(struct driver_queue *q, unsigned head, const struct driver_part *part,
		       unsigned nr)
{
	uint16_t idx = q->avail->idx;

	for (unsigned i = 0; i < nr; i++)
		q->desc[(head + i) % q->size] =
			(struct vring_desc){part[i].off, part[i].bytes,
					    (uint16_t)(part[i].flags |
						       (i + 1 < nr ? VRING_DESC_F_NEXT : 0)),
					    (uint16_t)((head + i + 1) % q->size)};
	q->avail->ring[idx % q->size] = (uint16_t)head;
	__atomic_store_n(&q->avail->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
}

bool driver_send(struct driver *driver, unsigned pair, const struct virtio_net_hdr *hdr,
		 const void *frame, size_t bytes, size_t cut)
{
	struct driver_queue *q = &driver->tx[pair];
	unsigned head = driver->packed ? q->avail_at & 0x7fffU : q->next_desc;
	struct driver_part part[DRIVER_RING];
	unsigned nr, slots;

	if ((bytes + cut - 1) / cut + 1 > q->size || cut > DRIVER_BUFFER_BYTES)
		return false;
	nr = slots = parts_fill(driver, q, head, hdr, frame, bytes, cut, part);
	if (driver->indirect) {
		parts_into_table(driver, q, head, part, nr);
		slots = 1;
	}
	if (driver->packed)
		driver_packed_send(q, part, slots);
	else
		split_send(q, head, part, slots);
	q->next_desc = (uint16_t)((head + nr) % q->size);
	return true;
}

unsigned driver_reclaim(struct driver *driver, unsigned pair)
{
	struct driver_queue *q = &driver->tx[pair];
	uint16_t used;
	unsigned n;

	if (driver->packed)
		return driver_packed_reclaim(q);
	used = __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE);
	n = (uint16_t)(used - q->used_seen);
	q->used_seen = used;
	return n;
}

static bool rx_take(struct driver *driver, struct driver_queue *q, struct vring_used_elem *ret_elem)
{
	if (driver->packed)
		return driver_packed_take(q, ret_elem);
	if (__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) == q->used_seen)
		return false;
	*ret_elem = q->used->ring[q->used_seen % q->size];
	q->used_seen++;
	q->avail->ring[q->size] = q->used_seen; /* used_event */
	return true;
}

size_t driver_receive(struct driver *driver, unsigned pair,
		      struct virtio_net_hdr_mrg_rxbuf *ret_hdr, void *frame, size_t room)
{
	struct driver_queue *q = &driver->rx[pair];
	struct vring_used_elem elem;
	size_t bytes = 0;

	for (unsigned i = 0, n = 1; i < n && rx_take(driver, q, &elem); i++) {
		const char *from = driver->window + q->buffers_off + elem.id * DRIVER_BUFFER_BYTES;
		size_t skip = 0;

		if (i == 0) {
			memcpy(ret_hdr, from, sizeof(*ret_hdr));
			skip = sizeof(*ret_hdr);
			n = ret_hdr->num_buffers;
		}
		if (bytes + elem.len - skip <= room)
			memcpy((char *)frame + bytes, from + skip, elem.len - skip);
		bytes += elem.len - skip;
		driver_rx_give(driver, pair, (uint16_t)elem.id);
	}
	return bytes;
}
