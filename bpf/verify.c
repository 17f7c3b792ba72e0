/*
 * The verifier: proves that a program touches only its own memory, reads nothing that was not
 * written, tells nobody an address, and ends.
 *
 * It walks every path from the first instruction with an abstract state (vstate.h), depth first.
 * Where control flow joins it keeps the states that it has seen: a path that arrives with a state
 * that a finished one covers needs no further walk. Loops are walked round by round; one that
 * comes back with the same state never ends and is refused, and a budget bounds all the rest.
 * Nothing is assumed that the walk did not establish; whatever is not understood is refused.
 */
#include "bpf/verify_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Thread_local void (*verify_observer)(void *arg, const struct verifier *v);
_Thread_local void (*verify_observer_of_end)(void *arg, const struct verifier *v);
_Thread_local void *verify_observer_arg;

static int fail_budget(struct verifier *v, const char *what)
{
	verify_fail(v, "simplify the program: fewer branches in loops, smaller loop bounds", "%s",
		    what);
	return -E2BIG;
}

/* All paths below @node but one ended; that one after @cost more instructions. */
static void end_path(struct vnode *node, uint64_t cost)
{
	while (node) {
		if (cost > node->cost)
			node->cost = cost;
		if (--node->open)
			return;
		cost = node->cost + node->distance;
		node = node->parent;
	}
}

/* Room for one more branch, within the limits. */
static bool has_room(struct verifier *v)
{
	uint32_t want = v->pending_room ? v->pending_room * 2 : 64;
	struct vbranch *room;

	if (v->bytes > VERIFY_BYTES_MAX)
		return false;
	if (v->pending_count < v->pending_room)
		return true;
	if (want > VERIFY_PENDING_MAX)
		return false;
	room = realloc(v->pending, want * sizeof(*v->pending));
	if (!room)
		return false;
	v->pending = room;
	v->pending_room = want;
	return true;
}

int verify_push(struct verifier *v, struct vstate *state, uint32_t pc)
{
	if (!has_room(v)) {
		vstate_finish(state);
		return fail_budget(v, "too many branches wait to be walked");
	}
	v->pending[v->pending_count++] = (struct vbranch){
		.state = *state,
		.parent = v->parent,
		.distance = v->distance,
		.pc = pc,
		.written = v->written,
	};
	v->bytes += sizeof(v->pending[0]) + vstate_bytes(state);
	v->parent->open++;
	return 0;
}

/* 1: there is another path to walk. */
static int pop_branch(struct verifier *v)
{
	struct vbranch *branch;

	vstate_finish(&v->now);
	if (v->pending_count == 0)
		return 0;
	branch = &v->pending[--v->pending_count];
	v->now = branch->state;
	v->parent = branch->parent;
	v->distance = branch->distance;
	v->pc = branch->pc;
	v->written = branch->written;
	v->bytes -= sizeof(*branch) + vstate_bytes(&v->now);
	return vstate_expand(&v->now) ? -ENOMEM : 1;
}

static void best_range(struct vreg *reg, void *arg)
{
	uint32_t *best = arg;

	if (reg->type == V_PKT && !reg->id && reg->range > *best)
		*best = reg->range;
}

/* Keeps the present state as a node between its parent and what follows. */
static int add_node(struct verifier *v)
{
	struct vjoin *join = &v->joins[v->pc];
	struct vnode *node;
	int err;

	verify_sources_renew(v);
	if (v->node_count == VERIFY_NODES_MAX || v->bytes > VERIFY_BYTES_MAX)
		return fail_budget(v, "the program has too many different states");
	node = calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	err = vstate_copy(&node->state, &v->now, true);
	if (err) {
		free(node);
		return err;
	}
	node->parent = v->parent;
	node->pc = v->pc;
	node->open = 1;
	node->distance = v->distance;
	node->written = v->written;
	vstate_each(&node->state, best_range, &node->packet_known);
	node->next = v->nodes;
	v->nodes = node;
	v->node_count++;
	v->bytes += sizeof(*node) + vstate_bytes(&node->state);
	v->parent = node;
	v->distance = 0;
	memset(&v->written, 0, sizeof(v->written));
	if (join->count < VERIFY_NODES_AT) {
		join->nodes[join->count++] = node;
	} else {
		join->nodes[join->evict] = node;
		join->evict = (uint8_t)((join->evict + 1) % VERIFY_NODES_AT);
	}
	return 0;
}

/*
 * The first state at a join is always kept; later ones the more rarely the more there are, so that
 * a long loop uses up the budget of steps before that of states.
 */
static bool worth_keeping(const struct verifier *v)
{
	return v->joins[v->pc].count == 0 || v->distance >= 8 + v->node_count / 64;
}

