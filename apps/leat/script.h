/*
 * script.h - scripts that set up a filter and send packets through it: of leat bpf test, bench and
 * filter set. docs/filters.md describes their lines.
 */
#pragma once

#include "apps/leat/bpf_common.h"
#include "apps/leat/packet.h"

#define SCRIPT_INSTANCES_MAX 4

struct script_packet {
	const char *bench;   /* its name, NULL: a test */
	const char *section; /* LEAT_SEC_... */
	uint32_t verdict;    /* that is expected */
	int counter;         /* that is to grow by one, -1: none */
	uint32_t redirect;   /* expected instance of LEAT_REDIRECT */
	struct packet packet;
};

struct script {
	const char *path;
	unsigned int line;
	struct ebpf_instance *inst[SCRIPT_INSTANCES_MAX]; /* maps are set in all of them */
	unsigned int nr_inst;
	struct leat_pkt_ctx ctx; /* what the lines said, but for the packet */

	/* A packet to be judged, and what the last one must look like then. False: it was not so.
	 */
	bool (*packet)(struct script *script, const struct script_packet *packet);
	bool (*gives)(struct script *script, const struct packet *expected);
	/* All executions so far were counted as passed or dropped, once. */
	bool (*counted)(struct script *script);
	void *arg;
	unsigned int failures;
};

/* Runs all lines; problems are printed with file and line. False: some, or an unreadable file. */
bool script_run(struct script *script);

/* Prints "FILE:LINE: ..." and counts a failure. */
void script_fail(struct script *script, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

const char *script_verdict_name(uint32_t verdict);
