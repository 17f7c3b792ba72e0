/*
 * Loss and congestion, segment by segment: DSACK, proportional reduction, undo, tail loss probes,
 * ECN, HyStart++, and handshakes by SYN cookie.
 */
#include "tests/net/script.h"

#define MSS 1448u

static uint32_t cwnd_segments(void)
{
	struct tcp_info info;
	socklen_t bytes = sizeof(info);

	assert_int_equal(net_getsockopt(sock, IPPROTO_TCP, TCP_INFO, &info, &bytes), 0);
	return info.tcpi_snd_cwnd;
}

static struct net_stats stats(void)
{
	struct net_stats s;

	net_stats_get(host->net, &s);
	return s;
}

/* An ACK with our timestamp, the echo of his, and SACK blocks. */
static void send_sacks(uint32_t ack, const uint32_t (*blocks)[2], unsigned int count)
{
	uint8_t options[40] = {1, 1, 8, 10, [12] = 1, 1, 5};

	store_be32(options + 4, clock_ms);
	store_be32(options + 8, echo_ms);
	options[15] = (uint8_t)(2 + 8 * count);
	for (unsigned int i = 0; i < count; i++) {
		store_be32(options + 16 + 8 * i, blocks[i][0]);
		store_be32(options + 20 + 8 * i, blocks[i][1]);
	}
	send_options(ACK, mine, ack, options, count != 0 ? 16 + 8 * count : 12, NULL, 0);
}

/* Fills the window: returns how many segments went out; echo_ms becomes the first one's time. */
static unsigned int send_bulk(size_t bytes)
{
	static char data[1 << 20];
	unsigned int count = 0;

	assert_true(sock_send(sock, data, bytes, 0) > 0);
	while (take()) {
		if (count++ == 0)
			echo_ms = got.options.ts_val;
	}
	return count;
}

static unsigned int drain(void)
{
	unsigned int count = 0;

	while (take())
		count++;
	return count;
}

/* Round trips of this length, one small segment each: no probe of the tail comes before the ACK. */
static void warm_up(unsigned int rtt_ms)
{
	for (unsigned int i = 0; i < 16; i++) {
		assert_int_equal(sock_send(sock, "x", 1, 0), 1);
		assert_true(take());
		echo_ms = got.options.ts_val;
		run(rtt_ms * MS);
		send_sacks(++his, NULL, 0);
	}
}

/* ---- DSACK ---- */

static void test_dsack_sent(void **state)
{
	char buffer[16];

	(void)state;
	accept_one(true);
	send_seg(ACK, mine, his, "abcd", 4);
	drain();
	/* all of it again: below what was acknowledged */
	send_seg(ACK, mine, his, "abcd", 4);
	expect(ACK, his, mine + 4, 0);
	assert_int_equal(got.options.sack_count, 1);
	assert_int_equal(got.options.sacks[0].start, mine);
	assert_int_equal(got.options.sacks[0].end, mine + 4);
	/* out of order, twice: the second ACK has the duplicate first, then the block it lies in */
	send_seg(ACK, mine + 8, his, "ijkl", 4);
	expect(ACK, his, mine + 4, 0);
	send_seg(ACK, mine + 9, his, "jk", 2);
	expect(ACK, his, mine + 4, 0);
	assert_int_equal(got.options.sack_count, 2);
	assert_int_equal(got.options.sacks[0].start, mine + 9);
	assert_int_equal(got.options.sacks[0].end, mine + 11);
	assert_int_equal(got.options.sacks[1].start, mine + 8);
	assert_int_equal(got.options.sacks[1].end, mine + 12);
	/* and it is told once */
	send_seg(ACK, mine + 4, his, "efgh", 4);
	assert_true(take());
	assert_int_equal(got.options.sack_count, 0);
	assert_int_equal(sock_recv(sock, buffer, 16, 0), 12);
	assert_memory_equal(buffer, "abcdefghijkl", 12);
}

/* Segments were only late: the window is as it was when all retransmissions are known as needless.
 */
