/*
 * inotify.c - inotify(7): watches at inodes, and the queues of events that they fill.
 *
 * A watch hangs at its inode and in its instance.  It keeps the directory entry by which the inode
 * was found, so that the cache does not forget the inode, until the last name is removed: then the
 * inode goes with its last user, and the watch with it.
 */
#include "libos/inotify_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/fs/fs.h"
#include "libos/instance.h"
#include "libos/syscall.h"
#include "libos/syspath.h"

#define EVENTS_MAX 16384U  /* fs.inotify.max_queued_events */
#define WATCHES_MAX 65536U /* of the instance, as max_user_watches */
#define FLAGS_SETTABLE                                                                             \
	(IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_ADD | IN_ISDIR | IN_MASK_CREATE |  \
	 IN_ONESHOT)
#define FLAGS_KEPT (IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT)

struct inotify {
	struct list watches; /* of inotify_watch.node */
	struct list events;
	unsigned nr_events;
	size_t bytes; /* as read would give them */
	int last_wd;
	struct wait_queue wq;
};

struct event {
	struct list node;
	struct inotify_event head;
	char name[];
};

static const struct file_ops inotify_ops;

/* ---- the queue ---- */

static bool same_as_last(const struct inotify *in, const struct inotify_event *head,
			 const char *name, unsigned len)
{
	const struct event *last;

	if (list_empty(&in->events))
		return false;
	last = list_entry(in->events.prev, struct event, node);
	return last->head.wd == head->wd && last->head.mask == head->mask &&
	       last->head.len == head->len && memcmp(last->name, name, len) == 0;
}

static void event_put(struct inotify *in, struct inotify_event head, const char *name, unsigned len)
{
	struct event *event;

	head.len = len > 0 ? (uint32_t)align_up(len + 1, sizeof(head)) : 0;
	if (same_as_last(in, &head, name, len))
		return;
	event = in->nr_events < EVENTS_MAX ? arena_zalloc(sizeof(*event) + head.len) : NULL;
	if (event == NULL) { /* what is lost is told once */
		head = (struct inotify_event){.wd = -1, .mask = IN_Q_OVERFLOW};
		if (same_as_last(in, &head, name, 0))
			return;
		event = arena_zalloc(sizeof(*event));
		if (event == NULL)
			return;
		len = 0;
	}
	event->head = head;
	memcpy(event->name, name, len);
	list_add_tail(&in->events, &event->node);
	in->nr_events++;
	in->bytes += sizeof(head) + head.len;
	wait_queue_wake(&in->wq, POLLIN | POLLRDNORM);
}

static void event_drop(struct inotify *in, struct event *event)
{
	in->nr_events--;
	in->bytes -= sizeof(event->head) + event->head.len;
	list_del(&event->node);
	arena_free(event);
}

/* ---- watches ---- */

/* Takes it from its inode and its instance; the last to be told is IN_IGNORED. */
void inotify_watch_remove(struct inotify_watch *watch)
{
	struct inotify_watch **pos = &watch->inode->watches;
	struct dentry *dentry = watch->dentry;

	while (*pos != watch)
		pos = &(*pos)->next;
	*pos = watch->next;
	list_del(&watch->node);
	vfs_get()->nr_watches--;
	if (watch->owner != NULL)
		event_put(watch->owner, (struct inotify_event){.wd = watch->wd, .mask = IN_IGNORED},
			  "", 0);
	arena_free(watch);
	dentry_unref(dentry);
}

static struct inotify_watch *watch_find(const struct inotify *in, const struct inode *inode)
{
	struct inotify_watch *watch = inode->watches;

	while (watch != NULL && watch->owner != in)
		watch = watch->next;
	return watch;
}

int inotify_watch_create(struct dentry *dentry, uint32_t mask, struct inotify_watch **ret_watch)
{
	struct inode *inode = dentry->inode;
	struct inotify_watch *watch;

	if (vfs_get()->nr_watches >= WATCHES_MAX)
		return -ENOSPC;
	watch = arena_zalloc(sizeof(*watch));
	if (watch == NULL)
		return -ENOMEM;
	list_init(&watch->node);
	watch->inode = inode;
	watch->dentry = inode->nlink > 0 ? dentry_ref(dentry) : NULL;
	watch->mask = mask;
	watch->next = inode->watches;
	inode->watches = watch;
	vfs_get()->nr_watches++;
	*ret_watch = watch;
	return 0;
}

