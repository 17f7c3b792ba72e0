/* The contract of a system call: every register but rax, rcx and r11, the red zone, the flags. */
#include "t.h"
#include <sys/syscall.h>

static const uint64_t pattern[16] = {0x1111111111111111, 0x2222222222222222, 0x3333333333333333,
				     0x4444444444444444, 0x5555555555555555, 0x6666666666666666,
				     0x7777777777777777, 0x8888888888888888, 0x9999999999999999,
				     0xaaaaaaaaaaaaaaaa, 0xbbbbbbbbbbbbbbbb, 0xcccccccccccccccc,
				     0xdddddddddddddddd, 0xeeeeeeeeeeeeeeee, 0x0123456789abcdef,
				     0xfedcba9876543210};

/* What a call left: the registers, then the words of the red zone. */
struct regs {
	uint64_t rbx, rbp, r12, r13, r14, r15, rdi, rsi, rdx, r8, r9, r10;
	uint64_t rax, rcx, r11, after, red[16];
};

/*
 * Loads every register, fills the red zone, makes the call and stores what is left. The arguments
 * are whatever the pattern says; getpid, gettid and sched_yield take none.
 */
#define CALL(name, load)                                                                           \
	__attribute__((noinline, naked)) static void name(struct regs *r __attribute__((unused)),  \
							  const uint64_t *p                        \
							  __attribute__((unused)))                 \
	{                                                                                          \
		__asm__ volatile(                                                                  \
			"push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"       \
			"push %rdi\n"                                                              \
			"sub $256, %rsp\n" /* the red zone under test lies below */                \
			"mov 0(%rsi), %rbx; mov 8(%rsi), %rbp; mov 16(%rsi), %r12\n"               \
			"mov 24(%rsi), %r13; mov 32(%rsi), %r14; mov 40(%rsi), %r15\n"             \
			"mov 48(%rsi), %rdi; mov 64(%rsi), %rdx\n"                                 \
			"mov 72(%rsi), %r8; mov 80(%rsi), %r9; mov 88(%rsi), %r10\n"               \
			"mov 56(%rsi), %rsi\n"                                                     \
			"mov %rbx, -8(%rsp); mov %rbp, -16(%rsp); mov %r12, -24(%rsp)\n"           \
			"mov %r13, -32(%rsp); mov %r14, -64(%rsp); mov %r15, -128(%rsp)\n"         \
			"stc\n" load "\n"                                                          \
			"syscall\n"                                                                \
			"1: push %rdi\n" /* still writes below: the zone was checked by -8.. */    \
			"mov 264(%rsp), %rdi\n"                                                    \
			"mov %rbx, 0(%rdi); mov %rbp, 8(%rdi); mov %r12, 16(%rdi)\n"               \
			"mov %r13, 24(%rdi); mov %r14, 32(%rdi); mov %r15, 40(%rdi)\n"             \
			"mov %rsi, 56(%rdi); mov %rdx, 64(%rdi); mov %r8, 72(%rdi)\n"              \
			"mov %r9, 80(%rdi); mov %r10, 88(%rdi); mov %rax, 96(%rdi)\n"              \
			"mov %rcx, 104(%rdi); mov %r11, 112(%rdi)\n"                               \
			"pop %rax; mov %rax, 48(%rdi)\n"                                           \
			"lea 1b(%rip), %rax; mov %rax, 120(%rdi)\n"                                \
			"mov -16(%rsp), %rax; mov %rax, 128(%rdi)\n"                               \
			"mov -24(%rsp), %rax; mov %rax, 136(%rdi)\n"                               \
			"mov -32(%rsp), %rax; mov %rax, 144(%rdi)\n"                               \
			"mov -64(%rsp), %rax; mov %rax, 152(%rdi)\n"                               \
			"mov -128(%rsp), %rax; mov %rax, 160(%rdi)\n"                              \
			"add $256, %rsp\n"                                                         \
			"pop %rdi\n"                                                               \
			"pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"             \
			"ret\n");                                                                  \
	}

CALL(call_getpid, "mov $39, %eax")
CALL(call_yield, "mov $24, %eax")
CALL(call_gettid, "xor %eax, %eax; mov $186, %al")
CALL(call_unknown, "mov $0x3ff, %eax")
CALL(call_bad_read, "mov $-1, %rdi; xor %eax, %eax")

static bool check(const struct regs *r, const char *what, bool rdi, bool carry)
{
	const uint64_t *got = &r->rbx;
	bool ok = true;

	for (int i = 0; i < 12; i++)
		if (got[i] != pattern[i] && (i != 6 || rdi)) {
			say("%s: register %d is %#lx", what, i, got[i]);
			ok = false;
		}
	for (int i = 0; i < 5; i++)
		if (r->red[i] != pattern[i + 1]) {
			say("%s: red zone word %d is %#lx", what, i, r->red[i]);
			ok = false;
		}
	if (r->rcx != r->after) {
		say("%s: rcx is not the next instruction", what);
		ok = false;
	}
	if ((r->r11 & 1) != carry) {
		say("%s: r11 has the wrong carry", what);
		ok = false;
	}
	return ok;
}

int main(void)
{
	struct regs r;
	bool ok = true;

	/* often, so that trapped, patched and resumed sites are all seen */
	for (int i = 0; i < 1000; i++) {
		call_getpid(&r, pattern);
		ok &= check(&r, "getpid", true, true) && (pid_t)r.rax == getpid();
		call_gettid(&r, pattern);
		ok &= check(&r, "gettid", true, false) && (pid_t)r.rax == getpid();
		call_yield(&r, pattern);
		ok &= check(&r, "sched_yield", true, true) && r.rax == 0;
		call_unknown(&r, pattern);
		ok &= check(&r, "unknown", true, true) && (int64_t)r.rax == -ENOSYS;
		call_bad_read(&r, pattern);
		ok &= check(&r, "read", false, false) && (int64_t)r.rax == -EBADF;
		if (!ok)
			break;
	}
	YES(ok);
	return 0;
}