static void test_undo_by_dsack(void **state)
{
	uint32_t first, before;

	(void)state;
	accept_one(true);
	first = his;
	assert_int_equal(send_bulk(100000), 10);
	before = cwnd_segments();
	for (unsigned int i = 2; i <= 4; i++)
		send_sacks(first, (uint32_t[][2]){{first + MSS, first + MSS * i}}, 1);
	assert_true(cwnd_segments() < before);
	drain();
	assert_int_equal(stats().tcp_retransmits, 1);
	/* without timestamps' help: the echo is that of the retransmission */
	run(5 * MS);
	echo_ms += 100000;
	send_sacks(first + MSS * 10, NULL, 0);
	assert_true(cwnd_segments() < before);
	send_sacks(first + MSS * 10, (uint32_t[][2]){{first, first + MSS}}, 1);
	assert_true(cwnd_segments() >= before);
	drain();
}

/* ---- proportional rate reduction ---- */

static void test_prr(void **state)
{
	unsigned int sent = 0;
	uint32_t first, before;

	(void)state;
	accept_one(true);
	warm_up(10);
	first = his;
	send_bulk(400000);
	run(10 * MS);
	/* a window of some size */
	for (unsigned int i = 0; i < 10; i++) {
		send_sacks(first + MSS * (i + 1), NULL, 0);
		drain();
	}
	first += MSS * 10;
	before = cwnd_segments();
	assert_in_range(before, 18, 22);
	/* the first is lost; every other one arrives, one ACK each */
	for (unsigned int i = 1; i < before; i++) {
		send_sacks(first, (uint32_t[][2]){{first + MSS, first + MSS * (i + 1)}}, 1);
		sent += drain();
	}
	/* about seven for ten that arrived, spread over the round trip; Linux 3.2 sent half at once
	 */
	assert_in_range(sent, before * 6 / 10, before * 8 / 10 + 2);
	assert_in_range(stats().tcp_retransmits, 1, 1);
	echo_ms = got.options.ts_val;
	send_sacks(first + MSS * before, NULL, 0);
	assert_in_range(cwnd_segments(), before * 6 / 10, before * 8 / 10);
}

/* ---- tail loss probe ---- */

static void tail_lost(bool needed)
{
	uint32_t before, end;

	accept_one(true);
	/* a round trip to time */
	send_bulk(100);
	end = his + 100;
	run(20 * MS);
	send_sacks(end, NULL, 0);
	before = cwnd_segments();
	send_bulk(3 * MSS);
	end += 3 * MSS;
	run(100 * MS); /* well before the timeout of 200 ms */
	assert_true(take());
	assert_int_equal(got.seq, end - MSS);
	assert_int_equal(got.bytes, MSS);
	echo_ms = got.options.ts_val;
	if (needed)
		send_sacks(end, NULL, 0);
	else
		send_sacks(end, (uint32_t[][2]){{end - MSS, end}}, 1);
	if (needed)
		assert_true(cwnd_segments() < before);
	else
		assert_true(cwnd_segments() >= before);
	assert_int_equal(stats().tcp_timeouts, 0);
}

static void test_tlp_repairs(void **state)
{
	(void)state;
	tail_lost(true);
}

static void test_tlp_needless(void **state)
{
	(void)state;
	tail_lost(false);
}

/* ---- ECN (RFC 3168) ---- */

static void accept_ecn(void)
{
	listener = sock_listener(host, 80, 5);
	his_port = htons(80);
	mine = 1000;
	send_options(SYN | ECE | CWR, mine, 0, syn_options, sizeof(syn_options), NULL, 0);
	mine++;
	assert_true(take());
	assert_int_equal(got.flags, SYN | ACK | ECE);
	assert_int_equal(got.tos & ECN_MASK, 0);
	his = got.seq + 1;
	with_ts = true;
	send_seg(ACK, mine, his, NULL, 0);
	sock = sock_accept(listener);
	assert_non_null(sock);
}

