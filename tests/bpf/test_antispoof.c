/*
 * The default filter, packet by packet: what an instance may send and what it may hear. Each packet
 * is cut at every length too, at the very end of a page that is followed by an unreadable one:
 * whatever the filter reads beyond data_end ends the test.
 */
#include "bpf/bpf.h"
#include "leat/abi/filter.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096

static const struct leat_identity me = {
	.mac = {0x02, 0x1e, 0xa7, 0, 0, 2},
	.ipv4 = 0x0200630a, /* 10.99.0.2 */
	.ipv6 = {0xfd, 0, [15] = 2},
	.ipv4_prefix = 16,
	.ipv6_prefix = 64,
	.tenant = 7,
	.instance = 2,
};

struct packet {
	uint8_t bytes[256];
	size_t len;
};

struct fixture {
	struct ebpf_object *obj;
	struct ebpf_instance *inst;
	const struct ebpf_prog *egress, *ingress;
	struct ebpf_map *counters;
	uint8_t *page_end; /* of a readable page before an unreadable one */
	uint32_t flags, peer_tenant;
};

static struct fixture f;

static void put(struct packet *p, const void *bytes, size_t len)
{
	assert_true(p->len + len <= sizeof(p->bytes));
	memcpy(p->bytes + p->len, bytes, len);
	p->len += len;
}

static void put_hex(struct packet *p, const char *hex)
{
	unsigned int byte;
	int n;

	while (sscanf(hex, "%2x%n", &byte, &n) == 1) {
		put(p, &(uint8_t){(uint8_t)byte}, 1);
		hex += n;
		while (*hex == ' ')
			hex++;
	}
}

#define MY_MAC "021ea7000002"
#define OTHER_MAC "021ea7000003"
#define MY_IP "0a630002"
#define OTHER_IP "0a630003"
#define MY_IP6 "fd000000000000000000000000000002"
#define OTHER_IP6 "fd000000000000000000000000000003"
#define MY_LINK "fe80000000000000001ea7fffe000002"
#define OTHER_LINK "fe80000000000000001ea7fffe000003"
#define NO_IP6 "00000000000000000000000000000000"
#define GROUP "ff020000000000000000000000000001"
#define V4 "0800"
#define V6 "86dd"
#define ARP "0806"
#define ARP_HEAD "0001080006040001"
#define TCP "0016 0017 00000000 00000000 50000000 00000000"
#define ETH OTHER_MAC MY_MAC

/* An IPv4 header without options, up to the addresses. */
#define IP4(proto) "4500 0028 0000 0000 40" proto "0000"
#define IP4_FRAG(frag, proto) "4500 0028 0001" frag "40" proto "0000"
#define IP6(next) "60000000 0028" next "ff"

static uint32_t verdict_of(const struct ebpf_prog *prog, const uint8_t *bytes, size_t len,
			   size_t whole)
{
	uint8_t *at = f.page_end - len;
	struct leat_pkt_ctx ctx = {
		.data = (uintptr_t)at,
		.data_end = (uintptr_t)f.page_end,
		.len = (uint32_t)whole,
		.instance = me.instance,
		.tenant = me.tenant,
		.flags = f.flags,
		.peer_tenant = f.peer_tenant,
	};

	memcpy(at, bytes, len);
	return (uint32_t)ebpf_prog_run(prog, &ctx);
}

static uint64_t counter(uint32_t index)
{
	uint64_t value = 0;

	assert_int_equal(ebpf_map_lookup(f.counters, &index, &value), 0);
	return value;
}

static void check(const struct ebpf_prog *prog, const char *hex, uint32_t reason, const char *what)
{
	uint32_t verdict, expected = reason ? LEAT_DROP : LEAT_PASS;
	uint64_t before = reason ? counter(reason) : 0;
	struct packet p = {.len = 0};
	size_t n;

	put_hex(&p, hex);
	verdict = verdict_of(prog, p.bytes, p.len, p.len);
	if (verdict != expected)
		fail_msg("%s: verdict %u", what, verdict);
	if (reason && counter(reason) != before + 1)
		fail_msg("%s: dropped for another reason", what);
	/* no prefix may pass that says less, and none may make the filter read too far */
	for (n = 0; n < p.len; n++) {
		verdict = verdict_of(prog, p.bytes, n, n);
		if (n < 14 && verdict != LEAT_DROP)
			fail_msg("%s: passed with %zu bytes", what, n);
	}
}

