/*
 * log.c - log lines: time, level, text; written in one piece.
 */
#include "apps/leatd/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = {"error", "warn", "info", "debug"};
static enum log_level limit = LOG_INFO;

void log_init(enum log_level level)
{
	limit = level;
}

void log_line(enum log_level level, const char *format, ...)
{
	char line[1024];
	struct timespec now;
	struct tm tm;
	va_list ap;

	if (level > limit)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	size_t len = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
	len += (size_t)snprintf(line + len, sizeof(line) - len, ".%03ldZ %s ",
				now.tv_nsec / 1000000, names[level]);
	va_start(ap, format);
	vsnprintf(line + len, sizeof(line) - len - 1, format, ap);
	va_end(ap);
	len = strlen(line);
	line[len++] = '\n';
	/* nobody to tell if that fails */
	if (write(STDERR_FILENO, line, len) < 0)
		return;
}

int log_level_parse(const char *name, enum log_level *ret_level)
{
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0) {
			*ret_level = i;
			return 0;
		}
	return -EINVAL;
}
