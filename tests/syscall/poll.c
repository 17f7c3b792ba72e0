/* poll, ppoll, select, pselect: pipes, files, bad descriptors, timeouts, signal masks. */
#include "t.h"
#include <poll.h>
#include <sys/select.h>

static volatile int got;

static void on(int sig)
{
	got = sig;
}

int main(void)
{
	struct timespec ts = {0, 20000000};
	struct timeval tv = {0, 20000};
	struct pollfd pfd[5];
	sigset_t block, open_set;
	fd_set r, w;
	int p[2], q[2], st;
	char c;
	int64_t t0;

	scratch();
	MUST(pipe(p));
	MUST(pipe(q));
	int file = open("f", O_CREAT | O_RDWR, 0600);
	pfd[0] = (struct pollfd){p[0], POLLIN, 77};
	pfd[1] = (struct pollfd){p[1], POLLOUT, 0};
	pfd[2] = (struct pollfd){99, POLLIN, 0};
	pfd[3] = (struct pollfd){-1, POLLIN, 77};
	pfd[4] = (struct pollfd){file, POLLIN | POLLOUT, 0};
	SHOW(poll(pfd, 5, 0));
	for (int i = 0; i < 5; i++)
		say("  %d: %#x", i, pfd[i].revents);
	write(p[1], "x", 1);
	SHOW(poll(pfd, 1, -1));
	SHOW(pfd[0].revents);
	read(p[0], &c, 1);
	t0 = now_ms();
	SHOW(poll(pfd, 1, 30));
	YES(now_ms() - t0 >= 30);
	SHOW(poll(NULL, 0, 10));
	SHOW(poll(BAD, 1, 0));
	close(p[1]);
	SHOW(poll(pfd, 1, 0));
	SHOW(pfd[0].revents);
	pfd[0] = (struct pollfd){q[1], POLLOUT, 0};
	close(q[0]);
	SHOW(poll(pfd, 1, 0));
	SHOW(pfd[0].revents);
	MUST(pipe(q));

	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_SET(q[0], &r);
	FD_SET(q[1], &w);
	SHOW(select(q[1] + 1, &r, &w, NULL, &tv));
	say("%d %d", FD_ISSET(q[0], &r), FD_ISSET(q[1], &w));
	FD_ZERO(&r);
	FD_SET(q[0], &r);
	tv.tv_usec = 20000;
	SHOW(select(q[0] + 1, &r, NULL, NULL, &tv));
	say("%d left %ld", FD_ISSET(q[0], &r), (long)tv.tv_usec);
	FD_SET(40, &r);
	SHOW(select(41, &r, NULL, NULL, &tv));
	SHOW(select(-1, NULL, NULL, NULL, &tv));
	tv.tv_usec = 10000;
	SHOW(select(0, NULL, NULL, NULL, &tv));
	tv.tv_sec = -1;
	SHOW(select(0, NULL, NULL, NULL, &tv));

	signal(SIGUSR1, on);
	sigemptyset(&block);
	sigemptyset(&open_set);
	sigaddset(&block, SIGUSR1);
	sigprocmask(SIG_BLOCK, &block, NULL);
	raise(SIGUSR1);
	SHOW(got);
	pfd[0] = (struct pollfd){q[0], POLLIN, 0};
	SHOW(ppoll(pfd, 1, &ts, NULL));
	SHOW(got);
	SHOW(ppoll(pfd, 1, &ts, &open_set));
	SHOW(got);
	got = 0;
	raise(SIGUSR1);
	FD_ZERO(&r);
	SHOW(pselect(0, &r, NULL, NULL, &ts, &open_set));
	SHOW(got);

	pid_t pid = fork();
	if (pid == 0) {
		sleep_ms(30);
		write(q[1], "w", 1);
		_exit(0);
	}
	SHOW(poll(pfd, 1, 5000));
	waitpid(pid, &st, 0);
	return 0;
}
