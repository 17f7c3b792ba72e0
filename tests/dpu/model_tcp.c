/*
 * model_tcp.c - two instances that are only Leat's own TCP/IP stack, over the real dataplane: what
 *stack and DPU do together before there is a libOS above them.
 *
 *	dpu-model-tcp FILTER.bpf.o rr|bulk [connections] [seconds] [work-ns]
 *
 * rr: every connection sends 40 bytes and waits for 40. bulk: every connection sends as fast as it
 *can.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/leatd/dataplane.h"
#include "bpf/bpf.h"
#include "leat/abi/netdev.h"
#include "net/env.h"
#include "net/net.h"
#include "tests/dpu/kthread.h"

#define CONNS_MAX 1024U
#define MESSAGE_BYTES 40U
#define BULK_BYTES 65536U
#define PORT 6379U

struct shared {
	atomic_uint stop;
	_Atomic(uint64_t) requests, bytes;
};

struct conn {
	struct net_sock *sock;
	bool ready;
};

static struct shared *shared;
static const struct abi_control *control;
static unsigned nr_conns = 50;
static bool bulk;
static uint64_t work_ns;

/* The instance that this process is. */
static struct {
	struct kthread kt;
	struct net *net;
	struct conn conn[CONNS_MAX];
	unsigned nr_conns;
	unsigned ready[CONNS_MAX]; /* connections with events */
	unsigned nr_ready;
	uint64_t requests, bytes;
} me;

static char buffer[BULK_BYTES];

/* ---- net/env.h ---- */

void *net_env_alloc_raw(size_t bytes)
{
	return malloc(bytes);
}

void *net_env_alloc(size_t bytes)
{
	return calloc(1, bytes);
}

void net_env_free(void *ptr, size_t bytes)
{
	(void)bytes;
	free(ptr);
}

uint64_t net_env_now_ns(void)
{
	return kthread_now_ns();
}

uint64_t net_env_realtime_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void net_env_random(void *dst, size_t bytes)
{
	if (getrandom(dst, bytes, 0) < 0)
		abort();
}

int net_env_copy_in(void *dst, const void *src, size_t bytes)
{
	memcpy(dst, src, bytes);
	return 0;
}

int net_env_copy_out(void *dst, const void *src, size_t bytes)
{
	memcpy(dst, src, bytes);
	return 0;
}

void net_env_sock_event(struct net_sock *sock, void *owner, uint32_t events)
{
	struct conn *conn = owner;

	(void)sock;
	(void)events;
	if (conn->ready)
		return;
	conn->ready = true;
	me.ready[me.nr_ready++] = (unsigned)(conn - me.conn);
}

unsigned int net_env_vcpu(void)
{
	return 0;
}

void net_env_kick(struct net *net, unsigned int vcpu)
{
	(void)net;
	(void)vcpu;
}

/* ---- an instance ---- */

static void die(const char *what, int r)
{
	fprintf(stderr, "%s: %s\n", what, strerror(-r));
	exit(1);
}

static ssize_t transfer(struct conn *conn, size_t bytes, bool out)
{
	struct iovec iov = {buffer, bytes};
	struct net_msg msg = {.iov = &iov, .iov_count = 1};

	return out ? net_sendmsg(conn->sock, &msg, 0) : net_recvmsg(conn->sock, &msg, 0);
}

static void work_burn(void)
{
	uint64_t until = kthread_now_ns() + work_ns;

	while (work_ns && kthread_now_ns() < until)
		;
}

static void server_accept(struct conn *listener)
{
	for (;;) {
		struct conn *conn = &me.conn[me.nr_conns];

		if (me.nr_conns == CONNS_MAX || net_accept(listener->sock, &conn->sock))
			return;
		net_sock_set_owner(conn->sock, conn);
		me.nr_conns++;
		net_env_sock_event(conn->sock, conn, POLLIN);
	}
}

static void server_ready(struct conn *conn)
{
	ssize_t n;

	if (conn == &me.conn[0]) {
		server_accept(conn);
		return;
	}
	while ((n = transfer(conn, sizeof(buffer), false)) > 0) {
		me.bytes += (uint64_t)n;
		if (bulk)
			continue;
		work_burn();
		transfer(conn, (size_t)n, true);
	}
}

