/*
 * ELF files as far as eBPF objects need them: sections, symbols, relocations. The bytes are not
 * believed: every offset is checked, everything is copied out, nothing need be aligned.
 */
#pragma once

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_SECTIONS_MAX 512
#define ELF_SYMBOLS_MAX 4096

struct elf_view {
	const uint8_t *bytes;
	size_t size;
	Elf64_Shdr sections[ELF_SECTIONS_MAX];
	uint32_t section_count;
	uint32_t names;   /* section of the section names */
	uint32_t symbols; /* section of the symbol table, 0: none */
	uint32_t symbol_count;
};

/* A little-endian 64-bit relocatable file for eBPF; -EINVAL with a reason otherwise. */
int elf_open(struct elf_view *elf, const void *bytes, size_t size, const char **ret_reason);

/* A section's bytes (NULL and 0 for one without). */
const uint8_t *elf_data(const struct elf_view *elf, uint32_t section, size_t *ret_size);

/* "" if there is none. */
const char *elf_section_name(const struct elf_view *elf, uint32_t section);
const char *elf_symbol_name(const struct elf_view *elf, const Elf64_Sym *symbol);

/* The first section of this name, 0 if there is none. */
uint32_t elf_find_section(const struct elf_view *elf, const char *name);

bool elf_symbol(const struct elf_view *elf, uint32_t index, Elf64_Sym *ret_symbol);

/* A string in @size bytes that ends inside them, or NULL. */
const char *elf_string(const uint8_t *bytes, size_t size, uint32_t offset);
