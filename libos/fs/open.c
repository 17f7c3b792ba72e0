/*
 * open.c - open(2): finding or making the file, permission, and the struct file.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "libos/arena.h"
#include "libos/fs/namei.h"
#include "libos/inotify.h"
#include "libos/instance.h"

#define O_LARGEFILE_FLAG 0100000u /* F_GETFL shows it on every open file */
#define O_TMPFILE_BIT 020000000u
#define O_CREATION (O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC)

static ssize_t path_only_rw(struct file *file, struct uio *uio, uint64_t *pos)
{
	(void)file;
	(void)uio;
	(void)pos;
	return -EBADF;
}

static const struct file_ops path_only_ops = {
	.name = "path",
	.read = path_only_rw,
	.write = path_only_rw,
};

static int access_mask(unsigned flags)
{
	static const int masks[] = {R_OK, W_OK, R_OK | W_OK, R_OK | W_OK};
	int mask = masks[flags & O_ACCMODE];

	return flags & O_TRUNC ? mask | W_OK : mask;
}

static int may_open(struct path path, unsigned flags)
{
	const struct inode *inode = path.dentry->inode;
	int mask = access_mask(flags);
	int err;

	if (S_ISLNK(inode->mode))
		return -ELOOP;
	if (S_ISDIR(inode->mode) && (mask & W_OK))
		return -EISDIR;
	err = inode_permission(inode, mask);
	if (err)
		return err;
	if ((mask & W_OK) && S_ISREG(inode->mode) && path_is_readonly(path))
		return -EROFS;
	if ((S_ISCHR(inode->mode) || S_ISBLK(inode->mode)) && path.mnt->nodev)
		return -EACCES;
	if ((flags & O_NOATIME) && !inode_owner_or_capable(inode))
		return -EPERM;
	return 0;
}

/* The struct file; no checks any more. */
static int file_make(struct path path, struct inode *inode, unsigned flags, struct file **ret_file)
{
	struct file *file =
		file_create(&path_only_ops, NULL, flags & ~(unsigned)(O_CREATION & ~O_NOCTTY));
	int err = 0;

	if (!file)
		return -ENOMEM;
	file->inode = inode_ref(inode);
	file->path = path_ref(path);
	if (!(flags & O_PATH)) {
		file->flags |= O_LARGEFILE_FLAG;
		err = inode->ops->open(inode, file);
	}
	file->flags &= ~(unsigned)O_NOCTTY;
	if (err) {
		file->ops = &path_only_ops;
		file->flags |= O_PATH; /* it was never open: nobody is told that it closes */
		file_unref(file);
		return err;
	}
	inotify_file(file, IN_OPEN);
	*ret_file = file;
	return 0;
}

static int truncate_now(struct inode *inode)
{
	struct iattr attr = {.valid = ATTR_SIZE, .size = 0};

	return S_ISREG(inode->mode) ? inode->ops->setattr(inode, &attr) : 0;
}

int path_open_at(struct path path, unsigned flags, struct file **ret_file)
{
	struct inode *inode = path.dentry->inode;
	struct file *file;
	int err;

	if (!(flags & O_PATH)) {
		err = may_open(path, flags);
		if (err)
			return err;
	}
	err = file_make(path, inode, flags, &file);
	if (err)
		return err;
	if ((flags & O_TRUNC) && !(flags & O_PATH)) {
		err = truncate_now(inode);
		if (err) {
			file_unref(file);
			return err;
		}
		inotify_dentry(path.dentry, IN_MODIFY);
	}
	*ret_file = file;
	return 0;
}

static int create_new(struct path at, uint32_t mode)
{
	struct inode *dir = at.dentry->parent->inode;
	int err = inode_permission(dir, W_OK | X_OK);

	if (err)
		return err;
	if (path_is_readonly(at))
		return -EROFS;
	if (!dir->ops->create)
		return -EACCES;
	mode = S_IFREG | (mode & 07777 & ~current()->process->fs->umask);
	err = dir->ops->create(dir, at.dentry, mode, 0);
	if (!err)
		inotify_name(dir, IN_CREATE, at.dentry->inode, at.dentry->name, at.dentry->name_len,
			     0);
	return err;
}

/* The last component of a path with O_CREAT. 0, or 1: a link, go on with *ret_text. */
static int open_last(struct walk *w, const struct open_how_k *how, const char **ret_text,
		     struct file **ret_file)
{
	struct path at;
	int err;

