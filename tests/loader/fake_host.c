/*
 * fake_host.c - what mm*.c calls: the host's memory calls, the arena, files and rewriting.
 */
#include "fake_host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "libos/arena.h"
#include "libos/file.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/mm_internal.h"

struct fake_page fake_page[FAKE_PAGES];
unsigned fake_outside, fake_objects, fake_fails;

/* The pages of a range; counts ranges that leave the window. */
static struct fake_page *pages_of(const void *addr, size_t len, size_t *ret_n)
{
	uint64_t a = (uint64_t)addr;

	*ret_n = align_up(len, ABI_PAGE_SIZE) / ABI_PAGE_SIZE;
	if (a < FAKE_BASE || (a - FAKE_BASE) / ABI_PAGE_SIZE + *ret_n > FAKE_PAGES) {
		fake_outside++;
		return NULL;
	}
	return &fake_page[(a - FAKE_BASE) / ABI_PAGE_SIZE];
}

long host_mmap(void *addr, size_t len, int prot, int flags, int fd, uint64_t off)
{
	size_t n, i;
	struct fake_page *p = pages_of(addr, len, &n);

	for (i = 0; p && i < n; i++)
		p[i] = (struct fake_page){.mapped = true,
					  .shared = flags & MAP_SHARED,
					  .prot = prot,
					  .fd = fd,
					  .off = fd < 0 ? 0 : off + i * ABI_PAGE_SIZE};
	return (long)addr;
}

long host_munmap(void *addr, size_t len)
{
	size_t n, i;
	struct fake_page *p = pages_of(addr, len, &n);

	for (i = 0; p && i < n; i++)
		p[i] = (struct fake_page){0};
	return 0;
}

long host_mprotect(void *addr, size_t len, int prot)
{
	size_t n, i;
	struct fake_page *p = pages_of(addr, len, &n);

	for (i = 0; p && i < n; i++) {
		if (!p[i].mapped)
			return -ENOMEM;
		p[i].prot = prot;
	}
	return 0;
}

/* As the kernel: all of one mapping, or -EFAULT. */
long host_mremap(void *old, size_t old_len, size_t new_len, int flags, void *new_addr)
{
	size_t n, i;
	struct fake_page *from = pages_of(old, old_len, &n), *to = pages_of(new_addr, new_len, &n);

	if (!from || !to)
		return -EINVAL;
	for (i = 0; i < n; i++)
		if (!from[i].mapped || from[i].prot != from[0].prot || from[i].fd != from[0].fd)
			return -EFAULT;
	for (i = 0; i < n; i++) {
		to[i] = from[i];
		if (!(flags & 4))
			from[i] = (struct fake_page){0};
	}
	return (long)new_addr;
}

long host_memfd_create(const char *name, unsigned flags)
{
	static int next_fd = 1000;

	(void)name;
	(void)flags;
	return next_fd++;
}

long host_ftruncate(int fd, uint64_t len)
{
	(void)fd;
	(void)len;
	return 0;
}

long host_close(int fd)
{
	(void)fd;
	return 0;
}

void *arena_alloc(size_t size)
{
	if (fake_fails && --fake_fails == 0)
		return NULL;
	fake_objects++;
	return malloc(size);
}

void *arena_zalloc(size_t size)
{
	if (fake_fails && --fake_fails == 0)
		return NULL;
	fake_objects++;
	return calloc(1, size);
}

void arena_free(void *obj)
{
	fake_objects -= obj != NULL;
	free(obj);
}

struct file *file_create(const struct file_ops *ops, void *data, unsigned flags)
{
	struct file *file = arena_zalloc(sizeof(*file));

	if (!file)
		return NULL;
	file->refs = 1;
	file->ops = ops;
	file->data = data;
	file->flags = flags;
	return file;
}

struct file *file_ref(struct file *file)
{
	file->refs++;
	return file;
}

void file_unref(struct file *file)
{
	if (--file->refs)
		return;
	if (file->ops->release)
		file->ops->release(file);
	arena_free(file);
}

/* Runs of four pages, so that a mapping is made of several. */
static int fake_map_extent(struct file *file, uint64_t off, uint64_t len, int prot, bool shared,
			   struct map_extent *ret_extent)
{
	(void)prot;
	(void)shared;
	*ret_extent = (struct map_extent){.host_fd = (int)(intptr_t)file->data,
					  .host_off = off,
					  .len = MIN(len, 4 * ABI_PAGE_SIZE)};
	return 0;
}

static const struct file_ops fake_ops = {.name = "fake", .map_extent = fake_map_extent};

struct file *fake_file(int fd)
{
	return file_create(&fake_ops, (void *)(intptr_t)fd, O_RDWR);
}

uint64_t mm_limit(int which)
{
	return which == RLIMIT_MEMLOCK ? 64 * ABI_PAGE_SIZE : RLIM_INFINITY;
}

uint64_t random_u64(void)
{
	return (uint64_t)rand();
}

void fake_instance_init(void)
{
	static struct abi_boot boot;
	size_t n = align_up(sizeof(struct instance), ABI_PAGE_SIZE);

	if (mmap((void *)ABI_ARENA_BASE, n, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		abort();
	instance()->boot = &boot;
}

/* Rewriting is tested elsewhere. */
void patch_forget_range(struct mm *mm, uint64_t start, uint64_t end)
{
	(void)mm;
	(void)start;
	(void)end;
}

void patch_restore_range(struct mm *mm, uint64_t start, uint64_t end)
{
	(void)mm;
	(void)start;
	(void)end;
}

int patch_table_copy(struct mm *to, struct mm *from)
{
	(void)to;
	(void)from;
	return 0;
}

void patch_table_destroy(struct mm *mm)
{
	(void)mm;
}
