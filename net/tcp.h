/*
 * Private to net/tcp_*.c: connection state. RFC 9293 unless another number is named.
 *
 * Send side: `sndq` holds every byte from snd_una on; snd_nxt never goes back. What is missing at
 * the peer is in the *board*: holes between what it acknowledged selectively, each with how far it
 * was sent again (RFC 6675, RFC 8985). Peers without SACK and timeouts use the same board, with
 * holes that are guessed, so that there is one way to retransmit.
 */
#pragma once

#include <netinet/tcp.h>

#include "net/stack.h"

#define TCP_RTO_MIN_NS (200 * NSEC_PER_MSEC)
#define TCP_RTO_MAX_NS (120 * NSEC_PER_SEC)
#define TCP_RTO_INITIAL_NS NSEC_PER_SEC
#define TCP_DELACK_NS (40 * NSEC_PER_MSEC)
#define TCP_TLP_MIN_NS (10 * NSEC_PER_MSEC)
#define TCP_CORK_NS (200 * NSEC_PER_MSEC)
#define TCP_TIME_WAIT_NS (60 * NSEC_PER_SEC)
#define TCP_FIN_WAIT2_NS (60 * NSEC_PER_SEC)
#define TCP_PAWS_IDLE_NS (24 * 24 * 3600 * NSEC_PER_SEC) /* RFC 7323 5.5 */
#define TCP_TIME_WAIT_MAX 16384u
#define TCP_ORPHAN_MAX 8192u
#define TCP_SYN_RETRIES 6u
#define TCP_SYNACK_RETRIES 5u
#define TCP_RETRIES 15u
#define TCP_ORPHAN_RETRIES 8u
#define TCP_INITIAL_SEGMENTS 10u /* RFC 6928 */
#define TCP_MIN_MSS 88u
#define TCP_DEFAULT_MSS 536u
#define TCP_WSCALE 7u
#define TCP_QUICKACKS 16u
#define TCP_DUPTHRESH 3u
#define TCP_DUPTHRESH_MAX 64u
#define TCP_RCV_FIRST (256u << 10)
#define TCP_RCV_MAX (6u << 20)
#define TCP_SND_FIRST (256u << 10)
#define TCP_SND_MAX (4u << 20)
#define TCP_SND_SCARCE (64u << 10)
#define TCP_GSO_MAX 65535u
#define TCP_BOARD_HOLES 64u
#define TCP_OOO_MAX_FRAGS 2048u
#define TCP_SYN_QUEUE_MAX 1024u
#define TCP_LO_ADVMSS 65483u
#define TCP_CHALLENGES_PER_SECOND 100u
#define TCP_OOW_ACK_US 500000u
#define TCP_COOKIE_SHIFT 36u /* a cookie's clock ticks every 2^36 ns, some 69 s */
#define TCP_LINGER2_MAX_S 120

struct tcp_hole {
	uint32_t start, end;
	uint32_t rxmit;   /* [start, rxmit) has been sent again */
	uint32_t mark;    /* snd_nxt when that was */
	uint32_t xmit_us; /* when that was, on the microsecond clock */
	bool lost;
};

struct tcp_board {
	uint32_t fack;    /* end of the highest byte known to have arrived */
	uint32_t rack_us; /* when the latest of the retransmissions that arrived was sent */
	bool rack_valid;
	uint32_t count;
	struct tcp_hole holes[TCP_BOARD_HOLES]; /* ascending, below fack (but for guesses) */
};

enum tcp_recovery {
	TCP_OPEN,
	TCP_RECOVERY, /* fast recovery, until snd_una reaches `recover` */
	TCP_LOSS,     /* after a timeout */
};

struct tcp_cubic {
	uint32_t w_max; /* segments */
	uint32_t k_ms;
	uint32_t w_est;      /* Reno's window, in segments */
	uint32_t est_credit; /* acked bytes towards w_est */
	uint32_t cwnd_credit;
	uint32_t origin;   /* segments */
	uint64_t epoch_ns; /* 0: not begun */
};

/* HyStart++ (RFC 9406): leaves slow start when the round-trip time grows. */
struct tcp_hystart {
	uint32_t round_end; /* the round is over when this is acknowledged */
	uint16_t last_ms, now_ms;
	uint16_t baseline_ms; /* of conservative slow start; 0: not in it */
	uint8_t samples, rounds;
};

