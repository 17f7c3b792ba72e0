/*
 * parse.c - parsers of command-line values: whole input or -EINVAL.
 */
#include "apps/common/parse.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SIGNAL_LAST 64

int parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *ret_number)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (errno || *end || n < low || n > high)
		return -EINVAL;
	*ret_number = n;
	return 0;
}

int parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "KMGT";
	char digits[24];
	size_t len = strlen(text);
	unsigned shift = 0;
	uint64_t n;

	if (len > 1 && (text[len - 1] == 'B' || text[len - 1] == 'b') && text[len - 2] > '9')
		len--;
	if (len == 0 || len >= sizeof(digits))
		return -EINVAL;
	for (unsigned i = 0; units[i]; i++)
		if (text[len - 1] == units[i] || text[len - 1] == units[i] + ('a' - 'A'))
			shift = 10 * (i + 1);
	memcpy(digits, text, len);
	digits[shift ? len - 1 : len] = 0;
	if (parse_number(digits, 0, UINT64_MAX >> shift, &n) < 0)
		return -EINVAL;
	*ret_bytes = n << shift;
	return 0;
}

/* A number with K, M or G: thousands. */
static int parse_thousands(const char *text, size_t len, uint64_t *ret_number)
{
	static const char units[] = "KMG";
	const char *unit = len > 1 ? strchr(units, text[len - 1] & ~0x20) : NULL;
	uint64_t factor = 1, n;
	char digits[24];

	if (len == 0 || len >= sizeof(digits))
		return -EINVAL;
	if (unit && *unit) {
		len--;
		for (const char *u = units; u <= unit; u++)
			factor *= 1000;
	}
	memcpy(digits, text, len);
	digits[len] = 0;
	if (parse_number(digits, 1, INT64_MAX / factor, &n) < 0)
		return -EINVAL;
	*ret_number = n * factor;
	return 0;
}

int parse_rate(const char *text, uint64_t *ret_rate, uint64_t *inout_burst)
{
	const char *colon = strchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);
	uint64_t rate, burst = *inout_burst;

	if (parse_thousands(text, len, &rate) < 0 ||
	    (colon && parse_thousands(colon + 1, strlen(colon + 1), &burst) < 0))
		return -EINVAL;
	*ret_rate = rate;
	*inout_burst = burst;
	return 0;
}

bool parse_name_ok(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > NAME_LEN_MAX || name[0] == '.' || name[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '_' || c == '.' || c == '-'))
			return false;
	}
	return true;
}

int parse_publish(const char *text, struct publish *ret_publish)
{
	char copy[64];
	struct publish publish = {.host_ip_be = htonl(INADDR_LOOPBACK)};
	uint64_t host, guest;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	char *proto = strchr(copy, '/');
	if (proto) {
		*proto++ = 0;
		publish.udp = strcmp(proto, "udp") == 0;
		if (!publish.udp && strcmp(proto, "tcp") != 0)
			return -EINVAL;
	}
	char *guest_text = strrchr(copy, ':');
	if (!guest_text)
		return -EINVAL;
	*guest_text++ = 0;
	char *host_text = strrchr(copy, ':');
	if (host_text) {
		*host_text++ = 0;
		if (inet_pton(AF_INET, copy, &publish.host_ip_be) != 1)
			return -EINVAL;
	} else {
		host_text = copy;
	}
	if (parse_number(host_text, 1, UINT16_MAX, &host) < 0 ||
	    parse_number(guest_text, 1, UINT16_MAX, &guest) < 0)
		return -EINVAL;
	publish.host_port = (uint16_t)host;
	publish.guest_port = (uint16_t)guest;
	*ret_publish = publish;
	return 0;
}

int parse_volume(char *text, struct volume *ret_volume)
{
	struct volume volume = {.src = text};
	char *mode;

	volume.dst = strchr(text, ':');
	if (!volume.dst || volume.dst == text || volume.dst[1] != '/')
		return -EINVAL;
	mode = strchr(volume.dst + 1, ':');
	if (mode) {
		volume.read_only = strcmp(mode + 1, "ro") == 0;
		if (!volume.read_only && strcmp(mode + 1, "rw") != 0)
			return -EINVAL;
	}
	*volume.dst++ = 0;
	if (mode)
		*mode = 0;
	*ret_volume = volume;
	return 0;
}

int parse_signal(const char *text, int *ret_signal)
{
	uint64_t n;

	if (parse_number(text, 1, SIGNAL_LAST, &n) == 0) {
		*ret_signal = (int)n;
		return 0;
	}
	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	for (int sig = 1; sig < SIGRTMIN; sig++) {
		const char *name = sigabbrev_np(sig);
		if (name && strcasecmp(name, text) == 0) {
			*ret_signal = sig;
			return 0;
		}
	}
	return -EINVAL;
}
