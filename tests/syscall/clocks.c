/* clock_gettime, clock_getres, gettimeofday, time, nanosleep accuracy, timer_create. */
#include "t.h"
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>

static volatile int count, value;

static void on(int sig, siginfo_t *si, void *ctx)
{
	(void)sig;
	(void)ctx;
	count++;
	value = si->si_value.sival_int;
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on, .sa_flags = SA_SIGINFO};
	struct sigevent sev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec its = {{0, 5000000}, {0, 5000000}}, cur;
	struct timespec a, b, res;
	struct timeval tv;
	struct tms tms;
	timer_t timer;
	time_t t;
	int clocks[] = {CLOCK_REALTIME,          CLOCK_MONOTONIC,     CLOCK_PROCESS_CPUTIME_ID,
			CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
			CLOCK_MONOTONIC_COARSE,  CLOCK_BOOTTIME};

	for (size_t i = 0; i < sizeof(clocks) / sizeof(*clocks); i++) {
		say("clock %d", clocks[i]);
		SHOW(clock_gettime(clocks[i], &a));
		SHOW(clock_gettime(clocks[i], &b));
		YES(b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
		SHOW(clock_getres(clocks[i], &res));
		YES(res.tv_sec == 0 && res.tv_nsec > 0);
		/* the same through the system call as through the vDSO */
		SHOW(syscall(SYS_clock_gettime, clocks[i], &a));
		YES(a.tv_sec - b.tv_sec <= 1);
	}
	SHOW(clock_gettime(99, &a));
	SHOW(syscall(SYS_clock_gettime, 0, BAD));
	gettimeofday(&tv, NULL);
	t = time(NULL);
	clock_gettime(CLOCK_REALTIME, &a);
	YES(labs(tv.tv_sec - t) <= 1 && labs(a.tv_sec - t) <= 1);
	YES(t > 1700000000);
	int64_t t0 = now_ms();
	sleep_ms(50);
	t0 = now_ms() - t0;
	YES(t0 >= 50 && t0 < 1000);
	clock_gettime(CLOCK_MONOTONIC, &a);
	a.tv_nsec += 30000000;
	if (a.tv_nsec >= 1000000000) {
		a.tv_nsec -= 1000000000;
		a.tv_sec++;
	}
	SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &a, NULL));
	clock_gettime(CLOCK_MONOTONIC, &b);
	YES(b.tv_sec > a.tv_sec || b.tv_nsec >= a.tv_nsec);
	SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &a, NULL));
	YES(times(&tms) != -1);

	/* work takes CPU time, sleep does not */
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	int64_t until = now_ms() + 60;
	while (now_ms() < until)
		;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	YES((b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec > 1000000);

	sigaction(SIGUSR1, &sa, NULL);
	sev.sigev_value.sival_int = 7;
	SHOW(timer_create(CLOCK_MONOTONIC, &sev, &timer));
	SHOW(timer_settime(timer, 0, &its, NULL));
	while (count < 3)
		sleep_ms(1);
	SHOW(value);
	SHOW(timer_gettime(timer, &cur));
	SHOW(cur.it_interval.tv_nsec);
	SHOW(timer_delete(timer));
	return 0;
}
