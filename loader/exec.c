/*
 * exec.c - from a file and its arguments to a running program, in two halves.
 *
 * The first follows scripts to their interpreter, reads the headers of the program and of its own
 * interpreter (PT_INTERP), and counts the arguments; it changes nothing.  The second unmaps the old
 * program and maps the new one.
 */
#include "loader/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "leat/abi/layout.h"
#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/file.h"
#include "libos/fs/vfs.h"
#include "libos/instance.h"
#include "libos/mm.h"
#include "libos/task.h"
#include "loader/plan.h"
#include "loader/script.h"

#define SCRIPT_DEPTH 5U              /* scripts that name scripts */
#define ARG_STRING_MAX (32UL * 4096) /* MAX_ARG_STRLEN */
#define ARG_TOTAL_MIN (32UL * 4096)
#define ARG_TOTAL_MAX (6UL << 20) /* three quarters of the default stack */

/* Reads n bytes at off, all of them. 0, -ENOEXEC for a file too short, or the file's errno. */
static int read_exact(struct file *file, void *buf, size_t n, uint64_t off)
{
	ssize_t r = file_pread_kernel(file, buf, n, off);

	if (r < 0)
		return (int)r;
	return (size_t)r == n ? 0 : -ENOEXEC;
}

/* Checks an ELF file; takes a reference to it. 0 or negative errno. */
static int plan_elf_init(struct plan_elf *elf, struct file *file)
{
	Elf64_Ehdr ehdr;
	Elf64_Phdr *phdrs;
	uint64_t off;
	size_t bytes;
	int r;

	r = read_exact(file, &ehdr, sizeof(ehdr), 0);
	if (r < 0)
		return r;
	r = elf_check_header(&ehdr, &off, &bytes);
	if (r < 0)
		return r;
	phdrs = arena_alloc(bytes);
	if (!phdrs)
		return -ENOMEM;
	r = read_exact(file, phdrs, bytes, off);
	if (r == 0)
		r = elf_parse(&ehdr, phdrs, ABI_USER_HIGH, &elf->image);
	arena_free(phdrs);
	if (r == 0)
		elf->file = file_ref(file);
	return r;
}

/* The program's own interpreter, if it names one. */
static int plan_interp(struct exec_plan *plan)
{
	const struct elf_image *image = &plan->main.image;
	struct file *file;
	char *path;
	int r;

	if (!image->interp_len)
		return 0;
	path = arena_alloc(image->interp_len);
	if (!path)
		return -ENOMEM;
	r = read_exact(plan->main.file, path, image->interp_len, image->interp_off);
	if (r == 0 && path[image->interp_len - 1])
		r = -ENOEXEC;
	if (r == 0)
		r = vfs_open_exec(path, AT_FDCWD, 0, &file);
	arena_free(path);
	if (r < 0)
		return r;
	r = plan_elf_init(&plan->interp, file);
	file_unref(file);
	return r == -ENOEXEC ? -ELIBBAD : r;
}

/* Puts a script's interpreter, its argument and the script's path in place of argv[0]. */
static void plan_script_args(struct exec_plan *plan, const struct script *script, const char *path)
{
	unsigned nr = script->arg ? 3 : 2;
	unsigned old = plan->argc ? 1 : 0;

	memmove(plan->argv + nr, plan->argv + old, (plan->argc - old + 1) * sizeof(*plan->argv));
	plan->argv[0] = script->interp;
	if (script->arg)
		plan->argv[1] = script->arg;
	plan->argv[nr - 1] = path;
	plan->argc += nr - old;
}

/* Follows `#!` lines from file to a program. 0 with plan->main set, or negative errno. */
static int plan_main(struct exec_plan *plan, struct file *file)
{
	const char *path = plan->path;
	struct script script;
	unsigned depth;
	ssize_t n;
	char *line;
	int r = 0;

	file_ref(file);
	for (depth = 0; r == 0; depth++) {
		line = plan->lines + depth * SCRIPT_HEAD;
		n = file_pread_kernel(file, line, SCRIPT_HEAD, 0);
		if (n < 0) {
			r = (int)n;
			break;
		}
		if (n < 2 || line[0] != '#' || line[1] != '!') {
			r = plan_elf_init(&plan->main, file);
			break;
		}
		r = depth == SCRIPT_DEPTH ? -ELOOP : script_parse(line, (size_t)n, &script);
		if (r < 0)
			break;
		plan_script_args(plan, &script, path);
		path = script.interp;
		file_unref(file);
		file = NULL;
		r = vfs_open_exec(path, AT_FDCWD, 0, &file);
	}
	if (file)
		file_unref(file);
	return r;
}

