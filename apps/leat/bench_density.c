/*
 * bench_density.c - leat bench density: how many, how fast, how small.
 *
 * The same static HTTP function is started as instances, as plain processes, and as containers of
 * runc and crun where they are installed, one side after the other: alone, then more and more until
 * all have answered a request; then they idle, and some are asked again.  Requests come from
 * outside: in the network namespace of leatd's uplink, or on a loopback.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "apps/common/parse.h"
#include "apps/common/paths.h"
#include "apps/leat/density.h"
#include "apps/leat/leat.h"

#define INSTANCES_DEFAULT 4000U
#define INSTANCES_QUICK 100U
#define ALONE_RUNS 20U
#define ANSWER_WAIT_NS 20000000000ULL
#define RETRY_NS 50000
#define SETTLE_S 1
#define IDLE_S 5
#define REQUESTS 4000U

static const char help[] =
	"usage: leat bench density [OPTION]...\n"
	"Starts many instances of a small HTTP function, until each has answered a request.\n\n"
	"      --program c|python|node  the function (c: static)\n"
	"      --instances N            (4000; with --quick 100)\n"
	"      --only SIDE,...          of leat, native, runc, crun\n"
	"      --quick                  fewer instances and requests\n"
	"      --json\n"
	"      --help\n";

static void nap_ns(uint64_t ns)
{
	const struct timespec ts = {(time_t)(ns / 1000000000U), (long)(ns % 1000000000U)};

	nanosleep(&ts, NULL);
}

/* ---- one request ---- */

static int request_once(const struct sockaddr_in *addr)
{
	static const char request[] = "GET / HTTP/1.0\r\n\r\n";
	const struct timeval timeout = {.tv_sec = 10};
	char answer[512];
	size_t used = 0;
	ssize_t n;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r = -EPROTO;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ||
	    send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	while (used < sizeof(answer) - 1 &&
	       (n = recv(fd, answer + used, sizeof(answer) - 1 - used, 0)) > 0)
		used += (size_t)n;
	answer[used] = 0;
	if (strstr(answer, " 200 ") != NULL && strstr(answer, "\r\n\r\nhello\n") != NULL)
		r = 0;
	close(fd);
	return r;
}

/* Until it listens. */
static int request_first(const struct sockaddr_in *addr)
{
	uint64_t until_ns = bench_now_ns() + ANSWER_WAIT_NS;
	int r;

	while ((r = request_once(addr)) == -ECONNREFUSED && bench_now_ns() < until_ns)
		nap_ns(RETRY_NS);
	return r;
}

/* ---- starting ---- */

struct wave {
	struct density *d;
	const struct density_side *side;
	atomic_uint next;
	unsigned end;
	atomic_int error;
	atomic_uint worker;
};

static void *wave_main(void *arg)
{
	struct wave *wave = arg;
	struct density *d = wave->d;
	unsigned worker = atomic_fetch_add(&wave->worker, 1), i;
	int r = setns(d->netns_fd, CLONE_NEWNET) < 0 ? -errno : 0;

	while (r == 0 && atomic_load(&wave->error) == 0) {
		i = atomic_fetch_add(&wave->next, 1);
		if (i >= wave->end)
			break;
		r = wave->side->start(d, worker, i);
		if (r == 0)
			r = request_first(&d->slot[i].addr);
		if (r < 0)
			fprintf(stderr, "leat bench: %s %u: %s\n", wave->side->name, i,
				strerror(-r));
	}
	if (r < 0)
		atomic_store(&wave->error, r);
	return NULL;
}

/* Until `end` of them have answered. */
static int wave_run(struct density *d, const struct density_side *side, unsigned end)
{
	struct wave wave = {.d = d, .side = side, .next = d->nr_slots, .end = end};
	unsigned nr = end - d->nr_slots < DENSITY_WORKERS ? end - d->nr_slots : DENSITY_WORKERS;
	pthread_t thread[DENSITY_WORKERS];
	unsigned started = 0;

	while (started < nr && pthread_create(&thread[started], NULL, wave_main, &wave) == 0)
		started++;
	for (unsigned i = 0; i < started; i++)
		pthread_join(thread[i], NULL);
	d->nr_slots = end;
	return started < nr ? -EAGAIN : atomic_load(&wave.error);
}

