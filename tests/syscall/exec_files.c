/* What execve takes and refuses: scripts of every kind, broken programs, limits of the arguments.
 */
#include "t.h"
#include <elf.h>
#include <sys/auxv.h>

static char *self;

static void put_program(const char *name, const void *bytes, size_t n, mode_t mode)
{
	int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0700);

	MUST(fd);
	MUST(write(fd, bytes, n));
	close(fd);
	MUST(chmod(name, mode));
}

static void script(const char *name, const char *text)
{
	put_program(name, text, strlen(text), 0755);
}

/* Runs it in a child and says how it went. */
static void run(const char *path, char *const argv[])
{
	static char *env[] = {"PATH=/usr/bin:/bin", "A=1", NULL};
	int st;
	pid_t pid = fork();

	if (pid == 0) {
		execve(path, argv, env);
		say("%s: %s", path, strerrorname_np(errno));
		_exit(1);
	}
	waitpid(pid, &st, 0);
	show_status(path, st);
}

#define RUN(path, ...) run(path, (char *[]){__VA_ARGS__, NULL})

static void scripts(void)
{
	char text[600];
	int i;

	script("plain", "#!/bin/echo\n");
	RUN("./plain", "zero", "one", "two words");
	script("arg", "#! /bin/echo  -n a b\t \nrest\n");
	RUN("./arg", "zero", "one");
	script("noeol", "#!/bin/echo x");
	RUN("./noeol", "zero");
	script("sh", "#!/bin/sh -e\necho \"$0\" \"$1\" $#\nfalse\necho never\n");
	RUN("./sh", "zero", "a", "b c");
	script("empty", "#!\n");
	RUN("./empty", "zero");
	script("blank", "#!   \n");
	RUN("./blank", "zero");
	script("missing", "#!/no/such/interpreter\n");
	RUN("./missing", "zero");
	script("relative", "#!./plain\n");
	RUN("./relative", "zero", "one");
	snprintf(text, sizeof(text), "#!/%0300d\n", 7);
	script("long", text);
	RUN("./long", "zero");
	snprintf(text, sizeof(text), "#!/bin/echo %0300d\n", 7);
	script("longarg", text);
	RUN("./longarg", "zero");
	/* Scripts that name scripts: five are taken. */
	script("s0", "#!/bin/echo end\n");
	for (i = 1; i < 7; i++) {
		char name[8];

		snprintf(name, sizeof(name), "s%d", i);
		snprintf(text, sizeof(text), "#!./s%d %d\n", i - 1, i);
		script(name, text);
		snprintf(name, sizeof(name), "./s%d", i);
		RUN(name, "zero", "one");
	}
}

static void broken(void)
{
	static char big[8192];
	Elf64_Ehdr ehdr = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
			   .e_type = ET_EXEC,
			   .e_machine = EM_X86_64,
			   .e_phoff = sizeof(ehdr),
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_phnum = 1};

	put_program("zero", "", 0, 0755);
	RUN("./zero", "x");
	put_program("text", "hello\n", 6, 0755);
	RUN("./text", "x");
	put_program("noexec", "#!/bin/echo\n", 12, 0644);
	RUN("./noexec", "x");
	RUN("./nothing", "x");
	RUN("./text/x", "x");
	RUN(".", "x");
	put_program("short", &ehdr, sizeof(ehdr), 0755);
	RUN("./short", "x");
	ehdr.e_machine = EM_AARCH64;
	memcpy(big, &ehdr, sizeof(ehdr));
	put_program("arm", big, sizeof(big), 0755);
	RUN("./arm", "x");
	ehdr.e_machine = EM_X86_64;
	ehdr.e_type = ET_REL;
	memcpy(big, &ehdr, sizeof(ehdr));
	put_program("rel", big, sizeof(big), 0755);
	RUN("./rel", "x");
}

static void limits(void)
{
	char *argv[130] = {"true"};
	size_t n = 128 << 10;
	char *s = malloc(n + 1);
	int i;

	memset(s, 'x', n);
	s[n] = 0;
	argv[1] = s;
	run("/bin/true", argv);
	s[n - 1] = 0;
	run("/bin/true", argv);
	for (i = 1; i < 129; i++)
		argv[i] = s;
	run("/bin/true", argv);
	free(s);
}

/* What the program finds on its stack. */
static void inside(int argc, char **argv, char **envp)
{
	unsigned long i;

	for (i = 0; i < (unsigned long)argc; i++)
		say("argv %lu [%s]", i, argv[i]);
	for (i = 0; envp[i]; i++)
		say("envp %lu [%s]", i, envp[i]);
	YES(argv[argc] == NULL);
	YES((char **)argv + argc + 1 == envp);
	YES(getauxval(AT_PAGESZ) == 4096);
	YES(getauxval(AT_CLKTCK) == 100);
	YES(getauxval(AT_PHENT) == sizeof(Elf64_Phdr));
	YES(getauxval(AT_PHNUM) > 4);
	YES(getauxval(AT_PHDR) != 0);
	YES(getauxval(AT_ENTRY) != 0);
	YES(getauxval(AT_BASE) != 0);
	YES(getauxval(AT_SYSINFO_EHDR) != 0);
	YES(getauxval(AT_RANDOM) != 0);
	YES(getauxval(AT_MINSIGSTKSZ) >= 2048);
	SHOW(getauxval(AT_SECURE));
	say("execfn %s", (char *)getauxval(AT_EXECFN));
	say("platform %s", (char *)getauxval(AT_PLATFORM));
	YES(memcmp((char *)getauxval(AT_SYSINFO_EHDR), ELFMAG, SELFMAG) == 0);
}

int main(int argc, char **argv, char **envp)
{
	char line[4200];

	if (argc > 1 && strcmp(argv[1], "inside") == 0) {
		inside(argc, argv, envp);
		return 0;
	}
	self = realpath(argv[0], NULL);
	scratch();
	scripts();
	broken();
	limits();
	symlink(self, "link");
	RUN("./link", "name", "inside", "", "three");
	snprintf(line, sizeof(line), "#!./link inside\n");
	script("to-link", line);
	RUN("./to-link", "zero", "one");
	return 0;
}
