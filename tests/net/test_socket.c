/*
 * Socket semantics: errno by errno as Linux has them, over loopback and the link.
 */
#include "tests/net/harness.h"

#include <net/if.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

static int setup(void **state)
{
	(void)state;
	world_init(7, FEATURES_ALL, true, 1500);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_finish();
	return 0;
}

static struct host *const a = &world.hosts[0];
static struct host *const b = &world.hosts[1];

static void expect_recv(struct net_sock *sock, const char *what)
{
	char buffer[256];

	assert_int_equal(sock_recv(sock, buffer, sizeof(buffer), 0), strlen(what));
	assert_memory_equal(buffer, what, strlen(what));
}

static void run(uint64_t ns)
{
	world_run(ns, NULL, NULL);
}

/* ---- loopback is immediate ---- */

static void test_loopback(void **state)
{
	struct net_sock *listener, *client, *server;
	char buffer[8];

	(void)state;
	listener = sock_listener(a, 80, 5);
	client = sock_new(a, AF_INET, SOCK_STREAM);
	assert_int_equal(net_poll_events(client), POLLOUT | POLLWRNORM | POLLHUP);
	assert_int_equal(sock_connect(client, "127.0.0.1", 80), 0);
	assert_int_equal(sock_connect(client, "127.0.0.1", 80), -EISCONN);
	assert_true(net_poll_events(listener) & POLLIN);
	server = sock_accept(listener);
	assert_non_null(server);
	assert_null(sock_accept(listener));
	assert_int_equal(sock_recv(server, buffer, 8, 0), -EAGAIN);
	assert_int_equal(sock_send(client, "abc", 3, 0), 3);
	assert_true(net_poll_events(server) & POLLIN);
	assert_int_equal(sock_recv(server, buffer, 2, MSG_PEEK), 2);
	assert_int_equal(sock_recv(server, buffer, 2, 0), 2);
	expect_recv(server, "c");
	assert_int_equal(sock_send(server, "xyz", 3, 0), 3);
	expect_recv(client, "xyz");
	net_close(client);
	assert_true(net_poll_events(server) & POLLRDHUP);
	assert_int_equal(sock_recv(server, buffer, 8, 0), 0);
	assert_int_equal(sock_state(server), TCP_CLOSE_WAIT);
	net_close(server);
	net_close(listener);
	assert_int_equal(a->frames_out, 0);
}

static void test_refused_loopback(void **state)
{
	struct net_sock *client = sock_new(a, AF_INET, SOCK_STREAM);

	(void)state;
	assert_int_equal(sock_connect(client, "127.0.0.1", 81), -ECONNREFUSED);
	/* and again: the socket is usable */
	assert_int_equal(sock_connect(client, "127.0.0.1", 81), -ECONNREFUSED);
	net_close(client);
}

static void test_refused_remote(void **state)
{
	struct net_sock *client = sock_new(a, AF_INET, SOCK_STREAM);

	(void)state;
	assert_int_equal(sock_connect(client, "10.0.0.2", 81), -EINPROGRESS);
	assert_int_equal(sock_connect(client, "10.0.0.2", 81), -EALREADY);
	assert_int_equal(net_poll_events(client), 0);
	run(1 * MS);
	assert_true(net_poll_events(client) & POLLERR);
	assert_true(net_poll_events(client) & POLLHUP);
	assert_int_equal(sock_connect(client, "10.0.0.2", 81), -ECONNREFUSED);
	assert_int_equal(sock_error(client), 0);
	net_close(client);
}

static void test_unreachable(void **state)
{
	struct net_sock *client = sock_new(a, AF_INET, SOCK_STREAM);

	(void)state;
	/* nobody answers ARP */
	assert_int_equal(sock_connect(client, "10.0.0.77", 81), -EINPROGRESS);
	run(4 * SEC);
	assert_true(net_poll_events(client) & POLLERR);
	assert_int_equal(sock_error(client), -EHOSTUNREACH);
	net_close(client);
	client = sock_new(a, AF_INET, SOCK_DGRAM);
	assert_int_equal(sock_connect(client, "10.0.0.77", 53), 0);
	assert_int_equal(sock_send(client, "x", 1, 0), 1);
	run(4 * SEC);
	assert_int_equal(sock_error(client), -EHOSTUNREACH);
	net_close(client);
	/* beyond the link there is the gateway, which is not there either */
	client = sock_new(a, AF_INET, SOCK_STREAM);
	assert_int_equal(sock_connect(client, "192.0.2.1", 81), -EINPROGRESS);
	run(4 * SEC);
	assert_int_equal(sock_error(client), -EHOSTUNREACH);
	net_close(client);
}

/* ---- bind and listen ---- */

