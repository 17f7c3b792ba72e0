/*
 * TCP's timers. A connection has several deadlines and one entry in the wheel, which is armed at
 * the earliest or before: moving a deadline back (every ACK does) costs a store.
 */
#include <poll.h>

#include "net/tcp.h"

static uint64_t tcp_deadline(const struct tcp_sock *ts)
{
	uint64_t at = UINT64_MAX;

	if (ts->rtx_at != 0)
		at = ts->rtx_at;
	if (ts->delack_at != 0)
		at = min_u64(at, ts->delack_at);
	if (ts->keep_at != 0)
		at = min_u64(at, ts->keep_at);
	if (ts->cork_at != 0)
		at = min_u64(at, ts->cork_at);
	return at;
}

void tcp_timer_update(struct tcp_sock *ts)
{
	uint64_t at = tcp_deadline(ts);

	if (at == UINT64_MAX ||
	    (net_timer_armed(&ts->timer) && net_timer_deadline_ns(&ts->timer) <= at))
		return;
	net_timer_arm(&ts->s.net->wheel, &ts->timer, at);
}

static uint64_t backed_off(uint64_t ns, unsigned int steps)
{
	return steps > 12 ? TCP_RTO_MAX_NS : min_u64(ns << steps, TCP_RTO_MAX_NS);
}

/* RFC 8985 7.2: two round trips, and what the peer may delay its ACK by. */
static uint64_t tlp_timeout(const struct tcp_sock *ts)
{
	uint64_t pto = max_u64(2ull * (ts->srtt_us / 8) * NSEC_PER_USEC, TCP_TLP_MIN_NS);

	if (tcp_flight(ts) <= ts->mss)
		pto += TCP_DELACK_NS + 2 * NSEC_PER_MSEC;
	return pto;
}

/* RFC 5482: the connection is given up at its user timeout, not at the first timer after it. */
static void user_timeout_clamp(struct tcp_sock *ts)
{
	uint64_t end = ts->stall_ns + ts->user_timeout_ms * NSEC_PER_MSEC;

	if (ts->user_timeout_ms != 0 && ts->rtx_at > end)
		ts->rtx_at = max_u64(end, ts->s.net->now_ns);
}

static bool user_timeout_over(const struct tcp_sock *ts)
{
	return ts->user_timeout_ms != 0 && ts->stall_ns != 0 &&
	       ts->s.net->now_ns - ts->stall_ns >= ts->user_timeout_ms * NSEC_PER_MSEC;
}

void tcp_rtx_arm(struct tcp_sock *ts)
{
	uint64_t now = ts->s.net->now_ns;

	ts->tlp_armed = false;
	ts->persist = false;
	if (tcp_flight(ts) == 0) {
		ts->rtx_at = 0;
		if (tcp_queue_end(ts) != ts->snd_nxt && ts->snd_wnd < ts->mss) {
			ts->persist = true;
			ts->rtx_at = now + backed_off(ts->rto_ns, ts->probes);
		}
	} else {
		uint64_t rto = backed_off(ts->rto_ns, ts->backoff);

		if (ts->recovery == TCP_OPEN && ts->sack_ok && !ts->tlp_sent && ts->srtt_us != 0 &&
		    ts->board == NULL && tlp_timeout(ts) < rto) {
			ts->tlp_armed = true;
			rto = tlp_timeout(ts);
		}
		ts->rtx_at = now + rto;
	}
	if (ts->rtx_at == 0) {
		ts->stall_ns = 0;
	} else {
		if (ts->stall_ns == 0)
			ts->stall_ns = now;
		user_timeout_clamp(ts);
	}
	tcp_timer_update(ts);
}

/* The connection gave no sign of life for too long. */
static bool retries_over(const struct tcp_sock *ts, unsigned int tries)
{
	if (ts->user_timeout_ms != 0)
		return user_timeout_over(ts);
	return tries >= (ts->dead ? TCP_ORPHAN_RETRIES : TCP_RETRIES);
}

static void syn_timeout(struct tcp_sock *ts)
{
	unsigned int most = ts->state == TCP_SYN_SENT ? TCP_SYN_RETRIES : TCP_SYNACK_RETRIES;
	/* TCP_DEFER_ACCEPT: the peer has answered, and is asked again only when the time is over */
	bool waiting = ts->deferred && ts->syn_retries < ts->defer_retries;

	if (ts->syn_count_most != 0)
		most = ts->syn_count_most;
	if (user_timeout_over(ts) || (ts->syn_retries >= most && !waiting)) {
		tcp_done(ts, ETIMEDOUT);
		return;
	}
	ts->syn_retries++;
	ts->s.net->stats.tcp_timeouts++;
	if (!waiting || ts->syn_retries >= ts->defer_retries)
		tcp_send_syn(ts);
	ts->rtx_at = ts->s.net->now_ns + backed_off(TCP_RTO_INITIAL_NS, ts->syn_retries);
	user_timeout_clamp(ts);
}

uint8_t tcp_seconds_to_retries(uint32_t seconds)
{
	uint8_t retries = 0;

	while (retries < UINT8_MAX && tcp_retries_to_seconds(retries) < seconds)
		retries++;
	return retries;
}

