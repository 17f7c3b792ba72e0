/*
 * bytes.c - keys, values and packets written as text.
 */
#include "apps/leat/bytes.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/abi/library.h"

bool bytes_number(const char *text, uint64_t max, uint64_t *ret_number)
{
	unsigned long long number;
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	number = strtoull(text, &end, 0);
	if (errno || *end || number > max)
		return false;
	*ret_number = number;
	return true;
}

int bytes_hex(const char *hex, uint8_t *bytes, size_t room)
{
	size_t n = 0;

	while (*hex) {
		unsigned int byte;

		if (isspace((unsigned char)*hex)) {
			hex++;
			continue;
		}
		if (!isxdigit((unsigned char)hex[0]) || !isxdigit((unsigned char)hex[1]) ||
		    n == room || sscanf(hex, "%2x", &byte) != 1)
			return -1;
		bytes[n++] = (uint8_t)byte;
		hex += 2;
	}
	return (int)n;
}

bool bytes_mac(const char *text, uint8_t ret_mac[6])
{
	unsigned int b[6];
	int end = 0, i;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &end) != 6 ||
	    text[end])
		return false;
	for (i = 0; i < 6; i++)
		ret_mac[i] = (uint8_t)b[i];
	return true;
}

bool bytes_addr(const char *text, uint8_t ret_addr[16], bool *ret_v4)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	uint8_t addr[16];

	if (inet_pton(AF_INET6, text, addr) == 1) {
		memcpy(ret_addr, addr, 16);
		*ret_v4 = false;
		return true;
	}
	if (inet_pton(AF_INET, text, addr) != 1)
		return false;
	memcpy(ret_addr, mapped, sizeof(mapped));
	memcpy(ret_addr + 12, addr, 4);
	*ret_v4 = true;
	return true;
}

bool bytes_net(const char *text, uint8_t ret_addr[16], uint8_t ret_mask[16])
{
	const char *slash = strchr(text, '/');
	char name[INET6_ADDRSTRLEN];
	uint64_t bits;
	bool v4;
	unsigned int i;

	if (!slash || (size_t)(slash - text) >= sizeof(name))
		return false;
	memcpy(name, text, (size_t)(slash - text));
	name[slash - text] = '\0';
	if (!bytes_addr(name, ret_addr, &v4) || !bytes_number(slash + 1, v4 ? 32 : 128, &bits))
		return false;
	if (v4)
		bits += 96;
	for (i = 0; i < 16; i++) {
		unsigned int here = bits > 8 * i ? (unsigned int)bits - 8 * i : 0;

		ret_mask[i] = (uint8_t)(here >= 8 ? 0xff : 0xff00u >> here);
		ret_addr[i] &= ret_mask[i];
	}
	return true;
}

static bool put(const void *from, size_t count, uint8_t *bytes, size_t room, size_t *size)
{
	if (count > room - *size)
		return false;
	memcpy(bytes + *size, from, count);
	*size += count;
	return true;
}

static bool add_number(const char *text, unsigned int width, bool swap, uint8_t *bytes, size_t room,
		       size_t *size)
{
	uint64_t max = width == 8 ? UINT64_MAX : (1ULL << 8 * width) - 1, number;

	if (!bytes_number(text, max, &number))
		return false;
	if (swap) /* the bytes that are sent last are the lowest */
		number = __builtin_bswap64(number) >> (64 - 8 * width);
	return put(&number, width, bytes, room, size);
}

static bool add_addr(const char *text, bool always16, uint8_t *bytes, size_t room, size_t *size)
{
	uint8_t addr[16];
	bool v4;

	if (!bytes_addr(text, addr, &v4))
		return false;
	return v4 && !always16 ? put(addr + 12, 4, bytes, room, size) :
				 put(addr, 16, bytes, room, size);
}

static bool add_net(const char *text, uint8_t *bytes, size_t room, size_t *size)
{
	uint8_t both[32];

	return bytes_net(text, both, both + 16) && put(both, sizeof(both), bytes, room, size);
}

/* One of the names, or a number up to max. */
static bool choice(const char *text, const char *const *names, const uint8_t *values, uint64_t max,
		   uint8_t *ret)
{
	uint64_t number;

	for (; *names; names++, values++)
		if (strcmp(text, *names) == 0) {
			*ret = *values;
			return true;
		}
	if (!max || !bytes_number(text, max, &number))
		return false;
	*ret = (uint8_t)number;
	return true;
}

