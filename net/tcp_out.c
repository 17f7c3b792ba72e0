/*
 * Sending segments: what may go out now, and how it looks on the wire.
 */
#include "net/tcp.h"

#define OPTIONS_MAX 40u

/* ---- one segment ---- */

static uint32_t syn_options_write(const struct tcp_sock *ts, uint8_t flags, uint8_t *at)
{
	bool answer = flags & TCP_FLAG_ACK;
	uint32_t n = 4;

	at[0] = 2;
	at[1] = 4;
	store_be16(at + 2, tcp_advertised_mss(ts));
	if (!answer || ts->ts_ok) {
		at[n] = at[n + 1] = 1;
		if (!answer || ts->sack_ok) {
			at[n] = 4;
			at[n + 1] = 2;
		}
		at[n + 2] = 8;
		at[n + 3] = 10;
		store_be32(at + n + 4, tcp_clock(ts));
		store_be32(at + n + 8, answer ? ts->ts_recent : 0);
		n += 12;
	} else if (ts->sack_ok) {
		at[n] = at[n + 1] = 1;
		at[n + 2] = 4;
		at[n + 3] = 2;
		n += 4;
	}
	if (!answer || ts->wscale_ok) {
		at[n] = 1;
		at[n + 1] = 3;
		at[n + 2] = 3;
		at[n + 3] = TCP_WSCALE;
		n += 4;
	}
	return n;
}

uint32_t tcp_options_write(struct tcp_sock *ts, uint8_t flags, uint8_t *at, uint32_t room)
{
	uint32_t blocks[TCP_MAX_SACKS][2];
	unsigned int count;
	uint32_t n = 0;

	if (flags & TCP_FLAG_SYN)
		return syn_options_write(ts, flags, at);
	if (ts->ts_ok) {
		store_be32(at, 0x0101080a);
		store_be32(at + 4, tcp_clock(ts));
		store_be32(at + 8, ts->ts_recent);
		n = 12;
	}
	if (!ts->sack_ok || (ts->ooo.head == NULL && !ts->dsack) || room < n + 12)
		return n;
	count = tcp_rcv_sacks(ts, blocks, min_u32((room - n - 4) / 8, TCP_MAX_SACKS));
	ts->dsack = false;
	if (count == 0)
		return n;
	store_be32(at + n, 0x01010500u + 2 + 8 * count);
	n += 4;
	for (unsigned int i = 0; i < count; i++, n += 8) {
		store_be32(at + n, blocks[i][0]);
		store_be32(at + n + 4, blocks[i][1]);
	}
	return n;
}

/* Where `seq` is in the send queue. The byte exists. */
static struct frag *send_queue_find(struct tcp_sock *ts, uint32_t seq)
{
	struct frag *f = ts->sndq.head;

	if (ts->cursor != NULL && seq_le(ts->cursor->seq, seq))
		f = ts->cursor;
	while (f->next != NULL && seq_le(f->seq + f->bytes, seq))
		f = f->next;
	return f;
}

/* Adds the payload as page ranges; remembers where it ended. */
static void payload_add(struct tcp_sock *ts, struct out *out, struct frag *f, uint32_t offset,
			uint32_t bytes)
{
	for (;; f = f->next, offset = 0) {
		uint32_t part = min_u32(f->bytes - offset, bytes);

		link_add(ts->s.net, out, f->page, f->offset + offset, part);
		bytes -= part;
		if (bytes == 0)
			break;
	}
	ts->cursor = f;
	ts->cursor_seq = f->seq;
}

static void payload_copy(struct tcp_sock *ts, uint8_t *at, const struct frag *f, uint32_t offset,
			 uint32_t bytes)
{
	while (bytes > 0) {
		uint32_t part = min_u32(f->bytes - offset, bytes);

		memcpy(at, frag_data(&ts->s.net->pool, f) + offset, part);
		at += part;
		bytes -= part;
		f = f->next;
		offset = 0;
	}
}

static unsigned int payload_ranges(const struct frag *f, uint32_t offset, uint32_t bytes)
{
	unsigned int count = 0;

	while (bytes > 0) {
		bytes -= min_u32(f->bytes - offset, bytes);
		f = f->next;
		offset = 0;
		count++;
	}
	return count;
}

