/*
 * Datagrams: error queues, path MTU, ancillary data, segmentation, devices; and IPv6 between two
 * stacks with global addresses.
 */
#include <time.h>

#include <linux/errqueue.h>

#include "tests/net/script.h"

#include <netinet/udp.h>

static struct net_sock *other; /* on host 1 */

static int two_stacks(void **state)
{
	(void)state;
	world_init(5, FEATURES_PLAIN, true, 1500);
	sock = other = NULL;
	return 0;
}

static int two_teardown(void **state)
{
	(void)state;
	if (sock != NULL)
		net_close(sock);
	if (other != NULL)
		net_close(other);
	world_finish();
	return 0;
}

static void set(struct net_sock *s, int level, int name, int value)
{
	assert_int_equal(net_setsockopt(s, level, name, &value, sizeof(value)), 0);
}

/* A receive with everything that goes with it. */
struct received {
	ssize_t n;
	int flags;
	char data[70000];
	struct sockaddr_storage from;
	socklen_t from_bytes;
	uint8_t control[NET_CONTROL_MAX];
	size_t control_bytes;
};

static struct received in;

static void receive(struct net_sock *s, int flags)
{
	struct iovec iov = {.iov_base = in.data, .iov_len = sizeof(in.data)};
	struct net_msg msg = {.iov = &iov,
			      .iov_count = 1,
			      .addr = &in.from,
			      .control = in.control,
			      .control_bytes = sizeof(in.control)};

	in.n = net_recvmsg(s, &msg, flags);
	in.flags = msg.flags;
	in.control_bytes = in.n >= 0 ? msg.control_bytes : 0;
	in.from_bytes = msg.addr_bytes;
}

/* The data of a control message, or NULL. */
static const void *control(int level, int type)
{
	for (size_t at = 0; at + 16 <= in.control_bytes;) {
		uint64_t bytes;
		int header[2];

		memcpy(&bytes, in.control + at, 8);
		memcpy(header, in.control + at + 8, 8);
		assert_true(bytes >= 16 && bytes <= in.control_bytes - at);
		if (header[0] == level && header[1] == type)
			return in.control + at + 16;
		at += (bytes + 7) & ~7ul;
	}
	return NULL;
}

static ssize_t send_control(struct net_sock *s, const void *data, size_t bytes, int level, int type,
			    const void *value, size_t value_bytes)
{
	uint8_t buffer[64] = {0};
	uint64_t length = 16 + value_bytes;
	int header[2] = {level, type};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
	struct net_msg msg = {.iov = &iov,
			      .iov_count = 1,
			      .control = buffer,
			      .control_bytes = (16 + value_bytes + 7) & ~7ul};

	memcpy(buffer, &length, 8);
	memcpy(buffer + 8, header, 8);
	memcpy(buffer + 16, value, value_bytes);
	return net_sendmsg(s, &msg, 0);
}

/* Two UDP sockets over the link: `sock` is connected to `other`. */
static void pair(const char *ip)
{
	int family = strchr(ip, ':') != NULL ? AF_INET6 : AF_INET;

	sock = sock_new(&world.hosts[0], family, SOCK_DGRAM);
	other = sock_new(&world.hosts[1], family, SOCK_DGRAM);
	assert_int_equal(sock_bind(other, family == AF_INET ? "0.0.0.0" : "::", 53), 0);
	assert_int_equal(sock_connect(sock, ip, 53), 0);
}

/* ---- error queues ---- */

