/*
 * instance.h - the root of all libOS state, at the arena's first byte, and the instance lock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "leat/abi/boot.h"
#include "leat/abi/control.h"
#include "leat/abi/netdev.h"
#include "leat/abi/window.h"
#include "leat/base/list.h"
#include "libos/fs/tty_job.h"
#include "libos/task.h"

/*
 * The kernel that programs see: the version whose interface the table follows; features newer than
 * it are simply there or -ENOSYS.
 */
#define UTS_RELEASE "6.1.0-leat"
#define UTS_VERSION "#1 SMP PREEMPT_DYNAMIC Leat"

struct hostio;
struct net;
struct net_glue;
struct vfs;

struct instance {
	uint64_t magic;
	const struct abi_boot *boot; /* at ABI_BOOT_BASE, in every process */
	uint64_t arena_limit_bytes;
	void *arena_state; /* arena.c */
	int arena_fd;      /* -1 until the first fork */
	int store_fd;

	struct list processes; /* of process.all_node */
	struct list tid_hash[256];
	struct list hosts; /* of hostproc.all_node */
	int last_tid;
	unsigned nr_processes;
	unsigned nr_tasks;
	struct process *init;   /* the first program: its end is the instance's */
	struct tty_job console; /* Ctrl-C and leat kill go to its foreground */
	char hostname[65];
	char domainname[65];

	void *timers;          /* timer.c */
	void *futexes;         /* futex.c */
	struct list futex_pis; /* futex_pi.c: locks that somebody waits for */
	void *patches;         /* loader/patch.c: known sites and their stubs */
	struct vfs *vfs;
	struct net *net;
	struct net_glue *net_glue; /* socket.c: what goes with net */
	struct hostio *hostio;
	void *unix_sockets;
	void *sysv; /* sysv_shm.c */

	void *clock_gettime; /* the host vDSO's function: the same address in every process */
	int first_host_pid;  /* the launcher's child: its end is the instance's for the launcher */
	uint32_t freeze_answered;    /* freeze.c: the last request that was answered */
	uint32_t generation;         /* how many snapshots lie between it and the first start */
	unsigned nr_shared;          /* objects that a snapshot cannot hold */
	bool exiting;                /* the first program has ended: every host process leaves */
	unsigned nr_lingering;       /* kthreads that poll for work now */
	struct list dead_kthreads;   /* of kthread.node: until their host threads are proved gone */
	unsigned nr_runnable;        /* tasks on the queues of all host processes */
	uint64_t nr_popped;          /* tasks taken off them so far */
	bool steal_now;              /* whoever lingers takes the queued task at once */
	struct kthread *ticker;      /* ticker.c; NULL until it is needed */
	uint64_t ticks;              /* of the ticker */
	unsigned ticks_more;         /* with nobody waiting, before it sleeps */
	bool tick_due;               /* who leaves a call makes it */
	uint64_t ticker_deadline_ns; /* when it looks again; UINT64_MAX: when it is told to */
	uint64_t xsave_mask;         /* components that XSAVEC handles here */
	uint32_t xsave_size;
	uint32_t xframe_size;  /* XSAVE's standard format, for signal frames; sigframe.c */
	uint32_t sigframe_min; /* AT_MINSIGSTKSZ */
	uint64_t cpu_features; /* AT_HWCAP, AT_HWCAP2 of the host, for auxv */
	uint64_t hwcap2;       /* AT_HWCAP2, ours and the program's */
	uint32_t kthread_used[ABI_MAX_KTHREADS / 32];
	uint32_t vcpus_off; /* bit n: vcpu n was used, and nobody waits for it now */
	struct kthread *vcpu_holder[ABI_MAX_VCPUS]; /* who holds it or waits for its grant */
	uint8_t random_key[32];                     /* of the libOS's own generator (random.c) */
};

static inline struct instance *instance(void)
{
	return (struct instance *)ABI_ARENA_BASE;
}

static inline void *window(void)
{
	return (void *)ABI_WINDOW_BASE;
}

static inline const struct abi_control *control_page(void)
{
	return (const struct abi_control *)ABI_CONTROL_BASE;
}

/* The instance lock: entry.c takes it around handlers that are not NOLOCK. Not recursive. */
void instance_lock(void);
/* False: somebody holds it. */
bool instance_trylock(void);
void instance_unlock(void);

/* random.c: a ChaCha20 generator keyed from boot->random, mixed with rdrand where there is one. */
void random_bytes(void *buf, size_t n);
uint64_t random_u64(void);

/* log.c: a line to the instance's stderr, for Leat's own troubles; %s %d %u %x %lx %p only. */
void log_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A bug of ours: prints where and what, and ends the instance. */
_Noreturn void panic(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* fmt.c: snprintf without floats (d i u x X o c s p, l ll z, width, precision, 0, - and #). */
int fmt_print(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int fmt_vprint(char *buf, size_t size, const char *fmt, __builtin_va_list ap);
