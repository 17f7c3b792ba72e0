/* The oracle: every register carries where its value came from; so does every slot of the stack. */
#include "oracle.h"

#include "bpf/vstate.h"
#include "leat/abi/filter.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum tag {
	T_NONE = 0, /* never written */
	T_NUMBER,
	T_CTX,
	T_STACK,
	T_PKT,
	T_PKT_END,
	T_VALUE,
	T_MAP,
	T_FUNC,
	T_RECORD, /* of a ring: base and size in map */
};

struct value {
	uint64_t bits;
	uint8_t tag;
	uint8_t frame;
	uint64_t base; /* T_VALUE, T_RECORD: the first byte */
	uint32_t map;  /* T_VALUE, T_MAP: index, | VMAP_INNER; T_RECORD: its size */
	uint32_t born; /* T_PKT, T_PKT_END: how often the packet had moved */
};

struct frame {
	struct value saved[4];
	uint32_t return_pc;
	bool looping; /* a callback of bpf_loop() */
	uint32_t callback, round, rounds;
	struct value ctx;
	_Alignas(8) uint8_t bytes[EBPF_STACK_SIZE];
	uint8_t written[EBPF_STACK_SIZE];
	struct value slots[EBPF_STACK_SIZE / 8]; /* a whole pointer, by its address / 8 */
};

struct machine {
	const struct ebpf_object *obj;
	const struct ebpf_code *code;
	const struct oracle_input *in;
	struct oracle_result *out;
	struct value regs[EBPF_REGS];
	struct frame frames[EBPF_CALL_DEPTH];
	uint32_t depth;
	uint32_t pc;
	uint32_t moved;              /* helpers that may have moved the packet */
	uint64_t records[VREFS_MAX]; /* reserved and not given back */
	uint32_t record_count;
};

__attribute__((format(printf, 2, 3))) static bool found(struct machine *m, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(m->out->finding, sizeof(m->out->finding), format, args);
	va_end(args);
	m->out->pc = m->pc;
	return false;
}

static struct value number(uint64_t bits)
{
	return (struct value){.bits = bits, .tag = T_NUMBER};
}

static struct leat_pkt_ctx *context(const struct machine *m)
{
	return (struct leat_pkt_ctx *)(void *)m->in->ctx;
}

static const struct ebpf_map_def *map_def(const struct machine *m, uint32_t map)
{
	const struct ebpf_map_def *def = &m->obj->maps[map & ~(uint32_t)VMAP_INNER];

	return map & VMAP_INNER ? def->inner : def;
}

static bool within(uint64_t at, uint64_t size, uint64_t base, uint64_t room)
{
	return at >= base && at - base <= room && size <= room - (at - base);
}

static bool is_held(const struct machine *m, uint64_t record)
{
	uint32_t i;

	for (i = 0; i < m->record_count; i++)
		if (m->records[i] == record)
			return true;
	return false;
}

/* May [at, +size) be touched through @pointer? */
static bool check_access(struct machine *m, const struct value *pointer, uint64_t at, uint32_t size,
			 bool write)
{
	switch (pointer->tag) {
	case T_CTX:
		if (write || !within(at, size, (uintptr_t)m->in->ctx, m->in->ctx_size))
			return found(m, "context access of %u bytes", size);
		return true;
	case T_STACK:
		if (pointer->frame > m->depth)
			return found(m, "stack of a function that has returned");
		if (!within(at, size, (uintptr_t)m->frames[pointer->frame].bytes, EBPF_STACK_SIZE))
			return found(m, "stack access of %u bytes outside", size);
		return true;
	case T_PKT:
		if (pointer->born != m->moved)
			return found(m, "a packet pointer from before the packet moved");
		if (!within(at, size, context(m)->data, context(m)->data_end - context(m)->data))
			return found(m, "packet access of %u bytes at %lld of %llu", size,
				     (long long)(at - context(m)->data),
				     (unsigned long long)(context(m)->data_end - context(m)->data));
		return true;
	case T_RECORD:
		if (!is_held(m, pointer->base) || !within(at, size, pointer->base, pointer->map))
			return found(m, "record access of %u bytes at %lld", size,
				     (long long)(at - pointer->base));
		return true;
	case T_VALUE:
		if (!within(at, size, pointer->base, map_def(m, pointer->map)->value_size) ||
		    (write && map_def(m, pointer->map)->read_only))
			return found(m, "value access of %u bytes at %lld", size,
				     (long long)(at - pointer->base));
		return true;
	default:
		return found(m, "access through something that is no pointer (%u)", pointer->tag);
	}
}

