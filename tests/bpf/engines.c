/* All engines on one input; see engines.h. */
#include "engines.h"
#include "generate.h"

#include "bpf/map_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUDGET 2000000

struct machine {
	struct leat_pkt_ctx ctx;
	uint8_t bytes[ENGINES_HEADROOM + ENGINES_PACKET_MAX];
	uint64_t r0;
};

/* Every third address belongs to somebody. */
static int64_t tag_of(void *arg, uint32_t ipv4)
{
	(void)arg;
	return ipv4 % 3 ? -ENOENT : (int64_t)(ipv4 ^ 0x5a5a);
}

static void create_maps(struct ebpf_env *env, const struct ebpf_object *obj)
{
	uint32_t i, key;

	memset(env, 0, sizeof(*env));
	env->host.tag_of = tag_of;
	for (i = 0; i < obj->map_count; i++) {
		if (ebpf_map_create(&obj->maps[i], &env->slot[i].map))
			abort();
		env->slot[i].values = ebpf_map_values(env->slot[i].map);
		key = 1;
		if (obj->maps[i].inner && ebpf_map_inner_create(env->slot[i].map, &key))
			abort();
	}
}

static void destroy_maps(struct ebpf_env *env, const struct ebpf_object *obj)
{
	uint32_t i;

	for (i = 0; i < obj->map_count; i++)
		ebpf_map_destroy(env->slot[i].map);
}

void engines_init(struct engines *e, const struct ebpf_object *obj)
{
	int i;

	e->obj = obj;
	for (i = 0; i < ENGINES; i++)
		create_maps(&e->env[i], obj);
}

void engines_finish(struct engines *e)
{
	int i;

	for (i = 0; i < ENGINES; i++)
		destroy_maps(&e->env[i], e->obj);
}

static void fill_flat(struct ebpf_map *map, struct generator *g)
{
	uint64_t *words = (uint64_t *)(void *)map->storage, i;

	for (i = 0; i < (uint64_t)map->def->max_entries * map->copies * map->stride / 8; i++)
		words[i] = generate_random(g) >> (generate_random(g) >> 58);
}

/* Handles are set for the even indices only. */
static void fill_handles(struct ebpf_map *map)
{
	uint32_t i, handle;

	for (i = 0; i < map->def->max_entries; i++) {
		handle = i % 2 ? 0 : i + 7;
		ebpf_map_update(map, &i, &handle, 0);
	}
}

static void reset_hash(struct ebpf_map **map)
{
	const struct ebpf_map_def *def = (*map)->def;
	uint8_t key[EBPF_KEY_SIZE_MAX];

	if (ebpf_map_next_key(*map, NULL, key) == -ENOENT)
		return;
	ebpf_map_destroy(*map);
	if (ebpf_map_create(def, map))
		abort();
}

static void fill_maps(struct ebpf_env *env, const struct ebpf_object *obj, uint64_t seed)
{
	struct generator g = {seed | 1};
	uint32_t i, key = 1;

	for (i = 0; i < obj->map_count; i++) {
		struct ebpf_map *map = env->slot[i].map;

		switch (obj->maps[i].type) {
		case BPF_MAP_TYPE_ARRAY:
		case BPF_MAP_TYPE_PERCPU_ARRAY:
			fill_flat(map, &g);
			break;
		case BPF_MAP_TYPE_DEVMAP:
		case BPF_MAP_TYPE_XSKMAP:
			fill_handles(map);
			break;
		case BPF_MAP_TYPE_ARRAY_OF_MAPS:
			fill_flat(ebpf_map_inner(map, &key), &g);
			break;
		case BPF_MAP_TYPE_RINGBUF:
			ebpf_ring_finish(&map->ring);
			if (ebpf_ring_init(&map->ring, obj->maps[i].max_entries))
				abort();
			break;
		default:
			reset_hash(&env->slot[i].map);
		}
	}
}

static bool same_storage(const struct ebpf_map *a, const struct ebpf_map *b)
{
	return memcmp(a->storage, b->storage,
		      (size_t)a->def->max_entries * a->copies * a->stride) == 0;
}

/* Is everything in @a in @b too? */
static bool covers(struct ebpf_map *a, struct ebpf_map *b)
{
	uint8_t key[EBPF_KEY_SIZE_MAX];
	const void *last = NULL, *x, *y;

	while (ebpf_map_next_key(a, last, key) == 0) {
		x = ebpf_map_find(a, key);
		y = ebpf_map_find(b, key);
		if (!x || !y || memcmp(x, y, a->def->value_size) != 0)
			return false;
		last = key;
	}
	return true;
}

