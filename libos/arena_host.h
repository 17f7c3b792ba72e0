/*
 * arena_host.h - the arena as the host sees it: made private, shared before anybody could differ.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ARENA_LIMIT (16UL << 30) /* at most ABI_ARENA_MAX */

/* Maps the arena's address range and makes an empty allocator in it: at the instance's start. */
void arena_create(void);
void arena_map(void); /* the first half of that, for a clone */

/*
 * Moves the arena into a memfd that is mapped shared, unless it is there already.  Called before
 * the first second host thread or process exists, so that nobody else can be writing. 0 or a
 * negative errno.
 */
int arena_share(void);

/* The memory's contents are not needed any more. */
void arena_give_back(void *addr, size_t len);

/* arena.c: what arena_share must copy: [base, table end) and [data start, end). */
void arena_init(uint64_t limit_bytes);
uint64_t arena_end(void);
uint64_t arena_table_end(void);
uint64_t arena_data_start(void);
