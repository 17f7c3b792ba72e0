/* Life of objects and instances: opened, verified, prepared, shared; maps of their own per
 * instance. */
#include "bpf/object.h"
#include "bpf/disasm.h"
#include "bpf/jit.h"
#include "bpf/trace.h"
#include "bpf/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ebpf_instance {
	struct ebpf_object *obj;
	struct ebpf_env env;
	struct ebpf_prog progs[EBPF_PROGS_MAX];
};

void ebpf_log_set(char *log, size_t log_size, const char *format, ...)
{
	va_list args;

	if (!log || !log_size)
		return;
	va_start(args, format);
	vsnprintf(log, log_size, format, args);
	va_end(args);
}

int ebpf_object_open(const void *elf, size_t size, char *log, size_t log_size,
		     struct ebpf_object **ret_obj)
{
	struct ebpf_object *obj = calloc(1, sizeof(*obj));
	int err;

	ebpf_log_set(log, log_size, "%s", "");
	if (!obj)
		return -ENOMEM;
	atomic_init(&obj->refs, 1);
	obj->engine = "none";
	err = ebpf_object_read(elf, size, obj, log, log_size);
	if (err) {
		ebpf_object_unref(obj);
		return err;
	}
	*ret_obj = obj;
	return 0;
}

int ebpf_object_verify(struct ebpf_object *obj, char *log, size_t log_size)
{
	int err, first = 0;
	uint32_t i;

	ebpf_log_set(log, log_size, "%s", "");
	for (i = 0; i < obj->prog_count; i++) {
		err = ebpf_verify(obj, &obj->progs[i], first ? NULL : log, log_size);
		first = first ? first : err;
	}
	obj->verified = !first;
	return first;
}

const struct ebpf_refusal *ebpf_object_refusal(const struct ebpf_object *obj)
{
	uint32_t i;

	for (i = 0; i < obj->prog_count; i++)
		if (obj->progs[i].refusal)
			return obj->progs[i].refusal;
	return NULL;
}

const struct ebpf_refusal *ebpf_object_prog_refusal(const struct ebpf_object *obj, const char *name)
{
	const struct ebpf_code *code = ebpf_object_find(obj, name);

	return code ? code->refusal : NULL;
}

static bool is_runnable(const struct ebpf_object *obj)
{
	uint32_t i;

	for (i = 0; i < obj->prog_count; i++)
		if (!obj->progs[i].type->runnable)
			return false;
	for (i = 0; i < obj->map_count; i++)
		if (!ebpf_map_kind_find(obj->maps[i].type)->runnable)
			return false;
	return true;
}

static int compile_all(struct ebpf_object *obj)
{
	uint32_t i;
	int err;

	for (i = 0; i < obj->prog_count; i++) {
		err = ebpf_jit_compile(obj, &obj->progs[i]);
		if (err)
			return err;
	}
	return 0;
}

int ebpf_object_prepare(struct ebpf_object *obj, enum ebpf_engine engine)
{
	int err = -ENOTSUP;

	if (!obj->verified)
		return -EACCES;
	if (obj->prepared)
		return -EALREADY;
	if (!is_runnable(obj))
		return -ENOTSUP;
	if (engine != EBPF_ENGINE_INTERPRETER)
		err = compile_all(obj);
	if (err && (err != -ENOTSUP || engine == EBPF_ENGINE_COMPILER))
		return err;
	if (engine == EBPF_ENGINE_INTERPRETER)
		err = -ENOTSUP;
	obj->engine = err ? "interpreter" : "compiler";
	obj->prepared = true;
	return 0;
}

int ebpf_object_load(const void *elf, size_t size, char *log, size_t log_size,
		     struct ebpf_object **ret_obj)
{
	struct ebpf_object *obj;
	int err = ebpf_object_open(elf, size, log, log_size, &obj);

	if (err)
		return err;
	err = ebpf_object_verify(obj, log, log_size);
	if (!err) {
		err = ebpf_object_prepare(obj, EBPF_ENGINE_AUTO);
		if (err)
			ebpf_log_set(
				log, log_size,
				"verified, but it cannot run here: programs for Linux only, or no "
				"memory for code\n");
	}
	if (err) {
		ebpf_object_unref(obj);
		return err;
	}
	*ret_obj = obj;
	return 0;
}

struct ebpf_object *ebpf_object_ref(struct ebpf_object *obj)
{
	/* relaxed: the caller's own reference keeps the object alive */
	atomic_fetch_add_explicit(&obj->refs, 1, memory_order_relaxed);
	return obj;
}

