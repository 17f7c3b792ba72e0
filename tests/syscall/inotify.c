/*
 * inotify.c - inotify(7): every event, moves with their cookies, flags, overflow, readiness.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/xattr.h>

#include "t.h"

static int ifd;
static uint32_t last_cookie;

static const struct {
	uint32_t bit;
	const char *name;
} names[] = {
	{IN_ACCESS, "ACCESS"},
	{IN_MODIFY, "MODIFY"},
	{IN_ATTRIB, "ATTRIB"},
	{IN_CLOSE_WRITE, "CLOSE_WRITE"},
	{IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"},
	{IN_OPEN, "OPEN"},
	{IN_MOVED_FROM, "MOVED_FROM"},
	{IN_MOVED_TO, "MOVED_TO"},
	{IN_CREATE, "CREATE"},
	{IN_DELETE, "DELETE"},
	{IN_DELETE_SELF, "DELETE_SELF"},
	{IN_MOVE_SELF, "MOVE_SELF"},
	{IN_UNMOUNT, "UNMOUNT"},
	{IN_Q_OVERFLOW, "Q_OVERFLOW"},
	{IN_IGNORED, "IGNORED"},
	{IN_ISDIR, "ISDIR"},
};

static const char *mask_text(uint32_t mask)
{
	static char text[256];

	text[0] = 0;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (mask & names[i].bit) {
			strcat(text, text[0] ? "|" : "");
			strcat(text, names[i].name);
			mask &= ~names[i].bit;
		}
	if (mask)
		sprintf(text + strlen(text), "|%#x", mask);
	return text;
}

/* Prints everything that is queued; cookies as "same" or "new". */
static void drain(const char *when)
{
	char buf[8192] __attribute__((aligned(8)));
	ssize_t n;

	say("-- %s", when);
	while ((n = read(ifd, buf, sizeof(buf))) > 0)
		for (char *p = buf; p < buf + n;) {
			struct inotify_event *e = (void *)p;
			const char *cookie = "";

			if (e->cookie)
				cookie = e->cookie == last_cookie ? " cookie same" : " cookie new";
			if (e->cookie)
				last_cookie = e->cookie;
			say("wd %d %s len %u '%s'%s", e->wd, mask_text(e->mask), e->len,
			    e->len ? e->name : "", cookie);
			p += sizeof(*e) + e->len;
		}
	if (n < 0 && errno != EAGAIN)
		say("read: %s", strerrorname_np(errno));
}

static void files(void)
{
	char buf[16];
	int fd = open("d/f", O_CREAT | O_RDWR, 0644);
	struct timespec ts[2] = {{1, 0}, {2, 0}};

	write(fd, "hello", 5);
	pwrite(fd, "hello", 5, 100);
	pread(fd, buf, 5, 0);
	ftruncate(fd, 3);
	fchmod(fd, 0600);
	fchown(fd, 0, 0);
	close(fd);
	drain("create, write, read, chmod");
	chmod("d/f", 0640);
	utimensat(AT_FDCWD, "d/f", ts, 0);
	ts[0].tv_nsec = UTIME_OMIT;
	utimensat(AT_FDCWD, "d/f", ts, 0);
	ts[0].tv_nsec = 0;
	ts[1].tv_nsec = UTIME_OMIT;
	utimensat(AT_FDCWD, "d/f", ts, 0);
	truncate("d/f", 10);
	drain("attributes");
	close(open("d/f", O_RDONLY));
	close(open("d/f", O_PATH));
	close(open("d/f", O_WRONLY | O_TRUNC));
	access("d/f", R_OK);
	drain("opens");
	fd = open("d/f", O_RDWR);
	fallocate(fd, 0, 0, 4096);
	close(fd);
	link("d/f", "d/g");
	symlink("f", "d/s");
	mkfifo("d/p", 0600);
	mkdir("d/sub", 0755);
	drain("fallocate, link, symlink, fifo, mkdir");
	close(open("d/sub", O_RDONLY | O_DIRECTORY));
	rmdir("d/sub");
	unlink("d/g");
	unlink("d/s");
	unlink("d/p");
	drain("removals");
}

