/*
 * TCP as the socket calls see it.
 */
#include <poll.h>

#include "net/env.h"
#include "net/tcp.h"

/* ---- connect ---- */

/* True if the four-tuple is free, or held by a TIME_WAIT that may be cut short (RFC 6191). */
static bool tuple_free(struct tcp_sock *ts, uint16_t lport)
{
	struct net *net = ts->s.net;
	struct tcp_sock *other = tcp_lookup(net, &ts->s.local, &ts->s.remote, lport, ts->s.rport);

	if (other == NULL)
		return true;
	if (other->state != TCP_TIME_WAIT || !other->ts_ok ||
	    other->keep_at - TCP_TIME_WAIT_NS + NSEC_PER_SEC > net->now_ns)
		return false;
	tcp_done(other, 0);
	return true;
}

static int connect_pick_port(struct tcp_sock *ts)
{
	uint32_t count = NET_EPHEMERAL_HIGH - NET_EPHEMERAL_LOW + 1;
	uint32_t start;

	net_env_random(&start, sizeof(start));
	for (uint32_t i = 0; i < count; i++) {
		uint16_t port = be16((uint16_t)(NET_EPHEMERAL_LOW + (start + i) % count));

		if (!port_taken(ts->s.net, PROTO_TCP, port) && tuple_free(ts, port)) {
			ts->s.lport = port;
			return 0;
		}
	}
	return -EADDRNOTAVAIL;
}

/* The local half of the four-tuple. */
static int connect_local(struct tcp_sock *ts, const struct route *route)
{
	if (ip_addr_is_any(&ts->s.local) || !ts->s.addr_bound)
		ts->s.local = route->src;
	if (ts->s.lport == 0)
		return connect_pick_port(ts);
	return tuple_free(ts, ts->s.lport) ? 0 : -EADDRNOTAVAIL;
}

static int connect_start(struct tcp_sock *ts, const union ip_addr *addr, uint16_t port)
{
	struct net *net = ts->s.net;
	struct route route;
	int rc;

	if (ip_addr_is_multicast(addr) || ip_is_broadcast(net, addr))
		return -ENETUNREACH;
	ts->s.remote = *addr;
	ts->s.rport = port;
	rc = tcp_route(ts, &route);
	if (rc == 0 && !sock_device_ok(&ts->s, route.local))
		rc = -ENETUNREACH;
	if (rc == 0)
		rc = connect_local(ts, &route);
	if (rc == 0)
		rc = tcp_hash_add(ts) == 0 ? 0 : -EADDRNOTAVAIL;
	if (rc != 0)
		return rc;
	ts->s.shut = 0;
	ts->s.error = 0;
	ts->connect_done = false;
	ts->state = TCP_SYN_SENT;
	ts->ts_offset = (uint32_t)net_hash_strong(net, &ts->s.local, &ts->s.remote, 1);
	ts->iss = tcp_new_iss(ts);
	ts->snd_una = ts->snd_nxt = ts->iss + 1; /* the queue begins after the SYN */
	ts->snd_up = ts->snd_small = ts->snd_una;
	ts->rcv_wscale = TCP_WSCALE;
	ts->syn_retries = 0;
	ts->ecn_ok = ts->ecn_echo = ts->ecn_cwr = ts->ecn_seen = false;
	ts->stall_ns = net->now_ns;
	tcp_send_syn(ts);
	ts->rtx_at = net->now_ns + TCP_RTO_INITIAL_NS;
	tcp_timer_update(ts);
	return -EINPROGRESS;
}

