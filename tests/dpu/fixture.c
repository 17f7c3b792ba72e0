/*
 * fixture.c - two fake instances on a DPU (fixture.h).
 */
#include "tests/dpu/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture fx;

static unsigned owners[NR_INSTANCES] = {A, B};

static void on_work(void *owner, unsigned queue, unsigned core, uint64_t now_ns)
{
	(void)queue;
	(void)core;
	(void)now_ns;
	fx.works[*(unsigned *)owner]++;
}

struct ebpf_object *fixture_filter(const char *name)
{
	static char log[EBPF_LOG_SIZE];
	static uint8_t elf[1 << 20];
	struct ebpf_object *object;
	char path[512];
	size_t size;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.bpf.o", FILTERS, name);
	file = fopen(path, "rb");
	assert_non_null(file);
	size = fread(elf, 1, sizeof(elf), file);
	fclose(file);
	if (ebpf_object_load(elf, size, log, sizeof(log), &object))
		fail_msg("%s: %s", name, log);
	return object;
}

uint32_t fixture_ip(unsigned instance)
{
	return 0x0000630aU | (2 + instance) << 24; /* 10.99.0.2, .3 */
}

void fixture_mac(unsigned instance, uint8_t ret_mac[6])
{
	const uint8_t mac[6] = {0x02, 0x1e, 0xa7, 0, 0, (uint8_t)(1 + instance)};

	memcpy(ret_mac, mac, 6);
}

static unsigned on_steer(void *owner, uint32_t flow_hash)
{
	(void)owner;
	(void)flow_hash;
	if (fx.in_flight)
		fx.in_flight();
	return 0;
}

static void instance_attach(unsigned i, unsigned nr_pairs, bool packed)
{
	struct dpu_port_config config = {
		.id = 1 + i,
		.tenant = 1,
		.mtu = 1500,
		.ipv4_be = fixture_ip(i),
		.prefix_len = 16,
		.name = {(char)('a' + i)},
		.nr_queue_pairs = nr_pairs,
		.window_bytes = DRIVER_WINDOW_BYTES,
		.owner = &owners[i],
	};

	assert_int_equal(driver_create(&fx.driver[i]), 0);
	fx.driver[i].packed = packed;
	config.window = fx.driver[i].window;
	fixture_mac(i, config.mac);
	assert_int_equal(dpu_port_attach(fx.dpu, &config, &fx.port[i]), 0);
	assert_int_equal(dpu_port_set_filter(fx.port[i], fx.filter), 0);
	driver_start(&fx.driver[i], 32);
}

static void setup(unsigned nr_pairs, bool packed)
{
	struct dpu_config config = {
		.nr_cores = 2,
		.ops = {.work = on_work, .steer = on_steer},
		.service_ip_be = FIXTURE_SERVICE_IP,
	};

	memset(&fx, 0, sizeof(fx));
	fx.now_ns = 1000000;
	assert_int_equal(dpu_create(&config, &fx.dpu), 0);
	fx.filter = fixture_filter("antispoof");
	for (unsigned i = 0; i < NR_INSTANCES; i++)
		instance_attach(i, nr_pairs, packed);
}

int fixture_setup(void **state)
{
	(void)state;
	setup(1, false);
	return 0;
}

int fixture_setup_pairs(void **state)
{
	(void)state;
	setup(2, false);
	return 0;
}

int fixture_setup_packed(void **state)
{
	(void)state;
	setup(1, true);
	return 0;
}

void fixture_attach_again(unsigned i)
{
	instance_attach(i, 1, fx.driver[i].packed);
}

int fixture_teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NR_INSTANCES; i++) {
		dpu_port_detach(fx.port[i]);
		driver_destroy(&fx.driver[i]);
	}
	dpu_destroy(fx.dpu);
	ebpf_object_unref(fx.filter);
	return 0;
}

size_t fixture_frame(unsigned from, unsigned to, size_t payload, uint8_t *ret_frame)
{
	uint32_t src = fixture_ip(from), dst = fixture_ip(to);
	size_t ip_bytes = 28 + payload;
	uint8_t *ip = ret_frame + 14;

	memset(ret_frame, 0, 42);
	fixture_mac(to, ret_frame);
	fixture_mac(from, ret_frame + 6);
	ret_frame[12] = 0x08;
	ip[0] = 0x45;
	ip[2] = (uint8_t)(ip_bytes >> 8);
	ip[3] = (uint8_t)ip_bytes;
	ip[8] = 64;
	ip[9] = 17;
	memcpy(ip + 12, &src, 4);
	memcpy(ip + 16, &dst, 4);
	for (size_t i = 0; i < payload; i++)
		ret_frame[42 + i] = (uint8_t)(i * 7 + i / 251);
	return 42 + payload;
}

unsigned fixture_round(void)
{
	unsigned n = 0;

	fx.now_ns += 1000;
	dpu_round_begin(fx.dpu, 0, fx.now_ns);
	for (unsigned i = 0; i < NR_INSTANCES; i++)
		if (fx.port[i])
			n += dpu_txq_poll(fx.port[i], 0, 0, 64);
	dpu_round_end(fx.dpu, 0);
	return n;
}

struct dpu_queue_stats fixture_queue_stats(unsigned instance)
{
	struct dpu_queue_stats stats;

	assert_int_equal(dpu_port_queue_stats_get(fx.port[instance], 0, &stats), 0);
	return stats;
}

struct dpu_port_stats fixture_port_stats(unsigned instance)
{
	struct dpu_port_stats stats;

	dpu_port_stats_get(fx.port[instance], &stats);
	return stats;
}

uint64_t fixture_counter(unsigned instance, enum leat_counter counter)
{
	uint64_t value = 0;

	assert_int_equal(dpu_port_filter_counter(fx.port[instance], counter, &value), 0);
	return value;
}
