/*
 * entry.c - what happens after entry.S: system calls, faults, preemption; and the host's signals.
 *
 * The handlers of the host's signals never do the work themselves: they edit the interrupted
 * context so that their return goes on in entry.S.  So vector state is live in the registers
 * whenever libOS code runs, and host signals are never blocked for long.
 */
#include "libos/entry.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "leat/base/bits.h"
#include "libos/host.h"
#include "libos/instance.h"
#include "libos/kthread.h"
#include "libos/mm.h"
#include "libos/netglue.h"
#include "libos/syscall.h"
#include "libos/trace.h"
#include "loader/loader.h"

#define SYSCALL_INSN_SIZE 2
#define SA_RESTORER_KERNEL 0x04000000UL
#define EFLAGS_CLEAN 0x202UL
#define BACKTRACE_MAX 24
#define TRAPNO_BREAKPOINT 3
#define TRAPNO_PAGE_FAULT 14

/* entry.S and the linker script */
extern const char entry_trap[], entry_fault[], entry_preempt[], entry_return[], entry_return_end[];
extern const char entry_full_jump[], entry_work_again[];
extern const char image_text_start[], image_text_end[];
extern const struct ex_entry {
	uint64_t fault;
	uint64_t go_on;
} image_ex_table_start[], image_ex_table_end[];

__attribute__((visibility("hidden"))) void host_sigreturn(void);
void entry_syscall(struct pt_regs *regs);
void entry_work(struct pt_regs *regs);
void entry_fault_handle(struct pt_regs *regs);

_Static_assert(offsetof(struct kthread, self) == 0x00, "kthread layout");
_Static_assert(offsetof(struct kthread, current) == 0x08, "kthread layout");
_Static_assert(offsetof(struct kthread, kstack_top) == 0x10, "kthread layout");
_Static_assert(offsetof(struct kthread, user_rsp) == 0x18, "kthread layout");
_Static_assert(offsetof(struct kthread, user_rip) == 0x20, "kthread layout");
_Static_assert(offsetof(struct kthread, trap_rip) == 0x28, "kthread layout");
_Static_assert(offsetof(struct kthread, trap_eflags) == 0x30, "kthread layout");
_Static_assert(offsetof(struct kthread, need_resched) == 0x38, "kthread layout");
_Static_assert(offsetof(struct kthread, in_trap) == 0x3c, "kthread layout");
_Static_assert(offsetof(struct pt_regs, r11) == 48, "pt_regs layout");
_Static_assert(offsetof(struct pt_regs, r10) == 56, "pt_regs layout");
_Static_assert(offsetof(struct pt_regs, rax) == 80, "pt_regs layout");
_Static_assert(offsetof(struct pt_regs, rcx) == 88, "pt_regs layout");
_Static_assert(offsetof(struct pt_regs, rdi) == 112, "pt_regs layout");
_Static_assert(offsetof(struct pt_regs, rip) == 128, "pt_regs layout");
_Static_assert(offsetof(struct pt_regs, eflags) == 136, "pt_regs layout");
_Static_assert(offsetof(struct pt_regs, rsp) == 144, "pt_regs layout");
_Static_assert(offsetof(struct pt_regs, full) == 152, "pt_regs layout");

/* ---- the way back to the program ---- */

/* What the kernel leaves in rcx and r11, for whoever looks at or restores all registers. */
static void regs_complete(struct pt_regs *regs)
{
	if (regs->full != 0)
		return;
	regs->rcx = regs->rip;
	regs->r11 = regs->eflags;
	regs->full = 1;
}

static bool is_restart_code(uint64_t rax)
{
	return rax <= (uint64_t)-ERESTARTSYS && rax >= (uint64_t)-ERESTART_RESTARTBLOCK;
}

/* A signal is not delivered with the program in a stub: it would see an address it does not know.
 */
static void regs_leave_stub(struct pt_regs *regs)
{
	uint64_t site;

	if (regs->orig_rax == UINT64_MAX && patch_pc_in_stub(regs->rip, &site))
		regs->rip = site;
}

