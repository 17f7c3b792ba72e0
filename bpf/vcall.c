/* Calls: helpers by the platform table, functions of the program by walking into them. */
#include "bpf/verify_priv.h"
#include "leat/abi/filter.h"

#include <stdlib.h>
#include <string.h>

/* What the arguments checked so far say about the later ones. */
struct call {
	const struct ebpf_helper *helper;
	const struct ebpf_map_def *map; /* NULL: none yet */
	uint16_t map_index;             /* as in a vreg */
	struct vreg memory;             /* an ARG_MEM waiting for its size */
	uint8_t memory_kind;
	uint32_t record_size;
	uint32_t object_ref; /* of the object or record passed */
	uint32_t traced;     /* numbers that the format passed asks for */
};

const struct ebpf_map_def *verify_map_def(const struct verifier *v, uint16_t map)
{
	const struct ebpf_map_def *def = &v->obj->maps[map & ~VMAP_INNER];

	return map & VMAP_INNER ? def->inner : def;
}

/* A pointer argument to @size bytes. */
static int check_memory(struct verifier *v, const struct vreg *reg, uint32_t size, bool fills)
{
	if (reg->type == V_STACK && fills)
		return verify_stack_clobber(v, reg, 0, size, true);
	if (reg->type == V_STACK)
		return verify_stack_read(v, reg, 0, size);
	return verify_area(v, reg, 0, size, fills ? ACCESS_WRITE : ACCESS_READ);
}

static bool is_zero(const struct vreg *reg)
{
	return reg->type == V_SCALAR && scalar_is_const(&reg->var) && !reg->var.bits.value;
}

/* Memory of @least to @most bytes, of which a helper fills as many as it is told. */
static int check_filled(struct verifier *v, const struct vreg *memory, uint32_t least,
			uint32_t most)
{
	int err;

	if (memory->type != V_STACK || least == most)
		return check_memory(v, memory, most, true);
	/* the last bytes are only perhaps written */
	err = verify_stack_clobber(v, memory, 0, most, false);
	if (err || least == 0)
		return err;
	return verify_stack_clobber(v, memory, 0, least, true);
}

/* How many of the three numbers a format asks for: all if it is no constant of the object's. */
static uint32_t traced_numbers(const struct verifier *v, const struct vreg *memory,
			       const struct range *size)
{
	const struct ebpf_map_def *def;
	const char *format;
	uint32_t i, count = 0;

	if (memory->type != V_VALUE || !scalar_is_const(&memory->var) || size->umin != size->umax)
		return 3;
	def = verify_map_def(v, memory->map);
	if (!def->read_only || !def->initial)
		return 3;
	format = (const char *)def->initial + memory->off + (int64_t)memory->var.bits.value;
	for (i = 0; i < size->umax && format[i]; i++) {
		if (format[i] != '%')
			continue;
		if (i + 1 < size->umax && format[i + 1] == '%')
			i++;
		else
			count++;
	}
	return count;
}

static int check_size(struct verifier *v, struct call *call, const struct vreg *reg, uint8_t arg)
{
	const struct range *r = &reg->var.r64;
	int err = 0;

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
	if (call->memory_kind == ARG_MEM_OR_NULL && is_zero(&call->memory))
		return verify_fail(v, "pass the size 0 with it", "no memory, but a size");
	if (call->memory_kind != ARG_MEM_OUT)
		err = check_memory(v, &call->memory, (uint32_t)r->umax, false);
	if (!err && (call->memory_kind == ARG_MEM_OUT || call->memory_kind == ARG_MEM_IN_OUT))
		err = check_filled(v, &call->memory, (uint32_t)r->umin, (uint32_t)r->umax);
	if (!err)
		call->traced = traced_numbers(v, &call->memory, r);
	return err;
}

static int check_map(struct verifier *v, struct call *call, const struct vreg *reg,
		     unsigned int index)
{
	if (reg->type == V_MAP_OR_NULL)
		return verify_fail(v, "compare it with 0 first: if (!map) return LEAT_DROP;",
				   "the map found in a map of maps may be null");
	if (reg->type != V_MAP)
		return verify_fail(v, "pass the address of a map: &name",
				   "argument %u is not a map", index + 1);
	call->map_index = reg->map;
	call->map = verify_map_def(v, reg->map);
	if (!(ebpf_map_kind_find(call->map->type)->role & call->helper->map_roles))
		return verify_fail(v, "use the helpers that are for this type of map",
				   "helper %s is not for maps of this type", call->helper->name);
	if (call->helper->changes_map && call->map->read_only)
		return verify_fail(v, "use a map that is not constant data",
				   "constant data would be changed");
	return 0;
}