/* Counts and measures argv and envp. 0 or -E2BIG. */
static int plan_measure(struct exec_plan *plan)
{
	uint64_t limit = plan->request.stack_max / 4, bytes = 0;
	char *const *p;
	unsigned i;

	limit = MAX(ARG_TOTAL_MIN, MIN(limit, ARG_TOTAL_MAX));
	for (i = 0; i < plan->argc; i++) {
		size_t len = strlen(plan->argv[i]) + 1;

		if (len > ARG_STRING_MAX)
			return -E2BIG;
		bytes += len;
	}
	for (p = plan->request.envp; *p; p++) {
		size_t len = strlen(*p) + 1;

		if (len > ARG_STRING_MAX)
			return -E2BIG;
		bytes += len;
		plan->envc++;
	}
	plan->strings_bytes = bytes;
	bytes += (plan->argc + plan->envc) * sizeof(char *) + strlen(plan->path) + 1;
	return bytes > limit ? -E2BIG : 0;
}

/* Copies the request's argv, with room for what scripts add. */
static int plan_argv(struct exec_plan *plan)
{
	static const char *const none[] = {"", NULL};
	const char *const *argv = (const char *const *)plan->request.argv;

	/* A program may count on argv[0]: Linux gives it an empty one too. */
	if (!argv[0])
		argv = none;
	while (argv[plan->argc])
		plan->argc++;
	plan->argv = arena_zalloc((plan->argc + 1 + 3 * (SCRIPT_DEPTH + 1)) * sizeof(*plan->argv));
	if (!plan->argv)
		return -ENOMEM;
	memcpy(plan->argv, argv, plan->argc * sizeof(*argv));
	return 0;
}

void loader_discard(struct exec_plan *plan)
{
	if (!plan)
		return;
	if (plan->main.file)
		file_unref(plan->main.file);
	if (plan->interp.file)
		file_unref(plan->interp.file);
	mm_unref(plan->mm);
	arena_free(plan->argv);
	arena_free(plan->lines);
	arena_free(plan->path);
	arena_free(plan);
}

int loader_prepare(const struct exec_request *request, struct exec_plan **ret_plan)
{
	struct exec_plan *plan = arena_zalloc(sizeof(*plan));
	int r = -ENOMEM;

	if (!plan)
		return -ENOMEM;
	plan->request = *request;
	plan->path = arena_alloc(strlen(request->path) + 1);
	plan->lines = arena_zalloc((SCRIPT_DEPTH + 1) * SCRIPT_HEAD);
	plan->mm = mm_create();
	if (!plan->path || !plan->lines || !plan->mm)
		goto fail;
	memcpy(plan->path, request->path, strlen(request->path) + 1);
	r = plan_argv(plan);
	if (r == 0)
		r = plan_main(plan, request->file);
	if (r == 0)
		r = plan_interp(plan);
	if (r == 0)
		r = plan_measure(plan);
	if (r < 0)
		goto fail;
	*ret_plan = plan;
	return 0;
fail:
	loader_discard(plan);
	return r;
}

/* What /proc/PID/exe shows. */
static void set_exe_path(struct process *process, const struct file *file)
{
	char *path = arena_alloc(PATH_MAX), *copy;
	int n;

	if (!path)
		return;
	n = vfs_file_path(file, path, PATH_MAX);
	copy = n > 0 ? arena_zalloc((size_t)n + 1) : NULL;
	if (copy) {
		memcpy(copy, path, (size_t)n);
		arena_free(process->exe_path);
		process->exe_path = copy;
	}
	arena_free(path);
}

int loader_commit(struct exec_plan *plan, struct process *process, struct loader_result *ret_result)
{
	struct loader_result result;
	struct loaded loaded;
	int r;

	mm_unmap_all(plan->mm);
	mm_unref(process->mm);
	process->mm = mm_ref(plan->mm);
	set_exe_path(process, plan->main.file);
	process_set_args(process, plan->argv);
	r = load_stack_map(plan);
	if (r == 0)
		r = load_map(plan, &loaded);
	if (r == 0)
		r = load_stack(plan, &loaded, process, &result.sp);
	if (r == 0) {
		result.entry = loaded.start;
		*ret_result = result;
	}
	loader_discard(plan);
	return r;
}

int loader_exec(struct process *process, const struct exec_request *request,
		struct loader_result *ret_result)
{
	struct exec_plan *plan;
	int r = loader_prepare(request, &plan);

	return r < 0 ? r : loader_commit(plan, process, ret_result);
}
