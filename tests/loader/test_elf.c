/*
 * test_elf.c - ELF headers: what is taken, what is refused, and no harm from mutated ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/mman.h>

#include "leat/abi/layout.h"
#include "loader/elf.h"

#define PHDRS 4

struct program {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[PHDRS];
};

/* Text at 0x1000, data and bss at 0x3010. */
static struct program sound(void)
{
	struct program p = {
		.ehdr = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			 .e_type = ET_DYN,
			 .e_machine = EM_X86_64,
			 .e_entry = 0x1100,
			 .e_phoff = sizeof(Elf64_Ehdr),
			 .e_phentsize = sizeof(Elf64_Phdr),
			 .e_phnum = PHDRS},
		.phdr = {{.p_type = PT_LOAD,
			  .p_flags = PF_R,
			  .p_filesz = 0x800,
			  .p_memsz = 0x800,
			  .p_align = 0x1000},
			 {.p_type = PT_LOAD,
			  .p_flags = PF_R | PF_X,
			  .p_offset = 0x1000,
			  .p_vaddr = 0x1000,
			  .p_filesz = 0x900,
			  .p_memsz = 0x900,
			  .p_align = 0x200000},
			 {.p_type = PT_LOAD,
			  .p_flags = PF_R | PF_W,
			  .p_offset = 0x2010,
			  .p_vaddr = 0x3010,
			  .p_filesz = 0x20,
			  .p_memsz = 0x5000,
			  .p_align = 3},
			 {.p_type = PT_INTERP, .p_offset = 0x300, .p_filesz = 28, .p_memsz = 28}},
	};

	return p;
}

static int parse(const struct program *p, struct elf_image *image)
{
	uint64_t off;
	size_t bytes;
	int r = elf_check_header(&p->ehdr, &off, &bytes);

	if (r == 0 && bytes != sizeof(p->phdr))
		return -EIO;
	return r ? r : elf_parse(&p->ehdr, p->phdr, ABI_USER_HIGH, image);
}

static void test_sound(void **state)
{
	struct program p = sound();
	struct elf_image image;

	(void)state;
	assert_int_equal(parse(&p, &image), 0);
	assert_true(image.dyn);
	assert_false(image.exec_stack);
	assert_int_equal(image.nr_segments, 3);
	assert_int_equal(image.low, 0);
	assert_int_equal(image.brk, 0x8010);
	assert_int_equal(image.high, 0x9000);
	assert_int_equal(image.align, 0x200000);
	assert_int_equal(image.phdr, sizeof(Elf64_Ehdr));
	assert_int_equal(image.interp_off, 0x300);
	assert_int_equal(image.interp_len, 28);
	assert_int_equal(image.segment[1].prot, PROT_READ | PROT_EXEC);
}

#define REFUSE(change)                                                                             \
	do {                                                                                       \
		struct program p = sound();                                                        \
		struct elf_image image;                                                            \
		change;                                                                            \
		assert_int_equal(parse(&p, &image), -ENOEXEC);                                     \
	} while (0)

static void test_refused(void **state)
{
	(void)state;
	REFUSE(p.ehdr.e_ident[0] = 0);
	REFUSE(p.ehdr.e_ident[EI_CLASS] = ELFCLASS32);
	REFUSE(p.ehdr.e_machine = EM_AARCH64);
	REFUSE(p.ehdr.e_type = ET_REL);
	REFUSE(p.ehdr.e_phnum = 0);
	REFUSE(p.ehdr.e_phnum = 0xffff);
	REFUSE(p.ehdr.e_phentsize = 32);
	REFUSE(p.ehdr.e_phoff = UINT64_MAX - 8);
	REFUSE(p.phdr[1].p_filesz = 0x901);
	REFUSE(p.phdr[1].p_vaddr = 0x1001);
	REFUSE(p.phdr[2].p_vaddr = 0x1010);
	REFUSE(p.phdr[2].p_memsz = UINT64_MAX);
	REFUSE(p.phdr[2].p_vaddr = 0x7ffffffff010);
	REFUSE(p.phdr[2].p_offset = UINT64_MAX - 0xfef);
	REFUSE(p.phdr[3].p_filesz = 1);
	REFUSE(p.phdr[3].p_filesz = 5000);
	REFUSE(p.phdr[0].p_type = p.phdr[1].p_type = p.phdr[2].p_type = PT_NULL);
}

/* Whatever is taken holds what the loader relies on. */
static void check_image(const struct elf_image *image)
{
	const struct elf_segment *s;
	uint64_t end = 0;
	unsigned i;

	assert_in_range(image->nr_segments, 1, ELF_MAX_SEGMENTS);
	for (i = 0; i < image->nr_segments; i++) {
		s = &image->segment[i];
		assert_true(s->vaddr >= end || i == 0);
		assert_true(s->filesz <= s->memsz && s->memsz <= ABI_USER_HIGH);
		assert_int_equal((s->vaddr ^ s->off) % ABI_PAGE_SIZE, 0);
		end = s->vaddr + s->memsz;
		assert_true(end <= ABI_USER_HIGH);
	}
	assert_int_equal(image->brk, end);
	assert_int_equal(image->align & (image->align - 1), 0);
}

static void test_mutations(void **state)
{
	unsigned seed = (unsigned)time(NULL), i, k, taken = 0;
	struct elf_image image;
	struct program p;

	(void)state;
	printf("seed %u\n", seed);
	srand(seed);
	for (i = 0; i < 300000; i++) {
		p = sound();
		for (k = (unsigned)rand() % 6; k > 0; k--)
			((uint8_t *)&p)[(unsigned)rand() % sizeof(p)] = (uint8_t)(rand() >> 4);
		p.ehdr.e_phnum = p.ehdr.e_phnum < PHDRS ? p.ehdr.e_phnum : PHDRS;
		if (parse(&p, &image) == 0) {
			check_image(&image);
			taken++;
		}
	}
	assert_true(taken > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sound),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
