/*
 * segbase.c - the bases of %fs, which is the program's, and %gs, which is the libOS's.
 *
 * With FSGSBASE (AT_HWCAP2 says whether the kernel has switched it on) both are read and written by
 * instructions, the program's own included.  Without it the kernel loads the bases that
 * arch_prctl(2) was told whenever a host thread gets a core, even where the CPU executes WRFSBASE:
 * so the host is told, and what it was told is kept in the kthread.
 */
#include <asm/hwcap2.h>
#include <asm/prctl.h>

#include "libos/host.h"
#include "libos/instance.h"
#include "libos/kthread.h"

static bool have_fsgsbase(void)
{
	return (instance()->hwcap2 & HWCAP2_FSGSBASE) != 0;
}

static void host_base_set(int code, uint64_t base)
{
	if (host_arch_prctl(code, base) != 0)
		panic("cannot set a segment's base to 0x%lx", base);
}

uint64_t fs_base_read(void)
{
	uint64_t base;

	if (!have_fsgsbase())
		return this_kthread()->fs_base;
	__asm__ volatile("rdfsbase %0" : "=r"(base));
	return base;
}

void fs_base_write(uint64_t base)
{
	struct kthread *kt;

	if (have_fsgsbase()) {
		__asm__ volatile("wrfsbase %0" : : "r"(base));
		return;
	}
	kt = this_kthread();
	if (kt->fs_base != base)
		host_base_set(ARCH_SET_FS, base);
	kt->fs_base = base;
}

void gs_base_set(struct kthread *kt)
{
	if (have_fsgsbase())
		__asm__ volatile("wrgsbase %0" : : "r"(kt) : "memory");
	else
		host_base_set(ARCH_SET_GS, (uint64_t)(uintptr_t)kt);
}
