/*
 * fd.c - handlers of descriptors themselves: open, close, dup, fcntl, ioctl, pipes, memfds.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/fasync.h"
#include "libos/file.h"
#include "libos/fs/hostfile.h"
#include "libos/fs/locks.h"
#include "libos/inotify.h"
#include "libos/instance.h"
#include "libos/pipe.h"
#include "libos/syscall.h"
#include "libos/syspath.h"
#include "libos/uaccess.h"

#define SETFL_MASK (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | O_ASYNC)
#define OPEN_FLAGS_VALID                                                                           \
	(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |      \
	 O_DSYNC | O_ASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME |       \
	 O_CLOEXEC | O_PATH | O_TMPFILE | 0100000)
#define MFD_VALID (MFD_CLOEXEC | MFD_ALLOW_SEALING | 8U | 16U) /* MFD_NOEXEC_SEAL, MFD_EXEC */
#define MFD_NAME_MAX 249

/* ---- open and close ---- */

/* /proc/self/fd/N, /dev/fd/N and /dev/stdout of a host descriptor or a pipe: that object again. */
static int open_reopen(const char *path, int dirfd, unsigned flags, struct file **ret_file)
{
	int fd;

	if (vfs_fd_link(path, dirfd, &fd) != 0)
		return -ENOENT;
	if (fd_get(fd) == NULL)
		return -ENOENT;
	if (hostfile_is(fd_get(fd)))
		return hostfile_reopen(fd_get(fd), flags, ret_file);
	return pipe_reopen(fd_get(fd), flags, ret_file);
}

static long open_common(int dirfd, const char *user_path, const struct open_how_k *how)
{
	char *path;
	struct file *file;
	int err, fd;

	err = path_import(user_path, &path);
	if (err != 0)
		return err;
	err = path_open(dirfd, path, how, &file);
	/* Objects without a place in the tree: the link's text leads nowhere. */
	if (err == -ENXIO || err == -ENOLINK || err == -ENOENT || err == -EACCES) {
		int again = open_reopen(path, dirfd, how->flags, &file);

		err = again == -ENOENT ? err : again;
	}
	path_release(path);
	if (err != 0)
		return err;
	fd = fd_install(file, 0, (how->flags & O_CLOEXEC) != 0);
	if (fd < 0)
		file_unref(file);
	return fd;
}

static long open_plain(int dirfd, const char *user_path, int flags, unsigned mode)
{
	/* open(2) ignores flags that it does not know. */
	struct open_how_k how = {.flags = (unsigned)flags & OPEN_FLAGS_VALID, .mode = mode & 07777};

	return open_common(dirfd, user_path, &how);
}

SYS3(open, const char *, path, int, flags, unsigned, mode)
{
	return open_plain(AT_FDCWD, path, flags, mode);
}

