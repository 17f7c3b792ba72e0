/*
 * BTF as far as eBPF objects need it: the definitions of maps, and source lines. As with ELF, the
 * bytes are not believed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct btf_view {
	const uint8_t *types; /* the type section */
	size_t types_size;
	const uint8_t *strings;
	size_t strings_size;
	uint32_t *offsets; /* of type i + 1 in types */
	uint32_t count;
};

/* What a definition in ".maps" says; fields that it leaves out are 0. */
struct btf_sizes {
	uint32_t type, key_size, value_size, max_entries, flags;
};

struct btf_map {
	const char *name;
	struct btf_sizes is;
	bool has_inner; /* a map of maps, by "values" */
	struct btf_sizes inner;
	uint32_t values_offset; /* of "values" in the variable */
};

int btf_open(struct btf_view *btf, const uint8_t *bytes, size_t size);
void btf_close(struct btf_view *btf);

/* NULL if there is none. */
const char *btf_string(const struct btf_view *btf, uint32_t offset);

/*
 * The definition number @index in the section ".maps": 1 with the map, 0 when there is none any
 * more, -EINVAL if it is malformed, -ENOTSUP if it has an attribute that Leat does not know.
 */
int btf_map_at(const struct btf_view *btf, uint32_t index, struct btf_map *ret_map);