/* The checksum, or what the device needs to do it. */
static void segment_checksum(struct tcp_sock *ts, struct wire_tcp *tcp, uint32_t inline_bytes,
			     const struct tcp_out_seg *seg, struct out *out)
{
	struct net *net = ts->s.net;
	uint32_t l4_bytes = (tcp->offset >> 4) * 4u + seg->bytes;
	uint64_t sum = csum_pseudo(&ts->s.local, &ts->s.remote, PROTO_TCP, l4_bytes);

	if (net->dev.features & ABI_NET_F_CSUM) {
		tcp->checksum = csum_fold(sum);
		out->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		out->csum_start = (uint16_t)(ETH_BYTES + ip_header_bytes(&ts->s.remote));
		out->csum_offset = offsetof(struct wire_tcp, checksum);
		return;
	}
	tcp->checksum = 0;
	sum += csum_add(0, tcp, inline_bytes);
	if (inline_bytes < l4_bytes)
		sum += frag_list_csum(&net->pool, &ts->sndq, seg->seq - ts->snd_una, seg->bytes);
	tcp->checksum = csum_finish(sum);
}

/* What every segment that goes out changes. */
static void segment_sent(struct tcp_sock *ts, const struct tcp_out_seg *seg)
{
	struct net *net = ts->s.net;

	if (ts->recovery == TCP_RECOVERY)
		ts->prr_sent += seg->bytes;
	if (seg->flags & TCP_FLAG_ACK) {
		ts->rcv_acked = ts->rcv_nxt;
		ts->delack_at = 0;
		list_del(&ts->ack_link);
	}
	if (seg->bytes == 0 && !(seg->flags & (TCP_FLAG_SYN | TCP_FLAG_FIN)))
		return;
	if (net->now_ns - ts->last_rx_ns < TCP_DELACK_NS && seg->bytes != 0)
		ts->ping_pong = true;
	ts->last_tx_ns = net->now_ns;
	if (seg->again) {
		ts->total_retransmits++;
		ts->undo_bytes += seg->bytes;
		net->stats.tcp_retransmits++;
		ts->rtt_timing = false;
	} else if (!ts->rtt_timing && ts->recovery == TCP_OPEN) {
		ts->rtt_timing = true;
		ts->rtt_seq =
			seg->seq + seg->bytes + ((seg->flags & (TCP_FLAG_SYN | TCP_FLAG_FIN)) != 0);
		ts->rtt_start_ns = net->now_ns;
	}
}

static void segment_header_write(const struct tcp_sock *ts, const struct tcp_out_seg *seg,
				 uint32_t window, struct wire_tcp *tcp, uint32_t options_bytes)
{
	tcp->sport = ts->s.lport;
	tcp->dport = ts->s.rport;
	tcp->seq = be32(seg->seq);
	tcp->ack = seg->flags & TCP_FLAG_ACK ? be32(ts->rcv_nxt) : 0;
	tcp->offset = (uint8_t)((TCP_BYTES + options_bytes) / 4 << 4);
	tcp->flags = seg->flags;
	tcp->window = be16((uint16_t)window);
	tcp->urgent = 0;
	if (ts->ecn_ok && !(seg->flags & TCP_FLAG_SYN)) {
		if (ts->ecn_echo)
			tcp->flags |= TCP_FLAG_ECE;
		if (ts->ecn_cwr && seg->bytes != 0 && !seg->again)
			tcp->flags |= TCP_FLAG_CWR;
	}
	if (seg->bytes != 0 && seq_lt(seg->seq, ts->snd_up)) {
		tcp->flags |= TCP_FLAG_URG;
		tcp->urgent = be16((uint16_t)min_u32(ts->snd_up - seg->seq, 65535));
	}
}

/* The connection's neighbour entry may have been given to someone else. */
static int tcp_path_check(struct tcp_sock *ts, struct route *route)
{
	struct neigh *neigh = ts->neigh;
	struct net *net = ts->s.net;

	if (neigh == NULL || neigh->state != NEIGH_KNOWN ||
	    !ip_addr_equal(&neigh->addr, &ts->hop) ||
	    net->now_ns - neigh->confirmed_ns > 20 * NSEC_PER_SEC)
		return tcp_route(ts, route);
	neigh->used_ns = net->now_ns;
	route->neigh = neigh;
	return 0;
}

