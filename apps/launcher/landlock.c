/*
 * landlock.c - which host files an instance may open at all, whatever their mode says.
 *
 * Reading and executing below the root (with the host's own / only its listed top directories) and
 * below the caller's working directory, writing only below writable volumes; no TCP through the
 * host, no signals and no abstract sockets beyond the instance.  Descriptors that exist already
 * (stdio, the program's file, the root directory itself) stay usable.  A kernel with an older
 * Landlock restricts what it knows; without Landlock, uid and seccomp remain.
 *
 * Most instances have the root and the working directory of another one and no volume: the launcher
 * keeps such rulesets, which the fork inherits, for as long as nothing is mounted and the root's
 * entries are the same.
 */
#include "apps/launcher/launcher.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Rights of newer kernels than the headers here. */
#define FS_TRUNCATE (1ULL << 14)
#define FS_IOCTL_DEV (1ULL << 15)
#define NET_BIND_TCP (1ULL << 0)
#define NET_CONNECT_TCP (1ULL << 1)
#define SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0)
#define SCOPE_SIGNAL (1ULL << 1)

#define FS_FIRST ((1ULL << 13) - 1) /* all rights of ABI 1 */
#define FS_DEVICES (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK | FS_IOCTL_DEV)
#define FS_READ (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE)
#define FS_READ_DIR (FS_READ | LANDLOCK_ACCESS_FS_READ_DIR)

#define TOP_ENTRIES_MAX 256 /* entries of / that are looked at */
#define KEPT_MAX 8          /* rulesets */
#define HANDLE_MAX 64       /* bytes of a file handle */
#define KEPT_FD 512         /* theirs are from here up: out of the way of the fixed ones */

/*
 * A directory as it is now: its file handle, which has the generation of an inode whose number may
 * be used again.
 */
struct place {
	int mount;
	uint32_t handle_bytes;
	int handle_type;
	uint32_t changed_ns;
	int64_t changed_s;
	unsigned char handle[HANDLE_MAX];
};

/* Rulesets of roots and working directories, in the launcher; -1: none. */
static struct kept {
	struct place root, cwd;
	int ruleset;
} kept[KEPT_MAX];
static unsigned kept_next, nr_kept;
static int mounts_fd = -1; /* polls as an error when something was mounted */

struct ruleset_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

/* Top entries of the host's root that no instance may open: other people's and the kernel's. */
static const char *const top_hidden[] = {"proc", "sys", "dev", "run", "home", "root", "lost+found"};

int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0UL, LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

static uint64_t fs_rights(int abi)
{
	uint64_t rights = FS_FIRST;

	if (abi >= 2)
		rights |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		rights |= FS_TRUNCATE;
	if (abi >= 5)
		rights |= FS_IOCTL_DEV;
	return rights;
}

static int ruleset_create(int abi)
{
	struct ruleset_attr attr = {.handled_access_fs = fs_rights(abi)};
	size_t size = sizeof(attr.handled_access_fs);

	if (abi >= 4) {
		attr.handled_access_net = NET_BIND_TCP | NET_CONNECT_TCP;
		size = offsetof(struct ruleset_attr, scoped);
	}
	if (abi >= 6) {
		attr.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
		size = sizeof(attr);
	}
	long fd = syscall(SYS_landlock_create_ruleset, &attr, size, 0UL);
	return fd < 0 ? -errno : (int)fd;
}

static int rule_add(int ruleset, int fd, uint64_t rights)
{
	struct landlock_path_beneath_attr attr = {.allowed_access = rights, .parent_fd = fd};

	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attr, 0UL) < 0 ?
		       -errno :
		       0;
}

