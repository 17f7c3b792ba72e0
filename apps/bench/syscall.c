/*
 * The cost of system calls: bench-syscall CASE ROUNDS prints one number, the best of ROUNDS rounds,
 * in nanoseconds an operation.  `leat bench syscall` runs it natively and in instances, in turns,
 * and takes medians of these.  Rounds are short, some half a millisecond, so that some of them run
 * undisturbed on a busy machine too.
 *
 * A case is a set-up, a function that does `count` operations, and an end.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS_MAX 1000
#define READY_FDS 64
#define PAGE 4096UL
#define MAP_BYTES (64UL << 10)
#define FORK_BYTES (10UL << 20)
#define STACK_BYTES (64UL << 10)

static int to_peer[2], from_peer[2]; /* pipes, or an eventfd in [0] and [1] */
static int epoll_fd, file_fd;
static char file_name[] = "/tmp/leat-bench.XXXXXX";
static pthread_t peer;
static volatile uint32_t turn; /* futex_wake: whose turn it is */
static volatile uint64_t handled;

static void must(long result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "bench-syscall: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* ---- single calls ---- */

static void do_getpid(long count)
{
	for (long i = 0; i < count; i++)
		syscall(SYS_getpid);
}

static void do_clock(long count)
{
	struct timespec ts;

	for (long i = 0; i < count; i++)
		clock_gettime(CLOCK_MONOTONIC, &ts);
}

static void do_yield(long count)
{
	for (long i = 0; i < count; i++)
		syscall(SYS_sched_yield);
}

static void make_file(void)
{
	char block[PAGE] = {1};

	file_fd = mkstemp(file_name);
	must(file_fd, "mkstemp");
	must(write(file_fd, block, sizeof(block)), "write");
}

static void remove_file(void)
{
	unlink(file_name);
}

static void do_open_close(long count)
{
	for (long i = 0; i < count; i++) {
		int fd = open(file_name, O_RDONLY);

		must(fd, "open");
		close(fd);
	}
}

static void do_stat(long count)
{
	struct stat st;

	for (long i = 0; i < count; i++)
		must(stat(file_name, &st), "stat");
}

static void do_pread(long count)
{
	static char block[PAGE];

	for (long i = 0; i < count; i++)
		must(pread(file_fd, block, sizeof(block), 0), "pread");
}

static void do_mmap(long count)
{
	for (long i = 0; i < count; i++) {
		char *p = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

		must(p == MAP_FAILED ? -1 : 0, "mmap");
		for (size_t at = 0; at < MAP_BYTES; at += PAGE)
			((volatile char *)p)[at] = 1;
		munmap(p, MAP_BYTES);
	}
}

static void on_signal(int sig)
{
	(void)sig;
	handled++;
}

static void prepare_signal(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	must(sigaction(SIGUSR1, &action, NULL), "sigaction");
}

static void do_signal(long count)
{
	uint64_t before = handled;

	for (long i = 0; i < count; i++)
		raise(SIGUSR1);
	must(handled - before == (uint64_t)count ? 0 : -1, "signals");
}

/* A ready set of 64 eventfds, all reported by each call. */
static void prepare_epoll(void)
{
	epoll_fd = epoll_create1(0);
	must(epoll_fd, "epoll_create1");
	for (int i = 0; i < READY_FDS; i++) {
		struct epoll_event event = {.events = EPOLLIN};
		int fd = eventfd(1, 0);

		must(fd, "eventfd");
		event.data.fd = fd;
		must(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
	}
}

static void do_epoll_wait(long count)
{
	struct epoll_event events[READY_FDS];

	for (long i = 0; i < count; i++)
		if (epoll_wait(epoll_fd, events, READY_FDS, -1) != READY_FDS)
			must(-1, "epoll_wait");
}

/* ---- round trips between two threads or processes ---- */

/* Sends back each byte until the other end is closed. */
static void *echo(void *arg)
{
	char byte;

	(void)arg;
	while (read(to_peer[0], &byte, 1) == 1)
		if (write(from_peer[1], &byte, 1) != 1)
			break;
	return NULL;
}

static void make_pipes(void)
{
	must(pipe(to_peer), "pipe");
	must(pipe(from_peer), "pipe");
}

static void prepare_pipe_thread(void)
{
	make_pipes();
	must(-pthread_create(&peer, NULL, echo, NULL), "pthread_create");
}

static void end_pipe_thread(void)
{
	close(to_peer[1]);
	pthread_join(peer, NULL);
}

static void prepare_pipe_process(void)
{
	pid_t pid;

	make_pipes();
	pid = fork();
	must(pid, "fork");
	if (pid == 0) {
		close(to_peer[1]);
		echo(NULL);
		_exit(0);
	}
	close(to_peer[0]);
	close(from_peer[1]);
}

static void end_pipe_process(void)
{
	close(to_peer[1]);
	wait(NULL);
}

static void do_pipe(long count)
{
	char byte = 'x';

	for (long i = 0; i < count; i++) {
		must(write(to_peer[1], &byte, 1), "write");
		must(read(from_peer[0], &byte, 1), "read");
	}
}

static void *echo_events(void *arg)
{
	uint64_t n;

	(void)arg;
	while (read(to_peer[0], &n, sizeof(n)) == sizeof(n)) {
		uint64_t last = n;

		n = 1;
		must(write(from_peer[0], &n, sizeof(n)), "write");
		if (last > 1)
			break;
	}
	return NULL;
}

static void prepare_eventfd(void)
{
	to_peer[0] = eventfd(0, 0);
	from_peer[0] = eventfd(0, 0);
	must(to_peer[0], "eventfd");
	must(from_peer[0], "eventfd");
	must(-pthread_create(&peer, NULL, echo_events, NULL), "pthread_create");
}

static void end_eventfd(void)
{
	uint64_t n = 2; /* the last one */

	must(write(to_peer[0], &n, sizeof(n)), "write");
	pthread_join(peer, NULL);
}

static void do_eventfd(long count)
{
	uint64_t n;

	for (long i = 0; i < count; i++) {
		n = 1;
		must(write(to_peer[0], &n, sizeof(n)), "write");
		must(read(from_peer[0], &n, sizeof(n)), "read");
	}
}

static void turn_wait(uint32_t mine)
{
	uint32_t seen;

	while ((seen = __atomic_load_n(&turn, __ATOMIC_ACQUIRE)) != mine && seen != 2)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, seen, NULL);
}

static void turn_give(uint32_t to)
{
	__atomic_store_n(&turn, to, __ATOMIC_RELEASE);
	syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1);
}

