/*
 * bpf_test.c - leat bpf test: a filter against a script of packets.
 *
 * Each packet is judged by the compiled program and by the interpreter, which must agree on the
 * verdict, the bytes and the counters. Before that it is judged cut at every length, and damaged,
 * by instances that are there for this only, at the very end of memory: whatever a program reads
 * behind data_end ends the test.
 */
#include "apps/leat/bpf_common.h"
#include "apps/leat/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096
#define ENGINES 2
#define DAMAGED 64 /* copies of each packet */

/* Where a packet lies: at the end of a page in front of an unreadable one. */
struct place {
	uint8_t *end;
};

struct bench {
	struct place place[ENGINES];
	struct leat_pkt_ctx ctx[ENGINES]; /* of the last packet, as it is now */
	unsigned int packets;
	uint32_t seed;
};

static bool place_make(struct place *place)
{
	uint8_t *pages =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED || mprotect(pages + PAGE, PAGE, PROT_NONE))
		return false;
	place->end = pages + PAGE;
	return true;
}

/* What a program sees of a frame of which @size bytes are there. */
static uint32_t judge(const struct script *script, unsigned int index, const struct place *place,
		      const struct script_packet *sp, size_t size, struct leat_pkt_ctx *ret_ctx)
{
	const struct ebpf_prog *prog = ebpf_instance_prog(script->inst[index], sp->section);
	size_t copy = size < LEAT_PKT_COPY ? size : LEAT_PKT_COPY;
	struct leat_pkt_ctx ctx = script->ctx;

	ctx.data = (uintptr_t)place->end - copy;
	ctx.data_end = (uintptr_t)place->end;
	ctx.len = (uint32_t)(size == sp->packet.size ? sp->packet.len : size);
	memcpy(place->end - copy, sp->packet.bytes, copy);
	*ret_ctx = ctx;
	return prog ? (uint32_t)ebpf_prog_run(prog, ret_ctx) : LEAT_DROP;
}

static bool same_bytes(const struct leat_pkt_ctx *a, const struct leat_pkt_ctx *b)
{
	size_t size = (size_t)(a->data_end - a->data);

	return size == b->data_end - b->data && a->len == b->len &&
	       memcmp((const void *)(uintptr_t)a->data, (const void *)(uintptr_t)b->data, size) ==
		       0;
}

static bool engines_agree(struct script *script, struct bench *t, const struct script_packet *sp,
			  unsigned int first, size_t size, uint32_t *ret_verdict)
{
	uint32_t verdict[ENGINES];
	unsigned int i;

	for (i = 0; i < ENGINES; i++)
		verdict[i] = judge(script, first + i, &t->place[i], sp, size, &t->ctx[i]);
	*ret_verdict = verdict[0];
	if (verdict[0] == verdict[1] && same_bytes(&t->ctx[0], &t->ctx[1]))
		return true;
	script_fail(script, "compiler and interpreter differ on the first %zu bytes", size);
	return false;
}

/* All counters of the two that judge. */
static void counters_read(const struct script *script, unsigned int index, uint64_t *ret)
{
	struct ebpf_map *map = ebpf_instance_map(script->inst[index], LEAT_MAP_COUNTERS);
	struct ebpf_map_info info = {.value_size = 0};
	uint32_t i;

	if (map)
		ebpf_map_info(map, &info);
	for (i = 0; i < LEAT_COUNT_MAX; i++)
		if (info.value_size != sizeof(*ret) || ebpf_map_lookup(map, &i, &ret[i]))
			ret[i] = 0;
}

static void check_counters(struct script *script, const struct script_packet *sp,
			   const uint64_t *before)
{
	uint64_t after[LEAT_COUNT_MAX], other[LEAT_COUNT_MAX];
	bool egress = strcmp(sp->section, LEAT_SEC_EGRESS) == 0;
	uint32_t direction = egress ? LEAT_COUNT_EGRESS : LEAT_COUNT_INGRESS;
	char buf[16];
	uint32_t i;

	counters_read(script, 0, after);
	counters_read(script, 1, other);
	if (memcmp(after, other, sizeof(after)) != 0)
		script_fail(script, "compiler and interpreter count differently");
	if (after[direction] != before[direction] + 1)
		script_fail(script, "the execution was not counted");
	if (sp->counter < 0 || after[sp->counter] == before[sp->counter] + 1)
		return;
	script_fail(script, "%s was not counted", bpf_counter_name((uint32_t)sp->counter, buf));
	for (i = LEAT_COUNT_PASS_EGRESS; i < LEAT_COUNT_MAX; i++)
		if (after[i] != before[i])
			fprintf(stderr, "  but %s\n", bpf_counter_name(i, buf));
}

