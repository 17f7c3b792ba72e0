/*
 * TCP connections as objects: making, finding, ending, and TIME_WAIT.
 */
#include <poll.h>

#include "net/env.h"
#include "net/tcp.h"

struct tcp_sock *tcp_alloc(struct net *net, uint8_t family)
{
	struct tcp_sock *ts = net_env_alloc(sizeof(*ts));

	if (ts == NULL)
		return NULL;
	ts->s.net = net;
	ts->s.family = family;
	ts->s.type = SOCK_STREAM;
	ts->s.protocol = PROTO_TCP;
	ts->s.rcvlowat = 1;
	ts->s.pmtu_discover = IP_PMTUDISC_WANT;
	ts->s.rcvbuf = 131072;
	ts->s.sndbuf = 16384;
	list_init(&ts->s.wait);
	list_add_tail(&net->socks, &ts->s.all);
	list_init(&ts->link);
	list_init(&ts->ack_link);
	list_init(&ts->accept_queue);
	list_init(&ts->syn_queue);
	net_timer_init(&ts->timer, tcp_timer_fire);
	ts->state = TCP_CLOSE;
	ts->rto_ns = TCP_RTO_INITIAL_NS;
	ts->quickacks = TCP_QUICKACKS;
	ts->dupthresh = TCP_DUPTHRESH;
	ts->rcv_limit = TCP_RCV_FIRST;
	ts->mss = TCP_DEFAULT_MSS;
	ts->rcv_mss = TCP_DEFAULT_MSS;
	ts->ssthresh = UINT32_MAX;
	ts->hystart.last_ms = ts->hystart.now_ms = UINT16_MAX;
	ts->keep_idle_s = 7200;
	ts->keep_interval_s = 75;
	ts->keep_count = 9;
	ts->quickack_mode = true;
	net->stats.sockets++;
	return ts;
}

/* ---- the table of connections ---- */

static uint64_t tcp_hash(const struct net *net, const union ip_addr *local,
			 const union ip_addr *remote, uint16_t lport, uint16_t rport)
{
	return net_hash(net, local, remote, (uint32_t)lport << 16 | rport);
}

static void tcp_table_grow(struct net *net)
{
	uint32_t buckets = net->conn_buckets * 2;
	struct tcp_sock **table = net_env_alloc(buckets * sizeof(struct tcp_sock *));

	/* without memory the chains are longer: nothing else changes */
	if (table == NULL)
		return;
	for (uint32_t i = 0; i < net->conn_buckets; i++) {
		struct tcp_sock *ts = net->conns[i];

		while (ts != NULL) {
			struct tcp_sock *next = ts->hash_next;
			uint64_t hash = tcp_hash(net, &ts->s.local, &ts->s.remote, ts->s.lport,
						 ts->s.rport);

			ts->hash_next = table[hash % buckets];
			table[hash % buckets] = ts;
			ts = next;
		}
	}
	net_env_free(net->conns, net->conn_buckets * sizeof(struct tcp_sock *));
	net->conns = table;
	net->conn_buckets = buckets;
}

struct tcp_sock *tcp_lookup(const struct net *net, const union ip_addr *local,
			    const union ip_addr *remote, uint16_t lport, uint16_t rport)
{
	uint64_t hash = tcp_hash(net, local, remote, lport, rport);
	struct tcp_sock *ts = net->conns[hash % net->conn_buckets];

	while (ts != NULL &&
	       !(ts->s.lport == lport && ts->s.rport == rport &&
		 ip_addr_equal(&ts->s.remote, remote) && ip_addr_equal(&ts->s.local, local)))
		ts = ts->hash_next;
	return ts;
}

int tcp_hash_add(struct tcp_sock *ts)
{
	struct net *net = ts->s.net;
	struct net_sock *s = &ts->s;
	uint64_t hash;

	if (tcp_lookup(net, &s->local, &s->remote, s->lport, s->rport) != NULL)
		return -EADDRINUSE;
	if (net->conn_count >= net->conn_buckets)
		tcp_table_grow(net);
	hash = tcp_hash(net, &s->local, &s->remote, s->lport, s->rport);
	ts->hash_next = net->conns[hash % net->conn_buckets];
	net->conns[hash % net->conn_buckets] = ts;
	net->conn_count++;
	ts->hashed = true;
	return 0;
}

