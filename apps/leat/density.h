/*
 * density.h - the parts of `leat bench density`: the sides that are compared, and what the host
 * says of them.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "apps/leat/bench.h"

#define DENSITY_INSTANCES_MAX 20000U
#define DENSITY_WORKERS 8U

/* One started program. */
struct density_slot {
	struct sockaddr_in addr; /* where it answers */
	pid_t pid;
	char name[40];
};

struct density {
	struct bench *bench;
	const char *program; /* "c", "python", "node" */
	unsigned nr_max;     /* instances asked for */
	char dir[64];        /* temporary, 0755: copies of the function */
	char file[96];       /* the function there */
	int netns_fd;        /* requests are sent from there, and native programs run there */
	unsigned nr_slots;
	struct density_slot slot[DENSITY_INSTANCES_MAX];
};

/*
 * A way to run the program many times.  Functions return 0 or a negative errno, after a word on
 * stderr.  start is called by several threads, each with an index of its own (worker <
 * DENSITY_WORKERS), all of them in the side's network namespace.
 */
struct density_side {
	const char *name;
	unsigned limit; /* instances; 0: none of its own */
	int (*begin)(struct density *d);
	int (*start)(struct density *d, unsigned worker, unsigned index);
	int (*settle)(struct density *d);         /* all are started: finds out their pids */
	int (*stop)(struct density *d);           /* all nr_slots, and waits until they are gone */
	unsigned (*leaks)(struct density *d);     /* what is there and was not at begin's end */
	double (*cpu_seconds)(struct density *d); /* of the system around the programs */
	void (*end)(struct density *d);
};

extern const struct density_side density_leat, density_native, density_runc, density_crun;

/* density_host.c: what the host says */
uint64_t host_available_kib(void);
uint64_t host_pss_kib(pid_t pid);
double host_cpu_seconds(pid_t pid); /* all its threads */
unsigned host_fd_count(pid_t pid);
unsigned host_thread_count(pid_t pid);
unsigned host_map_count(pid_t pid, const char *name);
unsigned host_uid_count(uint32_t low, uint32_t count); /* processes with such a uid */
int host_netns_create(void);                           /* with its loopback up: a descriptor */

/* density_native.c */
/* The words that run the function on a port, NULL at the end. */
int density_argv(struct density *d, char *port, char *argv[4]);