static bool stack_load(struct machine *m, const struct value *pointer, uint64_t at, uint32_t size,
		       struct value *ret_value)
{
	struct frame *frame = &m->frames[pointer->frame];
	uint64_t position = at - (uintptr_t)frame->bytes;
	uint64_t bits = 0;
	uint32_t i;

	if (frame->slots[position / 8].tag > T_NUMBER && size == 8 && position % 8 == 0) {
		*ret_value = frame->slots[position / 8];
		return true;
	}
	for (i = 0; i < size; i++) {
		if (frame->slots[(position + i) / 8].tag > T_NUMBER)
			return found(m, "part of a pointer read from the stack");
		if (!frame->written[position + i])
			return found(m, "unwritten stack read");
	}
	memcpy(&bits, (void *)(uintptr_t)at, size);
	*ret_value = number(bits);
	return true;
}

static bool stack_store(struct machine *m, const struct value *pointer, uint64_t at, uint32_t size,
			const struct value *value)
{
	struct frame *frame = &m->frames[pointer->frame];
	uint64_t position = at - (uintptr_t)frame->bytes;
	uint32_t i;

	if (value->tag > T_NUMBER && (size != 8 || position % 8))
		return found(m, "part of a pointer stored");
	for (i = 0; i < size; i++) {
		struct value *slot = &frame->slots[(position + i) / 8];

		if (slot->tag > T_NUMBER) {
			memset(&frame->written[(position + i) & ~7u], 0, 8);
			slot->tag = T_NONE;
		}
		frame->written[position + i] = 1;
	}
	if (value->tag > T_NUMBER)
		frame->slots[position / 8] = *value;
	memcpy((void *)(uintptr_t)at, &value->bits, size);
	return true;
}

static bool step_load(struct machine *m, struct ebpf_insn insn)
{
	struct value *pointer = &m->regs[insn.src], result = {0};
	uint64_t at = pointer->bits + (uint64_t)(int64_t)insn.off, bits = 0;
	uint32_t size = ebpf_size_bytes(insn.code);

	if (insn.dst == EBPF_REG_FP)
		return found(m, "frame pointer written");
	if (!check_access(m, pointer, at, size, false))
		return false;
	if (pointer->tag == T_STACK) {
		if (!stack_load(m, pointer, at, size, &result))
			return false;
	} else {
		memcpy(&bits, (void *)(uintptr_t)at, size);
		result = number(bits);
	}
	/* what the context says about the packet is a pointer */
	if (pointer->tag == T_CTX && at - (uintptr_t)m->in->ctx < 16) {
		bool end = at - (uintptr_t)m->in->ctx >= 8;

		if (size != 8 || (at - (uintptr_t)m->in->ctx) % 8)
			return found(m, "part of a packet pointer read");
		result.tag = end ? T_PKT_END : T_PKT;
		result.born = m->moved;
	}
	if (EBPF_MODE(insn.code) == EBPF_MEMSX)
		result.bits =
			(uint64_t)((int64_t)(result.bits << (64 - 8 * size)) >> (64 - 8 * size));
	m->regs[insn.dst] = result;
	return true;
}

static bool step_store(struct machine *m, struct ebpf_insn insn)
{
	struct value value = number((uint64_t)(int64_t)insn.imm);
	struct value *pointer = &m->regs[insn.dst];
	uint64_t at = pointer->bits + (uint64_t)(int64_t)insn.off;
	uint32_t size = ebpf_size_bytes(insn.code);

	if (EBPF_CLASS(insn.code) == EBPF_STX)
		value = m->regs[insn.src];
	if (value.tag == T_NONE)
		return found(m, "unwritten register stored");
	if (!check_access(m, pointer, at, size, true))
		return false;
	if (pointer->tag == T_STACK)
		return stack_store(m, pointer, at, size, &value);
	if (value.tag != T_NUMBER)
		return found(m, "pointer stored where others can read it");
	memcpy((void *)(uintptr_t)at, &value.bits, size);
	return true;
}

