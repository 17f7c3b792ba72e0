/*
 * decode.c - a tool for decode.py: the loader's decoder and shapes over a program's bytes.
 *
 * usage: decode FILE < LIST.  Lines of LIST, offsets into FILE in hex:
 *   i OFFSET LENGTH        an instruction, as objdump sees it
 *   s OFFSET BOUNDARY...   a syscall, and where the instructions in front of it begin
 * Prints each difference, and the counts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "leat/base/bits.h"
#include "loader/shape.h"

#define LINE_MAX_BYTES 1024
#define BOUNDARIES_MAX 64U

struct file {
	uint8_t *bytes;
	size_t n;
};

struct counts {
	unsigned long insns, wrong, unknown;
	unsigned long sites, plain, pun, none, bad_shapes;
};

static struct file read_file(const char *name)
{
	FILE *f = fopen(name, "rb");
	struct file file = {0};
	long n;

	if (!f || fseek(f, 0, SEEK_END) != 0 || (n = ftell(f)) < 0)
		exit(2);
	rewind(f);
	file.bytes = malloc((size_t)n);
	file.n = fread(file.bytes, 1, (size_t)n, f);
	fclose(f);
	return file;
}

static void check_insn(const struct file *file, char *rest, struct counts *c)
{
	size_t off = strtoul(rest, &rest, 16);
	unsigned long len = strtoul(rest, NULL, 16);
	struct insn insn;
	unsigned got;

	if (off >= file->n)
		return;
	got = insn_decode(file->bytes + off, file->n - off, &insn);
	c->insns++;
	if (!got) {
		c->unknown++;
	} else if (got != len) {
		c->wrong++;
		printf("offset %zx: %u bytes, objdump has %lu\n", off, got, len);
	}
}

static int is_boundary(const size_t *boundary, unsigned n, size_t off)
{
	while (n--)
		if (boundary[n] == off)
			return 1;
	return 0;
}

static void check_site(const struct file *file, char *rest, struct counts *c)
{
	size_t off = strtoul(rest, &rest, 16), boundary[BOUNDARIES_MAX], at;
	struct shape shapes[8];
	unsigned nr = 0, n, i, k;

	while (nr < BOUNDARIES_MAX && *rest == ' ')
		boundary[nr++] = strtoul(rest, &rest, 16);
	if (off < SHAPE_BEFORE || off + 2 > file->n)
		return;
	n = shape_find(file->bytes + off - SHAPE_BEFORE, ARRAY_SIZE(shapes), shapes);
	c->sites++;
	c->none += !n;
	c->plain += n && shapes[0].pun < 0;
	c->pun += n && shapes[0].pun >= 0;
	for (i = 0; i < n; i++) {
		at = off - shapes[i].moved;
		for (k = 0; k < shapes[i].nr_insns; k++) {
			if (!is_boundary(boundary, nr, at)) {
				c->bad_shapes++;
				printf("site %zx: no instruction begins at %zx\n", off, at);
			}
			at += shapes[i].insn[k].len;
		}
	}
}

int main(int argc, char **argv)
{
	static char line[LINE_MAX_BYTES];
	struct counts c = {0};
	struct file file;

	if (argc != 2)
		return 2;
	file = read_file(argv[1]);
	while (fgets(line, sizeof(line), stdin)) {
		if (line[0] == 'i')
			check_insn(&file, line + 2, &c);
		else if (line[0] == 's')
			check_site(&file, line + 2, &c);
	}
	printf("%lu instructions, %lu wrong, %lu unknown; %lu sites: %lu plain, %lu with a chosen "
	       "address, %lu keep trapping, %lu wrong\n",
	       c.insns, c.wrong, c.unknown, c.sites, c.plain, c.pun, c.none, c.bad_shapes);
	free(file.bytes);
	return c.wrong || c.bad_shapes || c.unknown * 1000 > c.insns || c.none * 10 > c.sites;
}
