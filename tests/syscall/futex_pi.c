/* Priority-inheriting futexes, waiting for several, robust lists: results and the words. */
#include "t.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif
#ifndef FUTEX_32
#define FUTEX_32 2
#endif

#define PRIVATE FUTEX_PRIVATE_FLAG

static uint32_t word, word2, cond;

static long futex(uint32_t *addr, int op, uint32_t val, const void *timeout, uint32_t *addr2,
		  uint32_t val3)
{
	return syscall(SYS_futex, addr, op, val, timeout, addr2, val3);
}

/* What the word says, with our own tid as "me". */
static void show_word(const char *what, uint32_t value, int me)
{
	uint32_t tid = value & FUTEX_TID_MASK;

	say("%s: %s%s%s", what,
	    tid == 0       ? "free" :
	    (int)tid == me ? "me" :
			     "other",
	    (value & FUTEX_WAITERS) ? " waiters" : "",
	    (value & FUTEX_OWNER_DIED) ? " owner died" : "");
}

static int gettid_(void)
{
	return (int)syscall(SYS_gettid);
}

static struct timespec after_ms(int clock, long ms)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	ts.tv_nsec += ms * 1000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	return ts;
}

/* Until some thread sleeps in the kernel for this word. */
static void until_waiters(const uint32_t *w)
{
	while (!(__atomic_load_n(w, __ATOMIC_ACQUIRE) & FUTEX_WAITERS))
		sleep_ms(1);
}

