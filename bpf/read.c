/*
 * From ELF bytes to an object: maps and BTF through libbpf, code and relocations through libelf
 * (libbpf relocates only while it loads into a kernel). Each program is flattened: its function
 * first, then every function that it calls, so that verifier and compiler see one array.
 */
#include "bpf/object.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <elf.h>
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ELF_SIZE_MAX (16u << 20)
#define SECTIONS_MAX 256
#define LINES_MAX 65536

#define R_BPF_64 1     /* a 64-bit constant: a map, or an address in a data section */
#define R_BPF_CALL 10  /* a call of a function in another section */

struct section {
	const char *name;
	const struct ebpf_insn *insns; /* executable ones only */
	size_t insn_count;
	Elf_Data *relocs;
	int map; /* index of the map that holds this data section, or -1 */
};

struct source_line {
	uint32_t section;
	uint32_t insn;
	uint32_t line; /* index into the object's lines */
};

struct reader {
	struct ebpf_object *obj;
	struct bpf_object *lib;
	Elf *elf;
	struct section sections[SECTIONS_MAX];
	size_t section_count;
	size_t maps_section; /* index of ".maps", 0 if there is none */
	Elf_Data *symbols;
	size_t symbol_names; /* string table of the symbols */
	struct source_line *lines; /* in the order of .BTF.ext: by section, then by instruction */
	size_t line_count;
	char *log;
	size_t log_size;
};

/* One function being flattened into a program. */
struct origin {
	uint32_t section;
	uint32_t insn;
};

struct flat {
	struct ebpf_insn *insns;
	struct origin *origins;
	size_t count;
};

static _Thread_local char *libbpf_log;
static _Thread_local size_t libbpf_log_size;

__attribute__((format(printf, 2, 0))) static int
capture_log(enum libbpf_print_level level, const char *format, va_list args)
{
	if (level != LIBBPF_WARN || !libbpf_log || !libbpf_log_size)
		return 0;
	return vsnprintf(libbpf_log, libbpf_log_size, format, args);
}

static void capture_init(void)
{
	libbpf_set_print(capture_log);
}

static int fail(const struct reader *r, int err, const char *what, const char *name)
{
	ebpf_log_set(r->log, r->log_size, "%s%s%s\n", what, *name ? ": " : "", name);
	return err;
}

static int read_map(struct reader *r, const struct bpf_map *map)
{
	struct ebpf_map_def *def = &r->obj->maps[r->obj->map_count];
	const char *name = bpf_map__name(map);
	const void *initial;
	size_t size = 0;
	int err;

	if (r->obj->map_count == EBPF_MAPS_MAX)
		return fail(r, -ENOTSUP, "more maps than an object may have", name);
	snprintf(def->name, sizeof(def->name), "%s", name);
	def->type = (uint32_t)bpf_map__type(map);
	def->key_size = bpf_map__key_size(map);
	def->value_size = bpf_map__value_size(map);
	def->max_entries = bpf_map__max_entries(map);
	def->read_only = bpf_map__map_flags(map) & BPF_F_RDONLY_PROG;
	err = ebpf_map_def_check(def);
	if (err)
		return fail(r, err, "a map of a type or size that Leat does not have", name);
	r->obj->map_count++;
	if (!bpf_map__is_internal(map))
		return 0;
	initial = bpf_map__initial_value((struct bpf_map *)(uintptr_t)map, &size);
	if (!initial)
		return 0;
	if (size > def->value_size || def->max_entries != 1)
		return fail(r, -EINVAL, "a data section of a wrong size", name);
	def->initial = calloc(1, def->value_size);
	if (!def->initial)
		return -ENOMEM;
	memcpy(def->initial, initial, size);
	return 0;
}

static int read_maps(struct reader *r)
{
	struct bpf_map *map;
	int err;

	bpf_object__for_each_map(map, r->lib)
	{
		err = read_map(r, map);
		if (err)
			return err;
	}
	return 0;
}

