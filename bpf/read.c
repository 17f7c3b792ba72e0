/*
 * From ELF bytes to an object: maps by their BTF definitions and data sections, code and
 * relocations, source lines. Each program is flattened: its function first, then every function
 * that it calls, so that verifier and compiler see one array.
 *
 * Not through libbpf: libbpf 1.1 crashes on some objects with a single bit flipped, and leatd,
 * which is root, reads objects that tenants hand in. A test compares the two readers on sound
 * objects.
 */
#include "bpf/read_btf.h"
#include "bpf/read_elf.h"
#include "bpf/object.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ELF_SIZE_MAX (16u << 20)
#define LINES_MAX 65536
#define MAPS_IN_MAP_MAX 65536 /* entries of an array of maps that may begin with some */

#define R_BPF_64 1    /* a 64-bit constant: a map, an address in a data section, a function */
#define R_BPF_ABS64 2 /* eight bytes of data */
#define R_BPF_CALL 10 /* a call of a function in another section */

struct section {
	const uint8_t *code; /* of executable ones */
	uint32_t insn_count;
	uint32_t *reloc_of; /* per instruction: 1 + index into the section's relocations */
	uint32_t *line_of;  /* per instruction: 1 + index into the object's lines */
	const uint8_t *relocs;
	size_t reloc_count;
	int map; /* index of the map that holds this data section, or -1 */
};

struct reader {
	struct ebpf_object *obj;
	struct elf_view elf;
	struct btf_view btf;
	struct section sections[ELF_SECTIONS_MAX];
	uint32_t maps_section;             /* index of ".maps", 0 if there is none */
	uint32_t values_at[EBPF_MAPS_MAX]; /* maps of maps: where in their variable "values" is */
	char *log;
	size_t log_size;
};

/* Where an instruction was in the file. */
struct origin {
	uint32_t section;
	uint32_t insn;
};

/* A program in the making. */
struct flat {
	struct ebpf_insn *insns;
	struct origin *origins;
	size_t count;
};

static int fail(const struct reader *r, int err, const char *what, const char *name)
{
	ebpf_log_set(r->log, r->log_size, "%s%s%s\n", what, *name ? ": " : "", name);
	return err;
}

static int add_map(struct reader *r, const struct ebpf_map_def *def)
{
	int err;

	if (r->obj->map_count == EBPF_MAPS_MAX)
		return fail(r, -ENOTSUP, "more maps than an object may have", def->name);
	err = ebpf_map_def_check(def);
	if (err)
		return fail(r, err, "a map of a type or size that Leat does not have", def->name);
	r->obj->maps[r->obj->map_count++] = *def;
	return 0;
}

static struct ebpf_map_def def_of(const char *name, const struct btf_sizes *sizes)
{
	struct ebpf_map_def def = {
		.type = sizes->type,
		.key_size = sizes->key_size,
		.value_size = sizes->value_size,
		.max_entries = sizes->max_entries,
		.read_only = sizes->flags & BPF_F_RDONLY_PROG,
		.write_only = sizes->flags & BPF_F_WRONLY_PROG,
	};

	snprintf(def.name, sizeof(def.name), "%s", name);
	return def;
}

/* A map of maps: its inner definition, and room for the maps that it begins with. */
static int add_inner(struct ebpf_map_def *def, const struct btf_map *map)
{
	uint32_t i;

	def->inner = malloc(sizeof(*def->inner));
	if (!def->inner)
		return -ENOMEM;
	*def->inner = def_of("", &map->inner);
	def->value_size = 4; /* which objects leave out beside "values" */
	if (def->key_size != 4 || def->max_entries > MAPS_IN_MAP_MAX)
		return 0;
	def->initial_maps = malloc(def->max_entries * sizeof(*def->initial_maps) + 1);
	if (!def->initial_maps)
		return -ENOMEM;
	for (i = 0; i < def->max_entries; i++)
		def->initial_maps[i] = -1;
	return 0;
}

static int read_maps(struct reader *r)
{
	struct ebpf_map_def def;
	struct btf_map map;
	uint32_t i;
	int found;

	for (i = 0; (found = btf_map_at(&r->btf, i, &map)) > 0; i++) {
		def = def_of(map.name, &map.is);
		if (i < EBPF_MAPS_MAX)
			r->values_at[i] = map.values_offset;
		found = map.has_inner ? add_inner(&def, &map) : 0;
		if (!found)
			found = add_map(r, &def);
		if (found) {
			ebpf_map_def_finish(&def);
			return found;
		}
	}
	return found ? fail(r, found, "a map definition that Leat does not understand", "") : 0;
}

