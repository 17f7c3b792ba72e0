/*
 * Hash tables of a fixed number of nodes, and the LRU kind, which gives up its least used entry
 * rather than refuse a new one.
 */
#include "bpf/map_priv.h"

#include <errno.h>
#include <string.h>
#include <stdlib.h>
#include <sys/random.h>

#define NO_NODE UINT32_MAX
#define LOCK_SPINS_MAX 4096 /* some 50 us; an operation takes less than one */
#define EVICT_LOOKS_MAX 64  /* nodes that an eviction looks at */

/*
 * Gives up after a while: a dataplane thread of FIFO priority must not wait for a holder that
 * cannot run because of it.
 */
bool map_lock(struct ebpf_map *map)
{
	int spins;

	for (spins = 0; spins < LOCK_SPINS_MAX; spins++) {
		/* acquire: pairs with the release in map_unlock */
		if (!atomic_flag_test_and_set_explicit(&map->lock, memory_order_acquire))
			return true;
		__builtin_ia32_pause();
	}
	return false;
}

void map_unlock(struct ebpf_map *map)
{
	atomic_flag_clear_explicit(&map->lock, memory_order_release);
}

static struct map_node *node_at(const struct ebpf_map *map, uint32_t index)
{
	return (struct map_node *)(void *)(map->storage + (size_t)index * map->stride);
}

static uint8_t *node_key(struct map_node *node)
{
	return (uint8_t *)(node + 1);
}

static uint8_t *node_value(const struct ebpf_map *map, struct map_node *node)
{
	return node_key(node) + map_round8(map->def->key_size);
}

int map_hash_init(struct ebpf_map *map)
{
	uint32_t i, count = 1;

	while (count < map->def->max_entries)
		count *= 2;
	map->buckets = malloc(count * sizeof(*map->buckets));
	if (!map->buckets)
		return -ENOMEM;
	map->bucket_mask = count - 1;
	memset(map->buckets, 0xff, count * sizeof(*map->buckets));
	for (i = 0; i < map->def->max_entries; i++)
		node_at(map, i)->next = i + 1 < map->def->max_entries ? i + 1 : NO_NODE;
	/* a tenant that knew the seed could put all its keys into one bucket */
	if (getrandom(&map->seed, sizeof(map->seed), 0) != sizeof(map->seed))
		return -EIO;
	return 0;
}

static uint32_t hash_key(const struct ebpf_map *map, const uint8_t *key)
{
	uint64_t hash = map->seed;
	uint32_t size = map->def->key_size;

	while (size) {
		uint64_t word = 0;
		uint32_t n = size < 8 ? size : 8;

		memcpy(&word, key, n);
		hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
		hash ^= hash >> 29;
		key += n;
		size -= n;
	}
	return (uint32_t)(hash >> 32) & map->bucket_mask;
}

/* The link that points to the node of @key, or the last link of its bucket. Lock held. */
static uint32_t *find_link_locked(struct ebpf_map *map, const void *key)
{
	uint32_t *link = &map->buckets[hash_key(map, key)];

	while (*link != NO_NODE) {
		struct map_node *node = node_at(map, *link);

		if (memcmp(node_key(node), key, map->def->key_size) == 0)
			break;
		link = &node->next;
	}
	return link;
}

void *map_hash_find_locked(struct ebpf_map *map, const void *key)
{
	uint32_t index = *find_link_locked(map, key);

	if (index == NO_NODE)
		return NULL;
	node_at(map, index)->used = MAP_REFERENCED;
	return node_value(map, node_at(map, index));
}

static void remove_locked(struct ebpf_map *map, uint32_t *link)
{
	uint32_t index = *link;
	struct map_node *node = node_at(map, index);

	*link = node->next;
	node->used = MAP_FREE;
	node->next = map->free_head;
	map->free_head = index;
}

/* The clock: who was looked up since the hand passed gets another round, but not for ever. */
static void evict_locked(struct ebpf_map *map)
{
	struct map_node *node;
	int looks;

	for (looks = 0; looks < EVICT_LOOKS_MAX; looks++) {
		node = node_at(map, map->hand);
		map->hand = (map->hand + 1) % map->def->max_entries;
		if (node->used != MAP_REFERENCED)
			break;
		node->used = MAP_USED;
	}
	remove_locked(map, find_link_locked(map, node_key(node)));
}

/* A node for a key that is not there; NO_NODE if the map is full. */
static uint32_t insert_locked(struct ebpf_map *map, const void *key)
{
	struct map_node *node;
	uint32_t index, *link;

	if (map->free_head == NO_NODE && map->def->type == BPF_MAP_TYPE_LRU_HASH)
		evict_locked(map);
	index = map->free_head;
	if (index == NO_NODE)
		return NO_NODE;
	node = node_at(map, index);
	map->free_head = node->next;
	memcpy(node_key(node), key, map->def->key_size);
	node->used = MAP_USED;
	node->next = NO_NODE;
	link = find_link_locked(map, key); /* an eviction may have moved it */
	*link = index;
	return index;
}

int map_hash_update_locked(struct ebpf_map *map, const void *key, const void *value, uint64_t flags)
{
	uint32_t index = *find_link_locked(map, key);

	if (index != NO_NODE && flags == BPF_NOEXIST)
		return -EEXIST;
	if (index == NO_NODE && flags == BPF_EXIST)
		return -ENOENT;
	if (index == NO_NODE)
		index = insert_locked(map, key);
	if (index == NO_NODE)
		return -E2BIG;
	/* the value may be an entry's own memory */
	memmove(node_value(map, node_at(map, index)), value, map->value_size);
	return 0;
}

int map_hash_delete_locked(struct ebpf_map *map, const void *key)
{
	uint32_t *link = find_link_locked(map, key);

	if (*link == NO_NODE)
		return -ENOENT;
	remove_locked(map, link);
	return 0;
}

int map_hash_next_locked(struct ebpf_map *map, const void *key, void *ret_key)
{
	uint32_t index = 0;

	if (key) {
		index = *find_link_locked(map, key);
		index = index == NO_NODE ? 0 : index + 1;
	}
	for (; index < map->def->max_entries; index++) {
		struct map_node *node = node_at(map, index);

		if (node->used) {
			memcpy(ret_key, node_key(node), map->def->key_size);
			return 0;
		}
	}
	return -ENOENT;
}
