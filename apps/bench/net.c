/*
 * Load on a network, by an ordinary program that knows nothing of what it runs on.
 *
 *	bench-net server PORT                    echoes, sinks and counts until it is killed
 *	bench-net rr ADDRESS PORT N SECONDS [TEXT BYTES]
 *	                                         N connections, a byte to and fro on each; or TEXT
 *(\r and \n are known) to and an answer of BYTES fro bench-net bulk ADDRESS PORT N SECONDS    N
 *connections, as much as goes bench-net udp ADDRESS PORT 1 SECONDS     datagrams of 64 bytes;
 *counted where they arrive bench-net connect ADDRESS PORT 1 COUNT   connect, a byte to and fro,
 *close
 *
 * The server echoes on PORT .. PORT+15, sinks TCP on PORT+16 (and answers the end of a stream with
 * the count of its bytes), counts datagrams on PORT+17, and tells that count on PORT+17's TCP side.
 * A client prints: operations, seconds, median, p99 and maximum of an operation in us (0: none).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ECHO_PORTS 16
#define SINK_PORT 16
#define UDP_PORT 17
#define FDS_MAX 1024
#define CHUNK 131072
#define UDP_BYTES 64
#define UDP_TURN 64 /* datagrams between two looks at the clock or at the other sockets */

enum role {
	ROLE_NONE,
	ROLE_LISTEN_ECHO,
	ROLE_LISTEN_SINK,
	ROLE_LISTEN_COUNT,
	ROLE_ECHO,
	ROLE_SINK,
	ROLE_UDP
};

static enum role role[FDS_MAX];
static uint64_t sunk[FDS_MAX];
static uint64_t datagrams;
static char chunk[CHUNK];

static void die(const char *what)
{
	fprintf(stderr, "bench-net: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static struct sockaddr_in address(const char *ip, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	if (inet_pton(AF_INET, ip, &a.sin_addr) != 1) {
		errno = EINVAL;
		die(ip);
	}
	return a;
}

static void watch(int epoll, int fd, enum role as, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	if (fd < 0 || fd >= FDS_MAX)
		die("socket");
	role[fd] = as;
	sunk[fd] = 0;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

/* ---- the server ---- */

static void serve_on(int epoll, int port, int type, enum role as)
{
	struct sockaddr_in a = address("0.0.0.0", port);
	int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || (type == SOCK_STREAM && listen(fd, 1024)))
		die("bind");
	watch(epoll, fd, as, EPOLLIN);
}

static void accept_all(int epoll, int listener)
{
	int fd, one = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		if (role[listener] == ROLE_LISTEN_COUNT) {
			if (write(fd, &datagrams, sizeof(datagrams)) != sizeof(datagrams))
				die("count");
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		watch(epoll, fd, role[listener] == ROLE_LISTEN_ECHO ? ROLE_ECHO : ROLE_SINK,
		      EPOLLIN);
	}
}

static void echo(int fd)
{
	ssize_t n = read(fd, chunk, sizeof(chunk));

	if (n > 0 && write(fd, chunk, (size_t)n) == n)
		return;
	if (n < 0 && errno == EAGAIN)
		return;
	close(fd);
}

static void sink(int fd)
{
	ssize_t n = read(fd, chunk, sizeof(chunk));

	if (n > 0) {
		sunk[fd] += (uint64_t)n;
		return;
	}
	if (n < 0 && errno == EAGAIN)
		return;
	if (n == 0 && write(fd, &sunk[fd], sizeof(sunk[fd])) < 0)
		fprintf(stderr, "bench-net: the count was not wanted\n");
	close(fd);
}

static void count_datagrams(int fd)
{
	for (int i = 0; i < UDP_TURN && recv(fd, chunk, sizeof(chunk), 0) >= 0; i++)
		datagrams++;
}

