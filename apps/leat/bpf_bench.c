/*
 * bpf_bench.c - leat bpf bench: ns a packet of a filter, and how long its proof takes.
 *
 * F.bench beside F.bpf.o is a script with "bench" lines: the cases. Each is measured as Leat
 * compiles it (.leat), and, where the files are there, as gcc -O2 compiles the same C (.native,
 * F.native.so) and as the kernel does (.kernel, F.kernel.bpf.o, through BPF_PROG_TEST_RUN). Rounds
 * alternate; medians; a ratio above 1 means that Leat is better.
 */
#include "apps/leat/bpf_common.h"
#include "apps/leat/bpf_kernel.h"
#include "apps/leat/bpf_native.h"
#include "apps/leat/script.h"

#include <glob.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "apps/common/paths.h"

#define ROUNDS 15
#define ROUNDS_QUICK 5
#define RUNS 100000
#define RUNS_QUICK 20000
#define VERIFY_ROUNDS 25
#define OBJECT_SUFFIX ".bpf.o"

struct figures {
	const struct bpf_options *options;
	json_t *array; /* NULL: printed at once */
	unsigned int shown;
};

/* The three ways in which one case is run; NULL where there is none. */
struct subject {
	const char *stem; /* the object's path without its suffix */
	struct ebpf_object *obj;
	struct ebpf_object *interpreted;
	struct figures *figures;
};

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, int count)
{
	qsort(values, (size_t)count, sizeof(*values), compare_doubles);
	return values[count / 2];
}

static void show(struct figures *figures, const char *name, const char *kind, double value,
		 const char *unit)
{
	char text[160];

	snprintf(text, sizeof(text), "%s.%s", name, kind);
	figures->shown++;
	if (figures->array)
		json_array_append_new(figures->array, json_pack("{s:s, s:f, s:s}", "name", text,
								"value", value, "unit", unit));
	else
		printf("%s %.4g %s\n", text, value, unit);
}

/* Is the case among those of --only? */
static bool selected(const struct figures *figures, const char *name)
{
	const char *at = figures->options->only;
	size_t n = strlen(name);

	if (!at)
		return true;
	for (; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, name, n) == 0 && (at[n] == ',' || !at[n]))
			return true;
	}
	return false;
}

#define PATH_ROOM (PATH_MAX + 16) /* a path and one of the suffixes */

static void path_of(const char *stem, const char *suffix, char path[PATH_ROOM])
{
	snprintf(path, PATH_ROOM, "%s%s", stem, suffix);
}

static bool is_there(const char *stem, const char *suffix)
{
	char path[PATH_ROOM];

	path_of(stem, suffix, path);
	return access(path, R_OK) == 0;
}

/* ---- one round of each kind: ns a packet, < 0: another verdict than expected ---- */

/* Of this thread, in the kernel too: what others do to the machine meanwhile is not measured. */
static double cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* The packet as it was, for programs that change it; NULL: it stays. */
static void refresh(const struct leat_pkt_ctx *ctx, const struct packet *fresh)
{
	if (fresh)
		memcpy((void *)(uintptr_t)ctx->data, fresh->bytes, fresh->size);
}

static double round_leat(const struct ebpf_prog *prog, struct leat_pkt_ctx *ctx,
			 const struct packet *fresh, uint32_t verdict, unsigned int runs)
{
	double start = cpu_us();
	unsigned int i, right = 0;

	for (i = 0; i < runs; i++) {
		refresh(ctx, fresh);
		right += (uint32_t)ebpf_prog_run(prog, ctx) == verdict;
	}
	return right == runs ? (cpu_us() - start) * 1000 / runs : -1;
}

static double round_native(bpf_native_fn function, struct leat_pkt_ctx *ctx,
			   const struct packet *fresh, uint32_t verdict, unsigned int runs)
{
	double start = cpu_us();
	unsigned int i, right = 0;

	for (i = 0; i < runs; i++) {
		refresh(ctx, fresh);
		right += (uint32_t)function(ctx) == verdict;
	}
	return right == runs ? (cpu_us() - start) * 1000 / runs : -1;
}

