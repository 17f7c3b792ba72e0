/* Loads and stores: which memory a pointer reaches, and whether all of the access is inside. */
#include "bpf/verify_priv.h"

void verify_packet_inherit(struct verifier *v, uint32_t bytes)
{
	struct vnode *node;

	/* a state that knew less was followed by a comparison of its own */
	for (node = v->parent; node && node->packet_known >= bytes; node = node->parent)
		if (node->packet_used < bytes)
			node->packet_used = bytes;
}

static int packet_area(struct verifier *v, const struct vreg *reg, int64_t off, uint32_t size,
		       enum vaccess access)
{
	int64_t first = reg->off + off;

	if ((access & ACCESS_WRITE) && !v->type->packet_writable)
		return verify_fail(v, "return a verdict instead; packets are read-only here",
				   "the program would change the packet");
	if (first + reg->var.r64.smin < 0)
		return verify_fail(v, "the offset must not be negative",
				   "bytes before the packet would be reached");
	if (first + (int64_t)size > (int64_t)reg->range)
		return verify_fail(
			v, "compare first: if ((void *)(hdr + 1) > data_end) return LEAT_DROP;",
			"%u bytes at packet offset %+lld, but only %u are known to be there", size,
			(long long)first, reg->range);
	if (access & ACCESS_WRITE)
		v->code->writes_packet = true;
	if (reg->type == V_PKT && !reg->id)
		verify_packet_inherit(v, (uint32_t)(first + (int64_t)size));
	return 0;
}

static int value_area(struct verifier *v, const struct vreg *reg, int64_t off, uint32_t size,
		      enum vaccess access)
{
	const struct ebpf_map_def *map = verify_map_def(v, reg->map);
	int64_t low = reg->off + off + reg->var.r64.smin;
	int64_t high = reg->off + off + reg->var.r64.smax + (int64_t)size;

	if ((access & ACCESS_WRITE) && map->read_only)
		return verify_fail(v, "declare the variable without const",
				   "constant data would be changed");
	if ((access & ACCESS_READ) && map->write_only)
		return verify_fail(v, "declare the map without BPF_F_WRONLY_PROG",
				   "programs may not read this map");
	if (low < 0 || high > map->value_size)
		return verify_fail(v, "bound the index by the size of the value",
				   "bytes %lld..%lld of a value of %u bytes", (long long)low,
				   (long long)high - 1, map->value_size);
	return 0;
}

static int record_area(struct verifier *v, const struct vreg *reg, int64_t off, uint32_t size)
{
	int64_t low = reg->off + off + reg->var.r64.smin;
	int64_t high = reg->off + off + reg->var.r64.smax + (int64_t)size;

	if (low < 0 || high > (int64_t)reg->range)
		return verify_fail(v, "stay inside the record",
				   "bytes %lld..%lld of a record of %u", (long long)low,
				   (long long)high - 1, reg->range);
	return 0;
}

int verify_area(struct verifier *v, const struct vreg *reg, int64_t off, uint32_t size,
		enum vaccess access)
{
	switch (reg->type) {
	case V_PKT:
	case V_META:
		return packet_area(v, reg, off, size, access);
	case V_RECORD:
		return record_area(v, reg, off, size);
	case V_VALUE:
		return value_area(v, reg, off, size, access);
	case V_VALUE_OR_NULL:
	case V_RECORD_OR_NULL:
	case V_OBJECT_OR_NULL:
		return verify_fail(v, "compare it with 0 first: if (!value) return LEAT_DROP;",
				   "the result of a lookup may be null");
	case V_SCALAR:
		return verify_fail(v, "use the pointer itself; a number has lost its bounds",
				   "a number is used as an address");
	case V_NONE:
		return verify_fail(v, "initialise the pointer on every path that leads here",
				   "the address was never written");
	default:
		return verify_fail(v, "only the stack, packets, values and the context's fields",
				   "this pointer does not lead to memory of the program's");
	}
}

