/*
 * mount.c - handlers of mount(2), umount2(2) and pivot_root(2).
 *
 * There is one table of mounts, the instance's: all of them are private, none is propagated.
 */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/fs/fs.h"
#include "libos/instance.h"
#include "libos/syscall.h"
#include "libos/syspath.h"
#include "libos/uaccess.h"

#define MS_PROPAGATION (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)
#define MS_MAGIC 0xC0ED0000UL
#define FSTYPE_MAX 63
#define UMOUNT_FLAGS (MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW)

static bool may_mount(void)
{
	return capable(CAP_SYS_ADMIN);
}

/* A path of the program, walked; path is not taken (""): -ENOENT. */
static int place_import(const char *user_path, unsigned lookup, struct path *ret_path)
{
	char *name;
	int err = path_import(user_path, &name);

	if (err != 0)
		return err;
	err = path_lookup(AT_FDCWD, name, lookup, ret_path);
	path_release(name);
	return err;
}

/* "mode=1777,size=64m": the mode of the root directory; other options are left to defaults. */
static uint32_t tmpfs_mode(const char *options)
{
	uint32_t mode = 0;

	while (strncmp(options, "mode=", 5) != 0) {
		options = strchr(options, ',');
		if (options == NULL)
			return 01777;
		options++;
	}
	for (options += 5; *options >= '0' && *options <= '7'; options++)
		mode = mode * 8 + (uint32_t)(*options - '0');
	return mode & 07777;
}

static int super_make(const char *type, const char *options, struct super **ret_sb,
		      struct dentry **ret_root)
{
	if (strcmp(type, "tmpfs") == 0 || strcmp(type, "ramfs") == 0)
		return memfs_create("tmpfs", tmpfs_mode(options), ret_sb, ret_root);
	if (strcmp(type, "proc") == 0)
		return procfs_create(ret_sb, ret_root);
	if (strcmp(type, "sysfs") == 0)
		return sysfs_create(ret_sb, ret_root);
	if (strcmp(type, "devpts") == 0) { /* there is one, as with its option newinstance off */
		*ret_sb = vfs_get()->pts->sb;
		*ret_root = dentry_ref(vfs_get()->pts->root);
		return 0;
	}
	return -ENODEV;
}

static long mount_new(const char *user_type, struct path at, unsigned long flags,
		      const char *user_options)
{
	char type[FSTYPE_MAX + 1];
	struct dentry *root;
	struct mount *mnt;
	struct super *sb;
	ssize_t len;
	char *options;
	int err;

	if (user_type == NULL)
		return -EINVAL;
	len = strncpy_from_user(type, user_type, sizeof(type));
	if (len < 0)
		return len == -ENAMETOOLONG ? -ENODEV : len;
	options = arena_zalloc(FS_PATH_MAX);
	if (options == NULL)
		return -ENOMEM;
	err = user_options != NULL ? (int)strncpy_from_user(options, user_options, FS_PATH_MAX) : 0;
	if (err >= 0)
		err = S_ISDIR(at.dentry->inode->mode) ? super_make(type, options, &sb, &root) :
							-ENOTDIR;
	arena_free(options);
	if (err < 0)
		return err;
	err = mount_add(sb, root, &at, &mnt);
	dentry_unref(root);
	if (err == 0)
		mount_set_flags(mnt, flags);
	return err;
}

static long mount_bind(const char *user_source, struct path at, unsigned long flags)
{
	struct path from;
	int err = place_import(user_source, LOOKUP_FOLLOW, &from);

	if (err != 0)
		return err;
	if (S_ISDIR(from.dentry->inode->mode) != S_ISDIR(at.dentry->inode->mode))
		err = -ENOTDIR;
	else
		err = mount_clone(from, &at, (flags & MS_REC) != 0);
	path_unref(from);
	return err;
}

