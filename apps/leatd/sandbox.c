/*
 * sandbox.c - the allow-list of host calls and the filters made from it.
 *
 * Calls whose arguments hide behind pointers (openat2, clone3) are not here.  Notes on the rows:
 * - clone: three exact sets of flags: a kthread, a process, a process that borrows the memory;
 * - openat: the read-only row cannot create or write; names end at the chroot and at Landlock;
 * - read, fcntl: not on the doorbells, which all instances share: none may drain another's;
 * - fcntl never changes the status flags of a description that others share (stdio);
 * - ioctl: terminals and FIONREAD only, nothing that types into a terminal (TIOCSTI);
 * - nothing may make a file set-id, since on the disk it would belong to the volume's owner.
 */
#include "apps/leatd/sandbox.h"

#include <asm/termbits.h>
#include <asm/ioctls.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/fcntl.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <linux/memfd.h>
#include <linux/mman.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "leat/abi/boot.h"
#include "leat/abi/control.h"

#define CHECKS_MAX 3
#define NR_X32 0x40000000U
#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_GS 0x1004
#define SIGCHLD_FLAG 17UL

enum check_op {
	CHECK_NONE,
	CHECK_EQ, /* argument, without the free bits, == value */
	CHECK_LE, /* argument <= value */
};

/* Compared as 64 bits, so that nothing hides where the kernel looks at 32 only. */
struct check {
	uint8_t arg;
	enum check_op op;
	uint64_t value;
	uint64_t free;
	const char *name;
};

/* A call is allowed when every check of one of its rows holds. */
struct rule {
	const char *call;
	unsigned group;
	struct check checks[CHECKS_MAX];
};

/* A range of one argument in which a call is refused, whatever the rows say: low 32 bits. */
struct refusal {
	const char *call;
	uint8_t arg;
	uint32_t low, high;
	const char *name;
};

#define EQ(n, name, value)                                                                         \
	{                                                                                          \
		n, CHECK_EQ, value, 0, name                                                        \
	}
#define LE(n, name, value)                                                                         \
	{                                                                                          \
		n, CHECK_LE, value, 0, name                                                        \
	}
#define ONLY(n, name, bits)                                                                        \
	{                                                                                          \
		n, CHECK_EQ, 0, bits, name                                                         \
	}
#define WITH(n, name, value, bits)                                                                 \
	{                                                                                          \
		n, CHECK_EQ, value, bits, name                                                     \
	}
