/*
 * density_native.c - the program as a plain process.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "apps/leat/density.h"

#define PORT_FIRST 10000

int density_argv(struct density *d, char *port, char *argv[4])
{
	unsigned n = 0;

	if (strcmp(d->program, "python") == 0)
		argv[n++] = (char *)(uintptr_t) "/usr/bin/python3";
	else if (strcmp(d->program, "node") == 0)
		argv[n++] = (char *)(uintptr_t) "/usr/bin/node";
	argv[n++] = d->file;
	argv[n++] = port;
	argv[n] = NULL;
	return access(argv[0], X_OK) == 0 ? 0 : -errno;
}

static int native_begin(struct density *d)
{
	d->netns_fd = host_netns_create();
	return d->netns_fd < 0 ? d->netns_fd : 0;
}

static int native_start(struct density *d, unsigned worker, unsigned index)
{
	struct density_slot *slot = &d->slot[index];
	static char *const envp[] = {NULL};
	char *argv[4];
	char port[8];

	(void)worker;
	slot->addr = (struct sockaddr_in){.sin_family = AF_INET,
					  .sin_port = htons((uint16_t)(PORT_FIRST + index)),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	snprintf(port, sizeof(port), "%u", PORT_FIRST + index);
	int r = density_argv(d, port, argv);
	return r < 0 ? r : -posix_spawn(&slot->pid, argv[0], NULL, NULL, argv, envp);
}

static int native_stop(struct density *d)
{
	for (unsigned i = 0; i < d->nr_slots; i++)
		kill(d->slot[i].pid, SIGKILL);
	for (unsigned i = 0; i < d->nr_slots; i++)
		waitpid(d->slot[i].pid, NULL, 0);
	return 0;
}

static void native_end(struct density *d)
{
	if (d->netns_fd >= 0)
		close(d->netns_fd);
}

const struct density_side density_native = {
	.name = "native",
	.begin = native_begin,
	.start = native_start,
	.stop = native_stop,
	.end = native_end,
};
