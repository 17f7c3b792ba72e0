/*
 * mm.c - handlers of the calls on memory.
 *
 * A range is walked mapping by mapping, so that a hint or query never reaches host memory that is
 * not the program's.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "libos/arena.h"
#include "libos/file.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/mm_internal.h"
#include "libos/syscall.h"
#include "libos/uaccess.h"

#define MINCORE_CHUNK 512U

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif
#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4
#endif

static struct mm *mm_current(void)
{
	return current()->process->mm;
}

uint64_t mm_limit(int which)
{
	const struct task *task = this_kthread()->current;

	if (!task || !task->process->rlimits)
		return RLIM_INFINITY;
	return task->process->rlimits[which].rlim_cur;
}

SYS6(mmap, uint64_t, addr, uint64_t, len, int, prot, int, flags, int, fd, uint64_t, off)
{
	struct file *file = NULL;

	if (!(flags & MAP_ANONYMOUS)) {
		file = fd_get(fd);
		if (!file)
			return -EBADF;
	}
	return mm_map(mm_current(), addr, len, prot, flags, file, file ? off : 0);
}

SYS2(munmap, uint64_t, addr, uint64_t, len)
{
	return mm_unmap(mm_current(), addr, len);
}

SYS3(mprotect, uint64_t, addr, uint64_t, len, int, prot)
{
	const struct vma *v;

	if (prot & ~(MM_PROT_MASK | 8 /* PROT_SEM */ | PROT_GROWSDOWN | PROT_GROWSUP))
		return -EINVAL;
	if (prot & PROT_GROWSUP)
		return -EINVAL;
	if (prot & PROT_GROWSDOWN) {
		/* The stack down to wherever it begins. */
		v = mm_find(mm_current(), addr);
		if (addr % ABI_PAGE_SIZE || !v || v->start >= addr + len)
			return addr % ABI_PAGE_SIZE ? -EINVAL : -ENOMEM;
		if (v->kind != VMA_STACK && !(v->flags & MAP_GROWSDOWN))
			return -EINVAL;
		len += addr - v->start;
		addr = v->start;
	}
	return mm_protect(mm_current(), addr, len, prot);
}

SYS5(mremap, uint64_t, addr, uint64_t, old_len, uint64_t, new_len, int, flags, uint64_t, new_addr)
{
	return mm_remap(mm_current(), addr, old_len, new_len, flags, new_addr);
}

SYS1(brk, uint64_t, addr)
{
	return (long)mm_brk(mm_current(), addr);
}

typedef int (*range_func)(struct mm *mm, struct vma_node *n, uint64_t start, uint64_t end, int arg);

/*
 * Calls func for the part of each mapping that lies in [addr, addr + len).  Holes are passed over
 * and make the result -ENOMEM, as madvise, msync and mlock want it.
 */
static int range_walk(uint64_t addr, uint64_t len, range_func func, int arg)
{
	struct mm *mm = mm_current();
	uint64_t end = addr + len, to;
	struct vma_node *n;
	int r = 0, err = 0;

	while (addr < end && err == 0) {
		n = vma_tree_find(&mm->tree, addr);
		if (!n || n->v.start >= end)
			return -ENOMEM;
		if (n->v.start > addr || vma_reserved(n)) {
			r = -ENOMEM;
			addr = vma_reserved(n) ? n->v.end : n->v.start;
			continue;
		}
		to = MIN(n->v.end, end);
		err = func(mm, n, addr, to, arg);
		addr = to;
	}
	return err ? err : r;
}

/* Rounds the range out to pages. 0, or an error; *ret_len may be 0. */
static int range_check(uint64_t addr, uint64_t len, uint64_t *ret_len)
{
	uint64_t rounded = align_up(len, ABI_PAGE_SIZE);

	if (addr % ABI_PAGE_SIZE || rounded < len)
		return -EINVAL;
	if (rounded > ABI_USER_HIGH || addr > ABI_USER_HIGH - rounded)
		return -ENOMEM;
	*ret_len = rounded;
	return 0;
}

/*
 * Pages of a clone's memory lie in its snapshot's file: what the host would bring back in their
 * place are those, not zeroes.  So the range is mapped anew.
 */
static int forget_in_clone(const struct vma *v, uint64_t start, uint64_t end, int advice)
{
	struct vma part = *v;
	int err;

	if (advice == MADV_FREE && v->file)
		return -EINVAL;
	part.start = start;
	part.end = end;
	part.off += start - v->start;
	err = mm_host_map(&part, 0);
	return err ? err : mm_host_advise(&part);
}

