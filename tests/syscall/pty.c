/*
 * pty.c - pseudo-terminals: the pair, the line discipline, job control, packet mode.
 */
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "t.h"

static int m, s;

/* Everything that the screen shows now, with control characters made visible. */
static void screen(const char *when)
{
	char buf[8192], text[8192 * 4 + 1];
	ssize_t n = 0, total = 0;
	struct pollfd pfd = {m, POLLIN, 0};

	while (total < (ssize_t)sizeof(buf) && poll(&pfd, 1, 60) > 0 && (pfd.revents & POLLIN)) {
		n = read(m, buf + total, sizeof(buf) - (size_t)total);
		if (n <= 0)
			break;
		total += n;
	}
	text[0] = 0;
	for (ssize_t i = 0; i < total; i++)
		sprintf(text + strlen(text), buf[i] < 32 || buf[i] == 127 ? "\\x%02x" : "%c",
			(unsigned char)buf[i]);
	say("screen %s: '%s'%s", when, text, n < 0 ? strerrorname_np(errno) : "");
}

static void type(const char *text)
{
	if (write(m, text, strlen(text)) < 0)
		say("type: %s", strerrorname_np(errno));
	sleep_ms(10); /* Linux hands it to the line discipline a little later */
}

static void get(const char *when, size_t n)
{
	char buf[256], text[1100] = "";
	ssize_t got = read(s, buf, n);
	int e = errno;

	for (ssize_t i = 0; i < got; i++)
		sprintf(text + strlen(text), buf[i] < 32 || buf[i] >= 127 ? "\\x%02x" : "%c",
			(unsigned char)buf[i]);
	say("read %s: %zd '%s' %s", when, got, text, got < 0 ? strerrorname_np(e) : "");
}

static void lflag(tcflag_t on, tcflag_t off)
{
	struct termios t;

	tcgetattr(s, &t);
	t.c_lflag |= on;
	t.c_lflag &= ~off;
	SHOW(tcsetattr(s, TCSANOW, &t));
}

static void show_modes(int fd)
{
	struct termios t;

	SHOW(tcgetattr(fd, &t));
	say("%#x %#x %#x %#x line %d speed %d", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag,
	    t.c_line, (int)cfgetospeed(&t));
	for (int i = 0; i < 17; i++)
		say("cc %d = %d", i, t.c_cc[i]);
}

static void making(void)
{
	struct winsize ws = {0};
	char *name;
	int n, lock = -1;
	struct stat st;

	SHOW(m = posix_openpt(O_RDWR | O_NOCTTY));
	name = ptsname(m);
	YES(name && strncmp(name, "/dev/pts/", 9) == 0);
	SHOW(stat(name, &st));
	YES(S_ISCHR(st.st_mode) && (st.st_mode & 0600) == 0600);
	SHOW(open(name, O_RDWR | O_NOCTTY));
	SHOW(ioctl(m, TIOCGPTLCK, &lock));
	SHOW(lock);
	SHOW(grantpt(m));
	SHOW(unlockpt(m));
	SHOW(ioctl(m, TIOCGPTN, &n));
	YES(atoi(name + 9) == n);
	s = open(name, O_RDWR | O_NOCTTY);
	SHOW(isatty(m));
	SHOW(isatty(s));
	YES(ttyname(s) && strcmp(ttyname(s), name) == 0);
	show_modes(s);
	SHOW(ioctl(m, TIOCGWINSZ, &ws));
	say("%d %d %d %d", ws.ws_row, ws.ws_col, ws.ws_xpixel, ws.ws_ypixel);
	ws = (struct winsize){24, 80, 1, 2};
	SHOW(ioctl(m, TIOCSWINSZ, &ws));
	memset(&ws, 0, sizeof(ws));
	SHOW(ioctl(s, TIOCGWINSZ, &ws));
	say("%d %d %d %d", ws.ws_row, ws.ws_col, ws.ws_xpixel, ws.ws_ypixel);
	SHOW(n = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY) > 0);
	SHOW(lseek(s, 0, SEEK_CUR));
	SHOW(ioctl(s, 0x5499, 0));
	SHOW(ioctl(s, TIOCGWINSZ, BAD));
	SHOW(ioctl(s, TIOCGPTN, &n));
	SHOW(ioctl(m, FIONREAD, &n));
	SHOW(n);
	SHOW(ioctl(s, TIOCGPGRP, &n));
	SHOW(ioctl(m, TIOCGPGRP, &n));
	SHOW(n);
	SHOW(ioctl(s, TIOCGSID, &n));
	SHOW(tcgetsid(m));
}

