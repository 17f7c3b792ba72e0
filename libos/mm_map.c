/*
 * mm_map.c - mmap, munmap, mprotect and brk on an address space.
 *
 * Order in each: everything that can fail for want of arena memory, then the host's call, then the
 * tree, so that tree and host never differ.  When the host refuses a MAP_FIXED mapping half way,
 * what lay there is gone (as on Linux), and the tree is told so.
 */
#include "libos/mm.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/resource.h>

#include "libos/file.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/mm_internal.h"

#define HUGE_PAGE (2UL << 20)
#define MAP_32BIT_LOW 0x40000000UL
#define MAP_32BIT_HIGH 0x80000000UL

int mm_host_unmap(uint64_t start, uint64_t end)
{
	if (!mm_host_range_ok(start, end))
		return -EINVAL;
	return (int)host_munmap((void *)start, end - start);
}

/* Private and anonymous: straight from the host. */
static int host_map_anon(const struct vma *v, int flags)
{
	long r = host_mmap((void *)v->start, vma_bytes(v), v->prot,
			   flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return r < 0 ? (int)r : 0;
}

/* A file: each run of its bytes, as its owner says where they are. */
static int host_map_file(const struct vma *v, int flags)
{
	bool shared = v->flags & MAP_SHARED;
	uint64_t len = vma_bytes(v), done = 0;
	struct map_extent x;
	long r;

	flags |= shared ? MAP_SHARED : MAP_PRIVATE;
	while (done < len) {
		x = (struct map_extent){.host_fd = -1};
		r = v->file->ops->map_extent(v->file, v->off + done, len - done, v->prot, shared,
					     &x);
		if (r < 0)
			return (int)r;
		x.len = MIN(align_down(x.len, ABI_PAGE_SIZE), len - done);
		if (!x.len)
			return -EINVAL;
		r = host_mmap((void *)(v->start + done), x.len, v->prot,
			      flags | x.host_flags | (x.host_fd < 0 ? MAP_ANONYMOUS : 0), x.host_fd,
			      x.host_fd < 0 ? 0 : x.host_off);
		if (r < 0)
			return (int)r;
		done += x.len;
	}
	return 0;
}

int mm_host_map(const struct vma *v, int extra_flags)
{
	int flags = MAP_FIXED | (v->flags & MAP_NORESERVE) | extra_flags;

	if (!mm_host_range_ok(v->start, v->end))
		return -ENOMEM;
	return v->file ? host_map_file(v, flags) : host_map_anon(v, flags);
}

bool mm_may_grow(struct mm *mm, uint64_t len, int prot, int flags)
{
	uint64_t as = mm_limit(RLIMIT_AS), data = mm_limit(RLIMIT_DATA);
	struct mm_stats stats;

	if (as != RLIM_INFINITY && mm->total_bytes + len > as)
		return false;
	if (data == RLIM_INFINITY || !(prot & PROT_WRITE) || (flags & (MAP_SHARED | MAP_GROWSDOWN)))
		return true;
	mm_stats_get(mm, &stats);
	return stats.data_bytes + len <= data;
}

/* Is [start, end) free? */
static bool mm_free_range(struct mm *mm, uint64_t start, uint64_t end)
{
	struct vma_node *n = vma_tree_find(&mm->tree, start);

	return !n || n->v.start >= end;
}

int mm_choose(struct mm *mm, uint64_t hint, uint64_t len, int flags, uint64_t *ret_addr)
{
	if (hint) {
		hint = align_up(hint, ABI_PAGE_SIZE);
		if (hint >= ABI_USER_LOW && hint < ABI_USER_HIGH && len <= ABI_USER_HIGH - hint &&
		    (!(flags & MAP_32BIT) || hint + len <= MAP_32BIT_HIGH) &&
		    mm_free_range(mm, hint, hint + len)) {
			*ret_addr = hint;
			return 0;
		}
	}
	if (flags & MAP_32BIT)
		return vma_tree_gap(&mm->tree, len, MAP_32BIT_LOW, MAP_32BIT_HIGH, ret_addr) ?
			       0 :
			       -ENOMEM;
	/* Whole huge pages are placed so that the host can back them with such, as Linux does. */
	if ((flags & MAP_ANONYMOUS) && len % HUGE_PAGE == 0 &&
	    vma_tree_gap(&mm->tree, len + HUGE_PAGE - ABI_PAGE_SIZE, ABI_USER_LOW, mm->mmap_base,
			 ret_addr)) {
		*ret_addr = align_up(*ret_addr, HUGE_PAGE);
		return 0;
	}
	if (vma_tree_gap(&mm->tree, len, ABI_USER_LOW, mm->mmap_base, ret_addr) ||
	    vma_tree_gap(&mm->tree, len, mm->mmap_base, ABI_USER_HIGH, ret_addr))
		return 0;
	return -ENOMEM;
}

/* Where a mapping with these flags goes. 0 or negative errno. */
static int mm_place(struct mm *mm, uint64_t addr, uint64_t len, int flags, uint64_t *ret_addr)
{
	struct vma_node *n;

	if (!(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)))
		return mm_choose(mm, addr, len, flags, ret_addr);
	if (addr % ABI_PAGE_SIZE)
		return -EINVAL;
	if (addr < ABI_USER_LOW)
		return -EPERM; /* as below vm.mmap_min_addr */
	if (addr >= ABI_USER_HIGH || len > ABI_USER_HIGH - addr)
		return -ENOMEM;
	if ((flags & MAP_FIXED_NOREPLACE) && !mm_free_range(mm, addr, addr + len))
		return -EEXIST;
	/* Leat's own addresses count as beyond the end of user space. */
	for (n = vma_tree_find(&mm->tree, addr); n && n->v.start < addr + len; n = n->next)
		if (vma_reserved(n))
			return -ENOMEM;
	*ret_addr = addr;
	return 0;
}

