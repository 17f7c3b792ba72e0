/*
 * test_store.c - the extents of memfs files: random writes, truncations and holes in several files,
 * each compared with a plain buffer; and all blocks come back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/fs/store.h"
#include "libos/host.h"

#define FILES 4U
#define FILE_BYTES (256U << 10)
#define ROUNDS 4000U
#define LIMIT (8UL << 20)

/* ---- what the store wants of the rest of the libOS ---- */

void *arena_alloc(size_t size)
{
	return malloc(size);
}

void *arena_zalloc(size_t size)
{
	return calloc(1, size);
}

void arena_free(void *obj)
{
	free(obj);
}

void *page_alloc(unsigned order)
{
	return aligned_alloc(4096, 4096UL << order);
}

long host_memfd_create(const char *name, unsigned flags)
{
	return memfd_create(name, flags);
}

long host_ftruncate(int fd, uint64_t len)
{
	return ftruncate(fd, (off_t)len) ? -errno : 0;
}

long host_fallocate(int fd, int mode, uint64_t off, uint64_t len)
{
	return fallocate(fd, mode, (off_t)off, (off_t)len) ? -errno : 0;
}

long host_mmap(void *addr, size_t len, int prot, int flags, int fd, uint64_t off)
{
	void *at = mmap(addr, len, prot, flags, fd, (off_t)off);

	return at == MAP_FAILED ? -errno : (long)(uintptr_t)at;
}

long host_pwrite(int fd, const void *buf, size_t n, uint64_t off)
{
	ssize_t r = pwrite(fd, buf, n, (off_t)off);

	return r < 0 ? -errno : r;
}

long host_close(int fd)
{
	return close(fd);
}

/* Cursors over one plain buffer suffice here. */
static char *cursor(const struct uio *uio)
{
	return (char *)uio->iov[0].iov_base + uio->skip;
}

static ssize_t cursor_advance(struct uio *uio, size_t n)
{
	uio->skip += n;
	uio->left -= n;
	return (ssize_t)n;
}

ssize_t uio_copy_in(struct uio *uio, void *dst, size_t n)
{
	n = MIN(n, uio->left);
	memcpy(dst, cursor(uio), n);
	return cursor_advance(uio, n);
}

ssize_t uio_copy_out(struct uio *uio, const void *src, size_t n)
{
	n = MIN(n, uio->left);
	memcpy(cursor(uio), src, n);
	return cursor_advance(uio, n);
}

ssize_t uio_zero(struct uio *uio, size_t n)
{
	n = MIN(n, uio->left);
	memset(cursor(uio), 0, n);
	return cursor_advance(uio, n);
}

/* ---- the test ---- */

struct model {
	struct store_map map;
	unsigned char bytes[FILE_BYTES];
};

static struct model models[FILES];

/* A store lives as long as its instance: nothing destroys one. */
static struct store *store;
static struct store *volatile first_store; /* kept for the leak checker */

static struct uio uio_of(struct iovec *iov, void *buf, size_t n)
{
	*iov = (struct iovec){.iov_base = buf, .iov_len = n};
	return (struct uio){.iov = iov, .nr_iov = 1, .left = n, .kernel = true};
}

static void model_write(struct model *m, size_t off, size_t n)
{
	struct iovec iov;
	struct uio uio;

	for (size_t i = 0; i < n; i++)
		m->bytes[off + i] = (unsigned char)rand();
	uio = uio_of(&iov, m->bytes + off, n);
	assert_int_equal(store_write(store, &m->map, &uio, off, n), n);
}

static void model_check(const struct model *m)
{
	static unsigned char seen[FILE_BYTES];
	struct iovec iov;
	struct uio uio = uio_of(&iov, seen, FILE_BYTES);

	memset(seen, 0xa5, FILE_BYTES);
	assert_int_equal(store_read(&m->map, &uio, 0, FILE_BYTES), FILE_BYTES);
	assert_memory_equal(seen, m->bytes, FILE_BYTES);
	for (unsigned i = 1; i < m->map.nr; i++)
		assert_true(m->map.extents[i - 1].file_block + m->map.extents[i - 1].nr <=
			    m->map.extents[i].file_block);
}

static void random_operations(void **state)
{
	unsigned seed = (unsigned)time(NULL);

	(void)state;
	store = store_create(LIMIT);
	print_message("seed %u\n", seed);
	srand(seed);
	assert_non_null(store);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct model *m = &models[(unsigned)rand() % FILES];
		size_t off = (unsigned)rand() % FILE_BYTES;
		size_t n = (unsigned)rand() % MIN(FILE_BYTES - off, 40000U) + 1;

		switch (rand() % 4) {
		case 0:
			store_map_punch(store, &m->map, off, n);
			memset(m->bytes + off, 0, n);
			break;
		case 1: /* fresh blocks of a hole read as zeroes, also where old data lay */
			assert_int_equal(store_map_reserve(store, &m->map, off, n, false), 0);
			break;
		default:
			model_write(m, off, n);
		}
		if (round % 16 == 0)
			model_check(m);
	}
	for (unsigned i = 0; i < FILES; i++) {
		model_check(&models[i]);
		store_map_finish(store, &models[i].map);
	}
	assert_int_equal(store_used_bytes(store), 0);
}

static void limit_holds(void **state)
{
	struct store_map map = {0};

	(void)state;
	first_store = store;
	store = store_create(64 * STORE_BLOCK);
	assert_int_equal(store_map_reserve(store, &map, 0, 64 * STORE_BLOCK, false), 0);
	assert_int_equal(store_map_reserve(store, &map, 64 * STORE_BLOCK, 1, false), -ENOSPC);
	store_map_punch(store, &map, 0, STORE_BLOCK);
	assert_int_equal(store_map_reserve(store, &map, 64 * STORE_BLOCK, 1, false), 0);
	store_map_finish(store, &map);
	assert_int_equal(store_used_bytes(store), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations),
		cmocka_unit_test(limit_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
