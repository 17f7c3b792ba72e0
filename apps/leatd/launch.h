/*
 * launch.h - leatd's end of the launcher (apps/launcher/protocol.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "apps/launcher/protocol.h"
#include "apps/leatd/image.h"

struct launch {
	int fd; /* the pair's end: readable when the launcher says something */
	pid_t pid;
	int listener; /* seccomp notifications of all instances */
};

/* Starts the launcher's process: before leatd has threads, or memory worth copying. */
int launch_process(const char *path, struct launch *ret_launch);

struct launch_pool {
	uint32_t uid_low, uid_count, uid_killer;
};

/* INIT: image and filters.  *ret_stage: what failed. */
int launch_init(struct launch *launch, const struct image *image, const struct launch_pool *pool,
		enum launcher_stage *ret_stage);

/* SETUP: the control page and the doorbells of the cpus whose bits are set, in order. */
int launch_setup(struct launch *launch, int control_fd, const int *doorbells, uint32_t mask,
		 enum launcher_stage *ret_stage);

/* Whom the program runs as, inside. */
struct launch_user {
	uint32_t uid, gid;
	unsigned nr_groups;
	uint32_t groups[ABI_MAX_GROUPS];
};

/* Everything of one start; strings are copied behind the block.  -1: no such descriptor. */
struct launch_request {
	uint32_t instance;
	uint32_t uid;
	uint32_t nr_vcpus;
	uint32_t nproc;
	uint32_t nofile;
	uint32_t umask;
	bool trace;
	bool writable; /* some volume is */
	uint64_t memory_max;
	uint64_t root_bytes; /* root_fd is an image of this size; 0: a directory */
	uint64_t stack_max;
	uint64_t launched_ns;
	const char *program;
	const char *cwd;
	const char *hostname;
	struct launch_user user;
	char *const *argv; /* NULL at the end */
	char *const *envp;
	int stdio[3];
	int window_fd;
	int root_fd;
	int exec_fd;
	int cwd_fd;
	int cgroup_fd;
	int snapshot_fd;
	unsigned nr_volumes;
	struct {
		int fd;
		const char *dst;
		bool read_only;
	} volumes[ABI_MAX_VOLUMES];
};

/* START.  -E2BIG: arguments and environment are too long. */
int launch_start(struct launch *launch, const struct launch_request *req);
int launch_kill(struct launch *launch, uint32_t instance);

/*
 * One reply: 1, 0: the launcher is gone, -EAGAIN: nothing there.  *ret_fd is its descriptor, now
 * the caller's, or -1.
 */
int launch_receive(struct launch *launch, bool wait, struct launcher_reply *ret_reply, int *ret_fd);

/* Ends the launcher and with it all instances; waits for it. */
void launch_finish(struct launch *launch);

/* "cannot X" for a failed stage. */
const char *launch_stage_text(enum launcher_stage stage);
