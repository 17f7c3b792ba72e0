/*
 * entry.S - from the program into the libOS and back.
 *
 * entry_stub     from a rewritten site: rcx = where to go on, r11 is scratch
 * entry_trap     the same from a SIGSYS handler, which has redirected the program here
 * entry_fault    from a fault's handler; kthread.trap_rip and trap_eflags say where the program was
 * entry_preempt  the same from the preemption signal's handler
 *
 * All switch to the task's kernel stack first; the program's stack, red zone included, is never
 * touched.  Offsets of struct kthread and struct pt_regs are asserted in entry.c.
 *
 * [entry_return, entry_return_end) is the way back. Between its look at need_resched and the final
 * jump no event may get lost: a handler that interrupts it sets rip to entry_work_again, and the
 * look is taken again. The frame is whole until the very end, so nothing is lost by that.
 */

#define KT_KSTACK_TOP 0x10
#define KT_USER_RSP 0x18
#define KT_USER_RIP 0x20
#define KT_TRAP_RIP 0x28
#define KT_TRAP_EFLAGS 0x30
#define KT_NEED_RESCHED 0x38
#define KT_IN_TRAP 0x3c

#define R_R11 48
#define R_R10 56
#define R_R9 64
#define R_R8 72
#define R_RAX 80
#define R_RCX 88
#define R_RDX 96
#define R_RSI 104
#define R_RDI 112
#define R_RIP 128
#define R_EFLAGS 136
#define R_RSP 144
#define R_FULL 152

/* Flags that sahf does not set: trap, direction, overflow, nested task, alignment check. */
#define EFLAGS_SLOW 0x44d00

.macro FUNC name
	.globl \name
	.type \name, @function
	.balign 16
\name:
.endm

	.text

FUNC entry_trap
	movl $1, %gs:KT_IN_TRAP
	jmp entry_stub
	.size entry_trap, . - entry_trap

FUNC entry_stub
	movq %rsp, %gs:KT_USER_RSP
	movq %gs:KT_KSTACK_TOP, %rsp
	leaq R_RSP(%rsp), %rsp
	pushfq
	pushq %rcx
	pushq %rax
	pushq %rdi
	pushq %rsi
	pushq %rdx
	pushq %rcx
	pushq %rax
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %gs:KT_USER_RSP, %r11
	movq %r11, R_RSP(%rsp)
	movq $0, R_FULL(%rsp)
	cld
	movq %rsp, %rdi
	call entry_syscall
	jmp entry_return
	.size entry_stub, . - entry_stub

FUNC entry_return
	cmpl $0, %gs:KT_NEED_RESCHED
	jne entry_work_again
	cmpl $0, R_FULL(%rsp)
	jne entry_full
	movq R_EFLAGS(%rsp), %rcx
	testl $EFLAGS_SLOW, %ecx
	jnz entry_flags
	/* The fast way: rbx, rbp and r12 to r15 were kept by the C code. */
	movq %rcx, %r11
	movl %ecx, %eax
	movb %al, %ah
	sahf
	movq R_RAX(%rsp), %rax
	movq R_RDI(%rsp), %rdi
	movq R_RSI(%rsp), %rsi
	movq R_RDX(%rsp), %rdx
	movq R_R10(%rsp), %r10
	movq R_R8(%rsp), %r8
	movq R_R9(%rsp), %r9
	movq R_RIP(%rsp), %rcx
	movq R_RSP(%rsp), %rsp
	jmp *%rcx
entry_flags:
	movq %rcx, R_R11(%rsp)
	movq R_RIP(%rsp), %rcx
	movq %rcx, R_RCX(%rsp)
entry_full:
	movq R_RIP(%rsp), %rax
	movq %rax, %gs:KT_USER_RIP
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbp
	popq %rbx
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rax
	popq %rcx
	popq %rdx
	popq %rsi
	popq %rdi
	leaq 16(%rsp), %rsp
	popfq
	popq %rsp
	.globl entry_full_jump
entry_full_jump:
	jmp *%gs:KT_USER_RIP
	.globl entry_return_end
entry_return_end:
	.size entry_return, . - entry_return

/* Also where handlers send a return that they interrupted. */
FUNC entry_work_again
	movq %gs:KT_KSTACK_TOP, %rsp
	cld
	movq %rsp, %rdi
	call entry_work
	jmp entry_return
	.size entry_work_again, . - entry_work_again

/* The frame of an interrupted program: everything is saved, everything will be restored. */
.macro SAVE_FULL
	movq %rsp, %gs:KT_USER_RSP
	movq %gs:KT_KSTACK_TOP, %rsp
	leaq R_RSP(%rsp), %rsp
	pushq %gs:KT_TRAP_EFLAGS
	pushq %gs:KT_TRAP_RIP
	pushq $-1
	pushq %rdi
	pushq %rsi
	pushq %rdx
	pushq %rcx
	pushq %rax
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %rbx
	pushq %rbp
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %gs:KT_USER_RSP, %rax
	movq %rax, R_RSP(%rsp)
	movq $1, R_FULL(%rsp)
	cld
	movq %rsp, %rdi
.endm

FUNC entry_fault
	SAVE_FULL
	call entry_fault_handle
	jmp entry_return
	.size entry_fault, . - entry_fault

FUNC entry_preempt
	SAVE_FULL
	call entry_work
	jmp entry_return
	.size entry_preempt, . - entry_preempt

/* A new task's first steps: its kernel stack holds nothing but its frame. */
FUNC entry_task_start
	call task_start
	movq %gs:KT_KSTACK_TOP, %rsp
	jmp entry_return
	.size entry_task_start, . - entry_task_start

/* void context_switch(uint64_t *ret_old_sp, uint64_t new_sp) */
FUNC context_switch
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, (%rdi)
	movq %rsi, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret
	.size context_switch, . - context_switch

/* The image's entry: rdi = the boot block, rsp = the boot stack. */
FUNC _start
	xorl %ebp, %ebp
	call start
	ud2
	.size _start, . - _start

	.section .note.GNU-stack, "", @progbits