/* With the lock: all that is due before the program goes on. */
static void work_locked(struct pt_regs *regs)
{
	struct task *task = current();
	struct kthread *kt = this_kthread();
	bool asked;

	/* A program that never blocks has to see its packets too. */
	if (net_glue_pending((unsigned)kt->vcpu))
		net_glue_poll((unsigned)kt->vcpu);
	ticker_catch_up();
	do {
		kt = this_kthread();
		asked = __atomic_exchange_n(&kt->need_resched, 0, __ATOMIC_RELAXED) != 0;
		if (asked || kthread_preempt_asked(kt)) {
			kthread_publish(kt);
			sched_safe_point(kt);
		}
		if (signal_pending(task) || task->restore_blocked ||
		    (regs->orig_rax != UINT64_MAX && is_restart_code(regs->rax))) {
			if (task->killed)
				task_die();
			regs_complete(regs);
			regs_leave_stub(regs);
			signal_deliver(regs);
		}
		kt = this_kthread();
	} while (__atomic_load_n(&kt->need_resched, __ATOMIC_RELAXED) != 0);
	ticker_cover();
}

void entry_work(struct pt_regs *regs)
{
	instance_lock();
	work_locked(regs);
	instance_unlock();
}

/* ---- system calls ---- */

static const struct syscall_desc *syscall_find(uint64_t nr)
{
	const struct syscall_desc *desc;

	if (unlikely(nr >= SYSCALL_MAX))
		return NULL;
	desc = &syscall_table[nr];
	return likely(desc->fn != NULL) ? desc : NULL;
}

static long syscall_call(const struct syscall_desc *desc, const struct pt_regs *regs)
{
	return desc->fn((long)regs->rdi, (long)regs->rsi, (long)regs->rdx, (long)regs->r10,
			(long)regs->r8, (long)regs->r9);
}

static __attribute__((noinline)) void syscall_locked(struct pt_regs *regs,
						     const struct syscall_desc *desc, bool trapped)
{
	bool trace = __atomic_load_n(&abi_instance_of(window())->trace, __ATOMIC_RELAXED) != 0;
	long result = -ENOSYS;

	instance_lock();
	if (trapped)
		patch_site(regs->rip - SYSCALL_INSN_SIZE, regs->orig_rax);
	if (trace)
		trace_enter(regs);
	if (desc != NULL) {
		if ((desc->flags & SC_FULL) != 0)
			regs_complete(regs);
		result = syscall_call(desc, regs);
	}
	/* sigreturn and execve have set all registers: no call, no result. (Nor is there a call
	 * -1.) */
	if (regs->orig_rax != UINT64_MAX || desc == NULL) {
		regs->rax = (uint64_t)result;
		if (trace)
			trace_exit(regs, result);
	}
	work_locked(regs);
	instance_unlock();
}

void entry_syscall(struct pt_regs *regs)
{
	struct kthread *kt = this_kthread();
	const struct syscall_desc *desc = syscall_find(regs->orig_rax);
	bool trapped = kt->in_trap != 0;

	if (unlikely(regs->orig_rax == UINT64_MAX))
		regs->orig_rax = UINT64_MAX - 1; /* as invalid, and no mark of ours */
	kt->calls++;
	if (unlikely(trapped)) {
		kt->in_trap = 0;
		kt->traps++;
	} else if (likely(desc != NULL && (desc->flags & SC_NOLOCK) != 0 &&
			  __atomic_load_n(&abi_instance_of(window())->trace, __ATOMIC_RELAXED) ==
				  0)) {
		regs->rax = (uint64_t)syscall_call(desc, regs);
		return;
	}
	syscall_locked(regs, desc, trapped);
}

/* ---- faults of the program ---- */

void entry_fault_handle(struct pt_regs *regs)
{
	struct kthread *kt = this_kthread();
	uint64_t go_on;

	instance_lock();
	if (kt->fault_trapno == TRAPNO_BREAKPOINT && patch_trap(regs->rip, &go_on))
		regs->rip = go_on;
	else if (kt->fault_trapno != TRAPNO_PAGE_FAULT ||
		 !mm_fault(current()->process->mm, kt->fault_cr2, kt->fault_error))
		signal_force_fault(kt);
	work_locked(regs);
	instance_unlock();
}