static uint64_t atomic_result(int32_t op, uint64_t old, uint64_t operand, uint64_t expected)
{
	switch (op & ~EBPF_FETCH) {
	case EBPF_ADD:
		return old + operand;
	case EBPF_OR:
		return old | operand;
	case EBPF_AND:
		return old & operand;
	case EBPF_XOR:
		return old ^ operand;
	case EBPF_XCHG & ~EBPF_FETCH:
		return operand;
	default:
		return old == expected ? operand : old;
	}
}

static bool step_atomic(struct machine *m, struct ebpf_insn insn)
{
	struct value *pointer = &m->regs[insn.dst], old = {0};
	uint64_t at = pointer->bits + (uint64_t)(int64_t)insn.off, bits = 0;
	uint32_t size = ebpf_size_bytes(insn.code);
	uint64_t mask = size == 8 ? UINT64_MAX : UINT32_MAX;
	struct value result;

	if (m->regs[insn.src].tag != T_NUMBER ||
	    (insn.imm == EBPF_CMPXCHG && m->regs[0].tag != T_NUMBER))
		return found(m, "atomic operation with no number");
	if (at % size)
		return found(m, "atomic operation not aligned");
	if (!check_access(m, pointer, at, size, true))
		return false;
	if (pointer->tag == T_STACK) {
		if (!stack_load(m, pointer, at, size, &old))
			return false;
		if (old.tag != T_NUMBER)
			return found(m, "atomic operation on a pointer");
		bits = old.bits;
	} else {
		memcpy(&bits, (void *)(uintptr_t)at, size);
	}
	result = number(atomic_result(insn.imm, bits, m->regs[insn.src].bits & mask,
				      m->regs[0].bits & mask));
	memcpy((void *)(uintptr_t)at, &result.bits, size);
	if (insn.imm == EBPF_CMPXCHG)
		m->regs[0] = number(bits);
	else if (insn.imm & EBPF_FETCH)
		m->regs[insn.src] = number(bits);
	return true;
}

static bool pointer_alu(struct machine *m, struct ebpf_insn insn, const struct value *a,
			const struct value *b)
{
	bool add = insn.code == (EBPF_ALU64 | EBPF_ADD | (insn.code & EBPF_X));
	bool sub = insn.code == (EBPF_ALU64 | EBPF_SUB | (insn.code & EBPF_X));
	bool packets = (a->tag == T_PKT || a->tag == T_PKT_END) &&
		       (b->tag == T_PKT || b->tag == T_PKT_END);

	if (packets && EBPF_OP(insn.code) == EBPF_SUB) {
		m->regs[insn.dst] =
			number(sub ? a->bits - b->bits : (uint32_t)a->bits - (uint32_t)b->bits);
	} else if (add && b->tag == T_NUMBER) {
		m->regs[insn.dst].bits += b->bits;
	} else if (add && a->tag == T_NUMBER) {
		uint64_t offset = a->bits;

		m->regs[insn.dst] = *b;
		m->regs[insn.dst].bits += offset;
	} else if (sub && b->tag == T_NUMBER) {
		m->regs[insn.dst].bits -= b->bits;
	} else {
		return found(m, "arithmetic that makes a number of a pointer");
	}
	return true;
}