struct tcp_sock {
	struct net_sock s;
	struct tcp_sock *hash_next;
	struct list link;       /* accept queue, TIME_WAIT list or zombies */
	struct list ack_link;   /* net->acks */
	struct net_timer timer; /* the earliest of the deadlines below, or earlier */
	uint64_t rtx_at, delack_at, keep_at, cork_at; /* 0: not set */

	uint8_t state;    /* TCP_* of Linux */
	uint8_t recovery; /* enum tcp_recovery */
	uint8_t snd_wscale, rcv_wscale;
	uint8_t backoff, probes, keep_probes, syn_retries;
	uint8_t dupacks, quickacks;
	uint8_t dupthresh;
	uint8_t syn_count_most; /* TCP_SYNCNT; 0: the default */
	uint8_t defer_retries;  /* TCP_DEFER_ACCEPT in SYN-ACKs, as Linux counts it */
	bool ts_ok : 1, sack_ok : 1, wscale_ok : 1;
	bool lo : 1; /* peer is in this instance */
	bool hashed : 1;
	bool dead : 1; /* the owner has closed it */
	bool zombie : 1;
	bool fin_queued : 1; /* our FIN follows the queue */
	bool fin_sent : 1;
	bool fin_received : 1;
	bool fin_seen : 1; /* a FIN is known at rcv_fin, perhaps behind a gap */
	bool nodelay : 1, cork : 1;
	bool push_now : 1;  /* a partial segment goes out though Nagle would wait */
	bool ping_pong : 1; /* requests are answered: replies carry the ACKs */
	bool ack_now : 1;
	bool rtt_timing : 1;
	bool undo : 1; /* the last reduction may turn out to be needless (RFC 3522) */
	bool tlp_sent : 1, tlp_armed : 1, persist : 1;
	bool no_space : 1;     /* POLLOUT was denied: tell when there is room */
	bool connect_done : 1; /* connect() has been told of success */
	bool urgent : 1;       /* an urgent byte is there to be read */
	bool urgent_taken : 1;
	bool cwnd_limited : 1;
	bool quickack_mode : 1;
	bool ecn_ok : 1;    /* both ends speak ECN (RFC 3168) */
	bool ecn_seen : 1;  /* a CE mark or an ECT one has arrived */
	bool ecn_echo : 1;  /* a CE mark is to be echoed until the peer says CWR */
	bool ecn_cwr : 1;   /* our next new data says CWR */
	bool tlp_again : 1; /* the tail loss probe was a retransmission */
	bool deferred : 1;  /* the handshake is done, the listener waits for data */
	bool dsack : 1;     /* dsack_start .. dsack_end came twice: to be told (RFC 2883) */
	uint8_t urgent_byte;

	/* send */
	uint32_t iss, snd_una, snd_nxt, snd_wnd, snd_wl1, snd_wl2, max_wnd;
	uint32_t snd_up;
	uint16_t mss; /* payload of a full segment, options taken off */
	uint16_t peer_mss, user_mss;
	struct frag_list sndq;
	struct frag *cursor; /* the frag that was sent from last, to begin the next search */
	uint32_t cursor_seq; /* its first byte: below snd_una it is gone */
	uint32_t snd_small;  /* end of the last partial segment (Minshall's Nagle) */
	struct neigh *neigh;
	union ip_addr hop;

	/* receive */
	uint32_t irs, rcv_nxt, rcv_adv, rcv_acked, copied_seq;
	uint32_t rcv_limit, rcv_urgent, rcv_fin;
	struct frag_list rcvq, ooo;
	uint32_t ooo_count;
	uint32_t ts_recent, ts_offset;
	uint64_t ts_recent_ns;
	uint32_t sack_last; /* start of the block that changed last: it is reported first */
	uint16_t rcv_mss;   /* size of the segments that the peer sends */
	uint32_t drs_seq;
	uint32_t dsack_start, dsack_end;
	uint64_t drs_ns, last_rx_ns;
	uint32_t oow_us; /* when a segment outside the window was last answered, 0: never */

