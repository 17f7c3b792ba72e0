/*
 * proc_maps.c - /proc/PID/maps and smaps: a process's mappings.  See proc(5).
 *
 * What of a mapping is present is known of the reader's own memory.  Of another process's the page
 * tables are out of reach: there its writable private mappings count whole, others not at all.
 */
#include <errno.h>
#include <sys/mman.h>

#include "leat/base/bits.h"
#include "libos/fs/proc.h"
#include "libos/instance.h"
#include "libos/mm.h"

struct presence {
	uint64_t size;
	uint64_t rss;
	uint64_t shared; /* of rss */
	uint64_t anonymous;
};

static void add_vma_name(struct strbuf *buf, const struct vma *vma)
{
	char path[512];

	switch (vma->kind) {
	case VMA_STACK:
		strbuf_add(buf, "[stack]");
		return;
	case VMA_HEAP:
		strbuf_add(buf, "[heap]");
		return;
	case VMA_VDSO:
		strbuf_add(buf, "[vdso]");
		return;
	default:
		break;
	}
	if (vma->file != NULL && vfs_file_path(vma->file, path, sizeof(path)) > 0)
		strbuf_add(buf, "%s", path);
}

static void add_vma(struct strbuf *buf, const struct vma *v)
{
	uint64_t dev = 0, ino = 0;

	if (v->file != NULL)
		vfs_file_id(v->file, &dev, &ino);
	strbuf_add(buf, "%08lx-%08lx %c%c%c%c %08lx %02x:%02x %-10lu ", (unsigned long)v->start,
		   (unsigned long)v->end, v->prot & PROT_READ ? 'r' : '-',
		   v->prot & PROT_WRITE ? 'w' : '-', v->prot & PROT_EXEC ? 'x' : '-',
		   v->flags & MAP_SHARED ? 's' : 'p', (unsigned long)v->off,
		   (unsigned)(dev >> 8) & 0xfff, (unsigned)dev & 0xff, (unsigned long)ino);
	add_vma_name(buf, v);
	strbuf_add(buf, "\n");
}

static struct presence vma_presence(const struct process *process, const struct vma *v)
{
	struct presence p = {.size = v->end - v->start};
	bool shared = (v->flags & MAP_SHARED) != 0;

	if (v->prot == PROT_NONE)
		return p;
	if (process->mm == current()->process->mm)
		p.rss = mm_range_resident(v->start, v->end);
	else if (!shared && (v->prot & PROT_WRITE) != 0)
		p.rss = p.size;
	p.shared = shared ? p.rss : 0;
	p.anonymous = v->file == NULL ? p.rss : 0;
	return p;
}

static void add_presence(struct strbuf *buf, const struct presence *p)
{
	const struct {
		const char *name;
		uint64_t bytes;
	} lines[] = {
		{"Rss:", p->rss},        {"Pss:", p->rss},
		{"Shared_Clean:", 0},    {"Shared_Dirty:", p->shared},
		{"Private_Clean:", 0},   {"Private_Dirty:", p->rss - p->shared},
		{"Referenced:", p->rss}, {"Anonymous:", p->anonymous},
		{"LazyFree:", 0},        {"AnonHugePages:", 0},
		{"ShmemPmdMapped:", 0},  {"Shared_Hugetlb:", 0},
		{"Private_Hugetlb:", 0}, {"Swap:", 0},
		{"SwapPss:", 0},         {"Locked:", 0},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(lines); i++)
		strbuf_add(buf, "%-16s%8lu kB\n", lines[i].name,
			   (unsigned long)(lines[i].bytes / 1024));
}

/* Calls fn for each mapping of the program's. */
static int each_vma(const struct proc_object *object, struct strbuf *buf,
		    void (*fn)(const struct process *process, const struct vma *v,
			       struct strbuf *buf, void *arg),
		    void *arg)
{
	const struct process *process = proc_process(object);

	if (process == NULL)
		return -ESRCH;
	if (process->mm == NULL)
		return 0;
	for (const struct vma *v = mm_find(process->mm, 0); v != NULL; v = mm_next(process->mm, v))
		if (v->kind != VMA_HOST)
			fn(process, v, buf, arg);
	return 0;
}

static void maps_line(const struct process *process, const struct vma *v, struct strbuf *buf,
		      void *arg)
{
	(void)process;
	(void)arg;
	add_vma(buf, v);
}

int proc_show_maps(const struct proc_object *object, struct strbuf *buf)
{
	return each_vma(object, buf, maps_line, NULL);
}

static void smaps_entry(const struct process *process, const struct vma *v, struct strbuf *buf,
			void *arg)
{
	struct presence p = vma_presence(process, v);

	(void)arg;
	add_vma(buf, v);
	strbuf_add(buf, "%-16s%8lu kB\n%-16s%8lu kB\n%-16s%8lu kB\n",
		   "Size:", (unsigned long)(p.size / 1024), "KernelPageSize:", 4UL,
		   "MMUPageSize:", 4UL);
	add_presence(buf, &p);
	strbuf_add(buf, "THPeligible:           0\nVmFlags:%s%s%s%s mr mw me\n",
		   v->prot & PROT_READ ? " rd" : "", v->prot & PROT_WRITE ? " wr" : "",
		   v->prot & PROT_EXEC ? " ex" : "", v->flags & MAP_SHARED ? " sh" : "");
}

int proc_show_smaps(const struct proc_object *object, struct strbuf *buf)
{
	return each_vma(object, buf, smaps_entry, NULL);
}

struct rollup {
	struct presence sum;
	uint64_t start, end;
};

static void rollup_add(const struct process *process, const struct vma *v, struct strbuf *buf,
		       void *arg)
{
	struct presence p = vma_presence(process, v);
	struct rollup *r = arg;

	(void)buf;
	if (r->end == 0)
		r->start = v->start;
	r->end = v->end;
	r->sum.rss += p.rss;
	r->sum.shared += p.shared;
	r->sum.anonymous += p.anonymous;
}

int proc_show_smaps_rollup(const struct proc_object *object, struct strbuf *buf)
{
	struct rollup r = {0};
	int err = each_vma(object, buf, rollup_add, &r);

	if (err != 0)
		return err;
	strbuf_add(buf, "%08lx-%08lx ---p 00000000 00:00 0          [rollup]\n",
		   (unsigned long)r.start, (unsigned long)r.end);
	add_presence(buf, &r.sum);
	return 0;
}