static bool step_alu(struct machine *m, struct ebpf_insn insn)
{
	bool uses_src = (insn.code & EBPF_X) && EBPF_OP(insn.code) != EBPF_END;
	struct value constant = number((uint64_t)(int64_t)insn.imm);
	const struct value a = m->regs[insn.dst];
	const struct value b = uses_src ? m->regs[insn.src] : constant;
	bool wide = EBPF_CLASS(insn.code) == EBPF_ALU64;

	if (insn.dst == EBPF_REG_FP)
		return found(m, "frame pointer written");
	if (b.tag == T_NONE || (EBPF_OP(insn.code) != EBPF_MOV && a.tag == T_NONE))
		return found(m, "unwritten register used");
	if (EBPF_OP(insn.code) == EBPF_MOV) {
		if (b.tag == T_NUMBER)
			m->regs[insn.dst] = number(wide ? ebpf_alu64(insn, 0, b.bits) :
							  ebpf_alu32(insn, 0, b.bits));
		else if (wide && !insn.off)
			m->regs[insn.dst] = b;
		else
			return found(m, "part of a pointer moved");
		return true;
	}
	if (a.tag != T_NUMBER || b.tag != T_NUMBER)
		return pointer_alu(m, insn, &a, &b);
	m->regs[insn.dst] =
		number(wide ? ebpf_alu64(insn, a.bits, b.bits) : ebpf_alu32(insn, a.bits, b.bits));
	return true;
}

static bool step_constant(struct machine *m, const struct ebpf_insn *insn)
{
	struct value value = number(ebpf_lddw_value(insn, m->pc, m->in->env));

	if (insn->dst == EBPF_REG_FP)
		return found(m, "frame pointer written");
	if ((insn->src == EBPF_LDDW_MAP || insn->src == EBPF_LDDW_VALUE) &&
	    (uint32_t)insn->imm >= m->obj->map_count)
		return found(m, "unknown map");
	if (insn->src == EBPF_LDDW_FUNC)
		value.tag = T_FUNC;
	if (insn->src == EBPF_LDDW_MAP)
		value.tag = T_MAP;
	if (insn->src == EBPF_LDDW_VALUE) {
		value.tag = T_VALUE;
		value.base = (uintptr_t)m->in->env->slot[insn->imm].values;
	}
	value.map = (uint32_t)insn->imm;
	m->regs[insn->dst] = value;
	m->pc += 2;
	return true;
}

static bool is_packet(const struct value *value)
{
	return value->tag == T_PKT || value->tag == T_PKT_END;
}

static bool step_jump(struct machine *m, struct ebpf_insn insn)
{
	struct value constant = number((uint64_t)(int64_t)insn.imm);
	const struct value *a = &m->regs[insn.dst];
	const struct value *b = insn.code & EBPF_X ? &m->regs[insn.src] : &constant;
	bool null_check = (EBPF_OP(insn.code) == EBPF_JEQ || EBPF_OP(insn.code) == EBPF_JNE) &&
			  b->tag == T_NUMBER && b->bits == 0 && EBPF_CLASS(insn.code) == EBPF_JMP;

	if (!ebpf_is_ja(insn)) {
		if (a->tag == T_NONE || b->tag == T_NONE)
			return found(m, "unwritten register compared");
		if (a->tag != T_NUMBER || b->tag != T_NUMBER)
			if (!null_check &&
			    !(is_packet(a) && is_packet(b) && EBPF_CLASS(insn.code) == EBPF_JMP))
				return found(m, "comparison that tells an address");
	}
	if (ebpf_jump_taken(insn, a->bits, b->bits))
		m->pc = (uint32_t)ebpf_jump_target(insn, m->pc);
	else
		m->pc++;
	return true;
}

/* A helper's pointer to @size readable bytes. */
static bool check_buffer(struct machine *m, const struct value *pointer, uint32_t size)
{
	uint64_t position;
	uint32_t i;

	if (!check_access(m, pointer, pointer->bits, size, false))
		return false;
	if (pointer->tag != T_STACK)
		return pointer->tag != T_CTX || found(m, "the context passed as memory");
	position = pointer->bits - (uintptr_t)m->frames[pointer->frame].bytes;
	for (i = 0; i < size; i++) {
		if (m->frames[pointer->frame].slots[(position + i) / 8].tag > T_NUMBER)
			return found(m, "pointer passed as data");
		if (!m->frames[pointer->frame].written[position + i])
			return found(m, "unwritten stack passed to a helper");
	}
	return true;
}

