/* Many processes: a tree of forks through pipes, a shell-like pipeline, fork with live threads. */
#include "t.h"
#include <pthread.h>
#include <sys/mman.h>

static int tree(int depth)
{
	int sum = 1, st;
	pid_t kid[2];

	if (depth == 0)
		return 1;
	for (int i = 0; i < 2; i++) {
		kid[i] = fork();
		if (kid[i] == 0)
			_exit(tree(depth - 1));
	}
	for (int i = 0; i < 2; i++) {
		waitpid(kid[i], &st, 0);
		sum += WEXITSTATUS(st);
	}
	return sum;
}

static void chain(int length)
{
	int in, p[2], st;
	long v = 0;

	MUST(pipe(p));
	write(p[1], &v, sizeof(v));
	close(p[1]);
	in = p[0];
	for (int i = 0; i < length; i++) {
		MUST(pipe(p));
		if (fork() == 0) {
			close(p[0]);
			if (read(in, &v, sizeof(v)) == sizeof(v)) {
				v += i;
				write(p[1], &v, sizeof(v));
			}
			_exit(0);
		}
		close(p[1]);
		close(in);
		in = p[0];
	}
	SHOW(read(in, &v, sizeof(v)));
	SHOW(v);
	close(in);
	int ended = 0;
	while (wait(&st) > 0)
		ended++;
	SHOW(ended);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static volatile int stop;

static void *churn(void *arg)
{
	(void)arg;
	while (!stop) {
		pthread_mutex_lock(&lock);
		free(malloc(1000));
		pthread_mutex_unlock(&lock);
		getppid();
	}
	return NULL;
}

int main(void)
{
	pthread_t t[2];
	int st, ok = 0;
	int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	SHOW(tree(4));
	chain(20);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, churn, NULL);
	for (int i = 0; i < 30; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			__atomic_add_fetch(shared, i, __ATOMIC_SEQ_CST);
			_exit(i);
		}
		waitpid(pid, &st, 0);
		ok += WIFEXITED(st) && WEXITSTATUS(st) == i;
	}
	stop = 1;
	pthread_join(t[0], NULL);
	pthread_join(t[1], NULL);
	SHOW(ok);
	SHOW(*shared);
	return 0;
}
