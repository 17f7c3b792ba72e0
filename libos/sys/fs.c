/*
 * fs.c - handlers that take paths or change what they lead to.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <unistd.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/clock.h"
#include "libos/fs/proc.h"
#include "libos/inotify.h"
#include "libos/instance.h"
#include "libos/syscall.h"
#include "libos/syspath.h"
#include "libos/timespec.h"
#include "libos/uaccess.h"

#define AT_STATX_MASK 0x6000
#define STATX_BASIC 0x7ffU
#define FD_LINKS_MAX 8

/* ---- paths ---- */

int path_import(const char *user_path, char **ret_path)
{
	char *path = arena_alloc(FS_PATH_MAX);
	ssize_t len;

	*ret_path = path;
	if (path == NULL)
		return -ENOMEM;
	len = strncpy_from_user(path, user_path, FS_PATH_MAX);
	if (len < 0) {
		arena_free(path);
		return (int)len;
	}
	return 0;
}

void path_release(char *path)
{
	arena_free(path);
}

/* Links are followed by their text until one stands for a descriptor. */
int vfs_fd_link(const char *name, int dirfd, int *ret_fd)
{
	char *text = arena_alloc(FS_PATH_MAX);
	int err = -ENOENT, len;
	struct path path;

	if (text == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < FD_LINKS_MAX; i++) {
		struct inode *inode;

		if (path_lookup(dirfd, name, 0, &path) != 0)
			break;
		inode = path.dentry->inode;
		*ret_fd = proc_fd_of(inode);
		len = S_ISLNK(inode->mode) && *ret_fd < 0 ? inode->ops->readlink(inode, text) : -1;
		path_unref(path);
		if (*ret_fd >= 0)
			err = 0;
		if (len <= 0 || text[0] != '/')
			break;
		text[len] = '\0';
		name = text;
	}
	arena_free(text);
	return err;
}

/* Walks to what a call is about. flags: AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH. */
static int at_lookup(int dirfd, const char *user_path, int flags, struct path *ret_path)
{
	unsigned lookup = (flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW;
	char *path;
	int err = path_import(user_path, &path);

	if (err != 0)
		return err;
	if ((flags & AT_EMPTY_PATH) != 0)
		lookup |= LOOKUP_EMPTY;
	err = path_lookup(dirfd, path, lookup, ret_path);
	path_release(path);
	return err;
}

/* ---- stat ---- */

static void stat_fill(struct stat *st, const struct kstat *ks)
{
	memset(st, 0, sizeof(*st));
	st->st_dev = ks->dev;
	st->st_ino = ks->ino;
	st->st_mode = ks->mode;
	st->st_nlink = ks->nlink;
	st->st_uid = ks->uid;
	st->st_gid = ks->gid;
	st->st_rdev = ks->rdev;
	st->st_size = (off_t)ks->size;
	st->st_blksize = (blksize_t)ks->blksize;
	st->st_blocks = (blkcnt_t)ks->blocks;
	st->st_atim = ks->atime;
	st->st_mtim = ks->mtime;
	st->st_ctim = ks->ctime;
}

static int stat_export(const struct kstat *ks, struct stat *user_st)
{
	struct stat st;

	stat_fill(&st, ks);
	return copy_to_user(user_st, &st, sizeof(st));
}

static int fd_getattr(int fd, struct kstat *ret_st)
{
	struct file *file = fd_get(fd);

	return file == NULL ? -EBADF : file_getattr(file, ret_st);
}

/* Objects without a place in the tree (pipes, sockets) have attributes too: by their descriptor. */
static int at_getattr(int dirfd, const char *user_path, int flags, struct kstat *ret_st)
{
	struct path path;
	char first = 1;
	int err, fd;
	char *name;

	if ((flags & AT_EMPTY_PATH) != 0 && dirfd != AT_FDCWD &&
	    (user_path == NULL || (copy_from_user(&first, user_path, 1) == 0 && first == '\0')))
		return fd_getattr(dirfd, ret_st);
	err = at_lookup(dirfd, user_path, flags, &path);
	if (err == 0) {
		err = inode_getattr(path.dentry->inode, ret_st);
		path_unref(path);
		return err;
	}
	if ((flags & AT_SYMLINK_NOFOLLOW) != 0 || path_import(user_path, &name) != 0)
		return err;
	if (vfs_fd_link(name, dirfd, &fd) == 0)
		err = fd_getattr(fd, ret_st);
	path_release(name);
	return err;
}

static long stat_common(int dirfd, const char *user_path, int flags, struct stat *user_st)
{
	struct kstat ks;
	int err = at_getattr(dirfd, user_path, flags, &ks);

	return err != 0 ? err : stat_export(&ks, user_st);
}

SYS2(stat, const char *, path, struct stat *, user_st)
{
	return stat_common(AT_FDCWD, path, 0, user_st);
}

SYS2(lstat, const char *, path, struct stat *, user_st)
{
	return stat_common(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, user_st);
}

SYS2(fstat, int, fd, struct stat *, user_st)
{
	struct kstat ks;
	int err = fd_getattr(fd, &ks);

	return err != 0 ? err : stat_export(&ks, user_st);
}

SYS4(newfstatat, int, dirfd, const char *, path, struct stat *, user_st, int, flags)
{
	if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT)) != 0)
		return -EINVAL;
	return stat_common(dirfd, path, flags, user_st);
}