static void client_ready(struct conn *conn)
{
	if (bulk) {
		while (transfer(conn, sizeof(buffer), true) > 0)
			;
		return;
	}
	/* an event is either the connection or an answer */
	if (transfer(conn, MESSAGE_BYTES, false) > 0) {
		me.requests++;
		work_burn();
	} else if (me.requests > 0) {
		return;
	}
	transfer(conn, MESSAGE_BYTES, true);
}

static void sockets_make(bool server)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(PORT),
				   .sin_addr.s_addr = htonl(0x0a630003)};
	int one = 1, r;

	me.nr_conns = server ? 1 : nr_conns;
	for (unsigned i = 0; i < me.nr_conns; i++) {
		struct conn *conn = &me.conn[i];

		r = net_socket(me.net, AF_INET, SOCK_STREAM, 0, conn, &conn->sock);
		if (!r && !server) {
			net_setsockopt(conn->sock, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one,
				       sizeof(one));
			r = net_connect(conn->sock, (struct sockaddr *)&addr, sizeof(addr));
			r = r == -EINPROGRESS ? 0 : r;
		} else if (!r) {
			r = net_bind(conn->sock, (struct sockaddr *)&addr, sizeof(addr));
			if (!r)
				r = net_listen(conn->sock, 1024);
		}
		if (r)
			die("socket", r);
	}
}

static bool pending(void *arg)
{
	(void)arg;
	return net_rx_pending(me.net, 0);
}

/* Serves the connections that had events; those that come meanwhile are for the next time. */
static unsigned events_serve(bool server)
{
	static unsigned ready[CONNS_MAX];
	unsigned nr = me.nr_ready;

	memcpy(ready, me.ready, nr * sizeof(ready[0]));
	me.nr_ready = 0;
	for (unsigned i = 0; i < nr; i++) {
		struct conn *conn = &me.conn[ready[i]];

		conn->ready = false;
		if (server)
			server_ready(conn);
		else
			client_ready(conn);
		net_flush(me.net, 0);
	}
	return nr;
}

static void instance_run(bool server)
{
	while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
		int n = net_poll(me.net, 0, 256);
		unsigned nr;

		net_timers_run(me.net, kthread_now_ns());
		nr = events_serve(server);
		net_flush(me.net, 0);
		if (n > 0 || nr > 0) {
			kthread_give_way(&me.kt);
		} else {
			uint64_t at = net_next_deadline(me.net);

			kthread_idle(&me.kt, pending, NULL, at == NET_NO_DEADLINE ? 0 : at);
		}
		if (kthread_preempt_asked(&me.kt))
			kthread_park(&me.kt, 0, true);
	}
}

static void stats_print(bool server)
{
	struct net_stats stats;

	net_stats_get(me.net, &stats);
	printf("  %s: rx %llu tx %llu packets, retransmits %llu timeouts %llu "
	       "no_memory %llu ring_full "
	       "%llu parks %llu\n",
	       server ? "server" : "client", (unsigned long long)stats.rx_packets,
	       (unsigned long long)stats.tx_packets, (unsigned long long)stats.tcp_retransmits,
	       (unsigned long long)stats.tcp_timeouts, (unsigned long long)stats.rx_no_memory,
	       (unsigned long long)stats.tx_ring_full, (unsigned long long)me.kt.parks);
	fflush(stdout);
}

static void instance_main(bool server, void *window)
{
	struct abi_netdev *dev = abi_netdev_of(window);
	struct net_config config = {
		.ip.s_addr = dev->ipv4_be,
		.prefix_bits = (uint8_t)dev->prefix_len,
		.gateway.s_addr = dev->gateway_be,
		.mtu = dev->mtu,
		.loopback = true,
		.window = window,
		.dev = dev,
		.buf_offset = ABI_BUFS_OFF,
		.buf_bytes = ABI_WINDOW_SIZE - ABI_BUFS_OFF,
		.queue_pairs = 1,
	};
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memcpy(config.mac, dev->mac, sizeof(config.mac));
	kthread_init(&me.kt, control, window);
	kthread_wait_grant(&me.kt);
	r = net_init(&config, &me.net);
	if (r)
		die("net_init", r);
	sockets_make(server);
	net_flush(me.net, 0);
	instance_run(server);
	atomic_fetch_add(&shared->requests, me.requests);
	atomic_fetch_add(&shared->bytes, me.bytes);
	stats_print(server);
	_exit(0);
}