static void test_recverr_refused(void **state)
{
	const struct sock_extended_err *error;
	struct sockaddr_in in4;

	(void)state;
	sock = sock_new(&world.hosts[0], AF_INET, SOCK_DGRAM);
	set(sock, IPPROTO_IP, IP_RECVERR, 1);
	assert_int_equal(sock_connect(sock, "10.0.0.2", 9), 0);
	assert_int_equal(sock_send(sock, "hello", 5, 0), 5);
	run(10 * MS);
	assert_true(net_poll_events(sock) & POLLERR);
	receive(sock, 0);
	assert_int_equal(in.n, -ECONNREFUSED);
	assert_true(net_poll_events(sock) & POLLERR); /* the queue is not empty */
	receive(sock, MSG_ERRQUEUE);
	assert_int_equal(in.n, 5);
	assert_memory_equal(in.data, "hello", 5);
	assert_true(in.flags & MSG_ERRQUEUE);
	memcpy(&in4, &in.from, sizeof(in4));
	assert_int_equal(in4.sin_port, htons(9)); /* where it went */
	assert_int_equal(in4.sin_addr.s_addr, world.hosts[1].ip.s_addr);
	error = control(IPPROTO_IP, IP_RECVERR);
	assert_non_null(error);
	assert_int_equal(error->ee_errno, ECONNREFUSED);
	assert_int_equal(error->ee_origin, SO_EE_ORIGIN_ICMP);
	assert_int_equal(error->ee_type, 3);
	assert_int_equal(error->ee_code, 3);
	memcpy(&in4, error + 1, sizeof(in4));
	assert_int_equal(in4.sin_addr.s_addr, world.hosts[1].ip.s_addr);
	receive(sock, MSG_ERRQUEUE);
	assert_int_equal(in.n, -EAGAIN);
	assert_false(net_poll_events(sock) & POLLERR);
	/* bounded: a flood of them costs what is stated */
	for (unsigned int i = 0; i < 500; i++) {
		sock_send(sock, "x", 1, 0);
		run(2 * MS);
		sock_error(sock);
	}
	for (unsigned int i = 0; i < 32; i++) {
		receive(sock, MSG_ERRQUEUE);
		assert_int_equal(in.n, 1);
	}
	receive(sock, MSG_ERRQUEUE);
	assert_int_equal(in.n, -EAGAIN);
}

static void test_recverr_loopback(void **state)
{
	(void)state;
	sock = sock_new(&world.hosts[0], AF_INET6, SOCK_DGRAM);
	set(sock, IPPROTO_IPV6, IPV6_RECVERR, 1);
	assert_int_equal(sock_connect(sock, "::1", 9), 0);
	assert_int_equal(sock_send(sock, "abc", 3, 0), 3);
	receive(sock, MSG_ERRQUEUE);
	assert_int_equal(in.n, 3);
	assert_non_null(control(IPPROTO_IPV6, IPV6_RECVERR));
	/* without the option an unconnected socket hears nothing */
	net_close(sock);
	sock = sock_new(&world.hosts[0], AF_INET, SOCK_DGRAM);
	{
		struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
		struct sockaddr_storage addr = {0};
		struct iovec iov = {.iov_base = (char[]){"y"}, .iov_len = 1};
		struct net_msg msg = {.iov = &iov,
				      .iov_count = 1,
				      .addr = &addr,
				      .addr_bytes = sizeof(to)};

		to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		memcpy(&addr, &to, sizeof(to));
		assert_int_equal(net_sendmsg(sock, &msg, 0), 1);
	}
	assert_int_equal(sock_error(sock), 0);
}