static void enter(struct machine *m, uint32_t pc)
{
	struct frame *frame = &m->frames[m->depth];

	memset(frame->written, 0, sizeof(frame->written));
	memset(frame->slots, 0, sizeof(frame->slots));
	m->regs[EBPF_REG_FP] = (struct value){
		.bits = (uintptr_t)frame->bytes + EBPF_STACK_SIZE,
		.tag = T_STACK,
		.frame = (uint8_t)m->depth,
	};
	m->pc = pc;
}

/* Into a function: what it may not read is forgotten. */
static bool descend(struct machine *m, uint32_t pc, uint32_t return_pc)
{
	int i;

	if (m->depth + 1 == EBPF_CALL_DEPTH)
		return found(m, "calls too deep");
	m->depth++;
	memcpy(m->frames[m->depth].saved, &m->regs[6], sizeof(m->frames[0].saved));
	m->frames[m->depth].return_pc = return_pc;
	m->frames[m->depth].looping = false;
	for (i = 6; i <= 9; i++)
		m->regs[i].tag = T_NONE;
	m->regs[0].tag = T_NONE;
	enter(m, pc);
	return true;
}

static bool loop_round(struct machine *m, uint32_t callback, uint32_t round, uint32_t rounds,
		       struct value ctx)
{
	struct frame *frame;
	int i;

	for (i = 1; i <= 5; i++)
		m->regs[i].tag = T_NONE;
	if (round == rounds) {
		m->regs[0] = number(round);
		return true;
	}
	if (!descend(m, callback, m->pc))
		return false;
	frame = &m->frames[m->depth];
	frame->looping = true;
	frame->callback = callback;
	frame->round = round;
	frame->rounds = rounds;
	frame->ctx = ctx;
	m->regs[1] = number(round);
	m->regs[2] = ctx;
	return true;
}

static bool begin_loop(struct machine *m)
{
	m->pc++;
	return loop_round(m, (uint32_t)m->regs[2].bits, 0, (uint32_t)m->regs[1].bits, m->regs[3]);
}

/* Memory that a helper fills: numbers afterwards. */
static bool check_filled(struct machine *m, const struct value *pointer, uint32_t size)
{
	struct value zero = number(0);
	uint32_t i;

	if (!check_access(m, pointer, pointer->bits, size, true))
		return false;
	for (i = 0; i < size && pointer->tag == T_STACK; i++)
		if (!stack_store(m, pointer, pointer->bits + i, 1, &zero))
			return false;
	return true;
}

/* Does the format that a trace is passed, checked before, ask for number @index? */
static bool is_asked_for(const struct machine *m, uint32_t index)
{
	const char *format = (const char *)(uintptr_t)m->regs[1].bits;
	uint64_t i, asked = 0;

	for (i = 0; i < m->regs[2].bits && format[i]; i++) {
		if (format[i] != '%')
			continue;
		if (i + 1 < m->regs[2].bits && format[i + 1] == '%')
			i++;
		else
			asked++;
	}
	return index < asked;
}

