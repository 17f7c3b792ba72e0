/*
 * trace.c - `leat run --trace`: calls in strace's manner, from the argument letters of
 * syscalls.def.
 *
 * Lines go to the instance's stderr in one write each.  Program memory is read through uaccess, so
 * a bad pointer prints as an address.
 */
#include "libos/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "leat/base/bits.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/names.h"
#include "libos/syscall.h"
#include "libos/uaccess.h"

#define TRACE_LINE 512
#define TRACE_STRING 48
#define TRACE_FD 2

struct trace_line {
	char text[TRACE_LINE];
	size_t len;
};

static void trace_add(struct trace_line *line, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void trace_add(struct trace_line *line, const char *fmt, ...)
{
	size_t room = sizeof(line->text) - line->len;
	__builtin_va_list ap;
	int n;

	__builtin_va_start(ap, fmt);
	n = fmt_vprint(line->text + line->len, room, fmt, ap);
	__builtin_va_end(ap);
	if (n > 0)
		line->len += MIN((size_t)n, room - 1);
}

static void trace_write(struct trace_line *line)
{
	if (line->len == sizeof(line->text) - 1)
		line->text[line->len - 1] = '\n';
	host_write(TRACE_FD, line->text, line->len);
}

static void trace_start(struct trace_line *line)
{
	line->len = 0;
	if (instance()->nr_tasks > 1)
		trace_add(line, "[pid %5d] ", task_number(current()));
}

static void trace_char(struct trace_line *line, unsigned char c)
{
	if (c == '\n')
		trace_add(line, "\\n");
	else if (c == '\t')
		trace_add(line, "\\t");
	else if (c == '\r')
		trace_add(line, "\\r");
	else if (c == '"' || c == '\\')
		trace_add(line, "\\%c", c);
	else if (c < 32 || c > 126)
		trace_add(line, "\\%o", (unsigned)c);
	else
		trace_add(line, "%c", c);
}

/* n bytes of program memory as a C string; a string ends at its NUL. */
static void trace_bytes(struct trace_line *line, uint64_t addr, size_t n, bool is_string)
{
	unsigned char buf[TRACE_STRING];
	size_t want = MIN(n, sizeof(buf));
	size_t got = want - copy_from_user_partial(buf, (const void *)addr, want);
	size_t i;

	if (addr == 0) {
		trace_add(line, "NULL");
		return;
	}
	if (got == 0 && n > 0) {
		trace_add(line, "%#lx", (unsigned long)addr);
		return;
	}
	trace_add(line, "\"");
	for (i = 0; i < got && !(is_string && buf[i] == '\0'); i++)
		trace_char(line, buf[i]);
	trace_add(line, "\"");
	if (i == got && got < n)
		trace_add(line, "...");
}

static void trace_timespec(struct trace_line *line, uint64_t addr)
{
	struct timespec ts;

	if (addr == 0)
		trace_add(line, "NULL");
	else if (copy_from_user(&ts, (const void *)addr, sizeof(ts)) != 0)
		trace_add(line, "%#lx", (unsigned long)addr);
	else
		trace_add(line, "{tv_sec=%ld, tv_nsec=%ld}", (long)ts.tv_sec, (long)ts.tv_nsec);
}

static void trace_argv(struct trace_line *line, uint64_t addr)
{
	uint64_t arg;

	trace_add(line, "[");
	for (unsigned i = 0; i < 8; i++) {
		if (get_user_u64(&arg, (const uint64_t *)addr + i) != 0 || arg == 0)
			break;
		if (i > 0)
			trace_add(line, ", ");
		trace_bytes(line, arg, 4096, true);
	}
	trace_add(line, "]");
}

static void trace_flags(struct trace_line *line, const struct name_value *names, uint64_t value)
{
	const char *separator = "";

	for (; names->name != NULL; names++) {
		if (names->value == 0 || (value & names->value) != names->value)
			continue;
		trace_add(line, "%s%s", separator, names->name);
		value &= ~names->value;
		separator = "|";
	}
	if (value != 0 || *separator == '\0')
		trace_add(line, "%s%#lx", separator, (unsigned long)value);
}

static void trace_open_flags(struct trace_line *line, uint64_t flags)
{
	static const char *const mode[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};

	trace_add(line, "%s", mode[flags & O_ACCMODE]);
	if ((flags & ~(uint64_t)O_ACCMODE) != 0) {
		trace_add(line, "|");
		trace_flags(line, names_open_flags, flags & ~(uint64_t)O_ACCMODE);
	}
}

static void trace_fd(struct trace_line *line, int fd)
{
	if (fd == AT_FDCWD)
		trace_add(line, "AT_FDCWD");
	else
		trace_add(line, "%d", fd);
}

/* One argument by its letter (syscalls.def); next is the argument behind it, for buffers. */
static void trace_arg(struct trace_line *line, char kind, uint64_t value, uint64_t next,
		      long result)
{
	switch (kind) {
	case 'd':
		trace_add(line, "%d", (int)value);
		break;
	case 'u':
	case 'z':
		trace_add(line, "%lu", (unsigned long)value);
		break;
	case 'o':
		trace_add(line, "0%o", (unsigned)value);
		break;
	case 's':
		trace_bytes(line, value, 4096, true);
		break;
	case 'f':
		trace_fd(line, (int)value);
		break;
	case 'b':
		trace_bytes(line, value, next, false);
		break;
	case 'B':
		if (result >= 0)
			trace_bytes(line, value, (size_t)result, false);
		else
			trace_add(line, "%#lx", (unsigned long)value);
		break;
	case 'S':
		trace_add(line, "%s", name_of_signal((int)value));
		break;
	case 'F':
		trace_open_flags(line, value);
		break;
	case 'P':
		trace_flags(line, names_prot, value);
		break;
	case 'M':
		trace_flags(line, names_mmap_flags, value);
		break;
	case 't':
		trace_timespec(line, value);
		break;
	case 'v':
		trace_argv(line, value);
		break;
	default:
		if (value == 0 && (kind == 'p' || kind == 'a'))
			trace_add(line, "NULL");
		else
			trace_add(line, "%#lx", (unsigned long)value);
		break;
	}
}

static void trace_call(struct trace_line *line, const struct pt_regs *regs, long result)
{
	const uint64_t args[7] = {regs->rdi, regs->rsi, regs->rdx, regs->r10,
				  regs->r8,  regs->r9,  0};
	const struct syscall_desc *desc;

	if (regs->orig_rax >= SYSCALL_MAX || syscall_table[regs->orig_rax].fn == NULL) {
		trace_add(line, "%s(%#lx, %#lx, %#lx", name_of_syscall(regs->orig_rax),
			  (unsigned long)args[0], (unsigned long)args[1], (unsigned long)args[2]);
		return;
	}
	desc = &syscall_table[regs->orig_rax];
	trace_add(line, "%s(", desc->name);
	for (unsigned i = 0; i < desc->nr_args; i++) {
		if (i > 0)
			trace_add(line, ", ");
		trace_arg(line, desc->args[i], args[i], args[i + 1], result);
	}
}

/* These do not come back, or come back as somebody else: printed before they run. */
static bool trace_before(uint64_t nr)
{
	return nr == SYS_exit || nr == SYS_exit_group || nr == SYS_execve || nr == SYS_execveat ||
	       nr == SYS_rt_sigreturn;
}

void trace_enter(const struct pt_regs *regs)
{
	struct trace_line line;

	if (!trace_before(regs->orig_rax))
		return;
	trace_start(&line);
	trace_call(&line, regs, -1);
	trace_add(&line, ")\n");
	trace_write(&line);
}

void trace_exit(const struct pt_regs *regs, long result)
{
	struct trace_line line;

	if (trace_before(regs->orig_rax) && result >= 0)
		return;
	trace_start(&line);
	trace_call(&line, regs, result);
	if (result >= -ERESTART_RESTARTBLOCK && result <= -ERESTARTSYS)
		trace_add(&line, ") = ? (interrupted)\n");
	else if (result < 0 && result >= -4095)
		trace_add(&line, ") = -1 %s\n", name_of_errno((int)-result));
	else if (result > 0xffffff)
		trace_add(&line, ") = %#lx\n", (unsigned long)result);
	else
		trace_add(&line, ") = %ld\n", result);
	trace_write(&line);
}

void trace_signal(int sig, const void *siginfo)
{
	const siginfo_t *info = siginfo;
	struct trace_line line;

	trace_start(&line);
	trace_add(&line, "--- %s {si_signo=%s, si_code=%d", name_of_signal(sig),
		  name_of_signal(sig), info->si_code);
	if (sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE)
		trace_add(&line, ", si_addr=%p", info->si_addr);
	else
		trace_add(&line, ", si_pid=%d, si_uid=%u", info->si_pid, info->si_uid);
	trace_add(&line, "} ---\n");
	trace_write(&line);
}
