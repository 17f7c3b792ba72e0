/*
 * state.c - the state directory.
 *
 * Locks are flock()s on files that stay: the kernel drops them with the process, so that nothing a
 * killed leatd left behind looks alive.
 */
#include "apps/leatd/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define UID_LOCK_DIR "/run/lock/leat"

static int lock_file(int dir_fd, const char *name, int *ret_fd)
{
	int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int r = errno == EWOULDBLOCK ? -EBUSY : -errno;
		close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

/* A directory of root's own, into which nobody else may write. */
static int private_dir(const char *path, mode_t mode, int *ret_fd)
{
	struct stat st;

	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return -errno;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 022)) {
		close(fd);
		return -EPERM;
	}
	*ret_fd = fd;
	return 0;
}

/* The first block of uids that no other leatd of this machine holds. */
static int uid_block_take(struct state *state)
{
	char name[32];
	int dir, r;

	if (mkdir("/run/lock", 01777) < 0 && errno != EEXIST)
		return -errno;
	r = private_dir(UID_LOCK_DIR, 0700, &dir);
	if (r < 0)
		return r;
	r = -EUSERS;
	for (unsigned block = 0; block < STATE_UID_BLOCKS && r < 0; block++) {
		snprintf(name, sizeof(name), "uids-%u", block);
		r = lock_file(dir, name, &state->uid_lock_fd);
		/* one uid more than instances: the killer's */
		state->uid_killer = STATE_UID_FIRST + block * (STATE_UIDS + 1);
		state->uid_low = state->uid_killer + 1;
	}
	close(dir);
	return r;
}

int state_open(struct state *state, const char *dir)
{
	char pid[16];

	*state = (struct state){.dir_fd = -1, .lock_fd = -1, .uid_lock_fd = -1};
	if (strlen(dir) >= sizeof(state->dir))
		return -ENAMETOOLONG;
	strcpy(state->dir, dir);
	int r = private_dir(dir, 0700, &state->dir_fd);
	if (r == 0)
		r = lock_file(state->dir_fd, "lock", &state->lock_fd);
	if (r == 0)
		r = uid_block_take(state);
	if (r < 0) {
		state_close(state);
		return r;
	}
	int len = snprintf(pid, sizeof(pid), "%d\n", getpid());
	if (ftruncate(state->lock_fd, 0) < 0 || write(state->lock_fd, pid, (size_t)len) != len) {
		r = -errno;
		state_close(state);
		return r;
	}
	unlinkat(state->dir_fd, "leatd.sock", 0); /* of a dead one: the lock is ours */
	return 0;
}

void state_close(struct state *state)
{
	if (state->lock_fd >= 0) {
		unlinkat(state->dir_fd, "leatd.sock", 0);
		close(state->lock_fd);
	}
	if (state->uid_lock_fd >= 0)
		close(state->uid_lock_fd);
	if (state->dir_fd >= 0)
		close(state->dir_fd);
	*state = (struct state){.dir_fd = -1, .lock_fd = -1, .uid_lock_fd = -1};
}
