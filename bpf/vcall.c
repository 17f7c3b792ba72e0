/* Calls: helpers by the platform table, functions of the program by walking into them. */
#include "bpf/verify_priv.h"

#include <stdlib.h>
#include <string.h>

/* What the arguments checked so far say about the later ones. */
struct call {
	const struct ebpf_helper *helper;
	int map;            /* index, -1: none yet */
	struct vreg memory; /* an ARG_MEM waiting for its size */
	uint8_t memory_kind;
};

/* A pointer argument to @size bytes. */
static int check_memory(struct verifier *v, const struct vreg *reg, uint32_t size, bool fills)
{
	int err;

	if (reg->type == V_STACK && fills)
		return verify_stack_clobber(v, reg, 0, size, true);
	if (reg->type == V_STACK)
		return verify_stack_read(v, reg, 0, size);
	err = verify_area(v, reg, 0, size, fills ? ACCESS_WRITE : ACCESS_READ);
	return err;
}

static int check_size(struct verifier *v, struct call *call, const struct vreg *reg, uint8_t arg)
{
	const struct range *r = &reg->var.r64;
	bool fills = call->memory_kind == ARG_MEM_OUT;

	if (reg->type != V_SCALAR)
		return verify_fail(v, "pass a number", "the size of memory must be a number");
	if (r->umax >= VERIFY_OFFSET_MAX)
		return verify_fail(v, "bound the size: if (n > sizeof(buf)) return LEAT_DROP;",
				   "the size of memory is unbounded");
	if (r->umin == 0 && arg == ARG_SIZE)
		return verify_fail(v, "make sure that the size is not 0",
				   "the size of memory may be 0");
	if (r->umax == 0)
		return 0;
	/* a size that is not constant: the last bytes are only perhaps written */
	if (fills && call->memory.type == V_STACK && r->umin != r->umax) {
		int err = verify_stack_clobber(v, &call->memory, 0, (uint32_t)r->umax, false);

		if (err || r->umin == 0)
			return err;
		return verify_stack_clobber(v, &call->memory, 0, (uint32_t)r->umin, true);
	}
	return check_memory(v, &call->memory, (uint32_t)r->umax, fills);
}

static int check_arg(struct verifier *v, struct call *call, unsigned int index)
{
	const struct vreg *reg = vreg_at(v, index + 1);
	uint8_t arg = call->helper->args[index];
	int err = verify_reads(v, index + 1);

	if (err)
		return err;
	switch (arg) {
	case ARG_SCALAR:
		if (vreg_is_pointer(reg))
			return verify_fail(v, "pass a number",
					   "a pointer where a number is wanted");
		return 0;
	case ARG_MAP:
		if (reg->type != V_MAP)
			return verify_fail(v, "pass the address of a map: &name",
					   "argument %u is not a map", index + 1);
		if (call->helper->changes_map && v->obj->maps[reg->map].read_only)
			return verify_fail(v, "use a map that is not constant data",
					   "constant data would be changed");
		call->map = reg->map;
		return 0;
	case ARG_KEY:
		return check_memory(v, reg, v->obj->maps[call->map].key_size, false);
	case ARG_VALUE:
		return check_memory(v, reg, v->obj->maps[call->map].value_size, false);
	case ARG_MEM:
	case ARG_MEM_OUT:
		call->memory = *reg;
		call->memory_kind = arg;
		return 0;
	case ARG_CTX:
		if (reg->type != V_CTX || reg->off)
			return verify_fail(v, "pass the context that the program was given",
					   "argument %u is not the context", index + 1);
		return 0;
	default:
		return check_size(v, call, reg, arg);
	}
}

static void forget_packet(struct vreg *reg, void *arg)
{
	(void)arg;
	if (reg->type == V_PKT || reg->type == V_PKT_END)
		*reg = (struct vreg){.type = V_NONE};
}

static void forget_arguments(struct verifier *v)
{
	unsigned int i;

	for (i = 0; i <= 5; i++)
		*vreg_at(v, i) = (struct vreg){.type = V_NONE};
}