/* Code in [start, end) goes: the loader has to know which of it is text, and which of that it
 * wrote. */
static void forget_code(struct mm *mm, uint64_t start, uint64_t end)
{
	struct vma_node *n;

	for (n = vma_tree_find(&mm->tree, start); n && n->v.start < end; n = n->next)
		if ((n->v.prot & PROT_EXEC) && !vma_reserved(n))
			patch_forget_range(mm, MAX(n->v.start, start), MIN(n->v.end, end));
}

/* Puts v in place of whatever is there, in the host and in the tree. 0 or negative errno. */
static int mm_install(struct mm *mm, const struct vma *v, int extra_flags)
{
	struct vma_node *node = vma_node_create(v);
	int r;

	if (!node)
		return -ENOMEM;
	forget_code(mm, v->start, v->end);
	r = mm_cut(mm, v->start, v->end);
	if (r < 0)
		goto fail;
	r = mm_host_map(&node->v, extra_flags);
	if (r < 0) {
		mm_host_unmap(v->start, v->end);
		goto fail;
	}
	mm_insert(mm, node);
	mm_merge(mm, node);
	return 0;
fail:
	vma_node_destroy(node);
	return r;
}

static int map_check_file(const struct file *file, int prot, int flags)
{
	unsigned mode = file->flags & O_ACCMODE;

	if (file->flags & O_PATH)
		return -EBADF;
	if (mode == O_WRONLY)
		return -EACCES;
	if ((flags & MAP_SHARED) && (prot & PROT_WRITE) && mode != O_RDWR)
		return -EACCES;
	if (!file->ops->map_extent)
		return -ENODEV;
	return 0;
}