static void alone(void)
{
	int me = gettid_();

	SHOW(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	show_word("locked", word, me);
	SHOW(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_TRYLOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	show_word("unlocked", word, me);
	SHOW(futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_TRYLOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	word = FUTEX_TID_MASK; /* nobody's number */
	SHOW(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	word = FUTEX_OWNER_DIED;
	SHOW(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	show_word("of a dead owner", word, me);
	word = 0;
	SHOW(futex(BAD, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	SHOW(futex((uint32_t *)((char *)&word + 1), FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	SHOW(futex(BAD, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
}

static void *contender(void *arg)
{
	long r = futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0);

	say("the contender has it: %ld", r);
	show_word("in the contender", word, gettid_());
	SHOW(futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	return arg;
}

static void *expiring(void *arg)
{
	struct timespec ts = after_ms(CLOCK_REALTIME, 20);
	struct timespec mono = after_ms(CLOCK_MONOTONIC, 30);
	struct timespec bad = {0, 1000000000};

	SHOW(futex(&word, FUTEX_TRYLOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, &ts, NULL, 0));
	SHOW(futex(&word, FUTEX_LOCK_PI2 | PRIVATE, 0, &mono, NULL, 0));
	SHOW(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, &bad, NULL, 0));
	return arg;
}

static void two(void)
{
	pthread_t thread;
	long unlocked;

	MUST(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	pthread_create(&thread, NULL, expiring, NULL);
	pthread_join(thread, NULL);
	word &= ~FUTEX_WAITERS;
	pthread_create(&thread, NULL, contender, NULL);
	until_waiters(&word);
	sleep_ms(10);
	SHOW(futex(&word, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0)); /* not this way */
	unlocked = futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0);
	pthread_join(thread, NULL); /* which prints, too */
	SHOW(unlocked);
	show_word("at last", word, gettid_());
}

/* Two that wait for each other. */
static void *crossing(void *arg)
{
	MUST(futex(&word2, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0);
	MUST(futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	MUST(futex(&word2, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	return arg;
}

static void deadlock(void)
{
	pthread_t thread;

	word = word2 = 0;
	MUST(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	pthread_create(&thread, NULL, crossing, NULL);
	until_waiters(&word);
	sleep_ms(10);
	SHOW(futex(&word2, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	MUST(futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	pthread_join(thread, NULL);
}

/* The owner ends without unlocking, without a robust list. */
static void *deserter(void *arg)
{
	MUST(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	until_waiters(&word);
	sleep_ms(10);
	return arg;
}

static void death(void)
{
	pthread_t thread;

	word = 0;
	pthread_create(&thread, NULL, deserter, NULL);
	while (!__atomic_load_n(&word, __ATOMIC_ACQUIRE))
		sleep_ms(1);
	SHOW(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	show_word("inherited", word, gettid_());
	pthread_join(thread, NULL);
	word = 0;
}

/* A robust, priority-inheriting mutex of libc's between two processes. */
static void robust(void)
{
	pthread_mutex_t *mutex =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_t attr;
	int status, has_it[2];
	char byte = 0;

	MUST(pipe(has_it));

	for (int protocol = PTHREAD_PRIO_NONE; protocol <= PTHREAD_PRIO_INHERIT; protocol++) {
		pthread_mutexattr_init(&attr);
		pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
		pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
		SHOW(pthread_mutexattr_setprotocol(&attr, protocol));
		SHOW(pthread_mutex_init(mutex, &attr));
		if (fork() == 0) {
			pthread_mutex_lock(mutex);
			MUST(write(has_it[1], &byte, 1));
			sleep_ms(30);
			raise(SIGKILL);
		}
		MUST(read(has_it[0], &byte, 1));
		say("after its death: %s", strerrorname_np(pthread_mutex_lock(mutex)));
		SHOW(pthread_mutex_consistent(mutex));
		SHOW(pthread_mutex_unlock(mutex));
		SHOW(pthread_mutex_lock(mutex));
		SHOW(pthread_mutex_unlock(mutex));
		MUST(wait(&status));
		show_status("child", status);
	}
}

/* ---- requeueing ---- */

static void *waits_for_requeue(void *arg)
{
	long r = futex(&cond, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 1, NULL, &word, 0);

	say("requeued: %ld", r);
	show_word("after the requeue", word, gettid_());
	SHOW(futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	return arg;
}

static void requeue(void)
{
	struct timespec ts = after_ms(CLOCK_MONOTONIC, 20);
	pthread_t thread;
	long unlocked;

	word = 0;
	cond = 1;
	SHOW(futex(&cond, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 2, NULL, &word, 0));
	SHOW(futex(&cond, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 1, &ts, &word, 0));
	SHOW(futex(&cond, FUTEX_WAIT_REQUEUE_PI | PRIVATE, 1, NULL, &cond, 0));
	MUST(futex(&word, FUTEX_LOCK_PI | PRIVATE, 0, NULL, NULL, 0));
	pthread_create(&thread, NULL, waits_for_requeue, NULL);
	sleep_ms(30);
	SHOW(futex(&cond, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, (void *)1, &word, 2));
	SHOW(futex(&cond, FUTEX_CMP_REQUEUE_PI | PRIVATE, 2, (void *)1, &word, 1));
	while (futex(&cond, FUTEX_CMP_REQUEUE_PI | PRIVATE, 1, (void *)1, &word, 1) == 0)
		sleep_ms(1);
	unlocked = futex(&word, FUTEX_UNLOCK_PI | PRIVATE, 0, NULL, NULL, 0);
	pthread_join(thread, NULL); /* which prints, too */
	SHOW(unlocked);
	show_word("at last", word, gettid_());
}

/* ---- several at once ---- */

static void *wakes_second(void *arg)
{
	sleep_ms(20);
	while (futex(&word2, FUTEX_WAKE | PRIVATE, 1, NULL, NULL, 0) == 0)
		sleep_ms(1);
	return arg;
}

static long waitv(struct futex_waitv *v, unsigned n, unsigned flags, struct timespec *ts, int clock)
{
	return syscall(449, v, n, flags, ts, clock);
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void several(void)
{
	struct futex_waitv v[3] = {
		{.val = 5, .uaddr = (uintptr_t)&word, .flags = FUTEX_32 | PRIVATE},
		{.val = 6, .uaddr = (uintptr_t)&word2, .flags = FUTEX_32 | PRIVATE},
		{.val = 1, .uaddr = (uintptr_t)&cond, .flags = FUTEX_32},
	};
	struct timespec past = {0, 0}, soon = after_ms(CLOCK_REALTIME, 20);
	struct sigaction action = {.sa_handler = on_alarm};
	struct itimerval timer = {.it_value = {0, 20000}};
	pthread_t thread;

	word = 5;
	word2 = 6;
	cond = 1;
	pthread_create(&thread, NULL, wakes_second, NULL);
	SHOW(waitv(v, 3, 0, NULL, 0));
	pthread_join(thread, NULL);
	SHOW(waitv(v, 3, 0, &past, CLOCK_MONOTONIC));
	SHOW(waitv(v, 3, 0, &soon, CLOCK_REALTIME));
	word2 = 7;
	SHOW(waitv(v, 3, 0, NULL, 0));
	word2 = 6;
	SHOW(waitv(v, 0, 0, NULL, 0));
	SHOW(waitv(v, 129, 0, NULL, 0));
	SHOW(waitv(v, 3, 1, NULL, 0));
	SHOW(waitv(NULL, 3, 0, NULL, 0));
	SHOW(waitv(BAD, 3, 0, NULL, 0));
	SHOW(waitv(v, 3, 0, &past, CLOCK_BOOTTIME));
	v[1].flags = PRIVATE;
	SHOW(waitv(v, 3, 0, NULL, 0));
	v[1].flags = FUTEX_32 | PRIVATE;
	v[1].uaddr = 0x10;
	SHOW(waitv(v, 3, 0, NULL, 0));
	v[1].uaddr = (uintptr_t)&word2;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	SHOW(waitv(v, 3, 0, NULL, 0));
}

int main(void)
{
	alone();
	two();
	deadlock();
	death();
	robust();
	requeue();
	several();
	return 0;
}
