/*
 * tty_job.c - controlling terminals: sessions, foreground process groups, and the background's
 * SIGTTIN and SIGTTOU.  See credentials(7), tty_ioctl(4).
 */
#include "libos/fs/tty_job.h"

#include <errno.h>

#include "libos/fs/fs.h"
#include "libos/instance.h"
#include "libos/signal.h"
#include "libos/uaccess.h"

void tty_job_init(struct tty_job *job, unsigned dev)
{
	*job = (struct tty_job){.dev = dev};
	list_add_tail(&vfs_get()->ttys, &job->node);
}

void tty_job_finish(struct tty_job *job)
{
	list_del(&job->node);
}

bool tty_job_is_own(const struct tty_job *job, const struct process *process)
{
	return job->sid != 0 && job->sid == process->sid && !process->no_tty;
}

struct tty_job *tty_job_of(const struct process *process)
{
	struct list *pos;

	list_for_each(pos, &vfs_get()->ttys) {
		struct tty_job *job = list_entry(pos, struct tty_job, node);

		if (tty_job_is_own(job, process))
			return job;
	}
	return NULL;
}

int tty_job_check(const struct tty_job *job, int sig)
{
	struct process *process = current()->process;

	if (!tty_job_is_own(job, process) || job->pgid == 0 || process->pgid == job->pgid)
		return 0;
	if (signal_ignores(process, sig) || (current()->blocked & SIG_BIT(sig)) != 0)
		return sig == SIGTTIN ? -EIO : 0;
	if (signal_group_is_orphaned(process->pgid, NULL))
		return -EIO;
	signal_send_pgrp(process->pgid, sig, NULL);
	return -ERESTARTSYS;
}

int tty_job_set_pgrp(struct tty_job *job, const int *user_pgid)
{
	struct process *process = current()->process, *to;
	uint32_t pgid;
	int err = tty_job_check(job, SIGTTOU);

	if (err != 0)
		return err;
	if (!tty_job_is_own(job, process))
		return -ENOTTY;
	if (get_user_u32(&pgid, (const uint32_t *)user_pgid) != 0)
		return -EFAULT;
	if ((int)pgid < 0)
		return -EINVAL;
	to = process_find_group((int)pgid);
	if (to == NULL)
		return -ESRCH;
	if (to->sid != process->sid)
		return -EPERM;
	job->pgid = (int)pgid;
	return 0;
}

static void job_take(struct tty_job *job)
{
	struct process *process = current()->process;

	job->sid = process->sid;
	job->pgid = process->pgid;
	process->no_tty = false;
}

static bool is_leader(const struct process *process)
{
	return process->sid == process->pid;
}

int tty_job_acquire(struct tty_job *job, bool steal, bool readable)
{
	struct process *process = current()->process;
	bool root = capable(CAP_SYS_ADMIN);

	if (is_leader(process) && tty_job_is_own(job, process))
		return 0;
	if (!is_leader(process) || tty_job_of(process) != NULL)
		return -EPERM;
	if (job->sid != 0 && !(steal && root))
		return -EPERM;
	if (!readable && !root)
		return -EPERM;
	job_take(job);
	return 0;
}

void tty_job_opened(struct tty_job *job)
{
	struct process *process = current()->process;

	if (is_leader(process) && job->sid == 0 && tty_job_of(process) == NULL)
		job_take(job);
}

static void job_free(struct tty_job *job)
{
	job->sid = 0;
	job->pgid = 0;
}

int tty_job_give_up(struct tty_job *job)
{
	struct process *process = current()->process;

	if (!tty_job_is_own(job, process))
		return -ENOTTY;
	if (!is_leader(process)) {
		process->no_tty = true;
		return 0;
	}
	if (job->pgid != 0) {
		signal_send_pgrp(job->pgid, SIGHUP, NULL);
		signal_send_pgrp(job->pgid, SIGCONT, NULL);
	}
	job_free(job);
	return 0;
}

void tty_job_renumber(int old, int pid)
{
	struct list *pos;

	list_for_each(pos, &vfs_get()->ttys) {
		struct tty_job *job = list_entry(pos, struct tty_job, node);

		if (job->sid == old)
			job->sid = pid;
		if (job->pgid == old)
			job->pgid = pid;
	}
}

void tty_job_leader_gone(const struct process *process)
{
	struct tty_job *job = is_leader(process) ? tty_job_of(process) : NULL;

	if (job == NULL)
		return;
	if (job->pgid != 0)
		signal_send_pgrp(job->pgid, SIGHUP, NULL);
	job_free(job);
}

void tty_job_hangup(struct tty_job *job)
{
	struct process *leader = job->sid != 0 ? process_find(job->sid) : NULL;

	job_free(job);
	if (leader == NULL || leader->zombie)
		return;
	signal_send_process(leader, SIGHUP, NULL);
	signal_send_process(leader, SIGCONT, NULL);
}

void tty_job_describe(const struct process *process, unsigned *ret_dev, int *ret_pgid)
{
	const struct tty_job *job = tty_job_of(process);

	*ret_dev = job != NULL ? job->dev : 0;
	*ret_pgid = job != NULL ? job->pgid : -1;
}
