/*
 * arp.c - the DPU answers ARP (RFC 826) for its own instances, so that none is woken to do it.
 */
#include "net/dpu/private.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <string.h>

/* A request for an IPv4 address over Ethernet? */
bool dpu_arp_is_request(const struct dpu_frame *frame, struct dpu_arp *ret_arp)
{
	struct ether_arp arp;
	uint16_t type;

	if (frame->head_bytes < DPU_ETH_BYTES + sizeof(arp))
		return false;
	memcpy(&type, frame->head + 12, sizeof(type));
	if (type != htons(ETHERTYPE_ARP))
		return false;
	memcpy(&arp, frame->head + DPU_ETH_BYTES, sizeof(arp));
	if (arp.arp_hrd != htons(ARPHRD_ETHER) || arp.arp_pro != htons(ETHERTYPE_IP) ||
	    arp.arp_hln != 6 || arp.arp_pln != 4 || arp.arp_op != htons(ARPOP_REQUEST))
		return false;
	memcpy(ret_arp->sender_mac, arp.arp_sha, 6);
	memcpy(&ret_arp->sender_ip_be, arp.arp_spa, 4);
	memcpy(&ret_arp->target_ip_be, arp.arp_tpa, 4);
	return true;
}

/* The answer "target_ip is at mac", as a frame of its own. */
void dpu_arp_reply(const struct dpu_arp *request, const uint8_t mac[6], struct dpu_frame *ret_frame)
{
	struct ether_arp arp = {
		.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
			   .ar_pro = htons(ETHERTYPE_IP),
			   .ar_hln = 6,
			   .ar_pln = 4,
			   .ar_op = htons(ARPOP_REPLY)},
	};
	struct ether_header eth = {.ether_type = htons(ETHERTYPE_ARP)};

	memcpy(arp.arp_sha, mac, 6);
	memcpy(arp.arp_spa, &request->target_ip_be, 4);
	memcpy(arp.arp_tha, request->sender_mac, 6);
	memcpy(arp.arp_tpa, &request->sender_ip_be, 4);
	memcpy(eth.ether_dhost, request->sender_mac, 6);
	memcpy(eth.ether_shost, mac, 6);
	memset(&ret_frame->hdr, 0, sizeof(ret_frame->hdr));
	memset(ret_frame->copy, 0, DPU_MIN_BYTES);
	memcpy(ret_frame->copy, &eth, sizeof(eth));
	memcpy(ret_frame->copy + DPU_ETH_BYTES, &arp, sizeof(arp));
	ret_frame->head = ret_frame->copy;
	ret_frame->head_bytes = DPU_MIN_BYTES;
	ret_frame->len = DPU_MIN_BYTES;
	ret_frame->nr_segs = 0;
}
