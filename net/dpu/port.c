/*
 * port.c - ports come and go, and say what passed through them.
 */
#include "net/dpu/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Replaces the snapshot by one with `add` and without `remove`; either may be NULL. Holds control.
 */
static int table_replace(struct dpu *dpu, struct dpu_port *add, struct dpu_port *gone)
{
	struct dpu_table *old = atomic_load_explicit(&dpu->table, memory_order_relaxed);
	struct dpu_port **ports = malloc((old->nr_ports + 1) * sizeof(*ports));
	struct dpu_table *table;
	unsigned nr = 0;
	int r;

	if (!ports)
		return -ENOMEM;
	for (unsigned i = 0; i < old->nr_ports; i++)
		if (old->port[i] != gone)
			ports[nr++] = old->port[i];
	if (add)
		ports[nr++] = add;
	r = dpu_table_build(ports, nr, &table);
	free(ports);
	if (r)
		return r;
	/* release: pairs with the acquire in switch.c */
	atomic_store_explicit(&dpu->table, table, memory_order_release);
	dpu_synchronize(dpu);
	free(old);
	return 0;
}

static void port_free(struct dpu_port *port)
{
	if (!port)
		return;
	free(port->txq);
	free(port->rxq);
	free(port);
}

static struct dpu_port *port_alloc(struct dpu *dpu, const struct dpu_port_config *config)
{
	struct dpu_port *port = calloc(1, sizeof(*port));
	size_t bytes = config->nr_queue_pairs * sizeof(struct dpu_vq);

	if (!port)
		return NULL;
	port->dpu = dpu;
	port->config = *config;
	port->mac_key = dpu_mac_key(config->mac);
	port->txq = aligned_alloc(64, bytes);
	port->rxq = aligned_alloc(64, bytes);
	if (!port->txq || !port->rxq) {
		port_free(port);
		return NULL;
	}
	memset(port->txq, 0, bytes);
	memset(port->rxq, 0, bytes);
	for (unsigned i = 0; i < config->nr_queue_pairs; i++) {
		atomic_init(&port->txq[i].call_fd, -1);
		atomic_init(&port->rxq[i].call_fd, -1);
	}
	return port;
}

/* leatd's half of the register block. */
static void netdev_fill(const struct dpu *dpu, const struct dpu_port_config *config)
{
	struct abi_netdev *dev = abi_netdev_of(config->window);

	dev->device_features = DPU_FEATURES;
	memcpy(dev->mac, config->mac, sizeof(dev->mac));
	dev->mtu = config->mtu;
	dev->ipv4_be = config->ipv4_be;
	dev->gateway_be = config->gateway_be;
	dev->prefix_len = config->prefix_len;
	dev->dns_be = dpu->config.service_ip_be;
	memcpy(dev->ipv6, config->ipv6, sizeof(dev->ipv6));
	dev->prefix6_len = config->prefix6_len;
	dev->device_status = 0;
	dev->device_reason = DPU_REASON_NONE;
	dev->nr_queue_pairs = config->nr_queue_pairs;
}

/* Known, if it clashes with nobody. Holds control. */
static int port_publish(struct dpu *dpu, struct dpu_port *port)
{
	const struct dpu_table *table = atomic_load_explicit(&dpu->table, memory_order_relaxed);
	int r;

	if (table->nr_ports == DPU_MAX_PORTS)
		return -ENOSPC;
	if (dpu_table_by_mac(table, port->mac_key) ||
	    (port->config.ipv4_be && dpu_table_by_ip(table, port->config.ipv4_be)))
		return -EEXIST;
	if (port->config.window)
		netdev_fill(dpu, &port->config);
	r = dpu_sigbus_watch(port);
	if (r)
		return r;
	r = table_replace(dpu, port, NULL);
	if (r)
		dpu_sigbus_unwatch(port);
	return r;
}

int dpu_port_attach(struct dpu *dpu, const struct dpu_port_config *config,
		    struct dpu_port **ret_port)
{
	struct dpu_port *port;
	int r;

	if (config->nr_queue_pairs == 0 || config->nr_queue_pairs > ABI_MAX_VCPUS ||
	    (config->window && config->window_bytes <= ABI_RINGS_OFF) || config->id == 0 ||
	    config->tenant == 0 || (config->mac[0] & 1) || config->mtu < 68)
		return -EINVAL;
	port = port_alloc(dpu, config);
	if (!port)
		return -ENOMEM;
	pthread_mutex_lock(&dpu->control);
	r = port_publish(dpu, port);
	pthread_mutex_unlock(&dpu->control);
	if (r) {
		port_free(port);
		return r;
	}
	*ret_port = port;
	return 0;
}

void dpu_port_detach(struct dpu_port *port)
{
	struct dpu *dpu;

	if (!port)
		return;
	dpu = port->dpu;
	pthread_mutex_lock(&dpu->control);
	while (table_replace(dpu, NULL, port) == -ENOMEM)
		; /* a port that may not go must not be freed either: try until memory is there */
	dpu_sigbus_unwatch(port);
	pthread_mutex_unlock(&dpu->control);
	dpu_port_capture_stop(port);
	(void)dpu_port_set_filter(port, NULL); /* cannot fail: it only takes away */
	port_free(port);
}

void dpu_port_stats_get(struct dpu_port *port, struct dpu_port_stats *ret_stats)
{
	memset(ret_stats, 0, sizeof(*ret_stats));
	ret_stats->nr_queue_pairs = port->config.nr_queue_pairs;
	for (unsigned i = 0; i < port->config.nr_queue_pairs; i++) {
		ret_stats->egress_runs += port->txq[i].filter_runs;
		ret_stats->ingress_runs += port->rxq[i].filter_runs;
	}
	for (unsigned i = 0; i < DPU_DROP_COUNT; i++) {
		ret_stats->drops_tx[i] = port->drops_tx[i];
		ret_stats->drops_rx[i] = port->drops_rx[i];
	}
}

int dpu_port_queue_stats_get(struct dpu_port *port, unsigned queue,
			     struct dpu_queue_stats *ret_stats)
{
	const struct dpu_vq *tx, *rx;

	if (queue >= port->config.nr_queue_pairs)
		return -EINVAL;
	tx = &port->txq[queue];
	rx = &port->rxq[queue];
	ret_stats->tx_packets = tx->packets;
	ret_stats->tx_bytes = tx->bytes;
	ret_stats->rx_packets = rx->packets;
	ret_stats->rx_bytes = rx->bytes;
	ret_stats->tx_waits = tx->waits;
	ret_stats->tx_reason = tx->reason;
	ret_stats->rx_reason = rx->reason;
	return 0;
}