static int tcp_send_wire(struct tcp_sock *ts, const struct tcp_out_seg *seg, uint32_t window)
{
	struct net *net = ts->s.net;
	struct route route = {0};
	uint8_t options[OPTIONS_MAX];
	uint32_t options_bytes = tcp_options_write(ts, seg->flags, options, OPTIONS_MAX);
	uint32_t header = TCP_BYTES + options_bytes;
	uint32_t ip_bytes = ip_header_bytes(&ts->s.remote);
	bool inlined = seg->bytes <= VIRTNET_HEADER_BYTES - LINK_HEADER_BYTES - ip_bytes - header;
	struct frag *from = seg->bytes != 0 ? send_queue_find(ts, seg->seq) : NULL;
	uint32_t offset = from != NULL ? seg->seq - from->seq : 0;
	struct ip_out ip = {.route = &route,
			    .src = &ts->s.local,
			    .dst = &ts->s.remote,
			    .protocol = PROTO_TCP,
			    .ttl = ts->s.ttl,
			    .tos = ts->s.tos,
			    .dont_fragment = true,
			    .l4_bytes = header + seg->bytes};
	struct wire_tcp *tcp;
	struct out out;
	/* RFC 3168 6.1.4, 6.1.5: neither ACKs nor what is sent again may be marked */
	bool markable = ts->ecn_ok && seg->bytes != 0 && !seg->again;
	int rc = tcp_path_check(ts, &route);

	if (rc != 0)
		return rc;
	if (markable)
		ip.tos |= ECN_ECT0;
	tcp = (void *)ip_begin(net, &ip, inlined ? 0 : payload_ranges(from, offset, seg->bytes),
			       &out);
	if (tcp == NULL) {
		sock_wait_tx(&ts->s);
		return -EAGAIN;
	}
	segment_header_write(ts, seg, window, tcp, options_bytes);
	memcpy(tcp + 1, options, options_bytes);
	if (inlined)
		payload_copy(ts, (uint8_t *)(tcp + 1) + options_bytes, from, offset, seg->bytes);
	else
		payload_add(ts, &out, from, offset, seg->bytes);
	segment_checksum(ts, tcp, header + (inlined ? seg->bytes : 0), seg, &out);
	if (seg->bytes > ts->mss) {
		out.gso_type =
			ip_bytes == IP4_BYTES ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
		out.gso_bytes = ts->mss;
		out.gso_header_bytes = (uint16_t)(ETH_BYTES + ip_bytes + header);
	}
	ip_end(net, &ip, &out, header + (inlined ? seg->bytes : 0));
	if (markable)
		ts->ecn_cwr = false;
	return 0;
}

int tcp_send(struct tcp_sock *ts, const struct tcp_out_seg *seg)
{
	uint32_t window = tcp_rcv_window(ts);
	int rc;

	if (!(seg->flags & TCP_FLAG_SYN))
		window >>= ts->rcv_wscale;
	window = min_u32(window, 65535);
	rc = ts->lo ? tcp_lo_send(ts, seg, window) : tcp_send_wire(ts, seg, window);
	if (rc == 0)
		segment_sent(ts, seg);
	return rc;
}

/* ---- control segments ---- */

int tcp_send_syn(struct tcp_sock *ts)
{
	struct tcp_out_seg seg = {
		.seq = ts->iss,
		.flags = ts->state == TCP_SYN_RECV ? TCP_FLAG_SYN | TCP_FLAG_ACK : TCP_FLAG_SYN,
		.again = ts->syn_retries != 0,
	};

	/* RFC 3168 6.1.1: asked for at first, and not again where the answer does not come */
	if (ts->state == TCP_SYN_RECV)
		seg.flags |= ts->ecn_ok ? TCP_FLAG_ECE : 0;
	else if (!ts->lo && ts->syn_retries == 0)
		seg.flags |= TCP_FLAG_ECE | TCP_FLAG_CWR;
	return tcp_send(ts, &seg);
}

void tcp_send_ack(struct tcp_sock *ts)
{
	struct tcp_out_seg seg = {.seq = ts->snd_nxt, .flags = TCP_FLAG_ACK};

	if (tcp_send(ts, &seg) != 0)
		ts->ack_now = true;
}

void tcp_send_probe(struct tcp_sock *ts)
{
	struct tcp_out_seg seg = {.seq = ts->snd_una - 1, .flags = TCP_FLAG_ACK};

	tcp_send(ts, &seg);
}

/* RFC 5961 7: at most so many a second, all connections together. */
void tcp_challenge_ack(struct tcp_sock *ts)
{
	struct net *net = ts->s.net;

	if (net->now_ns - net->challenge_ns > NSEC_PER_SEC) {
		net->challenge_ns = net->now_ns;
		net->challenge_count = 0;
	}
	if (net->challenge_count >= TCP_CHALLENGES_PER_SECOND)
		return;
	net->challenge_count++;
	net->stats.tcp_challenge_acks++;
	tcp_send_ack(ts);
}

