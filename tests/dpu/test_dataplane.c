/*
 * The dataplane threads with real windows: grants, deadlines, signals, removal, the uplink,
 * idleness; and published ports against the kernel's sockets. Needs root: it makes a network
 * namespace.
 */
#include "tests/dpu/fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "apps/leatd/dataplane.h"

#define WAIT_MS 3000

static char netns[32];
static struct ebpf_object *filter;
static struct driver driver[2];
static struct dp_instance *inst[2];
static pid_t spinners[ABI_MAX_CORES + 1];
static unsigned nr_spinners;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static void log_line(const char *line)
{
	fprintf(stderr, "dataplane: %s\n", line);
}

static int group_setup(void **state)
{
	struct dataplane_config config = {.netns = netns,
					  .uplink_name = "leat0",
					  .uplink_ip_be = 0x0100630a,
					  .uplink_prefix = 16,
					  .log = log_line};

	(void)state;
	snprintf(netns, sizeof(netns), "leat-test-%d", getpid());
	filter = fixture_filter("antispoof");
	assert_int_equal(dataplane_start(&config), 0);
	assert_int_equal(dataplane_uplink_wait(5000), 0);
	return 0;
}

static int group_teardown(void **state)
{
	char path[64];

	(void)state;
	dataplane_stop();
	ebpf_object_unref(filter);
	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	return access(path, F_OK) == 0 ? -1 : 0;
}

static struct dp_instance_config config_of(unsigned i)
{
	struct dp_instance_config config = {
		.id = 1 + i,
		.tenant = 1,
		.nr_vcpus = 2,
		.window_fd = driver[i].fd,
		.mtu = 1500,
		.ipv4_be = fixture_ip(i),
		.prefix_len = 16,
		.filter = filter,
	};

	fixture_mac(i, config.mac);
	return config;
}