/* 1: a finished state covers this one. Otherwise the walk goes on. */
static int visit_join(struct verifier *v)
{
	struct vjoin *join = &v->joins[v->pc];
	struct vused used = {.live = v->live, .pc = v->pc, .sources = v->sources.all};
	unsigned int i;

	for (i = join->count; i-- > 0;) {
		const struct vnode *seen = join->nodes[i];

		used.read = seen->open ? NULL : seen->read.bits;
		used.packet = seen->packet_used;
		if (seen->open) {
			if (vstate_covers(&seen->state, &v->now, &used))
				return verify_fail(
					v, "make the loop count towards a constant bound",
					"the program can come back here with nothing changed: "
					"a loop without end");
			continue;
		}
		if (vstate_covers(&seen->state, &v->now, &used)) {
			verify_stack_inherit(v, &seen->read);
			verify_sources_inherit(v, &seen->state);
			verify_packet_inherit(v, seen->packet_used);
			end_path(v->parent, v->distance + seen->cost);
			return 1;
		}
	}
	return worth_keeping(v) ? add_node(v) : 0;
}

static int step_constant(struct verifier *v, const struct ebpf_insn *insn)
{
	struct vreg *dst = vreg_at(v, insn->dst);
	int err = verify_writes(v, insn->dst);

	if (err)
		return err;
	v->pc += 2;
	if (insn->src == EBPF_LDDW_IMM) {
		*dst = vreg_scalar(scalar_const(ebpf_lddw_imm(insn)));
		return 0;
	}
	if (insn->src == EBPF_LDDW_FUNC) {
		*dst = vreg_pointer(V_FUNC);
		dst->off = (int32_t)ebpf_func_target(*insn, v->pc - 2);
		return 0;
	}
	if (insn->imm < 0 || (uint32_t)insn->imm >= v->obj->map_count) {
		v->pc -= 2;
		return verify_fail(v, "reload the object", "no map has this index");
	}
	*dst = vreg_pointer(insn->src == EBPF_LDDW_MAP ? V_MAP : V_VALUE);
	dst->map = (uint16_t)insn->imm;
	if (insn->src == EBPF_LDDW_MAP)
		return 0;
	if (v->obj->maps[dst->map].type != BPF_MAP_TYPE_ARRAY || insn[1].imm < 0 ||
	    (uint32_t)insn[1].imm > v->obj->maps[dst->map].value_size) {
		v->pc -= 2;
		return verify_fail(v, "name a variable of the program",
				   "an address outside the data of the program");
	}
	dst->off = insn[1].imm;
	return 0;
}

/* One instruction. 1: the path ends here. */
static int step(struct verifier *v)
{
	struct ebpf_insn insn = v->insns[v->pc];
	int err;

	switch (EBPF_CLASS(insn.code)) {
	case EBPF_ALU:
	case EBPF_ALU64:
		err = verify_alu(v, insn);
		break;
	case EBPF_LDX:
		err = verify_load(v, insn);
		break;
	case EBPF_ST:
		err = verify_store(v, insn);
		break;
	case EBPF_STX:
		err = EBPF_MODE(insn.code) == EBPF_ATOMIC ? verify_atomic(v, insn) :
							    verify_store(v, insn);
		break;
	case EBPF_LD:
		if (insn.code == EBPF_LDDW)
			return step_constant(v, &v->insns[v->pc]);
		err = verify_classic_load(v, insn);
		break;
	default:
		if (ebpf_is_exit(insn))
			return verify_exit(v);
		if (ebpf_is_call(insn))
			return insn.src == EBPF_CALL_LOCAL ? verify_local_call(v, insn) :
							     verify_call(v, insn);
		return verify_jump(v, insn);
	}
	if (!err)
		v->pc++;
	return err;
}

/* From the present state to the end of its path. */
static int walk_path(struct verifier *v)
{
	int err;

	for (;;) {
		if (++v->steps > VERIFY_STEPS_MAX)
			return fail_budget(
				v, "the paths through the program are too many or too long");
		if (v->sources.no_memory)
			return -ENOMEM;
		if (v->joins[v->pc].here) {
			err = visit_join(v);
			if (err)
				return err < 0 ? err : 0;
		}
		if (verify_observer)
			verify_observer(verify_observer_arg, v);
		v->distance++;
		err = step(v);
		if (err < 0)
			return err;
		if (err > 0) {
			end_path(v->parent, v->distance);
			return 0;
		}
	}
}

static int walk(struct verifier *v)
{
	int err;

	v->now.frames[0] = vframe_create();
	if (!v->now.frames[0])
		return -ENOMEM;
	*vreg_at(v, 1) = vreg_pointer(V_CTX);
	*vreg_at(v, EBPF_REG_FP) = vreg_pointer(V_STACK);
	do {
		err = walk_path(v);
		if (!err)
			err = pop_branch(v);
	} while (err > 0);
	if (!err && verify_observer_of_end)
		verify_observer_of_end(verify_observer_arg, v);
	return err;
}

/* Functions are the program and the targets of its local calls; control leaves them by exit only.
 */
