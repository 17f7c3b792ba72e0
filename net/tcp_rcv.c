/*
 * Receiving data: the queue in order, the queue out of order, the window, and when to acknowledge.
 */
#include <poll.h>

#include "net/tcp.h"

#define RCV_LOW_MEMORY_BYTES 8192u

static uint32_t rcv_limit(const struct tcp_sock *ts)
{
	return ts->s.rcvbuf_locked ? ts->s.rcvbuf : ts->rcv_limit;
}

uint32_t tcp_rcv_window(struct tcp_sock *ts)
{
	uint32_t limit = rcv_limit(ts);
	uint32_t open = seq_lt(ts->rcv_nxt, ts->rcv_adv) ? ts->rcv_adv - ts->rcv_nxt : 0;
	uint32_t room = limit > ts->rcvq.bytes ? limit - ts->rcvq.bytes : 0;

	room = min_u32(room, 65535u << ts->rcv_wscale);
	/* the edge never moves back, nor by crumbs (RFC 9293 3.8.6.2.2), nor without memory */
	if (room < open + min_u32(limit / 2, ts->rcv_mss) ||
	    (open != 0 && buf_low(&ts->s.net->pool)))
		return open;
	ts->rcv_adv = ts->rcv_nxt + room;
	return room;
}

void tcp_rcv_after_read(struct tcp_sock *ts)
{
	struct net *net = ts->s.net;
	uint32_t limit = rcv_limit(ts);
	uint32_t open, room;

	/* dynamic right-sizing: a reader that takes half the buffer in a round trip gets more */
	if (ts->copied_seq - ts->drs_seq > ts->rcv_limit / 2) {
		if (net->now_ns - ts->drs_ns <
			    4 * (uint64_t)(ts->srtt_us / 8 + 500) * NSEC_PER_USEC &&
		    ts->rcv_limit < TCP_RCV_MAX && !buf_scarce(&net->pool))
			ts->rcv_limit *= 2;
		ts->drs_seq = ts->copied_seq;
		ts->drs_ns = net->now_ns;
	}
	if (!tcp_can_receive(ts))
		return;
	open = seq_lt(ts->rcv_nxt, ts->rcv_adv) ? ts->rcv_adv - ts->rcv_nxt : 0;
	room = limit > ts->rcvq.bytes ? limit - ts->rcvq.bytes : 0;
	/*
	 * Tells of a window that has grown by two segments, or half the buffer where it is smaller
	 * than that, when half of it is used up.
	 */
	if (room >= open + min_u32(2u * ts->rcv_mss, limit / 2) && open <= limit / 2)
		tcp_send_ack(ts);
}

static unsigned int sacks_fill(const struct tcp_sock *ts, uint32_t (*ret_blocks)[2],
			       unsigned int most)
{
	const struct frag *f = ts->ooo.head;
	unsigned int count = 0;
	bool first_found = false;

	if (most == 0)
		return 0;
	/* RFC 2018 4: the block with the latest segment comes first, then others */
	while (f != NULL) {
		uint32_t start = f->seq;
		uint32_t end = f->seq + f->bytes;
		bool latest;

		while (f->next != NULL && f->next->seq == end) {
			f = f->next;
			end += f->bytes;
		}
		f = f->next;
		latest = seq_le(start, ts->sack_last) && seq_lt(ts->sack_last, end);
		if (latest && count > 0) {
			unsigned int to = count < most ? count : most - 1;

			ret_blocks[to][0] = ret_blocks[0][0];
			ret_blocks[to][1] = ret_blocks[0][1];
			ret_blocks[0][0] = start;
			ret_blocks[0][1] = end;
			count = to + 1;
		} else if (count < most) {
			ret_blocks[count][0] = start;
			ret_blocks[count][1] = end;
			count++;
		}
		first_found |= latest;
		if (count == most && first_found)
			break;
	}
	return count;
}

unsigned int tcp_rcv_sacks(const struct tcp_sock *ts, uint32_t (*ret_blocks)[2], unsigned int most)
{
	if (!ts->dsack || most == 0)
		return sacks_fill(ts, ret_blocks, most);
	ret_blocks[0][0] = ts->dsack_start;
	ret_blocks[0][1] = ts->dsack_end;
	return 1 + sacks_fill(ts, ret_blocks + 1, most - 1);
}

