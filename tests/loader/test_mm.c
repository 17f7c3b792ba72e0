/*
 * test_mm.c - mmap, munmap, mprotect and mremap against a model, with a host that keeps books.
 *
 * The model is a byte array of protections.  After every operation the model, the list of mappings
 * and the host must say the same of every page.
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

#include "fake_host.h"
#include "libos/file.h"
#include "libos/mm_internal.h"

#define ROUNDS 30000U
#define AT(n) (FAKE_BASE + (uint64_t)(n)*ABI_PAGE_SIZE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define FREE (-1)
#define KEPT (-2)
#define KEPT_FROM 100
#define KEPT_TO 104

static int model[FAKE_PAGES];

static void model_init(void)
{
	unsigned i;

	for (i = 0; i < FAKE_PAGES; i++)
		model[i] = i >= KEPT_FROM && i < KEPT_TO ? KEPT : FREE;
	memset(fake_page, 0, sizeof(fake_page));
}

static bool model_any(unsigned from, unsigned n, int what)
{
	while (n--)
		if (model[from + n] == what)
			return true;
	return false;
}

static void model_set(unsigned from, unsigned n, int what)
{
	while (n--)
		if (model[from + n] != KEPT)
			model[from + n] = what;
}

static void check(struct mm *mm)
{
	uint64_t total = 0;
	unsigned i;

	for (i = 0; i < FAKE_PAGES; i++) {
		const struct vma *v = mm_find(mm, AT(i));
		bool here = v && v->start <= AT(i);

		if (model[i] == KEPT) {
			assert_int_equal(v->kind, VMA_HOST);
			assert_false(fake_page[i].mapped);
			continue;
		}
		assert_int_equal(here, model[i] != FREE);
		assert_int_equal(fake_page[i].mapped, model[i] != FREE);
		if (!here)
			continue;
		total += ABI_PAGE_SIZE;
		assert_int_equal(v->prot, model[i]);
		assert_int_equal(fake_page[i].prot, model[i]);
		assert_int_equal(fake_page[i].shared, (v->flags & MAP_SHARED) != 0);
		if (v->file)
			assert_int_equal(fake_page[i].off, v->off + AT(i) - v->start);
	}
	assert_int_equal(total, mm->total_bytes);
	assert_int_equal(fake_outside, 0);
}

static void random_map(struct mm *mm, struct file *file, unsigned from, unsigned n, int prot)
{
	int flags = rand() % 2 ? MAP_FIXED : rand() % 2 ? MAP_FIXED_NOREPLACE : 0;
	struct file *f = rand() % 2 ? file : NULL;
	int64_t r;

	flags |= rand() % 2 ? MAP_PRIVATE : MAP_SHARED;
	r = mm_map(mm, AT(from), n * ABI_PAGE_SIZE, prot, flags | (f ? 0 : MAP_ANONYMOUS), f,
		   f ? from * ABI_PAGE_SIZE : 0);
	if (flags & MAP_FIXED) {
		assert_int_equal(r, model_any(from, n, KEPT) ? -ENOMEM : (int64_t)AT(from));
	} else if (flags & MAP_FIXED_NOREPLACE) {
		bool free = !model_any(from, n, KEPT) && !model_any(from, n, PROT_NONE) &&
			    !model_any(from, n, PROT_READ) &&
			    !model_any(from, n, PROT_READ | PROT_WRITE);

		assert_int_equal(r, free ? (int64_t)AT(from) : -EEXIST);
	} else if (r < 0) {
		assert_int_equal(r, -ENOMEM);
	} else {
		from = (unsigned)(((uint64_t)r - FAKE_BASE) / ABI_PAGE_SIZE);
	}
	if (r >= 0 && !fake_outside)
		model_set(from, n, prot);
}

static void random_remap(struct mm *mm, unsigned from, unsigned n)
{
	unsigned new_n = 1 + (unsigned)rand() % 12, to;
	int prot = model[from];
	const struct vma *v = mm_find(mm, AT(from));
	bool one = v && v->start <= AT(from) && v->end >= AT(from + n) && prot != KEPT;
	int64_t r = mm_remap(mm, AT(from), n * ABI_PAGE_SIZE, new_n * ABI_PAGE_SIZE,
			     rand() % 2 ? MREMAP_MAYMOVE : 0, 0);

	if (!one) {
		assert_int_equal(r, -EFAULT);
		return;
	}
	if (r < 0) {
		assert_true(r == -ENOMEM || fake_outside);
		return;
	}
	to = (unsigned)(((uint64_t)r - FAKE_BASE) / ABI_PAGE_SIZE);
	model_set(from, n, FREE);
	if (!fake_outside)
		model_set(to, new_n, prot);
}

static void step(struct mm *mm, struct file *file)
{
	static const int prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
	unsigned n = 1 + (unsigned)rand() % 12, from = (unsigned)rand() % (FAKE_PAGES - n);
	int prot = prots[rand() % 3];
	unsigned i;

	switch (rand() % 5) {
	case 0:
	case 1:
		random_map(mm, file, from, n, prot);
		break;
	case 2:
		assert_int_equal(mm_unmap(mm, AT(from), n * ABI_PAGE_SIZE), 0);
		model_set(from, n, FREE);
		break;
	case 3:
		for (i = 0; i < n && model[from + i] >= 0; i++)
			;
		assert_int_equal(mm_protect(mm, AT(from), n * ABI_PAGE_SIZE, prot),
				 i == n ? 0 : -ENOMEM);
		model_set(from, i, prot); /* up to the hole, as on Linux */
		break;
	default:
		random_remap(mm, from, n);
		break;
	}
}

