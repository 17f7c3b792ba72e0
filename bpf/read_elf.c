/* A reader of ELF that trusts nothing (System V ABI, chapter 4). */
#include "bpf/read_elf.h"

#include <errno.h>
#include <string.h>

#ifndef EM_BPF
#define EM_BPF 247
#endif

static bool inside(const struct elf_view *elf, uint64_t offset, uint64_t count)
{
	return offset <= elf->size && count <= elf->size - offset;
}

const char *elf_string(const uint8_t *bytes, size_t size, uint32_t offset)
{
	if (offset >= size || !memchr(bytes + offset, '\0', size - offset))
		return NULL;
	return (const char *)bytes + offset;
}

const uint8_t *elf_data(const struct elf_view *elf, uint32_t section, size_t *ret_size)
{
	const Elf64_Shdr *header = &elf->sections[section];

	*ret_size = 0;
	if (section >= elf->section_count || header->sh_type == SHT_NOBITS ||
	    !inside(elf, header->sh_offset, header->sh_size))
		return NULL;
	*ret_size = header->sh_size;
	return elf->bytes + header->sh_offset;
}

static const char *string_in(const struct elf_view *elf, uint32_t section, uint32_t offset)
{
	const char *string = NULL;
	const uint8_t *data;
	size_t size;

	if (section < elf->section_count) {
		data = elf_data(elf, section, &size);
		string = data ? elf_string(data, size, offset) : NULL;
	}
	return string ? string : "";
}

const char *elf_section_name(const struct elf_view *elf, uint32_t section)
{
	return string_in(elf, elf->names, elf->sections[section].sh_name);
}

const char *elf_symbol_name(const struct elf_view *elf, const Elf64_Sym *symbol)
{
	return string_in(elf, elf->sections[elf->symbols].sh_link, symbol->st_name);
}

uint32_t elf_find_section(const struct elf_view *elf, const char *name)
{
	uint32_t i;

	for (i = 1; i < elf->section_count; i++)
		if (strcmp(elf_section_name(elf, i), name) == 0)
			return i;
	return 0;
}

bool elf_symbol(const struct elf_view *elf, uint32_t index, Elf64_Sym *ret_symbol)
{
	const uint8_t *data;
	size_t size;

	if (index >= elf->symbol_count)
		return false;
	data = elf_data(elf, elf->symbols, &size);
	memcpy(ret_symbol, data + (size_t)index * sizeof(*ret_symbol), sizeof(*ret_symbol));
	return true;
}

static const char *find_symbols(struct elf_view *elf)
{
	uint32_t i;
	size_t size;

	for (i = 1; i < elf->section_count; i++) {
		if (elf->sections[i].sh_type != SHT_SYMTAB)
			continue;
		elf_data(elf, i, &size);
		if (size / sizeof(Elf64_Sym) > ELF_SYMBOLS_MAX)
			return "too many symbols";
		elf->symbols = i;
		elf->symbol_count = (uint32_t)(size / sizeof(Elf64_Sym));
	}
	return elf->symbols ? NULL : "no symbol table";
}

static const char *open_view(struct elf_view *elf)
{
	Elf64_Ehdr head;

	if (elf->size < sizeof(head))
		return "not an ELF file";
	memcpy(&head, elf->bytes, sizeof(head));
	if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0)
		return "not an ELF file";
	if (head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_ident[EI_DATA] != ELFDATA2LSB ||
	    head.e_type != ET_REL || head.e_machine != EM_BPF)
		return "not a little-endian eBPF object";
	if (head.e_shentsize != sizeof(Elf64_Shdr) || head.e_shnum > ELF_SECTIONS_MAX ||
	    !inside(elf, head.e_shoff, (uint64_t)head.e_shnum * sizeof(Elf64_Shdr)))
		return "a section table that is broken or too long";
	memcpy(elf->sections, elf->bytes + head.e_shoff, head.e_shnum * sizeof(Elf64_Shdr));
	elf->section_count = head.e_shnum;
	elf->names = head.e_shstrndx;
	return find_symbols(elf);
}

int elf_open(struct elf_view *elf, const void *bytes, size_t size, const char **ret_reason)
{
	const char *reason;

	memset(elf, 0, sizeof(*elf));
	elf->bytes = bytes;
	elf->size = size;
	reason = open_view(elf);
	if (!reason)
		return 0;
	*ret_reason = reason;
	return -EINVAL;
}
