/*
 * boot.h - what the launcher tells an instance, and the host descriptors that it inherits.
 *
 * The block lies at ABI_BOOT_BASE.  Offsets are from its start; strings are NUL-terminated; lists
 * of strings lie one after the other.  The launcher jumps to the image's entry with rdi = the block
 * and rsp = ABI_BOOT_BASE + ABI_BOOT_SIZE.
 */
#pragma once

#include <stdint.h>

#include "leat/abi/window.h"

/* Fixed host descriptors of an instance; everything else is closed.  0, 1, 2 are its stdio. */
#define ABI_FD_WINDOW 3
/*
 * O_RDONLY: the lower layer of /.  A directory is listed through this very descriptor, since
 * Landlock refuses to open the host's / anew; an image (root_bytes) lies mapped at ABI_ROOT_BASE.
 */
#define ABI_FD_ROOT 4
#define ABI_FD_EXEC 5      /* the program's file, O_RDONLY; -1 in the block when absent */
#define ABI_FD_SNAPSHOT 6  /* of a clone: the snapshot (snapshot.h), O_RDONLY */
#define ABI_FD_VOLUMES 16  /* ABI_FD_VOLUMES + n: volume n: O_PATH directory, or an open file */
#define ABI_FD_DOORBELL 64 /* ABI_FD_DOORBELL + core: eventfd of that core's dataplane thread */
#define ABI_FD_FIRST_FREE 128

#define ABI_MAX_VOLUMES 32U

#define ABI_VOLUME_RO 1U

struct abi_volume {
	uint32_t dst_off; /* mount point inside the instance, absolute */
	uint32_t flags;
};

#define ABI_MAX_GROUPS 32

struct abi_boot {
	uint32_t magic;
	uint32_t version;
	uint32_t size; /* bytes of block and strings */
	uint32_t nr_vcpus;
	uint32_t uid;      /* the instance's host uid and gid: shown inside as 0 */
	uint32_t instance; /* its number */
	int32_t exec_fd;   /* ABI_FD_EXEC or -1 */
	uint32_t trace;
	uint32_t clone; /* 1: ABI_FD_SNAPSHOT is there, and the instance goes on from it */
	uint32_t pad;
	uint64_t memory_max; /* bytes, 0: no limit */
	uint64_t host_vdso;  /* the host's vDSO: its ELF header, from ABI_HOST_VDSO_BASE on */
	uint64_t window_size;
	uint64_t text_low; /* the image's text, as the seccomp filter has it */
	uint64_t text_high;
	uint64_t hwcap2;      /* AT_HWCAP2 of the host: what its kernel lets programs use */
	uint64_t root_bytes;  /* of the image at ABI_ROOT_BASE; 0: the root is a directory */
	uint64_t launched_ns; /* CLOCK_MONOTONIC when the request arrived at leatd */
	uint8_t random[64];
	uint32_t program_off; /* as given on the command line: a path or a name to look up in PATH
			       */
	uint32_t cwd_off;
	uint32_t hostname_off;
	uint32_t argc;
	uint32_t argv_off;
	uint32_t envc;
	uint32_t envp_off;
	uint32_t nr_volumes;
	struct abi_volume volume[ABI_MAX_VOLUMES];
	uint32_t umask;
	uint32_t nofile;    /* RLIMIT_NOFILE shown inside */
	uint64_t stack_max; /* RLIMIT_STACK shown inside, bytes */
	uint32_t user_uid;  /* of the first process, as seen inside */
	uint32_t user_gid;
	uint32_t nr_groups; /* <= ABI_MAX_GROUPS */
	uint32_t group[ABI_MAX_GROUPS];
};

_Static_assert(sizeof(struct abi_boot) < 2048, "the block leaves room for its strings");