/* The flags of mmap(2), in the order in which Linux looks at them. */
static int map_check(uint64_t len, int prot, int flags, const struct file *file, uint64_t off)
{
	int type = flags & MAP_TYPE;

	if (!len || off % ABI_PAGE_SIZE)
		return -EINVAL;
	if (len > ABI_USER_HIGH)
		return -ENOMEM;
	if (type == MAP_SHARED_VALIDATE && (flags & (MAP_SYNC | 0x08000000)))
		return -EOPNOTSUPP;
	if (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE)
		return -EINVAL;
	/* There is no pool of huge pages to take from. */
	if (flags & MAP_HUGETLB)
		return file ? -EINVAL : -ENOMEM;
	if (off + len < off)
		return -EOVERFLOW;
	return file ? map_check_file(file, prot, flags) : 0;
}

int64_t mm_map(struct mm *mm, uint64_t addr, uint64_t len, int prot, int flags, struct file *file,
	       uint64_t off)
{
	struct file *shm = NULL;
	struct vma v;
	int extra = 0, r;

	if (len > UINT64_MAX - ABI_PAGE_SIZE)
		return -ENOMEM;
	len = align_up(len, ABI_PAGE_SIZE);
	r = map_check(len, prot, flags, file, off);
	if (r < 0)
		return r;
	r = mm_place(mm, addr, len, flags, &addr);
	if (r < 0)
		return r;
	if (!mm_may_grow(mm, len, prot, flags))
		return -ENOMEM;
	if (mm->lock_future)
		flags |= MAP_LOCKED;
	if ((flags & MAP_LOCKED) && mm->locked_bytes + len > mm_limit(RLIMIT_MEMLOCK))
		return -EAGAIN;
	if (!file && (flags & MAP_SHARED)) {
		shm = file = shm_create(len);
		if (!shm)
			return -ENOMEM;
		off = 0;
	}
	if ((flags & (MAP_POPULATE | MAP_LOCKED)) && !(flags & MAP_NONBLOCK))
		extra = MAP_POPULATE;
	v = (struct vma){.start = addr,
			 .end = addr + len,
			 .off = off,
			 .prot = prot & MM_PROT_MASK,
			 .flags = flags & MM_FLAGS_KEPT,
			 .kind = file && !shm ? VMA_FILE : VMA_ANON,
			 .file = file};
	if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE)
		v.flags = (v.flags & ~MAP_PRIVATE) | MAP_SHARED;
	r = mm_install(mm, &v, extra);
	if (shm)
		file_unref(shm);
	return r < 0 ? r : (int64_t)addr;
}

int mm_map_stack(struct mm *mm, uint64_t bytes, int prot, uint64_t *ret_top)
{
	/* The top moves by up to 16 GiB, the mappings begin up to 256 GiB below it. */
	uint64_t top = ABI_USER_HIGH - (random_u64() & 0x3fffff) * ABI_PAGE_SIZE;
	struct vma v = {.prot = prot & MM_PROT_MASK,
			.flags = MAP_PRIVATE | MAP_NORESERVE,
			.kind = VMA_STACK};
	int r;

	bytes = align_up(bytes, ABI_PAGE_SIZE);
	if (!vma_tree_gap(&mm->tree, bytes + MM_STACK_GAP, ABI_LEAT_HIGH, top, &v.start))
		return -ENOMEM;
	v.start += MM_STACK_GAP;
	v.end = v.start + bytes;
	r = mm_install(mm, &v, 0);
	if (r < 0)
		return r;
	mm->mmap_base = v.start - MM_STACK_GAP - (random_u64() & 0x3ffffff) * ABI_PAGE_SIZE;
	*ret_top = v.end;
	return 0;
}

