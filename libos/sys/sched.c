/*
 * sched.c - handlers of scheduling policies: what the host's scheduler is asked here stays inside.
 *
 * Vcpus are granted by leatd's core scheduler and shared among tasks in turn; there is no real-time
 * class to enter (-EPERM, as without CAP_SYS_NICE).  See sched(7).
 */
#include <errno.h>
#include <sched.h>

#include "libos/instance.h"
#include "libos/syscall.h"
#include "libos/timespec.h"
#include "libos/uaccess.h"

#define POLICY_OTHER 0
#define POLICY_FIFO 1
#define POLICY_RR 2
#define POLICY_BATCH 3
#define POLICY_IDLE 5
#define POLICY_DEADLINE 6
#define POLICY_RESET_ON_FORK 0x40000000
#define TIME_SLICE_NS (4 * NS_PER_MS)
#define RT_PRIORITY_MAX 99

static struct task *sched_target(int tid)
{
	return tid == 0 ? current() : task_find(tid);
}

static bool policy_is_normal(int policy)
{
	return policy == POLICY_OTHER || policy == POLICY_BATCH || policy == POLICY_IDLE;
}

static bool policy_is_realtime(int policy)
{
	return policy == POLICY_FIFO || policy == POLICY_RR;
}

SYS1(sched_getscheduler, int, tid)
{
	const struct task *task = sched_target(tid);

	if (tid < 0)
		return -EINVAL;
	return task == NULL ? -ESRCH : task->sched_policy;
}

SYS2(sched_getparam, int, tid, int *, user_param)
{
	int priority = 0;

	if (tid < 0 || user_param == NULL)
		return -EINVAL;
	if (sched_target(tid) == NULL)
		return -ESRCH;
	return copy_to_user(user_param, &priority, sizeof(priority));
}

static int sched_set(int tid, int policy, const int *user_param)
{
	struct task *task = sched_target(tid);
	int priority;

	if (tid < 0 || user_param == NULL)
		return -EINVAL;
	if (task == NULL)
		return -ESRCH;
	if (copy_from_user(&priority, user_param, sizeof(priority)) != 0)
		return -EFAULT;
	if (policy == -1)
		policy = task->sched_policy;
	policy &= ~POLICY_RESET_ON_FORK;
	if (policy_is_realtime(policy))
		return priority >= 1 && priority <= RT_PRIORITY_MAX ? -EPERM : -EINVAL;
	if (!policy_is_normal(policy) || priority != 0)
		return -EINVAL;
	task->sched_policy = policy;
	return 0;
}

SYS3(sched_setscheduler, int, tid, int, policy, const int *, user_param)
{
	return policy < 0 ? -EINVAL : sched_set(tid, policy, user_param);
}

SYS2(sched_setparam, int, tid, const int *, user_param)
{
	return sched_set(tid, -1, user_param);
}

SYS1(sched_get_priority_max, int, policy)
{
	if (policy_is_realtime(policy))
		return RT_PRIORITY_MAX;
	return policy_is_normal(policy) || policy == POLICY_DEADLINE ? 0 : -EINVAL;
}

SYS1(sched_get_priority_min, int, policy)
{
	if (policy_is_realtime(policy))
		return 1;
	return policy_is_normal(policy) || policy == POLICY_DEADLINE ? 0 : -EINVAL;
}

SYS2(sched_rr_get_interval, int, tid, struct timespec *, user_interval)
{
	struct timespec ts = ns_to_timespec(TIME_SLICE_NS);

	if (tid < 0)
		return -EINVAL;
	if (sched_target(tid) == NULL)
		return -ESRCH;
	return copy_to_user(user_interval, &ts, sizeof(ts));
}
