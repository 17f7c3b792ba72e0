/*
 * memfs.c - directories, links and attributes of files in memory; also the overlay's upper layer.
 *
 * A directory's entries are its pinned dentries.  What the overlay adds is asked for through the
 * overlay_* functions, which do nothing where there is no lower layer.
 */
#include "libos/fs/memfs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/instance.h"

#define TMPFS_MAGIC_NR 0x01021994
#define RENAME_EXCHANGE_FLAG 2u

static int no_lookup(struct inode *dir, struct dentry *dentry)
{
	(void)dir;
	(void)dentry;
	return 0;
}

static const struct inode_ops memfs_ops = {
	.lookup = no_lookup,
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

struct mem_inode *mem_inode_create(struct super *sb, const struct inode_ops *ops, uint32_t mode)
{
	struct mem_inode *mi = arena_zalloc(sizeof(*mi));
	struct task *task = current();

	if (!mi)
		return NULL;
	inode_init(&mi->inode, sb, ops, mode);
	mi->inode.ino = inode_number();
	if (task) {
		mi->inode.uid = task->creds.fsuid;
		mi->inode.gid = task->creds.fsgid;
	}
	inode_touch_mtime(&mi->inode);
	mi->inode.atime = mi->inode.mtime;
	mi->upper = true;
	list_init(&mi->xattrs);
	list_init(&mi->lower.idle);
	return mi;
}

void mem_inode_evict(struct inode *inode)
{
	struct mem_inode *mi = mem_inode_of(inode);

	store_map_finish(vfs_get()->store, &mi->map);
	store_map_finish(vfs_get()->store, &mi->dead);
	if (mi->has_lower)
		host_node_finish(&mi->lower);
	mem_xattrs_free(mi);
	arena_free(mi->target);
	arena_free(mi);
}

/* A setgid directory hands down its group (inode(7)). */
static void inherit_group(const struct inode *dir, struct inode *inode)
{
	if (!(dir->mode & S_ISGID))
		return;
	inode->gid = dir->gid;
	if (S_ISDIR(inode->mode))
		inode->mode |= S_ISGID;
}

/* The dentry becomes an entry of dir. */
static void entry_add(struct inode *dir, struct dentry *dentry, struct inode *inode)
{
	overlay_make_upper(dir);
	dentry_set_inode(dentry, inode);
	dentry->flags &= ~DENTRY_WHITEOUT;
	if (!(dentry->flags & DENTRY_HASHED))
		dentry_hash(dentry);
	dentry_pin(dentry);
	inode_touch_mtime(dir);
}

static struct mem_inode *child_create(struct inode *dir, uint32_t mode)
{
	struct mem_inode *mi = mem_inode_create(dir->sb, dir->ops, mode);

	if (mi)
		inherit_group(dir, &mi->inode);
	return mi;
}

int mem_create(struct inode *dir, struct dentry *dentry, uint32_t mode, uint64_t rdev)
{
	struct mem_inode *mi = child_create(dir, mode);

	if (!mi)
		return -ENOSPC;
	mi->inode.rdev = rdev;
	entry_add(dir, dentry, &mi->inode);
	return 0;
}

int mem_mkdir(struct inode *dir, struct dentry *dentry, uint32_t mode)
{
	struct mem_inode *mi = child_create(dir, S_IFDIR | mode);

	if (!mi)
		return -ENOSPC;
	mi->inode.nlink = 2;
	entry_add(dir, dentry, &mi->inode);
	dir->nlink++;
	return 0;
}

int mem_symlink(struct inode *dir, struct dentry *dentry, const char *target)
{
	struct mem_inode *mi = child_create(dir, S_IFLNK | 0777);
	size_t len = strlen(target);

	if (mi)
		mi->target = arena_alloc(len + 1);
	if (!mi || !mi->target) {
		if (mi)
			inode_unref(&mi->inode);
		return -ENOSPC;
	}
	memcpy(mi->target, target, len + 1);
	mi->inode.size = len;
	entry_add(dir, dentry, &mi->inode);
	return 0;
}

int mem_link(struct inode *inode, struct inode *dir, struct dentry *dentry)
{
	overlay_make_upper(inode);
	inode->nlink++;
	inode_touch_ctime(inode);
	entry_add(dir, dentry, inode_ref(inode));
	return 0;
}

/* Takes a (referenced) entry out of the tree; where a lower layer shows through, hides that. */
static int entry_remove(struct inode *dir, struct dentry *dentry)
{
	struct dentry *parent = dentry->parent;
	bool lower = dentry->flags & DENTRY_LOWER;
	int err = 0;

	overlay_make_upper(dir);
	dentry_delete(dentry);
	if (lower) {
		err = overlay_whiteout(parent, dentry->name, dentry->name_len);
		if (err) {
			dentry->flags &= ~DENTRY_DELETED;
			dentry_hash(dentry);
			dentry_pin(dentry);
			return err;
		}
	}
	inode_touch_mtime(dir);
	return 0;
}

int mem_unlink(struct inode *dir, struct dentry *dentry)
{
	struct inode *inode = dentry->inode;
	int err;

	overlay_make_upper(inode);
	err = entry_remove(dir, dentry);
	if (err)
		return err;
	inode->nlink--;
	inode_touch_ctime(inode);
	return 0;
}

/* Whiteouts inside a directory that goes. */
static void whiteouts_drop(struct dentry *dir)
{
	struct list *pos, *tmp;

	dcache_drop_children(dir);
	list_for_each_safe(pos, tmp, &dir->children) {
		struct dentry *d = list_entry(pos, struct dentry, sibling);

		if (d->flags & DENTRY_WHITEOUT) {
			dentry_ref(d);
			dentry_delete(d);
			dentry_unref(d);
		}
	}
}

int mem_rmdir(struct inode *dir, struct dentry *dentry)
{
	struct inode *inode = dentry->inode;
	int err = overlay_dir_empty(dentry);

	if (err)
		return err;
	overlay_make_upper(inode);
	err = entry_remove(dir, dentry);
	if (err)
		return err;
	whiteouts_drop(dentry);
	inode->nlink = 0;
	dir->nlink--;
	inode_touch_ctime(inode);
	return 0;
}

static int rename_exchange(struct inode *odir, struct dentry *old, struct inode *ndir,
			   struct dentry *new)
{
	unsigned old_lower = old->flags & DENTRY_LOWER, new_lower = new->flags &DENTRY_LOWER;
	bool old_dir = S_ISDIR(old->inode->mode), new_dir = S_ISDIR(new->inode->mode);

	overlay_make_upper(old->inode);
	overlay_make_upper(new->inode);
	overlay_make_upper(odir);
	overlay_make_upper(ndir);
	dentry_exchange(old, new);
	old->flags = (old->flags & ~DENTRY_LOWER) | new_lower;
	new->flags = (new->flags & ~DENTRY_LOWER) | old_lower;
	if (old_dir != new_dir) {
		odir->nlink += (unsigned)new_dir - (unsigned)old_dir;
		ndir->nlink += (unsigned)old_dir - (unsigned)new_dir;
	}
	inode_touch_mtime(odir);
	inode_touch_mtime(ndir);
	inode_touch_ctime(old->inode);
	inode_touch_ctime(new->inode);
	return 0;
}

/* What was at the new name goes. */
static void victim_drop(struct inode *ndir, struct dentry *new)
{
	struct inode *victim = new->inode;

	if (!victim)
		return;
	overlay_make_upper(victim);
	if (S_ISDIR(victim->mode)) {
		victim->nlink = 0;
		ndir->nlink--;
		whiteouts_drop(new);
	} else {
		victim->nlink--;
	}
	inode_touch_ctime(victim);
}

int mem_rename(struct inode *odir, struct dentry *old, struct inode *ndir, struct dentry *new,
	       unsigned flags)
{
	char old_name[FS_NAME_MAX + 1];
	struct dentry *old_parent = old->parent;
	unsigned old_len = old->name_len;
	unsigned old_lower = old->flags & DENTRY_LOWER, new_lower = new->flags &DENTRY_LOWER;
	bool is_dir = S_ISDIR(old->inode->mode);
	int err;

	if (flags & RENAME_EXCHANGE_FLAG)
		return rename_exchange(odir, old, ndir, new);
	if (new->inode && S_ISDIR(new->inode->mode)) {
		err = overlay_dir_empty(new);
		if (err)
			return err;
	}
	memcpy(old_name, old->name, old_len);
	overlay_make_upper(old->inode);
	overlay_make_upper(odir);
	overlay_make_upper(ndir);
	dentry_ref(old_parent);
	err = dentry_move(old, new);
	if (!err) {
		victim_drop(ndir, new);
		old->flags = (old->flags & ~DENTRY_LOWER) | new_lower;
		if (old_lower)
			err = overlay_whiteout(old_parent, old_name, old_len);
		if (is_dir) {
			odir->nlink--;
			ndir->nlink++;
		}
		inode_touch_mtime(odir);
		inode_touch_mtime(ndir);
		inode_touch_ctime(old->inode);
	}
	dentry_unref(old_parent);
	return err == -ENOMEM ? -ENOSPC : err;
}

int mem_tmpfile(struct inode *dir, uint32_t mode, struct inode **ret_inode)
{
	struct mem_inode *mi = child_create(dir, mode);

	if (!mi)
		return -ENOSPC;
	mi->inode.nlink = 0;
	*ret_inode = &mi->inode;
	return 0;
}

int mem_readlink(struct inode *inode, char *buf)
{
	const char *target = mem_inode_of(inode)->target;
	size_t len = strlen(target);

	memcpy(buf, target, len);
	return (int)len;
}

int mem_open(struct inode *inode, struct file *file)
{
	struct mem_inode *mi = mem_inode_of(inode);

	switch (inode->mode & S_IFMT) {
	case S_IFREG:
		return mem_file_open(mi, file);
	case S_IFDIR:
		file->ops = &mem_dir_ops;
		file->seekable = true;
		return overlay_dir_open(mi, file);
	case S_IFIFO:
		return fifo_open(inode, file);
	case S_IFCHR:
		return chrdev_open(inode, file);
	default:
		return -ENXIO;
	}
}

int mem_getattr(struct inode *inode, struct kstat *st)
{
	struct mem_inode *mi = mem_inode_of(inode);

	if (!mi->upper)
		overlay_refresh(mi);
	st->dev = inode->dev;
	st->ino = inode->ino;
	st->mode = inode->mode;
	st->nlink = inode->nlink;
	st->uid = inode->uid;
	st->gid = inode->gid;
	st->rdev = inode->rdev;
	st->size = inode->size;
	st->blocks = mi->has_lower && (mi->data_lower || !S_ISREG(inode->mode)) ?
			     inode->blocks :
			     (uint64_t)mi->map.blocks * (STORE_BLOCK / 512);
	st->blksize = 4096;
	st->atime = inode->atime;
	st->mtime = inode->mtime;
	st->ctime = inode->ctime;
	return 0;
}

int mem_setattr(struct inode *inode, const struct iattr *attr)
{
	int err;

	overlay_make_upper(inode);
	if (attr->valid & ATTR_SIZE) {
		err = mem_truncate(mem_inode_of(inode), attr->size);
		if (err)
			return err;
		inode_touch_mtime(inode);
	}
	if (attr->valid & ATTR_MODE)
		inode->mode = (inode->mode & S_IFMT) | (attr->mode & 07777);
	if (attr->valid & ATTR_UID)
		inode->uid = attr->uid;
	if (attr->valid & ATTR_GID)
		inode->gid = attr->gid;
	if (attr->valid & ATTR_ATIME)
		inode->atime = attr->atime;
	if (attr->valid & ATTR_MTIME)
		inode->mtime = attr->mtime;
	inode_touch_ctime(inode);
	return 0;
}

static int mem_statfs(struct super *sb, struct statfs *st)
{
	struct store *store = vfs_get()->store;
	uint64_t total = store_limit_bytes(store), used = store_used_bytes(store);
	struct arena_stats arena;

	(void)sb;
	/* names and attributes lie in the arena */
	arena_stats_get(&arena);
	used = MIN(used + arena.used_bytes, total);
	memset(st, 0, sizeof(*st));
	st->f_type = TMPFS_MAGIC_NR;
	st->f_bsize = STORE_BLOCK;
	st->f_frsize = STORE_BLOCK;
	st->f_blocks = total / STORE_BLOCK;
	st->f_bfree = (total - used) / STORE_BLOCK;
	st->f_bavail = st->f_bfree;
	st->f_files = instance()->arena_limit_bytes / sizeof(struct mem_inode);
	st->f_ffree = st->f_files;
	st->f_namelen = FS_NAME_MAX;
	return 0;
}

const struct super_ops mem_super_ops = {.statfs = mem_statfs};

int memfs_create(const char *fstype, uint32_t root_mode, struct super **ret_sb,
		 struct dentry **ret_root)
{
	struct super *sb = super_create(fstype, &mem_super_ops, fstype);
	struct dentry *root = sb ? dentry_create(sb, NULL, "/", 1) : NULL;
	struct mem_inode *mi = root ? mem_inode_create(sb, &memfs_ops, S_IFDIR | root_mode) : NULL;

	if (!mi) {
		if (root)
			dentry_unref(root);
		arena_free(sb);
		return -ENOMEM;
	}
	mi->inode.nlink = 2;
	root->inode = &mi->inode;
	*ret_sb = sb;
	*ret_root = root;
	return 0;
}

void memfs_drop(struct dentry *root)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &root->children) {
		struct dentry *child = dentry_ref(list_entry(pos, struct dentry, sibling));

		memfs_drop(child);
		dentry_delete(child);
		dentry_unref(child);
	}
}

int vfs_memfd_create(const char *name, unsigned flags, struct file **ret_file)
{
	struct super *sb = vfs_get()->anon_sb;
	struct mem_inode *mi = mem_inode_create(sb, &memfs_ops, S_IFREG | 0777);
	struct dentry *dentry;
	struct file *file;
	char full[FS_NAME_MAX + 1];

	if (!mi)
		return -ENOMEM;
	mi->inode.nlink = 0;
	fmt_print(full, sizeof(full), "/memfd:%s", name);
	dentry = dentry_create(sb, NULL, full, (unsigned)strlen(full));
	file = file_create(&mem_file_ops, NULL, flags);
	if (!dentry || !file) {
		if (dentry)
			dentry_unref(dentry);
		arena_free(file);
		inode_unref(&mi->inode);
		return -ENOMEM;
	}
	dentry->flags |= DENTRY_DELETED;
	dentry->inode = &mi->inode;
	file->inode = inode_ref(&mi->inode);
	file->path.mnt = mount_ref(vfs_get()->root);
	file->path.dentry = dentry;
	mem_file_open(mi, file);
	*ret_file = file;
	return 0;
}
