/*
 * time.c - handlers that read clocks and sleep.
 *
 * Reading goes through the host's vDSO page (clock.c).  CPU-time clocks are the libOS's own account
 * of its tasks.  Setting a clock is the host's business: -EPERM, as without CAP_SYS_TIME.
 */
#include <errno.h>
#include <sys/times.h>
#include <time.h>

#include "leat/base/bits.h"
#include "libos/clock.h"
#include "libos/cputime.h"
#include "libos/instance.h"
#include "libos/syscall.h"
#include "libos/timespec.h"
#include "libos/uaccess.h"

#define USER_HZ 100UL
#define CPUCLOCK_PERTHREAD 4
#define CPUCLOCK_WHICH_MASK 3

/* Clock ids of other tasks and processes: clock_getcpuclockid(3)'s encoding, ~pid << 3 | flags. */
static int cpu_clock_of(int id, uint64_t *ret_ns)
{
	int pid = ~(id >> 3);
	const struct process *process;
	const struct task *task;

	if ((id & CPUCLOCK_WHICH_MASK) == 3)
		return -EINVAL;
	if ((id & CPUCLOCK_PERTHREAD) != 0) {
		task = pid == 0 ? current() : task_find(pid);
		if (task == NULL || task->process != current()->process)
			return -EINVAL;
		*ret_ns = cputime_of_task(task);
		return 0;
	}
	process = pid == 0 ? current()->process : process_find(pid);
	if (process == NULL)
		return -EINVAL;
	*ret_ns = cputime_of_process(process);
	return 0;
}

static int clock_get(int id, struct timespec *ret_time)
{
	uint64_t ns;
	int err = 0;

	if (id == CLOCK_PROCESS_CPUTIME_ID)
		ns = cputime_of_process(current()->process);
	else if (id == CLOCK_THREAD_CPUTIME_ID)
		ns = cputime_of_task(current());
	else if (id < 0)
		err = cpu_clock_of(id, &ns);
	else
		return clock_read(id, ret_time);
	if (err == 0)
		*ret_time = ns_to_timespec(ns);
	return err;
}

SYS2(clock_gettime, int, id, struct timespec *, user_time)
{
	struct timespec ts;
	int err = clock_get(id, &ts);

	return err != 0 ? err : copy_to_user(user_time, &ts, sizeof(ts));
}

SYS2(clock_getres, int, id, struct timespec *, user_res)
{
	struct timespec ts;
	bool coarse = id == CLOCK_REALTIME_COARSE || id == CLOCK_MONOTONIC_COARSE;
	int err = clock_get(id, &ts);

	if (err != 0)
		return err;
	ts = (struct timespec){.tv_nsec = coarse ? (long)(4 * NS_PER_MS) : 1};
	return user_res == NULL ? 0 : copy_to_user(user_res, &ts, sizeof(ts));
}

SYS2(clock_settime, int, id, const struct timespec *, user_time)
{
	struct timespec ts;

	if (copy_from_user(&ts, user_time, sizeof(ts)) != 0)
		return -EFAULT;
	if (id != CLOCK_REALTIME || !timespec_ok(&ts))
		return -EINVAL;
	return -EPERM;
}

SYS2(gettimeofday, struct timeval *, user_tv, void *, user_tz)
{
	struct timeval tv = ns_to_timeval(clock_realtime_ns());
	struct timezone tz = {0};

	if (user_tv != NULL && copy_to_user(user_tv, &tv, sizeof(tv)) != 0)
		return -EFAULT;
	if (user_tz != NULL && copy_to_user(user_tz, &tz, sizeof(tz)) != 0)
		return -EFAULT;
	return 0;
}

SYS2(settimeofday, const struct timeval *, user_tv, const void *, user_tz)
{
	struct timeval tv;

	(void)user_tz;
	if (user_tv != NULL && copy_from_user(&tv, user_tv, sizeof(tv)) != 0)
		return -EFAULT;
	return -EPERM;
}

SYS1(time, int64_t *, user_time)
{
	int64_t now = (int64_t)(clock_realtime_ns() / NS_PER_S);

	if (user_time != NULL && copy_to_user(user_time, &now, sizeof(now)) != 0)
		return -EFAULT;
	return now;
}

SYS1(times, struct tms *, user_tms)
{
	const struct process *me = current()->process;
	struct tms tms = {
		.tms_utime = (clock_t)(cputime_of_process(me) / (NS_PER_S / USER_HZ)),
		.tms_cutime = (clock_t)(me->child_run_ns / (NS_PER_S / USER_HZ)),
	};

	if (user_tms != NULL && copy_to_user(user_tms, &tms, sizeof(tms)) != 0)
		return -EFAULT;
	return (long)(clock_monotonic_ns() / (NS_PER_S / USER_HZ));
}

/* ---- sleeping ---- */

static long sleep_until(uint64_t deadline_ns, struct timespec *user_left);

static long sleep_restart(struct task *task)
{
	return sleep_until(task->restart_arg[0], (struct timespec *)task->restart_arg[1]);
}

/* A relative sleep: what is left goes to user_left when a signal ends it. */
static long sleep_until(uint64_t deadline_ns, struct timespec *user_left)
{
	struct task *task = current();
	struct timespec left;
	uint64_t now_ns;
	int err;

	do {
		err = task_sleep(deadline_ns);
	} while (err == 0);
	if (err == -ETIMEDOUT)
		return 0;
	now_ns = clock_monotonic_ns();
	left = ns_to_timespec(deadline_ns > now_ns ? deadline_ns - now_ns : 0);
	if (user_left != NULL && copy_to_user(user_left, &left, sizeof(left)) != 0)
		return -EFAULT;
	task->restart = sleep_restart;
	task->restart_arg[0] = deadline_ns;
	task->restart_arg[1] = (uint64_t)(uintptr_t)user_left;
	return -ERESTART_RESTARTBLOCK;
}

static long sleep_until_absolute(uint64_t deadline_ns)
{
	int err;

	do {
		err = task_sleep(deadline_ns);
	} while (err == 0);
	return err == -ETIMEDOUT ? 0 : -ERESTARTNOHAND;
}

SYS2(nanosleep, const struct timespec *, user_time, struct timespec *, user_left)
{
	struct timespec ts;

	if (copy_from_user(&ts, user_time, sizeof(ts)) != 0)
		return -EFAULT;
	if (!timespec_ok(&ts))
		return -EINVAL;
	return sleep_until(deadline_after(timespec_to_ns(&ts)), user_left);
}

SYS4(clock_nanosleep, int, id, int, flags, const struct timespec *, user_time, struct timespec *,
     user_left)
{
	struct timespec ts, now;
	uint64_t ns, now_ns;
	int err;

	if (id == CLOCK_THREAD_CPUTIME_ID)
		return -EINVAL;
	if (id != CLOCK_REALTIME && id != CLOCK_MONOTONIC && id != CLOCK_BOOTTIME &&
	    id != CLOCK_TAI)
		return id == CLOCK_PROCESS_CPUTIME_ID ? -EOPNOTSUPP : -EINVAL;
	if (copy_from_user(&ts, user_time, sizeof(ts)) != 0)
		return -EFAULT;
	if (!timespec_ok(&ts))
		return -EINVAL;
	ns = timespec_to_ns(&ts);
	if ((flags & TIMER_ABSTIME) == 0)
		return sleep_until(deadline_after(ns), user_left);
	err = clock_read(id, &now);
	if (err != 0)
		return err;
	now_ns = timespec_to_ns(&now);
	return sleep_until_absolute(deadline_after(ns > now_ns ? ns - now_ns : 0));
}
