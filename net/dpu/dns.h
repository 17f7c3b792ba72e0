/*
 * dns.h - questions for names and answers to them, as pure functions (dns.c).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DPU_DNS_NAME_MAX 254U  /* with the final 0 */
#define DPU_DNS_REPLY_MAX 352U /* header, question, two records, EDNS */
#define DPU_DNS_MESSAGE_MAX                                                                        \
	512U /* a question with its options; what is longer is cut, and so bad */
#define DPU_DNS_CLASS_IN 1U
#define DPU_DNS_TYPE_A 1U
#define DPU_DNS_TYPE_AAAA 28U
#define DPU_DNS_TYPE_OPT 41U
#define DPU_DNS_TYPE_ANY 255U

/* RFC 1035 4.1.1, RFC 6891 9. */
enum dpu_dns_rcode {
	DPU_DNS_NOERROR = 0,
	DPU_DNS_FORMERR = 1,
	DPU_DNS_NXDOMAIN = 3,
	DPU_DNS_NOTIMP = 4,
	DPU_DNS_REFUSED = 5,
	DPU_DNS_BADVERS = 16,
};

struct dpu_dns_question {
	uint16_t id;
	uint16_t type;
	uint16_t opcode_bits;
	bool recursion_wanted;
	bool edns;                /* it had an OPT record, so the answer gets one */
	enum dpu_dns_rcode rcode; /* what is wrong with it; NOERROR: to be looked up */
	size_t bytes;             /* of the question, behind the header; 0: none to repeat */
	char name[DPU_DNS_NAME_MAX];
};

/* What a name has. */
struct dpu_dns_address {
	uint32_t ipv4_be; /* 0: none */
	uint8_t ipv6[16]; /* all zero: none */
};

/* 0, or -EBADMSG: not to be answered at all. `message` may be anything. */
int dpu_dns_parse(const uint8_t *message, size_t bytes, struct dpu_dns_question *ret_question);

/*
 * The answer to a question that was parsed from this message. address: what the name has; NULL: it
 * does not exist. Returns its length.
 */
size_t dpu_dns_reply(const uint8_t *message, const struct dpu_dns_question *question,
		     const struct dpu_dns_address *address, uint8_t ret_reply[DPU_DNS_REPLY_MAX]);