static void test_bind(void **state)
{
	struct net_sock *one = sock_new(a, AF_INET, SOCK_STREAM);
	struct net_sock *two = sock_new(a, AF_INET, SOCK_STREAM);
	struct sockaddr_storage name;
	socklen_t bytes;
	int on = 1;

	(void)state;
	assert_int_equal(sock_bind(one, "10.0.0.9", 90), -EADDRNOTAVAIL);
	assert_int_equal(sock_bind(one, "127.0.0.1", 90), 0);
	assert_int_equal(sock_bind(one, "127.0.0.1", 91), -EINVAL);
	assert_int_equal(sock_bind(two, "127.0.0.1", 90), -EADDRINUSE);
	assert_int_equal(sock_bind(two, "0.0.0.0", 90), -EADDRINUSE);
	assert_int_equal(sock_bind(two, "10.0.0.1", 90), 0);
	net_close(two);
	two = sock_new(a, AF_INET, SOCK_STREAM);
	assert_int_equal(net_setsockopt(two, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	assert_int_equal(sock_bind(two, "127.0.0.1", 90), -EADDRINUSE);
	net_close(two);
	two = sock_new(a, AF_INET, SOCK_STREAM);
	assert_int_equal(sock_bind(two, "0.0.0.0", 0), 0);
	assert_int_equal(net_getsockname(two, &name, &bytes), 0);
	assert_int_equal(bytes, sizeof(struct sockaddr_in));
	assert_in_range(ntohs(((struct sockaddr_in *)&name)->sin_port), 32768, 60999);
	assert_int_equal(net_getpeername(two, &name, &bytes), -ENOTCONN);
	net_close(one);
	net_close(two);
	/* SO_REUSEADDR lets two bind, but not two listen */
	one = sock_new(a, AF_INET, SOCK_STREAM);
	two = sock_new(a, AF_INET, SOCK_STREAM);
	net_setsockopt(one, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	net_setsockopt(two, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(sock_bind(one, "0.0.0.0", 90), 0);
	assert_int_equal(sock_bind(two, "0.0.0.0", 90), 0);
	assert_int_equal(net_listen(one, 1), 0);
	assert_int_equal(net_listen(two, 1), -EADDRINUSE);
	net_close(one);
	assert_int_equal(net_listen(two, 1), 0);
	net_close(two);
}

static void test_reuseport(void **state)
{
	struct net_sock *listeners[4], *clients[64];
	unsigned int accepted[4] = {0};
	int on = 1;

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		listeners[i] = sock_new(a, AF_INET, SOCK_STREAM);
		net_setsockopt(listeners[i], SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
		assert_int_equal(sock_bind(listeners[i], "0.0.0.0", 90), 0);
		assert_int_equal(net_listen(listeners[i], 64), 0);
	}
	for (unsigned int i = 0; i < 64; i++) {
		clients[i] = sock_new(a, AF_INET, SOCK_STREAM);
		assert_int_equal(sock_connect(clients[i], "127.0.0.1", 90), 0);
	}
	for (unsigned int i = 0; i < 4; i++) {
		struct net_sock *sock;

		while ((sock = sock_accept(listeners[i])) != NULL) {
			accepted[i]++;
			net_close(sock);
		}
		assert_in_range(accepted[i], 4, 40);
		net_close(listeners[i]);
	}
	for (unsigned int i = 0; i < 64; i++)
		net_close(clients[i]);
}

static void test_backlog(void **state)
{
	struct net_sock *listener = sock_listener(b, 80, 2);
	struct net_sock *clients[6], *server;
	unsigned int established = 0;

	(void)state;
	for (unsigned int i = 0; i < 6; i++) {
		clients[i] = sock_new(a, AF_INET, SOCK_STREAM);
		assert_int_equal(sock_connect(clients[i], "10.0.0.2", 80), -EINPROGRESS);
		run(1 * MS);
	}
	for (unsigned int i = 0; i < 6; i++)
		established += sock_state(clients[i]) == TCP_ESTABLISHED;
	assert_int_equal(established, 3); /* Linux: backlog + 1 */
	/* room is made: the others get in with the next retransmission */
	for (unsigned int i = 0; i < 3; i++) {
		server = sock_accept(listener);
		assert_non_null(server);
		net_close(server);
	}
	run(20 * SEC);
	server = sock_accept(listener);
	assert_non_null(server);
	net_close(server);
	net_close(listener);
	for (unsigned int i = 0; i < 6; i++)
		net_close(clients[i]);
	run(300 * SEC);
}

/* ---- closing, in every order ---- */

static void test_close_active(void **state)
{
	struct net_sock *pair[2];

	(void)state;
	sock_pair(a, b, 80, pair);
	assert_int_equal(net_shutdown(pair[0], SHUT_WR), 0);
	run(1 * MS);
	assert_int_equal(sock_state(pair[0]), TCP_FIN_WAIT2);
	assert_int_equal(sock_state(pair[1]), TCP_CLOSE_WAIT);
	assert_int_equal(sock_send(pair[0], "x", 1, 0), -EPIPE);
	assert_int_equal(sock_send(pair[1], "late", 4, 0), 4);
	run(1 * MS);
	expect_recv(pair[0], "late");
	assert_int_equal(net_shutdown(pair[1], SHUT_WR), 0);
	run(1 * MS);
	assert_int_equal(sock_state(pair[0]), TCP_TIME_WAIT);
	assert_int_equal(sock_state(pair[1]), TCP_CLOSE);
	run(61 * SEC);
	assert_int_equal(sock_state(pair[0]), TCP_CLOSE);
	net_close(pair[0]);
	net_close(pair[1]);
}

static void test_close_both(void **state)
{
	struct net_sock *pair[2];

	(void)state;
	sock_pair(a, b, 80, pair);
	world.link.delay_ns = 10 * MS;
	/* both at once: the FINs cross */
	assert_int_equal(net_shutdown(pair[0], SHUT_WR), 0);
	assert_int_equal(net_shutdown(pair[1], SHUT_WR), 0);
	run(15 * MS);
	assert_int_equal(sock_state(pair[0]), TCP_CLOSING);
	assert_int_equal(sock_state(pair[1]), TCP_CLOSING);
	run(15 * MS);
	assert_int_equal(sock_state(pair[0]), TCP_TIME_WAIT);
	assert_int_equal(sock_state(pair[1]), TCP_TIME_WAIT);
	net_close(pair[0]);
	net_close(pair[1]);
	run(61 * SEC);
}

static void test_close_unread(void **state)
{
	struct net_sock *pair[2];
	char buffer[8];

	(void)state;
	sock_pair(a, b, 80, pair);
	sock_send(pair[0], "unread", 6, 0);
	run(1 * MS);
	net_close(pair[1]); /* RFC 2525: a reset */
	run(1 * MS);
	assert_true(net_poll_events(pair[0]) & (POLLERR | POLLHUP));
	assert_int_equal(sock_recv(pair[0], buffer, 8, 0), -ECONNRESET);
	assert_int_equal(sock_recv(pair[0], buffer, 8, 0), 0);
	assert_int_equal(sock_send(pair[0], "x", 1, 0), -EPIPE);
	net_close(pair[0]);
}

static void test_linger_zero(void **state)
{
	struct linger linger = {.l_onoff = 1};
	struct net_sock *pair[2];
	char buffer[8];

	(void)state;
	sock_pair(a, b, 80, pair);
	assert_int_equal(net_setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)),
			 0);
	net_close(pair[0]);
	run(1 * MS);
	assert_int_equal(sock_recv(pair[1], buffer, 8, 0), -ECONNRESET);
	net_close(pair[1]);
}

/* A receive buffer smaller than a segment of loopback: reading opens the window, no timer has to.
 */
static void test_small_buffer(void **state)
{
	static char data[200000];
	struct net_sock *listener, *from, *to;
	int small = 4096;
	size_t sent = 0, got = 0;
	ssize_t n;

	(void)state;
	listener = sock_listener(a, 80, 5);
	net_setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	from = sock_new(a, AF_INET, SOCK_STREAM);
	assert_int_equal(sock_connect(from, "127.0.0.1", 80), 0);
	to = sock_accept(listener);
	assert_non_null(to);
	while (got < sizeof(data)) {
		n = sock_send(from, data, sizeof(data) - sent, 0);
		sent += n > 0 ? (size_t)n : 0;
		n = sock_recv(to, data, sizeof(data), 0);
		assert_true(n > 0); /* without the clock having moved */
		got += (size_t)n;
	}
	net_close(from);
	net_close(to);
	net_close(listener);
}

static void test_close_sends_rest(void **state)
{
	static char data[300000];
	struct net_sock *pair[2];
	size_t got = 0;
	ssize_t n, sent;

	(void)state;
	sock_pair(a, b, 80, pair);
	world.link.loss_permille = 20;
	world.link.delay_ns = 1 * MS;
	sent = sock_send(pair[0], data, sizeof(data), 0);
	assert_true(sent > 100000);
	net_close(pair[0]); /* the owner is gone, the data is not */
	for (unsigned int i = 0; i < 600; i++) {
		run(100 * MS);
		while ((n = sock_recv(pair[1], data, sizeof(data), 0)) > 0)
			got += (size_t)n;
		if (n == 0)
			break;
	}
	assert_int_equal(got, sent);
	net_close(pair[1]);
	world.link.loss_permille = 0;
	run(200 * SEC);
}

static void test_data_after_close(void **state)
{
	struct net_sock *pair[2];

	(void)state;
	sock_pair(a, b, 80, pair);
	net_close(pair[1]);
	run(1 * MS);
	assert_int_equal(sock_send(pair[0], "x", 1, 0), 1);
	run(1 * MS);
	assert_int_equal(sock_send(pair[0], "x", 1, 0), -EPIPE);
	net_close(pair[0]);
}

/* ---- windows and timers ---- */

static void test_zero_window(void **state)
{
	static char data[65536];
	struct net_sock *pair[2];
	uint64_t sent = 0, got = 0;
	ssize_t n;

	(void)state;
	sock_pair(a, b, 80, pair);
	for (unsigned int i = 0; i < 100; i++) {
		while ((n = sock_send(pair[0], data, sizeof(data), 0)) > 0)
			sent += (uint64_t)n;
		run(100 * MS);
	}
	assert_int_equal(n, -EAGAIN);
	assert_false(net_poll_events(pair[0]) & POLLOUT);
	/* nothing moves for an hour; the connection stays */
	run(3600 * SEC);
	assert_int_equal(sock_state(pair[0]), TCP_ESTABLISHED);
	for (unsigned int i = 0; i < 10000 && got < sent; i++) {
		n = sock_recv(pair[1], data, sizeof(data), 0);
		if (n == -EAGAIN)
			run(10 * MS);
		else
			got += (uint64_t)n;
	}
	assert_int_equal(got, sent);
	assert_true(net_poll_events(pair[0]) & POLLOUT);
	net_close(pair[0]);
	net_close(pair[1]);
	run(61 * SEC);
}

static void test_retransmission_timeout(void **state)
{
	struct net_sock *pair[2];
	uint64_t frames;

	(void)state;
	sock_pair(a, b, 80, pair);
	world.link.loss_permille = 1000;
	frames = a->frames_out;
	sock_send(pair[0], "x", 1, 0);
	run(10 * SEC);
	/* TLP, then 200 ms, 400, ... : backoff shows */
	assert_in_range(a->frames_out - frames, 5, 12);
	run(3000 * SEC);
	assert_true(net_poll_events(pair[0]) & POLLERR);
	assert_int_equal(sock_error(pair[0]), -ETIMEDOUT);
	world.link.loss_permille = 0;
	net_close(pair[0]);
	net_close(pair[1]);
	run(61 * SEC);
}

static void test_keepalive(void **state)
{
	struct net_sock *pair[2];
	int one = 1, idle = 10, interval = 5, count = 3;

	(void)state;
	sock_pair(a, b, 80, pair);
	assert_int_equal(net_setsockopt(pair[0], SOL_SOCKET, SO_KEEPALIVE, &one, 4), 0);
	assert_int_equal(net_setsockopt(pair[0], IPPROTO_TCP, TCP_KEEPIDLE, &idle, 4), 0);
	assert_int_equal(net_setsockopt(pair[0], IPPROTO_TCP, TCP_KEEPINTVL, &interval, 4), 0);
	assert_int_equal(net_setsockopt(pair[0], IPPROTO_TCP, TCP_KEEPCNT, &count, 4), 0);
	run(100 * SEC);
	assert_int_equal(sock_state(pair[0]), TCP_ESTABLISHED);
	world.link.loss_permille = 1000;
	run(60 * SEC);
	assert_int_equal(sock_error(pair[0]), -ETIMEDOUT);
	world.link.loss_permille = 0;
	net_close(pair[0]);
	net_close(pair[1]);
	run(200 * SEC);
}

static bool count_acks(unsigned int from, uint8_t *frame, size_t bytes, void *arg)
{
	unsigned int *counts = arg;

	if (bytes >= 54 && frame[12] == 8 && frame[13] == 0)
		counts[from]++;
	return true;
}

/* A request and its reply are two packets: the reply carries the ACK. */
static void test_piggyback(void **state)
{
	unsigned int counts[2] = {0};
	struct net_sock *pair[2];

	(void)state;
	sock_pair(a, b, 80, pair);
	for (unsigned int i = 0; i < 40; i++) {
		if (i == 20) {
			world.link.inspect = count_acks;
			world.link.arg = counts;
		}
		sock_send(pair[0], "GET", 3, 0);
		world_settle();
		run(20000);
		expect_recv(pair[1], "GET");
		sock_send(pair[1], "VALUE", 5, 0);
		world_settle();
		run(20000);
		expect_recv(pair[0], "VALUE");
	}
	world.link.inspect = NULL;
	assert_int_equal(counts[0], 20);
	assert_int_equal(counts[1], 20);
	net_close(pair[0]);
	net_close(pair[1]);
	run(61 * SEC);
}

static void test_nagle_cork(void **state)
{
	unsigned int counts[2] = {0};
	struct net_sock *pair[2];
	int one = 1, zero = 0;

	(void)state;
	sock_pair(a, b, 80, pair);
	world.link.delay_ns = 5 * MS;
	world.link.inspect = count_acks;
	world.link.arg = counts;
	for (unsigned int i = 0; i < 10; i++)
		sock_send(pair[0], "0123456789", 10, 0);
	world_settle();
	assert_int_equal(counts[0], 1); /* the rest waits for the ACK */
	run(100 * MS);
	assert_int_equal(counts[0], 2);
	assert_int_equal(net_setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &one, 4), 0);
	counts[0] = 0;
	for (unsigned int i = 0; i < 10; i++)
		sock_send(pair[0], "0123456789", 10, 0);
	world_settle();
	assert_int_equal(counts[0], 10);
	run(100 * MS);
	assert_int_equal(net_setsockopt(pair[0], IPPROTO_TCP, TCP_CORK, &one, 4), 0);
	counts[0] = 0;
	for (unsigned int i = 0; i < 10; i++)
		sock_send(pair[0], "0123456789", 10, 0);
	run(50 * MS);
	assert_int_equal(counts[0], 0);
	assert_int_equal(net_setsockopt(pair[0], IPPROTO_TCP, TCP_CORK, &zero, 4), 0);
	run(1 * MS);
	assert_int_equal(counts[0], 1);
	counts[0] = 0;
	assert_int_equal(sock_send(pair[0], "head", 4, MSG_MORE), 4);
	assert_int_equal(sock_send(pair[0], "tail", 4, 0), 4);
	world_settle();
	assert_int_equal(counts[0], 1);
	run(100 * MS);
	world.link.inspect = NULL;
	net_close(pair[0]);
	net_close(pair[1]);
	run(61 * SEC);
}

/* ---- dual stack ---- */

static void test_dual_stack(void **state)
{
	struct net_sock *listener = sock_new(a, AF_INET6, SOCK_STREAM);
	struct net_sock *client = sock_new(a, AF_INET, SOCK_STREAM);
	struct net_sock *server, *other;
	struct sockaddr_storage name;
	struct sockaddr_in6 *in6 = (void *)&name;
	socklen_t bytes;

	(void)state;
	assert_int_equal(sock_bind(listener, "::", 80), 0);
	assert_int_equal(net_listen(listener, 5), 0);
	/* the port is taken for IPv4 too */
	other = sock_new(a, AF_INET, SOCK_STREAM);
	assert_int_equal(sock_bind(other, "0.0.0.0", 80), -EADDRINUSE);
	net_close(other);
	assert_int_equal(sock_connect(client, "127.0.0.1", 80), 0);
	server = sock_accept(listener);
	assert_non_null(server);
	assert_int_equal(net_getpeername(server, &name, &bytes), 0);
	assert_int_equal(bytes, sizeof(*in6));
	assert_true(IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr));
	net_close(client);
	net_close(server);
	client = sock_new(a, AF_INET6, SOCK_STREAM);
	assert_int_equal(sock_connect(client, "::1", 80), 0);
	server = sock_accept(listener);
	assert_non_null(server);
	sock_send(client, "six", 3, 0);
	expect_recv(server, "six");
	net_close(client);
	net_close(server);
	client = sock_new(a, AF_INET6, SOCK_STREAM);
	assert_int_equal(sock_connect(client, "::ffff:127.0.0.1", 80), 0);
	server = sock_accept(listener);
	assert_non_null(server);
	net_close(client);
	net_close(server);
	net_close(listener);
	run(61 * SEC);
}

