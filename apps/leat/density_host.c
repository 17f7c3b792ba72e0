/*
 * density_host.c - what the host says of processes, memory and CPU time: read from /proc.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "apps/leat/density.h"

/* The number behind a label in a file of lines "Label:  N"; 0: not there. */
static uint64_t number_in(const char *path, const char *label)
{
	char line[256];
	uint64_t value = 0;
	size_t len = strlen(label);
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, label, len) == 0) {
			value = strtoull(line + len, NULL, 10);
			break;
		}
	fclose(file);
	return value;
}

uint64_t host_available_kib(void)
{
	return number_in("/proc/meminfo", "MemAvailable:");
}

uint64_t host_pss_kib(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	return number_in(path, "Pss:");
}

static bool is_number(const char *name)
{
	return name[0] >= '0' && name[0] <= '9';
}

/* Entries of a directory whose names are numbers; each is shown to `see` if there is one. */
static unsigned numbers_in(const char *path, void (*see)(const char *entry, void *arg), void *arg)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char name[PATH_MAX];
	unsigned n = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (!is_number(entry->d_name))
			continue;
		n++;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (see != NULL)
			see(name, arg);
	}
	if (dir != NULL)
		closedir(dir);
	return n;
}

static void thread_cpu_add(const char *entry, void *arg)
{
	char path[PATH_MAX + 16], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/schedstat", entry);
	file = fopen(path, "re");
	if (file != NULL && fgets(line, sizeof(line), file) != NULL)
		*(double *)arg += (double)strtoull(line, NULL, 10) / 1e9;
	if (file != NULL)
		fclose(file);
}

double host_cpu_seconds(pid_t pid)
{
	char path[64];
	double seconds = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	numbers_in(path, thread_cpu_add, &seconds);
	return seconds;
}

unsigned host_fd_count(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	return numbers_in(path, NULL, NULL);
}

unsigned host_thread_count(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	return numbers_in(path, NULL, NULL);
}

unsigned host_map_count(pid_t pid, const char *name)
{
	char path[64], line[PATH_MAX];
	unsigned n = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		n += strstr(line, name) != NULL;
	if (file != NULL)
		fclose(file);
	return n;
}

struct uid_range {
	uint32_t low, count;
	unsigned found;
};

static void uid_check(const char *entry, void *arg)
{
	struct uid_range *range = arg;
	char path[PATH_MAX + 16];
	uint64_t uid;

	snprintf(path, sizeof(path), "%s/status", entry);
	uid = number_in(path, "Uid:"); /* a process that has gone has 0, which is no tenant's */
	range->found += uid >= range->low && uid - range->low < range->count;
}

unsigned host_uid_count(uint32_t low, uint32_t count)
{
	struct uid_range range = {.low = low, .count = count};

	numbers_in("/proc", uid_check, &range);
	return range.found;
}

/* In a thread of its own, because a thread's namespace is not ours. */
static void *netns_main(void *arg)
{
	struct ifreq request = {.ifr_flags = IFF_UP};
	int *ret_fd = arg, fd = -1;

	*ret_fd = -1;
	if (unshare(CLONE_NEWNET) == 0)
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	strcpy(request.ifr_name, "lo");
	if (fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0)
		*ret_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (*ret_fd < 0)
		*ret_fd = -errno;
	if (fd >= 0)
		close(fd);
	return NULL;
}

int host_netns_create(void)
{
	pthread_t thread;
	int fd = -EAGAIN, r = pthread_create(&thread, NULL, netns_main, &fd);

	if (r != 0)
		return -r;
	pthread_join(thread, NULL);
	return fd;
}
