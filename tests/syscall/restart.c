/* EINTR and SA_RESTART for read, write, wait, nanosleep, poll, pause, futex (sem_wait), and timers.
 */
#include "t.h"
#include <poll.h>
#include <semaphore.h>
#include <sys/time.h>

static volatile int count;

static void on(int sig)
{
	(void)sig;
	count++;
}

static void arm(int ms, int flags)
{
	struct itimerval it = {.it_value = {0, ms * 1000}};
	struct sigaction sa = {.sa_handler = on, .sa_flags = flags};

	count = 0;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
}

static pid_t writer(int fd, int ms)
{
	pid_t pid = fork();

	if (pid == 0) {
		sleep_ms(ms);
		write(fd, "w", 1);
		_exit(4);
	}
	return pid;
}

int main(void)
{
	struct timespec ts = {1, 0}, left = {0, 0}, half = {0, 60000000};
	struct pollfd pfd;
	struct itimerval it = {{0, 5000}, {0, 5000}}, was;
	char c;
	int p[2], st;
	sem_t sem;

	MUST(pipe(p));
	arm(20, 0);
	SHOW(read(p[0], &c, 1));
	SHOW(count);
	writer(p[1], 80);
	arm(20, SA_RESTART);
	SHOW(read(p[0], &c, 1));
	SHOW(count);
	arm(20, 0);
	wait(&st);

	pid_t pid = writer(p[1], 80);
	arm(20, 0);
	SHOW(waitpid(pid, &st, 0));
	arm(5, SA_RESTART);
	YES(waitpid(pid, &st, 0) == pid);
	SHOW(count);

	arm(20, SA_RESTART);
	SHOW(nanosleep(&ts, &left));
	YES(left.tv_sec == 0 && left.tv_nsec > 900000000);
	arm(20, 0);
	SHOW(clock_nanosleep(CLOCK_MONOTONIC, 0, &half, &left));
	SHOW(count);
	SHOW(nanosleep(&(struct timespec){0, 1000000000}, NULL));
	SHOW(nanosleep(&(struct timespec){-1, 0}, NULL));
	SHOW(nanosleep(BAD, NULL));

	read(p[0], &c, 1);
	pfd = (struct pollfd){p[0], POLLIN, 0};
	arm(20, SA_RESTART);
	SHOW(poll(&pfd, 1, 1000));
	arm(20, SA_RESTART);
	SHOW(pause());
	sem_init(&sem, 0, 0);
	arm(20, 0);
	SHOW(sem_wait(&sem));
	arm(20, SA_RESTART);
	int64_t t0 = now_ms();
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 100000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	SHOW(sem_timedwait(&sem, &until));
	YES(now_ms() - t0 >= 15);
	SHOW(count);

	count = 0;
	SHOW(setitimer(ITIMER_REAL, &it, NULL));
	while (count < 5)
		pause();
	it = (struct itimerval){{0, 0}, {0, 0}};
	SHOW(setitimer(ITIMER_REAL, &it, &was));
	SHOW(was.it_interval.tv_usec);
	SHOW(alarm(100));
	SHOW(alarm(0));
	SHOW(setitimer(99, &it, NULL));
	return 0;
}
