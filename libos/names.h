/*
 * names.h - names of calls, errors, signals and flags, for traces and reports.
 */
#pragma once

#include <stdint.h>

struct name_value {
	const char *name; /* NULL ends a table */
	uint64_t value;
};

extern const struct name_value names_open_flags[];
extern const struct name_value names_prot[];
extern const struct name_value names_mmap_flags[];

const char *name_of_syscall(uint64_t nr); /* "syscall_?" for numbers that Linux does not have */
const char *name_of_errno(int err);
const char *name_of_signal(int sig);
