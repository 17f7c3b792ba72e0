/*
 * proc_pid.c - /proc/PID: what programs read about processes and threads.  See proc(5).
 *
 * A process's own memory (arguments, environment) can be read only in its own address space: for
 * other processes cmdline shows the arguments of its exec, and environ is empty.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/cputime.h"
#include "libos/fs/proc.h"
#include "libos/instance.h"
#include "libos/meminfo.h"
#include "libos/mm.h"
#include "libos/signal.h"

#define USER_HZ_NS 10000000UL /* a clock tick of 1/100 s */
#define ARGS_MAX (128U << 10)

/* ---- states ---- */

static char state_letter(const struct process *process, const struct task *task)
{
	if (process->zombie || task == NULL || task->state == TASK_DEAD)
		return 'Z';
	if (process->stopped)
		return 'T';
	if (task->state == TASK_SLEEPING)
		return task->interruptible ? 'S' : 'D';
	return 'R';
}

static const char *state_name(char letter)
{
	switch (letter) {
	case 'Z':
		return "Z (zombie)";
	case 'T':
		return "T (stopped)";
	case 'S':
		return "S (sleeping)";
	case 'D':
		return "D (disk sleep)";
	default:
		return "R (running)";
	}
}

static int parent_pid(const struct process *process)
{
	return process->parent != NULL ? process->parent->pid : 1; /* Leat's reaper */
}

static void signal_sets(const struct process *process, uint64_t *ret_ignored, uint64_t *ret_caught)
{
	*ret_ignored = 0;
	*ret_caught = 0;
	for (int sig = 1; process->sighand != NULL && sig <= NR_SIGNALS; sig++) {
		uint64_t handler = process->sighand->action[sig - 1].handler;

		if (handler == (uint64_t)(uintptr_t)SIG_IGN)
			*ret_ignored |= SIG_BIT(sig);
		else if (handler != (uint64_t)(uintptr_t)SIG_DFL)
			*ret_caught |= SIG_BIT(sig);
	}
}

/* ---- memory of the program ---- */

/* Appends [start, end) of the current address space; stops where it is gone. */
static void add_user_range(struct strbuf *buf, uint64_t start, uint64_t end)
{
	char chunk[256];

	end = MIN(end, start + ARGS_MAX);
	while (start < end) {
		size_t want = MIN(end - start, sizeof(chunk));
		size_t got = want - copy_from_user_partial(chunk, (const void *)start, want);

		strbuf_add_bytes(buf, chunk, got);
		if (got < want)
			return;
		start += got;
	}
}

static bool is_readable_now(const struct process *process)
{
	return process->mm != NULL && process->mm == current()->process->mm;
}

static int show_cmdline(const struct proc_object *object, struct strbuf *buf)
{
	const struct process *process = proc_process(object);

	if (process == NULL)
		return -ESRCH;
	if (is_readable_now(process))
		add_user_range(buf, process->arg_start, process->arg_end);
	else if (!process->zombie && process->args != NULL)
		strbuf_add_bytes(buf, process->args->text, process->args->len);
	return 0;
}

static int show_environ(const struct proc_object *object, struct strbuf *buf)
{
	const struct process *process = proc_process(object);

	if (process == NULL)
		return -ESRCH;
	if (is_readable_now(process))
		add_user_range(buf, process->env_start, process->env_end);
	return 0;
}

static int show_auxv(const struct proc_object *object, struct strbuf *buf)
{
	const struct process *process = proc_process(object);
	size_t n = 0;

	if (process == NULL)
		return -ESRCH;
	while (n + 2 <= ARRAY_SIZE(process->auxv) && process->auxv[n] != 0)
		n += 2;
	strbuf_add_bytes(buf, process->auxv, (n + 2) * sizeof(uint64_t));
	return 0;
}

static int show_comm(const struct proc_object *object, struct strbuf *buf)
{
	const struct task *task = proc_task(object);

	if (task == NULL)
		return -ESRCH;
	strbuf_add(buf, "%s\n", task->comm);
	return 0;
}

