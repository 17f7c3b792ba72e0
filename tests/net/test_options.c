/*
 * Options of a TCP socket that change what goes over the wire or when a call returns.
 */
#include "tests/net/script.h"

static void set(struct net_sock *s, int name, int value)
{
	assert_int_equal(net_setsockopt(s, IPPROTO_TCP, name, &value, sizeof(value)), 0);
}

static int get(struct net_sock *s, int name)
{
	int value = -1;
	socklen_t bytes = sizeof(value);

	assert_int_equal(net_getsockopt(s, IPPROTO_TCP, name, &value, &bytes), 0);
	return value;
}

static unsigned int drain(void)
{
	unsigned int count = 0;

	while (take())
		count++;
	return count;
}

/* ---- TCP_DEFER_ACCEPT ---- */

static void defer_handshake(int seconds)
{
	listener = sock_listener(host, 80, 5);
	set(listener, TCP_DEFER_ACCEPT, seconds);
	his_port = htons(80);
	mine = 1000;
	send_seg(SYN, mine++, 0, NULL, 0);
	assert_true(take());
	his = got.seq + 1;
	send_seg(ACK, mine, his, NULL, 0);
	assert_null(sock_accept(listener));
	assert_false(net_poll_events(listener) & POLLIN);
}

static void test_defer_data(void **state)
{
	char buffer[8];

	(void)state;
	defer_handshake(30);
	run(2500 * MS);
	/* the peer has answered: it is not asked again */
	expect_nothing();
	assert_null(sock_accept(listener));
	send_seg(ACK, mine, his, "hello", 5);
	assert_true(net_poll_events(listener) & POLLIN);
	sock = sock_accept(listener);
	assert_non_null(sock);
	assert_int_equal(sock_recv(sock, buffer, 8, 0), 5);
}

static void test_defer_over(void **state)
{
	(void)state;
	defer_handshake(3);
	assert_int_equal(get(listener, TCP_DEFER_ACCEPT), 3);
	run(2500 * MS);
	expect_nothing();
	/* three seconds are two periods: then the SYN-ACK comes again, and its ACK is enough */
	run(1000 * MS);
	expect(SYN | ACK, his - 1, mine, 0);
	send_seg(ACK, mine, his, NULL, 0);
	sock = sock_accept(listener);
	assert_non_null(sock);
}

/* Linux counts in periods that double. */
static void test_defer_rounding(void **state)
{
	static const int cases[][2] = {{0, 0},  {1, 1},   {2, 3},   {3, 3},    {4, 7},
				       {8, 15}, {30, 31}, {60, 63}, {100, 127}};

	(void)state;
	sock = sock_new(host, AF_INET, SOCK_STREAM);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		set(sock, TCP_DEFER_ACCEPT, cases[i][0]);
		assert_int_equal(get(sock, TCP_DEFER_ACCEPT), cases[i][1]);
	}
}

/* ---- TCP_NOTSENT_LOWAT ---- */

static void test_notsent_lowat(void **state)
{
	static char data[100000];
	uint32_t sent = 0;
	ssize_t n;

	(void)state;
	my_window = 5000;
	accept_one(false);
	set(sock, TCP_NOTSENT_LOWAT, 8000);
	assert_int_equal(get(sock, TCP_NOTSENT_LOWAT), 8000);
	n = sock_send(sock, data, sizeof(data), 0);
	/* what was not sent when it was queued: the mark, and no more */
	assert_int_equal(n, 8000);
	n += sock_send(sock, data, sizeof(data), 0);
	while (take())
		sent += (uint32_t)got.bytes;
	assert_int_equal(n, 8000 + sent);
	assert_false(net_poll_events(sock) & POLLOUT);
	assert_int_equal(sock_send(sock, data, 1, 0), -EAGAIN);
	/* half of it is worth a wake-up */
	world.events = 0;
	send_seg(ACK, mine, his + sent, NULL, 0);
	while (take())
		sent += (uint32_t)got.bytes;
	assert_true(world.events & POLLOUT);
	assert_true(net_poll_events(sock) & POLLOUT);
}