void tcp_rcv_twice(struct tcp_sock *ts, uint32_t start, uint32_t end)
{
	if (ts->dsack || !seq_lt(start, end))
		return;
	ts->dsack = true;
	ts->dsack_start = start;
	ts->dsack_end = end;
}

/* ---- out of order ---- */

static void frag_cut_front(struct frag *f, uint32_t bytes)
{
	f->seq += bytes;
	f->offset = (uint16_t)(f->offset + bytes);
	f->bytes = (uint16_t)(f->bytes - bytes);
}

/* Puts one frag into its place; what is there already is not stored twice. */
static void ooo_insert(struct tcp_sock *ts, struct frag *f)
{
	struct buf_pool *pool = &ts->s.net->pool;
	struct frag_list *ooo = &ts->ooo;
	struct frag *before = NULL;
	uint32_t end = f->seq + f->bytes;

	if (ooo->tail != NULL && seq_le(ooo->tail->seq, f->seq))
		before = ooo->tail;
	else
		for (struct frag *at = ooo->head; at != NULL && seq_le(at->seq, f->seq);
		     at = at->next)
			before = at;
	if (before != NULL && seq_lt(f->seq, before->seq + before->bytes)) {
		tcp_rcv_twice(ts, f->seq, seq_min(end, before->seq + before->bytes));
		if (seq_le(end, before->seq + before->bytes)) {
			frag_free(pool, f);
			return;
		}
		frag_cut_front(f, before->seq + before->bytes - f->seq);
	}
	f->next = before != NULL ? before->next : ooo->head;
	while (f->next != NULL && seq_lt(f->next->seq, end)) {
		struct frag *next = f->next;

		if (seq_lt(end, next->seq + next->bytes)) {
			f->bytes = (uint16_t)(next->seq - f->seq);
			break;
		}
		f->next = next->next;
		ooo->bytes -= next->bytes;
		ts->ooo_count--;
		frag_free(pool, next);
	}
	if (f->next == NULL)
		ooo->tail = f;
	if (before != NULL)
		before->next = f;
	else
		ooo->head = f;
	ooo->bytes += f->bytes;
	ts->ooo_count++;
}

static void ooo_add(struct tcp_sock *ts, struct tcp_seg *seg)
{
	struct buf_pool *pool = &ts->s.net->pool;
	struct frag *f = seg->data.head;
	uint32_t seq = seg->seq;

	/* the peer sends again what is dropped here; memory for what is in order goes first */
	if (ts->ooo_count >= TCP_OOO_MAX_FRAGS || buf_low(pool))
		return;
	ts->sack_last = seq;
	frag_list_init(&seg->data);
	while (f != NULL) {
		struct frag *next = f->next;

		f->seq = seq;
		seq += f->bytes;
		ooo_insert(ts, f);
		f = next;
	}
}

/* Moves what has become contiguous into the receive queue. */
static void ooo_drain(struct tcp_sock *ts)
{
	struct buf_pool *pool = &ts->s.net->pool;

	while (ts->ooo.head != NULL && seq_le(ts->ooo.head->seq, ts->rcv_nxt)) {
		struct frag *f = ts->ooo.head;
		uint32_t end = f->seq + f->bytes;

		ts->ooo.head = f->next;
		if (f->next == NULL)
			ts->ooo.tail = NULL;
		ts->ooo.bytes -= f->bytes;
		ts->ooo_count--;
		if (seq_le(end, ts->rcv_nxt)) {
			frag_free(pool, f);
			continue;
		}
		frag_cut_front(f, ts->rcv_nxt - f->seq);
		ts->rcv_nxt = end;
		frag_list_receive(pool, &ts->rcvq, f);
	}
}

/* ---- in order ---- */

static void rcv_append(struct tcp_sock *ts, struct tcp_seg *seg)
{
	struct buf_pool *pool = &ts->s.net->pool;
	struct frag *f = seg->data.head;

	frag_list_init(&seg->data);
	while (f != NULL) {
		struct frag *next = f->next;

		f->seq = ts->rcv_nxt;
		ts->rcv_nxt += f->bytes;
		frag_list_receive(pool, &ts->rcvq, f);
		f = next;
	}
	ooo_drain(ts);
}

