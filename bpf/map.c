/*
 * Maps: their definitions, arrays, and the doors to the other kinds. All memory is taken when a map
 * is made: a program cannot make it grow, and an address that a lookup returned stays valid until
 * the map is destroyed.
 */
#include "bpf/map_priv.h"
#include "bpf/platform.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Thread_local uint32_t ebpf_cpu;

/* Copies that a per-CPU array gets; set before the first instance is made. */
static _Atomic(uint32_t) cpu_count = 1;

int ebpf_cpus_set(uint32_t count)
{
	if (count == 0 || count > EBPF_CPUS_MAX)
		return -EINVAL;
	/* relaxed: whoever makes instances afterwards is ordered by its own means */
	atomic_store_explicit(&cpu_count, count, memory_order_relaxed);
	return 0;
}

void ebpf_thread_cpu_set(uint32_t cpu)
{
	ebpf_cpu = cpu < EBPF_CPUS_MAX ? cpu : 0;
}

/* Is it kept as one flat array? */
static bool is_flat(uint32_t type)
{
	return ebpf_map_is_array(type) || type == BPF_MAP_TYPE_ARRAY_OF_MAPS ||
	       type == BPF_MAP_TYPE_DEVMAP || type == BPF_MAP_TYPE_XSKMAP;
}

static int check_key(const struct ebpf_map_def *def)
{
	if (is_flat(def->type))
		return def->key_size == 4 ? 0 : -EINVAL;
	if (def->type == BPF_MAP_TYPE_LPM_TRIE)
		return def->key_size > 4 && def->key_size <= 4 + MAP_PREFIX_MAX / 8 ? 0 : -EINVAL;
	return def->key_size > 0 && def->key_size <= EBPF_KEY_SIZE_MAX ? 0 : -EINVAL;
}

static bool is_handles(uint32_t type)
{
	return type == BPF_MAP_TYPE_DEVMAP || type == BPF_MAP_TYPE_XSKMAP;
}

static int check_inner(const struct ebpf_map_def *def)
{
	if (!ebpf_map_has_inner(def->type))
		return def->inner ? -EINVAL : 0;
	if (!def->inner || def->value_size != 4 || ebpf_map_has_inner(def->inner->type))
		return -EINVAL;
	return ebpf_map_def_check(def->inner);
}

static uint32_t copies_of(const struct ebpf_map_def *def)
{
	return def->type == BPF_MAP_TYPE_PERCPU_ARRAY ?
		       atomic_load_explicit(&cpu_count, memory_order_relaxed) :
		       1;
}

static int check_ring(const struct ebpf_map_def *def)
{
	uint32_t size = def->max_entries;

	if (def->key_size || def->value_size || size < 4096 || (size & (size - 1)) ||
	    size > EBPF_MAP_MEMORY_MAX)
		return -EINVAL;
	return 0;
}

int ebpf_map_def_check(const struct ebpf_map_def *def)
{
	uint64_t each;

	if (!ebpf_map_kind_find(def->type))
		return -ENOTSUP;
	if (def->type == BPF_MAP_TYPE_RINGBUF)
		return check_ring(def);
	if (def->type == BPF_MAP_TYPE_PERF_EVENT_ARRAY) /* as many entries as Linux likes */
		return def->key_size == 4 && def->value_size == 4 ? 0 : -EINVAL;
	if (check_key(def) || check_inner(def) || def->value_size == 0 ||
	    def->value_size > EBPF_VALUE_SIZE_MAX)
		return -EINVAL;
	if (is_handles(def->type) && def->value_size != 4)
		return -EINVAL;
	each = (uint64_t)map_round8(def->key_size) + map_round8(def->value_size) * copies_of(def) +
	       sizeof(struct map_node) + 8;
	if (def->max_entries == 0 || def->max_entries * each > EBPF_MAP_MEMORY_MAX)
		return -EINVAL;
	return 0;
}

bool ebpf_map_def_same(const struct ebpf_map_def *a, const struct ebpf_map_def *b)
{
	return a->type == b->type && a->key_size == b->key_size && a->value_size == b->value_size &&
	       a->max_entries == b->max_entries && a->read_only == b->read_only &&
	       a->write_only == b->write_only;
}

void ebpf_map_def_finish(struct ebpf_map_def *def)
{
	free(def->initial);
	free(def->initial_maps);
	free(def->inner);
	def->initial = NULL;
	def->initial_maps = NULL;
	def->inner = NULL;
}

