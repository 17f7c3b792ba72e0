/*
 * tty.h - the host's terminal as the instance's controlling terminal.
 */
#pragma once

#include <stdbool.h>

bool tty_is(int host_fd);

/* An ioctl of the program on a terminal; arg is its pointer or number. */
long tty_ioctl(int host_fd, unsigned cmd, unsigned long arg);

/* May the current process write to the console now? As tty_job_check, where TOSTOP is set. */
int tty_check_write(int host_fd);
