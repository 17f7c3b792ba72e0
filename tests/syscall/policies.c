/* sched_setscheduler, sched_setattr: policies, priorities, who may, and that priorities rule. */
#include "t.h"
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
	uint64_t more;
};

static void show(const char *what, pid_t pid)
{
	struct sched_param sp = {-1};
	struct timespec ts = {-1, -1};
	struct attr a = {0};

	MUST(sched_getparam(pid, &sp));
	MUST(sched_rr_get_interval(pid, &ts));
	MUST(syscall(SYS_sched_getattr, pid, &a, 48, 0));
	say("%s: policy %#x priority %d; attr policy %u flags %lu nice %d priority %u size %u",
	    what, sched_getscheduler(pid), sp.sched_priority, a.policy, (unsigned long)a.flags,
	    a.nice, a.priority, a.size);
	if (sched_getscheduler(pid) == SCHED_FIFO)
		say("interval %ld", ts.tv_sec + ts.tv_nsec);
}

static int set(pid_t pid, int policy, int priority)
{
	struct sched_param sp = {priority};

	return sched_setscheduler(pid, policy, &sp);
}

static int set_attr(uint32_t size, uint32_t policy, uint64_t flags, int nice, uint32_t priority,
		    uint64_t more)
{
	struct attr a = {size, policy, flags, nice, priority, 0, 0, 0, 0, 0, more};

	return (int)syscall(SYS_sched_setattr, 0, &a, 0);
}

static void errors(void)
{
	struct attr a = {0};
	struct sched_param sp = {0};

	SHOW(set(0, SCHED_FIFO, 0));
	SHOW(set(0, SCHED_FIFO, 100));
	SHOW(set(0, SCHED_OTHER, 1));
	SHOW(set(0, 77, 0));
	SHOW(set(-1, SCHED_OTHER, 0));
	SHOW(set(4000000, SCHED_OTHER, 0));
	SHOW(sched_setscheduler(0, SCHED_OTHER, NULL));
	SHOW(sched_setscheduler(0, SCHED_OTHER, BAD));
	SHOW(sched_getparam(0, NULL));
	SHOW(sched_getparam(0, BAD));
	SHOW(sched_getparam(4000000, &sp));
	SHOW(sched_getscheduler(4000000));
	SHOW(syscall(SYS_sched_setattr, 0, NULL, 0));
	SHOW(syscall(SYS_sched_setattr, 0, BAD, 0));
	SHOW(syscall(SYS_sched_getattr, 0, &a, 47, 0));
	SHOW(syscall(SYS_sched_getattr, 0, &a, 5000, 0));
	SHOW(syscall(SYS_sched_getattr, 0, &a, 48, 1));
	SHOW(syscall(SYS_sched_getattr, 0, BAD, 48, 0));
	SHOW(set_attr(47, SCHED_OTHER, 0, 0, 0, 0));
	SHOW(set_attr(64, SCHED_OTHER, 0, 0, 0, 1));
	SHOW(set_attr(64, SCHED_OTHER, 0, 0, 0, 0));
	SHOW(set_attr(48, SCHED_OTHER, 1u << 20, 0, 0, 0));
	SHOW(set_attr(48, 99, 0, 0, 0, 0));
}

static void *child_thread(void *arg)
{
	(void)arg;
	show("thread", 0);
	return NULL;
}

static void inherited(void)
{
	pthread_t t;
	int status;

	SHOW(set(0, SCHED_RR, 3));
	MUST(pthread_create(&t, NULL, child_thread, NULL) == 0 ? 0 : -1);
	pthread_join(t, NULL);
	if (fork() == 0) {
		show("child", 0);
		_exit(0);
	}
	wait(&status);
	SHOW(set(0, SCHED_RR | SCHED_RESET_ON_FORK, 3));
	show("with reset", 0);
	if (fork() == 0) {
		show("child", 0);
		_exit(0);
	}
	wait(&status);
	SHOW(set(0, SCHED_OTHER, 0));
	SHOW(setpriority(PRIO_PROCESS, 0, 5));
	if (fork() == 0) {
		show("nice child", 0);
		_exit(0);
	}
	wait(&status);
}

static void privileges(void)
{
	const struct rlimit none = {0, 0};

	if (fork() == 0) {
		MUST(setrlimit(RLIMIT_RTPRIO, &none));
		MUST(setresuid(1000, 1000, 1000));
		SHOW(set(0, SCHED_FIFO, 1));
		SHOW(set(0, SCHED_FIFO, 2));
		SHOW(set(0, SCHED_FIFO, 3));
		SHOW(set(getppid(), SCHED_BATCH, 0));
		SHOW(set(0, SCHED_IDLE, 0));
		show("idle", 0);
		SHOW(set_attr(48, SCHED_OTHER, 0, -1, 0, 0));
		_exit(0);
	}
	wait(NULL);
}

/* One processor: the woken thread of the higher priority is there before its waker goes on. */
static volatile int order, first;
static int fds[2];

static void *high(void *arg)
{
	char c;

	(void)arg;
	MUST(read(fds[0], &c, 1));
	first = ++order;
	return NULL;
}

static void preempts(void)
{
	pthread_attr_t attr;
	struct sched_param sp = {10};
	cpu_set_t one;
	pthread_t t;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	MUST(sched_setaffinity(0, sizeof(one), &one));
	MUST(pipe(fds));
	MUST(set(0, SCHED_FIFO, 5));
	pthread_attr_init(&attr);
	pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
	pthread_attr_setschedparam(&attr, &sp);
	MUST(pthread_create(&t, &attr, high, NULL) == 0 ? 0 : -1);
	MUST(write(fds[1], "x", 1));
	++order;
	pthread_join(t, NULL);
	SHOW(first);
	SHOW(order);
}

int main(void)
{
	struct attr a = {0};

	MUST(setpriority(PRIO_PROCESS, 0, 0));
	show("at first", 0);
	errors();
	SHOW(set(0, SCHED_FIFO, 7));
	show("fifo", 0);
	SHOW(set_attr(48, SCHED_RR, 1, 0, 9, 0));
	show("round robin", 0);
	SHOW(set_attr(48, 0, 0x18, 0, 0, 0));
	show("kept", 0);
	SHOW(syscall(SYS_sched_getattr, 0, &a, 56, 0));
	SHOW(set(0, SCHED_BATCH, 0));
	show("batch", 0);
	SHOW(set_attr(48, SCHED_OTHER, 0, 3, 0, 0));
	show("nice", 0);
	SHOW(getpriority(PRIO_PROCESS, 0));
	inherited();
	privileges();
	preempts();
	return 0;
}