#define sends(hex, reason) check(f.egress, hex, reason, "egress " hex)
#define hears(hex, reason) check(f.ingress, hex, reason, "ingress " hex)

static void set_identity(const struct leat_identity *id)
{
	struct ebpf_map *map = ebpf_instance_map(f.inst, LEAT_MAP_IDENTITY);

	assert_non_null(map);
	assert_int_equal(ebpf_map_update(map, &(uint32_t){0}, id, 0), 0);
}

static int setup(void **state)
{
	static uint8_t elf[1 << 20];
	char log[EBPF_LOG_SIZE];
	uint8_t *pages;
	FILE *file = fopen(FILTERS "/antispoof.bpf.o", "r");
	size_t size;

	(void)state;
	if (!file)
		return -1;
	size = fread(elf, 1, sizeof(elf), file);
	fclose(file);
	if (ebpf_object_load(elf, size, log, sizeof(log), &f.obj)) {
		fprintf(stderr, "%s", log);
		return -1;
	}
	if (ebpf_instance_create(f.obj, &f.inst))
		return -1;
	f.egress = ebpf_instance_prog(f.inst, LEAT_SEC_EGRESS);
	f.ingress = ebpf_instance_prog(f.inst, LEAT_SEC_INGRESS);
	f.counters = ebpf_instance_map(f.inst, LEAT_MAP_COUNTERS);
	pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED || mprotect(pages + PAGE, PAGE, PROT_NONE))
		return -1;
	f.page_end = pages + PAGE;
	return f.egress && f.ingress && f.counters ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	ebpf_instance_destroy(f.inst);
	ebpf_object_unref(f.obj);
	return 0;
}

static int fresh(void **state)
{
	(void)state;
	f.flags = 0;
	f.peer_tenant = me.tenant;
	set_identity(&me);
	return 0;
}

static void test_identity(void **state)
{
	static const struct leat_identity nobody;

	(void)state;
	set_identity(&nobody);
	sends(ETH V4 IP4("06") MY_IP OTHER_IP TCP, LEAT_COUNT_DROP_IDENTITY);
	hears(MY_MAC OTHER_MAC V4 IP4("06") OTHER_IP MY_IP TCP, LEAT_COUNT_DROP_IDENTITY);
}

static void test_ethernet(void **state)
{
	(void)state;
	sends(ETH V4 IP4("06") MY_IP OTHER_IP TCP, 0);
	sends(MY_MAC OTHER_MAC V4 IP4("06") MY_IP OTHER_IP TCP, LEAT_COUNT_DROP_MAC);
	sends(OTHER_MAC "021ea7000102" V4 IP4("06") MY_IP OTHER_IP TCP, LEAT_COUNT_DROP_MAC);
	sends("", LEAT_COUNT_DROP_SHORT);
	sends(OTHER_MAC, LEAT_COUNT_DROP_SHORT);
	sends(ETH "08", LEAT_COUNT_DROP_SHORT);
	sends(ETH "88cc 0000", LEAT_COUNT_DROP_PROTO); /* LLDP */
	sends(ETH "0100 0000", LEAT_COUNT_DROP_PROTO); /* 802.3 length */
}

