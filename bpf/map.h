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
	bool read_only;   /* to programs (.rodata) */
	uint8_t *initial; /* NULL, or value_size bytes for the only entry */
};

/* Types that are one flat array of values here; a per-CPU array has one copy shared by all. */
static inline bool ebpf_map_is_array(uint32_t type)
{
	return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

/* Bytes from one value of an array to the next. */
static inline uint32_t ebpf_map_stride(uint32_t value_size)
{
	return (value_size + 7u) & ~7u;
}

/* -ENOTSUP: a type that Leat does not have; -EINVAL: sizes out of range. */
int ebpf_map_def_check(const struct ebpf_map_def *def);

/* @def must outlive the map. */
int ebpf_map_create(const struct ebpf_map_def *def, struct ebpf_map **ret_map);
void ebpf_map_destroy(struct ebpf_map *map);

/* The first value of an array, NULL for other types. */
uint8_t *ebpf_map_values(struct ebpf_map *map);

/*
 * Address of the value of @key or NULL. It stays readable and writable for the life of the map,
 * even if the entry is deleted meanwhile and the memory given to another key.
 */
void *ebpf_map_find(struct ebpf_map *map, const void *key);