/* Searches stay within the window, in which an island is reserved as Leat's own range is. */
static struct mm *window_mm(void)
{
	struct mm *mm = mm_create();
	struct vma island = {.start = AT(KEPT_FROM),
			     .end = AT(KEPT_TO),
			     .flags = MAP_PRIVATE,
			     .kind = VMA_HOST};

	mm_insert(mm, vma_node_create(&island));
	mm->mmap_base = AT(FAKE_PAGES);
	return mm;
}

static void test_random(void **state)
{
	unsigned seed = (unsigned)time(NULL), i;
	struct mm *mm, *copy;
	struct file *file;

	(void)state;
	printf("seed %u\n", seed);
	srand(seed);
	model_init();
	mm = window_mm();
	/* Keeps searches from going below the window. */
	assert_true(mm_map(mm, ABI_USER_LOW, FAKE_BASE - ABI_USER_LOW, PROT_NONE, ANON | MAP_FIXED,
			   NULL, 0) > 0);
	mm->total_bytes = 0;
	fake_outside = 0;
	file = fake_file(7);
	for (i = 0; i < ROUNDS; i++) {
		step(mm, file);
		if (fake_outside) { /* beyond the window, when it was full */
			assert_int_equal(mm_unmap(mm, AT(FAKE_PAGES),
						  ABI_LEAT_LOW - AT(FAKE_PAGES)),
					 0);
			assert_int_equal(mm_unmap(mm, ABI_LEAT_HIGH, ABI_USER_HIGH - ABI_LEAT_HIGH),
					 0);
			fake_outside = 0;
			i--;
			continue;
		}
		check(mm);
	}
	copy = mm_copy(mm);
	copy->total_bytes -= FAKE_BASE - ABI_USER_LOW;
	check(copy);
	mm_unref(copy);
	mm_unref(mm);
	file_unref(file);
	assert_int_equal(fake_objects, 0);
}

static void test_reserved(void **state)
{
	struct mm *mm = mm_create();
	uint64_t leat = ABI_IMAGE_BASE;

	(void)state;
	model_init();
	fake_outside = 0;
	assert_int_equal(mm_map(mm, leat, 4096, PROT_READ, ANON | MAP_FIXED, NULL, 0), -ENOMEM);
	assert_int_equal(mm_map(mm, ABI_LEAT_LOW - 4096, 8192, PROT_READ, ANON | MAP_FIXED, NULL,
				0),
			 -ENOMEM);
	assert_int_equal(mm_map(mm, leat, 4096, 0, ANON | MAP_FIXED_NOREPLACE, NULL, 0), -EEXIST);
	assert_int_equal(mm_unmap(mm, ABI_LEAT_LOW, ABI_LEAT_HIGH - ABI_LEAT_LOW), 0);
	assert_int_equal(mm_protect(mm, leat, 4096, PROT_READ | PROT_WRITE), -ENOMEM);
	assert_int_equal(mm_remap(mm, leat, 4096, 8192, MREMAP_MAYMOVE, 0), -EFAULT);
	assert_int_equal(mm_map(mm, 0, 4096, 0, ANON | MAP_FIXED, NULL, 0), -EPERM);
	assert_int_equal(mm_map(mm, ABI_USER_HIGH, 4096, 0, ANON | MAP_FIXED, NULL, 0), -ENOMEM);
	assert_int_equal(fake_outside, 0);
	assert_false(mm_host_range_ok(leat, leat + 4096));
	assert_false(mm_host_range_ok(ABI_LEAT_LOW - 4096, ABI_LEAT_LOW + 4096));
	mm_unref(mm);
}

