/*
 * eal.c - DPDK's environment, as small and as quiet as it can be made.
 */
#include "net/dpu/private.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

/* The first cpu that we may run on: EAL pins its caller there. */
static int first_cpu(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
			if (CPU_ISSET(cpu, &set))
				return cpu;
	return 0;
}

/*
 * DPDK 22.11 refuses --in-memory beside --no-huge, so --no-shconf keeps it from making files. Its
 * log goes to /dev/null: what goes wrong here is said by our return value.
 */
int dpu_eal_start(void)
{
	char cpu[16], lcores[32];
	char name[] = "leatd", no_huge[] = "--no-huge", no_shconf[] = "--no-shconf",
	     no_pci[] = "--no-pci", no_telemetry[] = "--no-telemetry", mem[] = "-m", mem_mb[] = "8",
	     lcores_opt[] = "--lcores", log_level[] = "--log-level=*:error";
	char *argv[] = {name,   no_huge,    no_shconf, no_pci,    no_telemetry, mem,
			mem_mb, lcores_opt, lcores,    log_level, NULL};
	FILE *null = fopen("/dev/null", "we");

	if (!null)
		return -errno;
	snprintf(cpu, sizeof(cpu), "%d", first_cpu());
	snprintf(lcores, sizeof(lcores), "0@%s", cpu);
	rte_openlog_stream(null);
	if (rte_eal_init((int)ARRAY_SIZE(argv) - 1, argv) < 0)
		return rte_errno > 0 ? -rte_errno : -EIO;
	return 0;
}