static int setup(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct dp_instance_config config;

		assert_int_equal(driver_create(&driver[i]), 0);
		config = config_of(i);
		assert_int_equal(dataplane_instance_add(&config, &inst[i]), 0);
		driver_start(&driver[i], 32);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	/* also when a test failed half-way */
	while (nr_spinners > 0) {
		kill(spinners[--nr_spinners], SIGKILL);
		waitpid(spinners[nr_spinners], NULL, 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		dataplane_instance_remove(inst[i]);
		driver_destroy(&driver[i]);
	}
	return 0;
}

static struct abi_vcpu *slot(unsigned i, unsigned vcpu)
{
	return abi_vcpu_of(driver[i].window, vcpu);
}

static bool granted(unsigned i, unsigned vcpu)
{
	return __atomic_load_n(&slot(i, vcpu)->grant, __ATOMIC_ACQUIRE) !=
	       slot(i, vcpu)->parked_grant;
}

static void wait_granted(unsigned i, unsigned vcpu)
{
	for (unsigned ms = 0; !granted(i, vcpu); ms++) {
		assert_true(ms < WAIT_MS);
		usleep(1000);
	}
	slot(i, vcpu)->state = ABI_VCPU_RUNNING;
}

static void ring(void)
{
	uint64_t one = 1;

	assert_int_equal(write(dataplane_doorbell_fd(slot(0, 0)->core), &one, sizeof(one)), 8);
}

static void park(unsigned i, unsigned vcpu, uint64_t deadline_ns, enum abi_vcpu_state how)
{
	slot(i, vcpu)->deadline_ns = deadline_ns;
	slot(i, vcpu)->state = how;
	__atomic_store_n(&slot(i, vcpu)->parked_grant, slot(i, vcpu)->grant, __ATOMIC_RELEASE);
}

static void test_first_grant(void **state)
{
	(void)state;
	wait_granted(0, 0);
	assert_false(granted(0, 1));
	assert_int_equal(dataplane_instance_block(inst[0])->magic, ABI_MAGIC);
	assert_int_equal(dataplane_instance_block(inst[0])->nr_vcpus, 2);
}

static void test_deadline_grants(void **state)
{
	uint64_t before = now_ns();

	(void)state;
	wait_granted(0, 0);
	park(0, 0, before + 20000000, ABI_VCPU_PARKED);
	wait_granted(0, 0);
	assert_in_range(now_ns() - before, 20000000, 40000000);
}

static void test_want_grants_again(void **state)
{
	uint32_t before;

	(void)state;
	wait_granted(0, 0);
	before = slot(0, 0)->grant;
	park(0, 0, 0, ABI_VCPU_WANT);
	ring();
	wait_granted(0, 0);
	assert_int_equal(slot(0, 0)->grant, before + 1);
}

static void test_sibling_is_granted(void **state)
{
	(void)state;
	wait_granted(0, 0);
	slot(0, 1)->state = ABI_VCPU_WANT;
	ring();
	wait_granted(0, 1);
}

static void test_signal_grants(void **state)
{
	(void)state;
	wait_granted(0, 0);
	park(0, 0, 0, ABI_VCPU_PARKED);
	usleep(20000);
	assert_false(granted(0, 0));
	dataplane_instance_signal(inst[0], 1U << 14);
	wait_granted(0, 0);
	assert_int_equal(dataplane_instance_block(inst[0])->ext_signals, 1U << 14);
}

/* A frame for a sleeping instance wakes it; one that came just before it parked does too. */
static void test_frame_grants(void **state)
{
	struct virtio_net_hdr_mrg_rxbuf hdr;
	uint8_t frame[200], got[200];
	size_t bytes = fixture_frame(0, 1, 60, frame);

	(void)state;
	wait_granted(0, 0);
	wait_granted(1, 0);
	for (unsigned i = 0; i < 200; i++) {
		if (i % 2)
			park(1, 0, 0, ABI_VCPU_PARKED);
		assert_true(driver_send(&driver[0], 0, NULL, frame, bytes, 1000));
		ring();
		if (i % 2 == 0) {
			while (driver[1].rx[0].used->idx == driver[1].rx[0].used_seen)
				sched_yield();
			park(1, 0, 0, ABI_VCPU_PARKED); /* without having looked */
		}
		wait_granted(1, 0);
		for (unsigned ms = 0; !driver_receive(&driver[1], 0, &hdr, got, sizeof(got));
		     ms++) {
			assert_true(ms < WAIT_MS);
			usleep(1000);
		}
	}
}

/* Everything parked: the whole process, dataplane threads and all, uses next to nothing. */
static void test_idle_costs_nothing(void **state)
{
	struct rusage before, after;
	double used;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		wait_granted(i, 0);
		park(i, 0, 0, ABI_VCPU_PARKED);
	}
	usleep(100000);
	getrusage(RUSAGE_SELF, &before);
	usleep(1000000);
	getrusage(RUSAGE_SELF, &after);
	used = (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) +
	       (double)(after.ru_stime.tv_usec - before.ru_stime.tv_usec) +
	       1e6 * (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec +
			      after.ru_stime.tv_sec - before.ru_stime.tv_sec);
	assert_true(used < 10000); /* 1% of a core */
}

/* What the instance writes into leatd's words is not read back. */
static void test_forged_words(void **state)
{
	(void)state;
	wait_granted(0, 0);
	slot(0, 0)->core = 4000000000U;
	slot(0, 0)->grant += 17;
	slot(0, 1)->state = 12345;
	slot(0, 1)->parked_grant = 99;
	abi_netdev_of(driver[0].window)->nr_queue_pairs = 1000;
	abi_netdev_of(driver[0].window)->device_features = ~0ULL;
	usleep(20000);
	/* the other instance does not notice */
	wait_granted(1, 0);
	park(1, 0, 0, ABI_VCPU_PARKED);
	dataplane_instance_signal(inst[1], 1);
	wait_granted(1, 0);
}

static void test_unsealed_window(void **state)
{
	struct dp_instance_config config = config_of(0);
	struct dp_instance *none = NULL;
	int fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	assert_int_equal(ftruncate(fd, DRIVER_WINDOW_BYTES), 0);
	config.window_fd = fd;
	assert_int_equal(dataplane_instance_add(&config, &none), -EINVAL);
	config.window_fd = 0;
	assert_int_equal(dataplane_instance_add(&config, &none), -EINVAL);
	close(fd);
	config = config_of(0);
	assert_int_equal(dataplane_instance_add(&config, &none), -EEXIST);
	assert_null(none);
}

static void test_come_and_go(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		struct dp_instance_config config = config_of(i & 1);

		dataplane_instance_remove(inst[i & 1]);
		assert_int_equal(dataplane_instance_add(&config, &inst[i & 1]), 0);
	}
}