/* ---- the host's signals ---- */

static bool in_text(uint64_t rip)
{
	return rip >= (uint64_t)(uintptr_t)image_text_start &&
	       rip < (uint64_t)(uintptr_t)image_text_end;
}

/* In libOS code, or in the host's vDSO called by it. */
static bool in_libos(const mcontext_t *mc)
{
	uint64_t rip = (uint64_t)mc->gregs[REG_RIP], rsp = (uint64_t)mc->gregs[REG_RSP];

	return in_text(rip) || (rsp >= ABI_LEAT_LOW && rsp < ABI_LEAT_HIGH);
}

static bool in_return(uint64_t rip)
{
	return rip >= (uint64_t)(uintptr_t)entry_return &&
	       rip < (uint64_t)(uintptr_t)entry_return_end;
}

static void redirect(mcontext_t *mc, struct kthread *kt, const char *entry)
{
	kt->trap_rip = (uint64_t)mc->gregs[REG_RIP];
	kt->trap_eflags = (uint64_t)mc->gregs[REG_EFL];
	mc->gregs[REG_RIP] = (greg_t)(uintptr_t)entry;
	mc->gregs[REG_EFL] = EFLAGS_CLEAN;
}

static void print_registers(const mcontext_t *mc)
{
	const greg_t *g = mc->gregs;

	log_line("rip %lx rsp %lx rbp %lx eflags %lx", (long)g[REG_RIP], (long)g[REG_RSP],
		 (long)g[REG_RBP], (long)g[REG_EFL]);
	log_line("rax %lx rbx %lx rcx %lx rdx %lx rsi %lx rdi %lx", (long)g[REG_RAX],
		 (long)g[REG_RBX], (long)g[REG_RCX], (long)g[REG_RDX], (long)g[REG_RSI],
		 (long)g[REG_RDI]);
	log_line("r8 %lx r9 %lx r10 %lx r11 %lx", (long)g[REG_R8], (long)g[REG_R9],
		 (long)g[REG_R10], (long)g[REG_R11]);
	log_line("r12 %lx r13 %lx r14 %lx r15 %lx", (long)g[REG_R12], (long)g[REG_R13],
		 (long)g[REG_R14], (long)g[REG_R15]);
	log_line("trapno %ld error %lx cr2 %lx", (long)g[REG_TRAPNO], (long)g[REG_ERR],
		 (long)g[REG_CR2]);
}

/* Return addresses along the frame pointers, as long as they make sense. */
static void print_backtrace(uint64_t rbp)
{
	for (unsigned i = 0; i < BACKTRACE_MAX; i++) {
		const uint64_t *frame = (const uint64_t *)rbp;

		if (rbp < ABI_ARENA_BASE || rbp >= ABI_BOOT_BASE + ABI_BOOT_SIZE - 16 ||
		    rbp % 8 != 0 || !in_text(frame[1]))
			return;
		log_line("  called from %lx", (unsigned long)frame[1]);
		rbp = frame[0];
	}
}

static _Noreturn void fault_in_libos(int sig, const siginfo_t *info, const mcontext_t *mc)
{
	log_line("fault in the library OS: signal %d, code %d, address %p", sig, info->si_code,
		 info->si_addr);
	print_registers(mc);
	print_backtrace((uint64_t)mc->gregs[REG_RBP]);
	panic("task %d", current() != NULL ? current()->tid : 0);
}

