/*
 * misc.c - handlers about the machine and the instance as a whole: names, limits, usage, random
 * bytes.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/clock.h"
#include "libos/cputime.h"
#include "libos/instance.h"
#include "libos/meminfo.h"
#include "libos/syscall.h"
#include "libos/timespec.h"
#include "libos/uaccess.h"

SYS1(uname, struct utsname *, user_name)
{
	struct utsname name = {.sysname = "Linux",
			       .release = UTS_RELEASE,
			       .version = UTS_VERSION,
			       .machine = "x86_64"};
	char *domainname = name.machine + sizeof(name.machine); /* its name depends on feature
								   macros */

	memcpy(name.nodename, instance()->hostname, sizeof(name.nodename));
	memcpy(domainname, instance()->domainname, sizeof(instance()->domainname));
	return copy_to_user(user_name, &name, sizeof(name));
}

static long set_name(char *dst, const char *user_name, long len)
{
	char name[65] = {0};

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (len < 0 || len > 64)
		return -EINVAL;
	if (copy_from_user(name, user_name, (size_t)len) != 0)
		return -EFAULT;
	memcpy(dst, name, sizeof(name));
	return 0;
}

SYS2(sethostname, const char *, user_name, long, len)
{
	return set_name(instance()->hostname, user_name, len);
}

SYS2(setdomainname, const char *, user_name, long, len)
{
	return set_name(instance()->domainname, user_name, len);
}

SYS1(sysinfo, struct sysinfo *, user_info)
{
	struct meminfo mem;
	struct sysinfo info = {.mem_unit = 1};

	meminfo_get(&mem);
	info.uptime = clock_monotonic_ns() / NS_PER_S;
	info.totalram = mem.total_bytes;
	info.freeram = mem.free_bytes;
	info.sharedram = mem.shared_bytes;
	info.procs = (unsigned short)MIN(instance()->nr_tasks, 65535U);
	return copy_to_user(user_info, &info, 112); /* musl's struct has room behind the kernel's */
}

SYS3(getrandom, void *, user_buf, size_t, n, unsigned, flags)
{
	uint8_t chunk[256];
	size_t done = 0;

	if ((flags & ~(GRND_NONBLOCK | GRND_RANDOM | 4U)) != 0 ||
	    (flags & (GRND_RANDOM | 4U)) == (GRND_RANDOM | 4U))
		return -EINVAL;
	n = MIN(n, (size_t)INT32_MAX);
	while (done < n) {
		size_t part = MIN(n - done, sizeof(chunk));

		random_bytes(chunk, part);
		if (copy_to_user((char *)user_buf + done, chunk, part) != 0)
			return done > 0 ? (long)done : -EFAULT;
		done += part;
	}
	return (long)done;
}

/* ---- resource limits ---- */

static int rlimit_set(struct process *process, unsigned resource, const struct rlimit *new)
{
	struct rlimit *slot = &process->rlimits[resource];

	if (new->rlim_cur > new->rlim_max)
		return -EINVAL;
	if (new->rlim_max > slot->rlim_max && !capable(CAP_SYS_RESOURCE))
		return -EPERM;
	if (resource == RLIMIT_NOFILE && new->rlim_max > instance()->boot->nofile)
		return -EPERM; /* as above fs.nr_open */
	*slot = *new;
	return 0;
}

SYS4(prlimit64, int, pid, unsigned, resource, const struct rlimit *, user_new, struct rlimit *,
     user_old)
{
	struct process *process = pid == 0 ? current()->process : process_find(pid);
	struct rlimit new, old;
	int err;

	if (resource >= RLIM_NLIMITS)
		return -EINVAL;
	if (process == NULL || process->zombie)
		return -ESRCH;
	if (user_new != NULL && copy_from_user(&new, user_new, sizeof(new)) != 0)
		return -EFAULT;
	old = process->rlimits[resource];
	if (user_new != NULL) {
		err = rlimit_set(process, resource, &new);
		if (err != 0)
			return err;
	}
	return user_old != NULL ? copy_to_user(user_old, &old, sizeof(old)) : 0;
}

SYS2(getrlimit, unsigned, resource, struct rlimit *, user_limit)
{
	if (resource >= RLIM_NLIMITS)
		return -EINVAL;
	return copy_to_user(user_limit, &current()->process->rlimits[resource],
			    sizeof(struct rlimit));
}

SYS2(setrlimit, unsigned, resource, const struct rlimit *, user_limit)
{
	struct rlimit new;

	if (resource >= RLIM_NLIMITS)
		return -EINVAL;
	if (copy_from_user(&new, user_limit, sizeof(new)) != 0)
		return -EFAULT;
	return rlimit_set(current()->process, resource, &new);
}

SYS2(getrusage, int, who, struct rusage *, user_usage)
{
	const struct process *me = current()->process;
	struct rusage usage = {0};

	switch (who) {
	case RUSAGE_SELF:
		usage.ru_utime = ns_to_timeval(cputime_of_process(me));
		break;
	case RUSAGE_CHILDREN:
		usage.ru_utime = ns_to_timeval(me->child_run_ns);
		break;
	case RUSAGE_THREAD:
		usage.ru_utime = ns_to_timeval(cputime_of_task(current()));
		break;
	default:
		return -EINVAL;
	}
	if (who != RUSAGE_CHILDREN)
		usage.ru_maxrss = (long)(meminfo_process_rss(me) / 1024);
	return copy_to_user(user_usage, &usage, 144); /* musl's struct has room behind the kernel's
						       */
}

/* ---- nice values: kept and shown; vcpus are shared out by the core scheduler, not by nice ---- */

#define NICE_MIN (-20)
#define NICE_MAX 19

static bool priority_matches(const struct process *process, int which, int who)
{
	const struct process *me = current()->process;

	switch (which) {
	case PRIO_PROCESS:
		return process->pid == (who == 0 ? me->pid : who);
	case PRIO_PGRP:
		return process->pgid == (who == 0 ? me->pgid : who);
	default:
		return process->creds.uid == (who == 0 ? my_creds()->uid : (unsigned)who);
	}
}

/* The kernel returns 20 - nice, so that no value looks like an error. */
SYS2(getpriority, int, which, int, who)
{
	struct list *pos;
	long best = -ESRCH;

	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	list_for_each(pos, &instance()->processes) {
		const struct process *process = list_entry(pos, struct process, all_node);

		if (!process->zombie && priority_matches(process, which, who))
			best = MAX(best, 20L - process->nice);
	}
	return best;
}

SYS3(setpriority, int, which, int, who, int, nice)
{
	bool privileged = capable(CAP_SYS_NICE);
	struct list *pos;
	long result = -ESRCH;

	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	nice = MAX(NICE_MIN, MIN(nice, NICE_MAX));
	list_for_each(pos, &instance()->processes) {
		struct process *process = list_entry(pos, struct process, all_node);

		if (process->zombie || !priority_matches(process, which, who))
			continue;
		if (nice < process->nice && !privileged)
			return -EACCES;
		process->nice = nice;
		result = 0;
	}
	return result;
}

/* Linux's personality is asked for by setarch and gdb; only the default is there. */
SYS1(personality, unsigned long, persona)
{
	return persona == 0xffffffffUL || persona == 0 ? 0 : -EINVAL;
}