/* Cut and damaged: the verdict is whatever it is, but the same for both. */
static bool test_others(struct script *script, struct bench *t, const struct script_packet *sp)
{
	struct script_packet damaged;
	uint32_t verdict;
	size_t size;
	int i, flips;

	for (size = 0; size < sp->packet.size; size++)
		if (!engines_agree(script, t, sp, ENGINES, size, &verdict))
			return false;
	for (i = 0; size && i < DAMAGED; i++) {
		damaged = *sp;
		for (flips = 0; flips <= i % 4; flips++) {
			t->seed = t->seed * 1664525 + 1013904223;
			damaged.packet.bytes[(t->seed >> 8) % size] ^=
				(uint8_t)(1u << (t->seed >> 5 & 7));
		}
		if (!engines_agree(script, t, &damaged, ENGINES, size, &verdict))
			return false;
	}
	return true;
}

static bool test_counted(struct script *script)
{
	uint64_t counters[LEAT_COUNT_MAX], sum = 0, runs;
	uint32_t i;

	counters_read(script, ENGINES, counters);
	for (i = LEAT_COUNT_PASS_EGRESS; i < LEAT_COUNT_MAX; i++)
		sum += counters[i];
	runs = counters[LEAT_COUNT_EGRESS] + counters[LEAT_COUNT_INGRESS];
	if (sum != runs)
		script_fail(script, "%llu executions, but %llu passed or dropped",
			    (unsigned long long)runs, (unsigned long long)sum);
	return sum == runs;
}

static bool test_packet(struct script *script, const struct script_packet *sp)
{
	struct bench *t = script->arg;
	uint64_t before[LEAT_COUNT_MAX];
	uint32_t verdict;

	t->packets++;
	if (!test_others(script, t, sp))
		return false;
	counters_read(script, 0, before);
	if (!engines_agree(script, t, sp, 0, sp->packet.size, &verdict))
		return false;
	if (verdict != sp->verdict)
		script_fail(script, "the verdict is %s, not %s", script_verdict_name(verdict),
			    script_verdict_name(sp->verdict));
	else if (sp->redirect && t->ctx[0].redirect != sp->redirect)
		script_fail(script, "it goes to instance %u, not %u", t->ctx[0].redirect,
			    sp->redirect);
	check_counters(script, sp, before);
	return true;
}

static bool test_gives(struct script *script, const struct packet *expected)
{
	const struct bench *t = script->arg;
	const struct leat_pkt_ctx *ctx = &t->ctx[0];
	size_t size = (size_t)(ctx->data_end - ctx->data), i;
	const uint8_t *bytes = (const uint8_t *)(uintptr_t)ctx->data;

	if (size != expected->size) {
		script_fail(script, "the frame has %zu bytes, not %zu", size, expected->size);
		return false;
	}
	for (i = 0; i < size && bytes[i] == expected->bytes[i]; i++)
		continue;
	if (i < size)
		script_fail(script, "byte %zu of the frame is %02x, not %02x", i, bytes[i],
			    expected->bytes[i]);
	return i == size;
}

static int test(const char *path, struct ebpf_object *compiled, struct ebpf_object *interpreted)
{
	struct bench bench = {.packets = 0};
	struct script script = {.path = path,
				.packet = test_packet,
				.gives = test_gives,
				.counted = test_counted,
				.arg = &bench};
	bool ok = place_make(&bench.place[0]) && place_make(&bench.place[1]);

	while (ok && script.nr_inst < 2 * ENGINES) {
		ok = ebpf_instance_create(script.nr_inst % 2 ? interpreted : compiled,
					  &script.inst[script.nr_inst]) == 0;
		script.nr_inst += ok;
	}
	if (ok)
		ok = script_run(&script);
	else
		fputs("leat: no memory for the maps\n", stderr);
	while (script.nr_inst)
		ebpf_instance_destroy(script.inst[--script.nr_inst]);
	if (script.line)
		printf("%s: %u packets, %u wrong\n", path, bench.packets, script.failures);
	return ok ? 0 : 1;
}

int bpf_test(int argc, char **argv, const struct bpf_options *options)
{
	struct ebpf_object *compiled, *interpreted = NULL;
	int status = 1, i;
	double us;

	(void)options;
	if (argc < 2)
		return bpf_usage();
	compiled = bpf_ready(argv[0], EBPF_ENGINE_AUTO, &us);
	if (compiled)
		interpreted = bpf_ready(argv[0], EBPF_ENGINE_INTERPRETER, &us);
	if (interpreted)
		for (status = 0, i = 1; i < argc; i++)
			status |= test(argv[i], compiled, interpreted);
	ebpf_object_unref(compiled);
	ebpf_object_unref(interpreted);
	return status;
}
