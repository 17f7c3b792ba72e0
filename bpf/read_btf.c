/* A reader of BTF that trusts nothing (Linux, Documentation/bpf/btf.rst). */
#include "bpf/read_btf.h"
#include "bpf/read_elf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BTF_MAGIC_LE 0xeb9f
#define TYPES_MAX 65536
#define NESTING_MAX 32 /* typedefs, qualifiers and arrays around a type */

enum kind {
	K_INT = 1,
	K_PTR,
	K_ARRAY,
	K_STRUCT,
	K_UNION,
	K_ENUM,
	K_FWD,
	K_TYPEDEF,
	K_VOLATILE,
	K_CONST,
	K_RESTRICT,
	K_FUNC,
	K_FUNC_PROTO,
	K_VAR,
	K_DATASEC,
	K_FLOAT,
	K_DECL_TAG,
	K_TYPE_TAG,
	K_ENUM64,
};

struct type {
	uint32_t name;
	uint32_t info;
	uint32_t size; /* or another type */
	const uint8_t *rest;
};

struct member {
	uint32_t name, type, offset;
};

struct array {
	uint32_t type, index_type, count;
};

static uint32_t kind_of(const struct type *type)
{
	return type->info >> 24 & 0x1f;
}

static uint32_t vlen_of(const struct type *type)
{
	return type->info & 0xffff;
}

/* Bytes behind the three common words; -1 for an unknown kind. */
static int64_t rest_size(const struct type *type)
{
	switch (kind_of(type)) {
	case K_PTR:
	case K_FWD:
	case K_TYPEDEF:
	case K_VOLATILE:
	case K_CONST:
	case K_RESTRICT:
	case K_FUNC:
	case K_FLOAT:
	case K_TYPE_TAG:
		return 0;
	case K_INT:
	case K_VAR:
	case K_DECL_TAG:
		return 4;
	case K_ARRAY:
		return 12;
	case K_STRUCT:
	case K_UNION:
	case K_DATASEC:
	case K_ENUM64:
		return 12 * (int64_t)vlen_of(type);
	case K_ENUM:
	case K_FUNC_PROTO:
		return 8 * (int64_t)vlen_of(type);
	default:
		return -1;
	}
}

/* Counts the types, or fills in their offsets. */
static int index_types(struct btf_view *btf)
{
	size_t at = 0;
	uint32_t count = 0;

	while (btf->types_size - at >= 12) {
		struct type type;
		int64_t rest;

		memcpy(&type, btf->types + at, 12);
		rest = rest_size(&type);
		if (rest < 0 || count == TYPES_MAX || (uint64_t)rest > btf->types_size - at - 12)
			return -EINVAL;
		if (btf->offsets)
			btf->offsets[count] = (uint32_t)at;
		count++;
		at += 12 + (size_t)rest;
	}
	btf->count = count;
	return at == btf->types_size ? 0 : -EINVAL;
}

int btf_open(struct btf_view *btf, const uint8_t *bytes, size_t size)
{
	struct {
		uint16_t magic;
		uint8_t version, flags;
		uint32_t header_len, type_off, type_len, str_off, str_len;
	} head;
	uint64_t types, strings;
	int err;

	memset(btf, 0, sizeof(*btf));
	if (size < sizeof(head))
		return -EINVAL;
	memcpy(&head, bytes, sizeof(head));
	types = (uint64_t)head.header_len + head.type_off;
	strings = (uint64_t)head.header_len + head.str_off;
	if (head.magic != BTF_MAGIC_LE || head.version != 1 || types > size ||
	    head.type_len > size - types || strings > size || head.str_len > size - strings)
		return -EINVAL;
	btf->types = bytes + types;
	btf->types_size = head.type_len;
	btf->strings = bytes + strings;
	btf->strings_size = head.str_len;
	err = index_types(btf);
	if (err || !btf->count)
		return err;
	btf->offsets = calloc(btf->count, sizeof(*btf->offsets));
	return btf->offsets ? index_types(btf) : -ENOMEM;
}

void btf_close(struct btf_view *btf)
{
	free(btf->offsets);
	btf->offsets = NULL;
}

const char *btf_string(const struct btf_view *btf, uint32_t offset)
{
	return btf->strings ? elf_string(btf->strings, btf->strings_size, offset) : NULL;
}

static bool type_at(const struct btf_view *btf, uint32_t id, struct type *ret_type)
{
	if (id == 0 || id > btf->count)
		return false;
	memcpy(ret_type, btf->types + btf->offsets[id - 1], 12);
	ret_type->rest = btf->types + btf->offsets[id - 1] + 12;
	return true;
}

static bool is_name(uint32_t kind)
{
	return kind == K_TYPEDEF || kind == K_VOLATILE || kind == K_CONST || kind == K_RESTRICT ||
	       kind == K_TYPE_TAG;
}

/* The type behind names and qualifiers. */
static bool type_behind(const struct btf_view *btf, uint32_t id, struct type *ret_type)
{
	int i;

	for (i = 0; i < NESTING_MAX && type_at(btf, id, ret_type); i++) {
		if (!is_name(kind_of(ret_type)))
			return true;
		id = ret_type->size;
	}
	return false;
}

