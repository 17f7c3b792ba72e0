/*
 * snapshot.c - reading and checking a snapshot's files.
 */
#include "apps/common/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK (1U << 20)
#define CHECKED_MAX 256U

static int wrong(char *error, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int wrong(char *error, size_t size, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(error, size, format, ap);
	va_end(ap);
	return -EINVAL;
}

int snapshot_boot_id(uint8_t ret_id[16])
{
	char text[64] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	unsigned byte, nr = 0;

	if (fd >= 0)
		close(fd);
	for (const char *at = text; n > 0 && *at != '\0' && nr < 16;) {
		if (*at == '-') {
			at++;
			continue;
		}
		if (sscanf(at, "%2x", &byte) != 1)
			break;
		ret_id[nr++] = (uint8_t)byte;
		at += 2;
	}
	return nr == 16 ? 0 : -EIO;
}

/* ---- header and table ---- */

static bool run_ok(const struct abi_snapshot *head, const struct abi_snapshot_run *run,
		   uint64_t above)
{
	return ((run->addr | run->file_off | run->bytes) & (ABI_PAGE_SIZE - 1)) == 0 &&
	       run->bytes != 0 && run->addr >= above && run->bytes <= ABI_USER_HIGH &&
	       run->addr <= ABI_USER_HIGH - run->bytes && run->file_off >= ABI_PAGE_SIZE &&
	       run->file_off <= head->runs_off && run->bytes <= head->runs_off - run->file_off;
}

/* 0, -EIO: not whole, -EBADMSG: not what was written. */
static int table_check(int fd, const struct abi_snapshot *head)
{
	size_t bytes = head->nr_runs * sizeof(struct abi_snapshot_run);
	struct abi_snapshot_run *runs = malloc(bytes);
	struct abi_snapshot zeroed = *head;
	uint64_t above = 0;
	int r = 0;

	if (runs == NULL)
		return -ENOMEM;
	zeroed.table_crc = 0;
	if (pread(fd, runs, bytes, (off_t)head->runs_off) != (ssize_t)bytes)
		r = -EIO;
	else if (crc32(crc32(0, (const Bytef *)&zeroed, sizeof(zeroed)), (const Bytef *)runs,
		       (uInt)bytes) != head->table_crc)
		r = -EBADMSG;
	for (uint32_t i = 0; r == 0 && i < head->nr_runs; i++) {
		if (!run_ok(head, &runs[i], above))
			r = -EBADMSG;
		above = runs[i].addr + runs[i].bytes;
	}
	free(runs);
	return r;
}

static bool head_ok(const struct abi_snapshot *head, const struct stat *st)
{
	return head->nr_runs != 0 && head->nr_runs <= ABI_SNAPSHOT_RUNS_MAX &&
	       head->nr_vcpus != 0 && head->nr_vcpus <= ABI_MAX_VCPUS &&
	       head->file_bytes == (uint64_t)st->st_size && head->runs_off >= ABI_PAGE_SIZE &&
	       head->runs_off % ABI_PAGE_SIZE == 0 && head->runs_off < head->file_bytes &&
	       head->file_bytes - head->runs_off >= head->nr_runs * sizeof(struct abi_snapshot_run);
}

int snapshot_head_check(int fd, const uint8_t *image_id, struct abi_snapshot *ret_head, char *error,
			size_t size)
{
	struct abi_snapshot head;
	uint8_t boot_id[16];
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    pread(fd, &head, sizeof(head), 0) != sizeof(head) || head.magic != ABI_SNAPSHOT_MAGIC)
		return wrong(error, size, "cannot clone: this is no snapshot");
	if (head.version != ABI_SNAPSHOT_VERSION)
		return wrong(error, size,
			     "cannot clone: the snapshot has format %u, this Leat reads %u",
			     head.version, ABI_SNAPSHOT_VERSION);
	if (!head_ok(&head, &st) || table_check(fd, &head) < 0)
		return wrong(error, size, "cannot clone: the snapshot is damaged");
	if (image_id != NULL && memcmp(head.image_id, image_id, sizeof(head.image_id)) != 0)
		return wrong(error, size,
			     "cannot clone: the snapshot was taken by another build of Leat");
	if (snapshot_boot_id(boot_id) < 0 || memcmp(boot_id, head.boot_id, sizeof(boot_id)) != 0)
		return wrong(error, size,
			     "cannot clone: the host was started anew since the snapshot");
	*ret_head = head;
	return 0;
}

