/*
 * Segment by segment: the test is the peer. Each script says what it sends and what the stack must
 * answer: states, resets, RFC 5961, PAWS, SACK, malformed packets of every sort.
 */
#include "tests/net/script.h"

/* ---- handshakes ---- */

static void test_syn_ack_options(void **state)
{
	(void)state;
	listener = sock_listener(host, 80, 5);
	his_port = htons(80);
	send_options(SYN, 1, 0, syn_options, sizeof(syn_options), NULL, 0);
	assert_true(take());
	assert_int_equal(got.options.mss, 1460);
	assert_true(got.options.has_wscale);
	assert_true(got.options.sack_ok);
	assert_true(got.options.has_ts);
	assert_int_equal(got.options.ts_ecr, 1000);
	/* what was not offered is not answered */
	my_port++;
	send_seg(SYN, 1, 0, NULL, 0);
	assert_true(take());
	assert_false(got.options.has_wscale);
	assert_false(got.options.sack_ok);
	assert_false(got.options.has_ts);
	/* a SYN-ACK that is not answered is sent again, and given up */
	run(1500 * MS);
	assert_true(take());
	assert_int_equal(got.flags, SYN | ACK);
	run(300 * SEC);
	my_port--;
}

static void test_simultaneous_open(void **state)
{
	(void)state;
	sock = sock_new(host, AF_INET, SOCK_STREAM);
	assert_int_equal(sock_connect(sock, "10.0.0.2", my_port), -EINPROGRESS);
	assert_true(take());
	assert_int_equal(got.flags & ~(TCP_FLAG_ECE | TCP_FLAG_CWR), SYN);
	his_port = got.tcp.sport;
	his = got.seq;
	send_seg(SYN, 500, 0, NULL, 0);
	expect(SYN | ACK, his, 501, 0);
	assert_int_equal(sock_state(sock), TCP_SYN_RECV);
	send_seg(SYN | ACK, 500, his + 1, NULL, 0);
	assert_int_equal(sock_state(sock), TCP_ESTABLISHED);
	send_seg(ACK, 501, his + 1, "x", 1);
	assert_true(net_poll_events(sock) & POLLIN);
}

static void test_syn_sent(void **state)
{
	(void)state;
	sock = sock_new(host, AF_INET, SOCK_STREAM);
	assert_int_equal(sock_connect(sock, "10.0.0.2", my_port), -EINPROGRESS);
	assert_true(take());
	his_port = got.tcp.sport;
	his = got.seq;
	/* an ACK of what was not sent: reset, and we go on */
	send_seg(SYN | ACK, 500, his + 100, NULL, 0);
	expect(RST, his + 100, 0, 0);
	/* a RST without a right ACK is nothing */
	send_seg(RST, 0, 0, NULL, 0);
	send_seg(RST | ACK, 0, his, NULL, 0);
	while (take())
		;
	assert_int_equal(sock_state(sock), TCP_SYN_SENT);
	/* the SYN comes again after a second, then two */
	run(1100 * MS);
	expect(SYN, his, 0, 0);
	run(1000 * MS);
	expect_nothing();
	run(1100 * MS);
	expect(SYN, his, 0, 0);
	send_seg(RST | ACK, 0, his + 1, NULL, 0);
	assert_int_equal(sock_error(sock), -ECONNREFUSED);
}

static void test_closed_port(void **state)
{
	(void)state;
	his_port = htons(81);
	send_seg(SYN, 100, 0, NULL, 0);
	expect(RST | ACK, 0, 101, 0);
	send_seg(ACK, 100, 777, NULL, 0);
	expect(RST, 777, 0, 0);
	send_seg(RST, 100, 0, NULL, 0);
	send_seg(RST | ACK, 100, 5, NULL, 0);
	expect_nothing();
	listener = sock_listener(host, 80, 5);
	his_port = htons(80);
	send_seg(ACK, 100, 777, NULL, 0);
	expect(RST, 777, 0, 0);
	send_seg(FIN, 100, 0, NULL, 0);
	expect_nothing();
}

/* ---- attacks: RFC 5961 ---- */

