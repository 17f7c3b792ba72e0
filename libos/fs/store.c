/*
 * store.c - block allocation in the store memfd, and the extents of files.
 *
 * Two bits a block: used, and dirty (free, but not zero).  Freed runs of some length are punched
 * out of the memfd, so that the host gets its memory back; shorter ones stay dirty and are zeroed
 * when they are used again.
 */
#include "libos/fs/store.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/host.h"

#define MFD_CLOEXEC_FLAG 1u
#define FALLOC_KEEP_SIZE 1
#define FALLOC_PUNCH_HOLE 2

#define CHUNK_BLOCKS 16384u /* bits of one page, halved: used, then dirty */
#define CHUNK_WORDS (CHUNK_BLOCKS / 64)
#define NR_CHUNKS (ABI_STORE_MAX / STORE_BLOCK / CHUNK_BLOCKS)
#define PUNCH_MIN 16u /* blocks */
#define SPREAD 16u    /* a new file's first block leaves the one before it this much room */

struct chunk {
	uint64_t used[CHUNK_WORDS];
	uint64_t dirty[CHUNK_WORDS];
};

_Static_assert(sizeof(struct chunk) == 4096, "a chunk is a page");

struct store {
	int fd; /* -1: not made yet */
	uint64_t limit_blocks;
	uint64_t used_blocks;
	uint32_t resumed_blocks; /* blocks below are private memory while fd is -1 */
	uint32_t hint;           /* where the next file may begin */
	struct chunk *chunk[NR_CHUNKS];
};

static char *block_addr(uint32_t block)
{
	return (char *)ABI_STORE_BASE + ((uint64_t)block << STORE_BLOCK_SHIFT);
}

struct store *store_create(uint64_t limit_bytes)
{
	struct store *store = arena_zalloc(sizeof(*store));

	if (!store)
		return NULL;
	store->fd = -1;
	store->limit_blocks = MIN(limit_bytes, ABI_STORE_MAX) >> STORE_BLOCK_SHIFT;
	return store;
}

uint64_t store_used_bytes(const struct store *store)
{
	return store->used_blocks << STORE_BLOCK_SHIFT;
}

uint64_t store_limit_bytes(const struct store *store)
{
	return store->limit_blocks << STORE_BLOCK_SHIFT;
}

int store_fd(const struct store *store)
{
	return store->fd;
}

/* ---- blocks ---- */

static bool block_is_used(const struct store *store, uint32_t block)
{
	const struct chunk *c = store->chunk[block / CHUNK_BLOCKS];
	unsigned bit = block % CHUNK_BLOCKS;

	return c && (c->used[bit / 64] >> (bit % 64) & 1);
}

/* In a clone the blocks are private memory at first: they move into the memfd. */
static long store_copy(const struct store *store, int fd)
{
	for (uint32_t block = 0; block < store->resumed_blocks; block++) {
		uint64_t off = (uint64_t)block << STORE_BLOCK_SHIFT;
		long n;

		if (!block_is_used(store, block))
			continue;
		n = host_pwrite(fd, block_addr(block), STORE_BLOCK, off);
		if (n != STORE_BLOCK)
			return n < 0 ? n : -ENOSPC;
	}
	return 0;
}

int store_attach(struct store *store)
{
	long fd, err;

	if (store->fd >= 0)
		return 0;
	fd = host_memfd_create("leat-store", MFD_CLOEXEC_FLAG);
	if (fd < 0)
		return (int)fd;
	err = host_ftruncate((int)fd, ABI_STORE_MAX);
	if (err >= 0)
		err = store_copy(store, (int)fd);
	if (err >= 0)
		err = host_mmap((void *)ABI_STORE_BASE, ABI_STORE_MAX, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_FIXED | MAP_NORESERVE, (int)fd, 0);
	if (err < 0) {
		host_close((int)fd);
		return (int)err;
	}
	store->fd = (int)fd;
	return 0;
}

void store_resume(struct store *store, uint64_t end)
{
	store->fd = -1;
	store->resumed_blocks = (uint32_t)((end - ABI_STORE_BASE) >> STORE_BLOCK_SHIFT);
}

