/*
 * start.c - one start: from the launcher's fork to the first instruction of the image.
 *
 * No exec: the child already has the image, the control page and the inherited filter.  Each step
 * is noted in the shared progress word first, so that a failure says what could not be done.
 */
#include "apps/launcher/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORK_FD 256 /* where descriptors wait until their fixed places are free */

enum fd_index { FD_STDIN, FD_STDOUT, FD_STDERR, FD_WINDOW, FD_ROOT };

/* The descriptors of a request by their meaning; -1: absent. */
struct start_fds {
	int fixed[LAUNCHER_START_FDS];
	int exec;
	int cwd;
	int cgroup;
	int snapshot;
	int volumes[ABI_MAX_VOLUMES];
};

struct start {
	const struct launcher *launcher;
	const struct launcher_start *req;
	struct progress *progress;
	struct start_fds fds;
	int ruleset;
};

/* Is the request whole?  The same walk over its descriptors happens in the child. */
int start_check(const struct launcher *launcher, const struct message *msg)
{
	const struct launcher_start *req = (const struct launcher_start *)msg->head;

	if (msg->head->size < sizeof(*req) || !launcher->setup_ready)
		return -EBADMSG;
	const struct abi_boot *block = &req->block;
	uint32_t strings = msg->head->size - (uint32_t)offsetof(struct launcher_start, block);
	uint32_t nr_fds = LAUNCHER_START_FDS + !!(req->flags & LAUNCHER_HAS_EXEC) +
			  !!(req->flags & LAUNCHER_HAS_CWD) + !!(req->flags & LAUNCHER_HAS_CGROUP) +
			  !!(req->flags & LAUNCHER_HAS_SNAPSHOT);
	if (block->magic != ABI_MAGIC || block->version != ABI_VERSION || block->size != strings ||
	    block->size > LAUNCHER_BLOCK_MAX || block->nr_volumes > ABI_MAX_VOLUMES ||
	    block->nr_vcpus == 0 || block->nr_vcpus > ABI_MAX_VCPUS || block->instance == 0 ||
	    block->window_size != ABI_WINDOW_SIZE || msg->nr_fds != nr_fds + block->nr_volumes ||
	    block->root_bytes > ABI_ROOT_MAX || req->nproc == 0)
		return -EBADMSG;
	if (block->uid < launcher->uid_low || block->uid - launcher->uid_low >= launcher->uid_count)
		return -EPERM;
	return 0;
}

/* Everything out of the way of the fixed numbers. */
static int fds_lift(struct start *s, const int *fds)
{
	uint32_t flags = s->req->flags;
	int *to[LAUNCHER_START_FDS + 4 + ABI_MAX_VOLUMES];
	unsigned nr = 0;

	s->fds.exec = s->fds.cwd = s->fds.cgroup = s->fds.snapshot = -1;
	for (unsigned i = 0; i < LAUNCHER_START_FDS; i++)
		to[nr++] = &s->fds.fixed[i];
	if (flags & LAUNCHER_HAS_EXEC)
		to[nr++] = &s->fds.exec;
	if (flags & LAUNCHER_HAS_CWD)
		to[nr++] = &s->fds.cwd;
	if (flags & LAUNCHER_HAS_CGROUP)
		to[nr++] = &s->fds.cgroup;
	if (flags & LAUNCHER_HAS_SNAPSHOT)
		to[nr++] = &s->fds.snapshot;
	for (unsigned i = 0; i < s->req->block.nr_volumes; i++)
		to[nr++] = &s->fds.volumes[i];
	for (unsigned i = 0; i < nr; i++) {
		*to[i] = fcntl(fds[i], F_DUPFD, WORK_FD);
		if (*to[i] < 0)
			return -errno;
	}
	return 0;
}

/* Only the doorbells of cores stay open, of all descriptors from there on. */
static int doorbells_settle(uint32_t mask)
{
	unsigned from = ABI_FD_DOORBELL;

	for (; mask != 0; mask &= mask - 1) {
		unsigned fd = ABI_FD_DOORBELL + (unsigned)__builtin_ctz(mask);

		if (fd > from && close_range(from, fd - 1, 0) < 0)
			return -errno;
		from = fd + 1;
	}
	return close_range(from, ~0U, 0) < 0 ? -errno : 0;
}

