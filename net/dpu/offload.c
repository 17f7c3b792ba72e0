/*
 * offload.c - does a virtio-net header (virtio 1.2, section 5.1.6.2) agree with its frame?
 *
 * Judged on the private copy. A frame that asks for an offload which its bytes do not bear out is
 * dropped, so that neither a receiver nor the host's kernel behind the TAP ever sees one.
 */
#include "net/dpu/private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>

/* Offset of the TCP header of a plain IPv4 or IPv6 frame, or 0. */
static uint32_t tcp_offset(const struct dpu_frame *frame, uint8_t gso_type)
{
	const uint8_t *ip = frame->head + DPU_ETH_BYTES;
	uint16_t type;

	if (frame->head_bytes < DPU_ETH_BYTES + sizeof(struct ip6_hdr) + sizeof(struct tcphdr))
		return 0;
	memcpy(&type, frame->head + 12, sizeof(type));
	if (gso_type == VIRTIO_NET_HDR_GSO_TCPV4) {
		uint32_t ihl = (ip[0] & 15U) * 4;

		if (ntohs(type) != ETHERTYPE_IP || ip[0] >> 4 != 4 || ihl < 20 ||
		    ip[9] != IPPROTO_TCP)
			return 0;
		return DPU_ETH_BYTES + ihl;
	}
	if (ntohs(type) != ETHERTYPE_IPV6 || ip[0] >> 4 != 6 || ip[6] != IPPROTO_TCP)
		return 0;
	return DPU_ETH_BYTES + sizeof(struct ip6_hdr);
}

/* A frame to be cut later: sets hdr_len to the length of its headers. */
static int gso_check(struct dpu_frame *frame, uint16_t mtu, enum dpu_drop *ret_drop)
{
	struct virtio_net_hdr *hdr = &frame->hdr.hdr;
	uint32_t l4, header_bytes;

	*ret_drop = DPU_DROP_OFFLOAD;
	if (hdr->gso_type != VIRTIO_NET_HDR_GSO_TCPV4 && hdr->gso_type != VIRTIO_NET_HDR_GSO_TCPV6)
		return -EINVAL;
	l4 = tcp_offset(frame, hdr->gso_type);
	if (l4 == 0 || l4 + sizeof(struct tcphdr) > frame->head_bytes)
		return -EINVAL;
	header_bytes = l4 + (frame->head[l4 + 12] >> 4) * 4U;
	if (header_bytes < l4 + sizeof(struct tcphdr) || header_bytes > frame->head_bytes)
		return -EINVAL;
	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || hdr->csum_start != l4 ||
	    hdr->csum_offset != offsetof(struct tcphdr, th_sum) || hdr->gso_size == 0)
		return -EINVAL;
	if (header_bytes - DPU_ETH_BYTES + hdr->gso_size > mtu) {
		*ret_drop = DPU_DROP_LENGTH;
		return -EMSGSIZE;
	}
	hdr->hdr_len = (uint16_t)header_bytes;
	return 0;
}

/* Cleans the frame's virtio-net header and checks it: 0, or negative with the reason to drop it. */
int dpu_offload_check(struct dpu_frame *frame, uint16_t mtu, enum dpu_drop *ret_drop)
{
	struct virtio_net_hdr *hdr = &frame->hdr.hdr;

	*ret_drop = DPU_DROP_LENGTH;
	if (frame->len < DPU_ETH_BYTES || frame->len > DPU_FRAME_MAX)
		return -EMSGSIZE;
	*ret_drop = DPU_DROP_OFFLOAD;
	/* a sender's word that its sums are right (DATA_VALID) is worth nothing */
	hdr->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	if (hdr->flags && (hdr->csum_start < DPU_ETH_BYTES ||
			   (uint32_t)hdr->csum_start + hdr->csum_offset + 2 > frame->head_bytes))
		return -EINVAL;
	if (!hdr->flags) {
		hdr->csum_start = 0;
		hdr->csum_offset = 0;
	}
	if (hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return gso_check(frame, mtu, ret_drop);
	hdr->gso_size = 0;
	hdr->hdr_len = 0;
	if (frame->len > mtu + DPU_ETH_BYTES + 4U) {
		*ret_drop = DPU_DROP_LENGTH;
		return -EMSGSIZE;
	}
	return 0;
}
