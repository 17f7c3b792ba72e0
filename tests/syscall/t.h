/*
 * t.h - how the programs of tests/syscall print.
 *
 * Each program runs once natively and once in Leat, and everything that it prints must be equal. So
 * it prints results and errno names, never addresses, times, pids or inode numbers. Every line is
 * one write(2): nothing is left in a buffer that a fork would double.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Prints one line. */
__attribute__((format(printf, 1, 2), unused)) static void say(const char *fmt, ...)
{
	char line[4096];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n] = '\n';
	if (write(1, line, (size_t)n + 1) < 0)
		_exit(99);
}

__attribute__((unused)) static long show_value(const char *what, long r)
{
	int e = errno;

	if (r == -1)
		say("%s = -1 %s", what, strerrorname_np(e));
	else
		say("%s = %ld", what, r);
	errno = e;
	return r;
}

__attribute__((unused)) static long show_ok(const char *what, long r)
{
	int e = errno;

	say("%s %s", what, r == -1 ? strerrorname_np(e) : "ok");
	errno = e;
	return r;
}

/* The value, or the name of errno. */
#define SHOW(expr) show_value(#expr, (long)(expr))
/* "ok", or the name of errno: for results that differ from run to run. */
#define OK(expr) show_ok(#expr, (long)(expr))
/* A truth. */
#define YES(expr) say("%s: %s", #expr, (expr) ? "yes" : "no")
/* Set-up that must succeed. */
#define MUST(expr)                                                                                 \
	do {                                                                                       \
		if ((long)(expr) == -1) {                                                          \
			say("setup failed: %s: %s", #expr, strerrorname_np(errno));                \
			exit(98);                                                                  \
		}                                                                                  \
	} while (0)

/* A pointer that no program has; volatile, so that the compiler does not know it. */
__attribute__((unused)) static void *volatile bad_pointer = (void *)0x10;
#define BAD bad_pointer

/* Enters a fresh directory of the program's own; its parent removes it. */
__attribute__((unused)) static void scratch(void)
{
	static char dir[] = "/tmp/leat-t.XXXXXX";

	if (!mkdtemp(dir) || chdir(dir)) {
		say("setup failed: scratch: %s", strerrorname_np(errno));
		exit(98);
	}
}

__attribute__((unused)) static void put_file(const char *name, const char *text)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0644);

	MUST(fd);
	MUST(write(fd, text, strlen(text)));
	close(fd);
}

/* Prints how a child ended. */
__attribute__((unused)) static void show_status(const char *what, int status)
{
	if (WIFEXITED(status))
		say("%s: exited %d", what, WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		say("%s: killed by %s%s", what, sigabbrev_np(WTERMSIG(status)),
		    WCOREDUMP(status) ? " (core)" : "");
	else if (WIFSTOPPED(status))
		say("%s: stopped by %s", what, sigabbrev_np(WSTOPSIG(status)));
	else if (WIFCONTINUED(status))
		say("%s: continued", what);
	else
		say("%s: status %#x", what, status);
}

__attribute__((unused)) static void sleep_ms(long ms)
{
	struct timespec ts = {ms / 1000, (ms % 1000) * 1000000};

	while (nanosleep(&ts, &ts) == -1 && errno == EINTR)
		;
}

__attribute__((unused)) static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