/* ---- TCP_USER_TIMEOUT, TCP_SYNCNT ---- */

static uint64_t time_to_death(uint64_t most_ns)
{
	uint64_t start = world.now_ns;

	while (!(net_poll_events(sock) & POLLERR) && world.now_ns - start < most_ns) {
		run(10 * MS);
		drain();
	}
	return world.now_ns - start;
}

static void test_user_timeout_data(void **state)
{
	(void)state;
	accept_one(false);
	set(sock, TCP_USER_TIMEOUT, 3000);
	assert_int_equal(sock_send(sock, "x", 1, 0), 1);
	assert_in_range(time_to_death(60 * SEC), 3000 * MS, 3100 * MS);
	assert_int_equal(sock_error(sock), -ETIMEDOUT);
}

/* Progress starts it anew; and it is no limit for a peer that answers probes of a window shut. */
static void test_user_timeout_progress(void **state)
{
	(void)state;
	accept_one(false);
	set(sock, TCP_USER_TIMEOUT, 3000);
	for (unsigned int i = 0; i < 5; i++) {
		assert_int_equal(sock_send(sock, "x", 1, 0), 1);
		run(2 * SEC);
		drain();
		send_seg(ACK, mine, ++his, NULL, 0);
		assert_int_equal(sock_state(sock), TCP_ESTABLISHED);
	}
	run(10 * SEC);
	assert_int_equal(sock_state(sock), TCP_ESTABLISHED);
}

static void test_user_timeout_zero_window(void **state)
{
	(void)state;
	accept_one(false);
	set(sock, TCP_USER_TIMEOUT, 4000);
	my_window = 0;
	send_seg(ACK, mine, his, NULL, 0);
	assert_int_equal(sock_send(sock, "x", 1, 0), 1);
	/* tcp(7): also data that cannot be sent since the window is shut */
	assert_in_range(time_to_death(60 * SEC), 4000 * MS, 4200 * MS);
	assert_int_equal(sock_error(sock), -ETIMEDOUT);
}

static void test_user_timeout_keepalive(void **state)
{
	int on = 1;

	(void)state;
	accept_one(false);
	set(sock, TCP_KEEPIDLE, 2);
	set(sock, TCP_KEEPINTVL, 1);
	set(sock, TCP_KEEPCNT, 100);
	set(sock, TCP_USER_TIMEOUT, 5000);
	assert_int_equal(net_setsockopt(sock, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)), 0);
	assert_in_range(time_to_death(200 * SEC), 4900 * MS, 6200 * MS);
	assert_int_equal(sock_error(sock), -ETIMEDOUT);
}

static void test_user_timeout_connect(void **state)
{
	(void)state;
	sock = sock_new(host, AF_INET, SOCK_STREAM);
	set(sock, TCP_USER_TIMEOUT, 2500);
	assert_int_equal(sock_connect(sock, "10.0.0.2", my_port), -EINPROGRESS);
	assert_in_range(time_to_death(200 * SEC), 2500 * MS, 2600 * MS);
	assert_int_equal(sock_error(sock), -ETIMEDOUT);
}

static void test_syncnt(void **state)
{
	unsigned int syns = 0;

	(void)state;
	sock = sock_new(host, AF_INET, SOCK_STREAM);
	set(sock, TCP_SYNCNT, 2);
	assert_int_equal(get(sock, TCP_SYNCNT), 2);
	assert_int_equal(sock_connect(sock, "10.0.0.2", my_port), -EINPROGRESS);
	while (!(net_poll_events(sock) & POLLERR) && syns < 20) {
		syns += drain();
		run(100 * MS);
	}
	assert_int_equal(syns, 3);
	assert_int_equal(sock_error(sock), -ETIMEDOUT);
}

/* ---- TCP_LINGER2 ---- */