static bool is_data(const char *name)
{
	return strncmp(name, ".data", 5) == 0 || strncmp(name, ".rodata", 7) == 0 ||
	       strncmp(name, ".bss", 4) == 0;
}

/* .data, .rodata and .bss become arrays of one value, named after their section. */
static int read_data(struct reader *r, uint32_t index)
{
	const char *name = elf_section_name(&r->elf, index);
	struct ebpf_map_def def = {.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .max_entries = 1};
	size_t size;
	const uint8_t *data = elf_data(&r->elf, index, &size);
	int err;

	r->sections[index].map = -1;
	if (!is_data(name) || r->elf.sections[index].sh_size == 0)
		return 0;
	if (r->elf.sections[index].sh_size > EBPF_VALUE_SIZE_MAX)
		return fail(r, -E2BIG, "a data section that is too big", name);
	def.value_size = (uint32_t)r->elf.sections[index].sh_size;
	def.read_only = strncmp(name, ".rodata", 7) == 0;
	snprintf(def.name, sizeof(def.name), "%s", name);
	err = add_map(r, &def);
	if (err)
		return err;
	r->sections[index].map = (int)r->obj->map_count - 1;
	if (!data)
		return 0;
	r->obj->maps[r->obj->map_count - 1].initial = malloc(size);
	if (!r->obj->maps[r->obj->map_count - 1].initial)
		return -ENOMEM;
	memcpy(r->obj->maps[r->obj->map_count - 1].initial, data, size);
	return 0;
}

static int read_code(struct reader *r, uint32_t index)
{
	struct section *section = &r->sections[index];
	const Elf64_Shdr *header = &r->elf.sections[index];
	size_t size;

	if (header->sh_type != SHT_PROGBITS || !(header->sh_flags & SHF_EXECINSTR))
		return 0;
	section->code = elf_data(&r->elf, index, &size);
	if (!section->code || size == 0)
		return 0;
	if (size % sizeof(struct ebpf_insn) || size / sizeof(struct ebpf_insn) > EBPF_INSNS_MAX)
		return fail(r, -EINVAL, "a code section of a broken size",
			    elf_section_name(&r->elf, index));
	section->insn_count = (uint32_t)(size / sizeof(struct ebpf_insn));
	section->reloc_of = calloc(section->insn_count, sizeof(*section->reloc_of));
	section->line_of = calloc(section->insn_count, sizeof(*section->line_of));
	return section->reloc_of && section->line_of ? 0 : -ENOMEM;
}

/* The relocations of a code section, by instruction. */
static int read_relocs(struct reader *r, uint32_t index)
{
	const Elf64_Shdr *header = &r->elf.sections[index];
	struct section *section;
	Elf64_Rel reloc;
	size_t size, i;

	if ((header->sh_type != SHT_REL && header->sh_type != SHT_RELA) ||
	    header->sh_info >= r->elf.section_count || !r->sections[header->sh_info].code)
		return 0;
	section = &r->sections[header->sh_info];
	if (header->sh_type == SHT_RELA || section->relocs)
		return fail(r, -ENOTSUP, "relocations of an unknown kind",
			    elf_section_name(&r->elf, index));
	section->relocs = elf_data(&r->elf, index, &size);
	section->reloc_count = section->relocs ? size / sizeof(reloc) : 0;
	for (i = 0; i < section->reloc_count; i++) {
		memcpy(&reloc, section->relocs + i * sizeof(reloc), sizeof(reloc));
		if (reloc.r_offset % 8 || reloc.r_offset / 8 >= section->insn_count)
			return fail(r, -EINVAL, "a relocation outside its section",
				    elf_section_name(&r->elf, index));
		section->reloc_of[reloc.r_offset / 8] = (uint32_t)(i + 1);
	}
	return 0;
}

static int map_by_name(const struct reader *r, const char *name)
{
	uint32_t i;

	for (i = 0; i < r->obj->map_count; i++)
		if (strcmp(r->obj->maps[i].name, name) == 0)
			return (int)i;
	return -1;
}