static double round_kernel(const struct bpf_kernel_prog *prog, const struct packet *packet,
			   uint32_t verdict, unsigned int runs)
{
	double start = cpu_us();
	uint32_t got;

	if (bpf_kernel_run(prog, packet->bytes, (uint32_t)packet->size, runs, &got))
		return -1;
	return got == verdict ? (cpu_us() - start) * 1000 / runs : -1;
}

/* ---- one case ---- */

struct rivals {
	const struct ebpf_prog *leat, *interpreter;
	struct bpf_native *native_library;
	bpf_native_fn native;
	struct bpf_kernel_prog *kernel;
	bool writes_packet;
};

/* Does this packet come out otherwise? */
static bool changes_packet(const struct script *script, const struct script_packet *sp)
{
	const struct ebpf_prog *prog = ebpf_instance_prog(script->inst[0], sp->section);
	struct leat_pkt_ctx ctx = script->ctx;
	struct packet copy = sp->packet;

	ctx.data = (uintptr_t)copy.bytes;
	ctx.data_end = ctx.data + copy.size;
	ctx.len = (uint32_t)copy.len;
	return prog && ebpf_prog_run(prog, &ctx) != LEAT_DROP &&
	       memcmp(copy.bytes, sp->packet.bytes, copy.size) != 0;
}

static bool rivals_open(struct rivals *r, const struct script *script,
			const struct script_packet *sp)
{
	const struct subject *s = script->arg;
	bool egress = strcmp(sp->section, LEAT_SEC_EGRESS) == 0;
	const char *name = egress ? "egress" : "ingress";
	char path[PATH_ROOM];

	*r = (struct rivals){.leat = ebpf_instance_prog(script->inst[0], sp->section),
			     .interpreter = ebpf_instance_prog(script->inst[1], sp->section)};
	if (!r->leat)
		return false;
	if (is_there(s->stem, ".native.so")) {
		path_of(s->stem, ".native.so", path);
		r->native_library = bpf_native_open(path, s->obj, script->inst[0]);
		if (!r->native_library)
			return false;
		r->native = bpf_native_find(r->native_library, name);
	}
	r->writes_packet = changes_packet(script, sp);
	/* the kernel runs a program again on what it left */
	if (!r->writes_packet && is_there(s->stem, ".kernel.bpf.o") && geteuid() == 0) {
		path_of(s->stem, ".kernel.bpf.o", path);
		r->kernel = bpf_kernel_load(path, name, script->inst[0], &script->ctx);
		if (!r->kernel)
			return false;
	}
	return true;
}

static void rivals_close(struct rivals *r)
{
	bpf_native_close(r->native_library);
	bpf_kernel_unload(r->kernel);
}

struct times {
	double leat[ROUNDS], native[ROUNDS], kernel[ROUNDS], interpreter[ROUNDS];
};

static bool measure(const struct rivals *r, struct script *script, const struct script_packet *sp,
		    bool quick, struct times *t)
{
	struct leat_pkt_ctx ctx = script->ctx;
	struct packet copy = sp->packet;
	const struct packet *fresh = r->writes_packet ? &sp->packet : NULL;
	unsigned int runs = quick ? RUNS_QUICK : RUNS;
	int rounds = quick ? ROUNDS_QUICK : ROUNDS, i;

	ctx.data = (uintptr_t)copy.bytes;
	ctx.data_end = ctx.data + copy.size;
	ctx.len = (uint32_t)copy.len;
	for (i = 0; i < rounds; i++) {
		t->leat[i] = round_leat(r->leat, &ctx, fresh, sp->verdict, runs);
		t->native[i] =
			r->native ? round_native(r->native, &ctx, fresh, sp->verdict, runs) : 0;
		t->kernel[i] = r->kernel ? round_kernel(r->kernel, &copy, sp->verdict, runs) : 0;
		t->interpreter[i] = round_leat(r->interpreter, &ctx, fresh, sp->verdict, runs / 20);
		if (t->leat[i] < 0 || t->native[i] < 0 || t->kernel[i] < 0) {
			script_fail(script, "%s has another verdict",
				    t->leat[i] < 0   ? "Leat's program" :
				    t->native[i] < 0 ? "the native function" :
						       "the kernel's program");
			return false;
		}
	}
	return true;
}

