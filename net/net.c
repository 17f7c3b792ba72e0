/*
 * The facade's own part: making the stack, polling, timers, and what there is to see.
 */
#include <net/if.h>
#include <poll.h>

#include "net/env.h"
#include "net/tcp.h"

#define CONN_BUCKETS_FIRST 256u
#define SLAB_BYTES 16384u

/* ---- entering and leaving the stack ---- */

void net_enter(struct net *net)
{
	net->now_ns = net_env_now_ns();
}

/*
 * What loopback owes is delivered, what the batch owes is acknowledged, what is closed is freed.
 */
static void net_settle(struct net *net)
{
	do {
		tcp_lo_run(net);
		while (!list_empty(&net->acks)) {
			struct tcp_sock *ts =
				container_of(net->acks.next, struct tcp_sock, ack_link);

			list_del(&ts->ack_link);
			tcp_send_ack(ts);
		}
	} while (net->lo_head != NULL);
	if (!list_empty(&net->zombies))
		tcp_zombies_free(net);
}

void net_leave(struct net *net)
{
	if (net->lo_head != NULL || !list_empty(&net->acks) || !list_empty(&net->zombies))
		net_settle(net);
}

/* ---- memory of small objects ---- */

void *net_slab_refill(struct net *net, void *free_list, size_t object_bytes)
{
	struct slab {
		struct slab *next;
	} *chunk = net_env_alloc(SLAB_BYTES), *head = NULL;
	void **list = free_list;
	size_t count = (SLAB_BYTES - 16) / object_bytes;

	if (chunk == NULL)
		return NULL;
	chunk->next = net->chunks;
	net->chunks = chunk;
	for (size_t i = 0; i < count; i++) {
		struct slab *object = (void *)((char *)chunk + 16 + i * object_bytes);

		object->next = head;
		head = object;
	}
	*list = head->next;
	return head;
}

static void net_slabs_free(struct net *net)
{
	while (net->chunks != NULL) {
		void *next = *(void **)net->chunks;

		net_env_free(net->chunks, SLAB_BYTES);
		net->chunks = next;
	}
}

/* ---- life ---- */

/* RFC 4291 appendix A: the link-local address of a MAC. */
static union ip_addr mac_to_linklocal(const uint8_t mac[6])
{
	union ip_addr addr = {.bytes = {0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe,
					mac[3], mac[4], mac[5]}};

	return addr;
}

static void net_config_take(struct net *net, const struct net_config *config)
{
	unsigned int bits = config->prefix_bits > 32 ? 32 : config->prefix_bits;

	net->ip = ip_addr_v4(config->ip.s_addr);
	net->gateway = ip_addr_v4(config->gateway.s_addr);
	net->prefix_bits = (uint8_t)bits;
	net->netmask_be = bits == 0 ? 0 : be32(~0u << (32 - bits));
	__builtin_memcpy(net->mac, config->mac, 6);
	net->mtu = config->mtu >= 576 ? config->mtu : 1500;
	net->loopback = config->loopback;
	net->ip6 = ip_addr_any6();
	net->ip6_global = ip_addr_any6();
	if (config->dev == NULL)
		return;
	net->ip6 = mac_to_linklocal(config->mac);
	net->ip6_global = ip_addr_v6(&config->ip6);
	net->prefix6_bits = config->prefix6_bits > 128 ? 128 : config->prefix6_bits;
}

static int net_tables_init(struct net *net)
{
	list_init(&net->socks);
	list_init(&net->waiters);
	list_init(&net->raws);
	list_init(&net->time_waits);
	list_init(&net->acks);
	list_init(&net->zombies);
	net_wheel_init(&net->wheel, net->now_ns);
	net_timer_init(&net->time_wait_timer, tcp_time_wait_fire);
	reassembly_init(net);
	link_init(net);
	net_env_random(net->secret, sizeof(net->secret));
	net_env_random(&net->ip_id, sizeof(net->ip_id));
	net->conn_buckets = CONN_BUCKETS_FIRST;
	net->conns = net_env_alloc(net->conn_buckets * sizeof(struct tcp_sock *));
	return net->conns != NULL ? 0 : -ENOMEM;
}

int net_init(const struct net_config *config, struct net **ret_net)
{
	struct net *net;
	int rc;

	if (config->queue_pairs == 0 || config->queue_pairs > ABI_MAX_VCPUS)
		return -EINVAL;
	net = net_env_alloc(sizeof(*net));
	if (net == NULL)
		return -ENOMEM;
	net_enter(net);
	net_config_take(net, config);
	rc = net_tables_init(net);
	if (rc == 0)
		rc = buf_pool_init(&net->pool, config->window, config->buf_offset,
				   config->buf_bytes);
	if (rc == 0 && config->dev != NULL)
		rc = virtnet_init(net, config->window, config->dev, config->queue_pairs);
	if (rc != 0) {
		net_finish(net);
		return rc;
	}
	*ret_net = net;
	return 0;
}