/* ---- figures ---- */

enum side_id { SIDE_LEAT, SIDE_NATIVE, SIDE_RUNC, SIDE_CRUN, SIDE_COUNT };

static const struct density_side *const sides[SIDE_COUNT] = {&density_leat, &density_native,
							     &density_runc, &density_crun};

/* What is compared between the sides; the last value that each had. */
static struct {
	const char *name;
	bool more_is_better;
	double value[SIDE_COUNT]; /* 0: none */
} compared[] = {
	{.name = "start_alone"},         {.name = "start_rate", .more_is_better = true},
	{.name = "memory_per_instance"}, {.name = "request"},
	{.name = "request_p99"},
};

#define NR_COMPARED (sizeof(compared) / sizeof(compared[0]))

static void compared_keep(const struct density_side *side, const char *name, double value)
{
	for (size_t i = 0; i < NR_COMPARED; i++)
		for (size_t s = 0; s < SIDE_COUNT; s++)
			if (sides[s] == side && strcmp(compared[i].name, name) == 0)
				compared[i].value[s] = value;
}

/* CASE.ratio is Leat against native; above 1 Leat is better. */
static void compared_print(struct bench *bench)
{
	char text[96];

	for (size_t i = 0; i < NR_COMPARED; i++) {
		const double *value = compared[i].value;

		for (size_t s = SIDE_NATIVE; s < SIDE_COUNT; s++) {
			if (value[SIDE_LEAT] <= 0 || value[s] <= 0)
				continue;
			snprintf(text, sizeof(text), "%s.%s%sratio", compared[i].name,
				 s == SIDE_NATIVE ? "" : sides[s]->name,
				 s == SIDE_NATIVE ? "" : "_");
			bench_figure(bench, text,
				     compared[i].more_is_better ? value[SIDE_LEAT] / value[s] :
								  value[s] / value[SIDE_LEAT],
				     "x");
		}
	}
}

static void figure(const struct density *d, const struct density_side *side, const char *name,
		   double value, const char *unit)
{
	char text[96];

	compared_keep(side, name, value);
	snprintf(text, sizeof(text), "%s.%s", name, side->name);
	bench_figure(d->bench, text, value, unit);
}

/* The time from the request to the first answer, of one at a time. */
static int alone(struct density *d, const struct density_side *side, double *ret_ms)
{
	unsigned runs = d->bench->quick ? ALONE_RUNS / 4 : ALONE_RUNS;
	double ms[ALONE_RUNS];
	int r = 0;

	for (unsigned i = 0; i < runs && r == 0; i++) {
		uint64_t start_ns = bench_now_ns();

		r = wave_run(d, side, 1);
		ms[i] = (double)(bench_now_ns() - start_ns) / 1e6;
		if (r == 0)
			r = side->stop(d);
		d->nr_slots = 0;
	}
	if (r == 0)
		*ret_ms = bench_median(ms, runs);
	return r;
}

static void memory_figures(const struct density *d, const struct density_side *side,
			   uint64_t before_kib)
{
	uint64_t now_kib, pss = 0;
	char name[64];

	sleep(SETTLE_S);
	now_kib = host_available_kib();
	for (unsigned i = 0; i < d->nr_slots; i++)
		pss += host_pss_kib(d->slot[i].pid);
	snprintf(name, sizeof(name), "memory_per_instance_%u", d->nr_slots);
	figure(d, side, name, ((double)before_kib - (double)now_kib) / d->nr_slots, "KiB");
	compared_keep(side, "memory_per_instance",
		      ((double)before_kib - (double)now_kib) / d->nr_slots);
	snprintf(name, sizeof(name), "pss_per_instance_%u", d->nr_slots);
	figure(d, side, name, (double)pss / d->nr_slots, "KiB");
}

