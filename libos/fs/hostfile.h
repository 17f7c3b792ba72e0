/*
 * hostfile.h - files over host descriptors: the instance's stdio, and the program's file.
 */
#pragma once

#include "libos/file.h"

/* A file over host descriptor fd, which stays open when the file goes. -EBADF: not open. */
int hostfile_create(int fd, unsigned flags, struct file **ret_file);

/* Another open file over the same descriptor, as open("/proc/self/fd/1") gives. */
int hostfile_reopen(struct file *file, unsigned flags, struct file **ret_file);
/* In a clone the descriptor leads to something else. */
void hostfile_resume(struct file *file);
bool hostfile_is(const struct file *file);
