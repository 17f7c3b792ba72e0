/* Objects made by hand, without ELF. */
#include "programs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const program_maps[] = {"counters", "value",   "hash", "const",   "percpu", "ring",
				    "outer",    "handles", "lru",  "sockets", NULL};

struct ebpf_object *program_object(void)
{
	static const struct ebpf_map_def inner = {
		.name = "inner",
		.type = BPF_MAP_TYPE_ARRAY,
		.key_size = 4,
		.value_size = 24,
		.max_entries = 4,
	};
	static const struct ebpf_map_def maps[] = {
		{.name = "counters", BPF_MAP_TYPE_ARRAY, 4, 8, 32},
		{.name = "value", BPF_MAP_TYPE_ARRAY, 4, 48, 1},
		{.name = "hash", BPF_MAP_TYPE_HASH, 8, 16, 64},
		{.name = "const", BPF_MAP_TYPE_ARRAY, 4, 64, 1, .read_only = true},
		{.name = "percpu", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 24, 4},
		{.name = "ring", BPF_MAP_TYPE_RINGBUF, 0, 0, 4096},
		{.name = "outer", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 4},
		{.name = "handles", BPF_MAP_TYPE_DEVMAP, 4, 4, 4},
		{.name = "lru", BPF_MAP_TYPE_LRU_HASH, 8, 24, 4},
		{.name = "sockets", BPF_MAP_TYPE_XSKMAP, 4, 4, 4},
	};
	struct ebpf_object *obj = calloc(1, sizeof(*obj));

	if (!obj)
		abort();
	atomic_init(&obj->refs, 1);
	obj->engine = "none";
	memcpy(obj->maps, maps, sizeof(maps));
	obj->map_count = sizeof(maps) / sizeof(maps[0]);
	obj->maps[PROGRAM_OUTER].inner = malloc(sizeof(inner));
	if (!obj->maps[PROGRAM_OUTER].inner)
		abort();
	*obj->maps[PROGRAM_OUTER].inner = inner;
	return obj;
}

struct ebpf_code *program_add(struct ebpf_object *obj, const char *section,
			      const struct ebpf_insn *insns, size_t count)
{
	struct ebpf_code *code = &obj->progs[obj->prog_count++];

	*code = (struct ebpf_code){.count = (uint32_t)count};
	snprintf(code->name, sizeof(code->name), "test");
	snprintf(code->section, sizeof(code->section), "%s", section);
	code->type = ebpf_prog_type_find(section);
	code->insns = malloc(count * sizeof(*insns) + 1);
	if (!code->insns || !code->type)
		abort();
	memcpy(code->insns, insns, count * sizeof(*insns));
	return code;
}

void program_drop(struct ebpf_object *obj)
{
	struct ebpf_code *code = &obj->progs[--obj->prog_count];

	ebpf_code_finish(code);
	obj->verified = obj->prepared = false;
}

bool program_is_repeatable(const struct ebpf_insn *insns, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (ebpf_is_call(insns[i]) && (insns[i].imm == BPF_FUNC_ktime_get_ns ||
					       insns[i].imm == BPF_FUNC_get_prandom_u32))
			return false;
	return true;
}
