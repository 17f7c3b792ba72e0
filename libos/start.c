/*
 * start.c - the start of an instance: from the launcher's jump to the program's first instruction.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#include <cpuid.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/arena_host.h"
#include "libos/clock.h"
#include "libos/entry.h"
#include "libos/file.h"
#include "libos/fs/vfs.h"
#include "libos/futex.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/kthread.h"
#include "libos/mm.h"
#include "libos/netglue.h"
#include "libos/process.h"
#include "libos/resume.h"
#include "libos/start.h"
#include "libos/xstate.h"
#include "loader/loader.h"

#define EXIT_NOT_FOUND 127
#define EXIT_NOT_EXECUTABLE 126
#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define SEARCH_PATH_MAX 1024
#define INSTANCE_MAGIC 0x6c6561746f73UL

_Noreturn void start(const struct abi_boot *boot);

static const char *boot_string(const struct abi_boot *boot, uint32_t off)
{
	return (const char *)boot + off;
}

/* A list of nr strings at off as a NULL-terminated array; NULL: out of arena. */
static char **boot_strings(const struct abi_boot *boot, uint32_t off, uint32_t nr)
{
	char **v = arena_zalloc((nr + 1UL) * sizeof(char *));
	char *s = (char *)(ABI_BOOT_BASE + off);

	for (uint32_t i = 0; v != NULL && i < nr; i++) {
		v[i] = s;
		s += strlen(s) + 1;
	}
	(void)boot;
	return v;
}

/* ---- the program ---- */

static _Noreturn void start_fail(const char *program, int err)
{
	int code = err == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;

	if (err == -ENOENT)
		log_line("%s: not found", program);
	else if (err == -EACCES || err == -EPERM)
		log_line("%s: permission denied", program);
	else if (err == -ENOEXEC)
		log_line("%s: not a program", program);
	else
		log_line("%s: cannot be run: error %d", program, -err);
	process_exit((uint32_t)code << 8);
}

static const char *find_env(char **envp, const char *name)
{
	size_t len = strlen(name);

	for (; *envp != NULL; envp++)
		if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
			return *envp + len + 1;
	return NULL;
}

/* A file that is there but may not be run; a directory that cannot be searched is as good as none.
 */
static bool file_is_there(const char *path)
{
	struct file *file;

	if (vfs_open(path, AT_FDCWD, O_PATH, 0, &file) != 0)
		return false;
	file_unref(file);
	return true;
}

/* As execvp(3): each directory of PATH in turn; a file without permission is remembered. */
static int search_path(const char *program, const char *path, char *found, struct file **ret_file)
{
	int err = -ENOENT, last;

	while (*path != '\0') {
		const char *end = strchrnul(path, ':');
		int len = (int)(end - path);

		fmt_print(found, SEARCH_PATH_MAX, "%.*s/%s", len, path, program);
		last = vfs_open_exec(found, AT_FDCWD, 0, ret_file);
		if (last == 0)
			return 0;
		if (last == -EACCES && file_is_there(found))
			err = last;
		path = *end == ':' ? end + 1 : end;
	}
	return err;
}

/* The program as the instance sees it, else the file that leat opened for us. */
static int find_program(const char *program, char **envp, char *found, struct file **ret_file)
{
	const struct abi_boot *boot = instance()->boot;
	const char *path = find_env(envp, "PATH");
	int err;

	fmt_print(found, SEARCH_PATH_MAX, "%s", program);
	if (strchr(program, '/') != NULL)
		err = vfs_open_exec(program, AT_FDCWD, 0, ret_file);
	else
		err = search_path(program, path != NULL ? path : PATH_DEFAULT, found, ret_file);
	if (err != 0 && boot->exec_fd >= 0 && strchr(program, '/') != NULL)
		err = vfs_open_host_fd(boot->exec_fd, program, ret_file);
	return err;
}

static void start_program(struct task *task)
{
	const struct abi_boot *boot = instance()->boot;
	const char *program = boot_string(boot, boot->program_off);
	struct abi_instance *abi = abi_instance_of(window());
	struct exec_request request = {.stack_max = boot->stack_max};
	struct loader_result result;
	char found[SEARCH_PATH_MAX];
	char **argv = boot_strings(boot, boot->argv_off, boot->argc);
	char **envp = boot_strings(boot, boot->envp_off, boot->envc);
	int err;

	if (argv == NULL || envp == NULL)
		start_fail(program, -ENOMEM);
	err = find_program(program, envp, found, &request.file);
	if (err != 0)
		start_fail(program, err);
	request.path = found;
	request.argv = argv;
	request.envp = envp;
	err = loader_exec(task->process, &request, &result);
	file_unref(request.file);
	if (err != 0)
		start_fail(program, err);
	arena_free(argv);
	arena_free(envp);
	exec_set_comm(task, found);
	exec_user_regs(task->regs, result.entry, result.sp);
	xstate_reset();
	abi->started_ns = clock_monotonic_ns();
	/* Pairs with leatd's acquire. */
	__atomic_store_n(&abi->state, ABI_STATE_RUNNING, __ATOMIC_RELEASE);
}