static int store_comm(const struct proc_object *object, const char *text, size_t n)
{
	struct task *task = proc_task(object);

	if (task == NULL || task->process != current()->process)
		return task == NULL ? -ESRCH : -EINVAL;
	n = MIN(strcspn(text, "\n"), (size_t)TASK_COMM_LEN - 1);
	memset(task->comm, 0, sizeof(task->comm));
	memcpy(task->comm, text, n);
	return 0;
}

/* ---- status, stat, statm ---- */

static void add_ids(struct strbuf *buf, const struct creds *c)
{
	strbuf_add(buf, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\n", c->uid, c->euid, c->suid,
		   c->fsuid, c->gid, c->egid, c->sgid, c->fsgid);
	strbuf_add(buf, "FDSize:\t64\nGroups:\t");
	for (unsigned i = 0; c->groups != NULL && i < c->groups->nr; i++)
		strbuf_add(buf, "%u ", c->groups->gid[i]);
	strbuf_add(buf, "\n");
}

static void add_status_memory(struct strbuf *buf, const struct process *process)
{
	uint64_t rss = meminfo_process_rss(process) / 1024;
	struct mm_stats stats;

	if (process->mm == NULL)
		return;
	mm_stats_get(process->mm, &stats);
	strbuf_add(buf, "VmPeak:\t%8lu kB\nVmSize:\t%8lu kB\nVmLck:\t%8lu kB\n",
		   (unsigned long)(stats.virt_bytes / 1024),
		   (unsigned long)(stats.virt_bytes / 1024),
		   (unsigned long)(stats.locked_bytes / 1024));
	strbuf_add(buf, "VmHWM:\t%8lu kB\nVmRSS:\t%8lu kB\n", (unsigned long)rss,
		   (unsigned long)rss);
	strbuf_add(buf, "VmData:\t%8lu kB\nVmStk:\t%8lu kB\nVmExe:\t%8lu kB\nVmSwap:\t%8lu kB\n",
		   (unsigned long)(stats.data_bytes / 1024),
		   (unsigned long)(stats.stack_bytes / 1024),
		   (unsigned long)(stats.exec_bytes / 1024), 0UL);
}

static int show_status(const struct proc_object *object, struct strbuf *buf)
{
	const struct process *process = proc_process(object);
	const struct task *task = proc_task(object);
	const struct creds *creds;
	uint64_t ignored, caught;

	if (process == NULL)
		return -ESRCH;
	creds = task != NULL ? &task->creds : &process->creds;
	strbuf_add(buf, "Name:\t%s\n", task != NULL ? task->comm : "");
	if (process->fs != NULL)
		strbuf_add(buf, "Umask:\t%04o\n", process->fs->umask);
	strbuf_add(buf, "State:\t%s\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n",
		   state_name(state_letter(process, task)), process->pid,
		   task != NULL ? task_number(task) : process->pid, parent_pid(process));
	add_ids(buf, creds);
	strbuf_add(buf, "NStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", process->pid,
		   task != NULL ? task_number(task) : process->pid, process->pgid, process->sid);
	add_status_memory(buf, process);
	signal_sets(process, &ignored, &caught);
	strbuf_add(buf, "Threads:\t%u\nSigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\n",
		   process->nr_tasks, (unsigned long)(task != NULL ? task->pending.set : 0),
		   (unsigned long)process->pending.set,
		   (unsigned long)(task != NULL ? task->blocked : 0));
	strbuf_add(buf, "SigIgn:\t%016lx\nSigCgt:\t%016lx\n", (unsigned long)ignored,
		   (unsigned long)caught);
	strbuf_add(buf,
		   "CapInh:\t%016lx\nCapPrm:\t%016lx\nCapEff:\t%016lx\n"
		   "CapBnd:\t%016lx\nCapAmb:\t%016lx\n",
		   (unsigned long)creds->inheritable, (unsigned long)creds->permitted,
		   (unsigned long)creds->effective, (unsigned long)creds->bounding,
		   (unsigned long)creds->ambient);
	strbuf_add(buf,
		   "NoNewPrivs:\t%d\nSeccomp:\t0\nCpus_allowed:\t%x\nCpus_allowed_list:\t0-%u\n",
		   creds->no_new_privs, (1U << instance()->boot->nr_vcpus) - 1,
		   instance()->boot->nr_vcpus - 1);
	return 0;
}

