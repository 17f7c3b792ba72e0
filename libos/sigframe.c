/*
 * sigframe.c - the frame of a signal handler on the program's stack, exact to the byte.
 *
 * The layout is the kernel's struct rt_sigframe (arch/x86 uapi <asm/sigcontext.h>,
 * <asm/ucontext.h>): return address, ucontext, siginfo, and above them the vector state in XSAVE's
 * standard format with the kernel's magic words.  The JVM, Go, Julia and V8 read and change it.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/instance.h"
#include "libos/signal.h"
#include "libos/uaccess.h"

#define RED_ZONE 128UL
#define FP_XSTATE_MAGIC1 0x46505853U
#define FP_XSTATE_MAGIC2 0x46505845U
#define XSAVE_SW_OFFSET 464U
#define XSAVE_HEADER_OFFSET 512U
#define XSAVE_LEGACY_SIZE 512U
#define XSAVE_MXCSR_OFFSET 24U
#define XSAVE_MIN_SIZE 576U
#define MXCSR_VALID 0xffffU

#define UC_FP_XSTATE 1UL
#define UC_SIGCONTEXT_SS 2UL
#define UC_STRICT_RESTORE_SS 4UL

/* In sigcontext.reserved1[0]: the interrupted call is made again after the handler. */
#define FRAME_RESTART 0x7472617473657221UL

/* Flags that a program may set in its saved eflags: CF PF AF ZF SF TF DF OF NT RF AC ID. */
#define EFLAGS_USER 0x255dd5UL
#define EFLAGS_FIXED 0x202UL /* bit 1 and IF */
#define EFLAGS_DF 0x400UL
#define EFLAGS_TF 0x100UL
#define EFLAGS_RF 0x10000UL

#define USER_CS 0x33
#define USER_SS 0x2b

struct frame_sigcontext {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip;
	uint64_t eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err;
	uint64_t trapno;
	uint64_t oldmask;
	uint64_t cr2;
	uint64_t fpstate;
	uint64_t reserved1[8];
};

struct frame_ucontext {
	uint64_t flags;
	uint64_t link;
	uint64_t stack_sp;
	int32_t stack_flags;
	uint32_t pad;
	uint64_t stack_size;
	struct frame_sigcontext mc;
	uint64_t sigmask;
};

struct sigframe {
	uint64_t return_address;
	struct frame_ucontext uc;
	uint8_t info[128];
};

/* The kernel's struct _fpx_sw_bytes. */
struct frame_sw_bytes {
	uint32_t magic1;
	uint32_t extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size;
	uint32_t padding[7];
};

_Static_assert(sizeof(struct frame_sigcontext) == 256, "sigcontext layout");
_Static_assert(sizeof(struct frame_ucontext) == 304, "ucontext layout");
_Static_assert(offsetof(struct sigframe, info) == 312, "rt_sigframe layout");
_Static_assert(sizeof(siginfo_t) == 128, "siginfo layout");
_Static_assert(sizeof(struct frame_sw_bytes) == 48, "sw bytes layout");

/* ---- vector state: the only instructions here that touch it ---- */

static uint64_t xstate_xcr0(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return ((uint64_t)high << 32) | low;
}

/* Live registers -> buf, standard format. buf is 64-byte aligned and zeroed. */
static void xstate_frame_save(void *buf, uint64_t mask)
{
	__asm__ volatile("xsave64 (%0)"
			 :
			 : "r"(buf), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
			 : "memory");
}

static void xstate_frame_restore(const void *buf, uint64_t mask)
{
	__asm__ volatile("xrstor64 (%0)"
			 :
			 : "r"(buf), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
			 : "memory");
}

/* CPUID leaf 0xd says how much XSAVE writes with the features in XCR0; it traps in a VM: kept. */
static uint32_t xstate_frame_size(void)
{
	struct instance *inst = instance();
	uint32_t a = 0xd, b, c = 0, d;

	if (inst->xframe_size == 0) {
		__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
		inst->xframe_size = b;
	}
	return inst->xframe_size;
}

/* ---- building ---- */

static bool on_altstack(const struct task *task, uint64_t sp)
{
	return sp - 1 >= task->altstack.sp && sp - 1 - task->altstack.sp < task->altstack.size;
}

/* Where the frame starts from: the alternate stack if the handler wants it and it is free. */
static uint64_t frame_stack(const struct pt_regs *regs, const struct ksigaction *action)
{
	struct task *task = current();

	if ((action->flags & SA_ONSTACK) == 0 || (task->altstack.flags & SS_DISABLE) != 0 ||
	    on_altstack(task, regs->rsp))
		return regs->rsp - RED_ZONE;
	return task->altstack.sp + task->altstack.size;
}

