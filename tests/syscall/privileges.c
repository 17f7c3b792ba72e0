/* capabilities(7): what setuid and execve do to the sets; bounding, ambient, securebits, threads.
 */
#include "t.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#define BIT(cap) (1u << (cap))

static char self[4096];

/* Of the sets only these bits: the others depend on who runs the test. */
static void caps(const char *what)
{
	const unsigned mask = BIT(CAP_NET_RAW) | BIT(CAP_SETUID) | BIT(CAP_CHOWN) |
			      BIT(CAP_DAC_OVERRIDE) | BIT(CAP_KILL);
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	MUST(syscall(SYS_capget, &header, d));
	say("%s: E %x P %x I %x A %d bounding %d securebits %x keep %d uids %d %d", what,
	    d[0].effective & mask, d[0].permitted & mask, d[0].inheritable & mask,
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_RAW, 0, 0),
	    prctl(PR_CAPBSET_READ, CAP_NET_RAW), prctl(PR_GET_SECUREBITS), prctl(PR_GET_KEEPCAPS),
	    getuid(), geteuid());
}

static int set(unsigned effective, unsigned permitted, unsigned inheritable)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {{effective, permitted, inheritable}, {0, 0, 0}};

	return (int)syscall(SYS_capset, &header, d);
}

static void status_line(const char *name)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, name, strlen(name)) == 0)
			say("%.*s", (int)strcspn(line, "\n"), line);
	if (f)
		fclose(f);
}

/* Runs fn in a child, which may give up what it likes. */
static void in_child(const char *what, void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		say("-- %s", what);
		fn();
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0));
	show_status(what, status);
}

static void again(void)
{
	execl(self, self, "again", (char *)NULL);
	say("execl %s", strerrorname_np(errno));
}

static void setuid_drops(void)
{
	SHOW(setuid(1000));
	caps("after setuid");
	SHOW(chown(self, 0, 0));
	SHOW(setuid(0));
	again();
}

static void seteuid_and_back(void)
{
	SHOW(seteuid(1000));
	caps("after seteuid");
	SHOW(open("/etc/shadow", O_RDONLY) >= 0);
	SHOW(seteuid(0));
	caps("back");
}

static void keep(void)
{
	SHOW(prctl(PR_SET_KEEPCAPS, 2));
	SHOW(prctl(PR_SET_KEEPCAPS, 1));
	SHOW(setresuid(1000, 1000, 1000));
	caps("kept");
	SHOW(set(BIT(CAP_NET_RAW), BIT(CAP_NET_RAW), 0));
	caps("effective again");
	YES(socket(AF_INET, SOCK_RAW, 1) >= 0);
	again();
}

static void ambient(void)
{
	SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0));
	SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 63, 0, 0));
	SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 1, 0));
	SHOW(prctl(PR_CAP_AMBIENT, 99, CAP_NET_RAW, 0, 0));
	SHOW(prctl(PR_SET_KEEPCAPS, 1));
	SHOW(setresuid(1000, 1000, 1000));
	SHOW(set(BIT(CAP_NET_RAW), BIT(CAP_NET_RAW), BIT(CAP_NET_RAW)));
	SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0));
	caps("raised");
	status_line("CapAmb");
	again();
}

static void ambient_lowered(void)
{
	SHOW(set(BIT(CAP_NET_RAW) | BIT(CAP_SETUID), BIT(CAP_NET_RAW) | BIT(CAP_SETUID),
		 BIT(CAP_NET_RAW)));
	SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0));
	SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, CAP_NET_RAW, 0, 0));
	caps("lowered");
	SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0));
	SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 1, 0, 0));
	SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
	caps("cleared");
	SHOW(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0));
	SHOW(set(BIT(CAP_SETUID), BIT(CAP_SETUID), 0));
	caps("not permitted any more");
}

static void bounding(void)
{
	SHOW(prctl(PR_CAPBSET_READ, 63));
	SHOW(prctl(PR_CAPBSET_DROP, 63));
	SHOW(prctl(PR_CAPBSET_DROP, CAP_NET_RAW));
	caps("dropped");
	again();
}

static void bounding_without_right(void)
{
	SHOW(set(BIT(CAP_NET_RAW), BIT(CAP_NET_RAW), 0));
	SHOW(prctl(PR_CAPBSET_DROP, CAP_NET_RAW));
	SHOW(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT));
}

static void noroot(void)
{
	SHOW(prctl(PR_SET_SECUREBITS, 1u << 30));
	SHOW(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED));
	SHOW(prctl(PR_SET_SECUREBITS, 0));
	caps("noroot");
	again();
}

static void no_fixup(void)
{
	SHOW(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP));
	SHOW(setresuid(1000, 1000, 1000));
	caps("no fixup");
	YES(socket(AF_INET, SOCK_RAW, 1) >= 0);
	SHOW(setresuid(0, 0, 0));
}

static void fsuid(void)
{
	int fd;

	MUST(mkdir("private", 0700));
	SHOW(syscall(SYS_setfsuid, 1000));
	SHOW(syscall(SYS_setfsuid, -1));
	caps("fsuid 1000");
	fd = open("private/file", O_CREAT | O_RDWR, 0600);
	say("open %s", fd < 0 ? strerrorname_np(errno) : "ok");
	SHOW(syscall(SYS_setfsuid, 0));
	caps("fsuid 0");
	fd = open("private/file", O_CREAT | O_RDWR, 0600);
	say("open %s", fd < 0 ? strerrorname_np(errno) : "ok");
}

