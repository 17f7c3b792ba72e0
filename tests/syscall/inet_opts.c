/* Options and ancillary data of AF_INET and AF_INET6 sockets: values, roundings, error queues. */
#include "t.h"
#include <time.h>

#include <linux/errqueue.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

static void option(int fd, const char *what, int level, int name, int value)
{
	socklen_t len = sizeof(value);
	int rc = setsockopt(fd, level, name, &value, sizeof(value));
	int set_errno = rc != 0 ? errno : 0;

	value = -77;
	rc = getsockopt(fd, level, name, &value, &len);
	say("%s: set %d, get %d: %d", what, set_errno, rc != 0 ? errno : 0, value);
}

static void tcp_options(void)
{
	static const int seconds[] = {0, 1, 2, 3, 4, 7, 8, 30, 31, 100};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++)
		option(fd, "TCP_DEFER_ACCEPT", IPPROTO_TCP, TCP_DEFER_ACCEPT, seconds[i]);
	option(fd, "TCP_SYNCNT", IPPROTO_TCP, TCP_SYNCNT, 3);
	option(fd, "TCP_SYNCNT", IPPROTO_TCP, TCP_SYNCNT, 0);
	option(fd, "TCP_SYNCNT", IPPROTO_TCP, TCP_SYNCNT, 128);
	option(fd, "TCP_LINGER2", IPPROTO_TCP, TCP_LINGER2, 5);
	option(fd, "TCP_LINGER2", IPPROTO_TCP, TCP_LINGER2, -7);
	option(fd, "TCP_NOTSENT_LOWAT", IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384);
	option(fd, "TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, 5000);
	option(fd, "TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, -1);
	option(fd, "TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, 10);
	option(fd, "TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, 32768);
	option(fd, "TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL, 32767);
	option(fd, "TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, 127);
	option(fd, "TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, 128);
	option(fd, "IP_TOS with ECN", IPPROTO_IP, IP_TOS, 0x13);
	option(fd, "IP_MTU_DISCOVER", IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
	close(fd);
}

static void udp_options(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int value = -1;
	socklen_t len = sizeof(value);

	getsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &value, &len);
	say("IP_MTU_DISCOVER at first: %d", value);
	option(fd, "UDP_SEGMENT", IPPROTO_UDP, UDP_SEGMENT, 500);
	option(fd, "UDP_SEGMENT", IPPROTO_UDP, UDP_SEGMENT, 65536);
	option(fd, "IP_TOS with ECN", IPPROTO_IP, IP_TOS, 0x13);
	option(fd, "SO_TIMESTAMP", SOL_SOCKET, SO_TIMESTAMP, 1);
	option(fd, "SO_TIMESTAMPNS", SOL_SOCKET, SO_TIMESTAMPNS, 1);
	getsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &value, &len);
	say("SO_TIMESTAMP after SO_TIMESTAMPNS: %d", value);
	close(fd);
}

/* A datagram that nobody wants, with IP_RECVERR. */
static void error_queue(int family)
{
	int level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, one = 1;
	int fd = socket(family, SOCK_DGRAM, 0), error = 0;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
	socklen_t len = sizeof(error);
	char data[64], control[512];
	struct sockaddr_storage from;
	struct iovec iov = {.iov_base = data, .iov_len = sizeof(data)};
	struct msghdr msg = {.msg_name = &from,
			     .msg_namelen = sizeof(from),
			     .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	ssize_t n;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to6.sin6_addr = in6addr_loopback;
	setsockopt(fd, level, family == AF_INET ? IP_RECVERR : IPV6_RECVERR, &one, sizeof(one));
	n = sendto(fd, "hello", 5, 0, family == AF_INET ? (void *)&to : (void *)&to6,
		   family == AF_INET ? sizeof(to) : sizeof(to6));
	say("sent %zd", n);
	poll(&poller, 1, 1000);
	say("poll %x", poller.revents & (POLLERR | POLLIN));
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	say("error %d", error);
	n = recvmsg(fd, &msg, MSG_ERRQUEUE);
	say("queue %zd %.5s flags %x", n, data, (unsigned)msg.msg_flags);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
		const struct sock_extended_err *e = (const void *)CMSG_DATA(c);

		say("level %d type %d errno %u origin %d type %d code %d offender %d",
		    c->cmsg_level, c->cmsg_type, e->ee_errno, e->ee_origin, e->ee_type, e->ee_code,
		    SO_EE_OFFENDER(e)->sa_family);
	}
	show_value("again", recvmsg(fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT));
	close(fd);
}

/* UDP_SEGMENT, and what the sender asked for arrives with the datagram. */
static void segments(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	int to = socket(AF_INET, SOCK_DGRAM, 0), from = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
	socklen_t len = sizeof(addr);
	char data[1300] = {0}, control[256];
	struct iovec iov = {.iov_base = data, .iov_len = sizeof(data)};
	int size = 500, ttl = 9;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(bind(to, (struct sockaddr *)&addr, sizeof(addr)));
	MUST(getsockname(to, (struct sockaddr *)&addr, &len));
	MUST(connect(from, (struct sockaddr *)&addr, sizeof(addr)));
	MUST(setsockopt(to, IPPROTO_IP, IP_RECVTTL, &one, sizeof(one)));
	MUST(setsockopt(to, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)));
	MUST(setsockopt(from, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)));
	MUST(setsockopt(from, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl)));
	say("sent %zd", send(from, data, sizeof(data), 0));
	for (int i = 0; i < 3; i++) {
		struct msghdr msg = {.msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control,
				     .msg_controllen = sizeof(control)};

		say("got %zd", recvmsg(to, &msg, 0));
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c)) {
			if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL)
				say("ttl %d", *(int *)CMSG_DATA(c));
			if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
				struct timespec *at = (void *)CMSG_DATA(c), now;

				clock_gettime(CLOCK_REALTIME, &now);
				say("time is near: %d", llabs(now.tv_sec - at->tv_sec) < 60);
			}
		}
	}
	close(to);
	close(from);
}

static void scopes(void)
{
	struct sockaddr_in6 addr = {.sin6_family = AF_INET6, .sin6_port = htons(5555)};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	inet_pton(AF_INET6, "fe80::1234", &addr.sin6_addr);
	say("bind without a scope: %d", bind(fd, (void *)&addr, sizeof(addr)) != 0 ? errno : 0);
	say("connect: %d", connect(fd, (void *)&addr, sizeof(addr)) != 0 ? errno : 0);
	close(fd);
	fd = socket(AF_INET6, SOCK_DGRAM, 0);
	addr.sin6_scope_id = 12345;
	say("bind to no link: %d", bind(fd, (void *)&addr, sizeof(addr)) != 0 ? errno : 0);
	close(fd);
}

int main(void)
{
	tcp_options();
	udp_options();
	error_queue(AF_INET);
	error_queue(AF_INET6);
	segments();
	scopes();
	return 0;
}
