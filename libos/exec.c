/*
 * exec.c - execve: a new program in the same process.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/file.h"
#include "libos/fs/fs.h"
#include "libos/fs/vfs.h"
#include "libos/instance.h"
#include "libos/itimer.h"
#include "libos/kthread.h"
#include "libos/process.h"
#include "libos/uaccess.h"
#include "libos/xstate.h"
#include "loader/loader.h"

#define EXEC_STRING_MAX (128UL << 10) /* MAX_ARG_STRLEN */
#define EXEC_STRING_ORDER 5U
#define EXEC_STRINGS_MAX (2UL << 20) /* bytes of all strings and their pointers */
#define EXEC_COUNT_MAX (1UL << 18)

/* An argument list copied from the program. */
struct strings {
	char **v; /* NULL-terminated; each string is an arena object of its own */
	size_t nr;
	size_t bytes;
};

static void strings_finish(struct strings *s)
{
	for (size_t i = 0; s->v != NULL && i < s->nr; i++)
		arena_free(s->v[i]);
	arena_free(s->v);
}

static long strings_count(uint64_t user_array)
{
	uint64_t ptr;
	size_t n = 0;

	if (user_array == 0)
		return 0;
	for (;; n++) {
		if (n > EXEC_COUNT_MAX)
			return -E2BIG;
		if (get_user_u64(&ptr, (const uint64_t *)user_array + n) != 0)
			return -EFAULT;
		if (ptr == 0)
			return (long)n;
	}
}

static int strings_add(struct strings *s, const char *text, size_t len)
{
	char *copy;

	s->bytes += len + 1 + sizeof(char *);
	if (s->bytes > EXEC_STRINGS_MAX)
		return -E2BIG;
	copy = arena_alloc(len + 1);
	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, text, len);
	copy[len] = '\0';
	s->v[s->nr++] = copy;
	return 0;
}

/* 0 or -EFAULT, -E2BIG, -ENOMEM. */
static int strings_import(struct strings *s, uint64_t user_array)
{
	long nr = strings_count(user_array);
	char *bounce;
	int err = 0;

	if (nr < 0)
		return (int)nr;
	s->v = arena_zalloc(((size_t)nr + 2) * sizeof(char *));
	bounce = page_alloc(EXEC_STRING_ORDER);
	if (s->v == NULL || bounce == NULL)
		err = -ENOMEM;
	for (long i = 0; i < nr && err == 0; i++) {
		uint64_t ptr;
		ssize_t len;

		err = get_user_u64(&ptr, (const uint64_t *)user_array + i);
		if (err != 0)
			break;
		len = strncpy_from_user(bounce, (const char *)ptr, EXEC_STRING_MAX);
		if (len < 0)
			err = len == -ENAMETOOLONG ? -E2BIG : (int)len;
		else
			err = strings_add(s, bounce, (size_t)len);
	}
	page_free(bounce, EXEC_STRING_ORDER);
	return err;
}

/* ---- past the point of no return ---- */

/* Every other task of the process ends; the caller becomes its leader. */
static int exec_alone(struct task *task)
{
	struct process *process = task->process;
	struct wait_entry entry;
	struct list *pos;

	list_for_each(pos, &process->tasks) {
		struct task *other = list_entry(pos, struct task, process_node);

		if (other == task || other->state == TASK_DEAD)
			continue;
		other->killed = true;
		if (other->state == TASK_SLEEPING)
			task_wake(other);
		else
			task_kick(other);
	}
	while (process->nr_tasks > 1 && !task->killed) {
		wait_entry_init(&entry, task, 0);
		wait_queue_add(&process->vfork_done, &entry);
		task_sleep_uninterruptible(WAIT_FOREVER);
		wait_queue_remove(&entry);
	}
	if (task->killed)
		return -EINTR;
	task_become_leader(task);
	return 0;
}

