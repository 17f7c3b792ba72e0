/*
 * pty.h - pseudo-terminals: /dev/ptmx, /dev/pts and /dev/tty.
 */
#pragma once

#include "libos/fs/fs.h"

struct tty_job;

/* The file system that is mounted at /dev/pts. */
int devpts_create(struct super **ret_sb, struct dentry **ret_root);

/* Opens of character devices: 5:2, and 136:index; -EIO: no such pair. */
int pty_master_open(struct file *file);
int pty_slave_open(struct file *file, unsigned index);

/* /dev/tty: the pair whose terminal this is. -ENXIO: it is no pseudo-terminal. */
int pty_open_by_job(struct file *file, const struct tty_job *job);