/* A process with the instance's uid that never gives way, on the core that was granted. */
static pid_t spinner_start(unsigned core)
{
	pid_t pid = fork();
	cpu_set_t set;

	if (pid) {
		spinners[nr_spinners++] = pid;
		return pid;
	}
	CPU_ZERO(&set);
	CPU_SET(core, &set);
	sched_setaffinity(0, sizeof(set), &set);
	signal(SIGURG, SIG_IGN);
	if (setresuid(60123, 60123, 60123) || prctl(PR_SET_PDEATHSIG, SIGKILL))
		_exit(1);
	for (;;)
		;
}

static int scheduler_of(pid_t pid, int wanted)
{
	for (unsigned ms = 0; ms < WAIT_MS && sched_getscheduler(pid) != wanted; ms++)
		usleep(1000);
	return sched_getscheduler(pid);
}

/*
 * Two instances with work on one core, one of which never gives way: it gets what the other leaves,
 * and is as before at its next grant. With a core for each nobody interferes.
 */
static void test_deaf_process(void **state)
{
	pid_t pid;

	(void)state;
	wait_granted(0, 0);
	pid = spinner_start(slot(0, 0)->core);
	dataplane_instance_set_process(inst[0], pid, 60123);
	wait_granted(1, 0);
	slot(1, 0)->state = ABI_VCPU_RUNNING; /* it has work, and is kept from it */
	if (slot(0, 0)->core == slot(1, 0)->core && dataplane_nr_cores() == 1) {
		assert_int_equal(scheduler_of(pid, SCHED_IDLE), SCHED_IDLE);
		/* alone on its core it stays as it is from then on */
		park(1, 0, 0, ABI_VCPU_PARKED);
		park(0, 0, 0, ABI_VCPU_WANT);
		wait_granted(0, 0);
		assert_int_equal(scheduler_of(pid, SCHED_OTHER), SCHED_OTHER);
	} else {
		usleep(50000);
		assert_int_equal(sched_getscheduler(pid), SCHED_OTHER);
	}
}

/* Next to a spinner on every core, a sleeping instance still gets its core in time. */
static void test_wake_beside_spinners(void **state)
{
	uint64_t worst_ns = 0;

	(void)state;
	wait_granted(0, 0);
	park(0, 0, 0, ABI_VCPU_PARKED);
	for (unsigned cpu = 0; cpu < ABI_MAX_CORES; cpu++)
		if (dataplane_doorbell_fd(cpu) >= 0)
			spinner_start(cpu);
	for (unsigned i = 0; i < 50; i++) {
		uint64_t asked_ns;

		usleep(5000);
		asked_ns = now_ns();
		dataplane_instance_signal(inst[0], 1);
		wait_granted(0, 0);
		if (slot(0, 0)->granted_ns - asked_ns > worst_ns)
			worst_ns = slot(0, 0)->granted_ns - asked_ns;
		park(0, 0, now_ns() + 1000000, ABI_VCPU_PARKED);
		for (unsigned us = 0; !granted(0, 0) && us < 100000; us += 100)
			usleep(100);
		assert_true(granted(0, 0));
		slot(0, 0)->state = ABI_VCPU_RUNNING;
		park(0, 0, 0, ABI_VCPU_PARKED);
	}
	assert_true(worst_ns < 20000000);
}

/* ---- the uplink ---- */

/* A socket in the namespace of the uplink: made by a thread that goes there. */
static void *uplink_socket_make(void *arg)
{
	char path[64];
	int ns;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns >= 0 && setns(ns, CLONE_NEWNET) == 0)
		*(int *)arg = socket(AF_INET, SOCK_DGRAM, 0);
	close(ns);
	return NULL;
}

static size_t receive_patiently(unsigned i, struct virtio_net_hdr_mrg_rxbuf *ret_hdr,
				uint8_t *frame, size_t room)
{
	size_t bytes;

	for (unsigned ms = 0; ms < WAIT_MS; ms++) {
		bytes = driver_receive(&driver[i], 0, ret_hdr, frame, room);
		if (bytes)
			return bytes;
		usleep(1000);
	}
	return 0;
}

