/*
 * file.c - handlers of reading, writing and positions: everything that needs only a descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/file.h"
#include "libos/fs/fs.h"
#include "libos/inotify.h"
#include "libos/instance.h"
#include "libos/syscall.h"
#include "libos/uaccess.h"

/* <linux/fs.h> has them, which does not go with musl's headers. */
#define RWF_HIPRI 1
#define RWF_DSYNC 2
#define RWF_SYNC 4
#define RWF_NOWAIT 8
#define RWF_APPEND 16
#define RWF_KNOWN (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND)
#define RW_MAX 0x7ffff000UL /* what one call moves at most (read(2), NOTES) */

static bool may_read(const struct file *file)
{
	return (file->flags & O_ACCMODE) != O_WRONLY && (file->flags & O_PATH) == 0;
}

static bool may_write(const struct file *file)
{
	return (file->flags & O_ACCMODE) != O_RDONLY && (file->flags & O_PATH) == 0;
}

/* The file is held while the call may sleep: another task may close the descriptor. */
static ssize_t rw_held(struct file *file, struct uio *uio, uint64_t *pos, bool write)
{
	struct process *process = current()->process;
	ssize_t n;

	file_ref(file);
	n = write ? file_write(file, uio, pos) : file_read(file, uio, pos);
	file_unref(file);
	if (write) {
		process->io.writes++;
		process->io.write_bytes += n > 0 ? (uint64_t)n : 0;
	} else {
		process->io.reads++;
		process->io.read_bytes += n > 0 ? (uint64_t)n : 0;
	}
	return n;
}

static ssize_t rw_uio(struct file *file, struct uio *uio, bool write)
{
	if (!(write ? may_write(file) : may_read(file)))
		return -EBADF;
	if (!write && file->ops->getdents != NULL)
		return -EISDIR;
	return rw_held(file, uio, &file->pos, write);
}

/* pread and pwrite: a position of their own. */
static ssize_t rw_uio_at(struct file *file, struct uio *uio, int64_t off, bool write)
{
	uint64_t pos = (uint64_t)off;

	if (off < 0)
		return -EINVAL;
	if (!(write ? may_write(file) : may_read(file)))
		return -EBADF;
	if (!file->seekable)
		return -ESPIPE;
	if (!write && file->ops->getdents != NULL)
		return -EISDIR;
	return rw_held(file, uio, &pos, write);
}

static ssize_t rw(int fd, void *buf, size_t n, bool write)
{
	struct file *file = fd_get(fd);
	struct iovec iov;
	struct uio uio;

	if (file == NULL)
		return -EBADF;
	if (!user_range_ok(buf, n))
		return -EFAULT;
	uio_init(&uio, &iov, buf, MIN(n, RW_MAX), false);
	return rw_uio(file, &uio, write);
}

static ssize_t rw_at(int fd, void *buf, size_t n, int64_t off, bool write)
{
	struct file *file = fd_get(fd);
	struct iovec iov;
	struct uio uio;

	if (file == NULL)
		return -EBADF;
	if (!user_range_ok(buf, n))
		return -EFAULT;
	uio_init(&uio, &iov, buf, MIN(n, RW_MAX), false);
	return rw_uio_at(file, &uio, off, write);
}

SYS3(read, int, fd, void *, buf, size_t, n)
{
	return rw(fd, buf, n, false);
}

SYS3(write, int, fd, void *, buf, size_t, n)
{
	return rw(fd, buf, n, true);
}

SYS4(pread64, int, fd, void *, buf, size_t, n, int64_t, off)
{
	return rw_at(fd, buf, n, off, false);
}

SYS4(pwrite64, int, fd, void *, buf, size_t, n, int64_t, off)
{
	return rw_at(fd, buf, n, off, true);
}

