/*
 * Arrays and hash maps. All memory is taken when the map is made: a program cannot make it grow,
 * and an address that a lookup returned stays valid until the map is destroyed.
 */
#include "bpf/map.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define NO_NODE UINT32_MAX
#define LOCK_SPINS_MAX 4096 /* some 50 us; an operation takes less than one */

struct node {
	uint32_t next; /* in its bucket or in the free list */
	uint32_t used;
};

struct ebpf_map {
	const struct ebpf_map_def *def;
	uint32_t stride;  /* arrays: between values; hashes: between nodes */
	uint8_t *storage; /* arrays: values; hashes: node, key, value (each rounded up to 8) */

	/* hashes; guarded by lock, which is held for one operation on one bucket at most */
	atomic_flag lock;
	uint32_t *buckets;
	uint32_t bucket_mask;
	uint32_t free_head;
	uint64_t seed;
};

static uint32_t round8(uint32_t size)
{
	return (size + 7u) & ~7u;
}

int ebpf_map_def_check(const struct ebpf_map_def *def)
{
	uint64_t each;

	if (!ebpf_map_is_array(def->type) && def->type != BPF_MAP_TYPE_HASH)
		return -ENOTSUP;
	if (def->key_size == 0 || def->key_size > EBPF_KEY_SIZE_MAX)
		return -EINVAL;
	if (def->value_size == 0 || def->value_size > EBPF_VALUE_SIZE_MAX)
		return -EINVAL;
	if (ebpf_map_is_array(def->type) && def->key_size != 4)
		return -EINVAL;
	each = (uint64_t)round8(def->key_size) + round8(def->value_size) + sizeof(struct node) + 8;
	if (def->max_entries == 0 || def->max_entries * each > EBPF_MAP_MEMORY_MAX)
		return -EINVAL;
	return 0;
}

/*
 * Gives up after a while: a dataplane thread of FIFO priority must not wait for a holder that
 * cannot run because of it.
 */
static bool lock_map(struct ebpf_map *map)
{
	int spins;

	for (spins = 0; spins < LOCK_SPINS_MAX; spins++) {
		/* acquire: pairs with the release in unlock_map */
		if (!atomic_flag_test_and_set_explicit(&map->lock, memory_order_acquire))
			return true;
		__builtin_ia32_pause();
	}
	return false;
}

static void unlock_map(struct ebpf_map *map)
{
	atomic_flag_clear_explicit(&map->lock, memory_order_release);
}

static struct node *node_at(const struct ebpf_map *map, uint32_t index)
{
	return (struct node *)(void *)(map->storage + (size_t)index * map->stride);
}

static uint8_t *node_key(struct node *node)
{
	return (uint8_t *)(node + 1);
}

static uint8_t *node_value(const struct ebpf_map *map, struct node *node)
{
	return node_key(node) + round8(map->def->key_size);
}

static int hash_init(struct ebpf_map *map)
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

int ebpf_map_create(const struct ebpf_map_def *def, struct ebpf_map **ret_map)
{
	struct ebpf_map *map;
	int err = ebpf_map_def_check(def);

	if (err)
		return err;
	map = calloc(1, sizeof(*map));
	if (!map)
		return -ENOMEM;
	map->def = def;
	atomic_flag_clear(&map->lock);
	if (ebpf_map_is_array(def->type))
		map->stride = ebpf_map_stride(def->value_size);
	else
		map->stride = (uint32_t)sizeof(struct node) + round8(def->key_size) +
			      round8(def->value_size);
	map->storage = calloc(def->max_entries, map->stride);
	err = map->storage ? 0 : -ENOMEM;
	if (!err && !ebpf_map_is_array(def->type))
		err = hash_init(map);
	if (err) {
		ebpf_map_destroy(map);
		return err;
	}
	if (def->initial)
		memcpy(map->storage, def->initial, def->value_size);
	*ret_map = map;
	return 0;
}

void ebpf_map_destroy(struct ebpf_map *map)
{
	if (!map)
		return;
	free(map->buckets);
	free(map->storage);
	free(map);
}

void ebpf_map_info(const struct ebpf_map *map, struct ebpf_map_info *ret_info)
{
	*ret_info = (struct ebpf_map_info){
		.name = map->def->name,
		.type = map->def->type,
		.key_size = map->def->key_size,
		.value_size = map->def->value_size,
		.max_entries = map->def->max_entries,
	};
}