static void test_v6only(void **state)
{
	struct net_sock *six = sock_new(a, AF_INET6, SOCK_STREAM);
	struct net_sock *four = sock_new(a, AF_INET, SOCK_STREAM);
	struct net_sock *client = sock_new(a, AF_INET, SOCK_STREAM);
	int on = 1;

	(void)state;
	assert_int_equal(net_setsockopt(six, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)), 0);
	assert_int_equal(sock_bind(six, "::", 80), 0);
	assert_int_equal(net_listen(six, 5), 0);
	assert_int_equal(sock_connect(client, "127.0.0.1", 80), -ECONNREFUSED);
	assert_int_equal(sock_bind(four, "0.0.0.0", 80), 0);
	assert_int_equal(net_listen(four, 5), 0);
	assert_int_equal(sock_connect(client, "127.0.0.1", 80), 0);
	net_close(client);
	net_close(six);
	net_close(four);
}

/* ---- UDP ---- */

static void test_udp(void **state)
{
	struct net_sock *server = sock_new(b, AF_INET, SOCK_DGRAM);
	struct net_sock *client = sock_new(a, AF_INET, SOCK_DGRAM);
	struct sockaddr_storage from;
	char buffer[4];
	struct iovec iov = {.iov_base = buffer, .iov_len = sizeof(buffer)};
	struct net_msg msg = {.iov = &iov, .iov_count = 1, .addr = &from};

	(void)state;
	assert_int_equal(sock_bind(server, "0.0.0.0", 53), 0);
	assert_int_equal(sock_send(client, "x", 1, 0), -EDESTADDRREQ);
	assert_int_equal(sock_connect(client, "10.0.0.2", 53), 0);
	assert_int_equal(sock_send(client, "question", 8, 0), 8);
	run(1 * MS);
	assert_int_equal(net_recvmsg(server, &msg, MSG_PEEK), 4);
	assert_int_equal(net_recvmsg(server, &msg, MSG_TRUNC), 8);
	assert_true(msg.flags & MSG_TRUNC);
	assert_int_equal(msg.addr_bytes, sizeof(struct sockaddr_in));
	assert_int_equal(((struct sockaddr_in *)&from)->sin_addr.s_addr, htonl(0x0a000001));
	assert_int_equal(net_recvmsg(server, &msg, 0), -EAGAIN);
	assert_int_equal(msg.addr_bytes, 0);
	msg.addr_bytes = sizeof(struct sockaddr_in);
	iov.iov_len = 3;
	assert_int_equal(net_sendmsg(server, &msg, 0), 3);
	run(1 * MS);
	assert_int_equal(sock_recv(client, buffer, 4, 0), 3);
	net_close(server);
	/* the port is gone: ICMP tells the connected socket */
	assert_int_equal(sock_send(client, "x", 1, 0), 1);
	run(1 * MS);
	assert_true(net_poll_events(client) & POLLERR);
	assert_int_equal(sock_recv(client, buffer, 4, 0), -ECONNREFUSED);
	net_close(client);
}