static bool size_of(const struct btf_view *btf, uint32_t id, uint32_t *ret_size)
{
	uint64_t count = 1;
	struct array array;
	struct type type;
	int i;

	for (i = 0; i < NESTING_MAX && type_behind(btf, id, &type); i++) {
		switch (kind_of(&type)) {
		case K_ARRAY:
			memcpy(&array, type.rest, sizeof(array));
			count *= array.count;
			if (count > UINT32_MAX)
				return false;
			id = array.type;
			continue;
		case K_PTR:
			count *= 8;
			break;
		case K_INT:
		case K_STRUCT:
		case K_UNION:
		case K_ENUM:
		case K_ENUM64:
		case K_FLOAT:
			count *= type.size;
			break;
		default:
			return false;
		}
		*ret_size = (uint32_t)count;
		return count <= UINT32_MAX;
	}
	return false;
}

/* __uint(name, N): a pointer to an array of N. */
static bool number_of(const struct btf_view *btf, const struct type *pointer, uint32_t *ret_number)
{
	struct array array;
	struct type type;

	if (!type_behind(btf, pointer->size, &type) || kind_of(&type) != K_ARRAY)
		return false;
	memcpy(&array, type.rest, sizeof(array));
	*ret_number = array.count;
	return true;
}

static int read_attribute(const struct btf_view *btf, const struct member *member,
			  struct btf_sizes *map)
{
	const char *name = btf_string(btf, member->name);
	struct type pointer;
	bool ok;

	if (!name || !type_behind(btf, member->type, &pointer) || kind_of(&pointer) != K_PTR)
		return -EINVAL;
	if (strcmp(name, "type") == 0)
		ok = number_of(btf, &pointer, &map->type);
	else if (strcmp(name, "key_size") == 0)
		ok = number_of(btf, &pointer, &map->key_size);
	else if (strcmp(name, "value_size") == 0)
		ok = number_of(btf, &pointer, &map->value_size);
	else if (strcmp(name, "max_entries") == 0)
		ok = number_of(btf, &pointer, &map->max_entries);
	else if (strcmp(name, "map_flags") == 0)
		ok = number_of(btf, &pointer, &map->flags);
	else if (strcmp(name, "key") == 0)
		ok = size_of(btf, pointer.size, &map->key_size);
	else if (strcmp(name, "value") == 0)
		ok = size_of(btf, pointer.size, &map->value_size);
	else
		return -ENOTSUP;
	return ok ? 0 : -EINVAL;
}

/* The struct that "values", an array of pointers, points to. */
static bool inner_struct(const struct btf_view *btf, uint32_t id, struct type *ret_type)
{
	struct array array;
	struct type type;

	if (!type_behind(btf, id, &type) || kind_of(&type) != K_ARRAY)
		return false;
	memcpy(&array, type.rest, sizeof(array));
	if (!type_behind(btf, array.type, &type) || kind_of(&type) != K_PTR)
		return false;
	return type_behind(btf, type.size, ret_type) && kind_of(ret_type) == K_STRUCT;
}

/* All members of a definition; @map is NULL inside one. */
static int read_members(const struct btf_view *btf, const struct type *type,
			struct btf_sizes *sizes, struct btf_map *map)
{
	struct type inner;
	struct member member;
	const char *name;
	uint32_t i;
	int err = 0;

	for (i = 0; i < vlen_of(type) && !err; i++) {
		memcpy(&member, type->rest + (size_t)i * sizeof(member), sizeof(member));
		name = btf_string(btf, member.name);
		if (!name || strcmp(name, "values") != 0) {
			err = read_attribute(btf, &member, sizes);
			continue;
		}
		if (!map || map->has_inner || !inner_struct(btf, member.type, &inner))
			return -ENOTSUP;
		map->has_inner = true;
		map->values_offset = member.offset / 8;
		err = read_members(btf, &inner, &map->inner, NULL);
	}
	return err;
}

static int read_definition(const struct btf_view *btf, uint32_t id, struct btf_map *map)
{
	struct type variable, type;
	int err;

	if (!type_at(btf, id, &variable) || kind_of(&variable) != K_VAR ||
	    !type_behind(btf, variable.size, &type) || kind_of(&type) != K_STRUCT)
		return -EINVAL;
	memset(map, 0, sizeof(*map));
	map->name = btf_string(btf, variable.name);
	if (!map->name)
		return -EINVAL;
	err = read_members(btf, &type, &map->is, map);
	return err ? err : 1;
}

int btf_map_at(const struct btf_view *btf, uint32_t index, struct btf_map *ret_map)
{
	struct type type;
	const char *name;
	uint32_t id, variable;

	for (id = 1; type_at(btf, id, &type); id++) {
		if (kind_of(&type) != K_DATASEC)
			continue;
		name = btf_string(btf, type.name);
		if (!name || strcmp(name, ".maps") != 0)
			continue;
		if (index >= vlen_of(&type))
			return 0;
		memcpy(&variable, type.rest + (size_t)index * 12, sizeof(variable));
		return read_definition(btf, variable, ret_map);
	}
	return 0;
}
