/*
 * One input through all engines: the oracle, which checks every step, then interpreter and
 * compiler, each with maps, packet and context of its own. All must leave the same behind.
 */
#pragma once

#include "oracle.h"

#include "leat/abi/filter.h"

#define ENGINES_HEADROOM 32
#define ENGINES_PACKET_MAX 96

enum { ENGINE_ORACLE, ENGINE_INTERPRETER, ENGINE_COMPILER, ENGINES };

struct engines {
	const struct ebpf_object *obj;
	struct ebpf_env env[ENGINES];
};

struct engines_input {
	struct leat_pkt_ctx ctx; /* data, data_end and headroom are set by the run */
	uint8_t packet[ENGINES_PACKET_MAX];
	uint32_t packet_len;
	uint64_t seed; /* of what the maps hold */
};

void engines_init(struct engines *e, const struct ebpf_object *obj);
void engines_finish(struct engines *e);

/* Compiled code wanted. false: @wrong says what is not as it should be. */
bool engines_run(struct engines *e, const struct ebpf_code *code, const struct engines_input *input,
		 oracle_watch watch, void *arg, char wrong[256]);
