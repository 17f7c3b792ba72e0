/*
 * elf.h - what a 64-bit x86 ELF executable asks for: pure checks on bytes that may be hostile.
 */
#pragma once

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_MAX_PHDRS 1170U /* 64 KiB of them, as Linux has it */
#define ELF_MAX_SEGMENTS 64U

/* A PT_LOAD, before the load bias. */
struct elf_segment {
	uint64_t vaddr;
	uint64_t filesz;
	uint64_t memsz;
	uint64_t off;
	int prot;
};

struct elf_image {
	bool dyn;        /* ET_DYN: goes anywhere */
	bool exec_stack; /* PT_GNU_STACK asks for it */
	uint64_t entry;
	uint64_t low; /* page-aligned bounds of all segments */
	uint64_t high;
	uint64_t brk;   /* end of the last byte of memory */
	uint64_t align; /* of the load bias: a power of two, at least a page */
	uint64_t phdr;  /* address of the program headers in memory, 0: not mapped */
	unsigned nr_phdrs;
	uint64_t interp_off; /* of PT_INTERP's string in the file */
	uint64_t interp_len; /* with its NUL; 0: no interpreter */
	unsigned nr_segments;
	struct elf_segment segment[ELF_MAX_SEGMENTS];
};

/* Is it an executable for us, and how many bytes of program headers lie where? 0 or -ENOEXEC. */
int elf_check_header(const Elf64_Ehdr *ehdr, uint64_t *ret_phdrs_off, size_t *ret_phdrs_bytes);

/* Reads the program headers. user_high: end of the address space. 0 or -ENOEXEC. */
int elf_parse(const Elf64_Ehdr *ehdr, const Elf64_Phdr *phdrs, uint64_t user_high,
	      struct elf_image *ret_image);
