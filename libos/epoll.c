/*
 * epoll.c - epoll(7): level and edge triggered, one-shot, exclusive, nested.
 *
 * An item leaves its wait entries in the watched file's queues for as long as it lives.  A wake-up
 * puts it on the ready list; epoll_wait asks only the files on that list, so its cost is that of
 * what is ready.  A level-triggered item goes back to the list's end after it was reported.
 */
#include "libos/epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/file.h"
#include "libos/instance.h"
#include "libos/signal.h"
#include "libos/syscall.h"
#include "libos/timespec.h"

#define EP_PRIVATE (EPOLLET | EPOLLONESHOT | EPOLLWAKEUP | EPOLLEXCLUSIVE)
#define EP_ALWAYS (EPOLLERR | EPOLLHUP)
#define EP_EXCLUSIVE_OK                                                                            \
	(EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)
#define EP_NEST_MAX 5
#define EP_EVENTS_MAX (INT32_MAX / (int)sizeof(struct epoll_event_user))

/* The kernel's struct epoll_event: packed on x86-64. */
struct epoll_event_user {
	uint32_t events;
	uint64_t data;
} __attribute__((packed));

struct epoll {
	struct list items; /* of epoll_item.ep_node */
	struct list ready; /* of epoll_item.ready_node */
	struct wait_queue wq;
	struct file *file;
};

/* One wait queue of a watched file; most files have one. */
struct epoll_wait_entry {
	struct wait_entry wait;
	struct epoll_wait_entry *next;
};

struct epoll_item {
	struct epoll *ep;
	struct file *file; /* not referenced: epoll_file_gone comes before it goes */
	int fd;
	uint32_t events; /* asked for, with EP_PRIVATE bits; 0 after a one-shot */
	uint64_t data;
	struct list ep_node;
	struct list file_node;
	struct list ready_node;
	bool ready;
	struct epoll_wait_entry first;
	unsigned nr_waits;
	int error;
};

/* Being filled while a file's poll registers. */
struct epoll_register {
	struct poll_table table;
	struct epoll_item *item;
};

static const struct file_ops epoll_ops;

/* For asking again: files over host descriptors arm their helper even without a queue. */
static struct poll_table *no_queue(struct poll_table *table)
{
	table->queue = NULL;
	return table;
}

static uint32_t item_poll(const struct epoll_item *item)
{
	struct poll_table table;

	return file_poll(item->file, no_queue(&table)) & ((item->events & ~EP_PRIVATE) | EP_ALWAYS);
}

static void item_make_ready(struct epoll_item *item)
{
	if (item->ready)
		return;
	item->ready = true;
	list_add_tail(&item->ep->ready, &item->ready_node);
}

static void item_clear_ready(struct epoll_item *item)
{
	if (!item->ready)
		return;
	item->ready = false;
	list_del(&item->ready_node);
}

/* A watched file became ready for something. True: an exclusive item has taken the wake-up. */
static bool item_wake(struct wait_entry *entry, uint32_t events)
{
	struct epoll_item *item = entry->data;

	if ((item->events & ~EP_PRIVATE) == 0)
		return false; /* a one-shot that was reported */
	if (events != 0 && (events & ((item->events & ~EP_PRIVATE) | EP_ALWAYS)) == 0)
		return false;
	item_make_ready(item);
	wait_queue_wake_n(&item->ep->wq, POLLIN | POLLRDNORM, 1);
	return true;
}

static void item_queue(struct poll_table *table, struct file *file, struct wait_queue *wq)
{
	struct epoll_item *item = container_of(table, struct epoll_register, table)->item;
	struct epoll_wait_entry *entry = &item->first;

	(void)file;
	if (item->nr_waits > 0) {
		entry = arena_zalloc(sizeof(*entry));
		if (entry == NULL) {
			item->error = -ENOMEM;
			return;
		}
		entry->next = item->first.next;
		item->first.next = entry;
	}
	item->nr_waits++;
	wait_entry_init(&entry->wait, NULL, 0);
	entry->wait.func = item_wake;
	entry->wait.data = item;
	if ((item->events & EPOLLEXCLUSIVE) != 0)
		wait_queue_add_exclusive(wq, &entry->wait);
	else
		wait_queue_add(wq, &entry->wait);
}

