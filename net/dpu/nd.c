/*
 * nd.c - the DPU answers neighbour solicitations (RFC 4861) for its own instances, as it does ARP:
 * a question that goes to a group would wake every instance of the tenant.
 */
#include "net/dpu/private.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/ip6.h>
#include <string.h>

#define ND_ANSWER_BYTES (sizeof(struct nd_neighbor_advert) + 8)

/* A question about one address, from somebody who has one himself? */
bool dpu_nd_is_solicit(const struct dpu_frame *frame, struct dpu_nd *ret_nd)
{
	static const uint8_t none[16];
	struct nd_neighbor_solicit ns;
	struct ip6_hdr ip;
	uint16_t type;

	if (frame->head_bytes < DPU_ETH_BYTES + sizeof(ip) + sizeof(ns))
		return false;
	memcpy(&type, frame->head + 12, sizeof(type));
	if (type != htons(ETHERTYPE_IPV6))
		return false;
	memcpy(&ip, frame->head + DPU_ETH_BYTES, sizeof(ip));
	memcpy(&ns, frame->head + DPU_ETH_BYTES + sizeof(ip), sizeof(ns));
	if (ip.ip6_nxt != IPPROTO_ICMPV6 || ip.ip6_hlim != 255 || ntohs(ip.ip6_plen) < sizeof(ns) ||
	    ns.nd_ns_type != ND_NEIGHBOR_SOLICIT || ns.nd_ns_code != 0)
		return false;
	/* from :: it is no question: somebody wants the address, and its owner shall speak */
	if (memcmp(&ip.ip6_src, none, sizeof(none)) == 0)
		return false;
	memcpy(ret_nd->sender_mac, frame->head + 6, 6);
	memcpy(ret_nd->sender_ip, &ip.ip6_src, 16);
	memcpy(ret_nd->target_ip, &ns.nd_ns_target, 16);
	return true;
}

static uint16_t checksum(const uint8_t *data, size_t bytes, uint32_t sum)
{
	for (size_t i = 0; i < bytes; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* The answer "target_ip is at mac", as a frame of its own. */
void dpu_nd_reply(const struct dpu_nd *question, const uint8_t mac[6], struct dpu_frame *ret_frame)
{
	struct ip6_hdr ip = {.ip6_nxt = IPPROTO_ICMPV6, .ip6_hlim = 255};
	struct ether_header eth = {.ether_type = htons(ETHERTYPE_IPV6)};
	struct nd_neighbor_advert na = {.nd_na_type = ND_NEIGHBOR_ADVERT};
	uint8_t *at = ret_frame->copy;
	uint8_t option[8] = {ND_OPT_TARGET_LINKADDR, 1};
	uint16_t sum;

	memcpy(eth.ether_dhost, question->sender_mac, 6);
	memcpy(eth.ether_shost, mac, 6);
	ip.ip6_vfc = 6 << 4;
	ip.ip6_plen = htons(ND_ANSWER_BYTES);
	memcpy(&ip.ip6_src, question->target_ip, 16);
	memcpy(&ip.ip6_dst, question->sender_ip, 16);
	na.nd_na_flags_reserved = ND_NA_FLAG_SOLICITED | ND_NA_FLAG_OVERRIDE;
	memcpy(&na.nd_na_target, question->target_ip, 16);
	memcpy(option + 2, mac, 6);
	memset(&ret_frame->hdr, 0, sizeof(ret_frame->hdr));
	memcpy(at, &eth, sizeof(eth));
	memcpy(at + DPU_ETH_BYTES, &ip, sizeof(ip));
	at += DPU_ETH_BYTES + sizeof(ip);
	memcpy(at, &na, sizeof(na));
	memcpy(at + sizeof(na), option, sizeof(option));
	/* the pseudo header: both addresses lie in front of the message */
	sum = checksum(at - 32, 32 + ND_ANSWER_BYTES, ND_ANSWER_BYTES + IPPROTO_ICMPV6);
	memcpy(at + 2, &sum, sizeof(sum));
	ret_frame->head = ret_frame->copy;
	ret_frame->head_bytes = DPU_ETH_BYTES + sizeof(ip) + ND_ANSWER_BYTES;
	ret_frame->len = ret_frame->head_bytes;
	ret_frame->nr_segs = 0;
}
