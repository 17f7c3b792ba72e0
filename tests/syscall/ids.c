/* uid, gid, groups, uname, sysinfo, getrandom, umask, priorities, scheduling, getcpu, prctl. */
#include "t.h"
#include <sched.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

int main(void)
{
	unsigned char a[64], b[64] = {0};
	struct sched_param sp;
	struct utsname u;
	struct sysinfo si;
	char name[16] = "";
	cpu_set_t cpus;
	gid_t groups[64];
	uid_t r, e, s;
	unsigned cpu;

	YES(getuid() == geteuid() && getgid() == getegid());
	SHOW(getuid());
	SHOW(getgid());
	SHOW(getresuid(&r, &e, &s));
	YES(r == e && e == s);
	SHOW(getresuid(BAD, &e, &s));
	YES(getgroups(0, NULL) >= 0);
	YES(getgroups(64, groups) >= 0);
	SHOW(uname(&u));
	say("%s %s", u.sysname, u.machine);
	YES(u.release[0] >= '4' && u.nodename[0]);
	SHOW(uname(BAD));
	SHOW(sysinfo(&si));
	YES(si.totalram > 0 && si.procs > 0 && si.mem_unit > 0);
	SHOW(getrandom(a, 64, 0));
	SHOW(getrandom(b, 64, GRND_NONBLOCK));
	YES(memcmp(a, b, 64) != 0);
	SHOW(getrandom(a, 64, 0x100));
	SHOW(getrandom(BAD, 64, 0));
	YES(getpid() > 1 && getppid() >= 0);
	SHOW(prctl(PR_SET_NAME, "a-name-that-is-too-long"));
	SHOW(prctl(PR_GET_NAME, name));
	say("%s", name);
	SHOW(prctl(PR_GET_DUMPABLE));
	SHOW(prctl(99999, 0));
	SHOW(sched_yield());
	SHOW(sched_getaffinity(0, sizeof(cpus), &cpus));
	YES(CPU_COUNT(&cpus) >= 1);
	YES(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
	SHOW(sched_getaffinity(0, 1, &cpus) >= 0 || errno == EINVAL);
	YES(sched_getcpu() >= 0);
	SHOW(syscall(SYS_getcpu, &cpu, NULL, NULL));
	SHOW(sched_getscheduler(0));
	SHOW(sched_getparam(0, &sp));
	SHOW(sp.sched_priority);
	SHOW(sched_get_priority_max(SCHED_FIFO));
	errno = 0;
	YES(getpriority(PRIO_PROCESS, 0) >= -20 && errno == 0);
	SHOW(syscall(999));
	SHOW(syscall(-1));
	SHOW(syscall(SYS_set_tid_address, &cpu) == syscall(SYS_gettid));
	return 0;
}
