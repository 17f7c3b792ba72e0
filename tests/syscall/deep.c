/* The stack grows: deep recursion, large frames, a thread's stack, what is left after SIGSEGV. */
#include "t.h"
#include <pthread.h>
#include <sys/resource.h>

__attribute__((noinline)) static long down(int n)
{
	volatile char frame[1000];

	frame[0] = (char)n;
	frame[999] = 1;
	if (n == 0)
		return 0;
	return down(n - 1) + frame[999];
}

__attribute__((noinline)) static long large(void)
{
	volatile char frame[3000000];

	for (size_t i = 0; i < sizeof(frame); i += 4096)
		frame[i] = 1;
	return frame[0] + frame[4096 * 700];
}

static void *in_thread(void *arg)
{
	(void)arg;
	return (void *)down(5000);
}

static int endless(int n)
{
	volatile char frame[10000];

	frame[0] = (char)n;
	if (n < 0)
		return 0;
	return endless(n + 1) + frame[0];
}

int main(int argc, char **argv)
{
	pthread_t t;
	void *r;
	int st;

	SHOW(down(6000));
	SHOW(large());
	pthread_create(&t, NULL, in_thread, NULL);
	pthread_join(t, &r);
	SHOW((long)r);
	pid_t pid = fork();
	if (pid == 0) {
		SHOW(down(6500));
		_exit(endless(argc));
	}
	waitpid(pid, &st, 0);
	st &= ~0x80;
	show_status("endless", st);
	(void)argv;
	return 0;
}
