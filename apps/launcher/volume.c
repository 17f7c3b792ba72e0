/*
 * volume.c - a volume as the instance may see it: a detached copy of the mount, with ids mapped.
 *
 * The instance has a uid of its own, and files in a volume belong to somebody else.  In the copy
 * the owner of the volume's directory and the instance's uid are the same: what the instance makes
 * is the owner's on disk, what the owner has is the instance's.  All other ids stay as they are.
 * The copy has no parent mount, so ".." ends at its root.
 */
#include "apps/launcher/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ID_LAST 4294967294U

static int file_write(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int r = write(fd, text, len) == (ssize_t)len ? 0 : -errno;
	close(fd);
	return r;
}

/* owner <-> instance; every other id but the instance's own stays itself. */
static int id_map_write(pid_t pid, const char *which, uint32_t owner, uint32_t instance)
{
	char path[64], map[256];
	int n = snprintf(map, sizeof(map), "%u %u 1\n", owner, instance);
	uint32_t low = owner < instance ? owner : instance;
	uint32_t high = owner < instance ? instance : owner;

	if (low > 0)
		n += snprintf(map + n, sizeof(map) - (size_t)n, "0 0 %u\n", low);
	if (high > low + 1)
		n += snprintf(map + n, sizeof(map) - (size_t)n, "%u %u %u\n", low + 1, low + 1,
			      high - low - 1);
	if (high < ID_LAST)
		n += snprintf(map + n, sizeof(map) - (size_t)n, "%u %u %u\n", high + 1, high + 1,
			      ID_LAST - high);
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, which);
	return file_write(path, map, (size_t)n);
}

/* A user namespace that exists for its id maps only: its one process is gone when this returns. */
static int userns_create(uint32_t uid, uint32_t gid, uint32_t instance, int *ret_fd)
{
	char path[64];
	int r, fd = -1;
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0UL, NULL, NULL, 0UL);

	if (pid < 0)
		return -errno;
	if (pid == 0)
		for (;;)
			pause();
	r = id_map_write(pid, "uid_map", uid, instance);
	if (r == 0)
		r = id_map_write(pid, "gid_map", gid, instance);
	if (r == 0) {
		snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (r < 0)
		return r;
	*ret_fd = fd;
	return 0;
}

/* A file cannot be opened through an O_PATH descriptor by the instance: open it here. */
static int file_reopen(int path_fd, uint32_t flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	int fd = open(path, ((flags & ABI_VOLUME_RO) ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

int volume_prepare(int fd, uint32_t flags, uint32_t uid, int *ret_fd)
{
	struct stat st;
	int userns = -1, tree, r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return -ENOTDIR;
	r = userns_create(st.st_uid, st.st_gid, uid, &userns);
	if (r < 0)
		return r;
	tree = (int)syscall(SYS_open_tree, fd, "",
			    AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0) {
		r = -errno;
		close(userns);
		return r;
	}
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
			    ((flags & ABI_VOLUME_RO) ? MOUNT_ATTR_RDONLY : 0),
		.userns_fd = (uint64_t)userns,
	};
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		r = -errno;
	close(userns);
	if (r == 0 && S_ISREG(st.st_mode)) {
		r = file_reopen(tree, flags);
		close(tree);
		tree = r;
	}
	if (r < 0) {
		if (tree >= 0)
			close(tree);
		return r;
	}
	*ret_fd = tree;
	return 0;
}
