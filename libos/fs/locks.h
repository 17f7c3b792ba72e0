/*
 * locks.h - advisory locks on files, for the flock and fcntl handlers.
 */
#pragma once

#include <fcntl.h>
#include <sys/file.h>

#include "libos/fs/fs.h"

/* flock(2). May sleep. */
int locks_flock(struct file *file, int operation);

/* F_GETLK, F_SETLK, F_SETLKW and their F_OFD_ forms; fl is libOS memory, filled by the GETLKs. */
int locks_fcntl(struct file *file, int cmd, struct flock *fl);
