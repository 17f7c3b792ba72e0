/*
 * sigbus.c - windows, and memory of vhost-user frontends, whose pages are gone.
 *
 * A window is sealed against shrinking, so this should not happen; but the host may fail to find a
 * page for it (tmpfs limits, memory errors). A frontend's memory may shrink at any time. The
 * handler maps a fresh page in its place, so that the access that failed goes on, and marks the
 * port: its queues stop with DPU_REASON_FAULT.
 */
#include "net/dpu/private.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

/* Written under each DPU's control mutex, read by the handler. */
static _Atomic(struct dpu_port *) watched[DPU_MAX_PORTS];
static atomic_uint nr_watched; /* one past the highest slot ever used */
static struct sigaction previous;

int dpu_sigbus_watch(struct dpu_port *port)
{
	for (unsigned i = 0; i < DPU_MAX_PORTS; i++) {
		struct dpu_port *none = NULL;

		if (!atomic_compare_exchange_strong(&watched[i], &none, port))
			continue;
		if (i >= atomic_load(&nr_watched))
			atomic_store(&nr_watched, i + 1);
		return 0;
	}
	return -ENOSPC;
}

void dpu_sigbus_unwatch(struct dpu_port *port)
{
	for (unsigned i = 0; i < atomic_load(&nr_watched); i++) {
		struct dpu_port *expected = port;

		if (atomic_compare_exchange_strong(&watched[i], &expected, NULL))
			return;
	}
}

static bool is_in_window(const struct dpu_port *port, uintptr_t addr)
{
	return addr - (uintptr_t)port->config.window < port->config.window_bytes;
}

static bool is_in_memory(const struct dpu_port *port, uintptr_t addr)
{
	for (unsigned i = 0; i < port->memory.nr_regions; i++)
		if (addr - (uintptr_t)port->memory.region[i].base < port->memory.region[i].bytes)
			return true;
	return false;
}

static bool page_replace(const siginfo_t *info)
{
	uintptr_t addr = (uintptr_t)info->si_addr;
	void *page = (void *)align_down(addr, ABI_PAGE_SIZE);

	for (unsigned i = 0; i < atomic_load(&nr_watched); i++) {
		struct dpu_port *port = atomic_load(&watched[i]);

		if (!port || (!is_in_window(port, addr) && !is_in_memory(port, addr)))
			continue;
		if (mmap(page, ABI_PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			return false;
		atomic_store_explicit(&port->fault, true, memory_order_relaxed);
		return true;
	}
	return false;
}

static void handler(int sig, siginfo_t *info, void *context)
{
	int saved_errno = errno;

	if (!page_replace(info)) {
		if ((previous.sa_flags & SA_SIGINFO) && previous.sa_sigaction)
			previous.sa_sigaction(sig, info, context);
		else
			signal(SIGBUS, SIG_DFL); /* the access is repeated, and ends the process */
	}
	errno = saved_errno;
}

int dpu_sigbus_guard(void)
{
	struct sigaction action = {.sa_flags = SA_SIGINFO | SA_NODEFER};

	action.sa_sigaction = handler;
	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, &previous) ? -errno : 0;
}