static int check_functions(struct verifier *v, const bool *starts)
{
	uint32_t pc, function = 0, last = 0;

	for (pc = 0; pc < v->count; pc++) {
		if (starts[pc]) {
			v->pc = last;
			if (pc && !ebpf_is_exit(v->insns[last]) && !ebpf_is_ja(v->insns[last]))
				return verify_fail(v, "end every function with exit",
						   "control would run into the next function");
			function = pc;
		}
		v->function_of[pc] = function;
		if (v->insns[pc].code)
			last = pc;
	}
	for (pc = 0; pc < v->count; pc++) {
		v->pc = pc;
		if (ebpf_is_jump(v->insns[pc]) &&
		    v->function_of[ebpf_jump_target(v->insns[pc], pc)] != v->function_of[pc])
			return verify_fail(v, "call functions instead",
					   "a jump into another function");
	}
	return 0;
}

/* Joins: every instruction that a jump or a call leads to, and the first one. */
static int find_structure(struct verifier *v)
{
	bool *starts = calloc(v->count, sizeof(*starts));
	bool to_start = false;
	uint32_t pc;
	int err;

	if (!starts)
		return -ENOMEM;
	starts[0] = true;
	for (pc = 0; pc < v->count; pc++) {
		struct ebpf_insn insn = v->insns[pc];
		uint32_t target = (uint32_t)ebpf_jump_target(insn, pc);

		if (ebpf_is_func(insn)) {
			target = (uint32_t)ebpf_func_target(insn, pc);
			starts[target] = true;
			to_start |= target == 0;
		} else if (ebpf_is_call(insn) && insn.imm == BPF_FUNC_loop) {
			target = pc + 1; /* paths of many rounds meet here */
		} else if (!ebpf_is_jump(insn)) {
			continue;
		}
		v->joins[target].here = true;
	}
	v->joins[0].here = true;
	err = check_functions(v, starts);
	v->pc = 0;
	if (!err && to_start)
		err = verify_fail(v, "use a loop", "the program calls itself");
	free(starts);
	return err;
}

static void finish(struct verifier *v)
{
	vstate_finish(&v->now);
	while (v->pending_count)
		vstate_finish(&v->pending[--v->pending_count].state);
	while (v->nodes) {
		struct vnode *node = v->nodes;

		v->nodes = node->next;
		vstate_finish(&node->state);
		free(node);
	}
	free(v->pending);
	free(v->live);
	verify_sources_finish(v);
	free(v->function_of);
	free(v->joins);
}

/* Functions first, then which registers are read where, then the walk. */
static int prove(struct verifier *v)
{
	uint32_t pc;
	int err;

	v->code->calls = malloc(v->count * sizeof(*v->code->calls));
	v->live = calloc(v->count, sizeof(*v->live));
	v->function_of = calloc(v->count, sizeof(*v->function_of));
	v->joins = calloc(v->count, sizeof(*v->joins));
	if (!v->code->calls || !v->live || !v->function_of || !v->joins)
		return -ENOMEM;
	for (pc = 0; pc < v->count; pc++)
		v->code->calls[pc] = (struct ebpf_call_note){CALL_NOT_SEEN, CALL_NOT_SEEN};
	err = find_structure(v);
	if (err)
		return err;
	verify_live(v);
	return walk(v);
}

static int prove_and_count(struct verifier *v)
{
	char reason[128];
	struct vnode *first;
	int err = prove(v);

	for (first = v->nodes; first && first->next; first = first->next)
		continue;
	if (err || !first)
		return err;
	v->code->cost = first->cost;
	if (first->cost <= v->type->cost_max)
		return 0;
	snprintf(reason, sizeof(reason), "its longest path has %llu instructions, %u are allowed",
		 (unsigned long long)first->cost, v->type->cost_max);
	ebpf_refuse(v->code, reason, "smaller loop bounds");
	return -E2BIG;
}

int ebpf_verify(const struct ebpf_object *obj, struct ebpf_code *code, char *log, size_t log_size)
{
	struct verifier v = {
		.obj = obj,
		.code = code,
		.type = code->type,
		.insns = code->insns,
		.count = code->count,
		.next_id = 1,
	};
	char text[128];
	const char *reason;
	size_t index;
	int err = ebpf_insns_check(code->insns, code->count, &index, &reason);

	free(code->refusal);
	code->refusal = NULL;
	free(code->calls);
	code->calls = NULL;
	code->writes_packet = false;
	code->cost = 0;
	if (err) {
		snprintf(text, sizeof(text), "instruction %zu: %s", index, reason);
		ebpf_refuse(code, text, "use a compiler for eBPF");
	} else {
		err = prove_and_count(&v);
		finish(&v);
	}
	code->verified = !err;
	if (err)
		code->cost = 0;
	if (code->refusal && log && log_size)
		ebpf_refusal_text(code->refusal, log, log_size);
	return err;
}
