/* capget, capset: what uid 0 gives up stays given up, until exec. */
#include "t.h"
#include <linux/capability.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static void get(const char *what)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	MUST(syscall(SYS_capget, &header, data));
	say("%s: effective %d permitted %d inheritable %x", what,
	    (data[0].effective & (1u << CAP_NET_RAW | 1u << CAP_SETUID)) != 0,
	    (data[0].permitted & (1u << CAP_NET_RAW)) != 0, data[0].inheritable);
}

static void set(const char *what, unsigned effective, unsigned permitted, unsigned inheritable)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{effective, permitted, inheritable}, {0, 0, 0}};

	show_ok(what, syscall(SYS_capset, &header, data));
	get(what);
}

static void raw(const char *what)
{
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);

	show_ok(what, fd);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	unsigned net_raw = 1u << CAP_NET_RAW;

	(void)argv;
	get("at first");
	if (argc > 1)
		return 0;
	raw("raw socket");
	set("effective without permitted", net_raw, 0, 0);
	set("keep one, not effective", 0, net_raw, 0);
	raw("raw socket");
	set("effective", net_raw, net_raw, 0);
	raw("raw socket");
	show_ok("setuid without CAP_SETUID", setresuid(1000, 1000, 1000));
	set("inheritable", net_raw, net_raw, net_raw);
	set("none", 0, 0, 0);
	set("again", net_raw, net_raw, 0);
	raw("raw socket");
	execl("/proc/self/exe", "caps", "again", (char *)NULL);
	return 1;
}
