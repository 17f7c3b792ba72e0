/*
 * bpf_run.c - leat bpf run and conformance: a program on one packet, and on bare memory.
 */
#include "apps/leat/bpf_common.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/leat/bytes.h"

#define FRAME_MAX 65536

/* An identity that the packet's own source agrees with, so that the default filter has something.
 */
static void set_identity(struct ebpf_instance *inst, const uint8_t *packet, size_t size)
{
	struct ebpf_map *map = ebpf_instance_map(inst, LEAT_MAP_IDENTITY);
	struct leat_identity id = {.tenant = 1, .instance = 1};
	struct ebpf_map_info info;

	if (!map)
		return;
	ebpf_map_info(map, &info);
	if (info.value_size != sizeof(id) || info.key_size != 4)
		return;
	if (size >= 12)
		memcpy(id.mac, packet + 6, 6);
	if (size >= 30)
		memcpy(&id.ipv4, packet + 26, 4);
	ebpf_map_update(map, &(uint32_t){0}, &id, 0);
}

/* IPv4 and TCP from 10.99.0.2 to 10.99.0.3 */
static const char default_packet[] = "021ea7000003 021ea7000002 0800 4500002800000000 40060000"
				     "0a630002 0a630003 1000 18eb 00000000 00000000 5010ffff 0000"
				     "0000 000000000000";

static struct leat_pkt_ctx context_of(const uint8_t *packet, size_t size)
{
	size_t copy = size < LEAT_PKT_COPY ? size : LEAT_PKT_COPY;

	return (struct leat_pkt_ctx){
		.data = (uintptr_t)packet,
		.data_end = (uintptr_t)packet + copy,
		.now_ns = (uint64_t)(bpf_now_us() * 1000),
		.len = (uint32_t)size,
		.instance = 1,
		.tenant = 1,
		.peer_tenant = 1,
	};
}

static void show_counters(struct ebpf_instance *inst)
{
	struct ebpf_map *map = ebpf_instance_map(inst, LEAT_MAP_COUNTERS);
	struct ebpf_map_info info;
	uint64_t value;
	char buf[16];
	uint32_t i;

	if (!map)
		return;
	ebpf_map_info(map, &info);
	for (i = 0; info.value_size == 8 && info.key_size == 4 && i < info.max_entries; i++)
		if (ebpf_map_lookup(map, &i, &value) == 0 && value)
			printf("counter %s: %" PRIu64 "\n", bpf_counter_name(i, buf), value);
}

static int run(struct ebpf_object *obj, const char *name, uint8_t *packet, size_t size)
{
	struct leat_pkt_ctx ctx = context_of(packet, size);
	const struct ebpf_prog *prog;
	struct ebpf_instance *inst;

	if (ebpf_instance_create(obj, &inst)) {
		fputs("leat: no memory for the maps\n", stderr);
		return 1;
	}
	prog = ebpf_instance_prog(inst, name);
	if (prog) {
		set_identity(inst, packet, size);
		printf("r0 = %#" PRIx64 "\n", ebpf_prog_run(prog, &ctx));
		show_counters(inst);
	} else {
		fprintf(stderr, "leat: no program %s\n", name);
	}
	ebpf_instance_destroy(inst);
	return prog ? 0 : 1;
}

int bpf_run(int argc, char **argv, const struct bpf_options *options)
{
	static uint8_t packet[FRAME_MAX];
	int size = bytes_hex(options->packet ? options->packet : default_packet, packet,
			     sizeof(packet));
	struct ebpf_object *obj;
	double us;
	int status;

	if (argc < 1 || argc > 2)
		return bpf_usage();
	if (size < 0) {
		fputs("leat: --packet wants hex digits\n", stderr);
		return 1;
	}
	obj = bpf_ready(argv[0], options->engine, &us);
	if (!obj)
		return 1;
	status = run(obj, argc == 2 ? argv[1] : ebpf_object_prog_name(obj, 0, NULL), packet,
		     (size_t)size);
	ebpf_object_unref(obj);
	return status;
}

/* A plug-in of the public conformance runner: program in hex on stdin, r0 in hex on stdout. */
int bpf_conformance(int argc, char **argv, const struct bpf_options *options)
{
	static char hex[1 << 20];
	static uint8_t program[1 << 18], memory[FRAME_MAX];
	size_t n = fread(hex, 1, sizeof(hex) - 1, stdin);
	int size, memory_size = 0;
	uint64_t r0;

	if (argc > 1)
		return bpf_usage();
	hex[n] = '\0';
	size = bytes_hex(hex, program, sizeof(program));
	if (argc == 1)
		memory_size = bytes_hex(argv[0], memory, sizeof(memory));
	if (size <= 0 || size % 8 || memory_size < 0) {
		fputs("leat: a program is a multiple of 8 bytes in hex\n", stderr);
		return 1;
	}
	if (ebpf_run_trusted(program, (size_t)size / 8, options->engine,
			     memory_size ? memory : NULL, (size_t)memory_size, &r0)) {
		fputs("leat: not a program of RFC 9669, or it uses what Leat refuses\n", stderr);
		return 1;
	}
	printf("%" PRIx64 "\n", r0);
	return 0;
}