static _Noreturn void server(int port)
{
	struct epoll_event events[64];
	int epoll = epoll_create1(0);

	for (int i = 0; i < ECHO_PORTS; i++)
		serve_on(epoll, port + i, SOCK_STREAM, ROLE_LISTEN_ECHO);
	serve_on(epoll, port + SINK_PORT, SOCK_STREAM, ROLE_LISTEN_SINK);
	serve_on(epoll, port + UDP_PORT, SOCK_STREAM, ROLE_LISTEN_COUNT);
	serve_on(epoll, port + UDP_PORT, SOCK_DGRAM, ROLE_UDP);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int n = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (role[fd] == ROLE_ECHO)
				echo(fd);
			else if (role[fd] == ROLE_SINK)
				sink(fd);
			else if (role[fd] == ROLE_UDP)
				count_datagrams(fd);
			else
				accept_all(epoll, fd);
		}
	}
}

/* ---- how long operations took: buckets 1/32 apart ---- */

#define SUB 32
#define BUCKETS (64 * SUB)

static uint64_t bucket[BUCKETS], max_ns;

static unsigned bucket_of(uint64_t ns)
{
	unsigned top = 63U - (unsigned)__builtin_clzll(ns | SUB);

	return (top - 5) * SUB + (unsigned)(ns >> (top - 5));
}

static double bucket_us(unsigned index)
{
	unsigned shift = index / SUB > 0 ? index / SUB - 1 : 0;
	uint64_t low = index < SUB ? index : (uint64_t)(index % SUB + SUB) << shift;

	return (double)low / 1e3;
}

static void took(uint64_t ns)
{
	bucket[bucket_of(ns)]++;
	if (ns > max_ns)
		max_ns = ns;
}

static double percentile(double share)
{
	uint64_t total = 0, seen = 0;

	for (unsigned i = 0; i < BUCKETS; i++)
		total += bucket[i];
	for (unsigned i = 0; i < BUCKETS; i++) {
		seen += bucket[i];
		if (seen && (double)seen >= share * (double)total)
			return bucket_us(i);
	}
	return 0;
}

static void print(double operations, uint64_t ns)
{
	printf("%.0f %.6f %.2f %.2f %.2f\n", operations, (double)ns / 1e9, percentile(0.5),
	       percentile(0.99), (double)max_ns / 1e3);
}

/* ---- clients ---- */

static int dial(const struct sockaddr_in *to)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int one = 1;

	if (fd < 0 || fd >= FDS_MAX || connect(fd, (const struct sockaddr *)to, sizeof(*to)))
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* What is asked, and how long the answer is. */
static char request[1024] = "x";
static size_t request_bytes = 1, answer_bytes = 1;
static uint64_t asked_ns[FDS_MAX];
static size_t missing[FDS_MAX];

static void request_set(const char *text, size_t bytes)
{
	request_bytes = 0;
	answer_bytes = bytes;
	for (; *text && request_bytes < sizeof(request); text++) {
		char c = *text;

		if (c == '\\' && (text[1] == 'r' || text[1] == 'n'))
			c = *++text == 'r' ? '\r' : '\n';
		request[request_bytes++] = c;
	}
}

static void ask(int fd)
{
	asked_ns[fd] = now_ns();
	missing[fd] = answer_bytes;
	if (write(fd, request, request_bytes) != (ssize_t)request_bytes)
		die("write");
}

/* True: the answer is complete. */
static bool answer(int fd)
{
	ssize_t n = read(fd, chunk, missing[fd]);

	if (n <= 0)
		die("read");
	missing[fd] -= (size_t)n;
	if (missing[fd])
		return false;
	took(now_ns() - asked_ns[fd]);
	return true;
}

static void rr(const struct sockaddr_in *to, int n, uint64_t for_ns)
{
	struct epoll_event events[64];
	int epoll = epoll_create1(0);
	uint64_t start, operations = 0;

	for (int i = 0; i < n; i++)
		watch(epoll, dial(to), ROLE_ECHO, EPOLLIN);
	start = now_ns();
	for (int fd = 0; fd < FDS_MAX; fd++)
		if (role[fd] == ROLE_ECHO)
			ask(fd);
	while (operations == 0 || now_ns() - start < for_ns) {
		int ready = epoll_wait(epoll, events, 64, 5000);

		if (ready <= 0) {
			errno = ETIMEDOUT;
			die("answers");
		}
		for (int i = 0; i < ready; i++) {
			if (!answer(events[i].data.fd))
				continue;
			operations++;
			ask(events[i].data.fd);
		}
	}
	print((double)operations, now_ns() - start);
}

