/*
 * Hash tables of a fixed number of nodes, and the LRU kind, which gives up its least used entry
 * rather than refuse a new one.
 *
 * Changes take the lock. Lookups of programs do not: nodes never go away, so whoever follows links
 * and compares keys without it stays inside the table, and what he found is right if the version
 * was even before and is the same afterwards. For that, links and keys are read with acquire, after
 * the version's first value and before its second, and written with release, after the version
 * became odd.
 */
#include "bpf/map_priv.h"

#include <errno.h>
#include <string.h>
#include <stdlib.h>
#include <sys/random.h>

#define NO_NODE UINT32_MAX
#define LOCK_SPINS_MAX 4096 /* some 50 us; an operation takes less than one */
#define EVICT_LOOKS_MAX 64  /* nodes that an eviction looks at */
#define FIND_STEPS_MAX 64   /* nodes that a lookup without the lock looks at */

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

static uint32_t link_get(const _Atomic(uint32_t) *link)
{
	return atomic_load_explicit(link, memory_order_acquire);
}

static void link_set(_Atomic(uint32_t) *link, uint32_t index)
{
	atomic_store_explicit(link, index, memory_order_release);
}

/* Word @i of a key, the bytes behind its end zero. */
static uint64_t key_word(const void *key, uint32_t size, uint32_t i)
{
	uint32_t left = size - i * 8;
	uint64_t word = 0;

	memcpy(&word, (const uint8_t *)key + i * 8, left < 8 ? left : 8);
	return word;
}

static _Atomic(uint64_t) *node_words(struct map_node *node)
{
	return (_Atomic(uint64_t) *)(void *)node_key(node);
}

static void node_set_key(const struct ebpf_map *map, struct map_node *node, const void *key)
{
	uint32_t i, size = map->def->key_size;

	for (i = 0; i * 8 < size; i++)
		atomic_store_explicit(&node_words(node)[i], key_word(key, size, i),
				      memory_order_release);
}

static bool node_has_key(const struct ebpf_map *map, struct map_node *node, const void *key)
{
	uint32_t i, size = map->def->key_size;

	for (i = 0; i * 8 < size; i++)
		if (atomic_load_explicit(&node_words(node)[i], memory_order_acquire) !=
		    key_word(key, size, i))
			return false;
	return true;
}

/* Around every change of links and keys. Lock held, so there is one writer. */
static void change_begin_locked(struct ebpf_map *map)
{
	/* relaxed: the stores that follow are releases */
	atomic_fetch_add_explicit(&map->version, 1, memory_order_relaxed);
}

static void change_end_locked(struct ebpf_map *map)
{
	/* release: pairs with the acquire in find_unlocked */
	atomic_fetch_add_explicit(&map->version, 1, memory_order_release);
}

static void node_use(struct map_node *node, enum map_use use)
{
	atomic_store_explicit(&node->used, use, memory_order_relaxed);
}

static enum map_use node_used(const struct map_node *node)
{
	return (enum map_use)atomic_load_explicit(&node->used, memory_order_relaxed);
}

