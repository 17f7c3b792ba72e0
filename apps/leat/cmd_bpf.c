/*
 * leat bpf verify|disasm|run|bench|conformance: the verifier, the disassembler and both engines on
 * a file, in this process. Needs no daemon and no privileges.
 */
#include "apps/leat/cmd_bpf.h"

#include "bpf/bpf.h"
#include "leat/abi/filter.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FILE_MAX (16u << 20)
#define PACKET_MAX 65536
#define BENCH_RUNS 200000
#define BENCH_ROUNDS 7

struct options {
	bool json;
	enum ebpf_engine engine;
	const char *packet; /* hex */
};

static int usage_to(FILE *out)
{
	fputs("usage: leat bpf verify [--json] FILE\n"
	      "       leat bpf disasm FILE [PROGRAM]\n"
	      "       leat bpf run [--engine E] [--packet HEX] FILE PROGRAM\n"
	      "       leat bpf bench [--json] [--packet HEX] FILE\n"
	      "       leat bpf conformance [--engine E] [MEMORY-HEX] < PROGRAM-HEX\n"
	      "E is interpreter or compiler; PROGRAM a section or a function.\n",
	      out);
	return out == stdout ? 0 : 2;
}

static int usage(void)
{
	return usage_to(stderr);
}

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* A whole file, NULL with a message if it cannot be read. */
static uint8_t *read_file(const char *path, size_t *ret_size)
{
	FILE *file = fopen(path, "r");
	uint8_t *bytes = file ? malloc(FILE_MAX) : NULL;

	if (bytes)
		*ret_size = fread(bytes, 1, FILE_MAX, file);
	if (!bytes || ferror(file)) {
		fprintf(stderr, "leat: %s: %s\n", path, strerror(errno));
		free(bytes);
		bytes = NULL;
	}
	if (file)
		fclose(file);
	return bytes;
}

/* Bytes written as hex digits, blanks between them allowed; -1 if something else is there. */
static int parse_hex(const char *hex, uint8_t *bytes, size_t room)
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

/* Opens and verifies; NULL with the reason printed (for --json: in *ret_log). */
static struct ebpf_object *open_object(const char *path, char *log, size_t log_size, double *ret_us)
{
	struct ebpf_object *obj = NULL;
	size_t size;
	uint8_t *elf = read_file(path, &size);
	double start;
	int err;

	*log = '\0';
	if (!elf)
		return NULL;
	err = ebpf_object_open(elf, size, log, log_size, &obj);
	free(elf);
	if (err)
		return NULL;
	start = now_us();
	err = ebpf_object_verify(obj, log, log_size);
	*ret_us = now_us() - start;
	if (err) {
		ebpf_object_unref(obj);
		return NULL;
	}
	return obj;
}

static int verify_json(const char *path, const struct ebpf_object *obj, const char *log, double us)
{
	json_t *root = json_pack("{s:s, s:b}", "file", path, "accepted", obj != NULL);
	json_t *programs = json_array();
	const char *name, *section;
	uint32_t i;

	for (i = 0; obj && (name = ebpf_object_prog_name(obj, i, &section)); i++)
		json_array_append_new(programs,
				      json_pack("{s:s, s:s, s:I, s:I}", "name", name, "section",
						section, "instructions",
						(json_int_t)ebpf_object_prog_size(obj, name),
						"longest_path",
						(json_int_t)ebpf_object_prog_cost(obj, name)));
	json_object_set_new(root, "programs", programs);
	if (obj)
		json_object_set_new(root, "verify_us", json_real(us));
	else
		json_object_set_new(root, "report", json_string(log));
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
	return obj ? 0 : 1;
}

static int bpf_verify(int argc, char **argv, const struct options *options)
{
	char log[EBPF_LOG_SIZE];
	struct ebpf_object *obj;
	const char *name, *section;
	double us = 0;
	uint32_t i;
	int status;

	if (argc != 1)
		return usage();
	obj = open_object(argv[0], log, sizeof(log), &us);
	if (options->json) {
		status = verify_json(argv[0], obj, log, us);
		ebpf_object_unref(obj);
		return status;
	}
	if (!obj) {
		fputs(log, stderr);
		return 1;
	}
	for (i = 0; (name = ebpf_object_prog_name(obj, i, &section)); i++)
		printf("%s (%s): safe, %u instructions, %" PRIu64 " on the longest path\n", name,
		       section, ebpf_object_prog_size(obj, name), ebpf_object_prog_cost(obj, name));
	printf("verified in %.0f us\n", us);
	ebpf_object_unref(obj);
	return 0;
}