uint8_t *ebpf_map_values(struct ebpf_map *map)
{
	return ebpf_map_is_array(map->def->type) ? map->storage : NULL;
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
		struct node *node = node_at(map, *link);

		if (memcmp(node_key(node), key, map->def->key_size) == 0)
			break;
		link = &node->next;
	}
	return link;
}

static void *array_find(struct ebpf_map *map, const void *key)
{
	uint32_t index;

	memcpy(&index, key, sizeof(index));
	if (index >= map->def->max_entries)
		return NULL;
	return map->storage + (size_t)index * map->stride;
}

static void *hash_find(struct ebpf_map *map, const void *key)
{
	void *value = NULL;
	uint32_t *link;

	if (!lock_map(map))
		return NULL;
	link = find_link_locked(map, key);
	if (*link != NO_NODE)
		value = node_value(map, node_at(map, *link));
	unlock_map(map);
	return value;
}

void *ebpf_map_find(struct ebpf_map *map, const void *key)
{
	return ebpf_map_is_array(map->def->type) ? array_find(map, key) : hash_find(map, key);
}

int ebpf_map_lookup(struct ebpf_map *map, const void *key, void *ret_value)
{
	const void *value = ebpf_map_find(map, key);

	if (!value)
		return -ENOENT;
	memcpy(ret_value, value, map->def->value_size);
	return 0;
}

static int array_update(struct ebpf_map *map, const void *key, const void *value, uint64_t flags)
{
	void *slot = array_find(map, key);

	if (!slot)
		return -E2BIG;
	if (flags == BPF_NOEXIST)
		return -EEXIST;
	memmove(slot, value, map->def->value_size); /* may be itself */
	return 0;
}

static int hash_update(struct ebpf_map *map, const void *key, const void *value, uint64_t flags)
{
	uint32_t *link, index;
	int err = 0;

	if (!lock_map(map))
		return -EBUSY;
	link = find_link_locked(map, key);
	index = *link;
	if (index != NO_NODE && flags == BPF_NOEXIST) {
		err = -EEXIST;
	} else if (index == NO_NODE && flags == BPF_EXIST) {
		err = -ENOENT;
	} else if (index == NO_NODE && map->free_head == NO_NODE) {
		err = -E2BIG;
	} else {
		struct node *node;

		if (index == NO_NODE) {
			index = map->free_head;
			node = node_at(map, index);
			map->free_head = node->next;
			node->next = NO_NODE;
			node->used = 1;
			memcpy(node_key(node), key, map->def->key_size);
			*link = index;
		}
		node = node_at(map, index);
		memmove(node_value(map, node), value, map->def->value_size);
	}
	unlock_map(map);
	return err;
}

int ebpf_map_update(struct ebpf_map *map, const void *key, const void *value, uint64_t flags)
{
	if (flags > BPF_EXIST)
		return -EINVAL;
	return ebpf_map_is_array(map->def->type) ? array_update(map, key, value, flags) :
						   hash_update(map, key, value, flags);
}

int ebpf_map_delete(struct ebpf_map *map, const void *key)
{
	uint32_t *link, index;

	if (ebpf_map_is_array(map->def->type))
		return -EINVAL;
	if (!lock_map(map))
		return -EBUSY;
	link = find_link_locked(map, key);
	index = *link;
	if (index != NO_NODE) {
		struct node *node = node_at(map, index);

		*link = node->next;
		node->used = 0;
		node->next = map->free_head;
		map->free_head = index;
	}
	unlock_map(map);
	return index == NO_NODE ? -ENOENT : 0;
}

static int array_next_key(struct ebpf_map *map, const void *key, void *ret_key)
{
	uint32_t index = 0;

	if (key) {
		memcpy(&index, key, sizeof(index));
		index = index >= map->def->max_entries ? 0 : index + 1;
	}
	if (index >= map->def->max_entries)
		return -ENOENT;
	memcpy(ret_key, &index, sizeof(index));
	return 0;
}

int ebpf_map_next_key(struct ebpf_map *map, const void *key, void *ret_key)
{
	uint32_t index = 0;
	int err = -ENOENT;

	if (ebpf_map_is_array(map->def->type))
		return array_next_key(map, key, ret_key);
	if (!lock_map(map))
		return -EBUSY;
	if (key) {
		uint32_t *link = find_link_locked(map, key);

		index = *link == NO_NODE ? 0 : *link + 1;
	}
	for (; index < map->def->max_entries && err; index++) {
		struct node *node = node_at(map, index);

		if (node->used) {
			memcpy(ret_key, node_key(node), map->def->key_size);
			err = 0;
		}
	}
	unlock_map(map);
	return err;
}
