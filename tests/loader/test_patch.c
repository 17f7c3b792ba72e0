/*
 * test_patch.c - rewriting code that runs: shapes, restoring, fork, and threads that execute the
 * site.
 *
 * Each piece of code is a function that calls getppid in some manner and computes something
 * besides, so that a moved instruction that got lost or doubled shows in its result.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "leat/base/bits.h"
#include "libos/mm_internal.h"
#include "loader/loader.h"
#include "real_host.h"

#define TEXT 0x300000000UL
#define TEXT_BYTES (64UL << 10)
#define PAD 96U /* nops in front of each piece */
#define THREADS 3
#define CALLS 20000

extern volatile unsigned entry_count;

struct piece {
	const char *name;
	const char *code; /* getppid(); the result in rax */
	unsigned n;
	unsigned site; /* offset of its syscall */
	long plus;     /* what it adds to the result */
};

#define PIECE(name_, plus_, site_, code_)                                                          \
	{                                                                                          \
		.name = (name_), .plus = (plus_), .site = (site_), .code = (code_),                \
		.n = sizeof(code_) - 1                                                             \
	}

static const struct piece piece[] = {
	PIECE("mov imm32", 0, 5, "\xb8\x6e\x00\x00\x00\x0f\x05\xc3"),
	PIECE("mov imm32 to rax", 0, 7, "\x48\xc7\xc0\x6e\x00\x00\x00\x0f\x05\xc3"),
	/* mov $110,%edx; xor %r10d,%r10d; mov %edx,%eax; syscall; add %r10,%rax; ret */
	PIECE("xor, mov", 0, 10,
	      "\xba\x6e\x00\x00\x00\x45\x31\xd2\x89\xd0\x0f\x05\x4c\x01\xd0\xc3"),
	/* mov $110,%eax; mov $7,%esi; mov %rsi,%rdx; syscall; add %rdx,%rax; ret */
	PIECE("mov imm32, mov", 7, 13,
	      "\xb8\x6e\x00\x00\x00\xbe\x07\x00\x00\x00\x48\x89\xf2\x0f\x05\x48\x01\xd0\xc3"),
	/* mov $109,%eax; push %rax; inc %eax; pop %rdx; mov %rdx,%rsi; syscall; sub %rsi,%rax... */
	PIECE("inc", -109, 12,
	      "\xb8\x6d\x00\x00\x00\x89\xc2\xff\xc0\x48\x89\xd6\x0f\x05\x48\x29\xf0\xc3"),
	/* mov $110,%eax; mov 8(%rsp),%r9 (whatever it is); mov $3,%r9d...; syscall */
	PIECE("load from the stack", 0, 10, "\xb8\x6e\x00\x00\x00\x4c\x8b\x4c\x24\x08\x0f\x05\xc3"),
	/* mov $110,%eax; lea -5(%rip),%rdx (itself + 2); lea -12(%rip),%rsi; syscall; sub, add */
	PIECE("relative to rip", 7, 19,
	      "\xb8\x6e\x00\x00\x00\x48\x8d\x15\xfb\xff\xff\xff\x48\x8d\x35\xfb\xff\xff\xff\x0f\x05"
	      "\x48\x29\xd6\x48\x01\xf0\xc3"),
	/* xor %edx,%edx; mov $110,%eax; cmpb $0x31,-14(%rip) (the first byte); jne +5 (hlt);
	 * mov %edx,%esi; syscall; ret; hlt */
	PIECE("a branch not taken", 0, 18,
	      "\x31\xd2\xb8\x6e\x00\x00\x00\x80\x3d\xf2\xff\xff\xff\x31\x75\x05\x89\xd6"
	      "\x0f\x05\xc3\xf4"),
};

/* The same with je, which is taken: to mov $110,%eax; syscall; ret behind the rewritten site. */
static const struct piece taken =
	PIECE("a branch taken", 0, 18,
	      "\x31\xd2\xb8\x6e\x00\x00\x00\x80\x3d\xf2\xff\xff\xff\x31\x74\x05\x89\xd6"
	      "\x0f\x05\xc3\xb8\x6e\x00\x00\x00\x0f\x05\xc3");

static struct mm *mm;
static uint64_t text_end;