static void item_destroy(struct epoll_item *item)
{
	struct epoll_wait_entry *entry, *next;

	if (item->nr_waits > 0)
		wait_queue_remove(&item->first.wait);
	for (entry = item->first.next; entry != NULL; entry = next) {
		next = entry->next;
		wait_queue_remove(&entry->wait);
		arena_free(entry);
	}
	item_clear_ready(item);
	list_del(&item->ep_node);
	list_del(&item->file_node);
	arena_free(item);
}

void epoll_file_gone(struct file *file)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &file->epolls)
		item_destroy(list_entry(pos, struct epoll_item, file_node));
}

/* ---- the epoll file ---- */

/* Is anything on the list really ready? Items that are not leave it. */
static bool epoll_has_ready(struct epoll *ep)
{
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &ep->ready) {
		struct epoll_item *item = list_entry(pos, struct epoll_item, ready_node);

		if (item_poll(item) != 0)
			return true;
		item_clear_ready(item);
	}
	return false;
}

static uint32_t epoll_poll(struct file *file, struct poll_table *table)
{
	struct epoll *ep = file->data;

	if (table != NULL && table->queue != NULL)
		table->queue(table, file, &ep->wq);
	return epoll_has_ready(ep) ? POLLIN | POLLRDNORM : 0;
}

static void epoll_release(struct file *file)
{
	struct epoll *ep = file->data;
	struct list *pos, *tmp;

	list_for_each_safe(pos, tmp, &ep->items)
		item_destroy(list_entry(pos, struct epoll_item, ep_node));
	arena_free(ep);
}

static const struct file_ops epoll_ops = {
	.name = "anon_inode:[eventpoll]",
	.poll = epoll_poll,
	.release = epoll_release,
};

static long epoll_open(bool cloexec)
{
	struct epoll *ep = arena_zalloc(sizeof(*ep));
	int fd;

	if (ep == NULL)
		return -ENOMEM;
	list_init(&ep->items);
	list_init(&ep->ready);
	wait_queue_init(&ep->wq);
	ep->file = file_create(&epoll_ops, ep, O_RDWR);
	if (ep->file == NULL) {
		arena_free(ep);
		return -ENOMEM;
	}
	fd = fd_install(ep->file, 0, cloexec);
	if (fd < 0)
		file_unref(ep->file);
	return fd;
}

SYS1(epoll_create, int, size)
{
	return size <= 0 ? -EINVAL : epoll_open(false);
}

SYS1(epoll_create1, int, flags)
{
	return (flags & ~EPOLL_CLOEXEC) != 0 ? -EINVAL : epoll_open((flags & EPOLL_CLOEXEC) != 0);
}

/* ---- epoll_ctl ---- */

static struct epoll_item *item_find(const struct epoll *ep, const struct file *file, int fd)
{
	const struct list *pos;

	list_for_each(pos, &file->epolls) {
		struct epoll_item *item = list_entry(pos, struct epoll_item, file_node);

		if (item->ep == ep && item->fd == fd)
			return item;
	}
	return NULL;
}

/* How deep epoll files nest below this one; too deep or back to `target`: -ELOOP. */
static int nest_depth(const struct file *file, const struct epoll *target, int depth)
{
	const struct epoll *ep = file->data;
	const struct list *pos;
	int deepest = depth, below;

	if (file->ops != &epoll_ops)
		return depth;
	if (ep == target || depth >= EP_NEST_MAX)
		return -ELOOP;
	list_for_each(pos, &ep->items) {
		below = nest_depth(list_entry(pos, struct epoll_item, ep_node)->file, target,
				   depth + 1);
		if (below < 0)
			return below;
		deepest = MAX(deepest, below);
	}
	return deepest;
}

/* Asks the file and registers with its queues the first time. */
static int item_register(struct epoll_item *item)
{
	struct epoll_register reg = {.table.queue = item_queue, .item = item};
	uint32_t got = file_poll(item->file, &reg.table);

	if (item->error != 0)
		return item->error;
	if ((got & ((item->events & ~EP_PRIVATE) | EP_ALWAYS)) != 0) {
		item_make_ready(item);
		wait_queue_wake_n(&item->ep->wq, POLLIN | POLLRDNORM, 1);
	}
	return 0;
}

