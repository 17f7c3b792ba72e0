/*
 * privilege.c - rights: what the launcher itself gives up, and what each child does before it runs.
 */
#include "apps/launcher/launcher.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAPS_END 64 /* the kernel answers EINVAL at its last one + 1 */
#define HOST_NOFILE_MAX 20000U

/*
 * Once, in the launcher: no_new_privs, an empty bounding set and no ambient capabilities come with
 * the fork.  glibc's rseq area must not be known to the kernel: the image unmaps it.
 */
int privilege_prepare(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	for (unsigned long cap = 0; cap < CAPS_END; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			if (errno == EINVAL)
				break;
			return -errno;
		}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	if (prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0) < 0)
		return -errno;
	if (__rseq_size) {
		char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
		if (syscall(SYS_rseq, area, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) < 0)
			return -errno;
	}
	return 0;
}

static int limit_set(int what, rlim_t value)
{
	struct rlimit limit = {.rlim_cur = value, .rlim_max = value};

	return setrlimit((__rlimit_resource_t)what, &limit) < 0 ? -errno : 0;
}

/*
 * The host's limits.  What the program sees as its limits is the libOS's business; the number of
 * processes is per uid, so that NPROC is this instance's limit of host threads.
 */
int privilege_limits(const struct abi_boot *block, uint32_t nproc)
{
	static const struct {
		int what;
		rlim_t value;
	} fixed[] = {
		{RLIMIT_CORE, 0},   {RLIMIT_MEMLOCK, 65536}, {RLIMIT_MSGQUEUE, 0},
		{RLIMIT_RTPRIO, 0}, {RLIMIT_NICE, 0},        {RLIMIT_SIGPENDING, 4096},
	};

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		int r = limit_set(fixed[i].what, fixed[i].value);
		if (r < 0)
			return r;
	}
	int r = limit_set(RLIMIT_NPROC, nproc);
	if (r < 0)
		return r;
	/* the program's descriptors are mostly not the host's: allow all that the host may give */
	rlim_t nofile = block->nofile > HOST_NOFILE_MAX ? block->nofile : HOST_NOFILE_MAX;
	struct rlimit now;
	if (getrlimit(RLIMIT_NOFILE, &now) < 0)
		return -errno;
	return limit_set(RLIMIT_NOFILE, nofile < now.rlim_max ? nofile : now.rlim_max);
}

static int capabilities_check_none(void)
{
	struct __user_cap_header_struct hdr = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &hdr, data) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		if (data[i].effective || data[i].permitted || data[i].inheritable)
			return -EPERM;
	return 0;
}

/* Leaves root for good: groups, gid, uid; capabilities go with the uid, which is verified. */
int privilege_drop(uint32_t uid, pid_t parent)
{
	uid_t ruid, euid, suid;

	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	if (getresuid(&ruid, &euid, &suid) < 0 || ruid != uid || euid != uid || suid != uid)
		return -EPERM;
	int r = capabilities_check_none();
	if (r < 0)
		return r;
	/* both are reset by the change of uid, so they come after it */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}

/* Returns the listener's descriptor when flags ask for one, else 0. */
int filter_install(const struct filter *filter, unsigned flags)
{
	struct sock_fprog prog = {.len = (unsigned short)filter->nr, .filter = filter->insns};
	long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);

	return r < 0 ? -errno : (int)r;
}
