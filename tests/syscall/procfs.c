/* /proc/self: exe, cwd, cmdline, fd, maps, status, stat, comm, environ, root; cpuinfo and meminfo.
 */
#include "t.h"
#include <dirent.h>
#include <limits.h>

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
	return 0;
}
