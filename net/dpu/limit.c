/*
 * limit.c - what a port may send and receive: two token buckets a direction, frames and bytes.
 *
 * A bucket is kept as the time at which it will be full again: a frame may pass if that is at most
 * the burst away, and moves it on by what the frame costs. So nobody has to fill buckets, a frame
 * larger than the burst passes a full one, and several threads may take from one at once.
 */
#include "net/dpu/private.h"

#include <errno.h>

#define SECOND_TICKS (1000000000ULL << DPU_TICK_SHIFT)
#define BURST_NS 5000000U /* a burst, if nobody says how much, is what 5 ms would bring ... */
#define WAIT_NS 100000U
#define BURST_FRAMES 64U          /* ... but not less than this */
#define BURST_BYTES (128U * 1024) /* two frames of the greatest length */

static uint64_t ticks(uint64_t units, uint64_t rate)
{
	return units * SECOND_TICKS / rate; /* units <= 2^23 frames or bytes: no overflow */
}

static void bucket_set(struct dpu_bucket *bucket, uint64_t rate, uint64_t burst, uint64_t least)
{
	uint64_t brings = rate / (1000000000U / BURST_NS);

	if (burst == 0)
		burst = MAX(brings, least);
	atomic_store_explicit(&bucket->rate, 0, memory_order_relaxed);
	atomic_store_explicit(&bucket->full_at, 0, memory_order_relaxed);
	if (rate == 0)
		return;
	burst = MIN(burst, (uint64_t)DPU_LIMIT_BURST_MAX);
	atomic_store_explicit(&bucket->burst, burst, memory_order_relaxed);
	atomic_store_explicit(&bucket->burst_ticks, ticks(burst, rate), memory_order_relaxed);
	/* release: who sees the rate sees its burst */
	atomic_store_explicit(&bucket->rate, rate, memory_order_release);
}

/* 0: it may pass now; else the time in ns at which it may. */
static uint64_t bucket_wait(struct dpu_bucket *bucket, uint64_t now_ns)
{
	uint64_t rate = atomic_load_explicit(&bucket->rate, memory_order_acquire);
	uint64_t burst, full_at, may_at, wait_ns;

	if (likely(rate == 0))
		return 0;
	burst = atomic_load_explicit(&bucket->burst_ticks, memory_order_relaxed);
	full_at = atomic_load_explicit(&bucket->full_at, memory_order_relaxed);
	may_at = burst + (now_ns << DPU_TICK_SHIFT);
	if (full_at < may_at)
		return 0;
	wait_ns = ((full_at - may_at) >> DPU_TICK_SHIFT) + 1;
	/* what comes meanwhile is not lost while the burst has room for it: fewer looks at it */
	return now_ns + MAX(wait_ns, MIN(burst >> (DPU_TICK_SHIFT + 2), (uint64_t)WAIT_NS));
}

static void bucket_take(struct dpu_bucket *bucket, uint64_t units, uint64_t now_ns)
{
	uint64_t rate = atomic_load_explicit(&bucket->rate, memory_order_acquire);
	uint64_t full_at = atomic_load_explicit(&bucket->full_at, memory_order_relaxed);
	uint64_t now = now_ns << DPU_TICK_SHIFT;

	if (rate == 0)
		return;
	/* ends: whoever makes it fail has moved on */
	while (!atomic_compare_exchange_weak_explicit(&bucket->full_at, &full_at,
						      MAX(full_at, now) + ticks(units, rate),
						      memory_order_relaxed, memory_order_relaxed))
		;
}

uint64_t dpu_limit_wait(struct dpu_limit *limit, uint64_t now_ns)
{
	uint64_t frames_ns = bucket_wait(&limit->frames, now_ns);
	uint64_t bytes_ns = bucket_wait(&limit->bytes, now_ns);

	return MAX(frames_ns, bytes_ns);
}

void dpu_limit_take(struct dpu_limit *limit, uint32_t bytes, uint64_t now_ns)
{
	bucket_take(&limit->frames, 1, now_ns);
	bucket_take(&limit->bytes, bytes, now_ns);
}

int dpu_port_set_limits(struct dpu_port *port, const struct dpu_limits *limits)
{
	struct dpu_limit *both[] = {&port->limit_tx, &port->limit_rx};

	if (limits->pps > DPU_LIMIT_MAX || limits->bytes_per_s > DPU_LIMIT_MAX)
		return -ERANGE;
	pthread_mutex_lock(&port->dpu->control);
	for (unsigned i = 0; i < 2; i++) {
		bucket_set(&both[i]->frames, limits->pps, limits->pps_burst, BURST_FRAMES);
		bucket_set(&both[i]->bytes, limits->bytes_per_s, limits->bytes_burst, BURST_BYTES);
	}
	pthread_mutex_unlock(&port->dpu->control);
	for (unsigned i = 0; i < port->config.nr_queue_pairs; i++)
		atomic_store_explicit(&port->txq[i].ready_ns, 0, memory_order_relaxed);
	return 0;
}

void dpu_port_limits_get(const struct dpu_port *port, struct dpu_limits *ret_limits)
{
	const struct dpu_limit *limit = &port->limit_tx;

	*ret_limits = (struct dpu_limits){.pps = limit->frames.rate,
					  .pps_burst = limit->frames.burst,
					  .bytes_per_s = limit->bytes.rate,
					  .bytes_burst = limit->bytes.burst};
}

uint64_t dpu_txq_ready_ns(const struct dpu_port *port, unsigned queue)
{
	return atomic_load_explicit(&port->txq[queue].ready_ns, memory_order_relaxed);
}
