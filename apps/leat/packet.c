/*
 * packet.c - frames written as words, layer by layer.
 */
#include "apps/leat/packet.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "apps/leat/bytes.h"

#define LAYERS_MAX 16
#define AUTO (-1)

enum layer_kind { LAYER_IP4, LAYER_IP6, LAYER_UDP, LAYER_TCP, LAYER_ICMP, LAYER_ICMP6 };

struct layer {
	enum layer_kind kind;
	size_t at;
	int64_t len; /* AUTO: to the end of the packet */
};

struct builder {
	char *const *words;
	struct packet *packet;
	const char *error;
	struct layer layers[LAYERS_MAX];
	unsigned int nr_layers;
	size_t next_at;    /* where the type of what follows belongs */
	size_t next_bytes; /* 2: EtherType; 1: IP's number; 0: nowhere, or it was given */
};

static bool bad(struct builder *b, const char *error)
{
	if (!b->error)
		b->error = error;
	return false;
}

static uint8_t *room(struct builder *b, size_t bytes)
{
	struct packet *p = b->packet;

	if (bytes > sizeof(p->bytes) - p->size) {
		bad(b, "a frame of more than 2048 bytes");
		return NULL;
	}
	memset(p->bytes + p->size, 0, bytes);
	p->size += bytes;
	return p->bytes + p->size - bytes;
}

