/*
 * file.h - open files and descriptor tables.
 *
 * Guard: the instance lock.  A struct file is what open(2) makes: shared by dup, fork and
 * SCM_RIGHTS.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "libos/uaccess.h"
#include "libos/wait.h"

struct dentry;
struct dirent_sink;
struct fasync;
struct file;
struct inode;
struct kstat;
struct mount;
struct process;

/* A place in the tree: what a path leads to. Both parts are referenced by whoever keeps one. */
struct path {
	struct mount *mnt;
	struct dentry *dentry;
};

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
	/* Where the bytes at off lie; at most len of them, or fewer: mmap asks again for the rest.
	 */
	int (*map_extent)(struct file *file, uint64_t off, uint64_t len, int prot, bool shared,
			  struct map_extent *ret_extent);
	int (*getdents)(struct file *file, struct dirent_sink *sink);
	int (*fsync)(struct file *file, bool data_only);
	int (*truncate)(struct file *file, uint64_t size);
	int (*fallocate)(struct file *file, int mode, uint64_t off, uint64_t len);
	int (*getattr)(struct file *file, struct kstat *st); /* objects without an inode */
	int (*set_flags)(struct file *file, unsigned flags); /* F_SETFL wants to tell */
	void (*release)(struct file *file);                  /* last reference went */
};

struct file {
	unsigned refs;
	unsigned flags; /* O_* as F_GETFL shows, without O_CLOEXEC */
	uint64_t pos;
	bool seekable; /* pread/pwrite/lseek make sense */
	bool locked;   /* holds or held a lock: look at the inode's when closing */
	const struct file_ops *ops;
	struct inode *inode;  /* NULL for objects without one; referenced */
	struct path path;     /* how it was opened: dirfd use, /proc/self/fd; empty if none */
	void *data;           /* the kind's own object */
	struct list epolls;   /* epoll items watching this file */
	struct fasync *async; /* fasync.c, while O_ASYNC is set */
	int owner_pid;        /* F_SETOWN: a process, or minus a process group */
	bool owner_is_task;   /* F_SETOWN_EX: owner_pid is a thread's */
	int owner_sig;        /* F_SETSIG: 0 is SIGIO without details */
};

/* A new file with one reference, or NULL (out of arena). */
struct file *file_create(const struct file_ops *ops, void *data, unsigned flags);
struct file *file_ref(struct file *file);
void file_unref(struct file *file); /* NULL is harmless */

ssize_t file_read(struct file *file, struct uio *uio, uint64_t *pos);
ssize_t file_write(struct file *file, struct uio *uio, uint64_t *pos);
ssize_t file_pread_kernel(struct file *file, void *buf, size_t n, uint64_t off); /* into libOS
										    memory */
ssize_t file_pwrite_kernel(struct file *file, const void *buf, size_t n, uint64_t off);
uint32_t file_poll(struct file *file, struct poll_table *table);

/* What fstat shows of any file, with or without an inode. */
int file_getattr(struct file *file, struct kstat *ret_st);

/* -ENODEV: cannot be mapped. */
int file_map_extent(struct file *file, uint64_t off, uint64_t len, int prot, bool shared,
		    struct map_extent *ret_extent);

struct fdtable;

struct fdtable *fdtable_create(void);
struct fdtable *fdtable_copy(struct fdtable *from); /* fork */
struct fdtable *fdtable_ref(struct fdtable *table); /* CLONE_FILES */
void fdtable_unref(struct fdtable *table);          /* closes all with the last reference */
void fdtable_close_on_exec(struct fdtable *table);

/* Borrowed: valid while the instance lock is held without sleeping; file_ref() to keep. NULL:
 * EBADF. */
struct file *fd_get(int fd);
struct file *fd_get_from(struct fdtable *table, int fd);

/* The lowest free number >= min: takes over the caller's reference. fd, -EMFILE or -ENOMEM. */
int fd_install(struct file *file, int min, bool cloexec);

/* Puts file at exactly fd, closing what was there; takes over the reference. fd or -EBADF/-ENOMEM.
 */
int fd_replace(struct file *file, int fd, bool cloexec);

/* The same in any table: the stdio of a process that is being made. 0 or -ENOMEM. */
int fdtable_set(struct fdtable *table, int fd, struct file *file);

int fd_close(int fd);       /* 0 or -EBADF */
int fd_cloexec_get(int fd); /* 0, 1 or -EBADF */
int fd_cloexec_set(int fd, bool on);

/* close_range(2) without its flags CLOSE_RANGE_UNSHARE (the caller copies the table first). */
void fd_close_range(unsigned first, unsigned last, bool only_cloexec);

/* Enumerates for /proc: the first open fd >= from, or -1. */
int fd_next(struct fdtable *table, int from);
bool fd_cloexec_from(struct fdtable *table, int fd);
unsigned fdtable_size(const struct fdtable *table);
