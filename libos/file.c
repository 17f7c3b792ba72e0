/*
 * file.c - open files: their life, and reading, writing and polling whatever is behind them.
 */
#include "libos/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>

#include "libos/arena.h"
#include "libos/epoll.h"
#include "libos/fasync.h"
#include "libos/fs/fs.h"
#include "libos/inotify.h"

struct file *file_create(const struct file_ops *ops, void *data, unsigned flags)
{
	struct file *file = arena_zalloc(sizeof(*file));

	if (!file)
		return NULL;
	file->refs = 1;
	file->ops = ops;
	file->data = data;
	file->flags = flags & ~(unsigned)O_CLOEXEC;
	list_init(&file->epolls);
	return file;
}

struct file *file_ref(struct file *file)
{
	file->refs++;
	return file;
}

static void file_destroy(struct file *file)
{
	inotify_file(file,
		     (file->flags & O_ACCMODE) == O_RDONLY ? IN_CLOSE_NOWRITE : IN_CLOSE_WRITE);
	if (!list_empty(&file->epolls))
		epoll_file_gone(file);
	fasync_file_gone(file);
	dnotify_file_gone(file);
	if (file->locked)
		locks_file_closed(file);
	if (file->ops->release)
		file->ops->release(file);
	if (file->inode)
		inode_unref(file->inode);
	if (file->path.dentry)
		path_unref(file->path);
	arena_free(file);
}

void file_unref(struct file *file)
{
	if (file && --file->refs == 0)
		file_destroy(file);
}

ssize_t file_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	ssize_t n;

	if (!file->ops->read)
		return -EINVAL;
	n = file->ops->read(file, uio, pos);
	if (n > 0)
		inotify_file(file, IN_ACCESS);
	return n;
}

ssize_t file_write(struct file *file, struct uio *uio, uint64_t *pos)
{
	ssize_t n;

	if (!file->ops->write)
		return -EINVAL;
	n = file->ops->write(file, uio, pos);
	if (n > 0)
		inotify_file(file, IN_MODIFY);
	return n;
}

ssize_t file_pread_kernel(struct file *file, void *buf, size_t n, uint64_t off)
{
	size_t done = 0;

	while (done < n) {
		struct iovec iov;
		struct uio uio;
		ssize_t got;

		uio_init(&uio, &iov, (char *)buf + done, n - done, true);
		got = file_read(file, &uio, &off);
		if (got < 0)
			return done ? (ssize_t)done : got;
		if (got == 0)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

ssize_t file_pwrite_kernel(struct file *file, const void *buf, size_t n, uint64_t off)
{
	struct iovec iov;
	struct uio uio;

	uio_init(&uio, &iov, (void *)(uintptr_t)buf, n, true);
	return file_write(file, &uio, &off);
}

uint32_t file_poll(struct file *file, struct poll_table *table)
{
	if (!file->ops->poll)
		return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
	return file->ops->poll(file, table);
}

int file_getattr(struct file *file, struct kstat *ret_st)
{
	if (file->inode)
		return inode_getattr(file->inode, ret_st);
	memset(ret_st, 0, sizeof(*ret_st));
	ret_st->blksize = 4096;
	ret_st->nlink = 1;
	ret_st->mode = 0600;
	ret_st->dev = vfs_get()->anon_sb->dev;
	ret_st->ino = (uintptr_t)file & 0xffffffffu;
	if (file->ops->getattr)
		return file->ops->getattr(file, ret_st);
	return 0;
}

int file_map_extent(struct file *file, uint64_t off, uint64_t len, int prot, bool shared,
		    struct map_extent *ret_extent)
{
	if (!file->ops->map_extent)
		return -ENODEV;
	return file->ops->map_extent(file, off, len, prot, shared, ret_extent);
}