static void moves(void)
{
	put_file("d/one", "1");
	put_file("d/two", "2");
	mkdir("d/dir", 0755);
	drain("before the moves");
	rename("d/one", "d/uno");
	drain("in the directory");
	rename("d/uno", "e/uno");
	drain("to another");
	rename("d/dir", "e/dir");
	drain("a directory");
	rename("e/uno", "d/two");
	drain("over a file");
	put_file("d/three", "3");
	drain("three");
	renameat2(AT_FDCWD, "d/two", AT_FDCWD, "e/dir", 2);
	drain("exchanged");
	rename("d/three", "x");
	drain("out");
	rename("x", "d/three");
	drain("in");
}

static void selves(void)
{
	int wd, fd;

	put_file("self", "s");
	SHOW(wd = inotify_add_watch(ifd, "self", IN_ALL_EVENTS));
	rename("self", "d/self");
	drain("move self");
	link("d/self", "self2");
	unlink("d/self");
	drain("one of two names");
	fd = open("self2", O_RDONLY);
	unlink("self2");
	drain("still open");
	close(fd);
	drain("closed");
	SHOW(inotify_rm_watch(ifd, wd));
	mkdir("selfdir", 0755);
	SHOW(inotify_add_watch(ifd, "selfdir", IN_ALL_EVENTS));
	rename("selfdir", "selfdir2");
	drain("directory moves");
	rmdir("selfdir2");
	drain("directory goes");
	put_file("v1", "");
	put_file("v2", "");
	SHOW(inotify_add_watch(ifd, "v2", IN_DELETE_SELF | IN_ATTRIB));
	rename("v1", "v2");
	drain("victim");
}

static void flags(void)
{
	int wd, fd;

	put_file("o", "");
	mkdir("od", 0755);
	SHOW(wd = inotify_add_watch(ifd, "o", IN_OPEN | IN_ONESHOT));
	close(open("o", O_RDONLY));
	close(open("o", O_RDONLY));
	drain("oneshot");
	SHOW(inotify_rm_watch(ifd, wd));
	SHOW(inotify_add_watch(ifd, "o", IN_OPEN | IN_ONLYDIR));
	SHOW(wd = inotify_add_watch(ifd, "od", IN_OPEN | IN_ONLYDIR));
	YES(inotify_add_watch(ifd, "od", IN_CREATE | IN_MASK_ADD) == wd);
	SHOW(inotify_add_watch(ifd, "od", IN_CREATE | IN_MASK_CREATE));
	SHOW(inotify_add_watch(ifd, "od", IN_CREATE | IN_MASK_CREATE | IN_MASK_ADD));
	close(open("od/x", O_CREAT | O_WRONLY, 0600));
	drain("added mask");
	YES(inotify_add_watch(ifd, "od", IN_DELETE) == wd);
	close(open("od/y", O_CREAT | O_WRONLY, 0600));
	unlink("od/y");
	drain("new mask");
	YES(inotify_add_watch(ifd, "od", IN_MODIFY | IN_EXCL_UNLINK) == wd);
	fd = open("od/x", O_WRONLY);
	write(fd, "1", 1);
	unlink("od/x");
	write(fd, "2", 1);
	close(fd);
	drain("excl_unlink");
	YES(inotify_add_watch(ifd, "od", IN_MODIFY) == wd);
	fd = open("od/z", O_WRONLY | O_CREAT, 0600);
	unlink("od/z");
	write(fd, "2", 1);
	close(fd);
	drain("unlinked and written");
	symlink("o", "link");
	SHOW(inotify_add_watch(ifd, "link", IN_ATTRIB | IN_DONT_FOLLOW));
	lchown("link", 0, 0);
	chmod("link", 0600);
	drain("the link itself");
	unlink("link");
	drain("link gone");
	setxattr("o", "user.a", "b", 1, 0);
	SHOW(wd = inotify_add_watch(ifd, "o", IN_ALL_EVENTS));
	setxattr("o", "user.a", "c", 1, 0);
	removexattr("o", "user.a");
	drain("xattr");
	SHOW(inotify_rm_watch(ifd, wd));
	drain("removed");
	SHOW(inotify_rm_watch(ifd, wd));
}