/* The first free block in [from, to), or to. */
static uint32_t block_find_free(const struct store *store, uint32_t from, uint32_t to)
{
	while (from < to) {
		const struct chunk *c = store->chunk[from / CHUNK_BLOCKS];
		unsigned bit = from % CHUNK_BLOCKS;
		uint64_t free;

		if (!c)
			return from;
		free = ~c->used[bit / 64] >> (bit % 64);
		if (free) {
			from += (uint32_t)__builtin_ctzll(free);
			return MIN(from, to);
		}
		from += 64 - bit % 64;
	}
	return to;
}

static int block_take(struct store *store, uint32_t block, bool *ret_dirty)
{
	struct chunk **c = &store->chunk[block / CHUNK_BLOCKS];
	unsigned bit = block % CHUNK_BLOCKS;
	uint64_t mask = 1ULL << (bit % 64);

	if (!*c) {
		*c = page_alloc(0);
		if (!*c)
			return -ENOSPC;
		memset(*c, 0, sizeof(**c));
	}
	*ret_dirty = (*c)->dirty[bit / 64] & mask;
	(*c)->used[bit / 64] |= mask;
	(*c)->dirty[bit / 64] &= ~mask;
	store->used_blocks++;
	return 0;
}

static void blocks_free(struct store *store, uint32_t first, uint32_t nr)
{
	bool punched =
		nr >= PUNCH_MIN && host_fallocate(store->fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE,
						  (uint64_t)first << STORE_BLOCK_SHIFT,
						  (uint64_t)nr << STORE_BLOCK_SHIFT) == 0;
	uint32_t i;

	for (i = first; i < first + nr; i++) {
		struct chunk *c = store->chunk[i / CHUNK_BLOCKS];
		unsigned bit = i % CHUNK_BLOCKS;

		c->used[bit / 64] &= ~(1ULL << (bit % 64));
		if (!punched)
			c->dirty[bit / 64] |= 1ULL << (bit % 64);
	}
	store->used_blocks -= nr;
	if (first < store->hint)
		store->hint = first;
}

/*
 * Takes up to `want` blocks in one run, at goal if that is free.  Each block that was dirty and is
 * not going to be overwritten whole is zeroed.
 */
static int run_take(struct store *store, uint32_t goal, uint32_t want, bool zero,
		    uint32_t *ret_first, uint32_t *ret_nr)
{
	uint32_t end = (uint32_t)(ABI_STORE_MAX >> STORE_BLOCK_SHIFT);
	uint32_t first = goal, nr = 0;
	bool dirty;

	if (store->used_blocks >= store->limit_blocks)
		return -ENOSPC;
	want = (uint32_t)MIN(want, store->limit_blocks - store->used_blocks);
	if (!goal || goal >= end || block_is_used(store, goal)) {
		first = block_find_free(store, store->hint, end);
		if (first == end)
			first = block_find_free(store, 0, end);
		if (first == end)
			return -ENOSPC;
		store->hint = first + want + SPREAD < end ? first + want + SPREAD : 0;
	}
	while (nr < want && first + nr < end && !block_is_used(store, first + nr)) {
		if (block_take(store, first + nr, &dirty))
			break;
		if (dirty && zero)
			memset(block_addr(first + nr), 0, STORE_BLOCK);
		nr++;
	}
	if (!nr)
		return -ENOSPC;
	*ret_first = first;
	*ret_nr = nr;
	return 0;
}

/* ---- extents ---- */