/* What it had received is lost, and it is told so. */
static void stream_resume(struct tcp_sock *ts)
{
	if (ts->rcvq.bytes != 0 && ts->state == TCP_CLOSE)
		ts->s.error = ECONNRESET;
	frag_list_free(&ts->s.net->pool, &ts->rcvq);
	if (ts->state != TCP_LISTEN && ts->state != TCP_CLOSE)
		tcp_done(ts, ECONNRESET);
}

/* Packets are in the old window: nobody may hold one any more. */
static void net_packets_drop(struct net *net)
{
	for (struct list *node = net->socks.next; node != &net->socks; node = node->next) {
		struct net_sock *sock = container_of(node, struct net_sock, all);

		if (sock->type == SOCK_STREAM)
			stream_resume(tcp_of(sock));
		else
			dgram_drop_all(sock);
	}
	tcp_zombies_free(net);
	tcp_lo_finish(net);
	net->lo_tail = NULL;
	link_finish(net);
	__builtin_memset(net->neighs, 0, sizeof(net->neighs));
	reassembly_finish(net);
	/* nothing is left that they would look after */
	net_timer_cancel(&net->wheel, &net->neigh_timer);
	net_timer_cancel(&net->wheel, &net->reassembly_timer);
	net_timer_cancel(&net->wheel, &net->time_wait_timer);
}

/* Sockets that were bound to one of the instance's own addresses are so still. */
static void net_address_move(struct net *net, const union ip_addr *from, const union ip_addr *to)
{
	if (ip_addr_is_any(from))
		return;
	for (struct list *node = net->socks.next; node != &net->socks; node = node->next) {
		struct net_sock *sock = container_of(node, struct net_sock, all);

		if (ip_addr_equal(&sock->local, from))
			sock->local = *to;
	}
}

int net_resume(struct net *net, const struct net_config *config)
{
	union ip_addr ip = net->ip, ip6 = net->ip6, ip6_global = net->ip6_global;

	if (config->queue_pairs == 0 || config->queue_pairs > ABI_MAX_VCPUS)
		return -EINVAL;
	net_enter(net);
	net_packets_drop(net);
	virtnet_finish(net);
	net->dev = (struct virtnet){0};
	buf_pool_reset(&net->pool);
	net_config_take(net, config);
	net_address_move(net, &ip, &net->ip);
	net_address_move(net, &ip6, &net->ip6);
	net_address_move(net, &ip6_global, &net->ip6_global);
	__builtin_memset(net->pmtus, 0, sizeof(net->pmtus));
	net_env_random(net->secret, sizeof(net->secret));
	net_env_random(&net->ip_id, sizeof(net->ip_id));
	return config->dev == NULL ?
		       0 :
		       virtnet_init(net, config->window, config->dev, config->queue_pairs);
}

void net_finish(struct net *net)
{
	if (net == NULL)
		return;
	net_enter(net);
	while (net->conns != NULL && !list_empty(&net->socks)) {
		struct net_sock *sock = container_of(net->socks.next, struct net_sock, all);

		sock->owner = NULL;
		if (sock->type != SOCK_STREAM) {
			dgram_destroy(sock);
			continue;
		}
		if (tcp_of(sock)->state != TCP_CLOSE)
			tcp_done(tcp_of(sock), 0);
		tcp_orphan(tcp_of(sock));
		tcp_zombies_free(net);
	}
	if (net->pool.meta != NULL) {
		tcp_lo_finish(net);
		link_finish(net);
		reassembly_finish(net);
	}
	virtnet_finish(net);
	net_slabs_free(net);
	if (net->conns != NULL)
		net_env_free(net->conns, net->conn_buckets * sizeof(struct tcp_sock *));
	buf_pool_finish(&net->pool);
	net_env_free(net, sizeof(*net));
}

/* ---- polling ---- */

bool net_rx_pending(const struct net *net, unsigned int vcpu)
{
	return vcpu < net->dev.pair_count && virtnet_rx_pending(&net->dev.pairs[vcpu]);
}

bool net_tx_pending(const struct net *net, unsigned int vcpu)
{
	return vcpu < net->dev.pair_count && virtnet_tx_pending(&net->dev.pairs[vcpu]);
}

/* The ring has room again: those that waited go on, as many as there are now. */
static void net_waiters_run(struct net *net)
{
	struct list waiting;

	if (list_empty(&net->waiters))
		return;
	list_init(&waiting);
	while (!list_empty(&net->waiters)) {
		struct list *node = net->waiters.next;

		list_del(node);
		list_add_tail(&waiting, node);
	}
	while (!list_empty(&waiting)) {
		struct net_sock *sock = container_of(waiting.next, struct net_sock, wait);

		list_del(&sock->wait);
		if (sock->type == SOCK_STREAM)
			tcp_ready(sock);
		/* those who wait for memory are told when there is some */
		if (buf_low(&net->pool))
			sock_wait_tx(sock);
		else
			sock_event(sock, POLLOUT);
	}
}