static int show_program(const struct ebpf_object *obj, const char *name)
{
	int n = ebpf_object_disasm(obj, name, NULL, 0);
	char *text = n < 0 ? NULL : malloc((size_t)n + 1);

	if (!text) {
		fprintf(stderr, "leat: no program %s\n", name);
		return 1;
	}
	ebpf_object_disasm(obj, name, text, (size_t)n + 1);
	fputs(text, stdout);
	free(text);
	return 0;
}

/* Also of programs that are refused: that is when one wants to see them. */
static int bpf_disasm(int argc, char **argv)
{
	char log[EBPF_LOG_SIZE];
	struct ebpf_object *obj;
	const char *name, *section;
	size_t size;
	uint8_t *elf;
	uint32_t i;
	int status = 0;

	if (argc < 1 || argc > 2)
		return usage();
	elf = read_file(argv[0], &size);
	if (!elf)
		return 1;
	if (ebpf_object_open(elf, size, log, sizeof(log), &obj)) {
		fputs(log, stderr);
		free(elf);
		return 1;
	}
	free(elf);
	if (argc == 2)
		status = show_program(obj, argv[1]);
	for (i = 0; argc == 1 && (name = ebpf_object_prog_name(obj, i, &section)); i++) {
		printf("%s (%s):\n", name, section);
		status |= show_program(obj, name);
	}
	ebpf_object_unref(obj);
	return status;
}

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

static struct ebpf_instance *start(const char *path, enum ebpf_engine engine, double *ret_us)
{
	char log[EBPF_LOG_SIZE];
	struct ebpf_object *obj = open_object(path, log, sizeof(log), ret_us);
	struct ebpf_instance *inst = NULL;

	if (!obj) {
		fputs(log, stderr);
		return NULL;
	}
	if (ebpf_object_prepare(obj, engine) || ebpf_instance_create(obj, &inst))
		fprintf(stderr, "leat: %s cannot be made ready\n", path);
	ebpf_object_unref(obj); /* the instance has its own */
	return inst;
}

/* IPv4 and TCP from 10.99.0.2 to 10.99.0.3 */
static const char default_packet[] = "021ea7000003 021ea7000002 0800 4500002800000000 40060000"
				     "0a630002 0a630003 1000 18eb 00000000 00000000 5010ffff 0000"
				     "0000 000000000000";

static int packet_of(const struct options *options, uint8_t *packet)
{
	int size =
		parse_hex(options->packet ? options->packet : default_packet, packet, PACKET_MAX);

	if (size < 0)
		fputs("leat: --packet wants hex digits\n", stderr);
	return size;
}

static struct leat_pkt_ctx context_of(const uint8_t *packet, size_t size)
{
	size_t copy = size < LEAT_PKT_COPY ? size : LEAT_PKT_COPY;