static void test_too_big(void **state)
{
	static char data[5000];
	const struct sock_extended_err *error;

	(void)state;
	pair("10.0.0.2");
	set(sock, IPPROTO_IP, IP_RECVERR, 1);
	set(sock, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
	assert_int_equal(sock_send(sock, data, sizeof(data), 0), -EMSGSIZE);
	receive(sock, MSG_ERRQUEUE);
	assert_true(in.n > 0);
	error = control(IPPROTO_IP, IP_RECVERR);
	assert_int_equal(error->ee_origin, SO_EE_ORIGIN_LOCAL);
	assert_int_equal(error->ee_errno, EMSGSIZE);
	assert_int_equal(error->ee_info, 1500);
	set(sock, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_WANT);
	assert_int_equal(sock_send(sock, data, sizeof(data), 0), sizeof(data));
	run(10 * MS);
	receive(other, 0);
	assert_int_equal(in.n, sizeof(data));
}

/* ---- path MTU ---- */

/* An ICMP "fragmentation needed" about this packet of the stack's. */
static void send_too_big(const struct frame *about, uint16_t mtu)
{
	uint8_t frame[14 + 20 + 8 + 28] = {0};

	put_ip(frame, 8 + 28, 1);
	frame[34] = 3;
	frame[35] = 4;
	store_be16(frame + 40, mtu);
	memcpy(frame + 42, about->data + 14, 28);
	{
		uint16_t sum = csum_finish(csum_add(0, frame + 34, 36));

		memcpy(frame + 36, &sum, 2);
	}
	send_raw(frame, sizeof(frame));
}

static size_t longest_sent(void)
{
	struct frame *frame;
	size_t most = 0;

	world_settle();
	while ((frame = world_take()) != NULL) {
		if (frame->bytes - 14 > most)
			most = frame->bytes - 14;
		free(frame);
	}
	return most;
}

static int mtu_of(struct net_sock *s)
{
	int value;
	socklen_t bytes = sizeof(value);

	assert_int_equal(net_getsockopt(s, IPPROTO_IP, IP_MTU, &value, &bytes), 0);
	return value;
}

static void test_pmtu_udp(void **state)
{
	static char data[1400];
	struct frame *frame;

	(void)state;
	sock = sock_new(host, AF_INET, SOCK_DGRAM);
	assert_int_equal(sock_connect(sock, "10.0.0.2", 53), 0);
	assert_int_equal(mtu_of(sock), 1500);
	assert_int_equal(sock_send(sock, data, sizeof(data), 0), sizeof(data));
	world_settle();
	frame = world_take();
	assert_non_null(frame);
	assert_true(frame->data[20] & 0x40); /* DF: the path shall be found out */
	send_too_big(frame, 1000);
	free(frame);
	assert_int_equal(mtu_of(sock), 1000);
	assert_int_equal(sock_error(sock), -EMSGSIZE);
	assert_int_equal(sock_send(sock, data, sizeof(data), 0), sizeof(data));
	assert_in_range(longest_sent(), 900, 1000);
	/* a lie of 100 bytes is not believed, and a wider path is tried again later */
	assert_int_equal(sock_send(sock, data, 500, 0), 500);
	world_settle();
	frame = world_take();
	send_too_big(frame, 100);
	free(frame);
	assert_int_equal(mtu_of(sock), 552);
	run(601 * SEC);
	assert_int_equal(mtu_of(sock), 1500);
}

/* TCP: believed when the number is in flight; the next connection knows. */
static void test_pmtu_tcp(void **state)
{
	static char data[10000];
	struct frame *frame;

	(void)state;
	accept_one(true);
	assert_int_equal(sock_send(sock, data, sizeof(data), 0), sizeof(data));
	world_settle();
	frame = world_take();
	assert_non_null(frame);
	store_be32(frame->data + 38, his + 50000); /* a number that was never sent */
	send_too_big(frame, 1000);
	assert_int_equal(mtu_of(sock), 1500);
	store_be32(frame->data + 38, his);
	while (take())
		;
	send_too_big(frame, 1000);
	free(frame);
	assert_int_equal(mtu_of(sock), 1000);
	assert_true(take());
	assert_int_equal(got.seq, his);
	assert_int_equal(got.bytes, 948);
	while (take())
		;
	net_close(sock);
	net_close(listener);
	while (take())
		;
	my_port++;
	accept_one(true);
	assert_int_equal(sock_send(sock, data, sizeof(data), 0), sizeof(data));
	while (take())
		assert_true(got.bytes <= 948);
	my_port--;
}

/* ---- fragments that never complete ---- */

static void test_reassembly_expires(void **state)
{
	uint8_t frame[34 + 64] = {0};
	struct wire_ip4 *ip = (void *)(frame + 14);
	struct frame *answer;

	(void)state;
	for (uint16_t id = 1; id <= 2; id++) {
		put_ip(frame, 64, 17);
		ip->id = htons(id);
		ip->frag = htons(id == 1 ? 0x2000 : 8); /* the first piece of one, the last of
							   another */
		ip->checksum = 0;
		ip->checksum = csum_finish(csum_add(0, ip, 20));
		send_raw(frame, sizeof(frame));
	}
	run(29 * SEC);
	assert_null(world_take());
	run(3 * SEC);
	/* our MAC is asked for again meanwhile */
	while ((answer = world_take()) != NULL && answer->data[13] == 6)
		free(answer);
	assert_non_null(answer);
	assert_int_equal(answer->data[34], 11); /* time exceeded, in reassembly */
	assert_int_equal(answer->data[35], 1);
	assert_int_equal(load_be16(answer->data + 42 + 4), 1); /* about the one whose start is known
								*/
	free(answer);
	while ((answer = world_take()) != NULL) {
		assert_int_equal(answer->data[13], 6);
		free(answer);
	}
}

/* ---- ancillary data ---- */

static void test_timestamps(void **state)
{
	struct timespec at;
	struct timeval tv;

	(void)state;
	pair("10.0.0.2");
	set(other, SOL_SOCKET, SO_TIMESTAMPNS, 1);
	assert_int_equal(sock_send(sock, "x", 1, 0), 1);
	run(10 * MS);
	receive(other, MSG_PEEK);
	assert_non_null(control(SOL_SOCKET, SO_TIMESTAMPNS));
	memcpy(&at, control(SOL_SOCKET, SO_TIMESTAMPNS), sizeof(at));
	assert_in_range((uint64_t)at.tv_sec * SEC + (uint64_t)at.tv_nsec,
			world.now_ns + WORLD_EPOCH_NS - 10 * MS, world.now_ns + WORLD_EPOCH_NS);
	set(other, SOL_SOCKET, SO_TIMESTAMP, 1);
	receive(other, 0);
	assert_null(control(SOL_SOCKET, SO_TIMESTAMPNS));
	memcpy(&tv, control(SOL_SOCKET, SO_TIMESTAMP), sizeof(tv));
	assert_int_equal(tv.tv_sec, at.tv_sec);
	assert_int_equal(tv.tv_usec, at.tv_nsec / 1000);
}

static void control_round(const char *ip, int level, const int names[4])
{
	int ttl = 7, tos = 0x10;

	pair(ip);
	set(other, level, names[0], 1);
	set(other, level, names[1], 1);
	assert_int_equal(send_control(sock, "x", 1, level, names[2], &ttl, sizeof(ttl)), 1);
	assert_int_equal(send_control(sock, "y", 1, level, names[3], &tos, sizeof(tos)), 1);
	run(10 * MS);
	receive(other, 0);
	assert_int_equal(*(const int *)control(level, names[2]), 7);
	receive(other, 0);
	assert_int_equal(*(const int *)control(level, names[2]), 64);
	assert_int_equal(*(const uint8_t *)control(level, names[3]), 0x10);
	/* values that are none, and messages that are not known */
	ttl = 256;
	assert_int_equal(send_control(sock, "x", 1, level, names[2], &ttl, sizeof(ttl)), -EINVAL);
	assert_int_equal(send_control(sock, "x", 1, level, 250, &ttl, sizeof(ttl)), -EINVAL);
}

static void test_controls(void **state)
{
	(void)state;
	control_round("10.0.0.2", IPPROTO_IP, (int[]){IP_RECVTTL, IP_RECVTOS, IP_TTL, IP_TOS});
}

static void test_controls6(void **state)
{
	(void)state;
	control_round("fd00::2", IPPROTO_IPV6,
		      (int[]){IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS, IPV6_HOPLIMIT, IPV6_TCLASS});
}

/* ---- segmentation, devices ---- */

static void test_segment(void **state)
{
	static char data[1300];
	uint16_t size = 400;

	(void)state;
	pair("10.0.0.2");
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7);
	set(sock, IPPROTO_UDP, UDP_SEGMENT, 500);
	assert_int_equal(sock_send(sock, data, sizeof(data), 0), sizeof(data));
	assert_int_equal(send_control(sock, data, 800, IPPROTO_UDP, UDP_SEGMENT, &size, 2), 800);
	run(10 * MS);
	for (size_t at = 0; at < 1300; at += (size_t)in.n) {
		receive(other, 0);
		assert_int_equal(in.n, at == 1000 ? 300 : 500);
		assert_memory_equal(in.data, data + at, (size_t)in.n);
	}
	receive(other, 0);
	assert_int_equal(in.n, 400);
	receive(other, 0);
	assert_int_equal(in.n, 400);
	/* a segment is one packet, and there are 64 at most */
	set(sock, IPPROTO_UDP, UDP_SEGMENT, 10);
	assert_int_equal(sock_send(sock, data, 641, 0), -EINVAL);
	set(sock, IPPROTO_UDP, UDP_SEGMENT, 1480);
	{
		static char more[3000];

		assert_int_equal(sock_send(sock, more, sizeof(more), 0), -EINVAL);
	}
}

