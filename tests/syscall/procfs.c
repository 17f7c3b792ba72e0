/* /proc/self: exe, cwd, cmdline, fd, maps, status, stat, comm, environ, root; cpuinfo and meminfo.
 */
#include "t.h"
#include <dirent.h>
#include <limits.h>
#include <sys/mman.h>

static char text[100000];

static size_t slurp(const char *name)
{
	int fd = open(name, O_RDONLY);
	size_t n = 0;
	ssize_t r;

	if (fd == -1) {
		say("%s: %s", name, strerrorname_np(errno));
		text[0] = 0;
		return 0;
	}
	while ((r = read(fd, text + n, sizeof(text) - 1 - n)) > 0)
		n += (size_t)r;
	text[n] = 0;
	close(fd);
	return n;
}

static long number_of(const char *key)
{
	char *p = strstr(text, key);

	return p ? atol(p + strlen(key)) : -1;
}

static int store(const char *name, const char *value)
{
	int fd = open(name, O_WRONLY);
	int r = (int)write(fd, value, strlen(value)), e = errno;

	close(fd);
	errno = e;
	return r;
}

/* The processors as sysfs has them: one directory each, the first of them always there. */
static void processors(void)
{
	long n = sysconf(_SC_NPROCESSORS_CONF), found = 0, number;
	DIR *dir = opendir("/sys/devices/system/cpu");
	struct dirent *d;

	while (dir && (d = readdir(dir)) != NULL)
		if (strncmp(d->d_name, "cpu", 3) == 0 && sscanf(d->d_name, "cpu%ld", &number) == 1)
			found++;
	if (dir)
		closedir(dir);
	YES(found == n);
	SHOW(access("/sys/devices/system/cpu/cpu0/topology", F_OK));
	SHOW(access("/sys/devices/system/cpu/cpu4000", F_OK));
	SHOW(access("/sys/devices/system/cpu/0", F_OK));
	slurp("/sys/devices/system/cpu/cpu0/topology/core_id");
	say("core %s", text);
	slurp("/sys/devices/system/cpu/cpu0/topology/physical_package_id");
	say("package %s", text);
	YES(slurp("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list") > 0);
	YES(slurp("/sys/devices/system/cpu/kernel_max") > 0 && atol(text) >= n - 1);
	YES(slurp("/proc/vmstat") > 0 && number_of("nr_free_pages ") > 0);
	YES(slurp("/proc/stat") > 0 && strstr(text, "\nctxt ") && strstr(text, "\nintr "));
	YES(slurp("/proc/swaps") > 0 && strncmp(text, "Filename", 8) == 0);
	YES(slurp("/proc/partitions") > 0 && strncmp(text, "major minor", 11) == 0);
	SHOW(access("/proc/diskstats", R_OK));
	SHOW(access("/proc/cgroups", R_OK));
}

/* What a process tells of its memory, its reading and writing, and its children. */
static void accounts(void)
{
	char name[64];
	long before, rss = 0;
	char *p = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	memset(p, 1, 4 << 20);
	slurp("/proc/self/smaps");
	YES(number_of("Size:") > 0 && number_of("KernelPageSize:") == 4);
	for (p = text; (p = strstr(p, "\nRss:")) != NULL; p++)
		rss += atol(p + 5);
	YES(rss >= 4096);
	slurp("/proc/self/smaps_rollup");
	YES(strstr(text, "[rollup]") != NULL && number_of("Rss:") >= 4096);
	slurp("/proc/self/io");
	before = number_of("wchar:");
	YES(number_of("rchar:") > 0 && number_of("syscr:") > 0);
	MUST(write(open("/dev/null", O_WRONLY), text, 100));
	slurp("/proc/self/io");
	YES(number_of("wchar:") >= before + 100);
	slurp("/proc/self/oom_score_adj");
	say("%s", text);
	SHOW(store("/proc/self/oom_score_adj", "500\n"));
	SHOW(store("/proc/self/oom_score_adj", "2000"));
	SHOW(store("/proc/self/oom_score_adj", "many"));
	pid = fork();
	if (!pid) {
		slurp("/proc/self/oom_score_adj");
		say("inherited %s", text);
		store("/proc/self/oom_score_adj", "700");
		pause();
	}
	snprintf(name, sizeof(name), "/proc/self/task/%d/children", getpid());
	slurp(name);
	YES(atoi(text) == pid);
	snprintf(name, sizeof(name), "/proc/%d/oom_score_adj", pid);
	for (int i = 0; i < 2000 && (slurp(name), atoi(text) != 700); i++)
		sleep_ms(1);
	say("the child's: %s", text);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	slurp("/proc/self/personality");
	say("%s", text);
	slurp("/proc/sys/kernel/sem");
	say("%s", text);
	slurp("/proc/sys/kernel/shmmni");
	say("%s", text);
	slurp("/proc/sys/kernel/msgmax");
	say("%s", text);
	slurp("/proc/sys/fs/mqueue/msg_max");
	say("%s", text);
}