/* Puts a piece at the next free place with this remainder modulo 64, as text. Its address. */
static uint64_t place(const struct piece *p, unsigned mod)
{
	uint64_t addr = align_up(text_end + PAD, 64) + mod;

	assert_true(addr + p->n + PAD < TEXT + TEXT_BYTES);
	assert_int_equal(mprotect((void *)TEXT, TEXT_BYTES, PROT_READ | PROT_WRITE), 0);
	memcpy((void *)addr, p->code, p->n);
	assert_int_equal(mprotect((void *)TEXT, TEXT_BYTES, PROT_READ | PROT_EXEC), 0);
	text_end = addr + p->n;
	return addr;
}

static long run(uint64_t addr)
{
	long r;

	__asm__ volatile("call *%[f]"
			 : "=a"(r)
			 : [f] "r"(addr)
			 : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
	return r;
}

static int setup(void **state)
{
	(void)state;
	text_end = TEXT;
	assert_int_equal(mm_map(mm, TEXT, TEXT_BYTES, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, NULL, 0),
			 TEXT);
	memset((void *)TEXT, 0x90, TEXT_BYTES);
	assert_int_equal(mm_protect(mm, TEXT, TEXT_BYTES, PROT_READ | PROT_EXEC), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	real_host_threads(1);
	return mm_unmap(mm, TEXT, TEXT_BYTES);
}

/* Traps it as often as it takes to be rewritten. */
static void trap(uint64_t site)
{
	unsigned i;

	for (i = 0; i < 3; i++)
		patch_site(site, SYS_getppid);
}

static void expect_patched(const struct piece *p, uint64_t addr)
{
	unsigned before = entry_count;

	if (run(addr) != getppid() + p->plus)
		fail_msg("%s: wrong result", p->name);
	if (entry_count != before + 1)
		fail_msg("%s: not rewritten", p->name);
}

static void test_shapes(void **state)
{
	unsigned i, mod;
	uint64_t addr;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(piece); i++)
		for (mod = 0; mod < 17; mod += 3) {
			addr = place(&piece[i], mod);
			assert_int_equal(run(addr), getppid() + piece[i].plus);
			trap(addr + piece[i].site);
			expect_patched(&piece[i], addr);
			/* The syscall itself is still there for whoever jumps to it. */
			assert_memory_equal((void *)(addr + piece[i].site), "\x0f\x05", 2);
		}
}

/* A jump that was moved leads where it led before. */
static void test_branch_taken(void **state)
{
	uint64_t addr = place(&taken, 0);
	unsigned before = entry_count;

	(void)state;
	trap(addr + taken.site);
	assert_memory_not_equal((void *)addr, taken.code, taken.n);
	assert_int_equal(run(addr), getppid());
	assert_int_equal(entry_count, before);
}

/* Who makes text writable sees its own bytes; rewritten again it works again. */
static void test_restore(void **state)
{
	uint64_t addr[ARRAY_SIZE(piece)];
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(piece); i++) {
		addr[i] = place(&piece[i], i);
		trap(addr[i] + piece[i].site);
		assert_memory_not_equal((void *)addr[i], piece[i].code, piece[i].n);
	}
	assert_int_equal(mm_protect(mm, TEXT, TEXT_BYTES, PROT_READ | PROT_WRITE), 0);
	for (i = 0; i < ARRAY_SIZE(piece); i++)
		assert_memory_equal((void *)addr[i], piece[i].code, piece[i].n);
	/* Writable text is left alone. */
	trap(addr[0] + piece[0].site);
	assert_memory_equal((void *)addr[0], piece[0].code, piece[0].n);
	assert_int_equal(mm_protect(mm, TEXT, TEXT_BYTES, PROT_READ | PROT_EXEC), 0);
	for (i = 1; i < ARRAY_SIZE(piece); i++) {
		trap(addr[i] + piece[i].site);
		expect_patched(&piece[i], addr[i]);
	}
}

/* A program that unmaps the page of the stubs must not fall into the hole. */
static void test_stub_page_goes(void **state)
{
	uint64_t addr = place(&piece[0], 0), stub;
	int32_t rel;

	(void)state;
	trap(addr + piece[0].site);
	memcpy(&rel, (void *)(addr + 1), sizeof(rel));
	stub = addr + 5 + (uint64_t)(int64_t)rel;
	assert_int_equal(mm_unmap(mm, align_down(stub, ABI_PAGE_SIZE), ABI_PAGE_SIZE), 0);
	assert_memory_equal((void *)addr, piece[0].code, piece[0].n);
	assert_int_equal(run(addr), getppid());
	trap(addr + piece[0].site);
	expect_patched(&piece[0], addr);
}