static uint64_t since_boot_ticks(uint64_t ns)
{
	return ns / USER_HZ_NS;
}

static int show_stat(const struct proc_object *object, struct strbuf *buf)
{
	const struct process *process = proc_process(object);
	const struct task *task = proc_task(object);
	struct mm_stats stats = {0};
	uint64_t ignored, caught, cpu_ns;
	unsigned tty_dev;
	int tty_pgid;

	if (process == NULL)
		return -ESRCH;
	if (process->mm != NULL)
		mm_stats_get(process->mm, &stats);
	signal_sets(process, &ignored, &caught);
	tty_job_describe(process, &tty_dev, &tty_pgid);
	cpu_ns = object->tid != 0 && task != NULL ? cputime_of_task(task) :
						    cputime_of_process(process);
	strbuf_add(buf, "%d (%s) %c %d %d %d %u %d 0 0 0 0 0 %lu 0 %lu 0 %d %d %u 0 %lu %lu %lu",
		   object->tid != 0 ? object->tid : process->pid, task != NULL ? task->comm : "",
		   state_letter(process, task), parent_pid(process), process->pgid, process->sid,
		   tty_dev, tty_pgid, (unsigned long)since_boot_ticks(cpu_ns),
		   (unsigned long)since_boot_ticks(process->child_run_ns), 20 + process->nice,
		   process->nice, process->nr_tasks,
		   (unsigned long)since_boot_ticks(process->started_ns),
		   (unsigned long)stats.virt_bytes,
		   (unsigned long)(meminfo_process_rss(process) / ABI_PAGE_SIZE));
	strbuf_add(buf,
		   " 18446744073709551615 0 0 0 0 0 %lu %lu %lu %lu 0 0 0 %d 0 0 0 0 0 0 0 0 "
		   "%lu %lu %lu %lu %u\n",
		   (unsigned long)process->pending.set,
		   (unsigned long)(task != NULL ? task->blocked : 0), (unsigned long)ignored,
		   (unsigned long)caught, process->exit_signal, (unsigned long)process->arg_start,
		   (unsigned long)process->arg_end, (unsigned long)process->env_start,
		   (unsigned long)process->env_end, process->exit_status);
	return 0;
}

static int show_statm(const struct proc_object *object, struct strbuf *buf)
{
	const struct process *process = proc_process(object);
	struct mm_stats stats = {0};

	if (process == NULL)
		return -ESRCH;
	if (process->mm != NULL)
		mm_stats_get(process->mm, &stats);
	strbuf_add(buf, "%lu %lu 0 %lu 0 %lu 0\n",
		   (unsigned long)(stats.virt_bytes / ABI_PAGE_SIZE),
		   (unsigned long)(meminfo_process_rss(process) / ABI_PAGE_SIZE),
		   (unsigned long)(stats.exec_bytes / ABI_PAGE_SIZE),
		   (unsigned long)((stats.data_bytes + stats.stack_bytes) / ABI_PAGE_SIZE));
	return 0;
}

static void add_limit(struct strbuf *buf, const char *name, const struct rlimit *limit,
		      const char *unit)
{
	char soft[24] = "unlimited", hard[24] = "unlimited";

	if (limit->rlim_cur != RLIM_INFINITY)
		fmt_print(soft, sizeof(soft), "%lu", (unsigned long)limit->rlim_cur);
	if (limit->rlim_max != RLIM_INFINITY)
		fmt_print(hard, sizeof(hard), "%lu", (unsigned long)limit->rlim_max);
	strbuf_add(buf, "%-25s %-20s %-20s %-10s\n", name, soft, hard, unit);
}