static void test_vlan(void **state)
{
	struct leat_identity tagged = me;

	(void)state;
	sends(ETH "8100 0005 0800" IP4("06") MY_IP OTHER_IP TCP, LEAT_COUNT_DROP_VLAN);
	sends(ETH "8100 0000 0800" IP4("06") MY_IP OTHER_IP TCP, LEAT_COUNT_DROP_VLAN);
	sends(ETH "88a8 0005 0800" IP4("06") MY_IP OTHER_IP TCP, LEAT_COUNT_DROP_VLAN);
	hears(MY_MAC OTHER_MAC "8100 0005 0800" IP4("06") OTHER_IP MY_IP TCP, LEAT_COUNT_DROP_VLAN);
	tagged.vlan = 5;
	set_identity(&tagged);
	sends(ETH "8100 0005 0800" IP4("06") MY_IP OTHER_IP TCP, 0);
	sends(ETH "8100 6005 0800" IP4("06") MY_IP OTHER_IP TCP, 0); /* priority bits */
	sends(ETH "8100 0006 0800" IP4("06") MY_IP OTHER_IP TCP, LEAT_COUNT_DROP_VLAN);
	sends(ETH "8100 0005 0800" IP4("06") OTHER_IP OTHER_IP TCP, LEAT_COUNT_DROP_IPV4);
	sends(ETH "8100 0005 8100 0005 0800" IP4("06") MY_IP OTHER_IP TCP, LEAT_COUNT_DROP_VLAN);
	sends(ETH "88a8 0005 8100 0005 0800" IP4("06") MY_IP OTHER_IP TCP, LEAT_COUNT_DROP_VLAN);
	sends(ETH "8100 00", LEAT_COUNT_DROP_VLAN);
	hears(MY_MAC OTHER_MAC "8100 0005 0800" IP4("06") OTHER_IP MY_IP TCP, 0);
}

static void test_ipv4(void **state)
{
	struct leat_identity id = me;

	(void)state;
	sends(ETH V4 IP4("11") MY_IP OTHER_IP "1234 0035 0008 0000", 0);
	sends(ETH V4 IP4("01") MY_IP OTHER_IP "0800 0000", 0);
	sends(ETH V4 IP4("06") OTHER_IP MY_IP TCP, LEAT_COUNT_DROP_IPV4);
	sends(ETH V4 IP4("06") "00000000" OTHER_IP TCP, LEAT_COUNT_DROP_IPV4);
	sends(ETH V4 IP4("06") "7f000001" OTHER_IP TCP, LEAT_COUNT_DROP_IPV4);
	sends(ETH V4 "4400 0028 0000 0000 4006 0000" MY_IP OTHER_IP TCP, LEAT_COUNT_DROP_IPV4);
	sends(ETH V4 "6500 0028 0000 0000 4006 0000" MY_IP OTHER_IP TCP, LEAT_COUNT_DROP_IPV4);
	sends(ETH V4 "4500 0028 0000 0000 4006 0000" MY_IP, LEAT_COUNT_DROP_SHORT);
	/* options before the ports */
	sends(ETH V4 "4600 0028 0000 0000 4011 0000" MY_IP OTHER_IP "01010101 0043 0044 0008 0000",
	      LEAT_COUNT_DROP_DHCP);
	sends(ETH V4 "4f00 0028 0000 0000 4011 0000" MY_IP OTHER_IP "01010101",
	      LEAT_COUNT_DROP_SHORT);
	/* later fragments have no ports; spoofed ones are spoofed */
	sends(ETH V4 IP4_FRAG("0002", "11") MY_IP OTHER_IP "0043 0044 0008 0000", 0);
	sends(ETH V4 IP4_FRAG("2000", "11") MY_IP OTHER_IP "0043 0044 0008 0000",
	      LEAT_COUNT_DROP_DHCP);
	sends(ETH V4 IP4_FRAG("0002", "11") OTHER_IP OTHER_IP "0043 0044 0008 0000",
	      LEAT_COUNT_DROP_IPV4);
	id.ipv4 = 0;
	set_identity(&id);
	sends(ETH V4 IP4("06") "00000000" OTHER_IP TCP, LEAT_COUNT_DROP_IPV4);
	id = me;
	id.flags = LEAT_ID_ROUTER;
	set_identity(&id);
	sends(ETH V4 IP4("06") OTHER_IP MY_IP TCP, 0);
}

