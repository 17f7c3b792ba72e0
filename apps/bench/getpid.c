/*
 * The cost of a trivial system call through `mov $nr,%eax; syscall`, the shape that compilers and
 * libcs make: prints nanoseconds a call, the best of five rounds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static long call(void)
{
	long ret;

	__asm__ volatile("mov $39, %%eax\n syscall" : "=a"(ret)::"rcx", "r11", "memory");
	return ret;
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 1000000;
	double best = 1e18;

	call();
	for (int round = 0; round < 5; round++) {
		double start = now_ns(), took;

		for (long i = 0; i < count; i++)
			call();
		took = (now_ns() - start) / (double)count;
		if (took < best)
			best = took;
	}
	printf("%.2f\n", best);
	return 0;
}
