/* Processes that end while their other threads have just blocked, or are about to: many times. */
#include "t.h"

#include <pthread.h>

#define CHILDREN 60
#define THREADS 3

static void *nap(void *arg)
{
	unsigned us = (unsigned)(uintptr_t)arg;

	for (;;) {
		struct timespec ts = {0, us * 1000};

		nanosleep(&ts, NULL);
	}
	return NULL;
}

static void child(unsigned n)
{
	struct timespec ts = {0, n % 10 * 50000};
	pthread_t thread;

	for (unsigned i = 0; i < THREADS; i++)
		if (pthread_create(&thread, NULL, nap, (void *)(uintptr_t)(1 + n * (i + 1) % 97)))
			_exit(97);
	nanosleep(&ts, NULL);
	_exit((int)n);
}

int main(void)
{
	int status, wrong = 0;

	for (unsigned n = 0; n < CHILDREN; n++) {
		pid_t pid = fork();

		MUST(pid);
		if (pid == 0)
			child(n);
		MUST(waitpid(pid, &status, 0));
		if (!WIFEXITED(status) || WEXITSTATUS(status) != (int)n) {
			show_status("child", status);
			wrong++;
		}
	}
	SHOW(wrong);
	return 0;
}