#define BASE(call, ...)                                                                            \
	{                                                                                          \
		call, SANDBOX_BASE,                                                                \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define DIRECTORY(call, ...)                                                                       \
	{                                                                                          \
		call, SANDBOX_DIRECTORY,                                                           \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}
#define WRITE(call, ...)                                                                           \
	{                                                                                          \
		call, SANDBOX_WRITE,                                                               \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}

#define PROT_ALL 7UL
#define MAP_OK                                                                                     \
	(MAP_SHARED | MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_POPULATE |     \
	 MAP_STACK | MAP_FIXED_NOREPLACE)
#define MREMAP_OK (MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)
#define MEMFD_OK (MFD_CLOEXEC | MFD_ALLOW_SEALING)
#define FUTEX_OK (FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME)
#define MEMBARRIER_OK                                                                              \
	(MEMBARRIER_CMD_PRIVATE_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED |            \
	 MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE |                                              \
	 MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE)
#define CLONE_KTHREAD                                                                              \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
#define CLONE_FORK (CLONE_FILES | SIGCHLD_FLAG)
#define CLONE_VFORK_VM (CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD_FLAG)
#define O_READ_OK                                                                                  \
	(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_PATH | O_NONBLOCK | O_NOCTTY |        \
	 O_LARGEFILE)
#define O_WRITE_OK                                                                                 \
	(O_READ_OK | O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_SYNC | __O_TMPFILE)
#define FALLOC_OK                                                                                  \
	(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE |                       \
	 FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE)
#define MODE_OK 01777UL
#define DOORBELLS_LAST (ABI_FD_DOORBELL + ABI_MAX_CORES - 1)

static const struct rule rules[] = {
	BASE("mmap", ONLY(2, "prot", PROT_ALL), ONLY(3, "flags", MAP_OK)),
	BASE("munmap"),
	BASE("mprotect", ONLY(2, "prot", PROT_ALL)),
	BASE("mremap", ONLY(3, "flags", MREMAP_OK)),
	BASE("madvise", LE(2, "advice", MADV_DONTNEED)),
	BASE("madvise", WITH(2, "advice", MADV_FREE, 3)),     /* FREE REMOVE DONTFORK DOFORK */
	BASE("madvise", WITH(2, "advice", MADV_HUGEPAGE, 1)), /* HUGEPAGE NOHUGEPAGE */
	BASE("madvise", WITH(2, "advice", MADV_DONTDUMP, 7)), /* DONTDUMP .. POPULATE_WRITE */
	BASE("mincore"),
	BASE("msync"),
	BASE("memfd_create", ONLY(1, "flags", MEMFD_OK)),
	BASE("membarrier", ONLY(0, "cmd", MEMBARRIER_OK), EQ(1, "flags", 0)),

	BASE("futex", WITH(1, "op", FUTEX_WAIT, FUTEX_OK)),
	BASE("futex", WITH(1, "op", FUTEX_WAKE, FUTEX_OK)),
	BASE("futex", WITH(1, "op", FUTEX_WAIT_BITSET, FUTEX_OK)),
	BASE("clone", EQ(0, "flags", CLONE_KTHREAD)),
	BASE("clone", EQ(0, "flags", CLONE_FORK)),
	BASE("clone", EQ(0, "flags", CLONE_VFORK_VM)),
	BASE("exit"),
	BASE("exit_group"),
	BASE("wait4"),
	BASE("gettid"),
	BASE("getpid"),
	BASE("tgkill", LE(2, "sig", 64)),
	BASE("rt_sigaction"),
	BASE("rt_sigprocmask"),
	BASE("rt_sigreturn"),
	BASE("sigaltstack"),
	BASE("arch_prctl", EQ(0, "code", ARCH_SET_GS)),
	BASE("arch_prctl", EQ(0, "code", ARCH_GET_GS)),
	BASE("arch_prctl", WITH(0, "code", ARCH_SET_FS, 1)), /* SET_FS GET_FS */
	BASE("sched_yield"),
	BASE("restart_syscall"), /* made by the kernel of an interrupted futex wait */
	BASE("sched_setaffinity", EQ(0, "pid", 0)),

	BASE("close"),
	BASE("read"),
	BASE("write"),
	BASE("pread64"),
	BASE("pwrite64"),
	BASE("lseek"),
	BASE("fstat"),
	BASE("ftruncate"),
	BASE("fallocate", ONLY(1, "mode", FALLOC_OK)),
	BASE("fsync"),
	BASE("fdatasync"),
	BASE("ppoll"),
	BASE("fcntl", EQ(1, "cmd", F_GETFL)),
	BASE("fcntl", EQ(1, "cmd", F_GETFD)),
	BASE("fcntl", EQ(1, "cmd", F_SETFD)),
	BASE("fcntl", EQ(1, "cmd", F_DUPFD_CLOEXEC)),
	BASE("ioctl", EQ(1, "request", TCGETS)),
	BASE("ioctl", WITH(1, "request", TCSETS, 1)), /* TCSETS TCSETSW */
	BASE("ioctl", EQ(1, "request", TCSETSF)),
	BASE("ioctl", EQ(1, "request", TCSBRK)),
	BASE("ioctl", WITH(1, "request", TCXONC, 1)), /* TCXONC TCFLSH */
	BASE("ioctl", EQ(1, "request", TIOCGPGRP)),
	BASE("ioctl", EQ(1, "request", TIOCSPGRP)),
	BASE("ioctl", EQ(1, "request", TIOCOUTQ)),
	BASE("ioctl", EQ(1, "request", TIOCGWINSZ)),
	BASE("ioctl", EQ(1, "request", TIOCSWINSZ)),
	BASE("ioctl", EQ(1, "request", FIONREAD)),

	DIRECTORY("openat", ONLY(2, "flags", O_READ_OK)),
	DIRECTORY("newfstatat"),
	DIRECTORY("fstatfs"),
	DIRECTORY("getdents64"),
	DIRECTORY("readlinkat"),

	WRITE("openat", ONLY(2, "flags", O_WRITE_OK), ONLY(3, "mode", MODE_OK)),
	WRITE("unlinkat"),
	WRITE("mkdirat", ONLY(2, "mode", MODE_OK)),
	WRITE("renameat2"),
	WRITE("linkat"),
	WRITE("symlinkat"),
	WRITE("fchmodat", ONLY(2, "mode", MODE_OK)),
	WRITE("fchownat"),
	WRITE("utimensat"),
};

#define NR_RULES (sizeof(rules) / sizeof(rules[0]))

static const struct refusal refusals[] = {
	{"read", 0, ABI_FD_DOORBELL, DOORBELLS_LAST, "fd"},
	{"fcntl", 0, ABI_FD_DOORBELL, DOORBELLS_LAST, "fd"},
};

#define NR_REFUSALS (sizeof(refusals) / sizeof(refusals[0]))
#define REFUSAL_LEN 6

static uint32_t call_number(const char *call)
{
	return (uint32_t)seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, call);
}

