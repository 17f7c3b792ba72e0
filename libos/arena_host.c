/*
 * arena_host.c - the arena's host memory: private pages at first, a shared memfd later.
 *
 * The move happens when a second host thread is about to be made (a kthread, a helper or a forked
 * process), which is before anybody could see two versions: exactly one host thread exists then, so
 * nobody has to be stopped.  That thread itself runs on a kernel stack in the arena: while the
 * memory is copied and mapped anew it runs on the boot stack with its signals blocked, and writes
 * nothing.
 */
#include "libos/arena_host.h"

#include <errno.h>
#include <sys/mman.h>

#include "leat/base/bits.h"
#include "libos/host.h"
#include "libos/instance.h"

#define ARENA_FD_NAME "leat-arena"
#define SIG_BLOCK_ALL 0 /* SIG_BLOCK */
#define SIG_SET 2       /* SIG_SETMASK */

/* What the move needs, in registers and on the boot stack only. */
struct share {
	int fd;
	uint64_t table_end;
	uint64_t data_start;
	uint64_t end;
	uint64_t limit;
};

void arena_map(void)
{
	long ret = host_mmap((void *)ABI_ARENA_BASE, ARENA_LIMIT, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	if (ret != (long)ABI_ARENA_BASE)
		panic("cannot map the arena: %ld", ret);
}

void arena_create(void)
{
	arena_map();
	arena_init(ARENA_LIMIT);
	instance()->arena_fd = -1;
}

/* In a clone the host would bring the snapshot's bytes back: fresh pages have to be zeros. */
void arena_give_back(void *addr, size_t len)
{
	const struct instance *inst = instance();

	if (inst->arena_fd >= 0)
		host_madvise(addr, len, MADV_REMOVE);
	else if (inst->boot->clone)
		host_mmap(addr, len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	else
		host_madvise(addr, len, MADV_DONTNEED);
}

static bool page_is_zero(uint64_t page)
{
	const uint64_t *word = (const uint64_t *)page;

	for (unsigned i = 0; i < ABI_PAGE_SIZE / sizeof(*word); i++)
		if (word[i] != 0)
			return false;
	return true;
}

static long copy_pages(int fd, uint64_t from, uint64_t to)
{
	while (from < to) {
		long n = host_pwrite(fd, (void *)from, to - from, from - ABI_ARENA_BASE);

		if (n <= 0)
			return n == 0 ? -EIO : n;
		from += (uint64_t)n;
	}
	return 0;
}

/* Pages of zeros, most of which were never touched, stay holes: they cost nothing. */
static long copy_range(int fd, uint64_t from, uint64_t to)
{
	long err = 0;

	while (from < to && err == 0) {
		uint64_t end = from;

		while (end < to && !page_is_zero(end))
			end += ABI_PAGE_SIZE;
		if (end > from)
			err = copy_pages(fd, from, end);
		from = end + ABI_PAGE_SIZE; /* end is a page of zeros, or the end */
	}
	return err;
}

/* On the boot stack: between copy and map nothing in the arena may be written. */
static long share_move(void *arg)
{
	const struct share *share = arg;
	long err;

	err = copy_range(share->fd, ABI_ARENA_BASE, share->table_end);
	if (err == 0)
		err = copy_range(share->fd, share->data_start, share->end);
	if (err != 0)
		return err;
	err = host_mmap((void *)ABI_ARENA_BASE, share->limit, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_NORESERVE | MAP_FIXED, share->fd, 0);
	return err < 0 ? err : 0;
}

/* Calls fn(arg) on another stack. */
static long call_on_stack(void *stack_top, long (*fn)(void *), void *arg)
{
	long ret;

	__asm__ volatile("movq %%rsp, %%rbx\n\t"
			 "movq %[top], %%rsp\n\t"
			 "call *%[fn]\n\t"
			 "movq %%rbx, %%rsp\n\t"
			 : "=a"(ret), "+D"(arg)
			 : [top] "r"(stack_top), [fn] "r"(fn)
			 : "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
	return ret;
}

int arena_share(void)
{
	struct instance *inst = instance();
	uint64_t all = UINT64_MAX, old;
	struct share *share = (struct share *)(ABI_BOOT_BASE + ABI_BOOT_SIZE - 256);
	long err, fd;

	if (inst->arena_fd >= 0)
		return 0;
	fd = host_memfd_create(ARENA_FD_NAME, MFD_CLOEXEC);
	if (fd < 0)
		return (int)fd;
	err = host_ftruncate((int)fd, inst->arena_limit_bytes);
	if (err != 0)
		goto fail;
	host_sigprocmask(SIG_BLOCK_ALL, &all, &old);
	inst->arena_fd = (int)fd;
	share->fd = (int)fd;
	share->table_end = align_up(arena_table_end(), ABI_PAGE_SIZE);
	share->data_start = arena_data_start();
	share->end = arena_end();
	share->limit = inst->arena_limit_bytes;
	err = call_on_stack(share, share_move, share);
	if (err != 0)
		inst->arena_fd = -1;
	host_sigprocmask(SIG_SET, &old, NULL);
	if (err == 0)
		return 0;
fail:
	host_close((int)fd);
	return (int)err;
}