static void no_new_privs(void)
{
	SHOW(prctl(PR_SET_NO_NEW_PRIVS, 2, 0, 0, 0));
	SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	SHOW(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
	SHOW(set(BIT(CAP_NET_RAW), BIT(CAP_NET_RAW), 0));
	status_line("NoNewPrivs");
	again();
}

/* A program with capabilities of its own, started by somebody who has none. */
static void file_capabilities(void)
{
	struct vfs_cap_data data = {VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
				    {{BIT(CAP_NET_RAW), 0}, {0, 0}}};
	char command[8300];

	snprintf(command, sizeof(command), "cp %s capped", self);
	MUST(system(command));
	MUST(chmod("capped", 0755));
	MUST(chmod(".", 0755));
	if (setxattr("capped", "security.capability", &data, sizeof(data), 0)) {
		say("setxattr %s", strerrorname_np(errno));
		return;
	}
	SHOW(setresuid(1000, 1000, 1000));
	SHOW(setxattr("capped", "security.capability", &data, sizeof(data), 0));
	execl("capped", "capped", "again", (char *)NULL);
	say("execl %s", strerrorname_np(errno));
}

static void *thread(void *arg)
{
	(void)arg;
	/* the raw calls change this thread only */
	SHOW(syscall(SYS_setresuid, 1000, 1000, 1000));
	caps("thread");
	SHOW(syscall(SYS_setgroups, 0, NULL));
	return NULL;
}

static void threads(void)
{
	pthread_t t;

	MUST(pthread_create(&t, NULL, thread, NULL) == 0 ? 0 : -1);
	pthread_join(t, NULL);
	caps("main");
	MUST(pthread_create(&t, NULL, thread, NULL) == 0 ? 0 : -1);
	pthread_join(t, NULL);
}

static void many_groups(void)
{
	static gid_t groups[1000], got[1000];

	for (unsigned i = 0; i < 1000; i++)
		groups[i] = (i * 7919) % 10007;
	SHOW(setgroups(1000, groups));
	SHOW(getgroups(999, got));
	SHOW(getgroups(1000, got));
	for (unsigned i = 1; i < 1000; i++)
		if (got[i - 1] >= got[i]) {
			say("not sorted");
			break;
		}
	SHOW(setgroups(65537, groups));
	SHOW(syscall(SYS_setgroups, 4, BAD));
	SHOW(syscall(SYS_getgroups, -1, NULL));
	SHOW(syscall(SYS_getgroups, 1000, BAD));
	SHOW(setgroups(0, NULL));
	SHOW(getgroups(0, NULL));
}

static void rights(void)
{
	int fd, pair[2];
	pid_t child = fork();

	if (child == 0) {
		pause();
		_exit(0);
	}
	put_file("mine", "x");
	MUST(chmod("mine", 0600));
	SHOW(set(BIT(CAP_SETUID), BIT(CAP_SETUID), 0));
	SHOW(chown("mine", 1000, 1000));
	SHOW(chroot("."));
	SHOW(sethostname("x", 1));
	SHOW(mknod("device", S_IFCHR | 0600, 0x103));
	MUST(setresuid(1000, 1000, 0));
	SHOW(kill(child, 0));
	fd = open("mine", O_RDONLY);
	say("open %s", fd < 0 ? strerrorname_np(errno) : "ok");
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	MUST(setresuid(0, 0, 0));
	SHOW(set(0, 0, 0));
	SHOW(kill(child, SIGKILL));
	fd = open("mine", O_RDONLY);
	say("open %s", fd < 0 ? strerrorname_np(errno) : "ok");
	waitpid(child, NULL, 0);
}

static void others(void)
{
	int value = 0;
	unsigned long auxv[64];

	SHOW(prctl(PR_GET_TIMERSLACK));
	SHOW(prctl(PR_SET_TIMERSLACK, 70000));
	SHOW(prctl(PR_GET_TIMERSLACK));
	SHOW(prctl(PR_SET_TIMERSLACK, 0));
	SHOW(prctl(PR_GET_TIMERSLACK));
	SHOW(prctl(PR_GET_TIMING));
	SHOW(prctl(PR_SET_TIMING, 1));
	SHOW(prctl(PR_GET_TSC, &value));
	SHOW(value);
	SHOW(prctl(PR_GET_TSC, BAD));
	YES(prctl(0x41555856, auxv, sizeof(auxv), 0, 0) > 0);
	SHOW(prctl(0x41555856, auxv, sizeof(auxv), 1, 0));
}

int main(int argc, char **argv)
{
	MUST(readlink("/proc/self/exe", self, sizeof(self) - 1));
	if (argc > 1) {
		caps("after execve");
		return 0;
	}
	scratch();
	in_child("setuid", setuid_drops);
	in_child("seteuid", seteuid_and_back);
	in_child("keep", keep);
	in_child("ambient", ambient);
	in_child("ambient, lowered", ambient_lowered);
	in_child("bounding", bounding);
	in_child("bounding, refused", bounding_without_right);
	in_child("noroot", noroot);
	in_child("no fixup", no_fixup);
	in_child("fsuid", fsuid);
	in_child("no new privileges", no_new_privs);
	in_child("file capabilities", file_capabilities);
	in_child("threads", threads);
	in_child("groups", many_groups);
	in_child("rights", rights);
	in_child("others", others);
	(void)argv;
	return 0;
}
