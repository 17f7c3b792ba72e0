/*
 * Maps: their definitions, arrays, and the doors to the other kinds. All memory is taken when a map
 * is made: a program cannot make it grow, and an address that a lookup returned stays valid until
 * the map is destroyed.
 */
#include "bpf/map_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int check_key(const struct ebpf_map_def *def)
{
	if (ebpf_map_is_array(def->type))
		return def->key_size == 4 ? 0 : -EINVAL;
	if (def->type == BPF_MAP_TYPE_LPM_TRIE)
		return def->key_size > 4 && def->key_size <= 4 + MAP_PREFIX_MAX / 8 ? 0 : -EINVAL;
	return def->key_size > 0 && def->key_size <= EBPF_KEY_SIZE_MAX ? 0 : -EINVAL;
}

int ebpf_map_def_check(const struct ebpf_map_def *def)
{
	uint64_t each;

	if (!ebpf_map_is_array(def->type) && def->type != BPF_MAP_TYPE_HASH &&
	    def->type != BPF_MAP_TYPE_LRU_HASH && def->type != BPF_MAP_TYPE_LPM_TRIE)
		return -ENOTSUP;
	if (check_key(def) || def->value_size == 0 || def->value_size > EBPF_VALUE_SIZE_MAX)
		return -EINVAL;
	each = (uint64_t)map_round8(def->key_size) + map_round8(def->value_size) +
	       sizeof(struct map_node) + 8;
	if (def->max_entries == 0 || def->max_entries * each > EBPF_MAP_MEMORY_MAX)
		return -EINVAL;
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
		map->stride = (uint32_t)sizeof(struct map_node) + map_round8(def->key_size) +
			      map_round8(def->value_size);
	map->storage = calloc(def->max_entries, map->stride);
	err = map->storage ? 0 : -ENOMEM;
	if (!err && !ebpf_map_is_array(def->type))
		err = map_hash_init(map);
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

static void *array_find(struct ebpf_map *map, const void *key)
{
	uint32_t index;

	memcpy(&index, key, sizeof(index));
	if (index >= map->def->max_entries)
		return NULL;
	return map->storage + (size_t)index * map->stride;
}

static void *find_locked(struct ebpf_map *map, const void *key)
{
	return map->def->type == BPF_MAP_TYPE_LPM_TRIE ? map_lpm_find_locked(map, key) :
							 map_hash_find_locked(map, key);
}

void *ebpf_map_find(struct ebpf_map *map, const void *key)
{
	void *value;

	if (ebpf_map_is_array(map->def->type))
		return array_find(map, key);
	if (!map_lock(map))
		return NULL;
	value = find_locked(map, key);
	map_unlock(map);
	return value;
}

int ebpf_map_lookup(struct ebpf_map *map, const void *key, void *ret_value)
{
	bool locks = !ebpf_map_is_array(map->def->type);
	const void *value;

	if (locks && !map_lock(map))
		return -EBUSY;
	/* copied under the lock: no update comes between */
	value = locks ? find_locked(map, key) : array_find(map, key);
	if (value)
		memcpy(ret_value, value, map->def->value_size);
	if (locks)
		map_unlock(map);
	return value ? 0 : -ENOENT;
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

int ebpf_map_update(struct ebpf_map *map, const void *key, const void *value, uint64_t flags)
{
	int err;

	if (flags > BPF_EXIST)
		return -EINVAL;
	if (ebpf_map_is_array(map->def->type))
		return array_update(map, key, value, flags);
	if (!map_lock(map))
		return -EBUSY;
	err = map->def->type == BPF_MAP_TYPE_LPM_TRIE ?
		      map_lpm_update_locked(map, key, value, flags) :
		      map_hash_update_locked(map, key, value, flags);
	map_unlock(map);
	return err;
}

int ebpf_map_delete(struct ebpf_map *map, const void *key)
{
	int err;

	if (ebpf_map_is_array(map->def->type))
		return -EINVAL;
	if (!map_lock(map))
		return -EBUSY;
	err = map->def->type == BPF_MAP_TYPE_LPM_TRIE ? map_lpm_delete_locked(map, key) :
							map_hash_delete_locked(map, key);
	map_unlock(map);
	return err;
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
	int err;

	if (ebpf_map_is_array(map->def->type))
		return array_next_key(map, key, ret_key);
	if (!map_lock(map))
		return -EBUSY;
	err = map_hash_next_locked(map, key, ret_key);
	map_unlock(map);
	return err;
}