static bool same_map(struct ebpf_map *a, struct ebpf_map *b)
{
	uint32_t key = 1;

	switch (a->def->type) {
	case BPF_MAP_TYPE_ARRAY:
	case BPF_MAP_TYPE_PERCPU_ARRAY:
	case BPF_MAP_TYPE_DEVMAP:
	case BPF_MAP_TYPE_XSKMAP:
		return same_storage(a, b);
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
		return same_storage(ebpf_map_inner(a, &key), ebpf_map_inner(b, &key));
	case BPF_MAP_TYPE_RINGBUF:
		return atomic_load(&a->ring.head) == atomic_load(&b->ring.head) &&
		       memcmp(a->ring.bytes, b->ring.bytes, a->ring.size) == 0;
	default:
		return covers(a, b) && covers(b, a);
	}
}

static void prepare(struct machine *m, const struct engines_input *input)
{
	memset(m->bytes, 0, sizeof(m->bytes));
	memcpy(m->bytes + ENGINES_HEADROOM, input->packet, input->packet_len);
	m->ctx = input->ctx;
	m->ctx.data = (uintptr_t)m->bytes + ENGINES_HEADROOM;
	m->ctx.data_end = m->ctx.data + input->packet_len;
	m->ctx.headroom = ENGINES_HEADROOM;
}

/* The same bytes at the same distance, the same length and handle? */
static bool same_packet(const struct machine *a, const struct machine *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0 &&
	       a->ctx.data - (uintptr_t)a->bytes == b->ctx.data - (uintptr_t)b->bytes &&
	       a->ctx.data_end - (uintptr_t)a->bytes == b->ctx.data_end - (uintptr_t)b->bytes &&
	       a->ctx.len == b->ctx.len && a->ctx.headroom == b->ctx.headroom &&
	       a->ctx.redirect == b->ctx.redirect;
}

static bool compare(struct engines *e, const struct machine machines[ENGINES], char wrong[256])
{
	static const char *const names[] = {"oracle", "interpreter", "compiler"};
	uint32_t i, map;

	for (i = 1; i < ENGINES; i++) {
		if (machines[i].r0 != machines[0].r0)
			snprintf(wrong, 256, "oracle %#llx, %s %#llx",
				 (unsigned long long)machines[0].r0, names[i],
				 (unsigned long long)machines[i].r0);
		else if (!same_packet(&machines[0], &machines[i]))
			snprintf(wrong, 256, "the %s leaves another packet", names[i]);
		for (map = 0; map < e->obj->map_count && !wrong[0]; map++)
			if (!same_map(e->env[0].slot[map].map, e->env[i].slot[map].map))
				snprintf(wrong, 256, "the %s leaves another map %.64s", names[i],
					 e->obj->maps[map].name);
	}
	return !wrong[0];
}

bool engines_run(struct engines *e, const struct ebpf_code *code, const struct engines_input *input,
		 oracle_watch watch, void *arg, char wrong[256])
{
	struct machine machines[ENGINES];
	struct oracle_result result;
	struct oracle_input oracle = {(uint8_t *)&machines[ENGINE_ORACLE].ctx,
				      sizeof(struct leat_pkt_ctx), &e->env[ENGINE_ORACLE], BUDGET};
	int i;

	wrong[0] = '\0';
	for (i = 0; i < ENGINES; i++) {
		fill_maps(&e->env[i], e->obj, input->seed);
		prepare(&machines[i], input);
	}
	if (!oracle_run(e->obj, code, &oracle, watch, arg, &result)) {
		snprintf(wrong, 256, "at %u: %.200s", result.pc, result.finding);
		return false;
	}
	machines[ENGINE_ORACLE].r0 = result.r0;
	if (result.steps > code->cost) {
		snprintf(wrong, 256, "%llu steps, proved %llu", (unsigned long long)result.steps,
			 (unsigned long long)code->cost);
		return false;
	}
	machines[ENGINE_INTERPRETER].r0 =
		ebpf_interp_run(code, (uintptr_t)&machines[ENGINE_INTERPRETER].ctx, 0,
				&e->env[ENGINE_INTERPRETER]);
	machines[ENGINE_COMPILER].r0 = code->native((uintptr_t)&machines[ENGINE_COMPILER].ctx,
						    &e->env[ENGINE_COMPILER], NULL);
	return compare(e, machines, wrong);
}