	/* round trip and congestion */
	uint32_t srtt_us, rttvar_us, rtt_min_us;
	uint64_t rto_ns, rtt_start_ns, last_tx_ns;
	uint64_t stall_ns; /* since when what is sent or waits has made no progress; 0: nothing */
	uint32_t rtt_seq;
	uint32_t cwnd, ssthresh, recover;
	uint32_t prior_cwnd, prior_ssthresh, undo_ms;
	uint32_t undo_bytes; /* sent again since the reduction, not yet known to be needless */
	uint32_t prr_delivered, prr_sent, prr_flight; /* RFC 6937 */
	uint32_t ecn_recover, tlp_end;
	struct tcp_cubic cubic;
	struct tcp_hystart hystart;
	struct tcp_board *board;
	uint32_t retransmits, total_retransmits;

	/* listening */
	struct tcp_sock *listener; /* of a connection that is not accepted yet */
	struct list accept_queue;  /* established, in order */
	struct list syn_queue;
	uint32_t accept_count, syn_count, backlog;
	uint64_t cookie_ns; /* when a SYN cookie was last sent; 0: never */

	uint16_t keep_idle_s, keep_interval_s;
	uint8_t keep_count;
	uint32_t user_timeout_ms;
	uint32_t notsent_lowat; /* bytes, 0: none */
	int32_t linger2_s;      /* FIN_WAIT2: 0: the default, -1: none */
};

_Static_assert(sizeof(struct tcp_sock) <= 768, "a connection stays small");

/* A segment on its way in, after the parser. */
struct tcp_seg {
	union ip_addr src, dst;
	uint16_t sport, dport; /* network order */
	uint32_t seq, ack;
	uint16_t window, urgent;
	uint8_t flags;
	uint8_t ecn; /* of the IP header */
	bool lo;
	struct frag_list data;
	uint16_t gso_bytes;
	struct tcp_options options;
};

/* A segment on its way out. */
struct tcp_out_seg {
	uint32_t seq, bytes;
	uint8_t flags;
	bool again; /* a retransmission */
};

static inline struct tcp_sock *tcp_of(const struct net_sock *sock)
{
	return (struct tcp_sock *)(uintptr_t)sock;
}

static inline bool seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool seq_le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
	return seq_lt(a, b) ? b : a;
}

static inline uint32_t seq_min(uint32_t a, uint32_t b)
{
	return seq_lt(a, b) ? a : b;
}

/* The timestamp clock: milliseconds, from a secret start per connection. */
static inline uint32_t tcp_clock(const struct tcp_sock *ts)
{
	return (uint32_t)(ts->s.net->now_ns / NSEC_PER_MSEC) + ts->ts_offset;
}

/* Sequence number after the last queued byte. */
static inline uint32_t tcp_queue_end(const struct tcp_sock *ts)
{
	return ts->snd_una + ts->sndq.bytes;
}

static inline uint32_t tcp_flight(const struct tcp_sock *ts)
{
	return ts->snd_nxt - ts->snd_una;
}

/* Bytes in the queue that were never sent. */
static inline uint32_t tcp_unsent(const struct tcp_sock *ts)
{
	uint32_t end = tcp_queue_end(ts);

	return seq_lt(ts->snd_nxt, end) ? end - ts->snd_nxt : 0;
}

/* The same in microseconds, for comparisons within an hour. */
static inline uint32_t tcp_clock_us(const struct tcp_sock *ts)
{
	return (uint32_t)(ts->s.net->now_ns / NSEC_PER_USEC);
}

static inline bool tcp_can_receive(const struct tcp_sock *ts)
{
	return ts->state == TCP_ESTABLISHED || ts->state == TCP_FIN_WAIT1 ||
	       ts->state == TCP_FIN_WAIT2;
}

/* ---- tcp_conn.c ---- */

struct tcp_sock *tcp_alloc(struct net *net, uint8_t family);
struct tcp_sock *tcp_lookup(const struct net *net, const union ip_addr *local,
			    const union ip_addr *remote, uint16_t lport, uint16_t rport);
