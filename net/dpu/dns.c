/*
 * dns.c - names of instances (RFC 1035), answered by the DPU within the asker's tenant.
 *
 * A parser and a writer without state: what they are given is a private copy. One question, of
 * class IN, without compression; NAME and NAME.leat are an instance's. It has A and AAAA records;
 * any other type has none, any other name does not exist: there is no way out to other servers. Of
 * EDNS (RFC 6891) there is what everybody asks for: an OPT record is answered by one, its options
 * are passed over.
 */
#include "net/dpu/dns.h"

#include <errno.h>
#include <string.h>

#define HEADER_BYTES 12U
#define RECORD_BYTES 10U /* type, class, TTL, length; behind its name */
#define RECORDS_MAX 4U   /* additional ones that are looked at */
#define LABEL_MAX 63U
#define FLAG_RESPONSE 0x8000U
#define FLAG_AUTHORITATIVE 0x0400U
#define FLAG_RECURSION_WANTED 0x0100U
#define FLAG_RECURSION_THERE 0x0080U
#define OPCODE_MASK 0x7800U
#define RCODE_MASK 0xfU
#define EDNS_UDP_BYTES 1232U /* what we would take; no answer of ours is longer than 352 */
#define TTL_S 5U             /* an instance's address may be another's soon */
#define SUFFIX ".leat"

