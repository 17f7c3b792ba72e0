/*
 * dpu.c - the DPU as a whole: its life, its rounds, and how a control thread waits for them.
 */
#include "net/dpu/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int dpu_create(const struct dpu_config *config, struct dpu **ret_dpu)
{
	struct dpu_table *table;
	struct dpu *dpu;
	int r;

	if (config->nr_cores == 0 || config->nr_cores > DPU_MAX_CORES || !config->ops.work)
		return -EINVAL;
	dpu = aligned_alloc(64, sizeof(*dpu));
	if (!dpu)
		return -ENOMEM;
	memset(dpu, 0, sizeof(*dpu));
	dpu->config = *config;
	r = dpu_table_build(NULL, 0, &table);
	if (r) {
		free(dpu);
		return r;
	}
	atomic_init(&dpu->table, table);
	pthread_mutex_init(&dpu->control, NULL);
	*ret_dpu = dpu;
	return 0;
}

void dpu_destroy(struct dpu *dpu)
{
	if (!dpu)
		return;
	pthread_mutex_destroy(&dpu->control);
	free(atomic_load(&dpu->table));
	free(dpu);
}

void dpu_round_begin(struct dpu *dpu, unsigned core, uint64_t now_ns)
{
	struct dpu_core *c = &dpu->core[core];
	uint64_t seq = atomic_load_explicit(&c->seq, memory_order_relaxed);

	c->now_ns = now_ns;
	atomic_store_explicit(&c->seq, seq + 1, memory_order_relaxed);
	/* pairs with dpu_synchronize: either it sees us inside, or we see its new pointers */
	atomic_thread_fence(memory_order_seq_cst);
}

void dpu_round_end(struct dpu *dpu, unsigned core)
{
	struct dpu_core *c = &dpu->core[core];
	uint64_t seq = atomic_load_explicit(&c->seq, memory_order_relaxed);

	/* release: our last use of a pointer comes before whoever frees it */
	atomic_store_explicit(&c->seq, seq + 1, memory_order_release);
}

/* Returns when every round that may have seen the old pointers has ended. Holds dpu->control. */
void dpu_synchronize(struct dpu *dpu)
{
	const struct timespec nap = {.tv_nsec = 20000};

	atomic_thread_fence(memory_order_seq_cst); /* pairs with dpu_round_begin */
	for (unsigned i = 0; i < dpu->config.nr_cores; i++) {
		uint64_t seq = atomic_load_explicit(&dpu->core[i].seq, memory_order_acquire);

		if (!(seq & 1))
			continue;
		/* a round is bounded, so this ends */
		while (atomic_load_explicit(&dpu->core[i].seq, memory_order_acquire) == seq)
			nanosleep(&nap, NULL);
	}
}

void dpu_rounds_wait(struct dpu *dpu)
{
	pthread_mutex_lock(&dpu->control);
	dpu_synchronize(dpu);
	pthread_mutex_unlock(&dpu->control);
}

/* Does this thread hold the queue's lock, for the poll that is under way? */
bool dpu_touched(const struct dpu_core *core, const struct dpu_port *port, unsigned queue)
{
	for (unsigned i = core->nr_touched; i-- > 0;)
		if (core->touched[i].port == port && core->touched[i].queue == queue)
			return true;
	return false;
}

/* The caller has just taken the queue's lock: it is let go at the end of the poll. */
void dpu_touch(struct dpu_core *core, struct dpu_port *port, unsigned queue)
{
	if (core->nr_touched == DPU_TOUCHED_MAX)
		dpu_touched_flush(port->dpu, (unsigned)(core - port->dpu->core));
	core->touched[core->nr_touched++] = (struct dpu_touch){port, queue};
}

/* Shows drivers what their queues were given, lets go of these, and tells the embedder. */
void dpu_touched_flush(struct dpu *dpu, unsigned core)
{
	struct dpu_core *c = &dpu->core[core];
	unsigned given = 0;

	if (c->nr_touched == 0)
		return;
	for (unsigned i = 0; i < c->nr_touched; i++) {
		struct dpu_touch touch = c->touched[i];
		struct dpu_vq *rxq = &touch.port->rxq[touch.queue];

		if (rxq->nr_unpublished)
			c->touched[given++] = touch;
		dpu_vq_publish(rxq);
		dpu_unlock(&rxq->lock);
	}
	/*
	 * Pairs with the fence between parked_grant and the kthread's last look at its used ring
	 * (window.h): either it sees the frames, or work() sees it parked.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	for (unsigned i = 0; i < given; i++) {
		const struct dpu_port *port = c->touched[i].port;

		if (port->config.window)
			dpu->config.ops.work(port->config.owner, c->touched[i].queue, core,
					     c->now_ns);
	}
	c->nr_touched = 0;
}

const char *dpu_drop_name(enum dpu_drop drop)
{
	static const char *const names[DPU_DROP_COUNT] = {
		[DPU_DROP_NO_FILTER] = "no_filter",
		[DPU_DROP_EGRESS] = "egress_filter",
		[DPU_DROP_INGRESS] = "ingress_filter",
		[DPU_DROP_RX_FULL] = "rx_full",
		[DPU_DROP_RX_DOWN] = "rx_down",
		[DPU_DROP_TENANT] = "tenant",
		[DPU_DROP_NO_PORT] = "no_port",
		[DPU_DROP_OFFLOAD] = "offload",
		[DPU_DROP_LENGTH] = "length",
		[DPU_DROP_UPLINK_FULL] = "uplink_full",
		[DPU_DROP_UPLINK_GROUP] = "uplink_group",
		[DPU_DROP_LIMIT] = "limit",
	};

	return (unsigned)drop < DPU_DROP_COUNT ? names[drop] : "?";
}

const char *dpu_reason_name(enum dpu_reason reason)
{
	static const char *const names[DPU_REASON_COUNT] = {
		[DPU_REASON_NONE] = "none",
		[DPU_REASON_SIZE] = "bad_size",
		[DPU_REASON_LAYOUT] = "bad_layout",
		[DPU_REASON_FEATURES] = "bad_features",
		[DPU_REASON_AVAIL] = "avail_jump",
		[DPU_REASON_INDEX] = "bad_index",
		[DPU_REASON_CHAIN] = "bad_chain",
		[DPU_REASON_RANGE] = "out_of_window",
		[DPU_REASON_EMPTY] = "empty_buffer",
		[DPU_REASON_FLAGS] = "bad_flags",
		[DPU_REASON_DISABLED] = "disabled",
		[DPU_REASON_FAULT] = "memory_gone",
		[DPU_REASON_INDIRECT] = "bad_indirect",
	};

	return (unsigned)reason < DPU_REASON_COUNT ? names[reason] : "?";
}
