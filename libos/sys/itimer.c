/*
 * itimer.c - setitimer, alarm, and POSIX timers.
 *
 * Wall-clock timers are timers of the libOS.  CPU-time timers (ITIMER_VIRTUAL, ITIMER_PROF, CPU
 * clocks) are checked when the process could at the earliest have used up its time on all its
 * cores, and armed again for what is left; the account knows no difference between user and system
 * time, so ITIMER_VIRTUAL counts both.
 */
#include "libos/itimer.h"

#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/clock.h"
#include "libos/cputime.h"
#include "libos/instance.h"
#include "libos/signal.h"
#include "libos/syscall.h"
#include "libos/timespec.h"
#include "libos/uaccess.h"

#define TIMERS_MAX 1024 /* POSIX timers of one process */
#define NR_ITIMERS 3

/*
 * One timer of either kind.  Its clock is CLOCK_MONOTONIC or the process's or a task's CPU time;
 * CLOCK_REALTIME times are turned into monotonic ones when set.
 */
struct itimer_one {
	struct timer timer;
	struct list node; /* process->posix_timers */
	struct process *process;
	int id;
	int clock_id;
	bool cpu; /* by CPU time of the process */
	bool armed;
	uint64_t expires_ns;  /* on its clock */
	uint64_t interval_ns; /* 0: once */
	int notify;           /* SIGEV_* */
	int sig;
	int tid; /* SIGEV_THREAD_ID */
	uint64_t value;
	int overrun; /* of the last delivered expiration */
};

struct itimer {
	struct itimer_one which[NR_ITIMERS];
};

static uint64_t itimer_now(const struct itimer_one *it)
{
	return it->cpu ? cputime_of_process(it->process) : clock_monotonic_ns();
}

/* When to look next: a CPU timer cannot be due before its cores have worked that long. */
static int itimer_rearm(struct itimer_one *it)
{
	uint64_t now_ns = itimer_now(it);
	uint64_t left_ns = it->expires_ns > now_ns ? it->expires_ns - now_ns : 0;

	if (!it->cpu)
		return timer_arm(&it->timer, it->expires_ns);
	left_ns /= instance()->boot->nr_vcpus;
	return timer_arm(&it->timer, deadline_after(MAX(left_ns, NS_PER_MS)));
}

static void itimer_notify(struct itimer_one *it)
{
	siginfo_t info = {.si_signo = it->sig, .si_code = SI_KERNEL};
	struct task *task;

	if (it->notify == SIGEV_NONE)
		return;
	if (it->id >= 0) {
		info.si_code = SI_TIMER;
		info.si_timerid = it->id;
		info.si_overrun = it->overrun;
		info.si_value.sival_ptr = (void *)it->value;
	}
	if (it->notify == SIGEV_THREAD_ID) {
		task = task_find(it->tid);
		if (task != NULL && task->process == it->process)
			signal_send_task(task, it->sig, &info);
		return;
	}
	signal_send_process(it->process, it->sig, &info);
}

static void itimer_fire(struct timer *timer)
{
	struct itimer_one *it = timer->data;
	uint64_t now_ns = itimer_now(it);
	uint64_t missed = 0;

	if (now_ns < it->expires_ns) { /* CPU time not used up yet */
		itimer_rearm(it);
		return;
	}
	if (it->interval_ns == 0) {
		it->armed = false;
	} else {
		missed = (now_ns - it->expires_ns) / it->interval_ns;
		it->expires_ns += (missed + 1) * it->interval_ns;
	}
	it->overrun = (int)MIN(missed, (uint64_t)INT32_MAX);
	itimer_notify(it);
	if (it->armed)
		itimer_rearm(it);
}

static void itimer_init(struct itimer_one *it, struct process *process, int id, int clock_id,
			int sig)
{
	timer_init(&it->timer, itimer_fire, it);
	list_init(&it->node);
	it->process = process;
	it->id = id;
	it->clock_id = clock_id;
	it->cpu = clock_id == CLOCK_PROCESS_CPUTIME_ID || clock_id == CLOCK_THREAD_CPUTIME_ID;
	it->sig = sig;
	it->notify = SIGEV_SIGNAL;
}

static int itimer_set(struct itimer_one *it, uint64_t expires_ns, uint64_t interval_ns)
{
	timer_cancel(&it->timer);
	it->armed = expires_ns != 0;
	it->expires_ns = expires_ns;
	it->interval_ns = interval_ns;
	return it->armed ? itimer_rearm(it) : 0;
}