static void close_to_fin_wait2(int linger2)
{
	accept_one(false);
	if (linger2 != 0)
		set(sock, TCP_LINGER2, linger2);
	net_close(sock);
	sock = NULL;
	expect(FIN | ACK, his, mine, 0);
	his++;
	send_seg(ACK, mine, his, NULL, 0);
	expect_nothing();
}

/* After its time the connection is unknown: a segment of it is answered by a reset. */
static bool still_known(void)
{
	send_seg(ACK, mine - 1, his, NULL, 0);
	assert_true(take());
	return !(got.flags & RST);
}

static void test_linger2(void **state)
{
	(void)state;
	close_to_fin_wait2(5);
	run(4 * SEC);
	assert_true(still_known());
	run(2 * SEC);
	assert_false(still_known());
}

static void test_linger2_none(void **state)
{
	(void)state;
	close_to_fin_wait2(-1);
	assert_false(still_known());
}

static void test_linger2_values(void **state)
{
	(void)state;
	sock = sock_new(host, AF_INET, SOCK_STREAM);
	assert_int_equal(get(sock, TCP_LINGER2), 60);
	set(sock, TCP_LINGER2, 7);
	assert_int_equal(get(sock, TCP_LINGER2), 7);
	set(sock, TCP_LINGER2, 100000);
	assert_int_equal(get(sock, TCP_LINGER2), 120);
	set(sock, TCP_LINGER2, -5);
	assert_int_equal(get(sock, TCP_LINGER2), -1);
}

/* ---- half close and shutdown, state by state ---- */

static void test_shutdown_states(void **state)
{
	char buffer[8];

	(void)state;
	accept_one(false);
	/* ESTABLISHED -> FIN_WAIT1 -> FIN_WAIT2: receiving goes on */
	assert_int_equal(net_shutdown(sock, SHUT_WR), 0);
	expect(FIN | ACK, his, mine, 0);
	assert_int_equal(sock_state(sock), TCP_FIN_WAIT1);
	assert_int_equal(sock_send(sock, "x", 1, 0), -EPIPE);
	assert_int_equal(net_shutdown(sock, SHUT_WR), 0); /* again: nothing new */
	send_seg(ACK, mine, his + 1, "half", 4);
	mine += 4;
	his++;
	assert_int_equal(sock_state(sock), TCP_FIN_WAIT2);
	assert_int_equal(sock_recv(sock, buffer, 8, 0), 4);
	assert_int_equal(net_shutdown(sock, SHUT_WR), 0);
	drain();
	send_seg(FIN | ACK, mine, his, NULL, 0);
	expect(ACK, his, mine + 1, 0);
	assert_int_equal(sock_state(sock), TCP_TIME_WAIT);
	assert_int_equal(sock_recv(sock, buffer, 8, 0), 0);
	assert_int_equal(net_shutdown(sock, SHUT_RDWR), -ENOTCONN);
	net_close(sock);
	net_close(listener);
	my_port++;
	/* CLOSE_WAIT -> LAST_ACK -> CLOSE: sending goes on after the peer's FIN */
	accept_one(false);
	send_seg(FIN | ACK, mine, his, NULL, 0);
	mine++;
	expect(ACK, his, mine, 0);
	assert_int_equal(sock_state(sock), TCP_CLOSE_WAIT);
	assert_int_equal(sock_send(sock, "late", 4, 0), 4);
	expect(ACK, his, mine, 4);
	his += 4;
	send_seg(ACK, mine, his, NULL, 0);
	assert_int_equal(net_shutdown(sock, SHUT_RDWR), 0);
	expect(FIN | ACK, his, mine, 0);
	assert_int_equal(sock_state(sock), TCP_LAST_ACK);
	send_seg(ACK, mine, his + 1, NULL, 0);
	assert_int_equal(sock_state(sock), TCP_CLOSE);
	net_close(sock);
	net_close(listener);
	my_port++;
	/* both at once: FIN_WAIT1 -> CLOSING -> TIME_WAIT */
	accept_one(false);
	assert_int_equal(net_shutdown(sock, SHUT_RDWR), 0);
	expect(FIN | ACK, his, mine, 0);
	send_seg(FIN | ACK, mine, his, NULL, 0);
	expect(ACK, his + 1, mine + 1, 0);
	assert_int_equal(sock_state(sock), TCP_CLOSING);
	send_seg(ACK, mine + 1, his + 1, NULL, 0);
	assert_int_equal(sock_state(sock), TCP_TIME_WAIT);
	my_port = 5555;
}

