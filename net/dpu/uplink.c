/*
 * uplink.c - the way out of the machine's own switch: a TAP with virtio-net headers.
 *
 * A raw TAP and not DPDK's net_tap PMD: with IFF_VNET_HDR a frame of 64 KiB and its unfinished
 * checksum cross to and from the host's kernel as they are, in one system call, where the PMD cuts
 * and sums in software (figures: docs/dataplane.md). Frames wait in mbufs of DPDK.
 */
#include "net/dpu/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_mbuf.h>

/* A frame of DPU_FRAME_MAX needs two: an mbuf's data room is less than 64 KiB. */
#define UPLINK_MBUF_BYTES 33024U
#define UPLINK_MBUFS 4U

struct dpu_uplink {
	struct dpu *dpu;
	int fd;
	atomic_uint rx_lock;
	/* guarded by rx_lock */
	struct rte_mempool *pool;
	struct rte_mbuf *mbuf[2];
	size_t waiting_bytes; /* a frame in the mbufs waits for its receiver; 0: none */
	uint64_t held_since_ns;
	struct virtio_net_hdr_mrg_rxbuf hdr;
	dpu_counter rx_packets, rx_bytes, tx_packets, tx_bytes;
	dpu_counter drops[DPU_DROP_COUNT];
};

static void uplink_destroy(struct dpu_uplink *uplink)
{
	if (!uplink)
		return;
	rte_pktmbuf_free(uplink->mbuf[0]);
	rte_pktmbuf_free(uplink->mbuf[1]);
	rte_mempool_free(uplink->pool);
	if (uplink->fd >= 0)
		close(uplink->fd);
	free(uplink);
}

