/*
 * Segments that come in: the parser, and the state machine of RFC 9293 3.10.7 with RFC 5961's
 * checks and RFC 7323's timestamps.
 */
#include <poll.h>

#include "net/tcp.h"

#define TS_OPTION_ALONE 0x0101080au /* NOP NOP timestamp: what nearly every segment has */

/* ---- from the wire ---- */

static void options_parse(const uint8_t *at, uint32_t bytes, struct tcp_options *options)
{
	if (bytes == 12 && load_be32(at) == TS_OPTION_ALONE) {
		options->has_ts = true;
		options->sack_count = 0;
		options->mss = 0;
		options->has_wscale = false;
		options->sack_ok = false;
		options->ts_val = load_be32(at + 4);
		options->ts_ecr = load_be32(at + 8);
		return;
	}
	wire_tcp_options_parse(at, bytes, options);
}

void tcp_input(struct net *net, struct pkt *pkt, const struct ip_info *info)
{
	const struct frag *head = pkt->data.head;
	const struct wire_tcp *tcp;
	struct tcp_seg seg;
	uint32_t header;

	if (head == NULL || head->bytes < TCP_BYTES)
		goto malformed;
	tcp = (const void *)frag_data(&net->pool, head);
	header = (tcp->offset >> 4) * 4u;
	if (header < TCP_BYTES || header > head->bytes)
		goto malformed;
	if (pkt->broadcast || ip_addr_is_multicast(&info->dst))
		return;
	if (!pkt->csum_ok &&
	    csum_fold(csum_pseudo(&info->src, &info->dst, PROTO_TCP, pkt->data.bytes) +
		      frag_list_csum(&net->pool, &pkt->data, 0, pkt->data.bytes)) != 0xffff) {
		net->stats.rx_checksum++;
		return;
	}
	seg.src = info->src;
	seg.dst = info->dst;
	seg.sport = tcp->sport;
	seg.dport = tcp->dport;
	seg.seq = be32(tcp->seq);
	seg.ack = be32(tcp->ack);
	seg.window = be16(tcp->window);
	seg.urgent = be16(tcp->urgent);
	seg.flags = tcp->flags;
	seg.ecn = info->tos & ECN_MASK;
	seg.lo = false;
	seg.gso_bytes = pkt->gso_bytes;
	options_parse((const uint8_t *)(tcp + 1), header - TCP_BYTES, &seg.options);
	frag_list_pull(&net->pool, &pkt->data, header);
	seg.data = pkt->data;
	frag_list_init(&pkt->data);
	tcp_seg_input(net, &seg);
	frag_list_free(&net->pool, &seg.data);
	return;
malformed:
	net->stats.rx_malformed++;
}

/* ---- SYN_SENT (3.10.7.3) ---- */

void tcp_handshake_options(struct tcp_sock *ts, const struct tcp_options *o)
{
	struct route route;

	ts->peer_mss = o->mss != 0 ? (uint16_t)max_u32(o->mss, TCP_MIN_MSS) : TCP_DEFAULT_MSS;
	ts->ts_ok = o->has_ts;
	ts->sack_ok = o->sack_ok;
	ts->wscale_ok = o->has_wscale;
	ts->snd_wscale = o->has_wscale ? o->wscale : 0;
	ts->rcv_wscale = o->has_wscale ? TCP_WSCALE : 0;
	ts->ts_recent = o->ts_val;
	ts->ts_recent_ns = ts->s.net->now_ns;
	tcp_mss_update(ts, tcp_route(ts, &route) == 0 ? route.mtu : ts->s.net->mtu);
	ts->rcv_mss = ts->lo ? ts->mss : (uint16_t)min_u32(ts->mss, TCP_DEFAULT_MSS);
	ts->cwnd = TCP_INITIAL_SEGMENTS * (uint32_t)ts->mss;
}

static void tcp_established(struct tcp_sock *ts)
{
	ts->state = TCP_ESTABLISHED;
	ts->rtx_at = 0;
	ts->syn_retries = 0;
	ts->backoff = 0;
	ts->drs_seq = ts->copied_seq = ts->rcv_nxt;
	ts->drs_ns = ts->s.net->now_ns;
	ts->last_rx_ns = ts->s.net->now_ns - TCP_DELACK_NS;
	ts->stall_ns = 0;
	ts->ecn_recover = ts->snd_una;
	ts->hystart.round_end = ts->snd_una;
	if (ts->s.keepalive)
		ts->keep_at = ts->s.net->now_ns + ts->keep_idle_s * NSEC_PER_SEC;
	tcp_timer_update(ts);
}