/* The index of the first extent that ends behind block. */
static unsigned extent_find(const struct store_map *map, uint32_t block)
{
	unsigned low = 0, high = map->nr;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (map->extents[mid].file_block + map->extents[mid].nr <= block)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int map_room(struct store_map *map, unsigned more)
{
	unsigned room = MAX(map->room * 2, 4u);
	struct extent *extents;

	if (map->nr + more <= map->room)
		return 0;
	extents = arena_alloc(room * sizeof(*extents));
	if (!extents)
		return -ENOSPC;
	if (map->nr)
		memcpy(extents, map->extents, map->nr * sizeof(*extents));
	arena_free(map->extents);
	map->extents = extents;
	map->room = room;
	return 0;
}

static void extent_insert(struct store_map *map, unsigned at, struct extent e)
{
	struct extent *prev = at ? &map->extents[at - 1] : NULL;

	map->blocks += e.nr;
	if (prev && prev->file_block + prev->nr == e.file_block &&
	    prev->store_block + prev->nr == e.store_block) {
		prev->nr += e.nr;
		return;
	}
	memmove(&map->extents[at + 1], &map->extents[at], (map->nr - at) * sizeof(e));
	map->extents[at] = e;
	map->nr++;
}

static void extent_remove(struct store_map *map, unsigned at)
{
	map->nr--;
	memmove(&map->extents[at], &map->extents[at + 1], (map->nr - at) * sizeof(struct extent));
}

void *store_map_find(const struct store_map *map, uint64_t off, uint64_t n, uint64_t *ret_n)
{
	uint32_t block = (uint32_t)(off >> STORE_BLOCK_SHIFT);
	unsigned i = extent_find(map, block);
	const struct extent *e = &map->extents[i];
	uint64_t start;

	if (i == map->nr) {
		*ret_n = n;
		return NULL;
	}
	start = (uint64_t)e->file_block << STORE_BLOCK_SHIFT;
	if (off < start) {
		*ret_n = MIN(n, start - off);
		return NULL;
	}
	*ret_n = MIN(n, start + ((uint64_t)e->nr << STORE_BLOCK_SHIFT) - off);
	return block_addr(e->store_block) + (off - start);
}

/* The blocks that an overwrite of [off, off + n) does not fill are zeroed at their other bytes. */
static void edges_zero(const struct extent *e, uint64_t off, uint64_t n)
{
	uint64_t start = (uint64_t)e->file_block << STORE_BLOCK_SHIFT;
	uint64_t end = start + ((uint64_t)e->nr << STORE_BLOCK_SHIFT);
	char *addr = block_addr(e->store_block);

	if (start < off)
		memset(addr, 0, (size_t)(MIN(off, end) - start));
	if (off + n < end)
		memset(addr + (MAX(off + n, start) - start), 0,
		       (size_t)(end - MAX(off + n, start)));
}

int store_map_reserve(struct store *store, struct store_map *map, uint64_t off, uint64_t n,
		      bool overwrite)
{
	uint32_t block = (uint32_t)(off >> STORE_BLOCK_SHIFT);
	uint32_t end = (uint32_t)((off + n + STORE_BLOCK - 1) >> STORE_BLOCK_SHIFT);
	unsigned i;
	int err;

	if (n == 0)
		return 0;
	if (off + n > ABI_STORE_MAX)
		return -EFBIG;
	err = store_attach(store);
	if (err)
		return err;
	for (i = extent_find(map, block); block < end; i = extent_find(map, block)) {
		struct extent e = {block, 0, end - block};
		uint32_t goal = 0;

		if (i < map->nr && map->extents[i].file_block <= block) {
			block = map->extents[i].file_block + map->extents[i].nr;
			continue;
		}
		if (i < map->nr)
			e.nr = MIN(e.nr, map->extents[i].file_block - block);
		if (i > 0)
			goal = map->extents[i - 1].store_block + map->extents[i - 1].nr +
			       (block - map->extents[i - 1].file_block - map->extents[i - 1].nr);
		err = map_room(map, 1);
		if (!err)
			err = run_take(store, goal, e.nr, !overwrite, &e.store_block, &e.nr);
		if (err)
			return err;
		if (overwrite)
			edges_zero(&e, off, n);
		extent_insert(map, i, e);
		block += e.nr;
	}
	return 0;
}

/* Cuts the extents so that one begins at block; false: no memory for one more. */
static bool extent_split(struct store_map *map, uint32_t block)
{
	unsigned i = extent_find(map, block);
	struct extent *e, tail;
	uint32_t head;

	if (i == map->nr || map->extents[i].file_block >= block)
		return true;
	if (map_room(map, 1))
		return false;
	e = &map->extents[i];
	head = block - e->file_block;
	tail = (struct extent){block, e->store_block + head, e->nr - head};
	e->nr = head;
	memmove(&map->extents[i + 2], &map->extents[i + 1],
		(map->nr - i - 1) * sizeof(struct extent));
	map->extents[i + 1] = tail;
	map->nr++;
	return true;
}

static void range_zero(struct store_map *map, uint64_t off, uint64_t n)
{
	while (n) {
		uint64_t run;
		void *addr = store_map_find(map, off, n, &run);

		if (addr)
			memset(addr, 0, (size_t)run);
		off += run;
		n -= run;
	}
}

void store_map_punch(struct store *store, struct store_map *map, uint64_t off, uint64_t n)
{
	uint64_t limit = (uint64_t)UINT32_MAX << STORE_BLOCK_SHIFT;
	uint64_t end = n > limit - MIN(off, limit) ? limit : off + n;
	uint32_t first = (uint32_t)((MIN(off, limit) + STORE_BLOCK - 1) >> STORE_BLOCK_SHIFT);
	uint32_t last = (uint32_t)(end >> STORE_BLOCK_SHIFT); /* exclusive */
	unsigned i;

	if (off >= end || !map->nr)
		return;
	if (first >= last || !extent_split(map, first) || !extent_split(map, last)) {
		range_zero(map, off, end - off);
		return;
	}
	range_zero(map, off, ((uint64_t)first << STORE_BLOCK_SHIFT) - off);
	range_zero(map, (uint64_t)last << STORE_BLOCK_SHIFT,
		   end - ((uint64_t)last << STORE_BLOCK_SHIFT));
	i = extent_find(map, first);
	while (i < map->nr && map->extents[i].file_block < last) {
		blocks_free(store, map->extents[i].store_block, map->extents[i].nr);
		map->blocks -= map->extents[i].nr;
		extent_remove(map, i);
	}
}

int store_map_move(struct store_map *map, uint32_t first, struct store_map *to)
{
	unsigned i;

	if (!extent_split(map, first))
		return -ENOMEM;
	for (i = extent_find(map, first); i < map->nr;) {
		if (map_room(to, 1))
			return -ENOMEM;
		to->extents[to->nr++] = map->extents[i];
		to->blocks += map->extents[i].nr;
		map->blocks -= map->extents[i].nr;
		extent_remove(map, i);
	}
	return 0;
}

void store_map_finish(struct store *store, struct store_map *map)
{
	unsigned i;

	for (i = 0; i < map->nr; i++)
		blocks_free(store, map->extents[i].store_block, map->extents[i].nr);
	arena_free(map->extents);
	memset(map, 0, sizeof(*map));
}

ssize_t store_read(const struct store_map *map, struct uio *uio, uint64_t off, uint64_t n)
{
	ssize_t done = 0;

	n = MIN(n, uio->left);
	while (n) {
		uint64_t run;
		void *addr = store_map_find(map, off, n, &run);
		ssize_t got =
			addr ? uio_copy_out(uio, addr, (size_t)run) : uio_zero(uio, (size_t)run);

		if (got < 0)
			return done ? done : got;
		done += got;
		if ((uint64_t)got < run)
			break;
		off += run;
		n -= run;
	}
	return done;
}

ssize_t store_write(struct store *store, struct store_map *map, struct uio *uio, uint64_t off,
		    uint64_t n)
{
	ssize_t done = 0;
	int err;

	n = MIN(n, uio->left);
	while (n) {
		uint64_t run = MIN(n, 1u << 20); /* a fault in the middle leaves little to undo */
		void *addr;
		ssize_t got;

		err = store_map_reserve(store, map, off, run, false);
		if (err)
			return done ? done : err;
		addr = store_map_find(map, off, run, &run);
		got = uio_copy_in(uio, addr, (size_t)run);
		if (got < 0)
			return done ? done : got;
		done += got;
		if ((uint64_t)got < run)
			break;
		off += run;
		n -= run;
	}
	return done;
}
