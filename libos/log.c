/*
 * log.c - Leat's own words on the instance's stderr, and its end when it is broken.
 */
#include <stdarg.h>
#include <signal.h>
#include <string.h>

#include "libos/host.h"
#include "libos/instance.h"

#define LOG_LINE_MAX 512
#define LOG_FD 2
#define EXIT_STATUS_BROKEN 6U /* as if by SIGABRT */

static void log_vline(const char *prefix, const char *fmt, va_list ap)
{
	char line[LOG_LINE_MAX];
	int n;

	n = fmt_print(line, sizeof(line), "%s", prefix);
	n += fmt_vprint(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	line[n++] = '\n';
	host_write(LOG_FD, line, (size_t)n);
}

void log_line(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vline("leat: ", fmt, ap);
	va_end(ap);
}

void panic(const char *fmt, ...)
{
	struct abi_instance *abi = abi_instance_of(window());
	va_list ap;

	va_start(ap, fmt);
	log_vline("leat: panic: ", fmt, ap);
	va_end(ap);
	abi->exit_status = EXIT_STATUS_BROKEN;
	/* pairs with leatd's acquire: the status is there when it sees the state */
	__atomic_store_n(&abi->state, ABI_STATE_EXITED, __ATOMIC_RELEASE);
	/*
	 * The lock may be ours for ever now, and others wait for it: the first host process, whose
	 * end is the instance's, sees this in its handler.  Pairs with the acquire in on_preempt.
	 */
	__atomic_store_n(&instance()->exiting, true, __ATOMIC_RELEASE);
	if (instance()->first_host_pid != 0)
		host_tgkill(instance()->first_host_pid, instance()->first_host_pid, SIGURG);
	host_exit_group(134);
}