/* libbpf names the map of .rodata "leat.rodata", and that of .rodata.x ".rodata.x". */
static int data_section_map(const struct reader *r, const char *section)
{
	size_t i, n = strlen(section), m;

	if (strncmp(section, ".data", 5) && strncmp(section, ".rodata", 7) &&
	    strncmp(section, ".bss", 4))
		return -1;
	for (i = 0; i < r->obj->map_count; i++) {
		m = strlen(r->obj->maps[i].name);
		if (m >= n && strcmp(r->obj->maps[i].name + m - n, section) == 0)
			return (int)i;
	}
	return -1;
}

static int read_code_section(struct reader *r, struct section *section, Elf_Scn *scn)
{
	Elf_Data *data = elf_getdata(scn, NULL);

	if (!data || !data->d_buf)
		return 0;
	if (data->d_size % sizeof(struct ebpf_insn) || (uintptr_t)data->d_buf % 8)
		return fail(r, -EINVAL, "a code section of a broken size", section->name);
	section->insns = data->d_buf;
	section->insn_count = data->d_size / sizeof(struct ebpf_insn);
	return 0;
}

static int read_section(struct reader *r, Elf_Scn *scn, size_t names)
{
	size_t index = elf_ndxscn(scn);
	struct section *section = &r->sections[index];
	GElf_Shdr header;

	if (index >= SECTIONS_MAX || !gelf_getshdr(scn, &header))
		return fail(r, -EINVAL, "too many sections, or a broken one", "");
	section->name = elf_strptr(r->elf, names, header.sh_name);
	if (!section->name)
		return fail(r, -EINVAL, "a section without a name", "");
	section->map = data_section_map(r, section->name);
	if (index >= r->section_count)
		r->section_count = index + 1;
	if (strcmp(section->name, ".maps") == 0)
		r->maps_section = index;
	if (header.sh_type == SHT_SYMTAB) {
		r->symbols = elf_getdata(scn, NULL);
		r->symbol_names = header.sh_link;
	}
	if (header.sh_type == SHT_REL && header.sh_info < SECTIONS_MAX)
		r->sections[header.sh_info].relocs = elf_getdata(scn, NULL);
	if (header.sh_type == SHT_PROGBITS && (header.sh_flags & SHF_EXECINSTR))
		return read_code_section(r, section, scn);
	return 0;
}

static int read_sections(struct reader *r)
{
	Elf_Scn *scn = NULL;
	size_t names;
	int err;

	if (elf_getshdrstrndx(r->elf, &names))
		return fail(r, -EINVAL, "no section names", "");
	while ((scn = elf_nextscn(r->elf, scn))) {
		err = read_section(r, scn, names);
		if (err)
			return err;
	}
	if (!r->symbols)
		return fail(r, -EINVAL, "no symbol table", "");
	return 0;
}

static bool symbol_at(const struct reader *r, size_t index, GElf_Sym *ret_symbol)
{
	return index <= INT32_MAX && gelf_getsym(r->symbols, (int)index, ret_symbol);
}

static const char *symbol_name(const struct reader *r, const GElf_Sym *symbol)
{
	const char *name = elf_strptr(r->elf, r->symbol_names, symbol->st_name);

	return name ? name : "";
}

/* The function symbol that covers an instruction. */
static bool find_function(const struct reader *r, size_t section, uint64_t insn,
			  GElf_Sym *ret_symbol)
{
	size_t i;

	for (i = 0; symbol_at(r, i, ret_symbol); i++) {
		uint64_t start = ret_symbol->st_value / 8, count = ret_symbol->st_size / 8;

		if (GELF_ST_TYPE(ret_symbol->st_info) == STT_FUNC &&
		    ret_symbol->st_shndx == section && insn >= start && insn - start < count)
			return true;
	}
	return false;
}