/* The filter's own counters say that it judged each frame, of the uplink too. */
static void executions_equal_packets(void)
{
	struct dp_instance_stats stats;
	uint64_t in = 0, out = 0;

	dataplane_instance_stats(inst[0], &stats);
	assert_int_equal(dataplane_instance_filter_counter(inst[0], LEAT_COUNT_INGRESS, &in), 0);
	assert_int_equal(dataplane_instance_filter_counter(inst[0], LEAT_COUNT_EGRESS, &out), 0);
	assert_true(in > 0 && out > 0);
	assert_int_equal(in, stats.queue[0].rx_packets + stats.queue[1].rx_packets);
	assert_int_equal(out, stats.queue[0].tx_packets + stats.queue[1].tx_packets);
}

/* To the kernel behind the TAP and back: ARP is answered for the instance, sums are left open. */
static void test_uplink(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(7777),
				 .sin_addr.s_addr = fixture_ip(0)};
	struct timeval patience = {.tv_sec = 3};
	struct virtio_net_hdr open_sum = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					  .csum_start = 34,
					  .csum_offset = 6};
	struct virtio_net_hdr_mrg_rxbuf hdr;
	uint8_t frame[2048], answer[2048];
	uint32_t sum = 0;
	pthread_t thread;
	uint8_t mac[6];
	size_t bytes;
	int fd = -1;

	(void)state;
	wait_granted(0, 0);
	pthread_create(&thread, NULL, uplink_socket_make, &fd);
	pthread_join(thread, NULL);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(sendto(fd, "ping", 4, 0, (struct sockaddr *)&to, sizeof(to)), 4);
	bytes = receive_patiently(0, &hdr, frame, sizeof(frame));
	assert_int_equal(bytes, 46);
	fixture_mac(0, mac);
	assert_memory_equal(frame, mac, 6);
	assert_memory_equal(frame + 42, "ping", 4);

	/* the answer: everything turned round, the transport's sum begun with its pseudo header */
	memcpy(answer, frame, bytes);
	memcpy(answer, frame + 6, 6);
	memcpy(answer + 6, frame, 6);
	memcpy(answer + 26, frame + 30, 4);
	memcpy(answer + 30, frame + 26, 4);
	memcpy(answer + 34, frame + 36, 2);
	memcpy(answer + 36, frame + 34, 2);
	for (unsigned i = 26; i < 34; i += 2)
		sum += (uint32_t)(answer[i] << 8 | answer[i + 1]);
	sum += 17 + 12;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	answer[40] = (uint8_t)(sum >> 8);
	answer[41] = (uint8_t)sum;
	memcpy(answer + 42, "pong", 4);
	assert_true(driver_send(&driver[0], 0, &open_sum, answer, bytes, 1000));
	ring();
	assert_int_equal(recv(fd, frame, sizeof(frame), 0), 4);
	assert_memory_equal(frame, "pong", 4);
	close(fd);
	executions_equal_packets();
}

/* ---- published ports ---- */

/* A server inside the namespace, on the uplink's own address: echoes until the end, then ends. */
struct server {
	int fd;
	uint16_t port;
	int type;
	pthread_t thread;
};

static void *echo(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buffer[65536];
	ssize_t n;

	while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0)
		for (ssize_t at = 0; at < n;) {
			ssize_t sent = send(fd, buffer + at, (size_t)(n - at), MSG_NOSIGNAL);

			if (sent < 0)
				goto out;
			at += sent;
		}
	/* the end of the stream came through: say so, then end our own way */
	send(fd, "bye", 3, MSG_NOSIGNAL);
out:
	close(fd);
	return NULL;
}

static void *tcp_server(void *arg)
{
	struct server *server = arg;
	int fd;

	while ((fd = accept(server->fd, NULL, NULL)) >= 0) {
		pthread_t thread;

		pthread_create(&thread, NULL, echo, (void *)(intptr_t)fd);
		pthread_detach(thread);
	}
	return NULL;
}

static void *udp_server(void *arg)
{
	struct server *server = arg;
	struct sockaddr_in peer;
	socklen_t size = sizeof(peer);
	char buffer[2048];
	ssize_t n;

	while ((n = recvfrom(server->fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&peer,
			     &size)) > 0)
		sendto(server->fd, buffer, (size_t)n, 0, (struct sockaddr *)&peer, size);
	return NULL;
}