static int map_init(struct ebpf_map *map, const struct ebpf_map_def *def)
{
	map->def = def;
	map->copies = copies_of(def);
	map->value_size = def->value_size;
	atomic_flag_clear(&map->lock);
	if (def->type == BPF_MAP_TYPE_RINGBUF)
		return ebpf_ring_init(&map->ring, def->max_entries);
	if (ebpf_map_has_inner(def->type)) {
		map->value_size = sizeof(struct ebpf_map *);
		map->made = calloc(MAP_INNER_MAX, sizeof(*map->made));
		if (!map->made)
			return -ENOMEM;
	}
	map->stride = ebpf_map_stride(map->value_size);
	if (!is_flat(def->type))
		map->stride += (uint32_t)sizeof(struct map_node) + map_round8(def->key_size);
	map->storage = calloc((size_t)def->max_entries * map->copies, map->stride);
	if (!map->storage)
		return -ENOMEM;
	return is_flat(def->type) ? 0 : map_hash_init(map);
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
	err = map_init(map, def);
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
	while (map->made_count)
		ebpf_map_destroy(map->made[--map->made_count]);
	free(map->made);
	ebpf_ring_finish(&map->ring);
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
		.copies = map->copies,
	};
}

uint8_t *ebpf_map_values(struct ebpf_map *map)
{
	return map->def->type == BPF_MAP_TYPE_ARRAY ? map->storage : NULL;
}

struct ebpf_ring *ebpf_map_ring(struct ebpf_map *map)
{
	return &map->ring;
}

static void *array_find(struct ebpf_map *map, const void *key, uint32_t copy)
{
	uint32_t index;

	memcpy(&index, key, sizeof(index));
	if (index >= map->def->max_entries)
		return NULL;
	if (copy >= map->copies)
		copy = 0;
	return map->storage + ((size_t)copy * map->def->max_entries + index) * map->stride;
}

static void *find_locked(struct ebpf_map *map, const void *key)
{
	return map->def->type == BPF_MAP_TYPE_LPM_TRIE ? map_lpm_find_locked(map, key) :
							 map_hash_find_locked(map, key);
}

void *ebpf_map_find(struct ebpf_map *map, const void *key)
{
	void *value;

	if (is_flat(map->def->type))
		return array_find(map, key, ebpf_cpu);
	if (map->def->type != BPF_MAP_TYPE_LPM_TRIE)
		return map_hash_find(map, key);
	if (!map_lock(map))
		return NULL;
	value = map_lpm_find_locked(map, key);
	map_unlock(map);
	return value;
}

void *ebpf_map_find_for_program(struct ebpf_map *map, const void *key)
{
	struct ebpf_map **inner = ebpf_map_find(map, key);

	if (!inner || !ebpf_map_has_inner(map->def->type))
		return inner;
	/* acquire: pairs with the release of whoever put it there: its insides are seen */
	return __atomic_load_n(inner, __ATOMIC_ACQUIRE);
}

/* Can keys and values be reached through the functions below? */
static bool has_entries(const struct ebpf_map *map)
{
	return map->def->type != BPF_MAP_TYPE_RINGBUF && !ebpf_map_has_inner(map->def->type);
}

int ebpf_map_lookup_copy(struct ebpf_map *map, const void *key, uint32_t copy, void *ret_value)
{
	bool locks = !is_flat(map->def->type);
	const void *value;

	if (!has_entries(map) || copy >= map->copies)
		return -EINVAL;
	if (locks && !map_lock(map))
		return -EBUSY;
	/* copied under the lock: no update comes between */
	value = locks ? find_locked(map, key) : array_find(map, key, copy);
	if (value)
		memcpy(ret_value, value, map->value_size);
	if (locks)
		map_unlock(map);
	return value ? 0 : -ENOENT;
}

int ebpf_map_lookup(struct ebpf_map *map, const void *key, void *ret_value)
{
	return ebpf_map_lookup_copy(map, key, ebpf_cpu < map->copies ? ebpf_cpu : 0, ret_value);
}

static int array_update(struct ebpf_map *map, const void *key, const void *value, uint64_t flags,
			uint32_t copy)
{
	void *slot = array_find(map, key, copy);

	if (!slot)
		return -E2BIG;
	if (flags == BPF_NOEXIST)
		return -EEXIST;
	memmove(slot, value, map->value_size); /* may be itself */
	return 0;
}