static struct scmp_arg_cmp compare(const struct check *check)
{
	if (check->op == CHECK_LE)
		return (struct scmp_arg_cmp){.arg = check->arg,
					     .op = SCMP_CMP_LE,
					     .datum_a = check->value};
	return (struct scmp_arg_cmp){.arg = check->arg,
				     .op = SCMP_CMP_MASKED_EQ,
				     .datum_a = ~check->free,
				     .datum_b = check->value};
}

static int rule_add(scmp_filter_ctx ctx, const struct rule *rule)
{
	struct scmp_arg_cmp cmp[CHECKS_MAX];
	unsigned nr = 0;

	while (nr < CHECKS_MAX && rule->checks[nr].op != CHECK_NONE) {
		cmp[nr] = compare(&rule->checks[nr]);
		nr++;
	}
	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, (int)call_number(rule->call), nr, cmp);
}

/* The program that libseccomp makes of the table, read back through a memfd. */
static int allow_list_export(unsigned groups, struct sandbox_program *ret_prog)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_NOTIFY);
	int fd = memfd_create("leat-sandbox", MFD_CLOEXEC);
	struct sock_filter *insns = NULL;
	int r = ctx && fd >= 0 ? 0 : -ENOMEM;

	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* binary tree */
	for (size_t i = 0; i < NR_RULES && r == 0; i++)
		if (rules[i].group & groups)
			r = rule_add(ctx, &rules[i]);
	if (r == 0)
		r = seccomp_export_bpf(ctx, fd);
	off_t size = r == 0 ? lseek(fd, 0, SEEK_END) : 0;
	if (r == 0) {
		insns = malloc((size_t)size);
		if (!insns || pread(fd, insns, (size_t)size, 0) != size)
			r = -EIO;
	}
	if (r == 0) {
		ret_prog->insns = insns;
		ret_prog->nr = (uint32_t)((size_t)size / sizeof(*insns));
	} else {
		free(insns);
	}
	seccomp_release(ctx);
	if (fd >= 0)
		close(fd);
	return r;
}

#define LOAD_AT(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(offset))
#define LOAD_ARG(n) LOAD_AT(offsetof(struct seccomp_data, args) + 8 * (n))
#define LOAD(field) LOAD_AT(offsetof(struct seccomp_data, field))
#define LOAD_HIGH(field) LOAD_AT(offsetof(struct seccomp_data, field) + 4)
#define JUMP(op, value, t, f) BPF_JUMP(BPF_JMP | BPF_##op | BPF_K, (uint32_t)(value), t, f)
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, action)

#define PROLOGUE_LEN 11

/*
 * Kills foreign architectures and x32, answers `outside` for a call from outside the text, and
 * falls through with the call's number loaded otherwise.  The instruction pointer is the one behind
 * the syscall instruction, so the text is (low, high]; both lie in one 4 GiB block.
 */
static int prologue(uint64_t low, uint64_t high, uint32_t outside, struct sock_filter *out)
{
	const struct sock_filter insns[PROLOGUE_LEN] = {
		LOAD(arch),
		JUMP(JEQ, AUDIT_ARCH_X86_64, 0, 2),
		LOAD(nr),
		JUMP(JGE, NR_X32, 0, 1),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		LOAD_HIGH(instruction_pointer),
		JUMP(JEQ, low >> 32, 0, 3),
		LOAD(instruction_pointer),
		JUMP(JGT, low, 0, 1),
		JUMP(JGT, high, 0, 1),
		RETURN(outside),
	};

	if (low >= high || low >> 32 != high >> 32)
		return -EINVAL;
	memcpy(out, insns, sizeof(insns));
	return 0;
}

static void refusal_emit(const struct refusal *refusal, struct sock_filter *out)
{
	const struct sock_filter insns[REFUSAL_LEN] = {
		LOAD(nr),
		JUMP(JEQ, call_number(refusal->call), 0, 4),
		LOAD_ARG(refusal->arg),
		JUMP(JGE, refusal->low, 0, 2),
		JUMP(JGT, refusal->high, 1, 0),
		RETURN(SECCOMP_RET_USER_NOTIF),
	};

	memcpy(out, insns, sizeof(insns));
}

