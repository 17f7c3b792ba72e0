/*
 * mount.c - the mount table, and how a place in the tree is written as a path.
 */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#include "libos/arena.h"
#include "libos/fs/memfs.h"
#include "libos/instance.h"

static void mount_put_at(struct mount *mnt, const struct path *at)
{
	mnt->parent = mount_ref(at->mnt);
	mnt->mountpoint = dentry_ref(at->dentry);
	at->dentry->flags |= DENTRY_MOUNT;
}

int mount_add(struct super *sb, struct dentry *root, const struct path *at,
	      struct mount **ret_mount)
{
	struct vfs *vfs = vfs_get();
	struct mount *mnt = arena_zalloc(sizeof(*mnt));

	if (!mnt)
		return -ENOMEM;
	mnt->refs = 1;
	mnt->id = ++vfs->last_mount_id;
	mnt->sb = sb;
	sb->mounts++;
	mnt->root = dentry_ref(root);
	mnt->readonly = sb->readonly;
	if (at)
		mount_put_at(mnt, at);
	list_add_tail(&vfs->mounts, &mnt->node);
	*ret_mount = mnt;
	return 0;
}

struct mount *mount_ref(struct mount *mnt)
{
	mnt->refs++;
	return mnt;
}

/* It was taken out of the table, and nobody uses it any more. */
static void mount_free(struct mount *mnt)
{
	struct dentry *root = mnt->root;

	if (--mnt->sb->mounts == 0 && mnt->sb->ops == &mem_super_ops)
		memfs_drop(root);
	dentry_unref(root);
	arena_free(mnt);
}

void mount_unref(struct mount *mnt)
{
	if (--mnt->refs == 0)
		mount_free(mnt);
}

void mount_set_flags(struct mount *mnt, unsigned long flags)
{
	mnt->readonly = (flags & MS_RDONLY) != 0 || mnt->sb->readonly;
	mnt->noexec = (flags & MS_NOEXEC) != 0;
	mnt->nodev = (flags & MS_NODEV) != 0;
	mnt->nosuid = (flags & MS_NOSUID) != 0;
}

/* Is something else mounted at the place? */
static bool is_mountpoint(const struct dentry *dentry)
{
	struct list *pos;

	list_for_each(pos, &vfs_get()->mounts)
		if (list_entry(pos, struct mount, node)->mountpoint == dentry)
			return true;
	return false;
}

/* Leaves its place; the mount stays in the table. */
static void mount_take_off(struct mount *mnt)
{
	struct mount *parent = mnt->parent;
	struct dentry *at = mnt->mountpoint;

	mnt->parent = NULL;
	mnt->mountpoint = NULL;
	if (at != NULL && !is_mountpoint(at))
		at->flags &= ~DENTRY_MOUNT;
	dentry_unref(at);
	if (parent != NULL)
		mount_unref(parent);
}

static struct mount *copy_of(const struct mount *mnt, struct dentry *root, const struct path *at)
{
	struct mount *copy;

	if (mount_add(mnt->sb, root, at, &copy) != 0)
		return NULL;
	copy->readonly = mnt->readonly;
	copy->noexec = mnt->noexec;
	copy->nodev = mnt->nodev;
	copy->nosuid = mnt->nosuid;
	return copy;
}

/* Copies what is mounted on `from` below `below` onto `to`; each copy's own mounts too. */
static int submounts_copy(const struct mount *from, const struct dentry *below, struct mount *to,
			  const struct mount *last)
{
	struct list *pos;
	int err = 0;

	list_for_each(pos, &vfs_get()->mounts) {
		struct mount *mnt = list_entry(pos, struct mount, node), *copy;
		struct path at = {to, mnt->mountpoint};

		if (mnt->parent == from && dentry_is_below(mnt->mountpoint, below)) {
			copy = copy_of(mnt, mnt->root, &at);
			err = copy != NULL ? submounts_copy(mnt, mnt->root, copy, last) : -ENOMEM;
		}
		if (err != 0 || mnt == last)
			break;
	}
	return err;
}

int mount_clone(struct path from, const struct path *at, bool all)
{
	const struct mount *last = list_entry(vfs_get()->mounts.prev, struct mount, node);
	struct mount *copy = copy_of(from.mnt, from.dentry, at);

	if (copy == NULL)
		return -ENOMEM;
	return all ? submounts_copy(from.mnt, from.dentry, copy, last) : 0;
}

