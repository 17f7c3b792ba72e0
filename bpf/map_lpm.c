/*
 * Longest prefix match: a hash table of prefixes, and how many entries there are of each length. A
 * lookup tries the lengths that exist, from the longest; a filter's tables have few of them.
 */
#include "bpf/map_priv.h"

#include <errno.h>
#include <string.h>

struct lpm_key {
	uint32_t bits;
	uint8_t bytes[MAP_PREFIX_MAX / 8];
};

static uint32_t bits_of(const void *key)
{
	uint32_t bits;

	memcpy(&bits, key, sizeof(bits));
	return bits;
}

/* The first @bits of a key, the rest zero. */
static void cut(const struct ebpf_map *map, const void *key, uint32_t bits, struct lpm_key *ret)
{
	uint32_t whole = bits / 8, rest = bits % 8, i;

	memset(ret, 0, sizeof(*ret));
	memcpy(ret->bytes, (const uint8_t *)key + 4, map->def->key_size - 4);
	ret->bits = bits;
	if (rest) {
		ret->bytes[whole] &= (uint8_t)(0xff00u >> rest);
		whole++;
	}
	for (i = whole; i < sizeof(ret->bytes); i++)
		ret->bytes[i] = 0;
}

static uint32_t bits_max(const struct ebpf_map *map)
{
	return (map->def->key_size - 4) * 8;
}

void *map_lpm_find_locked(struct ebpf_map *map, const void *key)
{
	uint32_t bits = bits_of(key);
	struct lpm_key prefix;
	void *value = NULL;

	if (bits > bits_max(map))
		bits = bits_max(map);
	for (bits++; bits-- > 0 && !value;) {
		if (!map->prefixes[bits])
			continue;
		cut(map, key, bits, &prefix);
		value = map_hash_find_locked(map, &prefix);
	}
	return value;
}

int map_lpm_update_locked(struct ebpf_map *map, const void *key, const void *value, uint64_t flags)
{
	struct lpm_key prefix;
	bool there;
	int err;

	if (bits_of(key) > bits_max(map))
		return -EINVAL;
	cut(map, key, bits_of(key), &prefix);
	there = map_hash_find_locked(map, &prefix) != NULL;
	err = map_hash_update_locked(map, &prefix, value, flags);
	if (!err && !there)
		map->prefixes[prefix.bits]++;
	return err;
}

int map_lpm_delete_locked(struct ebpf_map *map, const void *key)
{
	struct lpm_key prefix;
	int err;

	if (bits_of(key) > bits_max(map))
		return -EINVAL;
	cut(map, key, bits_of(key), &prefix);
	err = map_hash_delete_locked(map, &prefix);
	if (!err)
		map->prefixes[prefix.bits]--;
	return err;
}