static uint64_t itimer_left(const struct itimer_one *it)
{
	uint64_t now_ns = itimer_now(it);

	if (!it->armed)
		return 0;
	return it->expires_ns > now_ns ? it->expires_ns - now_ns : 1;
}

/* ---- setitimer, getitimer, alarm ---- */

static const int itimer_signal[NR_ITIMERS] = {SIGALRM, SIGVTALRM, SIGPROF};

static struct itimer_one *itimer_of(struct process *process, int which)
{
	if (process->itimers == NULL) {
		process->itimers = arena_zalloc(sizeof(*process->itimers));
		if (process->itimers == NULL)
			return NULL;
		for (int i = 0; i < NR_ITIMERS; i++)
			itimer_init(&process->itimers->which[i], process, -1,
				    i == ITIMER_REAL ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID,
				    itimer_signal[i]);
	}
	return &process->itimers->which[which];
}

static struct itimerval itimer_value(const struct itimer_one *it)
{
	uint64_t left_ns = itimer_left(it);

	/* Rounded up: a running timer never shows zero. */
	return (struct itimerval){.it_value =
					  ns_to_timeval(left_ns == 0 ? 0 : left_ns + NS_PER_US - 1),
				  .it_interval = ns_to_timeval(it->interval_ns)};
}

SYS2(getitimer, int, which, struct itimerval *, user_value)
{
	struct itimer_one *it;
	struct itimerval value;

	if (which < 0 || which >= NR_ITIMERS)
		return -EINVAL;
	it = itimer_of(current()->process, which);
	if (it == NULL)
		return -ENOMEM;
	value = itimer_value(it);
	return copy_to_user(user_value, &value, sizeof(value));
}

SYS3(setitimer, int, which, const struct itimerval *, user_new, struct itimerval *, user_old)
{
	struct itimerval new = {0}, old;
	struct itimer_one *it;
	uint64_t value_ns;
	int err;

	if (which < 0 || which >= NR_ITIMERS)
		return -EINVAL;
	if (user_new != NULL && copy_from_user(&new, user_new, sizeof(new)) != 0)
		return -EFAULT;
	if (!timeval_ok(&new.it_value) || !timeval_ok(&new.it_interval))
		return -EINVAL;
	it = itimer_of(current()->process, which);
	if (it == NULL)
		return -ENOMEM;
	old = itimer_value(it);
	value_ns = timeval_to_ns(&new.it_value);
	err = itimer_set(it, value_ns == 0 ? 0 : itimer_now(it) + value_ns,
			 timeval_to_ns(&new.it_interval));
	if (err == 0 && user_old != NULL)
		err = copy_to_user(user_old, &old, sizeof(old));
	return err;
}

SYS1(alarm, unsigned, seconds)
{
	struct itimer_one *it = itimer_of(current()->process, ITIMER_REAL);
	uint64_t left_ns;

	if (it == NULL)
		return 0; /* alarm(2) knows no error */
	left_ns = itimer_left(it);
	itimer_set(it, seconds == 0 ? 0 : itimer_now(it) + seconds * NS_PER_S, 0);
	return (long)((left_ns + NS_PER_S / 2) / NS_PER_S) +
	       (left_ns != 0 && left_ns < NS_PER_S / 2);
}

/* ---- POSIX timers ---- */

struct sigevent_user {
	uint64_t value;
	int32_t signo;
	int32_t notify;
	int32_t tid;
	int32_t pad[11];
};

_Static_assert(sizeof(struct sigevent_user) == 64, "sigevent layout");

static struct itimer_one *posix_timer_find(int id)
{
	struct list *pos;

	list_for_each(pos, &current()->process->posix_timers) {
		struct itimer_one *it = list_entry(pos, struct itimer_one, node);

		if (it->id == id)
			return it;
	}
	return NULL;
}

static unsigned posix_timer_count(const struct process *process)
{
	const struct list *pos;
	unsigned n = 0;

	list_for_each(pos, &process->posix_timers)
		n++;
	return n;
}

static int sigevent_check(const struct sigevent_user *event)
{
	const struct task *task;

	switch (event->notify) {
	case SIGEV_NONE:
		return 0;
	case SIGEV_THREAD_ID:
		task = task_find(event->tid);
		if (task == NULL || task->process != current()->process)
			return -EINVAL;
		/* fall through */
	case SIGEV_SIGNAL:
	case SIGEV_THREAD:
		return event->signo >= 1 && event->signo <= NR_SIGNALS ? 0 : -EINVAL;
	default:
		return -EINVAL;
	}
}