	return (struct leat_pkt_ctx){
		.data = (uintptr_t)packet,
		.data_end = (uintptr_t)packet + copy,
		.now_ns = (uint64_t)(now_us() * 1000),
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
	uint32_t i;

	if (!map)
		return;
	ebpf_map_info(map, &info);
	for (i = 0; info.value_size == 8 && info.key_size == 4 && i < info.max_entries; i++)
		if (ebpf_map_lookup(map, &i, &value) == 0 && value)
			printf("counter %u: %" PRIu64 "\n", i, value);
}

static int bpf_run(int argc, char **argv, const struct options *options)
{
	static uint8_t packet[PACKET_MAX];
	const struct ebpf_prog *prog;
	struct ebpf_instance *inst;
	struct leat_pkt_ctx ctx;
	int size = packet_of(options, packet), status = 1;
	double us;

	if (argc != 2)
		return usage();
	inst = size < 0 ? NULL : start(argv[0], options->engine, &us);
	if (!inst)
		return 1;
	set_identity(inst, packet, (size_t)size);
	prog = ebpf_instance_prog(inst, argv[1]);
	if (prog) {
		ctx = context_of(packet, (size_t)size);
		printf("r0 = %#" PRIx64 "\n", ebpf_prog_run(prog, &ctx));
		show_counters(inst);
		status = 0;
	} else {
		fprintf(stderr, "leat: no program %s in %s\n", argv[1], argv[0]);
	}
	ebpf_instance_destroy(inst);
	return status;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Median of some rounds, in ns a packet. */
static double measure(const struct ebpf_prog *prog, struct leat_pkt_ctx *ctx)
{
	double rounds[BENCH_ROUNDS];
	int i, j;

	for (i = 0; i < BENCH_ROUNDS; i++) {
		double begin = now_us();

		for (j = 0; j < BENCH_RUNS; j++)
			ebpf_prog_run(prog, ctx);
		rounds[i] = (now_us() - begin) * 1000 / BENCH_RUNS;
	}
	qsort(rounds, BENCH_ROUNDS, sizeof(rounds[0]), compare_doubles);
	return rounds[BENCH_ROUNDS / 2];
}

static void show_figure(json_t *figures, const char *name, const char *engine, double value,
			const char *unit)
{
	char text[128];

	snprintf(text, sizeof(text), "%s.%s", name, engine);
	if (figures)
		json_array_append_new(figures, json_pack("{s:s, s:f, s:s}", "case", text, "value",
							 value, "unit", unit));
	else
		printf("%s %.2f %s\n", text, value, unit);
}

static int bench_engine(const char *path, const struct options *options, json_t *figures,
			enum ebpf_engine engine, const char *label)
{
	static uint8_t packet[PACKET_MAX];
	int size = packet_of(options, packet);
	const struct ebpf_prog *prog;
	struct ebpf_instance *inst;
	struct leat_pkt_ctx ctx;
	double us = 0;

	inst = size < 0 ? NULL : start(path, engine, &us);
	if (!inst)
		return 1;
	set_identity(inst, packet, (size_t)size);
	ctx = context_of(packet, (size_t)size);
	prog = ebpf_instance_prog(inst, LEAT_SEC_EGRESS);
	if (prog)
		show_figure(figures, "egress", label, measure(prog, &ctx), "ns");
	/* what this instance sent is not for it: turn the addresses round */
	if (size >= 12) {
		uint8_t mac[6];

		memcpy(mac, packet, 6);
		memcpy(packet, packet + 6, 6);
		memcpy(packet + 6, mac, 6);
	}
	prog = ebpf_instance_prog(inst, LEAT_SEC_INGRESS);
	if (prog)
		show_figure(figures, "ingress", label, measure(prog, &ctx), "ns");
	if (engine == EBPF_ENGINE_COMPILER)
		show_figure(figures, "verify", label, us, "us");
	ebpf_instance_destroy(inst);
	return 0;
}

static int bpf_bench(int argc, char **argv, const struct options *options)
{
	json_t *figures = options->json ? json_array() : NULL;
	int status;

	if (argc != 1)
		return usage();
	status = bench_engine(argv[0], options, figures, EBPF_ENGINE_COMPILER, "leat");
	if (!status)
		status = bench_engine(argv[0], options, figures, EBPF_ENGINE_INTERPRETER,
				      "interpreter");
	if (figures && !status) {
		json_dumpf(figures, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(figures);
	return status;
}

/* A plug-in of the public conformance runner: program in hex on stdin, r0 in hex on stdout. */
static int bpf_conformance(int argc, char **argv, const struct options *options)
{
	static char hex[1 << 20];
	static uint8_t program[1 << 18], memory[PACKET_MAX];
	size_t n = fread(hex, 1, sizeof(hex) - 1, stdin);
	int size, memory_size = 0;
	uint64_t r0;

	if (argc > 1)
		return usage();
	hex[n] = '\0';
	size = parse_hex(hex, program, sizeof(program));
	if (argc == 1)
		memory_size = parse_hex(argv[0], memory, sizeof(memory));
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

static bool parse_engine(const char *name, enum ebpf_engine *ret_engine)
{
	if (strcmp(name, "interpreter") == 0)
		*ret_engine = EBPF_ENGINE_INTERPRETER;
	else if (strcmp(name, "compiler") == 0)
		*ret_engine = EBPF_ENGINE_COMPILER;
	else
		return false;
	return true;
}

int cmd_bpf(int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'},
		{"engine", required_argument, NULL, 'e'},
		{"packet", required_argument, NULL, 'p'},
		{0},
	};
	struct options options = {.engine = EBPF_ENGINE_AUTO};
	const char *command = argc > 1 ? argv[1] : "";
	int option;

	if (argc < 2)
		return usage();
	if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0)
		return usage_to(stdout);
	argc--;
	argv++;
	optind = 0;
	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (option == 'j')
			options.json = true;
		else if (option == 'p')
			options.packet = optarg;
		else if (option != 'e' || !parse_engine(optarg, &options.engine))
			return usage();
	}
	argc -= optind;
	argv += optind;
	if (strcmp(command, "verify") == 0)
		return bpf_verify(argc, argv, &options);
	if (strcmp(command, "disasm") == 0)
		return bpf_disasm(argc, argv);
	if (strcmp(command, "run") == 0)
		return bpf_run(argc, argv, &options);
	if (strcmp(command, "bench") == 0)
		return bpf_bench(argc, argv, &options);
	if (strcmp(command, "conformance") == 0)
		return bpf_conformance(argc, argv, &options);
	return usage();
}
