/*
 * xattr.c - handlers of extended attributes.  See xattr(7).
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/fs/fs.h"
#include "libos/inotify.h"
#include "libos/instance.h"
#include "libos/syscall.h"
#include "libos/syspath.h"
#include "libos/uaccess.h"

#define XATTR_NAME_MAX 255
#define XATTR_SIZE_MAX 65536UL

/* The file that a call is about: by path or by descriptor. Referenced. */
static int target_path(const char *user_path, bool follow, struct path *ret_path)
{
	char *name;
	int err = path_import(user_path, &name);

	if (err != 0)
		return err;
	err = path_lookup(AT_FDCWD, name, follow ? LOOKUP_FOLLOW : 0, ret_path);
	path_release(name);
	return err;
}

static int target_fd(int fd, struct path *ret_path)
{
	struct file *file = fd_get(fd);

	if (file == NULL || (file->flags & O_PATH) != 0)
		return -EBADF;
	if (file->inode == NULL || file->path.dentry == NULL)
		return -EOPNOTSUPP;
	*ret_path = path_ref(file->path);
	return 0;
}

static int name_import(char name[XATTR_NAME_MAX + 1], const char *user_name)
{
	ssize_t len = strncpy_from_user(name, user_name, XATTR_NAME_MAX + 1);

	if (len == -ENAMETOOLONG || len == 0)
		return -ERANGE;
	return len < 0 ? (int)len : 0;
}

static long get_xattr(struct path at, const char *user_name, void *user_value, size_t size)
{
	struct inode *inode = at.dentry->inode;
	char name[XATTR_NAME_MAX + 1];
	void *buf = NULL;
	long n = name_import(name, user_name);

	if (n == 0 && inode->ops->getxattr == NULL)
		n = -EOPNOTSUPP;
	size = MIN(size, XATTR_SIZE_MAX);
	if (n == 0 && size > 0) {
		buf = arena_alloc(size);
		n = buf == NULL ? -ENOMEM : 0;
	}
	if (n == 0)
		n = inode->ops->getxattr(inode, name, buf, size);
	if (n > 0 && size > 0 && copy_to_user(user_value, buf, (size_t)n) != 0)
		n = -EFAULT;
	arena_free(buf);
	path_unref(at);
	return n;
}

static long list_xattrs(struct path at, char *user_list, size_t size)
{
	struct inode *inode = at.dentry->inode;
	char *buf = NULL;
	long n = 0;

	size = MIN(size, XATTR_SIZE_MAX);
	if (inode->ops->listxattr != NULL) {
		if (size > 0)
			buf = arena_alloc(size);
		n = size > 0 && buf == NULL ? -ENOMEM : inode->ops->listxattr(inode, buf, size);
	}
	if (n > 0 && size > 0 && copy_to_user(user_list, buf, (size_t)n) != 0)
		n = -EFAULT;
	arena_free(buf);
	path_unref(at);
	return n;
}

static long set_xattr(struct path at, const char *user_name, const void *user_value, size_t size,
		      int flags)
{
	struct inode *inode = at.dentry->inode;
	char name[XATTR_NAME_MAX + 1];
	void *buf = NULL;
	long err = name_import(name, user_name);

	if (err == 0 && size > XATTR_SIZE_MAX)
		err = -E2BIG;
	if (err == 0 && (flags & ~3) != 0)
		err = -EINVAL;
	if (err == 0 && path_is_readonly(at))
		err = -EROFS;
	if (err == 0 && inode->ops->setxattr == NULL)
		err = -EOPNOTSUPP;
	if (err == 0 && size > 0) {
		buf = arena_alloc(size);
		err = buf == NULL ? -ENOMEM : copy_from_user(buf, user_value, size);
	}
	if (err == 0)
		err = inode->ops->setxattr(inode, name, buf, size, flags);
	if (err == 0)
		inotify_dentry(at.dentry, IN_ATTRIB);
	arena_free(buf);
	path_unref(at);
	return err;
}

static long remove_xattr(struct path at, const char *user_name)
{
	struct inode *inode = at.dentry->inode;
	char name[XATTR_NAME_MAX + 1];
	long err = name_import(name, user_name);

	if (err == 0 && path_is_readonly(at))
		err = -EROFS;
	if (err == 0)
		err = inode->ops->removexattr != NULL ? inode->ops->removexattr(inode, name) :
							-EOPNOTSUPP;
	if (err == 0)
		inotify_dentry(at.dentry, IN_ATTRIB);
	path_unref(at);
	return err;
}

SYS4(getxattr, const char *, path, const char *, name, void *, value, size_t, size)
{
	struct path at;
	int err = target_path(path, true, &at);

	return err != 0 ? err : get_xattr(at, name, value, size);
}

SYS4(lgetxattr, const char *, path, const char *, name, void *, value, size_t, size)
{
	struct path at;
	int err = target_path(path, false, &at);

	return err != 0 ? err : get_xattr(at, name, value, size);
}

SYS4(fgetxattr, int, fd, const char *, name, void *, value, size_t, size)
{
	struct path at;
	int err = target_fd(fd, &at);

	return err != 0 ? err : get_xattr(at, name, value, size);
}

SYS3(listxattr, const char *, path, char *, list, size_t, size)
{
	struct path at;
	int err = target_path(path, true, &at);

	return err != 0 ? err : list_xattrs(at, list, size);
}

SYS3(llistxattr, const char *, path, char *, list, size_t, size)
{
	struct path at;
	int err = target_path(path, false, &at);

	return err != 0 ? err : list_xattrs(at, list, size);
}

SYS3(flistxattr, int, fd, char *, list, size_t, size)
{
	struct path at;
	int err = target_fd(fd, &at);

	return err != 0 ? err : list_xattrs(at, list, size);
}

SYS5(setxattr, const char *, path, const char *, name, const void *, value, size_t, size, int,
     flags)
{
	struct path at;
	int err = target_path(path, true, &at);

	return err != 0 ? err : set_xattr(at, name, value, size, flags);
}

SYS5(lsetxattr, const char *, path, const char *, name, const void *, value, size_t, size, int,
     flags)
{
	struct path at;
	int err = target_path(path, false, &at);

	return err != 0 ? err : set_xattr(at, name, value, size, flags);
}

SYS5(fsetxattr, int, fd, const char *, name, const void *, value, size_t, size, int, flags)
{
	struct path at;
	int err = target_fd(fd, &at);

	return err != 0 ? err : set_xattr(at, name, value, size, flags);
}

SYS2(removexattr, const char *, path, const char *, name)
{
	struct path at;
	int err = target_path(path, true, &at);

	return err != 0 ? err : remove_xattr(at, name);
}

SYS2(lremovexattr, const char *, path, const char *, name)
{
	struct path at;
	int err = target_path(path, false, &at);

	return err != 0 ? err : remove_xattr(at, name);
}

SYS2(fremovexattr, int, fd, const char *, name)
{
	struct path at;
	int err = target_fd(fd, &at);

	return err != 0 ? err : remove_xattr(at, name);
}