int tcp_connect(struct net_sock *sock, const union ip_addr *addr, uint16_t port)
{
	struct tcp_sock *ts = tcp_of(sock);
	union ip_addr to = *addr;

	switch (ts->state) {
	case TCP_CLOSE:
		if (sock->error != 0 && sock->rport != 0)
			return net_error_take(sock);
		if (sock->rport != 0)
			tcp_disconnect(sock);
		/* as on Linux: to nobody is to ourselves */
		if (ip_addr_is_any6(&to))
			to = ip_addr_loopback6();
		else if (ip_addr_is_any(&to))
			to = ip_addr_v4(be32(INADDR_LOOPBACK));
		return connect_start(ts, &to, port);
	case TCP_SYN_SENT:
	case TCP_SYN_RECV:
		return -EALREADY;
	case TCP_LISTEN:
		return -EISCONN;
	default:
		if (ts->connect_done)
			return -EISCONN;
		ts->connect_done = true;
		return 0;
	}
}

/* connect() to AF_UNSPEC: back to what socket() made, but for the port that bind() gave. */
int tcp_disconnect(struct net_sock *sock)
{
	struct tcp_sock *ts = tcp_of(sock);
	struct net *net = sock->net;

	if (ts->state == TCP_LISTEN)
		tcp_listen_stop(ts);
	else if (ts->state != TCP_CLOSE && ts->state != TCP_SYN_SENT && ts->state != TCP_TIME_WAIT)
		tcp_reset(ts);
	if (ts->state != TCP_CLOSE)
		tcp_done(ts, 0);
	frag_list_free(&net->pool, &ts->rcvq);
	if (!sock->port_bound) {
		port_unbind(sock);
		sock->lport = 0;
	}
	if (!sock->addr_bound)
		sock->local = sock->family == AF_INET ? ip_addr_v4(0) : ip_addr_any6();
	sock->rport = 0;
	sock->remote = ip_addr_any6();
	sock->shut = 0;
	sock->error = 0;
	ts->fin_queued = ts->fin_sent = ts->fin_received = ts->fin_seen = false;
	ts->srtt_us = 0;
	ts->rto_ns = TCP_RTO_INITIAL_NS;
	ts->ssthresh = UINT32_MAX;
	ts->recovery = TCP_OPEN;
	ts->cubic = (struct tcp_cubic){0};
	ts->hystart = (struct tcp_hystart){.last_ms = UINT16_MAX, .now_ms = UINT16_MAX};
	ts->stall_ns = 0;
	ts->backoff = ts->probes = ts->dupacks = 0;
	ts->urgent = false;
	return 0;
}

/* ---- listen, accept ---- */

int tcp_listen(struct net_sock *sock, int backlog)
{
	struct tcp_sock *ts = tcp_of(sock);
	int rc;

	if (ts->state != TCP_CLOSE && ts->state != TCP_LISTEN)
		return -EINVAL;
	if (sock->lport == 0) {
		rc = port_bind(sock, &sock->local, 0);
		if (rc != 0)
			return rc;
	}
	if (ts->state == TCP_CLOSE && port_listen_conflict(sock))
		return -EADDRINUSE;
	/* somaxconn; a negative backlog is the largest, as Linux's unsigned comparison has it */
	ts->backlog = min_u32((uint32_t)backlog, 4096);
	ts->state = TCP_LISTEN;
	sock->shut = 0;
	return 0;
}

int tcp_accept(struct net_sock *sock, struct net_sock **ret_sock)
{
	struct tcp_sock *ts = tcp_of(sock);
	struct tcp_sock *child;

	if (ts->state != TCP_LISTEN)
		return -EINVAL;
	if (list_empty(&ts->accept_queue))
		return sock->error != 0 ? net_error_take(sock) : -EAGAIN;
	child = container_of(ts->accept_queue.next, struct tcp_sock, link);
	tcp_listen_forget(child);
	child->connect_done = true;
	*ret_sock = &child->s;
	return 0;
}

/* ---- send ---- */

uint32_t tcp_snd_limit(const struct tcp_sock *ts)
{
	if (ts->s.sndbuf_locked)
		return ts->s.sndbuf;
	if (buf_scarce(&ts->s.net->pool))
		return TCP_SND_SCARCE;
	return min_u32(max_u32(2 * min_u32(ts->cwnd, TCP_SND_MAX), TCP_SND_FIRST), TCP_SND_MAX);
}

