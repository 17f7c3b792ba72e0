/*
 * tty_job.h - terminals and job control: whose terminal it is, and who may use it now.
 *
 * Guard: the instance lock.
 */
#pragma once

#include <stdbool.h>

#include "leat/base/list.h"

struct process;

/* Part of every terminal. */
struct tty_job {
	struct list node; /* vfs.ttys */
	int sid;          /* the session whose controlling terminal it is; 0: none's */
	int pgid;         /* its foreground process group */
	unsigned dev;     /* device number, as /proc/PID/stat shows it */
};

void tty_job_init(struct tty_job *job, unsigned dev);
void tty_job_finish(struct tty_job *job);

/* Is it the controlling terminal of the process? */
bool tty_job_is_own(const struct tty_job *job, const struct process *process);

/*
 * May the current process read (SIGTTIN), or write or change (SIGTTOU), the terminal now?  0, or as
 * POSIX has it for a background process group: the signal is sent and -ERESTARTSYS comes back, or
 * -EIO.
 */
int tty_job_check(const struct tty_job *job, int sig);

/* TIOCSPGRP, TIOCSCTTY, TIOCNOTTY by the current process. */
int tty_job_set_pgrp(struct tty_job *job, const int *user_pgid);
int tty_job_acquire(struct tty_job *job, bool steal, bool readable);
int tty_job_give_up(struct tty_job *job);

/* open(2) of a terminal without O_NOCTTY: a session leader without one gets it. */
void tty_job_opened(struct tty_job *job);

/* The controlling terminal of the process, or NULL. */
struct tty_job *tty_job_of(const struct process *process);

/* A session or group has a new number: process_renumber. */
void tty_job_renumber(int old, int pid);

/* A session leader ends: its terminal is nobody's, and the foreground hears of it. */
void tty_job_leader_gone(const struct process *process);

/* The other side of the terminal went. */
void tty_job_hangup(struct tty_job *job);

/* /proc/PID/stat: the terminal's device number and foreground group; 0 and -1 without one. */
void tty_job_describe(const struct process *process, unsigned *ret_dev, int *ret_pgid);
