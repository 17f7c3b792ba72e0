/*
 * eventfd.c - eventfd(2): a counter to wait for.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "libos/arena.h"
#include "libos/file.h"
#include "libos/syscall.h"

#define EVENTFD_MAX (UINT64_MAX - 1)

struct eventfd {
	uint64_t count;
	bool semaphore;
	struct wait_queue wq;
};

static int efd_wait(struct file *file, uint32_t events)
{
	struct eventfd *efd = file->data;
	int err;

	if ((file->flags & O_NONBLOCK) != 0)
		return -EAGAIN;
	err = wait_on(&efd->wq, events, WAIT_FOREVER);
	return err == -EINTR ? -ERESTARTSYS : err;
}

static ssize_t efd_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct eventfd *efd = file->data;
	uint64_t value;
	ssize_t got;
	int err;

	(void)pos;
	if (uio->left < sizeof(value))
		return -EINVAL;
	while (efd->count == 0) {
		err = efd_wait(file, POLLIN);
		if (err != 0)
			return err;
	}
	value = efd->semaphore ? 1 : efd->count;
	got = uio_copy_out(uio, &value, sizeof(value));
	if (got != sizeof(value))
		return -EFAULT;
	efd->count -= value;
	wait_queue_wake(&efd->wq, POLLOUT | POLLWRNORM);
	return got;
}

static ssize_t efd_write(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct eventfd *efd = file->data;
	uint64_t value;
	int err;

	(void)pos;
	if (uio->left < sizeof(value))
		return -EINVAL;
	if (uio_copy_in(uio, &value, sizeof(value)) != sizeof(value))
		return -EFAULT;
	if (value == UINT64_MAX)
		return -EINVAL;
	while (EVENTFD_MAX - efd->count < value) {
		err = efd_wait(file, POLLOUT);
		if (err != 0)
			return err;
	}
	efd->count += value;
	if (value > 0)
		wait_queue_wake(&efd->wq, POLLIN | POLLRDNORM);
	return sizeof(value);
}

static uint32_t efd_poll(struct file *file, struct poll_table *table)
{
	struct eventfd *efd = file->data;

	if (table != NULL && table->queue != NULL)
		table->queue(table, file, &efd->wq);
	return (efd->count > 0 ? POLLIN | POLLRDNORM : 0U) |
	       (efd->count < EVENTFD_MAX ? POLLOUT | POLLWRNORM : 0U);
}

static void efd_release(struct file *file)
{
	arena_free(file->data);
}

static const struct file_ops eventfd_ops = {
	.name = "anon_inode:[eventfd]",
	.read = efd_read,
	.write = efd_write,
	.poll = efd_poll,
	.release = efd_release,
};

static long eventfd_open(unsigned count, int flags)
{
	struct eventfd *efd;
	struct file *file;
	int fd;

	if ((flags & ~(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK)) != 0)
		return -EINVAL;
	efd = arena_zalloc(sizeof(*efd));
	if (efd == NULL)
		return -ENOMEM;
	efd->count = count;
	efd->semaphore = (flags & EFD_SEMAPHORE) != 0;
	wait_queue_init(&efd->wq);
	file = file_create(&eventfd_ops, efd,
			   O_RDWR | ((flags & EFD_NONBLOCK) != 0 ? O_NONBLOCK : 0));
	if (file == NULL) {
		arena_free(efd);
		return -ENOMEM;
	}
	fd = fd_install(file, 0, (flags & EFD_CLOEXEC) != 0);
	if (fd < 0)
		file_unref(file);
	return fd;
}

SYS1(eventfd, unsigned, count)
{
	return eventfd_open(count, 0);
}

SYS2(eventfd2, unsigned, count, int, flags)
{
	return eventfd_open(count, flags);
}