/* Which of an array of maps' "values" a place in ".maps" is. */
static bool find_values(const struct reader *r, uint64_t offset, struct ebpf_map_def **ret_def,
			uint64_t *ret_index)
{
	Elf64_Sym symbol;
	uint32_t i;
	int map;

	for (i = 0; elf_symbol(&r->elf, i, &symbol); i++) {
		if (symbol.st_shndx != r->maps_section || offset < symbol.st_value ||
		    offset - symbol.st_value >= symbol.st_size)
			continue;
		map = map_by_name(r, elf_symbol_name(&r->elf, &symbol));
		if (map < 0 || !r->obj->maps[map].initial_maps ||
		    offset - symbol.st_value < r->values_at[map])
			continue;
		offset -= symbol.st_value + r->values_at[map];
		*ret_def = &r->obj->maps[map];
		*ret_index = offset / 8;
		return offset % 8 == 0 && offset / 8 < (*ret_def)->max_entries;
	}
	return false;
}

/* The maps that arrays of maps begin with: relocations of ".maps". */
static int read_values(struct reader *r, uint32_t index)
{
	const Elf64_Shdr *header = &r->elf.sections[index];
	struct ebpf_map_def *def = NULL;
	uint64_t entry = 0;
	const uint8_t *data;
	Elf64_Rel reloc;
	Elf64_Sym symbol;
	size_t size, i;
	int map;

	if (header->sh_type != SHT_REL || !r->maps_section || header->sh_info != r->maps_section)
		return 0;
	data = elf_data(&r->elf, index, &size);
	for (i = 0; data && i < size / sizeof(reloc); i++) {
		memcpy(&reloc, data + i * sizeof(reloc), sizeof(reloc));
		if (ELF64_R_TYPE(reloc.r_info) != R_BPF_ABS64 ||
		    !elf_symbol(&r->elf, (uint32_t)ELF64_R_SYM(reloc.r_info), &symbol) ||
		    !find_values(r, reloc.r_offset, &def, &entry))
			return fail(r, -ENOTSUP, "a map that begins with something unknown", "");
		map = map_by_name(r, elf_symbol_name(&r->elf, &symbol));
		if (map < 0 || !ebpf_map_def_same(def->inner, &r->obj->maps[map]))
			return fail(r, -EINVAL, "a map of maps begins with a map of another kind",
				    def->name);
		def->initial_maps[entry] = map;
	}
	return 0;
}

static int read_sections(struct reader *r)
{
	uint32_t i;
	int err = 0;

	r->maps_section = elf_find_section(&r->elf, ".maps");
	for (i = 1; i < r->elf.section_count && !err; i++) {
		err = read_data(r, i);
		if (!err)
			err = read_code(r, i);
	}
	for (i = 1; i < r->elf.section_count && !err; i++) {
		err = read_relocs(r, i);
		if (!err)
			err = read_values(r, i);
	}
	return err;
}

static bool is_function(const struct reader *r, const Elf64_Sym *symbol)
{
	return ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
	       symbol->st_shndx < r->elf.section_count && r->sections[symbol->st_shndx].code;
}

/* The function that begins at an instruction. */
static bool find_function(const struct reader *r, struct origin at, Elf64_Sym *ret_symbol)
{
	uint32_t i;

	for (i = 0; elf_symbol(&r->elf, i, ret_symbol); i++)
		if (is_function(r, ret_symbol) && ret_symbol->st_shndx == at.section &&
		    ret_symbol->st_value == (uint64_t)at.insn * 8)
			return true;
	return false;
}

static int append_function(const struct reader *r, struct flat *flat, const Elf64_Sym *symbol)
{
	const struct section *from = &r->sections[symbol->st_shndx];
	uint64_t start = symbol->st_value / 8, count = symbol->st_size / 8, i;
	const char *name = elf_symbol_name(&r->elf, symbol);
	void *memory;

	if (symbol->st_value % 8 || symbol->st_size % 8 || start > from->insn_count ||
	    count > from->insn_count - start || count == 0)
		return fail(r, -EINVAL, "a function outside its section", name);
	if (flat->count + count > EBPF_INSNS_MAX)
		return fail(r, -E2BIG, "too many instructions", name);
	memory = reallocarray(flat->insns, flat->count + count, sizeof(*flat->insns));
	if (!memory)
		return -ENOMEM;
	flat->insns = memory;
	memory = reallocarray(flat->origins, flat->count + count, sizeof(*flat->origins));
	if (!memory)
		return -ENOMEM;
	flat->origins = memory;
	memcpy(flat->insns + flat->count, from->code + start * 8, count * 8);
	for (i = 0; i < count; i++)
		flat->origins[flat->count + i] =
			(struct origin){symbol->st_shndx, (uint32_t)(start + i)};
	flat->count += count;
	return 0;
}