static void test_dhcp(void **state)
{
	struct leat_identity id = me;

	(void)state;
	/* a client asks */
	sends(ETH V4 IP4("11") "00000000 ffffffff 0044 0043 0008 0000", 0);
	sends(ETH V4 IP4("11") "00000000 ffffffff 0045 0043 0008 0000", LEAT_COUNT_DROP_IPV4);
	sends(ETH V4 IP4("11") "00000000 ffffffff 0044 0035 0008 0000", LEAT_COUNT_DROP_IPV4);
	sends(ETH V4 IP4("11") "00000000 0a630003 0044 0043 0008 0000", LEAT_COUNT_DROP_IPV4);
	sends(ETH V4 IP4("06") "00000000 ffffffff 0044 0043 0008 0000", LEAT_COUNT_DROP_IPV4);
	sends(ETH V4 IP4_FRAG("2000", "11") "00000000 ffffffff 0044 0043 0008 0000",
	      LEAT_COUNT_DROP_IPV4);
	sends(ETH V4 IP4_FRAG("0002", "11") "00000000 ffffffff 0044 0043 0008 0000",
	      LEAT_COUNT_DROP_IPV4);
	sends(ETH V4 IP4("11") "00000000 ffffffff 0044", LEAT_COUNT_DROP_SHORT);
	/* and does not answer */
	sends(ETH V4 IP4("11") MY_IP "ffffffff 0043 0044 0008 0000", LEAT_COUNT_DROP_DHCP);
	sends(ETH V6 IP6("11") MY_LINK OTHER_LINK "0223 0222 0008 0000", LEAT_COUNT_DROP_DHCP);
	sends(ETH V6 IP6("11") MY_LINK GROUP "0222 0223 0008 0000", 0);
	id.flags = LEAT_ID_DHCP_SERVER;
	set_identity(&id);
	sends(ETH V4 IP4("11") MY_IP "ffffffff 0043 0044 0008 0000", 0);
	sends(ETH V6 IP6("11") MY_LINK OTHER_LINK "0223 0222 0008 0000", 0);
}

static void test_arp(void **state)
{
	(void)state;
	sends("ffffffffffff" MY_MAC ARP ARP_HEAD MY_MAC MY_IP "000000000000" OTHER_IP, 0);
	sends("ffffffffffff" MY_MAC ARP ARP_HEAD MY_MAC MY_IP "000000000000" MY_IP, 0);
	sends("ffffffffffff" MY_MAC ARP ARP_HEAD MY_MAC "00000000"
	      "000000000000" MY_IP,
	      0);
	sends(ETH ARP "0001080006040002" MY_MAC MY_IP OTHER_MAC OTHER_IP, 0);
	sends(ETH ARP "0001080006040002" MY_MAC OTHER_IP OTHER_MAC OTHER_IP, LEAT_COUNT_DROP_ARP);
	sends(ETH ARP "0001080006040002" OTHER_MAC MY_IP OTHER_MAC OTHER_IP, LEAT_COUNT_DROP_ARP);
	sends(ETH ARP "0006080006040002" MY_MAC MY_IP OTHER_MAC OTHER_IP, LEAT_COUNT_DROP_ARP);
	sends(ETH ARP "000186dd06040002" MY_MAC MY_IP OTHER_MAC OTHER_IP, LEAT_COUNT_DROP_ARP);
	sends(ETH ARP "0001080006100002" MY_MAC MY_IP OTHER_MAC OTHER_IP, LEAT_COUNT_DROP_ARP);
	sends(ETH ARP "0001080006040002" MY_MAC MY_IP OTHER_MAC "0a63", LEAT_COUNT_DROP_SHORT);
}