/* Ends a stream and waits for the receiver's count of its bytes. */
static uint64_t stream_end(int fd)
{
	uint64_t bytes;

	if (fcntl(fd, F_SETFL, 0) || shutdown(fd, SHUT_WR) ||
	    recv(fd, &bytes, sizeof(bytes), MSG_WAITALL) != sizeof(bytes))
		die("end of a stream");
	return bytes;
}

static void bulk(struct sockaddr_in to, int n, uint64_t for_ns)
{
	struct epoll_event events[64];
	int epoll = epoll_create1(0);
	uint64_t start, end, bytes = 0;

	to.sin_port = htons((uint16_t)(ntohs(to.sin_port) + SINK_PORT));
	for (int i = 0; i < n; i++) {
		int fd = dial(&to);

		fcntl(fd, F_SETFL, O_NONBLOCK);
		watch(epoll, fd, ROLE_SINK, EPOLLOUT);
	}
	start = now_ns();
	end = start + for_ns;
	while (now_ns() < end) {
		int ready = epoll_wait(epoll, events, 64, 1000);

		for (int i = 0; i < ready; i++)
			if (write(events[i].data.fd, chunk, sizeof(chunk)) < 0 && errno != EAGAIN)
				die("write");
	}
	for (int fd = 0; fd < FDS_MAX; fd++)
		if (role[fd] == ROLE_SINK)
			bytes += stream_end(fd);
	print((double)bytes, now_ns() - start);
}

static uint64_t datagrams_there(const struct sockaddr_in *to)
{
	int fd = dial(to);
	uint64_t count;

	if (recv(fd, &count, sizeof(count), MSG_WAITALL) != sizeof(count))
		die("count of datagrams");
	close(fd);
	return count;
}

static void udp(struct sockaddr_in to, uint64_t for_ns)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint64_t start, end, before, after;

	to.sin_port = htons((uint16_t)(ntohs(to.sin_port) + UDP_PORT));
	before = datagrams_there(&to);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("udp");
	start = now_ns();
	end = start + for_ns;
	while (now_ns() < end)
		for (int i = 0; i < UDP_TURN; i++)
			if (send(fd, chunk, UDP_BYTES, 0) < 0 && errno != EAGAIN &&
			    errno != ENOBUFS)
				die("send");
	end = now_ns();
	after = datagrams_there(&to);
	print((double)(after - before), end - start);
}

static void connects(const struct sockaddr_in *to, uint64_t count)
{
	uint64_t start = now_ns();

	for (uint64_t i = 0; i < count; i++) {
		struct sockaddr_in port = *to;
		uint64_t at = now_ns();
		char byte = 'x';
		int fd;

		port.sin_port = htons((uint16_t)(ntohs(to->sin_port) + i % ECHO_PORTS));
		fd = dial(&port);
		if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
			die("a byte to and fro");
		close(fd);
		took(now_ns() - at);
	}
	print((double)count, now_ns() - start);
}

int main(int argc, char **argv)
{
	struct sockaddr_in to;
	uint64_t for_ns;

	if (argc == 3 && strcmp(argv[1], "server") == 0)
		server(atoi(argv[2]));
	if (argc != 6 && !(argc == 8 && strcmp(argv[1], "rr") == 0)) {
		fputs("usage: bench-net server PORT\n"
		      "       bench-net rr|bulk|udp ADDRESS PORT N SECONDS [TEXT BYTES]\n"
		      "       bench-net connect ADDRESS PORT 1 COUNT\n",
		      stderr);
		return 2;
	}
	to = address(argv[2], atoi(argv[3]));
	if (argc == 8)
		request_set(argv[6], (size_t)atoll(argv[7]));
	for_ns = (uint64_t)(atof(argv[5]) * 1e9);
	if (strcmp(argv[1], "rr") == 0)
		rr(&to, atoi(argv[4]), for_ns);
	else if (strcmp(argv[1], "bulk") == 0)
		bulk(to, atoi(argv[4]), for_ns);
	else if (strcmp(argv[1], "udp") == 0)
		udp(to, for_ns);
	else
		connects(&to, (uint64_t)atoll(argv[5]));
	return 0;
}