static void test_ecn_receiver(void **state)
{
	(void)state;
	accept_ecn();
	/* a mark on data is echoed until the peer has reduced */
	my_tos = ECN_CE;
	send_seg(ACK, mine, his, "a", 1);
	mine++;
	expect(ACK | ECE, his, mine, 0);
	my_tos = ECN_ECT0;
	send_seg(ACK, mine, his, "b", 1);
	mine++;
	run(100 * MS);
	expect(ACK | ECE, his, mine, 0);
	send_seg(ACK | CWR, mine, his, "c", 1);
	mine++;
	run(100 * MS);
	expect(ACK, his, mine, 0);
	/* on an ACK it means nothing */
	my_tos = ECN_CE;
	send_seg(ACK, mine, his, NULL, 0);
	expect_nothing();
	my_tos = 0;
	send_seg(ACK, mine, his, "d", 1);
	mine++;
	run(100 * MS);
	expect(ACK, his, mine, 0);
}

static void test_ecn_sender(void **state)
{
	static char data[60000];
	uint32_t before, first;

	(void)state;
	accept_ecn();
	first = his;
	assert_true(sock_send(sock, data, sizeof(data), 0) > 0);
	while (take()) {
		assert_int_equal(got.tos & ECN_MASK, ECN_ECT0);
		assert_false(got.flags & CWR);
	}
	before = cwnd_segments();
	send_seg(ACK | ECE, mine, first + MSS, NULL, 0);
	assert_in_range(cwnd_segments(), before / 2, before * 8 / 10);
	before = cwnd_segments();
	/* once a round trip, however often it is said */
	send_seg(ACK | ECE, mine, first + MSS * 2, NULL, 0);
	assert_true(cwnd_segments() >= before);
	for (unsigned int i = 3; i <= 9; i++)
		send_seg(ACK | ECE, mine, first + MSS * i, NULL, 0);
	assert_true(take());
	assert_true(got.flags & CWR);
	assert_int_equal(got.seq, first + MSS * 10);
	while (take())
		assert_false(got.flags & CWR);
}

/* Asked for in our SYN; what is sent again does without, for the sake of old middleboxes. */
static void test_ecn_fallback(void **state)
{
	(void)state;
	sock = sock_new(host, AF_INET, SOCK_STREAM);
	assert_int_equal(sock_connect(sock, "10.0.0.2", my_port), -EINPROGRESS);
	assert_true(take());
	assert_int_equal(got.flags, SYN | ECE | CWR);
	his_port = got.tcp.sport;
	his = got.seq + 1;
	run(1100 * MS);
	assert_true(take());
	assert_int_equal(got.flags, SYN);
	send_options(SYN | ACK | ECE, 500, his, syn_options, sizeof(syn_options), NULL, 0);
	mine = 501;
	with_ts = true;
	drain();
	assert_int_equal(sock_send(sock, "x", 1, 0), 1);
	assert_true(take());
	assert_int_equal(got.tos & ECN_MASK, 0);
}

static void test_ecn_client(void **state)
{
	(void)state;
	sock = sock_new(host, AF_INET, SOCK_STREAM);
	assert_int_equal(sock_connect(sock, "10.0.0.2", my_port), -EINPROGRESS);
	assert_true(take());
	his_port = got.tcp.sport;
	his = got.seq + 1;
	send_options(SYN | ACK | ECE, 500, his, syn_options, sizeof(syn_options), NULL, 0);
	mine = 501;
	drain();
	assert_int_equal(sock_send(sock, "x", 1, 0), 1);
	assert_true(take());
	assert_int_equal(got.tos & ECN_MASK, ECN_ECT0);
}

/* ---- HyStart++ ---- */

