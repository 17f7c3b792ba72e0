/*
 * density_leat.c - the program in instances of a leatd of the benchmark's own.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "apps/leat/density.h"
#include "apps/leat/leat.h"
#include "apps/leat/run.h"
#include "apps/leatd/state.h"

#define PORT "8080"
#define NETNS_WAIT_MS 10000U
#define GONE_WAIT_MS 60000U
#define GIVE_BACK_MS 5000U
#define NEIGHBOURS_LEAST 100U /* with no more the host's default will do */
#define CGROUPS "/sys/fs/cgroup/memory"

/* What leatd and its launcher hold. */
struct held {
	unsigned fds, threads, windows, cgroups, logs;
};

static struct {
	int fd[DENSITY_WORKERS];
	struct run_request run;
	pid_t leatd, launcher;
	uint32_t uid_low;
	char netns[64];
	struct held before;
} side;

/*
 * The host keeps an ARP entry for each instance that it talks to; its table, one for all network
 * namespaces, has room for 1,024 by default.
 */
static const char *const neighbour_files[] = {
	"/proc/sys/net/ipv4/neigh/default/gc_thresh3",
	"/proc/sys/net/ipv4/neigh/default/gc_thresh2",
	"/proc/sys/net/ipv4/neigh/default/gc_thresh1",
};
#define NR_NEIGHBOUR_FILES (sizeof(neighbour_files) / sizeof(neighbour_files[0]))

static long neighbours_before[NR_NEIGHBOUR_FILES]; /* 0: left alone */

static void number_write(const char *path, long number)
{
	FILE *file = fopen(path, "we");

	if (file != NULL) {
		fprintf(file, "%ld\n", number);
		fclose(file);
	}
}

static void neighbours_raise(long count)
{
	for (size_t i = 0; i < NR_NEIGHBOUR_FILES; i++) {
		FILE *file = fopen(neighbour_files[i], "re");
		long was = 0;

		if (file != NULL && fscanf(file, "%ld", &was) == 1 && was < count) {
			neighbours_before[i] = was;
			number_write(neighbour_files[i], count);
		}
		if (file != NULL)
			fclose(file);
	}
}

static void neighbours_restore(void)
{
	for (size_t i = NR_NEIGHBOUR_FILES; i-- > 0;)
		if (neighbours_before[i] != 0)
			number_write(neighbour_files[i], neighbours_before[i]);
}

static void nap_ms(unsigned ms)
{
	const struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
}

/* ---- what is held ---- */

static unsigned entries_in(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	unsigned n = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		n += entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
	if (dir != NULL)
		closedir(dir);
	return n;
}

static struct held held_now(void)
{
	char cgroups[96], logs[128];

	snprintf(cgroups, sizeof(cgroups), CGROUPS "/leat-%u", side.uid_low);
	snprintf(logs, sizeof(logs), "%s/logs", getenv("LEAT_STATE_DIR"));
	return (struct held){
		.fds = host_fd_count(side.leatd) + host_fd_count(side.launcher),
		.threads = host_thread_count(side.leatd) + host_thread_count(side.launcher),
		.windows = host_map_count(side.leatd, "leat-window"),
		.cgroups = entries_in(cgroups),
		.logs = entries_in(logs),
	};
}

static unsigned grown(const char *what, unsigned now, unsigned before)
{
	if (now <= before)
		return 0;
	fprintf(stderr, "leat bench: %u %s, there were %u\n", now, what, before);
	return now - before;
}

static bool held_more(const struct held *now, const struct held *was)
{
	return now->fds > was->fds || now->threads > was->threads || now->windows > was->windows ||
	       now->cgroups > was->cgroups || now->logs > was->logs;
}

/* What was ended a moment ago may take one to be given back. */
static unsigned leat_leaks(struct density *d)
{
	struct held now = held_now(), was = side.before;
	unsigned left = host_uid_count(side.uid_low, STATE_UIDS);

	(void)d;
	for (unsigned ms = 0; ms < GIVE_BACK_MS && (left != 0 || held_more(&now, &was));
	     ms += 100) {
		nap_ms(100);
		now = held_now();
		left = host_uid_count(side.uid_low, STATE_UIDS);
	}
	return grown("descriptors", now.fds, was.fds) + grown("threads", now.threads, was.threads) +
	       grown("windows", now.windows, was.windows) +
	       grown("cgroups", now.cgroups, was.cgroups) + grown("logs", now.logs, was.logs) +
	       grown("processes", left, 0);
}

static double leat_cpu_seconds(struct density *d)
{
	(void)d;
	return host_cpu_seconds(side.leatd) + host_cpu_seconds(side.launcher);
}

/* ---- begin and end ---- */

static int netns_wait(struct density *d)
{
	char path[96];
	struct statfs fs;

	snprintf(path, sizeof(path), "/run/netns/%s", side.netns);
	for (unsigned ms = 0; ms < NETNS_WAIT_MS; ms += 10) {
		d->netns_fd = open(path, O_RDONLY | O_CLOEXEC);
		/* a plain file until the namespace is mounted over it */
		if (d->netns_fd >= 0 && fstatfs(d->netns_fd, &fs) == 0 && fs.f_type == NSFS_MAGIC)
			return 0;
		if (d->netns_fd >= 0)
			close(d->netns_fd);
		d->netns_fd = -1;
		nap_ms(10);
	}
	fprintf(stderr, "leat bench: leatd makes no network namespace %s\n", side.netns);
	return -ETIMEDOUT;
}