static int append_function(const struct reader *r, struct flat *flat, size_t section,
			   const GElf_Sym *symbol)
{
	const struct section *from = &r->sections[section];
	uint64_t start = symbol->st_value / 8, count = symbol->st_size / 8, i;
	void *memory;

	if (start > from->insn_count || count > from->insn_count - start || count == 0)
		return fail(r, -EINVAL, "a function outside its section", symbol_name(r, symbol));
	if (flat->count + count > EBPF_INSNS_MAX)
		return fail(r, -E2BIG, "too many instructions", symbol_name(r, symbol));
	memory = reallocarray(flat->insns, flat->count + count, sizeof(*flat->insns));
	if (!memory)
		return -ENOMEM;
	flat->insns = memory;
	memory = reallocarray(flat->origins, flat->count + count, sizeof(*flat->origins));
	if (!memory)
		return -ENOMEM;
	flat->origins = memory;
	memcpy(flat->insns + flat->count, from->insns + start, count * sizeof(*flat->insns));
	for (i = 0; i < count; i++)
		flat->origins[flat->count + i] =
			(struct origin){(uint32_t)section, (uint32_t)(start + i)};
	flat->count += count;
	return 0;
}

static bool find_reloc(const struct reader *r, struct origin origin, GElf_Rel *ret_reloc)
{
	Elf_Data *data = r->sections[origin.section].relocs;
	int i;

	if (!data)
		return false;
	for (i = 0; gelf_getrel(data, i, ret_reloc); i++)
		if (ret_reloc->r_offset == (uint64_t)origin.insn * 8)
			return true;
	return false;
}

static int map_by_name(const struct reader *r, const char *name)
{
	uint32_t i;

	for (i = 0; i < r->obj->map_count; i++)
		if (strcmp(r->obj->maps[i].name, name) == 0)
			return (int)i;
	return -1;
}

