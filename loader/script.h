/*
 * script.h - the first line of an interpreted program: `#! interpreter [argument]`.
 */
#pragma once

#include <stddef.h>

#define SCRIPT_HEAD 256U /* how much of a file is looked at, as BINPRM_BUF_SIZE */

struct script {
	char *interp;
	char *arg; /* NULL: none */
};

/*
 * Cuts the line up in place: buf has SCRIPT_HEAD bytes, of which the first n come from the file and
 * the rest are 0.  0, or -ENOEXEC when it is not a script or names no interpreter.
 */
int script_parse(char buf[SCRIPT_HEAD], size_t n, struct script *ret_script);
