/* Programs that never give way: threads spinning on each other, signals and timers between them. */
#include "t.h"
#include <pthread.h>
#include <sys/time.h>

static volatile int stage, alarms;

static void on(int sig)
{
	(void)sig;
	alarms++;
}

/* Spins without a call until it is its turn. */
static void *spin(void *arg)
{
	int me = (int)(intptr_t)arg;
	double x = me;

	for (int i = 0; i < 5; i++) {
		while (__atomic_load_n(&stage, __ATOMIC_ACQUIRE) % 3 != me)
			x = x * 1.0000001 + 1;
		__atomic_add_fetch(&stage, 1, __ATOMIC_ACQ_REL);
	}
	return (void *)(intptr_t)(x > 0 || me == 0);
}

int main(void)
{
	struct itimerval it = {{0, 5000}, {0, 5000}};
	pthread_t t[3];
	void *r;
	int sum = 0, st;

	signal(SIGALRM, on);
	setitimer(ITIMER_REAL, &it, NULL);
	for (intptr_t i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, spin, (void *)i);
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], &r);
		sum += (int)(intptr_t)r;
	}
	SHOW(sum);
	SHOW(stage);
	/* an alarm reaches a loop */
	alarms = 0;
	while (alarms < 3)
		;
	it = (struct itimerval){{0, 0}, {0, 0}};
	setitimer(ITIMER_REAL, &it, NULL);
	YES(alarms >= 3);
	/* so does a kill from another process */
	pid_t pid = fork();
	if (pid == 0)
		for (;;)
			;
	sleep_ms(20);
	kill(pid, SIGTERM);
	waitpid(pid, &st, 0);
	show_status("spinner", st);
	return 0;
}
