/* The platform table's rows, and the helpers behind them. */
#include "bpf/platform.h"
#include "bpf/map.h"
#include "leat/abi/filter.h"

#include <string.h>
#include <time.h>

#define UNUSED __attribute__((unused))
#define HELPER_ARGS(a, b, c, d, e)                                                                 \
	(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,                               \
	 const struct ebpf_env *env UNUSED)

static void *pointer(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

static uint64_t helper_map_lookup HELPER_ARGS(map, key, c UNUSED, d UNUSED, e UNUSED)
{
	return (uintptr_t)ebpf_map_find(pointer(map), pointer(key));
}

static uint64_t helper_map_update HELPER_ARGS(map, key, value, flags, e UNUSED)
{
	return (uint64_t)(int64_t)ebpf_map_update(pointer(map), pointer(key), pointer(value),
						  flags);
}

static uint64_t helper_map_delete HELPER_ARGS(map, key, c UNUSED, d UNUSED, e UNUSED)
{
	return (uint64_t)(int64_t)ebpf_map_delete(pointer(map), pointer(key));
}

static uint64_t helper_ktime_get_ns HELPER_ARGS(a UNUSED, b UNUSED, c UNUSED, d UNUSED, e UNUSED)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Not for secrets: a per-thread xorshift, as good as filters need for sampling. */
static uint64_t helper_get_prandom_u32 HELPER_ARGS(a UNUSED, b UNUSED, c UNUSED, d UNUSED, e UNUSED)
{
	static _Thread_local uint64_t state;

	if (!state)
		state = ((uintptr_t)&state ^ helper_ktime_get_ns(0, 0, 0, 0, 0, NULL)) | 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32);
}

const struct ebpf_helper ebpf_helpers[EBPF_HELPERS] = {
	[BPF_FUNC_map_lookup_elem] = {"map_lookup_elem",
				      helper_map_lookup,
				      RET_VALUE_OR_NULL,
				      {ARG_MAP, ARG_KEY},
				      false,
				      false},
	[BPF_FUNC_map_update_elem] = {"map_update_elem",
				      helper_map_update,
				      RET_SCALAR,
				      {ARG_MAP, ARG_KEY, ARG_VALUE, ARG_SCALAR},
				      false,
				      true},
	[BPF_FUNC_map_delete_elem] =
		{"map_delete_elem", helper_map_delete, RET_SCALAR, {ARG_MAP, ARG_KEY}, false, true},
	[BPF_FUNC_ktime_get_ns] =
		{"ktime_get_ns", helper_ktime_get_ns, RET_SCALAR, {0}, false, false},
	[BPF_FUNC_get_prandom_u32] =
		{"get_prandom_u32", helper_get_prandom_u32, RET_SCALAR, {0}, false, false},
};

#define FIELD(member, kind)                                                                        \
	{                                                                                          \
		offsetof(struct leat_pkt_ctx, member), sizeof(((struct leat_pkt_ctx *)0)->member), \
			kind, false                                                                \
	}

static const struct ebpf_ctx_field leat_pkt_fields[] = {
	FIELD(data, FIELD_PKT),     FIELD(data_end, FIELD_PKT_END),   FIELD(now_ns, FIELD_SCALAR),
	FIELD(len, FIELD_SCALAR),   FIELD(instance, FIELD_SCALAR),    FIELD(tenant, FIELD_SCALAR),
	FIELD(port, FIELD_SCALAR),  FIELD(peer_tenant, FIELD_SCALAR), FIELD(gso_size, FIELD_SCALAR),
	FIELD(flags, FIELD_SCALAR), FIELD(tag, FIELD_SCALAR),         {0},
};

static const uint8_t leat_pkt_helpers[] = {
	BPF_FUNC_map_lookup_elem, BPF_FUNC_map_update_elem, BPF_FUNC_map_delete_elem,
	BPF_FUNC_ktime_get_ns,    BPF_FUNC_get_prandom_u32, 0,
};

/* A packet must not keep a core for long: some 50 us at the worst. */
#define LEAT_COST_MAX 100000

static const struct ebpf_prog_type prog_types[] = {
	{LEAT_SEC_EGRESS, leat_pkt_fields, leat_pkt_helpers, false, LEAT_COST_MAX},
	{LEAT_SEC_INGRESS, leat_pkt_fields, leat_pkt_helpers, false, LEAT_COST_MAX},
};

const struct ebpf_prog_type *ebpf_prog_type_find(const char *section)
{
	size_t i, n;

	for (i = 0; i < sizeof(prog_types) / sizeof(prog_types[0]); i++) {
		n = strlen(prog_types[i].section);
		if (strncmp(section, prog_types[i].section, n) == 0 &&
		    (section[n] == '\0' || section[n] == '/'))
			return &prog_types[i];
	}
	return NULL;
}

bool ebpf_prog_type_allows(const struct ebpf_prog_type *type, int32_t helper)
{
	const uint8_t *allowed;

	if (helper <= 0 || helper >= EBPF_HELPERS)
		return false;
	for (allowed = type->helpers; *allowed; allowed++)
		if (*allowed == helper)
			return true;
	return false;
}
