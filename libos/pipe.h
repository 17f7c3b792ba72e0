/*
 * pipe.h - pipes, and FIFOs, which are pipes that hang at an inode.
 */
#pragma once

#include "libos/file.h"

/* Both ends; flags: O_NONBLOCK, O_DIRECT is refused by the caller. 0 or -ENOMEM. */
int pipe_create(unsigned flags, struct file **ret_read, struct file **ret_write);

/* As open("/proc/self/fd/N") of a pipe: one more end, of either kind. -ENXIO: not a pipe. */
int pipe_reopen(struct file *file, unsigned flags, struct file **ret_file);

bool pipe_is(const struct file *file);

/*
 * splice(2) from a pipe: waits, copies up to n bytes into buf without taking them, and keeps other
 * readers off until pipe_peek_end says how many were used. Bytes, 0 at the end of file, or -EAGAIN,
 * -ERESTARTSYS: then there is nothing to end.
 */
ssize_t pipe_peek_begin(struct file *file, void *buf, size_t n, bool nonblock);
void pipe_peek_end(struct file *file, size_t n);

/* Waits until a pipe takes bytes: how many, -EPIPE (SIGPIPE was sent), -EAGAIN or -ERESTARTSYS. */
ssize_t pipe_wait_room(struct file *file, bool nonblock);

/* From pipe to pipe, at most n bytes; keep: tee(2). -EINVAL: they are one. */
ssize_t pipe_transfer(struct file *in, struct file *out, size_t n, bool nonblock, bool keep);

/* F_GETPIPE_SZ and F_SETPIPE_SZ: bytes, -EBADF (not a pipe), -EBUSY, -EPERM, -ENOMEM. */
long pipe_size_get(const struct file *file);
long pipe_size_set(struct file *file, unsigned long size);
