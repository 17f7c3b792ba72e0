/*
 * text.c - cross-modifying code.
 *
 * Bytes that lie within an aligned 8- or 16-byte block are stored at once (both are atomic for
 * Intel and AMD, and no instruction fetch sees half of them).  Others are written behind an int3
 * with membarrier(SYNC_CORE) between the steps (Intel SDM volume 3, 8.1.3): who meets the int3 ends
 * in patch_trap(), which waits for the instance lock and then goes back to the same address.
 */
#include "loader/text.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>

#include "leat/abi/layout.h"
#include "leat/base/bits.h"
#include "libos/host.h"
#include "libos/mm_internal.h"
#include "libos/uaccess.h"

#define INT3 0xcc

int text_read(uint64_t addr, void *buf, size_t n)
{
	return copy_from_user(buf, (const void *)addr, n);
}

static void store8(uint64_t addr, const void *bytes, size_t n)
{
	uint64_t word, base = align_down(addr, 8);

	word = __atomic_load_n((uint64_t *)base, __ATOMIC_RELAXED);
	memcpy((char *)&word + (addr - base), bytes, n);
	/* pairs with the instruction fetch of other threads */
	__atomic_store_n((uint64_t *)base, word, __ATOMIC_RELEASE);
}

static void store16(uint64_t addr, const void *bytes, size_t n)
{
	uint64_t base = align_down(addr, 16), old[2], new[2];
	bool done;

	memcpy(old, (void *)base, sizeof(old));
	memcpy(new, old, sizeof(new));
	memcpy((char *)new + (addr - base), bytes, n);
	/* Nobody else writes: the first try succeeds unless the program itself does. */
	__asm__ volatile("lock cmpxchg16b %[block]\n\tsetz %[done]"
			 : [block] "+m"(*(unsigned __int128 *)base), [done] "=q"(done),
			   "+a"(old[0]), "+d"(old[1])
			 : "b"(new[0]), "c"(new[1])
			 : "memory", "cc");
	(void)done;
}

static void sync_cores(void)
{
	host_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0);
}

static void store_steps(uint64_t addr, const uint8_t *bytes, size_t n)
{
	volatile uint8_t *text = (volatile uint8_t *)addr;
	size_t i;

	text[0] = INT3;
	sync_cores();
	for (i = 1; i < n; i++)
		text[i] = bytes[i];
	sync_cores();
	text[0] = bytes[0];
	sync_cores();
}

static void store(uint64_t addr, const void *bytes, size_t n, bool shared)
{
	if (!shared)
		memcpy((void *)addr, bytes, n);
	else if (addr % 8 + n <= 8)
		store8(addr, bytes, n);
	else if (addr % 16 + n <= 16)
		store16(addr, bytes, n);
	else
		store_steps(addr, bytes, n);
}

/* Makes the pages of [addr, addr + n) writable (*ret_prot: as they were). 0 or negative errno. */
static int text_open(struct mm *mm, uint64_t addr, size_t n, bool shared, int *ret_prot)
{
	uint64_t start = align_down(addr, ABI_PAGE_SIZE), end = align_up(addr + n, ABI_PAGE_SIZE);
	const struct vma *v = mm_find(mm, addr);

	/* Of one mapping, and nothing of Leat's. */
	if (!v || v->start > start || v->end < end || !mm_host_range_ok(start, end))
		return -EFAULT;
	*ret_prot = v->prot;
	/* It stays executable while others may be in the page. */
	return (int)host_mprotect((void *)start, end - start,
				  PROT_READ | PROT_WRITE | (shared ? PROT_EXEC : 0));
}

static int text_close(uint64_t addr, size_t n, int prot)
{
	uint64_t start = align_down(addr, ABI_PAGE_SIZE), end = align_up(addr + n, ABI_PAGE_SIZE);

	return (int)host_mprotect((void *)start, end - start, prot);
}

int text_write(struct mm *mm, uint64_t addr, const void *bytes, size_t n, bool shared)
{
	int prot, r;

	if (shared && host_membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0) < 0)
		return -ENOSYS;
	r = text_open(mm, addr, n, shared, &prot);
	if (r < 0)
		return r;
	store(addr, bytes, n, shared);
	return text_close(addr, n, prot);
}

int text_fill(struct mm *mm, uint64_t addr, const void *bytes, size_t n, bool shared)
{
	int prot, r = text_open(mm, addr, n, shared, &prot);

	if (r < 0)
		return r;
	memcpy((void *)addr, bytes, n);
	return text_close(addr, n, prot);
}