static void *server_make(void *arg)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = 0x0100630a};
	struct server *server = arg;
	socklen_t size = sizeof(addr);
	char path[64];
	int ns;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	ns = open(path, O_RDONLY);
	if (ns < 0 || setns(ns, CLONE_NEWNET))
		return NULL;
	close(ns);
	server->fd = socket(AF_INET, server->type, 0);
	if (bind(server->fd, (struct sockaddr *)&addr, sizeof(addr)) == 0) {
		getsockname(server->fd, (struct sockaddr *)&addr, &size);
		server->port = ntohs(addr.sin_port);
	}
	if (server->type == SOCK_STREAM)
		listen(server->fd, 128);
	return server->type == SOCK_STREAM ? tcp_server(server) : udp_server(server);
}

static void server_start(struct server *server, int type)
{
	*server = (struct server){.fd = -1, .type = type};
	assert_int_equal(pthread_create(&server->thread, NULL, server_make, server), 0);
	for (unsigned ms = 0; server->port == 0 && ms < WAIT_MS; ms++)
		usleep(1000);
	assert_int_not_equal(server->port, 0);
}

static void server_stop(struct server *server)
{
	shutdown(server->fd, SHUT_RDWR);
	if (server->type == SOCK_DGRAM)
		pthread_cancel(server->thread);
	pthread_join(server->thread, NULL);
	close(server->fd);
}

static uint16_t free_port(int type)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(addr);
	int fd = socket(AF_INET, type, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	getsockname(fd, (struct sockaddr *)&addr, &size);
	close(fd);
	return ntohs(addr.sin_port);
}

static unsigned publish(enum dp_publish_proto proto, uint16_t host_port, uint16_t guest_port)
{
	struct dp_publish what = {
		.proto = proto,
		.host_ip_be = htonl(INADDR_LOOPBACK),
		.host_port = host_port,
		.guest_ip_be = 0x0100630a,
		.guest_port = guest_port,
	};
	char error[128] = "";
	unsigned id;

	if (dataplane_publish(&what, error, sizeof(error), &id))
		fail_msg("%s", error);
	return id;
}

