/*
 * layout.h - the fixed addresses of an instance's address space.
 *
 * Everything of Leat's lies in [ABI_LEAT_LOW, ABI_LEAT_HIGH); the program has the rest of user
 * space.  The range is clear of 0x400000, Go's 0xc000000000, V8's cage, and the sanitizers' shadows
 * and heaps.  Addresses are the same in every process of every instance, so that pointers saved in
 * the arena and the seccomp filter's text range stay true across fork, snapshot and clone.
 */
#pragma once

#define ABI_PAGE_SIZE 4096UL

#define ABI_LEAT_LOW 0x7d0000000000UL
#define ABI_LEAT_HIGH 0x7e8000000000UL

/* All state of the libOS: private until the first fork, then a memfd shared by the processes. */
#define ABI_ARENA_BASE 0x7d0000000000UL
#define ABI_ARENA_MAX (64UL << 30)

/* File data of memfs: one sparse memfd, mapped shared by every process. */
#define ABI_STORE_BASE 0x7d4000000000UL
#define ABI_STORE_MAX (128UL << 30)

/*
 * What follows lies within 1 GiB, and the small things within 2 MiB, so that an instance needs few
 * pages for its page tables.
 */

/* The instance image: text, then read-only data. */
#define ABI_IMAGE_BASE 0x7e0000000000UL
#define ABI_IMAGE_MAX (16UL << 20)

/* leatd's control page, read-only in instances. */
#define ABI_CONTROL_BASE 0x7e0002000000UL

/* Leat's own vDSO: one page of code, then one page of data. */
#define ABI_VDSO_BASE 0x7e0002002000UL

/* The host's vDSO and its data pages, moved here by the launcher. */
#define ABI_HOST_VDSO_BASE 0x7e0002010000UL
#define ABI_HOST_VDSO_MAX (512UL << 10)

/* struct abi_boot, written by the launcher, followed by its strings and the boot stack. */
#define ABI_BOOT_BASE 0x7e0002100000UL
#define ABI_BOOT_SIZE (1UL << 20)

/* The window: the only memory that leatd and the instance both write. */
#define ABI_WINDOW_BASE 0x7e0008000000UL

/* A clone's own view of its snapshot's header and table, while it starts. */
#define ABI_SNAPSHOT_BASE 0x7e0010000000UL

/* The image that is the root file system, read-only. */
#define ABI_ROOT_BASE 0x7e4000000000UL
#define ABI_ROOT_MAX (128UL << 30)

/* What the program may use. */
#define ABI_USER_LOW 0x10000UL
#define ABI_USER_HIGH 0x7ffffffff000UL
