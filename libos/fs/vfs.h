/*
 * vfs.h - the file system's facade for the rest of the libOS.
 *
 * Paths given as `const char *` are libOS memory.  Guard: the instance lock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "libos/file.h"

struct instance;
struct inode;
struct path_ctx;

/* Builds the tree: overlay over ABI_FD_ROOT (a directory or an image), /proc, /sys, /dev, /dev/shm,
 * /run, volumes. */
int vfs_init(struct instance *inst);

/*
 * In a clone: store data lies below store_end as private memory; host descriptors are opened anew.
 * 0 or an errno about the host's file *ret_path.
 */
int vfs_resume(uint64_t store_end, const char **ret_path);

/*
 * Before the first fork: makes what all processes must share (the store's mapping). 0 or negative
 * errno.
 */
int vfs_prepare_fork(void);

/* The first process's root, working directory (boot->cwd, or / if that is not there) and umask. */
struct path_ctx *path_ctx_create(void);
struct path_ctx *path_ctx_copy(struct path_ctx *from); /* fork */
struct path_ctx *path_ctx_ref(struct path_ctx *ctx);   /* CLONE_FS */
void path_ctx_unref(struct path_ctx *ctx);

/* Opens files 0, 1, 2 over the host's descriptors in an empty table. */
int vfs_stdio_open(struct fdtable *table);

/* open(2) by the current process: relative to dirfd (AT_FDCWD or an fd). */
int vfs_open(const char *path, int dirfd, unsigned flags, unsigned mode, struct file **ret_file);

/*
 * Opens a program for execve: a regular file with an x bit for the caller (-EACCES otherwise).
 * flags: AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH.
 */
int vfs_open_exec(const char *path, int dirfd, int flags, struct file **ret_file);

/*
 * A read-only file over a host descriptor that leat passed (boot->exec_fd); the descriptor is not
 * closed with it.  path is what /proc/self/exe shows.
 */
int vfs_open_host_fd(int host_fd, const char *path, struct file **ret_file);

/* The absolute path of an open file as the current process sees it; its length or negative errno.
 */
int vfs_file_path(const struct file *file, char *buf, unsigned size);
int vfs_cwd_path(char *buf, unsigned size);

/* What stat and mmap want to know of an open file's identity. */
void vfs_file_id(const struct file *file, uint64_t *ret_dev, uint64_t *ret_ino);

/* A memfd: a file of memfs that no directory names. */
int vfs_memfd_create(const char *name, unsigned flags, struct file **ret_file);

struct vfs_stats {
	unsigned dentries;
	unsigned host_fds; /* host descriptors kept open for files that nobody has open */
	uint64_t store_bytes;
	uint64_t store_limit_bytes;
};
void vfs_stats_get(struct vfs_stats *ret_stats);