/* 1, 10, 100, 1000, and all. */
static int fill(struct density *d, const struct density_side *side, unsigned nr)
{
	uint64_t before_kib, took_ns = 0;
	int r = 0;

	sleep(SETTLE_S);
	before_kib = host_available_kib();
	for (unsigned step = 1; d->nr_slots < nr && r == 0; step *= 10) {
		unsigned end = step < nr && step <= 1000 ? step : nr;
		uint64_t start_ns = bench_now_ns();

		r = wave_run(d, side, end);
		took_ns += bench_now_ns() - start_ns;
		if (r == 0 && side->settle != NULL)
			r = side->settle(d);
		if (r == 0)
			memory_figures(d, side, before_kib);
	}
	if (r == 0) {
		figure(d, side, "instances", d->nr_slots, "");
		figure(d, side, "start_rate", d->nr_slots * 1e9 / (double)took_ns, "/s");
	}
	return r;
}

static double cpu_of_all(struct density *d, const struct density_side *side)
{
	double seconds = side->cpu_seconds != NULL ? side->cpu_seconds(d) : 0;

	for (unsigned i = 0; i < d->nr_slots; i++)
		seconds += host_cpu_seconds(d->slot[i].pid);
	return seconds;
}

static void idle(struct density *d, const struct density_side *side)
{
	double before = cpu_of_all(d, side);
	uint64_t start_ns = bench_now_ns();

	sleep(IDLE_S);
	/* both readings take a while: from the middle of one to the middle of the other */
	double used = cpu_of_all(d, side) - before;
	figure(d, side, "idle_cpu", used * 100e9 / (double)(bench_now_ns() - start_ns), "%");
}

struct asking {
	struct density *d;
	unsigned nr;
	double *us;
	int error;
};

static void *asking_main(void *arg)
{
	struct asking *asking = arg;
	struct density *d = asking->d;
	unsigned seed = 1;

	asking->error = setns(d->netns_fd, CLONE_NEWNET) < 0 ? -errno : 0;
	for (unsigned i = 0; i < asking->nr && asking->error == 0; i++) {
		const struct sockaddr_in *addr =
			&d->slot[(unsigned)rand_r(&seed) % d->nr_slots].addr;
		uint64_t start_ns = bench_now_ns();

		asking->error = request_once(addr);
		asking->us[i] = (double)(bench_now_ns() - start_ns) / 1000;
		nap_ns(1000000); /* all idle again */
	}
	return NULL;
}

static int requests(struct density *d, const struct density_side *side)
{
	struct asking asking = {.d = d, .nr = d->bench->quick ? REQUESTS / 8 : REQUESTS};
	pthread_t thread;

	asking.us = calloc(asking.nr, sizeof(*asking.us));
	if (asking.us == NULL || pthread_create(&thread, NULL, asking_main, &asking) != 0) {
		free(asking.us);
		return -ENOMEM;
	}
	pthread_join(thread, NULL);
	if (asking.error == 0) {
		figure(d, side, "request", bench_median(asking.us, asking.nr), "us");
		figure(d, side, "request_p99", bench_quantile(asking.us, asking.nr, 0.99), "us");
		figure(d, side, "request_max", bench_quantile(asking.us, asking.nr, 1), "us");
	}
	free(asking.us);
	return asking.error;
}

static int side_measure(struct density *d, const struct density_side *side)
{
	unsigned nr = side->limit != 0 && side->limit < d->nr_max ? side->limit : d->nr_max;
	double ms = 0;
	int r = alone(d, side, &ms), stopped;

	if (r < 0)
		return r;
	figure(d, side, "start_alone", ms, "ms");
	r = fill(d, side, nr);
	if (r == 0) {
		idle(d, side);
		r = requests(d, side);
	}
	stopped = side->stop(d);
	if (stopped == 0 && side->leaks != NULL)
		figure(d, side, "leaks", side->leaks(d), "");
	d->nr_slots = 0;
	return r < 0 ? r : stopped;
}

