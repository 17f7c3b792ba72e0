/*
 * mount.c - the mount table, and how a place in the tree is written as a path.
 */
#include <errno.h>
#include <string.h>

#include "libos/arena.h"
#include "libos/fs/fs.h"

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
	mnt->root = dentry_ref(root);
	mnt->readonly = sb->readonly;
	if (at) {
		mnt->parent = mount_ref(at->mnt);
		mnt->mountpoint = dentry_ref(at->dentry);
		at->dentry->flags |= DENTRY_MOUNT;
	}
	list_add_tail(&vfs->mounts, &mnt->node);
	*ret_mount = mnt;
	return 0;
}

struct mount *mount_ref(struct mount *mnt)
{
	mnt->refs++;
	return mnt;
}

void mount_unref(struct mount *mnt)
{
	mnt->refs--; /* the table's own reference stays: nothing unmounts yet */
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