static void test_device(void **state)
{
	(void)state;
	pair("10.0.0.2");
	assert_int_equal(net_setsockopt(other, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3), 0);
	assert_int_equal(sock_send(sock, "x", 1, 0), 1);
	run(10 * MS);
	receive(other, 0);
	assert_int_equal(in.n, -EAGAIN);
	assert_int_equal(sock_error(sock), -ECONNREFUSED);
	assert_int_equal(net_setsockopt(other, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5), 0);
	assert_int_equal(sock_send(sock, "y", 1, 0), 1);
	run(10 * MS);
	receive(other, 0);
	assert_int_equal(in.n, 1);
	assert_int_equal(net_setsockopt(sock, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3), 0);
	sock_error(sock);
	assert_int_equal(sock_send(sock, "z", 1, 0), -ENETUNREACH);
	assert_int_equal(net_setsockopt(sock, SOL_SOCKET, SO_BINDTODEVICE, "wlan0", 6), -ENODEV);
}

/* ---- IPv6 between two stacks ---- */

static void test_ip6_global(void **state)
{
	struct sockaddr_storage name;
	struct sockaddr_in6 in6;
	static char data[5000];
	socklen_t bytes;

	(void)state;
	pair("fd00::2");
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)i;
	assert_int_equal(net_getsockname(sock, &name, &bytes), 0);
	memcpy(&in6, &name, sizeof(in6));
	assert_memory_equal(&in6.sin6_addr, &world.hosts[0].ip6, 16);
	assert_int_equal(sock_send(sock, data, 100, 0), 100);
	run(10 * MS);
	receive(other, 0);
	assert_int_equal(in.n, 100);
	memcpy(&in6, &in.from, sizeof(in6));
	assert_memory_equal(&in6.sin6_addr, &world.hosts[0].ip6, 16);
	assert_int_equal(in6.sin6_scope_id, 0);
	/* in fragments */
	assert_int_equal(sock_send(sock, data, sizeof(data), 0), sizeof(data));
	run(10 * MS);
	receive(other, 0);
	assert_int_equal(in.n, sizeof(data));
	assert_memory_equal(in.data, data, sizeof(data));
	/* outside the prefix there is no way */
	net_close(sock);
	sock = sock_new(&world.hosts[0], AF_INET6, SOCK_DGRAM);
	assert_int_equal(sock_connect(sock, "fd01::2", 53), -ENETUNREACH);
	/* nobody there: an error comes back */
	assert_int_equal(sock_connect(sock, "fd00::2", 9), 0);
	assert_int_equal(sock_send(sock, "x", 1, 0), 1);
	run(10 * MS);
	assert_int_equal(sock_error(sock), -ECONNREFUSED);
}

