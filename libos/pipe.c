/*
 * pipe.c - pipes and FIFOs.  See pipe(7), fifo(7).
 *
 * One ring buffer in the arena, made at the first write.  Writes of at most PIPE_BUF bytes are
 * atomic.
 */
#include "libos/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/fs/fs.h"
#include "libos/instance.h"

#define PIPE_SIZE_DEFAULT 65536U
#define PIPE_SIZE_MAX (1U << 20) /* fs.pipe-max-size */

struct pipe {
	unsigned readers;
	unsigned writers;
	unsigned read_opens; /* FIFO: opens so far, which an open of the other side waits for */
	unsigned write_opens;
	uint8_t *data;
	unsigned size;
	unsigned head; /* where the next byte is read */
	unsigned used;
	struct wait_queue read_wait;
	struct wait_queue write_wait;
	bool is_fifo;
	bool held; /* splice reads it: nobody else may until it has */
};

static const struct file_ops pipe_ops;

static struct pipe *pipe_new(void)
{
	struct pipe *pipe = arena_zalloc(sizeof(*pipe));

	if (pipe == NULL)
		return NULL;
	pipe->size = PIPE_SIZE_DEFAULT;
	wait_queue_init(&pipe->read_wait);
	wait_queue_init(&pipe->write_wait);
	return pipe;
}

static void pipe_free(struct pipe *pipe)
{
	arena_free(pipe->data);
	arena_free(pipe);
}

static bool can_read(const struct file *file)
{
	return (file->flags & O_ACCMODE) != O_WRONLY;
}

static bool can_write(const struct file *file)
{
	return (file->flags & O_ACCMODE) != O_RDONLY;
}

/* ---- bytes ---- */

static bool ring_make(struct pipe *pipe)
{
	if (pipe->data == NULL)
		pipe->data = arena_alloc(pipe->size);
	return pipe->data != NULL;
}

static ssize_t ring_get(struct pipe *pipe, struct uio *uio)
{
	ssize_t done = 0;

	while (pipe->used > 0 && uio->left > 0) {
		unsigned run = MIN(pipe->used, pipe->size - pipe->head);
		ssize_t got = uio_copy_out(uio, pipe->data + pipe->head, run);

		if (got <= 0)
			return done > 0 ? done : got;
		pipe->head = (pipe->head + (unsigned)got) % pipe->size;
		pipe->used -= (unsigned)got;
		done += got;
		if ((unsigned)got < run)
			break;
	}
	if (pipe->used == 0)
		pipe->head = 0; /* the same cache lines and pages again */
	return done;
}

static ssize_t ring_put(struct pipe *pipe, struct uio *uio)
{
	ssize_t done = 0;

	while (pipe->used < pipe->size && uio->left > 0) {
		unsigned tail = (pipe->head + pipe->used) % pipe->size;
		unsigned run = MIN(pipe->size - pipe->used, pipe->size - tail);
		ssize_t got = uio_copy_in(uio, pipe->data + tail, run);

		if (got <= 0)
			return done > 0 ? done : got;
		pipe->used += (unsigned)got;
		done += got;
	}
	return done;
}

static int pipe_wait(bool nonblock, struct wait_queue *wq, uint32_t events)
{
	int err;

	if (nonblock)
		return -EAGAIN;
	err = wait_on(wq, events, WAIT_FOREVER);
	return err == -EINTR ? -ERESTARTSYS : err;
}

static bool is_nonblocking(const struct file *file)
{
	return (file->flags & O_NONBLOCK) != 0;
}

/* Waits for bytes: how many there are, 0 at the end of file, or an errno. */
static ssize_t pipe_wait_bytes(struct pipe *pipe, bool nonblock)
{
	int err;

	while (pipe->used == 0 || pipe->held) {
		if (pipe->writers == 0 && !pipe->held)
			return 0;
		err = pipe_wait(nonblock, &pipe->read_wait, POLLIN);
		if (err != 0)
			return err;
	}
	return (ssize_t)pipe->used;
}

