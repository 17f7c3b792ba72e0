/*
 * cgroup.c - memory cgroups.
 */
#include "apps/leatd/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define V1_DIR "/sys/fs/cgroup/memory"
#define V2_DIR "/sys/fs/cgroup"

static int file_write(const char *dir, const char *name, const char *text)
{
	char path[320];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static bool v2_has_memory(void)
{
	char text[256];
	int fd = open(V2_DIR "/cgroup.controllers", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	return strstr(text, "memory");
}

/* Groups of a leatd that was killed: their processes are gone. */
static void leftovers_remove(const char *dir)
{
	DIR *list = opendir(dir);
	struct dirent *entry;
	char path[448];

	if (!list)
		return;
	while ((entry = readdir(list)))
		if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') {
			snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
			rmdir(path);
		}
	closedir(list);
}

int cgroup_root_init(struct cgroup_root *root, uint32_t uid_low)
{
	int r = 0;

	*root = (struct cgroup_root){0};
	if (access(V1_DIR "/memory.limit_in_bytes", F_OK) == 0 ||
	    access(V1_DIR "/cgroup.procs", F_OK) == 0) {
		root->limit_file = "memory.limit_in_bytes";
		root->swap_file = "memory.memsw.limit_in_bytes";
		snprintf(root->dir, sizeof(root->dir), "%s/leat-%u", V1_DIR, uid_low);
	} else if (v2_has_memory()) {
		root->v2 = true;
		root->limit_file = "memory.max";
		root->swap_file = "memory.swap.max";
		snprintf(root->dir, sizeof(root->dir), "%s/leat-%u", V2_DIR, uid_low);
		r = file_write(V2_DIR, "cgroup.subtree_control", "+memory");
	} else {
		return -ENOENT;
	}
	if (r == 0 && mkdir(root->dir, 0755) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0 && root->v2)
		r = file_write(root->dir, "cgroup.subtree_control", "+memory");
	if (r < 0)
		root->dir[0] = 0;
	else
		leftovers_remove(root->dir);
	return r;
}

void cgroup_root_finish(struct cgroup_root *root)
{
	if (!root->dir[0])
		return;
	leftovers_remove(root->dir);
	rmdir(root->dir);
	root->dir[0] = 0;
}

static void group_path(const struct cgroup_root *root, uint32_t instance, char *path, size_t size)
{
	snprintf(path, size, "%s/%u", root->dir, instance);
}

int cgroup_create(const struct cgroup_root *root, uint32_t instance, uint64_t memory_bytes,
		  int *ret_procs_fd)
{
	char dir[224], path[256], bytes[24];

	if (!root->dir[0])
		return -ENOTSUP;
	group_path(root, instance, dir, sizeof(dir));
	if (mkdir(dir, 0755) < 0)
		return -errno;
	snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)memory_bytes);
	int r = file_write(dir, root->limit_file, bytes);
	if (r == 0)
		/* no swap beyond it; kernels without swap accounting lack the file */
		file_write(dir, root->swap_file, root->v2 ? "0" : bytes);
	int fd = -1;
	if (r == 0) {
		snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
	}
	if (r < 0) {
		rmdir(dir);
		return r;
	}
	*ret_procs_fd = fd;
	return 0;
}

void cgroup_destroy(const struct cgroup_root *root, uint32_t instance)
{
	char dir[224];

	if (!root->dir[0])
		return;
	group_path(root, instance, dir, sizeof(dir));
	rmdir(dir);
}