static bool find_reloc(const struct reader *r, struct origin origin, Elf64_Rel *ret_reloc)
{
	const struct section *section = &r->sections[origin.section];
	uint32_t index = section->reloc_of[origin.insn];

	if (!index)
		return false;
	memcpy(ret_reloc, section->relocs + (index - 1) * sizeof(*ret_reloc), sizeof(*ret_reloc));
	return true;
}

/* Where the function at @target is in the program; it is appended if it is not there yet. */
static int link_function(const struct reader *r, struct flat *flat, struct origin target,
			 size_t *ret_pc)
{
	Elf64_Sym symbol;
	int err = 0;

	for (*ret_pc = 0; *ret_pc < flat->count; ++*ret_pc)
		if (flat->origins[*ret_pc].section == target.section &&
		    flat->origins[*ret_pc].insn == target.insn)
			return 0;
	if (!find_function(r, target, &symbol))
		err = fail(r, -EINVAL, "a call to where no function begins", "");
	return err ? err : append_function(r, flat, &symbol);
}

/* The address of a callback: clang keeps its place in the section in imm. */
static int relocate_function(const struct reader *r, struct flat *flat, size_t pc,
			     const Elf64_Sym *symbol)
{
	uint64_t at = symbol->st_value + (uint32_t)flat->insns[pc].imm;
	struct origin target = {symbol->st_shndx, (uint32_t)(at / 8)};
	size_t found = 0;
	int err;

	if (at % 8 || at / 8 >= r->sections[symbol->st_shndx].insn_count)
		return fail(r, -EINVAL, "the address of a function that is none", "");
	err = link_function(r, flat, target, &found);
	if (err)
		return err;
	flat->insns[pc].src = EBPF_LDDW_FUNC;
	flat->insns[pc].imm = (int32_t)((int64_t)found - (int64_t)pc - 1);
	flat->insns[pc + 1].imm = 0;
	return 0;
}

static int relocate_constant(const struct reader *r, struct flat *flat, size_t pc,
			     const Elf64_Sym *symbol)
{
	struct ebpf_insn *insn = &flat->insns[pc];
	const char *name = elf_symbol_name(&r->elf, symbol);
	int map;

	if (insn->code != EBPF_LDDW || pc + 1 >= flat->count)
		return fail(r, -EINVAL, "an address where no 64-bit constant is", name);
	if (symbol->st_shndx == 0 || symbol->st_shndx >= r->elf.section_count)
		return fail(r, -ENOTSUP, "an external symbol", name);
	if (r->sections[symbol->st_shndx].code)
		return relocate_function(r, flat, pc, symbol);
	if (symbol->st_shndx == r->maps_section) {
		map = map_by_name(r, name);
		insn->src = EBPF_LDDW_MAP;
		insn[1].imm = 0;
	} else {
		map = r->sections[symbol->st_shndx].map;
		insn->src = EBPF_LDDW_VALUE;
		insn[1].imm = (int32_t)((uint32_t)symbol->st_value + (uint32_t)insn->imm);
	}
	if (map < 0)
		return fail(r, -ENOTSUP, "an address that is neither a map nor data", name);
	insn->imm = map;
	return 0;
}

/* Where a local call at @pc goes to, as section and instruction. */
static int call_target(const struct reader *r, const struct flat *flat, size_t pc,
		       struct origin *ret_target)
{
	struct origin origin = flat->origins[pc];
	int64_t insn = (int64_t)origin.insn + 1 + flat->insns[pc].imm;
	Elf64_Rel reloc;
	Elf64_Sym symbol;

	if (find_reloc(r, origin, &reloc)) {
		if (ELF64_R_TYPE(reloc.r_info) != R_BPF_CALL ||
		    !elf_symbol(&r->elf, (uint32_t)ELF64_R_SYM(reloc.r_info), &symbol) ||
		    symbol.st_shndx >= r->elf.section_count || symbol.st_value > UINT32_MAX)
			return fail(r, -ENOTSUP, "a call of an external function", "");
		origin.section = symbol.st_shndx;
		/* imm is the offset from the symbol in instructions, less one */
		insn = (int64_t)(symbol.st_value / 8) + flat->insns[pc].imm + 1;
	}
	if (insn < 0 || insn >= r->sections[origin.section].insn_count)
		return fail(r, -EINVAL, "a call to outside its section", "");
	*ret_target = (struct origin){origin.section, (uint32_t)insn};
	return 0;
}

