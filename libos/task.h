/*
 * task.h - tasks (Linux threads), processes, and the kthreads that run them.
 *
 * Guard of every field: the instance lock, unless a comment says otherwise.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "leat/abi/boot.h"
#include "leat/base/list.h"
#include "libos/creds.h"
#include "libos/regs.h"
#include "libos/timer.h"
#include "libos/wait.h"

#define TASK_STACK_ORDER 2 /* 16 KiB kernel stacks */
#define TASK_COMM_LEN 16
#define NR_SIGNALS 64
#define TIMER_SLACK_NS 50000UL /* what Linux starts with */

struct fdtable;
struct hostproc;
struct kthread;
struct mm;
struct path_ctx;
struct process;
struct sigqueue_entry;

enum task_state {
	TASK_RUNNABLE, /* on its process's run queue */
	TASK_RUNNING,  /* on a kthread */
	TASK_SLEEPING,
	TASK_STOPPED,
	TASK_DEAD,
};

/* A signal action as the kernel's rt_sigaction has it. */
struct ksigaction {
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};

/* Shared by tasks with CLONE_SIGHAND. */
struct sighand {
	unsigned refs;
	struct ksigaction action[NR_SIGNALS]; /* [sig - 1] */
};

/* Pending signals of a task or a process: one bit a signal, and a queue with their siginfos. */
struct sigpending {
	uint64_t set;
	struct list queue; /* struct sigqueue_entry, in order of arrival */
};

struct altstack {
	uint64_t sp;
	uint64_t size;
	int flags;
};

struct task {
	struct pt_regs *regs; /* on the kernel stack, valid while in the libOS */
	uint64_t ksp;         /* saved kernel stack pointer while not running */
	uint64_t fs_base;     /* the program's, valid while not running */
	void *kstack;         /* TASK_STACK_ORDER pages; regs live at its top */
	void *xstate;         /* XSAVE area, 64-byte aligned */
	bool xstate_saved; /* vector state is in xstate, not in the registers of xstate_kthread */
	struct kthread *xstate_kthread; /* where it ran last */
	void (*start)(void *arg);       /* a new task's first function in the libOS, or NULL */
	void *start_arg;
	bool killed;   /* must exit at the next return to user mode */
	bool in_vfork; /* parent waits for our exec or exit: process->vfork_done */
	enum task_state state;
	bool interruptible;
	bool woken;
	bool timed_out; /* sleep_timer has fired */

	int tid;
	struct process *process;
	struct list process_node; /* process->tasks */
	struct list rq_node;      /* process->host->rq, when RUNNABLE */
	unsigned eager_wakes;     /* so many more wakes get a vcpu at once (sched.c) */
	uint64_t eager_ns;        /* when the last of them was; 0: not since it blocked */
	uint64_t queued_tick;     /* instance()->ticks when it became RUNNABLE */
	struct kthread *kthread;  /* when RUNNING */
	char comm[TASK_COMM_LEN];
	int sched_policy;   /* SCHED_*: shown, inherited; see sys/sched.c */
	int rt_priority;    /* SCHED_FIFO and SCHED_RR: 1 to 99; others: 0 */
	bool reset_on_fork; /* SCHED_RESET_ON_FORK */

	struct creds creds;

	/* Signals. */
	struct sigpending pending;
	uint64_t blocked;
	uint64_t saved_blocked; /* restored after a handler: sigsuspend, ppoll, pselect, epoll_pwait
				 */
	bool restore_blocked;
	struct altstack altstack;
	struct wait_queue sigwait; /* sigtimedwait and signalfd readers */
	uint64_t trapno;           /* of the last fault, as sigcontext shows them */
	uint64_t trap_error;
	uint64_t trap_cr2;

	/* restart_syscall: what to do when a handler-less stop or signal interrupted a timed wait.
	 */
	long (*restart)(struct task *task);
	uint64_t restart_arg[4];

