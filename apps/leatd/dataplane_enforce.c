/*
 * dataplane_enforce.c - what is done from outside to programs that do not give their core back: the
 * preempt signal, and the host's idle class.
 *
 * A thread of its own does it, because it reads /proc. It finds an instance's threads itself,
 * from the process that the launcher named, and acts only on those with the instance's uid, through
 * pidfds: it never believes a number from a window.
 */
#include "apps/leatd/dataplane_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* Linux 6.9 */
#endif

#define ENFORCER_NICE (-10) /* those whom it has to put behind others are in front of it */

static struct {
	pthread_t thread;
	bool running;
	bool stop;
	/*
	 * Guards the queue, and the instances' enforcement fields; never held for long, since
	 * dataplane threads take it.
	 */
	pthread_mutex_t lock;
	pthread_cond_t wanted, done;
	struct dp_instance *first;
	struct dp_instance *current; /* the one that is worked on, without the lock */
} enforcer = {.lock = PTHREAD_MUTEX_INITIALIZER,
	      .wanted = PTHREAD_COND_INITIALIZER,
	      .done = PTHREAD_COND_INITIALIZER};

/* Real uid and state letter of a thread; state 0: it is gone. */
static void thread_look(int pid, int tid, uint32_t *ret_uid, char *ret_state)
{
	char path[64], text[1024];
	const char *at;
	ssize_t n;
	int fd;

	*ret_state = 0;
	*ret_uid = 0;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return;
	text[n] = 0;
	at = strstr(text, "\nUid:");
	if (at)
		*ret_uid = (uint32_t)strtoul(at + 5, NULL, 10);
	at = strstr(text, "\nState:");
	if (at)
		*ret_state = at[8];
}

static void thread_enforce(uint32_t uid_wanted, int pid, int tid, unsigned what)
{
	struct sched_param param = {0};
	int fd = (int)syscall(SYS_pidfd_open, tid, PIDFD_THREAD);
	uint32_t uid;
	char state;

	if (fd < 0)
		return;
	/* read after opening: the descriptor and what is read are of the same thread, or it is gone
	 */
	thread_look(pid, tid, &uid, &state);
	if (state && uid == uid_wanted && uid_wanted != 0) {
		if ((what & DP_ENFORCE_SIGNAL) && state == 'R')
			syscall(SYS_pidfd_send_signal, fd, SIGURG, NULL, 0);
		if ((what & DP_ENFORCE_DEMOTE) && state == 'R')
			sched_setscheduler(tid, SCHED_IDLE, &param);
		if (what & DP_ENFORCE_RESTORE)
			dp_class_other(tid);
	}
	close(fd);
}

static void children_add(int pid, int tid, int *pids, unsigned *inout_nr)
{
	char path[64], text[1024], *at = text, *end;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return;
	text[n] = 0;
	while (*inout_nr < DP_PROCESSES) {
		long child = strtol(at, &end, 10);

		if (end == at)
			return;
		pids[(*inout_nr)++] = (int)child;
		at = end;
	}
}

/* What to do, and to whom, as of when it was taken from the queue. */
struct task {
	struct dp_instance *inst;
	unsigned what;
	int pid;
	uint32_t uid;
};

/* All threads of the first process and of its descendants. */
static void task_run(const struct task *task)
{
	uint64_t forks =
		__atomic_load_n(&abi_instance_of(task->inst->window)->forks, __ATOMIC_RELAXED);
	int pids[DP_PROCESSES];
	unsigned nr = 1;
	char path[64];

	/* whoever it is now: only threads of the instance's uid, which nobody else has, are touched
	 */
	if (task->pid == 0)
		return;
	pids[0] = task->pid;
	for (unsigned i = 0; i < nr; i++) {
		struct dirent *entry;
		DIR *dir;

		snprintf(path, sizeof(path), "/proc/%d/task", pids[i]);
		dir = opendir(path);
		if (!dir)
			continue;
		while ((entry = readdir(dir))) {
			int tid = atoi(entry->d_name);

			if (tid <= 0)
				continue;
			if (task->what & ~(unsigned)DP_ENFORCE_LOOK)
				thread_enforce(task->uid, pids[i], tid, task->what);
			children_add(pids[i], tid, pids, &nr);
		}
		closedir(dir);
	}
	for (unsigned i = 0; i < DP_PROCESSES; i++)
		atomic_store_explicit(&task->inst->process[i], i < nr ? pids[i] : 0,
				      memory_order_relaxed);
	atomic_store_explicit(&task->inst->forks_seen, forks, memory_order_relaxed);
}

