/* Servers: children that accept on one socket, threads that share an epoll, many connections. */
#include "t.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static struct sockaddr_in addr = {.sin_family = AF_INET};
static int ep, handled;

static int listener(void)
{
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	addr.sin_port = 0;
	MUST(bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	MUST(listen(fd, 128));
	MUST(getsockname(fd, (struct sockaddr *)&addr, &len));
	return fd;
}

static int client(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	MUST(connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	return fd;
}

static void children(void)
{
	int l = listener(), ok = 0, st;
	char buf[16];
	pid_t kid[3];

	for (int i = 0; i < 3; i++) {
		kid[i] = fork();
		if (kid[i] == 0)
			for (;;) {
				int c = accept(l, NULL, NULL);

				if (read(c, buf, 4) == 4)
					write(c, "pong", 4);
				close(c);
			}
	}
	for (int i = 0; i < 200; i++) {
		int c = client();

		write(c, "ping", 4);
		ok += read(c, buf, 16) == 4;
		close(c);
	}
	SHOW(ok);
	for (int i = 0; i < 3; i++) {
		kill(kid[i], SIGTERM);
		waitpid(kid[i], &st, 0);
		show_status("child", st);
	}
	close(l);
}

static void *worker(void *arg)
{
	struct epoll_event ev;
	char buf[16];

	(void)arg;
	while (epoll_wait(ep, &ev, 1, 10000) == 1) {
		if (ev.data.fd < 0)
			break;
		if (read(ev.data.fd, buf, 4) == 4) {
			write(ev.data.fd, "pong", 4);
			__atomic_add_fetch(&handled, 1, __ATOMIC_SEQ_CST);
		}
		ev.events = EPOLLIN | EPOLLONESHOT;
		epoll_ctl(ep, EPOLL_CTL_MOD, ev.data.fd, &ev);
	}
	return NULL;
}

static void shared_epoll(void)
{
	int l = listener(), c[40], s, p[2], ok = 0;
	struct epoll_event ev;
	pthread_t t[4];
	char buf[16];

	ep = epoll_create1(0);
	for (int i = 0; i < 40; i++) {
		c[i] = client();
		s = accept(l, NULL, NULL);
		ev = (struct epoll_event){.events = EPOLLIN | EPOLLONESHOT, .data.fd = s};
		epoll_ctl(ep, EPOLL_CTL_ADD, s, &ev);
	}
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, worker, NULL);
	for (int round = 0; round < 25; round++) {
		for (int i = 0; i < 40; i++)
			write(c[i], "ping", 4);
		for (int i = 0; i < 40; i++)
			ok += read(c[i], buf, 16) == 4;
	}
	SHOW(ok);
	MUST(pipe(p));
	ev = (struct epoll_event){.events = EPOLLIN, .data.fd = -1};
	epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev);
	write(p[1], "x", 1);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	SHOW(handled);
}

int main(void)
{
	children();
	shared_epoll();
	return 0;
}
