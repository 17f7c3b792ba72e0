/*
 * Names of instances: the DPU answers questions within the asker's tenant, and nothing else.
 */
#include "tests/dpu/fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/dpu/dns.h"

static uint8_t message[512], answer[DPU_DNS_REPLY_MAX];

/* A question for a name of labels joined by dots; returns its length. */
static size_t question_make(const char *name, unsigned type, unsigned class, uint8_t *to)
{
	static const uint8_t head[12] = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
	size_t at = sizeof(head);

	memcpy(to, head, sizeof(head));
	while (*name) {
		size_t label = strcspn(name, ".");

		to[at++] = (uint8_t)label;
		memcpy(to + at, name, label);
		at += label;
		name += label + (name[label] == '.');
	}
	to[at++] = 0;
	to[at++] = (uint8_t)(type >> 8);
	to[at++] = (uint8_t)type;
	to[at++] = (uint8_t)(class >> 8);
	to[at++] = (uint8_t) class;
	return at;
}

static struct dpu_dns_question parse(size_t bytes)
{
	struct dpu_dns_question question;

	assert_int_equal(dpu_dns_parse(message, bytes, &question), 0);
	return question;
}

static void test_question(void **state)
{
	size_t bytes = question_make("Web-1.LEAT", 1, 1, message);
	struct dpu_dns_question q = parse(bytes);

	(void)state;
	assert_string_equal(q.name, "web-1");
	assert_int_equal(q.id, 0x1234);
	assert_int_equal(q.type, 1);
	assert_int_equal(q.rcode, DPU_DNS_NOERROR);
	assert_int_equal(q.bytes, bytes - 12);
	assert_true(q.recursion_wanted);
	q = parse(question_make("a.b.c", 28, 1, message));
	assert_string_equal(q.name, "a.b.c");
	q = parse(question_make("leat", 1, 1, message));
	assert_string_equal(q.name, "leat");
	q = parse(question_make("", 1, 1, message));
	assert_string_equal(q.name, "");
}

static const struct dpu_dns_address web = {
	.ipv4_be = 0x0301630a, /* 10.99.1.3 */
	.ipv6 = {0xfd, 0x6c, 0x65, 0x61, 0, 1, 0, 0, 0, 0, 0, 0, 10, 99, 1, 3},
};

static void test_answer(void **state)
{
	const struct dpu_dns_address only4 = {.ipv4_be = web.ipv4_be};
	size_t asked = question_make("web", 1, 1, message);
	struct dpu_dns_question q = parse(asked);
	size_t bytes = dpu_dns_reply(message, &q, &web, answer);

	(void)state;
	assert_int_equal(bytes, asked + 16);
	assert_memory_equal(answer, "\x12\x34\x85\x80\0\1\0\1\0\0\0\0", 12);
	assert_memory_equal(answer + 12, message + 12, asked - 12);
	assert_memory_equal(answer + asked, "\xc0\x0c\0\1\0\1\0\0\0\5\0\4\x0a\x63\1\3", 16);
	/* no such name */
	assert_int_equal(dpu_dns_reply(message, &q, NULL, answer), asked);
	assert_memory_equal(answer, "\x12\x34\x85\x83\0\1\0\0", 8);
	q = parse(question_make("web", 28, 1, message));
	assert_int_equal(dpu_dns_reply(message, &q, &web, answer), asked + 28);
	assert_memory_equal(answer, "\x12\x34\x85\x80\0\1\0\1", 8);
	assert_memory_equal(answer + asked, "\xc0\x0c\0\x1c\0\1\0\0\0\5\0\x10", 12);
	assert_memory_equal(answer + asked + 12, web.ipv6, 16);
	q = parse(question_make("web", 255, 1, message));
	assert_int_equal(dpu_dns_reply(message, &q, &web, answer), asked + 16 + 28);
	assert_int_equal(answer[7], 2);
	/* the name has no such record: not the same as no such name */
	q = parse(question_make("web", 28, 1, message));
	assert_int_equal(dpu_dns_reply(message, &q, &only4, answer), asked);
	assert_memory_equal(answer, "\x12\x34\x85\x80\0\1\0\0", 8);
	q = parse(question_make("web", 15, 1, message));
	assert_int_equal(dpu_dns_reply(message, &q, &web, answer), asked);
	assert_memory_equal(answer, "\x12\x34\x85\x80\0\1\0\0", 8);
}

/* A question with an OPT record of some option bytes; its version and their length as said. */
static size_t edns_make(unsigned version, unsigned said, unsigned bytes)
{
	static const uint8_t opt[] = {0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0};
	size_t at = question_make("web", 1, 1, message);

	memcpy(message + at, opt, sizeof(opt));
	message[at + 6] = (uint8_t)version;
	message[at + 10] = (uint8_t)said;
	memset(message + at + sizeof(opt), 0x5a, bytes);
	message[11] = 1;
	return at + sizeof(opt) + bytes;
}