/* May this instruction of the libOS fault? Where to go on, or 0. */
static uint64_t fault_fixup(uint64_t rip)
{
	for (const struct ex_entry *e = image_ex_table_start; e < image_ex_table_end; e++)
		if (e->fault == rip)
			return e->go_on;
	return 0;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	mcontext_t *mc = &((ucontext_t *)context)->uc_mcontext;
	uint64_t rip = (uint64_t)mc->gregs[REG_RIP];
	struct kthread *kt = this_kthread();
	uint64_t go_on;

	if (info->si_code <= 0) /* sent, not a fault: nobody has business doing that */
		return;
	if (rip == (uint64_t)(uintptr_t)entry_full_jump) {
		/* The program's own address is bad (not canonical): its fault, seen at our jump. */
		mc->gregs[REG_RIP] = (greg_t)kt->user_rip;
	} else if (in_libos(mc)) {
		go_on = fault_fixup(rip);
		if (go_on == 0)
			fault_in_libos(sig, info, mc);
		mc->gregs[REG_RIP] = (greg_t)go_on;
		return;
	}
	kt->fault_info = *info;
	kt->fault_trapno = (uint64_t)mc->gregs[REG_TRAPNO];
	kt->fault_error = (uint64_t)mc->gregs[REG_ERR];
	kt->fault_cr2 = (uint64_t)mc->gregs[REG_CR2];
	redirect(mc, kt, entry_fault);
}

static void on_trapped_call(int sig, siginfo_t *info, void *context)
{
	mcontext_t *mc = &((ucontext_t *)context)->uc_mcontext;

	if (in_libos(mc))
		fault_in_libos(sig, info, mc);
	mc->gregs[REG_RCX] = mc->gregs[REG_RIP];
	mc->gregs[REG_RIP] = (greg_t)(uintptr_t)entry_trap;
}

static void on_preempt(int sig, siginfo_t *info, void *context)
{
	mcontext_t *mc = &((ucontext_t *)context)->uc_mcontext;
	uint64_t rip = (uint64_t)mc->gregs[REG_RIP];
	struct kthread *kt = this_kthread();

	(void)sig;
	(void)info;
	/* Pairs with the release in instance_end. */
	if (__atomic_load_n(&instance()->exiting, __ATOMIC_ACQUIRE))
		host_exit_group(0);
	__atomic_store_n(&kt->need_resched, 1, __ATOMIC_RELAXED);
	if (in_return(rip)) {
		mc->gregs[REG_RIP] = (greg_t)(uintptr_t)entry_work_again;
		mc->gregs[REG_RSP] = (greg_t)kt->kstack_top;
		mc->gregs[REG_EFL] = EFLAGS_CLEAN;
	} else if (!in_libos(mc) && kt->current != NULL) {
		redirect(mc, kt, entry_preempt);
	}
}

/* A host process of the instance ended: if nobody asked it to, it may have held a lock. */
static void on_child(int sig, siginfo_t *info, void *context)
{
	struct abi_instance *abi = abi_instance_of(window());
	int status;

	(void)sig;
	(void)info;
	(void)context;
	while (host_wait4(-1, &status, WNOHANG) > 0) {
		if (WIFEXITED(status))
			continue;
		log_line("a host process of the instance was killed by signal %d",
			 WTERMSIG(status));
		abi->exit_status = SIGKILL;
		/* Pairs with leatd's acquire. */
		__atomic_store_n(&abi->state, ABI_STATE_EXITED, __ATOMIC_RELEASE);
		__atomic_store_n(&instance()->exiting, true, __ATOMIC_RELEASE);
		host_tgkill(instance()->first_host_pid, instance()->first_host_pid, SIGURG);
		host_exit_group(128 + SIGKILL);
	}
}

static void handle(int sig, void (*handler)(int, siginfo_t *, void *), uint64_t flags)
{
	struct {
		void (*handler)(int, siginfo_t *, void *);
		uint64_t flags;
		void (*restorer)(void);
		uint64_t mask;
	} action = {
		.handler = handler,
		.flags = SA_SIGINFO | SA_ONSTACK | SA_RESTORER_KERNEL | flags,
		.restorer = host_sigreturn,
		.mask = UINT64_MAX,
	};
	long err = host_sigaction(sig, &action, NULL);

	if (err != 0)
		panic("cannot handle signal %d: %ld", sig, err);
}

void entry_init(void)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};

	for (unsigned i = 0; i < ARRAY_SIZE(faults); i++)
		handle(faults[i], on_fault, 0);
	handle(SIGSYS, on_trapped_call, 0);
	handle(SIGURG, on_preempt, 0);
	handle(SIGCHLD, on_child, SA_NOCLDSTOP | SA_RESTART);
}