static void test_ip6_tcp(void **state)
{
	char buffer[8];

	(void)state;
	{
		struct net_sock *server = sock_new(&world.hosts[1], AF_INET6, SOCK_STREAM);

		assert_int_equal(sock_bind(server, "::", 80), 0);
		assert_int_equal(net_listen(server, 5), 0);
		sock = sock_new(&world.hosts[0], AF_INET6, SOCK_STREAM);
		assert_int_equal(sock_connect(sock, "fd00::2", 80), -EINPROGRESS);
		run(10 * MS);
		other = sock_accept(server);
		net_close(server);
	}
	assert_non_null(other);
	assert_int_equal(sock_send(sock, "hello", 5, 0), 5);
	run(10 * MS);
	assert_int_equal(sock_recv(other, buffer, 8, 0), 5);
}

/* A link-local address needs its link. */
static void test_scope(void **state)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
	struct sockaddr_storage name;
	socklen_t bytes;

	(void)state;
	sock = sock_new(&world.hosts[0], AF_INET6, SOCK_DGRAM);
	other = sock_new(&world.hosts[1], AF_INET6, SOCK_DGRAM);
	assert_int_equal(sock_bind(other, "::", 53), 0);
	inet_pton(AF_INET6, "fe80::ff:fe00:2", &to.sin6_addr);
	assert_int_equal(net_connect(sock, (void *)&to, sizeof(to)), -EINVAL);
	assert_int_equal(net_connect(sock, (void *)&to, 24), -EINVAL);
	to.sin6_scope_id = 9;
	assert_int_equal(net_connect(sock, (void *)&to, sizeof(to)), -ENODEV);
	to.sin6_scope_id = 2;
	assert_int_equal(net_connect(sock, (void *)&to, sizeof(to)), 0);
	assert_int_equal(sock_send(sock, "x", 1, 0), 1);
	run(10 * MS);
	receive(other, 0);
	assert_int_equal(in.n, 1);
	assert_int_equal(net_getsockname(sock, &name, &bytes), 0);
	memcpy(&to, &name, sizeof(to));
	assert_int_equal(to.sin6_addr.s6_addr[0], 0xfe); /* the source has the same scope */
	assert_int_equal(to.sin6_scope_id, 2);
}