struct tcp_sock *tcp_lookup_listener(const struct net *net, const struct tcp_seg *seg);
int tcp_hash_add(struct tcp_sock *ts);
void tcp_hash_remove(struct tcp_sock *ts);
/* The connection is over: state CLOSED, queues kept for the reader; freed later if it is dead. */
void tcp_done(struct tcp_sock *ts, int error);
void tcp_time_wait_enter(struct tcp_sock *ts);
void tcp_time_wait_leave(struct tcp_sock *ts);
void tcp_orphan(struct tcp_sock *ts);
void tcp_zombies_free(struct net *net);
uint32_t tcp_new_iss(const struct tcp_sock *ts);
/* Routes (again): neighbour, local or not, MSS. 0 or what ip_route says. */
int tcp_route(struct tcp_sock *ts, struct route *ret_route);
void tcp_mss_update(struct tcp_sock *ts, uint32_t mtu);
uint16_t tcp_advertised_mss(const struct tcp_sock *ts);

/* ---- tcp_in.c ---- */

void tcp_seg_input(struct net *net, struct tcp_seg *seg);
void tcp_reset_reply(struct net *net, const struct tcp_seg *seg);
void tcp_reset(struct tcp_sock *ts);

/* What the options of a SYN or SYN-ACK settle; a SYN cookie gives them back later. */
void tcp_handshake_options(struct tcp_sock *ts, const struct tcp_options *options);
/* A segment for a connection in a synchronized state. */
void tcp_synchronized_input(struct tcp_sock *ts, struct tcp_seg *seg);

/* ---- tcp_listen.c ---- */

void tcp_listen_input(struct tcp_sock *listener, struct tcp_seg *seg);
/* A child in SYN_RECV got the ACK of its SYN. False: the accept queue is full, leave it as it is.
 */
bool tcp_listen_ready(struct tcp_sock *child);
/* The child leaves its listener's queues. */
void tcp_listen_forget(struct tcp_sock *child);
void tcp_listen_stop(struct tcp_sock *listener);
/* A connection being made, not yet in any queue; NULL without memory or route. */
struct tcp_sock *tcp_listen_child(struct tcp_sock *listener, const struct tcp_seg *seg);

/* ---- tcp_cookie.c: handshakes without state (RFC 4987 3.6) ---- */

void tcp_cookie_send(struct tcp_sock *listener, const struct tcp_seg *syn);
/* The connection that an ACK of a cookie makes, or NULL: it is not one. */
struct tcp_sock *tcp_cookie_check(struct tcp_sock *listener, const struct tcp_seg *ack);

/* ---- tcp_rcv.c: data in order and out of order ---- */

/* Takes the payload and FIN of an acceptable segment. */
void tcp_rcv_data(struct tcp_sock *ts, struct tcp_seg *seg);
/* The window to be advertised, in bytes; remembers the edge. */
uint32_t tcp_rcv_window(struct tcp_sock *ts);
/* These bytes have come twice: the next ACK says so (RFC 2883). */
void tcp_rcv_twice(struct tcp_sock *ts, uint32_t start, uint32_t end);
unsigned int tcp_rcv_sacks(const struct tcp_sock *ts, uint32_t (*ret_blocks)[2], unsigned int most);
/* The program has read: moves the window when that is worth a packet. */
void tcp_rcv_after_read(struct tcp_sock *ts);

/* ---- tcp_ack.c, tcp_board.c, tcp_cubic.c ---- */

void tcp_ack_input(struct tcp_sock *ts, const struct tcp_seg *seg);
void tcp_rtt_sample(struct tcp_sock *ts, uint64_t rtt_ns);
void tcp_timeout_loss(struct tcp_sock *ts);

struct tcp_board *tcp_board_get(struct tcp_sock *ts);
void tcp_board_drop(struct tcp_sock *ts);
/* Snd_una moved: forgets what lies below. */
void tcp_board_advance(struct tcp_sock *ts);
/* A block of a SACK option. True if it told something new. */
bool tcp_board_sack(struct tcp_sock *ts, uint32_t start, uint32_t end);
/* Marks holes as lost. True if there is one that was not before. */
bool tcp_board_mark(struct tcp_sock *ts);
/* Everything not selectively acknowledged counts as lost and not sent again. */
void tcp_board_all_lost(struct tcp_sock *ts);
/* Guesses that the segment at snd_una is lost. */
void tcp_board_guess(struct tcp_sock *ts);
void tcp_board_unmark(struct tcp_sock *ts);
/* Bytes in flight: neither acknowledged, nor selectively so, nor lost. */
uint32_t tcp_pipe(const struct tcp_sock *ts);
/* Bytes above snd_una that the peer has acknowledged selectively. */
uint32_t tcp_board_sacked(const struct tcp_sock *ts);
/* The next hole to be sent again, or NULL. */
struct tcp_hole *tcp_board_next(struct tcp_sock *ts);