/* ---- pages ---- */

static void checked_text(int fd, char *ret_text, size_t size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		memset(&st, 0, sizeof(st));
	snprintf(ret_text, size, "%llu %llu %llu %lld.%09ld\n", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino, (unsigned long long)st.st_size,
		 (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
}

static bool is_checked(int dir_fd, int fd)
{
	char want[CHECKED_MAX], have[CHECKED_MAX] = "";
	int file = openat(dir_fd, SNAPSHOT_CHECKED, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = file < 0 ? -1 : read(file, have, sizeof(have) - 1);

	if (file >= 0)
		close(file);
	checked_text(fd, want, sizeof(want));
	return n > 0 && strcmp(want, have) == 0;
}

void snapshot_mark_checked(int dir_fd, int fd)
{
	char text[CHECKED_MAX];
	int file = openat(dir_fd, SNAPSHOT_CHECKED,
			  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (file < 0)
		return; /* a folder that may not be written: they are looked at each time */
	checked_text(fd, text, sizeof(text));
	if (write(file, text, strlen(text)) < 0)
		ftruncate(file, 0);
	close(file);
}

static int pages_check(int fd, const struct abi_snapshot *head)
{
	uint8_t *chunk = malloc(CHUNK);
	uLong crc = crc32(0, NULL, 0);
	int r = chunk != NULL ? 0 : -ENOMEM;

	for (uint64_t at = ABI_PAGE_SIZE; r == 0 && at < head->runs_off;) {
		uint64_t left = head->runs_off - at;
		ssize_t n = pread(fd, chunk, left < CHUNK ? left : CHUNK, (off_t)at);

		if (n <= 0)
			r = -EIO;
		else
			crc = crc32(crc, chunk, (uInt)n);
		at += (uint64_t)(n > 0 ? n : 0);
	}
	free(chunk);
	return r < 0 ? r : crc == head->pages_crc ? 0 : -EBADMSG;
}

/* ---- the folder ---- */

static int request_read(int dir_fd, const struct abi_snapshot *head, json_t **ret_request)
{
	int fd = openat(dir_fd, SNAPSHOT_REQUEST, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	char *text = NULL;
	int r = -EIO;

	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0 && st.st_size < CHUNK)
		text = malloc((size_t)st.st_size);
	if (text != NULL && read(fd, text, (size_t)st.st_size) == st.st_size &&
	    crc32(crc32(0, NULL, 0), (const Bytef *)text, (uInt)st.st_size) == head->request_crc) {
		*ret_request = json_loadb(text, (size_t)st.st_size, 0, NULL);
		r = *ret_request != NULL ? 0 : -EIO;
	}
	free(text);
	if (fd >= 0)
		close(fd);
	return r;
}

static int files_check(int dir_fd, int fd, const struct abi_snapshot *head, const char *dir,
		       json_t **ret_request, char *error, size_t size)
{
	if (request_read(dir_fd, head, ret_request) < 0)
		return wrong(error, size, "cannot clone: %s/" SNAPSHOT_REQUEST " is damaged", dir);
	if (is_checked(dir_fd, fd))
		return 0;
	if (pages_check(fd, head) < 0) {
		json_decref(*ret_request);
		return wrong(error, size, "cannot clone: %s/" SNAPSHOT_MEMORY " is damaged", dir);
	}
	snapshot_mark_checked(dir_fd, fd);
	return 0;
}

int snapshot_open(const char *dir, int *ret_fd, json_t **ret_request, char *error, size_t size)
{
	int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1, r;
	struct abi_snapshot head;

	if (dir_fd >= 0)
		fd = openat(dir_fd, SNAPSHOT_MEMORY, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		r = wrong(error, size, "cannot clone: cannot open the snapshot %s: %s", dir,
			  strerror(errno));
	} else {
		r = snapshot_head_check(fd, NULL, &head, error, size);
		if (r == 0)
			r = files_check(dir_fd, fd, &head, dir, ret_request, error, size);
	}
	if (dir_fd >= 0)
		close(dir_fd);
	if (r < 0 && fd >= 0)
		close(fd);
	if (r == 0)
		*ret_fd = fd;
	return r;
}