static void test_blind_attacks(void **state)
{
	(void)state;
	accept_one(false);
	/* a RST within the window, but not exact: a challenge */
	send_seg(RST, mine + 100, 0, NULL, 0);
	expect(ACK, his, mine, 0);
	/* out of it: silence */
	send_seg(RST, mine - 100, 0, NULL, 0);
	expect_nothing();
	/* a SYN in the middle: a challenge */
	send_seg(SYN, mine + 10, 0, NULL, 0);
	expect(ACK, his, mine, 0);
	/* ACKs of what was not sent, or long ago */
	send_seg(ACK, mine, his + 1000, NULL, 0);
	expect(ACK, his, mine, 0);
	send_seg(ACK, mine, his - 200000, "evil", 4);
	expect(ACK, his, mine, 0);
	assert_int_equal(sock_state(sock), TCP_ESTABLISHED);
	assert_false(net_poll_events(sock) & POLLIN);
	/* challenges are counted: a flood gets no more than so many */
	for (unsigned int i = 0; i < 500; i++)
		send_seg(RST, mine + 100, 0, NULL, 0);
	unsigned int answers = 0;
	while (take())
		answers++;
	assert_in_range(answers, 50, 100);
	send_seg(RST, mine, 0, NULL, 0);
	assert_int_equal(sock_error(sock), -ECONNRESET);
}

static void test_paws(void **state)
{
	char buffer[8];

	(void)state;
	accept_one(true);
	clock_ms = 2000;
	send_seg(ACK, mine, his, "a", 1);
	mine++;
	assert_int_equal(sock_recv(sock, buffer, 8, 0), 1);
	while (take())
		;
	clock_ms = 1500; /* an old duplicate, with a sequence number that would do */
	send_seg(ACK, mine, his, "b", 1);
	expect(ACK, his, mine, 0);
	assert_int_equal(sock_recv(sock, buffer, 8, 0), -EAGAIN);
	clock_ms = 2000;
	send_seg(ACK, mine, his, "c", 1);
	assert_int_equal(sock_recv(sock, buffer, 8, 0), 1);
	assert_int_equal(buffer[0], 'c');
}

/* ---- receiving ---- */

static void test_out_of_order_sack(void **state)
{
	char buffer[16];

	(void)state;
	accept_one(true);
	send_seg(ACK, mine + 2, his, "cc", 2);
	expect(ACK, his, mine, 0);
	assert_int_equal(got.options.sack_count, 1);
	assert_int_equal(got.options.sacks[0].start, mine + 2);
	assert_int_equal(got.options.sacks[0].end, mine + 4);
	send_seg(ACK, mine + 6, his, "gg", 2);
	expect(ACK, his, mine, 0);
	assert_int_equal(got.options.sack_count, 2);
	/* the latest block comes first */
	assert_int_equal(got.options.sacks[0].start, mine + 6);
	assert_int_equal(got.options.sacks[1].start, mine + 2);
	/* overlaps: only what is new is taken */
	send_seg(ACK, mine + 1, his, "bccde", 5);
	expect(ACK, his, mine, 0);
	assert_int_equal(got.options.sack_count, 1);
	assert_int_equal(got.options.sacks[0].start, mine + 1);
	assert_int_equal(got.options.sacks[0].end, mine + 8);
	send_seg(ACK, mine, his, "a", 1);
	expect(ACK, his, mine + 8, 0);
	assert_int_equal(got.options.sack_count, 0);
	assert_int_equal(sock_recv(sock, buffer, 16, 0), 8);
	assert_memory_equal(buffer, "abccdegg", 8);
	/* old data is acknowledged again and not delivered */
	send_seg(ACK, mine, his, "abcc", 4);
	expect(ACK, his, mine + 8, 0);
	assert_int_equal(sock_recv(sock, buffer, 16, 0), -EAGAIN);
}

static void test_fin_out_of_order(void **state)
{
	char buffer[16];

	(void)state;
	accept_one(false);
	send_seg(ACK | FIN, mine + 3, his, "def", 3);
	expect(ACK, his, mine, 0);
	assert_int_equal(sock_state(sock), TCP_ESTABLISHED);
	send_seg(ACK, mine, his, "abc", 3);
	expect(ACK, his, mine + 7, 0);
	assert_int_equal(sock_state(sock), TCP_CLOSE_WAIT);
	assert_int_equal(sock_recv(sock, buffer, 16, 0), 6);
	assert_int_equal(sock_recv(sock, buffer, 16, 0), 0);
}