/* leatd's one child process. */
static pid_t child_of(pid_t pid)
{
	char path[64], text[32] = "";

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	FILE *file = fopen(path, "re");
	if (file != NULL && fgets(text, sizeof(text), file) == NULL)
		text[0] = 0;
	if (file != NULL)
		fclose(file);
	return (pid_t)strtol(text, NULL, 10);
}

static json_t *ask(unsigned worker, json_t *request)
{
	json_t *answer = daemon_call(side.fd[worker], request, NULL, 0, NULL, NULL);

	json_decref(request);
	return answer;
}

static int leat_start(struct density *d, unsigned worker, unsigned index)
{
	struct density_slot *slot = &d->slot[index];
	json_t *answer = daemon_call(side.fd[worker], side.run.json, side.run.fds, side.run.nr_fds,
				     NULL, NULL);

	if (answer == NULL)
		return -EIO;
	slot->addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(8080)};
	inet_pton(AF_INET, json_string_value(json_object_get(answer, "ip")), &slot->addr.sin_addr);
	snprintf(slot->name, sizeof(slot->name), "%s",
		 json_string_value(json_object_get(answer, "name")));
	slot->pid = 0;
	json_decref(answer);
	return 0;
}

/* pids, which idle CPU time and Pss are read by. */
static int pids_take(struct density *d)
{
	json_t *answer = ask(0, json_pack("{s:s}", "op", "ps")), *entry;
	size_t i;

	if (answer == NULL)
		return -EIO;
	json_array_foreach(json_object_get(answer, "instances"), i, entry)
	{
		if (i < d->nr_slots)
			d->slot[i].pid = (pid_t)json_integer_value(json_object_get(entry, "pid"));
	}
	json_decref(answer);
	return 0;
}

static int leat_stop(struct density *d)
{
	for (unsigned i = 0; i < d->nr_slots; i++)
		json_decref(ask(0, json_pack("{s:s, s:s, s:i}", "op", "signal", "name",
					     d->slot[i].name, "signal", SIGKILL)));
	for (unsigned i = 0; i < d->nr_slots; i++)
		json_decref(ask(0, json_pack("{s:s, s:s, s:b}", "op", "rm", "name", d->slot[i].name,
					     "force", 1)));
	for (unsigned ms = 0; ms < GONE_WAIT_MS; ms += 50) {
		if (host_thread_count(side.launcher) == 0 || child_of(side.launcher) == 0)
			return 0;
		nap_ms(50);
	}
	return -ETIMEDOUT;
}

static int request_prepare(struct density *d)
{
	static char port[] = PORT;
	char *argv[4];
	int r = density_argv(d, port, argv);

	if (r < 0)
		return r;
	run_init(&side.run);
	side.run.detach = true;
	side.run.workdir = "/";
	return run_prepare(&side.run, argv) == 0 ? 0 : -EINVAL;
}

static int leat_begin(struct density *d)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	char dir[96];
	int r;

	snprintf(dir, sizeof(dir), "%s/state", d->dir);
	snprintf(side.netns, sizeof(side.netns), "leat-bench-%d", getpid());
	setenv("LEAT_STATE_DIR", dir, 1);
	setenv("LEAT_NETNS", side.netns, 1);
	for (unsigned i = 0; i < DENSITY_WORKERS; i++) {
		side.fd[i] = daemon_connect(i == 0);
		if (side.fd[i] < 0)
			return -ECONNREFUSED;
	}
	if (getsockopt(side.fd[0], SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	side.leatd = cred.pid;
	if (d->nr_max > NEIGHBOURS_LEAST)
		neighbours_raise((long)d->nr_max * 2);
	side.launcher = child_of(cred.pid);
	r = netns_wait(d);
	if (r == 0)
		r = request_prepare(d);
	/* the first start makes what stays: it is no leak of later ones */
	if (r == 0)
		r = leat_start(d, 0, 0);
	if (r == 0) {
		json_t *answer =
			ask(0, json_pack("{s:s, s:s}", "op", "inspect", "name", d->slot[0].name));
		json_int_t uid = json_integer_value(
			json_object_get(json_object_get(answer, "instance"), "uid"));

		side.uid_low = (uint32_t)(uid - (uid - STATE_UID_FIRST - 1) % (STATE_UIDS + 1));
		json_decref(answer);
		d->nr_slots = 1;
		r = leat_stop(d);
		d->nr_slots = 0;
	}
	side.before = held_now();
	return r;
}

static void leat_end(struct density *d)
{
	int pidfd = (int)syscall(SYS_pidfd_open, side.leatd, 0U);

	neighbours_restore();
	for (unsigned i = 0; i < DENSITY_WORKERS; i++)
		if (side.fd[i] > 0)
			close(side.fd[i]);
	run_finish(&side.run);
	if (d->netns_fd >= 0)
		close(d->netns_fd);
	if (pidfd < 0)
		return;
	syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0U);
	close(pidfd);
	for (unsigned ms = 0; ms < GONE_WAIT_MS && host_thread_count(side.leatd) != 0; ms += 20)
		nap_ms(20);
}

const struct density_side density_leat = {
	.name = "leat",
	.begin = leat_begin,
	.start = leat_start,
	.settle = pids_take,
	.stop = leat_stop,
	.leaks = leat_leaks,
	.cpu_seconds = leat_cpu_seconds,
	.end = leat_end,
};
