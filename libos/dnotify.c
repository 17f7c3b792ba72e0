/*
 * dnotify.c - fcntl(F_NOTIFY): a signal when something in a directory changes.
 *
 * The signals go to the owner of the open file (F_SETOWN, F_SETSIG), which F_NOTIFY makes the
 * calling process.  See fcntl(2), "File and directory change notification".
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "libos/fasync.h"
#include "libos/file.h"
#include "libos/fs/fs.h"
#include "libos/inotify_internal.h"
#include "libos/instance.h"

#define DN_EVENTS (DN_ACCESS | DN_MODIFY | DN_CREATE | DN_DELETE | DN_RENAME | DN_ATTRIB)
#define KEEP IN_ONESHOT /* in our masks: it stays after the first signal (DN_MULTISHOT) */

static uint32_t events_of(unsigned long flags)
{
	return ((flags & DN_ACCESS) != 0 ? IN_ACCESS : 0U) |
	       ((flags & DN_MODIFY) != 0 ? IN_MODIFY : 0U) |
	       ((flags & DN_CREATE) != 0 ? IN_CREATE | IN_MOVED_TO : 0U) |
	       ((flags & DN_DELETE) != 0 ? IN_DELETE | IN_MOVED_FROM : 0U) |
	       ((flags & DN_RENAME) != 0 ? IN_MOVED_FROM | IN_MOVED_TO : 0U) |
	       ((flags & DN_ATTRIB) != 0 ? IN_ATTRIB : 0U);
}

static struct inotify_watch *watch_of(const struct file *file)
{
	struct inotify_watch *watch = file->inode != NULL ? file->inode->watches : NULL;

	while (watch != NULL && watch->file != file)
		watch = watch->next;
	return watch;
}

void dnotify_tell(struct inotify_watch *watch)
{
	struct file *file = watch->file;
	int fd = watch->fd;

	if ((watch->mask & KEEP) == 0)
		inotify_watch_remove(watch);
	fasync_signal_dir(file, fd);
}

long dnotify_set(struct file *file, int fd, unsigned long flags)
{
	struct inotify_watch *watch = watch_of(file);
	int err;

	if ((flags & DN_EVENTS) == 0) {
		dnotify_file_gone(file);
		return 0;
	}
	if (file->inode == NULL || !S_ISDIR(file->inode->mode))
		return -ENOTDIR;
	if (watch == NULL) {
		err = inotify_watch_create(file->path.dentry, 0, &watch);
		if (err != 0)
			return err;
		watch->file = file;
	}
	watch->fd = fd;
	watch->mask |= events_of(flags) | ((flags & DN_MULTISHOT) != 0 ? KEEP : 0U);
	file->owner_pid = current()->process->pid;
	file->owner_is_task = false;
	return 0;
}

void dnotify_file_gone(struct file *file)
{
	struct inotify_watch *watch = watch_of(file);

	if (watch != NULL)
		inotify_watch_remove(watch);
}
