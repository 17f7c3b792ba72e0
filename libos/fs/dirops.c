/*
 * dirops.c - the calls that change directories and attributes: mkdir, link, unlink, rename and kin.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "libos/fs/namei.h"
#include "libos/inotify.h"
#include "libos/instance.h"

#define RENAME_NOREPLACE_FLAG 1u
#define RENAME_EXCHANGE_FLAG 2u

/* A walk to the directory of the last component, and what is there now (maybe negative). */
struct entry_at {
	struct walk w;
	struct path at;
};

static void entry_finish(struct entry_at *e)
{
	if (e->at.dentry)
		path_unref(e->at);
	walk_finish(&e->w);
}

/* Walks to the directory; `dots` is the error for a last component that is no name. */
static int entry_begin(struct entry_at *e, int dirfd, const char *name)
{
	int err;

	memset(&e->at, 0, sizeof(e->at));
	err = walk_init(&e->w, dirfd, name, 0);
	if (!err)
		err = walk_path(&e->w, name);
	return err;
}

static int entry_find(struct entry_at *e)
{
	return walk_child(&e->w, e->w.last, e->w.last_len, &e->at);
}

static struct inode *entry_dir(const struct entry_at *e)
{
	return e->at.dentry->parent->inode;
}

static int dir_writable(const struct entry_at *e)
{
	if (path_is_readonly(e->w.cur))
		return -EROFS;
	return inode_permission(e->w.cur.dentry->inode, W_OK | X_OK);
}

/* For calls that make a new entry: the negative dentry, or -EEXIST and the like. */
static int create_begin(struct entry_at *e, int dirfd, const char *name, bool dir)
{
	int err = entry_begin(e, dirfd, name);

	if (!err && e->w.last_dots)
		return -EEXIST;
	if (!err)
		err = entry_find(e);
	if (err)
		return err;
	if (e->at.dentry->inode)
		return -EEXIST;
	if (e->w.trailing_slash && !dir)
		return -ENOENT;
	return dir_writable(e);
}

/* The new entry is there: whoever watches the directory is told. */
static void created(const struct entry_at *e)
{
	inotify_name(entry_dir(e), IN_CREATE, e->at.dentry->inode, e->at.dentry->name,
		     e->at.dentry->name_len, 0);
}

static uint32_t umasked(uint32_t mode)
{
	return mode & 07777 & ~current()->process->fs->umask;
}

int path_mknod(int dirfd, const char *name, uint32_t mode, uint64_t rdev, struct path *ret_path)
{
	struct entry_at e;
	int err = create_begin(&e, dirfd, name, false);

	if (!err && !entry_dir(&e)->ops->create)
		err = -EPERM;
	if (!err)
		err = entry_dir(&e)->ops->create(entry_dir(&e), e.at.dentry,
						 (mode & S_IFMT) | umasked(mode), rdev);
	if (!err)
		created(&e);
	if (!err && ret_path)
		*ret_path = path_ref(e.at);
	entry_finish(&e);
	return err;
}

int path_mkdir(int dirfd, const char *name, uint32_t mode)
{
	struct entry_at e;
	int err = create_begin(&e, dirfd, name, true);

	if (!err && !entry_dir(&e)->ops->mkdir)
		err = -EPERM;
	if (!err)
		err = entry_dir(&e)->ops->mkdir(entry_dir(&e), e.at.dentry, umasked(mode) & 01777);
	if (!err)
		created(&e);
	entry_finish(&e);
	return err;
}

int path_symlink(const char *target, int dirfd, const char *name)
{
	struct entry_at e;
	int err;

	if (!*target)
		return -ENOENT;
	err = create_begin(&e, dirfd, name, false);
	if (!err && !entry_dir(&e)->ops->symlink)
		err = -EPERM;
	if (!err)
		err = entry_dir(&e)->ops->symlink(entry_dir(&e), e.at.dentry, target);
	if (!err)
		created(&e);
	entry_finish(&e);
	return err;
}

static int link_check(struct path old, const struct entry_at *e)
{
	struct inode *inode = old.dentry->inode;

	if (old.mnt != e->at.mnt)
		return -EXDEV;
	if (S_ISDIR(inode->mode))
		return -EPERM;
	if (inode->nlink == 0 && !inode->linkable)
		return -ENOENT;
	if (!entry_dir(e)->ops->link)
		return -EPERM;
	return 0;
}