static int locked_update(struct ebpf_map *map, const void *key, const void *value, uint64_t flags)
{
	int err;

	if (!map_lock(map))
		return -EBUSY;
	err = map->def->type == BPF_MAP_TYPE_LPM_TRIE ?
		      map_lpm_update_locked(map, key, value, flags) :
		      map_hash_update_locked(map, key, value, flags);
	map_unlock(map);
	return err;
}

int ebpf_map_update_by_program(struct ebpf_map *map, const void *key, const void *value,
			       uint64_t flags)
{
	if (flags > BPF_EXIST)
		return -EINVAL;
	if (is_flat(map->def->type))
		return array_update(map, key, value, flags, ebpf_cpu);
	return locked_update(map, key, value, flags);
}

int ebpf_map_update(struct ebpf_map *map, const void *key, const void *value, uint64_t flags)
{
	uint32_t copy;
	int err = 0;

	if (flags > BPF_EXIST || !has_entries(map))
		return -EINVAL;
	if (map->def->read_only && map->def->initial)
		return -EPERM; /* the program's constants: proofs may have read them */
	if (!is_flat(map->def->type))
		return locked_update(map, key, value, flags);
	for (copy = 0; copy < map->copies && !err; copy++)
		err = array_update(map, key, value, flags, copy);
	return err;
}

int ebpf_map_delete(struct ebpf_map *map, const void *key)
{
	int err;

	if (is_flat(map->def->type) || map->def->type == BPF_MAP_TYPE_RINGBUF)
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

	if (is_flat(map->def->type))
		return array_next_key(map, key, ret_key);
	if (map->def->type == BPF_MAP_TYPE_RINGBUF)
		return -EINVAL;
	if (!map_lock(map))
		return -EBUSY;
	err = map_hash_next_locked(map, key, ret_key);
	map_unlock(map);
	return err;
}

struct ebpf_map *ebpf_map_inner(struct ebpf_map *outer, const void *key)
{
	return ebpf_map_has_inner(outer->def->type) ? ebpf_map_find_for_program(outer, key) : NULL;
}

static int put_inner(struct ebpf_map *outer, const void *key, struct ebpf_map *inner)
{
	void *slot;

	if (!is_flat(outer->def->type))
		return locked_update(outer, key, &inner, BPF_NOEXIST);
	slot = array_find(outer, key, 0);
	if (!slot)
		return -E2BIG;
	/* release: pairs with the acquire in ebpf_map_find_for_program */
	__atomic_store_n((struct ebpf_map **)slot, inner, __ATOMIC_RELEASE);
	return 0;
}

int ebpf_map_inner_set(struct ebpf_map *outer, uint32_t index, struct ebpf_map *inner)
{
	if (!ebpf_map_has_inner(outer->def->type) || outer->def->key_size != sizeof(index) ||
	    !ebpf_map_def_same(outer->def->inner, inner->def))
		return -EINVAL;
	return put_inner(outer, &index, inner);
}

int ebpf_map_inner_create(struct ebpf_map *outer, const void *key)
{
	struct ebpf_map *inner;
	int err;

	if (!ebpf_map_has_inner(outer->def->type))
		return -EINVAL;
	if (ebpf_map_inner(outer, key))
		return -EEXIST;
	if (outer->made_count == MAP_INNER_MAX)
		return -E2BIG;
	err = ebpf_map_create(outer->def->inner, &inner);
	if (err)
		return err;
	err = put_inner(outer, key, inner);
	if (err) {
		ebpf_map_destroy(inner);
		return err;
	}
	outer->made[outer->made_count++] = inner;
	return 0;
}

int ebpf_map_inner_remove(struct ebpf_map *outer, const void *key)
{
	if (!ebpf_map_inner(outer, key))
		return -ENOENT;
	if (!is_flat(outer->def->type))
		return ebpf_map_delete(outer, key);
	return put_inner(outer, key, NULL);
}

int64_t ebpf_map_ring_take(struct ebpf_map *map, void *buf, size_t size, uint64_t *ret_lost)
{
	if (map->def->type != BPF_MAP_TYPE_RINGBUF)
		return -EINVAL;
	if (ret_lost)
		*ret_lost = atomic_load_explicit(&map->ring.lost, memory_order_relaxed);
	return ebpf_ring_take(&map->ring, buf, size);
}