static int show_limits(const struct proc_object *object, struct strbuf *buf)
{
	static const struct {
		char name[28];
		char unit[12];
	} names[] = {
		[RLIMIT_CPU] = {"Max cpu time", "seconds"},
		[RLIMIT_FSIZE] = {"Max file size", "bytes"},
		[RLIMIT_DATA] = {"Max data size", "bytes"},
		[RLIMIT_STACK] = {"Max stack size", "bytes"},
		[RLIMIT_CORE] = {"Max core file size", "bytes"},
		[RLIMIT_RSS] = {"Max resident set", "bytes"},
		[RLIMIT_NPROC] = {"Max processes", "processes"},
		[RLIMIT_NOFILE] = {"Max open files", "files"},
		[RLIMIT_MEMLOCK] = {"Max locked memory", "bytes"},
		[RLIMIT_AS] = {"Max address space", "bytes"},
		[RLIMIT_LOCKS] = {"Max file locks", "locks"},
		[RLIMIT_SIGPENDING] = {"Max pending signals", "signals"},
		[RLIMIT_MSGQUEUE] = {"Max msgqueue size", "bytes"},
		[RLIMIT_NICE] = {"Max nice priority", ""},
		[RLIMIT_RTPRIO] = {"Max realtime priority", ""},
		[RLIMIT_RTTIME] = {"Max realtime timeout", "us"},
	};
	const struct process *process = proc_process(object);

	if (process == NULL)
		return -ESRCH;
	strbuf_add(buf, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		add_limit(buf, names[i].name, &process->rlimits[i], names[i].unit);
	return 0;
}

/* ---- mounts ---- */

/* The place of a mount's root in its file system, from the end of buf. */
static const char *root_print(const struct dentry *dentry, char *buf, size_t size)
{
	char *pos = buf + size - 1;

	*pos = '\0';
	for (; dentry->parent != dentry; dentry = dentry->parent) {
		if ((size_t)(pos - buf) < dentry->name_len + 1)
			return "/";
		pos -= dentry->name_len;
		memcpy(pos, dentry->name, dentry->name_len);
		*--pos = '/';
	}
	return *pos == '\0' ? "/" : pos;
}

static void add_mount(struct strbuf *buf, const struct mount *mnt, const struct path *root,
		      bool info)
{
	struct path at = {(struct mount *)(uintptr_t)mnt, mnt->root};
	const char *mode = mnt->readonly || mnt->sb->readonly ? "ro" : "rw";
	char path[512], from[512], opts[64];
	const char *name = path_print(at, *root, path, sizeof(path));

	if (name == NULL || name[0] != '/')
		return;
	fmt_print(opts, sizeof(opts), "%s%s%s%s,relatime", mode, mnt->nosuid ? ",nosuid" : "",
		  mnt->nodev ? ",nodev" : "", mnt->noexec ? ",noexec" : "");
	if (info)
		strbuf_add(buf, "%d %d %u:%u %s %s %s - %s %s %s\n", mnt->id,
			   mnt->parent != NULL ? mnt->parent->id : 0,
			   (unsigned)(mnt->sb->dev >> 8) & 0xfff, (unsigned)mnt->sb->dev & 0xff,
			   root_print(mnt->root, from, sizeof(from)), name, opts, mnt->sb->fstype,
			   mnt->sb->source, mnt->sb->readonly ? "ro" : "rw");
	else
		strbuf_add(buf, "%s %s %s %s 0 0\n", mnt->sb->source, name, mnt->sb->fstype, opts);
}

static int show_mount_table(const struct proc_object *object, struct strbuf *buf, bool info)
{
	const struct process *process = proc_process(object);
	struct list *pos;

	if (process == NULL || process->fs == NULL)
		return -EINVAL;
	list_for_each(pos, &vfs_get()->mounts)
		add_mount(buf, list_entry(pos, struct mount, node), &process->fs->root, info);
	return 0;
}

static int show_mounts(const struct proc_object *object, struct strbuf *buf)
{
	return show_mount_table(object, buf, false);
}

static int show_mountinfo(const struct proc_object *object, struct strbuf *buf)
{
	return show_mount_table(object, buf, true);
}

static int show_cgroup(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf, "0::/\n");
	return 0;
}

