/*
 * snapshot.c - reads a standing process's memory through /proc and writes what a clone needs of it.
 *
 * Private pages that the process has written are found in its page tables (pagemap), pages of the
 * instance's own memfds (arena, store) in the files, because they may never have been mapped.
 * Neighbouring pages become runs; a few clean pages between two of them go along, because each run
 * costs a clone a host call.  Pages of zeros become holes.
 */
#include "apps/leat/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <zlib.h>

#include "leat/base/bits.h"

#define PAGE ABI_PAGE_SIZE
#define CHUNK_PAGES 256U
#define GAP_PAGES 32U /* clean pages that are cheaper than another run */
#define PM_PRESENT (1ULL << 63)
#define PM_SWAPPED (1ULL << 62)
#define PM_FILE (1ULL << 61)
#define NAME_NEW SNAPSHOT_MEMORY ".new"

/* One line of /proc/PID/maps. */
struct mapping {
	uint64_t start, end, off;
	uint64_t dev, ino;
	bool shared;
};

struct writer {
	int pid, mem_fd, pagemap_fd, out_fd;
	uint64_t own_dev, own_ino; /* the snapshot that a clone came from */
	uint64_t at;               /* in the file */
	struct abi_snapshot_run *runs;
	uint32_t nr_runs;
	bool open; /* the last run may grow */
	uLong crc;
	uint8_t chunk[CHUNK_PAGES * PAGE];
	uint64_t map[CHUNK_PAGES]; /* pagemap */
};

static int proc_open(int pid, const char *name, int flags)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return open(path, flags | O_CLOEXEC);
}

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, PAGE - 1) == 0;
}

/* ---- the file ---- */

static int run_add(struct writer *w, uint64_t addr, uint64_t bytes)
{
	struct abi_snapshot_run *last = w->nr_runs > 0 ? &w->runs[w->nr_runs - 1] : NULL;

	if (w->open && last->addr + last->bytes == addr) {
		last->bytes += bytes;
		return 0;
	}
	if (w->nr_runs == ABI_SNAPSHOT_RUNS_MAX)
		return -E2BIG;
	w->runs[w->nr_runs++] =
		(struct abi_snapshot_run){.addr = addr, .file_off = w->at, .bytes = bytes};
	w->open = true;
	return 0;
}

/* Pages to their place at the end of the file: those of zeros are holes. */
static int pages_put(struct writer *w, uint64_t addr, const uint8_t *pages, size_t nr)
{
	int r = run_add(w, addr, nr * PAGE);
	size_t done = 0;

	while (r == 0 && done < nr) {
		size_t end = done;

		while (end < nr && !is_zero(pages + end * PAGE))
			end++;
		if (end > done &&
		    pwrite(w->out_fd, pages + done * PAGE, (end - done) * PAGE,
			   (off_t)(w->at + done * PAGE)) != (ssize_t)((end - done) * PAGE))
			r = errno != 0 ? -errno : -ENOSPC;
		done = end + (end < nr);
	}
	w->crc = crc32(w->crc, pages, (uInt)(nr * PAGE));
	w->at += nr * PAGE;
	return r;
}

/* [from, to) of the chunk, which begins at addr and has been marked; runs join over small gaps. */
static int marked_put(struct writer *w, uint64_t addr, const bool *marked, size_t nr)
{
	size_t i = 0;
	int r = 0;

	while (r == 0 && i < nr) {
		size_t end, gap = 0;

		if (!marked[i]) {
			i++;
			continue;
		}
		for (end = i + 1; end + gap < nr && gap <= GAP_PAGES;) {
			if (marked[end + gap]) {
				end += gap + 1;
				gap = 0;
			} else {
				gap++;
			}
		}
		r = pages_put(w, addr + i * PAGE, w->chunk + i * PAGE, end - i);
		i = end;
	}
	return r;
}

/* ---- private memory ---- */

