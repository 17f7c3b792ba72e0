/*
 * Any bytes as a question for a name: the parser and the writer of answers stay in their bounds,
 * and what they answer is no question.
 */
#include <stdlib.h>
#include <string.h>

#include "net/dpu/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size ? size : 1); /* so that the sanitizers see its end */
	uint8_t answer[DPU_DNS_REPLY_MAX];
	struct dpu_dns_question question;
	const struct dpu_dns_address address = {.ipv4_be = 0x0100630a, .ipv6 = {0xfd, 1}};

	if (!exact)
		abort();
	memcpy(exact, data, size);
	if (dpu_dns_parse(exact, size, &question) == 0) {
		for (unsigned i = 0; i < 2; i++) {
			size_t bytes = dpu_dns_reply(exact, &question, i ? &address : NULL, answer);
			struct dpu_dns_question again;

			if (bytes > sizeof(answer) || bytes < 12 + question.bytes ||
			    strlen(question.name) >= sizeof(question.name) ||
			    dpu_dns_parse(answer, bytes, &again) == 0)
				abort();
		}
	}
	free(exact);
	return 0;
}
