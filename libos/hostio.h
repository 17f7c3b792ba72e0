/*
 * hostio.h - waiting for the host's descriptors 0, 1 and 2.
 *
 * A helper thread for each descriptor and direction that somebody waits for, made on demand in the
 * host process of whoever waits: it sleeps in the host's ppoll and then wakes the descriptor's
 * queue. Guard: the instance lock.
 */
#pragma once

#include <stdint.h>

#include "libos/wait.h"

#define HOSTIO_FDS 3

struct hostproc;

/* Makes instance()->hostio. 0 or -ENOMEM. */
int hostio_init(void);

/* What the descriptor is ready for now, of `events` (POLL* bits); errors and hang-ups too. */
uint32_t hostio_ready(int fd, uint32_t events);

/* The queue that is woken when the descriptor becomes ready for what was wanted. */
struct wait_queue *hostio_queue(int fd);

/* Sees to it that the queue is woken once when fd is ready for one of `events`. 0 or negative
 * errno. */
int hostio_want(int fd, uint32_t events);

/* In a clone: there are no helpers. Whoever waits looks again, and asks for new ones. */
void hostio_resume(void);

/* A host process ends, and its helpers with it. */
void hostio_host_gone(const struct hostproc *host);
