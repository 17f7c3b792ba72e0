/*
 * fuzz_elf.c - libFuzzer target: ELF headers, scripts' first lines, and the decoder.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "leat/abi/layout.h"
#include "loader/elf.h"
#include "loader/script.h"
#include "loader/shape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void fuzz_elf(const uint8_t *data, size_t n)
{
	struct elf_image image;
	Elf64_Ehdr ehdr;
	Elf64_Phdr *phdrs;
	uint64_t off;
	size_t bytes;

	if (n < sizeof(ehdr))
		return;
	memcpy(&ehdr, data, sizeof(ehdr));
	if (elf_check_header(&ehdr, &off, &bytes) < 0)
		return;
	phdrs = calloc(1, bytes);
	n -= sizeof(ehdr);
	memcpy(phdrs, data + sizeof(ehdr), n < bytes ? n : bytes);
	elf_parse(&ehdr, phdrs, ABI_USER_HIGH, &image);
	free(phdrs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t text[SHAPE_BEFORE + 2] = {0};
	char head[SCRIPT_HEAD] = {0};
	struct script script;
	struct shape shapes[4];

	fuzz_elf(data, n);
	memcpy(head, data, n < SCRIPT_HEAD ? n : SCRIPT_HEAD);
	script_parse(head, n < SCRIPT_HEAD ? n : SCRIPT_HEAD, &script);
	memcpy(text, data, n < SHAPE_BEFORE ? n : SHAPE_BEFORE);
	memcpy(text + SHAPE_BEFORE, "\x0f\x05", 2);
	shape_find(text, 4, shapes);
	return 0;
}
