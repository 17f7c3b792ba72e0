/*
 * state.c - a program that makes one of everything, says "ready", waits for a line, and looks
 * whether all of it is still as it was.  Between the two it may be snapshotted: what it prints must
 * be the same as without.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define BIG (64 * PAGE)

static volatile sig_atomic_t got_usr1, got_usr2;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int generation, threads_done;
static double values[4] = {1.5, 2.25, -3.125, 1e300};

static void check(const char *what, int good)
{
	printf("%s: %s\n", what, good ? "good" : "BAD");
}

static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		got_usr1 = 1;
	else
		got_usr2 = 1;
}

/* Sleeps on a condition with vector state that must survive. */
static void *thread_main(void *arg)
{
	double mine = values[(long)arg];

	pthread_mutex_lock(&mutex);
	while (generation == 0)
		pthread_cond_wait(&cond, &mutex);
	threads_done += mine == values[(long)arg];
	pthread_mutex_unlock(&mutex);
	return NULL;
}

/* One that is computing when the snapshot is taken. */
static volatile int spin_stop;
static void *spinner_main(void *arg)
{
	volatile double *sum = arg;
	double a = 1, b = 0;

	while (!spin_stop) {
		b += a;
		a = a * 0.5 + 0.5;
	}
	*sum = b > 0 && a == 1;
	return NULL;
}

struct memory {
	char *anon, *wiped, *forgotten, *freed, *file_private, *file_shared, *hole, *moved;
	int fd;
};

static void memory_make(struct memory *m)
{
	char name[] = "/tmp/leat-state-XXXXXX";
	int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;

	m->anon = mmap(NULL, BIG, prot, flags, -1, 0);
	m->wiped = mmap(NULL, PAGE, prot, flags, -1, 0);
	m->forgotten = mmap(NULL, BIG, prot, flags, -1, 0);
	m->freed = mmap(NULL, BIG, prot, flags, -1, 0);
	m->hole = mmap(NULL, BIG, prot, flags, -1, 0);
	m->moved = mmap(NULL, BIG, prot, flags, -1, 0);
	memset(m->anon, 0x11, BIG);
	memset(m->forgotten, 0x22, BIG);
	memset(m->freed, 0x33, BIG);
	memset(m->moved, 0x44, BIG);
	m->hole[40 * PAGE] = 7;
	mprotect(m->anon + 3 * PAGE, PAGE, PROT_READ);
	munmap(m->anon + 10 * PAGE, PAGE);
	m->fd = mkstemp(name);
	unlink(name);
	ftruncate(m->fd, BIG);
	pwrite(m->fd, "file", 4, 5 * PAGE);
	m->file_private = mmap(NULL, BIG, prot, MAP_PRIVATE, m->fd, 0);
	m->file_shared = mmap(NULL, BIG, prot, MAP_SHARED, m->fd, 0);
	m->file_private[6 * PAGE] = 'p';
	m->file_shared[7 * PAGE] = 's';
	lseek(m->fd, 1234, SEEK_SET);
}

static int all(const char *p, size_t n, int value)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)p[i] != value)
			return 0;
	return 1;
}

static void memory_check(struct memory *m)
{
	char c = 0, *moved;

	check("anonymous",
	      all(m->anon, 10 * PAGE, 0x11) && all(m->anon + 11 * PAGE, BIG - 11 * PAGE, 0x11));
	check("hole", m->hole[40 * PAGE] == 7 && all(m->hole, 40 * PAGE, 0));
	check("private file", m->file_private[6 * PAGE] == 'p' &&
				      memcmp(m->file_private + 5 * PAGE, "file", 4) == 0);
	check("shared file",
	      m->file_shared[7 * PAGE] == 's' && pread(m->fd, &c, 1, 7 * PAGE) == 1 && c == 's');
	pwrite(m->fd, "new", 3, 8 * PAGE);
	check("shared file, written", memcmp(m->file_shared + 8 * PAGE, "new", 3) == 0);
	check("position", lseek(m->fd, 0, SEEK_CUR) == 1234);
	check("dontneed",
	      madvise(m->forgotten, BIG, MADV_DONTNEED) == 0 && all(m->forgotten, BIG, 0));
	m->forgotten[0] = 1;
	check("dontneed, written", m->forgotten[0] == 1 && all(m->forgotten + 1, BIG - 1, 0));
	check("free", madvise(m->freed, BIG, MADV_FREE) == 0);
	memset(m->freed, 0x55, PAGE);
	check("free, written", all(m->freed, PAGE, 0x55));
	check("wipeonfork", madvise(m->wiped, PAGE, MADV_WIPEONFORK) == 0);
	moved = mremap(m->moved, BIG, 2 * BIG, MREMAP_MAYMOVE);
	check("mremap", moved != MAP_FAILED && all(moved, BIG, 0x44) && all(moved + BIG, BIG, 0));
	check("heap", malloc(1 << 20) != NULL && sbrk(1 << 16) != (void *)-1);
}

