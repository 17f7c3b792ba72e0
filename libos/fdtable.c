/*
 * fdtable.c - descriptor tables: numbers to open files, with their close-on-exec bits.
 */
#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/file.h"
#include "libos/fs/fs.h"
#include "libos/task.h"

#define FD_FIRST_SIZE 64u
#define FD_MAX_SIZE (1u << 20) /* as the kernel's default fs.nr_open */

struct fdtable {
	unsigned refs;
	unsigned size; /* slots of files[]; a multiple of 64 */
	unsigned next; /* no number below this one is free */
	struct file **files;
	uint64_t *cloexec; /* size / 64 words */
};

static unsigned limit_nofile(void)
{
	const struct rlimit *rl = current()->process->rlimits;

	if (!rl || rl[RLIMIT_NOFILE].rlim_cur > FD_MAX_SIZE)
		return FD_MAX_SIZE;
	return (unsigned)rl[RLIMIT_NOFILE].rlim_cur;
}

static int table_grow(struct fdtable *table, unsigned min_size)
{
	unsigned size = MAX(table->size, FD_FIRST_SIZE);
	struct file **files;
	uint64_t *cloexec;

	while (size < min_size)
		size *= 2;
	if (size == table->size)
		return 0;
	files = arena_zalloc(size * sizeof(struct file *));
	cloexec = arena_zalloc(size / 64 * sizeof(uint64_t));
	if (!files || !cloexec) {
		arena_free(files);
		arena_free(cloexec);
		return -ENOMEM;
	}
	if (table->size) {
		memcpy(files, table->files, table->size * sizeof(struct file *));
		memcpy(cloexec, table->cloexec, table->size / 64 * sizeof(uint64_t));
	}
	arena_free(table->files);
	arena_free(table->cloexec);
	table->files = files;
	table->cloexec = cloexec;
	table->size = size;
	return 0;
}

struct fdtable *fdtable_create(void)
{
	struct fdtable *table = arena_zalloc(sizeof(*table));

	if (!table)
		return NULL;
	table->refs = 1;
	if (table_grow(table, FD_FIRST_SIZE)) {
		arena_free(table);
		return NULL;
	}
	return table;
}

struct fdtable *fdtable_copy(struct fdtable *from)
{
	struct fdtable *table = fdtable_create();
	unsigned i;

	if (!table)
		return NULL;
	if (table_grow(table, from->size)) {
		fdtable_unref(table);
		return NULL;
	}
	for (i = 0; i < from->size; i++)
		if (from->files[i])
			table->files[i] = file_ref(from->files[i]);
	memcpy(table->cloexec, from->cloexec, from->size / 64 * sizeof(uint64_t));
	table->next = from->next;
	return table;
}

struct fdtable *fdtable_ref(struct fdtable *table)
{
	table->refs++;
	return table;
}

static bool bit_test(const uint64_t *bits, unsigned i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

static void bit_set(uint64_t *bits, unsigned i, bool on)
{
	if (on)
		bits[i / 64] |= 1ULL << (i % 64);
	else
		bits[i / 64] &= ~(1ULL << (i % 64));
}

/* Empties the slot and gives up its reference. The slot is free before anything else happens. */
static void slot_close(struct fdtable *table, unsigned fd)
{
	struct file *file = table->files[fd];

	table->files[fd] = NULL;
	bit_set(table->cloexec, fd, false);
	table->next = MIN(table->next, fd);
	if (file->locked)
		locks_fd_closed(file);
	file_unref(file);
}

void fdtable_unref(struct fdtable *table)
{
	unsigned i;

	if (!table || --table->refs)
		return;
	for (i = 0; i < table->size; i++)
		if (table->files[i])
			slot_close(table, i);
	arena_free(table->files);
	arena_free(table->cloexec);
	arena_free(table);
}

void fdtable_close_on_exec(struct fdtable *table)
{
	unsigned w;

	for (w = 0; w < table->size / 64; w++)
		while (table->cloexec[w])
			slot_close(table, w * 64 + (unsigned)__builtin_ctzll(table->cloexec[w]));
}

struct file *fd_get_from(struct fdtable *table, int fd)
{
	if ((unsigned)fd >= table->size)
		return NULL;
	return table->files[fd];
}

struct file *fd_get(int fd)
{
	return fd_get_from(current()->process->files, fd);
}

static int slot_find(struct fdtable *table, unsigned min, unsigned limit)
{
	unsigned fd = MAX(min, table->next);

	while (fd < table->size && table->files[fd])
		fd++;
	if (fd >= limit)
		return -EMFILE;
	if (fd >= table->size && table_grow(table, fd + 1))
		return -ENOMEM;
	if (min <= table->next)
		table->next = fd + 1;
	return (int)fd;
}

int fd_install(struct file *file, int min, bool cloexec)
{
	struct fdtable *table = current()->process->files;
	int fd = slot_find(table, (unsigned)min, limit_nofile());

	if (fd < 0)
		return fd;
	table->files[fd] = file;
	bit_set(table->cloexec, (unsigned)fd, cloexec);
	return fd;
}

int fd_replace(struct file *file, int fd, bool cloexec)
{
	struct fdtable *table = current()->process->files;

	if (fd < 0 || (unsigned)fd >= limit_nofile())
		return -EBADF;
	if ((unsigned)fd >= table->size && table_grow(table, (unsigned)fd + 1))
		return -ENOMEM;
	if (table->files[fd])
		slot_close(table, (unsigned)fd);
	table->files[fd] = file;
	bit_set(table->cloexec, (unsigned)fd, cloexec);
	return fd;
}

int fdtable_set(struct fdtable *table, int fd, struct file *file)
{
	if ((unsigned)fd >= table->size && table_grow(table, (unsigned)fd + 1))
		return -ENOMEM;
	if (table->files[fd])
		slot_close(table, (unsigned)fd);
	table->files[fd] = file;
	return 0;
}

int fd_close(int fd)
{
	struct fdtable *table = current()->process->files;

	if (!fd_get_from(table, fd))
		return -EBADF;
	slot_close(table, (unsigned)fd);
	return 0;
}

bool fd_cloexec_from(struct fdtable *table, int fd)
{
	return fd_get_from(table, fd) && bit_test(table->cloexec, (unsigned)fd);
}

int fd_cloexec_get(int fd)
{
	struct fdtable *table = current()->process->files;

	if (!fd_get_from(table, fd))
		return -EBADF;
	return bit_test(table->cloexec, (unsigned)fd);
}

int fd_cloexec_set(int fd, bool on)
{
	struct fdtable *table = current()->process->files;

	if (!fd_get_from(table, fd))
		return -EBADF;
	bit_set(table->cloexec, (unsigned)fd, on);
	return 0;
}

void fd_close_range(unsigned first, unsigned last, bool only_cloexec)
{
	struct fdtable *table = current()->process->files;
	unsigned fd;

	for (fd = first; fd < table->size && fd <= last; fd++) {
		if (!table->files[fd])
			continue;
		if (only_cloexec)
			bit_set(table->cloexec, fd, true);
		else
			slot_close(table, fd);
	}
}

int fd_next(struct fdtable *table, int from)
{
	unsigned fd;

	for (fd = (unsigned)MAX(from, 0); fd < table->size; fd++)
		if (table->files[fd])
			return (int)fd;
	return -1;
}

unsigned fdtable_size(const struct fdtable *table)
{
	return table->size;
}
