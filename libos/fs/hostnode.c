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
	list_init(&node->open);
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
	list_del(&node->open);
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
	list_add_tail(&vfs_get()->open_nodes, &node->open);
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

/* ---- snapshot and clone ---- */

/* What a host file was when the snapshot was taken. */
struct host_id {
	uint64_t dev;
	uint64_t ino;
	uint64_t size;
	struct timespec mtime;
};

static bool host_id_is(const struct host_id *id, const struct stat *st)
{
	return st->st_dev == id->dev && st->st_ino == id->ino &&
	       (uint64_t)st->st_size == id->size && st->st_mtim.tv_sec == id->mtime.tv_sec &&
	       st->st_mtim.tv_nsec == id->mtime.tv_nsec;
}

static unsigned nodes_used(void)
{
	struct list *pos;
	unsigned nr = 0;

	list_for_each(pos, &vfs_get()->open_nodes)
		nr += list_entry(pos, struct host_node, open)->opens != 0;
	return nr;
}

static struct host_id host_id_of(const struct stat *st)
{
	return (struct host_id){.dev = st->st_dev,
				.ino = st->st_ino,
				.size = (uint64_t)st->st_size,
				.mtime = st->st_mtim};
}

/* The first is the program's own file, if leat passed it. */
int host_nodes_freeze(void)
{
	int exec_fd = instance()->boot->exec_fd;
	struct vfs *vfs = vfs_get();
	struct list *pos;
	struct host_id *id;
	struct stat st;

	arena_free(vfs->frozen_ids);
	vfs->frozen_ids = id = arena_zalloc((nodes_used() + 1) * sizeof(*id));
	if (!id)
		return -ENOMEM;
	if (exec_fd >= 0 && host_fstat(exec_fd, &st) == 0)
		*id = host_id_of(&st);
	id++;
	list_for_each(pos, &vfs->open_nodes) {
		const struct host_node *node = list_entry(pos, struct host_node, open);

		if (node->opens == 0)
			continue;
		if (!node->path || host_fstat(node->fd, &st) != 0)
			return -ESTALE;
		*id++ = host_id_of(&st);
	}
	return 0;
}

static int node_resume(struct host_node *node, const struct host_id *id)
{
	struct stat st;
	long fd;

	fd = host_openat(node->root_fd, node->path,
			 (node->writable ? O_RDWR : O_RDONLY) | HOST_OPEN_FLAGS, 0);
	if (fd < 0)
		return fd == -ELOOP ? -ESTALE : (int)fd;
	node->fd = (int)fd;
	return host_fstat(node->fd, &st) == 0 && host_id_is(id, &st) ? 0 : -ESTALE;
}

static int exec_resume(const struct host_id *id)
{
	int exec_fd = instance()->boot->exec_fd;
	struct stat st;

	if (id->ino == 0)
		return 0;
	return exec_fd >= 0 && host_fstat(exec_fd, &st) == 0 && host_id_is(id, &st) ? 0 : -ESTALE;
}

int host_nodes_resume(const char **ret_path)
{
	const struct host_id *id = vfs_get()->frozen_ids;
	struct list *pos, *tmp;
	int err = exec_resume(id++);

	if (err) {
		*ret_path = (const char *)instance()->boot + instance()->boot->program_off;
		return err;
	}

	list_for_each_safe(pos, tmp, &vfs_get()->open_nodes) {
		struct host_node *node = list_entry(pos, struct host_node, open);

		node->fd = -1;
		if (node->opens == 0) {
			node_fd_close(node);
			continue;
		}
		err = node_resume(node, id++);
		if (err) {
			*ret_path = node->path;
			return err;
		}
	}
	arena_free(vfs_get()->frozen_ids);
	vfs_get()->frozen_ids = NULL;
	return 0;
}