struct objects {
	int pipe[2], pair[2], event, timer, epoll, listener, old;
	struct timespec start;
};

static void objects_make(struct objects *o)
{
	struct itimerspec soon = {.it_value = {.tv_nsec = 100000000}};
	struct epoll_event event = {.events = EPOLLIN};

	pipe(o->pipe);
	socketpair(AF_UNIX, SOCK_STREAM, 0, o->pair);
	o->event = eventfd(5, 0);
	o->timer = timerfd_create(CLOCK_MONOTONIC, 0);
	o->epoll = epoll_create1(0);
	o->listener = socket(AF_INET, SOCK_STREAM, 0);
	o->old = open("/etc/passwd", O_RDONLY);
	lseek(o->old, 4, SEEK_SET);
	listen(o->listener, 4);
	write(o->pipe[1], "in the pipe", 11);
	write(o->pair[0], "in the pair", 11);
	timerfd_settime(o->timer, 0, &soon, NULL);
	epoll_ctl(o->epoll, EPOLL_CTL_ADD, o->event, &event);
	epoll_ctl(o->epoll, EPOLL_CTL_ADD, o->pipe[0], &event);
	clock_gettime(CLOCK_MONOTONIC, &o->start);
}

static void listener_check(int listener)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	int client = socket(AF_INET, SOCK_STREAM, 0), server;
	char c = 0;

	getsockname(listener, (struct sockaddr *)&addr, &len);
	check("connect", connect(client, (struct sockaddr *)&addr, len) == 0);
	server = accept(listener, NULL, NULL);
	check("accept",
	      server >= 0 && write(client, "x", 1) == 1 && read(server, &c, 1) == 1 && c == 'x');
}

static void objects_check(struct objects *o)
{
	struct epoll_event events[4];
	struct timespec now;
	char buf[32] = {0};
	uint64_t n = 0;

	check("epoll", epoll_wait(o->epoll, events, 4, 0) == 2);
	check("pipe", read(o->pipe[0], buf, sizeof(buf)) == 11 && !memcmp(buf, "in the pipe", 11));
	check("pair", read(o->pair[1], buf, sizeof(buf)) == 11 && !memcmp(buf, "in the pair", 11));
	check("eventfd", read(o->event, &n, 8) == 8 && n == 5);
	check("timerfd", read(o->timer, &n, 8) == 8 && n == 1);
	check("host file", read(o->old, buf, 3) == 3 && buf[0] == ':');
	clock_gettime(CLOCK_MONOTONIC, &now);
	check("clock", now.tv_sec > o->start.tv_sec ||
			       (now.tv_sec == o->start.tv_sec && now.tv_nsec > o->start.tv_nsec));
	listener_check(o->listener);
}

static void processes_check(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
	check("fork and exec",
	      waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	kill(getpid(), SIGUSR2);
	check("signal to oneself", got_usr2 != 0);
}

int main(void)
{
	pthread_t threads[4], spinner;
	struct memory memory;
	struct objects objects;
	sigset_t set;
	double sum = 0;
	char line[16];

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGUSR2, on_signal);
	signal(SIGUSR1, on_signal);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	kill(getpid(), SIGUSR1); /* pending */
	memory_make(&memory);
	objects_make(&objects);
	for (long i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, thread_main, (void *)i);
	pthread_create(&spinner, NULL, spinner_main, &sum);
	puts("ready");
	if (fgets(line, sizeof(line), stdin) == NULL)
		return 1;
	pthread_mutex_lock(&mutex);
	generation = 1;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	spin_stop = 1;
	pthread_join(spinner, NULL);
	check("threads", threads_done == 4);
	check("one that computed", sum == 1);
	memory_check(&memory);
	objects_check(&objects);
	check("blocked signal", got_usr1 == 0);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	check("pending signal", got_usr1 != 0);
	processes_check();
	return 0;
}