/* Nobody is picked by it: an instance that has no memory left ends. It is kept and shown. */
static int show_oom_score_adj(const struct proc_object *object, struct strbuf *buf)
{
	const struct process *process = proc_process(object);

	if (process == NULL)
		return -ESRCH;
	strbuf_add(buf, "%d\n", process->oom_score_adj);
	return 0;
}

/* A number of [-1000, 1000]; below what it is only root may go (proc(5)). */
static int store_oom_score_adj(const struct proc_object *object, const char *text, size_t n)
{
	struct process *process = proc_process(object);
	bool negative = n > 0 && text[0] == '-';
	size_t i = negative;
	int value = 0;

	if (process == NULL)
		return -ESRCH;
	for (; i < n && text[i] >= '0' && text[i] <= '9' && value <= 1000; i++)
		value = value * 10 + (text[i] - '0');
	if (i == (size_t)negative || (i < n && text[i] != '\n') || value > 1000)
		return -EINVAL;
	value = negative ? -value : value;
	if (value < process->oom_score_adj && !capable(CAP_SYS_RESOURCE))
		return -EACCES;
	process->oom_score_adj = value;
	return 0;
}

static int show_oom_score(const struct proc_object *object, struct strbuf *buf)
{
	const struct process *process = proc_process(object);

	if (process == NULL)
		return -ESRCH;
	/* as Linux has it for a process that uses hardly any of the memory: 2/3 of 1000 + adj */
	strbuf_add(buf, "%d\n", MAX(0, (1000 + process->oom_score_adj) * 2 / 3));
	return 0;
}

/* Bytes and calls of read and write; no block device was ever asked. */
static int show_io(const struct proc_object *object, struct strbuf *buf)
{
	const struct process *process = proc_process(object);

	if (process == NULL)
		return -ESRCH;
	strbuf_add(buf,
		   "rchar: %lu\nwchar: %lu\nsyscr: %lu\nsyscw: %lu\nread_bytes: 0\n"
		   "write_bytes: 0\ncancelled_write_bytes: 0\n",
		   (unsigned long)process->io.read_bytes, (unsigned long)process->io.write_bytes,
		   (unsigned long)process->io.reads, (unsigned long)process->io.writes);
	return 0;
}

/* Pids of the children that this thread made: all hang at the leader here. */
static int show_children(const struct proc_object *object, struct strbuf *buf)
{
	const struct process *process = proc_process(object);
	struct list *pos;

	if (process == NULL)
		return -ESRCH;
	if (object->tid != process->pid)
		return 0;
	list_for_each(pos, &process->children)
		strbuf_add(buf, "%d ", list_entry(pos, struct process, sibling)->pid);
	return 0;
}

static int show_personality(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf, "00000000\n");
	return 0;
}

/* Nobody logged in here: no audit session. */
static int show_no_audit_id(const struct proc_object *object, struct strbuf *buf)
{
	(void)object;
	strbuf_add(buf, "4294967295");
	return 0;
}

/* ---- links ---- */

static int print_path(struct path path, char *buf)
{
	const char *name = path_print(path, current()->process->fs->root, buf, FS_PATH_MAX);
	size_t len;

	if (name == NULL)
		return -ENAMETOOLONG;
	len = strlen(name);
	memmove(buf, name, len);
	return (int)len;
}

static const struct path *place_of(const struct proc_object *object, bool root)
{
	const struct process *process = proc_process(object);

	if (process == NULL || process->fs == NULL)
		return NULL;
	return root ? &process->fs->root : &process->fs->cwd;
}

static int link_cwd(const struct proc_object *object, char *buf)
{
	const struct path *path = place_of(object, false);

	return path != NULL ? print_path(*path, buf) : -ENOENT;
}

static int link_root(const struct proc_object *object, char *buf)
{
	const struct path *path = place_of(object, true);

	return path != NULL ? print_path(*path, buf) : -ENOENT;
}

static int follow_place(const struct path *path, struct path *ret_path)
{
	if (path == NULL)
		return -ENOENT;
	*ret_path = path_ref(*path);
	return 0;
}

