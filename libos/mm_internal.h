/*
 * mm_internal.h - the address space as mm*.c and sys/mm.c see it: private to them.
 *
 * Invariant: the tree holds, for every address in user space that is not free, one node.  Leat's
 * own range and the host's vdso are nodes too (vma_reserved), so that no search can choose them and
 * no operation can pass over them; mm_host_range_ok() checks every range again before the host sees
 * it.
 */
#pragma once

#include <stdint.h>
#include <sys/mman.h>

#include "leat/abi/layout.h"
#include "leat/base/bits.h"
#include "libos/mm_tree.h"

#define MM_STACK_GAP (256 * ABI_PAGE_SIZE) /* kept free below a stack, as Linux does */
#define MM_PROT_MASK (PROT_READ | PROT_WRITE | PROT_EXEC)

/* In vma.flags, beside those of mmap: what madvise(2) said of fork, and so of clones. */
#define MM_DONTFORK 0x40000000
#define MM_WIPEONFORK 0x20000000

/* Kept in vma.flags by mmap. */
#define MM_FLAGS_KEPT (MAP_SHARED | MAP_PRIVATE | MAP_NORESERVE | MAP_GROWSDOWN | MAP_LOCKED)

struct mm {
	unsigned refs;
	struct vma_tree tree;
	uint64_t mmap_base; /* searches go down from here */
	uint64_t brk_start;
	uint64_t brk;
	uint64_t total_bytes; /* of all mappings but the reserved ones */
	uint64_t locked_bytes;
	bool lock_future; /* mlockall(MCL_FUTURE) */
	struct patch_table *patches;
	uint64_t resident_bytes; /* mm_resident.c, good until then */
	uint64_t resident_until_ns;
};

static inline bool vma_reserved(const struct vma_node *n)
{
	return n->v.kind == VMA_HOST || n->v.kind == VMA_VDSO;
}

static inline uint64_t vma_bytes(const struct vma *v)
{
	return v->end - v->start;
}

/* May the host be asked to change [start, end)? Never Leat's, the kept vdso's, or outside. */
bool mm_host_range_ok(uint64_t start, uint64_t end);

/* A resource limit of the current process (RLIMIT_*), RLIM_INFINITY before there is one. */
uint64_t mm_limit(int which);

/* Nodes. */
struct vma_node *vma_node_create(const struct vma *v); /* takes a reference to v->file */
void vma_node_destroy(struct vma_node *n);
void mm_insert(struct mm *mm, struct vma_node *n);
struct vma_node *mm_merge(struct mm *mm, struct vma_node *n); /* with its neighbours, where alike */

/* Splits nodes so that [start, end), which lies within n, is a node of its own; NULL: no memory. */
struct vma_node *mm_isolate(struct mm *mm, struct vma_node *n, uint64_t start, uint64_t end);

/* Takes [start, end) out of the tree (reserved nodes stay). 0 or -ENOMEM with nothing changed. */
int mm_cut(struct mm *mm, uint64_t start, uint64_t end);

/* 0, or -ENOMEM when [start, end) has a hole or a reserved part. */
int mm_covered(struct mm *mm, uint64_t start, uint64_t end);

/* The host's side of a mapping, over whatever is there. 0 or negative errno. */
int mm_host_map(const struct vma *v, int extra_flags);
int mm_host_unmap(uint64_t start, uint64_t end);
int mm_host_advise(const struct vma *v); /* tells the host of its MM_ flags */

/* A free range for len bytes by flags (MAP_32BIT) and hint. 0 or -ENOMEM. */
int mm_choose(struct mm *mm, uint64_t hint, uint64_t len, int flags, uint64_t *ret_addr);

/* Would growing by len pass RLIMIT_AS or (for writable private memory) RLIMIT_DATA? */
bool mm_may_grow(struct mm *mm, uint64_t len, int prot, int flags);

/* A memory object for MAP_SHARED | MAP_ANONYMOUS: a file without a name. NULL: no memory. */
struct file *shm_create(uint64_t bytes);

/* mremap(2), brk(2). */
int64_t mm_remap(struct mm *mm, uint64_t addr, uint64_t old_len, uint64_t new_len, int flags,
		 uint64_t new_addr);
uint64_t mm_brk(struct mm *mm, uint64_t brk);