static int copy_pages(uint64_t to, uint64_t from, uint64_t bytes)
{
	void *page = page_alloc(0);
	int err = page ? 0 : -ENOMEM;

	for (uint64_t at = 0; err == 0 && at < bytes; at += ABI_PAGE_SIZE) {
		err = copy_from_user(page, (void *)(from + at), ABI_PAGE_SIZE);
		if (err == 0)
			err = copy_to_user((void *)(to + at), page, ABI_PAGE_SIZE);
	}
	page_free(page, 0);
	return err;
}

/* The host wipes anonymous memory only: what came from the snapshot's file becomes that. */
static int make_anonymous(struct mm *mm, const struct vma *v, uint64_t start, uint64_t end)
{
	struct vma copy = {.prot = PROT_READ | PROT_WRITE, .flags = MAP_PRIVATE};
	long err;

	if (v->file || (v->flags & MAP_SHARED))
		return -EINVAL;
	err = mm_choose(mm, 0, end - start, 0, &copy.start);
	copy.end = copy.start + (end - start);
	if (err == 0)
		err = mm_host_map(&copy, 0);
	if (err)
		return (int)err;
	err = copy_pages(copy.start, start, end - start);
	if (err == 0)
		err = host_mprotect((void *)copy.start, end - start, v->prot);
	if (err == 0)
		err = host_mremap((void *)copy.start, end - start, end - start,
				  MREMAP_MAYMOVE | MREMAP_FIXED, (void *)start);
	if (err < 0)
		mm_host_unmap(copy.start, copy.end);
	return err < 0 ? (int)err : 0;
}

/* What a clone has to know of it, too. */
static int keep_advice(struct mm *mm, struct vma_node *n, uint64_t start, uint64_t end, int advice)
{
	int flag = advice == MADV_DONTFORK || advice == MADV_DOFORK ? MM_DONTFORK : MM_WIPEONFORK;
	bool set = advice == MADV_DONTFORK || advice == MADV_WIPEONFORK;

	n = mm_isolate(mm, n, start, end);
	if (!n)
		return -ENOMEM;
	n->v.flags = set ? n->v.flags | flag : n->v.flags & ~flag;
	mm_merge(mm, n);
	return 0;
}

static int advise_node(struct mm *mm, struct vma_node *n, uint64_t start, uint64_t end, int advice)
{
	bool forget = advice == MADV_DONTNEED || advice == MADV_FREE;
	int err = 0;

	if ((n->v.flags & MAP_LOCKED) && forget)
		return -EINVAL;
	if (!mm_host_range_ok(start, end))
		return -ENOMEM;
	if (advice == MADV_DONTNEED && (n->v.prot & PROT_EXEC))
		patch_forget_range(mm, start, end); /* private pages of text go back to the file's
						     */
	if (forget && instance()->boot->clone && !(n->v.flags & (MAP_SHARED | MM_WIPEONFORK)))
		return forget_in_clone(&n->v, start, end, advice);
	if (advice == MADV_WIPEONFORK && instance()->boot->clone)
		err = make_anonymous(mm, &n->v, start, end);
	if (err == 0)
		err = (int)host_madvise((void *)start, end - start, advice);
	if (err == 0 && advice >= MADV_DONTFORK && advice <= MADV_DOFORK)
		err = keep_advice(mm, n, start, end, advice);
	if (err == 0 && (advice == MADV_WIPEONFORK || advice == MADV_KEEPONFORK))
		err = keep_advice(mm, n, start, end, advice);
	return err;
}

/*
 * Is it advice for this mapping alone?  The others (samepage merging, collapse, guard regions) are
 * -EINVAL, as from a kernel that was built without them.
 */
static bool advice_known(int advice)
{
	switch (advice) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_DONTNEED:
	case MADV_FREE:
	case MADV_REMOVE:
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		return true;
	default:
		return false;
	}
}

SYS3(madvise, uint64_t, addr, uint64_t, len, int, advice)
{
	int r;

	if (advice == MADV_HWPOISON || advice == MADV_SOFT_OFFLINE)
		return -EPERM;
	if (!advice_known(advice))
		return -EINVAL;
	r = range_check(addr, len, &len);
	if (r < 0 || !len)
		return r == -ENOMEM ? -EINVAL : r;
	return range_walk(addr, len, advise_node, advice);
}

SYS3(mincore, uint64_t, addr, uint64_t, len, uint64_t, vec)
{
	struct mm *mm = mm_current();
	unsigned char buf[MINCORE_CHUNK];
	uint64_t n;
	long r;

	r = range_check(addr, len, &len);
	if (r < 0)
		return r;
	if (!user_range_ok((void *)vec, len / ABI_PAGE_SIZE))
		return -EFAULT;
	if (len && mm_covered(mm, addr, addr + len) < 0)
		return -ENOMEM;
	while (len) {
		n = MIN(len, MINCORE_CHUNK * ABI_PAGE_SIZE);
		r = host_mincore((void *)addr, n, buf);
		if (r < 0)
			return r;
		if (copy_to_user((void *)vec, buf, n / ABI_PAGE_SIZE) < 0)
			return -EFAULT;
		addr += n;
		len -= n;
		vec += n / ABI_PAGE_SIZE;
	}
	return 0;
}

