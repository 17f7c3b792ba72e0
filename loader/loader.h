/*
 * loader.h - the loader's facade: starting a program, and rewriting its system-call sites.
 *
 * Guard: the instance lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct exec_plan;
struct file;
struct mm;
struct process;

/*
 * What execve(2) asks for.  argv and envp are the libOS's own copies, borrowed until the plan made
 * of them is committed or discarded; the rest is borrowed for the call.
 */
struct exec_request {
	const char *path;   /* as the caller named it: AT_EXECFN, a script's argument */
	char *const *argv;  /* NULL-terminated */
	char *const *envp;  /* NULL-terminated */
	struct file *file;  /* opened for execution; borrowed */
	bool secure;        /* AT_SECURE: set-uid or set-gid took effect */
	uint64_t stack_max; /* RLIMIT_STACK, bytes */
};

struct loader_result {
	uint64_t entry;
	uint64_t sp;
};

/*
 * exec in two halves.  loader_prepare() does all that can fail (-ENOEXEC, -ELIBBAD, -E2BIG,
 * -ENOENT, -ENOMEM, ...) and touches nothing of the old program.  loader_commit() is past the point
 * of no return: it unmaps everything of the program's from the current host process, gives
 * process->mm its new value (dropping the old reference), maps the new program and builds its
 * stack; when it fails (the host had no memory) the process has to be killed.  It takes over the
 * plan.
 */
int loader_prepare(const struct exec_request *request, struct exec_plan **ret_plan);
int loader_commit(struct exec_plan *plan, struct process *process,
		  struct loader_result *ret_result);
void loader_discard(struct exec_plan *plan); /* a plan that was not committed; NULL is harmless */

/* Both halves. */
int loader_exec(struct process *process, const struct exec_request *request,
		struct loader_result *ret_result);

/*
 * Once per instance, before the first program: makes Leat's vDSO at ABI_VDSO_BASE, which leads to
 * the host's.  0 or negative errno.
 */
int vdso_init(void);

/*
 * A trapped call was recognised at this `syscall` instruction of the current process: rewrites the
 * site so that its next execution jumps to a stub, or decides that it keeps trapping.  nr is the
 * call's number.  Called in entry context, with the instance lock.
 */
void patch_site(uint64_t insn_addr, uint64_t nr);

/*
 * Is pc inside a stub of the current process?  *ret_site_pc: where the program would be had the
 * site not been rewritten.  It may go on from there: a moved instruction's old place leads back to
 * its new one.
 */
bool patch_pc_in_stub(uint64_t pc, uint64_t *ret_site_pc);

/*
 * SIGTRAP by an int3, pc behind it: was it one of ours (a boundary of moved instructions, or a jump
 * being written)?  Then the program goes on at *ret_pc and no signal is delivered.
 */
bool patch_trap(uint64_t pc, uint64_t *ret_pc);

/* A site that still traps, or one that was rewritten: for leat inspect. */
struct patch_site_info {
	uint64_t addr;
	uint64_t traps;
	bool patched;
};

/* Copies out the sites of mm with the most traps, most first.  Returns how many. */
size_t patch_sites_report(struct mm *mm, struct patch_site_info *ret_info, size_t max);