/* off -1: at the file's own position (preadv2(2)). */
static ssize_t rwv(int fd, const struct iovec *user_iov, unsigned long nr, int64_t off, bool at,
		   bool write)
{
	struct iovec small[8], *iov = small;
	struct file *file = fd_get(fd);
	struct uio uio;
	ssize_t n;

	if (file == NULL)
		return -EBADF;
	if (nr > UIO_MAX_IOV)
		return -EINVAL;
	if (nr > ARRAY_SIZE(small)) {
		iov = arena_alloc(nr * sizeof(*iov));
		if (iov == NULL)
			return -ENOMEM;
	}
	n = uio_import(&uio, iov, user_iov, nr);
	if (n >= 0)
		n = at ? rw_uio_at(file, &uio, off, write) : rw_uio(file, &uio, write);
	if (iov != small)
		arena_free(iov);
	return n;
}

SYS3(readv, int, fd, const struct iovec *, iov, unsigned long, nr)
{
	return rwv(fd, iov, nr, 0, false, false);
}

SYS3(writev, int, fd, const struct iovec *, iov, unsigned long, nr)
{
	return rwv(fd, iov, nr, 0, false, true);
}

SYS4(preadv, int, fd, const struct iovec *, iov, unsigned long, nr, int64_t, off)
{
	return rwv(fd, iov, nr, off, true, false);
}

SYS4(pwritev, int, fd, const struct iovec *, iov, unsigned long, nr, int64_t, off)
{
	return rwv(fd, iov, nr, off, true, true);
}

/*
 * The flags of preadv2 and pwritev2 are flags of the open file for one call: a copy of it has them.
 * What is asked not to wait does not sleep, so nobody sees the copy.
 */
static ssize_t rwv_flags(int fd, const struct iovec *user_iov, unsigned long nr, int64_t off,
			 int flags, bool write)
{
	struct file *file = fd_get(fd), once;
	struct iovec *iov;
	struct uio uio;
	ssize_t n;

	if (file == NULL)
		return -EBADF;
	if ((flags & ~RWF_KNOWN) != 0)
		return -EOPNOTSUPP;
	if (nr > UIO_MAX_IOV)
		return -EINVAL;
	iov = arena_alloc(nr * sizeof(*iov) + 1);
	if (iov == NULL)
		return -ENOMEM;
	n = uio_import(&uio, iov, user_iov, nr);
	once = *file;
	once.flags |= (flags & RWF_NOWAIT) != 0 ? O_NONBLOCK : 0;
	once.flags |= (flags & RWF_APPEND) != 0 && write ? O_APPEND : 0;
	file_ref(file);
	if (n >= 0 && off == -1) {
		n = rw_uio(&once, &uio, write);
		file->pos = once.pos;
	} else if (n >= 0) {
		n = rw_uio_at(&once, &uio, off, write);
	}
	if (n > 0 && write && (flags & (RWF_SYNC | RWF_DSYNC)) != 0 && file->ops->fsync != NULL) {
		int err = file->ops->fsync(file, (flags & RWF_SYNC) == 0);

		n = err != 0 ? err : n;
	}
	file_unref(file);
	arena_free(iov);
	return n;
}

/* The sixth argument is flags; the fifth is the upper half of off, nothing on 64 bits. */
SYS6(preadv2, int, fd, const struct iovec *, iov, unsigned long, nr, int64_t, off, long, high, int,
     flags)
{
	(void)high;
	return flags != 0 ? rwv_flags(fd, iov, nr, off, flags, false) :
			    rwv(fd, iov, nr, off, off != -1, false);
}

SYS6(pwritev2, int, fd, const struct iovec *, iov, unsigned long, nr, int64_t, off, long, high, int,
     flags)
{
	(void)high;
	return flags != 0 ? rwv_flags(fd, iov, nr, off, flags, true) :
			    rwv(fd, iov, nr, off, off != -1, true);
}

SYS3(lseek, int, fd, int64_t, off, int, whence)
{
	struct file *file = fd_get(fd);

	if (file == NULL)
		return -EBADF;
	if (file->ops->lseek == NULL)
		return -ESPIPE;
	return file->ops->lseek(file, off, whence);
}

/* ---- sizes ---- */

SYS2(ftruncate, int, fd, int64_t, size)
{
	struct file *file = fd_get(fd);

	if (file == NULL)
		return -EBADF;
	if (size < 0)
		return -EINVAL;
	if (!may_write(file))
		return -EINVAL;
	return file_truncate(file, (uint64_t)size);
}

