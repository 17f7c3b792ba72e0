/*
 * timerfd.c - timerfd_create(2): timers to wait for with poll and read.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/timerfd.h>

#include "libos/arena.h"
#include "libos/file.h"
#include "libos/syscall.h"
#include "libos/timer.h"
#include "libos/timespec.h"

struct timerfd {
	struct timer timer;
	int clock_id;
	uint64_t expires_ns; /* CLOCK_MONOTONIC; 0: disarmed */
	uint64_t interval_ns;
	uint64_t ticks; /* expirations that nobody has read */
	struct wait_queue wq;
};

static const struct file_ops timerfd_ops;

/* Counts what has expired by now and sets the next expiration. */
static void timerfd_advance(struct timerfd *tfd)
{
	uint64_t now_ns = clock_monotonic_ns(), n;

	if (tfd->expires_ns == 0 || now_ns < tfd->expires_ns)
		return;
	if (tfd->interval_ns == 0) {
		tfd->ticks++;
		tfd->expires_ns = 0;
		return;
	}
	n = (now_ns - tfd->expires_ns) / tfd->interval_ns + 1;
	tfd->ticks += n;
	tfd->expires_ns += n * tfd->interval_ns;
}

static void timerfd_fire(struct timer *timer)
{
	struct timerfd *tfd = timer->data;

	timerfd_advance(tfd);
	if (tfd->expires_ns != 0)
		timer_arm(&tfd->timer, tfd->expires_ns);
	if (tfd->ticks > 0)
		wait_queue_wake(&tfd->wq, POLLIN | POLLRDNORM);
}

static ssize_t timerfd_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct timerfd *tfd = file->data;
	ssize_t got;
	int err;

	(void)pos;
	if (uio->left < sizeof(tfd->ticks))
		return -EINVAL;
	timerfd_advance(tfd);
	while (tfd->ticks == 0) {
		if ((file->flags & O_NONBLOCK) != 0)
			return -EAGAIN;
		err = wait_on(&tfd->wq, POLLIN, WAIT_FOREVER);
		if (err != 0)
			return err == -EINTR ? -ERESTARTSYS : err;
	}
	got = uio_copy_out(uio, &tfd->ticks, sizeof(tfd->ticks));
	if (got != sizeof(tfd->ticks))
		return -EFAULT;
	tfd->ticks = 0;
	return got;
}

static uint32_t timerfd_poll(struct file *file, struct poll_table *table)
{
	struct timerfd *tfd = file->data;

	if (table != NULL && table->queue != NULL)
		table->queue(table, file, &tfd->wq);
	return tfd->ticks > 0 ? POLLIN | POLLRDNORM : 0;
}

static void timerfd_release(struct file *file)
{
	struct timerfd *tfd = file->data;

	timer_cancel(&tfd->timer);
	arena_free(tfd);
}

static const struct file_ops timerfd_ops = {
	.name = "anon_inode:[timerfd]",
	.read = timerfd_read,
	.poll = timerfd_poll,
	.release = timerfd_release,
};

SYS2(timerfd_create, int, clock_id, int, flags)
{
	struct timerfd *tfd;
	struct file *file;
	int fd;

	if ((flags & ~(TFD_CLOEXEC | TFD_NONBLOCK)) != 0)
		return -EINVAL;
	if (clock_id == CLOCK_REALTIME_ALARM || clock_id == CLOCK_BOOTTIME_ALARM)
		return -EPERM;
	if (clock_id != CLOCK_REALTIME && clock_id != CLOCK_MONOTONIC && clock_id != CLOCK_BOOTTIME)
		return -EINVAL;
	tfd = arena_zalloc(sizeof(*tfd));
	if (tfd == NULL)
		return -ENOMEM;
	tfd->clock_id = clock_id;
	timer_init(&tfd->timer, timerfd_fire, tfd);
	wait_queue_init(&tfd->wq);
	file = file_create(&timerfd_ops, tfd,
			   O_RDWR | ((flags & TFD_NONBLOCK) != 0 ? O_NONBLOCK : 0));
	if (file == NULL) {
		arena_free(tfd);
		return -ENOMEM;
	}
	fd = fd_install(file, 0, (flags & TFD_CLOEXEC) != 0);
	if (fd < 0)
		file_unref(file);
	return fd;
}

static struct itimerspec timerfd_value(const struct timerfd *tfd)
{
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t left_ns = 0;

	if (tfd->expires_ns != 0)
		left_ns = tfd->expires_ns > now_ns ? tfd->expires_ns - now_ns : 1;
	return (struct itimerspec){.it_value = ns_to_timespec(left_ns),
				   .it_interval = ns_to_timespec(tfd->interval_ns)};
}

static int timerfd_get(int fd, struct timerfd **ret_tfd)
{
	struct file *file = fd_get(fd);

	if (file == NULL)
		return -EBADF;
	if (file->ops != &timerfd_ops)
		return -EINVAL;
	*ret_tfd = file->data;
	timerfd_advance(*ret_tfd);
	return 0;
}

/* Boot time is monotonic time as long as the host never sleeps. */
static uint64_t timerfd_expiry(const struct timerfd *tfd, uint64_t value_ns, bool absolute)
{
	if (value_ns == 0)
		return 0;
	if (!absolute)
		return deadline_after(value_ns);
	return tfd->clock_id == CLOCK_REALTIME ? deadline_from_realtime(value_ns) : value_ns;
}

SYS4(timerfd_settime, int, fd, int, flags, const struct itimerspec *, user_new, struct itimerspec *,
     user_old)
{
	struct itimerspec new, old;
	struct timerfd *tfd;
	int err;

	if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) != 0)
		return -EINVAL;
	if (copy_from_user(&new, user_new, sizeof(new)) != 0)
		return -EFAULT;
	if (!timespec_ok(&new.it_value) || !timespec_ok(&new.it_interval))
		return -EINVAL;
	err = timerfd_get(fd, &tfd);
	if (err != 0)
		return err;
	old = timerfd_value(tfd);
	timer_cancel(&tfd->timer);
	tfd->ticks = 0;
	tfd->interval_ns = timespec_to_ns(&new.it_interval);
	tfd->expires_ns = timerfd_expiry(tfd, timespec_to_ns(&new.it_value),
					 (flags & TFD_TIMER_ABSTIME) != 0);
	if (tfd->expires_ns != 0)
		err = timer_arm(&tfd->timer, tfd->expires_ns);
	if (err == 0 && user_old != NULL)
		err = copy_to_user(user_old, &old, sizeof(old));
	return err;
}

SYS2(timerfd_gettime, int, fd, struct itimerspec *, user_value)
{
	struct itimerspec value;
	struct timerfd *tfd;
	int err = timerfd_get(fd, &tfd);

	if (err != 0)
		return err;
	value = timerfd_value(tfd);
	return copy_to_user(user_value, &value, sizeof(value));
}
