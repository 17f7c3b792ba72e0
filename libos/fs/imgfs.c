/*
 * imgfs.c - an EROFS image as the lower layer of an overlay.
 *
 * The launcher has mapped the image whole, so no call of the host is made to look up, list or read.
 * Pages of files are mapped from the image's own descriptor, and so shared by all instances that
 * use it; a file whose bytes do not lie in whole pages is copied when it is mapped.
 */
#include <errno.h>
#include <string.h>
#include <sys/statfs.h>

#include "leat/abi/boot.h"
#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/fs/erofs.h"
#include "libos/fs/memfs.h"
#include "libos/instance.h"

struct imgfs {
	struct erofs fs;
	uint64_t beyond; /* a page-aligned offset behind the end of the image's file */
};

static int imgfs_lookup(struct inode *dir, struct dentry *dentry);

static const struct inode_ops imgfs_ops = {
	.lookup = imgfs_lookup,
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

static const struct imgfs *imgfs_of(const struct mem_inode *mi)
{
	return mi->inode.sb->data;
}

/* ---- data ---- */

static int imgfs_open(struct mem_inode *mi)
{
	(void)mi;
	return 0;
}

static void imgfs_close(struct mem_inode *mi)
{
	(void)mi;
}

static ssize_t imgfs_read(struct mem_inode *mi, struct uio *uio, uint64_t off)
{
	const struct erofs *fs = &imgfs_of(mi)->fs;
	struct erofs_inode inode;
	uint64_t at, len;
	ssize_t done = 0, got;
	int err = erofs_inode_get(fs, mi->nid, &inode);

	while (!err && uio->left && off < inode.size) {
		err = erofs_run(fs, &inode, off, &at, &len);
		if (err)
			break;
		len = MIN(len, uio->left);
		got = at == UINT64_MAX ? uio_zero(uio, len) : uio_copy_out(uio, fs->base + at, len);
		if (got <= 0) {
			err = (int)got;
			break;
		}
		done += got;
		off += (uint64_t)got;
	}
	return done ? done : err;
}

static int64_t imgfs_pread(struct mem_inode *mi, void *buf, uint64_t n, uint64_t off)
{
	const struct erofs *fs = &imgfs_of(mi)->fs;
	struct erofs_inode inode;
	int err = erofs_inode_get(fs, mi->nid, &inode);

	return err ? err : erofs_read(fs, &inode, buf, n, off);
}

/* Whole pages of the image, the last one filled up with zeroes as every block is. */
static int imgfs_map(struct mem_inode *mi, uint64_t off, uint64_t len, struct map_extent *ret)
{
	const struct imgfs *img = imgfs_of(mi);
	struct erofs_inode inode;
	uint64_t at, run;
	int err = erofs_inode_get(&img->fs, mi->nid, &inode);

	if (err)
		return err;
	if (img->fs.block_bits != 12)
		return -EMEDIUMTYPE;
	if (off >= inode.size) {
		/* the host gives SIGBUS there, as it should */
		*ret = (struct map_extent){ABI_FD_ROOT, img->beyond, len, 0};
		return 0;
	}
	err = erofs_run(&img->fs, &inode, off, &at, &run);
	if (err)
		return err;
	if (at != UINT64_MAX && at % ABI_PAGE_SIZE)
		return -EMEDIUMTYPE;
	ret->host_fd = at == UINT64_MAX ? -1 : ABI_FD_ROOT;
	ret->host_off = at == UINT64_MAX ? 0 : at;
	ret->host_flags = 0;
	ret->len = MIN(align_up(run, ABI_PAGE_SIZE), len);
	return 0;
}

/* ---- directories ---- */

struct each {
	lower_entry_fn fn;
	void *arg;
};

static int each_entry(const struct erofs_dirent *entry, void *arg)
{
	const struct each *each = arg;

	return each->fn(entry->name, entry->name_len, entry->nid, entry->type, each->arg);
}

static int imgfs_dir_each(struct mem_inode *dir, lower_entry_fn fn, void *arg)
{
	const struct erofs *fs = &imgfs_of(dir)->fs;
	struct each each = {fn, arg};
	struct erofs_inode inode;
	int err = erofs_inode_get(fs, dir->nid, &inode);

	return err ? err : erofs_dir_each(fs, &inode, each_entry, &each);
}

/* ---- extended attributes ---- */

static int xattr_add(const struct erofs_xattr *from, void *arg)
{
	struct mem_inode *mi = arg;
	size_t prefix = strlen(from->prefix);
	struct xattr *x = arena_zalloc(sizeof(*x) + prefix + from->name_len + 1);

	if (x)
		x->value = arena_alloc(from->value_bytes + 1u);
	if (!x || !x->value) {
		arena_free(x);
		return -ENOMEM;
	}
	memcpy(x->name, from->prefix, prefix);
	memcpy(x->name + prefix, from->name, from->name_len);
	memcpy(x->value, from->value, from->value_bytes);
	x->size = from->value_bytes;
	list_add_tail(&mi->xattrs, &x->node);
	return 0;
}

static int imgfs_xattrs_load(struct mem_inode *mi)
{
	const struct erofs *fs = &imgfs_of(mi)->fs;
	struct erofs_inode inode;
	int err = erofs_inode_get(fs, mi->nid, &inode);

	if (!err)
		err = erofs_xattr_each(fs, &inode, xattr_add, mi);
	if (err)
		mem_xattrs_free(mi);
	return err;
}

static const struct lower_ops imgfs_lower = {
	.open = imgfs_open,
	.close = imgfs_close,
	.read = imgfs_read,
	.pread = imgfs_pread,
	.map = imgfs_map,
	.dir_each = imgfs_dir_each,
	.xattrs_load = imgfs_xattrs_load,
};

/* ---- inodes ---- */

static void attrs_take(struct inode *inode, const struct erofs_inode *from)
{
	inode->uid = from->uid;
	inode->gid = from->gid;
	inode->nlink = from->nlink;
	inode->ino = from->nid;
	inode->rdev = from->rdev;
	inode->size = from->size;
	inode->blocks = align_up(from->size, 512) / 512;
	inode->mtime.tv_sec = from->mtime;
	inode->mtime.tv_nsec = from->mtime_nsec;
	inode->atime = inode->mtime;
	inode->ctime = inode->mtime;
}

static int link_read(const struct erofs *fs, const struct erofs_inode *inode, char **ret_target)
{
	int64_t got;
	char *target;

	if (inode->size == 0 || inode->size >= FS_PATH_MAX)
		return -EUCLEAN;
	target = arena_alloc(inode->size + 1);
	if (!target)
		return -ENOMEM;
	got = erofs_read(fs, inode, target, inode->size, 0);
	if (got != (int64_t)inode->size || memchr(target, 0, inode->size)) {
		arena_free(target);
		return got < 0 ? (int)got : -EUCLEAN;
	}
	target[inode->size] = 0;
	*ret_target = target;
	return 0;
}

static int inode_make(struct super *sb, uint64_t nid, struct mem_inode **ret_mi)
{
	const struct erofs *fs = &((const struct imgfs *)sb->data)->fs;
	struct erofs_inode from;
	struct mem_inode *mi;
	char *target = NULL;
	int err = erofs_inode_get(fs, nid, &from);

	if (!err && S_ISLNK(from.mode))
		err = link_read(fs, &from, &target);
	if (err)
		return err;
	mi = arena_zalloc(sizeof(*mi));
	if (!mi) {
		arena_free(target);
		return -ENOMEM;
	}
	inode_init(&mi->inode, sb, &imgfs_ops, from.mode);
	attrs_take(&mi->inode, &from);
	list_init(&mi->xattrs);
	host_node_init(&mi->lower, -1, NULL);
	mi->target = target;
	mi->below = &imgfs_lower;
	mi->nid = nid;
	mi->has_lower = true;
	mi->data_lower = S_ISREG(from.mode);
	mi->xattrs_lower = from.xattr_bytes != 0;
	*ret_mi = mi;
	return 0;
}

static int imgfs_lookup(struct inode *dir, struct dentry *dentry)
{
	struct mem_inode *parent = mem_inode_of(dir), *mi;
	const struct erofs *fs = &imgfs_of(parent)->fs;
	struct erofs_inode inode;
	struct erofs_dirent entry;
	int err;

	if (!parent->has_lower)
		return 0;
	err = erofs_inode_get(fs, parent->nid, &inode);
	if (!err)
		err = erofs_dir_find(fs, &inode, dentry->name, dentry->name_len, &entry);
	if (err == -ENOENT)
		return 0;
	if (!err)
		err = inode_make(dentry->sb, entry.nid, &mi);
	if (err)
		return err;
	mi->alias = dentry;
	dentry->inode = &mi->inode;
	dentry->flags |= DENTRY_LOWER;
	return 0;
}

static int imgfs_statfs(struct super *sb, struct statfs *st)
{
	(void)sb;
	return mem_super_ops.statfs(sb, st);
}

static const struct super_ops imgfs_super_ops = {.statfs = imgfs_statfs};

int imgfs_mount_root(struct vfs *vfs, const void *base, uint64_t bytes)
{
	struct super *sb = super_create("overlay", &imgfs_super_ops, "overlay");
	struct dentry *root = sb ? dentry_create(sb, NULL, "/", 1) : NULL;
	struct imgfs *img = root ? arena_zalloc(sizeof(*img)) : NULL;
	const char *why = "";
	struct mem_inode *mi;
	int err;

	if (!img)
		return -ENOMEM;
	err = erofs_open(base, bytes, &img->fs, &why);
	if (err) {
		log_line("cannot use the image: %s", why);
		return err;
	}
	img->beyond = align_up(bytes, ABI_PAGE_SIZE);
	sb->data = img;
	err = inode_make(sb, img->fs.root_nid, &mi);
	if (err)
		return err;
	root->inode = &mi->inode;
	return mount_add(sb, root, NULL, &vfs->root);
}
