/*
 * density_container.c - the program in containers of runc and crun.
 *
 * A bundle a container: the function on a read-only root of its own, the namespaces that the two
 * make by default but for the network (the side's).  crun refuses a host where cgroup v1 and v2 are
 * both mounted: it runs in a mount namespace without the latter.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/leat/density.h"

#define PORT_FIRST 10000
#define CONTAINERS_MAX 100U
#define WORDS_MAX 16 /* of a command */
#define CGROUP2 "/sys/fs/cgroup/unified"

struct runtime {
	const char *program;
	bool without_cgroup2;
};

static const struct runtime runc = {"/usr/sbin/runc", false}, crun = {"/usr/bin/crun", true};

static const char config[] =
	"{\"ociVersion\":\"1.0.0\",\"process\":{\"terminal\":false,\"user\":{\"uid\":1,\"gid\":1},"
	"\"args\":[\"/http\",\"%u\"],\"env\":[\"PATH=/\"],\"cwd\":\"/\",\"noNewPrivileges\":true,"
	"\"capabilities\":{}},\"root\":{\"path\":\"%s/rootfs\",\"readonly\":true},"
	"\"hostname\":\"bench\",\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\","
	"\"source\":\"proc\"}],\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"ipc\"},"
	"{\"type\":\"uts\"},{\"type\":\"mount\"}]}}\n";

/* Runs a command of the runtime's in the given network namespace; its output is dropped. */
static int runtime_run(const struct density *d, const struct runtime *runtime,
		       const char *const *words)
{
	char *argv[WORDS_MAX + 1] = {(char *)(uintptr_t)runtime->program, (char[]){"--root"}};
	char state[96];
	int status, n = 2;
	pid_t pid;

	snprintf(state, sizeof(state), "%s/containers", d->dir);
	argv[n++] = state;
	while (*words != NULL && n < WORDS_MAX)
		argv[n++] = (char *)(uintptr_t)*words++;
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		if (setns(d->netns_fd, CLONE_NEWNET) < 0)
			_exit(126);
		if (runtime->without_cgroup2 &&
		    (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)))
			_exit(126);
		if (runtime->without_cgroup2)
			umount2(CGROUP2, MNT_DETACH);
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execv(runtime->program, argv);
		_exit(127);
	}
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0 ? 0 : -EIO;
}

static int file_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ssize_t len = (ssize_t)strlen(text), n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, (size_t)len);
	close(fd);
	return n == len ? 0 : -EIO;
}

static int bundle_make(const struct density *d, unsigned index, char *bundle, size_t size)
{
	char path[128], text[sizeof(config) + 128];

	snprintf(bundle, size, "%s/bundle-%u", d->dir, index);
	if (mkdir(bundle, 0755) < 0 && errno != EEXIST)
		return -errno;
	snprintf(path, sizeof(path), "%s/config.json", bundle);
	snprintf(text, sizeof(text), config, PORT_FIRST + index, d->dir);
	return file_put(path, text);
}

static int container_begin(struct density *d, const struct runtime *runtime)
{
	char rootfs[80], path[96];

	if (strcmp(d->program, "c") != 0 || access(runtime->program, X_OK) < 0)
		return -ENOENT;
	snprintf(rootfs, sizeof(rootfs), "%s/rootfs", d->dir);
	mkdir(rootfs, 0755);
	snprintf(path, sizeof(path), "%s/proc", rootfs);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/http", rootfs);
	if (link(d->file, path) < 0 && errno != EEXIST)
		return -errno;
	d->netns_fd = host_netns_create();
	return d->netns_fd < 0 ? d->netns_fd : 0;
}

static int container_start(struct density *d, const struct runtime *runtime, unsigned index)
{
	struct density_slot *slot = &d->slot[index];
	char bundle[96], pid_file[128], text[16] = "";
	int r = bundle_make(d, index, bundle, sizeof(bundle));

	if (r < 0)
		return r;
	slot->addr = (struct sockaddr_in){.sin_family = AF_INET,
					  .sin_port = htons((uint16_t)(PORT_FIRST + index)),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	snprintf(slot->name, sizeof(slot->name), "leat-bench-%d-%u", getpid(), index);
	snprintf(pid_file, sizeof(pid_file), "%s/pid", bundle);
	r = runtime_run(d, runtime,
			(const char *const[]){"run", "-d", "--bundle", bundle, "--pid-file",
					      pid_file, slot->name, NULL});
	int fd = open(pid_file, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
		slot->pid = (pid_t)strtol(text, NULL, 10);
	if (fd >= 0)
		close(fd);
	return r;
}

static int container_stop(struct density *d, const struct runtime *runtime)
{
	int r = 0;

	for (unsigned i = 0; i < d->nr_slots; i++)
		if (runtime_run(d, runtime,
				(const char *const[]){"delete", "-f", d->slot[i].name, NULL}) < 0)
			r = -EIO;
	return r;
}

static void container_end(struct density *d)
{
	if (d->netns_fd >= 0)
		close(d->netns_fd);
}

static int runc_begin(struct density *d)
{
	return container_begin(d, &runc);
}

static int runc_start(struct density *d, unsigned worker, unsigned index)
{
	(void)worker;
	return container_start(d, &runc, index);
}

static int runc_stop(struct density *d)
{
	return container_stop(d, &runc);
}

static int crun_begin(struct density *d)
{
	return container_begin(d, &crun);
}

static int crun_start(struct density *d, unsigned worker, unsigned index)
{
	(void)worker;
	return container_start(d, &crun, index);
}

static int crun_stop(struct density *d)
{
	return container_stop(d, &crun);
}

const struct density_side density_runc = {
	.name = "runc",
	.limit = CONTAINERS_MAX,
	.begin = runc_begin,
	.start = runc_start,
	.stop = runc_stop,
	.end = container_end,
};

const struct density_side density_crun = {
	.name = "crun",
	.limit = CONTAINERS_MAX,
	.begin = crun_begin,
	.start = crun_start,
	.stop = crun_stop,
	.end = container_end,
};