SYS4(fallocate, int, fd, int, mode, int64_t, off, int64_t, len)
{
	struct file *file = fd_get(fd);
	int err;

	if (file == NULL || !may_write(file))
		return -EBADF;
	if (off < 0 || len <= 0)
		return -EINVAL;
	if (file->ops->fallocate == NULL)
		return file->seekable ? -EOPNOTSUPP : -ESPIPE;
	err = file->ops->fallocate(file, mode, (uint64_t)off, (uint64_t)len);
	if (err == 0)
		inotify_file(file, IN_MODIFY);
	return err;
}

static long do_fsync_common(int fd, bool data_only)
{
	struct file *file = fd_get(fd);

	if (file == NULL)
		return -EBADF;
	return file->ops->fsync != NULL ? file->ops->fsync(file, data_only) : -EINVAL;
}

SYS1(fsync, int, fd)
{
	return do_fsync_common(fd, false);
}

SYS1(fdatasync, int, fd)
{
	return do_fsync_common(fd, true);
}

SYS1(syncfs, int, fd)
{
	return fd_get(fd) == NULL ? -EBADF : 0; /* memfs has nothing to write; volumes are written
						   through */
}

/* sync(2) may return before anything is written, and here the host writes on its own. */
SYS0(sync)
{
	return 0;
}

/* Memory is as durable as memfs gets; the bytes of volumes are the host's, and synced whole. */
SYS4(sync_file_range, int, fd, int64_t, off, int64_t, n, unsigned, flags)
{
	struct file *file = fd_get(fd);
	struct kstat st;

	if (file == NULL || (file->flags & O_PATH) != 0)
		return -EBADF;
	if ((flags & ~7U) != 0 || off < 0 || n < 0 || off + n < off)
		return -EINVAL;
	if (file_getattr(file, &st) != 0)
		return -EBADF;
	if (!S_ISREG(st.mode) && !S_ISBLK(st.mode) && !S_ISDIR(st.mode) && !S_ISLNK(st.mode))
		return -ESPIPE;
	return flags != 0 && file->ops->fsync != NULL ? file->ops->fsync(file, true) : 0;
}

/* Advice about access patterns; a file system may take none (posix_fadvise(2)). */
SYS4(fadvise64, int, fd, int64_t, off, int64_t, len, int, advice)
{
	const struct file *file = fd_get(fd);

	(void)off;
	if (file == NULL)
		return -EBADF;
	if (!file->seekable)
		return -ESPIPE;
	return len < 0 || advice < POSIX_FADV_NORMAL || advice > POSIX_FADV_NOREUSE ? -EINVAL : 0;
}

SYS3(readahead, int, fd, int64_t, off, size_t, n)
{
	const struct file *file = fd_get(fd);

	(void)off;
	(void)n;
	if (file == NULL || !may_read(file))
		return -EBADF;
	return file->seekable && file->ops->getdents == NULL ? 0 : -EINVAL;
}

/* ---- copies between descriptors ---- */

#define COPY_CHUNK 65536UL

/* Moves up to n bytes through libOS memory; positions advance by what arrived. */
static ssize_t copy_bytes(struct file *in, uint64_t *in_pos, struct file *out, uint64_t *out_pos,
			  size_t n)
{
	uint8_t *buf = arena_alloc(MIN(n, COPY_CHUNK));
	ssize_t done = 0, got = 0, put = 0;

	if (buf == NULL)
		return -ENOMEM;
	while ((size_t)done < n) {
		uint64_t pos = *in_pos;
		struct iovec iov;
		struct uio uio;

		uio_init(&uio, &iov, buf, MIN(n - (size_t)done, COPY_CHUNK), true);
		got = rw_held(in, &uio, &pos, false);
		if (got <= 0)
			break;
		uio_init(&uio, &iov, buf, (size_t)got, true);
		put = rw_held(out, &uio, out_pos, true);
		if (put <= 0)
			break;
		*in_pos += (uint64_t)put;
		done += put;
		if (put < got)
			break;
	}
	arena_free(buf);
	if (done > 0)
		return done;
	return got <= 0 ? got : put;
}