	uint64_t affinity;        /* as sched_setaffinity(2) set it; 0: all vcpus */
	uint64_t timer_slack_ns;  /* prctl(2): shown, inherited */
	int pdeath_signal;        /* prctl(2): sent when the parent ends */
	uint64_t clear_child_tid; /* user address, CLONE_CHILD_CLEARTID */
	uint64_t robust_list;     /* user address */
	uint64_t robust_list_size;
	struct timer sleep_timer;
	struct futex_waiter *futex_waiter; /* while it waits for a lock that is handed over */
	struct list tid_node;              /* instance's tid hash */

	uint64_t run_ns; /* CPU time so far */
	uint64_t switched_in_ns;
};

struct process {
	unsigned refs;
	int pid;
	int pgid;
	int sid;
	struct process *parent;
	struct list children; /* of .sibling */
	struct list sibling;
	struct list all_node; /* instance()->processes */
	struct list tasks;    /* of .process_node */
	unsigned nr_tasks;    /* alive */
	struct task *leader;

	struct hostproc *host; /* where our tasks run; vfork children share their parent's until
				  exec */

	struct mm *mm; /* shared by vfork until exec */
	struct fdtable *files;
	struct path_ctx *fs; /* root, cwd, umask: libos/fs/ */
	struct sighand *sighand;
	struct sigpending pending; /* directed at the process */
	struct wait_queue sigwait;
	struct creds creds;     /* a copy of its leader's, also when that has ended */
	int nice;               /* shown, inherited; see sys/misc.c */
	struct rlimit *rlimits; /* [RLIM_NLIMITS] */

	bool exiting; /* exit_group or a fatal signal is under way */
	bool zombie;
	bool reaped; /* nobody's number any more: the parent has waited for it */
	bool stopped;
	bool stop_reported;
	bool continued;
	int stop_signal;
	struct wait_queue stop_wait; /* stopped tasks sleep here; SIGCONT and SIGKILL wake them */
	bool undumpable;             /* prctl(2) */
	int oom_score_adj;           /* shown, inherited */
	struct {
		uint64_t read_bytes, write_bytes, reads, writes;
	} io;                         /* /proc/PID/io */
	int lock_wait_pid;            /* fs/locks.c: who has the lock that we wait for; 0: nobody */
	bool no_tty;                  /* gave its session's terminal up (TIOCNOTTY) */
	bool subreaper;               /* orphans below become its children */
	bool execed;                  /* since fork: setpgid from the parent is refused */
	int exit_signal;              /* to the parent at exit, SIGCHLD as a rule */
	uint32_t exit_status;         /* wait(2) status word */
	struct wait_queue child_wait; /* parents wait here for their children */
	struct wait_queue exit_wait;  /* pidfds: it has ended, it was reaped */
	bool vfork_busy;              /* we are a vfork child that has not yet execed or exited */
	struct wait_queue vfork_done;

	struct itimer *itimers; /* sys/itimer.c: ITIMER_REAL, VIRTUAL, PROF; made on first use */
	struct list posix_timers;
	int next_posix_timer;
	uint64_t started_ns;    /* CLOCK_MONOTONIC */
	uint64_t dead_run_ns;   /* CPU time of tasks that have ended */
	uint64_t child_run_ns;  /* of waited-for children */
	char *exe_path;         /* arena string, for /proc/self/exe */
	struct args_copy *args; /* what others see in /proc/PID/cmdline; shared by fork */
	uint64_t arg_start, arg_end, env_start, env_end; /* user addresses, for /proc */
	uint64_t auxv[64]; /* copy of the auxiliary vector, for /proc/self/auxv */
};

/*
 * A host process: a Linux process of the program, and, until they call execve, its vfork children.
 * Guard: the instance lock.
 */
