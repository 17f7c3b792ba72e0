/*
 * xstate.c - saving and restoring vector state.
 */
#include "libos/xstate.h"

#include <cpuid.h>
#include <errno.h>
#include <string.h>

#include "libos/instance.h"

#define XSTATE_LEAF 0xd
#define XSTATE_AMX                                                                                 \
	(3UL << 17) /* never permitted here (arch_prctl refuses): always in its first state */
#define XSTATE_LEGACY_SIZE 576U
#define XSTATE_COMPACTED (1UL << 63)
#define SIGFRAME_REST 1024U /* of a host signal frame, beside the xsave area */

static uint64_t xstate_enabled(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

void xstate_init(void)
{
	struct instance *inst = instance();
	unsigned eax, ebx, ecx, edx;
	uint32_t size = XSTATE_LEGACY_SIZE;

	__cpuid_count(XSTATE_LEAF, 1, eax, ebx, ecx, edx);
	if ((eax & 2) == 0)
		panic("this CPU has no XSAVEC");
	inst->xsave_mask = xstate_enabled() & ~XSTATE_AMX;
	for (unsigned i = 2; i < 63; i++) {
		if ((inst->xsave_mask >> i & 1) == 0)
			continue;
		__cpuid_count(XSTATE_LEAF, i, eax, ebx, ecx, edx);
		if (ebx + eax > size)
			size = ebx + eax;
	}
	inst->xsave_size = (size + 63) & ~63U;
	__cpuid_count(XSTATE_LEAF, 0, eax, ebx, ecx, edx);
	inst->sigframe_min = ebx + SIGFRAME_REST;
}

void xstate_save(void *area)
{
	uint64_t mask = instance()->xsave_mask;

	__asm__ volatile("xsavec64 (%0)"
			 :
			 : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
			 : "memory");
}

int xstate_restore(const void *area)
{
	uint64_t mask = instance()->xsave_mask;
	int err = -EFAULT;

	__asm__ volatile("1:	xrstor64 (%1)\n"
			 "	xorl %0, %0\n"
			 "2:\n"
			 "	.pushsection __ex_table, \"a\"\n"
			 "	.balign 8\n"
			 "	.quad 1b, 2b\n"
			 "	.popsection\n"
			 : "+r"(err)
			 : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
			 : "memory");
	return err;
}

void xstate_reset(void)
{
	_Alignas(64) uint8_t area[XSTATE_LEGACY_SIZE];
	uint64_t compacted = XSTATE_COMPACTED | instance()->xsave_mask;

	memset(area, 0, sizeof(area));
	memcpy(area + 520, &compacted, sizeof(compacted)); /* XCOMP_BV; XSTATE_BV says: all initial
							    */
	xstate_restore(area);
}