static int watch_add(struct inotify *in, struct dentry *dentry, uint32_t mask)
{
	struct inotify_watch *watch;
	int err = inotify_watch_create(dentry, mask, &watch);

	if (err != 0)
		return err;
	watch->owner = in;
	watch->wd = ++in->last_wd;
	list_add_tail(&in->watches, &watch->node);
	return watch->wd;
}

/* ---- what happens ---- */

static void watches_tell(struct inode *inode, uint32_t event, const char *name, unsigned len,
			 uint32_t cookie, bool unlinked)
{
	struct inotify_watch *watch, *next;

	for (watch = inode->watches; watch != NULL; watch = next) {
		uint32_t mask = event;

		next = watch->next;
		if ((watch->mask & event & IN_ALL_EVENTS) == 0)
			continue;
		if (watch->owner == NULL) {
			dnotify_tell(watch);
			continue;
		}
		if (unlinked && (watch->mask & IN_EXCL_UNLINK) != 0)
			continue;
		if ((event & (IN_MOVE_SELF | IN_DELETE_SELF)) != 0)
			mask &= ~(uint32_t)IN_ISDIR;
		event_put(watch->owner,
			  (struct inotify_event){.wd = watch->wd, .mask = mask, .cookie = cookie},
			  name, len);
		if ((watch->mask & IN_ONESHOT) != 0)
			inotify_watch_remove(watch);
	}
}

static bool nobody_watches(void)
{
	return likely(vfs_get()->nr_watches == 0);
}

static uint32_t with_dir(uint32_t event, const struct inode *inode)
{
	return inode != NULL && S_ISDIR(inode->mode) ? event | IN_ISDIR : event;
}

void inotify_inode(struct inode *inode, uint32_t event)
{
	if (nobody_watches() || inode->watches == NULL)
		return;
	inode_ref(inode);
	watches_tell(inode, with_dir(event, inode), "", 0, 0, false);
	inode_unref(inode);
}

void inotify_name(struct inode *dir, uint32_t event, const struct inode *target, const char *name,
		  unsigned len, uint32_t cookie)
{
	if (nobody_watches() || dir->watches == NULL)
		return;
	watches_tell(dir, with_dir(event, target), name, len, cookie, false);
}

void inotify_dentry(const struct dentry *dentry, uint32_t event)
{
	struct inode *inode = dentry->inode, *dir = dentry->parent->inode;
	bool unlinked = (dentry->flags & DENTRY_DELETED) != 0;

	if (nobody_watches())
		return;
	if (dentry->parent != dentry && dir->watches != NULL)
		watches_tell(dir, with_dir(event, inode), dentry->name, dentry->name_len, 0,
			     unlinked);
	inotify_inode(inode, event);
}

void inotify_file(const struct file *file, uint32_t event)
{
	if (nobody_watches() || file->inode == NULL || (file->flags & O_PATH) != 0)
		return;
	if (file->path.dentry != NULL && file->path.dentry->inode != NULL)
		inotify_dentry(file->path.dentry, event);
}

uint32_t inotify_cookie(void)
{
	return ++vfs_get()->rename_cookie;
}

void inotify_unlinked(struct inode *inode)
{
	if (nobody_watches() || inode->nlink > 0)
		return;
	for (struct inotify_watch *watch = inode->watches; watch != NULL; watch = watch->next) {
		struct dentry *dentry = watch->dentry;

		watch->dentry = NULL;
		dentry_unref(dentry); /* the caller holds the inode */
	}
}

void inotify_inode_gone(struct inode *inode)
{
	if (inode->nlink == 0)
		watches_tell(inode, IN_DELETE_SELF, "", 0, 0, false);
	while (inode->watches != NULL)
		inotify_watch_remove(inode->watches);
}

/* ---- the descriptor ---- */

static ssize_t inotify_read(struct file *file, struct uio *uio, uint64_t *pos)
{
	struct inotify *in = file->data;
	ssize_t done = 0;
	int err;

	(void)pos;
	while (list_empty(&in->events)) {
		if ((file->flags & O_NONBLOCK) != 0)
			return -EAGAIN;
		err = wait_on(&in->wq, POLLIN, WAIT_FOREVER);
		if (err != 0)
			return err == -EINTR ? -ERESTARTSYS : err;
	}
	while (!list_empty(&in->events)) {
		struct event *event = list_entry(in->events.next, struct event, node);
		size_t n = sizeof(event->head) + event->head.len;
		ssize_t got;

		if (n > uio->left)
			return done > 0 ? done : -EINVAL;
		got = uio_copy_out(uio, &event->head, n);
		event_drop(in, event);
		if (got != (ssize_t)n)
			return done > 0 ? done : -EFAULT;
		done += got;
	}
	return done;
}

