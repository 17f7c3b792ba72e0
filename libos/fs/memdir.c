/*
 * memdir.c - reading directories: entries of memfs, and what all kinds of directories share.
 *
 * A position is a cookie: 0 stands before ".", 1 before "..", and each pinned entry has its own,
 * which it keeps as long as it lives.
 */
#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "leat/base/bits.h"
#include "libos/fs/memfs.h"
#include "libos/uaccess.h"

struct dirent64_head {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
};

static bool sink_put(struct dirent_sink *sink, const void *rec, unsigned reclen)
{
	char *to = (char *)sink->user_buf + sink->used;

	if (sink->kernel) {
		memcpy(to, rec, reclen);
	} else if (copy_to_user(to, rec, reclen)) {
		sink->error = -EFAULT;
		return false;
	}
	sink->used += reclen;
	return true;
}

bool dirent_add(struct dirent_sink *sink, const char *name, unsigned len, uint64_t ino,
		uint64_t next_off, unsigned char type)
{
	/* getdents64: ino off reclen type name; getdents: ino off reclen name ... type */
	uint64_t rec[(24 + FS_NAME_MAX + 8) / 8];
	unsigned head = sink->old_format ? 18 : 19;
	unsigned reclen = (unsigned)align_up(head + len + (sink->old_format ? 2 : 1), 8);
	char *bytes = (char *)rec;
	uint16_t reclen16 = (uint16_t)reclen;

	if (len > FS_NAME_MAX || sink->error)
		return false;
	if (sink->used + reclen > sink->size)
		return false;
	memset(bytes + reclen - 8, 0, 8);
	rec[0] = ino;
	rec[1] = next_off;
	memcpy(bytes + 16, &reclen16, 2);
	if (sink->old_format)
		bytes[reclen - 1] = (char)type;
	else
		bytes[18] = (char)type;
	memcpy(bytes + head, name, len);
	bytes[head + len] = 0;
	return sink_put(sink, rec, reclen);
}

int64_t generic_lseek(struct file *file, int64_t off, int whence, uint64_t size)
{
	int64_t base = 0;

	switch (whence) {
	case SEEK_SET:
		break;
	case SEEK_CUR:
		base = (int64_t)file->pos;
		break;
	case SEEK_END:
		base = (int64_t)size;
		break;
	case SEEK_DATA:
	case SEEK_HOLE:
		if (off < 0 || (uint64_t)off >= size)
			return -ENXIO;
		file->pos = whence == SEEK_DATA ? (uint64_t)off : size;
		return (int64_t)file->pos;
	default:
		return -EINVAL;
	}
	if (__builtin_add_overflow(base, off, &off))
		return -EOVERFLOW;
	if (off < 0)
		return -EINVAL;
	file->pos = (uint64_t)off;
	return off;
}

static bool emit_dots(struct file *file, struct dirent_sink *sink)
{
	struct dentry *d = file->path.dentry;

	if (file->pos == 0) {
		if (!dirent_add(sink, ".", 1, d->inode->ino, 1, DT_DIR))
			return false;
		file->pos = 1;
	}
	if (file->pos == 1) {
		uint64_t ino = d->parent->inode->ino;

		if (!dirent_add(sink, "..", 2, ino, DIR_FIRST_COOKIE - 1, DT_DIR))
			return false;
		file->pos = DIR_FIRST_COOKIE - 1;
	}
	return true;
}

int mem_dir_emit(struct file *file, struct dirent_sink *sink)
{
	struct dentry *dir = file->path.dentry;
	struct list *pos;

	if (!emit_dots(file, sink))
		return sink->error;
	/* file->pos is one past the cookie of the last entry shown; the newest are at the tail */
	list_for_each(pos, &dir->children) {
		struct dentry *d = list_entry(pos, struct dentry, sibling);

		if (!(d->flags & DENTRY_PINNED) || !d->inode || d->cookie < file->pos)
			continue;
		if (!dirent_add(sink, d->name, d->name_len, d->inode->ino, d->cookie + 1,
				mode_to_dtype(d->inode->mode)))
			break;
		file->pos = d->cookie + 1;
	}
	return sink->error;
}

static int mem_getdents(struct file *file, struct dirent_sink *sink)
{
	if (file->path.dentry->flags & DENTRY_DELETED)
		return -ENOENT;
	inode_touch_atime(file->inode);
	return mem_dir_emit(file, sink);
}

int64_t mem_dir_lseek(struct file *file, int64_t off, int whence)
{
	if (whence != SEEK_SET && whence != SEEK_CUR)
		return -EINVAL;
	return generic_lseek(file, off, whence, 0);
}

static int mem_dir_fsync(struct file *file, bool data_only)
{
	(void)file;
	(void)data_only;
	return 0;
}

static ssize_t dir_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	(void)file;
	(void)uio;
	(void)pos;
	return -EISDIR;
}

const struct file_ops mem_dir_ops = {
	.name = "directory",
	.read = dir_read,
	.lseek = mem_dir_lseek,
	.getdents = mem_getdents,
	.fsync = mem_dir_fsync,
};