static void test_ipv6(void **state)
{
	struct leat_identity id = me;

	(void)state;
	sends(ETH V6 IP6("06") MY_IP6 OTHER_IP6 TCP, 0);
	sends(ETH V6 IP6("06") MY_LINK OTHER_LINK TCP, 0);
	sends(ETH V6 IP6("06") OTHER_IP6 MY_IP6 TCP, LEAT_COUNT_DROP_IPV6);
	sends(ETH V6 IP6("06") OTHER_LINK MY_LINK TCP, LEAT_COUNT_DROP_IPV6);
	sends(ETH V6 IP6("06") NO_IP6 GROUP TCP, LEAT_COUNT_DROP_IPV6);
	sends(ETH V6 IP6("3a") NO_IP6 OTHER_IP6 "8000 0000", LEAT_COUNT_DROP_IPV6);
	sends(ETH V6 "40000000 0028 06ff" MY_IP6 OTHER_IP6 TCP, LEAT_COUNT_DROP_IPV6);
	sends(ETH V6 IP6("06") MY_IP6, LEAT_COUNT_DROP_SHORT);
	/* headers on the way to the ports */
	sends(ETH V6 IP6("00") MY_IP6 OTHER_IP6 "3a00050200000000 8000 0000", 0);
	sends(ETH V6 IP6("3c") MY_IP6 OTHER_IP6 "1100050200000000 0223 0222", LEAT_COUNT_DROP_DHCP);
	sends(ETH V6 IP6("3c") MY_IP6 OTHER_IP6 "1101050200000000 0000000000000000 0223 0222",
	      LEAT_COUNT_DROP_DHCP);
	sends(ETH V6 IP6("3c") MY_IP6 OTHER_IP6 "11ff050200000000 0223 0222",
	      LEAT_COUNT_DROP_SHORT);
	sends(ETH V6 IP6("2c") MY_IP6 OTHER_IP6 "1100000100000000 0223 0222", LEAT_COUNT_DROP_DHCP);
	sends(ETH V6 IP6("2c") MY_IP6 OTHER_IP6 "1100010000000000 0223 0222", 0);
	sends(ETH V6 IP6("3c") MY_IP6 OTHER_IP6
	      "3c00000000000000 3c00000000000000 3c00000000000000 3c00000000000000"
	      "1100000000000000",
	      LEAT_COUNT_DROP_IPV6);
	memset(id.ipv6, 0, sizeof(id.ipv6));
	set_identity(&id);
	sends(ETH V6 IP6("06") MY_IP6 OTHER_IP6 TCP, LEAT_COUNT_DROP_IPV6);
	sends(ETH V6 IP6("06") NO_IP6 OTHER_IP6 TCP, LEAT_COUNT_DROP_IPV6);
	sends(ETH V6 IP6("06") MY_LINK OTHER_LINK TCP, 0);
}

#define SOLICIT "8700 0000 00000000"
#define ADVERT "8800 0000 60000000"

static void test_nd(void **state)
{
	struct leat_identity id = me;

	(void)state;
	sends(ETH V6 IP6("3a") MY_LINK GROUP SOLICIT OTHER_LINK "0101" MY_MAC, 0);
	sends(ETH V6 IP6("3a") MY_LINK GROUP SOLICIT OTHER_LINK "0101" OTHER_MAC,
	      LEAT_COUNT_DROP_ND);
	sends(ETH V6 IP6("3a") MY_LINK OTHER_LINK ADVERT MY_LINK "0201" MY_MAC, 0);
	sends(ETH V6 IP6("3a") MY_LINK OTHER_LINK ADVERT MY_IP6 "0201" MY_MAC, 0);
	sends(ETH V6 IP6("3a") MY_LINK OTHER_LINK ADVERT OTHER_LINK "0201" MY_MAC,
	      LEAT_COUNT_DROP_ND);
	sends(ETH V6 IP6("3a") MY_LINK OTHER_LINK ADVERT MY_LINK "0201" OTHER_MAC,
	      LEAT_COUNT_DROP_ND);
	sends(ETH V6 IP6("3a") MY_LINK OTHER_LINK ADVERT MY_LINK "0e01" OTHER_MAC "0201" OTHER_MAC,
	      LEAT_COUNT_DROP_ND);
	sends(ETH V6 IP6("3a") MY_LINK OTHER_LINK ADVERT "fe80", LEAT_COUNT_DROP_SHORT);
	/* probe for duplicates */
	sends(ETH V6 IP6("3a") NO_IP6 GROUP SOLICIT MY_LINK, 0);
	sends(ETH V6 IP6("3a") NO_IP6 GROUP SOLICIT OTHER_LINK, LEAT_COUNT_DROP_ND);
	/* routers and redirects */
	sends(ETH V6 IP6("3a") MY_LINK GROUP "8600 0000 00000000", LEAT_COUNT_DROP_ND);
	sends(ETH V6 IP6("3a") MY_LINK GROUP "8900 0000 00000000", LEAT_COUNT_DROP_ND);
	sends(ETH V6 IP6("00") MY_LINK GROUP "3a00050200000000 8600 0000 00000000",
	      LEAT_COUNT_DROP_ND);
	sends(ETH V6 IP6("2c") MY_LINK GROUP "3a00000100000000 8600 0000 00000000",
	      LEAT_COUNT_DROP_ND);
	sends(ETH V6 IP6("3a") MY_LINK GROUP "8500 0000 00000000", 0); /* solicitation */
	id.flags = LEAT_ID_ROUTER;
	set_identity(&id);
	sends(ETH V6 IP6("3a") MY_LINK GROUP "8600 0000 00000000", 0);
}