static long mount_move(const char *user_source, struct path at)
{
	struct path from;
	int err = place_import(user_source, LOOKUP_FOLLOW, &from);

	if (err != 0)
		return err;
	if (from.dentry != from.mnt->root || from.mnt->parent == NULL)
		err = -EINVAL;
	else if (S_ISDIR(from.dentry->inode->mode) != S_ISDIR(at.dentry->inode->mode))
		err = -ENOTDIR;
	else
		err = mount_move_to(from.mnt, &at);
	path_unref(from);
	return err;
}

static long mount_again(struct path at, unsigned long flags)
{
	if (at.dentry != at.mnt->root)
		return -EINVAL;
	mount_set_flags(at.mnt, flags);
	return 0;
}

/* All mounts are private and stay so; to share one there is nobody. */
static long mount_propagate(struct path at, unsigned long flags)
{
	if (at.dentry != at.mnt->root)
		return -EINVAL;
	return (flags & (MS_PRIVATE | MS_SLAVE)) != 0 ? 0 : -EINVAL;
}

SYS5(mount, const char *, user_source, const char *, user_target, const char *, user_type,
     unsigned long, flags, const char *, user_options)
{
	struct path at;
	long err;

	if ((flags & 0xffff0000UL) == MS_MAGIC)
		flags &= 0xffffUL;
	err = place_import(user_target, LOOKUP_FOLLOW, &at);
	if (err != 0)
		return err;
	if (!may_mount())
		err = -EPERM;
	else if ((flags & MS_REMOUNT) != 0)
		err = mount_again(at, flags);
	else if ((flags & MS_BIND) != 0)
		err = mount_bind(user_source, at, flags);
	else if ((flags & MS_PROPAGATION) != 0)
		err = mount_propagate(at, flags);
	else if ((flags & MS_MOVE) != 0)
		err = mount_move(user_source, at);
	else
		err = mount_new(user_type, at, flags, user_options);
	path_unref(at);
	return err;
}

SYS2(umount2, const char *, user_target, int, flags)
{
	struct path at;
	long err;

	if ((flags & ~UMOUNT_FLAGS) != 0)
		return -EINVAL;
	err = place_import(user_target, (flags & UMOUNT_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW, &at);
	if (err != 0)
		return err;
	if (!may_mount())
		err = -EPERM;
	else if (at.dentry != at.mnt->root || at.mnt->parent == NULL)
		err = -EINVAL;
	else
		err = mount_detach(at, (flags & MNT_DETACH) != 0);
	if (err != 0)
		path_unref(at);
	return err;
}

/* What pivot_root(2) asks of its two directories. */
static int pivot_check(struct path root, struct path new_root, struct path put_old)
{
	if (!S_ISDIR(new_root.dentry->inode->mode) || !S_ISDIR(put_old.dentry->inode->mode))
		return -ENOTDIR;
	if (new_root.mnt == root.mnt || put_old.mnt == root.mnt)
		return -EBUSY;
	if (new_root.dentry != new_root.mnt->root || new_root.mnt->parent == NULL ||
	    root.dentry != root.mnt->root)
		return -EINVAL;
	return put_old.mnt == new_root.mnt && dentry_is_below(put_old.dentry, new_root.dentry) ?
		       0 :
		       -EINVAL;
}

SYS2(pivot_root, const char *, user_new, const char *, user_old)
{
	const unsigned lookup = LOOKUP_FOLLOW | LOOKUP_DIRECTORY;
	struct path new_root, put_old;
	int err;

	if (!may_mount())
		return -EPERM;
	err = place_import(user_new, lookup, &new_root);
	if (err != 0)
		return err;
	err = place_import(user_old, lookup, &put_old);
	if (err == 0) {
		struct path root = path_ref(current()->process->fs->root);

		err = pivot_check(root, new_root, put_old);
		if (err == 0)
			err = mount_pivot(root, new_root, put_old);
		path_unref(root);
		path_unref(put_old);
	}
	path_unref(new_root);
	return err;
}