int sandbox_build_notify(uint64_t text_low, uint64_t text_high, struct sandbox_program *ret_prog)
{
	const size_t head = PROLOGUE_LEN + NR_REFUSALS * REFUSAL_LEN;
	struct sandbox_program list = {0};
	int r = allow_list_export(SANDBOX_ALL, &list);

	if (r < 0)
		return r;
	struct sock_filter *insns = calloc(head + list.nr, sizeof(*insns));
	r = insns ? prologue(text_low, text_high, SECCOMP_RET_ALLOW, insns) : -ENOMEM;
	if (r == 0) {
		for (size_t i = 0; i < NR_REFUSALS; i++)
			refusal_emit(&refusals[i], insns + PROLOGUE_LEN + i * REFUSAL_LEN);
		memcpy(insns + head, list.insns, list.nr * sizeof(*insns));
		ret_prog->insns = insns;
		ret_prog->nr = (uint32_t)head + list.nr;
	} else {
		free(insns);
	}
	free(list.insns);
	return r;
}

/* Does a row of the given groups allow this call in some way? */
static const struct rule *rule_in_groups(const char *call, unsigned groups)
{
	for (size_t i = 0; i < NR_RULES; i++)
		if ((rules[i].group & groups) && strcmp(rules[i].call, call) == 0)
			return &rules[i];
	return NULL;
}

/*
 * Takes back one row of a group that is not given.  A call that the given groups know in no form
 * dies; of one that they know (openat), the form of theirs remains: its one ONLY check.
 */
static unsigned row_take_back(const struct rule *row, unsigned groups, struct sock_filter *out)
{
	const struct rule *kept = rule_in_groups(row->call, groups);
	uint32_t nr = call_number(row->call);
	const struct sock_filter whole[] = {
		JUMP(JEQ, nr, 0, 1),
		RETURN(SECCOMP_RET_KILL_PROCESS),
	};

	if (!kept) {
		memcpy(out, whole, sizeof(whole));
		return 2;
	}
	const struct check *check = &kept->checks[0];
	const struct sock_filter form[] = {
		JUMP(JEQ, nr, 0, 4),
		LOAD_ARG(check->arg),
		JUMP(JSET, ~check->free, 0, 1),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		RETURN(SECCOMP_RET_ALLOW),
	};
	memcpy(out, form, sizeof(form));
	return 5;
}

int sandbox_build_trap(uint64_t text_low, uint64_t text_high, unsigned groups,
		       struct sandbox_program *ret_prog)
{
	struct sock_filter *insns = calloc(PROLOGUE_LEN + 5 * NR_RULES + 2, sizeof(*insns));
	int r = insns ? prologue(text_low, text_high, SECCOMP_RET_TRAP, insns) : -ENOMEM;
	unsigned nr = PROLOGUE_LEN;

	if (r < 0) {
		free(insns);
		return r;
	}
	insns[nr++] = (struct sock_filter)LOAD(nr);
	for (size_t i = 0; i < NR_RULES; i++)
		if (!(rules[i].group & groups))
			nr += row_take_back(&rules[i], groups, insns + nr);
	insns[nr++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
	ret_prog->insns = insns;
	ret_prog->nr = nr;
	return 0;
}

static void check_describe(FILE *out, const struct check *check)
{
	unsigned long long value = check->value, bits = check->free;

	fprintf(out, " %s ", check->name);
	if (check->op == CHECK_LE)
		fprintf(out, "<= 0x%llx", value);
	else if (bits && value)
		fprintf(out, "== 0x%llx or with bits of 0x%llx", value, bits);
	else if (bits)
		fprintf(out, "has only bits of 0x%llx", bits);
	else
		fprintf(out, "== 0x%llx", value);
}

static void refusals_describe(FILE *out, const char *call, bool first)
{
	for (size_t i = 0; i < NR_REFUSALS; i++)
		if (strcmp(refusals[i].call, call) == 0)
			fprintf(out, "%s %s not in %u..%u", first ? ":" : ",", refusals[i].name,
				refusals[i].low, refusals[i].high);
}

int sandbox_describe(unsigned groups, char **ret_text)
{
	size_t size;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < NR_RULES; i++) {
		if (!(rules[i].group & groups))
			continue;
		fputs(rules[i].call, out);
		unsigned n = 0;
		for (; n < CHECKS_MAX && rules[i].checks[n].op != CHECK_NONE; n++) {
			fputs(n ? "," : ":", out);
			check_describe(out, &rules[i].checks[n]);
		}
		refusals_describe(out, rules[i].call, n == 0);
		fputc('\n', out);
	}
	if (fclose(out) != 0) {
		free(text);
		return -ENOMEM;
	}
	*ret_text = text;
	return 0;
}

char *sandbox_call_name(int nr)
{
	return seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, nr);
}
