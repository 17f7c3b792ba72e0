/* sched_cmd.h - the sub-commands of leat sched that are files of their own. */
#pragma once

#include "sched/sched.h"

/* leat sched trace, leat sched simulate */
int sched_trace_command(int argc, char **argv);
int sched_simulate_command(int argc, char **argv);

/* An object, or a policy of the base library by its name; NULL: the user has been told. */
struct sched_policy *sched_policy_open(const char *text);
/* Where it is: 0, or what the user has been told. */
int sched_policy_find(const char *text, char *ret_path, size_t size);

/* A record as a line, without its end; returns as snprintf(). */
int sched_record_text(const struct sched_trace_record *record, char *buf, size_t size);

/* The records of a file; NULL: the user has been told. */
struct sched_trace_record *sched_trace_read(const char *path, size_t *ret_nr,
					    uint64_t *ret_dropped);
