/*
 * Generated programs give the same in interpreter and compiler; every 64th is proved too: those
 * that are safe by the way they are made must be accepted. LEAT_BPF_PROGRAMS sets how many (default
 * 20,000), LEAT_BPF_SEED where to begin; a failure prints the seed of its program.
 */
#include "generate.h"
#include "programs.h"

#include "bpf/disasm.h"
#include "bpf/jit.h"
#include "bpf/verify.h"
#include "leat/abi/filter.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define INPUTS 2
#define PROVE_EVERY 64
#define ROOM (8u << 20)
#define ROOM_EACH 65536

static void fill_context(struct generator *g, struct leat_pkt_ctx *ctx)
{
	uint32_t *words = (uint32_t *)(void *)ctx;
	size_t i;

	for (i = 0; i < sizeof(*ctx) / sizeof(*words); i++)
		words[i] = (uint32_t)(generate_random(g) >> (32 + generate_random(g) % 32));
}

static void fail_program(const struct ebpf_object *obj, const struct ebpf_code *code, uint64_t seed,
			 const char *what)
{
	char *text = malloc(131072);

	ebpf_disasm_code(obj, code, text, 131072);
	print_error("%s", text);
	free(text);
	fail_msg("LEAT_BPF_SEED=%llu LEAT_BPF_PROGRAMS=1: %s", (unsigned long long)seed, what);
}

/*
 * Room for compiled code, mapped twice: to be written and to be run. A system call for each program
 * would take most of the time. Each byte is written once, then it is mapped anew.
 */
static uint8_t *room_to_write, *room_to_run;
static size_t room_used;

static void map_room(void)
{
	int fd = memfd_create("code", 0);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, ROOM), 0);
	if (room_to_write) {
		munmap(room_to_write, ROOM);
		munmap(room_to_run, ROOM);
	}
	room_to_write = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	room_to_run = mmap(NULL, ROOM, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(room_to_write, MAP_FAILED);
	assert_ptr_not_equal(room_to_run, MAP_FAILED);
	close(fd);
	room_used = 0;
}

static ebpf_native_fn compile(const struct ebpf_object *obj, const struct ebpf_code *code)
{
	uint8_t *at;
	size_t size;

	if (ROOM - room_used < ROOM_EACH)
		map_room();
	at = room_to_run + room_used;
	if (ebpf_jit_write(obj, code, room_to_write + room_used, ROOM_EACH, &size))
		return NULL;
	room_used += (size + 63) & ~(size_t)63;
	return (ebpf_native_fn)(uintptr_t)at;
}

static void check_program(struct ebpf_object *obj, struct generator *g, uint64_t seed)
{
	struct ebpf_insn insns[GENERATE_SAFE_MAX];
	uint32_t count = generate_safe(g, insns);
	struct ebpf_code *code = program_add(obj, "leat/egress", insns, count);
	static const struct ebpf_env env;
	char log[EBPF_LOG_SIZE] = "";
	struct leat_pkt_ctx ctx;
	ebpf_native_fn native;
	int i;

	assert_true(count <= GENERATE_SAFE_MAX);
	if (seed % PROVE_EVERY == 0 && ebpf_verify(obj, code, log, sizeof(log)))
		fail_program(obj, code, seed, log);
	native = compile(obj, code);
	if (!native)
		fail_program(obj, code, seed, "not compiled");
	for (i = 0; i < INPUTS; i++) {
		fill_context(g, &ctx);
		if (ebpf_interp_run(code, (uintptr_t)&ctx, 0, &env) !=
		    native((uintptr_t)&ctx, &env, NULL))
			fail_program(obj, code, seed, "another result");
	}
	program_drop(obj);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : otherwise;
}

static void test_programs(void **state)
{
	uint64_t programs = setting("LEAT_BPF_PROGRAMS", 20000);
	uint64_t seed = setting("LEAT_BPF_SEED", (uint64_t)time(NULL)), i;
	struct ebpf_object *obj = program_object();

	(void)state;
	map_room();
	print_message("seed %llu\n", (unsigned long long)seed);
	for (i = 0; i < programs; i++) {
		/* scattered, so that neighbouring seeds are unlike */
		struct generator g = {((seed + i) * 0x9e3779b97f4a7c15u) | 1};

		check_program(obj, &g, seed + i);
	}
	print_message("%llu programs, the same in both engines\n", (unsigned long long)programs);
	ebpf_object_unref(obj);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
