/* eventfd, timerfd, signalfd: counting, semaphores, periods, what a read gives, errors. */
#include "t.h"
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

static void events(void)
{
	uint64_t v = 5;
	int e, s;

	SHOW(e = eventfd(3, EFD_NONBLOCK));
	SHOW(write(e, &v, 8));
	SHOW(read(e, &v, 8));
	SHOW(v);
	SHOW(read(e, &v, 8));
	SHOW(read(e, &v, 7));
	SHOW(write(e, &v, 7));
	v = UINT64_MAX;
	SHOW(write(e, &v, 8));
	v = UINT64_MAX - 1;
	SHOW(write(e, &v, 8));
	v = 1;
	SHOW(write(e, &v, 8));
	SHOW(s = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC));
	SHOW(read(s, &v, 8));
	SHOW(v);
	SHOW(read(s, &v, 8));
	SHOW(read(s, &v, 8));
	SHOW(fcntl(s, F_GETFD));
	SHOW(eventfd(0, 0x10));
	close(e);
	close(s);
}

static void timers(void)
{
	struct itimerspec far = {{0, 0}, {1000, 0}}, its = {{0, 0}, {0, 20000000}}, cur;
	struct pollfd pfd;
	uint64_t v = 0;
	int t;

	SHOW(t = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	SHOW(read(t, &v, 8));
	SHOW(timerfd_settime(t, 0, &far, NULL));
	SHOW(timerfd_gettime(t, &cur));
	YES(cur.it_value.tv_sec > 500 && cur.it_value.tv_sec <= 1000);
	SHOW(timerfd_settime(t, 0, &its, NULL));
	pfd = (struct pollfd){t, POLLIN, 0};
	SHOW(poll(&pfd, 1, 0));
	SHOW(poll(&pfd, 1, 1000));
	SHOW(read(t, &v, 8));
	SHOW(v);
	its.it_interval.tv_nsec = 5000000;
	its.it_value.tv_nsec = 1;
	SHOW(timerfd_settime(t, 0, &its, &cur));
	sleep_ms(40);
	SHOW(read(t, &v, 8));
	YES(v >= 7);
	its.it_value.tv_nsec = 0;
	SHOW(timerfd_settime(t, 0, &its, NULL));
	SHOW(read(t, &v, 8));
	its.it_value.tv_nsec = -1;
	SHOW(timerfd_settime(t, 0, &its, NULL));
	SHOW(timerfd_create(99, 0));
	SHOW(timerfd_create(CLOCK_MONOTONIC, 0x5));
	SHOW(timerfd_settime(0, 0, &its, NULL));
	SHOW(timerfd_settime(99, 0, &its, NULL));
	close(t);
	/* absolute and already past */
	SHOW(t = timerfd_create(CLOCK_REALTIME, 0));
	its = (struct itimerspec){{0, 0}, {1, 0}};
	SHOW(timerfd_settime(t, TFD_TIMER_ABSTIME, &its, NULL));
	SHOW(read(t, &v, 8));
	SHOW(v);
	close(t);
}

static void signals(void)
{
	struct signalfd_siginfo si;
	struct pollfd pfd;
	union sigval sv = {.sival_int = 33};
	sigset_t set;
	int s;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	SHOW(s = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
	SHOW(read(s, &si, sizeof(si)));
	raise(SIGUSR1);
	sigqueue(getpid(), SIGUSR2, sv);
	pfd = (struct pollfd){s, POLLIN, 0};
	SHOW(poll(&pfd, 1, 0));
	SHOW(read(s, &si, 10));
	SHOW(read(s, &si, sizeof(si)));
	SHOW(si.ssi_signo);
	YES(si.ssi_pid == (uint32_t)getpid());
	SHOW(read(s, &si, sizeof(si)));
	SHOW(si.ssi_signo);
	SHOW(si.ssi_int);
	SHOW(read(s, &si, sizeof(si)));
	SHOW(signalfd(0, &set, 0));
	SHOW(signalfd(99, &set, 0));
	sigdelset(&set, SIGUSR2);
	SHOW(signalfd(s, &set, 0) == s);
	raise(SIGUSR2);
	SHOW(poll(&pfd, 1, 0));
}

int main(void)
{
	events();
	timers();
	signals();
	return 0;
}
