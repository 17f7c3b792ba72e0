/*
 * main.c - leat: the command line.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/leat/cmd_bpf.h"
#include "apps/leat/leat.h"

#define LEAT_VERSION "0.1.0"

static int cmd_version(int argc, char **argv);
static int cmd_help(int argc, char **argv);

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{"run", cmd_run, "run a program in an instance"},
	{"ps", cmd_ps, "list instances"},
	{"inspect", cmd_inspect, "show everything about an instance"},
	{"logs", cmd_logs, "print what a detached instance or a function has printed"},
	{"snapshot", cmd_snapshot, "write the state of a running instance"},
	{"clone", cmd_clone, "start an instance from a snapshot"},
	{"stop", cmd_stop, "ask instances to end, and end them after a while"},
	{"kill", cmd_kill, "send a signal to instances"},
	{"top", cmd_top, "show what instances do, live"},
	{"stats", cmd_stats, "print everybody's counters"},
	{"capture", cmd_capture, "write an instance's packets as pcapng"},
	{"limit", cmd_limit, "limit what an instance sends and receives"},
	{"port", cmd_port, "ports for vhost-user frontends"},
	{"rm", cmd_rm, "forget instances that have ended; remove functions"},
	{"image", cmd_image, "make and keep images, root file systems as files"},
	{"deploy", cmd_deploy, "hand in a function, and get an endpoint"},
	{"functions", cmd_functions, "list functions"},
	{"invoke", cmd_invoke, "call a function"},
	{"undeploy", cmd_undeploy, "remove functions"},
	{"secret", cmd_secret, "set or remove a secret of functions"},
	{"quota", cmd_quota, "limit what a tenant's functions may use"},
	{"sched", cmd_sched, "see, replace and try out the core scheduler's policy"},
	{"filter", cmd_filter, "replace the filter of a running instance"},
	{"bench", cmd_bench, "measure Leat beside native processes and containers"},
	{"bpf", cmd_bpf, "verify, show, run and measure filters"},
	{"version", cmd_version, "print the version"},
	{"help", cmd_help, "print this"},
};

#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

int leat_error(const char *format, ...)
{
	va_list ap;

	fputs("leat: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_LEAT;
}

static int cmd_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("leat " LEAT_VERSION);
	return 0;
}

static int cmd_help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("usage: leat COMMAND [ARG]...\n"
	     "Runs unmodified Linux programs as instances: one confined host process each, with\n"
	     "the system-call layer inside and a verified filter between it and the network.\n");
	for (size_t i = 0; i < NR_COMMANDS; i++)
		printf("  %-9s  %s\n", commands[i].name, commands[i].summary);
	puts("\nleat COMMAND --help says more. A daemon is started when one is needed.\n"
	     "Exit status: the program's own; 125 Leat failed, 126 cannot be executed, 127 not\n"
	     "found, 128+N ended by signal N.");
	return 0;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "help";

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	if (strcmp(name, "--version") == 0)
		name = "version";
	for (size_t i = 0; i < NR_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(argc > 1 ? argc - 1 : argc,
					       argc > 1 ? argv + 1 : argv);
	return leat_error("no command '%s'; leat help lists them", name);
}
