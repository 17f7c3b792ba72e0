/*
 * ipam.h - addresses of instances: 10.99.0.0/16, where .0.1 is the uplink and .255.254 the DPU
 * itself, and for each one of them an IPv6 address: fd6c:6561:TENANT::/64 (RFC 4193), the IPv4
 * address in its last four bytes.
 */
#pragma once

#include <stdint.h>

#include "apps/leatd/pool.h"

#define IPAM_NETWORK 0x0a630000U /* 10.99.0.0, host order */
#define IPAM_PREFIX 16U
#define IPAM_PREFIX6 64U
#define IPAM_GATEWAY (IPAM_NETWORK | 1U)
#define IPAM_SERVICE (IPAM_NETWORK | 0xfffeU) /* the DPU's own: names */

struct ipam {
	struct pool hosts;
};

int ipam_init(struct ipam *ipam);
void ipam_finish(struct ipam *ipam);

/* Any free address, network order.  -ENOSPC. */
int ipam_take(struct ipam *ipam, uint32_t *ret_ip_be);
/* That one.  -ERANGE: not in the network or not for instances; -EBUSY. */
int ipam_take_ip(struct ipam *ipam, uint32_t ip_be);
void ipam_give(struct ipam *ipam, uint32_t ip_be);

/* The IPv6 address that goes with an IPv4 one, and back: -ERANGE when it is none of this tenant's.
 */
void ipam_ip6(uint32_t tenant, uint32_t ip_be, uint8_t ret_ip6[16]);
int ipam_ip6_to_ip(uint32_t tenant, const uint8_t ip6[16], uint32_t *ret_ip_be);

/* 02:1e:a7 and the instance's number. */
void ipam_mac(uint32_t instance, uint8_t ret_mac[6]);
