/*
 * inotify_internal.h - watches at inodes, shared by inotify.c and dnotify.c.
 */
#pragma once

#include <stdint.h>

#include "leat/base/list.h"
#include "libos/inotify.h"

struct inotify_watch {
	struct list node;           /* inotify.watches, or unused */
	struct inotify_watch *next; /* of the same inode */
	struct inotify *owner;      /* NULL: a watch of fcntl(F_NOTIFY) */
	struct file *file;          /* of F_NOTIFY: the directory, whose owner gets the signals */
	int fd;                     /* as which it was named */
	struct inode *inode;
	struct dentry *dentry; /* referenced; NULL after the last name went */
	uint32_t mask;
	int wd;
};

/* Hangs a watch at the inode of the entry: 0, -ENOSPC or -ENOMEM. */
int inotify_watch_create(struct dentry *dentry, uint32_t mask, struct inotify_watch **ret_watch);
void inotify_watch_remove(struct inotify_watch *watch);

/* Something that it waits for happened: the signal; it goes unless it was to stay. */
void dnotify_tell(struct inotify_watch *watch);
