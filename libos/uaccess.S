/*
 * uaccess.S - the instructions that touch program memory, and where to go on when they fault.
 *
 * Each may-fault instruction has a line in the table __ex_table: its address and its continuation.
 */

.macro MAY_FAULT from, to
	.pushsection __ex_table, "a"
	.balign 8
	.quad \from, \to
	.popsection
.endm

.macro FUNC name
	.globl \name
	.type \name, @function
\name:
.endm

#define EFAULT 14
#define COPY_WORDS_MAX 64

	.text

/* size_t uaccess_copy(void *dst, const void *src, size_t n): bytes that were not copied. */
FUNC uaccess_copy
	movq %rdx, %rcx
	cmpq $COPY_WORDS_MAX, %rdx
	jbe 3f
1:	rep movsb
2:	movq %rcx, %rax
	ret
	/* A few words: the string instruction takes longer. A fault is pinned to its byte. */
3:	subq $8, %rcx
	jb 6f
4:	movq (%rsi), %rax
5:	movq %rax, (%rdi)
	addq $8, %rsi
	addq $8, %rdi
	jmp 3b
6:	addq $8, %rcx
7:	subq $1, %rcx
	jb 10f
8:	movb (%rsi), %al
9:	movb %al, (%rdi)
	incq %rsi
	incq %rdi
	jmp 7b
10:	xorl %eax, %eax
	ret
11:	leaq 1(%rcx), %rax
	ret
	MAY_FAULT 1b, 2b
	MAY_FAULT 4b, 6b
	MAY_FAULT 5b, 6b
	MAY_FAULT 8b, 11b
	MAY_FAULT 9b, 11b
	.size uaccess_copy, . - uaccess_copy

/* size_t uaccess_clear(void *dst, size_t n): bytes that were not cleared. */
FUNC uaccess_clear
	movq %rsi, %rcx
	xorl %eax, %eax
1:	rep stosb
2:	movq %rcx, %rax
	ret
	MAY_FAULT 1b, 2b
	.size uaccess_clear, . - uaccess_clear

/* ssize_t uaccess_strncpy(char *dst, const char *src, size_t size): length, size, or -EFAULT. */
FUNC uaccess_strncpy
	xorl %eax, %eax
1:	cmpq %rdx, %rax
	je 3f
2:	movb (%rsi,%rax), %cl
	movb %cl, (%rdi,%rax)
	testb %cl, %cl
	je 3f
	incq %rax
	jmp 1b
3:	ret
4:	movq $-EFAULT, %rax
	ret
	MAY_FAULT 2b, 4b
	.size uaccess_strncpy, . - uaccess_strncpy

/* int uaccess_get32(uint32_t *ret_value, const uint32_t *src): 0 or -EFAULT. */
FUNC uaccess_get32
1:	movl (%rsi), %ecx
	movl %ecx, (%rdi)
	xorl %eax, %eax
	ret
2:	movl $-EFAULT, %eax
	ret
	MAY_FAULT 1b, 2b
	.size uaccess_get32, . - uaccess_get32

FUNC uaccess_get64
1:	movq (%rsi), %rcx
	movq %rcx, (%rdi)
	xorl %eax, %eax
	ret
2:	movl $-EFAULT, %eax
	ret
	MAY_FAULT 1b, 2b
	.size uaccess_get64, . - uaccess_get64

/* int uaccess_put32(uint32_t *dst, uint32_t value): 0 or -EFAULT. */
FUNC uaccess_put32
1:	movl %esi, (%rdi)
	xorl %eax, %eax
	ret
2:	movl $-EFAULT, %eax
	ret
	MAY_FAULT 1b, 2b
	.size uaccess_put32, . - uaccess_put32

FUNC uaccess_put64
1:	movq %rsi, (%rdi)
	xorl %eax, %eax
	ret
2:	movl $-EFAULT, %eax
	ret
	MAY_FAULT 1b, 2b
	.size uaccess_put64, . - uaccess_put64

/* int uaccess_cmpxchg32(uint32_t *word, uint32_t expected, uint32_t desired, uint32_t *ret) */
FUNC uaccess_cmpxchg32
	movq %rcx, %r8
	movl %esi, %eax
1:	lock cmpxchgl %edx, (%rdi)
	movl %eax, (%r8)
	xorl %eax, %eax
	ret
2:	movl $-EFAULT, %eax
	ret
	MAY_FAULT 1b, 2b
	.size uaccess_cmpxchg32, . - uaccess_cmpxchg32

	.section .note.GNU-stack, "", @progbits
