/*
 * cmd_snapshot.c - leat snapshot: has an instance stand still, writes its memory, lets it go on.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "apps/leat/leat.h"
#include "apps/leat/snapshot.h"

static const char help[] =
	"usage: leat snapshot [-s] NAME -o DIR\n"
	"Writes the state of a running instance into DIR, from which leat clone starts\n"
	"others. The instance stands still meanwhile. It may have threads, open files, pipes,\n"
	"timers and listening sockets; in clones, established connections are reset.\n"
	"\n"
	"  -o, --output DIR  made if it is not there; a snapshot in it is replaced\n"
	"  -s, --stop        ends the instance afterwards\n";

static int folder_open(const char *dir)
{
	int fd;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -leat_error("cannot make %s: %s", dir, strerror(errno));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : -leat_error("cannot open %s: %s", dir, strerror(errno));
}

/* How clones are to be run; its sum goes into the header. */
static int request_write(int dir_fd, const json_t *request, struct abi_snapshot *head)
{
	char *text = json_dumps(request, JSON_INDENT(1));
	size_t size = text != NULL ? strlen(text) : 0;
	int fd = openat(dir_fd, SNAPSHOT_REQUEST,
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = 0;

	if (text == NULL || fd < 0 || write(fd, text, size) != (ssize_t)size)
		r = errno != 0 ? -errno : -ENOSPC;
	head->request_crc = (uint32_t)crc32(0, (const Bytef *)text, (uInt)size);
	if (fd >= 0)
		close(fd);
	free(text);
	return r;
}

static int head_take(const json_t *answer, struct abi_snapshot *head)
{
	const char *image = json_string_value(json_object_get(answer, "image"));
	unsigned byte;

	head->nr_vcpus = (uint32_t)json_integer_value(json_object_get(answer, "vcpus"));
	for (unsigned i = 0; i < sizeof(head->image_id); i++) {
		if (image == NULL || sscanf(image + (size_t)2 * i, "%2x", &byte) != 1)
			return -EPROTO;
		head->image_id[i] = (uint8_t)byte;
	}
	return 0;
}

static int snapshot_take(int fd, const char *name, int dir_fd, const char *dir)
{
	json_t *request = json_pack("{s:s, s:s}", "op", "freeze", "name", name);
	json_t *answer = daemon_call(fd, request, NULL, 0, NULL, NULL);
	struct abi_snapshot head = {0};
	struct snapshot_stats stats;
	int r;

	json_decref(request);
	if (answer == NULL)
		return EXIT_LEAT;
	r = head_take(answer, &head);
	if (r == 0)
		r = request_write(dir_fd, json_object_get(answer, "request"), &head);
	if (r == 0)
		r = snapshot_write(dir_fd, (int)json_integer_value(json_object_get(answer, "pid")),
				   &head, &stats);
	json_decref(answer);
	if (r < 0)
		return leat_error("cannot write the snapshot to %s: %s", dir, strerror(-r));
	printf("%s: %.1f MiB in %u pieces\n", dir, (double)stats.bytes / (1 << 20), stats.runs);
	return 0;
}

static int instance_end(int fd, const char *name)
{
	json_t *request = json_pack("{s:s, s:s, s:i}", "op", "signal", "name", name, "signal", 9);
	json_t *answer = daemon_call(fd, request, NULL, 0, NULL, NULL);
	int code = answer != NULL ? 0 : EXIT_LEAT;

	json_decref(request);
	json_decref(answer);
	return code;
}

static int snapshot_run(const char *name, const char *dir, bool stop)
{
	int fd = daemon_connect(false), dir_fd, code;

	if (fd < 0)
		return EXIT_LEAT;
	dir_fd = folder_open(dir);
	if (dir_fd < 0) {
		close(fd);
		return -dir_fd;
	}
	code = snapshot_take(fd, name, dir_fd, dir);
	if (code == 0 && stop)
		code = instance_end(fd, name);
	close(dir_fd);
	close(fd); /* and the instance goes on */
	return code;
}

int cmd_snapshot(int argc, char **argv)
{
	static const struct option options[] = {
		{"output", required_argument, NULL, 'o'},
		{"stop", no_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const char *dir = NULL;
	bool stop = false;
	int c;

	while ((c = getopt_long(argc, argv, "o:s", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return 0;
		}
		if (c == '?')
			return leat_error("see leat snapshot --help");
		if (c == 'o')
			dir = optarg;
		else
			stop = true;
	}
	if (dir == NULL || optind + 1 != argc)
		return leat_error("give the name of an instance and -o DIR; see leat snapshot "
				  "--help");
	return snapshot_run(argv[optind], dir, stop);
}