struct hostproc {
	struct list all_node; /* instance()->hosts */
	struct list rq;       /* runnable tasks, FIFO */
	struct list kthreads; /* of kthread.node */
	unsigned nr_kthreads;
	unsigned nr_running; /* kthreads that hold a vcpu */
	unsigned nr_processes;
	int pid;    /* the host's */
	bool first; /* the launcher's child: stays until the instance's end */
	bool dead;  /* on its way out */
};

/* What a kthread waits for. */
enum kthread_state {
	KT_RUNNING, /* holds a vcpu */
	KT_STANDBY, /* waits for the grant of vcpu `vcpu`, of which it is the holder */
	KT_PARKED,  /* waits for its word in abi_scratch.kthread_park, to be handed a vcpu */
	KT_HELPER,  /* never runs tasks: hostio, ticker */
	KT_DEAD,    /* its host process ends: it leaves at its next look (kthread_leave_if_dead) */
};

/*
 * A host thread.  %gs points here; the first fields are used by entry.S and by the signal handlers
 * at fixed offsets (asserted in entry.c).  Written by its own thread only, except where noted.
 */
#define FS_BASE_UNKNOWN UINT64_MAX

struct kthread {
	struct kthread *self; /* 0x00 */
	struct task *current; /* 0x08: NULL in its own loop */
	uint64_t kstack_top;  /* 0x10: of the current task, minus sizeof(struct pt_regs) */
	uint64_t user_rsp;    /* 0x18: scratch of the entry */
	uint64_t user_rip;    /* 0x20: scratch of the full restore */
	uint64_t trap_rip;    /* 0x28: saved by the signal handlers for entry_fault/entry_preempt */
	uint64_t trap_eflags; /* 0x30 */
	uint32_t need_resched; /* 0x38: work before returning to user mode (any writer, relaxed) */
	uint32_t in_trap;      /* 0x3c: entry came from SIGSYS: the site may be patched */

	/* The fault that entry_fault is about. */
	siginfo_t fault_info;
	uint64_t fault_trapno;
	uint64_t fault_error;
	uint64_t fault_cr2;

	uint64_t calls; /* statistics since the last flush to the window */
	uint64_t traps;
	uint64_t loop_sp;          /* saved stack pointer of the kthread's own loop */
	void *stack;               /* KTHREAD_STACK_ORDER pages for it */
	void *sigstack;            /* KTHREAD_SIGSTACK_ORDER pages */
	void (*helper)(void *arg); /* KT_HELPER: what it runs */
	void *helper_arg;
	struct task *dead_task; /* to be freed by the loop: it ran on this kthread until just now */
	struct task *vector_owner; /* whose vector state is in the registers; NULL: nobody's */

	/* Guard: the instance lock. */
	enum kthread_state state;
	struct hostproc *host;
	struct list node; /* host->kthreads, or instance()->dead_kthreads */
	int tid;          /* the host's; 0 until it runs */
	int host_pid;
	unsigned index;   /* of abi_scratch.kthread_park */
	int vcpu;         /* held or waited for, or -1 */
	uint32_t grant;   /* generation under which it is held */
	unsigned core;    /* pinned to, or KTHREAD_NO_CORE */
	uint64_t fs_base; /* without FSGSBASE: what the host holds; FS_BASE_UNKNOWN at first */
	uint64_t slice_ends_ns;
	bool lingering;              /* counted in instance()->nr_lingering */
	uint64_t no_linger_until_ns; /* others on the host want its core */
	bool gone; /* KT_DEAD: the host thread uses nothing of the instance any more (atomic) */
	uint32_t *wake_word; /* of a kthread that was handed our vcpu: woken when the lock is free
			      */
};

static inline struct kthread *this_kthread(void)
{
	struct kthread *kt;

	__asm__ volatile("movq %%gs:0, %0" : "=r"(kt));
	return kt;
}

static inline struct task *current(void)
{
	struct task *task;

	__asm__ volatile("movq %%gs:8, %0" : "=r"(task));
	return task;
}

