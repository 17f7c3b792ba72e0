/*
 * SYN cookies (RFC 4987 3.6): when a listener's SYN queue is full, the state of a handshake goes
 * into the SYN-ACK and comes back with the peer's ACK.
 *
 * The sequence number holds 5 bits of a clock, 3 bits that name an MSS, and 24 bits of a keyed hash
 * of both, the four-tuple and the peer's number. With timestamps, the low bits of ours hold the
 * window scale, SACK and ECN; without, the connection does without them. A cookie is good for one
 * to two ticks of its clock, and only if the listener sent one that lately.
 */
#include "net/env.h"
#include "net/tcp.h"

#define COOKIE_TS_BITS 6u
#define COOKIE_TS_MASK 63u
#define COOKIE_TS_NO_WSCALE 15u
#define COOKIE_TS_SACK 16u
#define COOKIE_TS_ECN 32u

/* Common sizes, ascending: the largest that is not more than what the peer said. */
static const uint16_t cookie_mss[8] = {TCP_MIN_MSS, 536, 1220, 1300, 1400, 1440, 1460, 8940};

static uint32_t cookie_clock(const struct net *net)
{
	return (uint32_t)(net->now_ns >> TCP_COOKIE_SHIFT);
}

static uint32_t cookie_make(const struct net *net, const struct tcp_seg *seg, uint32_t irs,
			    uint32_t tick, uint32_t mss_index)
{
	uint32_t ports = (uint32_t)seg->sport << 16 | seg->dport;
	uint64_t hash = net_hash_strong(net, &seg->src, &seg->dst, ports);

	/* a second pass over what is not the four-tuple, under the same key */
	union ip_addr more = {.halves = {hash, (uint64_t)irs << 32 | tick}};

	hash = net_hash_strong(net, &more, &seg->dst, mss_index);
	return (tick & 31) << 27 | mss_index << 24 | (uint32_t)(hash & 0xffffff);
}

static uint32_t cookie_mss_index(uint16_t mss)
{
	uint32_t index = 0;

	for (uint32_t i = 1; i < ARRAY_COUNT(cookie_mss); i++)
		if (cookie_mss[i] <= mss)
			index = i;
	return index;
}

/* Our timestamp with the options in its low bits; never ahead of the clock. */
static uint32_t cookie_ts(const struct tcp_sock *ts)
{
	uint32_t now = tcp_clock(ts);
	uint32_t bits = (ts->wscale_ok ? ts->snd_wscale : COOKIE_TS_NO_WSCALE) |
			(ts->sack_ok ? COOKIE_TS_SACK : 0) | (ts->ecn_ok ? COOKIE_TS_ECN : 0);
	uint32_t value = (now & ~COOKIE_TS_MASK) | bits;

	return (int32_t)(value - now) > 0 ? value - COOKIE_TS_MASK - 1 : value;
}

void tcp_cookie_send(struct tcp_sock *listener, const struct tcp_seg *syn)
{
	struct net *net = listener->s.net;
	struct tcp_sock *child = tcp_listen_child(listener, syn);
	uint16_t mss = syn->options.mss != 0 ? syn->options.mss : TCP_DEFAULT_MSS;

	if (child == NULL)
		return;
	child->irs = syn->seq;
	child->rcv_nxt = child->rcv_adv = child->rcv_acked = syn->seq + 1;
	tcp_handshake_options(child, &syn->options);
	child->ecn_ok =
		!child->lo && child->ts_ok &&
		(syn->flags & (TCP_FLAG_ECE | TCP_FLAG_CWR)) == (TCP_FLAG_ECE | TCP_FLAG_CWR);
	/* what no timestamp can bring back is not agreed upon */
	if (child->ts_ok)
		child->ts_offset += cookie_ts(child) - tcp_clock(child);
	else
		child->wscale_ok = child->sack_ok = false;
	child->iss = cookie_make(net, syn, syn->seq, cookie_clock(net), cookie_mss_index(mss));
	child->snd_una = child->snd_nxt = child->iss + 1;
	tcp_send_syn(child);
	child->state = TCP_CLOSE;
	tcp_orphan(child);
	listener->cookie_ns = net->now_ns;
	net->stats.tcp_cookies_sent++;
}

/* The options as the SYN had them. */
static void cookie_options(const struct tcp_seg *ack, uint32_t mss_index,
			   struct tcp_options *ret_options)
{
	uint32_t bits = ack->options.ts_ecr & COOKIE_TS_MASK;

	*ret_options = (struct tcp_options){.mss = cookie_mss[mss_index]};
	if (!ack->options.has_ts)
		return;
	ret_options->has_ts = true;
	ret_options->ts_val = ack->options.ts_val;
	ret_options->sack_ok = (bits & COOKIE_TS_SACK) != 0;
	ret_options->has_wscale = (bits & 15) != COOKIE_TS_NO_WSCALE;
	ret_options->wscale = ret_options->has_wscale ? bits & 15 : 0;
}

struct tcp_sock *tcp_cookie_check(struct tcp_sock *listener, const struct tcp_seg *ack)
{
	struct net *net = listener->s.net;
	uint32_t cookie = ack->ack - 1;
	uint32_t mss_index = cookie >> 24 & 7;
	uint32_t age = (cookie_clock(net) - (cookie >> 27)) & 31;
	struct tcp_options options;
	struct tcp_sock *child;

	if (listener->cookie_ns == 0 ||
	    net->now_ns - listener->cookie_ns > 2ull << TCP_COOKIE_SHIFT)
		return NULL;
	if (age > 1 ||
	    cookie_make(net, ack, ack->seq - 1, cookie_clock(net) - age, mss_index) != cookie) {
		net->stats.tcp_cookies_failed++;
		return NULL;
	}
	child = tcp_listen_child(listener, ack);
	if (child == NULL)
		return NULL;
	child->irs = ack->seq - 1;
	child->rcv_nxt = child->rcv_adv = child->rcv_acked = ack->seq;
	child->snd_wl1 = ack->seq;
	cookie_options(ack, mss_index, &options);
	tcp_handshake_options(child, &options);
	child->ecn_ok = !child->lo && child->ts_ok && (ack->options.ts_ecr & COOKIE_TS_ECN) != 0;
	tcp_rcv_window(child); /* as the SYN-ACK offered it */
	child->iss = cookie;
	child->snd_una = child->snd_nxt = cookie + 1;
	child->snd_up = child->snd_small = child->snd_una;
	net->stats.tcp_cookies_accepted++;
	return child;
}