int path_link(int odirfd, const char *old, int ndirfd, const char *new, int flags)
{
	unsigned lookup = flags & AT_SYMLINK_FOLLOW ? LOOKUP_FOLLOW : 0;
	struct entry_at e;
	struct path from;
	int err;

	if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (flags & AT_EMPTY_PATH)
		lookup |= LOOKUP_EMPTY;
	err = path_lookup(odirfd, old, lookup, &from);
	if (err)
		return err;
	err = create_begin(&e, ndirfd, new, false);
	if (!err)
		err = link_check(from, &e);
	if (!err)
		err = entry_dir(&e)->ops->link(from.dentry->inode, entry_dir(&e), e.at.dentry);
	if (!err) {
		from.dentry->inode->linkable = false;
		inotify_inode(from.dentry->inode, IN_ATTRIB);
		created(&e);
	}
	entry_finish(&e);
	path_unref(from);
	return err;
}

static int remove_check(const struct entry_at *e)
{
	if (path_is_readonly(e->w.cur))
		return -EROFS;
	if (e->at.dentry == e->at.mnt->root)
		return -EBUSY;
	return inode_may_delete(entry_dir(e), e->at.dentry->inode);
}

/* The entry is gone: the file may go with it, and then whoever watches the directory is told. */
static void removed(struct entry_at *e)
{
	struct inode *inode = inode_ref(e->at.dentry->inode);
	uint32_t event = IN_DELETE | (S_ISDIR(inode->mode) ? IN_ISDIR : 0U);

	if (!S_ISDIR(inode->mode))
		inotify_inode(inode, IN_ATTRIB);
	inotify_unlinked(inode);
	inode_unref(inode);
	path_unref(e->at);
	e->at.dentry = NULL;
	inotify_name(e->w.cur.dentry->inode, event, NULL, e->w.last, e->w.last_len, 0);
}

int path_unlink(int dirfd, const char *name)
{
	struct entry_at e;
	int err = entry_begin(&e, dirfd, name);

	if (!err && e.w.last_dots)
		err = -EISDIR;
	if (!err)
		err = entry_find(&e);
	if (!err && !e.at.dentry->inode)
		err = -ENOENT;
	if (!err && e.w.trailing_slash)
		err = S_ISDIR(e.at.dentry->inode->mode) ? -EISDIR : -ENOTDIR;
	if (!err)
		err = remove_check(&e);
	if (!err && S_ISDIR(e.at.dentry->inode->mode))
		err = -EISDIR;
	if (!err && !entry_dir(&e)->ops->unlink)
		err = -EPERM;
	if (!err)
		err = entry_dir(&e)->ops->unlink(entry_dir(&e), e.at.dentry);
	if (!err)
		removed(&e);
	entry_finish(&e);
	return err;
}

int path_rmdir(int dirfd, const char *name)
{
	struct entry_at e;
	int err = entry_begin(&e, dirfd, name);

	if (!err && e.w.last_dots)
		err = !e.w.last_len ? -EBUSY : e.w.last_dots == 1 ? -EINVAL : -ENOTEMPTY;
	if (!err)
		err = entry_find(&e);
	if (!err && !e.at.dentry->inode)
		err = -ENOENT;
	if (!err)
		err = remove_check(&e);
	if (!err && !S_ISDIR(e.at.dentry->inode->mode))
		err = -ENOTDIR;
	if (!err && !entry_dir(&e)->ops->rmdir)
		err = -EPERM;
	if (!err)
		err = entry_dir(&e)->ops->rmdir(entry_dir(&e), e.at.dentry);
	if (!err)
		removed(&e);
	entry_finish(&e);
	return err;
}

