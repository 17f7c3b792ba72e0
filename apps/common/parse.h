/*
 * parse.h - the forms of values on command lines and in requests.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_LEN_MAX 63U

/* A whole decimal number in [low, high]: 0 or -EINVAL. */
int parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *ret_number);

/* 64K, 512M, 2G, or plain bytes. */
int parse_size(const char *text, uint64_t *ret_bytes);

/* N or N:BURST, each with K, M or G for thousands; *inout_burst stays without one. */
int parse_rate(const char *text, uint64_t *ret_rate, uint64_t *inout_burst);

/* Instance names: letters, digits, '_', '.', '-', not first '.' or '-'. */
bool parse_name_ok(const char *name);

struct publish {
	uint32_t host_ip_be;
	uint16_t host_port;
	uint16_t guest_port;
	bool udp;
};

/* [IP:]HOST:GUEST[/udp|/tcp]; IP is 127.0.0.1 by default. */
int parse_publish(const char *text, struct publish *ret_publish);

struct volume {
	char *src; /* both in the caller's text, which is cut in place */
	char *dst; /* absolute */
	bool read_only;
};

/* SRC:DST[:ro|:rw]; read-write by default. */
int parse_volume(char *text, struct volume *ret_volume);

/* TERM, SIGTERM, sigterm or 15: 1..64. */
int parse_signal(const char *text, int *ret_signal);
