/*
 * packet.h - frames written as words, layer by layer; see docs/filters.md for the words.
 *
 *	eth 02:00:00:00:00:03 02:00:00:00:00:02 ip4 10.99.0.2 10.99.0.3 tcp 1000 80 S hex 68 69
 *
 * Types, lengths and checksums are filled in unless they are given.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_BYTES 2048

struct packet {
	uint8_t bytes[PACKET_BYTES];
	size_t size; /* bytes that are there */
	size_t len;  /* of the whole frame: at least size */
};

/* NULL-terminated words. False: *ret_error says what was not understood. */
bool packet_build(char *const *words, struct packet *ret_packet, const char **ret_error);