int mount_move_to(struct mount *mnt, const struct path *at)
{
	for (const struct mount *up = at->mnt; up != NULL; up = up->parent)
		if (up == mnt)
			return -ELOOP;
	mount_take_off(mnt);
	mount_put_at(mnt, at);
	return 0;
}

static struct mount *child_of(const struct mount *mnt)
{
	struct list *pos;

	list_for_each(pos, &vfs_get()->mounts)
		if (list_entry(pos, struct mount, node)->parent == mnt)
			return list_entry(pos, struct mount, node);
	return NULL;
}

static void mount_remove(struct mount *mnt)
{
	struct mount *child;

	while ((child = child_of(mnt)) != NULL)
		mount_remove(child);
	list_del(&mnt->node);
	mount_take_off(mnt);
	mount_unref(mnt);
}

int mount_detach(struct path path, bool lazy)
{
	struct mount *mnt = path.mnt;

	/* the table's reference and the caller's */
	if (!lazy && mnt->refs > 2)
		return -EBUSY;
	mount_remove(mnt);
	path_unref(path);
	return 0;
}

int mount_pivot(struct path root, struct path new_root, struct path put_old)
{
	struct list *pos;

	mount_ref(new_root.mnt);
	if (root.mnt->parent != NULL) {
		struct path at = path_ref((struct path){root.mnt->parent, root.mnt->mountpoint});

		mount_take_off(new_root.mnt);
		mount_take_off(root.mnt);
		mount_put_at(new_root.mnt, &at);
		path_unref(at);
	} else {
		mount_take_off(new_root.mnt);
		vfs_get()->root = new_root.mnt;
	}
	mount_put_at(root.mnt, &put_old);
	mount_unref(new_root.mnt);
	list_for_each(pos, &instance()->processes) {
		struct path_ctx *fs = list_entry(pos, struct process, all_node)->fs;

		if (fs != NULL && path_equal(fs->root, root)) {
			fs->root = path_ref(new_root);
			path_unref(root);
		}
		if (fs != NULL && path_equal(fs->cwd, root)) {
			fs->cwd = path_ref(new_root);
			path_unref(root);
		}
	}
	return 0;
}

struct mount *mount_at(const struct path *at)
{
	struct list *pos;

	/* the last one mounted hides those below it */
	for (pos = vfs_get()->mounts.prev; pos != &vfs_get()->mounts; pos = pos->prev) {
		struct mount *mnt = list_entry(pos, struct mount, node);

		if (mnt->mountpoint == at->dentry && mnt->parent == at->mnt)
			return mnt;
	}
	return NULL;
}

struct path path_ref(struct path path)
{
	mount_ref(path.mnt);
	dentry_ref(path.dentry);
	return path;
}

void path_unref(struct path path)
{
	dentry_unref(path.dentry);
	mount_unref(path.mnt);
}

/* Puts text in front of *pos; false: no room. */
static bool prepend(char **pos, const char *buf, const char *text, unsigned len)
{
	if ((unsigned)(*pos - buf) < len)
		return false;
	*pos -= len;
	memcpy(*pos, text, len);
	return true;
}

char *path_print(struct path path, struct path root, char *buf, unsigned size)
{
	char *pos = buf + size;
	struct mount *mnt = path.mnt;
	struct dentry *d = path.dentry;
	bool any = false;

	*--pos = 0;
	if ((d->flags & DENTRY_DELETED) && !prepend(&pos, buf, " (deleted)", 10))
		return NULL;
	while (mnt != root.mnt || d != root.dentry) {
		if (d == mnt->root) {
			if (!mnt->parent)
				break;
			d = mnt->mountpoint;
			mnt = mnt->parent;
			continue;
		}
		if (d->parent == d)
			break;
		if (!prepend(&pos, buf, d->name, d->name_len) || !prepend(&pos, buf, "/", 1))
			return NULL;
		any = true;
		d = d->parent;
	}
	if (!any && !prepend(&pos, buf, "/", 1))
		return NULL;
	if ((mnt != root.mnt || d != root.dentry) && root.mnt && mnt->parent == NULL &&
	    !dentry_is_below(root.dentry, d) && !prepend(&pos, buf, "(unreachable)", 13))
		return NULL;
	return pos;
}
