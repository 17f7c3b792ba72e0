/*
 * bytes.h - keys and values of maps as words of text: for leat bpf map, and for the scripts of leat
 * bpf test and bench.
 *
 *	0a00ff      bytes in hex            u8:5 u16:5 u32:5 u64:5   numbers of this machine
 *	be16:5 be32:5                       numbers in network order
 *	ip:10.0.0.1 ip:fd00::1              4 or 16 bytes
 *	ip6:10.0.0.1                        16 bytes, IPv4 as ::ffff:10.0.0.1
 *	net:10.0.0.0/8                      address and mask, 16 bytes each, as in a rule
 *	rule:pass,out,tcp,10.0.0.0/8,80-90  a struct leat_rule: pass or drop; in, out or both; any,
 *					    tcp, udp, icmp, icmp6 or a number; a network or any; a
 *					    port, a range of ports, or any
 *	mac:02:00:00:00:00:01               6 bytes
 *	zero:8                              so many zero bytes
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Appends what @word says at *size. False, with nothing changed: no such word, or no room. */
bool bytes_add(const char *word, uint8_t *bytes, size_t room, size_t *size);

/* A decimal, hexadecimal (0x) number up to max, to its end. */
bool bytes_number(const char *text, uint64_t max, uint64_t *ret_number);

bool bytes_mac(const char *text, uint8_t ret_mac[6]);

/* ret_addr: 16 bytes, IPv4 mapped; *ret_v4 says which it was. */
bool bytes_addr(const char *text, uint8_t ret_addr[16], bool *ret_v4);

/* "ADDR/LEN": the address with the bits behind the prefix cleared, and the mask. */
bool bytes_net(const char *text, uint8_t ret_addr[16], uint8_t ret_mask[16]);

/* Hex digits, blanks between bytes allowed: the number of bytes, -1 if something else is there. */
int bytes_hex(const char *hex, uint8_t *bytes, size_t room);
