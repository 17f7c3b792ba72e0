/*
 * Benchmark: ns a packet of the default filter, compiled by Leat (.leat), by gcc -O2 from the same
 * C
 * (.native) and interpreted; how long its proof takes. Rounds alternate; medians; a ratio above 1
 * means that Leat is better.
 */
#include "bpf/bpf.h"
#include "leat/abi/filter.h"
#include "tests/bpf/native/native.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 15
#define RUNS 100000

/* IPv4, TCP */
static uint8_t packet[64] = {0x02, 0x1e, 0xa7, 0,  0, 3,  0x02, 0x1e, 0xa7, 0, 0,  2,
			     8,    0,    0x45, 0,  0, 40, 0,    0,    0,    0, 64, 6,
			     0,    0,    10,   99, 0, 2,  10,   99,   0,    3};

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare);
	return values[ROUNDS / 2];
}

static double run_prog(const struct ebpf_prog *prog, struct leat_pkt_ctx *ctx)
{
	double start = now_ns();
	uint64_t passed = 0;
	int i;

	for (i = 0; i < RUNS; i++)
		passed += ebpf_prog_run(prog, ctx);
	if (passed != RUNS)
		exit(1); /* a filter that drops is not what is measured */
	return (now_ns() - start) / RUNS;
}

static double run_native(int (*volatile function)(struct leat_pkt_ctx *), struct leat_pkt_ctx *ctx)
{
	double start = now_ns();
	int i, passed = 0;

	for (i = 0; i < RUNS; i++)
		passed += function(ctx);
	if (passed != RUNS)
		exit(1);
	return (now_ns() - start) / RUNS;
}

static void measure(const char *name, const struct ebpf_prog *leat, const struct ebpf_prog *interp,
		    int (*native)(struct leat_pkt_ctx *))
{
	double a[ROUNDS], b[ROUNDS], c[ROUNDS];
	struct leat_pkt_ctx ctx = {
		.data = (uintptr_t)packet,
		.data_end = (uintptr_t)packet + sizeof(packet),
		.len = sizeof(packet),
		.peer_tenant = 1,
	};
	int i;

	for (i = 0; i < ROUNDS; i++) {
		a[i] = run_prog(leat, &ctx);
		b[i] = run_native(native, &ctx);
		c[i] = run_prog(interp, &ctx);
	}
	printf("%s.native %.2f ns\n%s.leat %.2f ns\n", name, median(b), name, median(a));
	printf("%s.interpreter %.2f ns\n%s.native_ratio %.2f x\n", name, median(c), name,
	       median(b) / median(a));
}

static struct ebpf_instance *load(enum ebpf_engine engine, double *ret_verify_us)
{
	static uint8_t elf[1 << 20];
	FILE *file = fopen(FILTERS "/antispoof.bpf.o", "r");
	struct ebpf_instance *inst = NULL;
	struct ebpf_object *obj;
	double start;

	if (!file || ebpf_object_open(elf, fread(elf, 1, sizeof(elf), file), NULL, 0, &obj))
		exit(1);
	fclose(file);
	start = now_ns();
	if (ebpf_object_verify(obj, NULL, 0))
		exit(1);
	*ret_verify_us = (now_ns() - start) / 1000;
	if (ebpf_object_prepare(obj, engine) || ebpf_instance_create(obj, &inst))
		exit(1);
	ebpf_object_unref(obj);
	return inst;
}

int main(void)
{
	static const struct leat_identity id = {.mac = {0x02, 0x1e, 0xa7, 0, 0, 2},
						.ipv4 = 0x0200630a,
						.tenant = 1};
	struct ebpf_instance *leat, *interp;
	double verify[ROUNDS];
	uint32_t zero = 0;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		leat = load(EBPF_ENGINE_COMPILER, &verify[i]);
		if (i < ROUNDS - 1)
			ebpf_instance_destroy(leat);
	}
	printf("verify_antispoof.leat %.0f us\n", median(verify));
	interp = load(EBPF_ENGINE_INTERPRETER, &verify[0]);
	ebpf_map_update(ebpf_instance_map(leat, LEAT_MAP_IDENTITY), &zero, &id, 0);
	ebpf_map_update(ebpf_instance_map(interp, LEAT_MAP_IDENTITY), &zero, &id, 0);
	native_antispoof_init(&id);
	measure("antispoof_egress", ebpf_instance_prog(leat, LEAT_SEC_EGRESS),
		ebpf_instance_prog(interp, LEAT_SEC_EGRESS), native_antispoof_egress);
	memmove(packet, packet + 6, 6);
	packet[11] = 3;
	measure("antispoof_ingress", ebpf_instance_prog(leat, LEAT_SEC_INGRESS),
		ebpf_instance_prog(interp, LEAT_SEC_INGRESS), native_antispoof_ingress);
	ebpf_instance_destroy(leat);
	ebpf_instance_destroy(interp);
	return 0;
}