static void test_ingress(void **state)
{
	(void)state;
	hears(MY_MAC OTHER_MAC V4 IP4("06") OTHER_IP MY_IP TCP, 0);
	hears("ffffffffffff" OTHER_MAC ARP ARP_HEAD OTHER_MAC OTHER_IP "000000000000" MY_IP, 0);
	hears("3333ff000002" OTHER_MAC V6 IP6("3a") OTHER_LINK GROUP SOLICIT MY_LINK, 0);
	hears("021ea7000004" OTHER_MAC V4 IP4("06") OTHER_IP MY_IP TCP, LEAT_COUNT_DROP_MAC);
	hears(MY_MAC OTHER_MAC "88cc 0000", LEAT_COUNT_DROP_PROTO);
	hears(MY_MAC, LEAT_COUNT_DROP_SHORT);
	f.peer_tenant = me.tenant + 1;
	hears(MY_MAC OTHER_MAC V4 IP4("06") OTHER_IP MY_IP TCP, LEAT_COUNT_DROP_TENANT);
	hears("ffffffffffff" OTHER_MAC ARP ARP_HEAD OTHER_MAC OTHER_IP "000000000000" MY_IP,
	      LEAT_COUNT_DROP_TENANT);
	f.peer_tenant = 0;
	hears(MY_MAC OTHER_MAC V4 IP4("06") OTHER_IP MY_IP TCP, LEAT_COUNT_DROP_TENANT);
	f.flags = LEAT_PKT_FROM_UPLINK;
	hears(MY_MAC OTHER_MAC V4 IP4("06") OTHER_IP MY_IP TCP, 0);
}

/* Every execution is counted once in its direction, and once as passed or as dropped. */
static void test_counters(void **state)
{
	uint64_t runs = counter(LEAT_COUNT_EGRESS), sum = 0, before = 0;
	struct packet p = {.len = 0};
	uint32_t i;

	(void)state;
	for (i = LEAT_COUNT_PASS_EGRESS; i < LEAT_COUNT_USER; i++)
		before += counter(i);
	put_hex(&p, ETH V6 IP6("3a") MY_LINK OTHER_LINK ADVERT MY_LINK "0201" OTHER_MAC);
	for (i = 0; i < 1000; i++) {
		p.bytes[random() % p.len] ^= (uint8_t)(1u << random() % 8);
		verdict_of(f.egress, p.bytes, p.len, 9000);
	}
	for (i = LEAT_COUNT_PASS_EGRESS; i < LEAT_COUNT_USER; i++)
		sum += counter(i);
	assert_int_equal(counter(LEAT_COUNT_EGRESS) - runs, 1000);
	assert_int_equal(sum - before, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_identity, fresh),
		cmocka_unit_test_setup(test_ethernet, fresh),
		cmocka_unit_test_setup(test_vlan, fresh),
		cmocka_unit_test_setup(test_ipv4, fresh),
		cmocka_unit_test_setup(test_dhcp, fresh),
		cmocka_unit_test_setup(test_arp, fresh),
		cmocka_unit_test_setup(test_ipv6, fresh),
		cmocka_unit_test_setup(test_nd, fresh),
		cmocka_unit_test_setup(test_ingress, fresh),
		cmocka_unit_test_setup(test_counters, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