static void show_times(struct figures *figures, const char *name, const struct rivals *r,
		       struct times *t, int rounds)
{
	double leat = median(t->leat, rounds), native = median(t->native, rounds);
	double kernel = median(t->kernel, rounds);

	if (r->native)
		show(figures, name, "native", native, "ns");
	if (r->kernel)
		show(figures, name, "kernel", kernel, "ns");
	show(figures, name, "leat", leat, "ns");
	show(figures, name, "interpreter", median(t->interpreter, rounds), "ns");
	if (r->native)
		show(figures, name, "native_ratio", native / leat, "x");
	if (r->kernel)
		show(figures, name, "kernel_ratio", kernel / leat, "x");
	fflush(stdout);
}

/* Packets that are no case prepare the maps. */
static bool prepare(const struct script *script, const struct script_packet *sp)
{
	struct leat_pkt_ctx ctx = script->ctx;
	struct packet copy;
	unsigned int i;

	for (i = 0; i < script->nr_inst; i++) {
		const struct ebpf_prog *prog = ebpf_instance_prog(script->inst[i], sp->section);

		copy = sp->packet;
		ctx.data = (uintptr_t)copy.bytes;
		ctx.data_end = ctx.data + copy.size;
		ctx.len = (uint32_t)copy.len;
		if (!prog || (uint32_t)ebpf_prog_run(prog, &ctx) != sp->verdict)
			return false;
	}
	return true;
}

static bool bench_packet(struct script *script, const struct script_packet *sp)
{
	const struct subject *s = script->arg;
	bool quick = s->figures->options->quick, ok;
	struct rivals rivals = {.leat = NULL};
	struct times times;

	if (!sp->bench) {
		if (!prepare(script, sp))
			script_fail(script, "the packet has another verdict");
		return true;
	}
	if (!selected(s->figures, sp->bench))
		return true;
	ok = rivals_open(&rivals, script, sp) && measure(&rivals, script, sp, quick, &times);
	if (ok)
		show_times(s->figures, sp->bench, &rivals, &times, quick ? ROUNDS_QUICK : ROUNDS);
	rivals_close(&rivals);
	return ok;
}

static int bench_script(struct subject *s)
{
	struct script script = {.packet = bench_packet, .arg = s};
	char path[PATH_ROOM];
	bool ok;

	path_of(s->stem, ".bench", path);
	script.path = path;
	ok = !ebpf_instance_create(s->obj, &script.inst[0]);
	if (ok && ebpf_instance_create(s->interpreted, &script.inst[1])) {
		ebpf_instance_destroy(script.inst[0]);
		ok = false;
	}
	if (!ok) {
		fputs("leat: no memory for the maps\n", stderr);
		return 1;
	}
	script.nr_inst = 2;
	ok = script_run(&script);
	ebpf_instance_destroy(script.inst[0]);
	ebpf_instance_destroy(script.inst[1]);
	return ok ? 0 : 1;
}

/* ---- proofs ---- */

/* The file's name without folder and suffix, a dash for each other character. */
static void case_name(const char *stem, char name[64])
{
	const char *slash = strrchr(stem, '/');

	snprintf(name, 64, "%s", slash ? slash + 1 : stem);
}