static int relocate_constant(const struct reader *r, struct flat *flat, size_t pc,
			     const GElf_Sym *symbol)
{
	struct ebpf_insn *insn = &flat->insns[pc];
	const char *name = symbol_name(r, symbol);
	int map;

	if (insn->code != EBPF_LDDW || pc + 1 >= flat->count)
		return fail(r, -EINVAL, "an address where no 64-bit constant is", name);
	if (symbol->st_shndx >= r->section_count)
		return fail(r, -ENOTSUP, "an external symbol", name);
	if (symbol->st_shndx == r->maps_section) {
		map = map_by_name(r, name);
		insn->src = EBPF_LDDW_MAP;
		insn[1].imm = 0;
	} else {
		map = r->sections[symbol->st_shndx].map;
		insn->src = EBPF_LDDW_VALUE;
		insn[1].imm = (int32_t)(symbol->st_value + (uint32_t)insn->imm);
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
	GElf_Rel reloc;
	GElf_Sym symbol;

	if (find_reloc(r, origin, &reloc)) {
		if (GELF_R_TYPE(reloc.r_info) != R_BPF_CALL ||
		    !symbol_at(r, GELF_R_SYM(reloc.r_info), &symbol) ||
		    symbol.st_shndx >= r->section_count)
			return fail(r, -ENOTSUP, "a call of an external function", "");
		origin.section = symbol.st_shndx;
		/* imm is the offset from the symbol in instructions, less one */
		insn = (int64_t)(symbol.st_value / 8) + flat->insns[pc].imm + 1;
	}
	if (insn < 0 || (uint64_t)insn >= r->sections[origin.section].insn_count)
		return fail(r, -EINVAL, "a call to outside its section", "");
	*ret_target = (struct origin){origin.section, (uint32_t)insn};
	return 0;
}

static int relocate_call(const struct reader *r, struct flat *flat, size_t pc)
{
	struct origin target;
	GElf_Sym symbol;
	size_t i;
	int err = call_target(r, flat, pc, &target);

	if (err)
		return err;
	for (i = 0; i < flat->count; i++)
		if (flat->origins[i].section == target.section &&
		    flat->origins[i].insn == target.insn)
			break;
	if (i == flat->count) {
		if (!find_function(r, target.section, target.insn, &symbol) ||
		    symbol.st_value / 8 != target.insn)
			return fail(r, -EINVAL, "a call to where no function begins", "");
		err = append_function(r, flat, target.section, &symbol);
		if (err)
			return err;
	}
	flat->insns[pc].imm = (int32_t)((int64_t)i - (int64_t)pc - 1);
	return 0;
}

static int relocate(const struct reader *r, struct flat *flat)
{
	GElf_Rel reloc;
	GElf_Sym symbol;
	size_t pc;
	int err = 0;

	/* flat->count grows while calls pull functions in */
	for (pc = 0; pc < flat->count && !err; pc++) {
		struct ebpf_insn insn = flat->insns[pc];

		if (ebpf_is_call(insn) && insn.src == EBPF_CALL_LOCAL) {
			err = relocate_call(r, flat, pc);
		} else if (find_reloc(r, flat->origins[pc], &reloc)) {
			if (GELF_R_TYPE(reloc.r_info) != R_BPF_64 ||
			    !symbol_at(r, GELF_R_SYM(reloc.r_info), &symbol))
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

static int32_t line_of(const struct reader *r, struct origin origin)
{
	int32_t best = -1;
	size_t i;

	for (i = 0; i < r->line_count; i++)
		if (r->lines[i].section == origin.section && r->lines[i].insn <= origin.insn)
			best = (int32_t)r->lines[i].line;
	return best;
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
	code->lines = calloc(flat->count, sizeof(*code->lines));
	if (!code->lines)
		return -ENOMEM;
	for (i = 0; i < flat->count; i++)
		code->lines[i] = line_of(r, flat->origins[i]);
	code->count = (uint32_t)flat->count;
	code->insns = flat->insns;
	flat->insns = NULL;
	return 0;
}

static int read_prog(struct reader *r, const GElf_Sym *symbol)
{
	const char *section = r->sections[symbol->st_shndx].name;
	struct flat flat = {0};
	struct ebpf_code *code;
	int err;

	if (r->obj->prog_count == EBPF_PROGS_MAX)
		return fail(r, -ENOTSUP, "more programs than an object may have", section);
	code = &r->obj->progs[r->obj->prog_count];
	snprintf(code->name, sizeof(code->name), "%s", symbol_name(r, symbol));
	snprintf(code->section, sizeof(code->section), "%s", section);
	code->type = ebpf_prog_type_find(section);
	if (!code->type)
		return fail(r, -ENOTSUP, "a section that names no kind of program", section);
	r->obj->prog_count++;
	err = append_function(r, &flat, symbol->st_shndx, symbol);
	if (!err)
		err = relocate(r, &flat);
	if (!err)
		err = take_flat(r, &flat, code);
	free(flat.insns);
	free(flat.origins);
	return err;
}

static int read_progs(struct reader *r)
{
	GElf_Sym symbol;
	size_t i;
	int err;

	for (i = 0; symbol_at(r, i, &symbol); i++) {
		if (GELF_ST_TYPE(symbol.st_info) != STT_FUNC ||
		    GELF_ST_BIND(symbol.st_info) == STB_LOCAL ||
		    symbol.st_shndx >= r->section_count || symbol.st_value % 8 ||
		    symbol.st_size % 8)
			continue;
		if (!r->sections[symbol.st_shndx].insns ||
		    strcmp(r->sections[symbol.st_shndx].name, ".text") == 0)
			continue;
		err = read_prog(r, &symbol);
		if (err)
			return err;
	}
	if (r->obj->prog_count == 0)
		return fail(r, -EINVAL, "no programs", "");
	return 0;
}

static int add_line(struct reader *r, const struct btf *btf, size_t section,
		    const struct bpf_line_info *info)
{
	struct ebpf_object *obj = r->obj;
	const char *file = btf__str_by_offset(btf, info->file_name_off);
	const char *text = btf__str_by_offset(btf, info->line_off);
	struct ebpf_line *line = &obj->lines[obj->line_count];

	if (!file || !text)
		return 0;
	line->file = strndup(file, EBPF_LOG_LINE);
	line->text = strndup(text + strspn(text, " \t"), EBPF_LOG_LINE);
	line->number = info->line_col >> 10;
	r->lines[r->line_count++] = (struct source_line){
		(uint32_t)section, info->insn_off / 8, obj->line_count};
	obj->line_count++;
	return line->file && line->text ? 0 : -ENOMEM;
}

static size_t section_by_name(const struct reader *r, const char *name)
{
	size_t i;

	for (i = 0; name && i < r->section_count; i++)
		if (r->sections[i].name && strcmp(r->sections[i].name, name) == 0)
			return i;
	return 0;
}

/* Line records: u32 record size, then per section {u32 name, u32 count, records}. */
static int read_line_records(struct reader *r, const struct btf *btf, const uint8_t *data,
			     size_t size)
{
	uint32_t record_size, head[2], i;
	struct bpf_line_info info;
	int err = 0;

	if (size < 4)
		return 0;
	memcpy(&record_size, data, 4);
	data += 4;
	size -= 4;
	if (record_size < sizeof(info))
		return 0;
	r->obj->lines = calloc(LINES_MAX, sizeof(*r->obj->lines));
	r->lines = calloc(LINES_MAX, sizeof(*r->lines));
	if (!r->obj->lines || !r->lines)
		return -ENOMEM;
	while (size >= sizeof(head) && !err) {
		size_t section;

		memcpy(head, data, sizeof(head));
		data += sizeof(head);
		size -= sizeof(head);
		section = section_by_name(r, btf__str_by_offset(btf, head[0]));
		for (i = 0; i < head[1] && size >= record_size && !err; i++) {
			memcpy(&info, data, sizeof(info));
			data += record_size;
			size -= record_size;
			if (r->line_count < LINES_MAX)
				err = add_line(r, btf, section, &info);
		}
	}
	return err;
}

/* Source lines are for reports only: an object without them, or with odd ones, is fine. */
static int read_lines(struct reader *r)
{
	size_t i = section_by_name(r, ".BTF.ext");
	struct btf *btf = bpf_object__btf(r->lib);
	struct {
		uint16_t magic;
		uint8_t version;
		uint8_t flags;
		uint32_t hdr_len;
		uint32_t func_info_off;
		uint32_t func_info_len;
		uint32_t line_info_off;
		uint32_t line_info_len;
	} head;
	Elf_Data *data;
	uint64_t start;

	data = i ? elf_getdata(elf_getscn(r->elf, i), NULL) : NULL;
	if (!btf || !data || !data->d_buf || data->d_size < sizeof(head))
		return 0;
	memcpy(&head, data->d_buf, sizeof(head));
	start = (uint64_t)head.hdr_len + head.line_info_off;
	if (start > data->d_size || head.line_info_len > data->d_size - start)
		return 0;
	return read_line_records(r, btf, (const uint8_t *)data->d_buf + start, head.line_info_len);
}

static int read_all(struct reader *r, char *image, size_t size)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "leat");
	int err;

	r->lib = bpf_object__open_mem(image, size, &opts);
	if (!r->lib)
		return -EINVAL; /* libbpf has said why */
	elf_version(EV_CURRENT);
	r->elf = elf_memory(image, size);
	if (!r->elf || gelf_getclass(r->elf) != ELFCLASS64)
		return fail(r, -EINVAL, "not a 64-bit ELF file", "");
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
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct reader *r;
	char *image;
	int err = -ENOMEM;

	if (size > ELF_SIZE_MAX)
		return -E2BIG;
	pthread_once(&once, capture_init);
	libbpf_log = log;
	libbpf_log_size = log_size;
	r = calloc(1, sizeof(*r));
	image = malloc(size ? size : 1); /* libelf wants memory that it may write to */
	if (r && image) {
		memcpy(image, elf, size);
		r->obj = obj;
		r->log = log;
		r->log_size = log_size;
		err = read_all(r, image, size);
		elf_end(r->elf);
		bpf_object__close(r->lib);
		free(r->lines);
	}
	free(image);
	free(r);
	libbpf_log = NULL;
	return err;
}
