/*
 * overlay.c - a memfs over a directory of the host that is only ever read.
 *
 * There is one inode for both layers: it begins as a copy of the host's attributes (`upper` false),
 * takes them over for good at the first change, and takes over the bytes at the first write.  A
 * directory remembers which host directory lies below it wherever it is moved to, so that renaming
 * one costs nothing.  A whiteout is a pinned dentry without an inode.
 */
#include <errno.h>
#include <string.h>
#include <sys/statfs.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/clock.h"
#include "libos/fs/memfs.h"
#include "libos/host.h"

#define TTL_NS 1000000000u /* how long a change on the host may stay unseen */
#define COPY_CHUNK (1u << 20)

static const struct lower_ops host_lower;

static int overlay_lookup(struct inode *dir, struct dentry *dentry);
static bool overlay_revalidate(struct dentry *dentry);

static const struct inode_ops overlay_ops = {
	.lookup = overlay_lookup,
	.revalidate = overlay_revalidate,
	.create = mem_create,
	.mkdir = mem_mkdir,
	.symlink = mem_symlink,
	.link = mem_link,
	.unlink = mem_unlink,
	.rmdir = mem_rmdir,
	.rename = mem_rename,
	.tmpfile = mem_tmpfile,
	.readlink = mem_readlink,
	.open = mem_open,
	.getattr = mem_getattr,
	.setattr = mem_setattr,
	.getxattr = mem_getxattr,
	.setxattr = mem_setxattr,
	.listxattr = mem_listxattr,
	.removexattr = mem_removexattr,
	.evict = mem_inode_evict,
};

static void attrs_take(struct mem_inode *mi, const struct stat *st)
{
	struct inode *inode = &mi->inode;

	inode->mode = st->st_mode;
	inode->uid = st->st_uid;
	inode->gid = st->st_gid;
	inode->nlink = (uint32_t)st->st_nlink;
	inode->dev = st->st_dev;
	inode->ino = st->st_ino;
	inode->rdev = st->st_rdev;
	inode->size = (uint64_t)st->st_size;
	inode->blocks = (uint64_t)st->st_blocks;
	inode->atime = st->st_atim;
	inode->mtime = st->st_mtim;
	inode->ctime = st->st_ctim;
	mi->checked_ns = clock_monotonic_ns();
}

static int lower_link_read(struct mem_inode *mi)
{
	char *buf = arena_alloc(FS_PATH_MAX);
	long len;

	if (!buf)
		return -ENOMEM;
	len = host_readlinkat(mi->lower.root_fd, mi->lower.path, buf, FS_PATH_MAX - 1);
	if (len >= 0) {
		mi->target = arena_alloc((size_t)len + 1);
		if (!mi->target) {
			len = -ENOMEM;
		} else {
			memcpy(mi->target, buf, (size_t)len);
			mi->target[len] = 0;
		}
	}
	arena_free(buf);
	return len < 0 ? (int)len : 0;
}

/* The inode of a host file; takes over path. */
static int lower_inode_create(struct super *sb, char *path, const struct stat *st,
			      struct mem_inode **ret_mi)
{
	struct mem_inode *mi = arena_zalloc(sizeof(*mi));
	int err = 0;

	if (!mi) {
		arena_free(path);
		return -ENOMEM;
	}
	inode_init(&mi->inode, sb, &overlay_ops, st->st_mode);
	list_init(&mi->xattrs);
	host_node_init(&mi->lower, sb->host_fd, path);
	mi->below = &host_lower;
	mi->has_lower = true;
	mi->lower.cacheable = S_ISREG(st->st_mode);
	mi->data_lower = S_ISREG(st->st_mode);
	attrs_take(mi, st);
	if (S_ISLNK(st->st_mode))
		err = lower_link_read(mi);
	if (err) {
		inode_unref(&mi->inode);
		return err;
	}
	*ret_mi = mi;
	return 0;
}

static int overlay_lookup(struct inode *dir, struct dentry *dentry)
{
	struct mem_inode *parent = mem_inode_of(dir), *mi;
	struct stat st;
	char *path;
	int err;

	if (!parent->has_lower)
		return 0;
	path = host_path_join(parent->lower.path, dentry->name);
	if (!path)
		return -ENAMETOOLONG;
	err = host_node_stat(dentry->sb->host_fd, path, &st);
	if (err) {
		arena_free(path);
		return err == -ENOENT || err == -ENOTDIR ? 0 : err;
	}
	err = lower_inode_create(dentry->sb, path, &st, &mi);
	if (err)
		return err;
	mi->alias = dentry;
	dentry->inode = &mi->inode;
	dentry->flags |= DENTRY_LOWER;
	return 0;
}

