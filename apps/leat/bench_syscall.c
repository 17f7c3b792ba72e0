/*
 * bench_syscall.c - leat bench syscall: system calls natively and in instances, in turns; medians
 * and their ratio.
 *
 * The program (apps/bench/syscall.c) prints the names of its cases when it is called without
 * arguments, and one number, in nanoseconds, when it is called with a case and a number of rounds.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/common/paths.h"
#include "apps/leat/bench.h"
#include "apps/leat/leat.h"

#define RUNS_MAX 7
#define OUTPUT_MAX 4096
#define UNIT "ns"

struct syscall_bench {
	struct bench *bench;
	char self[PATH_MAX];
	char dir[32];                        /* a copy that instances can read */
	char program[sizeof("/bench") + 32]; /* in dir */
};

static int copy_program(const char *from, const char *to)
{
	char block[65536];
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	ssize_t n = -1;

	while (out >= 0 && (n = read(in, block, sizeof(block))) > 0)
		if (write(out, block, (size_t)n) != n) {
			n = -1;
			break;
		}
	if (out >= 0 && (fchmod(out, 0755) < 0 || close(out) < 0))
		n = -1;
	if (in >= 0)
		close(in);
	return n == 0 ? 0 : -1;
}

static int sb_init(struct syscall_bench *sb, const char *name)
{
	char found[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", sb->self, sizeof(sb->self) - 1);

	if (n <= 0 || paths_find_program(name, found, sizeof(found)) != 0)
		return leat_error("cannot find %s beside leat", name);
	sb->self[n] = '\0';
	strcpy(sb->dir, "/tmp/leat-bench.XXXXXX");
	if (mkdtemp(sb->dir) == NULL || chmod(sb->dir, 0755) < 0)
		return leat_error("cannot make a folder in /tmp: %s", strerror(errno));
	snprintf(sb->program, sizeof(sb->program), "%s/bench", sb->dir);
	if (copy_program(found, sb->program) < 0)
		return leat_error("cannot copy %s to %s", found, sb->program);
	return 0;
}

static void sb_finish(struct syscall_bench *sb)
{
	if (sb->program[0] != '\0')
		unlink(sb->program);
	if (sb->dir[0] != '\0')
		rmdir(sb->dir);
}

/* Runs a command to its end and takes what it prints. 0, or EXIT_LEAT after a word. */
static int run_command(const char *const *argv, char *ret_output, size_t size)
{
	size_t len = 0;
	ssize_t n;
	int fds[2], status;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return leat_error("pipe: %s", strerror(errno));
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(fds[1]);
	while (len < size - 1 && (n = read(fds[0], ret_output + len, size - 1 - len)) > 0)
		len += (size_t)n;
	ret_output[len] = '\0';
	close(fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return leat_error("%s failed", argv[0]);
	return 0;
}

/* One figure of one side; negative: it failed. */
static double measure(const struct syscall_bench *sb, const char *name, bool in_leat)
{
	const char *rounds = sb->bench->quick ? "100" : "400";
	const char *const argv[] = {sb->self, "run", "--", sb->program, name, rounds, NULL};
	char output[OUTPUT_MAX];
	double value;

	if (run_command(in_leat ? argv : argv + 3, output, sizeof(output)) != 0)
		return -1;
	value = strtod(output, NULL);
	return value > 0 ? value : -1;
}

static void report(const struct syscall_bench *sb, const char *name, const char *kind, double value,
		   const char *unit)
{
	char full[128];

	snprintf(full, sizeof(full), "%s.%s", name, kind);
	bench_figure(sb->bench, full, value, unit);
}

static int run_case(const struct syscall_bench *sb, const char *name)
{
	unsigned runs = sb->bench->quick ? 3 : RUNS_MAX;
	double native[RUNS_MAX], leat[RUNS_MAX], n, l;

	for (unsigned i = 0; i < runs; i++) {
		native[i] = measure(sb, name, false);
		leat[i] = measure(sb, name, true);
		if (native[i] < 0 || leat[i] < 0)
			return EXIT_LEAT;
	}
	n = bench_median(native, runs);
	l = bench_median(leat, runs);
	report(sb, name, "native", n, UNIT);
	report(sb, name, "leat", l, UNIT);
	report(sb, name, "ratio", n / l, "x");
	return 0;
}

static int run_cases(const struct syscall_bench *sb)
{
	const char *const list[] = {sb->program, NULL};
	char names[OUTPUT_MAX], *save = NULL;
	unsigned ran = 0;
	int code = run_command(list, names, sizeof(names));

	if (code != 0)
		return code;
	for (char *name = strtok_r(names, "\n", &save); name != NULL && code == 0;
	     name = strtok_r(NULL, "\n", &save)) {
		if (!bench_wants(sb->bench, name))
			continue;
		ran++;
		code = run_case(sb, name);
	}
	if (code == 0 && ran == 0)
		return leat_error("--only %s: there is no such case", sb->bench->only);
	return code;
}

int bench_syscall(int argc, char **argv)
{
	static const char help[] =
		"usage: leat bench syscall [--json] [--quick] [--only CASE,...]\n"
		"Runs each case natively and in instances, in turns, and prints medians of both\n"
		"and their ratio: above 1, Leat is better.\n";
	static const struct option options[] = {{"help", no_argument, NULL, 'h'},
						BENCH_OPTIONS,
						{NULL, 0, NULL, 0}};
	struct bench bench = {0};
	struct syscall_bench sb = {.bench = &bench};
	int c, code;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (!bench_option(&bench, c, optarg))
			return leat_error("see leat bench syscall --help");
	}
	code = sb_init(&sb, "bench-syscall");
	if (code == 0)
		code = run_cases(&sb);
	sb_finish(&sb);
	bench_finish(&bench);
	return code;
}