/* The process-wide clock of another process, as clock_getcpuclockid(3) makes it. */
static uint64_t process_cpu_ns(int pid)
{
	clockid_t clock = (clockid_t)(~(unsigned)pid << 3 | 2);
	struct timespec ts;

	if (clock_gettime(clock, &ts))
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

/*
 * An instance's word on how often it forked only decides whether it is looked at again. A process
 * that has gone meanwhile, and whose number is another one's, makes the sum wrong until then: it
 * decides about nothing but this instance's priority.
 */
uint64_t dp_instance_cpu_ns(struct dp_instance *inst)
{
	uint64_t forks = __atomic_load_n(&abi_instance_of(inst->window)->forks, __ATOMIC_RELAXED);
	uint64_t sum = 0;

	for (unsigned i = 0; i < DP_PROCESSES; i++) {
		int pid = atomic_load_explicit(&inst->process[i], memory_order_relaxed);

		if (!pid)
			break;
		sum += process_cpu_ns(pid);
	}
	if (forks != atomic_load_explicit(&inst->forks_seen, memory_order_relaxed))
		dp_enforce(inst, DP_ENFORCE_LOOK);
	return sum;
}

static void *enforcer_main(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "leat-enforce");
	setpriority(PRIO_PROCESS, (id_t)gettid(), ENFORCER_NICE);
	pthread_mutex_lock(&enforcer.lock);
	while (!enforcer.stop) {
		struct dp_instance *inst = enforcer.first;
		struct task task;

		if (!inst) {
			pthread_cond_wait(&enforcer.wanted, &enforcer.lock);
			continue;
		}
		enforcer.first = inst->enforce_next;
		task = (struct task){inst, inst->enforce, inst->pid, inst->uid};
		inst->enforce = 0;
		enforcer.current = inst;
		pthread_mutex_unlock(&enforcer.lock);
		task_run(&task);
		pthread_mutex_lock(&enforcer.lock);
		enforcer.current = NULL;
		pthread_cond_broadcast(&enforcer.done);
	}
	pthread_mutex_unlock(&enforcer.lock);
	return NULL;
}

/* Of demoting and restoring the last word counts. */
void dp_enforce(struct dp_instance *inst, unsigned what)
{
	pthread_mutex_lock(&enforcer.lock);
	if (!inst->enforce) {
		inst->enforce_next = enforcer.first;
		enforcer.first = inst;
	}
	if (what & (DP_ENFORCE_DEMOTE | DP_ENFORCE_RESTORE))
		inst->enforce &= ~(unsigned)(DP_ENFORCE_DEMOTE | DP_ENFORCE_RESTORE);
	inst->enforce |= what;
	pthread_cond_signal(&enforcer.wanted);
	pthread_mutex_unlock(&enforcer.lock);
}

/* When it returns nobody works on the instance any more. */
void dp_enforce_forget(struct dp_instance *inst)
{
	pthread_mutex_lock(&enforcer.lock);
	for (struct dp_instance **at = &enforcer.first; *at; at = &(*at)->enforce_next) {
		if (*at != inst)
			continue;
		*at = inst->enforce_next;
		break;
	}
	inst->enforce = 0;
	inst->pid = 0;
	while (enforcer.current == inst)
		pthread_cond_wait(&enforcer.done, &enforcer.lock);
	pthread_mutex_unlock(&enforcer.lock);
}

void dataplane_instance_set_process(struct dp_instance *inst, int pid, uint32_t uid)
{
	pthread_mutex_lock(&enforcer.lock);
	inst->pid = pid;
	inst->uid = uid;
	atomic_store_explicit(&inst->process[0], pid, memory_order_relaxed);
	pthread_mutex_unlock(&enforcer.lock);
}

int dp_enforcer_start(void)
{
	pthread_mutexattr_t attr;
	sigset_t all, before;
	int r;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&enforcer.lock, &attr);
	pthread_mutexattr_destroy(&attr);
	enforcer.stop = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&enforcer.thread, NULL, enforcer_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	enforcer.running = !r;
	return r;
}

void dp_enforcer_stop(void)
{
	if (!enforcer.running)
		return;
	pthread_mutex_lock(&enforcer.lock);
	enforcer.stop = true;
	pthread_cond_signal(&enforcer.wanted);
	pthread_mutex_unlock(&enforcer.lock);
	pthread_join(enforcer.thread, NULL);
	enforcer.running = false;
}