static void test_arguments(void **state)
{
	struct mm *mm = window_mm();

	(void)state;
	model_init();
	assert_int_equal(mm_map(mm, 0, 0, 0, ANON, NULL, 0), -EINVAL);
	assert_int_equal(mm_map(mm, 0, 4096, 0, MAP_ANONYMOUS, NULL, 0), -EINVAL);
	assert_int_equal(mm_map(mm, 0, UINT64_MAX - 100, 0, ANON, NULL, 0), -ENOMEM);
	assert_int_equal(mm_map(mm, AT(1) + 1, 4096, 0, ANON | MAP_FIXED, NULL, 0), -EINVAL);
	assert_int_equal(mm_map(mm, 0, 4096, 0, ANON | MAP_HUGETLB, NULL, 0), -ENOMEM);
	assert_int_equal(mm_unmap(mm, AT(1) + 1, 4096), -EINVAL);
	assert_int_equal(mm_unmap(mm, AT(1), 0), -EINVAL);
	assert_int_equal(mm_unmap(mm, ABI_USER_HIGH, 4096), -EINVAL);
	/* A hint that is taken is not used, one that is free is, rounded up. */
	assert_int_equal(mm_map(mm, AT(7) - 1, 4096, 0, ANON, NULL, 0), AT(7));
	assert_int_equal(mm_map(mm, AT(7), 4096, 0, ANON, NULL, 0), AT(FAKE_PAGES - 1));
	mm_unref(mm);
}

static void test_brk(void **state)
{
	struct mm *mm = window_mm();

	(void)state;
	model_init();
	mm_set_brk(mm, AT(10));
	assert_int_equal(mm_brk(mm, 0), AT(10));
	assert_int_equal(mm_brk(mm, AT(12) + 5), AT(12) + 5);
	assert_true(fake_page[12].mapped);
	assert_false(fake_page[13].mapped);
	assert_int_equal(mm_find(mm, AT(11))->kind, VMA_HEAP);
	/* Into the next mapping it does not grow. */
	assert_int_equal(mm_map(mm, AT(20), 4096, 0, ANON | MAP_FIXED, NULL, 0), AT(20));
	assert_int_equal(mm_brk(mm, AT(21)), AT(12) + 5);
	assert_int_equal(mm_brk(mm, AT(11)), AT(11));
	assert_false(fake_page[11].mapped);
	assert_true(fake_page[10].mapped);
	mm_unref(mm);
}

/* Want of arena memory changes nothing that host and list would then tell differently. */
static void test_no_memory(void **state)
{
	struct mm *mm = window_mm();
	unsigned i;

	(void)state;
	model_init();
	fake_outside = 0;
	assert_int_equal(mm_map(mm, AT(0), 64 * 4096, PROT_READ, ANON | MAP_FIXED, NULL, 0), AT(0));
	model_set(0, 64, PROT_READ);
	for (i = 1; i < 4; i++) {
		fake_fails = i;
		if (mm_protect(mm, AT(20), 8 * 4096, PROT_READ | PROT_WRITE) == 0)
			model_set(20, 8, PROT_READ | PROT_WRITE);
		fake_fails = i;
		if (mm_map(mm, AT(40), 4096, PROT_NONE, ANON | MAP_FIXED, NULL, 0) > 0)
			model_set(40, 1, PROT_NONE);
		fake_fails = 0;
		check(mm);
	}
	mm_unref(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),    cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_arguments), cmocka_unit_test(test_brk),
		cmocka_unit_test(test_no_memory),
	};

	fake_instance_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
