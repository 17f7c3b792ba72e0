/*
 * netdev.h - the virtio-net device of an instance: the register block in the window.
 *
 * Modelled on virtio 1.2 section 4.1.4.3 (common configuration) and 5.1.4 (network device
 * configuration); rings are split or packed virtqueues (sections 2.7, 2.8) with the structs of
 * <linux/virtio_ring.h>. A descriptor's addr is an offset within the window.  Queue 2n receives and
 * 2n+1 transmits for vcpu n.  The driver fills queue[], then sets DRIVER_OK; leatd copies and
 * checks the block once and answers in device_status.  There are no notifications in the rings: see
 * control.h for the doorbell, and a kthread polls its own used rings.
 */
#pragma once

#include <stdint.h>

#include "leat/abi/window.h"

/* Offered by leatd; a subset is accepted by the driver (virtio-net bits, then ring bits). */
#define ABI_NET_F_CSUM (1ULL << 0)
#define ABI_NET_F_GUEST_CSUM (1ULL << 1)
#define ABI_NET_F_MTU (1ULL << 3)
#define ABI_NET_F_MAC (1ULL << 5)
#define ABI_NET_F_GUEST_TSO4 (1ULL << 7)
#define ABI_NET_F_GUEST_TSO6 (1ULL << 8)
#define ABI_NET_F_HOST_TSO4 (1ULL << 11)
#define ABI_NET_F_HOST_TSO6 (1ULL << 12)
#define ABI_NET_F_MRG_RXBUF (1ULL << 15)
#define ABI_NET_F_MQ (1ULL << 22)
#define ABI_F_INDIRECT_DESC (1ULL << 28)
#define ABI_F_EVENT_IDX (1ULL << 29)
#define ABI_F_VERSION_1 (1ULL << 32)
#define ABI_F_RING_PACKED (1ULL << 34)

/* Bits of driver_status and device_status (virtio 1.2 section 2.1). */
#define ABI_NET_S_DRIVER_OK 4U
#define ABI_NET_S_NEEDS_RESET 64U
#define ABI_NET_S_FAILED 128U

#define ABI_NET_QUEUE_SIZE_MAX 1024U
#define ABI_NET_MAX_QUEUES (2U * ABI_MAX_VCPUS)

struct abi_netq {
	uint32_t size; /* entries, a power of two; 0: queue unused */
	uint32_t pad;
	uint64_t desc_off;  /* window offsets of its three parts */
	uint64_t avail_off; /* packed: the driver's event suppression */
	uint64_t used_off;  /* packed: the device's */
};

struct abi_netdev {
	/* Written by leatd before the start, but for device_status. */
	uint64_t device_features;
	uint8_t mac[6];
	uint16_t mtu;
	uint32_t ipv4_be; /* own address, network order; 0: no network */
	uint32_t gateway_be;
	uint32_t prefix_len;
	uint32_t device_status; /* answer: DRIVER_OK when taken, FAILED or NEEDS_RESET with a reason
				 */
	uint32_t device_reason; /* leatd's reason code, shown by leat inspect */
	uint32_t nr_queue_pairs;
	uint8_t ipv6[16];     /* own global address; all zero: none */
	uint32_t prefix6_len; /* what is on the link, in bits */
	uint32_t dns_be;      /* who knows the names of instances; 0: nobody */

	/* Written by the instance. */
	uint64_t driver_features;
	uint32_t driver_status;
	uint32_t pad;
	struct abi_netq queue[ABI_NET_MAX_QUEUES];
};

_Static_assert(sizeof(struct abi_netdev) <= ABI_VCPUS_OFF - ABI_NETDEV_OFF, "abi_netdev fits");

static inline struct abi_netdev *abi_netdev_of(void *window)
{
	return (struct abi_netdev *)((char *)window + ABI_NETDEV_OFF);
}
