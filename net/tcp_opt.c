/*
 * Options of IPPROTO_TCP (tcp(7)).
 */
#include "net/tcp.h"

#define OPT_TCP_NOTSENT_LOWAT 25
#define OPT_TCP_CONGESTION 13
#define OPT_TCP_FASTOPEN 23
#define OPT_TCPI_ECN_SEEN 16
#define KEEP_MAX_S 32767
#define KEEP_MAX_COUNT 127

static int set_range(uint16_t *at, int v, int most)
{
	if (v < 1 || v > most)
		return -EINVAL;
	*at = (uint16_t)v;
	return 0;
}

static int set_congestion(const void *value, socklen_t bytes)
{
	char name[16] = {0};

	memcpy(name, value, min_size(bytes, sizeof(name) - 1));
	return memcmp(name, "cubic", 6) == 0 ? 0 : -ENOENT;
}

static int set_keepidle(struct tcp_sock *ts, int v)
{
	int rc = set_range(&ts->keep_idle_s, v, KEEP_MAX_S);

	if (rc == 0 && ts->s.keepalive && ts->state == TCP_ESTABLISHED) {
		ts->keep_at = ts->s.net->now_ns + ts->keep_idle_s * NSEC_PER_SEC;
		tcp_timer_update(ts);
	}
	return rc;
}