static int side_run(struct density *d, const struct density_side *side)
{
	int r;

	d->nr_slots = 0;
	d->netns_fd = -1;
	r = side->begin(d);
	if (r == -ENOENT) {
		fprintf(stderr, "leat bench: no %s here for this program\n", side->name);
		return 0;
	}
	if (r == 0)
		r = side_measure(d, side);
	if (r < 0)
		fprintf(stderr, "leat bench: %s: %s\n", side->name, strerror(-r));
	side->end(d);
	return r;
}

/* ---- the function's file ---- */

static int file_copy(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	struct stat st;
	int r = out < 0 || fstat(in, &st) < 0 ? -errno : 0;

	if (r == 0 && sendfile(out, in, NULL, (size_t)st.st_size) != st.st_size)
		r = -EIO;
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return r;
}

static int function_prepare(struct density *d)
{
	const char *name = strcmp(d->program, "python") == 0 ? "http.py" :
			   strcmp(d->program, "node") == 0   ? "http.js" :
							       "bench-http";
	char path[PATH_MAX];
	int r;

	strcpy(d->dir, "/tmp/leat-bench-XXXXXX");
	if (mkdtemp(d->dir) == NULL || chmod(d->dir, 0755) < 0)
		return -errno;
	snprintf(d->file, sizeof(d->file), "%s/%s", d->dir, name);
	r = paths_find_program(name, path, sizeof(path));
	return r < 0 ? r : file_copy(path, d->file);
}

static void function_remove(struct density *d)
{
	char *const argv[] = {(char[]){"rm"}, (char[]){"-rf"}, d->dir, NULL};

	if (strncmp(d->dir, "/tmp/leat-bench-", 16) != 0)
		return;
	pid_t pid = fork();
	if (pid == 0) {
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static int options_take(struct density *d, int argc, char **argv)
{
	static const struct option options[] = {{"program", required_argument, NULL, 'P'},
						{"instances", required_argument, NULL, 'N'},
						{"help", no_argument, NULL, 'h'},
						BENCH_OPTIONS,
						{NULL, 0, NULL, 0}};
	uint64_t n = 0;
	int c;

	d->program = "c";
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 1;
		}
		if (c == 'P')
			d->program = optarg;
		else if (c == 'N' && parse_number(optarg, 1, DENSITY_INSTANCES_MAX, &n) < 0)
			return -leat_error("cannot use --instances %s: 1 to %u", optarg,
					   DENSITY_INSTANCES_MAX);
		else if (c != 'N' && !bench_option(d->bench, c, optarg))
			return -leat_error("see leat bench density --help");
	}
	if (strcmp(d->program, "c") != 0 && strcmp(d->program, "python") != 0 &&
	    strcmp(d->program, "node") != 0)
		return -leat_error("cannot use --program %s: c, python or node", d->program);
	d->nr_max = n != 0 ? (unsigned)n : d->bench->quick ? INSTANCES_QUICK : INSTANCES_DEFAULT;
	return 0;
}

int bench_density(int argc, char **argv)
{
	static struct density d;
	struct bench bench = {0};
	int r, code = 0;

	d.bench = &bench;
	r = options_take(&d, argc, argv);
	if (r != 0)
		return r < 0 ? EXIT_LEAT : 0;
	r = function_prepare(&d);
	if (r < 0)
		code = leat_error("cannot prepare the function: %s", strerror(-r));
	for (size_t i = 0; code == 0 && i < SIDE_COUNT; i++)
		if (bench_wants(&bench, sides[i]->name) && side_run(&d, sides[i]) < 0)
			code = EXIT_LEAT;
	function_remove(&d);
	compared_print(&bench);
	bench_finish(&bench);
	return code;
}