/* Rounds of full windows with this round-trip time; returns the window afterwards. */
static uint32_t rounds(unsigned int count, unsigned int rtt_ms)
{
	static char data[1 << 20];

	for (unsigned int i = 0; i < count; i++) {
		uint32_t ends[512], times[512];
		unsigned int n = 0;

		sock_send(sock, data, sizeof(data), 0);
		while (n < 512 && take()) {
			ends[n] = got.seq + (uint32_t)got.bytes;
			times[n++] = got.options.ts_val;
		}
		run(rtt_ms * MS);
		for (unsigned int k = 0; k < n; k++) {
			echo_ms = times[k];
			send_sacks(ends[k], NULL, 0);
		}
	}
	return cwnd_segments();
}

static void test_hystart(void **state)
{
	uint32_t at;

	(void)state;
	accept_one(true);
	warm_up(20);
	/* the delay is steady: doubling */
	at = rounds(2, 20);
	assert_in_range(at, 36, 44);
	/* it grows with the queue: slower from the next round on, and then no slow start any more
	 */
	at = rounds(1, 20 + 20);
	assert_true(rounds(1, 20 + 20) < 2 * at);
	rounds(5, 20 + 20);
	at = cwnd_segments();
	assert_true(rounds(1, 20 + 20) < at + at / 4);
}

/* ---- answers to what is out of the window ---- */

static void test_oow_limit(void **state)
{
	(void)state;
	accept_one(false);
	/* two confused ends must not answer each other for ever */
	for (unsigned int i = 0; i < 10; i++)
		send_seg(ACK, mine - 5000, his, NULL, 0);
	assert_int_equal(drain(), 1);
	run(600 * MS);
	send_seg(ACK, mine - 5000, his, NULL, 0);
	assert_int_equal(drain(), 1);
	/* data is always answered: the peer may have lost our ACK */
	for (unsigned int i = 0; i < 5; i++)
		send_seg(ACK, mine - 4, his, "data", 4);
	assert_int_equal(drain(), 5);
}

/* ---- SYN cookies ---- */

static void flood(void)
{
	uint16_t port = my_port;

	for (unsigned int i = 0; i < 2000; i++) {
		my_port = (uint16_t)(1024 + i);
		send_seg(SYN, 100, 0, NULL, 0);
		while (world.captured != NULL)
			free(world_take());
	}
	my_port = port;
}

static void cookie_handshake(bool modern, uint16_t port, uint32_t *ret_isn)
{
	my_port = port;
	mine = 7000;
	if (modern)
		send_options(SYN, mine, 0, syn_options, sizeof(syn_options), NULL, 0);
	else
		send_seg(SYN, mine, 0, NULL, 0);
	assert_true(take());
	assert_int_equal(got.flags, SYN | ACK);
	assert_int_equal(got.ack, mine + 1);
	*ret_isn = got.seq;
	mine++;
}

static void test_cookie_options(void **state)
{
	struct tcp_info info;
	socklen_t bytes = sizeof(info);
	char buffer[8];
	uint32_t isn;

	(void)state;
	listener = sock_listener(host, 80, 5);
	his_port = htons(80);
	flood();
	assert_true(stats().sockets < 1200);
	assert_true(stats().tcp_cookies_sent > 900);
	cookie_handshake(true, 40000, &isn);
	echo_ms = got.options.ts_val;
	with_ts = true;
	clock_ms += 50;
	run(200 * MS);
	/* data in the ACK itself */
	send_seg(ACK, mine, isn + 1, "hello", 5);
	sock = sock_accept(listener);
	assert_non_null(sock);
	assert_int_equal(stats().tcp_cookies_accepted, 1);
	assert_int_equal(sock_recv(sock, buffer, 8, 0), 5);
	assert_memory_equal(buffer, "hello", 5);
	assert_int_equal(net_getsockopt(sock, IPPROTO_TCP, TCP_INFO, &info, &bytes), 0);
	assert_int_equal(info.tcpi_options & 7,
			 TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE);
	assert_int_equal(info.tcpi_snd_mss, 1448);
	drain();
	assert_int_equal(sock_send(sock, "reply", 5, 0), 5);
	expect(ACK, isn + 1, mine + 5, 5);
	/* our clock goes on from what the cookie said */
	assert_true((int32_t)(got.options.ts_val - echo_ms) >= 0);
	my_port = 5555;
}

