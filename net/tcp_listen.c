/*
 * Listening sockets: connections being made (SYN queue) and made (accept queue).
 *
 * Both queues are bounded. When the accept queue is full the last ACK of a handshake is ignored, as
 * on Linux, so that the SYN-ACK is sent again later. When the SYN queue is full handshakes go on
 * without state: tcp_cookie.c.
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
	s->device = from->device;
	s->pmtu_discover = from->pmtu_discover;
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
	child->notsent_lowat = listener->notsent_lowat;
	child->defer_retries = listener->defer_retries;
	child->quickack_mode = listener->quickack_mode;
}

static bool syn_queue_full(const struct tcp_sock *listener)
{
	return listener->syn_count >= max_u32(listener->backlog, TCP_SYN_QUEUE_MAX);
}

struct tcp_sock *tcp_listen_child(struct tcp_sock *listener, const struct tcp_seg *seg)
{
	struct net *net = listener->s.net;
	struct tcp_sock *child = tcp_alloc(net, listener->s.family);
	struct route route;

	if (child == NULL)
		return NULL;
	child_inherit(child, listener);
	child->s.local = seg->dst;
	child->s.remote = seg->src;
	child->s.lport = seg->dport;
	child->s.rport = seg->sport;
	if (tcp_route(child, &route) != 0) {
		tcp_orphan(child);
		return NULL;
	}
	child->state = TCP_SYN_RECV;
	child->ts_offset = (uint32_t)net_hash_strong(net, &seg->dst, &seg->src, 1);
	return child;
}

/* Both queues know it from now on. False: there is such a connection already. */
static bool listen_enqueue(struct tcp_sock *listener, struct tcp_sock *child)
{
	if (tcp_hash_add(child) != 0) {
		child->state = TCP_CLOSE;
		tcp_orphan(child);
		return false;
	}
	child->listener = listener;
	list_add_tail(&listener->syn_queue, &child->link);
	listener->syn_count++;
	return true;
}

static void listen_syn(struct tcp_sock *listener, const struct tcp_seg *seg)
{
	struct net *net = listener->s.net;
	struct tcp_sock *child;

	if (listener->accept_count > listener->backlog) {
		net->stats.tcp_accept_overflows++;
		return;
	}
	if (syn_queue_full(listener)) {
		tcp_cookie_send(listener, seg);
		return;
	}
	child = tcp_listen_child(listener, seg);
	if (child == NULL)
		return;
	child->irs = seg->seq;
	child->rcv_nxt = child->rcv_adv = child->rcv_acked = seg->seq + 1;
	child->snd_wnd = child->max_wnd = seg->window;
	child->snd_wl1 = seg->seq;
	tcp_handshake_options(child, &seg->options);
	child->ecn_ok = !child->lo && (seg->flags & (TCP_FLAG_ECE | TCP_FLAG_CWR)) ==
					      (TCP_FLAG_ECE | TCP_FLAG_CWR);
	child->iss = tcp_new_iss(child);
	child->snd_una = child->iss + 1; /* the queue begins after the SYN */
	child->snd_nxt = child->snd_una;
	child->snd_up = child->snd_small = child->snd_una;
	if (!listen_enqueue(listener, child))
		return;
	tcp_send_syn(child);
	child->rtx_at = net->now_ns + TCP_RTO_INITIAL_NS;
	tcp_timer_update(child);
}

/* An ACK without a connection: perhaps of a cookie. */
static void listen_ack(struct tcp_sock *listener, struct tcp_seg *seg)
{
	struct tcp_sock *child = tcp_cookie_check(listener, seg);

	if (child == NULL) {
		tcp_reset_reply(listener->s.net, seg);
		return;
	}
	/* without room it is forgotten: what the peer sends next makes it anew */
	if (listener->accept_count > listener->backlog) {
		listener->s.net->stats.tcp_accept_overflows++;
		child->state = TCP_CLOSE;
		tcp_orphan(child);
		return;
	}
	if (listen_enqueue(listener, child))
		tcp_synchronized_input(child, seg);
}

void tcp_listen_input(struct tcp_sock *listener, struct tcp_seg *seg)
{
	if (seg->flags & TCP_FLAG_RST)
		return;
	if (seg->flags & TCP_FLAG_ACK) {
		listen_ack(listener, seg);
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
