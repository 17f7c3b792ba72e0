/*
 * protocol.h - what leatd and leat-launcher say to each other.
 *
 * One AF_UNIX SOCK_SEQPACKET pair; the launcher's end is descriptor LAUNCHER_FD.  A message is a
 * fixed struct that starts with struct launcher_msg, followed by its variable part; descriptors
 * travel beside it in the order given here.  Both ends are ours and of one build, but the launcher
 * checks every size and count all the same: it is root.
 *
 *   leatd                         launcher
 *   INIT (image)               -> maps the image, installs F0
 *                              <- READY (the listener) or FAILED
 *   SETUP (control, doorbells) -> maps the control page, keeps the doorbells
 *                              <- READY or FAILED
 *   START (stdio, ...)         -> forks
 *                              <- STARTED (pid), then FAILED (stage, errno) or EXITED (wait
 *                                 status), then GONE; FAILED alone: the request was refused
 *   KILL                       -> kills every process of that instance's uid
 */
#pragma once

#include <stdint.h>

#include "leat/abi/boot.h"
#include "leat/abi/control.h"

#define LAUNCHER_FD 3
#define LAUNCHER_MAGIC 0x6c616e63U
#define LAUNCHER_MSG_MAX (1U << 20)   /* bytes of one message */
#define LAUNCHER_FDS_MAX 96U          /* descriptors beside one message */
#define LAUNCHER_FILTER_MAX 4096U     /* instructions of one seccomp filter (the kernel's limit) */
#define LAUNCHER_INSTANCES_MAX 20000U /* instances at once */
#define LAUNCHER_UID_MIN 1000000U     /* uids below are somebody's */
#define LAUNCHER_BLOCK_MAX (ABI_BOOT_SIZE / 2) /* boot block and strings; the rest is stack */

enum launcher_type {
	LAUNCHER_INIT = 1,
	LAUNCHER_SETUP,
	LAUNCHER_START,
	LAUNCHER_KILL,
	LAUNCHER_READY,
	LAUNCHER_STARTED,
	LAUNCHER_FAILED,
	LAUNCHER_EXITED,
	LAUNCHER_GONE,
};

struct launcher_msg {
	uint32_t magic;
	uint32_t type; /* enum launcher_type */
	uint32_t size; /* bytes of the whole message */
	uint32_t nr_fds;
};

/*
 * Filters follow: F0, then F1 for instances that use no file of the host (an image and no volume),
 * that read files, and with writable volumes.
 */
enum launcher_filter {
	LAUNCHER_F0,
	LAUNCHER_F1_IMAGE,
	LAUNCHER_F1_READ,
	LAUNCHER_F1_WRITE,
	LAUNCHER_NR_FILTERS,
};

struct launcher_init {
	struct launcher_msg msg; /* fds: the image */
	uint64_t text_low;       /* the image's text as the filters have it */
	uint64_t text_high;
	uint32_t uid_low; /* the pool of this leatd: [uid_low, uid_low + uid_count) */
	uint32_t uid_count;
	uint32_t uid_killer; /* a uid of nobody: real uid of the helper that kills an instance */
	uint32_t nr_insns[LAUNCHER_NR_FILTERS];
};

struct launcher_setup {
	struct launcher_msg msg; /* fds: the control page, then an eventfd for each bit set */
	uint32_t doorbell_mask;  /* bit n: host cpu n has a dataplane thread */
	uint32_t pad;
};

/* Flags of START; those about descriptors also give their order behind stdio, window and root. */
#define LAUNCHER_HAS_EXEC 1U      /* the program's file */
#define LAUNCHER_HAS_CWD 2U       /* a directory that Landlock opens for reading too */
#define LAUNCHER_HAS_CGROUP 4U    /* cgroup.procs to join */
#define LAUNCHER_WRITE 8U         /* some volume is writable */
#define LAUNCHER_HAS_SNAPSHOT 16U /* it goes on from it */

#define LAUNCHER_START_FDS 5U /* stdin, stdout, stderr, window, root: always there */

/*
 * fds: stdin, stdout, stderr, window, root, [exec], [cwd], [cgroup], [snapshot], volumes.  The root
 * is a directory, or an image of block.root_bytes.
 */
struct launcher_start {
	struct launcher_msg msg;
	uint32_t flags;
	uint32_t nproc;        /* RLIMIT_NPROC of the instance's uid: host threads */
	struct abi_boot block; /* and its strings behind it, block.size bytes in all */
};

struct launcher_kill {
	struct launcher_msg msg;
	uint32_t instance;
	uint32_t pad;
};

/* READY, STARTED, FAILED, EXITED, GONE. */
struct launcher_reply {
	struct launcher_msg msg; /* fds: READY after INIT: the listener */
	uint32_t instance;       /* 0: about INIT or SETUP */
	uint32_t stage;          /* FAILED: enum launcher_stage */
	int32_t error;           /* FAILED: errno */
	int32_t status;          /* EXITED: wait(2) status word */
	uint32_t detail;         /* FAILED: which volume */
	uint32_t pid;            /* STARTED, EXITED: host pid of the first process */
};

/* How far a start came; the name is what could not be done. */
enum launcher_stage {
	STAGE_REQUEST,
	STAGE_IMAGE,
	STAGE_FILTER,
	STAGE_FORK,
	STAGE_SESSION,
	STAGE_CGROUP,
	STAGE_FDS,
	STAGE_VOLUME,
	STAGE_LANDLOCK,
	STAGE_ROOT,
	STAGE_LIMITS,
	STAGE_MAP,
	STAGE_UID,
	STAGE_SECCOMP,
	STAGE_RUN, /* the image has taken over */
};
