/*
 * pool.c - a bitmap with a moving start.
 */
#include "apps/leatd/pool.h"

#include <errno.h>
#include <stdlib.h>

int pool_init(struct pool *pool, uint32_t size)
{
	*pool = (struct pool){.size = size};
	pool->used = calloc((size + 63) / 64, sizeof(*pool->used));
	return pool->used ? 0 : -ENOMEM;
}

void pool_finish(struct pool *pool)
{
	free(pool->used);
	*pool = (struct pool){0};
}

int pool_take_index(struct pool *pool, uint32_t index)
{
	if (index >= pool->size)
		return -ERANGE;
	if (pool->used[index / 64] & (1ULL << (index % 64)))
		return -EBUSY;
	pool->used[index / 64] |= 1ULL << (index % 64);
	return 0;
}

int pool_take(struct pool *pool, uint32_t *ret_index)
{
	for (uint32_t i = 0; i < pool->size; i++) {
		uint32_t index = (pool->next + i) % pool->size;
		if (pool_take_index(pool, index) == 0) {
			pool->next = (index + 1) % pool->size;
			*ret_index = index;
			return 0;
		}
	}
	return -ENOSPC;
}

void pool_give(struct pool *pool, uint32_t index)
{
	if (index < pool->size)
		pool->used[index / 64] &= ~(1ULL << (index % 64));
}