static int follow_cwd(const struct proc_object *object, struct path *ret_path)
{
	return follow_place(place_of(object, false), ret_path);
}

static int follow_root(const struct proc_object *object, struct path *ret_path)
{
	return follow_place(place_of(object, true), ret_path);
}

static int link_exe(const struct proc_object *object, char *buf)
{
	const struct process *process = proc_process(object);
	size_t len;

	if (process == NULL || process->exe_path == NULL)
		return -ENOENT;
	len = MIN(strlen(process->exe_path), (size_t)FS_PATH_MAX - 1);
	memcpy(buf, process->exe_path, len);
	return (int)len;
}

/* ---- fd and fdinfo ---- */

static struct file *object_file(const struct proc_object *object)
{
	const struct process *process = proc_process(object);

	return process != NULL && process->files != NULL ? fd_get_from(process->files, object->fd) :
							   NULL;
}

static int link_fd(const struct proc_object *object, char *buf)
{
	const struct file *file = object_file(object);

	return file != NULL ? vfs_file_path(file, buf, FS_PATH_MAX) : -ENOENT;
}

/* Leads to the file itself, even if its name has gone; objects without a place are opened by name.
 */
static int follow_fd(const struct proc_object *object, struct path *ret_path)
{
	const struct file *file = object_file(object);

	if (file == NULL)
		return -ENOENT;
	if (file->path.dentry == NULL || file->path.dentry->inode == NULL)
		return -ENOLINK;
	*ret_path = path_ref(file->path);
	return 0;
}

static int show_fdinfo(const struct proc_object *object, struct strbuf *buf)
{
	const struct file *file = object_file(object);

	if (file == NULL)
		return -ENOENT;
	strbuf_add(buf, "pos:\t%lu\nflags:\t0%o\nmnt_id:\t%d\n", (unsigned long)file->pos,
		   file->flags |
			   (fd_cloexec_from(proc_process(object)->files, object->fd) ? O_CLOEXEC :
										       0),
		   file->path.mnt != NULL ? file->path.mnt->id : 0);
	return 0;
}

static const struct proc_entry fd_entry = {.name = "",
					   .mode = S_IFLNK | 0700,
					   .readlink = link_fd,
					   .follow = follow_fd};
static const struct proc_entry fdinfo_entry = {.name = "",
					       .mode = S_IFREG | 0444,
					       .show = show_fdinfo};

static const struct proc_entry *find_fd_as(const struct proc_object *object, int number,
					   struct proc_object *ret_child,
					   const struct proc_entry *entry)
{
	*ret_child = *object;
	ret_child->fd = number;
	return object_file(ret_child) != NULL ? entry : NULL;
}

static const struct proc_entry *find_fd(const struct proc_object *object, int number,
					struct proc_object *ret_child)
{
	return find_fd_as(object, number, ret_child, &fd_entry);
}

static const struct proc_entry *find_fdinfo(const struct proc_object *object, int number,
					    struct proc_object *ret_child)
{
	return find_fd_as(object, number, ret_child, &fdinfo_entry);
}

static int next_fd(const struct proc_object *object, int from)
{
	const struct process *process = proc_process(object);

	return process != NULL && process->files != NULL ? fd_next(process->files, from) : -1;
}

static const struct proc_dir fd_dir = {.find = find_fd, .next = next_fd};
static const struct proc_dir fdinfo_dir = {.find = find_fdinfo, .next = next_fd};

/* ---- task ---- */

static const struct proc_entry *find_task(const struct proc_object *object, int number,
					  struct proc_object *ret_child);

static int next_task(const struct proc_object *object, int from)
{
	const struct process *process = proc_process(object);
	struct list *pos;
	int best = -1;

	if (process == NULL)
		return -1;
	list_for_each(pos, &process->tasks) {
		int tid = task_number(list_entry(pos, struct task, process_node));

		if (tid >= from && (best < 0 || tid < best))
			best = tid;
	}
	return best;
}

static const struct proc_dir task_dir = {.find = find_task, .next = next_task};

