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
}

void driver_rx_give(struct driver *driver, unsigned pair, uint16_t index)
{
	struct driver_queue *q = &driver->rx[pair];
	uint16_t idx = q->avail->idx;

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
	driver->nr_pairs = driver->dev->nr_queue_pairs;
	for (unsigned i = 0; i < driver->nr_pairs; i++) {
		queue_lay_out(driver, &driver->rx[i], &driver->dev->queue[2 * i], 2 * i);
		queue_lay_out(driver, &driver->tx[i], &driver->dev->queue[2 * i + 1], 2 * i + 1);
		for (uint16_t b = 0; b < rx_buffers; b++)
			driver_rx_give(driver, i, b);
	}
	driver->dev->driver_features = driver->dev->device_features;
	__atomic_store_n(&driver->dev->driver_status, ABI_NET_S_DRIVER_OK, __ATOMIC_RELEASE);
}

bool driver_send(struct driver *driver, unsigned pair, const struct virtio_net_hdr *hdr,
		 const void *frame, size_t bytes, size_t cut)
{
	struct driver_queue *q = &driver->tx[pair];
	uint16_t idx = q->avail->idx;
	uint16_t head = q->next_desc;
	struct virtio_net_hdr_mrg_rxbuf full = {0};
	uint16_t d = head;
	size_t at = 0;

	if ((bytes + cut - 1) / cut + 1 > q->size || cut > DRIVER_BUFFER_BYTES)
		return false;
	if (hdr)
		full.hdr = *hdr;
	memcpy(driver->window + q->buffers_off + d * DRIVER_BUFFER_BYTES, &full, sizeof(full));
	q->desc[d] = (struct vring_desc){.addr = q->buffers_off + d * DRIVER_BUFFER_BYTES,
					 .len = DRIVER_HDR_BYTES};
	while (at < bytes) {
		size_t n = bytes - at < cut ? bytes - at : cut;
		uint16_t next = (uint16_t)((d + 1) % q->size);

		q->desc[d].flags |= VRING_DESC_F_NEXT;
		q->desc[d].next = next;
		d = next;
		memcpy(driver->window + q->buffers_off + d * DRIVER_BUFFER_BYTES,
		       (const char *)frame + at, n);
		q->desc[d] = (struct vring_desc){.addr = q->buffers_off + d * DRIVER_BUFFER_BYTES,
						 .len = (uint32_t)n};
		at += n;
	}
	q->next_desc = (uint16_t)((d + 1) % q->size);
	q->avail->ring[idx % q->size] = head;
	__atomic_store_n(&q->avail->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
	return true;
}

unsigned driver_reclaim(struct driver *driver, unsigned pair)
{
	struct driver_queue *q = &driver->tx[pair];
	uint16_t used = __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE);
	unsigned n = (uint16_t)(used - q->used_seen);

	q->used_seen = used;
	return n;
}

size_t driver_receive(struct driver *driver, unsigned pair,
		      struct virtio_net_hdr_mrg_rxbuf *ret_hdr, void *frame, size_t room)
{
	struct driver_queue *q = &driver->rx[pair];
	size_t bytes = 0;

	if (__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) == q->used_seen)
		return 0;
	for (unsigned i = 0, n = 1; i < n; i++) {
		struct vring_used_elem elem = q->used->ring[q->used_seen % q->size];
		const char *from = driver->window + q->desc[elem.id].addr;
		size_t skip = 0;

		if (i == 0) {
			memcpy(ret_hdr, from, sizeof(*ret_hdr));
			skip = sizeof(*ret_hdr);
			n = ret_hdr->num_buffers;
		}
		if (bytes + elem.len - skip <= room)
			memcpy((char *)frame + bytes, from + skip, elem.len - skip);
		bytes += elem.len - skip;
		q->used_seen++;
		q->avail->ring[q->size] = q->used_seen; /* used_event */
		driver_rx_give(driver, pair, (uint16_t)elem.id);
	}
	return bytes;
}