static uint16_t u16_at(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void u16_put(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static char lower(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

/* Lower case, labels joined by dots, without the suffix. Returns its bytes in the message, or 0. */
static size_t name_take(const uint8_t *at, size_t room, char ret_name[DPU_DNS_NAME_MAX])
{
	size_t used = 0, length = 0;

	for (;;) {
		size_t label;

		if (used >= room)
			return 0;
		label = at[used++];
		if (label == 0)
			break;
		/* pointers have no place in a question, and the two other forms nowhere */
		if (label > LABEL_MAX || label > room - used ||
		    length + label + 2 > DPU_DNS_NAME_MAX)
			return 0;
		if (length)
			ret_name[length++] = '.';
		for (size_t i = 0; i < label; i++) {
			if (at[used + i] == 0)
				return 0;
			ret_name[length++] = lower(at[used + i]);
		}
		used += label;
	}
	ret_name[length] = 0;
	if (length > strlen(SUFFIX) && !strcmp(ret_name + length - strlen(SUFFIX), SUFFIX))
		ret_name[length - strlen(SUFFIX)] = 0;
	return used;
}

/* The length of a record's name, which may end in a pointer; 0: it does not end. */
static size_t name_skip(const uint8_t *at, size_t room)
{
	size_t used = 0;

	while (used < room) {
		uint8_t label = at[used++];

		if (label == 0)
			return used;
		if (label >= 0xc0)
			return used < room ? used + 1 : 0;
		if (label > LABEL_MAX || label > room - used)
			return 0;
		used += label;
	}
	return 0;
}

/* Looks for the OPT record among what follows the question. */
static void edns_take(const uint8_t *at, size_t room, unsigned nr_records,
		      struct dpu_dns_question *question)
{
	for (unsigned i = 0; i < nr_records && i < RECORDS_MAX; i++) {
		size_t name_bytes = name_skip(at, room);
		size_t data_bytes;

		if (name_bytes == 0 || room - name_bytes < RECORD_BYTES)
			goto bad;
		data_bytes = u16_at(at + name_bytes + 8);
		if (data_bytes > room - name_bytes - RECORD_BYTES)
			goto bad;
		if (u16_at(at + name_bytes) == DPU_DNS_TYPE_OPT) {
			if (name_bytes != 1 || question->edns)
				goto bad; /* RFC 6891 6.1.1: the root's, and at most one */
			question->edns = true;
			if (at[name_bytes + 5] != 0)
				question->rcode = DPU_DNS_BADVERS;
		}
		at += name_bytes + RECORD_BYTES + data_bytes;
		room -= name_bytes + RECORD_BYTES + data_bytes;
	}
	return;
bad:
	question->rcode = DPU_DNS_FORMERR;
}

/* Name, type and class, and EDNS behind them; sets the rcode. */
static void question_take(const uint8_t *message, size_t bytes, struct dpu_dns_question *question)
{
	size_t name_bytes = name_take(message + HEADER_BYTES, bytes - HEADER_BYTES, question->name);
	const uint8_t *end = message + HEADER_BYTES + name_bytes;
	size_t room = bytes - HEADER_BYTES - name_bytes;

	if (name_bytes == 0 || room < 4)
		return;
	question->type = u16_at(end);
	question->bytes = name_bytes + 4;
	question->rcode = u16_at(end + 2) == DPU_DNS_CLASS_IN ? DPU_DNS_NOERROR : DPU_DNS_REFUSED;
	/* answers and authorities have no place in a question */
	if (u16_at(message + 6) || u16_at(message + 8))
		question->rcode = DPU_DNS_FORMERR;
	else
		edns_take(end + 4, room - 4, u16_at(message + 10), question);
}

int dpu_dns_parse(const uint8_t *message, size_t bytes, struct dpu_dns_question *ret_question)
{
	struct dpu_dns_question question = {0};
	uint16_t flags;

	if (bytes < HEADER_BYTES)
		return -EBADMSG;
	flags = u16_at(message + 2);
	/* an answer is never answered */
	if (flags & FLAG_RESPONSE)
		return -EBADMSG;
	question.id = u16_at(message);
	question.recursion_wanted = flags & FLAG_RECURSION_WANTED;
	question.rcode = DPU_DNS_FORMERR;
	question.opcode_bits = flags & OPCODE_MASK;
	if (flags & OPCODE_MASK)
		question.rcode = DPU_DNS_NOTIMP;
	else if (u16_at(message + 4) == 1)
		question_take(message, bytes, &question);
	*ret_question = question;
	return 0;
}

/* A record of the question's name. */
static size_t record_put(uint8_t *at, unsigned type, const void *data, size_t bytes)
{
	u16_put(at, 0xc000 | HEADER_BYTES);
	u16_put(at + 2, type);
	u16_put(at + 4, DPU_DNS_CLASS_IN);
	u16_put(at + 6, 0);
	u16_put(at + 8, TTL_S);
	u16_put(at + 10, (unsigned)bytes);
	memcpy(at + 12, data, bytes);
	return 12 + bytes;
}

static size_t edns_put(uint8_t *at, unsigned rcode)
{
	memset(at, 0, 1 + RECORD_BYTES);
	u16_put(at + 1, DPU_DNS_TYPE_OPT);
	u16_put(at + 3, EDNS_UDP_BYTES);
	at[5] = (uint8_t)(rcode >> 4);
	return 1 + RECORD_BYTES;
}

static bool wants(const struct dpu_dns_question *question, unsigned type)
{
	return question->type == type || question->type == DPU_DNS_TYPE_ANY;
}

/* The records that the question asks for. */
static size_t records_put(const struct dpu_dns_question *question,
			  const struct dpu_dns_address *address, uint8_t *at, unsigned *ret_nr)
{
	static const uint8_t none[16];
	size_t bytes = 0;
	unsigned nr = 0;

	if (wants(question, DPU_DNS_TYPE_A) && address->ipv4_be) {
		bytes += record_put(at, DPU_DNS_TYPE_A, &address->ipv4_be, 4);
		nr++;
	}
	if (wants(question, DPU_DNS_TYPE_AAAA) && memcmp(address->ipv6, none, 16)) {
		bytes += record_put(at + bytes, DPU_DNS_TYPE_AAAA, address->ipv6, 16);
		nr++;
	}
	*ret_nr = nr;
	return bytes;
}

size_t dpu_dns_reply(const uint8_t *message, const struct dpu_dns_question *question,
		     const struct dpu_dns_address *address, uint8_t ret_reply[DPU_DNS_REPLY_MAX])
{
	unsigned flags = FLAG_RESPONSE | FLAG_RECURSION_THERE | question->opcode_bits;
	unsigned rcode = question->rcode, nr_records = 0;
	size_t at = HEADER_BYTES + question->bytes;

	if (rcode == DPU_DNS_NOERROR) {
		flags |= FLAG_AUTHORITATIVE;
		if (!address)
			rcode = DPU_DNS_NXDOMAIN;
	}
	if (question->recursion_wanted)
		flags |= FLAG_RECURSION_WANTED;
	memcpy(ret_reply + HEADER_BYTES, message + HEADER_BYTES, question->bytes);
	if (rcode == DPU_DNS_NOERROR)
		at += records_put(question, address, ret_reply + at, &nr_records);
	if (question->edns)
		at += edns_put(ret_reply + at, rcode);
	memset(ret_reply, 0, HEADER_BYTES);
	u16_put(ret_reply, question->id);
	u16_put(ret_reply + 2, flags | (rcode & RCODE_MASK));
	u16_put(ret_reply + 4, question->bytes ? 1 : 0);
	u16_put(ret_reply + 6, nr_records);
	u16_put(ret_reply + 10, question->edns);
	return at;
}
