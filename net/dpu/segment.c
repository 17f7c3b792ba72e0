/*
 * segment.c - what a receiver did not agree to do itself: sums, and the cutting of long frames.
 *
 * A frame's header has been checked against its bytes (offload.c), so headers are where it says and
 * within the private head. Payload is summed where it lies, in the sender's memory: who changes it
 * meanwhile sends a wrong sum.
 */
#include "net/dpu/private.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>

#define TCP_FIN_PSH 0x09U
#define TCP_CWR 0x80U

/* Adds up 16-bit words as they lie in memory; `odd`: the first byte is the second of a word. */
static uint64_t sum_add(uint64_t sum, const uint8_t *data, uint32_t bytes, bool odd)
{
	uint64_t own = 0;
	uint32_t word;
	uint16_t last = 0;

	for (; bytes >= 4; bytes -= 4, data += 4) {
		memcpy(&word, data, sizeof(word));
		own += word;
	}
	if (bytes >= 2) {
		memcpy(&last, data, sizeof(last));
		own += last;
		data += 2;
		bytes -= 2;
	}
	if (bytes)
		own += *data;
	while (own >> 16)
		own = (own & 0xffff) + (own >> 16);
	return sum + (odd ? (own >> 8 | (own & 0xff) << 8) : own);
}

static uint16_t sum_fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* The sum from `start` to the frame's end. */
static uint64_t frame_sum(const struct dpu_frame *frame, uint32_t start)
{
	uint64_t sum = sum_add(0, frame->head + start, frame->head_bytes - start, false);
	uint32_t done = frame->head_bytes - start;

	for (unsigned i = 0; i < frame->nr_segs; i++) {
		sum = sum_add(sum, frame->seg[i].base, frame->seg[i].bytes, done & 1);
		done += frame->seg[i].bytes;
	}
	return sum;
}

void dpu_csum_finish(struct dpu_frame *frame)
{
	struct virtio_net_hdr *hdr = &frame->hdr.hdr;
	uint16_t sum;

	if (!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return;
	/* the sender has put the pseudo header's sum where the result goes */
	sum = sum_fold(frame_sum(frame, hdr->csum_start));
	/* UDP: 0 says that there is none (RFC 768) */
	sum = sum ? sum : 0xffff;
	memcpy(frame->head + hdr->csum_start + hdr->csum_offset, &sum, sizeof(sum));
	hdr->flags = 0;
	hdr->csum_start = 0;
	hdr->csum_offset = 0;
}

/* Makes [offset, offset + bytes) of the frame's payload the payload of another. */
static void payload_borrow(const struct dpu_frame *frame, uint32_t offset, uint32_t bytes,
			   struct dpu_frame *ret)
{
	uint32_t in_head = frame->head_bytes - frame->hdr.hdr.hdr_len;
	unsigned n = 0;

	ret->len = ret->head_bytes + bytes;
	if (offset < in_head) {
		ret->seg[n].base = frame->head + frame->hdr.hdr.hdr_len + offset;
		ret->seg[n].bytes = MIN(bytes, in_head - offset);
		bytes -= ret->seg[n++].bytes;
		offset = in_head;
	}
	offset -= in_head;
	for (unsigned i = 0; i < frame->nr_segs && bytes; i++) {
		const struct dpu_seg *seg = &frame->seg[i];

		if (offset >= seg->bytes) {
			offset -= seg->bytes;
			continue;
		}
		ret->seg[n].base = seg->base + offset;
		ret->seg[n].bytes = MIN(bytes, seg->bytes - offset);
		bytes -= ret->seg[n++].bytes;
		offset = 0;
	}
	ret->nr_segs = n;
}

/* The network header's length, number and sum; the pseudo header's sum. */
static uint64_t network_patch(uint8_t *ip, uint32_t header_bytes, uint32_t ip_bytes, uint32_t index)
{
	uint16_t len, id, sum = 0;
	uint32_t l4_bytes = ip_bytes - header_bytes;
	uint64_t pseudo = htons(IPPROTO_TCP);

	if (ip[0] >> 4 == 6) {
		len = htons((uint16_t)(ip_bytes - sizeof(struct ip6_hdr)));
		memcpy(ip + 4, &len, sizeof(len));
		pseudo = sum_add(pseudo, ip + 8, 32, false);
		return pseudo + htons((uint16_t)l4_bytes);
	}
	len = htons((uint16_t)ip_bytes);
	memcpy(ip + 2, &len, sizeof(len));
	memcpy(&id, ip + 4, sizeof(id));
	id = htons((uint16_t)(ntohs(id) + index));
	memcpy(ip + 4, &id, sizeof(id));
	memcpy(ip + 10, &sum, sizeof(sum));
	sum = sum_fold(sum_add(0, ip, header_bytes, false));
	memcpy(ip + 10, &sum, sizeof(sum));
	pseudo = sum_add(pseudo, ip + 12, 8, false);
	return pseudo + htons((uint16_t)l4_bytes);
}

bool dpu_segment_next(const struct dpu_frame *frame, uint32_t *inout_index,
		      struct dpu_frame *ret_segment)
{
	const struct virtio_net_hdr *hdr = &frame->hdr.hdr;
	uint32_t l4 = hdr->csum_start, header_bytes = hdr->hdr_len;
	uint32_t payload = frame->len - header_bytes;
	uint32_t offset = *inout_index * hdr->gso_size;
	uint32_t bytes, seq;
	uint8_t *tcp;
	uint16_t sum = 0;

	if (offset >= payload && *inout_index)
		return false; /* a frame of headers only is one segment */
	bytes = MIN(payload - offset, (uint32_t)hdr->gso_size);
	memset(&ret_segment->hdr, 0, sizeof(ret_segment->hdr));
	ret_segment->head = ret_segment->copy;
	ret_segment->head_bytes = header_bytes;
	memcpy(ret_segment->copy, frame->head, header_bytes);
	payload_borrow(frame, offset, bytes, ret_segment);
	tcp = ret_segment->copy + l4;
	memcpy(&seq, tcp + 4, sizeof(seq));
	seq = htonl(ntohl(seq) + offset);
	memcpy(tcp + 4, &seq, sizeof(seq));
	if (offset + bytes < payload)
		tcp[13] &= (uint8_t)~TCP_FIN_PSH;
	if (*inout_index)
		tcp[13] &= (uint8_t)~TCP_CWR;
	memcpy(tcp + offsetof(struct tcphdr, th_sum), &sum, sizeof(sum));
	sum = sum_fold(network_patch(ret_segment->copy + DPU_ETH_BYTES, l4 - DPU_ETH_BYTES,
				     header_bytes - DPU_ETH_BYTES + bytes, *inout_index) +
		       frame_sum(ret_segment, l4));
	memcpy(tcp + offsetof(struct tcphdr, th_sum), &sum, sizeof(sum));
	(*inout_index)++;
	return true;
}
