/*
 * hostio.c - helper threads that wait for the host's stdio descriptors.
 *
 * One thread a descriptor and direction, because a thread that sleeps in ppoll cannot be told of
 * more to wait for; there are at most six in a host process, and mostly none.
 */
#include "libos/hostio.h"

#include <errno.h>
#include <poll.h>

#include "libos/arena.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/kthread.h"

struct watch {
	struct list node; /* hostio.watches */
	struct hostproc *host;
	struct kthread *kt;
	int fd;
	short events; /* POLLIN or POLLOUT */
	bool wanted;  /* the thread is or goes to sleep in ppoll */
};

struct hostio {
	struct list watches;
	struct wait_queue queue[HOSTIO_FDS];
};

int hostio_init(void)
{
	struct hostio *io = arena_zalloc(sizeof(*io));

	if (!io)
		return -ENOMEM;
	list_init(&io->watches);
	for (int i = 0; i < HOSTIO_FDS; i++)
		wait_queue_init(&io->queue[i]);
	instance()->hostio = io;
	return 0;
}

uint32_t hostio_ready(int fd, uint32_t events)
{
	struct timespec none = {0, 0};
	struct pollfd pfd = {.fd = fd, .events = (short)events};

	if (host_ppoll(&pfd, 1, &none) <= 0)
		return 0;
	return (uint16_t)pfd.revents;
}

struct wait_queue *hostio_queue(int fd)
{
	return &instance()->hostio->queue[fd];
}

/* Runs on the helper thread, without the lock. */
static void watch_main(void *arg)
{
	struct watch *watch = arg;

	for (;;) {
		struct pollfd pfd = {.fd = watch->fd, .events = watch->events};

		if (host_ppoll(&pfd, 1, NULL) == -EINTR) {
			kthread_leave_if_dead();
			continue;
		}
		instance_lock();
		watch->wanted = false;
		wait_queue_wake(hostio_queue(watch->fd), 0);
		instance_unlock();
		/* Acquire pairs with the release in hostio_want. */
		while (!__atomic_load_n(&watch->wanted, __ATOMIC_ACQUIRE))
			kthread_helper_wait(watch->kt, UINT64_MAX);
	}
}

static struct watch *watch_find(int fd, short events)
{
	struct hostio *io = instance()->hostio;
	struct list *pos;

	list_for_each(pos, &io->watches) {
		struct watch *watch = list_entry(pos, struct watch, node);

		if (watch->fd == fd && watch->events == events &&
		    watch->host == this_kthread()->host)
			return watch;
	}
	return NULL;
}

static int watch_start(int fd, short events)
{
	struct watch *watch = arena_zalloc(sizeof(*watch));
	int err;

	if (!watch)
		return -ENOMEM;
	watch->fd = fd;
	watch->events = events;
	watch->wanted = true;
	watch->host = this_kthread()->host;
	err = kthread_spawn_helper(watch_main, watch, &watch->kt);
	if (err) {
		arena_free(watch);
		return err;
	}
	list_add_tail(&instance()->hostio->watches, &watch->node);
	return 0;
}

static int want_one(int fd, short events)
{
	struct watch *watch = watch_find(fd, events);

	if (!watch)
		return watch_start(fd, events);
	if (watch->wanted)
		return 0;
	/* Release pairs with the acquire in watch_main. */
	__atomic_store_n(&watch->wanted, true, __ATOMIC_RELEASE);
	kthread_helper_wake(watch->kt);
	return 0;
}

int hostio_want(int fd, uint32_t events)
{
	int err = 0;

	if (events & POLLIN)
		err = want_one(fd, POLLIN);
	if (!err && (events & POLLOUT))
		err = want_one(fd, POLLOUT);
	return err;
}

void hostio_resume(void)
{
	struct hostio *io = instance()->hostio;
	struct list *pos, *tmp;

	if (!io)
		return;
	list_for_each_safe(pos, tmp, &io->watches)
		arena_free(list_entry(pos, struct watch, node));
	list_init(&io->watches);
	for (int i = 0; i < HOSTIO_FDS; i++)
		wait_queue_wake(&io->queue[i], 0);
}

void hostio_host_gone(const struct hostproc *host)
{
	struct list *pos, *tmp;

	if (!instance()->hostio)
		return;
	list_for_each_safe(pos, tmp, &instance()->hostio->watches) {
		struct watch *watch = list_entry(pos, struct watch, node);

		/* its memory is not freed: the thread may still be looking at it */
		if (watch->host == host)
			list_del(&watch->node);
	}
}