	if (w->last_dots || w->trailing_slash)
		return -EISDIR;
	err = walk_child(w, w->last, w->last_len, &at);
	if (err)
		return err;
	if (!at.dentry->inode) {
		err = create_new(at, how->mode);
		if (!err)
			err = file_make(at, at.dentry->inode, how->flags, ret_file);
	} else if (how->flags & O_EXCL) {
		err = -EEXIST;
	} else if (S_ISLNK(at.dentry->inode->mode) && !(how->flags & O_NOFOLLOW)) {
		err = walk_link(w, at, ret_text);
		if (!err)
			err = *ret_text ? 1 : path_open_at(w->cur, how->flags, ret_file);
	} else if (S_ISDIR(at.dentry->inode->mode)) {
		err = -EISDIR;
	} else {
		err = path_open_at(at, how->flags, ret_file);
	}
	path_unref(at);
	return err;
}

static int open_create(int dirfd, const char *name, const struct open_how_k *how,
		       struct file **ret_file)
{
	struct walk w;
	int err = walk_init(&w, dirfd, name, how->lookup);

	while (!err || err == 1) {
		err = walk_path(&w, name);
		if (err)
			break;
		err = open_last(&w, how, &name, ret_file);
		if (err != 1)
			break;
	}
	walk_finish(&w);
	return err;
}

static int open_tmpfile(int dirfd, const char *name, const struct open_how_k *how,
			struct file **ret_file)
{
	struct path dir;
	struct inode *inode, *dir_inode;
	struct dentry *dentry;
	char text[32];
	int err;

	if (!(access_mask(how->flags) & W_OK))
		return -EINVAL;
	err = path_lookup(dirfd, name, LOOKUP_FOLLOW | LOOKUP_DIRECTORY | how->lookup, &dir);
	if (err)
		return err;
	dir_inode = dir.dentry->inode;
	err = inode_permission(dir_inode, W_OK | X_OK);
	if (!err && path_is_readonly(dir))
		err = -EROFS;
	if (!err && !dir_inode->ops->tmpfile)
		err = -EOPNOTSUPP;
	if (!err)
		err = dir_inode->ops->tmpfile(dir_inode,
					      S_IFREG | (how->mode & 07777 &
							 ~current()->process->fs->umask),
					      &inode);
	if (!err) {
		inode->linkable = !(how->flags & O_EXCL);
		fmt_print(text, sizeof(text), "#%lu", (unsigned long)inode->ino);
		dentry = dentry_create(dir.dentry->sb, dir.dentry, text, (unsigned)strlen(text));
		if (dentry) {
			struct path at = {dir.mnt, dentry};

			dentry->flags |= DENTRY_DELETED;
			dentry->inode = inode_ref(inode);
			err = file_make(at, inode, how->flags & ~O_TMPFILE_BIT, ret_file);
			dentry_unref(dentry);
		} else {
			err = -ENOMEM;
		}
		inode_unref(inode);
	}
	path_unref(dir);
	return err;
}

int path_open(int dirfd, const char *name, const struct open_how_k *how, struct file **ret_file)
{
	unsigned flags = how->flags, lookup = how->lookup;
	struct path path;
	int err;

	if ((flags & O_TMPFILE_BIT) && !(flags & O_PATH)) {
		if ((flags & O_TMPFILE) != O_TMPFILE || (flags & O_CREAT))
			return -EINVAL;
		return open_tmpfile(dirfd, name, how, ret_file);
	}
	if ((flags & O_CREAT) && !(flags & O_PATH)) {
		if (flags & O_DIRECTORY)
			return -EINVAL;
		return open_create(dirfd, name, how, ret_file);
	}
	if (!(flags & O_NOFOLLOW))
		lookup |= LOOKUP_FOLLOW;
	if (flags & O_DIRECTORY)
		lookup |= LOOKUP_DIRECTORY;
	err = path_lookup(dirfd, name, lookup, &path);
	if (err)
		return err;
	err = path_open_at(path, flags, ret_file);
	path_unref(path);
	return err;
}

int vfs_open(const char *path, int dirfd, unsigned flags, unsigned mode, struct file **ret_file)
{
	struct open_how_k how = {.flags = flags, .mode = mode};

	return path_open(dirfd, path, &how, ret_file);
}

int vfs_open_exec(const char *path, int dirfd, int flags, struct file **ret_file)
{
	unsigned lookup = flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW;
	struct path at;
	int err;

	if (flags & AT_EMPTY_PATH)
		lookup |= LOOKUP_EMPTY;
	err = path_lookup(dirfd, path, lookup, &at);
	if (err)
		return err;
	if (S_ISLNK(at.dentry->inode->mode))
		err = -ELOOP;
	else if (!S_ISREG(at.dentry->inode->mode) || at.mnt->noexec)
		err = -EACCES;
	else
		err = inode_permission(at.dentry->inode, X_OK);
	if (!err)
		err = file_make(at, at.dentry->inode, O_RDONLY, ret_file);
	path_unref(at);
	return err;
}