#define PID_FILES                                                                                  \
	{.name = "auxv", .mode = S_IFREG | 0400, .show = show_auxv},                               \
		{.name = "cgroup", .mode = S_IFREG | 0444, .show = show_cgroup},                   \
		{.name = "cmdline", .mode = S_IFREG | 0444, .show = show_cmdline},                 \
		{.name = "comm", .mode = S_IFREG | 0644, .show = show_comm, .store = store_comm},  \
		{.name = "cwd",                                                                    \
		 .mode = S_IFLNK | 0777,                                                           \
		 .readlink = link_cwd,                                                             \
		 .follow = follow_cwd},                                                            \
		{.name = "environ", .mode = S_IFREG | 0400, .show = show_environ},                 \
		{.name = "exe", .mode = S_IFLNK | 0777, .readlink = link_exe},                     \
		{.name = "fd", .mode = S_IFDIR | 0500, .dir = &fd_dir},                            \
		{.name = "fdinfo", .mode = S_IFDIR | 0555, .dir = &fdinfo_dir},                    \
		{.name = "io", .mode = S_IFREG | 0400, .show = show_io},                           \
		{.name = "limits", .mode = S_IFREG | 0444, .show = show_limits},                   \
		{.name = "loginuid", .mode = S_IFREG | 0444, .show = show_no_audit_id},            \
		{.name = "maps", .mode = S_IFREG | 0444, .show = proc_show_maps},                  \
		{.name = "mountinfo", .mode = S_IFREG | 0444, .show = show_mountinfo},             \
		{.name = "mounts", .mode = S_IFREG | 0444, .show = show_mounts},                   \
		{.name = "oom_score", .mode = S_IFREG | 0444, .show = show_oom_score},             \
		{.name = "oom_score_adj",                                                          \
		 .mode = S_IFREG | 0644,                                                           \
		 .show = show_oom_score_adj,                                                       \
		 .store = store_oom_score_adj},                                                    \
		{.name = "personality", .mode = S_IFREG | 0400, .show = show_personality},         \
		{.name = "root",                                                                   \
		 .mode = S_IFLNK | 0777,                                                           \
		 .readlink = link_root,                                                            \
		 .follow = follow_root},                                                           \
		{.name = "sessionid", .mode = S_IFREG | 0444, .show = show_no_audit_id},           \
		{.name = "smaps", .mode = S_IFREG | 0444, .show = proc_show_smaps},                \
		{.name = "smaps_rollup", .mode = S_IFREG | 0444, .show = proc_show_smaps_rollup},  \
		{.name = "stat", .mode = S_IFREG | 0444, .show = show_stat},                       \
		{.name = "statm", .mode = S_IFREG | 0444, .show = show_statm},                     \
	{                                                                                          \
		.name = "status", .mode = S_IFREG | 0444, .show = show_status                      \
	}

static const struct proc_entry tid_entries[] = {
	PID_FILES,
	{.name = "children", .mode = S_IFREG | 0444, .show = show_children},
};
static const struct proc_dir tid_dir = {.entries = tid_entries,
					.nr_entries = ARRAY_SIZE(tid_entries)};
static const struct proc_entry tid_entry = {.name = "", .mode = S_IFDIR | 0555, .dir = &tid_dir};

static const struct proc_entry *find_task(const struct proc_object *object, int number,
					  struct proc_object *ret_child)
{
	const struct task *task = task_find(number);

	if (task == NULL || task->process->pid != object->pid)
		return NULL;
	*ret_child = *object;
	ret_child->tid = number;
	return &tid_entry;
}

static const struct proc_entry pid_entries[] = {
	PID_FILES,
	{.name = "net", .mode = S_IFDIR | 0555, .dir = &proc_net_dir},
	{.name = "task", .mode = S_IFDIR | 0555, .dir = &task_dir},
};
static const struct proc_dir pid_dir = {.entries = pid_entries,
					.nr_entries = ARRAY_SIZE(pid_entries)};
const struct proc_entry proc_pid_entry = {.name = "", .mode = S_IFDIR | 0555, .dir = &pid_dir};
