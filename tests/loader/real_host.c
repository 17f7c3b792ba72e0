/*
 * real_host.c - what loader/patch.c and mm*.c call, done by the host itself: rewriting is tested on
 * code that really runs.  Single-threaded libOS: there is one lock-free arena, malloc.
 */
#include "real_host.h"

#include <asm/prctl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libos/arena.h"
#include "libos/file.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/mm_internal.h"
#include "libos/task.h"
#include "libos/uaccess.h"

static long result(long r)
{
	return r == -1 ? -errno : r;
}

long host_mmap(void *addr, size_t len, int prot, int flags, int fd, uint64_t off)
{
	return result((long)mmap(addr, len, prot, flags, fd, (off_t)off));
}

long host_munmap(void *addr, size_t len)
{
	return result(munmap(addr, len));
}

long host_mprotect(void *addr, size_t len, int prot)
{
	return result(mprotect(addr, len, prot));
}

long host_membarrier(int cmd, unsigned flags)
{
	return result(syscall(SYS_membarrier, cmd, flags, 0));
}

int copy_from_user(void *dst, const void *user_src, size_t n)
{
	memcpy(dst, user_src, n);
	return 0;
}

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

struct file *file_ref(struct file *file)
{
	return file;
}

void file_unref(struct file *file)
{
	(void)file;
}

struct file *shm_create(uint64_t bytes)
{
	(void)bytes;
	return NULL;
}

uint64_t mm_limit(int which)
{
	(void)which;
	return RLIM_INFINITY;
}

uint64_t random_u64(void)
{
	return (uint64_t)rand();
}

static struct hostproc host = {.nr_kthreads = 1};
static struct process process = {.host = &host};
static struct task task = {.process = &process};
static struct kthread kthread = {.self = &kthread, .current = &task};

struct mm *real_host_init(void)
{
	static struct abi_boot boot;
	size_t n = align_up(sizeof(struct instance), ABI_PAGE_SIZE);

	if (mmap((void *)ABI_ARENA_BASE, n, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		abort();
	instance()->boot = &boot;
	real_host_enter();
	process.mm = mm_create();
	return process.mm;
}

void real_host_enter(void)
{
	if (syscall(SYS_arch_prctl, ARCH_SET_GS, &kthread) != 0)
		abort();
}

void real_host_threads(unsigned n)
{
	host.nr_kthreads = n;
}
