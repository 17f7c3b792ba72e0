/*
 * resume.c - the start of a clone: the state of a snapshot in a new host process.
 *
 * All that the instance was lies in the snapshot's file: arena, store, and the program's memory.
 * The arena is mapped first, privately; from it everything that the host has to know is made again:
 * mappings, descriptors, signal handlers, one host thread.  The window is new and empty, so the
 * network begins afresh.  Nothing here grows with the size of the memory: pages come when they are
 * touched, from the page cache, and clones share those that they do not change.
 */
#include "libos/resume.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>

#include "leat/base/bits.h"
#include "libos/arena_host.h"
#include "libos/clock.h"
#include "libos/entry.h"
#include "libos/fs/vfs.h"
#include "libos/host.h"
#include "libos/hostio.h"
#include "libos/instance.h"
#include "libos/kthread.h"
#include "libos/mm.h"
#include "libos/netglue.h"
#include "libos/start.h"
#include "libos/xstate.h"
#include "loader/loader.h"

#define EXIT_CANNOT_CLONE 125

/* ---- the file ---- */

static const struct abi_snapshot *header(void)
{
	return (const struct abi_snapshot *)ABI_SNAPSHOT_BASE;
}

static const struct abi_snapshot_run *runs(void)
{
	return (const struct abi_snapshot_run *)(ABI_SNAPSHOT_BASE + ABI_PAGE_SIZE);
}

static uint64_t table_bytes(void)
{
	return align_up(header()->nr_runs * sizeof(struct abi_snapshot_run), ABI_PAGE_SIZE);
}

static int map_file(uint64_t addr, uint64_t off, uint64_t bytes, int prot)
{
	long r =
		host_mmap((void *)addr, bytes, prot, MAP_PRIVATE | MAP_FIXED, ABI_FD_SNAPSHOT, off);

	return r < 0 ? (int)r : 0;
}

/* leat has checked sums and sizes; what is wrong here hurts nobody but this instance. */
static int table_map(void)
{
	int err = map_file(ABI_SNAPSHOT_BASE, 0, ABI_PAGE_SIZE, PROT_READ);

	if (err == 0 &&
	    (header()->magic != ABI_SNAPSHOT_MAGIC || header()->version != ABI_SNAPSHOT_VERSION ||
	     header()->nr_runs == 0 || header()->nr_runs > ABI_SNAPSHOT_RUNS_MAX))
		err = -EINVAL;
	return err != 0 ? err :
			  map_file((uint64_t)(uintptr_t)runs(), header()->runs_off, table_bytes(),
				   PROT_READ);
}

