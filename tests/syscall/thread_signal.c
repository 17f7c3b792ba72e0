/* Signals and threads: directed ones, masks of each thread, process signals to a willing thread. */
#include "t.h"
#include <pthread.h>

static volatile pthread_t handled_by;
static volatile int count;

static void on(int sig)
{
	(void)sig;
	handled_by = pthread_self();
	__atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
}

static void *wait_there(void *arg)
{
	(void)arg;
	while (count == 0)
		sleep_ms(1);
	return NULL;
}

static void *spin(void *arg)
{
	int *stop = arg;

	while (!__atomic_load_n(stop, __ATOMIC_RELAXED))
		;
	return NULL;
}

static void *take(void *arg)
{
	int sig = 0;

	sigwait(arg, &sig);
	return (void *)(intptr_t)sig;
}

int main(void)
{
	sigset_t set;
	pthread_t t, u;
	int stop = 0;
	void *r;

	signal(SIGUSR1, on);
	pthread_create(&t, NULL, wait_there, NULL);
	SHOW(pthread_kill(t, SIGUSR1));
	pthread_join(t, NULL);
	YES(handled_by == t);

	/* blocked here, open there */
	count = 0;
	pthread_create(&t, NULL, wait_there, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	kill(getpid(), SIGUSR1);
	pthread_join(t, NULL);
	YES(handled_by == t);

	/* a thread that makes no call is reached too */
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	count = 0;
	pthread_create(&t, NULL, spin, &stop);
	sleep_ms(10);
	pthread_kill(t, SIGUSR1);
	while (count == 0)
		sleep_ms(1);
	YES(handled_by == t);
	stop = 1;
	pthread_join(t, NULL);

	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_create(&t, NULL, take, &set);
	pthread_create(&u, NULL, take, &set);
	sleep_ms(10);
	kill(getpid(), SIGUSR1);
	sleep_ms(10);
	kill(getpid(), SIGUSR1);
	pthread_join(t, &r);
	SHOW((intptr_t)r);
	pthread_join(u, &r);
	SHOW((intptr_t)r);
	SHOW(pthread_kill(pthread_self(), 0));
	return 0;
}
