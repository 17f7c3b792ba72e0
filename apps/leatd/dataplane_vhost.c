/*
 * dataplane_vhost.c - ports of vhost-user frontends in the rounds.
 *
 * No vcpu says when they have something: every round looks at all of them. A thread that goes to
 * sleep asks them for kicks, whose eventfds wake it; one that finds frames takes that back. Both
 * happen in any order on several cores: a kick too many costs, and none is missing, since whoever
 * sleeps asked before its last look.
 */
#include "apps/leatd/dataplane_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define SCAN_BUDGET 64U

struct dp_vhost {
	struct dpu_vhost *vhost;
	struct dpu_port *port;
	unsigned nr_queues;
	atomic_bool kicks; /* asked for */
	int kick_fd[ABI_MAX_VCPUS];
};

static _Atomic(struct dp_vhost *) ports[DP_VHOSTS_MAX];
static atomic_uint nr_places;

static unsigned port_scan(struct dp_vhost *v, unsigned by_core, uint64_t now_ns)
{
	unsigned n = 0;

	for (unsigned i = 0; i < v->nr_queues; i++)
		if (dpu_txq_pending(v->port, i) && dpu_txq_ready_ns(v->port, i) <= now_ns)
			n += dpu_txq_poll(v->port, i, by_core, SCAN_BUDGET);
	if (n && atomic_load_explicit(&v->kicks, memory_order_relaxed)) {
		atomic_store_explicit(&v->kicks, false, memory_order_relaxed);
		for (unsigned i = 0; i < v->nr_queues; i++)
			dpu_txq_kicks_set(v->port, i, false);
	}
	return n;
}

unsigned dp_vhost_scan(struct dp_core *core, uint64_t now_ns)
{
	unsigned places = atomic_load_explicit(&nr_places, memory_order_acquire);
	unsigned n = 0;

	for (unsigned i = 0; i < places; i++) {
		struct dp_vhost *v = atomic_load_explicit(&ports[i], memory_order_acquire);

		if (v)
			n += port_scan(v, core->index, now_ns);
	}
	return n;
}

/* Inside a round: ports stay. */
void dp_vhost_kicks_ask(void)
{
	unsigned places = atomic_load_explicit(&nr_places, memory_order_acquire);

	for (unsigned i = 0; i < places; i++) {
		struct dp_vhost *v = atomic_load_explicit(&ports[i], memory_order_acquire);

		if (!v)
			continue;
		atomic_store_explicit(&v->kicks, true, memory_order_relaxed);
		for (unsigned q = 0; q < v->nr_queues; q++)
			dpu_txq_kicks_set(v->port, q, true);
	}
	/* pairs with the driver's, between publishing and reading whether to kick */
	atomic_thread_fence(memory_order_seq_cst);
}

uint64_t dp_vhost_due_ns(void)
{
	unsigned places = atomic_load_explicit(&nr_places, memory_order_acquire);
	uint64_t due_ns = UINT64_MAX;

	for (unsigned i = 0; i < places; i++) {
		struct dp_vhost *v = atomic_load_explicit(&ports[i], memory_order_acquire);

		for (unsigned q = 0; v && q < v->nr_queues; q++)
			if (dpu_txq_pending(v->port, q))
				due_ns = MIN(due_ns, dpu_txq_ready_ns(v->port, q));
	}
	return due_ns;
}

/* dpu_ops.kick_fd. Edge-triggered: the counter is the frontend's, and is never read. */
void dp_kick_fd(void *owner, unsigned queue, int fd)
{
	struct dp_vhost *v = owner;
	struct epoll_event event = {.events = EPOLLIN | EPOLLET | EPOLLEXCLUSIVE, .data.fd = fd};

	for (unsigned i = 0; i < dp.nr_cores; i++) {
		if (v->kick_fd[queue] >= 0)
			epoll_ctl(dp.core[i].epoll_fd, EPOLL_CTL_DEL, v->kick_fd[queue], NULL);
		if (fd >= 0 && epoll_ctl(dp.core[i].epoll_fd, EPOLL_CTL_ADD, fd, &event))
			dp_log("core %u cannot wait for a frontend: %s", dp.core[i].cpu,
			       strerror(errno));
	}
	v->kick_fd[queue] = fd;
}

static int place_take(struct dp_vhost *v)
{
	for (unsigned i = 0; i < DP_VHOSTS_MAX; i++) {
		struct dp_vhost *none = NULL;

		/* release: rounds that see it see it whole */
		if (!atomic_compare_exchange_strong(&ports[i], &none, v))
			continue;
		if (i >= atomic_load(&nr_places))
			atomic_store(&nr_places, i + 1);
		return 0;
	}
	return -ENOSPC;
}

int dataplane_vhost_add(const struct dp_instance_config *config, struct dp_vhost **ret_vhost)
{
	struct dpu_port_config port;
	struct dp_vhost *v;
	int r;

	if (config->nr_vcpus == 0 || config->nr_vcpus > ABI_MAX_VCPUS || !dp.dpu)
		return -EINVAL;
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->nr_queues = config->nr_vcpus;
	memset(v->kick_fd, 0xff, sizeof(v->kick_fd));
	dp_port_config(config, &port);
	port.owner = v;
	r = dpu_vhost_create(dp.dpu, &port, &v->vhost);
	if (r) {
		free(v);
		return r;
	}
	v->port = dpu_vhost_port(v->vhost);
	r = dpu_port_set_limits(v->port, &config->limits);
	if (!r && config->filter)
		r = dpu_port_set_filter(v->port, config->filter);
	if (!r)
		r = place_take(v);
	if (r) {
		dpu_vhost_destroy(v->vhost);
		free(v);
		return r;
	}
	*ret_vhost = v;
	return 0;
}

void dataplane_vhost_remove(struct dp_vhost *v)
{
	if (!v)
		return;
	for (unsigned i = 0; i < DP_VHOSTS_MAX; i++) {
		struct dp_vhost *expected = v;

		atomic_compare_exchange_strong(&ports[i], &expected, NULL);
	}
	dpu_rounds_wait(dp.dpu);
	dpu_vhost_destroy(v->vhost);
	free(v);
}

int dataplane_vhost_connect(struct dp_vhost *v, int fd)
{
	return dpu_vhost_connect(v->vhost, fd);
}

int dataplane_vhost_serve(struct dp_vhost *v)
{
	int r = dpu_vhost_serve(v->vhost);

	/* a queue may have frames already: somebody looks */
	pthread_mutex_lock(&dp.control);
	dp_poke(0);
	dp_deferred_flush();
	pthread_mutex_unlock(&dp.control);
	return r;
}

void dataplane_vhost_disconnect(struct dp_vhost *v)
{
	dpu_vhost_disconnect(v->vhost);
}

void dataplane_vhost_stats(struct dp_vhost *v, struct dp_instance_stats *ret_stats)
{
	memset(ret_stats, 0, sizeof(*ret_stats));
	ret_stats->nr_vcpus = v->nr_queues;
	dpu_port_stats_get(v->port, &ret_stats->port);
	dpu_port_limits_get(v->port, &ret_stats->limits);
	for (unsigned i = 0; i < v->nr_queues; i++)
		(void)dpu_port_queue_stats_get(v->port, i, &ret_stats->queue[i]);
}
