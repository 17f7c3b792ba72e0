/* Vector and x87 state lives across system calls, blocking ones, signals, and other threads. */
#include "t.h"
#include <pthread.h>
#include <sys/syscall.h>

typedef uint64_t v4 __attribute__((vector_size(32), aligned(32)));

static bool have_avx;
static volatile int signals;

/* A call between a load and a store of all sixteen registers. */
__attribute__((target("avx"), noinline)) static bool across_avx(uint64_t seed, long nr, long a,
								long b, long c)
{
	v4 in[16], out[16];
	uint32_t csr_in = 0x1f80 | (uint32_t)(seed & 3) << 13, csr_out, csr_was;
	long ret;

	for (int i = 0; i < 16; i++)
		in[i] = (v4){seed + (uint64_t)i, seed * 3 + (uint64_t)i, ~seed, seed << 7};
	__asm__ volatile("stmxcsr %0" : "=m"(csr_was));
	__asm__ volatile("ldmxcsr %[ci]\n"
			 "vmovdqa 0(%[in]), %%ymm0; vmovdqa 32(%[in]), %%ymm1\n"
			 "vmovdqa 64(%[in]), %%ymm2; vmovdqa 96(%[in]), %%ymm3\n"
			 "vmovdqa 128(%[in]), %%ymm4; vmovdqa 160(%[in]), %%ymm5\n"
			 "vmovdqa 192(%[in]), %%ymm6; vmovdqa 224(%[in]), %%ymm7\n"
			 "vmovdqa 256(%[in]), %%ymm8; vmovdqa 288(%[in]), %%ymm9\n"
			 "vmovdqa 320(%[in]), %%ymm10; vmovdqa 352(%[in]), %%ymm11\n"
			 "vmovdqa 384(%[in]), %%ymm12; vmovdqa 416(%[in]), %%ymm13\n"
			 "vmovdqa 448(%[in]), %%ymm14; vmovdqa 480(%[in]), %%ymm15\n"
			 "syscall\n"
			 "vmovdqa %%ymm0, 0(%[out]); vmovdqa %%ymm1, 32(%[out])\n"
			 "vmovdqa %%ymm2, 64(%[out]); vmovdqa %%ymm3, 96(%[out])\n"
			 "vmovdqa %%ymm4, 128(%[out]); vmovdqa %%ymm5, 160(%[out])\n"
			 "vmovdqa %%ymm6, 192(%[out]); vmovdqa %%ymm7, 224(%[out])\n"
			 "vmovdqa %%ymm8, 256(%[out]); vmovdqa %%ymm9, 288(%[out])\n"
			 "vmovdqa %%ymm10, 320(%[out]); vmovdqa %%ymm11, 352(%[out])\n"
			 "vmovdqa %%ymm12, 384(%[out]); vmovdqa %%ymm13, 416(%[out])\n"
			 "vmovdqa %%ymm14, 448(%[out]); vmovdqa %%ymm15, 480(%[out])\n"
			 "stmxcsr %[co]\n"
			 : "=a"(ret), [co] "=m"(csr_out)
			 : [in] "r"(in), [out] "r"(out), [ci] "m"(csr_in), "a"(nr), "D"(a), "S"(b),
			   "d"(c)
			 : "rcx", "r11", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",
			   "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
			   "xmm14", "xmm15");
	__asm__ volatile("ldmxcsr %0" ::"m"(csr_was));
	return !memcmp(in, out, sizeof(in)) && (csr_in & ~0x3fU) == (csr_out & ~0x3fU);
}

__attribute__((noinline)) static bool across_x87(long nr, long a, long b, long c)
{
	long double in = 1.25L + (long double)nr, out;
	long ret;

	__asm__ volatile("fldt %[in]\n syscall\n fstpt %[out]\n"
			 : "=a"(ret), [out] "=m"(out)
			 : [in] "m"(in), "a"(nr), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return in == out;
}

static bool across(uint64_t seed, long nr, long a, long b, long c)
{
	bool ok = across_x87(nr, a, b, c);

	return ok && (!have_avx || across_avx(seed, nr, a, b, c));
}

/* A handler that spoils every register it can. */
static void spoil(int sig)
{
	volatile double d = sig;

	for (int i = 0; i < 50; i++)
		d = d * 1.5 + 1;
	if (have_avx)
		__asm__ volatile("vzeroall" ::
					 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
					   "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",
					   "xmm13", "xmm14", "xmm15");
	syscall(SYS_getppid);
	signals++;
}

static void *busy(void *arg)
{
	uint64_t seed = (uint64_t)(uintptr_t)arg;
	struct timespec ts = {0, 100000};
	bool ok = true;

	for (int i = 0; i < 200; i++) {
		ok &= across(seed + (uint64_t)i, SYS_sched_yield, 0, 0, 0);
		ok &= across(seed - (uint64_t)i, SYS_getppid, 0, 0, 0);
		if (i % 20 == 0)
			ok &= across(seed, SYS_nanosleep, (long)&ts, 0, 0);
	}
	return (void *)(uintptr_t)ok;
}

int main(void)
{
	struct timespec ts = {0, 2000000};
	pthread_t t[4];
	bool ok = true;
	double half = 0.5;
	int st;
	void *r;

	have_avx = __builtin_cpu_supports("avx");
	for (uint64_t i = 0; i < 200; i++)
		ok &= across(i * 0x123456789, SYS_getpid, 0, 0, 0);
	YES(ok);
	ok &= across(7, SYS_nanosleep, (long)&ts, 0, 0);
	YES(ok);
	signal(SIGUSR1, spoil);
	for (int i = 0; i < 50; i++)
		ok &= across((uint64_t)i, SYS_kill, getpid(), SIGUSR1, 0);
	YES(ok);
	SHOW(signals);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, busy, (void *)(uintptr_t)(i * 1000003));
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &r);
		ok &= (uintptr_t)r;
	}
	YES(ok);
	pid_t pid = fork();
	if (pid == 0)
		_exit(half * 8 == 4 && across(9, SYS_getpid, 0, 0, 0) ? 5 : 6);
	waitpid(pid, &st, 0);
	show_status("in a child", st);
	return 0;
}