static void canonical(void)
{
	struct pollfd pfd = {s, POLLIN | POLLOUT, 0};
	int n;

	write(s, "hello\nworld\ttab\n", 16);
	screen("output");
	type("abc");
	screen("echo");
	SHOW(poll(&pfd, 1, 0));
	say("%#x", pfd.revents);
	SHOW(ioctl(s, FIONREAD, &n));
	SHOW(n);
	type("\n");
	SHOW(poll(&pfd, 1, 0));
	say("%#x", pfd.revents);
	SHOW(ioctl(s, FIONREAD, &n));
	SHOW(n);
	get("a line", 100);
	screen("newline");
	type("one two  three\177\177\177ee\n");
	get("erased", 100);
	screen("erased");
	type("one two three\027\027x\n");
	get("words", 100);
	screen("words");
	type("forget this\025kept\n");
	get("killed", 100);
	screen("killed");
	type("a\tb\177\177c\001\177d\n");
	get("tab and control", 100);
	screen("tab and control");
	type("lit\026\003eral\026\n\n");
	get("literal", 100);
	screen("literal");
	type("part\022ial\n");
	get("reprint", 100);
	screen("reprint");
	type("cr\r");
	get("carriage return", 100);
	screen("carriage return");
	type("line1\nline2\nline3\n");
	get("piece", 3);
	get("rest", 100);
	get("next", 100);
	get("next", 6);
	screen("three");
	type("no newline\004");
	get("eof behind text", 100);
	type("\004");
	get("eof", 100);
	type("abc\004");
	get("exactly", 3);
	type("x\n");
	get("after", 100);
	type("a\n\004b\n");
	get("line", 2);
	get("eof alone", 10);
	get("b", 10);
	screen("eofs");
	lflag(0, ECHO);
	type("silent\n");
	get("silent", 100);
	screen("silent");
	lflag(ECHONL, 0);
	type("nl\n");
	get("echonl", 100);
	screen("echonl");
	lflag(ECHO, ECHONL | ECHOE);
	type("ab\177c\n");
	get("no echoe", 100);
	screen("no echoe");
	lflag(ECHOE, ECHOKE);
	type("ab\025c\n");
	get("no echoke", 100);
	screen("no echoke");
	lflag(ECHOKE, 0);
}

