/*
 * Loopback: a segment for a socket of this instance is handed over as a struct, with its payload by
 * reference. No headers, no checksums, no ring; the receiver runs the same state machine.
 */
#include "net/env.h"
#include "net/tcp.h"

struct tcp_lo_seg {
	struct tcp_lo_seg *next;
	struct tcp_seg seg;
};

static struct tcp_lo_seg *lo_alloc(struct net *net)
{
	struct tcp_lo_seg *item = net->lo_free;

	if (item == NULL) {
		item = net_slab_refill(net, &net->lo_free, sizeof(*item));
		if (item == NULL)
			return NULL;
	} else {
		net->lo_free = item->next;
	}
	item->next = NULL;
	item->seg = (struct tcp_seg){.lo = true};
	return item;
}

static void lo_free(struct net *net, struct tcp_lo_seg *item)
{
	frag_list_free(&net->pool, &item->seg.data);
	item->next = net->lo_free;
	net->lo_free = item;
}

static void lo_push(struct net *net, struct tcp_lo_seg *item)
{
	if (net->lo_tail != NULL)
		net->lo_tail->next = item;
	else
		net->lo_head = item;
	net->lo_tail = item;
	net->stats.tx_packets++;
	net->stats.rx_packets++;
}

/* The options as the parser would give them back. */
static void lo_options(struct tcp_sock *ts, uint8_t flags, struct tcp_options *options)
{
	bool answer = flags & TCP_FLAG_ACK;

	if (flags & TCP_FLAG_SYN) {
		options->mss = tcp_advertised_mss(ts);
		options->has_wscale = !answer || ts->wscale_ok;
		options->wscale = TCP_WSCALE;
		options->sack_ok = !answer || ts->sack_ok;
		options->has_ts = !answer || ts->ts_ok;
	} else {
		uint32_t blocks[TCP_MAX_SACKS][2];

		options->has_ts = ts->ts_ok;
		if (ts->sack_ok && ts->ooo.head != NULL)
			options->sack_count = (uint8_t)tcp_rcv_sacks(ts, blocks, TCP_MAX_SACKS);
		for (unsigned int i = 0; i < options->sack_count; i++) {
			options->sacks[i].start = blocks[i][0];
			options->sacks[i].end = blocks[i][1];
		}
	}
	options->ts_val = tcp_clock(ts);
	options->ts_ecr = answer ? ts->ts_recent : 0;
}

int tcp_lo_send(struct tcp_sock *ts, const struct tcp_out_seg *seg, uint32_t window)
{
	struct net *net = ts->s.net;
	struct tcp_lo_seg *item = lo_alloc(net);
	struct tcp_seg *to;

	if (item == NULL)
		return -ENOBUFS;
	to = &item->seg;
	to->src = ts->s.local;
	to->dst = ts->s.remote;
	to->sport = ts->s.lport;
	to->dport = ts->s.rport;
	to->seq = seg->seq;
	to->ack = ts->rcv_nxt;
	to->flags = seg->flags;
	to->window = (uint16_t)window;
	if (seg->bytes != 0 && seq_lt(seg->seq, ts->snd_up)) {
		to->flags |= TCP_FLAG_URG;
		to->urgent = (uint16_t)min_u32(ts->snd_up - seg->seq, 65535);
	}
	lo_options(ts, seg->flags, &to->options);
	if (seg->bytes != 0 && frag_list_share(&net->pool, &to->data, &ts->sndq,
					       seg->seq - ts->snd_una, seg->bytes) != 0) {
		lo_free(net, item);
		return -ENOBUFS;
	}
	lo_push(net, item);
	return 0;
}

int tcp_lo_reply(struct net *net, const struct tcp_seg *to, const struct tcp_out_seg *seg,
		 uint32_t ack)
{
	struct tcp_lo_seg *item = lo_alloc(net);

	if (item == NULL)
		return -ENOBUFS;
	item->seg.src = to->dst;
	item->seg.dst = to->src;
	item->seg.sport = to->dport;
	item->seg.dport = to->sport;
	item->seg.seq = seg->seq;
	item->seg.ack = ack;
	item->seg.flags = seg->flags;
	lo_push(net, item);
	return 0;
}

void tcp_lo_run(struct net *net)
{
	if (net->lo_running)
		return;
	net->lo_running = true;
	while (net->lo_head != NULL) {
		struct tcp_lo_seg *item = net->lo_head;

		net->lo_head = item->next;
		if (net->lo_head == NULL)
			net->lo_tail = NULL;
		tcp_seg_input(net, &item->seg);
		lo_free(net, item);
	}
	net->lo_running = false;
}

void tcp_lo_finish(struct net *net)
{
	while (net->lo_head != NULL) {
		struct tcp_lo_seg *item = net->lo_head;

		net->lo_head = item->next;
		lo_free(net, item);
	}
}