int tcp_setsockopt(struct net_sock *sock, int name, const void *value, socklen_t value_bytes)
{
	struct tcp_sock *ts = tcp_of(sock);
	int v;

	if (name == OPT_TCP_CONGESTION)
		return set_congestion(value, value_bytes);
	if (sockopt_int(value, value_bytes, &v) != 0)
		return -EINVAL;
	switch (name) {
	case TCP_NODELAY:
		ts->nodelay = v != 0;
		if (v)
			ts->push_now = true;
		tcp_output(ts);
		return 0;
	case TCP_CORK:
		ts->cork = v != 0;
		if (!v) {
			ts->push_now = true;
			ts->cork_at = 0;
			tcp_output(ts);
		}
		return 0;
	case TCP_MAXSEG:
		if (v != 0 && (v < (int)TCP_MIN_MSS || v > 32767))
			return -EINVAL;
		ts->user_mss = (uint16_t)v;
		return 0;
	case TCP_KEEPIDLE:
		return set_keepidle(ts, v);
	case TCP_KEEPINTVL:
		return set_range(&ts->keep_interval_s, v, KEEP_MAX_S);
	case TCP_KEEPCNT:
		if (v < 1 || v > KEEP_MAX_COUNT)
			return -EINVAL;
		ts->keep_count = (uint8_t)v;
		return 0;
	case TCP_USER_TIMEOUT:
		if (v < 0)
			return -EINVAL;
		ts->user_timeout_ms = (uint32_t)v;
		return 0;
	case TCP_QUICKACK:
		ts->quickack_mode = v != 0;
		ts->ping_pong = v == 0;
		if (v && ts->delack_at != 0)
			tcp_send_ack(ts);
		return 0;
	case TCP_SYNCNT:
		if (v < 1 || v > 127)
			return -EINVAL;
		ts->syn_count_most = (uint8_t)v;
		return 0;
	case TCP_LINGER2:
		ts->linger2_s = v < 0 ? -1 : v > TCP_LINGER2_MAX_S ? TCP_LINGER2_MAX_S : v;
		return 0;
	case TCP_DEFER_ACCEPT:
		ts->defer_retries = tcp_seconds_to_retries(v < 0 ? 0 : (uint32_t)v);
		return 0;
	case OPT_TCP_NOTSENT_LOWAT:
		ts->notsent_lowat = (uint32_t)v;
		tcp_space_event(ts);
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

static void tcp_info_fill(const struct tcp_sock *ts, struct tcp_info *info)
{
	uint64_t now = ts->s.net->now_ns;

	*info = (struct tcp_info){
		.tcpi_state = ts->state,
		.tcpi_ca_state = ts->recovery == TCP_LOSS     ? 4 :
				 ts->recovery == TCP_RECOVERY ? 3 :
								0,
		.tcpi_retransmits = ts->backoff,
		.tcpi_probes = ts->probes,
		.tcpi_backoff = ts->backoff,
		.tcpi_options = (uint8_t)((ts->ts_ok ? TCPI_OPT_TIMESTAMPS : 0) |
					  (ts->sack_ok ? TCPI_OPT_SACK : 0) |
					  (ts->wscale_ok ? TCPI_OPT_WSCALE : 0) |
					  (ts->ecn_ok ? TCPI_OPT_ECN : 0) |
					  (ts->ecn_seen ? OPT_TCPI_ECN_SEEN : 0)),
		.tcpi_snd_wscale = ts->snd_wscale & 15u,
		.tcpi_rcv_wscale = ts->rcv_wscale & 15u,
		.tcpi_rto = (uint32_t)(ts->rto_ns / NSEC_PER_USEC),
		.tcpi_ato = TCP_DELACK_NS / NSEC_PER_USEC,
		.tcpi_snd_mss = ts->mss,
		.tcpi_rcv_mss = ts->rcv_mss,
		.tcpi_unacked = ts->mss != 0 ? (tcp_flight(ts) + ts->mss - 1u) / ts->mss : 0,
		.tcpi_last_data_sent = (uint32_t)((now - ts->last_tx_ns) / NSEC_PER_MSEC),
		.tcpi_last_data_recv = (uint32_t)((now - ts->last_rx_ns) / NSEC_PER_MSEC),
		.tcpi_pmtu = ts->lo ? NET_LO_MTU : ip_pmtu(ts->s.net, &ts->s.remote),
		.tcpi_rtt = ts->srtt_us / 8,
		.tcpi_rttvar = ts->rttvar_us / 4,
		.tcpi_snd_ssthresh =
			ts->ssthresh == UINT32_MAX ? 0x7fffffff : ts->ssthresh / ts->mss,
		.tcpi_snd_cwnd = ts->cwnd / ts->mss,
		.tcpi_advmss = ts->s.rport != 0 ? tcp_advertised_mss(ts) : TCP_DEFAULT_MSS,
		.tcpi_reordering = ts->dupthresh,
		.tcpi_rcv_space = ts->rcv_limit,
		.tcpi_total_retrans = ts->total_retransmits,
	};
	if (ts->state == TCP_LISTEN) {
		info->tcpi_unacked = ts->accept_count;
		info->tcpi_sacked = ts->backlog;
	}
}

int tcp_getsockopt(struct net_sock *sock, int name, void *value, socklen_t *inout_bytes)
{
	const struct tcp_sock *ts = tcp_of(sock);
	struct tcp_info info;
	int v;

	switch (name) {
	case TCP_NODELAY:
		v = ts->nodelay;
		break;
	case TCP_CORK:
		v = ts->cork;
		break;
	case TCP_MAXSEG:
		v = ts->user_mss != 0 && ts->s.rport == 0 ? ts->user_mss : ts->mss;
		break;
	case TCP_KEEPIDLE:
		v = (int)ts->keep_idle_s;
		break;
	case TCP_KEEPINTVL:
		v = (int)ts->keep_interval_s;
		break;
	case TCP_KEEPCNT:
		v = (int)ts->keep_count;
		break;
	case TCP_USER_TIMEOUT:
		v = (int)ts->user_timeout_ms;
		break;
	case TCP_QUICKACK:
		v = ts->quickack_mode && !ts->ping_pong;
		break;
	case TCP_SYNCNT:
		v = ts->syn_count_most != 0 ? ts->syn_count_most : (int)TCP_SYN_RETRIES;
		break;
	case TCP_LINGER2:
		v = ts->linger2_s != 0 ? ts->linger2_s : (int)(TCP_FIN_WAIT2_NS / NSEC_PER_SEC);
		break;
	case TCP_DEFER_ACCEPT:
		v = (int)tcp_retries_to_seconds(ts->defer_retries);
		break;
	case OPT_TCP_FASTOPEN:
		v = 0;
		break;
	case OPT_TCP_NOTSENT_LOWAT:
		v = (int)ts->notsent_lowat;
		break;
	case OPT_TCP_CONGESTION:
		return sockopt_give(value, inout_bytes, "cubic\0\0\0\0\0\0\0\0\0\0", 16);
	case TCP_INFO:
		tcp_info_fill(ts, &info);
		return sockopt_give(value, inout_bytes, &info, sizeof(info));
	default:
		return -ENOPROTOOPT;
	}
	return sockopt_give_int(value, inout_bytes, v);
}