static int sync_node(struct mm *mm, struct vma_node *n, uint64_t start, uint64_t end, int flags)
{
	(void)mm;
	if ((flags & MS_INVALIDATE) && (n->v.flags & MAP_LOCKED))
		return -EBUSY;
	if (!(n->v.flags & MAP_SHARED) || n->v.kind != VMA_FILE)
		return 0;
	return (int)host_msync((void *)start, end - start, flags);
}

SYS3(msync, uint64_t, addr, uint64_t, len, int, flags)
{
	int r;

	if (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC))
		return -EINVAL;
	if ((flags & MS_ASYNC) && (flags & MS_SYNC))
		return -EINVAL;
	r = range_check(addr, len, &len);
	if (r < 0 || !len)
		return r;
	return range_walk(addr, len, sync_node, flags);
}

/*
 * Locked memory is counted against RLIMIT_MEMLOCK and made present.  The host is not asked to pin
 * it: instances have no right to more locked memory than anybody else's share.
 */
static int lock_node(struct mm *mm, struct vma_node *n, uint64_t start, uint64_t end, int populate)
{
	uint64_t bytes = end - start;

	if (!(n->v.flags & MAP_LOCKED)) {
		if (mm->locked_bytes + bytes > mm_limit(RLIMIT_MEMLOCK))
			return -ENOMEM;
		n = mm_isolate(mm, n, start, end);
		if (!n)
			return -ENOMEM;
		n->v.flags |= MAP_LOCKED;
		mm->locked_bytes += bytes;
		mm_merge(mm, n);
	}
	if (!populate || n->v.prot == PROT_NONE)
		return 0;
	/* A page that cannot be had (beyond a file's end) is the program's to find out. */
	host_madvise((void *)start, bytes,
		     (n->v.prot & PROT_WRITE) ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
	return 0;
}

static int unlock_node(struct mm *mm, struct vma_node *n, uint64_t start, uint64_t end, int arg)
{
	(void)arg;
	if (!(n->v.flags & MAP_LOCKED))
		return 0;
	n = mm_isolate(mm, n, start, end);
	if (!n)
		return -ENOMEM;
	n->v.flags &= ~MAP_LOCKED;
	mm->locked_bytes -= end - start;
	mm_merge(mm, n);
	return 0;
}

static long lock_range(uint64_t addr, uint64_t len, range_func func, int arg)
{
	int r;

	len += addr % ABI_PAGE_SIZE;
	addr = align_down(addr, ABI_PAGE_SIZE);
	r = range_check(addr, len, &len);
	if (r < 0 || !len)
		return r;
	return range_walk(addr, len, func, arg);
}

SYS2(mlock, uint64_t, addr, uint64_t, len)
{
	return lock_range(addr, len, lock_node, 1);
}

SYS3(mlock2, uint64_t, addr, uint64_t, len, int, flags)
{
	if (flags & ~MLOCK_ONFAULT)
		return -EINVAL;
	return lock_range(addr, len, lock_node, !(flags & MLOCK_ONFAULT));
}

SYS2(munlock, uint64_t, addr, uint64_t, len)
{
	return lock_range(addr, len, unlock_node, 0);
}

/* Every mapping of the process. */
static int walk_all(range_func func, int arg)
{
	struct mm *mm = mm_current();
	struct vma_node *n;
	uint64_t addr = 0, end;
	int r = 0;

	/* Nodes are joined and split under way: the next one is found by address. */
	while (r == 0 && (n = vma_tree_find(&mm->tree, addr))) {
		addr = end = n->v.end;
		if (!vma_reserved(n))
			r = func(mm, n, n->v.start, end, arg);
	}
	return r;
}

SYS1(mlockall, int, flags)
{
	struct mm *mm = mm_current();

	if (!flags || (flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) || flags == MCL_ONFAULT)
		return -EINVAL;
	if ((flags & MCL_CURRENT) && mm->total_bytes > mm_limit(RLIMIT_MEMLOCK))
		return -ENOMEM;
	mm->lock_future = flags & MCL_FUTURE;
	return (flags & MCL_CURRENT) ? walk_all(lock_node, !(flags & MCL_ONFAULT)) : 0;
}

SYS0(munlockall)
{
	mm_current()->lock_future = false;
	return walk_all(unlock_node, 0);
}
