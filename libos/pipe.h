/*
 * pipe.h - pipes, and FIFOs, which are pipes that hang at an inode.
 */
#pragma once

#include "libos/file.h"

/* Both ends; flags: O_NONBLOCK, O_DIRECT is refused by the caller. 0 or -ENOMEM. */
int pipe_create(unsigned flags, struct file **ret_read, struct file **ret_write);

/* As open("/proc/self/fd/N") of a pipe: one more end, of either kind. -ENXIO: not a pipe. */
int pipe_reopen(struct file *file, unsigned flags, struct file **ret_file);

/* F_GETPIPE_SZ and F_SETPIPE_SZ: bytes, -EBADF (not a pipe), -EBUSY, -EPERM, -ENOMEM. */
long pipe_size_get(const struct file *file);
long pipe_size_set(struct file *file, unsigned long size);