/* The kernel's struct statx, as far as the basic fields go. */
struct statx_time {
	int64_t sec;
	uint32_t nsec;
	int32_t pad;
};

struct statx_user {
	uint32_t mask, blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, pad0;
	uint64_t ino, size, blocks, attributes_mask;
	struct statx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t mnt_id;
	uint64_t spare[13];
};

_Static_assert(sizeof(struct statx_user) == 256, "statx layout");

static struct statx_time statx_time(const struct timespec *ts)
{
	return (struct statx_time){.sec = ts->tv_sec, .nsec = (uint32_t)ts->tv_nsec};
}

SYS5(statx, int, dirfd, const char *, path, int, flags, unsigned, mask, struct statx_user *,
     user_stx)
{
	struct statx_user stx = {.mask = STATX_BASIC};
	struct kstat ks;
	int err;

	if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_MASK)) !=
		    0 ||
	    (flags & AT_STATX_MASK) == AT_STATX_MASK || (mask & 0x80000000U) != 0)
		return -EINVAL;
	err = at_getattr(dirfd, path, flags, &ks);
	if (err != 0)
		return err;
	stx.blksize = ks.blksize;
	stx.nlink = ks.nlink;
	stx.uid = ks.uid;
	stx.gid = ks.gid;
	stx.mode = (uint16_t)ks.mode;
	stx.ino = ks.ino;
	stx.size = ks.size;
	stx.blocks = ks.blocks;
	stx.atime = statx_time(&ks.atime);
	stx.ctime = statx_time(&ks.ctime);
	stx.mtime = statx_time(&ks.mtime);
	stx.rdev_major = major(ks.rdev);
	stx.rdev_minor = minor(ks.rdev);
	stx.dev_major = major(ks.dev);
	stx.dev_minor = minor(ks.dev);
	return copy_to_user(user_stx, &stx, sizeof(stx));
}

/* ---- access ---- */

