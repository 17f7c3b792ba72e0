/*
 * The stack against the Linux kernel's, over a TAP device in a network namespace of the test's own.
 * Both ends run in this one thread: the kernel's sockets are non-blocking and polled in the same
 * loop. The harness's link lies between the TAP device and the stack and spoils both ways.
 */
#include "tests/net/harness.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KERNEL_IP "10.0.0.2"
#define STACK_IP "10.0.0.1"

static int tap = -1;
static bool tap_vnet;
/* from the kernel's clock, which begins at boot, to the world's, which must not run backwards */
static uint64_t clock_shift_ns;

static uint64_t real_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}

/* ---- the TAP device ---- */

static void ifreq_ip(struct ifreq *ifr, const char *ip)
{
	struct sockaddr_in in = {.sin_family = AF_INET};

	inet_pton(AF_INET, ip, &in.sin_addr);
	memcpy(&ifr->ifr_addr, &in, sizeof(in));
}

static void tap_open(bool offload)
{
	struct ifreq ifr = {.ifr_name = "tap0"};
	int size = 12;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	assert_true(tap >= 0);
	ifr.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | (offload ? IFF_VNET_HDR : 0));
	assert_int_equal(ioctl(tap, TUNSETIFF, &ifr), 0);
	if (offload) {
		assert_int_equal(ioctl(tap, TUNSETVNETHDRSZ, &size), 0);
		assert_int_equal(ioctl(tap, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6),
				 0);
	}
	tap_vnet = offload;
	ifreq_ip(&ifr, KERNEL_IP);
	assert_int_equal(ioctl(fd, SIOCSIFADDR, &ifr), 0);
	ifreq_ip(&ifr, "255.255.255.0");
	assert_int_equal(ioctl(fd, SIOCSIFNETMASK, &ifr), 0);
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
	close(fd);
}

static void tap_write(const struct frame *frame)
{
	uint8_t buffer[70012];
	size_t at = 0;

	if (tap_vnet) {
		memcpy(buffer, frame->vnet, 12);
		at = 12;
	}
	memcpy(buffer + at, frame->data, frame->bytes);
	if (write(tap, buffer, at + frame->bytes) < 0)
		assert_int_equal(errno, EIO); /* malformed by the harness's dice */
}

static void tap_read(void)
{
	uint8_t buffer[70012];
	size_t at = tap_vnet ? 12 : 0;

	for (unsigned int i = 0; i < 64; i++) {
		ssize_t n = read(tap, buffer, sizeof(buffer));

		if (n < (ssize_t)at)
			return;
		world_offer(1, tap_vnet ? buffer : NULL, buffer + at, (size_t)n - at);
	}
}

/* One turn of the real world. */
static void turn(void)
{
	struct frame *frame;

	world.now_ns = real_ns() + clock_shift_ns;
	net_timers_run(world.hosts[0].net, world.now_ns);
	tap_read();
	world_settle();
	while ((frame = world_take()) != NULL) {
		tap_write(frame);
		free(frame);
	}
}

static void begin(bool offload, const struct link_model *link)
{
	world_init(42, offload ? FEATURES_ALL : FEATURES_PLAIN, false, 1500);
	clock_shift_ns = world.now_ns - real_ns();
	if (link != NULL)
		world.link = *link;
	else
		world.link.delay_ns = 0;
	tap_open(offload);
}

static void end(void)
{
	close(tap);
	tap = -1;
	world_finish();
}

/* A test that failed leaves its device behind, which the next one needs. */
static int teardown(void **state)
{
	(void)state;
	if (tap >= 0)
		end();
	return 0;
}

/* ---- bulk, both ways at once ---- */

struct side {
	uint64_t sent, received, hash_sent, hash_received;
	bool shut, ended;
};

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)((at * 2654435761u) >> 11 ^ at);
}

static uint64_t hash_add(uint64_t hash, const uint8_t *data, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ data[i]) * 0x100000001b3ull;
	return hash;
}

typedef ssize_t (*send_fn)(void *sock, const void *data, size_t bytes);
typedef ssize_t (*recv_fn)(void *sock, void *data, size_t bytes);

static ssize_t stack_send(void *sock, const void *data, size_t bytes)
{
	return sock_send(sock, data, bytes, 0);
}

static ssize_t stack_recv(void *sock, void *data, size_t bytes)
{
	return sock_recv(sock, data, bytes, 0);
}

