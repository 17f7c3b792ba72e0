/*
 * overlay_dir.c - reading merged directories.
 *
 * A directory without upper entries is read straight from the host, positions included.  A merged
 * one, or one of an image, is listed once when it is read from its beginning, as overlayfs does,
 * and a position is an index into that list: so positions stay true whatever is created and removed
 * in between.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/fs/memfs.h"
#include "libos/host.h"

#define HOST_BUF 8192u

struct entry {
	uint64_t ino;
	unsigned char type;
	unsigned char len;
	char *name;
};

struct dir_list {
	struct entry *entries;
	unsigned nr;
	unsigned room;
};

/* Per open file. */
struct overlay_dir {
	bool merged;    /* list is valid */
	bool host_open; /* holds lower open: the descriptor is this file's own */
	int host_fd;
	uint64_t host_pos; /* where the host's descriptor stands */
	struct dir_list list;
};

/* One record of the host's getdents64. */
struct host_dirent {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static const struct file_ops overlay_dir_file_ops;

static void list_clear(struct dir_list *list)
{
	unsigned i;

	for (i = 0; i < list->nr; i++)
		arena_free(list->entries[i].name);
	arena_free(list->entries);
	memset(list, 0, sizeof(*list));
}

static int list_put(struct dir_list *list, const char *name, size_t len, uint64_t ino,
		    unsigned char type)
{
	char *copy;

	if (list->nr == list->room) {
		unsigned room = MAX(list->room * 2, 32u);
		struct entry *more = arena_alloc(room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		if (list->nr)
			memcpy(more, list->entries, list->nr * sizeof(*more));
		arena_free(list->entries);
		list->entries = more;
		list->room = room;
	}
	copy = arena_alloc(len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, name, len);
	copy[len] = 0;
	list->entries[list->nr++] = (struct entry){ino, type, (unsigned char)len, copy};
	return 0;
}

static bool is_root(const struct mem_inode *mi)
{
	return mi->lower.path[0] == '.' && mi->lower.path[1] == '\0';
}

/*
 * The root itself may be out of reach for open, because a right to it would be one to everything
 * below: then the descriptor that came with the instance is read, from its beginning.
 */
static int host_dir_open(const struct mem_inode *mi)
{
	int fd = (int)host_openat(mi->lower.root_fd, mi->lower.path,
				  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);

	if (fd == -EACCES && is_root(mi) && host_lseek(mi->lower.root_fd, 0, SEEK_SET) == 0)
		return mi->lower.root_fd;
	return fd;
}

static void host_dir_close(const struct mem_inode *mi, int fd)
{
	if (fd >= 0 && fd != mi->lower.root_fd)
		host_close(fd);
}

/* Is the host's entry of this name hidden or replaced by one of ours? */
static struct dentry *upper_of(struct dentry *dir, const char *name, unsigned len)
{
	struct dentry *d = dir->nr_pinned ? dcache_find(dir, name, len) : NULL;

	return d && (d->flags & DENTRY_PINNED) ? d : NULL;
}

static bool is_dots(const char *name, unsigned len)
{
	return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

int overlay_host_dir_each(struct mem_inode *mi, lower_entry_fn fn, void *arg)
{
	char *buf = arena_alloc(HOST_BUF);
	int fd = buf ? host_dir_open(mi) : -ENOMEM;
	int err = fd < 0 ? fd : 0;
	long got = 1, at;

	while (!err && got > 0) {
		got = host_getdents64(fd, buf, HOST_BUF);
		if (got < 0)
			err = (int)got;
		for (at = 0; at < got && !err;) {
			const struct host_dirent *de = (const void *)(buf + at);

			err = fn(de->name, (unsigned)strlen(de->name), de->ino, de->type, arg);
			at += de->reclen;
		}
	}
	host_dir_close(mi, fd);
	arena_free(buf);
	return err;
}

static int check_empty(const char *name, unsigned len, uint64_t ino, unsigned char type, void *arg)
{
	(void)ino;
	(void)type;
	if (is_dots(name, len) || upper_of(arg, name, len))
		return 0;
	return -ENOTEMPTY;
}

int overlay_dir_empty(struct dentry *dentry)
{
	struct mem_inode *mi = mem_inode_of(dentry->inode);
	struct list *pos;

	list_for_each(pos, &dentry->children) {
		struct dentry *d = list_entry(pos, struct dentry, sibling);

		if ((d->flags & DENTRY_PINNED) && d->inode)
			return -ENOTEMPTY;
	}
	return mi->has_lower ? mi->below->dir_each(mi, check_empty, dentry) : 0;
}

struct merge {
	struct dentry *dir;
	struct dir_list *list;
};

static int merge_one(const char *name, unsigned len, uint64_t ino, unsigned char type, void *arg)
{
	const struct merge *m = arg;

	if (is_dots(name, len) || upper_of(m->dir, name, len))
		return 0;
	return list_put(m->list, name, len, ino, type);
}

static int list_merge(struct dentry *dir, struct dir_list *list)
{
	struct mem_inode *mi = mem_inode_of(dir->inode);
	struct merge m = {dir, list};
	struct list *pos;
	int err;

	list_clear(list);
	err = list_put(list, ".", 1, dir->inode->ino, DT_DIR);
	if (!err)
		err = list_put(list, "..", 2, dir->parent->inode->ino, DT_DIR);
	list_for_each(pos, &dir->children) {
		struct dentry *d = list_entry(pos, struct dentry, sibling);

		if (err)
			return err;
		if ((d->flags & DENTRY_PINNED) && d->inode)
			err = list_put(list, d->name, d->name_len, d->inode->ino,
				       mode_to_dtype(d->inode->mode));
	}
	return err ? err : mi->below->dir_each(mi, merge_one, &m);
}

static int emit_merged(struct file *file, struct dir_list *list, struct dirent_sink *sink)
{
	for (; file->pos < list->nr; file->pos++) {
		const struct entry *e = &list->entries[file->pos];

		if (!dirent_add(sink, e->name, e->len, e->ino, file->pos + 1, e->type))
			break;
	}
	return sink->error;
}

/* One buffer of the host's records, passed on but for those that are hidden by now. */
static int emit_records(struct file *file, struct overlay_dir *od, const char *buf, long got,
			struct dirent_sink *sink)
{
	struct dentry *dir = file->path.dentry;
	long at;

	for (at = 0; at < got;) {
		const struct host_dirent *de = (const void *)(buf + at);
		unsigned len = (unsigned)strlen(de->name);
		const struct dentry *up = upper_of(dir, de->name, len);

		at += de->reclen;
		if (!(up && !up->inode) &&
		    !dirent_add(sink, de->name, len, de->ino, (uint64_t)de->off, de->type)) {
			od->host_pos = ~0ULL; /* the host stands further on than the program */
			return 1;
		}
		file->pos = (uint64_t)de->off;
		od->host_pos = file->pos;
	}
	return 0;
}

static int emit_host(struct file *file, struct overlay_dir *od, struct dirent_sink *sink)
{
	char *buf;
	long got = 0;
	int full = 0;

	if (od->host_pos != file->pos) {
		got = host_lseek(od->host_fd, (int64_t)file->pos, SEEK_SET);
		if (got < 0)
			return (int)got;
		od->host_pos = file->pos;
	}
	buf = arena_alloc(HOST_BUF);
	if (!buf)
		return -ENOMEM;
	while (!full) {
		/* 32 bytes of slack: a record that does not fit is read again the next time */
		size_t want = MIN(sink->size - sink->used, HOST_BUF);

		got = want < 32 ? 0 : host_getdents64(od->host_fd, buf, want);
		if (got <= 0)
			break;
		full = emit_records(file, od, buf, got, sink);
	}
	arena_free(buf);
	if (got == -EINVAL && sink->used)
		return sink->error;
	return got < 0 ? (int)got : sink->error;
}

static int overlay_getdents(struct file *file, struct dirent_sink *sink)
{
	struct overlay_dir *od = file->data;
	struct dentry *dir = file->path.dentry;
	struct mem_inode *mi = mem_inode_of(file->inode);
	int err;

	if (dir->flags & DENTRY_DELETED)
		return -ENOENT;
	if (file->pos == 0) {
		/* an image has no descriptor; one that all share is read at once */
		od->merged =
			dir->nr_pinned != 0 || !mi->lower.path || od->host_fd == mi->lower.root_fd;
		if (od->merged) {
			err = list_merge(dir, &od->list);
			if (err)
				return err;
		}
	}
	if (od->merged)
		return emit_merged(file, &od->list, sink);
	if (od->host_fd < 0) {
		od->host_fd = host_dir_open(mi);
		if (od->host_fd < 0)
			return od->host_fd;
		od->host_pos = 0;
	}
	return emit_host(file, od, sink);
}

static void overlay_dir_release(struct file *file)
{
	struct overlay_dir *od = file->data;

	host_dir_close(mem_inode_of(file->inode), od->host_fd);
	list_clear(&od->list);
	arena_free(od);
}

void overlay_dir_resume(struct file *file)
{
	if (file->ops == &overlay_dir_file_ops)
		((struct overlay_dir *)file->data)->host_fd = -1; /* getdents opens it anew */
}

int overlay_dir_open(struct mem_inode *mi, struct file *file)
{
	struct overlay_dir *od;

	if (!mi->has_lower || (file->flags & O_PATH))
		return 0;
	od = arena_zalloc(sizeof(*od));
	if (!od)
		return -ENOMEM;
	/* opened at once, so that a directory that may not be read says so here */
	od->host_fd = mi->lower.path ? host_dir_open(mi) : -1;
	if (mi->lower.path && od->host_fd < 0) {
		int err = od->host_fd;

		arena_free(od);
		return err;
	}
	file->data = od;
	file->ops = &overlay_dir_file_ops;
	return 0;
}

static ssize_t overlay_dir_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	return mem_dir_ops.read(file, uio, pos);
}

static int overlay_dir_fsync(struct file *file, bool data_only)
{
	return mem_dir_ops.fsync(file, data_only);
}

static const struct file_ops overlay_dir_file_ops = {
	.name = "directory",
	.read = overlay_dir_read,
	.lseek = mem_dir_lseek,
	.getdents = overlay_getdents,
	.fsync = overlay_dir_fsync,
	.release = overlay_dir_release,
};
