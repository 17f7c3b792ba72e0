/*
 * entry.S - the end of every stub in test_patch.c: makes the call after all, counts it, goes on.
 */
	.text
	.globl entry_stub
	.type entry_stub, @function
entry_stub:
	lock incl entry_count(%rip)
	leaq -128(%rsp), %rsp
	pushq %rcx
	syscall
	popq %rcx
	leaq 128(%rsp), %rsp
	jmp *%rcx
	.size entry_stub, . - entry_stub

	.bss
	.globl entry_count
	.balign 4
entry_count:
	.zero 4
	.section .note.GNU-stack, "", @progbits
