/*
 * arena.h - the arena's allocators: pages, and objects of any size.
 *
 * All their state lies in the arena itself, so that it survives fork, snapshot and clone.  Callers
 * hold the instance lock.  Memory is zeroed where the name says so.  The arena has a hard limit
 * (instance()->arena_limit_bytes): beyond it these return NULL, which callers turn into -ENOMEM.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* 2^order contiguous pages, page-aligned; contents undefined. */
void *page_alloc(unsigned order);
void page_free(void *pages, unsigned order);

/* Objects: 16-byte aligned (64-byte from 64 bytes up). Freeing NULL is harmless. */
void *arena_alloc(size_t size);
void *arena_zalloc(size_t size);
void arena_free(void *obj);

struct arena_stats {
	uint64_t used_bytes;  /* handed out */
	uint64_t taken_bytes; /* pages ever touched and not given back to the host */
	uint64_t limit_bytes;
};

void arena_stats_get(struct arena_stats *ret_stats);
