/*
 * mm_remap.c - mremap(2).
 */
#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "libos/file.h"
#include "libos/host.h"
#include "libos/mm_internal.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/*
 * Moves pages.  What is one mapping to us may be several to the host (their histories differ),
 * which mremap refuses with -EFAULT: then halves are moved, down to single pages.
 */
static int host_move(uint64_t from, uint64_t to, uint64_t len, int flags)
{
	uint64_t half = align_up(len / 2, ABI_PAGE_SIZE);
	long r = host_mremap((void *)from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED | flags,
			     (void *)to);
	int done;

	if (r >= 0)
		return 0;
	if (r != -EFAULT || len <= ABI_PAGE_SIZE)
		return (int)r;
	done = host_move(from, to, half, flags);
	return done < 0 ? done : host_move(from + half, to + half, len - half, flags);
}

/* A second view of shared memory: mremap with an old length of 0. */
static int64_t remap_duplicate(struct mm *mm, const struct vma *v, uint64_t addr, uint64_t len,
			       int flags, uint64_t new_addr)
{
	if (!(v->flags & MAP_SHARED) || !v->file)
		return -EINVAL;
	if (!(flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	return mm_map(mm, new_addr, len, v->prot,
		      MAP_SHARED | ((flags & MREMAP_FIXED) ? MAP_FIXED : 0), v->file,
		      v->off + (addr - v->start));
}

/* Maps [from, to), which is free, as the continuation of v. */
static int remap_extend(struct mm *mm, const struct vma *v, uint64_t from, uint64_t to)
{
	struct vma more = *v;
	struct vma_node *n;
	int r;

	more.start = from;
	more.end = to;
	if (more.file)
		more.off += from - v->start;
	n = vma_node_create(&more);
	if (!n)
		return -ENOMEM;
	r = mm_host_map(&more, (v->flags & MAP_LOCKED) ? MAP_POPULATE : 0);
	if (r < 0) {
		vma_node_destroy(n);
		return r;
	}
	mm_insert(mm, n);
	mm_merge(mm, n);
	return 0;
}

/* Moves [addr, addr + old_len), all within one mapping, to target, and makes it new_len long. */
static int64_t remap_move(struct mm *mm, struct vma v, uint64_t addr, uint64_t old_len,
			  uint64_t new_len, int flags, uint64_t target)
{
	uint64_t moved = MIN(old_len, new_len);
	struct vma_node *n;
	int r;

	v.off += v.file ? addr - v.start : 0;
	v.start = target;
	v.end = target + moved;
	if (!mm_host_range_ok(target, target + new_len) || !mm_host_range_ok(addr, addr + old_len))
		return -ENOMEM;
	n = vma_node_create(&v);
	if (!n)
		return -ENOMEM;
	if (v.prot & PROT_EXEC)
		patch_restore_range(mm, addr, addr + old_len);
	r = host_move(addr, target, moved, flags & MREMAP_DONTUNMAP);
	if (r < 0) {
		vma_node_destroy(n);
		return r;
	}
	/* The source is gone from the host; mm_unmap takes it, and what was cut off, from the tree.
	 */
	if (!(flags & MREMAP_DONTUNMAP))
		mm_unmap(mm, addr, old_len);
	mm_insert(mm, n);
	n = mm_merge(mm, n);
	if (new_len > moved) {
		v = n->v;
		r = remap_extend(mm, &v, target + moved, target + new_len);
	}
	return r < 0 ? r : (int64_t)target;
}

static int remap_check(uint64_t addr, uint64_t old_len, uint64_t new_len, int flags,
		       uint64_t new_addr)
{
	if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
		return -EINVAL;
	if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(flags & MREMAP_MAYMOVE))
		return -EINVAL;
	if ((flags & MREMAP_DONTUNMAP) && old_len != new_len)
		return -EINVAL;
	if (addr % ABI_PAGE_SIZE || !new_len || new_len > ABI_USER_HIGH)
		return -EINVAL;
	if (!(flags & MREMAP_FIXED))
		return 0;
	if (new_addr % ABI_PAGE_SIZE || new_addr > ABI_USER_HIGH - new_len)
		return -EINVAL;
	if (addr < new_addr + new_len && new_addr < addr + old_len)
		return -EINVAL;
	return 0;
}

/* The target of a move: chosen, or cleared of what is there. */
static int remap_target(struct mm *mm, uint64_t len, int flags, uint64_t *target)
{
	struct vma_node *n;

	if (!(flags & MREMAP_FIXED))
		return mm_choose(mm, (flags & MREMAP_DONTUNMAP) ? *target : 0, len, 0, target);
	for (n = vma_tree_find(&mm->tree, *target); n && n->v.start < *target + len; n = n->next)
		if (vma_reserved(n))
			return -ENOMEM;
	return *target < ABI_USER_LOW ? -EPERM : mm_unmap(mm, *target, len);
}

int64_t mm_remap(struct mm *mm, uint64_t addr, uint64_t old_len, uint64_t new_len, int flags,
		 uint64_t new_addr)
{
	struct vma_node *n;
	uint64_t end;
	struct vma v;
	int r;

	if (old_len > ABI_USER_HIGH || addr > ABI_USER_HIGH - old_len)
		return -EINVAL;
	old_len = align_up(old_len, ABI_PAGE_SIZE);
	new_len = align_up(new_len, ABI_PAGE_SIZE);
	end = addr + old_len;
	r = remap_check(addr, old_len, new_len, flags, new_addr);
	if (r < 0)
		return r;
	n = vma_tree_find(&mm->tree, addr);
	if (!n || n->v.start > addr || vma_reserved(n) || n->v.end < end)
		return -EFAULT;
	if (!old_len)
		return remap_duplicate(mm, &n->v, addr, new_len, flags, new_addr);
	if (new_len > old_len && !mm_may_grow(mm, new_len - old_len, n->v.prot, n->v.flags))
		return -ENOMEM;
	if ((n->v.flags & MAP_LOCKED) && new_len > old_len &&
	    mm->locked_bytes + new_len - old_len > mm_limit(RLIMIT_MEMLOCK))
		return -EAGAIN;
	if (!(flags & (MREMAP_FIXED | MREMAP_DONTUNMAP))) {
		if (new_len <= old_len) {
			r = new_len < old_len ? mm_unmap(mm, addr + new_len, old_len - new_len) : 0;
			return r < 0 ? r : (int64_t)addr;
		}
		v = n->v;
		if (n->v.end == end && new_len <= ABI_USER_HIGH - addr &&
		    (!n->next || n->next->v.start >= addr + new_len))
			r = remap_extend(mm, &v, end, addr + new_len);
		else
			r = -ENOMEM;
		if (r == 0)
			return (int64_t)addr;
		if (!(flags & MREMAP_MAYMOVE))
			return r;
	}
	v = n->v;
	if (v.file)
		file_ref(v.file); /* clearing the target may drop the mapping's own reference */
	r = remap_target(mm, new_len, flags, &new_addr);
	if (r == 0) {
		int64_t moved = remap_move(mm, v, addr, old_len, new_len, flags, new_addr);

		if (v.file)
			file_unref(v.file);
		return moved;
	}
	if (v.file)
		file_unref(v.file);
	return r;
}