int net_poll(struct net *net, unsigned int vcpu, unsigned int budget)
{
	struct virtnet_pair *pair = vcpu < net->dev.pair_count ? &net->dev.pairs[vcpu] : NULL;
	unsigned int count = 0;
	struct pkt pkt;

	if (pair != NULL)
		virtnet_tx_reclaim(net, pair);
	if ((pair != NULL && virtnet_rx_pending(pair)) || !list_empty(&net->waiters)) {
		net_enter(net);
		while (pair != NULL && count < budget && virtnet_rx(net, pair, &pkt)) {
			count++;
			link_input(net, &pkt);
		}
		net_waiters_run(net);
		net_leave(net);
	}
	/* also without packets: when there was no memory, buffers are missing since then */
	if (pair != NULL)
		virtnet_rx_refill(net, pair);
	net_flush(net, vcpu);
	return (int)count;
}

void net_flush(struct net *net, unsigned int vcpu)
{
	if (vcpu < net->dev.pair_count)
		virtnet_tx_publish(net, vcpu);
}

void net_timers_run(struct net *net, uint64_t now_ns)
{
	net->now_ns = now_ns;
	net_wheel_run(&net->wheel, net, now_ns);
	net_leave(net);
}

uint64_t net_next_deadline(const struct net *net)
{
	return net_wheel_next(&net->wheel);
}

/* ---- what there is to see ---- */

int net_if_get(const struct net *net, unsigned int index, struct net_if *ret_if)
{
	static const uint8_t loopback6[16] = {[15] = 1};

	*ret_if = (struct net_if){.index = index};
	if (index == NET_INDEX_LO) {
		__builtin_memcpy(ret_if->name, "lo", 3);
		ret_if->flags = IFF_LOOPBACK | (net->loopback ? IFF_UP | IFF_RUNNING : 0);
		ret_if->mtu = NET_LO_MTU;
		ret_if->ip.s_addr = be32(INADDR_LOOPBACK);
		ret_if->prefix_bits = 8;
		__builtin_memcpy(&ret_if->ip6, loopback6, 16);
		ret_if->prefix6_bits = 128;
		return 0;
	}
	if (index != NET_INDEX_ETH || net->dev.regs == NULL)
		return -ENODEV;
	__builtin_memcpy(ret_if->name, "eth0", 5);
	ret_if->flags = IFF_UP | IFF_RUNNING | IFF_BROADCAST | IFF_MULTICAST;
	ret_if->mtu = net->mtu;
	__builtin_memcpy(ret_if->mac, net->mac, 6);
	ret_if->ip.s_addr = ip_addr_to_v4(&net->ip);
	ret_if->prefix_bits = net->prefix_bits;
	__builtin_memcpy(&ret_if->ip6, net->ip6.bytes, 16);
	ret_if->prefix6_bits = 64;
	__builtin_memcpy(&ret_if->ip6_global, net->ip6_global.bytes, 16);
	if (!ip_addr_is_any6(&net->ip6_global))
		ret_if->prefix6_global_bits = net->prefix6_bits;
	ret_if->rx_packets = net->stats.rx_packets;
	ret_if->rx_bytes = net->stats.rx_bytes;
	ret_if->tx_packets = net->stats.tx_packets;
	ret_if->tx_bytes = net->stats.tx_bytes;
	return 0;
}

struct in_addr net_gateway(const struct net *net)
{
	struct in_addr gateway = {.s_addr = ip_addr_to_v4(&net->gateway)};

	return gateway;
}

void net_stats_get(const struct net *net, struct net_stats *ret_stats)
{
	*ret_stats = net->stats;
	ret_stats->buf_total = net->pool.count;
	ret_stats->buf_free = net->pool.free_count;
}

void net_sock_walk(struct net *net, void (*fn)(const struct net_sock_info *info, void *arg),
		   void *arg)
{
	for (struct list *node = net->socks.next; node != &net->socks; node = node->next) {
		const struct net_sock *sock = container_of(node, struct net_sock, all);
		struct net_sock_info info = {.family = sock->family,
					     .type = sock->type,
					     .protocol = sock->protocol,
					     .owner = sock->owner};
		socklen_t bytes;

		sock_name_out(sock, &sock->local, sock->lport, &info.local, &bytes);
		sock_name_out(sock, &sock->remote, sock->rport, &info.remote, &bytes);
		info.tcp_state = TCP_CLOSE;
		if (sock->type == SOCK_STREAM) {
			info.tcp_state = tcp_of(sock)->state;
			info.tx_queue_bytes = tcp_of(sock)->sndq.bytes;
			info.rx_queue_bytes = tcp_of(sock)->rcvq.bytes;
		} else {
			info.rx_queue_bytes = dgram_next_bytes(sock);
		}
		fn(&info, arg);
	}
}