static ssize_t pipe_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct pipe *pipe = file->data;
	ssize_t got;

	(void)pos;
	if (uio->left == 0)
		return 0;
	got = pipe_wait_bytes(pipe, is_nonblocking(file));
	if (got <= 0)
		return got;
	got = ring_get(pipe, uio);
	if (got > 0)
		wait_queue_wake(&pipe->write_wait, POLLOUT | POLLWRNORM);
	return got;
}

/* Room for the next piece: all of a small write, anything of a large one. */
static bool pipe_has_room(const struct pipe *pipe, size_t n)
{
	return pipe->size - pipe->used >= (n <= PIPE_BUF ? MAX(n, (size_t)1) : 1);
}

static int pipe_write_wait(struct pipe *pipe, bool nonblock, size_t n)
{
	int err;

	for (;;) {
		if (pipe->readers == 0) {
			signal_send_task(current(), SIGPIPE, NULL);
			return -EPIPE;
		}
		if (pipe_has_room(pipe, n))
			return 0;
		err = pipe_wait(nonblock, &pipe->write_wait, POLLOUT);
		if (err != 0)
			return err;
	}
}

static ssize_t pipe_write(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct pipe *pipe = file->data;
	size_t n = uio->left;
	ssize_t done = 0, got;
	int err;

	(void)pos;
	if (!ring_make(pipe))
		return -ENOMEM;
	while (uio->left > 0) {
		err = pipe_write_wait(pipe, is_nonblocking(file), n);
		if (err != 0)
			return done > 0 ? done : err;
		got = ring_put(pipe, uio);
		if (got <= 0)
			return done > 0 ? done : got;
		done += got;
		wait_queue_wake(&pipe->read_wait, POLLIN | POLLRDNORM);
	}
	return done;
}

static uint32_t pipe_poll(struct file *file, struct poll_table *table)
{
	struct pipe *pipe = file->data;
	uint32_t events = 0;

	if (table != NULL && table->queue != NULL) {
		if (can_read(file))
			table->queue(table, file, &pipe->read_wait);
		if (can_write(file))
			table->queue(table, file, &pipe->write_wait);
	}
	if (can_read(file)) {
		if (pipe->used > 0)
			events |= POLLIN | POLLRDNORM;
		/* A FIFO that nobody has opened for writing yet has not hung up. */
		if (pipe->writers == 0 && (!pipe->is_fifo || pipe->write_opens > 0))
			events |= POLLHUP;
	}
	if (can_write(file)) {
		if (pipe_has_room(pipe, PIPE_BUF))
			events |= POLLOUT | POLLWRNORM;
		if (pipe->readers == 0)
			events |= POLLERR;
	}
	return events;
}

static long pipe_ioctl(struct file *file, unsigned cmd, unsigned long arg)
{
	const struct pipe *pipe = file->data;

	return cmd == FIONREAD ? put_user_u32((uint32_t *)arg, pipe->used) : -ENOTTY;
}

static void pipe_release(struct file *file)
{
	struct pipe *pipe = file->data;

	pipe->readers -= can_read(file);
	pipe->writers -= can_write(file);
	wait_queue_wake(&pipe->read_wait, 0);
	wait_queue_wake(&pipe->write_wait, 0);
	if (pipe->readers == 0 && pipe->writers == 0) {
		if (!pipe->is_fifo) {
			pipe_free(pipe);
			return;
		}
		pipe->used = 0;
		pipe->head = 0;
		pipe->read_opens = 0;
		pipe->write_opens = 0;
	}
}

static int pipe_getattr(struct file *file, struct kstat *st)
{
	(void)file;
	st->mode = S_IFIFO | 0600;
	return 0;
}

static const struct file_ops pipe_ops = {
	.name = "pipe",
	.read = pipe_read,
	.write = pipe_write,
	.poll = pipe_poll,
	.ioctl = pipe_ioctl,
	.getattr = pipe_getattr,
	.release = pipe_release,
};

