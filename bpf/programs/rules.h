/* A list of rules, and whether they let a flow pass: for secgroup and stateful. */
#pragma once

#include "flow.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct leat_rules);
} rules SEC(".maps");

/*
 * One comparison for all: each way out of several would be a path of its own to the verifier, for
 * each rule of the list.
 */
static __always_inline int rule_matches(const struct leat_rule *rule, const struct flow *flow,
					__u32 direction)
{
	__u64 differ = (flow->remote.halves[0] & rule->mask.halves[0]) ^ rule->remote.halves[0];

	differ |= (flow->remote.halves[1] & rule->mask.halves[1]) ^ rule->remote.halves[1];
	differ |= (flow->proto & rule->proto_mask) ^ rule->proto;
	differ |= (rule->direction & direction) ^ direction;
	/* neither difference is negative */
	differ |= ((flow->port - rule->port_low) | (rule->port_high - flow->port)) >> 31;
	return !differ;
}

/* Does the first rule that matches say pass? */
static __always_inline int rules_pass(const struct flow *flow, __u32 direction)
{
	const struct leat_rules *list;
	__u32 i, zero = 0;

	list = bpf_map_lookup_elem(&rules, &zero);
	if (!list)
		return 0;
#pragma clang loop unroll(disable)
	for (i = 0; i < LEAT_RULES_MAX; i++) {
		const struct leat_rule *rule = &list->rule[i];

		if (rule->action == LEAT_RULE_END)
			break;
		if (rule_matches(rule, flow, direction))
			return rule->action == LEAT_RULE_PASS;
	}
	return 0;
}
