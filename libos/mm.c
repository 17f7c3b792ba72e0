/*
 * mm.c - address spaces: their life, their nodes, and what others ask about them.
 */
#include "libos/mm.h"

#include <errno.h>
#include <stddef.h>
#include <sys/resource.h>

#include "libos/arena.h"
#include "libos/file.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/mm_internal.h"

bool mm_host_range_ok(uint64_t start, uint64_t end)
{
	if (start >= end || (start | end) % ABI_PAGE_SIZE)
		return false;
	return (start >= ABI_USER_LOW && end <= ABI_LEAT_LOW) ||
	       (start >= ABI_LEAT_HIGH && end <= ABI_USER_HIGH);
}

struct vma_node *vma_node_create(const struct vma *v)
{
	struct vma_node *n = arena_zalloc(sizeof(*n));

	if (!n)
		return NULL;
	n->v = *v;
	if (v->file)
		file_ref(v->file);
	return n;
}

void vma_node_destroy(struct vma_node *n)
{
	if (!n)
		return;
	if (n->v.file)
		file_unref(n->v.file);
	arena_free(n);
}

/* Moves the totals by a mapping that comes (sign 1) or goes (sign -1). */
static void mm_account(struct mm *mm, const struct vma *v, int64_t bytes)
{
	mm->total_bytes += bytes;
	if (v->flags & MAP_LOCKED)
		mm->locked_bytes += bytes;
}

void mm_insert(struct mm *mm, struct vma_node *n)
{
	vma_tree_insert(&mm->tree, n);
	if (!vma_reserved(n))
		mm_account(mm, &n->v, (int64_t)vma_bytes(&n->v));
}

static void mm_remove(struct mm *mm, struct vma_node *n)
{
	mm_account(mm, &n->v, -(int64_t)vma_bytes(&n->v));
	vma_tree_remove(&mm->tree, n);
	vma_node_destroy(n);
}

static bool vma_alike(const struct vma_node *a, const struct vma_node *b)
{
	if (!a || !b || a->v.end != b->v.start || vma_reserved(a) || a->v.prot != b->v.prot ||
	    a->v.flags != b->v.flags || a->v.kind != b->v.kind || a->v.file != b->v.file)
		return false;
	return !a->v.file || a->v.off + vma_bytes(&a->v) == b->v.off;
}

/* b is joined to a. */
static void mm_join(struct mm *mm, struct vma_node *a, struct vma_node *b)
{
	uint64_t end = b->v.end;

	vma_tree_remove(&mm->tree, b);
	vma_node_destroy(b);
	vma_tree_resize(&mm->tree, a, a->v.start, end);
}

struct vma_node *mm_merge(struct mm *mm, struct vma_node *n)
{
	if (vma_alike(n, n->next))
		mm_join(mm, n, n->next);
	if (vma_alike(n->prev, n)) {
		struct vma_node *prev = n->prev;

		mm_join(mm, prev, n);
		return prev;
	}
	return n;
}

/* Cuts n in two at addr; returns the upper part, NULL: no memory. */
static struct vma_node *mm_split(struct mm *mm, struct vma_node *n, uint64_t addr)
{
	struct vma upper = n->v;
	struct vma_node *node;

	upper.start = addr;
	if (upper.file)
		upper.off += addr - n->v.start;
	node = vma_node_create(&upper);
	if (!node)
		return NULL;
	vma_tree_resize(&mm->tree, n, n->v.start, addr);
	vma_tree_insert(&mm->tree, node);
	return node;
}

struct vma_node *mm_isolate(struct mm *mm, struct vma_node *n, uint64_t start, uint64_t end)
{
	if (end < n->v.end && !mm_split(mm, n, end))
		return NULL;
	return start > n->v.start ? mm_split(mm, n, start) : n;
}

int mm_cut(struct mm *mm, uint64_t start, uint64_t end)
{
	struct vma_node *n = vma_tree_find(&mm->tree, start);
	struct vma_node *next;

	/* The two splits come first: after them nothing can fail. */
	if (n && n->v.start < start && !vma_reserved(n)) {
		n = mm_split(mm, n, start);
		if (!n)
			return -ENOMEM;
	}
	next = vma_tree_find(&mm->tree, end - 1);
	if (next && next->v.start < end && next->v.end > end && !vma_reserved(next) &&
	    !mm_split(mm, next, end))
		return -ENOMEM;

	for (; n && n->v.start < end; n = next) {
		next = n->next;
		if (!vma_reserved(n))
			mm_remove(mm, n);
	}
	return 0;
}

int mm_covered(struct mm *mm, uint64_t start, uint64_t end)
{
	struct vma_node *n = vma_tree_find(&mm->tree, start);

	while (start < end) {
		if (!n || n->v.start > start || vma_reserved(n))
			return -ENOMEM;
		start = n->v.end;
		n = n->next;
	}
	return 0;
}

/* A node for a range that is not the program's to change. */
static int mm_reserve(struct mm *mm, uint64_t start, uint64_t end, enum vma_kind kind, int prot)
{
	struct vma v = {
		.start = start, .end = end, .prot = prot, .flags = MAP_PRIVATE, .kind = kind};
	struct vma_node *n;

	if (start >= end)
		return 0;
	n = vma_node_create(&v);
	if (!n)
		return -ENOMEM;
	mm_insert(mm, n);
	return 0;
}

