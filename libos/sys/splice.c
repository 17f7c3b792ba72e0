/*
 * splice.c - handlers of splice(2), tee(2) and vmsplice(2).
 *
 * Bytes are copied: what a program can see of a transfer is its order, its sizes and its errors.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/file.h"
#include "libos/instance.h"
#include "libos/pipe.h"
#include "libos/syscall.h"
#include "libos/uaccess.h"

#define SPLICE_FLAGS (SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT)
#define SPLICE_CHUNK 65536UL

/* One end of a transfer: a file, and where in it; pos is off or the file's own. */
struct end {
	struct file *file;
	uint64_t *pos;
	uint64_t off;
};

static int end_init(struct end *end, struct file *file, const uint64_t *user_off)
{
	end->file = file;
	end->pos = &file->pos;
	if (user_off == NULL)
		return 0;
	if (pipe_is(file) || !file->seekable)
		return -ESPIPE;
	if (get_user_u64(&end->off, user_off) != 0)
		return -EFAULT;
	if ((int64_t)end->off < 0)
		return -EINVAL;
	end->pos = &end->off;
	return 0;
}

/* What a pipe holds goes to a file; the pipe is held, so that nobody reads in between. */
static ssize_t pipe_to_file(struct file *in, struct end *out, void *buf, size_t n, bool nonblock)
{
	ssize_t got = pipe_peek_begin(in, buf, MIN(n, SPLICE_CHUNK), nonblock), put;
	struct iovec iov;
	struct uio uio;

	if (got <= 0)
		return got;
	uio_init(&uio, &iov, buf, (size_t)got, true);
	put = file_write(out->file, &uio, out->pos);
	pipe_peek_end(in, put > 0 ? (size_t)put : 0);
	return put;
}

static ssize_t file_to_pipe(struct end *in, struct file *out, void *buf, size_t n, bool nonblock)
{
	ssize_t room = pipe_wait_room(out, nonblock), got, put;
	uint64_t pos = *in->pos;
	struct iovec iov;
	struct uio uio;

	if (room <= 0)
		return room;
	n = MIN(n, (size_t)room);
	uio_init(&uio, &iov, buf, MIN(n, SPLICE_CHUNK), true);
	got = file_read(in->file, &uio, &pos);
	if (got <= 0)
		return got;
	uio_init(&uio, &iov, buf, (size_t)got, true);
	put = file_write(out, &uio, NULL);
	if (put > 0)
		*in->pos += (uint64_t)put;
	return put;
}

static ssize_t move_bytes(struct end *in, struct end *out, size_t n, unsigned flags)
{
	bool nonblock = (flags & SPLICE_F_NONBLOCK) != 0;
	void *buf = arena_alloc(MIN(n, SPLICE_CHUNK));
	ssize_t done;

	if (buf == NULL)
		return -ENOMEM;
	file_ref(in->file);
	file_ref(out->file);
	if (pipe_is(in->file) && pipe_is(out->file))
		done = pipe_transfer(in->file, out->file, n, nonblock, false);
	else if (pipe_is(in->file))
		done = pipe_to_file(in->file, out, buf, n, nonblock);
	else
		done = file_to_pipe(in, out->file, buf, n, nonblock);
	file_unref(in->file);
	file_unref(out->file);
	arena_free(buf);
	return done;
}

/* Both descriptors of a call: -EBADF, or -EINVAL for what cannot be spliced. */
static int files_get(int in_fd, int out_fd, struct file **ret_in, struct file **ret_out)
{
	struct file *in = fd_get(in_fd), *out = fd_get(out_fd);

	if (in == NULL || out == NULL || ((in->flags | out->flags) & O_PATH) != 0)
		return -EBADF;
	if ((in->flags & O_ACCMODE) == O_WRONLY || (out->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	*ret_in = in;
	*ret_out = out;
	return 0;
}

SYS6(splice, int, in_fd, uint64_t *, user_in, int, out_fd, uint64_t *, user_out, size_t, n,
     unsigned, flags)
{
	struct file *in_file, *out_file;
	struct end in, out;
	ssize_t done;
	int err;

	if (n == 0)
		return 0;
	if ((flags & ~(unsigned)SPLICE_FLAGS) != 0)
		return -EINVAL;
	err = files_get(in_fd, out_fd, &in_file, &out_file);
	if (err == 0)
		err = end_init(&in, in_file, user_in);
	if (err == 0)
		err = end_init(&out, out_file, user_out);
	if (err != 0)
		return err;
	if (!pipe_is(in_file) && !pipe_is(out_file))
		return -EINVAL;
	if (in_file->ops->getdents != NULL || in_file->ops->read == NULL ||
	    out_file->ops->write == NULL || (out_file->flags & O_APPEND) != 0)
		return -EINVAL;
	done = move_bytes(&in, &out, n, flags);
	if (done > 0 && user_in != NULL && put_user_u64(user_in, in.off) != 0)
		return -EFAULT;
	if (done > 0 && user_out != NULL && put_user_u64(user_out, out.off) != 0)
		return -EFAULT;
	return done;
}

SYS4(tee, int, in_fd, int, out_fd, size_t, n, unsigned, flags)
{
	struct file *in, *out;
	ssize_t done;
	int err;

	if ((flags & ~(unsigned)SPLICE_FLAGS) != 0)
		return -EINVAL;
	if (n == 0)
		return 0;
	err = files_get(in_fd, out_fd, &in, &out);
	if (err != 0)
		return err;
	if (!pipe_is(in) || !pipe_is(out))
		return -EINVAL;
	file_ref(in);
	file_ref(out);
	done = pipe_transfer(in, out, n, (flags & SPLICE_F_NONBLOCK) != 0, true);
	file_unref(in);
	file_unref(out);
	return done;
}

/* The file as it would be with O_NONBLOCK, for one call that then does not sleep. */
static ssize_t pipe_io(struct file *file, struct uio *uio, bool write, bool nonblock)
{
	struct file once = *file;
	ssize_t n;

	if (nonblock) {
		once.flags |= O_NONBLOCK;
		return write ? once.ops->write(&once, uio, NULL) : once.ops->read(&once, uio, NULL);
	}
	file_ref(file);
	n = write ? file_write(file, uio, NULL) : file_read(file, uio, NULL);
	file_unref(file);
	return n;
}

SYS4(vmsplice, int, fd, const struct iovec *, user_iov, unsigned long, nr, unsigned, flags)
{
	struct file *file = fd_get(fd);
	struct iovec *iov;
	struct uio uio;
	ssize_t n;
	bool write;

	if ((flags & ~(unsigned)SPLICE_FLAGS) != 0)
		return -EINVAL;
	if (file == NULL)
		return -EBADF;
	if (!pipe_is(file))
		return -EBADF;
	if (nr > UIO_MAX_IOV)
		return -EINVAL;
	write = (file->flags & O_ACCMODE) != O_RDONLY;
	iov = arena_alloc(nr * sizeof(*iov) + 1);
	if (iov == NULL)
		return -ENOMEM;
	n = uio_import(&uio, iov, user_iov, nr);
	if (n > 0)
		n = pipe_io(file, &uio, write, (flags & SPLICE_F_NONBLOCK) != 0);
	arena_free(iov);
	return n;
}
