/*
 * CUBIC (RFC 9438) in integers: windows in segments, time in milliseconds, beta 0.7, C 0.4.
 */
#include "net/tcp.h"

#define CUBIC_BETA_NUM 7u
#define CUBIC_BETA_DEN 10u
#define CUBIC_MAX_MS 1000000u /* keeps the cube within 64 bits */

#define HYSTART_SAMPLES 8u
#define HYSTART_MIN_MS 4u
#define HYSTART_MAX_MS 16u
#define HYSTART_CSS_DIVISOR 4u
#define HYSTART_CSS_ROUNDS 5u

/* Integer cube root, by bits: 3 bits of the argument for one of the result. */
static uint32_t cube_root(uint64_t a)
{
	uint64_t root = 0;

	for (int shift = 63; shift >= 0; shift -= 3) {
		uint64_t bit;

		root *= 2;
		bit = 3 * root * (root + 1) + 1;
		if (a >> shift >= bit) {
			a -= bit << shift;
			root++;
		}
	}
	return (uint32_t)root;
}

static uint32_t cubic_segments(const struct tcp_sock *ts)
{
	return max_u32(ts->cwnd / ts->mss, 1);
}

/* RFC 9438 4.2: the window that the curve has at `t_ms` after the epoch began. */
static uint32_t cubic_target(const struct tcp_cubic *c, uint64_t t_ms)
{
	uint64_t apart = t_ms < c->k_ms ? c->k_ms - t_ms : t_ms - c->k_ms;
	uint64_t delta;

	apart = min_u64(apart, CUBIC_MAX_MS);
	delta = apart * apart * apart / 1000000000u * 4 / 10;
	if (t_ms < c->k_ms)
		return c->origin > delta ? c->origin - (uint32_t)delta : 1;
	return c->origin + (uint32_t)min_u64(delta, UINT32_MAX / 4);
}

static void cubic_epoch_begin(struct tcp_sock *ts)
{
	struct tcp_cubic *c = &ts->cubic;
	uint32_t segments = cubic_segments(ts);

	c->epoch_ns = ts->s.net->now_ns;
	c->cwnd_credit = 0;
	c->est_credit = 0;
	c->w_est = segments;
	if (c->w_max > segments) {
		/* K = cbrt((w_max - cwnd) / C) seconds; 2.5 = 1 / C, 1e9 = ms^3 in a s^3 */
		c->k_ms = cube_root((uint64_t)(c->w_max - segments) * 2500000000u);
		c->origin = c->w_max;
	} else {
		c->k_ms = 0;
		c->origin = segments;
	}
}

/* RFC 9438 4.3: Reno's window; its additive factor is 3 (1 - beta) / (1 + beta) = 9 / 17. */
static void cubic_reno(struct tcp_sock *ts, uint32_t acked_bytes)
{
	struct tcp_cubic *c = &ts->cubic;
	uint64_t need = (uint64_t)c->w_est * ts->mss * 17 / 9;

	c->est_credit += acked_bytes;
	if (c->est_credit >= need && need > 0) {
		c->est_credit -= (uint32_t)need;
		c->w_est++;
	}
}

void tcp_cubic_ack(struct tcp_sock *ts, uint32_t acked_bytes)
{
	struct tcp_cubic *c = &ts->cubic;
	uint32_t segments, target, room;
	uint64_t grow;

	if (ts->cwnd < ts->ssthresh) {
		/* conservative slow start (RFC 9406 4.2) */
		if (ts->hystart.baseline_ms != 0)
			acked_bytes = max_u32(acked_bytes / HYSTART_CSS_DIVISOR, 1);
		room = min_u32(acked_bytes, ts->ssthresh - ts->cwnd);
		ts->cwnd += room;
		acked_bytes -= room;
		if (acked_bytes == 0)
			return;
	}
	if (c->epoch_ns == 0)
		cubic_epoch_begin(ts);
	segments = cubic_segments(ts);
	target = cubic_target(c, (ts->s.net->now_ns - c->epoch_ns) / NSEC_PER_MSEC +
					 ts->srtt_us / 8 / 1000);
	cubic_reno(ts, acked_bytes);
	target = max_u32(target, c->w_est);
	target = min_u32(target, segments + segments / 2);
	if (target <= segments)
		return;
	grow = (uint64_t)(target - segments) * acked_bytes / segments + c->cwnd_credit;
	c->cwnd_credit = (uint32_t)(grow % ts->mss);
	ts->cwnd += (uint32_t)(grow / ts->mss) * ts->mss;
	ts->cwnd = min_u32(ts->cwnd, 1u << 30);
}

uint32_t tcp_cubic_ssthresh(struct tcp_sock *ts)
{
	struct tcp_cubic *c = &ts->cubic;
	uint32_t segments = cubic_segments(ts);

	/* fast convergence (RFC 9438 4.7): give way when the last peak was not reached again */
	if (segments < c->w_max)
		c->w_max = segments * (CUBIC_BETA_DEN + CUBIC_BETA_NUM) / (2 * CUBIC_BETA_DEN);
	else
		c->w_max = segments;
	c->epoch_ns = 0;
	return max_u32(segments * CUBIC_BETA_NUM / CUBIC_BETA_DEN, 2) * ts->mss;
}

/* ---- HyStart++ ---- */

static void hystart_round_begin(struct tcp_sock *ts)
{
	struct tcp_hystart *h = &ts->hystart;

	h->last_ms = h->now_ms;
	h->now_ms = UINT16_MAX;
	h->samples = 0;
	h->round_end = ts->snd_nxt;
	if (h->baseline_ms == 0 || ++h->rounds < HYSTART_CSS_ROUNDS)
		return;
	/* the delay stayed: this is what the path holds */
	ts->ssthresh = ts->cwnd;
	h->baseline_ms = 0;
}

void tcp_hystart_ack(struct tcp_sock *ts, const struct tcp_seg *seg)
{
	struct tcp_hystart *h = &ts->hystart;
	uint32_t rise = max_u32(min_u32(h->last_ms / 8u, HYSTART_MAX_MS), HYSTART_MIN_MS);
	uint32_t ms;

	if (ts->cwnd >= ts->ssthresh || !ts->ts_ok || !seg->options.has_ts ||
	    seg->options.ts_ecr == 0)
		return;
	if (seq_le(h->round_end, ts->snd_una))
		hystart_round_begin(ts);
	/* one at least: zero says that there is no baseline */
	ms = min_u32(tcp_clock(ts) - seg->options.ts_ecr, UINT16_MAX - 2u) + 1;
	h->now_ms = (uint16_t)min_u32(h->now_ms, ms);
	if (h->samples < HYSTART_SAMPLES && ++h->samples < HYSTART_SAMPLES)
		return;
	if (h->baseline_ms != 0) {
		if (h->now_ms < h->baseline_ms)
			h->baseline_ms = 0; /* the rise was chance */
	} else if (h->last_ms != UINT16_MAX && h->now_ms >= h->last_ms + rise) {
		h->baseline_ms = h->now_ms;
		h->rounds = 0;
	}
}
