/* vfork, execve, posix_spawn: close-on-exec, arguments, environment, a shebang, errors. */
#include "t.h"
#include <spawn.h>

extern char **environ;

static int again(int argc, char **argv)
{
	say("again: argc %d", argc);
	for (int i = 1; i < argc; i++)
		say("  [%s]", argv[i]);
	for (char **e = environ; *e; e++)
		say("  env [%s]", *e);
	if (argc > 4) {
		SHOW(fcntl(atoi(argv[3]), F_GETFD));
		SHOW(fcntl(atoi(argv[4]), F_GETFD));
	}
	return 7;
}

int main(int argc, char **argv)
{
	static char self[4096];
	char *env[] = {"A=1", "B=two words", NULL};
	char kept[16], closed[16];
	int st, keep, cloexec;
	pid_t pid;

	if (argc > 1 && !strcmp(argv[1], "again"))
		return again(argc, argv);
	MUST(readlink("/proc/self/exe", self, sizeof(self) - 1));
	scratch();
	put_file("data", "no program");
	keep = open("data", O_RDONLY);
	cloexec = open("data", O_RDONLY | O_CLOEXEC);
	snprintf(kept, sizeof(kept), "%d", keep);
	snprintf(closed, sizeof(closed), "%d", cloexec);

	pid = vfork();
	if (pid == 0) {
		char *args[] = {"t", "again", "", kept, closed, NULL};

		execve(self, args, env);
		_exit(127);
	}
	waitpid(pid, &st, 0);
	show_status("vfork + exec", st);

	pid = vfork();
	if (pid == 0) {
		execve("/nonexistent", argv, env);
		_exit(errno == ENOENT ? 42 : 43);
	}
	waitpid(pid, &st, 0);
	show_status("exec of nothing", st);
	SHOW(execve("data", argv, env));
	chmod("data", 0755);
	SHOW(execve("data", argv, env));
	SHOW(execve("/tmp", argv, env));
	SHOW(execve("data/x", argv, env));
	SHOW(execve(BAD, argv, env));

	put_file("script", "#!/bin/sh -e\necho script \"$0\" \"$@\"\nexit 5\n");
	chmod("script", 0755);
	{
		char *args[] = {"ignored", "one", "two words", NULL};
		st = posix_spawn(&pid, "./script", NULL, NULL, args, env);
	}
	YES(st == 0 && waitpid(pid, &st, 0) == pid);
	show_status("script", st);
	put_file("script2", "#!./nothere\n");
	chmod("script2", 0755);
	SHOW(execve("./script2", argv, env));

	posix_spawn_file_actions_t fa;
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 1, "out", O_CREAT | O_WRONLY, 0600);
	{
		char *args[] = {"echo", "to the file", NULL};
		SHOW(posix_spawnp(&pid, "echo", &fa, NULL, args, environ));
	}
	waitpid(pid, &st, 0);
	show_status("spawnp", st);
	char buf[64] = "";
	int fd = open("out", O_RDONLY);
	SHOW(read(fd, buf, sizeof(buf) - 1));
	say("%s", buf);
	{
		char *args[] = {"t", "again", "last", NULL};
		execve(self, args, env);
	}
	return 1;
}