/* The key of a lookup, if it is one number of four bytes; else < 0. */
static int64_t constant_key(struct verifier *v, const struct call *call)
{
	const struct vreg *reg = vreg_at(v, 2);
	uint64_t key;

	if (call->map < 0 || call->helper->args[1] != ARG_KEY ||
	    v->obj->maps[call->map].key_size != 4 || reg->type != V_STACK ||
	    !verify_stack_constant(v, reg, 4, &key))
		return CALL_MANY;
	return (int64_t)key;
}

/* Remembers for the compiler which map and key a call is given, if they are always the same. */
static void note_call(struct verifier *v, int32_t map, int64_t key)
{
	struct ebpf_call_note *note = &v->code->calls[v->pc];

	if (note->map == CALL_NOT_SEEN)
		*note = (struct ebpf_call_note){map, key};
	if (note->map != map)
		note->map = CALL_MANY;
	if (note->key != key)
		note->key = CALL_MANY;
}

/* A key below the size of an array is always found. */
static enum vtype lookup_type(const struct verifier *v, int map, int64_t key)
{
	const struct ebpf_map_def *def = &v->obj->maps[map];

	return ebpf_map_is_array(def->type) && key >= 0 && key < def->max_entries ? V_VALUE :
										    V_VALUE_OR_NULL;
}

int verify_call(struct verifier *v, struct ebpf_insn insn)
{
	struct call call = {.map = -1};
	unsigned int i;
	int64_t key;
	int err;

	if (!ebpf_prog_type_allows(v->type, insn.imm))
		return verify_fail(v, "use the helpers that the documentation lists",
				   "helper %d is not there for this kind of program", insn.imm);
	call.helper = &ebpf_helpers[insn.imm];
	for (i = 0; i < 5 && call.helper->args[i] != ARG_NONE; i++) {
		err = check_arg(v, &call, i);
		if (err)
			return err;
	}
	key = constant_key(v, &call);
	if (call.map >= 0)
		note_call(v, call.map, key);
	if (call.helper->moves_packet)
		vstate_each(&v->now, forget_packet, NULL);
	forget_arguments(v);
	if (call.helper->ret == RET_VALUE_OR_NULL) {
		*vreg_at(v, 0) = vreg_pointer(lookup_type(v, call.map, key));
		vreg_at(v, 0)->map = (uint16_t)call.map;
		if (vreg_at(v, 0)->type == V_VALUE_OR_NULL)
			vreg_at(v, 0)->id = v->next_id++;
	} else {
		*vreg_at(v, 0) = vreg_scalar(scalar_unknown());
	}
	return 0;
}

int verify_local_call(struct verifier *v, struct ebpf_insn insn)
{
	const struct vframe *caller = vstate_top(&v->now);
	struct vframe *callee;
	unsigned int i;

	if (v->now.depth + 1 == EBPF_CALL_DEPTH)
		return verify_fail(v, "inline some of the functions; recursion is not possible",
				   "more than %d functions are active", EBPF_CALL_DEPTH);
	callee = vframe_create();
	if (!callee)
		return -ENOMEM;
	callee->return_pc = v->pc + 1;
	for (i = 1; i <= 5; i++)
		callee->regs[i] = caller->regs[i];
	v->now.depth++;
	v->now.frames[v->now.depth] = callee;
	/* a new stack: nothing from before is read in it */
	memset(v->written.bits[v->now.depth], 0xff, sizeof(v->written.bits[0]));
	callee->regs[EBPF_REG_FP] = vreg_pointer(V_STACK);
	callee->regs[EBPF_REG_FP].frame = (uint8_t)v->now.depth;
	v->pc = (uint32_t)((int64_t)v->pc + 1 + insn.imm);
	return 0;
}

int verify_exit(struct verifier *v)
{
	struct vframe *callee = vstate_top(&v->now);
	struct vreg result = callee->regs[0];
	int err;

	if (v->now.depth == 0) {
		err = verify_reads(v, 0);
		if (!err && vreg_is_pointer(&result))
			err = verify_fail(v, "return a verdict",
					  "the program would return a pointer");
		return err ? err : 1;
	}
	/* a function may return nothing: then its caller must not read r0 */
	if (result.type == V_STACK)
		return verify_fail(v, "return a number",
				   "a function would return a pointer to a stack");
	v->pc = callee->return_pc;
	free(callee);
	v->now.frames[v->now.depth--] = NULL;
	forget_arguments(v);
	*vreg_at(v, 0) = result;
	return 0;
}
