/*
 * log.c - what functions print: functions/NAME.log in the state folder, at most two files of
 * LOG_MAX bytes. A line is "TIME INSTANCE TEXT".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "apps/gateway/gateway.h"

#define LOG_MAX (1U << 20)

struct function_log {
	char path[400], old[410];
	int fd;
	uint64_t bytes;
	struct list followers;
};

static void file_open(struct function_log *log)
{
	struct stat st;

	log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	log->bytes = log->fd >= 0 && fstat(log->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

struct function_log *log_open(const char *name)
{
	struct function_log *log = calloc(1, sizeof(*log));

	if (log == NULL)
		abort(); /* as h2o does where memory ends */
	list_init(&log->followers);
	snprintf(log->path, sizeof(log->path), "%s/functions", gw.state_dir);
	mkdir(log->path, 0700);
	snprintf(log->path, sizeof(log->path), "%s/functions/%s.log", gw.state_dir, name);
	snprintf(log->old, sizeof(log->old), "%s.old", log->path);
	file_open(log);
	return log;
}

void log_close(struct function_log *log)
{
	while (!list_empty(&log->followers)) {
		struct log_follower *f = list_entry(log->followers.next, struct log_follower, node);

		log_unfollow(f);
		f->line(f, NULL, 0);
	}
	if (log->fd >= 0)
		close(log->fd);
	free(log);
}

static void rotate(struct function_log *log)
{
	rename(log->path, log->old);
	if (log->fd >= 0)
		close(log->fd);
	file_open(log);
}

void log_line(struct function_log *log, const char *instance, const char *text, size_t size)
{
	char line[1400];
	struct list *pos, *tmp;
	struct timespec now;
	struct tm tm;
	int n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = (int)strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
	n += snprintf(line + n, sizeof(line) - (size_t)n, ".%06ldZ %s %.*s\n", now.tv_nsec / 1000,
		      instance, (int)size, text);
	if (n >= (int)sizeof(line))
		n = sizeof(line) - 1;
	if (log->bytes + (uint64_t)n > LOG_MAX)
		rotate(log);
	/* a full disk loses lines, not the function */
	if (log->fd >= 0 && write(log->fd, line, (size_t)n) == n)
		log->bytes += (uint64_t)n;
	list_for_each_safe(pos, tmp, &log->followers) {
		struct log_follower *f = list_entry(pos, struct log_follower, node);

		f->line(f, line, (size_t)n);
	}
}

void log_files(const struct function_log *log, int ret_fds[2])
{
	ret_fds[0] = open(log->old, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ret_fds[1] = open(log->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

void log_follow(struct function_log *log, struct log_follower *follower)
{
	list_add_tail(&log->followers, &follower->node);
}

void log_unfollow(struct log_follower *follower)
{
	list_del(&follower->node);
}

json_t *log_parse(const char *function, const char *line, size_t size)
{
	const char *end = line + size;
	const char *instance = memchr(line, ' ', size), *text;

	while (end > line && end[-1] == '\n')
		end--;
	if (instance == NULL)
		return NULL;
	text = memchr(instance + 1, ' ', (size_t)(end - instance - 1));
	if (text == NULL)
		return NULL;
	return json_pack("{s:s, s:s%, s:s%, s:s%, s:s}", "name", function, "instance", instance + 1,
			 (size_t)(text - instance - 1), "timestamp", line,
			 (size_t)(instance - line), "text", text + 1, (size_t)(end - text - 1),
			 "namespace", "");
}
