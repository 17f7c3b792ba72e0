/* close(2) with SO_LINGER: waits for what was sent, at most that long; 0 resets the connection. */
#include "t.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

static void pair(int *a, int *b)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int small = 4096;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	bind(listener, (void *)&addr, sizeof(addr));
	listen(listener, 1);
	getsockname(listener, (void *)&addr, &len);
	*a = socket(AF_INET, SOCK_STREAM, 0);
	connect(*a, (void *)&addr, sizeof(addr));
	*b = accept(listener, NULL, NULL);
	close(listener);
}

static void linger(int fd, int on, int seconds)
{
	struct linger l = {.l_onoff = on, .l_linger = seconds};
	socklen_t len = sizeof(l);

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	memset(&l, 0, sizeof(l));
	getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len);
	say("linger %d %d", l.l_onoff, l.l_linger);
}

static long fill(int fd)
{
	static char data[65536];
	long total = 0;
	ssize_t n;

	while ((n = send(fd, data, sizeof(data), MSG_DONTWAIT)) > 0)
		total += n;
	return total;
}

static long drain(int fd)
{
	static char data[65536];
	long total = 0;
	ssize_t n;

	while ((n = recv(fd, data, sizeof(data), 0)) > 0)
		total += n;
	return n == 0 ? total : -errno;
}

static long close_ms(int fd)
{
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	if (close(fd) != 0)
		say("close: %s", strerror(errno));
	clock_gettime(CLOCK_MONOTONIC, &to);
	return (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
}

int main(void)
{
	long total;
	char byte;
	int a, b;

	pair(&a, &b);
	linger(a, 1, 1);
	total = fill(a);
	say("nobody reads: close %s", close_ms(a) >= 900 ? "waits" : "returns at once");
	say("all of it arrives: %d", drain(b) == total);
	close(b);

	pair(&a, &b);
	linger(a, 1, 0);
	send(a, "x", 1, 0);
	close(a);
	recv(b, &byte, 1, MSG_PEEK);
	say("reset: %ld", drain(b));
	close(b);

	/* everything is there already: no reason to wait an hour */
	pair(&a, &b);
	linger(a, 1, 3600);
	send(a, "x", 1, 0);
	close(a);
	say("arrived: %ld", drain(b));
	close(b);
	return 0;
}