/* What rename(2) refuses, in its order. 1: nothing to do. */
static int rename_check(const struct entry_at *old, const struct entry_at *new, unsigned flags)
{
	struct dentry *od = old->at.dentry, *nd = new->at.dentry;
	bool odir = S_ISDIR(od->inode->mode);
	int err;

	if (nd->inode && (flags & RENAME_NOREPLACE_FLAG))
		return -EEXIST;
	if (!nd->inode && (flags & RENAME_EXCHANGE_FLAG))
		return -ENOENT;
	if (!odir &&
	    (old->w.trailing_slash || (new->w.trailing_slash && !(flags & RENAME_EXCHANGE_FLAG))))
		return -ENOTDIR;
	if (dentry_is_below(nd, od) && nd != od)
		return -EINVAL;
	if (dentry_is_below(od, nd) && nd != od)
		return flags & RENAME_EXCHANGE_FLAG ? -EINVAL : -ENOTEMPTY;
	if (nd->inode == od->inode)
		return 1;
	err = inode_may_delete(entry_dir(old), od->inode);
	if (err)
		return err;
	err = nd->inode ? inode_may_delete(entry_dir(new), nd->inode) : dir_writable(new);
	if (err || !nd->inode || (flags & RENAME_EXCHANGE_FLAG))
		return err;
	if (odir && !S_ISDIR(nd->inode->mode))
		return -ENOTDIR;
	if (!odir && S_ISDIR(nd->inode->mode))
		return -EISDIR;
	return 0;
}

static int rename_dots(const struct entry_at *old, const struct entry_at *new, unsigned flags)
{
	if (old->w.last_dots)
		return -EBUSY;
	if (new->w.last_dots)
		return flags & RENAME_NOREPLACE_FLAG ? -EEXIST : -EBUSY;
	return 0;
}

/* Both halves of a move of inode; victim: what had the new name, or NULL. */
static void moved(const struct entry_at *from, const struct entry_at *to, struct inode *inode,
		  struct inode *victim)
{
	uint32_t cookie = inotify_cookie();

	inotify_name(from->w.cur.dentry->inode, IN_MOVED_FROM, inode, from->w.last,
		     from->w.last_len, cookie);
	inotify_name(to->w.cur.dentry->inode, IN_MOVED_TO, inode, to->w.last, to->w.last_len,
		     cookie);
	if (victim) {
		inotify_inode(victim, IN_ATTRIB);
		inotify_unlinked(victim);
	}
	inotify_inode(inode, IN_MOVE_SELF);
}

/* The file systems' part of it, and who is told. */
static int rename_entries(struct entry_at *old, struct entry_at *new, unsigned flags)
{
	struct inode *dir = entry_dir(old), *inode = inode_ref(old->at.dentry->inode);
	struct inode *other = new->at.dentry->inode ? inode_ref(new->at.dentry->inode) : NULL;
	bool exchange = flags & RENAME_EXCHANGE_FLAG;
	int err = dir->ops->rename ? dir->ops->rename(dir, old->at.dentry, entry_dir(new),
						      new->at.dentry, flags) :
				     -EPERM;

	if (!err) {
		moved(old, new, inode, exchange ? NULL : other);
		if (exchange)
			moved(new, old, other, NULL);
	}
	inode_unref(inode);
	inode_unref(other);
	return err;
}

static int rename_do(struct entry_at *old, struct entry_at *new, unsigned flags)
{
	int err = rename_dots(old, new, flags);

	if (!err && old->w.cur.mnt != new->w.cur.mnt)
		err = -EXDEV;
	if (!err)
		err = entry_find(old);
	if (!err && !old->at.dentry->inode)
		err = -ENOENT;
	if (!err)
		err = entry_find(new);
	if (!err && path_is_readonly(old->w.cur))
		err = -EROFS;
	if (!err && (old->at.dentry == old->at.mnt->root || new->at.dentry == new->at.mnt->root))
		err = -EBUSY;
	if (!err)
		err = rename_check(old, new, flags);
	if (err)
		return err == 1 ? 0 : err;
	return rename_entries(old, new, flags);
}

int path_rename(int odirfd, const char *old, int ndirfd, const char *new, unsigned flags)
{
	struct entry_at from, to;
	int err;

	if (flags & ~(RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG))
		return -EINVAL;
	if (flags == (RENAME_NOREPLACE_FLAG | RENAME_EXCHANGE_FLAG))
		return -EINVAL;
	err = entry_begin(&from, odirfd, old);
	if (!err) {
		err = entry_begin(&to, ndirfd, new);
		if (!err)
			err = rename_do(&from, &to, flags);
		entry_finish(&to);
	}
	entry_finish(&from);
	return err;
}