SYS4(sendfile, int, out_fd, int, in_fd, int64_t *, user_off, size_t, n)
{
	struct file *in = fd_get(in_fd), *out = fd_get(out_fd);
	uint64_t off = 0;
	ssize_t done;

	if (in == NULL || out == NULL || !may_read(in) || !may_write(out))
		return -EBADF;
	if (!in->seekable || in->ops->getdents != NULL || (out->flags & O_APPEND) != 0)
		return -EINVAL;
	if (user_off != NULL && get_user_u64(&off, (uint64_t *)user_off) != 0)
		return -EFAULT;
	if ((int64_t)off < 0)
		return -EINVAL;
	file_ref(in);
	file_ref(out);
	done = copy_bytes(in, user_off != NULL ? &off : &in->pos, out, &out->pos, MIN(n, RW_MAX));
	file_unref(in);
	file_unref(out);
	if (user_off != NULL && put_user_u64((uint64_t *)user_off, off) != 0)
		return -EFAULT;
	return done;
}

static int offset_import(const uint64_t *user_off, const struct file *file, uint64_t *ret_off)
{
	*ret_off = file->pos;
	if (user_off == NULL)
		return 0;
	if (get_user_u64(ret_off, user_off) != 0)
		return -EFAULT;
	return (int64_t)*ret_off < 0 ? -EINVAL : 0;
}

static int offset_export(uint64_t *user_off, uint64_t off)
{
	return user_off != NULL ? put_user_u64(user_off, off) : 0;
}

SYS6(copy_file_range, int, in_fd, uint64_t *, user_in, int, out_fd, uint64_t *, user_out, size_t, n,
     unsigned, flags)
{
	struct file *in = fd_get(in_fd), *out = fd_get(out_fd);
	uint64_t in_off, out_off;
	ssize_t done;
	int err;

	if (flags != 0)
		return -EINVAL;
	if (in == NULL || out == NULL || !may_read(in) || !may_write(out) ||
	    (out->flags & O_APPEND) != 0)
		return -EBADF;
	if (in->ops->getdents != NULL || out->ops->getdents != NULL)
		return -EISDIR;
	if (!in->seekable || !out->seekable)
		return -EINVAL;
	err = offset_import(user_in, in, &in_off);
	if (err == 0)
		err = offset_import(user_out, out, &out_off);
	if (err != 0)
		return err;
	n = MIN(n, RW_MAX);
	if (in->inode == out->inode && in_off < out_off + n && out_off < in_off + n)
		return -EINVAL;
	file_ref(in);
	file_ref(out);
	/* a file's own position is moved by itself: the host keeps that of stdio */
	done = copy_bytes(in, user_in != NULL ? &in_off : &in->pos, out,
			  user_out != NULL ? &out_off : &out->pos, n);
	err = offset_export(user_in, in_off);
	if (err == 0)
		err = offset_export(user_out, out_off);
	file_unref(in);
	file_unref(out);
	return err != 0 ? err : done;
}

/* ---- directories ---- */

static long do_getdents_common(int fd, void *buf, unsigned size, bool old_format)
{
	struct dirent_sink sink = {.user_buf = buf, .size = size, .old_format = old_format};
	struct file *file = fd_get(fd);
	uint64_t before;
	int err;

	if (file == NULL || (file->flags & O_PATH) != 0)
		return -EBADF;
	if (file->ops->getdents == NULL)
		return -ENOTDIR;
	if (!user_range_ok(buf, size))
		return -EFAULT;
	before = file->pos;
	err = file->ops->getdents(file, &sink);
	if (err == 0)
		inotify_file(file, IN_ACCESS);
	if (sink.used > 0)
		return (long)sink.used;
	if (err != 0)
		return err;
	/* An entry was there but did not fit. */
	return file->pos == before && size < 24 ? -EINVAL : 0;
}

SYS3(getdents, int, fd, void *, buf, unsigned, size)
{
	return do_getdents_common(fd, buf, size, true);
}

SYS3(getdents64, int, fd, void *, buf, unsigned, size)
{
	return do_getdents_common(fd, buf, size, false);
}