/* A clean page of a file that ends before it cannot be read: nothing of it is wanted. */
static int chunk_read(struct writer *w, uint64_t addr, bool *marked, size_t nr)
{
	for (size_t i = 0; i < nr;) {
		ssize_t n = pread(w->mem_fd, w->chunk + i * PAGE, (nr - i) * PAGE,
				  (off_t)(addr + i * PAGE));

		if (n >= (ssize_t)PAGE) {
			i += (size_t)n / PAGE;
			continue;
		}
		if (marked[i])
			return -EIO;
		memset(w->chunk + i * PAGE, 0, PAGE);
		i++;
	}
	return 0;
}

static int private_chunk(struct writer *w, const struct mapping *m, uint64_t addr, size_t nr)
{
	bool own = m->ino != 0 && m->ino == w->own_ino && m->dev == w->own_dev;
	bool marked[CHUNK_PAGES], any = false;
	size_t bytes = nr * sizeof(uint64_t);
	int r;

	if (pread(w->pagemap_fd, w->map, bytes, (off_t)(addr / PAGE * sizeof(uint64_t))) !=
	    (ssize_t)bytes)
		return -EIO;
	for (size_t i = 0; i < nr; i++) {
		marked[i] =
			own || ((w->map[i] & (PM_PRESENT | PM_SWAPPED)) && !(w->map[i] & PM_FILE));
		any |= marked[i];
	}
	if (!any)
		return 0;
	r = chunk_read(w, addr, marked, nr);
	for (size_t i = 0; r == 0 && m->ino == 0 && i < nr; i++)
		marked[i] = marked[i] && !is_zero(w->chunk + i * PAGE);
	return r < 0 ? r : marked_put(w, addr, marked, nr);
}

static int private_put(struct writer *w, const struct mapping *m)
{
	int r = 0;

	for (uint64_t addr = m->start; r == 0 && addr < m->end; addr += CHUNK_PAGES * PAGE)
		r = private_chunk(w, m, addr, MIN((m->end - addr) / PAGE, CHUNK_PAGES));
	return r;
}

/* ---- the instance's memfds ---- */

static int data_put(struct writer *w, int fd, uint64_t off, uint64_t end, uint64_t addr)
{
	bool marked[CHUNK_PAGES];
	int r = 0;

	while (r == 0 && off < end) {
		size_t nr = MIN((end - off) / PAGE, CHUNK_PAGES);

		if (pread(fd, w->chunk, nr * PAGE, (off_t)off) != (ssize_t)(nr * PAGE))
			return -EIO;
		for (size_t i = 0; i < nr; i++)
			marked[i] = !is_zero(w->chunk + i * PAGE);
		r = marked_put(w, addr, marked, nr);
		off += nr * PAGE;
		addr += nr * PAGE;
	}
	return r;
}

static int shared_put(struct writer *w, const struct mapping *m)
{
	uint64_t last = m->off + (m->end - m->start);
	char name[64];
	off_t from = (off_t)m->off, to;
	int fd, r = 0;

	snprintf(name, sizeof(name), "map_files/%lx-%lx", m->start, m->end);
	fd = proc_open(w->pid, name, O_RDONLY);
	if (fd < 0)
		return -errno;
	while (r == 0 && (uint64_t)from < last) {
		from = lseek(fd, from, SEEK_DATA);
		if (from < 0 || (uint64_t)from >= last)
			break;
		to = lseek(fd, from, SEEK_HOLE);
		if (to < 0)
			r = -errno;
		else
			r = data_put(w, fd, (uint64_t)from, MIN((uint64_t)to, last),
				     m->start + ((uint64_t)from - m->off));
		from = to;
	}
	close(fd);
	return r;
}

/* ---- all of it ---- */

static bool in_range(const struct mapping *m, uint64_t low, uint64_t high)
{
	return m->start >= low && m->end <= high;
}

static int mapping_put(struct writer *w, const struct mapping *m)
{
	bool user = in_range(m, ABI_USER_LOW, ABI_LEAT_LOW) ||
		    in_range(m, ABI_LEAT_HIGH, ABI_USER_HIGH);
	bool state = in_range(m, ABI_ARENA_BASE, ABI_ARENA_BASE + ABI_ARENA_MAX) ||
		     in_range(m, ABI_STORE_BASE, ABI_STORE_BASE + ABI_STORE_MAX);

	w->open = false;
	if (!m->shared)
		return user || state ? private_put(w, m) : 0;
	return state ? shared_put(w, m) : 0; /* the program's are files of memfs: in the store */
}

