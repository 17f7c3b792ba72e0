/*
 * launcher.h - the launcher's own parts.
 *
 * The launcher is one thread, static, and maps next to nothing: instances are forked from it.
 * Everything here returns 0 or a negative errno.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "apps/launcher/protocol.h"
#include "apps/launcher/vdso.h"

/* A message as received: the bytes are aligned for every struct of protocol.h. */
struct message {
	struct launcher_msg *head;
	int fds[LAUNCHER_FDS_MAX];
	unsigned nr_fds;
};

struct filter {
	struct sock_filter *insns;
	uint32_t nr;
};

/* What INIT and SETUP left behind. */
struct launcher {
	bool image_ready;
	bool setup_ready;
	uint64_t entry;
	uint64_t text_low, text_high;
	struct vdso vdso;
	uint32_t uid_low, uid_count, uid_killer;
	uint32_t doorbell_mask; /* bit n: ABI_FD_DOORBELL + n is open */
	struct filter filters[LAUNCHER_NR_FILTERS];
	int landlock_abi; /* 0: the kernel has none */
	int nowhere_fd;   /* an empty directory that is gone: / of instances with an image */
	pid_t pid;
};

/* How far the child of one start came: shared with it until the image unmaps it. */
struct progress {
	uint32_t stage;
	uint32_t detail;
	int32_t error;
};

/* message.c */
int message_receive(int fd, struct message *ret_msg);
void message_close_fds(struct message *msg);
int message_send(int fd, struct launcher_reply *reply, int extra_fd);

/* image.c */
int image_map(int fd, struct launcher *launcher);

/* start.c: the child; does not return */
_Noreturn void start_child(const struct launcher *launcher, const struct launcher_start *req,
			   const int *fds, int ruleset, struct progress *progress);
int start_check(const struct launcher *launcher, const struct message *msg);
/* In the launcher: the ruleset that a checked request can share with others, or -1. */
int start_ruleset(const struct launcher *launcher, const struct launcher_start *req,
		  const int *fds);

/* landlock.c */
int landlock_abi(void);
int landlock_prepare(const struct launcher *launcher, int root_fd, int cwd_fd,
		     const struct abi_boot *block, const int *volume_fds, int *ret_ruleset);
int landlock_keep(const struct launcher *launcher, int root_fd, int cwd_fd,
		  const struct abi_boot *block);
int landlock_enter(int ruleset_fd);

/* volume.c: turns the caller's descriptor into the instance's own view of it */
int volume_prepare(int fd, uint32_t flags, uint32_t uid, int *ret_fd);

/* privilege.c */
int privilege_prepare(void);
int privilege_limits(const struct abi_boot *block, uint32_t nproc);
int privilege_drop(uint32_t uid, pid_t parent);
int filter_install(const struct filter *filter, unsigned flags);

/* children.c: the table of instances, and their end */
int children_init(void);
struct progress *children_add(uint32_t instance, uint32_t uid);
void children_started(uint32_t instance, pid_t pid);
void children_forget(uint32_t instance);
void children_reap(int fd);
void children_kill(uint32_t instance);
void children_kill_all(const struct launcher *launcher);
int children_sweep(const struct launcher *launcher);
int children_retry(const struct launcher *launcher, int fd);
