/* pipe, pipe2: data, end of file, EPIPE with and without SIGPIPE, O_NONBLOCK, EFAULT. */
#include "t.h"

static volatile sig_atomic_t got;

static void on_pipe(int sig)
{
	got = sig;
}

int main(void)
{
	static char big[1 << 20];
	char buf[64];
	int p[2], q[2], st;
	ssize_t n;
	pid_t pid;

	MUST(pipe(p));
	SHOW(write(p[1], "hello", 5));
	SHOW(read(p[0], buf, 2));
	say("%.2s", buf);
	SHOW(read(p[0], buf, sizeof(buf)));
	SHOW(write(p[1], "", 0));
	SHOW(write(p[1], BAD, 3));
	SHOW(read(p[1], buf, 1));
	SHOW(write(p[0], buf, 1));
	SHOW(lseek(p[0], 0, SEEK_CUR));
	SHOW(pread(p[0], buf, 1, 0));
	SHOW(write(p[1], "abc", 3));
	SHOW(read(p[0], BAD, 3));
	close(p[1]);
	SHOW(read(p[0], buf, sizeof(buf)));
	SHOW(read(p[0], buf, sizeof(buf)));
	close(p[0]);

	SHOW(pipe2(q, O_NONBLOCK | O_CLOEXEC));
	SHOW(read(q[0], buf, 1));
	SHOW(fcntl(q[0], F_GETFL) & O_NONBLOCK ? 1 : 0);
	SHOW(fcntl(q[0], F_GETFD));
	n = write(q[1], big, sizeof(big));
	YES(n == 65536);
	SHOW(write(q[1], big, 1));
	signal(SIGPIPE, on_pipe);
	close(q[0]);
	SHOW(write(q[1], "x", 1));
	SHOW(got);
	signal(SIGPIPE, SIG_IGN);
	SHOW(write(q[1], "x", 1));
	close(q[1]);
	SHOW(pipe2(q, 0x1));
	SHOW(pipe(BAD));

	MUST(pipe(p));
	pid = fork();
	if (pid == 0) {
		close(p[0]);
		for (int i = 0; i < 8; i++)
			if (write(p[1], big, sizeof(big)) != sizeof(big))
				_exit(1);
		_exit(0);
	}
	close(p[1]);
	size_t total = 0;
	while ((n = read(p[0], big, 100000)) > 0)
		total += (size_t)n;
	say("total %zu", total);
	waitpid(pid, &st, 0);
	show_status("writer", st);

	signal(SIGPIPE, SIG_DFL);
	MUST(pipe(p));
	close(p[0]);
	pid = fork();
	if (pid == 0) {
		write(p[1], "x", 1);
		_exit(0);
	}
	close(p[1]);
	waitpid(pid, &st, 0);
	show_status("sigpipe", st);
	return 0;
}