static void modes(void)
{
	struct termios t, old;

	tcgetattr(s, &old);
	t = old;
	t.c_iflag = IUTF8 | ISTRIP;
	t.c_iflag = IUTF8 | ICRNL;
	tcsetattr(s, TCSANOW, &t);
	type("g\303\274n\177\177\n");
	get("utf8", 100);
	screen("utf8");
	t.c_iflag = INLCR | IGNCR;
	tcsetattr(s, TCSANOW, &t);
	type("a\rb\n\004");
	get("inlcr igncr", 100);
	screen("inlcr igncr");
	t = old;
	t.c_oflag = OPOST | XTABS | ONOCR | OCRNL;
	tcsetattr(s, TCSANOW, &t);
	write(s, "\ra\tb\rc\n", 7);
	screen("oflags");
	t.c_oflag = 0;
	tcsetattr(s, TCSANOW, &t);
	write(s, "a\tb\rc\n", 6);
	screen("no opost");
	t = old;
	t.c_cc[VEOL] = ';';
	tcsetattr(s, TCSANOW, &t);
	type("first;second\n");
	get("eol", 100);
	get("line", 100);
	screen("eol");
	tcsetattr(s, TCSANOW, &old);
	type("one\ntwo");
	t = old;
	cfmakeraw(&t);
	screen("before raw");
	tcsetattr(s, TCSANOW, &t);
	get("cooked input, raw", 100);
	type("raw");
	tcsetattr(s, TCSANOW, &old);
	get("raw input, cooked", 100);
	type("gone\n");
	screen("gone");
	tcsetattr(s, TCSAFLUSH, &old);
	type("new\n");
	get("flushed", 100);
	screen("flushed");
	type("gone too\n");
	screen("x");
	SHOW(tcflush(s, TCIFLUSH));
	type("y\n");
	get("tcflush", 100);
	screen("tcflush");
	SHOW(tcflush(s, 77));
	SHOW(tcdrain(s));
	SHOW(tcsendbreak(s, 0));
	cfsetspeed(&old, B115200);
	SHOW(tcsetattr(s, TCSANOW, &old));
	tcgetattr(s, &t);
	say("speed %d", cfgetospeed(&t) == B115200);
}

static void raw(void)
{
	struct pollfd pfd = {s, POLLIN, 0};
	struct termios t, old;
	int status, n;
	pid_t pid;

	tcgetattr(s, &old);
	t = old;
	cfmakeraw(&t);
	t.c_cc[VMIN] = 3;
	SHOW(tcsetattr(s, TCSANOW, &t));
	type("ab");
	SHOW(poll(&pfd, 1, 0));
	SHOW(ioctl(s, FIONREAD, &n));
	SHOW(n);
	type("\003");
	SHOW(poll(&pfd, 1, 0));
	get("min 3", 100);
	pid = fork();
	if (!pid) {
		type("1");
		sleep_ms(50);
		type("2");
		sleep_ms(50);
		type("3");
		_exit(0);
	}
	get("min 3 in pieces", 100);
	waitpid(pid, &status, 0);
	t.c_cc[VMIN] = 0;
	tcsetattr(s, TCSANOW, &t);
	get("min 0", 100);
	type("x");
	get("min 0 with one", 100);
	t.c_cc[VTIME] = 1;
	tcsetattr(s, TCSANOW, &t);
	get("time 1", 100);
	type("y");
	get("time 1 with one", 100);
	t.c_cc[VMIN] = 5;
	tcsetattr(s, TCSANOW, &t);
	type("zz");
	get("between bytes", 100);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	tcsetattr(s, TCSANOW, &t);
	fcntl(s, F_SETFL, O_RDWR | O_NONBLOCK);
	get("nonblock", 100);
	fcntl(s, F_SETFL, O_RDWR);
	screen("raw");
	tcsetattr(s, TCSANOW, &old);
}

static volatile int got_winch, got_int;

static void on_signal(int sig)
{
	if (sig == SIGWINCH)
		got_winch = 1;
	if (sig == SIGINT)
		got_int = 1;
}

