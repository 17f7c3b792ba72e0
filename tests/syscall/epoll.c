/* epoll: level, edge, oneshot, modification, removal, nesting, timeouts, errors. */
#include "t.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

static int ep;

static void wait_and_show(const char *what, int timeout_ms)
{
	struct epoll_event ev[8];
	int n = epoll_wait(ep, ev, 8, timeout_ms);

	if (n < 0) {
		say("%s: %s", what, strerrorname_np(errno));
		return;
	}
	say("%s: %d", what, n);
	for (int i = 0; i < n; i++)
		say("  data %d events %#x", ev[i].data.fd, ev[i].events);
}

static int add(int op, int fd, uint32_t events, int data)
{
	struct epoll_event ev = {.events = events, .data.fd = data};

	return epoll_ctl(ep, op, fd, &ev);
}

int main(void)
{
	int p[2], q[2], e, inner, file, st;
	struct epoll_event ev;
	char c, buf[64];
	int64_t t0;

	scratch();
	SHOW(epoll_create(0));
	SHOW(epoll_create1(0x1));
	SHOW(ep = epoll_create1(EPOLL_CLOEXEC));
	MUST(pipe2(p, O_NONBLOCK));
	MUST(pipe2(q, O_NONBLOCK));
	SHOW(add(EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	SHOW(add(EPOLL_CTL_ADD, p[0], EPOLLIN, 1));
	SHOW(add(EPOLL_CTL_MOD, q[0], EPOLLIN, 1));
	SHOW(add(EPOLL_CTL_DEL, q[0], 0, 0));
	SHOW(add(EPOLL_CTL_ADD, 99, EPOLLIN, 1));
	SHOW(add(EPOLL_CTL_ADD, ep, EPOLLIN, 1));
	SHOW(add(77, p[0], EPOLLIN, 1));
	SHOW(epoll_ctl(p[0], EPOLL_CTL_ADD, q[0], &ev));
	file = open("f", O_CREAT | O_RDWR, 0600);
	SHOW(add(EPOLL_CTL_ADD, file, EPOLLIN, 1));
	SHOW(epoll_wait(ep, &ev, 0, 0));
	SHOW(epoll_wait(99, &ev, 1, 0));
	wait_and_show("nothing", 0);
	t0 = now_ms();
	wait_and_show("timeout", 30);
	YES(now_ms() - t0 >= 30);

	write(p[1], "ab", 2);
	wait_and_show("level", -1);
	read(p[0], &c, 1);
	wait_and_show("level, still", -1);
	read(p[0], &c, 1);
	wait_and_show("level, empty", 0);

	SHOW(add(EPOLL_CTL_ADD, q[0], EPOLLIN | EPOLLET, 2));
	write(q[1], "a", 1);
	wait_and_show("edge", 0);
	wait_and_show("edge, not again", 0);
	write(q[1], "b", 1);
	wait_and_show("edge, new data", 0);
	read(q[0], buf, sizeof(buf));
	wait_and_show("edge, after the read", 0);

	SHOW(add(EPOLL_CTL_MOD, q[0], EPOLLIN | EPOLLONESHOT, 3));
	write(q[1], "c", 1);
	wait_and_show("oneshot", 0);
	wait_and_show("oneshot, spent", 0);
	SHOW(add(EPOLL_CTL_MOD, q[0], EPOLLIN | EPOLLONESHOT, 4));
	wait_and_show("oneshot, armed", 0);
	SHOW(add(EPOLL_CTL_DEL, q[0], 0, 0));

	e = eventfd(0, EFD_NONBLOCK);
	SHOW(add(EPOLL_CTL_ADD, e, EPOLLIN | EPOLLOUT, 5));
	wait_and_show("eventfd", 0);
	uint64_t one = 1;
	write(e, &one, 8);
	wait_and_show("eventfd, both", 0);
	close(e);
	wait_and_show("eventfd, closed", 0);

	SHOW(add(EPOLL_CTL_ADD, p[1], EPOLLOUT, 6));
	wait_and_show("write end", 0);
	close(p[0]);
	wait_and_show("reader gone", 0);
	close(p[1]);

	close(q[1]);
	SHOW(add(EPOLL_CTL_ADD, q[0], EPOLLIN | EPOLLRDHUP, 7));
	wait_and_show("writer gone", 0);
	read(q[0], buf, sizeof(buf));
	close(q[0]);
	wait_and_show("all gone", 0);

	/* an epoll in an epoll */
	inner = ep;
	ep = epoll_create1(0);
	SHOW(add(EPOLL_CTL_ADD, inner, EPOLLIN, 8));
	MUST(pipe(p));
	int outer = ep;
	ep = inner;
	SHOW(add(EPOLL_CTL_ADD, p[0], EPOLLIN, 9));
	SHOW(add(EPOLL_CTL_ADD, outer, EPOLLIN, 1));
	ep = outer;
	wait_and_show("outer, quiet", 0);
	write(p[1], "x", 1);
	wait_and_show("outer", 0);

	/* woken from outside, and by a dup that outlives its number */
	ep = epoll_create1(0);
	MUST(pipe(q));
	add(EPOLL_CTL_ADD, q[0], EPOLLIN, 10);
	pid_t pid = fork();
	if (pid == 0) {
		sleep_ms(30);
		write(q[1], "y", 1);
		_exit(0);
	}
	wait_and_show("from a child", 5000);
	waitpid(pid, &st, 0);
	int d = dup(q[0]);
	close(q[0]);
	wait_and_show("closed number, open file", 0);
	close(d);
	wait_and_show("closed file", 0);
	return 0;
}