/* ---- the first task's first steps: everything that wants a current task ---- */

static void step(const char *what, int err)
{
	if (err != 0)
		panic("cannot start: %s: error %d", what, -err);
}

static void start_task(void *arg)
{
	struct task *task = current();
	struct process *process = task->process;

	(void)arg;
	process->files = fdtable_create();
	process->mm = mm_create();
	if (process->files == NULL || process->mm == NULL)
		panic("cannot start: out of memory");
	step("futexes", futex_init(instance()));
	step("files", vfs_init(instance()));
	process->fs = path_ctx_create();
	if (process->fs == NULL)
		panic("cannot start: no working directory");
	step("standard streams", vfs_stdio_open(process->files));
	step("vDSO", vdso_init());
	step("network", net_glue_init());
	start_program(task);
}

/* ---- before there is a task ---- */

/* What the launcher had mapped outside Leat's range. */
static void unmap_launcher(void)
{
	host_munmap((void *)ABI_PAGE_SIZE, ABI_LEAT_LOW - ABI_PAGE_SIZE);
	host_munmap((void *)ABI_LEAT_HIGH, ABI_USER_HIGH - ABI_LEAT_HIGH);
}

static void instance_init(const struct abi_boot *boot)
{
	struct instance *inst = instance();
	unsigned eax, ebx, ecx, edx;

	inst->magic = INSTANCE_MAGIC;
	inst->boot = boot;
	inst->store_fd = -1;
	inst->last_tid = 1;
	inst->ticker_deadline_ns = UINT64_MAX;
	list_init(&inst->processes);
	list_init(&inst->hosts);
	list_init(&inst->dead_kthreads);
	for (size_t i = 0; i < ARRAY_SIZE(inst->tid_hash); i++)
		list_init(&inst->tid_hash[i]);
	for (size_t i = 0; i < sizeof(inst->random_key); i++)
		inst->random_key[i] = boot->random[i] ^ boot->random[i + sizeof(inst->random_key)];
	fmt_print(inst->hostname, sizeof(inst->hostname), "%s",
		  boot_string(boot, boot->hostname_off));
	fmt_print(inst->domainname, sizeof(inst->domainname), "(none)");
	__cpuid(1, eax, ebx, ecx, edx);
	inst->cpu_features = edx; /* AT_HWCAP on x86 */
	inst->hwcap2 = boot->hwcap2;
	clock_init();
	xstate_init();
}

/* 0 or -ENOMEM. */
static int first_creds(struct creds *creds, const struct abi_boot *boot)
{
	creds->uid = creds->euid = creds->suid = creds->fsuid = boot->user_uid;
	creds->gid = creds->egid = creds->sgid = creds->fsgid = boot->user_gid;
	creds_init_caps(creds);
	creds->groups = groups_create(boot->group, MIN(boot->nr_groups, (uint32_t)ABI_MAX_GROUPS));
	return creds->groups == NULL ? -ENOMEM : 0;
}

static struct task *first_task(struct hostproc *host)
{
	struct process *process = process_create(NULL, host);
	struct task *task;

	if (process == NULL || signal_process_init(process, NULL, false) != 0 ||
	    first_creds(&process->creds, instance()->boot) != 0)
		return NULL;
	process->exit_signal = SIGCHLD;
	instance()->init = process;
	task = task_create(process, start_task, NULL);
	if (task != NULL)
		creds_copy(&task->creds, &process->creds);
	return task;
}

/* The boot stack serves arena_share later. */
_Noreturn void start_kthread(struct kthread *kt)
{
	char *top = (char *)kt->stack + (ABI_PAGE_SIZE << KTHREAD_STACK_ORDER);

	__asm__ volatile("movq %0, %%rsp\n\t"
			 "xorl %%ebp, %%ebp\n\t"
			 "call *%1\n\t"
			 "ud2"
			 :
			 : "r"(top), "r"(kthread_main), "D"(kt)
			 : "memory");
	__builtin_unreachable();
}

_Noreturn void start(const struct abi_boot *boot)
{
	struct hostproc *host;
	struct kthread *kt;
	struct task *task;

	if (boot->magic != ABI_MAGIC || boot->version != ABI_VERSION || boot->nr_vcpus == 0 ||
	    boot->nr_vcpus > ABI_MAX_VCPUS)
		host_exit_group(EXIT_NOT_EXECUTABLE);
	unmap_launcher();
	if (boot->clone)
		resume(boot);
	arena_create();
	instance_init(boot);
	host = hostproc_create();
	kt = host == NULL ? NULL : kthread_create(host);
	if (kt == NULL)
		panic("cannot start: out of memory");
	host->first = true;
	kthread_adopt(kt);
	instance()->first_host_pid = kt->host_pid;
	entry_init();
	task = first_task(host);
	if (task == NULL)
		panic("cannot start: out of memory");
	sched_enqueue(task);
	kthread_standby_first(kt);
	start_kthread(kt);
}