static void test_udp_loopback(void **state)
{
	struct net_sock *server = sock_new(a, AF_INET6, SOCK_DGRAM);
	struct net_sock *client = sock_new(a, AF_INET, SOCK_DGRAM);
	static char big[65507];
	int on = 1;
	uint8_t control[128];
	struct iovec iov = {.iov_base = big, .iov_len = sizeof(big)};
	struct net_msg msg = {.iov = &iov,
			      .iov_count = 1,
			      .control = control,
			      .control_bytes = sizeof(control)};

	(void)state;
	assert_int_equal(net_setsockopt(server, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)), 0);
	assert_int_equal(sock_bind(server, "::", 53), 0);
	assert_int_equal(sock_connect(client, "127.0.0.1", 53), 0);
	assert_int_equal(sock_send(client, big, sizeof(big), 0), sizeof(big));
	assert_int_equal(net_recvmsg(server, &msg, 0), sizeof(big));
	assert_int_equal(msg.control_bytes, 32); /* in_pktinfo, as the kernel pads it */
	assert_int_equal(sock_send(client, big, sizeof(big) + 1, 0), -EMSGSIZE);
	assert_int_equal(sock_send(client, NULL, 1, 0), -EFAULT);
	assert_int_equal(sock_send(client, NULL, 0, 0), 0); /* an empty datagram is one */
	assert_int_equal(net_recvmsg(server, &msg, 0), 0);
	net_close(server);
	assert_int_equal(sock_send(client, "x", 1, 0), 1);
	assert_int_equal(sock_error(client), -ECONNREFUSED);
	net_close(client);
	assert_int_equal(a->frames_out, 0);
}

