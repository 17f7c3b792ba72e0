/* Faults: SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP with their si_code and si_addr; default death.
 */
#include "t.h"
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

static sigjmp_buf env;
static char *page;

static void on_fault(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;
	long off = (char *)si->si_addr - page;

	say("%s code %d", sigabbrev_np(sig), si->si_code);
	if (sig == SIGSEGV || sig == SIGBUS) {
		if (off >= 0 && off < 65536)
			say("  at page + %ld", off);
		else
			say("  at %#lx", (unsigned long)si->si_addr);
		say("  err %#lx trapno %ld", (unsigned long)uc->uc_mcontext.gregs[REG_ERR] & ~0x8UL,
		    (long)uc->uc_mcontext.gregs[REG_TRAPNO]);
		if (uc->uc_mcontext.gregs[REG_TRAPNO] == 14)
			say("  cr2 equal: %d", uc->uc_mcontext.gregs[REG_CR2] == (long)si->si_addr);
	} else if (sig == SIGFPE || sig == SIGILL) {
		YES((long)si->si_addr == uc->uc_mcontext.gregs[REG_RIP]);
	}
	siglongjmp(env, 1);
}

/* Repairs the page and returns: the instruction runs again. */
static void on_repair(int sig, siginfo_t *si, void *ctx)
{
	(void)sig;
	(void)ctx;
	say("repair at page + %ld", (long)((char *)si->si_addr - page));
	mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void die(const char *what, void (*f)(void))
{
	int st;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		signal(SIGFPE, SIG_DFL);
		signal(SIGILL, SIG_DFL);
		f();
		_exit(0);
	}
	waitpid(pid, &st, 0);
	st &= ~0x80;
	show_status(what, st);
}

static void null_write(void)
{
	*(volatile char *)bad_pointer = 1;
}

static void illegal(void)
{
	__asm__ volatile("ud2");
}

static void blocked(void)
{
	sigset_t set;

	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	null_write();
}

static void ignored(void)
{
	signal(SIGSEGV, SIG_IGN);
	null_write();
}

int main(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	volatile int zero = 0, hundred = 100;
	char *map;
	int fd;

	scratch();
	for (int i = 0; i < 5; i++)
		sigaction((int[]){SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}[i], &sa, NULL);
	page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(page + 4096, 4096);

	say("null read");
	if (!sigsetjmp(env, 1))
		(void)*(volatile char *)bad_pointer;
	say("write to read-only");
	if (!sigsetjmp(env, 1))
		*(volatile char *)(page + 100) = 1;
	say("read of unmapped");
	if (!sigsetjmp(env, 1))
		(void)*(volatile char *)(page + 4096 + 5);
	say("execute data");
	if (!sigsetjmp(env, 1))
		((void (*)(void))page)();
	say("non-canonical");
	if (!sigsetjmp(env, 1))
		(void)*(volatile char *)0x8000000000000000UL;
	say("divide");
	if (!sigsetjmp(env, 1))
		zero = hundred / zero;
	say("illegal");
	if (!sigsetjmp(env, 1))
		illegal();
	say("breakpoint");
	if (!sigsetjmp(env, 1))
		__asm__ volatile("int3");
	say("beyond the file");
	fd = open("empty", O_CREAT | O_RDWR, 0600);
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	page = map;
	if (!sigsetjmp(env, 1))
		(void)*(volatile char *)(map + 8);

	page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sa.sa_sigaction = on_repair;
	sigaction(SIGSEGV, &sa, NULL);
	*(volatile int *)(page + 40) = 77;
	SHOW(*(volatile int *)(page + 40));

	die("null write", null_write);
	die("illegal", illegal);
	die("fault while blocked", blocked);
	die("fault while ignored", ignored);
	die("abort", abort);
	return 0;
}
