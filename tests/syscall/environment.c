/* What a program starts with: arguments, environment, auxiliary vector, descriptors, alignment. */
#include "t.h"
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

extern char **environ;

int main(int argc, char **argv)
{
	unsigned char *random = (unsigned char *)getauxval(AT_RANDOM);
	const Elf64_Ehdr *vdso = (const Elf64_Ehdr *)getauxval(AT_SYSINFO_EHDR);
	int zero = 0;

	SHOW(argc);
	YES(argv[argc] == NULL);
	YES(((uintptr_t)__builtin_frame_address(0) & 15) == 0);
	SHOW(getauxval(AT_PAGESZ));
	YES(getauxval(AT_PHDR) != 0 && getauxval(AT_PHNUM) > 3);
	SHOW(getauxval(AT_PHENT));
	YES(getauxval(AT_ENTRY) != 0);
	YES(getauxval(AT_BASE) != 0);
	SHOW(getauxval(AT_UID));
	SHOW(getauxval(AT_SECURE));
	SHOW(getauxval(AT_CLKTCK));
	YES(getauxval(AT_HWCAP) != 0);
	YES(getauxval(AT_MINSIGSTKSZ) >= 1024);
	YES(getauxval(AT_EXECFN) && *(char *)getauxval(AT_EXECFN) == '/');
	say("%s", (char *)getauxval(AT_PLATFORM));
	for (int i = 0; i < 16; i++)
		zero += random[i] == 0;
	YES(zero < 5);
	YES(vdso && !memcmp(vdso->e_ident, ELFMAG, 4));
	YES(environ >= argv + argc + 1);
	SHOW(fcntl(0, F_GETFD));
	SHOW(fcntl(1, F_GETFD));
	SHOW(fcntl(2, F_GETFD));
	SHOW(fcntl(3, F_GETFD));
	return 0;
}
