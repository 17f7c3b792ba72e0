/*
 * Listening sockets: connections being made (SYN queue) and made (accept queue).
 *
 * Both queues are bounded. When the accept queue is full the last ACK of a handshake is ignored, as
 * on Linux, so that the SYN-ACK is sent again later. When the SYN queue is full the oldest
 * half-open connection makes way: a flood cannot keep a client out that answers faster than the
 * queue turns.
 */
#include <poll.h>

#include "net/env.h"
#include "net/tcp.h"

void tcp_listen_forget(struct tcp_sock *child)
{
	struct tcp_sock *listener = child->listener;

	list_del(&child->link);
	if (child->state == TCP_SYN_RECV)
		listener->syn_count--;
	else
		listener->accept_count--;
	child->listener = NULL;
}

bool tcp_listen_ready(struct tcp_sock *child)
{
	struct tcp_sock *listener = child->listener;

	if (listener->accept_count > listener->backlog) {
		child->s.net->stats.tcp_accept_overflows++;
		return false;
	}
	list_del(&child->link);
	list_add_tail(&listener->accept_queue, &child->link);
	listener->syn_count--;
	listener->accept_count++;
	return true;
}

/* A child has the options of its listener. */
static void child_inherit(struct tcp_sock *child, const struct tcp_sock *listener)
{
	struct net_sock *s = &child->s;
	const struct net_sock *from = &listener->s;

	s->rcvbuf = from->rcvbuf;
	s->sndbuf = from->sndbuf;
	s->rcvbuf_locked = from->rcvbuf_locked;
	s->sndbuf_locked = from->sndbuf_locked;
	s->rcvlowat = from->rcvlowat;
	s->mark = from->mark;
	s->priority = from->priority;
	s->reuse_addr = from->reuse_addr;
	s->reuse_port = from->reuse_port;
	s->v6only = from->v6only;
	s->keepalive = from->keepalive;
	s->oob_inline = from->oob_inline;
	s->linger = from->linger;
	s->linger_seconds = from->linger_seconds;
	s->ttl = from->ttl;
	s->tos = from->tos;
	child->nodelay = listener->nodelay;
	child->cork = listener->cork;
	child->user_mss = listener->user_mss;
	child->keep_idle_s = listener->keep_idle_s;
	child->keep_interval_s = listener->keep_interval_s;
	child->keep_count = listener->keep_count;
	child->user_timeout_ms = listener->user_timeout_ms;
	child->linger2_s = listener->linger2_s;
	child->quickack_mode = listener->quickack_mode;
}

static void child_options(struct tcp_sock *child, const struct tcp_seg *seg)
{
	const struct tcp_options *o = &seg->options;

	child->peer_mss = o->mss != 0 ? (uint16_t)max_u32(o->mss, TCP_MIN_MSS) : TCP_DEFAULT_MSS;
	child->ts_ok = o->has_ts;
	child->sack_ok = o->sack_ok;
	child->wscale_ok = o->has_wscale;
	child->snd_wscale = o->has_wscale ? o->wscale : 0;
	child->rcv_wscale = o->has_wscale ? TCP_WSCALE : 0;
	child->ts_recent = o->ts_val;
	child->ts_recent_ns = child->s.net->now_ns;
	tcp_mss_update(child, child->lo ? NET_LO_MTU : child->s.net->mtu);
	child->rcv_mss = child->lo ? child->mss : (uint16_t)min_u32(child->mss, TCP_DEFAULT_MSS);
	child->cwnd = TCP_INITIAL_SEGMENTS * (uint32_t)child->mss;
}

static void syn_queue_make_room(struct tcp_sock *listener)
{
	uint32_t most = max_u32(listener->backlog, 128);

	most = max_u32(most, TCP_SYN_QUEUE_MAX);
	if (listener->syn_count >= most)
		tcp_done(container_of(listener->syn_queue.next, struct tcp_sock, link), 0);
}

static void listen_syn(struct tcp_sock *listener, const struct tcp_seg *seg)
{
	struct net *net = listener->s.net;
	struct tcp_sock *child;
	struct route route;

	if (listener->accept_count > listener->backlog) {
		net->stats.tcp_accept_overflows++;
		return;
	}
	syn_queue_make_room(listener);
	child = tcp_alloc(net, listener->s.family);
	if (child == NULL)
		return;
	child_inherit(child, listener);
	child->s.local = seg->dst;
	child->s.remote = seg->src;
	child->s.lport = seg->dport;
	child->s.rport = seg->sport;
	if (tcp_route(child, &route) != 0 || tcp_hash_add(child) != 0) {
		tcp_orphan(child);
		return;
	}
	child->state = TCP_SYN_RECV;
	child->ts_offset = (uint32_t)net_hash_strong(net, &seg->dst, &seg->src, 1);
	child->irs = seg->seq;
	child->rcv_nxt = child->rcv_adv = child->rcv_acked = seg->seq + 1;
	child->snd_wnd = child->max_wnd = seg->window;
	child->snd_wl1 = seg->seq;
	child_options(child, seg);
	child->iss = tcp_new_iss(child);
	child->snd_una = child->iss + 1; /* the queue begins after the SYN */
	child->snd_nxt = child->snd_una;
	child->snd_up = child->snd_small = child->snd_una;
	child->listener = listener;
	list_add_tail(&listener->syn_queue, &child->link);
	listener->syn_count++;
	tcp_send_syn(child);
	child->rtx_at = net->now_ns + TCP_RTO_INITIAL_NS;
	tcp_timer_update(child);
}

void tcp_listen_input(struct tcp_sock *listener, struct tcp_seg *seg)
{
	if (seg->flags & TCP_FLAG_RST)
		return;
	if (seg->flags & TCP_FLAG_ACK) {
		tcp_reset_reply(listener->s.net, seg);
		return;
	}
	if (seg->flags & TCP_FLAG_SYN && !(seg->flags & TCP_FLAG_FIN))
		listen_syn(listener, seg);
}

void tcp_listen_stop(struct tcp_sock *listener)
{
	while (!list_empty(&listener->syn_queue))
		tcp_done(container_of(listener->syn_queue.next, struct tcp_sock, link), 0);
	while (!list_empty(&listener->accept_queue)) {
		struct tcp_sock *child =
			container_of(listener->accept_queue.next, struct tcp_sock, link);

		tcp_reset(child);
		tcp_done(child, ECONNRESET);
	}
}
