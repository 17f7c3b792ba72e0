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
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* Linux 6.9 */
#endif

#define HOG_RUN_NS 1000000U
#define MAX_PROCESSES 64U /* of one instance that are looked at in one go */

static struct {
	pthread_t thread;
	bool running;
	bool stop;
	pthread_mutex_t lock; /* guards the queue, and the instances' enforcement fields */
	pthread_cond_t wanted;
	struct dp_instance *first;
} enforcer = {.lock = PTHREAD_MUTEX_INITIALIZER, .wanted = PTHREAD_COND_INITIALIZER};

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

/* CPU time of a thread, 0: unknown. */
static uint64_t thread_run_ns(int pid, int tid)
{
	char path[64], text[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	return strtoull(text, NULL, 10);
}

/*
 * Did the thread run for HOG_RUN_NS without its vcpu giving way? One that somebody else keeps from
 * running looks the same from the window, and must not be put behind everybody for it.
 */
static bool thread_hogs(struct dp_instance *inst, int pid, int tid)
{
	unsigned vcpu = atomic_load_explicit(&inst->hog_vcpu, memory_order_relaxed);
	uint32_t turns = __atomic_load_n(&inst->vcpu[vcpu].slot->yields, __ATOMIC_RELAXED);
	uint64_t run_ns = thread_run_ns(pid, tid);
	struct dp_seen *seen = NULL;

	for (unsigned i = 0; i < DP_SEEN_THREADS; i++)
		if (inst->seen[i].tid == tid)
			seen = &inst->seen[i];
	if (seen && seen->turns == turns)
		return run_ns - seen->run_ns >= HOG_RUN_NS;
	if (!seen) {
		seen = &inst->seen[inst->seen_next];
		inst->seen_next = (inst->seen_next + 1) % DP_SEEN_THREADS;
	}
	*seen = (struct dp_seen){.tid = tid, .turns = turns, .run_ns = run_ns};
	return false;
}

static void thread_enforce(struct dp_instance *inst, int pid, int tid, unsigned what)
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
	if (state && uid == inst->uid && inst->uid != 0) {
		if ((what & DP_ENFORCE_SIGNAL) && state == 'R')
			syscall(SYS_pidfd_send_signal, fd, SIGURG, NULL, 0);
		if ((what & DP_ENFORCE_DEMOTE) && state == 'R' && thread_hogs(inst, pid, tid))
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
	while (*inout_nr < MAX_PROCESSES) {
		long child = strtol(at, &end, 10);

		if (end == at)
			return;
		pids[(*inout_nr)++] = (int)child;
		at = end;
	}
}

/* All threads of the first process and of its descendants. */
static void instance_enforce(struct dp_instance *inst, unsigned what)
{
	int pids[MAX_PROCESSES];
	unsigned nr = 1;
	char path[64];

	/* whoever it is now: only threads of the instance's uid, which nobody else has, are touched
	 */
	if (inst->pid == 0)
		return;
	pids[0] = inst->pid;
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
			thread_enforce(inst, pids[i], tid, what);
			children_add(pids[i], tid, pids, &nr);
		}
		closedir(dir);
	}
}

static void *enforcer_main(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "leat-enforce");
	pthread_mutex_lock(&enforcer.lock);
	while (!enforcer.stop) {
		struct dp_instance *inst = enforcer.first;
		unsigned what;

		if (!inst) {
			pthread_cond_wait(&enforcer.wanted, &enforcer.lock);
			continue;
		}
		enforcer.first = inst->enforce_next;
		what = inst->enforce;
		inst->enforce = 0;
		/* the last word counts: who runs again is not demoted for what he did before */
		if (what & DP_ENFORCE_RESTORE)
			what &= ~(unsigned)DP_ENFORCE_DEMOTE;
		instance_enforce(inst, what);
	}
	pthread_mutex_unlock(&enforcer.lock);
	return NULL;
}

/*
 * Dataplane threads, which hold the scheduler's lock, do not wait: while the enforcer is at work
 * they leave it out, and the scheduler asks again.
 */
void dp_enforce(struct dp_instance *inst, unsigned what, bool wait)
{
	if (wait)
		pthread_mutex_lock(&enforcer.lock);
	else if (pthread_mutex_trylock(&enforcer.lock))
		return;
	if (!inst->enforce) {
		inst->enforce_next = enforcer.first;
		enforcer.first = inst;
	}
	inst->enforce |= what;
	pthread_cond_signal(&enforcer.wanted);
	pthread_mutex_unlock(&enforcer.lock);
}

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
	pthread_mutex_unlock(&enforcer.lock);
}

void dataplane_instance_set_process(struct dp_instance *inst, int pid, uint32_t uid)
{
	pthread_mutex_lock(&enforcer.lock);
	inst->pid = pid;
	inst->uid = uid;
	pthread_mutex_unlock(&enforcer.lock);
}

int dp_enforcer_start(void)
{
	sigset_t all, before;
	int r;

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
