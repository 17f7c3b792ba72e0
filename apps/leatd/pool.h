/*
 * pool.h - numbers that are given out one at a time: uids, addresses.
 *
 * A number that came back is used again as late as possible, so that what others still remember of
 * it (an ARP entry, a line in a log) has aged.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct pool {
	uint64_t *used; /* bitmap */
	uint32_t size;
	uint32_t next; /* where the search starts */
};

int pool_init(struct pool *pool, uint32_t size);
void pool_finish(struct pool *pool);

/* -ENOSPC: all are in use. */
int pool_take(struct pool *pool, uint32_t *ret_index);
/* A certain one: -EBUSY, -ERANGE. */
int pool_take_index(struct pool *pool, uint32_t index);
void pool_give(struct pool *pool, uint32_t index);