/* Linux's sk_stream_is_writeable: at least a third of the buffer is free. */
bool tcp_writable(const struct tcp_sock *ts)
{
	uint32_t limit = tcp_snd_limit(ts);

	/* TCP_NOTSENT_LOWAT: half of it is worth waking a writer for */
	if (ts->notsent_lowat != 0 && 2ull * tcp_unsent(ts) >= ts->notsent_lowat)
		return false;
	return ts->sndq.bytes < limit && limit - ts->sndq.bytes >= ts->sndq.bytes / 2 &&
	       !buf_low(&ts->s.net->pool);
}

void tcp_space_event(struct tcp_sock *ts)
{
	if (!ts->no_space || !tcp_writable(ts))
		return;
	ts->no_space = false;
	sock_event(&ts->s, POLLOUT);
}

static int send_check(struct net_sock *sock)
{
	struct tcp_sock *ts = tcp_of(sock);

	if (sock->error != 0)
		return net_error_take(sock);
	if (ts->state == TCP_SYN_SENT || ts->state == TCP_SYN_RECV)
		return -EAGAIN;
	if ((sock->shut & SHUT_BIT_WR) || ts->fin_queued ||
	    (ts->state != TCP_ESTABLISHED && ts->state != TCP_CLOSE_WAIT))
		return -EPIPE;
	return 0;
}

/* Appends what fits. Returns the bytes, or why there are none. */
static ssize_t send_append(struct tcp_sock *ts, const struct net_msg *msg)
{
	struct net *net = ts->s.net;
	ssize_t done = 0;

	for (unsigned int i = 0; i < msg->iov_count; i++) {
		uint32_t limit = tcp_snd_limit(ts);
		uint32_t room = limit > ts->sndq.bytes ? limit - ts->sndq.bytes : 0;
		size_t want = msg->iov[i].iov_len;
		int n;

		if (want == 0)
			continue;
		if (ts->notsent_lowat != 0)
			room = min_u32(room, ts->notsent_lowat -
						     min_u32(ts->notsent_lowat, tcp_unsent(ts)));
		if (room == 0)
			return done > 0 ? done : -EAGAIN;
		n = frag_list_append_user(&net->pool, &ts->sndq, tcp_queue_end(ts),
					  msg->iov[i].iov_base, (uint32_t)min_size(want, room));
		if (n == -ENOBUFS) {
			sock_wait_tx(&ts->s);
			n = -EAGAIN;
		}
		if (n < 0)
			return done > 0 ? done : n;
		done += n;
		if ((size_t)n < want)
			break;
	}
	return done;
}

ssize_t tcp_sendmsg(struct net_sock *sock, const struct net_msg *msg, int flags)
{
	struct tcp_sock *ts = tcp_of(sock);
	bool cork = ts->cork;
	ssize_t done = flags & MSG_FASTOPEN ? -EOPNOTSUPP : send_check(sock);

	if (done == 0)
		done = send_append(ts, msg);
	if (done == -EAGAIN)
		ts->no_space = true;
	if (done <= 0)
		return done;
	if (!tcp_writable(ts))
		ts->no_space = true;
	if (flags & MSG_OOB) {
		ts->snd_up = tcp_queue_end(ts);
		ts->push_now = true;
	}
	if (flags & MSG_MORE)
		ts->cork = true;
	tcp_output(ts);
	ts->cork = cork;
	return done;
}

/* ---- receive ---- */

static ssize_t recv_urgent(struct tcp_sock *ts, const struct net_msg *msg, int flags)
{
	struct net *net = ts->s.net;

	if (ts->s.oob_inline || !ts->urgent || ts->urgent_taken)
		return -EINVAL;
	if (!seq_lt(ts->rcv_urgent, ts->rcv_nxt))
		return -EAGAIN;
	if (!seq_lt(ts->rcv_urgent, ts->copied_seq))
		frag_list_peek(&net->pool, &ts->rcvq, ts->rcv_urgent - ts->copied_seq,
			       &ts->urgent_byte, 1);
	if (!(flags & MSG_PEEK))
		ts->urgent_taken = true;
	if (msg->iov_count == 0 || msg->iov[0].iov_len == 0)
		return 0;
	return net_env_copy_out(msg->iov[0].iov_base, &ts->urgent_byte, 1) == 0 ? 1 : -EFAULT;
}

