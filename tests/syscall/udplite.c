/* UDP-Lite (udplite(7), RFC 3828): ports of its own, and checksums that cover a part. */
#include "t.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>

#define SEND_COVERAGE 10
#define RECV_COVERAGE 11

static int option(int fd, int name)
{
	int v = -1;
	socklen_t len = sizeof(v);

	if (getsockopt(fd, IPPROTO_UDPLITE, name, &v, &len))
		return -errno;
	return v;
}

static int set(int fd, int level, int name, int v)
{
	return setsockopt(fd, level, name, &v, sizeof(v));
}

static void get(const char *what, int fd)
{
	struct pollfd p = {fd, POLLIN, 0};
	char buf[100] = "";
	ssize_t n = poll(&p, 1, 100) == 1 ? recv(fd, buf, sizeof(buf), 0) : -2;

	say("%s: %zd '%s'%s", what, n, buf, n == -1 ? strerrorname_np(errno) : "");
}

static void family(int domain, const struct sockaddr *any, socklen_t len)
{
	struct sockaddr_storage to;
	socklen_t to_len = sizeof(to);
	struct pollfd p;
	int a, b, udp, type = 0, protocol = 0;

	say("-- %s", domain == AF_INET ? "IPv4" : "IPv6");
	MUST(a = socket(domain, SOCK_DGRAM, IPPROTO_UDPLITE));
	MUST(b = socket(domain, SOCK_DGRAM, IPPROTO_UDPLITE));
	MUST(udp = socket(domain, SOCK_DGRAM, 0));
	to_len = sizeof(type);
	SHOW(getsockopt(a, SOL_SOCKET, SO_TYPE, &type, &to_len));
	SHOW(getsockopt(a, SOL_SOCKET, SO_PROTOCOL, &protocol, &to_len));
	say("type %d protocol %d", type, protocol);
	SHOW(option(a, SEND_COVERAGE));
	SHOW(option(a, RECV_COVERAGE));
	SHOW(set(a, IPPROTO_UDPLITE, SEND_COVERAGE, 3));
	SHOW(option(a, SEND_COVERAGE));
	SHOW(set(a, IPPROTO_UDPLITE, SEND_COVERAGE, 100000));
	SHOW(option(a, SEND_COVERAGE));
	SHOW(set(a, IPPROTO_UDPLITE, SEND_COVERAGE, 0));
	SHOW(set(a, IPPROTO_UDPLITE, 99, 0));
	SHOW(set(udp, IPPROTO_UDPLITE, SEND_COVERAGE, 8));
	MUST(bind(a, any, len));
	to_len = sizeof(to);
	MUST(getsockname(a, (void *)&to, &to_len));
	/* the same port of another protocol */
	SHOW(bind(udp, (void *)&to, to_len));
	SHOW(bind(b, (void *)&to, to_len));
	SHOW(sendto(b, "whole", 5, 0, (void *)&to, to_len));
	get("whole", a);
	get("udp", udp);
	SHOW(set(b, IPPROTO_UDPLITE, SEND_COVERAGE, 10));
	SHOW(sendto(b, "partly covered", 14, 0, (void *)&to, to_len));
	get("partly", a);
	SHOW(set(a, IPPROTO_UDPLITE, RECV_COVERAGE, 12));
	SHOW(sendto(b, "too little", 10, 0, (void *)&to, to_len));
	get("too little", a);
	SHOW(sendto(b, "x", 1, 0, (void *)&to, to_len));
	get("short", a);
	SHOW(set(a, IPPROTO_UDPLITE, RECV_COVERAGE, 0));
	SHOW(sendto(b, "must be whole", 13, 0, (void *)&to, to_len));
	get("must be whole", a);
	SHOW(set(b, IPPROTO_UDPLITE, SEND_COVERAGE, 0));
	SHOW(connect(b, (void *)&to, to_len));
	SHOW(send(b, "connected", 9, 0));
	get("connected", a);
	close(a);
	SHOW(send(b, "nobody", 6, 0));
	p = (struct pollfd){b, POLLIN, 0};
	SHOW(poll(&p, 1, 1000));
	SHOW(send(b, "nobody", 6, 0));
	close(b);
	close(udp);
}

int main(void)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET, SOCK_STREAM, IPPROTO_UDPLITE);

	say("stream %s", fd < 0 ? strerrorname_np(errno) : "ok");
	fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
	MUST(fd);
	close(fd);
	family(AF_INET, (void *)&v4, sizeof(v4));
	family(AF_INET6, (void *)&v6, sizeof(v6));
	SHOW(access("/proc/net/udplite", R_OK));
	SHOW(access("/proc/net/udplite6", R_OK));
	return 0;
}