static int maps_put(struct writer *w)
{
	int fd = proc_open(w->pid, "maps", O_RDONLY), r = 0;
	FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
	unsigned major, minor;
	struct mapping m;
	char line[4608], perms[5];

	if (file == NULL)
		return -errno;
	while (r == 0 && fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu", &m.start, &m.end, perms, &m.off,
			   &major, &minor, &m.ino) != 7)
			continue;
		m.dev = (uint64_t)major << 32 | minor;
		m.shared = perms[3] == 's';
		r = mapping_put(w, &m);
	}
	fclose(file);
	return r;
}

static int head_put(struct writer *w, struct abi_snapshot *head)
{
	size_t bytes = w->nr_runs * sizeof(*w->runs);
	uint8_t page[PAGE] = {0};
	int r = snapshot_boot_id(head->boot_id);

	head->magic = ABI_SNAPSHOT_MAGIC;
	head->version = ABI_SNAPSHOT_VERSION;
	head->runs_off = w->at;
	head->nr_runs = w->nr_runs;
	head->file_bytes = w->at + (bytes + PAGE - 1) / PAGE * PAGE;
	head->pages_crc = (uint32_t)w->crc;
	head->table_crc = 0;
	head->table_crc = (uint32_t)crc32(crc32(0, (const Bytef *)head, sizeof(*head)),
					  (const Bytef *)w->runs, (uInt)bytes);
	memcpy(page, head, sizeof(*head));
	if (r == 0 && (ftruncate(w->out_fd, (off_t)head->file_bytes) < 0 ||
		       pwrite(w->out_fd, w->runs, bytes, (off_t)w->at) != (ssize_t)bytes ||
		       pwrite(w->out_fd, page, PAGE, 0) != (ssize_t)PAGE))
		r = errno != 0 ? -errno : -ENOSPC;
	return r;
}

static int writer_open(struct writer *w, int dir_fd, int pid)
{
	char name[32];
	struct stat st;

	w->pid = pid;
	w->at = PAGE;
	w->crc = crc32(0, NULL, 0);
	w->runs = malloc(ABI_SNAPSHOT_RUNS_MAX * sizeof(*w->runs));
	w->mem_fd = proc_open(pid, "mem", O_RDONLY);
	w->pagemap_fd = proc_open(pid, "pagemap", O_RDONLY);
	snprintf(name, sizeof(name), "/proc/%d/fd/%d", pid, ABI_FD_SNAPSHOT);
	if (stat(name, &st) == 0) {
		w->own_dev = (uint64_t)major(st.st_dev) << 32 | minor(st.st_dev);
		w->own_ino = st.st_ino;
	}
	if (w->runs == NULL)
		return -ENOMEM;
	if (w->mem_fd < 0 || w->pagemap_fd < 0)
		return -ESRCH;
	w->out_fd =
		openat(dir_fd, NAME_NEW, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	return w->out_fd < 0 ? -errno : 0;
}

int snapshot_write(int dir_fd, int pid, struct abi_snapshot *head, struct snapshot_stats *ret_stats)
{
	struct writer *w = calloc(1, sizeof(*w));
	int r;

	if (w == NULL)
		return -ENOMEM;
	w->mem_fd = w->pagemap_fd = w->out_fd = -1;
	r = writer_open(w, dir_fd, pid);
	if (r == 0)
		r = maps_put(w);
	if (r == 0)
		r = head_put(w, head);
	if (r == 0 && renameat(dir_fd, NAME_NEW, dir_fd, SNAPSHOT_MEMORY) < 0)
		r = -errno;
	if (r == 0)
		snapshot_mark_checked(dir_fd, w->out_fd);
	else if (w->out_fd >= 0)
		unlinkat(dir_fd, NAME_NEW, 0);
	*ret_stats = (struct snapshot_stats){.bytes = w->at - PAGE, .runs = w->nr_runs};
	for (unsigned i = 0; i < 3; i++) {
		int fd = i == 0 ? w->mem_fd : i == 1 ? w->pagemap_fd : w->out_fd;

		if (fd >= 0)
			close(fd);
	}
	free(w->runs);
	free(w);
	return r;
}