static int check_index(struct verifier *v, const struct call *call, const struct vreg *reg)
{
	if (reg->type != V_SCALAR)
		return verify_fail(v, "pass a number", "the index must be a number");
	if (reg->var.r64.umax >= call->map->max_entries)
		return verify_fail(v, "compare first: if (i >= ENTRIES) return LEAT_DROP;",
				   "the index may be %llu, the map has %u entries",
				   (unsigned long long)reg->var.r64.umax, call->map->max_entries);
	return 0;
}

static int check_bucket(struct verifier *v, const struct vreg *reg)
{
	if (reg->type == V_VALUE && !verify_is_aligned(reg, 0, 8))
		return verify_fail(v, "put the bucket at a multiple of 8 in the value",
				   "the bucket may not be aligned");
	if (reg->type != V_VALUE && reg->type != V_VALUE_OR_NULL)
		return verify_fail(v, "keep the bucket in a map's value",
				   "a bucket that is not in a map");
	return verify_area(v, reg, 0, sizeof(struct leat_bucket), ACCESS_READ | ACCESS_WRITE);
}

static int check_record_size(struct verifier *v, struct call *call, const struct vreg *reg)
{
	if (reg->type != V_SCALAR || !scalar_is_const(&reg->var) || reg->var.bits.value == 0 ||
	    reg->var.bits.value >= VERIFY_OFFSET_MAX)
		return verify_fail(v, "pass a constant: sizeof(struct record)",
				   "the size of a record must be a constant");
	call->record_size = (uint32_t)reg->var.bits.value;
	return 0;
}

static int check_record(struct verifier *v, struct call *call, const struct vreg *reg)
{
	if (reg->type != V_RECORD || reg->off || !scalar_is_const(&reg->var) || reg->var.bits.value)
		return verify_fail(v,
				   "pass what bpf_ringbuf_reserve() returned, after a null check",
				   "not the beginning of a record");
	call->object_ref = reg->id;
	return 0;
}

static int check_object(struct verifier *v, struct call *call, const struct vreg *reg)
{
	if (reg->type == V_OBJECT_OR_NULL)
		return verify_fail(v, "compare it with 0 first", "the object may be null");
	if (reg->type != V_OBJECT || reg->off || !(call->helper->takes >> reg->map & 1))
		return verify_fail(v, "pass what the lookup returned",
				   "not an object of the kind that the helper takes");
	if (call->helper->releases && !reg->range)
		return verify_fail(v, "release what was looked up, once",
				   "the program holds no reference to this object");
	call->object_ref = reg->range;
	return 0;
}

static int check_callback_ctx(struct verifier *v, const struct vreg *reg)
{
	if (is_zero(reg) || (reg->type == V_STACK && scalar_is_const(&reg->var)))
		return 0;
	return verify_fail(v, "pass the address of a local variable, or 0",
			   "what the callback gets must be on the stack, or 0");
}

static int check_arg(struct verifier *v, struct call *call, unsigned int index)
{
	const struct vreg *reg = vreg_at(v, index + 1);
	uint8_t arg = call->helper->args[index];
	int err;

	if (arg == ARG_TRACED && index >= 2 + call->traced)
		return 0; /* not looked at */
	err = verify_reads(v, index + 1);
	if (err)
		return err;
	if (arg != ARG_SCALAR && arg != ARG_TRACED)
		verify_rely_reg(v, reg);
	switch (arg) {
	case ARG_SCALAR:
	case ARG_TRACED:
	case ARG_COUNT:
		if (vreg_is_pointer(reg))
			return verify_fail(v, "pass a number",
					   "a pointer where a number is wanted");
		return 0;
	case ARG_ZERO:
		return is_zero(reg) ? 0 : verify_fail(v, "pass 0", "no flags are known here");
	case ARG_MAP:
		return check_map(v, call, reg, index);
	case ARG_INDEX:
		return check_index(v, call, reg);
	case ARG_KEY:
		return check_memory(v, reg, call->map->key_size, false);
	case ARG_VALUE:
		return check_memory(v, reg, call->map->value_size, false);
	case ARG_MEM:
	case ARG_MEM_OR_NULL:
	case ARG_MEM_IN_OUT:
	case ARG_MEM_OUT:
		call->memory = *reg;
		call->memory_kind = arg;
		return 0;
	case ARG_CTX:
		if (reg->type != V_CTX || reg->off)
			return verify_fail(v, "pass the context that the program was given",
					   "argument %u is not the context", index + 1);
		return 0;
	case ARG_BUCKET:
		return check_bucket(v, reg);
	case ARG_RECORD_SIZE:
		return check_record_size(v, call, reg);
	case ARG_RECORD:
		return check_record(v, call, reg);
	case ARG_OBJECT:
		return check_object(v, call, reg);
	case ARG_CALLBACK:
		return reg->type == V_FUNC ? 0 :
					     verify_fail(v, "pass a static function of the program",
							 "argument %u is no function", index + 1);
	case ARG_CALLBACK_CTX:
		return check_callback_ctx(v, reg);
	default:
		return check_size(v, call, reg, arg);
	}
}