static void *take_turns(void *arg)
{
	(void)arg;
	for (;;) {
		turn_wait(1);
		if (turn == 2)
			return NULL;
		turn_give(0);
	}
}

static void prepare_futex(void)
{
	must(-pthread_create(&peer, NULL, take_turns, NULL), "pthread_create");
}

static void end_futex(void)
{
	turn_give(2);
	pthread_join(peer, NULL);
}

/* From the wake to the woken thread's first step: half of a round trip. */
static void do_futex(long count)
{
	for (long i = 0; i < count; i += 2) {
		turn_give(1);
		turn_wait(0);
	}
}

/* ---- making threads and processes ---- */

static void *nothing(void *arg)
{
	return arg;
}

static void do_thread(long count)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (long i = 0; i < count; i++) {
		must(-pthread_create(&thread, &attr, nothing, NULL), "pthread_create");
		pthread_join(thread, NULL);
	}
	pthread_attr_destroy(&attr);
}

static void prepare_fork(void)
{
	char *p =
		mmap(NULL, FORK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(p == MAP_FAILED ? -1 : 0, "mmap");
	memset(p, 1, FORK_BYTES);
}

static void do_fork(long count)
{
	for (long i = 0; i < count; i++) {
		pid_t pid = fork();

		must(pid, "fork");
		if (pid == 0)
			_exit(0);
		must(waitpid(pid, NULL, 0), "waitpid");
	}
}

static const struct bench {
	const char *name;
	void (*prepare)(void);
	void (*run)(long count);
	void (*end)(void);
	long count;
} cases[] = {
	{"getpid", NULL, do_getpid, NULL, 2000},
	{"pipe_thread", prepare_pipe_thread, do_pipe, end_pipe_thread, 50},
	{"pipe_process", prepare_pipe_process, do_pipe, end_pipe_process, 50},
	{"eventfd", prepare_eventfd, do_eventfd, end_eventfd, 50},
	{"futex_wake", prepare_futex, do_futex, end_futex, 100},
	{"thread_create", NULL, do_thread, NULL, 20},
	{"clock_gettime", NULL, do_clock, NULL, 10000},
	{"epoll_wait", prepare_epoll, do_epoll_wait, NULL, 100},
	{"open_close", make_file, do_open_close, remove_file, 200},
	{"stat", make_file, do_stat, remove_file, 400},
	{"pread", make_file, do_pread, remove_file, 400},
	{"mmap", NULL, do_mmap, NULL, 10},
	{"fork", prepare_fork, do_fork, NULL, 2},
	{"signal", prepare_signal, do_signal, NULL, 200},
	{"sched_yield", NULL, do_yield, NULL, 400},
};

#define NR_CASES (sizeof(cases) / sizeof(cases[0]))

static void measure(const struct bench *bench, int rounds)
{
	double best = 0;

	if (bench->prepare != NULL)
		bench->prepare();
	bench->run(bench->count); /* warm: caches, rewritten sites, threads that exist */
	for (int i = 0; i < rounds; i++) {
		double start = now_ns(), took;

		bench->run(bench->count);
		took = (now_ns() - start) / (double)bench->count;
		if (i == 0 || took < best)
			best = took;
	}
	if (bench->end != NULL)
		bench->end();
	printf("%.2f\n", best);
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 5;

	if (rounds < 1 || rounds > ROUNDS_MAX)
		rounds = 5;
	if (argc < 2) { /* the names, for leat bench */
		for (size_t i = 0; i < NR_CASES; i++)
			puts(cases[i].name);
		return 0;
	}
	for (size_t i = 0; i < NR_CASES; i++) {
		if (strcmp(cases[i].name, argv[1]) != 0)
			continue;
		measure(&cases[i], rounds);
		return 0;
	}
	fprintf(stderr, "bench-syscall: no case %s\n", argv[1]);
	return 2;
}