static bool rule_ports(char *text, struct leat_rule *rule)
{
	char *dash = strchr(text, '-');
	uint64_t low, high;

	rule->port_high = LEAT_PORT_ANY;
	if (strcmp(text, "any") == 0)
		return true;
	if (dash)
		*dash = '\0';
	if (!bytes_number(text, UINT16_MAX, &low))
		return false;
	high = low;
	if (dash && (!bytes_number(dash + 1, UINT16_MAX, &high) || high < low))
		return false;
	rule->port_low = (uint32_t)low;
	rule->port_high = (uint32_t)high;
	return true;
}

/* ACTION,DIRECTION,PROTOCOL,NETWORK,PORTS */
static bool rule_parse(char *text, struct leat_rule *rule)
{
	static const char *const actions[] = {"pass", "drop", NULL};
	static const char *const directions[] = {"out", "in", "both", NULL};
	static const char *const protos[] = {"any", "tcp", "udp", "icmp", "icmp6", NULL};
	static const uint8_t action_values[] = {LEAT_RULE_PASS, LEAT_RULE_DROP};
	static const uint8_t direction_values[] = {LEAT_RULE_EGRESS, LEAT_RULE_INGRESS,
						   LEAT_RULE_EGRESS | LEAT_RULE_INGRESS};
	static const uint8_t proto_values[] = {0, 6, 17, 1, 58};
	char *part[5], *save;
	unsigned int i;

	for (i = 0; i < 5; i++) {
		part[i] = strtok_r(i ? NULL : text, ",", &save);
		if (!part[i])
			return false;
	}
	if (strtok_r(NULL, ",", &save) ||
	    !choice(part[0], actions, action_values, 0, &rule->action) ||
	    !choice(part[1], directions, direction_values, 0, &rule->direction) ||
	    !choice(part[2], protos, proto_values, 255, &rule->proto))
		return false;
	rule->proto_mask = strcmp(part[2], "any") == 0 ? 0 : 0xff;
	return (strcmp(part[3], "any") == 0 ||
		bytes_net(part[3], rule->remote.bytes, rule->mask.bytes)) &&
	       rule_ports(part[4], rule);
}

static bool add_rule(const char *text, uint8_t *bytes, size_t room, size_t *size)
{
	struct leat_rule rule = {.action = 0};
	char *copy = strdup(text);
	bool ok = copy && rule_parse(copy, &rule);

	free(copy);
	return ok && put(&rule, sizeof(rule), bytes, room, size);
}

static bool add_mac(const char *text, uint8_t *bytes, size_t room, size_t *size)
{
	uint8_t mac[6];

	return bytes_mac(text, mac) && put(mac, sizeof(mac), bytes, room, size);
}

static bool add_zeros(const char *text, uint8_t *bytes, size_t room, size_t *size)
{
	uint64_t count;

	if (!bytes_number(text, room - *size, &count))
		return false;
	memset(bytes + *size, 0, count);
	*size += count;
	return true;
}

bool bytes_add(const char *word, uint8_t *bytes, size_t room, size_t *size)
{
	static const struct {
		const char *name;
		unsigned int width;
		bool swap;
	} numbers[] = {{"u8:", 1, false},  {"u16:", 2, false}, {"u32:", 4, false},
		       {"u64:", 8, false}, {"be16:", 2, true}, {"be32:", 4, true}};
	const char *colon = strchr(word, ':');
	size_t i;
	int n;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (strncmp(word, numbers[i].name, strlen(numbers[i].name)) == 0)
			return add_number(colon + 1, numbers[i].width, numbers[i].swap, bytes, room,
					  size);
	if (strncmp(word, "ip:", 3) == 0)
		return add_addr(colon + 1, false, bytes, room, size);
	if (strncmp(word, "ip6:", 4) == 0)
		return add_addr(colon + 1, true, bytes, room, size);
	if (strncmp(word, "net:", 4) == 0)
		return add_net(colon + 1, bytes, room, size);
	if (strncmp(word, "rule:", 5) == 0)
		return add_rule(colon + 1, bytes, room, size);
	if (strncmp(word, "mac:", 4) == 0)
		return add_mac(colon + 1, bytes, room, size);
	if (strncmp(word, "zero:", 5) == 0)
		return add_zeros(colon + 1, bytes, room, size);
	n = bytes_hex(word, bytes + *size, room - *size);
	if (n < 0)
		return false;
	*size += (size_t)n;
	return true;
}