/* The first run that ends above addr. */
static uint32_t run_find(uint64_t addr)
{
	uint32_t low = 0, high = header()->nr_runs;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (runs()[middle].addr + runs()[middle].bytes <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int resume_map_runs(uint64_t low, uint64_t high, int prot)
{
	for (uint32_t i = run_find(low); i < header()->nr_runs && runs()[i].addr < high; i++) {
		const struct abi_snapshot_run *run = &runs()[i];
		uint64_t from = MAX(run->addr, low), to = MIN(run->addr + run->bytes, high);
		int err = map_file(from, run->file_off + (from - run->addr), to - from, prot);

		if (err != 0)
			return err;
	}
	return 0;
}

/* Where the last run of the store ends. */
static uint64_t store_end(void)
{
	uint32_t i = run_find(ABI_STORE_BASE + ABI_STORE_MAX);

	if (i == 0 || runs()[i - 1].addr < ABI_STORE_BASE)
		return ABI_STORE_BASE;
	return runs()[i - 1].addr + runs()[i - 1].bytes;
}

static int store_map(void)
{
	long r = host_mmap((void *)ABI_STORE_BASE, ABI_STORE_MAX, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	return r < 0 ? (int)r :
		       resume_map_runs(ABI_STORE_BASE, ABI_STORE_BASE + ABI_STORE_MAX,
				       PROT_READ | PROT_WRITE);
}

/* ---- the state ---- */

static _Noreturn void cannot(const char *what, int err)
{
	log_line("cannot clone: %s: error %d", what, -err);
	host_exit_group(EXIT_CANNOT_CLONE);
}

static void step(const char *what, int err)
{
	if (err != 0)
		cannot(what, err);
}

static void instance_take(const struct abi_boot *boot)
{
	struct instance *inst = instance();
	uint32_t xsave_size = inst->xsave_size;

	inst->boot = boot;
	inst->arena_fd = -1;
	inst->hwcap2 = boot->hwcap2;
	inst->freeze_answered = 0;
	inst->generation++;
	for (size_t i = 0; i < sizeof(inst->random_key); i++)
		inst->random_key[i] ^= boot->random[i] ^ boot->random[i + sizeof(inst->random_key)];
	fmt_print(inst->hostname, sizeof(inst->hostname), "%s",
		  (const char *)boot + boot->hostname_off);
	clock_init();
	xstate_init();
	if (inst->xsave_size != xsave_size)
		cannot("the CPU has other vector registers than that of the snapshot", -ENOEXEC);
}

/* No task has run on a host thread that there is now. */
static void tasks_detach(void)
{
	struct list *pos, *tpos;

	list_for_each(pos, &instance()->processes) {
		struct process *process = list_entry(pos, struct process, all_node);

		list_for_each(tpos, &process->tasks) {
			struct task *task = list_entry(tpos, struct task, process_node);

			task->kthread = NULL;
			task->xstate_kthread = NULL;
		}
	}
}

static struct kthread *kthread_first(void)
{
	struct hostproc *host = list_entry(instance()->hosts.next, struct hostproc, all_node);
	struct kthread *kt;

	tasks_detach();
	kthread_forget_all(host);
	kt = kthread_create(host);
	if (kt == NULL)
		cannot("threads", -ENOMEM);
	kthread_adopt(kt);
	instance()->first_host_pid = kt->host_pid;
	return kt;
}

static void files_resume(void)
{
	const char *path = "";
	int err = vfs_resume(store_end(), &path);

	if (err == -ESTALE)
		log_line("cannot clone: %s%s has changed since the snapshot",
			 path[0] == '/' ? "" : "/", path);
	else if (err != 0)
		log_line("cannot clone: %s%s cannot be opened: error %d", path[0] == '/' ? "" : "/",
			 path, -err);
	if (err != 0)
		host_exit_group(EXIT_CANNOT_CLONE);
}

/* All of the instance's processes are one host process, and have one address space. */
static void memory_resume(void)
{
	step("memory", mm_resume(instance()->init->mm));
	host_munmap((void *)ABI_SNAPSHOT_BASE, ABI_PAGE_SIZE + table_bytes());
	/* registrations belong to the host's process; a program may have asked for one */
	host_membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0);
	host_membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0);
}

_Noreturn void resume(const struct abi_boot *boot)
{
	struct abi_instance *abi = abi_instance_of(window());
	struct kthread *kt;

	step("snapshot", table_map());
	arena_map();
	step("arena",
	     resume_map_runs(ABI_ARENA_BASE, ABI_ARENA_BASE + ARENA_LIMIT, PROT_READ | PROT_WRITE));
	instance_take(boot);
	kt = kthread_first();
	entry_init();
	step("vDSO", vdso_init());
	step("file data", store_map());
	instance_lock();
	files_resume();
	memory_resume();
	kthread_standby_first(kt); /* whoever is woken now has somebody to run on */
	process_renumber(instance()->init);
	step("network", net_glue_resume());
	hostio_resume();
	abi->started_ns = clock_monotonic_ns();
	/* Pairs with leatd's acquire. */
	__atomic_store_n(&abi->state, ABI_STATE_RUNNING, __ATOMIC_RELEASE);
	instance_unlock();
	start_kthread(kt);
}