/* ---- task.c ---- */

/* Makes a sleeping task runnable and sees to it that a kthread will run it. Harmless otherwise. */
void task_wake(struct task *task);

/* Wakes it only if it sleeps interruptibly (a signal came); it returns -EINTR from task_sleep. */
void task_interrupt(struct task *task);

/* If it runs user code on another kthread now: make it enter the libOS soon (host tgkill). */
void task_kick(struct task *task);

/* Gives the core to other runnable tasks of the process, if any. */
void task_yield(void);

/*
 * A new task of the process, asleep and unknown to the scheduler, with its kernel stack; its frame
 * is zero but for `full`.  start(arg) is called first in the libOS when it runs (NULL: nothing),
 * then it goes to user mode with its registers.  NULL: out of arena.
 */
struct task *task_create(struct process *process, void (*start)(void *arg), void *arg);
void task_destroy(struct task *task); /* one that does not run; NULL is harmless */

/* A new process with empty tables; parent may be NULL (the first one). NULL: out of arena. */
struct process *process_create(struct process *parent, struct hostproc *host);
void process_unref(struct process *process);

/* Nobody will ask for it any more: out of all lists; gone with its last reference. */
void process_reap(struct process *process);

struct task *task_find(int tid);          /* any process; NULL if none */
int task_number(const struct task *task); /* as gettid(2) gives it */

/*
 * In a clone a process has a new number, as a child of fork has: libraries that keep random state
 * of their own (OpenSSL) tell by it.  The old one stays good for whoever noted it, and tid stays
 * what C libraries have in the locks that the leader holds.
 */
void process_renumber(struct process *process);
struct process *process_find_group(int pgid); /* a living member; NULL if none */
struct process *process_find(int pid);        /* zombies too */

/* The program's arguments as other processes may read them: they cannot see its memory. */
struct args_copy {
	unsigned refs;
	size_t len; /* strings with their NULs */
	char text[];
};

/* Keeps a copy of argv, as far as memory allows. */
void process_set_args(struct process *process, const char *const *argv);

/* ---- exit.c ---- */

/* The current task ends (status: code of exit(2)); never returns. */
_Noreturn void task_exit(int code);

/* The current process ends with this wait(2) status word; never returns. */
_Noreturn void process_exit(uint32_t status);

/* The current task was killed (task->killed): it ends, with its process if that is ending. */
_Noreturn void task_die(void);

/* Another (or the current) process must end with this status word: all its tasks are killed. */
void process_kill(struct process *process, uint32_t status);

/* ---- signal.c (called from core) ---- */

/* 0 or -EAGAIN (queue limit of realtime signals) or -ENOMEM. info NULL: as if by the kernel. */
int signal_send_task(struct task *task, int sig, const siginfo_t *info);
int signal_send_process(struct process *process, int sig, const siginfo_t *info);
int signal_send_pgrp(int pgid, int sig, const siginfo_t *info);

/* A fault of the current task that may not be blocked or ignored (SIGSEGV and friends). */
void signal_force_fault(struct kthread *kt);

bool signal_pending(const struct task *task); /* one that is deliverable now */

/*
 * Called on every way back to user mode when something is pending: delivers signals by building
 * frames on the user stack, handles restart codes in regs->rax, stops, default actions.
 */
void signal_deliver(struct pt_regs *regs);

int signal_task_init(struct task *task, const struct task *parent);
int signal_process_init(struct process *process, struct process *parent, bool share_sighand);
void signal_task_finish(struct task *task);
void signal_process_finish(struct process *process);
void signal_process_exec(struct process *process); /* handlers to default, altstack off */

/* Is there nobody outside the group, in its session, who could continue it? `leaving` ends. */
bool signal_group_is_orphaned(int pgid, const struct process *leaving);
/* The process is ending: what that means for the process groups that its children and it are in. */
void signal_process_leaves(struct process *process);
