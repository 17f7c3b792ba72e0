/*
 * test_values.c - command-line values, addresses, and the sandbox's table.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/common/parse.h"
#include "apps/common/text.h"
#include "apps/leatd/ipam.h"
#include "apps/leatd/sandbox.h"

#define TEXT_LOW 0x7e0000001000UL
#define TEXT_HIGH 0x7e0000041000UL

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {{"0", 0},         {"123", 123},          {"64K", 65536},
		    {"64k", 65536},   {"512M", 512UL << 20}, {"2G", 2UL << 30},
		    {"1T", 1UL << 40}};
	static const char *const bad[] = {
		"", "K", "-1", "1X", "1.5G", "99999999999999999999", "99999999999999T", " 1"};
	uint64_t bytes;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(parse_size(good[i].text, &bytes), 0);
		assert_int_equal(bytes, good[i].bytes);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_size(bad[i], &bytes), -EINVAL);
}

static void test_ports(void **state)
{
	static const char *const bad[] = {"",       "80",          "80:",         ":80",
					  "0:80",   "80:65536",    "80:80/sctp",  "1.2.3:80:80",
					  "80:80x", "::1:80:80:1", "127.0.0.1:80"};
	struct publish p;

	(void)state;
	assert_int_equal(parse_publish("8080:80", &p), 0);
	assert_int_equal(p.host_ip_be, htonl(INADDR_LOOPBACK));
	assert_int_equal(p.host_port, 8080);
	assert_int_equal(p.guest_port, 80);
	assert_false(p.udp);
	assert_int_equal(parse_publish("0.0.0.0:53:5353/udp", &p), 0);
	assert_int_equal(p.host_ip_be, 0);
	assert_true(p.udp);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_publish(bad[i], &p), -EINVAL);
}

static void test_volumes(void **state)
{
	static const char *const bad[] = {"", "/a", "/a:", ":/b", "/a:b", "/a:/b:rx", "/a:/b:ro:x"};
	char ro[] = "/a:/b:ro", rw[] = "a:/b";
	struct volume v;

	(void)state;
	assert_int_equal(parse_volume(ro, &v), 0);
	assert_string_equal(v.src, "/a");
	assert_string_equal(v.dst, "/b");
	assert_true(v.read_only);
	assert_int_equal(parse_volume(rw, &v), 0);
	assert_string_equal(v.src, "a");
	assert_false(v.read_only);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[32];
		strcpy(text, bad[i]);
		assert_int_equal(parse_volume(text, &v), -EINVAL);
	}
}

static void test_names_and_signals(void **state)
{
	char longest[NAME_LEN_MAX + 2];
	int sig;

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[NAME_LEN_MAX + 1] = 0;
	assert_false(parse_name_ok(longest));
	longest[NAME_LEN_MAX] = 0;
	assert_true(parse_name_ok(longest));
	assert_true(parse_name_ok("redis_1.a-b"));
	assert_false(parse_name_ok(""));
	assert_false(parse_name_ok("-x"));
	assert_false(parse_name_ok("../x"));
	assert_false(parse_name_ok("a b"));
	assert_int_equal(parse_signal("TERM", &sig), 0);
	assert_int_equal(sig, 15);
	assert_int_equal(parse_signal("sigkill", &sig), 0);
	assert_int_equal(sig, 9);
	assert_int_equal(parse_signal("64", &sig), 0);
	assert_int_equal(parse_signal("65", &sig), -EINVAL);
	assert_int_equal(parse_signal("0", &sig), -EINVAL);
	assert_int_equal(parse_signal("NOSUCH", &sig), -EINVAL);
}

static void test_addresses(void **state)
{
	struct ipam ipam;
	uint32_t first, ip;
	unsigned taken = 1;

	(void)state;
	assert_int_equal(ipam_init(&ipam), 0);
	assert_int_equal(ipam_take(&ipam, &first), 0);
	assert_int_equal(ntohl(first), IPAM_NETWORK + 2);
	assert_int_equal(ipam_take_ip(&ipam, first), -EBUSY);
	assert_int_equal(ipam_take_ip(&ipam, htonl(IPAM_GATEWAY)), -ERANGE);
	assert_int_equal(ipam_take_ip(&ipam, htonl(IPAM_NETWORK)), -ERANGE);
	assert_int_equal(ipam_take_ip(&ipam, htonl(IPAM_SERVICE)), -ERANGE);
	assert_int_equal(ipam_take_ip(&ipam, inet_addr("10.100.0.5")), -ERANGE);
	/* one that came back is used again as late as possible */
	ipam_give(&ipam, first);
	assert_int_equal(ipam_take(&ipam, &ip), 0);
	assert_int_not_equal(ip, first);
	while (ipam_take(&ipam, &ip) == 0)
		taken++;
	assert_int_equal(taken, 65536 - 4); /* network, gateway, the DPU itself, broadcast */
	ipam_finish(&ipam);
}

