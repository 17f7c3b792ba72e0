/*
 * service.c - what the DPU itself answers: names of instances (dns.c), at an address of its own and
 * at every other that lies outside the sender's network, where nobody else would: so a program
 * finds names through whatever server its /etc/resolv.conf has.
 *
 * The frame has passed its sender's egress filter; the answer comes from the address that was
 * asked, through the sender's ingress filter, like a frame from the uplink.
 */
#include "net/dpu/private.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>

#include "net/dpu/dns.h"

#define PORT_DOMAIN 53U
#define HEADERS_BYTES (DPU_ETH_BYTES + sizeof(struct iphdr) + sizeof(struct udphdr))
#define TTL 64U

const uint8_t dpu_service_mac[6] = {0x02, 0x1e, 0xa7, 0, 0, 0};

static uint16_t ip_sum(const struct iphdr *ip)
{
	uint32_t sum = 0;
	uint16_t word;

	for (unsigned i = 0; i < sizeof(*ip); i += 2) {
		memcpy(&word, (const uint8_t *)ip + i, sizeof(word));
		sum += word;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

/* The message behind the headers: a private copy of it. Returns its length. */
static size_t message_copy(const struct dpu_frame *frame, const struct udphdr *udp,
			   uint8_t ret_message[DPU_DNS_MESSAGE_MAX])
{
	size_t said = ntohs(udp->uh_ulen);
	size_t want = said < sizeof(*udp) ? 0 : MIN(said - sizeof(*udp), DPU_DNS_MESSAGE_MAX);
	size_t got = MIN(want, (size_t)frame->head_bytes - HEADERS_BYTES);

	memcpy(ret_message, frame->head + HEADERS_BYTES, got);
	for (unsigned i = 0; i < frame->nr_segs && got < want; i++) {
		size_t n = MIN(want - got, (size_t)frame->seg[i].bytes);

		memcpy(ret_message + got, frame->seg[i].base, n);
		got += n;
	}
	BARRIER(); /* the rest is the sender's memory: only the copy is read */
	return got;
}

static bool is_outside(const struct dpu_port_config *config, uint32_t ip_be)
{
	uint32_t low_bits = config->prefix_len < 32 ? UINT32_MAX >> config->prefix_len : 0;

	return ((ntohl(ip_be) ^ ntohl(config->ipv4_be)) & ~low_bits) != 0;
}

/* A UDP datagram over plain IPv4 to the port for names, of the service or of a server outside? */
static bool is_question(const struct dpu *dpu, const struct dpu_port *from,
			const struct dpu_frame *frame, struct iphdr *ret_ip, struct udphdr *ret_udp)
{
	uint16_t type;

	if (frame->head_bytes < HEADERS_BYTES)
		return false;
	memcpy(&type, frame->head + 12, sizeof(type));
	memcpy(ret_ip, frame->head + DPU_ETH_BYTES, sizeof(*ret_ip));
	memcpy(ret_udp, frame->head + DPU_ETH_BYTES + sizeof(*ret_ip), sizeof(*ret_udp));
	return type == htons(ETHERTYPE_IP) && ret_ip->version == 4 && ret_ip->ihl == 5 &&
	       (ret_ip->frag_off & htons(IP_MF | IP_OFFMASK)) == 0 &&
	       ret_ip->protocol == IPPROTO_UDP && ret_udp->uh_dport == htons(PORT_DOMAIN) &&
	       (ret_ip->daddr == dpu->config.service_ip_be ||
		is_outside(&from->config, ret_ip->daddr));
}

/* The reply's frame: `bytes` of message lie behind its headers already. */
static void reply_frame(const struct iphdr *asked_ip, const struct udphdr *asked_udp,
			const uint8_t to_mac[6], uint8_t *packet, size_t bytes,
			struct dpu_frame *ret_frame)
{
	struct iphdr ip = {.version = 4,
			   .ihl = 5,
			   .ttl = TTL,
			   .protocol = IPPROTO_UDP,
			   .frag_off = htons(IP_DF),
			   .saddr = asked_ip->daddr,
			   .daddr = asked_ip->saddr};
	/* no checksum (RFC 768): it never leaves the machine */
	struct udphdr udp = {.uh_sport = asked_udp->uh_dport, .uh_dport = asked_udp->uh_sport};
	const uint16_t type = htons(ETHERTYPE_IP);

	ip.tot_len = htons((uint16_t)(sizeof(ip) + sizeof(udp) + bytes));
	udp.uh_ulen = htons((uint16_t)(sizeof(udp) + bytes));
	ip.check = ip_sum(&ip);
	memcpy(packet, to_mac, 6);
	memcpy(packet + 6, dpu_service_mac, 6);
	memcpy(packet + 12, &type, sizeof(type));
	memcpy(packet + DPU_ETH_BYTES, &ip, sizeof(ip));
	memcpy(packet + DPU_ETH_BYTES + sizeof(ip), &udp, sizeof(udp));
	memset(&ret_frame->hdr, 0, sizeof(ret_frame->hdr));
	ret_frame->head = packet;
	ret_frame->head_bytes = (uint32_t)(HEADERS_BYTES + bytes);
	ret_frame->len = ret_frame->head_bytes;
	ret_frame->nr_segs = 0;
}

bool dpu_service_answer(const struct dpu *dpu, const struct dpu_table *table,
			const struct dpu_port *from, const struct dpu_frame *frame, uint8_t *packet,
			struct dpu_frame *ret_reply)
{
	uint8_t message[DPU_DNS_MESSAGE_MAX];
	struct dpu_dns_question question;
	struct dpu_dns_address address;
	const struct dpu_port *named = NULL;
	struct iphdr ip;
	struct udphdr udp;
	size_t bytes;

	if (!is_question(dpu, from, frame, &ip, &udp) ||
	    dpu_dns_parse(message, message_copy(frame, &udp, message), &question))
		return false;
	if (question.rcode == DPU_DNS_NOERROR)
		named = dpu_table_by_name(table, from->config.tenant, question.name);
	if (named) {
		address.ipv4_be = named->config.ipv4_be;
		memcpy(address.ipv6, named->config.ipv6, sizeof(address.ipv6));
	}
	bytes = dpu_dns_reply(message, &question, named ? &address : NULL, packet + HEADERS_BYTES);
	reply_frame(&ip, &udp, from->config.mac, packet, bytes, ret_reply);
	return true;
}
