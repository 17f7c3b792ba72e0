/*
 * image.c - an instance image that is nothing but probes: what may an instance do?
 *
 * It is linked where the real image lies and started by the real launcher under the real filters.
 * argv[0] names the probe; the exit code is its answer (errno of the probed call, 0 for success).
 */
#include <stdint.h>

#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/sched.h>

#include "leat/abi/boot.h"

#define PROT_RWX 7
#define MAP_PRIVATE_FIXED_ANON 0x32
#define JIT_AT 0x10000000UL
#define BOMB_CHILDREN 4096
#define SIGNAL_CHILD 17

void probe_main(const struct abi_boot *boot);
long probe_call(long nr, long a, long b, long c, long d, long e, long f);
long probe_int80(long nr);

__asm__(".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	jmp probe_main\n"
	".globl probe_call\n"
	"probe_call:\n"
	"	mov %rdi, %rax\n"
	"	mov %rsi, %rdi\n"
	"	mov %rdx, %rsi\n"
	"	mov %rcx, %rdx\n"
	"	mov %r8, %r10\n"
	"	mov %r9, %r8\n"
	"	mov 8(%rsp), %r9\n"
	"	syscall\n"
	"	ret\n"
	".globl probe_int80\n"
	"probe_int80:\n"
	"	mov %rdi, %rax\n"
	"	int $0x80\n"
	"	ret\n");

#define CALL(nr, a, b, c, d) probe_call(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

static int equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static long number(const char *text)
{
	long n = 0;

	while (*text >= '0' && *text <= '9')
		n = n * 10 + (*text++ - '0');
	return n;
}

static long say(const char *text)
{
	long n = 0;

	while (text[n])
		n++;
	return CALL(__NR_write, 1, text, n, 0);
}

/* A system call from memory that is not the image's text. */
static long call_from_outside(void)
{
	static const unsigned char code[] = {0xb8, 0x27, 0, 0, 0, 0x0f, 0x05, 0xc3}; /* getpid */
	long at = probe_call(__NR_mmap, JIT_AT, 4096, PROT_RWX, MAP_PRIVATE_FIXED_ANON, -1, 0);

	if (at < 0)
		return at;
	for (unsigned i = 0; i < sizeof(code); i++)
		((volatile unsigned char *)at)[i] = code[i];
	return ((long (*)(void))at)() > 0 ? 0 : -1;
}

/* As many processes as the limits allow, all asleep; the first one then ends. */
static long bomb(void)
{
	long made = 0;

	for (; made < BOMB_CHILDREN; made++) {
		long pid = CALL(__NR_clone, CLONE_FILES | SIGNAL_CHILD, 0, 0, 0);
		if (pid == 0)
			for (;;)
				CALL(__NR_ppoll, 0, 0, 0, 0);
		if (pid < 0)
			break;
	}
	return made > 0 ? 0 : -1;
}

static long try_open(int dirfd, const char *path, long flags)
{
	long fd = CALL(__NR_openat, dirfd, path, flags, 0600);

	return fd < 0 ? fd : CALL(__NR_close, fd, 0, 0, 0);
}

static long boot_is_true(const struct abi_boot *boot)
{
	struct abi_instance *window = abi_instance_of((void *)ABI_WINDOW_BASE);
	uint8_t any = 0;

	for (unsigned i = 0; i < sizeof(boot->random); i++)
		any |= boot->random[i];
	if (boot->magic != ABI_MAGIC || !any || !boot->host_vdso ||
	    boot->text_low < ABI_IMAGE_BASE || boot->host_vdso < ABI_HOST_VDSO_BASE ||
	    boot->host_vdso >= ABI_HOST_VDSO_BASE + ABI_HOST_VDSO_MAX)
		return -1;
	window->state = ABI_STATE_RUNNING;
	return ((const volatile uint32_t *)ABI_CONTROL_BASE)[0] == ABI_MAGIC ? 0 : -2;
}

static long probe(const struct abi_boot *boot, const char *what, const char *arg)
{
	if (equal(what, "hello"))
		return say("hello\n") == 6 ? 7 : -1;
	if (equal(what, "boot"))
		return boot_is_true(boot);
	if (equal(what, "sleep"))
		return CALL(__NR_ppoll, 0, 0, 0, 0);
	if (equal(what, "outside"))
		return call_from_outside();
	if (equal(what, "call")) /* from the text, all arguments 0 */
		return CALL(number(arg), 0, 0, 0, 0);
	if (equal(what, "x32"))
		return CALL(0x40000000L | __NR_getpid, 0, 0, 0, 0);
	if (equal(what, "int80"))
		return probe_int80(20);
	if (equal(what, "open"))
		return try_open(ABI_FD_ROOT, arg, O_RDONLY);
	if (equal(what, "write"))
		return try_open(ABI_FD_ROOT, arg, O_WRONLY);
	if (equal(what, "volume-read"))
		return try_open(ABI_FD_VOLUMES, arg, O_RDONLY);
	if (equal(what, "volume-create"))
		return try_open(ABI_FD_VOLUMES, arg, O_WRONLY | O_CREAT | O_EXCL);
	if (equal(what, "set-id"))
		return CALL(__NR_fchmodat, ABI_FD_VOLUMES, arg, 04755, 0);
	if (equal(what, "doorbell"))
		return CALL(__NR_read, ABI_FD_DOORBELL, ABI_BOOT_BASE, 8, 0);
	if (equal(what, "control")) /* writable again? */
		return CALL(__NR_mprotect, ABI_CONTROL_BASE, 4096, 3, 0);
	if (equal(what, "kill"))
		return CALL(__NR_tgkill, number(arg), number(arg), 9, 0);
	if (equal(what, "bomb"))
		return bomb();
	return -38;
}

void probe_main(const struct abi_boot *boot)
{
	const char *what = (const char *)boot + boot->argv_off;
	const char *arg = what;

	while (*arg)
		arg++;
	long r = probe(boot, what, boot->argc > 1 ? arg + 1 : "");
	CALL(__NR_exit_group, r < 0 ? -r : r, 0, 0, 0);
	for (;;)
		;
}
