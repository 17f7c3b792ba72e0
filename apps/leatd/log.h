/*
 * log.h - leatd's own log: one line an event, on stderr or in the state directory.
 */
#pragma once

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_init(enum log_level level);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* -EINVAL: no such level. */
int log_level_parse(const char *name, enum log_level *ret_level);
