/*
 * file.h - open files and descriptor tables.
 *
 * Guard: the instance lock.  A struct file is what open(2) makes: shared by dup, fork and SCM_RIGHTS.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "libos/uaccess.h"
#include "libos/wait.h"

struct dirent_sink;
struct file;
struct inode;
struct kstat;
struct path;
struct process;

/* Collects what an object's poll finds; also registers the caller's entries. */
struct poll_table {
	/* Called by file_ops.poll for each wait queue that can change its answer; may be NULL. */
	void (*queue)(struct poll_table *table, struct file *file, struct wait_queue *wq);
};

/* One run of a file's bytes as host memory: what mmap maps. */
struct map_extent {
	int host_fd;       /* -1: anonymous zeroes */
	uint64_t host_off; /* page-aligned */
	uint64_t len;      /* bytes of this run, a multiple of the page size */
	int host_flags;    /* extra MAP_* flags */
};

/*
 * Missing functions: read/write -EINVAL, poll always ready, lseek -ESPIPE, ioctl -ENOTTY, mmap
 * -ENODEV, fsync -EINVAL.  read and write get the position to use and advance; blocking is theirs
 * (look at file->flags & O_NONBLOCK).
 */
struct file_ops {
	const char *name; /* of the kind: "pipe", "socket", for /proc/PID/fd and tests */
	ssize_t (*read)(struct file *file, struct uio *uio, uint64_t *pos);
	ssize_t (*write)(struct file *file, struct uio *uio, uint64_t *pos);
	uint32_t (*poll)(struct file *file, struct poll_table *table);
	int64_t (*lseek)(struct file *file, int64_t off, int whence);
	long (*ioctl)(struct file *file, unsigned cmd, unsigned long arg);
	int (*map_extent)(struct file *file, uint64_t off, uint64_t len, int prot, bool shared,
			  struct map_extent *ret_extent);
	int (*getdents)(struct file *file, struct dirent_sink *sink);
	int (*fsync)(struct file *file, bool data_only);
	int (*set_flags)(struct file *file, unsigned flags); /* F_SETFL wants to tell */
	void (*release)(struct file *file);                  /* last reference went */
};

struct file {
	unsigned refs;
	unsigned flags;      /* O_* as F_GETFL shows, without O_CLOEXEC */
	uint64_t pos;
	bool seekable;       /* pread/pwrite/lseek make sense */
	const struct file_ops *ops;
	struct inode *inode; /* NULL for objects without one */
	struct path *path;   /* how it was opened: dirfd use, /proc/self/fd; NULL if none */
	void *data;          /* the kind's own object */
	struct list epolls;  /* epoll items watching this file */
	int owner_pid;       /* F_SETOWN */
	int owner_sig;
};

/* A new file with one reference, or NULL (out of arena). */
struct file *file_create(const struct file_ops *ops, void *data, unsigned flags);
struct file *file_ref(struct file *file);
void file_unref(struct file *file);

ssize_t file_read(struct file *file, struct uio *uio, uint64_t *pos);
ssize_t file_write(struct file *file, struct uio *uio, uint64_t *pos);
ssize_t file_pread_kernel(struct file *file, void *buf, size_t n, uint64_t off); /* into libOS memory */
uint32_t file_poll(struct file *file, struct poll_table *table);

struct fdtable;

struct fdtable *fdtable_create(void);
struct fdtable *fdtable_copy(struct fdtable *from); /* fork */
struct fdtable *fdtable_ref(struct fdtable *table); /* CLONE_FILES */
void fdtable_unref(struct fdtable *table);          /* closes all with the last reference */
void fdtable_close_on_exec(struct fdtable *table);

/* Borrowed: valid while the instance lock is held without sleeping; file_ref() to keep. NULL: EBADF. */
struct file *fd_get(int fd);
struct file *fd_get_from(struct fdtable *table, int fd);

/* The lowest free number >= min: takes over the caller's reference. fd, -EMFILE or -ENOMEM. */
int fd_install(struct file *file, int min, bool cloexec);
int fd_close(int fd); /* 0 or -EBADF */

/* Enumerates for /proc: the first open fd >= from, or -1. */
int fd_next(struct fdtable *table, int from);