static void put16(uint8_t *at, uint64_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* What begins here, said by the header before. */
static void say_next(struct builder *b, uint16_t ether_type, uint8_t proto)
{
	if (b->next_bytes == 2)
		put16(b->packet->bytes + b->next_at, ether_type);
	else if (b->next_bytes == 1)
		b->packet->bytes[b->next_at] = proto;
	b->next_bytes = 0;
}

static void expect_next(struct builder *b, const uint8_t *at, size_t bytes)
{
	b->next_at = (size_t)(at - b->packet->bytes);
	b->next_bytes = bytes;
}

static bool number(struct builder *b, uint64_t max, uint64_t *ret)
{
	if (!*b->words || !bytes_number(*b->words, max, ret))
		return bad(b, "a number is missing");
	b->words++;
	return true;
}

/* "NAME N" if it is there. */
static bool option(struct builder *b, const char *name, uint64_t max, uint64_t *ret)
{
	if (!*b->words || strcmp(*b->words, name) != 0)
		return false;
	b->words++;
	return number(b, max, ret);
}

static bool flag(struct builder *b, const char *name)
{
	if (!*b->words || strcmp(*b->words, name) != 0)
		return false;
	b->words++;
	return true;
}

static bool mac(struct builder *b, uint8_t *at)
{
	if (!*b->words || !bytes_mac(*b->words, at))
		return bad(b, "a MAC address is missing");
	b->words++;
	return true;
}

static bool addr(struct builder *b, bool want_v4, uint8_t *at)
{
	uint8_t bytes[16];
	bool v4;

	if (!*b->words || !bytes_addr(*b->words, bytes, &v4) || v4 != want_v4)
		return bad(b,
			   want_v4 ? "an IPv4 address is missing" : "an IPv6 address is missing");
	memcpy(at, v4 ? bytes + 12 : bytes, v4 ? 4 : 16);
	b->words++;
	return true;
}

static struct layer *remember(struct builder *b, enum layer_kind kind, const uint8_t *at)
{
	struct layer *layer = &b->layers[b->nr_layers];

	if (b->nr_layers == LAYERS_MAX) {
		bad(b, "too many layers");
		return NULL;
	}
	b->nr_layers++;
	*layer = (struct layer){kind, (size_t)(at - b->packet->bytes), AUTO};
	return layer;
}

static bool add_eth(struct builder *b)
{
	uint8_t *at = room(b, 14);
	uint64_t type;

	if (!at || !mac(b, at) || !mac(b, at + 6))
		return false;
	expect_next(b, at + 12, 2);
	if (option(b, "type", 0xffff, &type)) {
		put16(at + 12, type);
		b->next_bytes = 0;
	}
	return true;
}

static bool add_tag(struct builder *b, uint16_t ether_type)
{
	uint64_t tci, type;
	uint8_t *at = room(b, 4);

	if (!at || !number(b, 0xffff, &tci))
		return false;
	say_next(b, ether_type, 0);
	put16(at, tci);
	expect_next(b, at + 2, 2);
	if (option(b, "type", 0xffff, &type)) {
		put16(at + 2, type);
		b->next_bytes = 0;
	}
	return true;
}

static bool add_vlan(struct builder *b)
{
	return add_tag(b, 0x8100);
}

static bool add_qinq(struct builder *b)
{
	return add_tag(b, 0x88a8);
}

static bool add_arp(struct builder *b)
{
	uint8_t *at = room(b, 28);
	uint64_t operation;

	if (!at || !number(b, 0xffff, &operation))
		return false;
	say_next(b, 0x0806, 0);
	put16(at, 1);
	put16(at + 2, 0x0800);
	at[4] = 6;
	at[5] = 4;
	put16(at + 6, operation);
	return mac(b, at + 8) && addr(b, true, at + 14) && mac(b, at + 18) &&
	       addr(b, true, at + 24);
}

static bool add_ip4(struct builder *b)
{
	uint64_t proto = 0, offset = 0, ihl = 5, len = 0, version = 4;
	uint8_t *at = room(b, 20);
	struct layer *layer = at ? remember(b, LAYER_IP4, at) : NULL;

	if (!layer)
		return false;
	say_next(b, 0x0800, 4);
	expect_next(b, at + 9, 1);
	at[8] = 64;
	if (!addr(b, true, at + 12) || !addr(b, true, at + 16))
		return false;
	for (;;) {
		if (option(b, "proto", 0xff, &proto)) {
			at[9] = (uint8_t)proto;
			b->next_bytes = 0;
		} else if (option(b, "frag", 0x1fff, &offset)) {
			put16(at + 6, offset | (at[6] & 0x20) << 8);
		} else if (flag(b, "more")) {
			at[6] |= 0x20;
		} else if (option(b, "len", 0xffff, &len)) {
			layer->len = (int64_t)len;
		} else if (!option(b, "ihl", 15, &ihl) && !option(b, "version", 15, &version)) {
			break;
		}
	}
	at[0] = (uint8_t)(version << 4 | ihl);
	return true;
}

static bool add_ip6(struct builder *b)
{
	uint64_t next = 0, len = 0, version = 6;
	uint8_t *at = room(b, 40);
	struct layer *layer = at ? remember(b, LAYER_IP6, at) : NULL;

	if (!layer)
		return false;
	say_next(b, 0x86dd, 41);
	expect_next(b, at + 6, 1);
	at[7] = 255;
	if (!addr(b, false, at + 8) || !addr(b, false, at + 24))
		return false;
	for (;;) {
		if (option(b, "next", 0xff, &next)) {
			at[6] = (uint8_t)next;
			b->next_bytes = 0;
		} else if (option(b, "len", 0xffff, &len)) {
			layer->len = (int64_t)len;
		} else if (!option(b, "version", 15, &version)) {
			break;
		}
	}
	at[0] = (uint8_t)(version << 4);
	return true;
}

/* An IPv6 extension header of 8 + 8 * words bytes, full of padding. */
static bool add_extension(struct builder *b, uint8_t proto)
{
	uint64_t words = 0, next = 0;
	uint8_t *at = room(b, 8);

	if (!at)
		return false;
	say_next(b, 0, proto);
	expect_next(b, at, 1);
	for (;;) {
		if (option(b, "next", 0xff, &next)) {
			at[0] = (uint8_t)next;
			b->next_bytes = 0;
		} else if (!option(b, "words", 0xff, &words)) {
			break;
		}
	}
	at[1] = (uint8_t)words;
	at[2] = 1; /* PadN */
	at[3] = 4;
	return !b->error && (!words || room(b, 8 * words));
}

static bool add_hop(struct builder *b)
{
	return add_extension(b, 0);
}

static bool add_routing(struct builder *b)
{
	return add_extension(b, 43);
}

static bool add_dest(struct builder *b)
{
	return add_extension(b, 60);
}

static bool add_frag6(struct builder *b)
{
	uint8_t *at = room(b, 8);
	uint64_t offset;

	if (!at || !number(b, 0x1fff, &offset))
		return false;
	say_next(b, 0, 44);
	expect_next(b, at, 1);
	put16(at + 2, offset << 3 | flag(b, "more"));
	return true;
}

static bool add_udp(struct builder *b)
{
	uint8_t *at = room(b, 8);
	struct layer *layer = at ? remember(b, LAYER_UDP, at) : NULL;
	uint64_t src, dst;

	if (!layer || !number(b, 0xffff, &src) || !number(b, 0xffff, &dst))
		return false;
	say_next(b, 0, 17);
	put16(at, src);
	put16(at + 2, dst);
	return true;
}

/* Letters of FSRPAU, "-" for none. */
static bool tcp_flags(struct builder *b, uint8_t *ret)
{
	static const char letters[] = "FSRPAU";
	const char *word = *b->words;

	if (!word || (!strchr(letters, *word) && *word != '-'))
		return bad(b, "TCP flags are missing: letters of FSRPAU, or -");
	for (; *word && *word != '-'; word++) {
		const char *letter = strchr(letters, *word);

		if (!letter)
			return bad(b, "TCP flags are letters of FSRPAU");
		*ret |= (uint8_t)(1 << (letter - letters));
	}
	b->words++;
	return true;
}

static bool add_tcp(struct builder *b)
{
	uint8_t *at = room(b, 20);
	struct layer *layer = at ? remember(b, LAYER_TCP, at) : NULL;
	uint64_t src, dst;

	if (!layer || !number(b, 0xffff, &src) || !number(b, 0xffff, &dst))
		return false;
	say_next(b, 0, 6);
	put16(at, src);
	put16(at + 2, dst);
	at[12] = 0x50;
	return tcp_flags(b, at + 13);
}

/* TYPE CODE ID: the header of an echo; errors have zeros there. */
static bool add_icmp_of(struct builder *b, enum layer_kind kind, uint8_t proto)
{
	uint8_t *at = room(b, 8);
	struct layer *layer = at ? remember(b, kind, at) : NULL;
	uint64_t type, code, id;

	if (!layer || !number(b, 0xff, &type) || !number(b, 0xff, &code) || !number(b, 0xffff, &id))
		return false;
	say_next(b, 0, proto);
	at[0] = (uint8_t)type;
	at[1] = (uint8_t)code;
	put16(at + 4, id);
	return true;
}

static bool add_icmp(struct builder *b)
{
	return add_icmp_of(b, LAYER_ICMP, 1);
}

static bool add_icmp6(struct builder *b)
{
	return add_icmp_of(b, LAYER_ICMP6, 58);
}

/* A neighbour solicitation (135) or advertisement (136): TYPE TARGET. */
static bool add_nd(struct builder *b)
{
	uint8_t *at = room(b, 24);
	struct layer *layer = at ? remember(b, LAYER_ICMP6, at) : NULL;
	uint64_t type;

	if (!layer || !number(b, 0xff, &type))
		return false;
	say_next(b, 0, 58);
	at[0] = (uint8_t)type;
	return addr(b, false, at + 8);
}

/* An option of neighbour discovery: TYPE MAC. */
static bool add_option(struct builder *b)
{
	uint8_t *at = room(b, 8);
	uint64_t type;

	if (!at || !number(b, 0xff, &type))
		return false;
	at[0] = (uint8_t)type;
	at[1] = 1;
	return mac(b, at + 2);
}

/* A DHCP message's fixed part: OPERATION MAC. */
static bool add_dhcp(struct builder *b)
{
	uint8_t *at = room(b, 236);
	uint64_t operation;

	if (!at || !number(b, 0xff, &operation))
		return false;
	at[0] = (uint8_t)operation;
	at[1] = 1;
	at[2] = 6;
	return mac(b, at + 28);
}

static bool add_bytes(struct builder *b)
{
	struct packet *p = b->packet;
	size_t before = p->size;

	while (*b->words && bytes_add(*b->words, p->bytes, sizeof(p->bytes), &p->size))
		b->words++;
	b->next_bytes = 0;
	return p->size > before || bad(b, "bytes are missing");
}

static uint32_t sum_of(const uint8_t *at, size_t size, uint32_t sum)
{
	size_t i;

	for (i = 0; i < size; i++)
		sum += (uint32_t)at[i] << (i & 1 ? 0 : 8);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* The sum of the pseudo header of the last IP layer in front. */
static uint32_t pseudo_sum(const struct builder *b, const struct layer *layer, size_t size,
			   uint8_t proto)
{
	const struct layer *ip = layer;
	uint32_t sum = (uint32_t)size + proto;

	while (ip-- > b->layers)
		if (ip->kind == LAYER_IP4)
			return sum_of(b->packet->bytes + ip->at + 12, 8, sum);
		else if (ip->kind == LAYER_IP6)
			return sum_of(b->packet->bytes + ip->at + 8, 32, sum);
	return sum;
}

static void finish_layer(const struct builder *b, const struct layer *layer)
{
	uint8_t *at = b->packet->bytes + layer->at;
	size_t size = b->packet->size - layer->at;

	switch (layer->kind) {
	case LAYER_IP4:
		put16(at + 2, layer->len != AUTO ? (uint64_t)layer->len : size);
		put16(at + 10, fold(sum_of(at, (size_t)(at[0] & 15) * 4, 0)));
		break;
	case LAYER_IP6:
		put16(at + 4, layer->len != AUTO ? (uint64_t)layer->len : size - 40);
		break;
	case LAYER_UDP:
		put16(at + 4, size);
		put16(at + 6, fold(sum_of(at, size, pseudo_sum(b, layer, size, 17))));
		break;
	case LAYER_TCP:
		put16(at + 16, fold(sum_of(at, size, pseudo_sum(b, layer, size, 6))));
		break;
	case LAYER_ICMP:
		put16(at + 2, fold(sum_of(at, size, 0)));
		break;
	case LAYER_ICMP6:
		put16(at + 2, fold(sum_of(at, size, pseudo_sum(b, layer, size, 58))));
		break;
	}
}

/* "cut N": only so many bytes are there; "len N": the frame is longer than what is there. */
static bool add_end(struct builder *b, size_t *ret_cut)
{
	struct packet *p = b->packet;
	uint64_t n;

	if (option(b, "cut", p->size, &n))
		*ret_cut = n;
	else if (option(b, "len", 0xffff, &n))
		p->len = n;
	else
		return bad(b, "no such layer");
	return !b->error;
}

static bool add_layer(struct builder *b, size_t *ret_cut)
{
	static const struct {
		const char *name;
		bool (*add)(struct builder *b);
	} layers[] = {
		{"eth", add_eth},       {"vlan", add_vlan},   {"qinq", add_qinq},
		{"arp", add_arp},       {"ip4", add_ip4},     {"ip6", add_ip6},
		{"hop", add_hop},       {"dest", add_dest},   {"routing", add_routing},
		{"frag6", add_frag6},   {"udp", add_udp},     {"tcp", add_tcp},
		{"icmp", add_icmp},     {"icmp6", add_icmp6}, {"nd", add_nd},
		{"option", add_option}, {"dhcp", add_dhcp},   {"hex", add_bytes},
	};
	size_t i;

	for (i = 0; i < sizeof(layers) / sizeof(layers[0]); i++)
		if (strcmp(*b->words, layers[i].name) == 0) {
			b->words++;
			return layers[i].add(b) && !b->error;
		}
	return add_end(b, ret_cut);
}

bool packet_build(char *const *words, struct packet *ret_packet, const char **ret_error)
{
	struct builder b = {.words = words, .packet = ret_packet};
	size_t cut = SIZE_MAX;
	unsigned int i;

	ret_packet->size = 0;
	ret_packet->len = 0;
	while (*b.words) {
		if (!add_layer(&b, &cut)) {
			*ret_error = b.error;
			return false;
		}
	}
	/* inner lengths first: outer checksums cover them */
	for (i = b.nr_layers; i-- > 0;)
		finish_layer(&b, &b.layers[i]);
	if (cut < ret_packet->size)
		ret_packet->size = cut;
	if (ret_packet->len < ret_packet->size)
		ret_packet->len = ret_packet->size;
	return true;
}