static void test_window_respected(void **state)
{
	static char data[100000];
	uint32_t sent = 0;

	(void)state;
	my_window = 5000;
	accept_one(false);
	assert_true(sock_send(sock, data, sizeof(data), 0) > 50000);
	while (take())
		sent += (uint32_t)got.bytes;
	assert_in_range(sent, 4000, 5000);
	/* acknowledged, but shut: no more than probes */
	my_window = 0;
	send_seg(ACK, mine, his + sent, NULL, 0);
	expect_nothing();
	run(400 * MS);
	assert_true(take());
	assert_int_equal(got.bytes, 0);
	assert_int_equal(got.seq, his + sent - 1);
	/* open again */
	my_window = 3000;
	send_seg(ACK, mine, his + sent, NULL, 0);
	assert_true(take());
	assert_int_equal(got.seq, his + sent);
	assert_true(got.bytes > 0);
}

/* ---- loss ---- */

static void test_fast_retransmit(void **state)
{
	static char data[20000];
	uint8_t options[12] = {1, 1, 5, 10};
	uint32_t first;

	(void)state;
	accept_one(true);
	with_ts = false;
	assert_int_equal(sock_send(sock, data, sizeof(data), 0), sizeof(data));
	first = his;
	while (take())
		;
	/* the second to fourth segments arrive, the first does not */
	for (unsigned int i = 1; i <= 3; i++) {
		store_be32(options + 4, first + 1448);
		store_be32(options + 8, first + 1448 * (i + 1));
		send_options(ACK, mine, first, options, 12, NULL, 0);
	}
	/* two segments of new data (RFC 3042), then what is missing */
	expect(ACK, first + 1448 * 10, mine, 1448);
	expect(ACK, first + 1448 * 11, mine, 1448);
	expect(ACK, first, mine, 1448);
	expect_nothing();
	/* everything up to the fourth */
	send_seg(ACK, mine, first + 1448 * 4, NULL, 0);
	while (take())
		assert_true((int32_t)(got.seq - (first + 1448 * 4)) >= 0);
}

static void test_rto_backoff(void **state)
{
	unsigned int count = 0;
	uint64_t start, last = 0, gaps[4];

	(void)state;
	accept_one(false); /* without SACK: no tail loss probe */
	assert_int_equal(sock_send(sock, "x", 1, 0), 1);
	expect(ACK, his, mine, 1);
	start = world.now_ns;
	while (count < 4 && world.now_ns - start < 60 * SEC) {
		run(5 * MS);
		if (take()) {
			assert_int_equal(got.seq, his);
			gaps[count++] = world.now_ns - (last != 0 ? last : start);
			last = world.now_ns;
		}
	}
	assert_int_equal(count, 4);
	assert_in_range(gaps[0], 195 * MS, 320 * MS);
	for (unsigned int i = 1; i < 4; i++)
		assert_in_range(gaps[i], gaps[i - 1] * 19 / 10, gaps[i - 1] * 21 / 10);
}

/* ---- TIME_WAIT ---- */

static void test_time_wait(void **state)
{
	(void)state;
	accept_one(true);
	assert_int_equal(net_shutdown(sock, SHUT_WR), 0);
	expect(FIN | ACK, his, mine, 0);
	his++;
	send_seg(FIN | ACK, mine, his, NULL, 0);
	mine++;
	expect(ACK, his, mine, 0);
	assert_int_equal(sock_state(sock), TCP_TIME_WAIT);
	/* the FIN again: the ACK again */
	send_seg(FIN | ACK, mine - 1, his, NULL, 0);
	expect(ACK, his, mine, 0);
	/* RFC 1337: a RST does not end it */
	send_seg(RST, mine, his, NULL, 0);
	assert_int_equal(sock_state(sock), TCP_TIME_WAIT);
	net_close(sock);
	sock = NULL;
	/* RFC 6191: a new SYN with a later timestamp begins a new connection */
	{
		uint8_t options[sizeof(syn_options)];

		memcpy(options, syn_options, sizeof(options));
		store_be32(options + 8, clock_ms + 500);
		with_ts = false;
		send_options(SYN, mine - 5000, 0, options, sizeof(options), NULL, 0);
		assert_true(take());
		assert_int_equal(got.flags, SYN | ACK);
	}
}

/* ---- malformed packets ---- */

