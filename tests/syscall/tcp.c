/* TCP over loopback: connect, accept, data, shutdown, options, non-blocking, reset, errors. */
#include "t.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static struct sockaddr_in addr = {.sin_family = AF_INET};
static socklen_t len = sizeof(addr);

static int listener(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	addr.sin_port = 0;
	MUST(bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	MUST(listen(fd, 8));
	MUST(getsockname(fd, (struct sockaddr *)&addr, &len));
	return fd;
}

static void pair(int l, int *ret_a, int *ret_b)
{
	*ret_a = socket(AF_INET, SOCK_STREAM, 0);
	MUST(connect(*ret_a, (struct sockaddr *)&addr, sizeof(addr)));
	*ret_b = accept(l, NULL, NULL);
	MUST(*ret_b);
}

static void basics(int l)
{
	struct sockaddr_in peer, self;
	char buf[100];
	int a, b, v;

	pair(l, &a, &b);
	getsockname(a, (struct sockaddr *)&self, &len);
	getpeername(b, (struct sockaddr *)&peer, &len);
	YES(self.sin_port == peer.sin_port && self.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
	SHOW(write(a, "hello", 5));
	SHOW(recv(b, buf, 2, MSG_PEEK));
	SHOW(ioctl(b, FIONREAD, &v));
	SHOW(v);
	SHOW(read(b, buf, 100));
	say("%.5s", buf);
	SHOW(recv(b, buf, 100, MSG_DONTWAIT));
	SHOW(send(b, "answer", 6, 0));
	SHOW(recv(a, buf, 6, MSG_WAITALL));
	SHOW(shutdown(a, SHUT_WR));
	SHOW(read(b, buf, 100));
	SHOW(write(b, "late", 4));
	SHOW(read(a, buf, 100));
	SHOW(send(a, "x", 1, MSG_NOSIGNAL));
	SHOW(close(b));
	SHOW(read(a, buf, 100));
	close(a);

	pair(l, &a, &b);
	write(a, "unread", 6);
	sleep_ms(10);
	close(b); /* data was not read: a reset */
	SHOW(read(a, buf, 10));
	SHOW(read(a, buf, 10));
	SHOW(send(a, "x", 1, MSG_NOSIGNAL));
	close(a);

	pair(l, &a, &b);
	struct linger lg = {1, 0};
	SHOW(setsockopt(a, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
	close(a);
	sleep_ms(10);
	SHOW(read(b, buf, 10));
	close(b);
}

static void bulk(int l)
{
	static char out[3000000], in[100000];
	unsigned sum = 0, got = 0;
	size_t total = 0;
	ssize_t n;
	int a, b, st;

	for (size_t i = 0; i < sizeof(out); i++) {
		out[i] = (char)(i * 7 + i / 1000);
		sum += (unsigned char)out[i];
	}
	pair(l, &a, &b);
	pid_t pid = fork();
	if (pid == 0) {
		size_t done = 0;

		close(b);
		while (done < sizeof(out)) {
			n = write(a, out + done, sizeof(out) - done);
			if (n <= 0)
				_exit(1);
			done += (size_t)n;
		}
		_exit(0);
	}
	close(a);
	while ((n = read(b, in, sizeof(in))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			got += (unsigned char)in[i];
		total += (size_t)n;
	}
	SHOW(n);
	SHOW(total);
	YES(sum == got);
	waitpid(pid, &st, 0);
	show_status("sender", st);
	close(b);
}

static void nonblocking(int l)
{
	static char big[65536];
	struct pollfd pfd;
	socklen_t vlen = sizeof(int);
	int a, b, v = 0;
	ssize_t n;

	a = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	SHOW(fcntl(a, F_GETFD));
	SHOW(accept4(l, NULL, NULL, 0x1));
	n = connect(a, (struct sockaddr *)&addr, sizeof(addr));
	YES(n == 0 || errno == EINPROGRESS);
	pfd = (struct pollfd){a, POLLOUT, 0};
	SHOW(poll(&pfd, 1, 1000));
	SHOW(getsockopt(a, SOL_SOCKET, SO_ERROR, &v, &vlen));
	SHOW(v);
	b = accept4(l, NULL, NULL, SOCK_NONBLOCK);
	SHOW(read(b, big, 1));
	while ((n = write(a, big, sizeof(big))) > 0)
		;
	SHOW(n);
	SHOW(poll(&pfd, 1, 0));
	while (read(b, big, sizeof(big)) > 0 || (sleep_ms(2), read(b, big, sizeof(big)) > 0))
		;
	SHOW(poll(&pfd, 1, 1000));
	fcntl(l, F_SETFL, O_NONBLOCK);
	SHOW(accept(l, NULL, NULL));
	fcntl(l, F_SETFL, 0);
	close(b);
	pfd.events = POLLIN | POLLRDHUP;
	SHOW(poll(&pfd, 1, 1000));
	close(a);
}

static void options(int l)
{
	struct timeval tv = {0, 30000};
	socklen_t vlen = sizeof(int);
	int a, b, v;
	char c;

	pair(l, &a, &b);
	v = 1;
	SHOW(setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &v, sizeof(v)));
	v = 0;
	SHOW(getsockopt(a, IPPROTO_TCP, TCP_NODELAY, &v, &vlen));
	YES(v != 0);
	SHOW(getsockopt(a, SOL_SOCKET, SO_TYPE, &v, &vlen));
	YES(v == SOCK_STREAM);
	SHOW(getsockopt(l, SOL_SOCKET, SO_ACCEPTCONN, &v, &vlen));
	SHOW(v);
	SHOW(getsockopt(a, SOL_SOCKET, SO_DOMAIN, &v, &vlen));
	YES(v == AF_INET);
	v = 1;
	SHOW(setsockopt(a, SOL_SOCKET, SO_KEEPALIVE, &v, sizeof(v)));
	SHOW(setsockopt(a, SOL_SOCKET, SO_REUSEADDR, &v, sizeof(v)));
	SHOW(setsockopt(a, SOL_SOCKET, SO_REUSEADDR, &v, 1));
	SHOW(setsockopt(a, SOL_SOCKET, 9999, &v, sizeof(v)));
	SHOW(setsockopt(a, 9999, 1, &v, sizeof(v)));
	SHOW(setsockopt(99, SOL_SOCKET, SO_REUSEADDR, &v, sizeof(v)));
	SHOW(setsockopt(0, SOL_SOCKET, SO_REUSEADDR, &v, sizeof(v)));
	SHOW(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	SHOW(read(a, &c, 1));
	v = 65536;
	SHOW(setsockopt(a, SOL_SOCKET, SO_SNDBUF, &v, sizeof(v)));
	SHOW(getsockopt(a, SOL_SOCKET, SO_SNDBUF, &v, &vlen));
	SHOW(v);
	close(a);
	close(b);
}

static void errors(int l)
{
	struct sockaddr_in other = addr;
	int a;
	char c;

	SHOW(socket(AF_INET, 77, 0));
	SHOW(socket(77, SOCK_STREAM, 0));
	SHOW(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
	a = socket(AF_INET, SOCK_STREAM, 0);
	SHOW(bind(a, (struct sockaddr *)&addr, sizeof(addr)));
	SHOW(bind(a, (struct sockaddr *)&addr, 3));
	other.sin_addr.s_addr = inet_addr("203.0.113.9");
	other.sin_port = htons(5);
	SHOW(bind(a, (struct sockaddr *)&other, sizeof(other)));
	SHOW(read(a, &c, 1));
	SHOW(send(a, "x", 1, MSG_NOSIGNAL));
	SHOW(getpeername(a, (struct sockaddr *)&other, &len));
	SHOW(accept(a, NULL, NULL));
	SHOW(listen(99, 1));
	SHOW(accept(0, NULL, NULL));
	SHOW(connect(a, BAD, 16));
	SHOW(shutdown(a, SHUT_RD));
	close(l);
	SHOW(connect(a, (struct sockaddr *)&addr, sizeof(addr)));
	close(a);
	a = socket(AF_INET, SOCK_STREAM, 0);
	other.sin_family = AF_UNIX;
	SHOW(connect(a, (struct sockaddr *)&other, sizeof(other)));
	SHOW(lseek(a, 0, SEEK_SET));
	SHOW(pread(a, &c, 1, 0));
}

int main(void)
{
	int l = listener();

	basics(l);
	bulk(l);
	nonblocking(l);
	options(l);
	errors(l);
	return 0;
}
