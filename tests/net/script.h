/*
 * Scripts: the test is the peer of host 0's stack and sends and expects segment by segment.
 */
#pragma once

#include "tests/net/harness.h"

#include <netinet/tcp.h>

#include "net/wire.h"

#define SYN TCP_FLAG_SYN
#define ACK TCP_FLAG_ACK
#define FIN TCP_FLAG_FIN
#define RST TCP_FLAG_RST
#define ECE TCP_FLAG_ECE
#define CWR TCP_FLAG_CWR

/* A test with the script's set-up: one stack, which knows our MAC. */
#define SCRIPT(f) cmocka_unit_test_setup_teardown(f, script_setup, script_teardown)

extern struct host *const host;
extern struct net_sock *sock; /* the stack's */
extern struct net_sock *listener;
extern uint32_t his, mine; /* next sequence numbers: the stack's, and ours */
extern uint16_t his_port, my_port;
extern uint32_t clock_ms; /* our timestamp clock */
extern uint32_t echo_ms;  /* what we echo of his */
extern bool with_ts;
extern uint16_t my_window, my_urgent;
extern uint8_t my_tos; /* of the packets that we send */

/* A segment that the stack sent. */
struct got {
	struct wire_tcp tcp;
	struct tcp_options options;
	uint32_t seq, ack;
	uint8_t flags, tos;
	size_t bytes;
	uint8_t data[66000];
};

extern struct got got;
extern const uint8_t syn_options[20];

int script_setup(void **state);
int script_teardown(void **state);

void put_ip(uint8_t *frame, size_t l4_bytes, uint8_t protocol);
void send_raw(const uint8_t *frame, size_t bytes);
/* A segment with options as they are given (padded to 4 by the caller). */
void send_options(uint8_t flags, uint32_t seq, uint32_t ack, const void *options,
		  size_t option_bytes, const void *data, size_t bytes);
void send_seg(uint8_t flags, uint32_t seq, uint32_t ack, const void *data, size_t bytes);
/* The next TCP segment from the stack, into `got`; false if there is none. ARP is answered. */
bool take(void);
void expect(uint8_t flags, uint32_t seq, uint32_t ack, size_t bytes);
void expect_nothing(void);
void run(uint64_t ns);
/* The stack is the server: a handshake, with the options of a modern peer if `modern`. */
void accept_one(bool modern);
