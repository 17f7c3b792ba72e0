/*
 * prctl.c - the handler of prctl(2): the options whose effect exists here; -EINVAL for the others,
 * as a kernel without them answers.
 */
#include <errno.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <string.h>

#include "leat/base/bits.h"
#include "libos/instance.h"
#include "libos/prctl.h"
#include "libos/syscall.h"
#include "libos/task.h"
#include "libos/uaccess.h"

#ifndef PR_GET_AUXV
#define PR_GET_AUXV 0x41555856 /* since Linux 6.4 */
#endif

static long set_name(const char *user_name)
{
	struct task *task = current();
	char name[TASK_COMM_LEN] = {0};
	ssize_t n = strncpy_from_user(name, user_name, sizeof(name) - 1);

	if (n == -EFAULT)
		return -EFAULT;
	memcpy(task->comm, name, sizeof(name)); /* longer ones are cut */
	return 0;
}

static long set_no_new_privs(void)
{
	struct creds new = *my_creds();

	new.no_new_privs = true;
	creds_commit(&new);
	return 0;
}

/* The auxiliary vector as execve left it; the size of all of it. */
static long get_auxv(void *user_buf, size_t size, uint64_t c, uint64_t d)
{
	const struct process *process = current()->process;

	if (c != 0 || d != 0)
		return -EINVAL;
	if (copy_to_user(user_buf, process->auxv, MIN(size, sizeof(process->auxv))) != 0)
		return -EFAULT;
	return sizeof(process->auxv);
}

static long set_timer_slack(struct task *task, uint64_t slack_ns)
{
	task->timer_slack_ns = (int64_t)slack_ns <= 0 ? TIMER_SLACK_NS : slack_ns;
	return 0;
}

static long death_signal(struct task *task, uint64_t sig)
{
	if (sig > NR_SIGNALS)
		return -EINVAL;
	task->pdeath_signal = (int)sig;
	return 0;
}

SYS5(prctl, int, option, uint64_t, a, uint64_t, b, uint64_t, c, uint64_t, d)
{
	struct task *task = current();
	struct process *process = task->process;

	switch (option) {
	case PR_SET_NAME:
		return set_name((const char *)a);
	case PR_GET_NAME:
		return copy_to_user((void *)a, task->comm, TASK_COMM_LEN);
	case PR_SET_PDEATHSIG:
		return death_signal(task, a);
	case PR_GET_PDEATHSIG:
		return put_user_u32((uint32_t *)a, (uint32_t)task->pdeath_signal);
	case PR_GET_DUMPABLE:
		return !process->undumpable;
	case PR_SET_DUMPABLE:
		if (a > 1)
			return -EINVAL;
		process->undumpable = a == 0;
		return 0;
	case PR_GET_KEEPCAPS:
		return (my_creds()->securebits & SECBIT_KEEP_CAPS) != 0;
	case PR_SET_KEEPCAPS:
		return prctl_set_keepcaps(a);
	case PR_GET_SECUREBITS:
		return my_creds()->securebits;
	case PR_SET_SECUREBITS:
		return prctl_set_securebits(a);
	case PR_CAPBSET_READ:
		return prctl_bounding_read(a);
	case PR_CAPBSET_DROP:
		return prctl_bounding_drop(a);
	case PR_CAP_AMBIENT:
		return prctl_ambient(a, b, c, d);
	case PR_GET_NO_NEW_PRIVS:
		return (a | b | c | d) != 0 ? -EINVAL : my_creds()->no_new_privs;
	case PR_SET_NO_NEW_PRIVS:
		return a != 1 || (b | c | d) != 0 ? -EINVAL : set_no_new_privs();
	case PR_SET_CHILD_SUBREAPER:
		process->subreaper = a != 0;
		return 0;
	case PR_GET_CHILD_SUBREAPER:
		return put_user_u32((uint32_t *)a, process->subreaper);
	case PR_GET_TIMERSLACK:
		return (long)MIN(task->timer_slack_ns, (uint64_t)INT64_MAX);
	case PR_SET_TIMERSLACK: /* timers are as exact as they can be, whatever is allowed */
		return set_timer_slack(task, a);
	case PR_GET_TIMING:
		return PR_TIMING_STATISTICAL;
	case PR_SET_TIMING:
		return a == PR_TIMING_STATISTICAL ? 0 : -EINVAL;
	case PR_GET_TSC:
		return put_user_u32((uint32_t *)a, PR_TSC_ENABLE);
	case PR_GET_TID_ADDRESS:
		return put_user_u64((uint64_t *)a, task->clear_child_tid);
	case PR_GET_AUXV:
		return get_auxv((void *)a, b, c, d);
	case PR_GET_SECCOMP:
		return 0; /* no filter of the program's own can be installed here */
	default:
		return -EINVAL;
	}
}