static const struct ebpf_ctx_field *find_field(const struct ebpf_ctx_field *field, int64_t off,
					       uint32_t size)
{
	for (; field->size; field++)
		if (off >= field->off && off + size <= field->off + field->size)
			return field;
	return NULL;
}

static int context_load(struct verifier *v, const struct vreg *base, struct ebpf_insn insn)
{
	static const uint8_t types[] = {
		[FIELD_PKT] = V_PKT, [FIELD_PKT_END] = V_PKT_END, [FIELD_META] = V_META};
	uint32_t size = ebpf_size_bytes(insn.code);
	int64_t off = base->off + insn.off;
	const struct ebpf_ctx_field *field = find_field(v->type->fields, off, size);
	struct vreg *dst = vreg_at(v, insn.dst);
	struct scalar value = scalar_sized(size);

	if (!field)
		return verify_fail(v,
				   "read whole fields of the context, as its header declares them",
				   "no field of the context covers %u bytes at %lld", size,
				   (long long)off);
	if (field->kind == FIELD_SCALAR) {
		if (EBPF_MODE(insn.code) == EBPF_MEMSX)
			value = scalar_sign_extend(&value, size * 8);
		*dst = vreg_scalar(value);
		return 0;
	}
	if (size != field->size || EBPF_MODE(insn.code) != EBPF_MEM)
		return verify_fail(v, "read the pointer whole",
				   "part of a pointer in the context would be read");
	*dst = vreg_pointer(types[field->kind]);
	return 0;
}

static int object_field(struct verifier *v, const struct vreg *base, struct ebpf_insn insn)
{
	int64_t off = base->off + insn.off;
	uint32_t size = ebpf_size_bytes(insn.code);

	if (find_field(ebpf_object_fields[base->map], off, size))
		return 0;
	return verify_fail(v, "read whole fields of the object, as its header declares them",
			   "no field of the object covers %u bytes at %lld", size, (long long)off);
}

int verify_classic_load(struct verifier *v, struct ebpf_insn insn)
{
	const struct vreg *ctx = vreg_at(v, 6);
	struct vreg *index = vreg_at(v, insn.src);
	int err = 0;

	if (!v->type->classic_loads)
		return verify_fail(v, "read the packet through data and data_end",
				   "the packet access of classic BPF is not there for this kind of "
				   "program");
	if (v->now.depth)
		return verify_fail(v, "do it in the program itself",
				   "it ends the program, which a function must not");
	if (ctx->type != V_CTX || ctx->off)
		return verify_fail(v, "put the context into r6", "r6 is not the context");
	if (EBPF_MODE(insn.code) == EBPF_IND) {
		err = verify_reads(v, insn.src);
		if (!err && vreg_is_pointer(index))
			err = verify_fail(v, "use a number", "a pointer where a number is wanted");
	}
	if (!err) /* without a packet there it ends the program */
		err = verify_end(v);
	if (err)
		return err;
	verify_forget_arguments(&v->now);
	*vreg_at(v, 0) = vreg_scalar(scalar_sized(ebpf_size_bytes(insn.code)));
	return 0;
}

int verify_load(struct verifier *v, struct ebpf_insn insn)
{
	struct vreg base = *vreg_at(v, insn.src);
	uint32_t size = ebpf_size_bytes(insn.code);
	struct scalar value = scalar_sized(size);
	int err = verify_writes(v, insn.dst);

	if (err)
		return err;
	if (base.type == V_CTX)
		return context_load(v, &base, insn);
	if (base.type == V_STACK)
		return verify_stack_load(v, &base, insn);
	if (base.type == V_OBJECT)
		err = object_field(v, &base, insn);
	else
		err = verify_area(v, &base, insn.off, size, ACCESS_READ);
	if (err)
		return err;
	if (EBPF_MODE(insn.code) == EBPF_MEMSX)
		value = scalar_sign_extend(&value, size * 8);
	*vreg_at(v, insn.dst) = vreg_scalar(value);
	return 0;
}

