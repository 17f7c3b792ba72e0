/* Reads bpf_conformance.tsv: name, program in hex, memory in hex or "-", expected r0. */
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static FILE *file;
static char *line;
static size_t line_size;

int vectors_open(void)
{
	const char *folder = getenv("LEAT_CORPORA");
	char path[4096];

	if (!folder)
		folder = LEAT_SOURCE "/../shared/corpora";
	snprintf(path, sizeof(path), "%s/bpf_conformance.tsv", folder);
	file = fopen(path, "r");
	if (!file)
		fprintf(stderr, "skipped: %s is not there (set LEAT_CORPORA)\n", path);
	return file ? 0 : -1;
}

void vectors_close(void)
{
	fclose(file);
	free(line);
	line = NULL;
	line_size = 0;
}

static size_t from_hex(const char *hex, uint8_t *bytes, size_t room)
{
	size_t n;
	unsigned int byte;

	for (n = 0; n < room && sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
		bytes[n] = (uint8_t)byte;
	return n;
}

bool vectors_next(struct vector *ret_vector)
{
	char *columns[4], *save;
	int i;

	do {
		if (getline(&line, &line_size, file) < 0)
			return false;
	} while (line[0] == '#' || line[0] == '\n');
	columns[0] = strtok_r(line, "\t\n", &save);
	for (i = 1; i < 4; i++)
		columns[i] = strtok_r(NULL, "\t\n", &save);
	if (!columns[3])
		return false;
	memset(ret_vector, 0, sizeof(*ret_vector));
	snprintf(ret_vector->name, sizeof(ret_vector->name), "%s", columns[0]);
	ret_vector->count =
		from_hex(columns[1], (uint8_t *)ret_vector->insns, sizeof(ret_vector->insns)) /
		sizeof(struct ebpf_insn);
	if (strcmp(columns[2], "-") != 0)
		ret_vector->memory_size = from_hex(columns[2], ret_vector->memory, VECTOR_MEMORY);
	ret_vector->expected = strtoull(columns[3], NULL, 0);
	return true;
}
