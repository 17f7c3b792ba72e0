/* Shared memory between processes: shm_open, named semaphores, process-shared and robust mutexes.
 */
#include "t.h"
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>

struct shared {
	pthread_mutex_t lock, robust;
	pthread_cond_t cond;
	sem_t sem;
	int counter, stage;
};

static struct shared *s;

static void init(void)
{
	pthread_mutexattr_t ma;
	pthread_condattr_t ca;

	pthread_mutexattr_init(&ma);
	pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&s->lock, &ma);
	pthread_mutexattr_setrobust(&ma, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&s->robust, &ma);
	pthread_condattr_init(&ca);
	pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&s->cond, &ca);
	sem_init(&s->sem, 1, 0);
}

static void count(void)
{
	for (int i = 0; i < 3000; i++) {
		pthread_mutex_lock(&s->lock);
		s->counter++;
		pthread_mutex_unlock(&s->lock);
	}
}

int main(void)
{
	char name[64];
	pid_t pid;
	sem_t *named;
	int fd, st, r;

	snprintf(name, sizeof(name), "/leat-t.%d", getpid());
	SHOW((fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600)) >= 0);
	SHOW(shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600));
	SHOW(ftruncate(fd, sizeof(*s)));
	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	YES(s != MAP_FAILED);
	close(fd);
	init();
	pid = fork();
	if (pid == 0) {
		struct shared *again;

		fd = shm_open(name, O_RDWR, 0);
		again = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		again->stage = 1;
		count();
		_exit(0);
	}
	count();
	waitpid(pid, &st, 0);
	SHOW(s->counter);
	SHOW(s->stage);

	pid = fork();
	if (pid == 0) {
		pthread_mutex_lock(&s->lock);
		s->stage = 2;
		pthread_cond_signal(&s->cond);
		pthread_mutex_unlock(&s->lock);
		sem_wait(&s->sem);
		_exit(s->stage);
	}
	pthread_mutex_lock(&s->lock);
	while (s->stage != 2)
		pthread_cond_wait(&s->cond, &s->lock);
	s->stage = 3;
	pthread_mutex_unlock(&s->lock);
	sem_post(&s->sem);
	waitpid(pid, &st, 0);
	show_status("after the semaphore", st);

	/* the owner of a robust mutex dies */
	pid = fork();
	if (pid == 0) {
		pthread_mutex_lock(&s->robust);
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, &st, 0);
	r = pthread_mutex_lock(&s->robust);
	YES(r == EOWNERDEAD);
	SHOW(pthread_mutex_consistent(&s->robust));
	SHOW(pthread_mutex_unlock(&s->robust));
	SHOW(shm_unlink(name));
	SHOW(shm_unlink(name));

	named = sem_open(name, O_CREAT | O_EXCL, 0600, 1);
	YES(named != SEM_FAILED);
	SHOW(sem_trywait(named));
	SHOW(sem_trywait(named));
	pid = fork();
	if (pid == 0) {
		sem_post(sem_open(name, 0));
		_exit(0);
	}
	SHOW(sem_wait(named));
	waitpid(pid, &st, 0);
	SHOW(sem_unlink(name));
	return 0;
}