static void test_edns(void **state)
{
	size_t asked = question_make("web", 1, 1, message), bytes;
	struct dpu_dns_question q = parse(edns_make(0, 12, 12)); /* dig's cookie */

	(void)state;
	assert_true(q.edns);
	assert_int_equal(q.rcode, DPU_DNS_NOERROR);
	bytes = dpu_dns_reply(message, &q, &web, answer);
	assert_int_equal(bytes, asked + 16 + 11);
	assert_memory_equal(answer, "\x12\x34\x85\x80\0\1\0\1\0\0\0\1", 12);
	assert_memory_equal(answer + asked + 16, "\0\0\x29\4\xd0\0\0\0\0\0\0", 11);
	/* no such name, with EDNS all the same */
	assert_int_equal(dpu_dns_reply(message, &q, NULL, answer), asked + 11);
	assert_int_equal(answer[3] & 15, DPU_DNS_NXDOMAIN);
	/* a version that nobody has: RFC 6891 6.1.3 */
	q = parse(edns_make(1, 0, 0));
	assert_int_equal(q.rcode, DPU_DNS_BADVERS);
	assert_int_equal(dpu_dns_reply(message, &q, &web, answer), asked + 11);
	assert_int_equal(answer[3] & 15, 0);
	assert_int_equal(answer[asked + 5], 1);
	/* longer than the message */
	assert_int_equal(parse(edns_make(0, 13, 12)).rcode, DPU_DNS_FORMERR);
	bytes = edns_make(0, 4, 4);
	assert_int_equal(parse(bytes - 5).rcode, DPU_DNS_FORMERR);
	/* two of them, and one that is not the root's */
	bytes = edns_make(0, 0, 0);
	memcpy(message + bytes, message + bytes - 11, 11);
	message[11] = 2;
	assert_int_equal(parse(bytes + 11).rcode, DPU_DNS_FORMERR);
	bytes = edns_make(0, 0, 0);
	memmove(message + bytes - 9, message + bytes - 10, 10);
	memcpy(message + bytes - 11, "\xc0\x0c", 2);
	assert_int_equal(parse(bytes + 1).rcode, DPU_DNS_FORMERR);
	/* what is no OPT is passed over */
	bytes = edns_make(0, 0, 0);
	message[bytes - 9] = 16;
	assert_int_equal(parse(bytes).rcode, DPU_DNS_NOERROR);
	assert_false(parse(bytes).edns);
}

static void test_bad_questions(void **state)
{
	char longest[256];
	size_t bytes;

	(void)state;
	bytes = question_make("web", 1, 3, message); /* class CHAOS */
	assert_int_equal(parse(bytes).rcode, DPU_DNS_REFUSED);
	bytes = question_make("web", 1, 1, message);
	message[2] = 0x28; /* an update */
	assert_int_equal(parse(bytes).rcode, DPU_DNS_NOTIMP);
	message[2] = 0x81; /* an answer */
	assert_int_equal(dpu_dns_parse(message, bytes, &(struct dpu_dns_question){0}), -EBADMSG);
	bytes = question_make("web", 1, 1, message);
	for (size_t cut = 12; cut < bytes; cut++)
		assert_int_equal(parse(cut).rcode, DPU_DNS_FORMERR);
	assert_int_equal(dpu_dns_parse(message, 11, &(struct dpu_dns_question){0}), -EBADMSG);
	message[12] = 0xc0; /* compressed */
	assert_int_equal(parse(bytes).rcode, DPU_DNS_FORMERR);
	message[12] = 64;
	assert_int_equal(parse(bytes).rcode, DPU_DNS_FORMERR);
	bytes = question_make("web", 1, 1, message);
	message[5] = 2; /* two of them */
	assert_int_equal(parse(bytes).rcode, DPU_DNS_FORMERR);
	memset(longest, 'a', sizeof(longest));
	for (unsigned i = 60; i < 255; i += 61)
		longest[i] = '.';
	longest[255] = 0;
	bytes = question_make(longest, 1, 1, message);
	assert_int_equal(parse(bytes).rcode, DPU_DNS_FORMERR);
	longest[240] = 0;
	bytes = question_make(longest, 1, 1, message);
	assert_int_equal(parse(bytes).rcode, DPU_DNS_NOERROR);
}

/* Anything at all: the answer is in bounds, repeats the question, and is itself never answered. */
static void test_random_questions(void **state)
{
	struct dpu_dns_question q;

	(void)state;
	srandom(1);
	for (unsigned i = 0; i < 300000; i++) {
		size_t bytes = edns_make(0, 4, 4);

		for (unsigned n = (unsigned)random() % 8; n; n--)
			message[(size_t)random() % bytes] = (uint8_t)random();
		bytes = (size_t)random() % 4 ? bytes : (size_t)random() % sizeof(message);
		if (dpu_dns_parse(message, bytes, &q))
			continue;
		assert_true(strlen(q.name) < sizeof(q.name) && q.bytes + 12 <= bytes);
		bytes = dpu_dns_reply(message, &q, i % 2 ? &web : NULL, answer);
		assert_true(bytes >= 12 + q.bytes && bytes <= sizeof(answer));
		assert_int_equal(dpu_dns_parse(answer, bytes, &q), -EBADMSG);
	}
}

