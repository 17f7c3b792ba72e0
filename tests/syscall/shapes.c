/* The shapes of a system call site: mov, xor, push/pop, a jump to the syscall, JIT code, fork. */
#include "t.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define ROUNDS 2000

static long by_mov(void)
{
	long r;

	__asm__ volatile("mov $39, %%eax\n syscall" : "=a"(r)::"rcx", "r11", "memory");
	return r;
}

static long by_mov_rax(void)
{
	long r;

	__asm__ volatile("mov $39, %%rax\n syscall" : "=a"(r)::"rcx", "r11", "memory");
	return r;
}

static long by_push(void)
{
	long r;

	__asm__ volatile("push $39\n pop %%rax\n syscall" : "=a"(r)::"rcx", "r11", "memory");
	return r;
}

/* read(-1): the number 0 comes from xor */
static long by_xor(void)
{
	long r;

	__asm__ volatile("mov $-1, %%edi\n xor %%eax, %%eax\n syscall"
			 : "=a"(r)::"rcx", "r11", "rdi", "memory");
	return r;
}

/* As in libc's syscall() and Go: the number is in another register. */
static long by_register(long nr)
{
	long r;

	__asm__ volatile("mov %1, %%rax\n syscall\n cmp $-4095, %%rax"
			 : "=a"(r)
			 : "b"(nr)
			 : "rcx", "r11", "memory");
	return r;
}

/* A branch lands right on the syscall instruction, another on the mov. */
static long by_jump(long nr, int direct)
{
	long r = nr;

	__asm__ volatile("test %[d], %[d]\n jnz 1f\n mov $39, %%eax\n 1: syscall"
			 : "+a"(r)
			 : [d] "r"(direct)
			 : "rcx", "r11", "memory");
	return r;
}

/* A loop whose head is the syscall itself. */
static long by_loop(int n)
{
	long r, sum = 0;

	do {
		__asm__ volatile("mov $39, %%eax\n jmp 2f\n nop\n 2: syscall\n nop"
				 : "=a"(r)::"rcx", "r11", "memory");
		sum += r == getpid();
	} while (--n);
	return sum;
}

static const unsigned char code[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};

/* Code written at run time; rewritten, and reused at the same address with another number. */
static void jit(void)
{
	unsigned char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool ok = true;

	if (p == MAP_FAILED) {
		say("jit: %s", strerrorname_np(errno));
		return;
	}
	memcpy(p, code, sizeof(code));
	for (int i = 0; i < 100; i++)
		ok &= ((long (*)(void))p)() == getpid();
	YES(ok);
	memcpy(p, code, sizeof(code));
	p[1] = 110; /* getppid */
	for (int i = 0; i < 100; i++)
		ok &= ((long (*)(void))p)() == getppid();
	YES(ok);
	/* across a page border */
	memcpy(p + 4096 - 6, code, sizeof(code));
	for (int i = 0; i < 100; i++)
		ok &= ((long (*)(void))(p + 4096 - 6))() == getpid();
	YES(ok);
	SHOW(mprotect(p, 8192, PROT_READ | PROT_EXEC));
	YES(((long (*)(void))(p + 4096 - 6))() == getpid());
	SHOW(munmap(p, 8192));
}

static void *all(void *arg)
{
	long me = getpid(), ok = 0;

	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		ok += by_mov() == me;
		ok += by_mov_rax() == me;
		ok += by_push() == me;
		ok += by_xor() == -EBADF;
		ok += by_register(SYS_getpid) == me;
		ok += by_register(SYS_getppid) == getppid();
		ok += by_jump(SYS_getppid, 1) == getppid();
		ok += by_jump(0, 0) == me;
		ok += syscall(SYS_getpid) == me;
	}
	ok += by_loop(100);
	return (void *)ok;
}

int main(void)
{
	pthread_t t[4];
	long sum = 0;
	void *r;
	int st;

	/* first touched by four threads at once */
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, all, NULL);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &r);
		sum += (long)r;
	}
	SHOW(sum);
	jit();
	pid_t pid = fork();
	if (pid == 0)
		_exit((long)all(NULL) == 9 * ROUNDS + 100 ? 3 : 4);
	waitpid(pid, &st, 0);
	show_status("in a child", st);
	return 0;
}