void ebpf_code_finish(struct ebpf_code *code)
{
	ebpf_jit_free(code);
	free(code->insns);
	free(code->lines);
	free(code->calls);
	free(code->refusal);
}

void ebpf_object_unref(struct ebpf_object *obj)
{
	uint32_t i;

	/* acq_rel: everything done with other references happened before the destruction */
	if (!obj || atomic_fetch_sub_explicit(&obj->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (i = 0; i < obj->prog_count; i++)
		ebpf_code_finish(&obj->progs[i]);
	for (i = 0; i < obj->map_count; i++)
		ebpf_map_def_finish(&obj->maps[i]);
	for (i = 0; i < obj->line_count; i++) {
		free(obj->lines[i].file);
		free(obj->lines[i].text);
	}
	free(obj->lines);
	free(obj);
}

const struct ebpf_code *ebpf_object_find(const struct ebpf_object *obj, const char *name)
{
	uint32_t i;

	for (i = 0; i < obj->prog_count; i++)
		if (strcmp(obj->progs[i].section, name) == 0 ||
		    strcmp(obj->progs[i].name, name) == 0)
			return &obj->progs[i];
	return NULL;
}

bool ebpf_object_has_prog(const struct ebpf_object *obj, const char *name)
{
	return ebpf_object_find(obj, name) != NULL;
}

const char *ebpf_object_prog_name(const struct ebpf_object *obj, uint32_t index,
				  const char **ret_section)
{
	if (index >= obj->prog_count)
		return NULL;
	if (ret_section)
		*ret_section = obj->progs[index].section;
	return obj->progs[index].name;
}

uint32_t ebpf_object_prog_size(const struct ebpf_object *obj, const char *name)
{
	const struct ebpf_code *code = ebpf_object_find(obj, name);

	return code ? code->count : 0;
}

uint64_t ebpf_object_prog_cost(const struct ebpf_object *obj, const char *name)
{
	const struct ebpf_code *code = ebpf_object_find(obj, name);

	return code ? code->cost : 0;
}

bool ebpf_object_prog_writes_packet(const struct ebpf_object *obj, const char *name)
{
	const struct ebpf_code *code = ebpf_object_find(obj, name);

	return code && code->writes_packet;
}

const char *ebpf_object_engine(const struct ebpf_object *obj)
{
	return obj->engine;
}

static uint64_t interpret(uint64_t ctx, const struct ebpf_env *env, const struct ebpf_prog *prog)
{
	return ebpf_interp_run(prog->code, ctx, 0, env);
}

static bool prints(const struct ebpf_object *obj)
{
	uint32_t i, pc;

	for (i = 0; i < obj->prog_count; i++)
		for (pc = 0; pc < obj->progs[i].count; pc++)
			if (ebpf_is_call(obj->progs[i].insns[pc]) &&
			    obj->progs[i].insns[pc].src == EBPF_CALL_HELPER &&
			    obj->progs[i].insns[pc].imm == BPF_FUNC_trace_printk)
				return true;
	return false;
}

/* Arrays of maps as their definitions say; all maps are there. */
static int set_inner_maps(struct ebpf_instance *inst)
{
	uint32_t i, j;
	int err = 0;

	for (i = 0; i < inst->obj->map_count; i++) {
		const struct ebpf_map_def *def = &inst->obj->maps[i];

		for (j = 0; def->initial_maps && j < def->max_entries && !err; j++)
			if (def->initial_maps[j] >= 0)
				err = ebpf_map_inner_set(inst->env.slot[i].map, j,
							 inst->env.slot[def->initial_maps[j]].map);
	}
	return err;
}

static int make_env(struct ebpf_instance *inst)
{
	uint32_t i;
	int err;

	for (i = 0; i < inst->obj->map_count; i++) {
		err = ebpf_map_create(&inst->obj->maps[i], &inst->env.slot[i].map);
		if (err)
			return err;
		inst->env.slot[i].values = ebpf_map_values(inst->env.slot[i].map);
	}
	if (prints(inst->obj)) {
		inst->env.trace = ebpf_trace_create();
		if (!inst->env.trace)
			return -ENOMEM;
	}
	return set_inner_maps(inst);
}

int ebpf_instance_create(struct ebpf_object *obj, struct ebpf_instance **ret_inst)
{
	struct ebpf_instance *inst;
	uint32_t i;
	int err;

	if (!obj->prepared)
		return -EACCES;
	inst = calloc(1, sizeof(*inst));
	if (!inst)
		return -ENOMEM;
	inst->obj = ebpf_object_ref(obj);
	err = make_env(inst);
	if (err) {
		ebpf_instance_destroy(inst);
		return err;
	}
	for (i = 0; i < obj->prog_count; i++)
		inst->progs[i] = (struct ebpf_prog){
			.entry = obj->progs[i].native ? obj->progs[i].native : interpret,
			.env = &inst->env,
			.code = &obj->progs[i],
		};
	*ret_inst = inst;
	return 0;
}

void ebpf_instance_destroy(struct ebpf_instance *inst)
{
	uint32_t i;

	if (!inst)
		return;
	for (i = 0; i < inst->obj->map_count; i++)
		ebpf_map_destroy(inst->env.slot[i].map);
	ebpf_trace_destroy(inst->env.trace);
	ebpf_object_unref(inst->obj);
	free(inst);
}

void ebpf_instance_set_host(struct ebpf_instance *inst, const struct ebpf_host *host)
{
	inst->env.host = *host;
}

int64_t ebpf_instance_trace(struct ebpf_instance *inst, char *buf, size_t size, uint64_t *ret_lost)
{
	struct ebpf_ring *ring;

	if (!inst->env.trace)
		return -ENOENT;
	ring = &inst->env.trace->ring;
	if (ret_lost)
		*ret_lost = atomic_load_explicit(&ring->lost, memory_order_relaxed);
	return ebpf_ring_take(ring, buf, size);
}

const struct ebpf_object *ebpf_instance_object(const struct ebpf_instance *inst)
{
	return inst->obj;
}

const struct ebpf_prog *ebpf_instance_prog(const struct ebpf_instance *inst, const char *name)
{
	const struct ebpf_code *code = ebpf_object_find(inst->obj, name);

	return code ? &inst->progs[code - inst->obj->progs] : NULL;
}

struct ebpf_map *ebpf_instance_map(const struct ebpf_instance *inst, const char *name)
{
	uint32_t i;

	for (i = 0; i < inst->obj->map_count; i++)
		if (strcmp(inst->obj->maps[i].name, name) == 0)
			return inst->env.slot[i].map;
	return NULL;
}

struct ebpf_map *ebpf_instance_map_at(const struct ebpf_instance *inst, uint32_t index)
{
	return index < inst->obj->map_count ? inst->env.slot[index].map : NULL;
}

/* Is all of it there to be run? */
static bool can_be_trusted(const struct ebpf_insn *insns, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (ebpf_is_classic(insns[i]) ||
		    (ebpf_is_call(insns[i]) && insns[i].src == EBPF_CALL_HELPER &&
		     (insns[i].imm <= 0 || insns[i].imm >= EBPF_HELPERS ||
		      !ebpf_helpers[insns[i].imm].fn)))
			return false;
	return true;
}

int ebpf_run_trusted(const void *insns, size_t count, enum ebpf_engine engine, void *memory,
		     size_t memory_size, uint64_t *ret_r0)
{
	const struct ebpf_object obj = {.map_count = 0};
	const struct ebpf_env env = {0};
	struct ebpf_code code = {.count = (uint32_t)count};
	const char *reason;
	size_t index;
	int err;

	code.insns = calloc(count ? count : 1, sizeof(*code.insns));
	if (!code.insns)
		return -ENOMEM;
	memcpy(code.insns, insns, count * sizeof(*code.insns));
	err = ebpf_insns_check(code.insns, count, &index, &reason);
	if (!err && !can_be_trusted(code.insns, count))
		err = -EINVAL;
	if (!err && engine != EBPF_ENGINE_INTERPRETER)
		err = ebpf_jit_compile(&obj, &code);
	if (!err && code.native)
		*ret_r0 =
			code.native((uintptr_t)memory, &env, (const void *)(uintptr_t)memory_size);
	else if (!err)
		*ret_r0 = ebpf_interp_run(&code, (uintptr_t)memory, memory_size, &env);
	ebpf_jit_free(&code);
	free(code.insns);
	return err;
}

int ebpf_object_disasm(const struct ebpf_object *obj, const char *name, char *buf, size_t size)
{
	const struct ebpf_code *code = ebpf_object_find(obj, name);

	if (!code)
		return -ENOENT;
	return ebpf_disasm_code(obj, code, buf, size);
}
