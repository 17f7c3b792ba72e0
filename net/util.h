/*
 * Small helpers that every file of net/ uses: bytes, numbers, lists. Freestanding: the image has no
 * compiler builtins behind memcpy, so fixed-size moves name __builtin_memcpy.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "leat/base/list.h"

#define NSEC_PER_SEC 1000000000ull
#define NSEC_PER_MSEC 1000000ull
#define NSEC_PER_USEC 1000ull

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

static inline uint16_t be16(uint16_t v)
{
	return __builtin_bswap16(v);
}

static inline uint32_t be32(uint32_t v)
{
	return __builtin_bswap32(v);
}

static inline uint16_t load_be16(const void *p)
{
	uint16_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return be16(v);
}

static inline uint32_t load_be32(const void *p)
{
	uint32_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return be32(v);
}

static inline void store_be16(void *p, uint32_t value)
{
	uint16_t v = be16((uint16_t)value);

	__builtin_memcpy(p, &v, sizeof(v));
}

static inline void store_be32(void *p, uint32_t value)
{
	uint32_t v = be32(value);

	__builtin_memcpy(p, &v, sizeof(v));
}

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}