uint32_t tcp_retries_to_seconds(uint8_t retries)
{
	uint64_t period = 0, wait = 1;

	for (uint8_t i = 0; i < retries; i++) {
		period += wait;
		wait = min_u64(wait * 2, TCP_RTO_MAX_NS / NSEC_PER_SEC);
	}
	return (uint32_t)period;
}

/* Sends the last segment again, or new data, to learn of a loss at the tail (RFC 8985 7.3). */
static void tlp_fire(struct tcp_sock *ts)
{
	uint32_t end = seq_min(ts->snd_nxt, tcp_queue_end(ts));
	uint32_t bytes = min_u32(ts->mss, end - ts->snd_una);
	struct tcp_out_seg seg = {.seq = end - bytes,
				  .bytes = bytes,
				  .flags = TCP_FLAG_ACK | TCP_FLAG_PSH,
				  .again = true};

	ts->tlp_sent = true;
	ts->tlp_again = true;
	ts->tlp_end = ts->snd_nxt;
	if (ts->fin_sent)
		seg.flags |= TCP_FLAG_FIN;
	tcp_send(ts, &seg);
	tcp_rtx_arm(ts);
}

static void rtx_fire(struct tcp_sock *ts)
{
	if (ts->state == TCP_SYN_SENT || ts->state == TCP_SYN_RECV) {
		syn_timeout(ts);
		return;
	}
	if (ts->persist) {
		/* a zero window is probed for ever as long as the peer answers (3.8.6.1) */
		if (user_timeout_over(ts) || (ts->dead && ts->probes >= TCP_ORPHAN_RETRIES)) {
			tcp_done(ts, ETIMEDOUT);
			return;
		}
		if (ts->probes < 255)
			ts->probes++;
		/* a window too small for a segment, but open: what fits is sent after the wait */
		if (ts->snd_wnd != 0) {
			ts->push_now = true;
			ts->max_wnd = ts->snd_wnd;
			tcp_output(ts);
		} else {
			tcp_send_probe(ts);
		}
		tcp_rtx_arm(ts);
		return;
	}
	if (tcp_flight(ts) == 0) {
		ts->rtx_at = 0;
		return;
	}
	if (ts->tlp_armed) {
		tlp_fire(ts);
		return;
	}
	if (retries_over(ts, ts->backoff)) {
		tcp_done(ts, ETIMEDOUT);
		return;
	}
	ts->backoff++;
	ts->retransmits = 0;
	tcp_timeout_loss(ts);
	tcp_output(ts);
	tcp_rtx_arm(ts);
}

/* The peer has been silent for too long; RFC 5482's timeout overrides the number of probes. */
static bool keep_over(const struct tcp_sock *ts)
{
	uint64_t silent_s = ts->keep_idle_s + (uint64_t)ts->keep_interval_s * ts->keep_probes;

	if (ts->user_timeout_ms != 0)
		return ts->keep_probes > 0 && silent_s * 1000 >= ts->user_timeout_ms;
	return ts->keep_probes >= ts->keep_count;
}

static void keep_fire(struct tcp_sock *ts)
{
	ts->keep_at = 0;
	if (ts->state == TCP_FIN_WAIT2 && ts->dead) {
		tcp_done(ts, 0);
		return;
	}
	if (!ts->s.keepalive || (ts->state != TCP_ESTABLISHED && ts->state != TCP_CLOSE_WAIT))
		return;
	if (keep_over(ts)) {
		tcp_reset(ts);
		tcp_done(ts, ETIMEDOUT);
		return;
	}
	/* data in flight keeps its own watch */
	if (tcp_flight(ts) == 0) {
		ts->keep_probes++;
		tcp_send_probe(ts);
	}
	ts->keep_at = ts->s.net->now_ns + ts->keep_interval_s * NSEC_PER_SEC;
}

void tcp_fin_wait2_arm(struct tcp_sock *ts)
{
	ts->keep_at =
		ts->s.net->now_ns +
		(ts->linger2_s > 0 ? (uint64_t)ts->linger2_s * NSEC_PER_SEC : TCP_FIN_WAIT2_NS);
	tcp_timer_update(ts);
}

void tcp_timer_fire(struct net *net, struct net_timer *timer)
{
	struct tcp_sock *ts = container_of(timer, struct tcp_sock, timer);
	uint64_t now = net->now_ns;

	if (ts->delack_at != 0 && ts->delack_at <= now) {
		/* nobody answered in time: this is no conversation of requests and replies */
		ts->ping_pong = false;
		ts->quickacks = TCP_QUICKACKS;
		ts->delack_at = 0;
		tcp_send_ack(ts);
	}
	if (ts->cork_at != 0 && ts->cork_at <= now) {
		ts->cork_at = 0;
		ts->push_now = true;
		tcp_output(ts);
	}
	if (ts->rtx_at != 0 && ts->rtx_at <= now)
		rtx_fire(ts);
	if (ts->keep_at != 0 && ts->keep_at <= now && ts->state != TCP_TIME_WAIT)
		keep_fire(ts);
	if (ts->state != TCP_CLOSE && ts->state != TCP_TIME_WAIT)
		tcp_timer_update(ts);
}