static void test_sandbox_text(void **state)
{
	char *base, *all;

	(void)state;
	assert_int_equal(sandbox_describe(SANDBOX_BASE | SANDBOX_DIRECTORY, &base), 0);
	assert_int_equal(sandbox_describe(SANDBOX_ALL, &all), 0);
	assert_non_null(strstr(base, "mmap: "));
	assert_non_null(strstr(base, "openat: "));
	assert_null(strstr(base, "unlinkat"));
	assert_non_null(strstr(all, "unlinkat"));
	assert_null(strstr(all, "openat2"));
	assert_null(strstr(all, "clone3"));
	assert_null(strstr(all, "execve"));
	assert_null(strstr(all, "socket"));
	free(base);
	free(all);
}

static void test_sandbox_programs(void **state)
{
	struct sandbox_program notify, trap;

	(void)state;
	assert_int_equal(sandbox_build_notify(TEXT_LOW, TEXT_HIGH, &notify), 0);
	assert_in_range(notify.nr, 1, BPF_MAXINSNS);
	free(notify.insns);
	assert_int_equal(sandbox_build_trap(TEXT_LOW, TEXT_HIGH, SANDBOX_BASE, &trap), 0);
	assert_in_range(trap.nr, 1, BPF_MAXINSNS);
	free(trap.insns);
	/* a text that is empty or crosses 4 GiB cannot be told by the prologue */
	assert_int_equal(sandbox_build_notify(TEXT_LOW, TEXT_LOW, &notify), -EINVAL);
	assert_int_equal(sandbox_build_notify(TEXT_LOW, TEXT_LOW + (1UL << 32), &notify), -EINVAL);
}

static void test_text(void **state)
{
	static const char *const as_they_are[] = {"", "plain",
						  "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"};
	static const char *const others[] = {"\xff",
					     "a\x80z",
					     "\xc3",
					     "\xe2\x82",
					     "\xc0\x80",
					     "\xed\xa0\x80",
					     "\xf4\x8f\xbe\x80",
					     "\xf5\x80\x80\x80",
					     "\xf4\x8f\xbf\xbf\xff"};
	char text[TEXT_GROWTH * 300 + 1], back[sizeof(text)], all[256];

	(void)state;
	for (size_t i = 0; i < sizeof(as_they_are) / sizeof(as_they_are[0]); i++) {
		text_from_bytes(as_they_are[i], text);
		assert_string_equal(text, as_they_are[i]);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		text_from_bytes(others[i], text);
		assert_string_not_equal(text, others[i]);
		text_to_bytes(text, back);
		assert_string_equal(back, others[i]);
	}
	for (unsigned i = 0; i < 255; i++)
		all[i] = (char)(255 - i);
	all[255] = '\0';
	text_from_bytes(all, text);
	text_to_bytes(text, text);
	assert_string_equal(text, all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),        cmocka_unit_test(test_ports),
		cmocka_unit_test(test_volumes),      cmocka_unit_test(test_names_and_signals),
		cmocka_unit_test(test_addresses),    cmocka_unit_test(test_text),
		cmocka_unit_test(test_sandbox_text), cmocka_unit_test(test_sandbox_programs),
	};

	return cmocka_run_group_tests_name("values", tests, NULL, NULL);
}