int main(int argc, char **argv)
{
	char buf[PATH_MAX], top[PATH_MAX];
	struct dirent *e;
	struct stat st;
	ssize_t n;
	DIR *d;
	int fd, fds = 0;

	(void)argc;
	scratch();
	n = readlink("/proc/self/exe", buf, sizeof(buf) - 1);
	YES(n > 0);
	buf[n > 0 ? n : 0] = 0;
	YES(!strcmp(strrchr(buf, '/'), strrchr(argv[0], '/')));
	n = readlink("/proc/self/cwd", buf, sizeof(buf) - 1);
	buf[n > 0 ? n : 0] = 0;
	YES(getcwd(top, sizeof(top)) && !strcmp(buf, top));
	SHOW(readlink("/proc/self/root", buf, sizeof(buf)));
	slurp("/proc/self/cmdline");
	YES(!strcmp(text, argv[0]));
	slurp("/proc/self/comm");
	say("comm %s", text);
	slurp("/proc/self/status");
	YES(number_of("Pid:\t") == getpid());
	YES(number_of("PPid:\t") == getppid());
	SHOW(number_of("Threads:\t"));
	SHOW(number_of("Uid:\t"));
	YES(number_of("VmRSS:\t") > 0 || number_of("VmRSS:") > 0);
	slurp("/proc/self/stat");
	YES(atoi(text) == getpid());
	slurp("/proc/self/maps");
	YES(strstr(text, "[stack]") != NULL);
	YES(strstr(text, "[heap]") != NULL || malloc(100) != NULL);
	YES(strstr(text, "procfs") != NULL);
	slurp("/proc/self/environ");
	slurp("/proc/self/limits");
	YES(strstr(text, "Max open files") != NULL);
	fd = open("/dev/null", O_RDONLY);
	SHOW(fd);
	d = opendir("/proc/self/fd");
	YES(d != NULL);
	while (d && (e = readdir(d)))
		fds += e->d_name[0] >= '0' && e->d_name[0] <= '9' && !e->d_name[1];
	SHOW(fds);
	snprintf(buf, sizeof(buf), "/proc/self/fd/%d", fd);
	n = readlink(buf, top, sizeof(top) - 1);
	top[n > 0 ? n : 0] = 0;
	say("%s", top);
	snprintf(buf, sizeof(buf), "/proc/%d/comm", getpid());
	SHOW(access(buf, R_OK));
	SHOW(stat("/proc/self", &st));
	SHOW(S_ISDIR(st.st_mode));
	SHOW(lstat("/proc/self", &st));
	SHOW(S_ISLNK(st.st_mode));
	SHOW(access("/proc/99999999", F_OK));
	slurp("/proc/cpuinfo");
	YES(strstr(text, "model name") != NULL && strstr(text, "flags") != NULL);
	slurp("/proc/meminfo");
	YES(number_of("MemTotal:") > 0 && number_of("MemFree:") > 0);
	YES(number_of("MemAvailable:") > 0);
	slurp("/proc/uptime");
	YES(atof(text) > 0);
	slurp("/proc/version");
	YES(!strncmp(text, "Linux version", 13));
	slurp("/proc/loadavg");
	YES(strchr(text, '/') != NULL);
	slurp("/proc/stat");
	YES(!strncmp(text, "cpu ", 4));
	slurp("/proc/mounts");
	YES(strstr(text, " / ") != NULL);
	slurp("/proc/self/mountinfo");
	YES(strstr(text, " / ") != NULL);
	slurp("/proc/sys/kernel/ostype");
	say("%s", text);
	SHOW(open("/proc/nothing", O_RDONLY));
	SHOW(mkdir("/proc/x", 0700));
	accounts();
	processors();
	return 0;
}