static void test_cookie_plain(void **state)
{
	struct tcp_info info;
	socklen_t bytes = sizeof(info);
	uint32_t isn;

	(void)state;
	listener = sock_listener(host, 80, 5);
	his_port = htons(80);
	flood();
	cookie_handshake(false, 40000, &isn);
	assert_false(got.options.has_wscale);
	/* within two ticks of the clock it is good */
	run(65 * SEC);
	drain();
	flood();
	send_seg(ACK, mine, isn + 1, NULL, 0);
	sock = sock_accept(listener);
	assert_non_null(sock);
	assert_int_equal(net_getsockopt(sock, IPPROTO_TCP, TCP_INFO, &info, &bytes), 0);
	assert_int_equal(info.tcpi_options & 7, 0);
	assert_int_equal(info.tcpi_snd_mss, 536);
	my_port = 5555;
}

/* Guesses, cookies of others, and old ones are no connections. */
static void test_cookie_forged(void **state)
{
	uint32_t isn;

	(void)state;
	listener = sock_listener(host, 80, 5);
	his_port = htons(80);
	/* before any was sent, none is believed */
	my_port = 40000;
	send_seg(ACK, 7001, 12345, NULL, 0);
	expect(RST, 12345, 0, 0);
	assert_int_equal(stats().tcp_cookies_failed, 0);
	flood();
	cookie_handshake(false, 40000, &isn);
	for (unsigned int bit = 0; bit < 32; bit++) {
		uint32_t guess = (isn ^ 1u << bit) + 1;

		send_seg(ACK, mine, guess, NULL, 0);
		expect(RST, guess, 0, 0);
	}
	my_port++; /* someone else's */
	send_seg(ACK, mine, isn + 1, NULL, 0);
	expect(RST, isn + 1, 0, 0);
	my_port--;
	send_seg(ACK, mine + 1, isn + 1, NULL, 0); /* another number of the peer's */
	expect(RST, isn + 1, 0, 0);
	run(150 * SEC);
	drain();
	flood();
	send_seg(ACK, mine, isn + 1, NULL, 0);
	expect(RST, isn + 1, 0, 0);
	assert_null(sock_accept(listener));
	my_port = 5555;
}

/* A full accept queue: the ACK is forgotten, and what the peer sends next tries again. */
static void test_cookie_accept_full(void **state)
{
	uint32_t isn[3];
	unsigned int count = 0;

	(void)state;
	listener = sock_listener(host, 80, 1);
	his_port = htons(80);
	flood();
	for (uint16_t i = 0; i < 3; i++)
		cookie_handshake(false, 40000 + i, &isn[i]);
	/* a backlog of one holds two, as on Linux */
	for (uint16_t i = 0; i < 3; i++) {
		my_port = 40000 + i;
		send_seg(ACK, mine, isn[i] + 1, NULL, 0);
	}
	assert_int_equal(stats().tcp_accept_overflows, 1);
	expect_nothing();
	while ((sock = sock_accept(listener)) != NULL) {
		net_close(sock);
		count++;
	}
	assert_int_equal(count, 2);
	drain();
	send_seg(ACK, mine, isn[2] + 1, "again", 5);
	sock = sock_accept(listener);
	assert_non_null(sock);
	my_port = 5555;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCRIPT(test_dsack_sent),
		SCRIPT(test_undo_by_dsack),
		SCRIPT(test_prr),
		SCRIPT(test_tlp_repairs),
		SCRIPT(test_tlp_needless),
		SCRIPT(test_ecn_receiver),
		SCRIPT(test_ecn_sender),
		SCRIPT(test_ecn_fallback),
		SCRIPT(test_ecn_client),
		SCRIPT(test_hystart),
		SCRIPT(test_oow_limit),
		SCRIPT(test_cookie_options),
		SCRIPT(test_cookie_plain),
		SCRIPT(test_cookie_forged),
		SCRIPT(test_cookie_accept_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
