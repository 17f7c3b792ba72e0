/* The insides of maps, for map.c (arrays, and the doors), map_hash.c and map_lpm.c. */
#pragma once

#include "bpf/map.h"
#include "bpf/ring.h"

#include <stdatomic.h>

#define MAP_PREFIX_MAX 256 /* bits of an LPM key */
#define MAP_INNER_MAX 1024 /* maps that are made for one map of maps, in its life */

struct map_node {
	_Atomic(uint32_t) next; /* in its bucket or in the free list */
	_Atomic(uint32_t) used; /* enum map_use */
};

enum map_use { MAP_FREE = 0, MAP_USED, MAP_REFERENCED /* since the hand of the clock passed */ };

struct ebpf_map {
	const struct ebpf_map_def *def;
	uint32_t value_size; /* of what is kept: the definition's, or that of an address */
	uint32_t stride;     /* arrays: between values; others: between nodes */
	uint32_t copies;     /* per-CPU arrays: of all values; else 1 */
	uint8_t *storage;    /* arrays: values; others: node, key, value (each rounded up to 8) */
	struct ebpf_ring ring;

	/* maps of maps: those made for them, living or not, destroyed with the outer one */
	struct ebpf_map **made;
	uint32_t made_count;

	/* all but arrays; guarded by lock, which is held for one operation */
	atomic_flag lock;
	_Atomic(uint32_t) version; /* odd while links or keys change: see map_hash_find() */
	_Atomic(uint32_t) *buckets;
	uint32_t bucket_mask;
	uint32_t free_head;
	uint32_t hand; /* LRU: where the clock goes on */
	uint64_t seed;
	uint32_t prefixes[MAP_PREFIX_MAX + 1]; /* LPM: entries of each length */
};

static inline uint32_t map_round8(uint32_t size)
{
	return (size + 7u) & ~7u;
}

/* Gives up after some 50 us; see map_hash.c. */
bool map_lock(struct ebpf_map *map);
void map_unlock(struct ebpf_map *map);

int map_hash_init(struct ebpf_map *map);

/* Without the lock, unless somebody changes the table meanwhile; NULL: not there. */
void *map_hash_find(struct ebpf_map *map, const void *key);

/* Lock held. NULL and negative errno as in bpf.h. */
void *map_hash_find_locked(struct ebpf_map *map, const void *key);
int map_hash_update_locked(struct ebpf_map *map, const void *key, const void *value,
			   uint64_t flags);
int map_hash_delete_locked(struct ebpf_map *map, const void *key);
int map_hash_next_locked(struct ebpf_map *map, const void *key, void *ret_key);

/* The same for LPM tries: a key is {u32 bits, bytes}. */
void *map_lpm_find_locked(struct ebpf_map *map, const void *key);
int map_lpm_update_locked(struct ebpf_map *map, const void *key, const void *value, uint64_t flags);
int map_lpm_delete_locked(struct ebpf_map *map, const void *key);
