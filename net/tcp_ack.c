/*
 * What an acknowledgment does: round-trip times, the send window, loss recovery, congestion
 * control.
 */
#include <poll.h>

#include "net/tcp.h"

/* RFC 6298; srtt is kept times 8 and rttvar times 4. */
void tcp_rtt_sample(struct tcp_sock *ts, uint64_t rtt_ns)
{
	uint32_t rtt = (uint32_t)min_u64(rtt_ns / NSEC_PER_USEC, 60000000u);
	uint64_t rto;

	rtt = max_u32(rtt, 1);
	if (ts->rtt_min_us == 0 || rtt < ts->rtt_min_us)
		ts->rtt_min_us = rtt;
	if (ts->srtt_us == 0) {
		ts->srtt_us = rtt * 8;
		ts->rttvar_us = rtt * 2;
	} else {
		uint32_t srtt = ts->srtt_us / 8;
		uint32_t apart = rtt > srtt ? rtt - srtt : srtt - rtt;

		ts->rttvar_us = ts->rttvar_us - ts->rttvar_us / 4 + apart;
		ts->srtt_us = ts->srtt_us - srtt + rtt;
	}
	rto = (uint64_t)(ts->srtt_us / 8 + max_u32(ts->rttvar_us, 1000)) * NSEC_PER_USEC;
	ts->rto_ns = min_u64(max_u64(rto, TCP_RTO_MIN_NS), TCP_RTO_MAX_NS);
}

static void ack_rtt(struct tcp_sock *ts, const struct tcp_seg *seg)
{
	if (ts->rtt_timing && seq_le(ts->rtt_seq, ts->snd_una)) {
		ts->rtt_timing = false;
		tcp_rtt_sample(ts, ts->s.net->now_ns - ts->rtt_start_ns);
	} else if (ts->recovery != TCP_OPEN && ts->ts_ok && seg->options.has_ts &&
		   seg->options.ts_ecr != 0) {
		/* what was sent again is told apart by its timestamp (RFC 7323 4) */
		uint32_t ms = tcp_clock(ts) - seg->options.ts_ecr;

		if (ms < 60000)
			tcp_rtt_sample(ts, (ms + 1) * NSEC_PER_MSEC);
	}
}

static void recovery_enter(struct tcp_sock *ts, enum tcp_recovery kind)
{
	if (ts->recovery == TCP_OPEN) {
		ts->prior_cwnd = ts->cwnd;
		ts->prior_ssthresh = ts->ssthresh;
		ts->ssthresh = tcp_cubic_ssthresh(ts);
		ts->undo = ts->ts_ok;
		ts->undo_ms = tcp_clock(ts);
		ts->undo_bytes = 0;
	}
	ts->recovery = (uint8_t)kind;
	ts->recover = ts->snd_nxt;
	ts->rtt_timing = false; /* Karn: what is sent again is not timed */
	ts->tlp_sent = false;
	ts->ecn_cwr = ts->ecn_ok;
	ts->prr_delivered = ts->prr_sent = 0;
	ts->prr_flight = max_u32(tcp_flight(ts), ts->mss);
	if (kind == TCP_LOSS)
		ts->cwnd = ts->mss;
}

/* RFC 6937: what may go out for what an ACK says has arrived, down to ssthresh and no further. */
static void recovery_prr(struct tcp_sock *ts, uint32_t delivered)
{
	uint32_t pipe = tcp_pipe(ts);
	uint64_t send;

	ts->prr_delivered += delivered;
	if (pipe > ts->ssthresh) {
		send = ((uint64_t)ts->prr_delivered * ts->ssthresh + ts->prr_flight - 1) /
		       ts->prr_flight;
		send -= min_u64(send, ts->prr_sent);
	} else {
		uint32_t owed = ts->prr_delivered - min_u32(ts->prr_delivered, ts->prr_sent);

		send = min_u32(ts->ssthresh - pipe, max_u32(owed, delivered) + ts->mss);
	}
	ts->cwnd = pipe + (uint32_t)send;
}

void tcp_reduce(struct tcp_sock *ts)
{
	ts->ssthresh = tcp_cubic_ssthresh(ts);
	ts->cwnd = min_u32(ts->cwnd, ts->ssthresh);
}