/* A FIN waits for what is in the queue, also behind a window that is shut. */
static void test_fin_behind_data(void **state)
{
	(void)state;
	my_window = 3;
	accept_one(false);
	assert_int_equal(sock_send(sock, "abcdef", 6, 0), 6);
	assert_int_equal(net_shutdown(sock, SHUT_WR), 0);
	run(2 * SEC);
	while (take())
		assert_false(got.flags & FIN);
	my_window = 100;
	send_seg(ACK, mine, his + 3, NULL, 0);
	assert_true(take());
	assert_int_equal(got.seq + got.bytes, his + 6);
	assert_true(got.flags & FIN);
}

/* ---- urgent data ---- */

static void send_urgent(uint32_t seq, uint16_t urgent, const char *data, size_t bytes)
{
	my_urgent = urgent;
	send_seg(ACK | TCP_FLAG_URG, seq, his, data, bytes);
	my_urgent = 0;
}

static bool at_mark(void)
{
	int value = -1;

	assert_int_equal(net_ioctl(sock, 0x8905 /* SIOCATMARK */, (unsigned long)&value), 0);
	return value != 0;
}

static void test_urgent(void **state)
{
	char buffer[16];
	int on = 1;

	(void)state;
	accept_one(false);
	send_urgent(mine, 3, "abcde", 5);
	mine += 5;
	assert_true(net_poll_events(sock) & POLLPRI);
	assert_false(at_mark());
	/* a read ends in front of it, and leaves it out */
	assert_int_equal(sock_recv(sock, buffer, 16, 0), 2);
	assert_true(at_mark());
	assert_int_equal(sock_recv(sock, buffer, 16, MSG_OOB), 1);
	assert_int_equal(buffer[0], 'c');
	assert_int_equal(sock_recv(sock, buffer, 16, MSG_OOB), -EINVAL);
	assert_int_equal(sock_recv(sock, buffer, 16, 0), 2);
	assert_memory_equal(buffer, "de", 2);
	/* in line it is a byte like others, but the read still ends there */
	assert_int_equal(net_setsockopt(sock, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)), 0);
	send_urgent(mine, 2, "vwxyz", 5);
	assert_int_equal(sock_recv(sock, buffer, 16, 0), 1);
	assert_true(at_mark());
	assert_int_equal(sock_recv(sock, buffer, 16, MSG_OOB), -EINVAL);
	assert_int_equal(sock_recv(sock, buffer, 16, 0), 4);
	assert_memory_equal(buffer, "wxyz", 4);
	assert_false(at_mark());
	/* and sent: the pointer is one past the byte */
	drain();
	assert_int_equal(sock_send(sock, "ab", 2, MSG_OOB), 2);
	assert_true(take());
	assert_true(got.flags & TCP_FLAG_URG);
	assert_int_equal(ntohs(got.tcp.urgent), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCRIPT(test_defer_data),
		SCRIPT(test_defer_over),
		SCRIPT(test_defer_rounding),
		SCRIPT(test_notsent_lowat),
		SCRIPT(test_user_timeout_data),
		SCRIPT(test_user_timeout_progress),
		SCRIPT(test_user_timeout_zero_window),
		SCRIPT(test_user_timeout_keepalive),
		SCRIPT(test_user_timeout_connect),
		SCRIPT(test_syncnt),
		SCRIPT(test_linger2),
		SCRIPT(test_linger2_none),
		SCRIPT(test_linger2_values),
		SCRIPT(test_shutdown_states),
		SCRIPT(test_fin_behind_data),
		SCRIPT(test_urgent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
