/*
 * hostnode.h - a file of the host as the file systems use it: a path below a directory descriptor,
 * and descriptors that are opened on demand and shared by everyone who has the file open.
 *
 * Only regular files, directories and symbolic links are ever opened, and never through a link.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "leat/base/list.h"
#include "libos/file.h"

struct host_node {
	int root_fd;
	int fd;         /* O_RDONLY or O_RDWR; -1: not open */
	bool writable;  /* fd can write */
	bool cacheable; /* may stay open a while when nobody uses it */
	unsigned opens;
	char *path; /* relative to root_fd, "." for that itself; NULL: it has no name any more */
	struct list idle; /* vfs.idle_fds: nobody uses fd now */
	struct list open; /* vfs.open_nodes, while fd is open */
};

/* Takes over path (arena string). */
void host_node_init(struct host_node *node, int root_fd, char *path);
void host_node_finish(struct host_node *node);

/* "dir/name" as a new arena string; dir "." gives "name". NULL: out of arena or too long. */
char *host_path_join(const char *dir, const char *name);

/* Opens (shared) for reading, or also for writing; each call needs a host_node_close. */
int host_node_open(struct host_node *node, bool writable);
void host_node_close(struct host_node *node);

/* The numbers of an lstat, with the instance's own uid shown as 0. */
int host_node_stat(int root_fd, const char *path, struct stat *ret_st);
int host_node_fstat(const struct host_node *node, struct stat *ret_st);
uint32_t host_uid_shown(uint32_t uid);

/* Before a snapshot: notes what the files in use are. -ESTALE: one has no name any more; -ENOMEM.
 */
int host_nodes_freeze(void);

/*
 * In a clone: host descriptors are not those of before.  Idle ones are forgotten, the others opened
 * anew, if the file is still the one that it was: -ESTALE otherwise, and *ret_path names it.
 */
int host_nodes_resume(const char **ret_path);

ssize_t host_node_read(struct host_node *node, struct uio *uio, uint64_t off);
ssize_t host_node_write(struct host_node *node, struct uio *uio, uint64_t off);
