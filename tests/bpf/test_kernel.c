/*
 * The kernel's own verifier tests, as kernel.py has dumped them: programs for socket filters, tc
 *and XDP with plain maps. What the kernel refuses must be refused here too, or stand in
 *kernel_safe.txt with the reason why it is safe; most of what it accepts must be accepted.
 *
 *	test-bpf-kernel TESTS.tsv KERNEL_SAFE.txt [-v]
 *
 * With -v it says why it refuses what the kernel accepts.
 */
#include "programs.h"

#include "bpf/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 5
#define SAFE_MAX 64
#define INSNS_MAX 32768

struct expectation {
	const char *name, *section;
	bool accept;
	const char *fixups; /* "map_hash_8b:3,..." */
	const char *hex;
};

static const struct ebpf_map_def maps[] = {
	{.name = "map_hash_8b", BPF_MAP_TYPE_HASH, 8, 8, 1},
	{.name = "map_hash_16b", BPF_MAP_TYPE_HASH, 8, 16, 1},
	{.name = "map_hash_48b", BPF_MAP_TYPE_HASH, 8, 48, 1},
	{.name = "map_array_48b", BPF_MAP_TYPE_ARRAY, 4, 48, 1},
	{.name = "map_array_ro", BPF_MAP_TYPE_ARRAY, 4, 48, 1, .read_only = true},
	{.name = "map_array_wo", BPF_MAP_TYPE_ARRAY, 4, 48, 1, .write_only = true},
	{.name = "map_array_small", BPF_MAP_TYPE_ARRAY, 4, 1, 1},
	{.name = "map_ringbuf", BPF_MAP_TYPE_RINGBUF, 0, 0, 4096},
};

static char *safe[SAFE_MAX];
static int safe_count;

static int read_safe(const char *path)
{
	FILE *file = fopen(path, "r");
	char line[512];

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file) && safe_count < SAFE_MAX) {
		char *bar = strstr(line, " | ");

		if (line[0] == '#' || !bar)
			continue;
		*bar = '\0';
		safe[safe_count++] = strdup(line);
	}
	fclose(file);
	return 0;
}

static bool is_safe(const char *name)
{
	int i;

	for (i = 0; i < safe_count; i++)
		if (strcmp(safe[i], name) == 0)
			return true;
	return false;
}

static int map_index(const char *name, size_t length)
{
	size_t i;

	for (i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		if (strlen(maps[i].name) == length && strncmp(maps[i].name, name, length) == 0)
			return (int)i;
	return -1;
}

/* Puts map indices where the kernel's tests put descriptors; false for a map that Leat has not. */
static bool fix_maps(const char *fixups, struct ebpf_insn *insns, uint32_t count)
{
	while (*fixups && *fixups != '-') {
		size_t length = strcspn(fixups, ":");
		int map = map_index(fixups, length);
		unsigned long at = strtoul(fixups + length + 1, NULL, 10);

		if (map < 0 || at >= count)
			return false;
		insns[at].imm = map;
		fixups += strcspn(fixups, ",");
		fixups += *fixups == ',';
	}
	return true;
}

static uint32_t from_hex(const char *hex, struct ebpf_insn *insns)
{
	uint8_t *bytes = (uint8_t *)insns;
	unsigned int byte;
	uint32_t n;

	for (n = 0; n < INSNS_MAX * 8 && sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
		bytes[n] = (uint8_t)byte;
	return n / 8;
}

/* 1 accepted, 0 refused, -1 not for us; the report in @log */
static int try_program(const struct expectation *e, struct ebpf_insn *insns, char *log)
{
	struct ebpf_object *obj = program_object();
	uint32_t count = from_hex(e->hex, insns);
	int result = -1;

	memcpy(obj->maps, maps, sizeof(maps));
	obj->map_count = sizeof(maps) / sizeof(maps[0]);
	if (count && fix_maps(e->fixups, insns, count)) {
		struct ebpf_code *code = program_add(obj, e->section, insns, count);

		result = ebpf_verify(obj, code, log, EBPF_LOG_SIZE) == 0;
		program_drop(obj);
	}
	ebpf_object_unref(obj);
	return result;
}

static bool split(char *line, struct expectation *ret)
{
	char *columns[COLUMNS];
	int i;

	for (i = 0; i < COLUMNS; i++) {
		columns[i] = strsep(&line, "\t\n");
		if (!columns[i])
			return false;
	}
	*ret = (struct expectation){columns[0], columns[1], strcmp(columns[2], "accept") == 0,
				    columns[3], columns[4]};
	return true;
}

int main(int argc, char **argv)
{
	struct ebpf_insn *insns = calloc(INSNS_MAX, sizeof(*insns));
	FILE *file = argc >= 3 ? fopen(argv[1], "r") : NULL;
	char log[EBPF_LOG_SIZE];
	int counts[2][2] = {{0}}, unsafe = 0, result;
	struct expectation e;
	char *line = NULL;
	size_t size = 0;

	if (!file || !insns || read_safe(argv[2])) {
		fprintf(stderr, "usage: test-bpf-kernel TESTS.tsv KERNEL_SAFE.txt\n");
		return 1;
	}
	while (getline(&line, &size, file) > 0) {
		if (!split(line, &e))
			continue;
		result = try_program(&e, insns, log);
		if (result < 0)
			continue;
		counts[e.accept][result]++;
		if (argc > 3 && e.accept && !result)
			printf("== %s [%s] %s\n%s", e.name, e.section, e.fixups, log);
		if (result && !e.accept && !is_safe(e.name)) {
			printf("# accepted, and not known to be safe: %s\n", e.name);
			unsafe++;
		}
	}
	printf("# labelled reject: %d refused, %d accepted; labelled accept: %d accepted, %d "
	       "refused\n",
	       counts[0][0], counts[0][1], counts[1][1], counts[1][0]);
	printf("%sok 1 nothing unsafe is accepted\n", unsafe || !counts[0][0] ? "not " : "");
	printf("%sok 2 85 in 100 of the safe ones are accepted\n1..2\n",
	       counts[1][1] * 100 < (counts[1][1] + counts[1][0]) * 85 ? "not " : "");
	free(line);
	free(insns);
	fclose(file);
	return unsafe != 0;
}
