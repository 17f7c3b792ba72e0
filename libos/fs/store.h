/*
 * store.h - the data of memfs files: 4 KiB blocks of one memfd, mapped at ABI_STORE_BASE.
 *
 * A map is the sorted list of a file's extents; what no extent covers is a hole and reads as
 * zeroes. Guard: the instance lock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "leat/abi/layout.h"
#include "libos/uaccess.h"

#define STORE_BLOCK 4096u
#define STORE_BLOCK_SHIFT 12

/* nr blocks of the file from file_block lie in the store from store_block. */
struct extent {
	uint32_t file_block;
	uint32_t store_block;
	uint32_t nr;
};

struct store_map {
	struct extent *extents; /* sorted by file_block */
	unsigned nr;
	unsigned room;
	uint32_t blocks; /* allocated in all */
};

struct store;

/* limit_bytes: what all files together may hold. NULL: out of arena. */
struct store *store_create(uint64_t limit_bytes);

/* Makes the memfd and its mapping; called by the first write and before the first fork. */
int store_attach(struct store *store);

/*
 * In a clone: the blocks below address `end` are there as private memory, and there is no memfd
 * until store_attach makes one.
 */
void store_resume(struct store *store, uint64_t end);

uint64_t store_used_bytes(const struct store *store);
uint64_t store_limit_bytes(const struct store *store);
int store_fd(const struct store *store);

/*
 * The run that holds byte off: its address, and how many bytes (at most n) lie there or, when the
 * address is NULL, how many the hole has.
 */
void *store_map_find(const struct store_map *map, uint64_t off, uint64_t n, uint64_t *ret_n);

/*
 * Gives [off, off + n) blocks where it has none.  Fresh blocks are zero, except that the bytes of
 * [off, off + n) themselves are left undefined when `overwrite` is set.  -ENOSPC: nothing changed
 * for the file's reader, though some blocks may have come.
 */
int store_map_reserve(struct store *store, struct store_map *map, uint64_t off, uint64_t n,
		      bool overwrite);

/* Frees the blocks of [off, off + n) that it covers whole and zeroes the rest of the range. */
void store_map_punch(struct store *store, struct store_map *map, uint64_t off, uint64_t n);

/* Moves the blocks from block first on to another map, which keeps them until it is finished. */
int store_map_move(struct store_map *map, uint32_t first, struct store_map *to);

void store_map_finish(struct store *store, struct store_map *map);

/* Both return bytes moved or a negative errno; no end of file here: holes read as zeroes. */
ssize_t store_read(const struct store_map *map, struct uio *uio, uint64_t off, uint64_t n);
ssize_t store_write(struct store *store, struct store_map *map, struct uio *uio, uint64_t off,
		    uint64_t n);