static long access_common(int dirfd, const char *user_path, int mode, int flags)
{
	struct path path;
	int err;

	if ((mode & ~(R_OK | W_OK | X_OK)) != 0 ||
	    (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
		return -EINVAL;
	err = at_lookup(dirfd, user_path, flags, &path);
	if (err != 0)
		return err;
	if (mode != F_OK)
		err = (flags & AT_EACCESS) != 0 ? inode_permission(path.dentry->inode, mode) :
						  inode_permission_real(path.dentry->inode, mode);
	if (err == 0 && (mode & W_OK) != 0 && path_is_readonly(path) &&
	    (S_ISREG(path.dentry->inode->mode) || S_ISDIR(path.dentry->inode->mode)))
		err = -EROFS;
	path_unref(path);
	return err;
}

SYS2(access, const char *, path, int, mode)
{
	return access_common(AT_FDCWD, path, mode, 0);
}

SYS3(faccessat, int, dirfd, const char *, path, int, mode)
{
	return access_common(dirfd, path, mode, 0);
}

SYS4(faccessat2, int, dirfd, const char *, path, int, mode, int, flags)
{
	return access_common(dirfd, path, mode, flags);
}

/* ---- places ---- */

SYS2(getcwd, char *, user_buf, size_t, size)
{
	char *buf = arena_alloc(FS_PATH_MAX);
	long len;

	if (buf == NULL)
		return -ENOMEM;
	len = vfs_cwd_path(buf, FS_PATH_MAX);
	if (len >= 0) {
		len++;
		if ((current()->process->fs->cwd.dentry->flags & DENTRY_DELETED) != 0)
			len = -ENOENT;
		else if ((size_t)len > size)
			len = -ERANGE;
		else if (copy_to_user(user_buf, buf, (size_t)len) != 0)
			len = -EFAULT;
	}
	arena_free(buf);
	return len;
}

/* Takes over the reference. */
static long set_place(struct path *place, struct path path)
{
	struct inode *inode = path.dentry->inode;
	int err = S_ISDIR(inode->mode) ? inode_permission(inode, X_OK) : -ENOTDIR;

	if (err != 0) {
		path_unref(path);
		return err;
	}
	path_unref(*place);
	*place = path;
	return 0;
}

SYS1(chdir, const char *, user_path)
{
	struct path path;
	int err = at_lookup(AT_FDCWD, user_path, 0, &path);

	return err != 0 ? err : set_place(&current()->process->fs->cwd, path);
}

SYS1(fchdir, int, fd)
{
	struct file *file = fd_get(fd);

	if (file == NULL)
		return -EBADF;
	if (file->path.dentry == NULL || file->path.dentry->inode == NULL)
		return -ENOTDIR;
	return set_place(&current()->process->fs->cwd, path_ref(file->path));
}

SYS1(chroot, const char *, user_path)
{
	struct path path;
	int err;

	if (!capable(CAP_SYS_CHROOT))
		return -EPERM;
	err = at_lookup(AT_FDCWD, user_path, 0, &path);
	return err != 0 ? err : set_place(&current()->process->fs->root, path);
}

SYS1(umask, unsigned, mask)
{
	struct path_ctx *fs = current()->process->fs;
	unsigned old = fs->umask;

	fs->umask = mask & 0777;
	return old;
}

/* ---- making and removing entries ---- */

static long mkdir_common(int dirfd, const char *user_path, unsigned mode)
{
	char *path;
	int err = path_import(user_path, &path);

	if (err != 0)
		return err;
	err = path_mkdir(dirfd, path, mode);
	path_release(path);
	return err;
}

SYS2(mkdir, const char *, path, unsigned, mode)
{
	return mkdir_common(AT_FDCWD, path, mode);
}

SYS3(mkdirat, int, dirfd, const char *, path, unsigned, mode)
{
	return mkdir_common(dirfd, path, mode);
}

static long mknod_common(int dirfd, const char *user_path, unsigned mode, unsigned dev)
{
	char *path;
	int err;

	if ((mode & S_IFMT) == 0)
		mode |= S_IFREG;
	if (S_ISDIR(mode))
		return -EPERM;
	if (S_ISLNK(mode))
		return -EINVAL;
	if ((S_ISCHR(mode) || S_ISBLK(mode)) && !capable(CAP_MKNOD))
		return -EPERM;
	err = path_import(user_path, &path);
	if (err != 0)
		return err;
	err = path_mknod(dirfd, path, mode, dev, NULL);
	path_release(path);
	return err;
}

SYS3(mknod, const char *, path, unsigned, mode, unsigned, dev)
{
	return mknod_common(AT_FDCWD, path, mode, dev);
}

SYS4(mknodat, int, dirfd, const char *, path, unsigned, mode, unsigned, dev)
{
	return mknod_common(dirfd, path, mode, dev);
}

static long unlink_common(int dirfd, const char *user_path, int flags)
{
	char *path;
	int err;

	if ((flags & ~AT_REMOVEDIR) != 0)
		return -EINVAL;
	err = path_import(user_path, &path);
	if (err != 0)
		return err;
	err = flags != 0 ? path_rmdir(dirfd, path) : path_unlink(dirfd, path);
	path_release(path);
	return err;
}

SYS1(unlink, const char *, path)
{
	return unlink_common(AT_FDCWD, path, 0);
}

SYS1(rmdir, const char *, path)
{
	return unlink_common(AT_FDCWD, path, AT_REMOVEDIR);
}

SYS3(unlinkat, int, dirfd, const char *, path, int, flags)
{
	return unlink_common(dirfd, path, flags);
}

/* Two paths of the program at once. */
static int two_paths(const char *user_a, const char *user_b, char **ret_a, char **ret_b)
{
	int err = path_import(user_a, ret_a);

	if (err != 0)
		return err;
	err = path_import(user_b, ret_b);
	if (err != 0)
		path_release(*ret_a);
	return err;
}

static long rename_common(int odirfd, const char *user_old, int ndirfd, const char *user_new,
			  unsigned flags)
{
	char *old, *new;
	int err = two_paths(user_old, user_new, &old, &new);

	if (err != 0)
		return err;
	err = path_rename(odirfd, old, ndirfd, new, flags);
	path_release(old);
	path_release(new);
	return err;
}

SYS2(rename, const char *, old, const char *, new)
{
	return rename_common(AT_FDCWD, old, AT_FDCWD, new, 0);
}

SYS4(renameat, int, odirfd, const char *, old, int, ndirfd, const char *, new)
{
	return rename_common(odirfd, old, ndirfd, new, 0);
}

SYS5(renameat2, int, odirfd, const char *, old, int, ndirfd, const char *, new, unsigned, flags)
{
	return rename_common(odirfd, old, ndirfd, new, flags);
}

static long link_common(int odirfd, const char *user_old, int ndirfd, const char *user_new,
			int flags)
{
	char *old, *new;
	int err = two_paths(user_old, user_new, &old, &new);

	if (err != 0)
		return err;
	err = path_link(odirfd, old, ndirfd, new, flags);
	path_release(old);
	path_release(new);
	return err;
}

SYS2(link, const char *, old, const char *, new)
{
	return link_common(AT_FDCWD, old, AT_FDCWD, new, 0);
}

SYS5(linkat, int, odirfd, const char *, old, int, ndirfd, const char *, new, int, flags)
{
	return link_common(odirfd, old, ndirfd, new, flags);
}

static long symlink_common(const char *user_target, int dirfd, const char *user_path)
{
	char *target, *path;
	int err = two_paths(user_target, user_path, &target, &path);

	if (err != 0)
		return err;
	err = path_symlink(target, dirfd, path);
	path_release(target);
	path_release(path);
	return err;
}

SYS2(symlink, const char *, target, const char *, path)
{
	return symlink_common(target, AT_FDCWD, path);
}

SYS3(symlinkat, const char *, target, int, dirfd, const char *, path)
{
	return symlink_common(target, dirfd, path);
}

static long readlink_common(int dirfd, const char *user_path, char *user_buf, int size)
{
	struct path path;
	char *text;
	long len;

	if (size <= 0)
		return -EINVAL;
	len = at_lookup(dirfd, user_path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, &path);
	if (len != 0)
		return len;
	text = arena_alloc(FS_PATH_MAX);
	if (text == NULL)
		len = -ENOMEM;
	else if (!S_ISLNK(path.dentry->inode->mode))
		len = -EINVAL;
	else
		len = path.dentry->inode->ops->readlink(path.dentry->inode, text);
	if (len > 0) {
		len = MIN(len, (long)size);
		if (copy_to_user(user_buf, text, (size_t)len) != 0)
			len = -EFAULT;
	}
	arena_free(text);
	path_unref(path);
	return len;
}

SYS3(readlink, const char *, path, char *, buf, int, size)
{
	return readlink_common(AT_FDCWD, path, buf, size);
}

SYS4(readlinkat, int, dirfd, const char *, path, char *, buf, int, size)
{
	return readlink_common(dirfd, path, buf, size);
}

/* ---- attributes ---- */

static long setattr_at(int dirfd, const char *user_path, int flags, struct iattr *attr)
{
	struct path path;
	int err = at_lookup(dirfd, user_path, flags, &path);

	if (err != 0)
		return err;
	err = path_setattr(path, attr);
	path_unref(path);
	return err;
}

static long setattr_fd(int fd, struct iattr *attr)
{
	struct file *file = fd_get(fd);

	if (file == NULL || (file->flags & O_PATH) != 0)
		return -EBADF;
	if (file->inode == NULL)
		return -EPERM;
	if (file->path.dentry != NULL)
		return path_setattr(file->path, attr);
	return inode_setattr(file->inode, attr);
}

static struct iattr mode_attr(unsigned mode)
{
	return (struct iattr){.valid = ATTR_MODE, .mode = mode & 07777};
}

SYS2(chmod, const char *, path, unsigned, mode)
{
	struct iattr attr = mode_attr(mode);

	return setattr_at(AT_FDCWD, path, 0, &attr);
}

SYS2(fchmod, int, fd, unsigned, mode)
{
	struct iattr attr = mode_attr(mode);

	return setattr_fd(fd, &attr);
}

SYS3(fchmodat, int, dirfd, const char *, path, unsigned, mode)
{
	struct iattr attr = mode_attr(mode);

	return setattr_at(dirfd, path, 0, &attr);
}

SYS4(fchmodat2, int, dirfd, const char *, path, unsigned, mode, int, flags)
{
	struct iattr attr = mode_attr(mode);

	struct path at;
	int err;

	if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
		return -EINVAL;
	err = at_lookup(dirfd, path, flags, &at);
	if (err != 0)
		return err;
	err = S_ISLNK(at.dentry->inode->mode) ? -EOPNOTSUPP : path_setattr(at, &attr);
	path_unref(at);
	return err;
}

static struct iattr owner_attr(unsigned uid, unsigned gid)
{
	return (struct iattr){.valid = (uid != ~0U ? ATTR_UID : 0) | (gid != ~0U ? ATTR_GID : 0),
			      .uid = uid,
			      .gid = gid};
}

SYS3(chown, const char *, path, unsigned, uid, unsigned, gid)
{
	struct iattr attr = owner_attr(uid, gid);

	return setattr_at(AT_FDCWD, path, 0, &attr);
}

SYS3(lchown, const char *, path, unsigned, uid, unsigned, gid)
{
	struct iattr attr = owner_attr(uid, gid);

	return setattr_at(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &attr);
}

SYS3(fchown, int, fd, unsigned, uid, unsigned, gid)
{
	struct iattr attr = owner_attr(uid, gid);

	return setattr_fd(fd, &attr);
}

SYS5(fchownat, int, dirfd, const char *, path, unsigned, uid, unsigned, gid, int, flags)
{
	struct iattr attr = owner_attr(uid, gid);

	if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
		return -EINVAL;
	return setattr_at(dirfd, path, flags, &attr);
}

SYS2(truncate, const char *, user_path, int64_t, size)
{
	struct iattr attr = {.valid = ATTR_SIZE, .size = (uint64_t)size};
	struct path path;
	struct inode *inode;
	int err;

	if (size < 0)
		return -EINVAL;
	err = at_lookup(AT_FDCWD, user_path, 0, &path);
	if (err != 0)
		return err;
	inode = path.dentry->inode;
	if (S_ISDIR(inode->mode))
		err = -EISDIR;
	else if (!S_ISREG(inode->mode))
		err = -EINVAL;
	else
		err = inode_permission(inode, W_OK);
	if (err == 0 && path_is_readonly(path))
		err = -EROFS;
	if (err == 0)
		err = inode->ops->setattr != NULL ? inode->ops->setattr(inode, &attr) : -EPERM;
	if (err == 0)
		inotify_dentry(path.dentry, IN_MODIFY);
	path_unref(path);
	return err;
}

/* ---- times ---- */

static struct timespec time_now(void)
{
	return ns_to_timespec(clock_realtime_ns());
}

/* One of the two times: UTIME_NOW and UTIME_OMIT are nanosecond values. */
static int time_attr(const struct timespec *ts, unsigned bit, unsigned *valid,
		     struct timespec *ret_time)
{
	if (ts->tv_nsec == UTIME_OMIT)
		return 0;
	*valid |= bit;
	if (ts->tv_nsec == UTIME_NOW) {
		*ret_time = time_now();
		return 0;
	}
	if (ts->tv_nsec < 0 || ts->tv_nsec > 999999999L)
		return -EINVAL;
	*ret_time = *ts;
	return 0;
}

/* Setting times to now needs write permission, to anything else ownership (utimensat(2)). */
static int times_allowed(const struct inode *inode, bool now)
{
	if (inode_owner_or_capable(inode))
		return 0;
	return now ? inode_permission(inode, W_OK) : -EPERM;
}

static long utimens_path(struct path path, const struct timespec ts[2])
{
	bool now = ts[0].tv_nsec == UTIME_NOW && ts[1].tv_nsec == UTIME_NOW;
	struct iattr attr = {0};
	int err = time_attr(&ts[0], ATTR_ATIME, &attr.valid, &attr.atime);

	if (err == 0)
		err = time_attr(&ts[1], ATTR_MTIME, &attr.valid, &attr.mtime);
	if (err != 0 || attr.valid == 0)
		return err;
	err = times_allowed(path.dentry->inode, now);
	return err != 0 ? err : path_setattr(path, &attr);
}

static long utimens_at(int dirfd, const char *user_path, const struct timespec ts[2], int flags)
{
	struct file *file;
	struct path path;
	long err;

	if (user_path == NULL) {
		file = fd_get(dirfd);
		if (file == NULL)
			return -EBADF;
		return file->path.dentry != NULL && file->path.dentry->inode != NULL ?
			       utimens_path(file->path, ts) :
			       -EPERM;
	}
	err = at_lookup(dirfd, user_path, flags, &path);
	if (err != 0)
		return err;
	err = utimens_path(path, ts);
	path_unref(path);
	return err;
}

SYS4(utimensat, int, dirfd, const char *, path, const struct timespec *, user_ts, int, flags)
{
	struct timespec ts[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};

	if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0)
		return -EINVAL;
	if (user_ts != NULL && copy_from_user(ts, user_ts, sizeof(ts)) != 0)
		return -EFAULT;
	return utimens_at(dirfd, path, ts, flags);
}

static long utimes_common(int dirfd, const char *path, const struct timeval *user_tv)
{
	struct timespec ts[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
	struct timeval tv[2];

	if (user_tv != NULL) {
		if (copy_from_user(tv, user_tv, sizeof(tv)) != 0)
			return -EFAULT;
		for (unsigned i = 0; i < 2; i++) {
			if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1000000)
				return -EINVAL;
			ts[i].tv_sec = tv[i].tv_sec;
			ts[i].tv_nsec = tv[i].tv_usec * 1000;
		}
	}
	return utimens_at(dirfd, path, ts, 0);
}

SYS2(utimes, const char *, path, const struct timeval *, user_tv)
{
	return utimes_common(AT_FDCWD, path, user_tv);
}

SYS3(futimesat, int, dirfd, const char *, path, const struct timeval *, user_tv)
{
	return utimes_common(dirfd, path, user_tv);
}

SYS2(utime, const char *, path, const int64_t *, user_times)
{
	struct timespec ts[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
	int64_t times[2];

	if (user_times != NULL) {
		if (copy_from_user(times, user_times, sizeof(times)) != 0)
			return -EFAULT;
		ts[0] = (struct timespec){.tv_sec = times[0]};
		ts[1] = (struct timespec){.tv_sec = times[1]};
	}
	return utimens_at(AT_FDCWD, path, ts, 0);
}

/* ---- file systems ---- */

static int statfs_export(struct super *sb, struct statfs *user_st)
{
	struct statfs st = {0};
	int err = sb->ops->statfs(sb, &st);

	return err != 0 ? err : copy_to_user(user_st, &st, sizeof(st));
}

SYS2(statfs, const char *, user_path, struct statfs *, user_st)
{
	struct path path;
	int err = at_lookup(AT_FDCWD, user_path, 0, &path);

	if (err != 0)
		return err;
	err = statfs_export(path.mnt->sb, user_st);
	path_unref(path);
	return err;
}

SYS2(fstatfs, int, fd, struct statfs *, user_st)
{
	const struct file *file = fd_get(fd);

	if (file == NULL)
		return -EBADF;
	return statfs_export(file->path.mnt != NULL ? file->path.mnt->sb : vfs_get()->anon_sb,
			     user_st);
}
