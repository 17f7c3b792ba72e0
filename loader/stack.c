/*
 * stack.c - the initial stack: argc, argv, envp, auxv and their strings, as the x86-64 ABI has
 * them.
 *
 * From the top down: 8 bytes of 0, the path of the program, the environment's strings, the
 * arguments' strings, the platform's name, 16 random bytes, and 16-byte aligned the table of argc,
 * argv[], NULL, envp[], NULL, auxv[].
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "leat/abi/layout.h"
#include "leat/base/bits.h"
#include "libos/arena.h"
#include "libos/instance.h"
#include "libos/mm.h"
#include "libos/task.h"
#include "libos/uaccess.h"
#include "loader/plan.h"

#define STACK_MIN (1UL << 20) /* the arguments must fit whatever the limit says */
#define STACK_MAX (1UL << 30) /* "unlimited" */
#define USER_HZ 100
#define AUXV_WORDS 64 /* room for them */

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

static const char platform[] = "x86_64";

struct stack {
	uint64_t sp; /* moves down */
	uint64_t execfn;
	uint64_t platform;
	uint64_t random;
	uint64_t *table; /* argc, argv, envp, auxv: built here, copied at the end */
	unsigned nr;     /* words in it */
};

static int push_bytes(struct stack *s, const void *bytes, size_t n)
{
	s->sp -= n;
	return copy_to_user((void *)s->sp, bytes, n);
}

static void put(struct stack *s, uint64_t word)
{
	s->table[s->nr++] = word;
}

static void put_aux(struct stack *s, uint64_t key, uint64_t value)
{
	put(s, key);
	put(s, value);
}

/* Copies strings upwards from *at and puts their addresses into the table, then a NULL. */
static int put_strings(struct stack *s, const char *const *strings, uint64_t *at)
{
	for (; *strings; strings++) {
		size_t n = strlen(*strings) + 1;

		if (copy_to_user((void *)*at, *strings, n) < 0)
			return -EFAULT;
		put(s, *at);
		*at += n;
	}
	put(s, 0);
	return 0;
}

static void put_auxv(struct stack *s, const struct exec_plan *plan, const struct loaded *l,
		     struct process *process)
{
	const struct instance *inst = instance();
	const struct elf_image *image = &plan->main.image;
	unsigned first = s->nr;

	put_aux(s, AT_SYSINFO_EHDR, ABI_VDSO_BASE);
	put_aux(s, AT_MINSIGSTKSZ, inst->sigframe_min);
	put_aux(s, AT_HWCAP, inst->cpu_features);
	put_aux(s, AT_PAGESZ, ABI_PAGE_SIZE);
	put_aux(s, AT_CLKTCK, USER_HZ);
	put_aux(s, AT_PHDR, image->phdr ? l->bias + image->phdr : 0);
	put_aux(s, AT_PHENT, sizeof(Elf64_Phdr));
	put_aux(s, AT_PHNUM, image->nr_phdrs);
	put_aux(s, AT_BASE, l->interp_base);
	put_aux(s, AT_FLAGS, 0);
	put_aux(s, AT_ENTRY, l->entry);
	put_aux(s, AT_UID, process->creds.uid);
	put_aux(s, AT_EUID, process->creds.euid);
	put_aux(s, AT_GID, process->creds.gid);
	put_aux(s, AT_EGID, process->creds.egid);
	put_aux(s, AT_SECURE, plan->request.secure);
	put_aux(s, AT_RANDOM, s->random);
	put_aux(s, AT_HWCAP2, inst->hwcap2);
	put_aux(s, AT_EXECFN, s->execfn);
	put_aux(s, AT_PLATFORM, s->platform);
	put_aux(s, AT_NULL, 0);

	memset(process->auxv, 0, sizeof(process->auxv));
	memcpy(process->auxv, s->table + first,
	       MIN((s->nr - first) * sizeof(uint64_t), sizeof(process->auxv)));
}

/* The strings and what stands above the table. */
static int push_strings(struct stack *s, const struct exec_plan *plan)
{
	static const uint64_t zero;
	uint8_t random[16];

	random_bytes(random, sizeof(random));
	if (push_bytes(s, &zero, sizeof(zero)) < 0 ||
	    push_bytes(s, plan->path, strlen(plan->path) + 1) < 0)
		return -EFAULT;
	s->execfn = s->sp;
	s->sp -= plan->strings_bytes; /* argv's, then envp's: filled with the table */
	if (push_bytes(s, platform, sizeof(platform)) < 0)
		return -EFAULT;
	s->platform = s->sp;
	if (push_bytes(s, random, sizeof(random)) < 0)
		return -EFAULT;
	s->random = s->sp;
	return 0;
}

/* Builds the table in s->table and copies it below the strings. */
static int push_table(struct stack *s, const struct exec_plan *plan, const struct loaded *loaded,
		      struct process *process)
{
	uint64_t at = s->execfn - plan->strings_bytes;

	put(s, plan->argc);
	process->arg_start = at;
	if (put_strings(s, plan->argv, &at) < 0)
		return -EFAULT;
	process->arg_end = at;
	process->env_start = at;
	if (put_strings(s, (const char *const *)plan->request.envp, &at) < 0)
		return -EFAULT;
	process->env_end = at;
	put_auxv(s, plan, loaded, process);
	s->sp = align_down(s->sp - s->nr * sizeof(uint64_t), 16);
	return copy_to_user((void *)s->sp, s->table, s->nr * sizeof(uint64_t));
}

/* Words of argc, argv, envp and auxv. */
static uint64_t table_words(const struct exec_plan *plan)
{
	return 1 + plan->argc + 1 + plan->envc + 1 + AUXV_WORDS;
}

int load_stack_map(struct exec_plan *plan)
{
	uint64_t bytes = MIN(MAX(plan->request.stack_max, STACK_MIN), STACK_MAX);
	int prot = PROT_READ | PROT_WRITE | (plan->main.image.exec_stack ? PROT_EXEC : 0);

	bytes = MAX(bytes,
		    2 * (plan->strings_bytes + table_words(plan) * sizeof(uint64_t)) + STACK_MIN);
	return mm_map_stack(plan->mm, bytes, prot, &plan->stack_top);
}

int load_stack(struct exec_plan *plan, const struct loaded *loaded, struct process *process,
	       uint64_t *ret_sp)
{
	struct stack s = {.sp = plan->stack_top};
	int r;

	s.table = arena_alloc(table_words(plan) * sizeof(uint64_t));
	if (!s.table)
		return -ENOMEM;
	r = push_strings(&s, plan);
	if (r == 0)
		r = push_table(&s, plan, loaded, process);
	arena_free(s.table);
	if (r == 0)
		*ret_sp = s.sp;
	return r;
}