static void syn_sent_input(struct tcp_sock *ts, struct tcp_seg *seg)
{
	bool acks = seg->flags & TCP_FLAG_ACK;

	if (acks && seg->ack != ts->snd_nxt) {
		tcp_reset_reply(ts->s.net, seg);
		return;
	}
	if (seg->flags & TCP_FLAG_RST) {
		if (acks)
			tcp_done(ts, ECONNREFUSED);
		return;
	}
	if (!(seg->flags & TCP_FLAG_SYN))
		return;
	ts->irs = seg->seq;
	ts->rcv_nxt = ts->rcv_adv = ts->rcv_acked = seg->seq + 1;
	ts->snd_wnd = ts->max_wnd = seg->window;
	ts->snd_wl1 = seg->seq;
	ts->snd_wl2 = seg->ack;
	tcp_handshake_options(ts, &seg->options);
	ts->ecn_ok = acks && !ts->lo && ts->syn_retries == 0 &&
		     (seg->flags & (TCP_FLAG_ECE | TCP_FLAG_CWR)) == TCP_FLAG_ECE;
	if (!acks) {
		/* both sides opened at once (3.5, figure 8) */
		ts->state = TCP_SYN_RECV;
		ts->syn_retries = 0;
		tcp_send_syn(ts);
		return;
	}
	ts->snd_una = seg->ack;
	if (ts->rtt_timing)
		tcp_rtt_sample(ts, ts->s.net->now_ns - ts->rtt_start_ns);
	ts->rtt_timing = false;
	tcp_established(ts);
	seg->seq++;
	if (seg->data.bytes != 0 || (seg->flags & TCP_FLAG_FIN))
		tcp_rcv_data(ts, seg);
	tcp_output(ts);
	if (ts->rcv_acked == ts->rcv_nxt && ts->snd_nxt == ts->snd_una)
		tcp_send_ack(ts);
	else if (ts->snd_nxt == ts->snd_una)
		tcp_ack_later(ts, true);
	sock_event(&ts->s, POLLOUT);
}

/* ---- synchronized states (3.10.7.4) ---- */

/* RFC 7323 5.3 (R1). True: drop. */
static bool paws_reject(const struct tcp_sock *ts, const struct tcp_seg *seg)
{
	if (!ts->ts_ok || !seg->options.has_ts ||
	    (int32_t)(seg->options.ts_val - ts->ts_recent) >= 0)
		return false;
	return ts->s.net->now_ns - ts->ts_recent_ns < TCP_PAWS_IDLE_NS;
}

static bool seq_acceptable(const struct tcp_sock *ts, const struct tcp_seg *seg)
{
	uint32_t length = seg->data.bytes + ((seg->flags & TCP_FLAG_SYN) != 0) +
			  ((seg->flags & TCP_FLAG_FIN) != 0);
	uint32_t edge = seq_max(ts->rcv_adv, ts->rcv_nxt);

	if (length == 0 || edge == ts->rcv_nxt)
		return seq_le(ts->rcv_nxt, seg->seq) && seq_le(seg->seq, edge);
	return seq_lt(seg->seq, edge) && seq_lt(ts->rcv_nxt, seg->seq + length);
}

static void reset_input(struct tcp_sock *ts, const struct tcp_seg *seg)
{
	/* RFC 5961 3.2: only the exact number is believed */
	if (seg->seq != ts->rcv_nxt) {
		tcp_challenge_ack(ts);
		return;
	}
	if (ts->state == TCP_SYN_RECV && ts->listener == NULL)
		tcp_done(ts, ECONNREFUSED);
	else if (ts->state == TCP_CLOSE_WAIT)
		tcp_done(ts, EPIPE);
	else if (ts->state == TCP_LAST_ACK || ts->state == TCP_CLOSING ||
		 ts->state == TCP_TIME_WAIT)
		tcp_done(ts, 0);
	else
		tcp_done(ts, ECONNRESET);
}

/* False: the segment is dealt with. */
static bool ack_check(struct tcp_sock *ts, const struct tcp_seg *seg)
{
	if (!(seg->flags & TCP_FLAG_ACK))
		return false;
	if (ts->state == TCP_SYN_RECV) {
		if (seg->ack == ts->snd_nxt)
			return true;
		tcp_reset_reply(ts->s.net, seg);
		return false;
	}
	if (seq_lt(ts->snd_nxt, seg->ack)) {
		tcp_challenge_ack(ts);
		return false;
	}
	if (seq_lt(seg->ack, ts->snd_una)) {
		/* RFC 5961 5.2: old, or a guess */
		if (seq_lt(seg->ack, ts->snd_una - ts->max_wnd)) {
			tcp_challenge_ack(ts);
			return false;
		}
	}
	return true;
}

