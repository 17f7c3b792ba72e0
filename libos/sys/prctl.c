/*
 * prctl.c - the handler of prctl(2): the options whose effect exists here; -EINVAL for the others,
 * as a kernel without them answers.
 */
#include <errno.h>
#include <linux/prctl.h>
#include <string.h>

#include "libos/instance.h"
#include "libos/syscall.h"
#include "libos/task.h"
#include "libos/uaccess.h"

#define TIMER_SLACK_NS 50000UL /* what Linux starts with */

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

static long set_flag(bool *flag, uint64_t value)
{
	if (value > 1)
		return -EINVAL;
	*flag = value != 0;
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
		return process->keep_caps;
	case PR_SET_KEEPCAPS:
		return set_flag(&process->keep_caps, a);
	case PR_GET_NO_NEW_PRIVS:
		return process->no_new_privs;
	case PR_SET_NO_NEW_PRIVS:
		if (a != 1 || b != 0 || c != 0 || d != 0)
			return -EINVAL;
		process->no_new_privs = true;
		return 0;
	case PR_SET_CHILD_SUBREAPER:
		process->subreaper = a != 0;
		return 0;
	case PR_GET_CHILD_SUBREAPER:
		return put_user_u32((uint32_t *)a, process->subreaper);
	case PR_GET_TIMERSLACK:
		return TIMER_SLACK_NS;
	case PR_GET_SECCOMP:
		return 0; /* no filter of the program's own can be installed here */
	default:
		return -EINVAL;
	}
}