static int recv_check(struct net_sock *sock)
{
	struct tcp_sock *ts = tcp_of(sock);

	if (ts->state == TCP_LISTEN)
		return -ENOTCONN;
	if (ts->rcvq.bytes != 0)
		return 1;
	if (sock->error != 0)
		return net_error_take(sock);
	if (ts->state == TCP_CLOSE && sock->rport == 0)
		return -ENOTCONN;
	if (sock->shut & SHUT_BIT_RD)
		return 0;
	return -EAGAIN;
}

/* Up to where the reader may go now: urgent data ends a read before it (RFC 9293 3.8.5). */
static uint32_t recv_available(struct tcp_sock *ts)
{
	struct net *net = ts->s.net;
	uint32_t before = ts->rcv_urgent - ts->copied_seq;

	if (!ts->urgent || seq_lt(ts->rcv_urgent, ts->copied_seq) || before >= ts->rcvq.bytes)
		return ts->rcvq.bytes;
	if (before > 0)
		return before;
	if (ts->s.oob_inline)
		return ts->rcvq.bytes;
	/* at the mark: the urgent byte is not part of the stream */
	frag_list_peek(&net->pool, &ts->rcvq, 0, &ts->urgent_byte, 1);
	frag_list_pull(&net->pool, &ts->rcvq, 1);
	ts->copied_seq++;
	return ts->rcvq.bytes;
}

/* Copies out [skip, skip + bytes) of the receive queue. 0 or -EFAULT. */
static int recv_copy(const struct tcp_sock *ts, uint32_t skip, void *to, uint32_t bytes)
{
	uint8_t *at = to;

	for (const struct frag *f = ts->rcvq.head; f != NULL && bytes > 0; f = f->next) {
		uint32_t part;

		if (skip >= f->bytes) {
			skip -= f->bytes;
			continue;
		}
		part = min_u32(f->bytes - skip, bytes);
		if (net_env_copy_out(at, frag_data(&ts->s.net->pool, f) + skip, part) != 0)
			return -EFAULT;
		at += part;
		bytes -= part;
		skip = 0;
	}
	return 0;
}

static void recv_consume(struct tcp_sock *ts, uint32_t bytes)
{
	frag_list_pull(&ts->s.net->pool, &ts->rcvq, bytes);
	ts->copied_seq += bytes;
}

ssize_t tcp_recvmsg(struct net_sock *sock, struct net_msg *msg, int flags)
{
	struct tcp_sock *ts = tcp_of(sock);
	uint32_t done = 0;
	uint32_t available;
	int rc;

	msg->addr_bytes = 0;
	if (flags & MSG_OOB)
		return recv_urgent(ts, msg, flags);
	rc = recv_check(sock);
	if (rc <= 0)
		return rc;
	available = recv_available(ts);
	for (unsigned int i = 0; i < msg->iov_count && available > 0; i++) {
		uint32_t part = (uint32_t)min_size(msg->iov[i].iov_len, available);

		if (part != 0 && !(flags & MSG_TRUNC) &&
		    recv_copy(ts, flags & MSG_PEEK ? done : 0, msg->iov[i].iov_base, part) != 0)
			return done > 0 ? (ssize_t)done : -EFAULT;
		if (!(flags & MSG_PEEK))
			recv_consume(ts, part);
		done += part;
		available -= part;
	}
	if (!(flags & MSG_PEEK))
		tcp_rcv_after_read(ts);
	if (done == 0 && available == 0 && !(sock->shut & SHUT_BIT_RD))
		return -EAGAIN; /* there was an urgent byte and nothing else */
	return done;
}

/* ---- shutdown, close, poll ---- */