/* An echo of congestion: once a round trip the window is reduced (RFC 3168 6.1.2). */
static void ack_ecn(struct tcp_sock *ts, const struct tcp_seg *seg)
{
	if (!(seg->flags & TCP_FLAG_ECE) || ts->recovery != TCP_OPEN ||
	    seq_lt(ts->snd_una, ts->ecn_recover))
		return;
	ts->ecn_recover = ts->snd_nxt;
	ts->ecn_cwr = true;
	tcp_reduce(ts);
}

/*
 * RFC 8985 7.4: a tail loss probe that was a retransmission and was needed has repaired a loss
 * without anybody noticing: congestion control shall notice.
 */
static void ack_tlp(struct tcp_sock *ts, const struct tcp_seg *seg, uint32_t acked, bool dsack,
		    bool sacked)
{
	if (!ts->tlp_sent || seq_lt(seg->ack, ts->tlp_end))
		return;
	if (ts->tlp_again && !dsack && (acked != 0 || sacked)) {
		ts->ecn_cwr = ts->ecn_ok;
		tcp_reduce(ts);
	}
	if (acked != 0 || dsack || !sacked)
		ts->tlp_sent = false;
}

/* The first block tells of bytes that came twice (RFC 2883 4). */
static bool ack_is_dsack(const struct tcp_seg *seg)
{
	const struct tcp_options *o = &seg->options;

	if (o->sack_count == 0)
		return false;
	if (seq_lt(o->sacks[0].start, seg->ack))
		return seq_le(o->sacks[0].end, seg->ack);
	return o->sack_count > 1 && seq_le(o->sacks[1].start, o->sacks[0].start) &&
	       seq_le(o->sacks[0].end, o->sacks[1].end);
}

void tcp_timeout_loss(struct tcp_sock *ts)
{
	recovery_enter(ts, TCP_LOSS);
	ts->dupacks = 0;
	tcp_board_all_lost(ts);
	ts->s.net->stats.tcp_timeouts++;
}

static void recovery_leave(struct tcp_sock *ts)
{
	if (ts->recovery == TCP_RECOVERY)
		ts->cwnd = min_u32(ts->ssthresh, max_u32(tcp_pipe(ts), ts->mss) + 2u * ts->mss);
	ts->recovery = TCP_OPEN;
	ts->dupacks = 0;
	tcp_board_advance(ts);
}

/* Nothing was lost: the window is as it was. */
static void recovery_undo(struct tcp_sock *ts)
{
	ts->undo = false;
	ts->undo_bytes = 0;
	if (ts->recovery == TCP_RECOVERY && ts->dupthresh < TCP_DUPTHRESH_MAX)
		ts->dupthresh = (uint8_t)(ts->dupthresh + 3);
	ts->cwnd = max_u32(ts->cwnd, ts->prior_cwnd);
	ts->ssthresh = ts->prior_ssthresh;
	ts->recovery = TCP_OPEN;
	ts->dupacks = 0;
	tcp_board_unmark(ts);
	tcp_board_advance(ts);
}

/* RFC 3522: the ACK echoes a time before the retransmission, so the original had arrived. */
static void undo_by_time(struct tcp_sock *ts, const struct tcp_seg *seg)
{
	if (!ts->undo)
		return;
	ts->undo = false;
	if (seg->options.has_ts && seg->options.ts_ecr != 0 &&
	    (int32_t)(seg->options.ts_ecr - ts->undo_ms) < 0)
		recovery_undo(ts);
}

/* RFC 3708: all that was sent again came twice. */
static void undo_by_dsack(struct tcp_sock *ts, const struct tcp_seg *seg)
{
	uint32_t twice = seg->options.sacks[0].end - seg->options.sacks[0].start;

	if (ts->undo_bytes == 0 || twice == 0)
		return;
	ts->undo_bytes -= min_u32(ts->undo_bytes, twice);
	if (ts->undo_bytes == 0)
		recovery_undo(ts);
}

/* Moves snd_una and frees what the peer has. */
static void ack_advance(struct tcp_sock *ts, const struct tcp_seg *seg, uint32_t acked)
{
	uint32_t bytes = min_u32(acked, ts->sndq.bytes); /* the rest is our FIN */

	frag_list_pull(&ts->s.net->pool, &ts->sndq, bytes);
	ts->snd_una = seg->ack;
	if (seq_lt(ts->cursor_seq, ts->snd_una))
		ts->cursor = NULL;
	if (seq_lt(ts->snd_up, ts->snd_una))
		ts->snd_up = ts->snd_una;
	ts->backoff = 0;
	ts->probes = 0;
	ts->stall_ns = ts->s.net->now_ns;
	neigh_confirm(ts->s.net, ts->neigh);
	ack_rtt(ts, seg);
}