/* The ACK of our SYN: SYN_RECV becomes ESTABLISHED. False: not now. */
static bool syn_recv_ack(struct tcp_sock *ts, const struct tcp_seg *seg)
{
	if (ts->listener != NULL && ts->defer_retries != 0 && seg->data.bytes == 0 &&
	    !(seg->flags & TCP_FLAG_FIN) && ts->syn_retries < ts->defer_retries) {
		ts->deferred = true; /* TCP_DEFER_ACCEPT: not before there is something to read */
		return false;
	}
	if (ts->listener != NULL && !tcp_listen_ready(ts))
		return false;
	ts->snd_una = seg->ack;
	ts->snd_wnd = (uint32_t)seg->window << ts->snd_wscale;
	ts->max_wnd = ts->snd_wnd;
	ts->snd_wl1 = seg->seq;
	ts->snd_wl2 = seg->ack;
	if (ts->rtt_timing)
		tcp_rtt_sample(ts, ts->s.net->now_ns - ts->rtt_start_ns);
	ts->rtt_timing = false;
	tcp_established(ts);
	if (ts->listener != NULL)
		sock_event(&ts->listener->s, POLLIN);
	else
		sock_event(&ts->s, POLLOUT);
	return true;
}

/* Our FIN is acknowledged. True: the connection is over. */
static bool fin_acked(struct tcp_sock *ts)
{
	switch (ts->state) {
	case TCP_FIN_WAIT1:
		ts->state = TCP_FIN_WAIT2;
		if (ts->dead) {
			/* nobody will read any more: do not wait for ever for the peer */
			if (ts->linger2_s < 0) {
				tcp_done(ts, 0);
				return true;
			}
			tcp_fin_wait2_arm(ts);
		}
		sock_event(&ts->s, POLLOUT);
		return false;
	case TCP_CLOSING:
		tcp_time_wait_enter(ts);
		return true;
	case TCP_LAST_ACK:
		tcp_done(ts, 0);
		return true;
	default:
		return false;
	}
}

static void timestamps_take(struct tcp_sock *ts, const struct tcp_seg *seg)
{
	/* RFC 7323 4.3: only from a segment that touches what was acknowledged last */
	if (!ts->ts_ok || !seg->options.has_ts || seq_lt(ts->rcv_acked, seg->seq) ||
	    (int32_t)(seg->options.ts_val - ts->ts_recent) < 0)
		return;
	ts->ts_recent = seg->options.ts_val;
	ts->ts_recent_ns = ts->s.net->now_ns;
}

/* Checks in the order of 3.10.7.4 up to the ACK. False: the segment is dealt with. */
static bool segment_check(struct tcp_sock *ts, const struct tcp_seg *seg)
{
	if (paws_reject(ts, seg) && !(seg->flags & TCP_FLAG_RST)) {
		ts->s.net->stats.tcp_paws_drops++;
		tcp_oow_ack(ts, seg);
		return false;
	}
	if (!seq_acceptable(ts, seg)) {
		if (ts->state == TCP_SYN_RECV && (seg->flags & TCP_FLAG_SYN) && seg->seq == ts->irs)
			tcp_send_syn(ts);
		else if (!(seg->flags & TCP_FLAG_RST))
			tcp_oow_ack(ts, seg);
		return false;
	}
	if (seg->flags & TCP_FLAG_RST) {
		reset_input(ts, seg);
		return false;
	}
	if (seg->flags & TCP_FLAG_SYN) {
		tcp_challenge_ack(ts); /* RFC 5961 4.2 */
		return false;
	}
	return ack_check(ts, seg);
}

/* Data for a connection that nobody can read any more is answered by a reset (3.6.1). */
static bool data_unwanted(const struct tcp_sock *ts, const struct tcp_seg *seg)
{
	return ts->dead && ts->listener == NULL && tcp_can_receive(ts) &&
	       seq_lt(ts->rcv_nxt, seg->seq + seg->data.bytes);
}

/* RFC 3168 6.1.3: what the network and the peer say about congestion. */
static void ecn_input(struct tcp_sock *ts, const struct tcp_seg *seg)
{
	if (seg->data.bytes == 0)
		return;
	if (seg->flags & TCP_FLAG_CWR)
		ts->ecn_echo = false;
	ts->ecn_seen |= seg->ecn != 0;
	if (seg->ecn == ECN_CE) {
		ts->ecn_echo = true;
		tcp_ack_later(ts, true);
	}
}

