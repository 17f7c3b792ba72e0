/*
 * sandbox.h - the host calls that an instance may make, as filters and as text.
 *
 * One table (sandbox.c) makes all of it: F0, installed once by the launcher and inherited by every
 * instance, which reports a forbidden call from the libOS's text; F1, installed by each instance,
 * which traps every call from elsewhere and takes away the groups that this instance does not need;
 * and what `leat inspect --sandbox` prints.
 */
#pragma once

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#define SANDBOX_BASE 1U      /* memory, threads, descriptors: every instance */
#define SANDBOX_DIRECTORY 2U /* directory mode: files of the root and of volumes, read */
#define SANDBOX_WRITE 4U     /* writable volumes */
#define SANDBOX_ALL (SANDBOX_BASE | SANDBOX_DIRECTORY | SANDBOX_WRITE)

struct sandbox_program {
	struct sock_filter *insns; /* free() */
	uint32_t nr;
};

/* Call from [text_low, text_high) that no group allows: user notification.  All else: allowed. */
int sandbox_build_notify(uint64_t text_low, uint64_t text_high, struct sandbox_program *ret_prog);

/* Call from outside the text: SIGSYS.  From inside, one of a group that is not given: death. */
int sandbox_build_trap(uint64_t text_low, uint64_t text_high, unsigned groups,
		       struct sandbox_program *ret_prog);

/* The set in force, one call a line: name, then the checks on its arguments.  free() the text. */
int sandbox_describe(unsigned groups, char **ret_text);

/* The name of a call number, NULL if unknown.  free() it. */
char *sandbox_call_name(int nr);
