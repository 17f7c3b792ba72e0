/*
 * plan.h - a program that was checked and is about to be loaded: private to loader/.
 */
#pragma once

#include "loader/elf.h"
#include "loader/loader.h"

/* A checked ELF file. */
struct plan_elf {
	struct file *file;
	struct elf_image image;
};

struct exec_plan {
	struct exec_request request; /* argv and envp are the caller's; file is not kept */
	char *path;                  /* a copy */
	struct plan_elf main;
	struct plan_elf interp; /* file NULL: none */
	struct mm *mm;          /* the new, still empty address space */
	const char **argv;      /* with what scripts put before it; NULL-terminated */
	unsigned argc;
	unsigned envc;
	uint64_t strings_bytes; /* argv and envp with their NULs */
	char *lines;            /* the first lines of scripts: argv points into them */
	unsigned nr_lines;
	uint64_t stack_top;
};

/* Where a program was loaded. */
struct loaded {
	uint64_t bias;
	uint64_t entry;       /* of the program itself */
	uint64_t start;       /* where to begin: the interpreter's entry, if there is one */
	uint64_t interp_base; /* AT_BASE */
};

/* Maps main program and interpreter into the plan's mm. 0 or negative errno. */
int load_map(struct exec_plan *plan, struct loaded *ret_loaded);

/* Maps the stack: first of all, since the other mappings are chosen below it. 0 or negative errno.
 */
int load_stack_map(struct exec_plan *plan);

/* Fills the stack, and the process's argument addresses and auxv. 0 or negative errno. */
int load_stack(struct exec_plan *plan, const struct loaded *loaded, struct process *process,
	       uint64_t *ret_sp);