/* IP_PKTINFO on the way out names the source. */
static void test_udp_source(void **state)
{
	struct net_sock *server = sock_new(a, AF_INET, SOCK_DGRAM);
	struct net_sock *client = sock_new(a, AF_INET, SOCK_DGRAM);
	struct {
		uint64_t bytes;
		int level, type;
		struct in_pktinfo info;
	} control = {.bytes = 28, .level = IPPROTO_IP, .type = IP_PKTINFO};
	struct sockaddr_storage from;
	char buffer[4];
	struct iovec iov = {.iov_base = buffer, .iov_len = 4};
	struct net_msg msg = {.iov = &iov, .iov_count = 1};

	(void)state;
	assert_int_equal(sock_bind(server, "0.0.0.0", 53), 0);
	assert_int_equal(sock_connect(client, "127.0.0.1", 53), 0);
	msg.control = &control;
	msg.control_bytes = sizeof(control);
	net_close(client);
	client = sock_new(a, AF_INET, SOCK_DGRAM);
	assert_int_equal(sock_bind(client, "0.0.0.0", 54), 0);
	((struct sockaddr_in *)&from)->sin_family = AF_INET;
	((struct sockaddr_in *)&from)->sin_port = htons(53);
	((struct sockaddr_in *)&from)->sin_addr = a->ip;
	msg.addr = &from;
	msg.addr_bytes = sizeof(struct sockaddr_in);
	control.info.ipi_spec_dst.s_addr = htonl(0x7f000001);
	assert_int_equal(net_sendmsg(client, &msg, 0), 4);
	control.info.ipi_spec_dst.s_addr = htonl(0x0a000009);
	assert_int_equal(net_sendmsg(client, &msg, 0), -EINVAL);
	control.bytes = 500;
	assert_int_equal(net_sendmsg(client, &msg, 0), -EINVAL);
	msg.control = NULL;
	assert_int_equal(net_recvmsg(server, &msg, 0), 4);
	assert_int_equal(((struct sockaddr_in *)&from)->sin_addr.s_addr, htonl(0x7f000001));
	net_close(server);
	net_close(client);
}

