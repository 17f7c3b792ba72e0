/*
 * ipam.c - the address pool.
 */
#include "apps/leatd/ipam.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define HOSTS (1U << (32 - IPAM_PREFIX))

int ipam_init(struct ipam *ipam)
{
	int r = pool_init(&ipam->hosts, HOSTS);

	if (r < 0)
		return r;
	/* the network, the uplink, the DPU itself, the broadcast address */
	pool_take_index(&ipam->hosts, 0);
	pool_take_index(&ipam->hosts, IPAM_GATEWAY - IPAM_NETWORK);
	pool_take_index(&ipam->hosts, IPAM_SERVICE - IPAM_NETWORK);
	pool_take_index(&ipam->hosts, HOSTS - 1);
	return 0;
}

void ipam_finish(struct ipam *ipam)
{
	pool_finish(&ipam->hosts);
}

int ipam_take(struct ipam *ipam, uint32_t *ret_ip_be)
{
	uint32_t host;
	int r = pool_take(&ipam->hosts, &host);

	if (r < 0)
		return r;
	*ret_ip_be = htonl(IPAM_NETWORK | host);
	return 0;
}

int ipam_take_ip(struct ipam *ipam, uint32_t ip_be)
{
	uint32_t ip = ntohl(ip_be);

	if ((ip & ~(HOSTS - 1)) != IPAM_NETWORK || ip == IPAM_NETWORK || ip == IPAM_GATEWAY ||
	    ip == IPAM_SERVICE || ip == (IPAM_NETWORK | (HOSTS - 1)))
		return -ERANGE;
	return pool_take_index(&ipam->hosts, ip - IPAM_NETWORK);
}

void ipam_give(struct ipam *ipam, uint32_t ip_be)
{
	pool_give(&ipam->hosts, ntohl(ip_be) - IPAM_NETWORK);
}

void ipam_ip6(uint32_t tenant, uint32_t ip_be, uint8_t ret_ip6[16])
{
	const uint8_t prefix[4] = {0xfd, 0x6c, 0x65, 0x61};
	uint32_t tenant_be = htonl(tenant);

	memset(ret_ip6, 0, 16);
	memcpy(ret_ip6, prefix, 4);
	memcpy(ret_ip6 + 4, &tenant_be, 4);
	memcpy(ret_ip6 + 12, &ip_be, 4);
}

int ipam_ip6_to_ip(uint32_t tenant, const uint8_t ip6[16], uint32_t *ret_ip_be)
{
	uint8_t same[16];
	uint32_t ip_be;

	memcpy(&ip_be, ip6 + 12, 4);
	ipam_ip6(tenant, ip_be, same);
	if (memcmp(same, ip6, 16) != 0)
		return -ERANGE;
	*ret_ip_be = ip_be;
	return 0;
}

void ipam_mac(uint32_t instance, uint8_t ret_mac[6])
{
	ret_mac[0] = 0x02;
	ret_mac[1] = 0x1e;
	ret_mac[2] = 0xa7;
	ret_mac[3] = (uint8_t)(instance >> 16);
	ret_mac[4] = (uint8_t)(instance >> 8);
	ret_mac[5] = (uint8_t)instance;
}
