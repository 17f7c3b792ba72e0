/*
 * fixture.h - a DPU with two fake instances, A and B, each behind the default filter.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "bpf/bpf.h"
#include "leat/abi/filter.h"
#include "net/dpu/dpu.h"
#include "tests/dpu/driver.h"

enum { A, B, NR_INSTANCES }; /* by name "a" and "b" */

#define FIXTURE_SERVICE_IP 0xfeff630aU /* 10.99.255.254 */

struct fixture {
	struct dpu *dpu;
	struct driver driver[NR_INSTANCES];
	struct dpu_port *port[NR_INSTANCES];
	struct ebpf_object *filter;
	uint64_t now_ns;
	unsigned works[NR_INSTANCES]; /* calls of dpu_ops.work */
	/* With two queue pairs: called while a frame to one of them is on its way. */
	void (*in_flight)(void);
};

extern struct fixture fx;

int fixture_setup(void **state);        /* one queue pair each, 32 receive buffers */
int fixture_setup_pairs(void **state);  /* two queue pairs each */
int fixture_setup_packed(void **state); /* packed rings */
int fixture_teardown(void **state);
/* Another instance, with one queue pair, in the place of one whose port and driver are gone. */
void fixture_attach_again(unsigned instance);

struct ebpf_object *fixture_filter(const char *name);

uint32_t fixture_ip(unsigned instance);
void fixture_mac(unsigned instance, uint8_t ret_mac[6]);

/* A UDP-like IPv4 frame from `from` to `to` with a recognisable payload. */
size_t fixture_frame(unsigned from, unsigned to, size_t payload, uint8_t *ret_frame);

/* One round over all transmit queues; returns the frames taken. */
unsigned fixture_round(void);

struct dpu_queue_stats fixture_queue_stats(unsigned instance);
struct dpu_port_stats fixture_port_stats(unsigned instance);
uint64_t fixture_counter(unsigned instance, enum leat_counter counter);