/* Options that would hang or mislead a careless parser. */
static void test_bad_options(void **state)
{
	static const uint8_t bad[][12] = {
		{2, 0, 0, 0},             /* length zero: must not hang */
		{2, 1, 0, 0},             /* length one */
		{8, 255, 0, 0},           /* longer than the header */
		{1, 1, 1, 2},             /* cut off after the kind */
		{3, 3, 200, 0},           /* a window scale of 200 */
		{5, 7, 1, 2, 3, 4, 5, 0}, /* a SACK of 5 bytes */
		{8, 4, 0, 0},             /* a timestamp of two bytes */
		{254, 2, 254, 0},         /* unknown, then length zero */
		{2, 4, 0, 0},             /* an MSS of zero */
		{2, 4, 0, 1},             /* an MSS of one */
	};

	(void)state;
	listener = sock_listener(host, 80, 100);
	his_port = htons(80);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		my_port++;
		send_options(SYN, 100, 0, bad[i], 12, NULL, 0);
		assert_true(take());
		assert_int_equal(got.flags, SYN | ACK);
		send_options(ACK, 101, got.seq + 1, bad[i], 12, "hello", 5);
		sock = sock_accept(listener);
		assert_non_null(sock);
		assert_true(sock_send(sock, "0123456789", 10, 0) > 0);
		while (take())
			assert_true(got.bytes <= 1460);
		net_close(sock);
		sock = NULL;
		while (take())
			;
	}
	my_port = 5555;
}

static void test_malformed(void **state)
{
	uint8_t frame[1700];
	struct net_stats stats;

	(void)state;
	accept_one(true);
	for (unsigned int round = 0; round < 20000; round++) {
		size_t bytes = 14 + world_random() % 200;
		uint8_t protocols[] = {1, 6, 17, 58, 0, 44};

		for (size_t i = 0; i < bytes; i++)
			frame[i] = (uint8_t)world_random();
		memcpy(frame, host->mac, 6);
		switch (world_random() % 4) {
		case 0: /* noise with a good IP header */
			if (bytes < 34)
				bytes = 34;
			put_ip(frame, bytes - 34, protocols[world_random() % 6]);
			break;
		case 1: /* IPv6 */
			frame[12] = 0x86;
			frame[13] = 0xdd;
			frame[14] = 0x60;
			frame[20] = protocols[world_random() % 6];
			break;
		case 2: /* ARP */
			frame[12] = 8;
			frame[13] = 6;
			break;
		default: /* anything */
			frame[12] = 8;
			frame[13] = 0;
			break;
		}
		send_raw(frame, bytes);
		while (world.captured != NULL)
			free(world_take());
	}
	/* tiny and empty frames */
	for (size_t bytes = 1; bytes < 60; bytes++)
		send_raw(frame, bytes);
	while (world.captured != NULL)
		free(world_take());
	net_stats_get(host->net, &stats);
	assert_true(stats.rx_malformed > 1000);
	assert_int_equal(sock_state(sock), TCP_ESTABLISHED);
	send_seg(ACK, mine, his, "still here", 10);
	assert_true(net_poll_events(sock) & POLLIN);
}

/* Every bit of a good segment flipped: the checksum catches it, or it is harmless. */
static void test_bit_flips(void **state)
{
	(void)state;
	accept_one(true);
	for (size_t bit = 0; bit < 8 * (34 + 20 + 12 + 4); bit++) {
		uint8_t frame[70] = {0};
		struct wire_tcp *tcp = (void *)(frame + 34);
		union ip_addr src = ip_addr_v4(world.hosts[1].ip.s_addr);
		union ip_addr dst = ip_addr_v4(host->ip.s_addr);

		put_ip(frame, 36, 6);
		*tcp = (struct wire_tcp){.sport = htons(my_port),
					 .dport = his_port,
					 .seq = htonl(mine),
					 .ack = htonl(his),
					 .flags = ACK,
					 .window = htons(5000),
					 .offset = 32 / 4 << 4};
		memcpy(frame + 54, (uint8_t[]){1, 1, 8, 10, 0, 0, 7, 208}, 8);
		tcp->checksum = csum_finish(csum_pseudo(&src, &dst, 6, 36) + csum_add(0, tcp, 36));
		frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
		send_raw(frame, sizeof(frame));
		while (take())
			;
	}
	assert_int_equal(sock_state(sock), TCP_ESTABLISHED);
}