static uint32_t inotify_poll(struct file *file, struct poll_table *table)
{
	struct inotify *in = file->data;

	if (table != NULL && table->queue != NULL)
		table->queue(table, file, &in->wq);
	return list_empty(&in->events) ? 0 : POLLIN | POLLRDNORM;
}

static int64_t inotify_lseek(struct file *file, int64_t off, int whence)
{
	(void)file;
	(void)off;
	(void)whence;
	return 0;
}

static long inotify_ioctl(struct file *file, unsigned cmd, unsigned long arg)
{
	const struct inotify *in = file->data;

	return cmd == FIONREAD ? put_user_u32((uint32_t *)arg, (uint32_t)in->bytes) : -ENOTTY;
}

static void inotify_release(struct file *file)
{
	struct inotify *in = file->data;

	while (!list_empty(&in->watches))
		inotify_watch_remove(list_entry(in->watches.next, struct inotify_watch, node));
	while (!list_empty(&in->events))
		event_drop(in, list_entry(in->events.next, struct event, node));
	arena_free(in);
}

static const struct file_ops inotify_ops = {
	.name = "anon_inode:inotify",
	.read = inotify_read,
	.poll = inotify_poll,
	.lseek = inotify_lseek,
	.ioctl = inotify_ioctl,
	.release = inotify_release,
};

static long inotify_open(int flags)
{
	struct inotify *in;
	struct file *file;
	int fd;

	if ((flags & ~(IN_CLOEXEC | IN_NONBLOCK)) != 0)
		return -EINVAL;
	in = arena_zalloc(sizeof(*in));
	file = in != NULL ? file_create(&inotify_ops, in, (unsigned)flags & O_NONBLOCK) : NULL;
	if (file == NULL) {
		arena_free(in);
		return -ENOMEM;
	}
	list_init(&in->watches);
	list_init(&in->events);
	wait_queue_init(&in->wq);
	fd = fd_install(file, 0, (flags & IN_CLOEXEC) != 0);
	if (fd < 0)
		file_unref(file);
	return fd;
}

SYS0(inotify_init)
{
	return inotify_open(0);
}

SYS1(inotify_init1, int, flags)
{
	return inotify_open(flags);
}

static long watch_set(struct inotify *in, struct path path, uint32_t mask)
{
	struct inode *inode = path.dentry->inode;
	struct inotify_watch *watch = watch_find(in, inode);
	int err = inode_permission(inode, R_OK);

	if (err != 0)
		return err;
	if (watch == NULL)
		return watch_add(in, path.dentry, mask & FLAGS_KEPT);
	if ((mask & IN_MASK_CREATE) != 0)
		return -EEXIST;
	watch->mask = (mask & FLAGS_KEPT) | ((mask & IN_MASK_ADD) != 0 ? watch->mask : 0);
	return watch->wd;
}

SYS3(inotify_add_watch, int, fd, const char *, user_path, uint32_t, mask)
{
	const unsigned both = IN_MASK_ADD | IN_MASK_CREATE;
	struct file *file = fd_get(fd);
	struct path path;
	char *name;
	long ret;

	if ((mask & (IN_ALL_EVENTS | FLAGS_SETTABLE)) == 0)
		return -EINVAL;
	if (file == NULL)
		return -EBADF;
	if ((mask & both) == both || file->ops != &inotify_ops)
		return -EINVAL;
	ret = path_import(user_path, &name);
	if (ret != 0)
		return ret;
	ret = path_lookup(AT_FDCWD, name,
			  ((mask & IN_DONT_FOLLOW) != 0 ? 0 : LOOKUP_FOLLOW) |
				  ((mask & IN_ONLYDIR) != 0 ? LOOKUP_DIRECTORY : 0),
			  &path);
	path_release(name);
	if (ret != 0)
		return ret;
	ret = watch_set(file->data, path, mask);
	path_unref(path);
	return ret;
}

SYS2(inotify_rm_watch, int, fd, int, wd)
{
	struct file *file = fd_get(fd);
	struct inotify *in;
	struct list *pos;

	if (file == NULL)
		return -EBADF;
	if (file->ops != &inotify_ops)
		return -EINVAL;
	in = file->data;
	list_for_each(pos, &in->watches) {
		struct inotify_watch *watch = list_entry(pos, struct inotify_watch, node);

		if (watch->wd == wd) {
			inotify_watch_remove(watch);
			return 0;
		}
	}
	return -EINVAL;
}