/* ---- leatd's part ---- */

static void log_line(const char *line)
{
	fprintf(stderr, "dataplane: %s\n", line);
}

static struct ebpf_object *filter_load(const char *path)
{
	static char elf[1 << 20], log[EBPF_LOG_SIZE];
	FILE *file = fopen(path, "rb");
	struct ebpf_object *object;
	size_t size;

	if (!file)
		die(path, -errno);
	size = fread(elf, 1, sizeof(elf), file);
	fclose(file);
	if (ebpf_object_load(elf, size, log, sizeof(log), &object)) {
		fputs(log, stderr);
		exit(1);
	}
	return object;
}

static void *instance_add(unsigned i, struct ebpf_object *filter, struct dp_instance **ret_inst)
{
	int fd = memfd_create("window", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct dp_instance_config config = {
		.id = 1 + i,
		.tenant = 1,
		.nr_vcpus = 1,
		.window_fd = fd,
		.mac = {2, 0x1e, 0xa7, 0, 0, (uint8_t)(1 + i)},
		.mtu = 1500,
		.ipv4_be = htonl(0x0a630002 + i),
		.prefix_len = 16,
		.gateway_be = htonl(0x0a630001),
		.filter = filter,
	};
	void *window;
	int r;

	if (ftruncate(fd, ABI_WINDOW_SIZE) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		die("window", -errno);
	window = mmap(NULL, ABI_WINDOW_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	r = dataplane_instance_add(&config, ret_inst);
	if (r)
		die("instance", r);
	return window;
}

static double seconds_of(struct timeval tv)
{
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static void report(double seconds)
{
	struct rusage own, kids;

	getrusage(RUSAGE_SELF, &own);
	getrusage(RUSAGE_CHILDREN, &kids);
	if (bulk)
		printf("bulk, %u connections: %.2f Gbit/s", nr_conns,
		       (double)shared->bytes * 8 / seconds / 1e9);
	else
		printf("rr, %u connections: %.0f requests/s, %.1f us", nr_conns,
		       (double)shared->requests / seconds,
		       seconds * 1e6 * nr_conns / (double)shared->requests);
	printf(", cpu: instances %.2f dataplane %.2f cores\n",
	       (seconds_of(kids.ru_utime) + seconds_of(kids.ru_stime)) / seconds,
	       (seconds_of(own.ru_utime) + seconds_of(own.ru_stime)) / seconds);
}

int main(int argc, char **argv)
{
	struct dataplane_config config = {.netns = "leat-model",
					  .uplink_name = "leat0",
					  .uplink_ip_be = htonl(0x0a630001),
					  .uplink_prefix = 16,
					  .log = log_line};
	double seconds = argc > 4 ? atof(argv[4]) : 2;
	struct ebpf_object *filter;
	struct dp_instance *inst[2];
	void *window[2];
	pid_t pid[2];

	if (argc < 3) {
		fprintf(stderr, "usage: %s FILTER rr|bulk [connections [seconds [work-ns]]]\n",
			argv[0]);
		return 2;
	}
	bulk = strcmp(argv[2], "bulk") == 0;
	if (argc > 3)
		nr_conns = (unsigned)atoi(argv[3]);
	if (argc > 5)
		work_ns = (uint64_t)atol(argv[5]);
	filter = filter_load(argv[1]);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || dataplane_start(&config))
		die("dataplane", -errno);
	dataplane_uplink_wait(5000);
	control = mmap(NULL, 4096, PROT_READ, MAP_SHARED, dataplane_control_fd(), 0);
	for (unsigned i = 0; i < 2; i++)
		window[i] = instance_add(i, filter, &inst[i]);
	for (unsigned i = 2; i-- > 0;) {
		pid[i] = fork();
		if (pid[i] == 0)
			instance_main(i == 1, window[i]);
		usleep(20000); /* the server listens before the client connects */
	}
	usleep((useconds_t)(seconds * 1e6));
	atomic_store(&shared->stop, 1);
	for (unsigned i = 0; i < 2; i++) {
		dataplane_instance_signal(inst[i], 1);
		waitpid(pid[i], NULL, 0);
	}
	report(seconds);
	for (unsigned i = 0; i < 2; i++)
		dataplane_instance_remove(inst[i]);
	dataplane_stop();
	ebpf_object_unref(filter);
	return 0;
}