/* The peer's FIN has been reached: state and events. */
static void rcv_fin(struct tcp_sock *ts)
{
	ts->rcv_nxt++;
	ts->fin_received = true;
	ts->s.shut |= SHUT_BIT_RD;
	switch (ts->state) {
	case TCP_SYN_RECV:
	case TCP_ESTABLISHED:
		ts->state = TCP_CLOSE_WAIT;
		break;
	case TCP_FIN_WAIT1:
		ts->state = TCP_CLOSING;
		break;
	case TCP_FIN_WAIT2:
		tcp_send_ack(ts);
		tcp_time_wait_enter(ts);
		return;
	default:
		return;
	}
	tcp_ack_later(ts, true);
	sock_event(&ts->s, POLLIN | POLLRDHUP | (ts->state == TCP_CLOSING ? POLLHUP : 0));
}

/* Cuts the segment to what is new and within the window. */
static void rcv_trim(struct tcp_sock *ts, struct tcp_seg *seg)
{
	struct buf_pool *pool = &ts->s.net->pool;
	uint32_t room;

	if (seq_lt(seg->seq, ts->rcv_nxt)) {
		uint32_t old = min_u32(ts->rcv_nxt - seg->seq, seg->data.bytes);

		tcp_rcv_twice(ts, seg->seq, seg->seq + old);
		frag_list_pull(pool, &seg->data, old);
		seg->seq += old;
		tcp_ack_later(ts, true); /* RFC 9293 3.10.7.4: old bytes are acknowledged again */
	}
	room = seq_lt(seg->seq, ts->rcv_adv) ? ts->rcv_adv - seg->seq : 0;
	if (seg->data.bytes > room) {
		frag_list_trim(pool, &seg->data, room);
		seg->flags &= (uint8_t)~TCP_FLAG_FIN;
	}
}

static void rcv_ack_policy(struct tcp_sock *ts, bool gap)
{
	if (gap) {
		tcp_ack_later(ts, true);
	} else if (!ts->ping_pong && ts->quickack_mode && ts->quickacks > 0) {
		ts->quickacks--;
		tcp_ack_later(ts, true);
	} else {
		tcp_ack_later(ts, ts->rcv_nxt - ts->rcv_acked >= 2u * ts->rcv_mss);
	}
}

static void rcv_urgent(struct tcp_sock *ts, const struct tcp_seg *seg)
{
	uint32_t at = seg->seq + seg->urgent - 1u;

	if (seg->urgent == 0 || seq_lt(at, ts->rcv_nxt) ||
	    (ts->urgent && seq_le(at, ts->rcv_urgent)))
		return;
	ts->urgent = true;
	ts->urgent_taken = false;
	ts->rcv_urgent = at;
	sock_event(&ts->s, POLLPRI);
}

/*
 * Packet memory is nearly used up and this reader has a queue already: what comes is dropped, to
 * come again, so that slow readers do not take the ring's last buffers from everyone else.
 */
static bool rcv_refuse(const struct tcp_sock *ts)
{
	return buf_low(&ts->s.net->pool) && ts->rcvq.bytes >= RCV_LOW_MEMORY_BYTES;
}

void tcp_rcv_data(struct tcp_sock *ts, struct tcp_seg *seg)
{
	uint32_t segment = seg->gso_bytes != 0 ? seg->gso_bytes : seg->data.bytes;
	bool gap = ts->ooo.head != NULL;

	if (seg->flags & TCP_FLAG_URG)
		rcv_urgent(ts, seg);
	rcv_trim(ts, seg);
	if (seg->data.bytes != 0 && rcv_refuse(ts)) {
		ts->s.net->stats.rx_no_memory++;
		return;
	}
	if (seg->flags & TCP_FLAG_FIN) {
		ts->fin_seen = true;
		ts->rcv_fin = seg->seq + seg->data.bytes;
	}
	if (seg->data.bytes != 0) {
		ts->last_rx_ns = ts->s.net->now_ns;
		if (segment > ts->rcv_mss && !ts->lo)
			ts->rcv_mss = (uint16_t)min_u32(segment, tcp_advertised_mss(ts));
		if (seg->seq != ts->rcv_nxt) {
			ooo_add(ts, seg);
			tcp_send_ack(ts);
		} else {
			rcv_append(ts, seg);
			rcv_ack_policy(ts, gap);
			if (ts->rcvq.bytes >= ts->s.rcvlowat)
				sock_event(&ts->s, POLLIN);
		}
	} else if ((seg->flags & TCP_FLAG_FIN) && seg->seq != ts->rcv_nxt) {
		tcp_send_ack(ts);
	}
	if (ts->fin_seen && ts->rcv_fin == ts->rcv_nxt && !ts->fin_received)
		rcv_fin(ts);
}
