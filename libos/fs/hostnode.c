/*
 * hostnode.c - host files by path and by shared descriptors, with a few idle descriptors kept.
 */
#include "libos/fs/hostnode.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/fs/fs.h"
#include "libos/host.h"
#include "libos/instance.h"

#define IDLE_FDS_MAX 64u
#define HOST_OPEN_FLAGS (O_NOFOLLOW | O_CLOEXEC | O_NOCTTY)

void host_node_init(struct host_node *node, int root_fd, char *path)
{
	node->root_fd = root_fd;
	node->fd = -1;
	node->path = path;
	list_init(&node->idle);
}

static void idle_remove(struct host_node *node)
{
	if (list_empty(&node->idle))
		return;
	list_del(&node->idle);
	vfs_get()->nr_idle_fds--;
}

static void node_fd_close(struct host_node *node)
{
	idle_remove(node);
	if (node->fd >= 0)
		host_close(node->fd);
	node->fd = -1;
	node->writable = false;
}

void host_node_finish(struct host_node *node)
{
	node_fd_close(node);
	arena_free(node->path);
	node->path = NULL;
}

char *host_path_join(const char *dir, const char *name)
{
	size_t dir_len = strcmp(dir, ".") == 0 ? 0 : strlen(dir) + 1;
	size_t len = strlen(name);
	char *path;

	if (dir_len + len >= FS_PATH_MAX)
		return NULL;
	path = arena_alloc(dir_len + len + 1);
	if (!path)
		return NULL;
	if (dir_len) {
		memcpy(path, dir, dir_len - 1);
		path[dir_len - 1] = '/';
	}
	memcpy(path + dir_len, name, len + 1);
	return path;
}

int host_node_open(struct host_node *node, bool writable)
{
	long fd;

	if (node->fd >= 0 && (node->writable || !writable)) {
		idle_remove(node);
		node->opens++;
		return 0;
	}
	if (!node->path)
		return -ESTALE;
	fd = host_openat(node->root_fd, node->path,
			 (writable ? O_RDWR : O_RDONLY) | HOST_OPEN_FLAGS, 0);
	if (fd == -ELOOP)
		return -ESTALE;
	if (fd < 0)
		return (int)fd;
	node_fd_close(node);
	node->fd = (int)fd;
	node->writable = writable;
	node->opens++;
	return 0;
}

void host_node_close(struct host_node *node)
{
	struct vfs *vfs = vfs_get();

	if (--node->opens)
		return;
	if (!node->cacheable) {
		node_fd_close(node);
		return;
	}
	list_add_tail(&vfs->idle_fds, &node->idle);
	if (++vfs->nr_idle_fds > IDLE_FDS_MAX)
		node_fd_close(list_entry(vfs->idle_fds.next, struct host_node, idle));
}

uint32_t host_uid_shown(uint32_t uid)
{
	return uid == instance()->boot->uid ? 0 : uid;
}

static void ids_show(struct stat *st)
{
	st->st_uid = host_uid_shown(st->st_uid);
	st->st_gid = host_uid_shown(st->st_gid);
}

int host_node_stat(int root_fd, const char *path, struct stat *ret_st)
{
	long err = host_fstatat(root_fd, path, ret_st, AT_SYMLINK_NOFOLLOW);

	if (err == 0)
		ids_show(ret_st);
	return (int)err;
}

int host_node_fstat(const struct host_node *node, struct stat *ret_st)
{
	long err = host_fstat(node->fd, ret_st);

	if (err == 0)
		ids_show(ret_st);
	return (int)err;
}

/* The host copies straight from and to the program's memory; a bad pointer is its -EFAULT. */
static ssize_t node_transfer(struct host_node *node, struct uio *uio, uint64_t off, bool write)
{
	ssize_t done = 0;
	void *ptr;
	size_t n;

	while ((n = uio_peek(uio, &ptr, uio->left)) != 0) {
		long got;

		if (!uio->kernel && !user_range_ok(ptr, n))
			return done ? done : -EFAULT;
		got = write ? host_pwrite(node->fd, ptr, n, off) :
			      host_pread(node->fd, ptr, n, off);
		if (got < 0)
			return done ? done : got;
		uio_advance(uio, (size_t)got);
		done += got;
		off += (uint64_t)got;
		if ((size_t)got < n)
			break;
	}
	return done;
}

ssize_t host_node_read(struct host_node *node, struct uio *uio, uint64_t off)
{
	return node_transfer(node, uio, off, false);
}

ssize_t host_node_write(struct host_node *node, struct uio *uio, uint64_t off)
{
	return node_transfer(node, uio, off, true);
}