static void send_fin(struct tcp_sock *ts)
{
	if (ts->state == TCP_ESTABLISHED)
		ts->state = TCP_FIN_WAIT1;
	else if (ts->state == TCP_CLOSE_WAIT)
		ts->state = TCP_LAST_ACK;
	else
		return;
	ts->fin_queued = true;
	tcp_output(ts);
}

int tcp_shutdown(struct net_sock *sock, int how)
{
	struct tcp_sock *ts = tcp_of(sock);
	uint32_t events = 0;

	if (ts->state == TCP_CLOSE || ts->state == TCP_TIME_WAIT)
		return -ENOTCONN;
	if (ts->state == TCP_LISTEN || ts->state == TCP_SYN_SENT) {
		if (ts->state == TCP_LISTEN && how == SHUT_WR)
			return 0;
		if (ts->state == TCP_LISTEN) {
			tcp_listen_stop(ts);
			ts->state = TCP_CLOSE;
			sock_event(sock, POLLIN | POLLHUP);
		} else {
			tcp_done(ts, 0);
		}
		return 0;
	}
	if (how != SHUT_WR) {
		sock->shut |= SHUT_BIT_RD;
		events |= POLLIN | POLLRDHUP;
	}
	if (how != SHUT_RD) {
		sock->shut |= SHUT_BIT_WR;
		events |= POLLOUT;
		send_fin(ts);
	}
	if (sock->shut == (SHUT_BIT_RD | SHUT_BIT_WR))
		events |= POLLHUP;
	sock_event(sock, events);
	return 0;
}

void tcp_close(struct net_sock *sock)
{
	struct tcp_sock *ts = tcp_of(sock);

	sock->owner = NULL;
	switch (ts->state) {
	case TCP_LISTEN:
		tcp_listen_stop(ts);
		ts->state = TCP_CLOSE;
		break;
	case TCP_CLOSE:
	case TCP_TIME_WAIT:
		break;
	case TCP_SYN_SENT:
		tcp_done(ts, 0);
		break;
	default:
		/* RFC 2525 2.17: closing with data unread tells the peer so */
		if (ts->rcvq.bytes != 0 || (sock->linger && sock->linger_seconds == 0)) {
			tcp_reset(ts);
			tcp_done(ts, 0);
			break;
		}
		sock->shut = SHUT_BIT_RD | SHUT_BIT_WR;
		send_fin(ts);
		if (ts->state == TCP_FIN_WAIT2 && ts->linger2_s < 0)
			tcp_done(ts, 0);
		else if (ts->state == TCP_FIN_WAIT2)
			tcp_fin_wait2_arm(ts);
		break;
	}
	if (sock->bound)
		port_unbind(sock);
	tcp_orphan(ts);
}

uint32_t tcp_poll_events(const struct net_sock *sock)
{
	const struct tcp_sock *ts = tcp_of(sock);
	uint32_t events = sock->error != 0 ? POLLERR : 0;

	if (ts->state == TCP_LISTEN)
		return events | (list_empty(&ts->accept_queue) ? 0 : POLLIN | POLLRDNORM);
	if (sock->shut == (SHUT_BIT_RD | SHUT_BIT_WR) || ts->state == TCP_CLOSE)
		events |= POLLHUP;
	if (sock->shut & SHUT_BIT_RD)
		events |= POLLIN | POLLRDNORM | POLLRDHUP;
	if (ts->state == TCP_SYN_SENT || ts->state == TCP_SYN_RECV)
		return events;
	if (ts->rcvq.bytes >= sock->rcvlowat && ts->rcvq.bytes != 0)
		events |= POLLIN | POLLRDNORM;
	if ((sock->shut & SHUT_BIT_WR) || ts->state == TCP_CLOSE || tcp_writable(ts))
		events |= POLLOUT | POLLWRNORM;
	else
		tcp_of(sock)->no_space = true;
	if (ts->urgent && !ts->urgent_taken)
		events |= POLLPRI;
	return events;
}
