/*
 * table.c - the table of system calls, made of syscalls.def.
 */
#include "libos/syscall.h"

#define SYSCALL(nr, sc_name, group, status, sc_flags, nargs, sc_args, note)                        \
	[nr] = {.name = #sc_name,                                                                  \
		.fn = sys_##sc_name,                                                               \
		.flags = (sc_flags),                                                               \
		.nr_args = (nargs),                                                                \
		.args = (sc_args)},

const struct syscall_desc syscall_table[SYSCALL_MAX] = {
#include "libos/syscalls.def"
};