void exec_user_regs(struct pt_regs *regs, uint64_t entry, uint64_t sp)
{
	memset(regs, 0, sizeof(*regs));
	regs->rip = entry;
	regs->rsp = sp;
	regs->eflags = 0x202; /* interrupts on, as always */
	regs->orig_rax = UINT64_MAX;
	regs->full = 1;
}

void exec_set_comm(struct task *task, const char *path)
{
	const char *base = strrchr(path, '/');

	base = base == NULL ? path : base + 1;
	memset(task->comm, 0, sizeof(task->comm));
	memcpy(task->comm, base, strnlen(base, TASK_COMM_LEN - 1));
}

/* credentials(7): what a change of them by execve takes along. Takes over the groups' reference. */
static void exec_set_creds(struct task *task, const struct creds *creds)
{
	struct process *process = task->process;
	bool changed = creds->euid != task->creds.euid || creds->egid != task->creds.egid ||
		       (creds->permitted & ~task->creds.permitted) != 0;

	creds_commit(creds);
	process->undumpable = changed;
	if (changed)
		task->pdeath_signal = 0;
}

static void exec_reset(struct task *task, const char *path)
{
	struct process *process = task->process;

	fdtable_close_on_exec(process->files);
	itimers_exec(process);
	signal_process_exec(process);
	exec_set_comm(task, path);
	task->clear_child_tid = 0;
	fs_base_write(0);
	xstate_reset();
	process->execed = true;
	process_vfork_end(process);
}

static long exec_commit(struct exec_plan *plan, const char *path, const struct creds *creds)
{
	struct task *task = current();
	struct loader_result result;
	int err = exec_alone(task);

	if (err == 0 && task->process->host->nr_processes > 1)
		err = process_move_host();
	if (err != 0) {
		loader_discard(plan);
		return err;
	}
	exec_set_creds(task, creds);
	err = loader_commit(plan, task->process, &result);
	if (err != 0) {
		log_line("%s: cannot be loaded: error %d", path, -err);
		process_exit(SIGKILL);
	}
	exec_reset(task, path);
	exec_user_regs(task->regs, result.entry, result.sp);
	return 0;
}

/* path is how AT_EXECFN and scripts see it; `dirfd` paths show as /dev/fd/N/path, as on Linux. */
static int exec_plan_make(int dirfd, const char *path, int flags, struct strings *argv,
			  struct strings *envp, struct exec_plan **ret_plan,
			  struct creds *ret_creds)
{
	struct exec_request request = {.path = path};
	struct file *file;
	char shown[PATH_MAX];
	int err;

	err = vfs_open_exec(path, dirfd, flags, &file);
	if (err != 0)
		return err;
	if (dirfd != AT_FDCWD && path[0] != '/') {
		fmt_print(shown, sizeof(shown), path[0] == '\0' ? "/dev/fd/%d%s" : "/dev/fd/%d/%s",
			  dirfd, path);
		request.path = shown;
	}
	request.argv = argv->v;
	request.envp = envp->v;
	request.file = file;
	err = creds_for_exec(file, ret_creds, &request.secure);
	request.stack_max = current()->process->rlimits[RLIMIT_STACK].rlim_cur;
	if (err == 0)
		err = loader_prepare(&request, ret_plan);
	file_unref(file);
	return err;
}

long process_exec(int dirfd, const char *path, uint64_t user_argv, uint64_t user_envp, int flags)
{
	struct strings argv = {0}, envp = {0};
	struct exec_plan *plan = NULL;
	struct creds creds;
	int err;

	err = strings_import(&argv, user_argv);
	if (err == 0)
		err = strings_import(&envp, user_envp);
	if (err == 0 && argv.nr == 0) /* since Linux 5.18: a program always has a name */
		err = strings_add(&argv, "", 0);
	if (err == 0)
		err = exec_plan_make(dirfd, path, flags, &argv, &envp, &plan, &creds);
	if (err == 0)
		err = (int)exec_commit(plan, path, &creds);
	strings_finish(&argv);
	strings_finish(&envp);
	return err;
}