void tcp_oow_ack(struct tcp_sock *ts, const struct tcp_seg *seg)
{
	/* data is no part of a loop of ACKs */
	if (seg->data.bytes == 0) {
		uint32_t now_us = tcp_clock_us(ts) | 1;

		if (ts->oow_us != 0 && now_us - ts->oow_us < TCP_OOW_ACK_US)
			return;
		ts->oow_us = now_us;
	} else if (ts->sack_ok && seq_lt(seg->seq, ts->rcv_nxt)) {
		tcp_rcv_twice(ts, seg->seq, seq_min(seg->seq + seg->data.bytes, ts->rcv_nxt));
	}
	tcp_send_ack(ts);
}

void tcp_ack_later(struct tcp_sock *ts, bool now)
{
	struct net *net = ts->s.net;

	if (now) {
		if (list_empty(&ts->ack_link))
			list_add_tail(&net->acks, &ts->ack_link);
		return;
	}
	if (ts->delack_at == 0) {
		ts->delack_at = net->now_ns + TCP_DELACK_NS;
		tcp_timer_update(ts);
	}
}

void tcp_reset(struct tcp_sock *ts)
{
	struct tcp_out_seg seg = {.seq = ts->snd_nxt, .flags = TCP_FLAG_RST | TCP_FLAG_ACK};

	ts->s.net->stats.tcp_resets_sent++;
	tcp_send(ts, &seg);
}

static int tcp_reset_wire(struct net *net, const struct tcp_seg *to, const struct tcp_out_seg *seg,
			  uint32_t ack)
{
	struct route route;
	struct ip_out ip = {.route = &route,
			    .src = &to->dst,
			    .dst = &to->src,
			    .protocol = PROTO_TCP,
			    .dont_fragment = true,
			    .l4_bytes = TCP_BYTES};
	struct wire_tcp *tcp;
	struct out out;
	int rc = ip_route(net, &to->src, &route);

	if (rc != 0)
		return rc;
	tcp = (void *)ip_begin(net, &ip, 0, &out);
	if (tcp == NULL)
		return -EAGAIN;
	*tcp = (struct wire_tcp){
		.sport = to->dport,
		.dport = to->sport,
		.seq = be32(seg->seq),
		.ack = be32(ack),
		.offset = TCP_BYTES / 4 << 4,
		.flags = seg->flags,
	};
	tcp->checksum = csum_finish(csum_pseudo(&to->dst, &to->src, PROTO_TCP, TCP_BYTES) +
				    csum_add(0, tcp, TCP_BYTES));
	ip_end(net, &ip, &out, TCP_BYTES);
	return 0;
}

/* RFC 9293 3.5.2: the answer to a segment that no connection wants. */
void tcp_reset_reply(struct net *net, const struct tcp_seg *seg)
{
	struct tcp_out_seg reply = {.flags = TCP_FLAG_RST};
	uint32_t ack = 0;

	if (seg->flags & TCP_FLAG_RST)
		return;
	if (seg->flags & TCP_FLAG_ACK) {
		reply.seq = seg->ack;
	} else {
		reply.flags |= TCP_FLAG_ACK;
		ack = seg->seq + seg->data.bytes + ((seg->flags & TCP_FLAG_SYN) != 0) +
		      ((seg->flags & TCP_FLAG_FIN) != 0);
	}
	net->stats.tcp_resets_sent++;
	if (seg->lo)
		tcp_lo_reply(net, seg, &reply, ack);
	else
		tcp_reset_wire(net, seg, &reply, ack);
}

/* ---- what may be sent ---- */

static uint32_t segment_max(const struct tcp_sock *ts)
{
	uint64_t tso = ip_addr_is_v4(&ts->s.remote) ? ABI_NET_F_HOST_TSO4 : ABI_NET_F_HOST_TSO6;
	uint32_t room = TCP_GSO_MAX - ip_header_bytes(&ts->s.remote) - TCP_MAX_BYTES;

	/* CWR belongs on one segment, and the device would put it on each */
	if (ts->lo || !(ts->s.net->dev.features & tso) || ts->mss > room || ts->ecn_cwr)
		return ts->mss;
	return room - room % ts->mss;
}