static int relocate_call(const struct reader *r, struct flat *flat, size_t pc)
{
	struct origin target = {0};
	size_t i = 0;
	int err = call_target(r, flat, pc, &target);

	if (!err)
		err = link_function(r, flat, target, &i);
	if (err)
		return err;
	flat->insns[pc].imm = (int32_t)((int64_t)i - (int64_t)pc - 1);
	return 0;
}

static int relocate(const struct reader *r, struct flat *flat)
{
	Elf64_Rel reloc;
	Elf64_Sym symbol;
	size_t pc;
	int err = 0;

	/* flat->count grows while calls pull functions in */
	for (pc = 0; pc < flat->count && !err; pc++) {
		struct ebpf_insn insn = flat->insns[pc];

		if (ebpf_is_call(insn) && insn.src == EBPF_CALL_LOCAL) {
			err = relocate_call(r, flat, pc);
		} else if (find_reloc(r, flat->origins[pc], &reloc)) {
			if (ELF64_R_TYPE(reloc.r_info) != R_BPF_64 ||
			    !elf_symbol(&r->elf, (uint32_t)ELF64_R_SYM(reloc.r_info), &symbol))
				return fail(r, -ENOTSUP, "a relocation of an unknown kind", "");
			err = relocate_constant(r, flat, pc, &symbol);
		} else if (insn.code == EBPF_LDDW && insn.src != EBPF_LDDW_IMM) {
			return fail(r, -EINVAL, "a map reference without its relocation", "");
		}
		if (insn.code == EBPF_LDDW)
			pc++;
	}
	return err;
}

static int take_flat(const struct reader *r, struct flat *flat, struct ebpf_code *code)
{
	const char *reason;
	size_t i, index;
	int err = ebpf_insns_check(flat->insns, flat->count, &index, &reason);

	if (err) {
		ebpf_log_set(r->log, r->log_size, "%s: instruction %zu: %s\n", code->name, index,
			     reason);
		return err;
	}
	code->lines = flat->count ? calloc(flat->count, sizeof(*code->lines)) : NULL;
	if (!code->lines)
		return -ENOMEM;
	for (i = 0; i < flat->count; i++) {
		struct origin origin = flat->origins[i];

		code->lines[i] = (int32_t)r->sections[origin.section].line_of[origin.insn] - 1;
	}
	code->count = (uint32_t)flat->count;
	code->insns = flat->insns;
	flat->insns = NULL;
	return 0;
}

static int read_prog(struct reader *r, const Elf64_Sym *symbol)
{
	const char *section = elf_section_name(&r->elf, symbol->st_shndx);
	struct flat flat = {0};
	struct ebpf_code *code;
	int err;

	if (r->obj->prog_count == EBPF_PROGS_MAX)
		return fail(r, -ENOTSUP, "more programs than an object may have", section);
	code = &r->obj->progs[r->obj->prog_count];
	snprintf(code->name, sizeof(code->name), "%s", elf_symbol_name(&r->elf, symbol));
	snprintf(code->section, sizeof(code->section), "%s", section);
	code->type = ebpf_prog_type_find(section);
	if (!code->type)
		return fail(r, -ENOTSUP, "a section that names no kind of program", section);
	r->obj->prog_count++;
	err = append_function(r, &flat, symbol);
	if (!err)
		err = relocate(r, &flat);
	if (!err)
		err = take_flat(r, &flat, code);
	free(flat.insns);
	free(flat.origins);
	return err;
}

/* Programs are the global functions outside .text; functions in .text are called by them. */
static int read_progs(struct reader *r)
{
	Elf64_Sym symbol;
	uint32_t i;
	int err;

	for (i = 0; elf_symbol(&r->elf, i, &symbol); i++) {
		if (!is_function(r, &symbol) || ELF64_ST_BIND(symbol.st_info) == STB_LOCAL ||
		    strcmp(elf_section_name(&r->elf, symbol.st_shndx), ".text") == 0)
			continue;
		err = read_prog(r, &symbol);
		if (err)
			return err;
	}
	if (r->obj->prog_count == 0)
		return fail(r, -EINVAL, "no programs", "");
	return 0;
}

/* One record of a source line: it begins at an instruction and holds until the next record. */
struct line_record {
	uint32_t insn_off, file_name, line, line_col;
};