/* A session of its own on the terminal. */
static void session(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	char *name = ptsname(m);
	int status, n, fd, p[2];
	pid_t pid;

	pipe(p);
	pid = fork();
	if (!pid) {
		SHOW(setsid() > 0);
		SHOW(open("/dev/tty", O_RDWR));
		close(s);
		SHOW(fd = open(name, O_RDWR | O_NOCTTY));
		SHOW(tcgetpgrp(fd));
		SHOW(ioctl(fd, TIOCSCTTY, 0));
		SHOW(ioctl(fd, TIOCSCTTY, 0));
		YES(tcgetpgrp(fd) == getpgrp());
		YES(tcgetsid(fd) == getpid());
		YES(tcgetsid(m) == getpid());
		SHOW(n = open("/dev/tty", O_RDWR));
		SHOW(isatty(n));
		close(n);
		sigaction(SIGWINCH, &sa, NULL);
		sigaction(SIGINT, &sa, NULL);
		SHOW(tcsetpgrp(fd, 999999));
		write(p[1], "r", 1);
		while (!got_winch)
			pause();
		say("window size");
		write(p[1], "w", 1);
		while (!got_int)
			sleep_ms(1);
		say("interrupt");
		if (!(n = fork())) {
			/* the background */
			setpgid(0, 0);
			signal(SIGTTIN, SIG_IGN);
			char c;
			SHOW(read(fd, &c, 1));
			signal(SIGTTIN, SIG_DFL);
			SHOW(read(fd, &c, 1));
			_exit(3);
		}
		waitpid(n, &status, WUNTRACED);
		show_status("background reader", status);
		tcsetpgrp(fd, n);
		kill(-n, SIGCONT);
		write(p[1], "g", 1);
		waitpid(n, &status, WUNTRACED);
		show_status("foreground reader", status);
		signal(SIGTTOU, SIG_IGN);
		SHOW(tcsetpgrp(fd, getpgrp()));
		signal(SIGTTOU, SIG_DFL);
		if (!(n = fork())) {
			struct termios t;

			setpgid(0, 0);
			say("writes from behind: %zd", write(fd, "bg\n", 3));
			tcgetattr(fd, &t);
			tcsetattr(fd, TCSANOW, &t);
			_exit(4);
		}
		waitpid(n, &status, WUNTRACED);
		show_status("background tcsetattr", status);
		kill(n, SIGKILL);
		waitpid(n, &status, 0);
		if (!(n = fork())) {
			setpgid(0, 0);
			SHOW(ioctl(fd, TIOCNOTTY));
			SHOW(open("/dev/tty", O_RDWR));
			_exit(0);
		}
		waitpid(n, &status, 0);
		SHOW(ioctl(fd, TIOCNOTTY));
		SHOW(open("/dev/tty", O_RDWR));
		SHOW(ioctl(fd, TIOCNOTTY));
		_exit(5);
	}
	char c;
	struct winsize ws = {30, 90, 0, 0};
	read(p[0], &c, 1);
	ioctl(m, TIOCSWINSZ, &ws);
	read(p[0], &c, 1);
	type("\003");
	read(p[0], &c, 1);
	type("x\n");
	waitpid(pid, &status, 0);
	show_status("session", status);
	screen("session");
	close(p[0]);
	close(p[1]);
}

static void tell(int fd)
{
	if (write(fd, "", 1) != 1)
		_exit(97);
}

static void await(int fd)
{
	char c;

	if (read(fd, &c, 1) != 1)
		say("nobody tells");
}

/* The session leader: its child goes to the front, is stopped and killed by keys. */
static void keys_leader(int told)
{
	int fd, status;
	pid_t pid;

	setsid();
	fd = open(ptsname(m), O_RDWR);
	YES(tcgetsid(fd) == getpid());
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		signal(SIGTTOU, SIG_IGN);
		tcsetpgrp(fd, getpgrp());
		signal(SIGTTOU, SIG_DFL);
		say("child in front");
		tell(told);
		for (;;)
			pause();
	}
	waitpid(pid, &status, WUNTRACED);
	show_status("^Z", status);
	kill(pid, SIGCONT);
	tell(told);
	waitpid(pid, &status, WUNTRACED);
	say("^\\: %d %d", WIFSIGNALED(status), WTERMSIG(status) == SIGQUIT);
	_exit(0);
}

/* A session leader that ends hangs its foreground up. */
static void hangup_leader(int told, int wait)
{
	setsid();
	open(ptsname(m), O_RDWR);
	if (!fork()) {
		sigset_t hup, none;

		sigemptyset(&none);
		sigemptyset(&hup);
		sigaddset(&hup, SIGHUP);
		sigprocmask(SIG_BLOCK, &hup, NULL);
		signal(SIGHUP, on_signal);
		tell(told);
		sigsuspend(&none);
		say("hung up: %s", strerrorname_np(errno));
		tell(told);
		_exit(0);
	}
	await(wait);
	sleep_ms(20);
	_exit(0);
}

