/*
 * clock.c - the host's clocks, read by the host's own vDSO code: no host call is made.
 */
#include "libos/clock.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "libos/instance.h"

#define NS_PER_S 1000000000UL

typedef int (*clock_func)(long clock_id, struct timespec *ret_time);

/* An address of the vDSO's dynamic section, which holds unrelocated addresses. */
static const void *vdso_ptr(uint64_t base, uint64_t first_vaddr, uint64_t value)
{
	return (const void *)(base + value - first_vaddr);
}

static const Elf64_Shdr *vdso_symbols(const Elf64_Ehdr *ehdr)
{
	const Elf64_Shdr *shdr = (const void *)((const char *)ehdr + ehdr->e_shoff);

	for (unsigned i = 0; i < ehdr->e_shnum; i++)
		if (shdr[i].sh_type == SHT_DYNSYM)
			return &shdr[i];
	return NULL;
}

static uint64_t vdso_first_vaddr(const Elf64_Ehdr *ehdr)
{
	const Elf64_Phdr *phdr = (const void *)((const char *)ehdr + ehdr->e_phoff);

	for (unsigned i = 0; i < ehdr->e_phnum; i++)
		if (phdr[i].p_type == PT_LOAD)
			return phdr[i].p_vaddr - phdr[i].p_offset;
	return 0;
}

void *clock_vdso_symbol(const char *name)
{
	const Elf64_Ehdr *ehdr = (const void *)instance()->boot->host_vdso;
	const Elf64_Shdr *shdr, *symtab;
	const Elf64_Sym *sym;
	const char *strings;
	uint64_t base = (uint64_t)(uintptr_t)ehdr;

	if (ehdr == NULL || memcmp(ehdr->e_ident, ELFMAG, SELFMAG) != 0)
		return NULL;
	symtab = vdso_symbols(ehdr);
	if (symtab == NULL)
		return NULL;
	shdr = (const void *)(base + ehdr->e_shoff);
	sym = (const void *)(base + symtab->sh_offset);
	strings = (const char *)base + shdr[symtab->sh_link].sh_offset;
	for (uint64_t i = 0; i < symtab->sh_size / sizeof(*sym); i++)
		if (strcmp(strings + sym[i].st_name, name) == 0 && sym[i].st_value != 0)
			return (void *)(uintptr_t)vdso_ptr(base, vdso_first_vaddr(ehdr),
							   sym[i].st_value);
	return NULL;
}

void clock_init(void)
{
	instance()->clock_gettime = clock_vdso_symbol("__vdso_clock_gettime");
	if (instance()->clock_gettime == NULL)
		panic("the host has no vDSO with clock_gettime");
}

static uint64_t clock_ns(int clock_id)
{
	clock_func func = (clock_func)instance()->clock_gettime;
	struct timespec ts;

	func(clock_id, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

int clock_read(int clock_id, struct timespec *ret_time)
{
	clock_func func = (clock_func)instance()->clock_gettime;

	switch (clock_id) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
	case CLOCK_TAI:
		break;
	default: /* the vDSO would make a host call for the others */
		return -EINVAL;
	}
	return func(clock_id, ret_time);
}
