/*
 * vdso.c - Leat's vDSO: time without a system call.
 *
 * A shared object of its own, linked by vdso.lds into one page, which programs find through
 * AT_SYSINFO_EHDR.  Libraries keep pointers into it, so it lies at a fixed address and calls the
 * host's vDSO through the page behind it.  What the host's vDSO would answer by a system call goes
 * to the libOS straight away, without a trap.
 */
#include <stdint.h>
#include <sys/syscall.h>

#include "loader/vdso/data.h"

/* Right behind the code: vdso.lds. */
extern const struct vdso_data vdso_data __attribute__((visibility("hidden")));

#define EXPORT __attribute__((visibility("default")))

/* Clocks of which the host's vDSO knows the time: all but the CPU clocks, 2 and 3. */
#define FAST_CLOCKS 0x8f3U

static long call_libos(long nr, long a, long b, long c)
{
	register long rax __asm__("rax") = nr;
	register long r11 __asm__("r11") = (long)vdso_data.entry;

	/* The contract of a system call; the stack, red zone too, stays as it is. */
	__asm__ volatile("leaq 1f(%%rip), %%rcx\n\tjmp *%[entry]\n1:"
			 : "+r"(rax), [entry] "+r"(r11)
			 : "D"(a), "S"(b), "d"(c)
			 : "rcx", "memory");
	return rax;
}

EXPORT int __vdso_clock_gettime(int id, void *ts);
EXPORT int __vdso_clock_gettime(int id, void *ts)
{
	int (*host)(int, void *) = (int (*)(int, void *))vdso_data.clock_gettime;

	if (host && (unsigned)id < 12 && (FAST_CLOCKS >> id & 1))
		return host(id, ts);
	return (int)call_libos(SYS_clock_gettime, id, (long)ts, 0);
}

EXPORT int __vdso_clock_getres(int id, void *ts);
EXPORT int __vdso_clock_getres(int id, void *ts)
{
	int (*host)(int, void *) = (int (*)(int, void *))vdso_data.clock_getres;

	if (host && (unsigned)id < 12 && (FAST_CLOCKS >> id & 1))
		return host(id, ts);
	return (int)call_libos(SYS_clock_getres, id, (long)ts, 0);
}

EXPORT int __vdso_gettimeofday(void *tv, void *tz);
EXPORT int __vdso_gettimeofday(void *tv, void *tz)
{
	int (*host)(void *, void *) = (int (*)(void *, void *))vdso_data.gettimeofday;

	return host ? host(tv, tz) : (int)call_libos(SYS_gettimeofday, (long)tv, (long)tz, 0);
}

EXPORT long __vdso_time(long *t);
EXPORT long __vdso_time(long *t)
{
	long (*host)(long *) = (long (*)(long *))vdso_data.time;

	return host ? host(t) : call_libos(SYS_time, (long)t, 0, 0);
}

/* The host's would tell the host's core: an instance has its own numbers. */
EXPORT long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused);
EXPORT long __vdso_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
	return call_libos(SYS_getcpu, (long)cpu, (long)node, (long)unused);
}

#define ALIAS(name)                                                                                \
	EXPORT extern __typeof__(__vdso_##name) name __attribute__((weak, alias("__vdso_" #name)))
ALIAS(clock_gettime);
ALIAS(clock_getres);
ALIAS(gettimeofday);
ALIAS(time);
ALIAS(getcpu);