static void keys(void)
{
	int status, p[2], q[2];
	pid_t pid;

	pipe(p);
	pipe(q);
	pid = fork();
	if (!pid)
		keys_leader(p[1]);
	await(p[0]);
	type("\032");
	await(p[0]);
	type("\034");
	waitpid(pid, &status, 0);
	show_status("keys", status);
	screen("keys");
	pid = fork();
	if (!pid)
		hangup_leader(p[1], q[0]);
	await(p[0]);
	tell(q[1]);
	waitpid(pid, &status, 0);
	await(p[0]);
	close(p[0]);
	close(p[1]);
	close(q[0]);
	close(q[1]);
}

static void packets(void)
{
	char buf[64];
	int on = 1, off = 0;
	struct termios t;

	SHOW(ioctl(m, TIOCPKT, &on));
	write(s, "data", 4);
	SHOW(read(m, buf, sizeof(buf)));
	say("%d '%.4s'", buf[0], buf + 1);
	tcflush(s, TCIOFLUSH);
	SHOW(read(m, buf, sizeof(buf)));
	say("%#x", buf[0]);
	type("\023");
	SHOW(read(m, buf, sizeof(buf)));
	say("%#x", buf[0]);
	type("\021");
	SHOW(read(m, buf, sizeof(buf)));
	say("%#x", buf[0]);
	tcgetattr(s, &t);
	t.c_iflag &= ~IXON;
	tcsetattr(s, TCSANOW, &t);
	SHOW(read(m, buf, sizeof(buf)));
	say("%#x", buf[0]);
	t.c_iflag |= IXON;
	tcsetattr(s, TCSANOW, &t);
	SHOW(read(m, buf, sizeof(buf)));
	say("%#x", buf[0]);
	SHOW(ioctl(m, TIOCPKT, &off));
}

static void flow(void)
{
	struct pollfd pfd = {s, POLLOUT, 0};

	type("\023");
	SHOW(poll(&pfd, 1, 0));
	fcntl(s, F_SETFL, O_RDWR | O_NONBLOCK);
	SHOW(write(s, "stopped", 7));
	type("\021");
	SHOW(write(s, "started", 7));
	screen("flow");
	SHOW(tcflow(s, TCOOFF));
	SHOW(write(s, "stopped", 7));
	SHOW(tcflow(s, TCOON));
	SHOW(write(s, "started", 7));
	screen("flow");
	fcntl(s, F_SETFL, O_RDWR);
}

static void closing(void)
{
	struct pollfd pfd = {m, POLLIN | POLLOUT, 0};
	char name[64], c;
	int m2, s2;

	SHOW(openpty(&m2, &s2, name, NULL, NULL));
	write(s2, "last", 4);
	close(s2);
	pfd.fd = m2;
	SHOW(poll(&pfd, 1, 0));
	say("%#x", pfd.revents & (POLLIN | POLLHUP));
	char buf[16];
	SHOW(read(m2, buf, 16));
	SHOW(read(m2, buf, 16));
	SHOW(s2 = open(name, O_RDWR | O_NOCTTY) > 0);
	close(m2);
	SHOW(openpty(&m2, &s2, name, NULL, NULL));
	close(m2);
	SHOW(access(name, F_OK));
	SHOW(read(s2, &c, 1));
	SHOW(write(s2, &c, 1));
	SHOW(tcgetpgrp(s2));
	pfd.fd = s2;
	SHOW(poll(&pfd, 1, 0));
	say("%#x", pfd.revents);
	close(s2);
	SHOW(write(m, "", 0));
	SHOW(read(m, BAD, 0));
	write(s, "z", 1);
	SHOW(read(m, BAD, 1));
	SHOW(write(s, BAD, 1));
}

int main(void)
{
	making();
	canonical();
	modes();
	raw();
	session();
	keys();
	packets();
	flow();
	closing();
	return 0;
}
