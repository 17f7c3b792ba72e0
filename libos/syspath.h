/*
 * syspath.h - paths of the program, brought into libOS memory.
 */
#pragma once

/* A copy of the program's path, to be given back with path_release. -EFAULT, -ENAMETOOLONG,
 * -ENOMEM. */
int path_import(const char *user_path, char **ret_path);
void path_release(char *path);

/*
 * Does the path lead to a descriptor of the current process (/proc/self/fd/N, /dev/fd/N,
 * /dev/stdout)? 0 with its number, or -ENOENT.
 */
int vfs_fd_link(const char *path, int dirfd, int *ret_fd);
