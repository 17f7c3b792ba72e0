/* Random mmap, munmap, mprotect and mremap in a window: results and what lies on each page. */
#include "t.h"
#include <setjmp.h>
#include <sys/mman.h>

#define PAGE 4096UL
#define PAGES 48UL
#define BASE 0x200000000UL
#define ROUNDS 4000

static uint64_t state = 88172645463325252UL;
static sigjmp_buf fault;

/* The same sequence everywhere. */
static unsigned rnd(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 20) % n;
}

static char *at(unsigned page)
{
	return (char *)(BASE + page * PAGE);
}

static void on_fault(int sig)
{
	(void)sig;
	siglongjmp(fault, 1);
}

/* '.': free, '-': no access, else the first byte of the page. */
static void show_pages(void)
{
	char line[PAGES + 1];
	unsigned char in[1];
	volatile unsigned i;

	for (i = 0; i < PAGES; i++) {
		line[i] = mincore(at(i), PAGE, in) ? '.' : '-';
		if (line[i] == '-' && sigsetjmp(fault, 1) == 0)
			line[i] = *(volatile char *)at(i) ? *(volatile char *)at(i) : '0';
	}
	line[PAGES] = 0;
	say("%s", line);
}

/* Marks a writable page, so that it is known again when it has moved. */
static void mark(unsigned page)
{
	if (sigsetjmp(fault, 1) == 0)
		*(volatile char *)at(page) = (char)('a' + rnd(26));
}

static void step(int fd)
{
	static const int prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE,
				    PROT_READ | PROT_WRITE};
	unsigned n = 1 + rnd(8), from = rnd(PAGES - n), to = rnd(PAGES - n), m = 1 + rnd(8);
	int prot = prots[rnd(4)], how = rnd(3);
	void *r;

	switch (rnd(6)) {
	case 0:
	case 1:
		r = mmap(at(from), n * PAGE, prot,
			 (rnd(2) ? MAP_FIXED : MAP_FIXED_NOREPLACE) |
				 (rnd(3) ? MAP_PRIVATE : MAP_SHARED) | (how ? MAP_ANONYMOUS : 0),
			 how ? -1 : fd, how ? 0 : (off_t)(from * PAGE));
		say("mmap %u+%u %d: %s", from, n, prot,
		    r == at(from) ? "ok" : strerrorname_np(errno));
		break;
	case 2:
		say("munmap %u+%u: %d", from, n, munmap(at(from), n * PAGE));
		break;
	case 3:
		say("mprotect %u+%u %d: %s", from, n, prot,
		    mprotect(at(from), n * PAGE, prot) ? strerrorname_np(errno) : "ok");
		break;
	case 4: /* one page: what lies on several may be one mapping here and two there */
		if (to + m > PAGES)
			break;
		r = mremap(at(from), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at(to));
		say("mremap %u to %u: %s", from, to, r == at(to) ? "ok" : strerrorname_np(errno));
		break;
	default:
		for (m = 0; m < n; m++)
			mark(from + m);
		break;
	}
}

int main(void)
{
	char page[PAGE];
	int fd, i;

	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	scratch();
	fd = open("f", O_CREAT | O_RDWR, 0600);
	MUST(fd);
	for (i = 0; i < (int)PAGES; i++) {
		memset(page, 'A' + i % 26, PAGE);
		MUST(pwrite(fd, page, PAGE, i * (off_t)PAGE));
	}
	for (i = 0; i < ROUNDS; i++) {
		step(fd);
		if (i % 10 == 0)
			show_pages();
	}
	munmap(at(0), PAGES * PAGE);
	show_pages();
	return 0;
}
