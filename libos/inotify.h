/*
 * inotify.h - what the file system tells inotify(7): everything that happens to files and names.
 *
 * All of these do nothing, quickly, while nobody watches.  Guard: the instance lock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/inotify.h>

struct dentry;
struct file;
struct inode;

/* To an open file or the place it was opened at: its own watches, and those of its directory. */
void inotify_file(const struct file *file, uint32_t event);
void inotify_dentry(const struct dentry *dentry, uint32_t event);

/* To the inode alone, whatever its names are. */
void inotify_inode(struct inode *inode, uint32_t event);

/* To a name in a directory; `target` is what has or had it. */
void inotify_name(struct inode *dir, uint32_t event, const struct inode *target, const char *name,
		  unsigned len, uint32_t cookie);

/* A number that joins the two halves of a move. */
uint32_t inotify_cookie(void);

/* The last name went: watches do not keep the inode alive any more. */
void inotify_unlinked(struct inode *inode);

/* fcntl(F_NOTIFY) of an open directory; fd is its number. 0 or negative errno. */
long dnotify_set(struct file *file, int fd, unsigned long flags);
void dnotify_file_gone(struct file *file); /* closed; harmless without a watch */

/* Nobody has it any more: its watches go. */
void inotify_inode_gone(struct inode *inode);