static void test_udp_flood(void **state)
{
	struct net_sock *server = sock_new(b, AF_INET, SOCK_DGRAM);
	struct net_sock *client = sock_new(a, AF_INET, SOCK_DGRAM);
	struct net_stats stats;
	unsigned int got = 0;
	char buffer[1400] = {0};

	(void)state;
	assert_int_equal(sock_bind(server, "0.0.0.0", 53), 0);
	assert_int_equal(sock_connect(client, "10.0.0.2", 53), 0);
	/* nobody reads: the queue is bounded, and the ring goes on */
	for (unsigned int i = 0; i < 20000; i++) {
		sock_send(client, buffer, sizeof(buffer), 0);
		run(1000);
	}
	net_stats_get(b->net, &stats);
	assert_true(stats.rx_no_memory > 19000);
	assert_true(stats.buf_total - stats.buf_free < 1500);
	while (sock_recv(server, buffer, sizeof(buffer), 0) > 0)
		got++;
	assert_in_range(got, 100, 160); /* 212992 bytes with Leat's overhead */
	net_close(server);
	net_close(client);
}

/* Memory that nobody reads stays bounded, and others are served meanwhile. */
static void test_slow_readers(void **state)
{
	static char data[65536];
	struct net_sock *pairs[80][2], *extra[2];
	struct net_stats stats;

	(void)state;
	for (unsigned int i = 0; i < 80; i++)
		sock_pair(a, b, (uint16_t)(100 + i), pairs[i]);
	for (unsigned int turn = 0; turn < 60; turn++) {
		for (unsigned int i = 0; i < 80; i++)
			sock_send(pairs[i][0], data, sizeof(data), 0);
		run(20 * MS);
	}
	net_stats_get(b->net, &stats);
	assert_true(stats.rx_no_memory > 0);
	sock_pair(a, b, 99, extra);
	for (unsigned int i = 0; i < 80; i++) {
		net_close(pairs[i][0]);
		net_close(pairs[i][1]);
	}
	run(10 * SEC);
	assert_int_equal(sock_send(extra[0], "alive", 5, 0), 5);
	run(1 * SEC);
	expect_recv(extra[1], "alive");
	net_close(extra[0]);
	net_close(extra[1]);
	run(100 * SEC);
}