static void errors(void)
{
	int n, fd = open("o", O_RDONLY);
	char small[16];

	SHOW(inotify_init1(0x1234));
	SHOW(inotify_add_watch(-1, "o", IN_OPEN));
	SHOW(inotify_add_watch(fd, "o", IN_OPEN));
	SHOW(inotify_add_watch(ifd, "o", 0));
	SHOW(inotify_add_watch(ifd, "nowhere", IN_OPEN));
	SHOW(inotify_add_watch(ifd, BAD, IN_OPEN));
	SHOW(inotify_rm_watch(-1, 1));
	SHOW(inotify_rm_watch(fd, 1));
	SHOW(inotify_rm_watch(ifd, 9999));
	SHOW(read(ifd, small, sizeof(small)));
	SHOW(inotify_add_watch(ifd, ".", IN_CREATE) > 0);
	close(open("a-name-of-some-length", O_CREAT | O_WRONLY, 0600));
	SHOW(ioctl(ifd, FIONREAD, &n));
	say("queued %d", n);
	SHOW(read(ifd, small, sizeof(small)));
	SHOW(read(ifd, BAD, 4096));
	SHOW(write(ifd, small, 1));
	SHOW(lseek(ifd, 0, SEEK_CUR));
	drain("after the errors");
	close(fd);
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void waiting(void)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	struct epoll_event ev = {.events = EPOLLIN};
	struct pollfd pfd = {.events = POLLIN};
	char buf[512];
	int ep, status;
	pid_t pid;

	ifd = inotify_init1(IN_CLOEXEC);
	SHOW(fcntl(ifd, F_GETFD));
	SHOW(fcntl(ifd, F_GETFL));
	pfd.fd = ifd;
	SHOW(inotify_add_watch(ifd, "o", IN_OPEN | IN_DELETE_SELF));
	SHOW(poll(&pfd, 1, 0));
	ep = epoll_create1(0);
	epoll_ctl(ep, EPOLL_CTL_ADD, ifd, &ev);
	SHOW(epoll_wait(ep, &ev, 1, 0));
	pid = fork();
	if (!pid) {
		sleep_ms(50);
		close(open("o", O_RDONLY));
		_exit(0);
	}
	SHOW(epoll_wait(ep, &ev, 1, 10000));
	SHOW(read(ifd, buf, sizeof(buf)));
	waitpid(pid, &status, 0);
	pid = fork();
	if (!pid) {
		sleep_ms(50);
		close(open("o", O_RDONLY));
		_exit(0);
	}
	SHOW(read(ifd, buf, sizeof(buf)));
	waitpid(pid, &status, 0);
	SHOW(poll(&pfd, 1, 0));
	sigaction(SIGALRM, &sa, NULL);
	ualarm(50000, 0);
	SHOW(read(ifd, buf, sizeof(buf)));
	SHOW(close(ifd));
	close(ep);
}

static void overflow(void)
{
	char buf[65536] __attribute__((aligned(8)));
	unsigned events = 0, overflows = 0;
	ssize_t n;

	ifd = inotify_init1(IN_NONBLOCK);
	inotify_add_watch(ifd, "o", IN_OPEN | IN_CLOSE_NOWRITE);
	for (int i = 0; i < 8200; i++)
		close(open("o", O_RDONLY));
	while ((n = read(ifd, buf, sizeof(buf))) > 0)
		for (char *p = buf; p < buf + n;) {
			struct inotify_event *e = (void *)p;

			events++;
			if (e->mask & IN_Q_OVERFLOW) {
				overflows++;
				say("overflow: wd %d", e->wd);
			}
			p += sizeof(*e) + e->len;
		}
	say("%u events, %u overflows", events, overflows);
	close(open("o", O_RDONLY));
	drain("after the overflow");
	close(ifd);
}

int main(void)
{
	scratch();
	MUST(mkdir("d", 0755));
	MUST(mkdir("e", 0755));
	SHOW(ifd = inotify_init1(IN_NONBLOCK));
	SHOW(inotify_add_watch(ifd, "d", IN_ALL_EVENTS));
	files();
	SHOW(inotify_add_watch(ifd, "e", IN_ALL_EVENTS));
	moves();
	selves();
	flags();
	errors();
	close(ifd);
	waiting();
	overflow();
	return 0;
}