static void forget_packet(struct vreg *reg, void *arg)
{
	(void)arg;
	if (reg->type == V_PKT || reg->type == V_PKT_END || reg->type == V_META)
		*reg = (struct vreg){.type = V_NONE};
}

static void forget_reference(struct vreg *reg, void *arg)
{
	const uint32_t *ref = arg;

	if (vreg_ref(reg) == *ref)
		*reg = (struct vreg){.type = V_NONE};
}

void verify_forget_arguments(struct vstate *state)
{
	unsigned int i;

	for (i = 0; i <= 5; i++)
		vstate_top(state)->regs[i] = (struct vreg){.type = V_NONE};
}

/* The key of a lookup in an array, if it is always the same; else < 0. */
static int64_t constant_key(struct verifier *v, const struct call *call)
{
	const struct vreg *reg = vreg_at(v, 2);
	struct vreg key;

	if (!call->map || call->helper->args[1] != ARG_KEY || !ebpf_map_is_array(call->map->type) ||
	    reg->type != V_STACK)
		return CALL_MANY;
	key = verify_stack_number(v, reg, 4);
	if (!scalar_is_const(&key.var))
		return CALL_MANY;
	verify_rely_reg(v, &key);
	return (int64_t)key.var.bits.value;
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

static struct vreg returned_value(struct verifier *v, const struct call *call, int64_t key)
{
	const struct ebpf_map_def *def = call->map;
	struct vreg reg = vreg_pointer(V_VALUE_OR_NULL);

	reg.map = call->map_index;
	if (ebpf_map_has_inner(def->type)) {
		reg.type = V_MAP_OR_NULL;
		reg.map |= VMAP_INNER;
	} else if (ebpf_map_is_array(def->type) && key >= 0 && key < def->max_entries) {
		reg.type = V_VALUE; /* always found */
		return reg;
	} else if (ebpf_map_kind_find(def->type)->role == ROLE_SOCKETS) {
		reg.type = V_OBJECT_OR_NULL; /* it lives as long as the program runs */
		reg.map = OBJECT_XDP_SOCK;
	}
	reg.id = v->next_id++;
	return reg;
}

static struct vreg returned_number(const struct ebpf_helper *helper)
{
	struct scalar number = scalar_unknown();

	if (helper->rmin || helper->rmax)
		number = scalar_between(helper->rmin, helper->rmax);
	return vreg_scalar(number);
}

/* Takes a reference to what is returned if it has to be given back. */
static int acquire(struct verifier *v, const struct call *call, struct vreg *reg)
{
	reg->id = v->next_id++;
	if (!call->helper->acquires) {
		/* it lives as long as the object that it was made from */
		reg->range = call->helper->outlives ? 0 : call->object_ref;
		return 0;
	}
	if (reg->type == V_OBJECT_OR_NULL)
		reg->range = reg->id;
	if (vstate_acquire(&v->now, reg->id))
		return 0;
	return verify_fail(v, "release some before", "more than %d records and objects are held",
			   VREFS_MAX);
}

static int set_result(struct verifier *v, const struct call *call, int64_t key)
{
	struct vreg *r0 = vreg_at(v, 0);

	switch (call->helper->ret) {
	case RET_VALUE_OR_NULL:
		*r0 = returned_value(v, call, key);
		return 0;
	case RET_RECORD_OR_NULL:
		*r0 = vreg_pointer(V_RECORD_OR_NULL);
		r0->range = call->record_size;
		return acquire(v, call, r0);
	case RET_OBJECT_OR_NULL:
		*r0 = vreg_pointer(V_OBJECT_OR_NULL);
		r0->map = call->helper->object;
		return acquire(v, call, r0);
	default:
		*r0 = returned_number(call->helper);
		return 0;
	}
}

static int check_helper(struct verifier *v, struct ebpf_insn insn, struct call *call)
{
	unsigned int i;
	int err;

	if (!ebpf_prog_type_allows(v->type, insn.imm))
		return verify_fail(v, "use the helpers that the documentation lists",
				   "helper %d is not there for this kind of program", insn.imm);
	call->helper = &ebpf_helpers[insn.imm];
	if (call->helper->writes_packet && !v->type->packet_writable)
		return verify_fail(v, "packets are read-only for this kind of program",
				   "the program would change the packet");
	for (i = 0; i < 5 && call->helper->args[i] != ARG_NONE; i++) {
		err = check_arg(v, call, i);
		if (err)
			return err;
	}
	return 0;
}

int verify_call(struct verifier *v, struct ebpf_insn insn)
{
	struct call call = {.helper = NULL};
	int64_t key;
	int err = check_helper(v, insn, &call);

	if (err)
		return err;
	if (insn.imm == BPF_FUNC_loop)
		return verify_loop(v);
	key = constant_key(v, &call);
	if (call.map)
		note_call(v, call.map_index & VMAP_INNER ? CALL_MANY : call.map_index, key);
	if (call.helper->moves_packet)
		vstate_each(&v->now, forget_packet, NULL);
	if (call.helper->writes_packet)
		v->code->writes_packet = true;
	if (call.helper->releases) {
		vstate_release(&v->now, call.object_ref);
		vstate_each(&v->now, forget_reference, &call.object_ref);
	}
	verify_forget_arguments(&v->now);
	v->pc++;
	return set_result(v, &call, key);
}

int verify_enter(struct verifier *v, uint32_t target, uint32_t return_pc)
{
	struct vframe *callee;

	if (v->now.depth + 1 == EBPF_CALL_DEPTH)
		return verify_fail(v, "inline some of the functions; recursion is not possible",
				   "more than %d functions are active", EBPF_CALL_DEPTH);
	callee = vframe_create();
	if (!callee)
		return -ENOMEM;
	callee->return_pc = return_pc;
	v->now.depth++;
	v->now.frames[v->now.depth] = callee;
	/* a new stack: nothing from before is read in it */
	memset(v->written.bits[v->now.depth], 0xff, sizeof(v->written.bits[0]));
	callee->regs[EBPF_REG_FP] = vreg_pointer(V_STACK);
	callee->regs[EBPF_REG_FP].frame = (uint8_t)v->now.depth;
	v->pc = target;
	return 0;
}

int verify_local_call(struct verifier *v, struct ebpf_insn insn)
{
	const struct vframe *caller = vstate_top(&v->now);
	unsigned int i;
	int err = verify_enter(v, (uint32_t)((int64_t)v->pc + 1 + insn.imm), v->pc + 1);

	for (i = 1; i <= 5 && !err; i++)
		*vreg_at(v, i) = caller->regs[i];
	return err;
}

/* The end of the whole program: also where a classic load finds no packet. */
int verify_end(struct verifier *v)
{
	if (v->now.ref_count)
		return verify_fail(v, "release, submit or discard it on every path to the end",
				   "the program would end with %u records or objects not given "
				   "back",
				   v->now.ref_count);
	return 0;
}

int verify_exit(struct verifier *v)
{
	struct vframe *callee = vstate_top(&v->now);
	struct vreg result = callee->regs[0];
	struct vloop loop = callee->loop;
	int err;

	if (v->now.depth == 0) {
		err = verify_reads(v, 0);
		if (!err && vreg_is_pointer(&result))
			err = verify_fail(v, "return a verdict",
					  "the program would return a pointer");
		if (!err)
			err = verify_end(v);
		return err ? err : 1;
	}
	/* a function may return nothing: then its caller must not read r0 */
	if (result.type == V_STACK)
		return verify_fail(v, "return a number",
				   "a function would return a pointer to a stack");
	if (loop.active)
		verify_rely_reg(v, &result);
	if (loop.active && (result.type != V_SCALAR || result.var.r64.umax > 1))
		return verify_fail(v, "return 0 to go on, 1 to end the loop",
				   "a callback returns something else than 0 or 1");
	v->pc = callee->return_pc;
	free(callee);
	v->now.frames[v->now.depth--] = NULL;
	verify_forget_arguments(&v->now);
	if (loop.active)
		return verify_loop_round(v, &loop, &result.var);
	*vreg_at(v, 0) = result;
	return 0;
}