int mm_unmap(struct mm *mm, uint64_t addr, uint64_t len)
{
	struct vma_node *n;
	uint64_t end, from, to;
	int r = 0;

	if (addr % ABI_PAGE_SIZE || !len || len > ABI_USER_HIGH || addr > ABI_USER_HIGH - len)
		return -EINVAL;
	end = addr + align_up(len, ABI_PAGE_SIZE);
	while (addr < end && r == 0) {
		n = vma_tree_find(&mm->tree, addr);
		if (!n || n->v.start >= end)
			break;
		if (vma_reserved(n)) {
			addr = n->v.end;
			continue;
		}
		/* One run of neighbouring mappings is one host call. */
		from = MAX(n->v.start, addr);
		to = n->v.end;
		while (to < end && n->next && n->next->v.start == to && !vma_reserved(n->next)) {
			n = n->next;
			to = n->v.end;
		}
		to = MIN(to, end);
		forget_code(mm, from, to);
		r = mm_host_unmap(from, to);
		if (r == 0)
			r = mm_cut(mm, from, to);
		addr = to;
	}
	return r;
}

/* mprotect of [start, end), which lies within n. */
static int protect_node(struct mm *mm, struct vma_node *n, uint64_t start, uint64_t end, int prot)
{
	int r;

	if (n->v.prot == prot)
		return 0;
	if ((prot & PROT_WRITE) && (n->v.flags & MAP_SHARED) && n->v.kind == VMA_FILE &&
	    (n->v.file->flags & O_ACCMODE) != O_RDWR)
		return -EACCES;
	if ((prot & ~n->v.prot & PROT_WRITE) && !mm_may_grow(mm, end - start, prot, n->v.flags))
		return -ENOMEM;
	n = mm_isolate(mm, n, start, end);
	if (!n)
		return -ENOMEM;
	/* Rewritten sites lie only in text that can run and that the program does not write. */
	if ((n->v.prot & PROT_EXEC) && ((prot & PROT_WRITE) || !(prot & PROT_EXEC)))
		patch_restore_range(mm, start, end);
	if (!mm_host_range_ok(start, end))
		return -ENOMEM;
	r = (int)host_mprotect((void *)start, end - start, prot);
	if (r == 0)
		n->v.prot = prot;
	mm_merge(mm, n);
	return r;
}

int mm_protect(struct mm *mm, uint64_t addr, uint64_t len, int prot)
{
	struct vma_node *n;
	uint64_t end, to;
	int r;

	if (addr % ABI_PAGE_SIZE)
		return -EINVAL;
	if (!len)
		return 0;
	if (len > ABI_USER_HIGH || addr > ABI_USER_HIGH - len)
		return -ENOMEM;
	end = addr + align_up(len, ABI_PAGE_SIZE);
	while (addr < end) {
		n = vma_tree_find(&mm->tree, addr);
		if (!n || n->v.start > addr || vma_reserved(n))
			return -ENOMEM;
		to = MIN(n->v.end, end);
		r = protect_node(mm, n, addr, to, prot & MM_PROT_MASK);
		if (r < 0)
			return r;
		addr = to;
	}
	return 0;
}

void mm_set_brk(struct mm *mm, uint64_t start)
{
	mm->brk_start = start;
	mm->brk = start;
}

uint64_t mm_brk(struct mm *mm, uint64_t brk)
{
	uint64_t old_end = align_up(mm->brk, ABI_PAGE_SIZE);
	uint64_t end = align_up(brk, ABI_PAGE_SIZE);
	struct vma_node *n;
	struct vma v = {.start = old_end,
			.end = end,
			.prot = PROT_READ | PROT_WRITE,
			.flags = MAP_PRIVATE,
			.kind = VMA_HEAP};

	if (brk < mm->brk_start || brk >= ABI_USER_HIGH)
		return mm->brk;
	if (end < old_end && mm_unmap(mm, end, old_end - end) < 0)
		return mm->brk;
	if (end > old_end) {
		n = vma_tree_find(&mm->tree, old_end);
		if ((n && n->v.start < end + ABI_PAGE_SIZE) ||
		    brk - mm->brk_start > mm_limit(RLIMIT_DATA) ||
		    !mm_may_grow(mm, end - old_end, v.prot, v.flags))
			return mm->brk;
		if (mm_install(mm, &v, mm->lock_future ? MAP_POPULATE : 0) < 0)
			return mm->brk;
	}
	mm->brk = brk;
	return brk;
}