void tcp_hash_remove(struct tcp_sock *ts)
{
	struct net *net = ts->s.net;
	struct net_sock *s = &ts->s;
	struct tcp_sock **at;

	if (!ts->hashed)
		return;
	at = &net->conns[tcp_hash(net, &s->local, &s->remote, s->lport, s->rport) %
			 net->conn_buckets];
	while (*at != ts)
		at = &(*at)->hash_next;
	*at = ts->hash_next;
	net->conn_count--;
	ts->hashed = false;
}

/* How well a listener's address fits: -1 not at all, the exact address best. */
static int listener_score(const struct net_sock *s, const union ip_addr *dst)
{
	if (!sock_takes(s, dst))
		return -1;
	if (ip_addr_equal(&s->local, dst))
		return 2;
	return ip_addr_is_v4(&s->local) ? 1 : 0;
}

struct tcp_sock *tcp_lookup_listener(const struct net *net, const struct tcp_seg *seg)
{
	struct net_sock *best = NULL;
	int best_score = -1;
	uint32_t same = 0;

	for (struct net_sock *s = net->binds[port_bucket(PROTO_TCP, seg->dport)]; s != NULL;
	     s = s->bind_next) {
		int score;

		if (s->protocol != PROTO_TCP || s->lport != seg->dport ||
		    tcp_of(s)->state != TCP_LISTEN || !sock_device_ok(s, seg->lo))
			continue;
		score = listener_score(s, &seg->dst);
		if (score < 0 || score < best_score)
			continue;
		if (score > best_score) {
			best_score = score;
			best = s;
			same = 1;
			continue;
		}
		/* SO_REUSEPORT: each of n equal listeners gets the flow with chance 1/n */
		same++;
		if (net_hash(net, &seg->src, &seg->dst, (uint32_t)seg->sport << 16 | same) % same ==
		    0)
			best = s;
	}
	return best != NULL ? tcp_of(best) : NULL;
}

/* ---- ends ---- */

static void tcp_queues_free(struct tcp_sock *ts)
{
	struct net *net = ts->s.net;

	frag_list_free(&net->pool, &ts->sndq);
	frag_list_free(&net->pool, &ts->ooo);
	ts->ooo_count = 0;
	ts->cursor = NULL;
	tcp_board_drop(ts);
}

static void tcp_zombie(struct tcp_sock *ts)
{
	if (ts->zombie)
		return;
	ts->zombie = true;
	list_del(&ts->link);
	list_add_tail(&ts->s.net->zombies, &ts->link);
}

void tcp_orphan(struct tcp_sock *ts)
{
	ts->dead = true;
	ts->s.owner = NULL;
	if (ts->state == TCP_CLOSE)
		tcp_zombie(ts);
}

void tcp_zombies_free(struct net *net)
{
	while (!list_empty(&net->zombies)) {
		struct tcp_sock *ts = container_of(net->zombies.next, struct tcp_sock, link);

		list_del(&ts->link);
		list_del(&ts->ack_link);
		list_del(&ts->s.wait);
		list_del(&ts->s.all);
		net_timer_cancel(&net->wheel, &ts->timer);
		tcp_hash_remove(ts);
		port_unbind(&ts->s);
		tcp_queues_free(ts);
		frag_list_free(&net->pool, &ts->rcvq);
		net->stats.sockets--;
		net_env_free(ts, sizeof(*ts));
	}
}