int pipe_create(unsigned flags, struct file **ret_read, struct file **ret_write)
{
	struct pipe *pipe = pipe_new();

	if (pipe == NULL)
		return -ENOMEM;
	*ret_read = file_create(&pipe_ops, pipe, O_RDONLY | flags);
	*ret_write = file_create(&pipe_ops, pipe, O_WRONLY | flags);
	if (*ret_read == NULL || *ret_write == NULL) {
		arena_free(*ret_read);
		arena_free(*ret_write);
		pipe_free(pipe);
		return -ENOMEM;
	}
	pipe->readers = 1;
	pipe->writers = 1;
	return 0;
}

int pipe_reopen(struct file *file, unsigned flags, struct file **ret_file)
{
	struct pipe *pipe = file->data;
	struct file *end;

	if (file->ops != &pipe_ops)
		return -ENXIO;
	end = file_create(&pipe_ops, pipe, flags & (O_ACCMODE | O_NONBLOCK));
	if (end == NULL)
		return -ENOMEM;
	if (file->inode != NULL) { /* a FIFO's pipe lives with its inode */
		end->inode = inode_ref(file->inode);
		end->path = path_ref(file->path);
	}
	pipe->readers += can_read(end);
	pipe->writers += can_write(end);
	*ret_file = end;
	return 0;
}

/* ---- splice ---- */

bool pipe_is(const struct file *file)
{
	return file->ops == &pipe_ops;
}

/* The first n bytes, which stay. */
static void ring_peek(const struct pipe *pipe, uint8_t *buf, unsigned n)
{
	unsigned run = MIN(n, pipe->size - pipe->head);

	memcpy(buf, pipe->data + pipe->head, run);
	memcpy(buf + run, pipe->data, n - run);
}

static void ring_drop(struct pipe *pipe, unsigned n)
{
	pipe->head = (pipe->head + n) % pipe->size;
	pipe->used -= n;
}

ssize_t pipe_peek_begin(struct file *file, void *buf, size_t n, bool nonblock)
{
	struct pipe *pipe = file->data;
	ssize_t have = pipe_wait_bytes(pipe, nonblock || is_nonblocking(file));

	if (have <= 0)
		return have;
	n = MIN(n, (size_t)have);
	ring_peek(pipe, buf, (unsigned)n);
	pipe->held = true;
	return (ssize_t)n;
}

void pipe_peek_end(struct file *file, size_t n)
{
	struct pipe *pipe = file->data;

	pipe->held = false;
	ring_drop(pipe, (unsigned)n);
	wait_queue_wake(&pipe->read_wait, POLLIN | POLLRDNORM);
	wait_queue_wake(&pipe->write_wait, POLLOUT | POLLWRNORM);
}

ssize_t pipe_wait_room(struct file *file, bool nonblock)
{
	struct pipe *pipe = file->data;
	int err = pipe_write_wait(pipe, nonblock || is_nonblocking(file), 1);

	return err != 0 ? err : (ssize_t)(pipe->size - pipe->used);
}

/* Both are ready at once, for nothing sleeps between the last look and the copy. */
static int transfer_wait(struct file *in, struct file *out, bool nonblock)
{
	struct pipe *from = in->data, *to = out->data;
	ssize_t err;

	for (;;) {
		err = pipe_wait_bytes(from, nonblock || is_nonblocking(in));
		if (err > 0)
			err = pipe_wait_room(out, nonblock);
		if (err <= 0)
			return (int)err;
		if (from->used > 0 && !from->held && to->used < to->size)
			return 1;
	}
}