static bool is_hidden(const char *name)
{
	for (size_t i = 0; i < sizeof(top_hidden) / sizeof(top_hidden[0]); i++)
		if (strcmp(name, top_hidden[i]) == 0)
			return true;
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int top_entry_add(int ruleset, int root_fd, const char *name)
{
	struct stat st;
	int fd = openat(root_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	int r = fstat(fd, &st) < 0 ? -errno : 0;
	if (r == 0 && S_ISDIR(st.st_mode))
		r = rule_add(ruleset, fd, FS_READ_DIR);
	else if (r == 0 && S_ISREG(st.st_mode))
		r = rule_add(ruleset, fd, FS_READ);
	close(fd);
	return r;
}

/* The host's own root: entry by entry, since a rule on / itself would open everything below. */
static int host_root_add(int ruleset, int root_fd)
{
	int dir_fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = dir_fd < 0 ? NULL : fdopendir(dir_fd);
	int r = 0;

	if (!dir) {
		r = -errno;
		if (dir_fd >= 0)
			close(dir_fd);
		return r;
	}
	for (int i = 0; i < TOP_ENTRIES_MAX && r == 0; i++) {
		struct dirent *entry = readdir(dir);
		if (!entry)
			break;
		if (!is_hidden(entry->d_name))
			r = top_entry_add(ruleset, root_fd, entry->d_name);
	}
	closedir(dir);
	return r;
}

static bool same_file(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

static bool is_host_root(int fd)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool same = root >= 0 && same_file(root, fd);

	if (root >= 0)
		close(root);
	return same;
}

/*
 * May the working directory be opened for reading?  Not where the kernel's or leatd's own files
 * are, and not a directory that has one of the hidden ones below it.
 */
static bool cwd_is_open(int cwd_fd)
{
	static const char *const top[] = {"/", "/run", "/home", "/root", "/var", "/var/run"};
	struct statfs fs;

	if (fstatfs(cwd_fd, &fs) < 0 || fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
	    fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC ||
	    fs.f_type == DEVPTS_SUPER_MAGIC)
		return false;
	for (size_t i = 0; i < sizeof(top) / sizeof(top[0]); i++) {
		int fd = open(top[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		bool same = fd >= 0 && same_file(fd, cwd_fd);
		if (fd >= 0)
			close(fd);
		if (same)
			return false;
	}
	return true;
}

static int volumes_add(int ruleset, uint64_t all, const struct abi_boot *block, const int *fds)
{
	for (uint32_t i = 0; i < block->nr_volumes; i++) {
		struct stat st;
		if (fstat(fds[i], &st) < 0)
			return -errno;
		if (!S_ISDIR(st.st_mode))
			continue; /* a file is used through its open descriptor */
		bool read_only = block->volume[i].flags & ABI_VOLUME_RO;
		int r = rule_add(ruleset, fds[i], read_only ? FS_READ_DIR : all & ~FS_DEVICES);
		if (r < 0)
			return r;
	}
	return 0;
}

static int ruleset_make(const struct launcher *launcher, int root_fd, int cwd_fd,
			const struct abi_boot *block, const int *volume_fds)
{
	int ruleset = ruleset_create(launcher->landlock_abi);
	if (ruleset < 0)
		return ruleset;
	int r = 0;
	if (block->root_bytes == 0) /* an image is no directory, and is not opened again */
		r = is_host_root(root_fd) ? host_root_add(ruleset, root_fd) :
					    rule_add(ruleset, root_fd, FS_READ_DIR);
	if (r == 0 && cwd_fd >= 0 && cwd_is_open(cwd_fd))
		r = rule_add(ruleset, cwd_fd, FS_READ_DIR);
	if (r == 0)
		r = volumes_add(ruleset, fs_rights(launcher->landlock_abi), block, volume_fds);
	if (r < 0) {
		close(ruleset);
		return r;
	}
	return ruleset;
}

/* False: the file system has no handles.  With changes for the root, whose entries count. */
static bool place_of(int fd, bool with_changes, struct place *ret_place)
{
	union {
		struct file_handle head;
		unsigned char room[sizeof(struct file_handle) + HANDLE_MAX];
	} handle = {.head.handle_bytes = HANDLE_MAX};
	struct place place = {0};
	struct stat st;

	if (name_to_handle_at(fd, "", &handle.head, &place.mount, AT_EMPTY_PATH) < 0 ||
	    fstat(fd, &st) < 0)
		return false;
	place.handle_bytes = handle.head.handle_bytes;
	place.handle_type = handle.head.handle_type;
	memcpy(place.handle, handle.head.f_handle, handle.head.handle_bytes);
	if (with_changes) {
		place.changed_s = st.st_mtim.tv_sec;
		place.changed_ns = (uint32_t)st.st_mtim.tv_nsec;
	}
	memcpy(ret_place, &place, sizeof(place));
	return true;
}

static void kept_drop_all(void)
{
	for (unsigned i = 0; i < nr_kept; i++)
		close(kept[i].ruleset);
	nr_kept = kept_next = 0;
}

/* Whether what is kept is still true; false too where mounts cannot be watched. */
static bool mounts_are_same(void)
{
	struct pollfd polled = {.events = POLLPRI};

	if (mounts_fd < 0)
		mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	polled.fd = mounts_fd;
	return mounts_fd >= 0 && poll(&polled, 1, 0) == 0;
}

/* In the launcher, before the fork: a ruleset that it keeps, or -1: the child makes its own. */
int landlock_keep(const struct launcher *launcher, int root_fd, int cwd_fd,
		  const struct abi_boot *block)
{
	struct place root, cwd = {0};

	if (launcher->landlock_abi == 0 || block->nr_volumes != 0 ||
	    !place_of(root_fd, true, &root) || (cwd_fd >= 0 && !place_of(cwd_fd, false, &cwd)))
		return -1;
	if (!mounts_are_same())
		kept_drop_all();
	for (unsigned i = 0; i < nr_kept; i++)
		if (memcmp(&kept[i].root, &root, sizeof(root)) == 0 &&
		    memcmp(&kept[i].cwd, &cwd, sizeof(cwd)) == 0)
			return kept[i].ruleset;
	int made = ruleset_make(launcher, root_fd, cwd_fd, block, NULL);
	int ruleset = made < 0 ? -1 : fcntl(made, F_DUPFD_CLOEXEC, KEPT_FD);
	if (made >= 0)
		close(made);
	if (ruleset < 0)
		return -1;
	if (nr_kept == KEPT_MAX)
		close(kept[kept_next].ruleset);
	else
		nr_kept++;
	kept[kept_next] = (struct kept){root, cwd, ruleset};
	kept_next = (kept_next + 1) % KEPT_MAX;
	return ruleset;
}

/* The rules of one instance, still as root; landlock_enter puts them in force.  -1: no Landlock. */
int landlock_prepare(const struct launcher *launcher, int root_fd, int cwd_fd,
		     const struct abi_boot *block, const int *volume_fds, int *ret_ruleset)
{
	if (launcher->landlock_abi == 0) {
		*ret_ruleset = -1;
		return 0;
	}
	int ruleset = ruleset_make(launcher, root_fd, cwd_fd, block, volume_fds);
	if (ruleset < 0)
		return ruleset;
	*ret_ruleset = ruleset;
	return 0;
}

int landlock_enter(int ruleset_fd)
{
	if (ruleset_fd < 0)
		return 0;
	return syscall(SYS_landlock_restrict_self, ruleset_fd, 0UL) < 0 ? -errno : 0;
}