/* Fixed numbers for what the instance keeps, and nothing else stays open. */
static int fds_settle(struct start *s)
{
	unsigned volumes_end = ABI_FD_VOLUMES + s->req->block.nr_volumes;

	for (int i = 0; i < (int)LAUNCHER_START_FDS; i++)
		if (dup2(s->fds.fixed[i], i) < 0)
			return -errno;
	_Static_assert(FD_WINDOW == ABI_FD_WINDOW && FD_ROOT == ABI_FD_ROOT, "fixed order");
	if (s->fds.exec >= 0 && dup2(s->fds.exec, ABI_FD_EXEC) < 0)
		return -errno;
	if (s->fds.exec < 0)
		close(ABI_FD_EXEC);
	if (s->fds.snapshot >= 0 && dup2(s->fds.snapshot, ABI_FD_SNAPSHOT) < 0)
		return -errno;
	if (s->fds.snapshot < 0)
		close(ABI_FD_SNAPSHOT);
	for (unsigned i = 0; i < s->req->block.nr_volumes; i++)
		if (dup2(s->fds.volumes[i], (int)(ABI_FD_VOLUMES + i)) < 0)
			return -errno;
	if (close_range(ABI_FD_SNAPSHOT + 1, ABI_FD_VOLUMES - 1, 0) < 0 ||
	    close_range(volumes_end, ABI_FD_DOORBELL - 1, 0) < 0)
		return -errno;
	return doorbells_settle(s->launcher->doorbell_mask);
}