static int mm_reserve_all(struct mm *mm)
{
	uint64_t vdso_end = ABI_VDSO_BASE + 2 * ABI_PAGE_SIZE;

	if (mm_reserve(mm, ABI_LEAT_LOW, ABI_VDSO_BASE, VMA_HOST, PROT_NONE) < 0 ||
	    mm_reserve(mm, ABI_VDSO_BASE, vdso_end, VMA_VDSO, PROT_READ | PROT_EXEC) < 0)
		return -ENOMEM;
	return mm_reserve(mm, vdso_end, ABI_LEAT_HIGH, VMA_HOST, PROT_NONE);
}

static void mm_clear(struct mm *mm)
{
	struct vma_node *n = mm->tree.first, *next;

	for (; n; n = next) {
		next = n->next;
		vma_node_destroy(n);
	}
	vma_tree_init(&mm->tree);
	mm->total_bytes = 0;
	mm->locked_bytes = 0;
}

static struct mm *mm_create_bare(void)
{
	struct mm *mm = arena_zalloc(sizeof(*mm));

	if (!mm)
		return NULL;
	mm->refs = 1;
	mm->mmap_base = ABI_USER_HIGH;
	vma_tree_init(&mm->tree);
	return mm;
}

struct mm *mm_create(void)
{
	struct mm *mm = mm_create_bare();

	if (mm && mm_reserve_all(mm) < 0) {
		mm_unref(mm);
		return NULL;
	}
	return mm;
}

struct mm *mm_copy(struct mm *from)
{
	struct mm *mm = mm_create_bare();
	struct vma_node *n, *copy;

	if (!mm)
		return NULL;
	mm->mmap_base = from->mmap_base;
	mm->brk_start = from->brk_start;
	mm->brk = from->brk;
	for (n = from->tree.first; n; n = n->next) {
		if (n->v.flags & MM_DONTFORK)
			continue;
		copy = vma_node_create(&n->v);
		if (!copy)
			goto fail;
		copy->v.flags &= ~MAP_LOCKED; /* locks are not inherited: mlock(2) */
		mm_insert(mm, copy);
	}
	if (patch_table_copy(mm, from) < 0)
		goto fail;
	return mm;
fail:
	mm_unref(mm);
	return NULL;
}

struct mm *mm_ref(struct mm *mm)
{
	mm->refs++;
	return mm;
}

void mm_unref(struct mm *mm)
{
	if (!mm || --mm->refs)
		return;
	patch_table_destroy(mm);
	mm_clear(mm);
	arena_free(mm);
}

void mm_unmap_all(struct mm *mm)
{
	struct vma_node *n = mm->tree.first, *next;

	mm_host_unmap(ABI_USER_LOW, ABI_LEAT_LOW);
	mm_host_unmap(ABI_LEAT_HIGH, ABI_USER_HIGH);
	patch_table_destroy(mm);
	for (; n; n = next) {
		next = n->next;
		if (!vma_reserved(n))
			mm_remove(mm, n);
	}
	mm->brk_start = 0;
	mm->brk = 0;
}

const struct vma *mm_find(struct mm *mm, uint64_t addr)
{
	struct vma_node *n = vma_tree_find(&mm->tree, addr);

	return n ? &n->v : NULL;
}

const struct vma *mm_next(struct mm *mm, const struct vma *vma)
{
	(void)mm;
	return ((const struct vma_node *)(const void *)vma)->next ?
		       &((const struct vma_node *)(const void *)vma)->next->v :
		       NULL;
}

int mm_key(struct mm *mm, uint64_t addr, struct mem_key *ret_key)
{
	struct vma_node *n = vma_tree_find(&mm->tree, addr);

	if (!n || n->v.start > addr || vma_reserved(n))
		return -EFAULT;
	if ((n->v.flags & MAP_SHARED) && n->v.file) {
		const struct file *file = n->v.file;

		ret_key->object = file->inode ? (const void *)file->inode : file;
		ret_key->offset = n->v.off + (addr - n->v.start);
	} else {
		ret_key->object = mm;
		ret_key->offset = addr;
	}
	return 0;
}

bool mm_fault(struct mm *mm, uint64_t addr, uint64_t error_code)
{
	struct vma_node *n = vma_tree_find(&mm->tree, addr);
	struct vma below;

	(void)error_code;
	addr = align_down(addr, ABI_PAGE_SIZE);
	if (!n || !(n->v.flags & MAP_GROWSDOWN) || n->v.start <= addr || n->v.file)
		return false;
	if (n->prev && addr - n->prev->v.end < MM_STACK_GAP)
		return false;
	if (n->v.end - addr > mm_limit(RLIMIT_STACK) ||
	    !mm_may_grow(mm, n->v.start - addr, n->v.prot, n->v.flags))
		return false;
	below = n->v;
	below.start = addr;
	below.end = n->v.start;
	if (mm_host_map(&below, 0) < 0)
		return false;
	mm_account(mm, &n->v, (int64_t)vma_bytes(&below));
	vma_tree_resize(&mm->tree, n, addr, n->v.end);
	return true;
}

void mm_stats_get(struct mm *mm, struct mm_stats *ret_stats)
{
	struct mm_stats s = {.virt_bytes = mm->total_bytes, .locked_bytes = mm->locked_bytes};
	struct vma_node *n;

	for (n = mm->tree.first; n; n = n->next) {
		if (vma_reserved(n))
			continue;
		if (n->v.kind == VMA_STACK || (n->v.flags & MAP_GROWSDOWN))
			s.stack_bytes += vma_bytes(&n->v);
		else if ((n->v.flags & MAP_PRIVATE) && (n->v.prot & PROT_WRITE))
			s.data_bytes += vma_bytes(&n->v);
		else if (n->v.prot & PROT_EXEC)
			s.exec_bytes += vma_bytes(&n->v);
	}
	*ret_stats = s;
}

struct patch_table **mm_patches(struct mm *mm)
{
	return &mm->patches;
}
