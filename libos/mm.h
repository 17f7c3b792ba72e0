/*
 * mm.h - a process's address space as the libOS keeps it: a list of mappings, brk, accounting.
 *
 * The libOS picks every address itself; host mappings are made MAP_FIXED.  Guard: the instance
 * lock. All functions act on the current host process, whose mm is current()->process->mm.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct file;
struct mm;

enum vma_kind {
	VMA_ANON,
	VMA_FILE,
	VMA_STACK,
	VMA_HEAP,
	VMA_VDSO,
	VMA_HOST, /* Leat's own range: never touched */
};

/* One mapping: what /proc/PID/maps shows. */
struct vma {
	uint64_t start;
	uint64_t end;
	uint64_t off; /* into file */
	int prot;
	int flags; /* MAP_SHARED or MAP_PRIVATE, MAP_NORESERVE, MAP_GROWSDOWN */
	enum vma_kind kind;
	struct file *file; /* referenced; NULL if none */
};

/* A new, empty space description (exec, first start). NULL: out of arena. */
struct mm *mm_create(void);
struct mm *mm_copy(struct mm *from); /* fork: the host copies the memory itself */
struct mm *mm_ref(struct mm *mm);
void mm_unref(struct mm *mm);

/* Unmaps everything of the program's from the current host process (exec, first start). */
void mm_unmap_all(struct mm *mm);

/* As mmap(2), with a struct file in place of the fd. Address, or negative errno. */
int64_t mm_map(struct mm *mm, uint64_t addr, uint64_t len, int prot, int flags, struct file *file,
	       uint64_t off);
int mm_unmap(struct mm *mm, uint64_t addr, uint64_t len);
int mm_protect(struct mm *mm, uint64_t addr, uint64_t len, int prot);

/* The heap begins here (after the program's last segment). */
void mm_set_brk(struct mm *mm, uint64_t start);

/* The mapping that holds addr, or the first one above it; NULL if none. */
const struct vma *mm_find(struct mm *mm, uint64_t addr);
const struct vma *mm_next(struct mm *mm, const struct vma *vma);

/*
 * The identity of the memory behind a user address, for futexes: private memory is (mm, address),
 * shared memory is (object, offset). 0 or -EFAULT.
 */
struct mem_key {
	const void *object;
	uint64_t offset;
};
int mm_key(struct mm *mm, uint64_t addr, struct mem_key *ret_key);

/* Is this an address where a stack may grow, or a lazily mapped one? True: handled, run on. */
bool mm_fault(struct mm *mm, uint64_t addr, uint64_t error_code);

struct mm_stats {
	uint64_t virt_bytes;
	uint64_t data_bytes;
	uint64_t stack_bytes;
	uint64_t exec_bytes;
	uint64_t locked_bytes;
};
void mm_stats_get(struct mm *mm, struct mm_stats *ret_stats);

/* Memory that is present, of the current process's mm only: by the host, and not always of just
 * now. */
uint64_t mm_resident_bytes(struct mm *mm);
/* Of a range of the current process's: bytes present. */
uint64_t mm_range_resident(uint64_t start, uint64_t end);

/*
 * A stack near the top of the address space, mapped whole: the host gives memory only for what is
 * touched, and nothing has to grow at a fault.  0 or negative errno.
 */
int mm_map_stack(struct mm *mm, uint64_t bytes, int prot, uint64_t *ret_top);

struct patch_table;
struct patch_table **mm_patches(struct mm *mm); /* loader/patch.c's own, NULL until used */

/*
 * What loader/patch.c does for the address space.  Rewritten sites in a range that goes are
 * forgotten; in one that the program may write, their own bytes come back first.
 */
void patch_forget_range(struct mm *mm, uint64_t start, uint64_t end);
void patch_restore_range(struct mm *mm, uint64_t start, uint64_t end);
int patch_table_copy(struct mm *to, struct mm *from); /* fork; 0 or -ENOMEM */
void patch_table_destroy(struct mm *mm);