static bool check_argument(struct machine *m, const struct ebpf_helper *helper, int i)
{
	const struct value *arg = &m->regs[i + 1], *memory = &m->regs[i];
	const struct ebpf_map_def *def =
		m->regs[1].tag == T_MAP ? map_def(m, m->regs[1].map) : NULL;

	if (helper->args[1] == ARG_MAP && m->regs[2].tag == T_MAP)
		def = map_def(m, m->regs[2].map);
	if (helper->args[i] == ARG_TRACED && !is_asked_for(m, (uint32_t)i - 2))
		return true;
	if (arg->tag == T_NONE)
		return found(m, "unwritten argument");
	switch (helper->args[i]) {
	case ARG_SCALAR:
	case ARG_TRACED:
	case ARG_COUNT:
		return arg->tag == T_NUMBER || found(m, "pointer passed as a number");
	case ARG_ZERO:
		return (arg->tag == T_NUMBER && !arg->bits) || found(m, "flags");
	case ARG_MAP:
		return (arg->tag == T_MAP &&
			(ebpf_map_kind_find(map_def(m, arg->map)->type)->role &
			 helper->map_roles) &&
			!(helper->changes_map && map_def(m, arg->map)->read_only)) ||
		       found(m, "not a map for this helper");
	case ARG_INDEX:
		return (arg->tag == T_NUMBER && arg->bits < def->max_entries) ||
		       found(m, "index beyond the map");
	case ARG_KEY:
		return check_buffer(m, arg, def->key_size);
	case ARG_VALUE:
		return check_buffer(m, arg, def->value_size);
	case ARG_CTX:
		return (arg->tag == T_CTX && arg->bits == (uintptr_t)m->in->ctx) ||
		       found(m, "not the context");
	case ARG_BUCKET:
		return (arg->tag == T_VALUE && arg->bits % 8 == 0 &&
			check_access(m, arg, arg->bits, 24, true)) ||
		       found(m, "not a bucket");
	case ARG_RECORD_SIZE:
		return arg->tag == T_NUMBER || found(m, "size of a record");
	case ARG_RECORD:
		return (arg->tag == T_RECORD && arg->bits == arg->base && is_held(m, arg->base)) ||
		       found(m, "not a record");
	case ARG_CALLBACK:
		return arg->tag == T_FUNC || found(m, "not a function");
	case ARG_CALLBACK_CTX:
		return arg->tag == T_STACK || (arg->tag == T_NUMBER && !arg->bits) ||
		       found(m, "not a callback's context");
	case ARG_SIZE:
	case ARG_SIZE_OR_ZERO:
		if (arg->tag != T_NUMBER || arg->bits > 1 << 20 ||
		    (arg->bits == 0 && helper->args[i] == ARG_SIZE))
			return found(m, "size of memory");
		if (arg->bits == 0)
			return true;
		if (helper->args[i - 1] == ARG_MEM_OUT)
			return check_filled(m, memory, (uint32_t)arg->bits);
		return check_buffer(m, memory, (uint32_t)arg->bits);
	case ARG_MEM:
	case ARG_MEM_OR_NULL:
	case ARG_MEM_OUT:
		return true; /* with its size */
	default:
		return found(m, "argument of an unknown kind");
	}
}

static void give_back(struct machine *m, uint64_t record)
{
	uint32_t i;

	for (i = 0; i < m->record_count; i++)
		if (m->records[i] == record)
			m->records[i] = m->records[--m->record_count];
}

static bool take_result(struct machine *m, const struct ebpf_helper *helper, struct value *result)
{
	switch (helper->ret) {
	case RET_VALUE_OR_NULL:
		if (!result->bits)
			return true;
		result->tag = T_VALUE;
		result->map = m->regs[1].map;
		result->base = result->bits;
		if (ebpf_map_has_inner(map_def(m, result->map)->type)) {
			result->tag = T_MAP;
			result->map |= VMAP_INNER;
		}
		return true;
	case RET_RECORD_OR_NULL:
		if (!result->bits)
			return true;
		if (m->record_count == VREFS_MAX)
			return found(m, "too many records");
		result->tag = T_RECORD;
		result->map = (uint32_t)m->regs[2].bits;
		result->base = result->bits;
		m->records[m->record_count++] = result->bits;
		return true;
	default:
		if ((helper->rmin || helper->rmax) &&
		    ((int64_t)result->bits < helper->rmin || (int64_t)result->bits > helper->rmax))
			return found(m, "%s returned %lld", helper->name, (long long)result->bits);
		return true;
	}
}

static bool step_helper(struct machine *m, struct ebpf_insn insn)
{
	const struct ebpf_helper *helper = &ebpf_helpers[insn.imm];
	struct value result;
	int i;

	if (!ebpf_prog_type_allows(m->code->type, insn.imm))
		return found(m, "helper %d", insn.imm);
	for (i = 0; i < 5 && helper->args[i]; i++)
		if (!check_argument(m, helper, i))
			return false;
	if (insn.imm == BPF_FUNC_loop)
		return begin_loop(m);
	result = number(helper->fn(m->regs[1].bits, m->regs[2].bits, m->regs[3].bits,
				   m->regs[4].bits, m->regs[5].bits, m->in->env));
	if (helper->releases)
		give_back(m, m->regs[1].bits);
	if (!take_result(m, helper, &result))
		return false;
	if (helper->moves_packet)
		m->moved++;
	for (i = 1; i <= 5; i++)
		m->regs[i].tag = T_NONE;
	m->regs[0] = result;
	m->pc++;
	return true;
}