SYS2(creat, const char *, path, unsigned, mode)
{
	return open_plain(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

SYS4(openat, int, dirfd, const char *, path, int, flags, unsigned, mode)
{
	return open_plain(dirfd, path, flags, mode);
}

/* openat2(2): struct open_how and its RESOLVE_* bits. */
struct open_how_user {
	uint64_t flags;
	uint64_t mode;
	uint64_t resolve;
};

static const struct {
	uint64_t resolve;
	unsigned lookup;
} resolve_bits[] = {
	{0x01, LOOKUP_NO_XDEV}, {0x02, LOOKUP_NO_MAGICLINKS}, {0x04, LOOKUP_NO_SYMLINKS},
	{0x08, LOOKUP_BENEATH}, {0x10, LOOKUP_IN_ROOT},
};

SYS4(openat2, int, dirfd, const char *, path, const struct open_how_user *, user_how, size_t, size)
{
	struct open_how_user user = {0};
	struct open_how_k how = {0};

	if (size < sizeof(user))
		return -EINVAL;
	if (size > sizeof(user))
		return -E2BIG;
	if (copy_from_user(&user, user_how, sizeof(user)) != 0)
		return -EFAULT;
	if ((user.flags & ~(uint64_t)OPEN_FLAGS_VALID) != 0 || (user.mode & ~07777UL) != 0)
		return -EINVAL;
	if (user.mode != 0 && (user.flags & (O_CREAT | O_TMPFILE)) == 0)
		return -EINVAL;
	how.flags = (unsigned)user.flags;
	how.mode = (uint32_t)user.mode;
	for (unsigned i = 0; i < ARRAY_SIZE(resolve_bits); i++) {
		if ((user.resolve & resolve_bits[i].resolve) != 0)
			how.lookup |= resolve_bits[i].lookup;
		user.resolve &= ~resolve_bits[i].resolve;
	}
	return user.resolve != 0 ? -EINVAL : open_common(dirfd, path, &how);
}

SYS1(close, int, fd)
{
	return fd_close(fd);
}

SYS3(close_range, unsigned, first, unsigned, last, unsigned, flags)
{
	struct process *process = current()->process;
	struct fdtable *copy;

	if (first > last || (flags & ~6U) != 0)
		return -EINVAL;
	if ((flags & 2U) != 0) { /* CLOSE_RANGE_UNSHARE */
		copy = fdtable_copy(process->files);
		if (copy == NULL)
			return -ENOMEM;
		fdtable_unref(process->files);
		process->files = copy;
	}
	fd_close_range(first, last, (flags & 4U) != 0);
	return 0;
}

/* ---- dup ---- */

SYS1(dup, int, fd)
{
	struct file *file = fd_get(fd);
	int new_fd;

	if (file == NULL)
		return -EBADF;
	new_fd = fd_install(file_ref(file), 0, false);
	if (new_fd < 0)
		file_unref(file);
	return new_fd;
}

static long dup_to(int fd, int new_fd, bool cloexec)
{
	struct file *file = fd_get(fd);
	int err;

	if (file == NULL)
		return -EBADF;
	err = fd_replace(file_ref(file), new_fd, cloexec);
	if (err < 0)
		file_unref(file);
	return err;
}

SYS2(dup2, int, fd, int, new_fd)
{
	if (fd == new_fd)
		return fd_get(fd) != NULL ? fd : -EBADF;
	return dup_to(fd, new_fd, false);
}

SYS3(dup3, int, fd, int, new_fd, int, flags)
{
	if (fd == new_fd || (flags & ~O_CLOEXEC) != 0)
		return -EINVAL;
	return dup_to(fd, new_fd, (flags & O_CLOEXEC) != 0);
}

/* ---- fcntl ---- */

static long fcntl_dup(struct file *file, unsigned long min, bool cloexec)
{
	int fd;

	if (min >= current()->process->rlimits[RLIMIT_NOFILE].rlim_cur)
		return -EINVAL;
	fd = fd_install(file_ref(file), (int)min, cloexec);
	if (fd < 0)
		file_unref(file);
	return fd;
}

static long fcntl_setfl(struct file *file, unsigned long arg)
{
	unsigned flags = (file->flags & ~(unsigned)SETFL_MASK) | ((unsigned)arg & SETFL_MASK);
	int err;

	if (((flags ^ file->flags) & O_ASYNC) != 0) {
		err = fasync_set(file, (flags & O_ASYNC) != 0);
		if (err != 0 && err != -ENOTTY) /* files that are always ready take the flag */
			return err;
	}
	if (file->ops->set_flags != NULL) {
		err = file->ops->set_flags(file, flags);
		if (err != 0)
			return err;
	}
	file->flags = flags;
	return 0;
}

static long fcntl_setown(struct file *file, int pid)
{
	if (pid == INT_MIN)
		return -EINVAL;
	if (pid > 0 && process_find(pid) == NULL && task_find(pid) == NULL)
		return -ESRCH;
	file->owner_pid = pid;
	file->owner_is_task = false;
	return 0;
}

/* struct f_owner_ex: what libc makes of F_GETOWN. */
static long fcntl_getown_ex(const struct file *file, uint32_t *user_owner)
{
	uint32_t owner[2] = {F_OWNER_PID, (uint32_t)file->owner_pid};

	if (file->owner_is_task) {
		owner[0] = F_OWNER_TID;
	} else if (file->owner_pid < 0) {
		owner[0] = F_OWNER_PGRP;
		owner[1] = (uint32_t)-file->owner_pid;
	}
	return copy_to_user(user_owner, owner, sizeof(owner));
}

static long fcntl_setown_ex(struct file *file, const int32_t *user_owner)
{
	int32_t owner[2];
	long err;

	if (copy_from_user(owner, user_owner, sizeof(owner)) != 0)
		return -EFAULT;
	if (owner[0] < F_OWNER_TID || owner[0] > F_OWNER_PGRP)
		return -EINVAL;
	if (owner[1] < 0)
		return -EINVAL;
	err = fcntl_setown(file, owner[0] == F_OWNER_PGRP ? -owner[1] : owner[1]);
	if (err == 0)
		file->owner_is_task = owner[0] == F_OWNER_TID;
	return err;
}

static long fcntl_setsig(struct file *file, unsigned long sig)
{
	if (sig > NR_SIGNALS)
		return -EINVAL;
	file->owner_sig = (int)sig;
	return 0;
}

static long fcntl_lock(struct file *file, int cmd, struct flock *user_fl)
{
	struct flock fl;
	int err;

	if (copy_from_user(&fl, user_fl, sizeof(fl)) != 0)
		return -EFAULT;
	file_ref(file);
	err = locks_fcntl(file, cmd, &fl);
	file_unref(file);
	if (err == 0 && (cmd == F_GETLK || cmd == F_OFD_GETLK))
		err = copy_to_user(user_fl, &fl, sizeof(fl));
	return err;
}

/* Seals of a memfd (fcntl(2), "File Sealing"). */
static long fcntl_seals(struct file *file, bool add, unsigned seals)
{
	struct inode *inode = file->inode;

	if (inode == NULL || !inode->sealable)
		return -EINVAL;
	if (!add)
		return (long)inode->seals;
	if ((seals & ~(unsigned)(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
				 F_SEAL_FUTURE_WRITE)) != 0)
		return -EINVAL;
	if ((file->flags & O_ACCMODE) == O_RDONLY || (inode->seals & F_SEAL_SEAL) != 0)
		return -EPERM;
	inode->seals |= seals;
	return 0;
}

SYS3(fcntl, int, fd, int, cmd, unsigned long, arg)
{
	struct file *file = fd_get(fd);

	if (file == NULL)
		return -EBADF;
	switch (cmd) {
	case F_DUPFD:
		return fcntl_dup(file, arg, false);
	case F_DUPFD_CLOEXEC:
		return fcntl_dup(file, arg, true);
	case F_GETFD:
		return fd_cloexec_get(fd) > 0 ? FD_CLOEXEC : 0;
	case F_SETFD:
		return fd_cloexec_set(fd, (arg & FD_CLOEXEC) != 0);
	case F_GETFL:
		return (long)file->flags;
	case F_SETFL:
		return fcntl_setfl(file, arg);
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		return fcntl_lock(file, cmd, (struct flock *)arg);
	case F_GETOWN:
		return file->owner_pid;
	case F_SETOWN:
		return fcntl_setown(file, (int)arg);
	case F_GETOWN_EX:
		return fcntl_getown_ex(file, (uint32_t *)arg);
	case F_SETOWN_EX:
		return fcntl_setown_ex(file, (const int32_t *)arg);
	case F_GETSIG:
		return file->owner_sig;
	case F_SETSIG:
		return fcntl_setsig(file, arg);
	case F_GETPIPE_SZ:
		return pipe_size_get(file);
	case F_SETPIPE_SZ:
		return pipe_size_set(file, arg);
	case F_GET_SEALS:
		return fcntl_seals(file, false, 0);
	case F_ADD_SEALS:
		return fcntl_seals(file, true, (unsigned)arg);
	case F_NOTIFY:
		return dnotify_set(file, fd, arg);
	default:
		return -EINVAL;
	}
}

SYS2(flock, int, fd, int, operation)
{
	struct file *file = fd_get(fd);
	long err;

	if (file == NULL)
		return -EBADF;
	file_ref(file);
	err = locks_flock(file, operation);
	file_unref(file);
	return err;
}

/* ---- ioctl: what all descriptors know, then the file's own ---- */

static long ioctl_nonblock(struct file *file, const uint32_t *user_on)
{
	uint32_t on;

	if (get_user_u32(&on, user_on) != 0)
		return -EFAULT;
	return fcntl_setfl(file, on != 0 ? file->flags | O_NONBLOCK :
					   file->flags & ~(unsigned)O_NONBLOCK);
}

/* FIONREAD of a regular file: what is left of it. */
static long ioctl_regular_left(struct file *file, unsigned long arg)
{
	struct kstat st;
	int err = file_getattr(file, &st);

	if (err != 0)
		return err;
	if (!S_ISREG(st.mode))
		return -ENOTTY;
	return put_user_u32((uint32_t *)arg,
			    (uint32_t)(st.size > file->pos ? st.size - file->pos : 0));
}

static long ioctl_async(struct file *file, const uint32_t *user_on)
{
	uint32_t on;
	int err;

	if (get_user_u32(&on, user_on) != 0)
		return -EFAULT;
	err = fasync_set(file, on != 0);
	if (err == 0)
		file->flags = (file->flags & ~(unsigned)O_ASYNC) | (on != 0 ? O_ASYNC : 0);
	return err;
}

SYS3(ioctl, int, fd, unsigned, cmd, unsigned long, arg)
{
	struct file *file = fd_get(fd);
	long err;

	if (file == NULL || (file->flags & O_PATH) != 0)
		return -EBADF;
	switch (cmd) {
	case FIOCLEX:
		return fd_cloexec_set(fd, true);
	case FIONCLEX:
		return fd_cloexec_set(fd, false);
	case FIONBIO:
		return ioctl_nonblock(file, (const uint32_t *)arg);
	case FIOASYNC:
		return ioctl_async(file, (const uint32_t *)arg);
	default:
		break;
	}
	if (file->ops->ioctl == NULL)
		return cmd == FIONREAD ? ioctl_regular_left(file, arg) : -ENOTTY;
	file_ref(file);
	err = file->ops->ioctl(file, cmd, arg);
	file_unref(file);
	return err;
}

/* ---- pipes and memfds ---- */

static long pipe_open(int *user_fds, int flags)
{
	struct file *ends[2];
	int fds[2], err;

	if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) != 0)
		return -EINVAL;
	err = pipe_create((unsigned)flags & O_NONBLOCK, &ends[0], &ends[1]);
	if (err != 0)
		return err;
	fds[0] = fd_install(ends[0], 0, (flags & O_CLOEXEC) != 0);
	fds[1] = fds[0] < 0 ? fds[0] : fd_install(ends[1], 0, (flags & O_CLOEXEC) != 0);
	if (fds[1] < 0) {
		if (fds[0] >= 0)
			fd_close(fds[0]);
		else
			file_unref(ends[0]);
		file_unref(ends[1]);
		return fds[1];
	}
	if (copy_to_user(user_fds, fds, sizeof(fds)) != 0) {
		fd_close(fds[0]);
		fd_close(fds[1]);
		return -EFAULT;
	}
	return 0;
}

SYS1(pipe, int *, user_fds)
{
	return pipe_open(user_fds, 0);
}

SYS2(pipe2, int *, user_fds, int, flags)
{
	return pipe_open(user_fds, flags);
}

SYS2(memfd_create, const char *, user_name, unsigned, flags)
{
	char name[MFD_NAME_MAX + 1];
	struct file *file;
	ssize_t len;
	int err, fd;

	if ((flags & ~MFD_VALID) != 0)
		return -EINVAL; /* MFD_HUGETLB: there is no pool of huge pages */
	len = strncpy_from_user(name, user_name, sizeof(name));
	if (len < 0)
		return len == -ENAMETOOLONG ? -EINVAL : len;
	err = vfs_memfd_create(name, O_RDWR, &file);
	if (err != 0)
		return err;
	file->inode->sealable = true;
	file->inode->seals = (flags & (MFD_ALLOW_SEALING | 8U)) != 0 ? 0 : F_SEAL_SEAL;
	fd = fd_install(file, 0, (flags & MFD_CLOEXEC) != 0);
	if (fd < 0)
		file_unref(file);
	return fd;
}