static int context_store(struct verifier *v, const struct vreg *base, struct ebpf_insn insn,
			 const struct vreg *value)
{
	uint32_t size = ebpf_size_bytes(insn.code);
	int64_t off = base->off + insn.off;
	const struct ebpf_ctx_field *field = find_field(v->type->fields, off, size);

	if (!field || !field->writable || field->kind != FIELD_SCALAR)
		return verify_fail(v, "only fields that the platform declares writable",
				   "the context would be changed at %lld", (long long)off);
	if (vreg_is_pointer(value))
		return verify_fail(v, "store numbers only",
				   "a pointer would leak into the context");
	return 0;
}

int verify_store(struct verifier *v, struct ebpf_insn insn)
{
	struct vreg constant = vreg_scalar(scalar_const((uint64_t)(int64_t)insn.imm));
	struct vreg base = *vreg_at(v, insn.dst);
	const struct vreg *value = &constant;
	int err;

	if (EBPF_CLASS(insn.code) == EBPF_STX) {
		err = verify_reads(v, insn.src);
		if (err)
			return err;
		value = vreg_at(v, insn.src);
	}
	if (base.type == V_CTX)
		return context_store(v, &base, insn, value);
	if (base.type == V_STACK)
		return verify_stack_store(v, &base, insn, value);
	err = verify_area(v, &base, insn.off, ebpf_size_bytes(insn.code), ACCESS_WRITE);
	if (!err && vreg_is_pointer(value))
		err = verify_fail(v, "store numbers only",
				  "a pointer would leak to where others can read it");
	return err;
}

bool verify_is_aligned(const struct vreg *reg, int64_t off, uint32_t size)
{
	uint64_t low = size - 1;

	return !(reg->var.bits.mask & low) &&
	       !((reg->var.bits.value + (uint64_t)(reg->off + off)) & low);
}

static int atomic_area(struct verifier *v, const struct vreg *base, struct ebpf_insn insn)
{
	uint32_t size = ebpf_size_bytes(insn.code);
	int err;

	if (base->type != V_STACK && base->type != V_VALUE && vreg_is_pointer(base) &&
	    base->type != V_RECORD && !vreg_may_be_null(base))
		return verify_fail(v, "atomic operations work on values of maps and on the stack",
				   "an atomic operation on this kind of memory");
	if (vreg_is_pointer(base) && !verify_is_aligned(base, insn.off, size))
		return verify_fail(v, "align the variable to its size",
				   "an atomic operation that may not be aligned");
	if (base->type != V_STACK)
		return verify_area(v, base, insn.off, size, ACCESS_READ | ACCESS_WRITE);
	err = verify_stack_read(v, base, insn.off, size);
	return err ? err : verify_stack_clobber(v, base, insn.off, size, true);
}

int verify_atomic(struct verifier *v, struct ebpf_insn insn)
{
	struct vreg base = *vreg_at(v, insn.dst);
	struct vreg fetched = vreg_scalar(scalar_sized(ebpf_size_bytes(insn.code)));
	bool compares = insn.imm == EBPF_CMPXCHG;
	int err = verify_reads(v, insn.src);

	if (!err && compares)
		err = verify_reads(v, 0);
	if (err)
		return err;
	if (vreg_is_pointer(vreg_at(v, insn.src)) || (compares && vreg_is_pointer(vreg_at(v, 0))))
		return verify_fail(v, "use numbers", "a pointer in an atomic operation would leak");
	if (base.type == V_STACK)
		fetched = verify_stack_known(v, &base, insn);
	err = atomic_area(v, &base, insn);
	if (err)
		return err;
	if (compares)
		*vreg_at(v, 0) = fetched;
	else if (insn.imm & EBPF_FETCH)
		*vreg_at(v, insn.src) = fetched;
	return 0;
}