static int add_line(struct reader *r, struct section *section, const struct line_record *record)
{
	const char *file = btf_string(&r->btf, record->file_name);
	const char *text = btf_string(&r->btf, record->line);
	struct ebpf_line *line = &r->obj->lines[r->obj->line_count];

	if (!file || !text || record->insn_off / 8 >= section->insn_count ||
	    r->obj->line_count == LINES_MAX)
		return 0;
	line->file = strndup(file, EBPF_LOG_LINE);
	line->text = strndup(text + strspn(text, " \t"), EBPF_LOG_LINE);
	line->number = record->line_col >> 10;
	r->obj->line_count++;
	section->line_of[record->insn_off / 8] = r->obj->line_count;
	return line->file && line->text ? 0 : -ENOMEM;
}

/* Instructions without a record of their own belong to the one before. */
static void spread_lines(struct section *section)
{
	uint32_t i;

	for (i = 1; i < section->insn_count; i++)
		if (!section->line_of[i])
			section->line_of[i] = section->line_of[i - 1];
}

/* u32 record size, then per section {u32 name, u32 count, records} */
static int read_line_records(struct reader *r, const uint8_t *data, size_t size)
{
	uint32_t record_size, head[2], i, index;
	struct line_record record;
	struct section none = {.insn_count = 0}, *section;
	const char *name;
	int err = 0;

	memcpy(&record_size, data, 4);
	data += 4;
	size -= 4;
	if (record_size < sizeof(record))
		return 0;
	while (size >= sizeof(head) && !err) {
		memcpy(head, data, sizeof(head));
		data += sizeof(head);
		size -= sizeof(head);
		name = btf_string(&r->btf, head[0]);
		index = name ? elf_find_section(&r->elf, name) : 0;
		section = index && r->sections[index].code ? &r->sections[index] : &none;
		for (i = 0; i < head[1] && size >= record_size && !err; i++) {
			memcpy(&record, data, sizeof(record));
			data += record_size;
			size -= record_size;
			err = add_line(r, section, &record);
		}
		spread_lines(section);
	}
	return err;
}

/* Source lines are for reports only: an object without them, or with odd ones, is fine. */
static int read_lines(struct reader *r)
{
	struct {
		uint16_t magic;
		uint8_t version, flags;
		uint32_t header_len, func_off, func_len, line_off, line_len;
	} head;
	uint32_t index = elf_find_section(&r->elf, ".BTF.ext");
	const uint8_t *data;
	uint64_t start;
	size_t size;

	data = index ? elf_data(&r->elf, index, &size) : NULL;
	if (!data || size < sizeof(head))
		return 0;
	memcpy(&head, data, sizeof(head));
	start = (uint64_t)head.header_len + head.line_off;
	if (start > size || head.line_len > size - start || head.line_len < 4)
		return 0;
	/* no record is shorter than 16 bytes */
	r->obj->lines = calloc(head.line_len / 16 + 1, sizeof(*r->obj->lines));
	if (!r->obj->lines)
		return -ENOMEM;
	return read_line_records(r, data + start, head.line_len);
}

static int read_all(struct reader *r, const void *bytes, size_t size)
{
	const char *reason;
	const uint8_t *btf;
	size_t btf_size;
	uint32_t index;
	int err = elf_open(&r->elf, bytes, size, &reason);

	if (err)
		return fail(r, err, reason, "");
	index = elf_find_section(&r->elf, ".BTF");
	btf = index ? elf_data(&r->elf, index, &btf_size) : NULL;
	if (btf)
		err = btf_open(&r->btf, btf, btf_size);
	if (err)
		return fail(r, err, "broken BTF", "");
	err = read_maps(r);
	if (!err)
		err = read_sections(r);
	if (!err)
		err = read_lines(r);
	if (!err)
		err = read_progs(r);
	return err;
}

int ebpf_object_read(const void *elf, size_t size, struct ebpf_object *obj, char *log,
		     size_t log_size)
{
	struct reader *r;
	uint32_t i;
	int err;

	if (size > ELF_SIZE_MAX)
		return -E2BIG;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->obj = obj;
	r->log = log;
	r->log_size = log_size;
	err = read_all(r, elf, size);
	for (i = 0; i < ELF_SECTIONS_MAX; i++) {
		free(r->sections[i].reloc_of);
		free(r->sections[i].line_of);
	}
	btf_close(&r->btf);
	free(r);
	return err;
}