/* Of an object whose bytes are in memory. */
static double verify_us(const uint8_t *elf, size_t size)
{
	struct ebpf_object *obj;
	double start, us;
	int r;

	if (ebpf_object_open(elf, size, NULL, 0, &obj))
		return -1;
	start = cpu_us();
	r = ebpf_object_verify(obj, NULL, 0);
	us = cpu_us() - start;
	ebpf_object_unref(obj);
	return r ? -1 : us;
}

static int bench_verify(const struct subject *s, const char *path)
{
	int rounds = s->figures->options->quick ? ROUNDS_QUICK : VERIFY_ROUNDS, i;
	char base[64], name[80];
	double us[VERIFY_ROUNDS];
	uint8_t *elf;
	size_t size;

	case_name(s->stem, base);
	/* filters whose proof is all that is measured are called so */
	snprintf(name, sizeof(name), "%s%s", strncmp(base, "verify_", 7) == 0 ? "" : "verify_",
		 base);
	if (!selected(s->figures, name))
		return 0;
	elf = bpf_read_file(path, &size);
	if (!elf)
		return 1;
	for (i = 0; i < rounds; i++) {
		us[i] = verify_us(elf, size);
		if (us[i] < 0) {
			free(elf);
			return 1;
		}
	}
	free(elf);
	show(s->figures, name, "leat", median(us, rounds), "us");
	return 0;
}

static int bench_file(const char *path, struct figures *figures)
{
	char stem[PATH_MAX];
	struct subject s = {.stem = stem, .figures = figures};
	size_t n = strlen(path), suffix = strlen(OBJECT_SUFFIX);
	double us;
	int status = 1;

	snprintf(stem, sizeof(stem), "%s", path);
	if (n > suffix && strcmp(path + n - suffix, OBJECT_SUFFIX) == 0 && n < sizeof(stem))
		stem[n - suffix] = '\0';
	s.obj = bpf_ready(path, EBPF_ENGINE_AUTO, &us);
	if (s.obj)
		s.interpreted = bpf_ready(path, EBPF_ENGINE_INTERPRETER, &us);
	if (s.interpreted) {
		status = is_there(stem, ".bench") ? bench_script(&s) : 0;
		status |= bench_verify(&s, path);
	}
	ebpf_object_unref(s.obj);
	ebpf_object_unref(s.interpreted);
	return status;
}

/* The base library, and the filters that are there to be proved. */
static int bench_library(struct figures *figures)
{
	static const char *const patterns[] = {"/*.bench", "/verify_*.bpf.o"};
	char path[PATH_MAX], pattern[PATH_MAX + 32];
	glob_t found = {.gl_pathc = 0};
	int status = 0;
	size_t i;

	if (paths_find_filter("antispoof" OBJECT_SUFFIX, path, sizeof(path))) {
		fputs("leat: the base library of filters is not there\n", stderr);
		return 1;
	}
	*strrchr(path, '/') = '\0';
	for (i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		snprintf(pattern, sizeof(pattern), "%s%s", path, patterns[i]);
		glob(pattern, i ? GLOB_APPEND : 0, NULL, &found);
	}
	for (i = 0; i < found.gl_pathc; i++) {
		char *dot = strstr(strrchr(found.gl_pathv[i], '/'), ".");

		snprintf(pattern, sizeof(pattern), "%.*s" OBJECT_SUFFIX,
			 (int)(dot - found.gl_pathv[i]), found.gl_pathv[i]);
		status |= bench_file(pattern, figures);
	}
	globfree(&found);
	return status;
}

int bpf_bench(int argc, char **argv, const struct bpf_options *options)
{
	struct figures figures = {.options = options, .array = options->json ? json_array() : NULL};
	int status = 0, i;

	if (argc == 0)
		status = bench_library(&figures);
	for (i = 0; i < argc; i++)
		status |= bench_file(argv[i], &figures);
	if (!status && !figures.shown) {
		fputs("leat: no such case\n", stderr);
		status = 1;
	}
	if (figures.array) {
		json_dumpf(figures.array, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(figures.array);
	return status;
}