/* What goes elsewhere does not make a site be forgotten. */
static void test_forget(void **state)
{
	uint64_t addr = place(&piece[0], 0), low = TEXT - 16 * ABI_PAGE_SIZE;

	(void)state;
	patch_site(addr + piece[0].site, SYS_getppid);
	patch_forget_range(mm, low, TEXT);
	patch_forget_range(mm, TEXT + TEXT_BYTES, TEXT + 2 * TEXT_BYTES);
	patch_site(addr + piece[0].site, SYS_getppid);
	expect_patched(&piece[0], addr);
}

static void test_pc(void **state)
{
	const struct piece *p = &piece[3];
	uint64_t addr = place(p, 0), stub, pc;
	int32_t rel;

	(void)state;
	trap(addr + p->site);
	memcpy(&rel, (void *)(addr + 5 + 1), sizeof(rel));
	stub = addr + 10 + (uint64_t)(int64_t)rel;
	assert_true(patch_pc_in_stub(stub, &pc));
	assert_int_equal(pc, addr + 5);
	assert_true(patch_pc_in_stub(stub + 5, &pc));
	assert_int_equal(pc, addr + 10);
	assert_true(patch_pc_in_stub(stub + 8, &pc)); /* lea */
	assert_int_equal(pc, addr + p->site);
	assert_false(patch_pc_in_stub(addr, &pc));
	/* The boundary inside is an int3 that leads into the stub. */
	assert_int_equal(*(uint8_t *)(addr + 10), 0xcc);
	assert_true(patch_trap(addr + 11, &pc));
	assert_int_equal(pc, stub + 5);
	assert_false(patch_trap(addr + 3, &pc));
}

static void test_sigreturn_stays(void **state)
{
	uint64_t addr = place(&piece[1], 0);
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++)
		patch_site(addr + piece[1].site, SYS_rt_sigreturn);
	assert_memory_equal((void *)addr, piece[1].code, piece[1].n);
}

static void test_fork(void **state)
{
	uint64_t addr = place(&piece[0], 0);
	struct mm *copy;
	int status;
	pid_t pid;

	(void)state;
	trap(addr + piece[0].site);
	copy = mm_copy(mm);
	assert_non_null(copy);
	pid = fork();
	if (pid == 0)
		_exit(run(addr) == getppid() && entry_count > 0 ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	mm_unref(copy);
	expect_patched(&piece[0], addr);
}

static uint64_t hot[ARRAY_SIZE(piece)];

static void *runner(void *arg)
{
	unsigned i, k;

	(void)arg;
	real_host_enter();
	for (i = 0; i < CALLS; i++)
		for (k = 0; k < ARRAY_SIZE(piece); k++)
			if (run(hot[k]) != getppid() + piece[k].plus)
				return (void *)hot[k];
	return NULL;
}

/* int3: ours, or a bug. The lock that the libOS would take here is not needed: bytes are whole. */
static void on_trap(int sig, siginfo_t *info, void *context)
{
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	uint64_t pc;

	(void)sig;
	(void)info;
	while (!patch_trap((uint64_t)g[REG_RIP], &pc))
		;
	g[REG_RIP] = (greg_t)pc;
}

/* Threads run the sites while they are rewritten and restored, at all alignments. */
static void test_threads(void **state)
{
	struct sigaction sa = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
	pthread_t thread[THREADS];
	unsigned i, round;
	void *bad;

	(void)state;
	assert_int_equal(sigaction(SIGTRAP, &sa, NULL), 0);
	for (i = 0; i < ARRAY_SIZE(piece); i++)
		hot[i] = place(&piece[i], 9 * i + 3);
	real_host_threads(THREADS + 1);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, runner, NULL), 0);
	for (round = 0; round < 30; round++) {
		for (i = 0; i < ARRAY_SIZE(piece); i++)
			trap(hot[i] + piece[i].site);
		usleep(500);
		if (round < 29)
			patch_restore_range(mm, TEXT, TEXT + TEXT_BYTES);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(thread[i], &bad);
		if (bad)
			fail_msg("the piece at %p: wrong result", bad);
	}
	for (i = 0; i < ARRAY_SIZE(piece); i++)
		expect_patched(&piece[i], hot[i]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_shapes),         T(test_branch_taken),    T(test_restore),
		T(test_stub_page_goes), T(test_forget),          T(test_pc),
		T(test_fork),           T(test_sigreturn_stays), T(test_threads),
	};

	mm = real_host_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
