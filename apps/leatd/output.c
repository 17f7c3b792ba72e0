/*
 * output.c - what detached instances print: logs/ID in the state directory, at most two files of
 * OUTPUT_MAX bytes each.  The pipe is the one descriptor that leatd holds for an instance: the file
 * is opened for each piece, and made with the first.
 */
#include "apps/leatd/leatd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTPUT_DIR "logs"
#define OUTPUT_MAX (1U << 20)
#define OUTPUT_CHUNK 65536U
#define DRAIN_CHUNKS 64U

/* The logs of a leatd that ended. */
void outputs_clean(struct leatd *leatd)
{
	if (mkdirat(leatd->state.dir_fd, OUTPUT_DIR, 0700) == 0)
		return;
	int fd = openat(leatd->state.dir_fd, OUTPUT_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			unlinkat(fd, entry->d_name, 0);
	closedir(dir);
}

static void file_name(const struct output *output, bool old, char *name, size_t size)
{
	snprintf(name, size, OUTPUT_DIR "/%u%s", output->instance, old ? ".old" : "");
}

static int file_open(const struct output *output)
{
	char name[64];

	file_name(output, false, name, sizeof(name));
	int fd = openat(output->leatd->state.dir_fd, name,
			O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

static void rotate(struct output *output)
{
	char name[64], old[64];
	int dir = output->leatd->state.dir_fd;

	file_name(output, false, name, sizeof(name));
	file_name(output, true, old, sizeof(old));
	renameat(dir, name, dir, old);
	output->bytes = 0;
}

/* Returns false at the end of the pipe. */
static bool copy_chunk(struct output *output)
{
	char chunk[OUTPUT_CHUNK];
	ssize_t n = read(output->source.fd, chunk, sizeof(chunk));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	if (output->bytes + (uint64_t)n > OUTPUT_MAX)
		rotate(output);
	/* a full disk loses lines, not the instance */
	int fd = file_open(output);
	if (fd >= 0 && write(fd, chunk, (size_t)n) == n)
		output->bytes += (uint64_t)n;
	if (fd >= 0)
		close(fd);
	return true;
}

static void pipe_close(struct output *output)
{
	if (output->source.fd < 0)
		return;
	loop_remove(&output->leatd->loop, &output->source);
	close(output->source.fd);
	output->source.fd = -1;
}

static void output_ready(struct loop_source *source, uint32_t events)
{
	struct output *output = container_of(source, struct output, source);

	(void)events;
	if (!copy_chunk(output))
		pipe_close(output);
}

int output_start(struct output *output, struct leatd *leatd, uint32_t instance, int *ret_write_fd)
{
	int fds[2], r;

	*output =
		(struct output){.source = {-1, output_ready}, .leatd = leatd, .instance = instance};
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	/* our end alone: the instance's shall block */
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	output->source.fd = fds[0];
	r = loop_add(&leatd->loop, &output->source);
	if (r < 0) {
		close(fds[1]);
		return r;
	}
	*ret_write_fd = fds[1];
	return 0;
}

void output_drain(struct output *output)
{
	for (unsigned i = 0; i < DRAIN_CHUNKS && output->leatd && output->source.fd >= 0; i++)
		if (!copy_chunk(output))
			pipe_close(output);
}

void output_stop(struct output *output)
{
	if (!output->leatd)
		return;
	pipe_close(output);
}

void output_remove(struct output *output)
{
	char name[64];

	if (!output->leatd)
		return;
	output_stop(output);
	for (int old = 0; old < 2; old++) {
		file_name(output, old, name, sizeof(name));
		unlinkat(output->leatd->state.dir_fd, name, 0);
	}
}

void output_open(const struct output *output, int ret_fds[2])
{
	char name[64];

	for (int i = 0; i < 2; i++) {
		file_name(output, i == 0, name, sizeof(name));
		ret_fds[i] = openat(output->leatd->state.dir_fd, name,
				    O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	}
}
