/*
 * state.h - the state directory and what keeps two leatds apart: its lock, and the block of uids.
 */
#pragma once

#include <stdint.h>

#define STATE_UIDS 20000U        /* uids of one leatd */
#define STATE_UID_FIRST 2000000U /* of block 0 */
#define STATE_UID_BLOCKS 64U

struct state {
	char dir[80]; /* short enough for a socket's name in it */
	int dir_fd;
	int lock_fd;
	int uid_lock_fd;
	uint32_t uid_low;
	uint32_t uid_killer;
};

/*
 * Makes the directory (0700) if it is not there and takes its lock.  -EBUSY: another leatd has it;
 * -EPERM: it belongs to somebody else or others may write there; -ENAMETOOLONG.
 */
int state_open(struct state *state, const char *dir);

/* Removes what is of no use to the next leatd. */
void state_close(struct state *state);