static void frame_fill_regs(struct frame_sigcontext *mc, const struct pt_regs *regs)
{
	const struct task *task = current();

	mc->r8 = regs->r8;
	mc->r9 = regs->r9;
	mc->r10 = regs->r10;
	mc->r11 = regs->full ? regs->r11 : regs->eflags;
	mc->r12 = regs->r12;
	mc->r13 = regs->r13;
	mc->r14 = regs->r14;
	mc->r15 = regs->r15;
	mc->rdi = regs->rdi;
	mc->rsi = regs->rsi;
	mc->rbp = regs->rbp;
	mc->rbx = regs->rbx;
	mc->rdx = regs->rdx;
	mc->rax = regs->rax;
	mc->rcx = regs->full ? regs->rcx : regs->rip;
	mc->rsp = regs->rsp;
	mc->rip = regs->rip;
	mc->eflags = regs->eflags;
	mc->cs = USER_CS;
	mc->ss = USER_SS;
	mc->err = task->trap_error;
	mc->trapno = task->trapno;
	mc->cr2 = task->trap_cr2;
}

/*
 * How the saved context restarts the call.  Natively rip points at the syscall instruction again
 * and rax holds the number; where a rewritten site has kept the instruction that is exactly what
 * happens here too.  Elsewhere a word in the frame says so to rt_sigreturn.
 */
static void frame_fill_restart(struct frame_sigcontext *mc, const struct pt_regs *regs)
{
	uint8_t insn[2];

	if (copy_from_user(insn, (const void *)(regs->rip - 2), 2) == 0 && insn[0] == 0x0f &&
	    insn[1] == 0x05) {
		mc->rip = regs->rip - 2;
		mc->rax = regs->orig_rax;
		return;
	}
	mc->rax = regs->orig_rax;
	mc->reserved1[0] = FRAME_RESTART;
}

static void frame_fill_xstate(void *buf, uint32_t size)
{
	struct frame_sw_bytes sw = {
		.magic1 = FP_XSTATE_MAGIC1,
		.extended_size = size + (uint32_t)sizeof(uint32_t),
		.xfeatures = xstate_xcr0(),
		.xstate_size = size,
	};
	uint32_t magic2 = FP_XSTATE_MAGIC2;

	xstate_frame_save(buf, sw.xfeatures);
	memcpy((char *)buf + XSAVE_SW_OFFSET, &sw, sizeof(sw));
	memcpy((char *)buf + size, &magic2, sizeof(magic2));
}

/* Writes the vector state below sp; its address goes to *ret_fpstate. */
static int frame_push_xstate(uint64_t sp, uint64_t *ret_fpstate)
{
	uint32_t size = xstate_frame_size();
	void *buf = arena_zalloc(size + 64);
	uint64_t fpstate = align_down(sp - size - sizeof(uint32_t), 64);
	int err;

	if (buf == NULL)
		return -ENOMEM;
	frame_fill_xstate(buf, size);
	err = copy_to_user((void *)fpstate, buf, size + sizeof(uint32_t));
	arena_free(buf);
	*ret_fpstate = fpstate;
	return err;
}

int sigframe_push(struct pt_regs *regs, int sig, const struct ksigaction *action,
		  const siginfo_t *info, uint64_t restore_mask, bool restart)
{
	struct task *task = current();
	struct sigframe frame = {
		.return_address = action->restorer,
		.uc.flags = UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
		.uc.stack_sp = task->altstack.sp,
		.uc.stack_size = task->altstack.size,
		.uc.stack_flags = task->altstack.flags,
		.uc.sigmask = restore_mask,
	};
	uint64_t sp = frame_stack(regs, action);
	uint64_t at;

	if ((action->flags & KSA_RESTORER) == 0)
		return -EFAULT;
	if ((task->altstack.flags & SS_DISABLE) == 0 && on_altstack(task, regs->rsp))
		frame.uc.stack_flags |= SS_ONSTACK;
	if (frame_push_xstate(sp, &frame.uc.mc.fpstate) != 0)
		return -EFAULT;
	at = align_down(frame.uc.mc.fpstate - sizeof(frame), 16) - 8;
	if ((task->altstack.flags & SS_DISABLE) == 0 && on_altstack(task, sp) &&
	    !on_altstack(task, at + 1))
		return -EFAULT;
	frame_fill_regs(&frame.uc.mc, regs);
	frame.uc.mc.oldmask = restore_mask;
	memcpy(frame.info, info, sizeof(frame.info));
	if (restart)
		frame_fill_restart(&frame.uc.mc, regs);
	if (copy_to_user((void *)at, &frame, sizeof(frame)) != 0)
		return -EFAULT;
	if ((task->altstack.flags & SS_AUTODISARM_FLAG) != 0)
		task->altstack = (struct altstack){.flags = SS_DISABLE};
	regs->rsp = at;
	regs->rip = action->handler;
	regs->rdi = (uint64_t)sig;
	regs->rsi = at + offsetof(struct sigframe, info);
	regs->rdx = at + offsetof(struct sigframe, uc);
	regs->rax = 0;
	regs->eflags &= ~(EFLAGS_DF | EFLAGS_TF | EFLAGS_RF);
	regs->orig_rax = UINT64_MAX;
	regs->full = 1;
	return 0;
}

