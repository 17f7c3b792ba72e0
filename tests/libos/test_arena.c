/*
 * test_arena.c - the arena's allocators as an ordinary process: nothing overlaps, everything comes
 * back, and the limit holds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libos/arena.h"
#include "libos/arena_host.h"
#include "libos/instance.h"

#define LIMIT (64UL << 20)
#define ROUNDS 200000U
#define SLOTS 512U

/* What the arena wants of the rest of the libOS. */
void panic(const char *fmt, ...)
{
	fprintf(stderr, "panic: %s\n", fmt);
	abort();
}

void arena_give_back(void *addr, size_t len)
{
	assert_int_equal(madvise(addr, len, MADV_DONTNEED), 0);
}

static int setup(void **state)
{
	(void)state;
	if (mmap((void *)ABI_ARENA_BASE, LIMIT, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		return -1;
	arena_init(LIMIT);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return munmap((void *)ABI_ARENA_BASE, LIMIT);
}

static uint64_t used(void)
{
	struct arena_stats stats;

	arena_stats_get(&stats);
	assert_true(stats.taken_bytes <= stats.limit_bytes);
	return stats.used_bytes;
}

struct object {
	unsigned char *p;
	size_t size;
	unsigned char mark;
};

static void object_check(const struct object *o)
{
	for (size_t i = 0; i < o->size; i++)
		assert_int_equal(o->p[i], o->mark);
}

static size_t random_size(void)
{
	unsigned r = (unsigned)rand();

	if (r % 100 == 0)
		return (size_t)(rand() % 300000) + 1;
	return r % 10 == 0 ? (size_t)(rand() % 5000) + 1 : (size_t)(rand() % 600) + 1;
}

static void test_random(void **state)
{
	static struct object slots[SLOTS];
	unsigned seed = 1;

	(void)state;
	srand(seed);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct object *o = &slots[(unsigned)rand() % SLOTS];

		if (o->p != NULL) {
			object_check(o);
			arena_free(o->p);
			o->p = NULL;
			continue;
		}
		o->size = random_size();
		o->p = arena_alloc(o->size);
		if (o->p == NULL)
			continue;
		assert_int_equal((uintptr_t)o->p % (o->size >= 64 ? 64 : 16), 0);
		o->mark = (unsigned char)rand();
		memset(o->p, o->mark, o->size);
	}
	for (unsigned i = 0; i < SLOTS; i++)
		if (slots[i].p != NULL) {
			object_check(&slots[i]);
			arena_free(slots[i].p);
		}
	assert_int_equal(used(), 0);
}

static void test_pages(void **state)
{
	void *p[64];

	(void)state;
	for (unsigned order = 0; order < 8; order++) {
		for (unsigned i = 0; i < 64; i++) {
			p[i] = page_alloc(order);
			assert_non_null(p[i]);
			assert_int_equal((uintptr_t)p[i] % ABI_PAGE_SIZE, 0);
			memset(p[i], (int)i, ABI_PAGE_SIZE << order);
		}
		for (unsigned i = 0; i < 64; i++) {
			assert_int_equal(*(unsigned char *)p[i], i);
			page_free(p[i], order);
		}
	}
	assert_int_equal(used(), 0);
}

static void test_limit(void **state)
{
	void *first = NULL, *p;
	unsigned n = 0;

	(void)state;
	/* A chain through the blocks' first words. */
	while ((p = page_alloc(4)) != NULL) {
		*(void **)p = first;
		first = p;
		n++;
	}
	assert_true(n > LIMIT / (ABI_PAGE_SIZE << 4) / 2);
	assert_null(arena_alloc(1UL << 30));
	for (; first != NULL; first = p) {
		p = *(void **)first;
		page_free(first, 4);
	}
	assert_int_equal(used(), 0);
	p = page_alloc(12); /* all was united again */
	assert_non_null(p);
	page_free(p, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
