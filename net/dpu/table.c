/*
 * table.c - snapshots of the ports, found by address and by name.
 *
 * A snapshot is immutable; attach and detach build a new one. Lookups take no lock.
 */
#include "net/dpu/private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint64_t dpu_mac_key(const uint8_t mac[6])
{
	uint64_t key = 0;

	memcpy(&key, mac, 6);
	return key;
}

static unsigned slot_of(uint64_t key, unsigned nr_slots)
{
	return (unsigned)((key * 0x9e3779b97f4a7c15ULL) >> 40) & (nr_slots - 1);
}

static void slot_insert(struct dpu_slot *slots, unsigned nr_slots, uint64_t key,
			struct dpu_port *port)
{
	unsigned i = slot_of(key, nr_slots);

	while (slots[i].port)
		i = (i + 1) & (nr_slots - 1);
	slots[i] = (struct dpu_slot){key, port};
}

static struct dpu_port *slot_find(const struct dpu_slot *slots, unsigned nr_slots, uint64_t key)
{
	/* half of the slots are empty, so this ends */
	for (unsigned i = slot_of(key, nr_slots); slots[i].port; i = (i + 1) & (nr_slots - 1))
		if (slots[i].key == key)
			return slots[i].port;
	return NULL;
}

struct dpu_port *dpu_table_by_mac(const struct dpu_table *table, uint64_t mac_key)
{
	return slot_find(table->by_mac, table->nr_slots, mac_key);
}

struct dpu_port *dpu_table_by_id(const struct dpu_table *table, uint32_t id)
{
	return slot_find(table->by_id, table->nr_slots, id);
}

struct dpu_port *dpu_table_by_ip(const struct dpu_table *table, uint32_t ipv4_be)
{
	return slot_find(table->by_ip, table->nr_slots, ipv4_be);
}

/* FNV-1a over the tenant's number and the name. */
static uint64_t name_key(uint32_t tenant, const char *name)
{
	uint64_t hash = 0xcbf29ce484222325ULL ^ tenant;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 0x100000001b3ULL;
	return hash;
}

struct dpu_port *dpu_table_by_name(const struct dpu_table *table, uint32_t tenant, const char *name)
{
	struct dpu_port *port = slot_find(table->by_name, table->nr_slots, name_key(tenant, name));

	/* of two that have one hash the later one is not found */
	return port && port->config.tenant == tenant && !strcmp(port->config.name, name) ? port :
											   NULL;
}

static bool is_none(const uint8_t ip6[16])
{
	static const uint8_t none[16];

	return memcmp(ip6, none, sizeof(none)) == 0;
}

static uint64_t ip6_key(const uint8_t ip6[16])
{
	uint64_t halves[2];

	memcpy(halves, ip6, sizeof(halves));
	return halves[0] * 0x9e3779b97f4a7c15ULL ^ halves[1];
}

struct dpu_port *dpu_table_by_ip6(const struct dpu_table *table, const uint8_t ip6[16])
{
	static const uint8_t link_local[8] = {0xfe, 0x80};
	struct dpu_port *port;

	if (memcmp(ip6, link_local, sizeof(link_local)) == 0) {
		const uint8_t mac[6] = {ip6[8] ^ 2, ip6[9], ip6[10], ip6[13], ip6[14], ip6[15]};

		return ip6[11] == 0xff && ip6[12] == 0xfe ?
			       dpu_table_by_mac(table, dpu_mac_key(mac)) :
			       NULL;
	}
	port = slot_find(table->by_ip6, table->nr_slots, ip6_key(ip6));
	return port && memcmp(port->config.ipv6, ip6, 16) == 0 ? port : NULL;
}

/* One allocation, to be freed with free(). */
int dpu_table_build(struct dpu_port *const *ports, unsigned nr_ports, struct dpu_table **ret_table)
{
	unsigned nr_slots = 2;
	struct dpu_table *table;

	while (nr_slots < 2 * nr_ports)
		nr_slots *= 2;
	table = calloc(1, sizeof(*table) + nr_ports * sizeof(table->port[0]) +
				  5UL * nr_slots * sizeof(struct dpu_slot));
	if (!table)
		return -ENOMEM;
	table->nr_ports = nr_ports;
	table->nr_slots = nr_slots;
	table->by_mac = (struct dpu_slot *)(table + 1);
	table->by_ip = table->by_mac + nr_slots;
	table->by_id = table->by_ip + nr_slots;
	table->by_ip6 = table->by_id + nr_slots;
	table->by_name = table->by_ip6 + nr_slots;
	table->port = (struct dpu_port **)(table->by_name + nr_slots);
	for (unsigned i = 0; i < nr_ports; i++) {
		table->port[i] = ports[i];
		slot_insert(table->by_mac, nr_slots, ports[i]->mac_key, ports[i]);
		slot_insert(table->by_id, nr_slots, ports[i]->config.id, ports[i]);
		if (ports[i]->config.ipv4_be)
			slot_insert(table->by_ip, nr_slots, ports[i]->config.ipv4_be, ports[i]);
		if (!is_none(ports[i]->config.ipv6))
			slot_insert(table->by_ip6, nr_slots, ip6_key(ports[i]->config.ipv6),
				    ports[i]);
		if (ports[i]->config.name[0])
			slot_insert(table->by_name, nr_slots,
				    name_key(ports[i]->config.tenant, ports[i]->config.name),
				    ports[i]);
	}
	*ret_table = table;
	return 0;
}
