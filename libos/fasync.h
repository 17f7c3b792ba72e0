/*
 * fasync.h - signal-driven I/O: O_ASYNC, F_SETOWN and F_SETSIG (fcntl(2)).
 */
#pragma once

#include <stdbool.h>

struct file;

/* O_ASYNC goes on or off. 0, -ENOMEM, or -ENOTTY for files that nothing can wait for. */
int fasync_set(struct file *file, bool on);

/* To the owner of a directory in which something changed (F_NOTIFY); fd is the number it used. */
void fasync_signal_dir(const struct file *file, int fd);

/* The file goes; harmless when it never was asynchronous. */
void fasync_file_gone(struct file *file);
