/*
 * names.c - names of calls, errors, signals and flags.
 *
 * The names of all x86-64 calls come from the kernel's own header at build time
 * (scripts/gen-syscall-names.sh), so that a call which Leat does not answer is named in a trace
 * too.
 */
#include "libos/names.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>

#include "leat/base/bits.h"

#define NAME(x)                                                                                    \
	{                                                                                          \
#x, x                                                                              \
	}
#define NAME_LEN 28

static const char syscall_names[][NAME_LEN] = {
#include "libos/syscall_names.inc"
};

static const char signal_names[][NAME_LEN] = {
	[SIGHUP] = "SIGHUP",       [SIGINT] = "SIGINT",       [SIGQUIT] = "SIGQUIT",
	[SIGILL] = "SIGILL",       [SIGTRAP] = "SIGTRAP",     [SIGABRT] = "SIGABRT",
	[SIGBUS] = "SIGBUS",       [SIGFPE] = "SIGFPE",       [SIGKILL] = "SIGKILL",
	[SIGUSR1] = "SIGUSR1",     [SIGSEGV] = "SIGSEGV",     [SIGUSR2] = "SIGUSR2",
	[SIGPIPE] = "SIGPIPE",     [SIGALRM] = "SIGALRM",     [SIGTERM] = "SIGTERM",
	[SIGSTKFLT] = "SIGSTKFLT", [SIGCHLD] = "SIGCHLD",     [SIGCONT] = "SIGCONT",
	[SIGSTOP] = "SIGSTOP",     [SIGTSTP] = "SIGTSTP",     [SIGTTIN] = "SIGTTIN",
	[SIGTTOU] = "SIGTTOU",     [SIGURG] = "SIGURG",       [SIGXCPU] = "SIGXCPU",
	[SIGXFSZ] = "SIGXFSZ",     [SIGVTALRM] = "SIGVTALRM", [SIGPROF] = "SIGPROF",
	[SIGWINCH] = "SIGWINCH",   [SIGIO] = "SIGIO",         [SIGPWR] = "SIGPWR",
	[SIGSYS] = "SIGSYS",       [32] = "SIGRT_0",          [33] = "SIGRT_1",
	[34] = "SIGRT_2",
};