/* Sends lost ranges again while the congestion window has room. False: the ring is full. */
static bool output_holes(struct tcp_sock *ts)
{
	struct tcp_hole *hole;

	while ((hole = tcp_board_next(ts)) != NULL) {
		uint32_t pipe = tcp_pipe(ts);
		uint32_t room = ts->cwnd > pipe ? ts->cwnd - pipe : 0;
		uint32_t data_end = seq_min(hole->end, tcp_queue_end(ts));
		bool fin = seq_lt(tcp_queue_end(ts), hole->end);
		struct tcp_out_seg seg = {.seq = hole->rxmit, .flags = TCP_FLAG_ACK, .again = true};

		if (room < ts->mss && pipe != 0 && ts->retransmits != 0)
			return true;
		seg.bytes = min_u32(data_end - hole->rxmit, segment_max(ts));
		if (seg.bytes > ts->mss)
			seg.bytes = max_u32(min_u32(seg.bytes, room) / ts->mss, 1) * ts->mss;
		fin = fin && seg.seq + seg.bytes == data_end;
		if (fin)
			seg.flags |= TCP_FLAG_FIN;
		if (tcp_send(ts, &seg) != 0)
			return false;
		ts->retransmits++;
		hole->rxmit += seg.bytes + fin;
		hole->mark = ts->snd_nxt;
		hole->xmit_us = tcp_clock_us(ts);
	}
	return true;
}

/* How much of `unsent` makes a segment now; 0: nothing (yet). */
static uint32_t output_size(struct tcp_sock *ts, uint32_t unsent)
{
	uint32_t edge = ts->snd_una + ts->snd_wnd;
	uint32_t window = seq_lt(ts->snd_nxt, edge) ? edge - ts->snd_nxt : 0;
	uint32_t pipe = tcp_pipe(ts);
	uint32_t room = ts->cwnd > pipe ? ts->cwnd - pipe : 0;
	uint32_t n = min_u32(min_u32(unsent, segment_max(ts)), min_u32(window, room));
	uint32_t tail = n % ts->mss;

	if (room < unsent && room <= window)
		ts->cwnd_limited = true;
	if (tail == 0)
		return n;
	if (n < unsent) {
		/* silly window avoidance (RFC 9293 3.8.6.2.1): whole segments, or half the window
		 */
		if (n > ts->mss || room < ts->mss)
			return n - tail;
		return n >= ts->max_wnd / 2 && ts->max_wnd != 0 ? n : 0;
	}
	/* the last, partial segment: Nagle's rule in Minshall's form, and corking */
	if (ts->push_now || ts->fin_queued)
		return n;
	if (ts->cork)
		return n - tail;
	if (!ts->nodelay && seq_lt(ts->snd_una, ts->snd_small))
		return n - tail;
	return n;
}

static void output_new(struct tcp_sock *ts)
{
	ts->cwnd_limited = false;
	while (!ts->fin_sent) {
		uint32_t unsent = tcp_queue_end(ts) - ts->snd_nxt;
		uint32_t n = unsent != 0 ? output_size(ts, unsent) : 0;
		bool fin = ts->fin_queued && n == unsent;
		struct tcp_out_seg seg = {.seq = ts->snd_nxt, .bytes = n, .flags = TCP_FLAG_ACK};

		if (n == 0 && !fin)
			return;
		if (n == unsent)
			seg.flags |= TCP_FLAG_PSH;
		if (fin)
			seg.flags |= TCP_FLAG_FIN;
		if (tcp_send(ts, &seg) != 0)
			return;
		ts->snd_nxt += n + fin;
		ts->fin_sent = fin;
		if (n % ts->mss != 0)
			ts->snd_small = ts->snd_nxt;
		if (ts->rtx_at == 0 || ts->persist)
			tcp_rtx_arm(ts);
	}
}

void tcp_output(struct tcp_sock *ts)
{
	switch (ts->state) {
	case TCP_ESTABLISHED:
	case TCP_CLOSE_WAIT:
	case TCP_FIN_WAIT1:
	case TCP_CLOSING:
	case TCP_LAST_ACK:
		break;
	default:
		return;
	}
	/* the ring is full: net_poll calls again when it has room */
	if (!list_empty(&ts->s.wait))
		return;
	if (ts->recovery != TCP_OPEN && !output_holes(ts))
		return;
	output_new(ts);
	ts->push_now = false;
	if (ts->notsent_lowat != 0)
		tcp_space_event(ts);
	if (ts->rtx_at == 0 && tcp_queue_end(ts) != ts->snd_nxt && tcp_flight(ts) == 0)
		tcp_rtx_arm(ts);
	if (ts->cork && ts->cork_at == 0 && tcp_flight(ts) == 0 && ts->sndq.bytes != 0) {
		ts->cork_at = ts->s.net->now_ns + TCP_CORK_NS;
		tcp_timer_update(ts);
	}
}