void tcp_done(struct tcp_sock *ts, int error)
{
	struct net *net = ts->s.net;

	if (ts->state == TCP_TIME_WAIT)
		tcp_time_wait_leave(ts);
	if (ts->listener != NULL) {
		tcp_listen_forget(ts);
		ts->dead = true;
	}
	tcp_hash_remove(ts);
	net_timer_cancel(&net->wheel, &ts->timer);
	ts->rtx_at = ts->delack_at = ts->keep_at = 0;
	list_del(&ts->ack_link);
	list_del(&ts->s.wait);
	tcp_queues_free(ts);
	ts->state = TCP_CLOSE;
	ts->s.shut = SHUT_BIT_RD | SHUT_BIT_WR;
	if (error != 0)
		ts->s.error = error;
	if (ts->dead)
		tcp_zombie(ts);
	else
		sock_event(&ts->s,
			   POLLIN | POLLOUT | POLLHUP | POLLRDHUP | (error != 0 ? POLLERR : 0));
}

/* ---- TIME_WAIT: one list, oldest first, one timer for all ---- */

void tcp_time_wait_enter(struct tcp_sock *ts)
{
	struct net *net = ts->s.net;

	net_timer_cancel(&net->wheel, &ts->timer);
	ts->rtx_at = ts->delack_at = ts->keep_at = 0;
	tcp_queues_free(ts);
	if (net->time_wait_count >= TCP_TIME_WAIT_MAX)
		tcp_done(container_of(net->time_waits.next, struct tcp_sock, link), 0);
	ts->state = TCP_TIME_WAIT;
	ts->keep_at = net->now_ns + TCP_TIME_WAIT_NS;
	list_del(&ts->link);
	list_add_tail(&net->time_waits, &ts->link);
	net->time_wait_count++;
	if (!net_timer_armed(&net->time_wait_timer))
		net_timer_arm(&net->wheel, &net->time_wait_timer, ts->keep_at);
	sock_event(&ts->s, POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
}

void tcp_time_wait_leave(struct tcp_sock *ts)
{
	list_del(&ts->link);
	ts->s.net->time_wait_count--;
	ts->state = TCP_CLOSE;
}

void tcp_time_wait_fire(struct net *net, struct net_timer *timer)
{
	while (!list_empty(&net->time_waits)) {
		struct tcp_sock *ts = container_of(net->time_waits.next, struct tcp_sock, link);

		if (ts->keep_at > net->now_ns) {
			net_timer_arm(&net->wheel, timer, ts->keep_at);
			return;
		}
		tcp_done(ts, 0);
	}
}

/* ---- properties of the path ---- */

/* RFC 6528: a clock of 4 us plus a keyed hash of the four-tuple. */
uint32_t tcp_new_iss(const struct tcp_sock *ts)
{
	const struct net *net = ts->s.net;
	uint64_t hash = net_hash_strong(net, &ts->s.local, &ts->s.remote,
					(uint32_t)ts->s.lport << 16 | ts->s.rport);

	return (uint32_t)hash + (uint32_t)(net->now_ns / 4096);
}

uint16_t tcp_advertised_mss(const struct tcp_sock *ts)
{
	uint32_t mss;

	if (ts->lo)
		mss = TCP_LO_ADVMSS;
	else
		mss = ts->s.net->mtu - ip_header_bytes(&ts->s.remote) - TCP_BYTES;
	if (ts->user_mss != 0)
		mss = min_u32(mss, ts->user_mss);
	return (uint16_t)mss;
}

void tcp_mss_update(struct tcp_sock *ts, uint32_t mtu)
{
	uint32_t mss = min_u32(mtu, NET_LO_MTU) - ip_header_bytes(&ts->s.remote) - TCP_BYTES;

	if (ts->lo)
		mss = TCP_LO_ADVMSS;
	mss = min_u32(mss, ts->peer_mss != 0 ? ts->peer_mss : TCP_DEFAULT_MSS);
	if (ts->user_mss != 0)
		mss = min_u32(mss, ts->user_mss);
	if (ts->ts_ok && !ts->lo)
		mss -= 12;
	ts->mss = (uint16_t)max_u32(mss, TCP_MIN_MSS - 40);
}

int tcp_route(struct tcp_sock *ts, struct route *ret_route)
{
	int rc = ip_route(ts->s.net, &ts->s.remote, ret_route);

	if (rc != 0)
		return rc;
	ts->lo = ret_route->local;
	ts->neigh = ret_route->neigh;
	if (ts->neigh != NULL)
		ts->hop = ts->neigh->addr;
	return 0;
}
