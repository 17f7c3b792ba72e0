/*
 * sched.c - handlers of scheduling policies: what the host's scheduler is asked here stays inside.
 *
 * Vcpus are granted by leatd's core scheduler; among the tasks that wait for one of a process's
 * vcpus those of SCHED_FIFO and SCHED_RR come first, by priority (libos/sched.c), and the others
 * take turns.  See sched(7).
 */
#include <errno.h>
#include <sched.h>

#include "leat/base/bits.h"
#include "libos/instance.h"
#include "libos/kthread.h"
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
#define RR_SLICE_NS (100 * NS_PER_MS)
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
	if (task == NULL)
		return -ESRCH;
	return task->sched_policy | (task->reset_on_fork ? POLICY_RESET_ON_FORK : 0);
}

SYS2(sched_getparam, int, tid, int *, user_param)
{
	const struct task *task = sched_target(tid);

	if (tid < 0 || user_param == NULL)
		return -EINVAL;
	if (task == NULL)
		return -ESRCH;
	return copy_to_user(user_param, &task->rt_priority, sizeof(task->rt_priority));
}

/* May the caller change how the task is scheduled at all (sched(7), "Privileges")? */
static bool sched_owns(const struct task *task)
{
	const struct creds *me = my_creds();

	return me->euid == task->creds.euid || me->euid == task->creds.uid;
}

/* What needs CAP_SYS_NICE. */
static bool sched_allowed(const struct task *task, int policy, int priority, bool reset_on_fork)
{
	rlim_t limit = task->process->rlimits[RLIMIT_RTPRIO].rlim_cur;

	if (policy_is_realtime(policy)) {
		if (policy != task->sched_policy && limit == 0)
			return false;
		if (priority > task->rt_priority && (rlim_t)priority > limit)
			return false;
	}
	if (task->sched_policy == POLICY_IDLE && policy != POLICY_IDLE &&
	    (rlim_t)(20 - task->process->nice) > task->process->rlimits[RLIMIT_NICE].rlim_cur)
		return false;
	return sched_owns(task) && (reset_on_fork || !task->reset_on_fork);
}

static int sched_change(struct task *task, int policy, int priority, bool reset_on_fork)
{
	if (policy_is_realtime(policy) ? priority < 1 || priority > RT_PRIORITY_MAX :
					 !policy_is_normal(policy) || priority != 0)
		return -EINVAL;
	if (!capable(CAP_SYS_NICE) && !sched_allowed(task, policy, priority, reset_on_fork))
		return -EPERM;
	task->reset_on_fork = reset_on_fork;
	task->sched_policy = policy;
	sched_set_priority(task, priority);
	return 0;
}

static int sched_set(int tid, int policy, const int *user_param)
{
	struct task *task = sched_target(tid);
	bool reset_on_fork;
	int priority;

	if (tid < 0 || user_param == NULL)
		return -EINVAL;
	if (copy_from_user(&priority, user_param, sizeof(priority)) != 0)
		return -EFAULT;
	if (task == NULL)
		return -ESRCH;
	reset_on_fork = policy == -1 ? task->reset_on_fork : (policy & POLICY_RESET_ON_FORK) != 0;
	policy = policy == -1 ? task->sched_policy : policy & ~POLICY_RESET_ON_FORK;
	return sched_change(task, policy, priority, reset_on_fork);
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
	const struct task *task = sched_target(tid);
	struct timespec ts = {0};

	if (tid < 0)
		return -EINVAL;
	if (task == NULL)
		return -ESRCH;
	if (task->sched_policy != POLICY_FIFO)
		ts = ns_to_timespec(task->sched_policy == POLICY_RR ? RR_SLICE_NS : TIME_SLICE_NS);
	return copy_to_user(user_interval, &ts, sizeof(ts));
}

/* ---- sched_setattr, sched_getattr ---- */

#define ATTR_SIZE_FIRST 48U /* SCHED_ATTR_SIZE_VER0 */
#define FLAG_RESET_ON_FORK 0x01ULL
#define FLAG_KEEP_POLICY 0x08ULL
#define FLAG_KEEP_PARAMS 0x10ULL

struct sched_attr_user {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

/* What lies behind the part that we know has to be zero, or the caller learns what we know. */
static int attr_import(struct sched_attr_user *ret_attr, struct sched_attr_user *user_attr)
{
	uint32_t size;
	uint8_t byte;

	if (get_user_u32(&size, &user_attr->size) != 0)
		return -EFAULT;
	if (size == 0)
		size = ATTR_SIZE_FIRST;
	for (uint32_t i = sizeof(*ret_attr); size >= ATTR_SIZE_FIRST && i < size; i++) {
		if (size > ABI_PAGE_SIZE)
			break;
		if (copy_from_user(&byte, (const uint8_t *)user_attr + i, 1) != 0)
			return -EFAULT;
		if (byte != 0)
			size = 0;
	}
	if (size < ATTR_SIZE_FIRST || size > ABI_PAGE_SIZE)
		return put_user_u32(&user_attr->size, sizeof(*ret_attr)) != 0 ? -EFAULT : -E2BIG;
	*ret_attr = (struct sched_attr_user){0};
	return copy_from_user(ret_attr, user_attr, MIN(size, (uint32_t)sizeof(*ret_attr)));
}

SYS3(sched_setattr, int, tid, struct sched_attr_user *, user_attr, unsigned, flags)
{
	struct task *task = sched_target(tid);
	struct sched_attr_user attr;
	int err;

	if (user_attr == NULL || tid < 0 || flags != 0)
		return -EINVAL;
	err = attr_import(&attr, user_attr);
	if (err != 0)
		return err;
	if ((int)attr.policy < 0 ||
	    (attr.flags & ~(FLAG_RESET_ON_FORK | FLAG_KEEP_POLICY | FLAG_KEEP_PARAMS)) != 0)
		return -EINVAL;
	if (task == NULL)
		return -ESRCH;
	if ((attr.flags & FLAG_KEEP_POLICY) != 0) {
		attr.policy = (uint32_t)task->sched_policy;
		attr.flags |= task->reset_on_fork ? FLAG_RESET_ON_FORK : 0;
	}
	if ((attr.flags & FLAG_KEEP_PARAMS) != 0) {
		attr.priority = (uint32_t)task->rt_priority;
		attr.nice = task->process->nice;
	}
	if (policy_is_normal((int)attr.policy) && attr.nice < task->process->nice &&
	    !capable(CAP_SYS_NICE))
		return -EPERM;
	err = sched_change(task, (int)attr.policy, (int)attr.priority,
			   (attr.flags & FLAG_RESET_ON_FORK) != 0);
	if (err == 0 && policy_is_normal((int)attr.policy))
		task->process->nice = MAX(-20, MIN(attr.nice, 19));
	return err;
}

SYS4(sched_getattr, int, tid, struct sched_attr_user *, user_attr, unsigned, size, unsigned, flags)
{
	const struct task *task = sched_target(tid);
	struct sched_attr_user attr = {.size = MIN(size, (unsigned)sizeof(attr))};

	if (user_attr == NULL || tid < 0 || flags != 0 || size < ATTR_SIZE_FIRST ||
	    size > ABI_PAGE_SIZE)
		return -EINVAL;
	if (task == NULL)
		return -ESRCH;
	attr.policy = (uint32_t)task->sched_policy;
	attr.flags = task->reset_on_fork ? FLAG_RESET_ON_FORK : 0;
	attr.priority = (uint32_t)task->rt_priority;
	attr.nice = policy_is_normal(task->sched_policy) ? task->process->nice : 0;
	return copy_to_user(user_attr, &attr, attr.size);
}