static int item_add(struct epoll *ep, struct file *file, int fd,
		    const struct epoll_event_user *event)
{
	struct epoll_item *item;
	int err;

	err = nest_depth(file, ep, 0);
	if (err < 0)
		return err;
	item = arena_zalloc(sizeof(*item));
	if (item == NULL)
		return -ENOMEM;
	item->ep = ep;
	item->file = file;
	item->fd = fd;
	item->events = event->events;
	item->data = event->data;
	list_init(&item->ready_node);
	list_add_tail(&ep->items, &item->ep_node);
	list_add_tail(&file->epolls, &item->file_node);
	err = item_register(item);
	if (err != 0)
		item_destroy(item);
	return err;
}

static int item_modify(struct epoll_item *item, const struct epoll_event_user *event)
{
	if ((item->events & EPOLLEXCLUSIVE) != 0)
		return -EINVAL;
	item->events = event->events;
	item->data = event->data;
	if (item_poll(item) != 0) {
		item_make_ready(item);
		wait_queue_wake_n(&item->ep->wq, POLLIN | POLLRDNORM, 1);
	}
	return 0;
}

/* Regular files and directories are always ready: epoll refuses them (epoll_ctl(2), EPERM). */
static bool can_be_watched(const struct file *file)
{
	return file->ops->poll != NULL && !file->seekable;
}

static int ctl_check(const struct file *epfile, const struct file *file, int op,
		     const struct epoll_event_user *event)
{
	if (!can_be_watched(file))
		return -EPERM;
	if (epfile == file || epfile->ops != &epoll_ops)
		return -EINVAL;
	if (op != EPOLL_CTL_DEL && (event->events & EPOLLEXCLUSIVE) != 0) {
		if (op == EPOLL_CTL_MOD || file->ops == &epoll_ops ||
		    (event->events & ~EP_EXCLUSIVE_OK) != 0)
			return -EINVAL;
	}
	return 0;
}

SYS4(epoll_ctl, int, epfd, int, op, int, fd, const struct epoll_event_user *, user_event)
{
	struct epoll_event_user event = {0};
	struct file *epfile, *file;
	struct epoll_item *item;
	int err;

	if (op != EPOLL_CTL_DEL && copy_from_user(&event, user_event, sizeof(event)) != 0)
		return -EFAULT;
	epfile = fd_get(epfd);
	file = fd_get(fd);
	if (epfile == NULL || file == NULL)
		return -EBADF;
	err = ctl_check(epfile, file, op, &event);
	if (err != 0)
		return err;
	item = item_find(epfile->data, file, fd);
	switch (op) {
	case EPOLL_CTL_ADD:
		return item != NULL ? -EEXIST : item_add(epfile->data, file, fd, &event);
	case EPOLL_CTL_MOD:
		return item == NULL ? -ENOENT : item_modify(item, &event);
	case EPOLL_CTL_DEL:
		if (item == NULL)
			return -ENOENT;
		item_destroy(item);
		return 0;
	default:
		return -EINVAL;
	}
}

/* ---- waiting ---- */

/* Reports what is ready, at most max: how many, or -EFAULT when the first one fails. */
static int epoll_collect(struct epoll *ep, struct epoll_event_user *user_events, int max)
{
	struct list again; /* level triggered: to be looked at next time */
	struct list *pos, *tmp;
	int n = 0, err = 0;

	list_init(&again);
	list_for_each_safe(pos, tmp, &ep->ready) {
		struct epoll_item *item = list_entry(pos, struct epoll_item, ready_node);
		struct epoll_event_user event = {.data = item->data};

		if (n == max)
			break;
		event.events = (item->events & ~EP_PRIVATE) != 0 ? item_poll(item) : 0;
		if (event.events == 0) {
			item_clear_ready(item);
			continue;
		}
		if (copy_to_user(&user_events[n], &event, sizeof(event)) != 0) {
			err = -EFAULT;
			break;
		}
		n++;
		if ((item->events & EPOLLONESHOT) != 0)
			item->events &= EP_PRIVATE;
		if ((item->events & (EPOLLET | EPOLLONESHOT)) != 0) {
			item_clear_ready(item);
		} else {
			list_del(&item->ready_node);
			list_add_tail(&again, &item->ready_node);
		}
	}
	while (!list_empty(&again)) {
		pos = again.next;
		list_del(pos);
		list_add_tail(&ep->ready, pos);
	}
	return n > 0 ? n : err;
}

