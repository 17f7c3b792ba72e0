/*
 * splice.c - splice(2), tee(2), vmsplice(2), and the flags of preadv2 and pwritev2.
 */
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "t.h"

static int p[2], q[2];

static void left(const char *what, int fd)
{
	int n = -1;

	ioctl(fd, FIONREAD, &n);
	say("%s holds %d", what, n);
}

static void show_file(const char *name)
{
	char buf[256];
	int fd = open(name, O_RDONLY);
	ssize_t n = read(fd, buf, sizeof(buf));

	for (ssize_t i = 0; i < n; i++)
		if (!buf[i])
			buf[i] = '0';
	say("%s: '%.*s'", name, (int)n, buf);
	close(fd);
}

static void files(void)
{
	loff_t in = 2, out = 10;
	int f, g;
	char buf[32];

	put_file("f", "0123456789");
	put_file("g", "");
	f = open("f", O_RDONLY);
	g = open("g", O_RDWR);
	SHOW(splice(f, NULL, p[1], NULL, 4, 0));
	SHOW(lseek(f, 0, SEEK_CUR));
	SHOW(splice(f, &in, p[1], NULL, 3, SPLICE_F_MOVE));
	SHOW(in);
	SHOW(lseek(f, 0, SEEK_CUR));
	left("p", p[0]);
	SHOW(splice(p[0], NULL, g, NULL, 5, 0));
	SHOW(lseek(g, 0, SEEK_CUR));
	SHOW(splice(p[0], NULL, g, &out, 100, 0));
	SHOW(out);
	SHOW(lseek(g, 0, SEEK_CUR));
	show_file("g");
	SHOW(splice(f, NULL, p[1], NULL, 1000, 0));
	SHOW(splice(f, NULL, p[1], NULL, 1000, 0));
	left("p", p[0]);
	SHOW(read(p[0], buf, sizeof(buf)));
	SHOW(splice(p[0], NULL, g, NULL, 5, SPLICE_F_NONBLOCK));
	SHOW(splice(f, NULL, g, NULL, 5, 0));
	SHOW(splice(f, NULL, p[1], &in, 5, 0));
	SHOW(splice(p[0], &in, g, NULL, 5, 0));
	in = -1;
	SHOW(splice(f, &in, p[1], NULL, 5, 0));
	SHOW(splice(f, BAD, p[1], NULL, 5, 0));
	SHOW(splice(f, NULL, p[0], NULL, 5, 0));
	SHOW(splice(-1, NULL, p[1], NULL, 5, 0));
	SHOW(splice(f, NULL, p[1], NULL, 5, 0x100));
	SHOW(splice(f, NULL, p[1], NULL, 0, 0));
	SHOW(splice(p[0], NULL, p[1], NULL, 5, 0));
	close(g);
	g = open("g", O_WRONLY | O_APPEND);
	write(p[1], "x", 1);
	SHOW(splice(p[0], NULL, g, NULL, 5, 0));
	SHOW(read(p[0], buf, sizeof(buf)));
	close(g);
	g = open(".", O_RDONLY);
	SHOW(splice(g, NULL, p[1], NULL, 5, 0));
	close(g);
	close(f);
}

static void pipes(void)
{
	char buf[64] = "";

	write(p[1], "abcdef", 6);
	SHOW(tee(p[0], q[1], 4, 0));
	left("p", p[0]);
	left("q", q[0]);
	SHOW(tee(p[0], q[1], 100, 0));
	SHOW(read(q[0], buf, 64));
	say("%.10s", buf);
	SHOW(splice(p[0], NULL, q[1], NULL, 3, 0));
	SHOW(read(q[0], buf, 64));
	say("%.3s", buf);
	SHOW(read(p[0], buf, 64));
	say("%.3s", buf);
	SHOW(tee(p[0], q[1], 4, SPLICE_F_NONBLOCK));
	SHOW(tee(p[0], p[1], 4, SPLICE_F_NONBLOCK));
	SHOW(tee(p[0], 1, 4, 0x200));
	SHOW(tee(p[0], -1, 4, 0));
	SHOW(tee(p[0], q[1], 0, 0));
}

