/*
 * tty.h - the host's terminal as the instance's controlling terminal.
 */
#pragma once

#include <stdbool.h>

bool tty_is(int host_fd);

/* An ioctl of the program on a terminal; arg is its pointer or number. */
long tty_ioctl(int host_fd, unsigned cmd, unsigned long arg);

/*
 * May the current process read (SIGTTIN) or write (SIGTTOU) the terminal now?  0, or as POSIX has
 * it for a background process group: the signal is sent and -ERESTARTSYS or -EIO comes back.
 */
int tty_check_background(int sig);