/* Only a used one: it may have become free meanwhile, and must stay so. */
static void node_refer(struct map_node *node)
{
	uint32_t used = MAP_USED;

	if (node_used(node) == MAP_USED)
		atomic_compare_exchange_strong_explicit(&node->used, &used, MAP_REFERENCED,
							memory_order_relaxed, memory_order_relaxed);
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
	for (i = 0; i < count; i++)
		atomic_init(&map->buckets[i], NO_NODE);
	for (i = 0; i < map->def->max_entries; i++)
		link_set(&node_at(map, i)->next, i + 1 < map->def->max_entries ? i + 1 : NO_NODE);
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
static _Atomic(uint32_t) *find_link_locked(struct ebpf_map *map, const void *key)
{
	_Atomic(uint32_t) *link = &map->buckets[hash_key(map, key)];

	while (link_get(link) != NO_NODE) {
		struct map_node *node = node_at(map, link_get(link));

		if (node_has_key(map, node, key))
			break;
		link = &node->next;
	}
	return link;
}

void *map_hash_find_locked(struct ebpf_map *map, const void *key)
{
	uint32_t index = link_get(find_link_locked(map, key));

	if (index == NO_NODE)
		return NULL;
	node_refer(node_at(map, index));
	return node_value(map, node_at(map, index));
}

/* False: somebody changed the table meanwhile, or the bucket is long. */
static bool find_unlocked(struct ebpf_map *map, const void *key, struct map_node **ret_node)
{
	/* acquire: pairs with the release in change_end_locked */
	uint32_t version = atomic_load_explicit(&map->version, memory_order_acquire);
	uint32_t index = link_get(&map->buckets[hash_key(map, key)]), steps;
	struct map_node *node = NULL;

	/* whatever a link says while it changes, it leads to a node or ends the search */
	for (steps = 0; index < map->def->max_entries && steps < FIND_STEPS_MAX; steps++) {
		node = node_at(map, index);
		if (node_has_key(map, node, key))
			break;
		index = link_get(&node->next);
	}
	if (version % 2 || steps == FIND_STEPS_MAX ||
	    atomic_load_explicit(&map->version, memory_order_relaxed) != version)
		return false;
	*ret_node = index < map->def->max_entries ? node : NULL;
	return true;
}

void *map_hash_find(struct ebpf_map *map, const void *key)
{
	struct map_node *node;
	void *value;

	if (find_unlocked(map, key, &node)) {
		if (!node)
			return NULL;
		node_refer(node);
		return node_value(map, node);
	}
	if (!map_lock(map))
		return NULL;
	value = map_hash_find_locked(map, key);
	map_unlock(map);
	return value;
}

static void remove_locked(struct ebpf_map *map, _Atomic(uint32_t) *link)
{
	uint32_t index = link_get(link);
	struct map_node *node = node_at(map, index);

	link_set(link, link_get(&node->next));
	node_use(node, MAP_FREE);
	link_set(&node->next, map->free_head);
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
		if (node_used(node) != MAP_REFERENCED)
			break;
		node_use(node, MAP_USED);
	}
	remove_locked(map, find_link_locked(map, node_key(node)));
}

/* A node for a key that is not there; NO_NODE if the map is full. */
static uint32_t insert_locked(struct ebpf_map *map, const void *key)
{
	struct map_node *node;
	uint32_t index;

	if (map->free_head == NO_NODE && map->def->type == BPF_MAP_TYPE_LRU_HASH)
		evict_locked(map);
	index = map->free_head;
	if (index == NO_NODE)
		return NO_NODE;
	node = node_at(map, index);
	map->free_head = link_get(&node->next);
	node_set_key(map, node, key);
	node_use(node, MAP_USED);
	link_set(&node->next, NO_NODE);
	link_set(find_link_locked(map, key), index); /* an eviction may have moved its place */
	return index;
}

static int insert_value_locked(struct ebpf_map *map, const void *key, const void *value)
{
	uint32_t index;

	change_begin_locked(map);
	index = insert_locked(map, key);
	if (index != NO_NODE)
		memmove(node_value(map, node_at(map, index)), value, map->value_size);
	change_end_locked(map);
	return index == NO_NODE ? -E2BIG : 0;
}

int map_hash_update_locked(struct ebpf_map *map, const void *key, const void *value, uint64_t flags)
{
	uint32_t index = link_get(find_link_locked(map, key));

	if (index != NO_NODE && flags == BPF_NOEXIST)
		return -EEXIST;
	if (index == NO_NODE && flags == BPF_EXIST)
		return -ENOENT;
	if (index == NO_NODE)
		return insert_value_locked(map, key, value);
	/* the value may be an entry's own memory */
	memmove(node_value(map, node_at(map, index)), value, map->value_size);
	return 0;
}

int map_hash_delete_locked(struct ebpf_map *map, const void *key)
{
	_Atomic(uint32_t) *link = find_link_locked(map, key);

	if (link_get(link) == NO_NODE)
		return -ENOENT;
	change_begin_locked(map);
	remove_locked(map, link);
	change_end_locked(map);
	return 0;
}

int map_hash_next_locked(struct ebpf_map *map, const void *key, void *ret_key)
{
	uint32_t index = 0;

	if (key) {
		index = link_get(find_link_locked(map, key));
		index = index == NO_NODE ? 0 : index + 1;
	}
	for (; index < map->def->max_entries; index++) {
		struct map_node *node = node_at(map, index);

		if (node_used(node) != MAP_FREE) {
			memcpy(ret_key, node_key(node), map->def->key_size);
			return 0;
		}
	}
	return -ENOENT;
}