void tcp_synchronized_input(struct tcp_sock *ts, struct tcp_seg *seg)
{
	/* a simultaneous open ends with the peer's SYN again, now with the ACK of ours */
	if (ts->state == TCP_SYN_RECV && ts->listener == NULL && seg->seq == ts->irs &&
	    (seg->flags & TCP_FLAG_SYN) && (seg->flags & TCP_FLAG_ACK)) {
		seg->flags &= (uint8_t)~TCP_FLAG_SYN;
		seg->seq++;
	}
	if (!segment_check(ts, seg))
		return;
	timestamps_take(ts, seg);
	if (ts->ecn_ok)
		ecn_input(ts, seg);
	if (ts->state == TCP_SYN_RECV && !syn_recv_ack(ts, seg))
		return;
	if (ts->keep_at != 0 && ts->state == TCP_ESTABLISHED) {
		ts->keep_at = ts->s.net->now_ns + ts->keep_idle_s * NSEC_PER_SEC;
		ts->keep_probes = 0;
	}
	if (!seq_lt(seg->ack, ts->snd_una)) {
		tcp_ack_input(ts, seg);
		if (ts->fin_sent && ts->snd_una == ts->snd_nxt && fin_acked(ts))
			return;
	}
	if (seg->data.bytes != 0 || (seg->flags & TCP_FLAG_FIN)) {
		if (data_unwanted(ts, seg)) {
			tcp_reset(ts);
			tcp_done(ts, ECONNRESET);
			return;
		}
		if (tcp_can_receive(ts))
			tcp_rcv_data(ts, seg);
		else
			tcp_ack_later(ts, true);
	}
	if (ts->sndq.bytes != 0 || ts->fin_queued)
		tcp_output(ts);
}

/* ---- TIME_WAIT ---- */

/* True: the SYN may begin a new connection in the old one's place (RFC 6191, RFC 1122 4.2.2.13). */
static bool time_wait_reuse(const struct tcp_sock *ts, const struct tcp_seg *seg)
{
	if ((seg->flags & (TCP_FLAG_SYN | TCP_FLAG_RST | TCP_FLAG_ACK)) != TCP_FLAG_SYN)
		return false;
	if (ts->ts_ok && seg->options.has_ts)
		return (int32_t)(seg->options.ts_val - ts->ts_recent) > 0 ||
		       seq_lt(ts->rcv_nxt, seg->seq);
	return seq_lt(ts->rcv_nxt, seg->seq);
}

static void time_wait_input(struct tcp_sock *ts, const struct tcp_seg *seg)
{
	if (seg->flags & TCP_FLAG_RST)
		return; /* RFC 1337: not the end of TIME_WAIT */
	if (paws_reject(ts, seg) || !seq_acceptable(ts, seg) || (seg->flags & TCP_FLAG_FIN))
		tcp_send_ack(ts);
}

/* ---- all states ---- */

void tcp_seg_input(struct net *net, struct tcp_seg *seg)
{
	struct tcp_sock *ts = tcp_lookup(net, &seg->dst, &seg->src, seg->dport, seg->sport);

	if (ts != NULL && ts->state == TCP_TIME_WAIT) {
		if (!time_wait_reuse(ts, seg)) {
			time_wait_input(ts, seg);
			return;
		}
		tcp_done(ts, 0);
		ts = NULL;
	}
	if (ts == NULL) {
		struct tcp_sock *listener = tcp_lookup_listener(net, seg);

		if (listener != NULL) {
			tcp_listen_input(listener, seg);
			return;
		}
		net->stats.rx_no_socket++;
		tcp_reset_reply(net, seg);
		return;
	}
	if (ts->state == TCP_SYN_SENT)
		syn_sent_input(ts, seg);
	else
		tcp_synchronized_input(ts, seg);
}

/* An ICMP error about a segment of ours; believed only if its number is in flight (RFC 5927). */
void tcp_error(struct net *net, const struct icmp_error *error)
{
	struct tcp_sock *ts = tcp_lookup(net, &error->src, &error->dst, error->sport, error->dport);

	if (ts == NULL || ts->state == TCP_TIME_WAIT || seq_lt(error->seq, ts->snd_una) ||
	    seq_lt(ts->snd_nxt, error->seq))
		return;
	if (error->error == EMSGSIZE) {
		uint32_t before = ts->mss;

		ip_pmtu_learn(net, &error->dst, error->mtu);
		tcp_mss_update(ts, ip_pmtu(net, &error->dst));
		if (ts->mss >= before)
			return;
		tcp_board_all_lost(ts);
		ts->recovery = TCP_LOSS;
		ts->recover = ts->snd_nxt;
		tcp_output(ts);
		return;
	}
	if (ts->state == TCP_SYN_SENT || ts->state == TCP_SYN_RECV) {
		if (error->hard || ts->syn_retries > 0)
			tcp_done(ts, error->error);
		return;
	}
	/* RFC 5461: established connections outlive what routers say */
}

void tcp_host_unreachable(struct net_sock *sock, const union ip_addr *hop)
{
	struct tcp_sock *ts = tcp_of(sock);

	if (ts->state == TCP_SYN_SENT && !ts->lo && ip_addr_equal(&ts->hop, hop))
		tcp_done(ts, EHOSTUNREACH);
}

void tcp_ready(struct net_sock *sock)
{
	struct tcp_sock *ts = tcp_of(sock);

	if (ts->ack_now) {
		ts->ack_now = false;
		tcp_send_ack(ts);
	}
	tcp_output(ts);
}