/* ---- attributes ---- */

static bool in_group(const struct creds *creds, uint32_t gid)
{
	return creds->fsgid == gid || creds_has_group(creds, gid);
}

/* chmod(2), chown(2): who may. Also drops the set-ID bits that a change takes away. */
static int setattr_check(struct inode *inode, struct iattr *attr)
{
	const struct creds *creds = my_creds();
	bool may_chown = creds_capable(creds, CAP_CHOWN);

	if ((attr->valid & ATTR_MODE) && !inode_owner_or_capable(inode))
		return -EPERM;
	if ((attr->valid & ATTR_MODE) && !in_group(creds, inode->gid) &&
	    !creds_capable(creds, CAP_FSETID))
		attr->mode &= ~(uint32_t)S_ISGID;
	if ((attr->valid & ATTR_UID) && !may_chown &&
	    (creds->fsuid != inode->uid || attr->uid != inode->uid))
		return -EPERM;
	if ((attr->valid & ATTR_GID) && !may_chown &&
	    (creds->fsuid != inode->uid ||
	     (attr->gid != inode->gid && !in_group(creds, attr->gid))))
		return -EPERM;
	if ((attr->valid & (ATTR_UID | ATTR_GID)) && !S_ISDIR(inode->mode) &&
	    (inode->mode & 06000)) {
		attr->valid |= ATTR_MODE;
		attr->mode = inode->mode & ~(uint32_t)S_ISUID;
		if (inode->mode & S_IXGRP)
			attr->mode &= ~(uint32_t)S_ISGID;
	}
	return 0;
}

int inode_setattr(struct inode *inode, struct iattr *attr)
{
	int err = setattr_check(inode, attr);

	if (err)
		return err;
	return inode->ops->setattr ? inode->ops->setattr(inode, attr) : -EPERM;
}

/* What a change of these attributes is to those who watch. */
static uint32_t attr_event(unsigned valid)
{
	const unsigned times = ATTR_ATIME | ATTR_MTIME;
	uint32_t event = 0;

	if (valid & (ATTR_UID | ATTR_GID | ATTR_MODE) || (valid & times) == times)
		event |= IN_ATTRIB;
	else if (valid & ATTR_ATIME)
		event |= IN_ACCESS;
	else if (valid & ATTR_MTIME)
		event |= IN_MODIFY;
	return valid & ATTR_SIZE ? event | IN_MODIFY : event;
}

int path_setattr(struct path path, struct iattr *attr)
{
	unsigned valid = attr->valid;
	int err;

	if (path_is_readonly(path))
		return -EROFS;
	err = inode_setattr(path.dentry->inode, attr);
	if (!err)
		inotify_dentry(path.dentry, attr_event(valid));
	return err;
}

int file_truncate(struct file *file, uint64_t size)
{
	int err = file->ops->truncate ? file->ops->truncate(file, size) : -EINVAL;

	if (!err)
		inotify_file(file, IN_MODIFY);
	return err;
}

/* ---- the libOS's own ---- */

int path_make_dir(struct path base, const char *name, struct path *ret_path)
{
	struct path at = {base.mnt, NULL};
	struct inode *dir = base.dentry->inode;
	int err = dentry_lookup(base.dentry, name, (unsigned)strlen(name), &at.dentry);

	if (err)
		return err;
	mount_ref(at.mnt);
	if (!at.dentry->inode)
		err = dir->ops->mkdir ? dir->ops->mkdir(dir, at.dentry, 0755) : -EROFS;
	if (err) {
		path_unref(at);
		return err;
	}
	*ret_path = at;
	return 0;
}

int path_make_file(struct path base, const char *name, struct path *ret_path)
{
	struct path at = {base.mnt, NULL};
	struct inode *dir = base.dentry->inode;
	int err = dentry_lookup(base.dentry, name, (unsigned)strlen(name), &at.dentry);

	if (err)
		return err;
	mount_ref(at.mnt);
	if (!at.dentry->inode)
		err = dir->ops->create ? dir->ops->create(dir, at.dentry, S_IFREG | 0644, 0) :
					 -EROFS;
	if (err) {
		path_unref(at);
		return err;
	}
	*ret_path = at;
	return 0;
}