static uint8_t frame[600], got[600];
static struct virtio_net_hdr_mrg_rxbuf hdr;

/* What A gets back for a frame, in `got`; 0: nothing. */
static size_t exchange(size_t bytes)
{
	assert_true(driver_send(&fx.driver[A], 0, NULL, frame, bytes, 50));
	assert_int_equal(fixture_round(), 1);
	return driver_receive(&fx.driver[A], 0, &hdr, got, sizeof(got));
}

/* From A to a server's port for names. */
static size_t ask_server(const char mac[6], uint32_t to, const char *name)
{
	size_t bytes = question_make(name, 1, 1, message);
	size_t length = fixture_frame(A, B, bytes, frame);

	memcpy(frame, mac, 6);
	memcpy(frame + 14 + 16, &to, 4);
	memcpy(frame + 34, "\x30\x39\0\x35", 4); /* ports 12345 and 53 */
	frame[38] = (uint8_t)((8 + bytes) >> 8);
	frame[39] = (uint8_t)(8 + bytes);
	memcpy(frame + 42, message, bytes);
	return exchange(length);
}

static size_t ask(const char *name)
{
	return ask_server("\x02\x1e\xa7\0\0\0", FIXTURE_SERVICE_IP, name);
}

#define LABEL_60 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff"
#define LONG_NAME LABEL_60 "." LABEL_60 "." LABEL_60 "." LABEL_60

static void test_through_the_switch(void **state)
{
	const uint32_t service = FIXTURE_SERVICE_IP, b = fixture_ip(B);
	uint32_t sum = 0;
	size_t bytes;

	(void)state;
	bytes = ask("B");
	assert_int_equal(bytes, 42 + 12 + 3 + 4 + 16);
	assert_memory_equal(got + 6, "\x02\x1e\xa7\0\0\0", 6);
	assert_memory_equal(got + 14 + 12, &service, 4);
	assert_memory_equal(got + 34, "\0\x35\x30\x39", 4);
	assert_memory_equal(got + bytes - 4, &b, 4);
	for (unsigned i = 14; i < 34; i += 2)
		sum += (unsigned)got[i] << 8 | got[i + 1];
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
	/* longer than what the DPU copies of a frame at first */
	bytes = ask(LONG_NAME);
	assert_int_equal(bytes, 42 + 12 + sizeof(LONG_NAME) + 1 + 4);
	assert_int_equal(got[42 + 3] & 15, DPU_DNS_NXDOMAIN);
	bytes = ask("nobody");
	assert_int_equal(bytes, 42 + 12 + 8 + 4);
	assert_int_equal(got[42 + 3] & 15, DPU_DNS_NXDOMAIN);
	assert_int_equal(fixture_counter(A, LEAT_COUNT_PASS_INGRESS), 3);
	assert_int_equal(fixture_port_stats(B).ingress_runs, 0);
}

/* Whatever server outside the network is asked, by way of the gateway, the DPU answers for it. */
static void test_another_server(void **state)
{
	const uint32_t outside = htonl(0xc0000235), b = fixture_ip(B); /* 192.0.2.53 */
	const uint32_t inside = fixture_ip(B) ^ htonl(0x3f00);
	size_t bytes;

	(void)state;
	bytes = ask_server("\x02\x1e\xa7\xff\xff\xfe", outside, "B");
	assert_int_equal(bytes, 42 + 12 + 3 + 4 + 16);
	assert_memory_equal(got + 14 + 12, &outside, 4);
	assert_memory_equal(got + 34, "\0\x35\x30\x39", 4);
	assert_memory_equal(got + bytes - 4, &b, 4);
	assert_int_equal(ask_server("\x02\x1e\xa7\xff\xff\xfe", inside, "B"), 0);
}

/* What is no question is dropped, and has a reason. */
static void test_not_a_question(void **state)
{
	size_t bytes;

	(void)state;
	bytes = fixture_frame(A, B, 30, frame);
	memcpy(frame, "\x02\x1e\xa7\0\0\0", 6);
	assert_int_equal(exchange(bytes), 0);
	assert_int_equal(fixture_port_stats(A).drops_tx[DPU_DROP_NO_PORT], 1);
	frame[14 + 6] = 0x20; /* a fragment */
	assert_int_equal(exchange(bytes), 0);
	assert_int_equal(fixture_port_stats(A).drops_tx[DPU_DROP_NO_PORT], 2);
}

#define TEST(name) cmocka_unit_test(name)
#define TEST_SWITCH(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_question),
		TEST(test_answer),
		TEST(test_edns),
		TEST(test_bad_questions),
		TEST(test_random_questions),
		TEST_SWITCH(test_through_the_switch),
		TEST_SWITCH(test_another_server),
		TEST_SWITCH(test_not_a_question),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