/* ---- options, ioctls ---- */

static int option(struct net_sock *sock, int level, int name)
{
	int value = -1;
	socklen_t bytes = sizeof(value);

	assert_int_equal(net_getsockopt(sock, level, name, &value, &bytes), 0);
	assert_int_equal(bytes, 4);
	return value;
}

static void test_options(void **state)
{
	struct net_sock *sock = sock_new(a, AF_INET, SOCK_STREAM);
	int v = 100000, bad = 12345;
	socklen_t bytes = sizeof(v);

	(void)state;
	assert_int_equal(option(sock, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
	assert_int_equal(option(sock, SOL_SOCKET, SO_DOMAIN), AF_INET);
	assert_int_equal(option(sock, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
	assert_int_equal(option(sock, SOL_SOCKET, SO_ACCEPTCONN), 0);
	assert_int_equal(option(sock, SOL_SOCKET, SO_RCVBUF), 131072);
	assert_int_equal(net_setsockopt(sock, SOL_SOCKET, SO_RCVBUF, &v, sizeof(v)), 0);
	assert_int_equal(option(sock, SOL_SOCKET, SO_RCVBUF), 200000);
	assert_int_equal(option(sock, IPPROTO_TCP, TCP_NODELAY), 0);
	assert_int_equal(net_setsockopt(sock, SOL_SOCKET, 9999, &v, sizeof(v)), -ENOPROTOOPT);
	assert_int_equal(net_setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &v, 1), -EINVAL);
	assert_int_equal(net_setsockopt(sock, IPPROTO_TCP, TCP_KEEPCNT, &bad, 4), -EINVAL);
	assert_int_equal(net_setsockopt(sock, IPPROTO_TCP, TCP_CONGESTION, "bbr", 3), -ENOENT);
	assert_int_equal(net_setsockopt(sock, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5), 0);
	assert_int_equal(net_getsockopt(sock, IPPROTO_IPV6, IPV6_V6ONLY, &v, &bytes), -ENOPROTOOPT);
	assert_int_equal(net_listen(sock, 1), 0);
	assert_int_equal(option(sock, SOL_SOCKET, SO_ACCEPTCONN), 1);
	assert_int_equal(sock_connect(sock, "127.0.0.1", 1), -EISCONN);
	net_close(sock);
	assert_int_equal(net_socket(a->net, AF_INET, SOCK_STREAM, IPPROTO_UDP, NULL, &sock),
			 -EPROTONOSUPPORT);
	assert_int_equal(net_socket(a->net, AF_INET, 77, 0, NULL, &sock), -ESOCKTNOSUPPORT);
	assert_int_equal(net_socket(a->net, AF_PACKET, SOCK_RAW, 0, NULL, &sock), -EAFNOSUPPORT);
}

static void test_ioctls(void **state)
{
	struct net_sock *pair[2];
	struct ifreq ifr = {.ifr_name = "eth0"};
	struct ifconf conf = {.ifc_len = sizeof(ifr) * 4};
	struct ifreq all[4];
	int v;

	(void)state;
	sock_pair(a, a, 80, pair);
	sock_send(pair[0], "12345", 5, 0);
	assert_int_equal(net_ioctl(pair[1], FIONREAD, (unsigned long)&v), 0);
	assert_int_equal(v, 5);
	assert_int_equal(net_ioctl(pair[0], SIOCGIFADDR, (unsigned long)&ifr), 0);
	assert_int_equal(((struct sockaddr_in *)&ifr.ifr_addr)->sin_addr.s_addr, a->ip.s_addr);
	assert_int_equal(net_ioctl(pair[0], SIOCGIFHWADDR, (unsigned long)&ifr), 0);
	assert_memory_equal(ifr.ifr_hwaddr.sa_data, a->mac, 6);
	assert_int_equal(net_ioctl(pair[0], SIOCSIFADDR, (unsigned long)&ifr), -EPERM);
	conf.ifc_req = all;
	assert_int_equal(net_ioctl(pair[0], SIOCGIFCONF, (unsigned long)&conf), 0);
	assert_int_equal(conf.ifc_len, 2 * sizeof(ifr));
	assert_string_equal(all[0].ifr_name, "lo");
	strcpy(ifr.ifr_name, "wlan0");
	assert_int_equal(net_ioctl(pair[0], SIOCGIFADDR, (unsigned long)&ifr), -ENODEV);
	assert_int_equal(net_ioctl(pair[0], 0x12345678, 0), -NET_ENOIOCTLCMD);
	assert_int_equal(net_ioctl(pair[1], FIONREAD, 16), -EFAULT);
	net_close(pair[0]);
	net_close(pair[1]);
}

static void test_urgent(void **state)
{
	struct net_sock *pair[2];
	char buffer[16];

	(void)state;
	sock_pair(a, b, 80, pair);
	assert_int_equal(sock_send(pair[0], "abc", 3, 0), 3);
	assert_int_equal(sock_send(pair[0], "!", 1, MSG_OOB), 1);
	assert_int_equal(sock_send(pair[0], "def", 3, 0), 3);
	run(100 * MS);
	assert_true(net_poll_events(pair[1]) & POLLPRI);
	assert_int_equal(sock_recv(pair[1], buffer, 16, 0), 3);
	assert_int_equal(sock_recv(pair[1], buffer, 16, MSG_OOB), 1);
	assert_int_equal(buffer[0], '!');
	assert_int_equal(sock_recv(pair[1], buffer, 16, MSG_OOB), -EINVAL);
	expect_recv(pair[1], "def");
	net_close(pair[0]);
	net_close(pair[1]);
	run(61 * SEC);
}

/* Bad program pointers are -EFAULT and leave the connection alone. */
static void test_faults(void **state)
{
	struct net_sock *pair[2];

	(void)state;
	sock_pair(a, b, 80, pair);
	assert_int_equal(sock_send(pair[0], (void *)16, 5, 0), -EFAULT);
	assert_int_equal(sock_send(pair[0], "fine", 4, 0), 4);
	run(1 * MS);
	assert_int_equal(sock_recv(pair[1], (void *)16, 4, 0), -EFAULT);
	expect_recv(pair[1], "fine");
	net_close(pair[0]);
	net_close(pair[1]);
	run(61 * SEC);
}

/* A client that connects and closes for ever does not run out of ports, nor the server of memory.
 */
static void test_churn(void **state)
{
	struct net_sock *listener = sock_listener(b, 80, 64);
	struct net_stats stats;
	char buffer[4];

	(void)state;
	for (unsigned int i = 0; i < 40000; i++) {
		struct net_sock *client = sock_new(a, AF_INET, SOCK_STREAM);
		struct net_sock *server;

		assert_int_equal(sock_connect(client, "10.0.0.2", 80), -EINPROGRESS);
		run(10000);
		server = sock_accept(listener);
		assert_non_null(server);
		assert_int_equal(sock_send(server, "x", 1, 0), 1);
		net_close(server);
		run(10000);
		assert_int_equal(sock_recv(client, buffer, 4, 0), 1);
		net_close(client);
		run(10000);
	}
	net_stats_get(b->net, &stats);
	assert_true(stats.sockets < 17000);
	net_close(listener);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_loopback),       TEST(test_refused_loopback),
		TEST(test_refused_remote), TEST(test_unreachable),
		TEST(test_bind),           TEST(test_reuseport),
		TEST(test_backlog),        TEST(test_close_active),
		TEST(test_close_both),     TEST(test_close_unread),
		TEST(test_linger_zero),    TEST(test_close_sends_rest),
		TEST(test_small_buffer),   TEST(test_data_after_close),
		TEST(test_zero_window),    TEST(test_retransmission_timeout),
		TEST(test_keepalive),      TEST(test_piggyback),
		TEST(test_nagle_cork),     TEST(test_dual_stack),
		TEST(test_v6only),         TEST(test_udp),
		TEST(test_udp_loopback),   TEST(test_udp_source),
		TEST(test_udp_flood),      TEST(test_slow_readers),
		TEST(test_options),        TEST(test_ioctls),
		TEST(test_urgent),         TEST(test_faults),
		TEST(test_churn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