/* ---- neighbour discovery ---- */

static void send_icmp6(const uint8_t src[16], const uint8_t dst[16], uint8_t *icmp, size_t bytes)
{
	uint8_t frame[200] = {0x33, 0x33, 0, 0, 0, 1};
	union ip_addr from = ip_addr_v6(src), to = ip_addr_v6(dst);
	uint16_t sum;

	if (dst[0] != 0xff)
		memcpy(frame, host->mac, 6);
	memcpy(frame + 6, world.hosts[1].mac, 6);
	frame[12] = 0x86;
	frame[13] = 0xdd;
	frame[14] = 0x60;
	store_be16(frame + 18, (uint16_t)bytes);
	frame[20] = 58;
	frame[21] = 255;
	memcpy(frame + 22, src, 16);
	memcpy(frame + 38, dst, 16);
	icmp[2] = icmp[3] = 0;
	sum = csum_finish(csum_pseudo(&from, &to, 58, (uint32_t)bytes) + csum_add(0, icmp, bytes));
	memcpy(icmp + 2, &sum, 2);
	memcpy(frame + 54, icmp, bytes);
	send_raw(frame, 54 + bytes);
}

/* Somebody wants our address: it is defended (RFC 4862 5.4.3). */
static void test_dad_defended(void **state)
{
	uint8_t none[16] = {0}, group[16] = {0xff, 2, [11] = 1, [12] = 0xff, [15] = 1};
	uint8_t icmp[24] = {135};
	struct frame *frame;

	(void)state;
	memcpy(icmp + 8, &host->ip6, 16);
	send_icmp6(none, group, icmp, sizeof(icmp));
	frame = world_take();
	assert_non_null(frame);
	assert_int_equal(frame->data[54], 136);
	assert_int_equal(frame->data[58] & 0xe0, 0x20); /* override, not solicited */
	assert_memory_equal(frame->data + 62, &host->ip6, 16);
	assert_int_equal(frame->data[38], 0xff); /* to all nodes */
	assert_int_equal(frame->data[53], 1);
	free(frame);
	/* not from ::, with a link-layer address: no such question (RFC 4861 7.1.1) */
	{
		uint8_t bad[32] = {135, [24] = 1, 1, 2, 0, 0, 0, 0, 2};

		memcpy(bad + 8, &host->ip6, 16);
		send_icmp6(none, group, bad, sizeof(bad));
		assert_null(world_take());
	}
	/* a claim on it changes nothing, and is counted */
	{
		uint8_t claim[32] = {136, [4] = 0x20, [24] = 2, 1, 2, 0, 0, 0, 0, 2};
		struct net_stats stats;

		memcpy(claim + 8, &host->ip6, 16);
		send_icmp6(world.hosts[1].ip6.s6_addr, host->ip6.s6_addr, claim, sizeof(claim));
		net_stats_get(host->net, &stats);
		assert_int_equal(stats.addr_conflicts, 1);
	}
}