static int epoll_sleep(struct epoll *ep, uint64_t deadline_ns)
{
	struct wait_entry entry;
	int err;

	wait_entry_init(&entry, current(), POLLIN);
	entry.exclusive = true;
	wait_queue_add_exclusive(&ep->wq, &entry);
	err = task_sleep(deadline_ns);
	wait_queue_remove(&entry);
	return err;
}

/* deadline_ns 0: do not wait. */
static long epoll_wait_common(int epfd, struct epoll_event_user *user_events, int max,
			      uint64_t deadline_ns)
{
	struct file *file = fd_get(epfd);
	struct epoll *ep;
	int n, err = 0;

	if (max <= 0 || max > EP_EVENTS_MAX)
		return -EINVAL;
	if (!user_range_ok(user_events, (size_t)max * sizeof(*user_events)))
		return -EFAULT;
	if (file == NULL)
		return -EBADF;
	if (file->ops != &epoll_ops)
		return -EINVAL;
	ep = file->data;
	file_ref(file);
	for (;;) {
		n = epoll_collect(ep, user_events, max);
		if (n != 0 || err != 0 || deadline_ns == 0)
			break;
		err = epoll_sleep(ep, deadline_ns);
	}
	/* Somebody else may take what this call has left. */
	if (n > 0 && !list_empty(&ep->ready))
		wait_queue_wake_n(&ep->wq, POLLIN | POLLRDNORM, 1);
	file_unref(file);
	if (n != 0)
		return n;
	return err == -ETIMEDOUT ? 0 : err;
}

static uint64_t deadline_of_ms(int timeout_ms)
{
	if (timeout_ms < 0)
		return WAIT_FOREVER;
	return timeout_ms == 0 ? 0 : deadline_after((uint64_t)timeout_ms * NS_PER_MS);
}

SYS4(epoll_wait, int, epfd, struct epoll_event_user *, user_events, int, max, int, timeout_ms)
{
	return epoll_wait_common(epfd, user_events, max, deadline_of_ms(timeout_ms));
}

static long epoll_pwait_common(int epfd, struct epoll_event_user *user_events, int max,
			       uint64_t deadline_ns, const uint64_t *user_mask, uint64_t mask_size)
{
	long n = signal_set_temporary_mask(user_mask, mask_size);

	if (n != 0)
		return n;
	n = epoll_wait_common(epfd, user_events, max, deadline_ns);
	if (n != -EINTR)
		signal_restore_mask();
	return n;
}

SYS6(epoll_pwait, int, epfd, struct epoll_event_user *, user_events, int, max, int, timeout_ms,
     const uint64_t *, user_mask, uint64_t, mask_size)
{
	return epoll_pwait_common(epfd, user_events, max, deadline_of_ms(timeout_ms), user_mask,
				  mask_size);
}

SYS6(epoll_pwait2, int, epfd, struct epoll_event_user *, user_events, int, max,
     const struct timespec *, user_timeout, const uint64_t *, user_mask, uint64_t, mask_size)
{
	uint64_t deadline_ns = WAIT_FOREVER;
	struct timespec ts;

	if (user_timeout != NULL) {
		if (copy_from_user(&ts, user_timeout, sizeof(ts)) != 0)
			return -EFAULT;
		if (!timespec_ok(&ts))
			return -EINVAL;
		deadline_ns =
			ts.tv_sec == 0 && ts.tv_nsec == 0 ? 0 : deadline_after(timespec_to_ns(&ts));
	}
	return epoll_pwait_common(epfd, user_events, max, deadline_ns, user_mask, mask_size);
}