static int posix_clock_check(int clock_id)
{
	switch (clock_id) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
	case CLOCK_TAI:
	case CLOCK_PROCESS_CPUTIME_ID:
	case CLOCK_THREAD_CPUTIME_ID:
		return 0;
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
		return -EPERM; /* need CAP_WAKE_ALARM */
	default:
		return -EINVAL;
	}
}

SYS3(timer_create, int, clock_id, const struct sigevent_user *, user_event, int32_t *, user_id)
{
	struct process *me = current()->process;
	struct sigevent_user event = {.signo = SIGALRM, .notify = SIGEV_SIGNAL};
	struct itimer_one *it;
	int err = posix_clock_check(clock_id);

	if (err != 0)
		return err;
	event.value = (uint64_t)me->next_posix_timer;
	if (user_event != NULL) {
		if (copy_from_user(&event, user_event, sizeof(event)) != 0)
			return -EFAULT;
		err = sigevent_check(&event);
		if (err != 0)
			return err;
	}
	if (posix_timer_count(me) >= TIMERS_MAX)
		return -EAGAIN;
	it = arena_zalloc(sizeof(*it));
	if (it == NULL)
		return -ENOMEM;
	itimer_init(it, me, me->next_posix_timer, clock_id, event.signo);
	it->notify = event.notify == SIGEV_THREAD ? SIGEV_SIGNAL : event.notify;
	it->tid = event.tid;
	it->value = event.value;
	if (put_user_u32((uint32_t *)user_id, (uint32_t)it->id) != 0) {
		arena_free(it);
		return -EFAULT;
	}
	me->next_posix_timer++;
	list_add_tail(&me->posix_timers, &it->node);
	return 0;
}

static struct itimerspec posix_timer_value(const struct itimer_one *it)
{
	return (struct itimerspec){.it_value = ns_to_timespec(itimer_left(it)),
				   .it_interval = ns_to_timespec(it->interval_ns)};
}

/* An absolute time on the timer's clock as its internal clock's. */
static uint64_t posix_timer_expiry(const struct itimer_one *it, uint64_t value_ns, bool absolute)
{
	if (value_ns == 0)
		return 0;
	if (!absolute)
		return itimer_now(it) + value_ns;
	if (it->clock_id == CLOCK_REALTIME || it->clock_id == CLOCK_TAI)
		return deadline_from_realtime(value_ns);
	return value_ns;
}

SYS4(timer_settime, int, id, int, flags, const struct itimerspec *, user_new, struct itimerspec *,
     user_old)
{
	struct itimer_one *it = posix_timer_find(id);
	struct itimerspec new, old;
	int err;

	if (it == NULL || user_new == NULL)
		return -EINVAL;
	if (copy_from_user(&new, user_new, sizeof(new)) != 0)
		return -EFAULT;
	if (!timespec_ok(&new.it_value) || !timespec_ok(&new.it_interval))
		return -EINVAL;
	old = posix_timer_value(it);
	err = itimer_set(it,
			 posix_timer_expiry(it, timespec_to_ns(&new.it_value),
					    (flags & TIMER_ABSTIME) != 0),
			 timespec_to_ns(&new.it_interval));
	if (err == 0 && user_old != NULL)
		err = copy_to_user(user_old, &old, sizeof(old));
	return err;
}

SYS2(timer_gettime, int, id, struct itimerspec *, user_value)
{
	const struct itimer_one *it = posix_timer_find(id);
	struct itimerspec value;

	if (it == NULL)
		return -EINVAL;
	value = posix_timer_value(it);
	return copy_to_user(user_value, &value, sizeof(value));
}

SYS1(timer_getoverrun, int, id)
{
	const struct itimer_one *it = posix_timer_find(id);

	return it == NULL ? -EINVAL : it->overrun;
}

static void posix_timer_destroy(struct itimer_one *it)
{
	timer_cancel(&it->timer);
	list_del(&it->node);
	arena_free(it);
}

SYS1(timer_delete, int, id)
{
	struct itimer_one *it = posix_timer_find(id);

	if (it == NULL)
		return -EINVAL;
	posix_timer_destroy(it);
	return 0;
}

void itimers_exec(struct process *process)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &process->posix_timers)
		posix_timer_destroy(list_entry(pos, struct itimer_one, node));
}

void itimers_finish(struct process *process)
{
	itimers_exec(process);
	if (process->itimers == NULL)
		return;
	for (int i = 0; i < NR_ITIMERS; i++)
		timer_cancel(&process->itimers->which[i].timer);
	arena_free(process->itimers);
	process->itimers = NULL;
}