static const char errno_names[][NAME_LEN] = {
	[EPERM] = "EPERM",
	[ENOENT] = "ENOENT",
	[ESRCH] = "ESRCH",
	[EINTR] = "EINTR",
	[EIO] = "EIO",
	[ENXIO] = "ENXIO",
	[E2BIG] = "E2BIG",
	[ENOEXEC] = "ENOEXEC",
	[EBADF] = "EBADF",
	[ECHILD] = "ECHILD",
	[EAGAIN] = "EAGAIN",
	[ENOMEM] = "ENOMEM",
	[EACCES] = "EACCES",
	[EFAULT] = "EFAULT",
	[EBUSY] = "EBUSY",
	[EEXIST] = "EEXIST",
	[EXDEV] = "EXDEV",
	[ENODEV] = "ENODEV",
	[ENOTDIR] = "ENOTDIR",
	[EISDIR] = "EISDIR",
	[EINVAL] = "EINVAL",
	[ENFILE] = "ENFILE",
	[EMFILE] = "EMFILE",
	[ENOTTY] = "ENOTTY",
	[ETXTBSY] = "ETXTBSY",
	[EFBIG] = "EFBIG",
	[ENOSPC] = "ENOSPC",
	[ESPIPE] = "ESPIPE",
	[EROFS] = "EROFS",
	[EMLINK] = "EMLINK",
	[EPIPE] = "EPIPE",
	[EDOM] = "EDOM",
	[ERANGE] = "ERANGE",
	[EDEADLK] = "EDEADLK",
	[ENAMETOOLONG] = "ENAMETOOLONG",
	[ENOLCK] = "ENOLCK",
	[ENOSYS] = "ENOSYS",
	[ENOTEMPTY] = "ENOTEMPTY",
	[ELOOP] = "ELOOP",
	[ENODATA] = "ENODATA",
	[EPROTO] = "EPROTO",
	[EOVERFLOW] = "EOVERFLOW",
	[EILSEQ] = "EILSEQ",
	[ENOTSOCK] = "ENOTSOCK",
	[EDESTADDRREQ] = "EDESTADDRREQ",
	[EMSGSIZE] = "EMSGSIZE",
	[EPROTOTYPE] = "EPROTOTYPE",
	[ENOPROTOOPT] = "ENOPROTOOPT",
	[EPROTONOSUPPORT] = "EPROTONOSUPPORT",
	[ESOCKTNOSUPPORT] = "ESOCKTNOSUPPORT",
	[EOPNOTSUPP] = "EOPNOTSUPP",
	[EAFNOSUPPORT] = "EAFNOSUPPORT",
	[EADDRINUSE] = "EADDRINUSE",
	[EADDRNOTAVAIL] = "EADDRNOTAVAIL",
	[ENETDOWN] = "ENETDOWN",
	[ENETUNREACH] = "ENETUNREACH",
	[ECONNABORTED] = "ECONNABORTED",
	[ECONNRESET] = "ECONNRESET",
	[ENOBUFS] = "ENOBUFS",
	[EISCONN] = "EISCONN",
	[ENOTCONN] = "ENOTCONN",
	[ETIMEDOUT] = "ETIMEDOUT",
	[ECONNREFUSED] = "ECONNREFUSED",
	[EHOSTUNREACH] = "EHOSTUNREACH",
	[EALREADY] = "EALREADY",
	[EINPROGRESS] = "EINPROGRESS",
	[ESTALE] = "ESTALE",
	[ECANCELED] = "ECANCELED",
};

const struct name_value names_open_flags[] = {
	NAME(O_CREAT),    NAME(O_EXCL),  NAME(O_NOCTTY), NAME(O_TRUNC),     NAME(O_APPEND),
	NAME(O_NONBLOCK), NAME(O_SYNC),  NAME(O_DSYNC),  NAME(O_DIRECTORY), NAME(O_NOFOLLOW),
	NAME(O_CLOEXEC),  NAME(O_ASYNC), NAME(O_DIRECT), NAME(O_LARGEFILE), NAME(O_NOATIME),
	NAME(O_PATH),     {NULL, 0},
};

const struct name_value names_prot[] = {
	NAME(PROT_READ),
	NAME(PROT_WRITE),
	NAME(PROT_EXEC),
	{NULL, 0},
};

const struct name_value names_mmap_flags[] = {
	NAME(MAP_SHARED),     NAME(MAP_PRIVATE),         NAME(MAP_FIXED),
	NAME(MAP_ANONYMOUS),  NAME(MAP_GROWSDOWN),       NAME(MAP_DENYWRITE),
	NAME(MAP_EXECUTABLE), NAME(MAP_LOCKED),          NAME(MAP_NORESERVE),
	NAME(MAP_POPULATE),   NAME(MAP_NONBLOCK),        NAME(MAP_STACK),
	NAME(MAP_HUGETLB),    NAME(MAP_FIXED_NOREPLACE), {NULL, 0},
};

static const char *name_at(const char (*names)[NAME_LEN], size_t nr_names, uint64_t index,
			   const char *unknown)
{
	if (index >= nr_names || names[index][0] == '\0')
		return unknown;
	return names[index];
}

const char *name_of_syscall(uint64_t nr)
{
	return name_at(syscall_names, ARRAY_SIZE(syscall_names), nr, "syscall_?");
}

const char *name_of_errno(int err)
{
	return name_at(errno_names, ARRAY_SIZE(errno_names), (uint64_t)err, "E?");
}

const char *name_of_signal(int sig)
{
	return name_at(signal_names, ARRAY_SIZE(signal_names), (uint64_t)sig, "SIGRT");
}