void tcp_cubic_ack(struct tcp_sock *ts, uint32_t acked_bytes);
/* Looks for the end of slow start in an ACK that moved snd_una. */
void tcp_hystart_ack(struct tcp_sock *ts, const struct tcp_seg *seg);
/* Half-way between an ECN echo, a lost tail and full recovery: the window shrinks, nothing is lost.
 */
void tcp_reduce(struct tcp_sock *ts);
uint32_t tcp_cubic_ssthresh(struct tcp_sock *ts);

/* ---- tcp_out.c ---- */

/* Sends all that windows, Nagle and the ring permit. */
void tcp_output(struct tcp_sock *ts);
/* One segment. 0, or -EAGAIN when the ring is full (the socket then waits for it). */
int tcp_send(struct tcp_sock *ts, const struct tcp_out_seg *seg);
int tcp_send_syn(struct tcp_sock *ts);
void tcp_send_ack(struct tcp_sock *ts);
void tcp_send_probe(struct tcp_sock *ts);
void tcp_challenge_ack(struct tcp_sock *ts);
/* Answers a segment outside the window, without answering an answer for ever. */
void tcp_oow_ack(struct tcp_sock *ts, const struct tcp_seg *seg);
/* Owes an ACK: at the end of the batch, or when the delay is over. */
void tcp_ack_later(struct tcp_sock *ts, bool now);

/* Options of a segment, in their wire form; returns their length. */
uint32_t tcp_options_write(struct tcp_sock *ts, uint8_t flags, uint8_t *at, uint32_t room);

/* ---- tcp_lo.c: segments to sockets of this instance ---- */

int tcp_lo_send(struct tcp_sock *ts, const struct tcp_out_seg *seg, uint32_t window);
int tcp_lo_reply(struct net *net, const struct tcp_seg *to, const struct tcp_out_seg *seg,
		 uint32_t ack);
void tcp_lo_run(struct net *net);
void tcp_lo_finish(struct net *net);

/* ---- tcp_timer.c ---- */

void tcp_timer_fire(struct net *net, struct net_timer *timer);
/* Makes the wheel look at the connection no later than its earliest deadline. */
void tcp_timer_update(struct tcp_sock *ts);
void tcp_rtx_arm(struct tcp_sock *ts);
/* When FIN_WAIT2 without an owner is over (TCP_LINGER2). */
void tcp_fin_wait2_arm(struct tcp_sock *ts);
/* TCP_DEFER_ACCEPT: seconds to SYN-ACKs and back, as Linux rounds them. */
uint8_t tcp_seconds_to_retries(uint32_t seconds);
uint32_t tcp_retries_to_seconds(uint8_t retries);
void tcp_time_wait_fire(struct net *net, struct net_timer *timer);

/* ---- tcp_user.c ---- */

int tcp_listen(struct net_sock *sock, int backlog);
int tcp_accept(struct net_sock *sock, struct net_sock **ret_sock);
int tcp_connect(struct net_sock *sock, const union ip_addr *addr, uint16_t port);
int tcp_disconnect(struct net_sock *sock);
ssize_t tcp_sendmsg(struct net_sock *sock, const struct net_msg *msg, int flags);
ssize_t tcp_recvmsg(struct net_sock *sock, struct net_msg *msg, int flags);
int tcp_shutdown(struct net_sock *sock, int how);
void tcp_close(struct net_sock *sock);
uint32_t tcp_poll_events(const struct net_sock *sock);
uint32_t tcp_snd_limit(const struct tcp_sock *ts);
bool tcp_writable(const struct tcp_sock *ts);
/* Tells a writer that was refused when there is room again. */
void tcp_space_event(struct tcp_sock *ts);