/* An advertisement without the override flag does not move a neighbour (RFC 4861 7.2.5). */
static void test_nd_override(void **state)
{
	uint8_t advert[32] = {136, [4] = 0x60, [24] = 2, 1, 2, 0, 0, 0, 0, 2};
	struct frame *frame;

	(void)state;
	sock = sock_new(host, AF_INET6, SOCK_DGRAM);
	assert_int_equal(sock_connect(sock, "fd00::2", 53), 0);
	assert_int_equal(sock_send(sock, "x", 1, 0), 1);
	world_settle();
	frame = world_take();
	assert_non_null(frame);
	assert_int_equal(frame->data[54], 135); /* a question first */
	free(frame);
	memcpy(advert + 8, &world.hosts[1].ip6, 16);
	send_icmp6(world.hosts[1].ip6.s6_addr, host->ip6.s6_addr, advert, sizeof(advert));
	frame = world_take();
	assert_non_null(frame);
	assert_int_equal(frame->data[20], 17); /* what waited */
	free(frame);
	/* another MAC, no override: ours stays, and is asked for anew, alone */
	advert[4] = 0x40;
	advert[31] = 77;
	send_icmp6(world.hosts[1].ip6.s6_addr, host->ip6.s6_addr, advert, sizeof(advert));
	assert_int_equal(sock_send(sock, "y", 1, 0), 1);
	for (unsigned int i = 0; i < 2; i++) {
		world_settle();
		frame = world_take();
		assert_non_null(frame);
		assert_int_equal(frame->data[5], 2);
		if (frame->data[20] == 58)
			assert_memory_equal(frame->data + 38, &world.hosts[1].ip6, 16);
		free(frame);
	}
	/* with it, the neighbour has moved */
	advert[4] = 0x20;
	send_icmp6(world.hosts[1].ip6.s6_addr, host->ip6.s6_addr, advert, sizeof(advert));
	assert_int_equal(sock_send(sock, "z", 1, 0), 1);
	world_settle();
	frame = world_take();
	assert_non_null(frame);
	assert_int_equal(frame->data[5], 77);
	free(frame);
	while ((frame = world_take()) != NULL)
		free(frame);
}

/* ---- raw and ping sockets hear of errors ---- */

static void test_ping_error(void **state)
{
	const struct sock_extended_err *error;
	uint8_t echo[16] = {8};
	struct frame *frame;

	(void)state;
	assert_int_equal(net_socket(host->net, AF_INET, SOCK_DGRAM, IPPROTO_ICMP, NULL, &sock), 0);
	set(sock, IPPROTO_IP, IP_RECVERR, 1);
	assert_int_equal(sock_connect(sock, "10.0.0.2", 0), 0);
	assert_int_equal(sock_send(sock, echo, sizeof(echo), 0), sizeof(echo));
	world_settle();
	frame = world_take();
	assert_non_null(frame);
	send_too_big(frame, 900);
	free(frame);
	receive(sock, MSG_ERRQUEUE);
	assert_true(in.n >= 8);
	assert_int_equal(in.data[0], 8); /* the echo request, from its header on */
	error = control(IPPROTO_IP, IP_RECVERR);
	assert_int_equal(error->ee_info, 900);
	assert_int_equal(error->ee_errno, EMSGSIZE);
}

#define PAIR(f) cmocka_unit_test_setup_teardown(f, two_stacks, two_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR(test_recverr_refused), PAIR(test_recverr_loopback),
		PAIR(test_too_big),         SCRIPT(test_pmtu_udp),
		SCRIPT(test_pmtu_tcp),      SCRIPT(test_reassembly_expires),
		PAIR(test_timestamps),      PAIR(test_controls),
		PAIR(test_controls6),       PAIR(test_segment),
		PAIR(test_device),          PAIR(test_ip6_global),
		PAIR(test_ip6_tcp),         PAIR(test_scope),
		SCRIPT(test_dad_defended),  SCRIPT(test_nd_override),
		SCRIPT(test_ping_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