/* ---- returning ---- */

static void frame_take_regs(struct pt_regs *regs, const struct frame_sigcontext *mc)
{
	regs->r8 = mc->r8;
	regs->r9 = mc->r9;
	regs->r10 = mc->r10;
	regs->r11 = mc->r11;
	regs->r12 = mc->r12;
	regs->r13 = mc->r13;
	regs->r14 = mc->r14;
	regs->r15 = mc->r15;
	regs->rdi = mc->rdi;
	regs->rsi = mc->rsi;
	regs->rbp = mc->rbp;
	regs->rbx = mc->rbx;
	regs->rdx = mc->rdx;
	regs->rax = mc->rax;
	regs->rcx = mc->rcx;
	regs->rsp = mc->rsp;
	regs->rip = mc->rip;
	regs->eflags = (mc->eflags & EFLAGS_USER) | EFLAGS_FIXED;
	regs->full = 1;
	regs->orig_rax = UINT64_MAX;
}

/*
 * What comes from the program must not make XRSTOR fault: unknown features, a compacted header and
 * bad MXCSR bits are cut off, as the kernel refuses or masks them.
 */
static void frame_sanitize_xstate(uint8_t *buf, uint64_t xfeatures)
{
	uint64_t header[8] = {0};
	uint32_t mxcsr;

	memcpy(&header[0], buf + XSAVE_HEADER_OFFSET, sizeof(header[0]));
	header[0] &= xfeatures;
	memcpy(buf + XSAVE_HEADER_OFFSET, header, sizeof(header));
	memcpy(&mxcsr, buf + XSAVE_MXCSR_OFFSET, sizeof(mxcsr));
	mxcsr &= MXCSR_VALID;
	memcpy(buf + XSAVE_MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
}

/* Is there extended state behind the legacy area? Its magic words say so. */
static bool frame_has_extended(const uint8_t *buf, uint64_t fpstate, uint32_t size)
{
	struct frame_sw_bytes sw;
	uint32_t magic2;

	memcpy(&sw, buf + XSAVE_SW_OFFSET, sizeof(sw));
	if (sw.magic1 != FP_XSTATE_MAGIC1 || sw.xstate_size < XSAVE_MIN_SIZE ||
	    sw.xstate_size > size)
		return false;
	if (get_user_u32(&magic2, (const uint32_t *)(fpstate + sw.xstate_size)) != 0)
		return false;
	return magic2 == FP_XSTATE_MAGIC2;
}

static int frame_pop_xstate(uint64_t fpstate)
{
	uint32_t size = xstate_frame_size();
	uint64_t xcr0 = xstate_xcr0();
	uint64_t legacy = 3; /* x87 and SSE */
	uint8_t *buf = arena_zalloc(size + 64);
	int err = 0;

	if (buf == NULL)
		return -ENOMEM;
	if (fpstate == 0) { /* no state: XRSTOR of an empty header initialises everything */
		buf[XSAVE_MXCSR_OFFSET] = 0x80;
		buf[XSAVE_MXCSR_OFFSET + 1] = 0x1f;
	} else {
		err = copy_from_user(buf, (const void *)fpstate, XSAVE_LEGACY_SIZE);
	}
	if (err == 0 && fpstate != 0) {
		if (frame_has_extended(buf, fpstate, size))
			err = copy_from_user(buf, (const void *)fpstate, size);
		else
			memcpy(buf + XSAVE_HEADER_OFFSET, &legacy, sizeof(legacy));
	}
	if (err == 0) {
		frame_sanitize_xstate(buf, xcr0);
		xstate_frame_restore(buf, xcr0);
	}
	arena_free(buf);
	return err;
}

int sigframe_pop(struct pt_regs *regs, bool *ret_restart)
{
	struct task *task = current();
	struct sigframe frame;
	uint64_t at = regs->rsp - sizeof(uint64_t); /* the handler's ret took the return address */

	if (copy_from_user(&frame, (const void *)at, sizeof(frame)) != 0)
		return -EFAULT;
	if (frame_pop_xstate(frame.uc.mc.fpstate) != 0)
		return -EFAULT;
	frame_take_regs(regs, &frame.uc.mc);
	signal_set_blocked(task, frame.uc.sigmask);
	if (!on_altstack(task, regs->rsp) || (task->altstack.flags & SS_DISABLE) != 0)
		task->altstack = (struct altstack){.sp = frame.uc.stack_sp,
						   .size = frame.uc.stack_size,
						   .flags = frame.uc.stack_flags & ~SS_ONSTACK};
	*ret_restart = frame.uc.mc.reserved1[0] == FRAME_RESTART;
	return 0;
}
