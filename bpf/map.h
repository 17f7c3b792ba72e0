/* Maps: what programs keep between packets. Definitions belong to an object, storage to an
 * instance. */
#pragma once

#include "bpf/bpf.h"

#include <linux/bpf.h>

#define EBPF_MAP_MEMORY_MAX (64u << 20) /* of one map */
#define EBPF_KEY_SIZE_MAX 512
#define EBPF_VALUE_SIZE_MAX (1u << 20)

struct ebpf_map_def {
	char name[64];
	uint32_t type; /* enum bpf_map_type */
	uint32_t key_size;
	uint32_t value_size;
	uint32_t max_entries;
	bool read_only;             /* to programs (.rodata) */
	uint8_t *initial;           /* NULL, or value_size bytes for the only entry */
	bool write_only;            /* to programs */
	struct ebpf_map_def *inner; /* maps of maps: what each of them is */
	int32_t *initial_maps;      /* arrays of maps: NULL, or index of the object's map, or -1 */
};

/* Is every key below max_entries there from the beginning, and none else? */
static inline bool ebpf_map_is_array(uint32_t type)
{
	return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

static inline bool ebpf_map_has_inner(uint32_t type)
{
	return type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS;
}

/* Bytes from one value of an array to the next. */
static inline uint32_t ebpf_map_stride(uint32_t value_size)
{
	return (value_size + 7u) & ~7u;
}

/* -ENOTSUP: a type that Leat does not have; -EINVAL: sizes out of range. */
int ebpf_map_def_check(const struct ebpf_map_def *def);

/* Same kind, sizes and rights for programs? Then one proof is good for both. */
bool ebpf_map_def_same(const struct ebpf_map_def *a, const struct ebpf_map_def *b);

void ebpf_map_def_finish(struct ebpf_map_def *def);

/* @def must outlive the map. */
int ebpf_map_create(const struct ebpf_map_def *def, struct ebpf_map **ret_map);
void ebpf_map_destroy(struct ebpf_map *map);

/* The first value of a plain array, NULL for other types. */
uint8_t *ebpf_map_values(struct ebpf_map *map);

/*
 * Address of the value of @key or NULL; of the thread's own copy, where there are several. It stays
 * readable and writable for the life of the map, even if the entry is deleted meanwhile and the
 * memory given to another key.
 */
void *ebpf_map_find(struct ebpf_map *map, const void *key);

/* What a program gets: the same, or the map at @key of a map of maps. */
void *ebpf_map_find_for_program(struct ebpf_map *map, const void *key);

/* As ebpf_map_update(), but for the thread's own copy only. */
int ebpf_map_update_by_program(struct ebpf_map *map, const void *key, const void *value,
			       uint64_t flags);

/* Puts a map of the same instance into a map of maps; it is not the outer one's to destroy. */
int ebpf_map_inner_set(struct ebpf_map *outer, uint32_t index, struct ebpf_map *inner);

/* The ring of a ring buffer. */
struct ebpf_ring *ebpf_map_ring(struct ebpf_map *map);

/* Number of the calling thread, below EBPF_CPUS_MAX. */
extern _Thread_local uint32_t ebpf_cpu;