/* ---- fragments ---- */

static void send_fragment(uint16_t id, unsigned int offset, bool more, const uint8_t *data,
			  size_t bytes)
{
	uint8_t frame[1700];
	struct wire_ip4 *ip = (void *)(frame + 14);

	put_ip(frame, bytes, 17);
	ip->id = htons(id);
	ip->frag = htons((uint16_t)(offset / 8 | (more ? 0x2000 : 0)));
	ip->checksum = 0;
	ip->checksum = csum_finish(csum_add(0, ip, 20));
	memcpy(frame + 34, data, bytes);
	send_raw(frame, 34 + bytes);
}

static void test_fragments(void **state)
{
	static uint8_t packet[4000], buffer[4000];
	struct net_stats stats;

	(void)state;
	sock = sock_new(host, AF_INET, SOCK_DGRAM);
	assert_int_equal(sock_bind(sock, "0.0.0.0", 53), 0);
	store_be16(packet, 1);
	store_be16(packet + 2, 53);
	store_be16(packet + 4, sizeof(packet));
	for (size_t i = 8; i < sizeof(packet); i++)
		packet[i] = (uint8_t)i;
	/* backwards */
	send_fragment(1, 2400, false, packet + 2400, 1600);
	send_fragment(1, 1200, true, packet + 1200, 1200);
	send_fragment(1, 0, true, packet, 1200);
	assert_int_equal(sock_recv(sock, buffer, sizeof(buffer), 0), sizeof(packet) - 8);
	assert_memory_equal(buffer, packet + 8, sizeof(packet) - 8);
	/* an overlap ends it */
	send_fragment(2, 0, true, packet, 1200);
	send_fragment(2, 1192, true, packet + 1192, 1208);
	send_fragment(2, 2400, false, packet + 2400, 1600);
	assert_int_equal(sock_recv(sock, buffer, sizeof(buffer), 0), -EAGAIN);
	/* one that never completes is forgotten, and a flood of them is bounded */
	for (uint16_t id = 10; id < 1000; id++)
		send_fragment(id, 8, true, packet, 1200);
	net_stats_get(host->net, &stats);
	assert_true(stats.buf_total - stats.buf_free < 600);
	run(31 * SEC);
	send_fragment(5000, 65528, false, packet, 100); /* beyond the largest packet */
	send_fragment(5001, 0, true, packet, 1201);     /* not a multiple of eight */
	send_fragment(5002, 0, true, packet, 0);
	/* and the next good one arrives */
	send_fragment(3, 0, true, packet, 1200);
	send_fragment(3, 1200, true, packet + 1200, 1200);
	send_fragment(3, 2400, false, packet + 2400, 1600);
	assert_int_equal(sock_recv(sock, buffer, sizeof(buffer), 0), sizeof(packet) - 8);
}

/* ---- SYN flood ---- */

static void test_syn_flood(void **state)
{
	struct net_stats stats;

	(void)state;
	listener = sock_listener(host, 80, 5);
	his_port = htons(80);
	for (unsigned int i = 0; i < 20000; i++) {
		my_port = (uint16_t)(1024 + i % 60000);
		send_seg(SYN, 100, 0, NULL, 0);
		while (world.captured != NULL)
			free(world_take());
	}
	net_stats_get(host->net, &stats);
	assert_true(stats.sockets < 1200);
	/* one that answers gets through all the same */
	my_port = 63000;
	send_seg(SYN, 100, 0, NULL, 0);
	assert_true(take());
	send_seg(ACK, 101, got.seq + 1, NULL, 0);
	sock = sock_accept(listener);
	assert_non_null(sock);
	my_port = 5555;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCRIPT(test_syn_ack_options),   SCRIPT(test_simultaneous_open),
		SCRIPT(test_syn_sent),          SCRIPT(test_closed_port),
		SCRIPT(test_blind_attacks),     SCRIPT(test_paws),
		SCRIPT(test_out_of_order_sack), SCRIPT(test_fin_out_of_order),
		SCRIPT(test_window_respected),  SCRIPT(test_fast_retransmit),
		SCRIPT(test_rto_backoff),       SCRIPT(test_time_wait),
		SCRIPT(test_bad_options),       SCRIPT(test_malformed),
		SCRIPT(test_bit_flips),         SCRIPT(test_fragments),
		SCRIPT(test_syn_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