static bool overlay_revalidate(struct dentry *dentry)
{
	struct mem_inode *parent = mem_inode_of(dentry->parent->inode);
	struct mem_inode *mi = dentry->inode ? mem_inode_of(dentry->inode) : NULL;
	struct stat st;
	char *path;
	int err;

	if (!parent->has_lower || (mi && mi->upper))
		return true;
	path = host_path_join(parent->lower.path, dentry->name);
	if (!path)
		return true;
	err = host_node_stat(dentry->sb->host_fd, path, &st);
	arena_free(path);
	if (err || !mi)
		return err && !mi;
	if (st.st_ino != mi->inode.ino || st.st_dev != mi->inode.dev ||
	    (st.st_mode & S_IFMT) != (mi->inode.mode & S_IFMT) || S_ISLNK(st.st_mode))
		return false;
	attrs_take(mi, &st);
	return true;
}

void overlay_refresh(struct mem_inode *mi)
{
	struct stat st;

	if (mi->lower.fd < 0 || clock_monotonic_ns() - mi->checked_ns < TTL_NS)
		return;
	if (host_node_fstat(&mi->lower, &st) == 0)
		attrs_take(mi, &st);
}

void overlay_make_upper(struct inode *inode)
{
	struct mem_inode *mi = mem_inode_of(inode);

	if (mi->upper)
		return;
	mi->upper = true;
	/* the name must not be forgotten, or the lower file would be found by it again */
	if (mi->alias && !(mi->alias->flags & DENTRY_DELETED) && mi->alias->parent != mi->alias)
		dentry_pin(mi->alias);
	mi->alias = NULL;
}

int overlay_copy_data(struct mem_inode *mi, uint64_t size)
{
	struct store *store = vfs_get()->store;
	uint64_t off = 0, run;
	int err = 0;

	if (!mi->data_lower)
		return 0;
	err = mi->below->open(mi);
	if (err)
		return err;
	while (off < size) {
		void *addr;
		int64_t got;

		run = MIN(size - off, COPY_CHUNK);
		err = store_map_reserve(store, &mi->map, off, run, false);
		if (err)
			break;
		addr = store_map_find(&mi->map, off, run, &run);
		got = mi->below->pread(mi, addr, run, off);
		if (got < 0)
			err = (int)got;
		if (got <= 0)
			break; /* shorter than it was: the rest reads as zeroes */
		off += (uint64_t)got;
	}
	mi->below->close(mi);
	if (err) {
		store_map_finish(store, &mi->map);
		return err;
	}
	mi->data_lower = false;
	return 0;
}

/* ---- the host's files ---- */

static int host_file_open(struct mem_inode *mi)
{
	return host_node_open(&mi->lower, false);
}

static void host_file_close(struct mem_inode *mi)
{
	host_node_close(&mi->lower);
}

static ssize_t host_file_read(struct mem_inode *mi, struct uio *uio, uint64_t off)
{
	return host_node_read(&mi->lower, uio, off);
}

static int64_t host_file_pread(struct mem_inode *mi, void *buf, uint64_t n, uint64_t off)
{
	return host_pread(mi->lower.fd, buf, n, off);
}

/* The file as it is on the host; behind its end the host gives SIGBUS, as it should. */
static int host_file_map(struct mem_inode *mi, uint64_t off, uint64_t len, struct map_extent *ret)
{
	*ret = (struct map_extent){mi->lower.fd, off, len, 0};
	return 0;
}

static const struct lower_ops host_lower = {
	.open = host_file_open,
	.close = host_file_close,
	.read = host_file_read,
	.pread = host_file_pread,
	.map = host_file_map,
	.dir_each = overlay_host_dir_each,
};

int overlay_whiteout(struct dentry *parent, const char *name, unsigned len)
{
	struct dentry *d = dentry_create(parent->sb, parent, name, len);

	if (!d)
		return -ENOSPC;
	d->flags |= DENTRY_WHITEOUT | DENTRY_LOWER;
	dentry_hash(d);
	dentry_pin(d);
	dentry_unref(d);
	return 0;
}

static int overlay_statfs(struct super *sb, struct statfs *st)
{
	return mem_super_ops.statfs(sb, st);
}

static const struct super_ops overlay_super_ops = {.statfs = overlay_statfs};

int overlay_mount_root(struct vfs *vfs, int host_fd)
{
	struct super *sb = super_create("overlay", &overlay_super_ops, "overlay");
	struct dentry *root = sb ? dentry_create(sb, NULL, "/", 1) : NULL;
	char *path = root ? host_path_join(".", ".") : NULL;
	struct mem_inode *mi;
	struct stat st;
	int err;

	if (!path)
		return -ENOMEM;
	sb->host_fd = host_fd;
	sb->ttl_ns = TTL_NS;
	err = host_node_stat(host_fd, path, &st);
	if (err)
		return err;
	err = lower_inode_create(sb, path, &st, &mi);
	if (err)
		return err;
	root->inode = &mi->inode;
	return mount_add(sb, root, NULL, &vfs->root);
}