static bool step_call(struct machine *m, struct ebpf_insn insn)
{
	if (insn.src != EBPF_CALL_LOCAL)
		return step_helper(m, insn);
	return descend(m, (uint32_t)ebpf_func_target(insn, m->pc), m->pc + 1);
}

static bool step_return(struct machine *m)
{
	struct frame *frame = &m->frames[m->depth];
	int i;

	if (m->regs[0].tag == T_STACK)
		return found(m, "function returns its stack");
	if (frame->looping && (m->regs[0].tag != T_NUMBER || m->regs[0].bits > 1))
		return found(m, "a callback returns something else");
	m->depth--;
	memcpy(&m->regs[6], frame->saved, sizeof(frame->saved));
	for (i = 1; i <= 5; i++)
		m->regs[i].tag = T_NONE;
	m->regs[EBPF_REG_FP] = (struct value){
		.bits = (uintptr_t)m->frames[m->depth].bytes + EBPF_STACK_SIZE,
		.tag = T_STACK,
		.frame = (uint8_t)m->depth,
	};
	m->pc = frame->return_pc;
	if (!frame->looping)
		return true;
	return loop_round(m, frame->callback, frame->round + 1,
			  m->regs[0].bits ? frame->round + 1 : frame->rounds, frame->ctx);
}

static bool step(struct machine *m, struct ebpf_insn insn)
{
	bool ok;

	switch (EBPF_CLASS(insn.code)) {
	case EBPF_ALU:
	case EBPF_ALU64:
		ok = step_alu(m, insn);
		break;
	case EBPF_LD:
		return step_constant(m, &m->code->insns[m->pc]);
	case EBPF_LDX:
		ok = step_load(m, insn);
		break;
	case EBPF_ST:
		ok = step_store(m, insn);
		break;
	case EBPF_STX:
		ok = EBPF_MODE(insn.code) == EBPF_ATOMIC ? step_atomic(m, insn) :
							   step_store(m, insn);
		break;
	default:
		if (ebpf_is_exit(insn))
			return step_return(m);
		if (ebpf_is_call(insn))
			return step_call(m, insn);
		return step_jump(m, insn);
	}
	m->pc++;
	return ok;
}

static void show(struct machine *m, oracle_watch watch, void *arg)
{
	uint64_t regs[EBPF_REGS];
	uint16_t numbers = 0;
	int i;

	for (i = 0; i < EBPF_REGS; i++) {
		regs[i] = m->regs[i].bits;
		if (m->regs[i].tag == T_NUMBER)
			numbers |= (uint16_t)(1u << i);
	}
	watch(arg, m->pc, m->depth, regs, numbers);
}

bool oracle_run(const struct ebpf_object *obj, const struct ebpf_code *code,
		const struct oracle_input *input, oracle_watch watch, void *arg,
		struct oracle_result *ret_result)
{
	static _Thread_local struct machine machine; /* 100 KiB */
	struct machine *m = &machine;

	m->obj = obj;
	m->code = code;
	m->in = input;
	m->out = ret_result;
	m->depth = 0;
	m->moved = 0;
	m->record_count = 0;
	*ret_result = (struct oracle_result){0};
	memset(m->regs, 0, sizeof(m->regs));
	m->regs[1] = (struct value){.bits = (uintptr_t)input->ctx, .tag = T_CTX};
	enter(m, 0);
	for (;;) {
		struct ebpf_insn insn;

		if (m->pc >= code->count || code->insns[m->pc].code == 0)
			return found(m, "control left the program");
		insn = code->insns[m->pc];
		if (watch)
			show(m, watch, arg);
		if (++ret_result->steps > input->budget)
			return found(m, "did not end");
		if (ebpf_is_exit(insn) && m->depth == 0) {
			if (m->regs[0].tag != T_NUMBER)
				return found(m, "returns no number");
			if (m->record_count)
				return found(m, "a record is not given back");
			ret_result->r0 = m->regs[0].bits;
			return true;
		}
		if (!step(m, insn))
			return false;
	}
}