static int step_session(struct start *s)
{
	sigset_t none;
	char name[16];
	const char *program = (const char *)&s->req->block + s->req->block.program_off;
	const char *base = strrchr(program, '/');

	/* the comm shown by ps; a hostile name is cut and harmless */
	strncpy(name, base ? base + 1 : program, sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	sigemptyset(&none);
	/*
	 * A process group, not a session: all instances, the launcher and leatd's dataplane threads
	 * have to be in one session, because the kernel schedules sessions as groups (autogroup),
	 * and a yield passes the core on only within a group (docs/dataplane.md).
	 */
	if (setpgid(0, 0) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0 ||
	    prctl(PR_SET_NAME, name, 0, 0, 0) < 0)
		return -errno;
	umask((mode_t)s->req->block.umask & 0777);
	return 0;
}

static int step_cgroup(struct start *s)
{
	if (s->fds.cgroup >= 0 && write(s->fds.cgroup, "0", 1) < 0)
		return -errno;
	return 0;
}

static int step_volumes(struct start *s)
{
	for (uint32_t i = 0; i < s->req->block.nr_volumes; i++) {
		int fd;
		s->progress->detail = i;
		int r = volume_prepare(s->fds.volumes[i], s->req->block.volume[i].flags,
				       s->req->block.uid, &fd);
		if (r < 0)
			return r;
		close(s->fds.volumes[i]);
		s->fds.volumes[i] = fcntl(fd, F_DUPFD, WORK_FD);
		if (s->fds.volumes[i] < 0)
			return -errno;
		close(fd);
	}
	return 0;
}

/* The ruleset that the launcher had for such a root and working directory, else one's own. */
static int step_landlock(struct start *s)
{
	if (s->ruleset >= 0)
		return 0;
	return landlock_prepare(s->launcher, s->fds.fixed[FD_ROOT], s->fds.cwd, &s->req->block,
				s->fds.volumes, &s->ruleset);
}

/*
 * The root directory is the instance's whole file system: ".." and "/" end there.  One with an
 * image has no file system of the host at all.
 */
static int step_root(struct start *s)
{
	bool image = s->req->block.root_bytes != 0;

	if (fchdir(image ? s->launcher->nowhere_fd : s->fds.fixed[FD_ROOT]) < 0 ||
	    chroot(".") < 0 || chdir("/") < 0)
		return -errno;
	return 0;
}

static int map_fixed(uint64_t at, size_t size, int flags, int fd)
{
	void *got =
		mmap((void *)at, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED_NOREPLACE, fd, 0);

	if (got == MAP_FAILED)
		return -errno;
	return got == (void *)at ? 0 : -EEXIST;
}

/* All of it, shared with whoever else uses it.  It must be as long as leatd says. */
static int image_root_map(const struct start *s)
{
	int fd = s->fds.fixed[FD_ROOT];
	uint64_t bytes = s->req->block.root_bytes;
	struct stat st;

	if (bytes == 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != bytes)
		return -ESTALE;
	if (mmap((void *)ABI_ROOT_BASE, bytes, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd,
		 0) == MAP_FAILED)
		return -errno;
	return 0;
}

static int step_map(struct start *s)
{
	const struct launcher *launcher = s->launcher;
	int r = map_fixed(ABI_WINDOW_BASE, ABI_WINDOW_SIZE, MAP_SHARED, s->fds.fixed[FD_WINDOW]);

	if (r == 0)
		r = map_fixed(ABI_BOOT_BASE, ABI_BOOT_SIZE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	if (r == 0)
		r = image_root_map(s);
	if (r < 0)
		return r;
	struct abi_boot *boot = (struct abi_boot *)ABI_BOOT_BASE;
	memcpy(boot, &s->req->block, s->req->block.size);
	boot->exec_fd = s->fds.exec >= 0 ? ABI_FD_EXEC : -1;
	boot->clone = s->fds.snapshot >= 0;
	boot->host_vdso = launcher->vdso.header;
	boot->hwcap2 = getauxval(AT_HWCAP2);
	boot->text_low = launcher->text_low;
	boot->text_high = launcher->text_high;
	if (getrandom(boot->random, sizeof(boot->random), 0) != sizeof(boot->random))
		return -EIO;
	return vdso_move(&launcher->vdso);
}

static int step_limits(struct start *s)
{
	return privilege_limits(&s->req->block, s->req->nproc);
}

static int step_uid(struct start *s)
{
	int r = privilege_drop(s->req->block.uid, s->launcher->pid);

	return r < 0 ? r : landlock_enter(s->ruleset);
}

/*
 * The last system calls.  The kernel must forget glibc's thread words: the memory behind them will
 * be the program's.
 */
static int step_seccomp(struct start *s)
{
	const struct abi_boot *block = &s->req->block;
	enum launcher_filter filter = s->req->flags & LAUNCHER_WRITE ? LAUNCHER_F1_WRITE :
				      block->root_bytes != 0 && block->nr_volumes == 0 ?
								       LAUNCHER_F1_IMAGE :
								       LAUNCHER_F1_READ;

	syscall(SYS_set_tid_address, NULL);
	syscall(SYS_set_robust_list, NULL, 24UL);
	return filter_install(&s->launcher->filters[filter], 0);
}

static _Noreturn void jump(uint64_t entry)
{
	__asm__ volatile("mov %0, %%rsp\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "cld\n\t"
			 "jmp *%1"
			 :
			 : "r"(ABI_BOOT_BASE + ABI_BOOT_SIZE), "r"(entry), "D"(ABI_BOOT_BASE)
			 : "memory");
	__builtin_unreachable();
}

int start_ruleset(const struct launcher *launcher, const struct launcher_start *req, const int *fds)
{
	bool has_exec = req->flags & LAUNCHER_HAS_EXEC, has_cwd = req->flags & LAUNCHER_HAS_CWD;

	return landlock_keep(launcher, fds[FD_ROOT],
			     has_cwd ? fds[LAUNCHER_START_FDS + has_exec] : -1, &req->block);
}

_Noreturn void start_child(const struct launcher *launcher, const struct launcher_start *req,
			   const int *fds, int ruleset, struct progress *progress)
{
	static const struct {
		enum launcher_stage stage;
		int (*run)(struct start *s);
	} steps[] = {
		{STAGE_SESSION, step_session}, {STAGE_CGROUP, step_cgroup},
		{STAGE_VOLUME, step_volumes},  {STAGE_LANDLOCK, step_landlock},
		{STAGE_ROOT, step_root},       {STAGE_LIMITS, step_limits},
		{STAGE_MAP, step_map},         {STAGE_UID, step_uid},
		{STAGE_FDS, fds_settle},       {STAGE_SECCOMP, step_seccomp},
	};
	struct start s = {.launcher = launcher,
			  .req = req,
			  .progress = progress,
			  .ruleset = ruleset};

	progress->stage = STAGE_FDS;
	int r = fds_lift(&s, fds);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && r == 0; i++) {
		progress->stage = steps[i].stage;
		r = steps[i].run(&s);
	}
	if (r < 0) {
		progress->error = -r;
		_exit(125);
	}
	progress->stage = STAGE_RUN; /* a plain store: no call is allowed from here any more */
	jump(launcher->entry);
}
