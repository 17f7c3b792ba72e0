/*
 * Prints CLOCK_MONOTONIC, in nanoseconds, of its first moments: the benchmark subtracts the time at
 * which it started the command.
 */
#include <stdio.h>
#include <time.h>

int main(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	printf("%lld%09ld\n", (long long)ts.tv_sec, ts.tv_nsec);
	return 0;
}
