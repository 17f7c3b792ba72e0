/*
 * Addresses. Inside net/ every address is 16 bytes, IPv4 as ::ffff:a.b.c.d, so that one table and
 * one comparison serve both families and AF_INET6 sockets talk IPv4 for nothing.
 */
#pragma once

#include <netinet/in.h>

#include "net/util.h"

union ip_addr {
	uint8_t bytes[16];
	uint32_t words[4];
	uint64_t halves[2];
};

#define IP_ADDR_V4_TAG 0xffff0000u /* words[2] of a mapped address, as loaded on x86 */

static inline union ip_addr ip_addr_v4(uint32_t ip_be)
{
	union ip_addr a = {.words = {0, 0, IP_ADDR_V4_TAG, ip_be}};

	return a;
}

static inline union ip_addr ip_addr_v6(const void *bytes)
{
	union ip_addr a;

	__builtin_memcpy(&a, bytes, sizeof(a));
	return a;
}

static inline union ip_addr ip_addr_any6(void)
{
	union ip_addr a = {.halves = {0, 0}};

	return a;
}

static inline union ip_addr ip_addr_loopback6(void)
{
	union ip_addr a = {.words = {0, 0, 0, 0x01000000u}};

	return a;
}

static inline bool ip_addr_equal(const union ip_addr *a, const union ip_addr *b)
{
	return ((a->halves[0] ^ b->halves[0]) | (a->halves[1] ^ b->halves[1])) == 0;
}

static inline bool ip_addr_is_v4(const union ip_addr *a)
{
	return a->halves[0] == 0 && a->words[2] == IP_ADDR_V4_TAG;
}

static inline uint32_t ip_addr_to_v4(const union ip_addr *a)
{
	return a->words[3];
}

static inline bool ip_addr_is_any6(const union ip_addr *a)
{
	return (a->halves[0] | a->halves[1]) == 0;
}

/* 0.0.0.0 or :: */
static inline bool ip_addr_is_any(const union ip_addr *a)
{
	return ip_addr_is_any6(a) || (ip_addr_is_v4(a) && a->words[3] == 0);
}

static inline bool ip_addr_is_multicast(const union ip_addr *a)
{
	if (ip_addr_is_v4(a))
		return (a->bytes[12] & 0xf0) == 0xe0;
	return a->bytes[0] == 0xff;
}

static inline bool ip_addr_is_loopback(const union ip_addr *a)
{
	if (ip_addr_is_v4(a))
		return a->bytes[12] == 127;
	return a->halves[0] == 0 && a->words[2] == 0 && a->words[3] == 0x01000000u;
}

static inline bool ip_addr_is_linklocal6(const union ip_addr *a)
{
	return a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}