static int client(int type, uint16_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval patience = {.tv_sec = 10};
	int fd = socket(AF_INET, type, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

struct pusher {
	int fd;
	size_t bytes;
};

static void *push(void *arg)
{
	struct pusher *pusher = arg;
	static uint8_t block[65536];

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i % 251);
	for (size_t at = 0; at < pusher->bytes;) {
		size_t from = at % 251, room = sizeof(block) - from;
		size_t want = pusher->bytes - at < room ? pusher->bytes - at : room;
		ssize_t n = send(pusher->fd, block + from, want, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	shutdown(pusher->fd, SHUT_WR);
	return NULL;
}

/* Bytes through and back, in both directions at once, the half close too. */
static void tcp_round(uint16_t port, size_t bytes, unsigned pause_us)
{
	struct pusher pusher = {.fd = client(SOCK_STREAM, port), .bytes = bytes};
	uint8_t buffer[50000];
	size_t got = 0;
	pthread_t thread;
	ssize_t n;

	assert_int_equal(pthread_create(&thread, NULL, push, &pusher), 0);
	while ((n = recv(pusher.fd, buffer, sizeof(buffer), 0)) > 0) {
		for (ssize_t i = 0; i < n; i++, got++)
			if (got < bytes && buffer[i] != got % 251)
				fail_msg("byte %zu is wrong", got);
		usleep(pause_us);
	}
	assert_int_equal(n, 0);
	assert_int_equal(got, bytes + 3);
	pthread_join(thread, NULL);
	close(pusher.fd);
}

static void test_proxy_tcp(void **state)
{
	struct dp_publish_stats stats;
	uint16_t port = free_port(SOCK_STREAM);
	struct server server;
	unsigned id;

	(void)state;
	server_start(&server, SOCK_STREAM);
	id = publish(DP_PUBLISH_TCP, port, server.port);
	tcp_round(port, 0, 0);
	tcp_round(port, 1, 0);
	tcp_round(port, 20000000, 0);
	tcp_round(port, 3000000, 1000); /* a slow reader */
	assert_int_equal(dataplane_publish_stats(id, &stats), 0);
	assert_int_equal(stats.connections, 4);
	assert_int_equal(stats.bytes_in, 23000001);
	assert_int_equal(stats.bytes_out, 23000001 + 12);
	dataplane_unpublish(id);
	assert_int_equal(dataplane_publish_stats(id, &stats), -ENOENT);
	server_stop(&server);
}

static void test_proxy_many(void **state)
{
	uint16_t port = free_port(SOCK_STREAM);
	struct dp_publish_stats stats;
	struct server server;
	char buffer[64];
	int fd[200];
	unsigned id;

	(void)state;
	server_start(&server, SOCK_STREAM);
	id = publish(DP_PUBLISH_TCP, port, server.port);
	for (unsigned i = 0; i < 200; i++)
		fd[i] = client(SOCK_STREAM, port);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 200; i++)
			assert_int_equal(send(fd[i], &i, sizeof(i), 0), sizeof(i));
		for (unsigned i = 0; i < 200; i++) {
			assert_int_equal(recv(fd[i], buffer, sizeof(buffer), 0), sizeof(i));
			assert_memory_equal(buffer, &i, sizeof(i));
		}
	}
	assert_int_equal(dataplane_publish_stats(id, &stats), 0);
	assert_int_equal(stats.active, 200);
	/* the end of publishing ends them all */
	dataplane_unpublish(id);
	for (unsigned i = 0; i < 200; i++) {
		assert_true(recv(fd[i], buffer, sizeof(buffer), 0) <= 0);
		close(fd[i]);
	}
	server_stop(&server);
}

static void test_proxy_refused(void **state)
{
	uint16_t port = free_port(SOCK_STREAM);
	unsigned id = publish(DP_PUBLISH_TCP, port, 1); /* nobody listens there */
	char buffer[8];
	int fd;

	(void)state;
	fd = client(SOCK_STREAM, port);
	assert_int_equal(recv(fd, buffer, sizeof(buffer), 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
	dataplane_unpublish(id);
}

static void test_proxy_port_taken(void **state)
{
	uint16_t port = free_port(SOCK_STREAM);
	unsigned id = publish(DP_PUBLISH_TCP, port, 1), other = 0;
	struct dp_publish what = {
		.host_ip_be = htonl(INADDR_LOOPBACK),
		.host_port = port,
		.guest_ip_be = 0x0100630a,
		.guest_port = 1,
	};
	char error[128];

	(void)state;
	assert_int_equal(dataplane_publish(&what, error, sizeof(error), &other), -EADDRINUSE);
	assert_non_null(strstr(error, "Address already in use"));
	assert_non_null(strstr(error, "127.0.0.1:"));
	what.host_ip_be = 0x01010101;
	assert_int_equal(dataplane_publish(&what, error, sizeof(error), &other), -EADDRNOTAVAIL);
	assert_int_equal(other, 0);
	dataplane_unpublish(id);
	dataplane_unpublish(id);
	id = publish(DP_PUBLISH_TCP, port, 1);
	dataplane_unpublish(id);
}

static void test_proxy_udp(void **state)
{
	uint16_t port = free_port(SOCK_DGRAM);
	struct server server;
	char buffer[2048];
	unsigned id;

	(void)state;
	server_start(&server, SOCK_DGRAM);
	id = publish(DP_PUBLISH_UDP, port, server.port);
	for (unsigned i = 0; i < 20; i++) {
		int fd = client(SOCK_DGRAM, port);

		assert_int_equal(send(fd, buffer, 100 + i, 0), 100 + i);
		assert_int_equal(recv(fd, buffer, sizeof(buffer), 0), 100 + i);
		close(fd);
	}
	dataplane_unpublish(id);
	server_stop(&server);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_first_grant),
		TEST(test_deadline_grants),
		TEST(test_want_grants_again),
		TEST(test_sibling_is_granted),
		TEST(test_signal_grants),
		TEST(test_frame_grants),
		TEST(test_idle_costs_nothing),
		TEST(test_forged_words),
		TEST(test_unsealed_window),
		TEST(test_come_and_go),
		TEST(test_deaf_process),
		TEST(test_wake_beside_spinners),
		TEST(test_uplink),
		cmocka_unit_test(test_proxy_tcp),
		cmocka_unit_test(test_proxy_many),
		cmocka_unit_test(test_proxy_refused),
		cmocka_unit_test(test_proxy_port_taken),
		cmocka_unit_test(test_proxy_udp),
	};

	if (geteuid() != 0)
		return 77; /* skipped */
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