static ssize_t kernel_send(void *sock, const void *data, size_t bytes)
{
	ssize_t n = send((int)(intptr_t)sock, data, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

static ssize_t kernel_recv(void *sock, void *data, size_t bytes)
{
	ssize_t n = recv((int)(intptr_t)sock, data, bytes, MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

static void side_step(struct side *s, void *sock, send_fn send_some, recv_fn recv_some,
		      uint64_t total)
{
	static uint8_t buffer[32768];
	ssize_t n = 1;

	while (s->sent < total && n > 0) {
		size_t want = sizeof(buffer) < total - s->sent ? sizeof(buffer) :
								 (size_t)(total - s->sent);

		for (size_t i = 0; i < want; i++)
			buffer[i] = pattern(s->sent + i);
		n = send_some(sock, buffer, want);
		if (n == -EAGAIN)
			break;
		assert_true(n > 0);
		s->hash_sent = hash_add(s->hash_sent, buffer, (size_t)n);
		s->sent += (uint64_t)n;
	}
	while (!s->ended) {
		n = recv_some(sock, buffer, sizeof(buffer));
		if (n == -EAGAIN)
			break;
		assert_true(n >= 0);
		s->ended = n == 0;
		s->hash_received = hash_add(s->hash_received, buffer, (size_t)n);
		s->received += (uint64_t)n;
	}
}

static void exchange(struct net_sock *stack, int kernel, uint64_t total, unsigned int seconds)
{
	struct side a = {0}, b = {0};
	uint64_t start = real_ns();

	while (!(a.ended && b.ended) && real_ns() - start < seconds * SEC) {
		turn();
		side_step(&a, stack, stack_send, stack_recv, total);
		side_step(&b, (void *)(intptr_t)kernel, kernel_send, kernel_recv, total);
		if (a.sent == total && !a.shut) {
			a.shut = true;
			assert_int_equal(net_shutdown(stack, SHUT_WR), 0);
		}
		if (b.sent == total && !b.shut) {
			b.shut = true;
			assert_int_equal(shutdown(kernel, SHUT_WR), 0);
		}
	}
	print_message("  %lu bytes each way: %lu ms; stack sent %lu received %lu\n", total,
		      (real_ns() - start) / MS, a.sent, a.received);
	assert_true(a.ended && b.ended);
	assert_int_equal(a.received, total);
	assert_int_equal(b.received, total);
	assert_int_equal(a.hash_sent, b.hash_received);
	assert_int_equal(b.hash_sent, a.hash_received);
}

static struct sockaddr_in kernel_addr(const char *ip, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, ip, &in.sin_addr);
	return in;
}

/* The stack connects to the kernel. */
static void connect_out(struct net_sock **ret_stack, int *ret_kernel)
{
	struct sockaddr_in addr = kernel_addr(KERNEL_IP, 9000);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int one = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(listener, (void *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 5), 0);
	fcntl(listener, F_SETFL, O_NONBLOCK);
	*ret_stack = sock_new(&world.hosts[0], AF_INET, SOCK_STREAM);
	assert_int_equal(sock_connect(*ret_stack, KERNEL_IP, 9000), -EINPROGRESS);
	*ret_kernel = -1;
	for (uint64_t start = real_ns(); *ret_kernel < 0 && real_ns() - start < 10 * SEC;) {
		turn();
		*ret_kernel = accept(listener, NULL, NULL);
	}
	assert_true(*ret_kernel >= 0);
	close(listener);
}

/* The kernel connects to the stack. */
static void connect_in(struct net_sock **ret_stack, int *ret_kernel)
{
	struct sockaddr_in addr = kernel_addr(STACK_IP, 9001);
	struct net_sock *listener = sock_listener(&world.hosts[0], 9001, 5);

	*ret_kernel = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(*ret_kernel, (void *)&addr, sizeof(addr)), -1);
	assert_int_equal(errno, EINPROGRESS);
	*ret_stack = NULL;
	for (uint64_t start = real_ns(); *ret_stack == NULL && real_ns() - start < 10 * SEC;) {
		turn();
		*ret_stack = sock_accept(listener);
	}
	assert_non_null(*ret_stack);
	net_close(listener);
}

static void bulk(bool offload, const struct link_model *link, uint64_t total, unsigned int seconds)
{
	struct net_sock *stack;
	int kernel;

	begin(offload, link);
	connect_out(&stack, &kernel);
	exchange(stack, kernel, total, seconds);
	net_close(stack);
	close(kernel);
	connect_in(&stack, &kernel);
	exchange(stack, kernel, total, seconds);
	net_close(stack);
	close(kernel);
	end();
}

static void test_bulk_offload(void **state)
{
	(void)state;
	bulk(true, NULL, 30000000, 30);
}

static void test_bulk_plain(void **state)
{
	(void)state;
	bulk(false, NULL, 10000000, 30);
}

static void test_bulk_loss(void **state)
{
	struct link_model link = {.delay_ns = 5 * MS, .loss_permille = 10};

	(void)state;
	bulk(true, &link, 2000000, 60);
	bulk(false, &link, 2000000, 60);
}

static void test_bulk_loss5(void **state)
{
	struct link_model link = {.delay_ns = 5 * MS, .loss_permille = 50};

	(void)state;
	bulk(false, &link, 300000, 60);
}

static void test_bulk_reorder(void **state)
{
	struct link_model link = {.delay_ns = 5 * MS,
				  .reorder_permille = 100,
				  .duplicate_permille = 20};

	(void)state;
	bulk(false, &link, 2000000, 60);
}

/* The kernel asks for ECN too; packets are marked, and neither end may lose anything by it. */
static void test_bulk_ecn(void **state)
{
	struct link_model link = {.delay_ns = 2 * MS, .ce_permille = 300};
	int fd = open("/proc/sys/net/ipv4/tcp_ecn", O_WRONLY);

	(void)state;
	if (fd < 0 || write(fd, "1", 1) != 1)
		skip(); /* /proc/sys is read-only */
	close(fd);
	for (int in = 0; in < 2; in++) {
		struct tcp_info info;
		socklen_t bytes = sizeof(info);
		struct net_sock *stack;
		int kernel, agreed;

		begin(false, &link);
		if (in)
			connect_in(&stack, &kernel);
		else
			connect_out(&stack, &kernel);
		assert_int_equal(net_getsockopt(stack, IPPROTO_TCP, TCP_INFO, &info, &bytes), 0);
		agreed = info.tcpi_options & TCPI_OPT_ECN;
		bytes = sizeof(info);
		assert_int_equal(getsockopt(kernel, IPPROTO_TCP, TCP_INFO, &info, &bytes), 0);
		/* not where the machine took a second for the handshake: SYNs again do without */
		assert_int_equal(info.tcpi_options & TCPI_OPT_ECN, agreed);
		exchange(stack, kernel, 1000000, 60);
		if (agreed)
			assert_true(world.ce_marks[0] > 0 && world.ce_marks[1] > 0);
		net_close(stack);
		close(kernel);
		end();
	}
}

/* ---- datagrams ---- */

static ssize_t stack_wait(struct net_sock *sock, void *data, size_t bytes)
{
	ssize_t n = -EAGAIN;

	for (uint64_t start = real_ns(); n == -EAGAIN && real_ns() - start < 5 * SEC;) {
		turn();
		n = sock_recv(sock, data, bytes, 0);
	}
	return n;
}

static ssize_t kernel_wait(int sock, void *data, size_t bytes)
{
	ssize_t n = -EAGAIN;

	for (uint64_t start = real_ns(); n == -EAGAIN && real_ns() - start < 5 * SEC;) {
		turn();
		n = kernel_recv((void *)(intptr_t)sock, data, bytes);
	}
	return n;
}

static void udp_echo(size_t bytes)
{
	struct sockaddr_in to = kernel_addr(STACK_IP, 7000);
	struct sockaddr_in own = kernel_addr(KERNEL_IP, 7001);
	struct net_sock *stack = sock_new(&world.hosts[0], AF_INET, SOCK_DGRAM);
	int kernel = socket(AF_INET, SOCK_DGRAM, 0);
	static uint8_t out[65536], in[65536];

	for (size_t i = 0; i < bytes; i++)
		out[i] = pattern(i);
	assert_int_equal(sock_bind(stack, "0.0.0.0", 7000), 0);
	assert_int_equal(bind(kernel, (void *)&own, sizeof(own)), 0);
	assert_int_equal(connect(kernel, (void *)&to, sizeof(to)), 0);
	assert_int_equal(kernel_send((void *)(intptr_t)kernel, out, bytes), bytes);
	assert_int_equal(stack_wait(stack, in, sizeof(in)), bytes);
	assert_memory_equal(in, out, bytes);
	assert_int_equal(sock_connect(stack, KERNEL_IP, 7001), 0);
	memset(in, 0, bytes);
	assert_int_equal(sock_send(stack, out, bytes, 0), bytes);
	assert_int_equal(kernel_wait(kernel, in, sizeof(in)), bytes);
	assert_memory_equal(in, out, bytes);
	net_close(stack);
	close(kernel);
}

static void test_udp(void **state)
{
	(void)state;
	for (int offload = 0; offload < 2; offload++) {
		begin(offload, NULL);
		udp_echo(0);
		udp_echo(1);
		udp_echo(1472);
		udp_echo(1473); /* fragments from here on */
		udp_echo(8000);
		udp_echo(60000);
		end();
	}
}

static void test_refused(void **state)
{
	struct sockaddr_in to = kernel_addr(STACK_IP, 7);
	char byte;
	struct net_sock *stack;
	int kernel;

	(void)state;
	begin(true, NULL);
	/* UDP: an ICMP error comes back, either way */
	kernel = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(connect(kernel, (void *)&to, sizeof(to)), 0);
	assert_int_equal(kernel_send((void *)(intptr_t)kernel, "x", 1), 1);
	assert_int_equal(kernel_wait(kernel, &byte, 1), -ECONNREFUSED);
	close(kernel);
	stack = sock_new(&world.hosts[0], AF_INET, SOCK_DGRAM);
	assert_int_equal(sock_connect(stack, KERNEL_IP, 7), 0);
	assert_int_equal(sock_send(stack, "x", 1, 0), 1);
	assert_int_equal(stack_wait(stack, &byte, 1), -ECONNREFUSED);
	net_close(stack);
	/* TCP: a reset */
	stack = sock_new(&world.hosts[0], AF_INET, SOCK_STREAM);
	assert_int_equal(sock_connect(stack, KERNEL_IP, 7), -EINPROGRESS);
	for (uint64_t start = real_ns(); real_ns() - start < 5 * SEC;) {
		turn();
		if (net_poll_events(stack) & POLLERR)
			break;
	}
	assert_int_equal(sock_error(stack), -ECONNREFUSED);
	net_close(stack);
	end();
}

static uint16_t icmp_checksum(const void *data, size_t bytes)
{
	const uint16_t *at = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < bytes / 2; i++)
		sum += at[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

static void test_ping(void **state)
{
	struct sockaddr_in to = kernel_addr(STACK_IP, 0);
	uint8_t packet[1000] = {ICMP_ECHO}, reply[1500];
	struct net_sock *stack;
	uint16_t sum;
	int kernel;

	(void)state;
	begin(true, NULL);
	for (size_t i = 8; i < sizeof(packet); i++)
		packet[i] = pattern(i);
	sum = icmp_checksum(packet, sizeof(packet));
	memcpy(packet + 2, &sum, 2);
	kernel = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	assert_true(kernel >= 0);
	assert_int_equal(sendto(kernel, packet, sizeof(packet), 0, (void *)&to, sizeof(to)),
			 sizeof(packet));
	assert_int_equal(kernel_wait(kernel, reply, sizeof(reply)), sizeof(packet) + 20);
	assert_int_equal(reply[20], ICMP_ECHOREPLY);
	assert_memory_equal(reply + 28, packet + 8, sizeof(packet) - 8);
	close(kernel);
	/* and from a ping socket of ours */
	assert_int_equal(net_socket(world.hosts[0].net, AF_INET, SOCK_DGRAM, IPPROTO_ICMP, NULL,
				    &stack),
			 0);
	assert_int_equal(sock_connect(stack, KERNEL_IP, 0), 0);
	assert_int_equal(sock_send(stack, packet, sizeof(packet), 0), sizeof(packet));
	assert_int_equal(stack_wait(stack, reply, sizeof(reply)), sizeof(packet));
	assert_int_equal(reply[0], ICMP_ECHOREPLY);
	net_close(stack);
	end();
}

/* ---- IPv6 over the link ---- */

static void test_ipv6(void **state)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(9002)};
	struct net_sock *listener, *stack = NULL;
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(9002)};
	int kernel = -1;
	uint64_t start = real_ns();

	(void)state;
	begin(true, NULL);
	listener = sock_new(&world.hosts[0], AF_INET6, SOCK_STREAM);
	assert_int_equal(net_bind(listener, (void *)&any, sizeof(any)), 0);
	assert_int_equal(net_listen(listener, 5), 0);
	inet_pton(AF_INET6, "fe80::ff:fe00:1", &to.sin6_addr);
	to.sin6_scope_id = if_nametoindex("tap0");
	/* the kernel's own address is tentative at first */
	while (stack == NULL && real_ns() - start < 8 * SEC) {
		if (kernel < 0) {
			kernel = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
			assert_true(kernel >= 0);
			if (connect(kernel, (void *)&to, sizeof(to)) < 0 && errno != EINPROGRESS) {
				close(kernel);
				kernel = -1;
			}
		}
		turn();
		stack = sock_accept(listener);
	}
	assert_non_null(stack);
	exchange(stack, kernel, 3000000, 20);
	net_close(stack);
	net_close(listener);
	close(kernel);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_bulk_offload, teardown),
		cmocka_unit_test_teardown(test_bulk_plain, teardown),
		cmocka_unit_test_teardown(test_bulk_loss, teardown),
		cmocka_unit_test_teardown(test_bulk_loss5, teardown),
		cmocka_unit_test_teardown(test_bulk_reorder, teardown),
		cmocka_unit_test_teardown(test_bulk_ecn, teardown),
		cmocka_unit_test_teardown(test_udp, teardown),
		cmocka_unit_test_teardown(test_refused, teardown),
		cmocka_unit_test_teardown(test_ping, teardown),
		cmocka_unit_test_teardown(test_ipv6, teardown),
	};

	if (unshare(CLONE_NEWNET) != 0 || access("/dev/net/tun", R_OK | W_OK) != 0) {
		fprintf(stderr, "skipped: needs root and /dev/net/tun\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