ssize_t pipe_transfer(struct file *in, struct file *out, size_t n, bool nonblock, bool keep)
{
	struct pipe *from = in->data, *to = out->data;
	unsigned done = 0;
	int err;

	if (from == to)
		return -EINVAL;
	if (!ring_make(to))
		return -ENOMEM;
	err = transfer_wait(in, out, nonblock);
	if (err <= 0)
		return err;
	n = MIN(n, from->used);
	n = MIN(n, to->size - to->used);
	while (done < n) {
		unsigned at = (from->head + done) % from->size;
		unsigned tail = (to->head + to->used) % to->size;
		unsigned run = MIN((unsigned)n - done, from->size - at);

		run = MIN(run, to->size - tail);
		memcpy(to->data + tail, from->data + at, run);
		to->used += run;
		done += run;
	}
	if (!keep)
		ring_drop(from, done);
	wait_queue_wake(&to->read_wait, POLLIN | POLLRDNORM);
	if (!keep)
		wait_queue_wake(&from->write_wait, POLLOUT | POLLWRNORM);
	return (ssize_t)done;
}

/* ---- size ---- */

long pipe_size_get(const struct file *file)
{
	const struct pipe *pipe = file->data;

	return file->ops == &pipe_ops ? (long)pipe->size : -EBADF;
}

long pipe_size_set(struct file *file, unsigned long size)
{
	struct pipe *pipe = file->data;
	unsigned rounded = ABI_PAGE_SIZE;
	uint8_t *data = NULL;

	if (file->ops != &pipe_ops)
		return -EBADF;
	if (size > PIPE_SIZE_MAX)
		return -EPERM;
	while (rounded < size)
		rounded *= 2;
	if (rounded < pipe->used)
		return -EBUSY;
	if (pipe->data != NULL) {
		data = arena_alloc(rounded);
		if (data == NULL)
			return -ENOMEM;
		for (unsigned i = 0; i < pipe->used; i++)
			data[i] = pipe->data[(pipe->head + i) % pipe->size];
		arena_free(pipe->data);
	}
	pipe->data = data;
	pipe->head = 0;
	pipe->size = rounded;
	return (long)rounded;
}

/* ---- FIFOs ---- */

/* Waits for the other side; the pipe lives with the inode, which the caller holds. */
static int fifo_wait(struct pipe *pipe, const unsigned *others, const unsigned *other_opens,
		     unsigned flags)
{
	unsigned opens = *other_opens;
	int err;

	while (*others == 0 && *other_opens == opens) {
		if ((flags & O_NONBLOCK) != 0)
			return 0;
		err = wait_on(&pipe->read_wait, 0, WAIT_FOREVER);
		if (err != 0)
			return err == -EINTR ? -ERESTARTSYS : err;
	}
	return 0;
}

int fifo_open(struct inode *inode, struct file *file)
{
	struct pipe *pipe = inode->pipe;
	int err = 0;

	if (pipe == NULL) {
		pipe = pipe_new();
		if (pipe == NULL)
			return -ENOMEM;
		pipe->is_fifo = true;
		inode->pipe = pipe;
	}
	if ((file->flags & O_ACCMODE) == O_WRONLY && (file->flags & O_NONBLOCK) != 0 &&
	    pipe->readers == 0)
		return -ENXIO;
	file->data = pipe;
	pipe->readers += can_read(file);
	pipe->writers += can_write(file);
	pipe->read_opens += can_read(file);
	pipe->write_opens += can_write(file);
	wait_queue_wake(&pipe->read_wait, 0);
	if ((file->flags & O_ACCMODE) == O_RDONLY)
		err = fifo_wait(pipe, &pipe->writers, &pipe->write_opens, file->flags);
	else if ((file->flags & O_ACCMODE) == O_WRONLY)
		err = fifo_wait(pipe, &pipe->readers, &pipe->read_opens, file->flags);
	if (err != 0) {
		pipe->readers -= can_read(file);
		pipe->writers -= can_write(file);
		wait_queue_wake(&pipe->read_wait, 0);
		return err;
	}
	file->ops = &pipe_ops;
	return 0;
}

void fifo_evict(struct inode *inode)
{
	pipe_free(inode->pipe);
	inode->pipe = NULL;
}