int dpu_uplink_attach_tap(struct dpu *dpu, int fd, struct dpu_uplink **ret_uplink)
{
	struct dpu_uplink *uplink = calloc(1, sizeof(*uplink));
	struct dpu_uplink *none = NULL;
	int r = -ENOMEM;

	if (!uplink)
		return -ENOMEM;
	uplink->dpu = dpu;
	uplink->fd = -1; /* the caller's until we succeed */
	uplink->pool =
		rte_pktmbuf_pool_create("leat-uplink", UPLINK_MBUFS, 0, 0,
					UPLINK_MBUF_BYTES + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	if (!uplink->pool)
		goto fail;
	uplink->mbuf[0] = rte_pktmbuf_alloc(uplink->pool);
	uplink->mbuf[1] = rte_pktmbuf_alloc(uplink->pool);
	if (!uplink->mbuf[0] || !uplink->mbuf[1])
		goto fail;
	uplink->fd = fd;
	/* release: rounds that see the uplink see it whole */
	if (!atomic_compare_exchange_strong_explicit(&dpu->uplink, &none, uplink,
						     memory_order_release, memory_order_relaxed)) {
		uplink->fd = -1;
		r = -EBUSY;
		goto fail;
	}
	*ret_uplink = uplink;
	return 0;
fail:
	uplink_destroy(uplink);
	return r;
}

void dpu_uplink_detach(struct dpu_uplink *uplink)
{
	if (!uplink)
		return;
	pthread_mutex_lock(&uplink->dpu->control);
	atomic_store_explicit(&uplink->dpu->uplink, NULL, memory_order_relaxed);
	dpu_synchronize(uplink->dpu);
	pthread_mutex_unlock(&uplink->dpu->control);
	uplink_destroy(uplink);
}

int dpu_uplink_fd(const struct dpu_uplink *uplink)
{
	return uplink->fd;
}

void dpu_uplink_drop(struct dpu_uplink *uplink, enum dpu_drop drop)
{
	dpu_count(&uplink->drops[drop], 1);
}

/* 0 or negative errno; payload goes from the sender's window to the kernel in its one copy. */
int dpu_uplink_send(struct dpu_uplink *uplink, const struct dpu_frame *frame)
{
	struct virtio_net_hdr_mrg_rxbuf hdr = frame->hdr;
	struct iovec iov[DPU_CHAIN_MAX + 2];

	hdr.num_buffers = 0;
	iov[0] = (struct iovec){&hdr, sizeof(hdr)};
	iov[1] = (struct iovec){frame->head, frame->head_bytes};
	for (unsigned i = 0; i < frame->nr_segs; i++)
		iov[i + 2] = (struct iovec){frame->seg[i].base, frame->seg[i].bytes};
	if (writev(uplink->fd, iov, (int)frame->nr_segs + 2) < 0) {
		int r = -errno;

		dpu_uplink_drop(uplink, DPU_DROP_UPLINK_FULL);
		return r;
	}
	dpu_count(&uplink->tx_packets, 1);
	dpu_count(&uplink->tx_bytes, frame->len);
	return 0;
}

/* Reads the next frame into the mbufs, unless one waits there. 1 or 0. */
static int uplink_fill(struct dpu_uplink *uplink)
{
	struct iovec iov[3] = {
		{&uplink->hdr, sizeof(uplink->hdr)},
		{rte_pktmbuf_mtod(uplink->mbuf[0], void *), UPLINK_MBUF_BYTES},
		{rte_pktmbuf_mtod(uplink->mbuf[1], void *), UPLINK_MBUF_BYTES},
	};
	ssize_t n;

	if (uplink->waiting_bytes)
		return 1;
	n = readv(uplink->fd, iov, 3);
	if (n <= (ssize_t)sizeof(uplink->hdr))
		return 0;
	uplink->waiting_bytes = (size_t)n - sizeof(uplink->hdr);
	uplink->held_since_ns = 0;
	dpu_count_owned(&uplink->rx_packets, 1);
	dpu_count_owned(&uplink->rx_bytes, uplink->waiting_bytes);
	return 1;
}

static void uplink_frame(const struct dpu_uplink *uplink, struct dpu_frame *ret_frame)
{
	uint32_t len = (uint32_t)uplink->waiting_bytes;

	ret_frame->hdr = uplink->hdr;
	ret_frame->len = len;
	ret_frame->head = rte_pktmbuf_mtod(uplink->mbuf[0], uint8_t *);
	ret_frame->head_bytes = MIN(len, UPLINK_MBUF_BYTES);
	ret_frame->nr_segs = 0;
	if (len > UPLINK_MBUF_BYTES) {
		ret_frame->nr_segs = 1;
		ret_frame->seg[0].base = rte_pktmbuf_mtod(uplink->mbuf[1], uint8_t *);
		ret_frame->seg[0].bytes = len - UPLINK_MBUF_BYTES;
	}
}

unsigned dpu_uplink_poll(struct dpu *dpu, unsigned core, unsigned budget)
{
	struct dpu_uplink *uplink = atomic_load_explicit(&dpu->uplink, memory_order_acquire);
	uint64_t now_ns = dpu->core[core].now_ns;
	struct dpu_frame frame;
	unsigned taken = 0;

	if (!uplink || !dpu_trylock(&uplink->rx_lock))
		return 0;
	while (taken < budget && uplink_fill(uplink)) {
		uplink_frame(uplink, &frame);
		if (dpu_switch_from_uplink(dpu, core, uplink, &frame) == DPU_BUSY) {
			if (uplink->held_since_ns == 0)
				uplink->held_since_ns = now_ns;
			if (now_ns - uplink->held_since_ns < DPU_HOLD_NS)
				break;
			dpu_uplink_drop(uplink, DPU_DROP_RX_FULL);
		}
		uplink->waiting_bytes = 0;
		taken++;
	}
	dpu_unlock(&uplink->rx_lock);
	dpu_touched_flush(dpu, core);
	return taken;
}

void dpu_uplink_stats_get(struct dpu *dpu, struct dpu_uplink_stats *ret_stats)
{
	struct dpu_uplink *uplink;

	memset(ret_stats, 0, sizeof(*ret_stats));
	pthread_mutex_lock(&dpu->control);
	uplink = atomic_load_explicit(&dpu->uplink, memory_order_acquire);
	if (uplink) {
		ret_stats->rx_packets = uplink->rx_packets;
		ret_stats->rx_bytes = uplink->rx_bytes;
		ret_stats->tx_packets = uplink->tx_packets;
		ret_stats->tx_bytes = uplink->tx_bytes;
		for (unsigned i = 0; i < DPU_DROP_COUNT; i++)
			ret_stats->drops[i] = uplink->drops[i];
	}
	pthread_mutex_unlock(&dpu->control);
}