static void ack_window(struct tcp_sock *ts, const struct tcp_seg *seg)
{
	uint32_t window = (uint32_t)seg->window << ts->snd_wscale;

	if (!seq_lt(ts->snd_wl1, seg->seq) &&
	    !(ts->snd_wl1 == seg->seq && seq_le(ts->snd_wl2, seg->ack)))
		return;
	ts->snd_wl1 = seg->seq;
	ts->snd_wl2 = seg->ack;
	if (window != 0 && ts->snd_wnd == 0)
		ts->probes = 0;
	ts->snd_wnd = window;
	ts->max_wnd = max_u32(ts->max_wnd, window);
}

/* New loss, or enough duplicate ACKs: RFC 5681 3.2, RFC 6675 5. */
static void ack_loss(struct tcp_sock *ts)
{
	bool lost = tcp_board_mark(ts);

	if (ts->recovery != TCP_OPEN)
		return;
	if (!lost && ts->dupacks >= ts->dupthresh) {
		tcp_board_guess(ts);
		lost = true;
	}
	if (!lost)
		return;
	recovery_enter(ts, TCP_RECOVERY);
	ts->s.net->stats.tcp_fast_recoveries++;
}

static void ack_recovery(struct tcp_sock *ts, const struct tcp_seg *seg, uint32_t acked)
{
	if (acked != 0) {
		ts->dupacks = 0;
		tcp_board_advance(ts);
		undo_by_time(ts, seg);
		if (ts->recovery != TCP_OPEN && seq_le(ts->recover, ts->snd_una))
			recovery_leave(ts);
		else if (ts->recovery == TCP_RECOVERY && !ts->sack_ok)
			tcp_board_guess(ts); /* NewReno's partial ACK (RFC 6582) */
	}
	ack_loss(ts);
}

/* Bytes that this ACK says have arrived; without SACK a duplicate stands for a segment. */
static uint32_t ack_delivered(const struct tcp_sock *ts, uint32_t acked, uint32_t sacked_before)
{
	uint32_t sacked = tcp_board_sacked(ts);

	if (!ts->sack_ok)
		return acked != 0 ? min_u32(acked, ts->mss) : ts->mss;
	return acked + sacked - min_u32(sacked_before, acked + sacked);
}

void tcp_ack_input(struct tcp_sock *ts, const struct tcp_seg *seg)
{
	uint32_t acked = seg->ack - ts->snd_una;
	uint32_t window_before = ts->snd_wnd;
	uint32_t flight = tcp_flight(ts);
	uint32_t had = tcp_board_sacked(ts);
	bool dsack = ts->sack_ok && ack_is_dsack(seg);
	bool sacked = false;

	if (acked != 0)
		ack_advance(ts, seg, acked);
	if (ts->ecn_ok)
		ack_ecn(ts, seg);
	ack_window(ts, seg);
	for (unsigned int i = dsack; i < seg->options.sack_count && ts->sack_ok; i++)
		sacked |=
			tcp_board_sack(ts, seg->options.sacks[i].start, seg->options.sacks[i].end);
	if (acked == 0 && flight != 0 && ts->dupacks < 255 &&
	    (sacked || (!ts->sack_ok && seg->data.bytes == 0 && ts->snd_wnd == window_before &&
			!(seg->flags & TCP_FLAG_FIN))))
		ts->dupacks++;
	ack_tlp(ts, seg, acked, dsack, sacked);
	if (dsack)
		undo_by_dsack(ts, seg);
	if (ts->board != NULL || ts->recovery != TCP_OPEN || ts->dupacks != 0)
		ack_recovery(ts, seg, acked);
	if (ts->recovery == TCP_RECOVERY)
		recovery_prr(ts, ack_delivered(ts, acked, had));
	if (acked == 0)
		return;
	if (ts->recovery == TCP_OPEN)
		tcp_hystart_ack(ts, seg);
	if (ts->recovery != TCP_RECOVERY && (ts->cwnd_limited || flight * 2 >= ts->cwnd))
		tcp_cubic_ack(ts, acked);
	tcp_rtx_arm(ts);
	tcp_space_event(ts);
}
