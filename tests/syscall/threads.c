/* Threads: create, join, TLS, mutexes, conditions, barriers, rwlocks, exit of main, of the process.
 */
#include "t.h"
#include <pthread.h>
#include <sys/syscall.h>

#define THREADS 8
#define ROUNDS 20000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static __thread int mine = 5;
static long counter;
static int turn;
static pthread_key_t key;
static int destroyed;

static void *count_up(void *arg)
{
	mine += (int)(intptr_t)arg;
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&lock);
		counter++;
		pthread_mutex_unlock(&lock);
	}
	pthread_barrier_wait(&barrier);
	return (void *)(intptr_t)mine;
}

static void *ping(void *arg)
{
	int me = (int)(intptr_t)arg;

	for (int i = 0; i < 2000; i++) {
		pthread_mutex_lock(&lock);
		while (turn != me)
			pthread_cond_wait(&cond, &lock);
		turn = !me;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void on_key(void *p)
{
	destroyed += *(int *)p;
}

static void *with_key(void *arg)
{
	pthread_setspecific(key, arg);
	return NULL;
}

static void *ids(void *arg)
{
	pid_t *out = arg;

	out[0] = getpid();
	out[1] = (pid_t)syscall(SYS_gettid);
	return NULL;
}

static void *sleeper(void *arg)
{
	(void)arg;
	for (;;)
		sleep_ms(1000);
	return NULL;
}

static void *last(void *arg)
{
	(void)arg;
	sleep_ms(30);
	say("main has gone");
	exit(3);
}

int main(void)
{
	pthread_t t[THREADS];
	void *r;
	long sum = 0;
	int seven = 7, st;
	pid_t pids[2], pid;
	struct timespec ts;

	pthread_barrier_init(&barrier, NULL, THREADS);
	for (intptr_t i = 0; i < THREADS; i++)
		SHOW(pthread_create(&t[i], NULL, count_up, (void *)i));
	for (int i = 0; i < THREADS; i++) {
		pthread_join(t[i], &r);
		sum += (intptr_t)r;
	}
	SHOW(counter);
	SHOW(sum);
	SHOW(mine);
	pthread_create(&t[0], NULL, ping, (void *)0);
	pthread_create(&t[1], NULL, ping, (void *)1);
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	SHOW(turn);

	pthread_key_create(&key, on_key);
	pthread_create(&t[0], NULL, with_key, &seven);
	pthread_join(t[0], NULL);
	SHOW(destroyed);

	pthread_create(&t[0], NULL, ids, pids);
	pthread_join(t[0], NULL);
	YES(pids[0] == getpid());
	YES(pids[1] != getpid());
	YES(syscall(SYS_gettid) == getpid());

	pthread_create(&t[0], NULL, sleeper, NULL);
	SHOW(pthread_cancel(t[0]));
	pthread_join(t[0], &r);
	YES(r == PTHREAD_CANCELED);

	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 20000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	pthread_mutex_lock(&lock);
	YES(pthread_cond_timedwait(&cond, &lock, &ts) == ETIMEDOUT);
	pthread_mutex_unlock(&lock);

	/* many short ones */
	for (int i = 0; i < 300; i++) {
		pthread_create(&t[0], NULL, ids, pids);
		pthread_join(t[0], NULL);
	}

	/* a fork has only the forking thread; exit_group takes all; main may leave before them */
	pthread_create(&t[0], NULL, sleeper, NULL);
	pid = fork();
	if (pid == 0) {
		pthread_create(&t[0], NULL, last, NULL);
		pthread_exit(NULL);
	}
	waitpid(pid, &st, 0);
	show_status("exit from the last thread", st);
	pid = fork();
	if (pid == 0) {
		pthread_create(&t[0], NULL, sleeper, NULL);
		pthread_create(&t[1], NULL, sleeper, NULL);
		raise(SIGKILL);
	}
	waitpid(pid, &st, 0);
	show_status("killed", st);
	return 6;
}