static void memory(void)
{
	struct iovec iov[2] = {{"hello ", 6}, {"world", 5}};
	char a[4] = "", b[32] = "";
	struct iovec in[2] = {{a, 3}, {b, 31}};

	SHOW(vmsplice(p[1], iov, 2, 0));
	left("p", p[0]);
	SHOW(vmsplice(p[0], in, 2, 0));
	say("'%s' '%s'", a, b);
	SHOW(vmsplice(p[0], in, 2, SPLICE_F_NONBLOCK));
	SHOW(vmsplice(p[1], BAD, 2, 0));
	SHOW(vmsplice(p[1], iov, 0, 0));
	SHOW(vmsplice(p[1], iov, 5000, 0));
	SHOW(vmsplice(-1, iov, 1, 0));
	SHOW(vmsplice(1000, iov, 1, 0));
	SHOW(vmsplice(p[1], iov, 1, 0x800));
}

static void sockets(void)
{
	char buf[32] = "";
	int s[2];

	socketpair(AF_UNIX, SOCK_STREAM, 0, s);
	write(p[1], "to a socket", 11);
	SHOW(splice(p[0], NULL, s[0], NULL, 100, 0));
	SHOW(read(s[1], buf, 32));
	say("%s", buf);
	write(s[1], "from", 4);
	SHOW(splice(s[0], NULL, p[1], NULL, 100, 0));
	left("p", p[0]);
	SHOW(read(p[0], buf, 32));
	close(s[1]);
	SHOW(splice(s[0], NULL, p[1], NULL, 100, 0));
	close(s[0]);
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void waiting(void)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	char big[65536];
	int g = open("g", O_RDWR), status;
	pid_t pid;

	sigaction(SIGALRM, &sa, NULL);
	ualarm(30000, 0);
	SHOW(splice(p[0], NULL, g, NULL, 5, 0));
	pid = fork();
	if (!pid) {
		sleep_ms(30);
		write(p[1], "later", 5);
		_exit(0);
	}
	SHOW(splice(p[0], NULL, g, NULL, 5, 0));
	waitpid(pid, &status, 0);
	memset(big, 'x', sizeof(big));
	SHOW(write(p[1], big, sizeof(big)));
	lseek(g, 0, SEEK_SET);
	SHOW(splice(g, NULL, p[1], NULL, 5, SPLICE_F_NONBLOCK));
	ualarm(30000, 0);
	SHOW(splice(g, NULL, p[1], NULL, 5, 0));
	SHOW(read(p[0], big, sizeof(big)));
	close(q[0]);
	signal(SIGPIPE, SIG_IGN);
	write(p[1], "abc", 3);
	SHOW(splice(p[0], NULL, q[1], NULL, 5, 0));
	SHOW(tee(p[0], q[1], 5, 0));
	close(p[1]);
	SHOW(splice(p[0], NULL, g, NULL, 500, 0));
	SHOW(splice(p[0], NULL, g, NULL, 500, 0));
	close(g);
}

static void flags(void)
{
	struct iovec iov = {"12345", 5}, in;
	char buf[16];
	int f = open("h", O_CREAT | O_RDWR, 0600), r[2];

	in = (struct iovec){buf, sizeof(buf)};
	SHOW(pwritev2(f, &iov, 1, 0, RWF_DSYNC));
	SHOW(pwritev2(f, &iov, 1, 0, RWF_APPEND));
	SHOW(pwritev2(f, &iov, 1, -1, RWF_APPEND | RWF_SYNC));
	SHOW(lseek(f, 0, SEEK_CUR));
	show_file("h");
	SHOW(preadv2(f, &in, 1, 3, RWF_HIPRI));
	SHOW(preadv2(f, &in, 1, 0, RWF_NOWAIT));
	SHOW(preadv2(f, &in, 1, 0, RWF_APPEND));
	SHOW(preadv2(f, &in, 1, 0, 0x10000));
	SHOW(pwritev2(f, &iov, 1, 0, 0x10000));
	SHOW(preadv2(f, &in, 1, -2, 0));
	SHOW(preadv2(-1, &in, 1, 0, 0));
	pipe(r);
	SHOW(preadv2(r[0], &in, 1, -1, RWF_NOWAIT));
	SHOW(preadv2(r[0], &in, 1, 0, 0));
	SHOW(pwritev2(r[1], &iov, 1, -1, RWF_NOWAIT));
	SHOW(preadv2(r[0], &in, 1, -1, RWF_NOWAIT));
	close(r[0]);
	close(r[1]);
	close(f);
}

int main(void)
{
	scratch();
	pipe(p);
	pipe(q);
	files();
	pipes();
	memory();
	sockets();
	waiting();
	flags();
	return 0;
}
