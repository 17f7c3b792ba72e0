/*
 * TCP end to end: two stacks over a good and over a bad link, and over loopback.
 */
#include "tests/net/harness.h"

#include <netinet/tcp.h>

#define VIRTNET_RX_MOST 1024u

/* ---- bulk transfer with a hash of both ends ---- */

struct transfer {
	struct net_sock *from, *to;
	uint64_t total, sent, received;
	uint64_t hash_in, hash_out;
	uint64_t limit_per_turn; /* the reader takes no more at once; 0: all */
	bool shut, ended;
};

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)((at * 2654435761u) >> 13 ^ at);
}

static uint64_t hash_add(uint64_t hash, const uint8_t *data, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		hash = (hash ^ data[i]) * 0x100000001b3ull;
	return hash;
}

static bool transfer_step(void *arg)
{
	struct transfer *t = arg;
	static uint8_t buffer[65536];
	ssize_t n;

	while (t->sent < t->total) {
		size_t want = 1 + world_random() % sizeof(buffer);

		if (want > t->total - t->sent)
			want = t->total - t->sent;
		for (size_t i = 0; i < want; i++)
			buffer[i] = pattern(t->sent + i);
		n = sock_send(t->from, buffer, want, 0);
		if (n == -EAGAIN)
			break;
		assert_true(n > 0);
		t->hash_in = hash_add(t->hash_in, buffer, (size_t)n);
		t->sent += (uint64_t)n;
	}
	if (t->sent == t->total && !t->shut) {
		assert_int_equal(net_shutdown(t->from, SHUT_WR), 0);
		t->shut = true;
	}
	while (!t->ended) {
		n = sock_recv(t->to, buffer, 1 + world_random() % sizeof(buffer), 0);
		if (n == -EAGAIN)
			break;
		assert_true(n >= 0);
		t->ended = n == 0;
		t->hash_out = hash_add(t->hash_out, buffer, (size_t)n);
		t->received += (uint64_t)n;
		if (t->limit_per_turn != 0)
			break;
	}
	return t->ended;
}

static void transfer(struct net_sock *from, struct net_sock *to, uint64_t total)
{
	struct transfer t = {.from = from, .to = to, .total = total};

	if (!world_run(3000 * SEC, transfer_step, &t)) {
		print_message("stuck: sent %lu received %lu of %lu, seed %lu\n", t.sent, t.received,
			      total, world.seed);
		fail();
	}
	assert_int_equal(t.received, total);
	assert_int_equal(t.hash_in, t.hash_out);
}

static void pair_close(struct net_sock *pair[2])
{
	net_close(pair[0]);
	net_close(pair[1]);
	world_run(300 * SEC, NULL, NULL);
}

static void test_hello(void **state)
{
	struct net_sock *pair[2];
	char buffer[16];

	(void)state;
	world_init(1, FEATURES_ALL, true, 1500);
	sock_pair(&world.hosts[0], &world.hosts[1], 80, pair);
	assert_int_equal(sock_send(pair[0], "hello", 5, 0), 5);
	world_settle();
	world_run(1 * MS, NULL, NULL);
	assert_int_equal(sock_recv(pair[1], buffer, sizeof(buffer), 0), 5);
	assert_memory_equal(buffer, "hello", 5);
	assert_int_equal(sock_recv(pair[1], buffer, sizeof(buffer), 0), -EAGAIN);
	pair_close(pair);
	world_finish();
}

static void test_bulk_clean(void **state)
{
	struct net_sock *pair[2];

	(void)state;
	world_init(2, FEATURES_ALL, true, 1500);
	sock_pair(&world.hosts[0], &world.hosts[1], 80, pair);
	transfer(pair[0], pair[1], 20000000);
	transfer(pair[1], pair[0], 20000000);
	pair_close(pair);
	world_finish();
}

static void test_bulk_loopback(void **state)
{
	struct net_sock *pair[2];

	(void)state;
	world_init(3, FEATURES_ALL, true, 1500);
	sock_pair(&world.hosts[0], &world.hosts[0], 80, pair);
	transfer(pair[0], pair[1], 20000000);
	transfer(pair[1], pair[0], 20000000);
	assert_int_equal(world.hosts[0].frames_out, 0);
	pair_close(pair);
	world_finish();
}

/* A bad link, both ways, with and without offloads; ten seeds each. */
static void bad_link(uint64_t features, uint16_t mtu, const struct link_model *link)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		struct net_sock *pair[2];

		world_init(seed, features, true, mtu);
		world.link = *link;
		sock_pair(&world.hosts[0], &world.hosts[1], 80, pair);
		transfer(pair[0], pair[1], 600000);
		transfer(pair[1], pair[0], 300000);
		pair_close(pair);
		world_finish();
	}
}

static void test_loss(void **state)
{
	struct link_model link = {.delay_ns = 5 * MS, .loss_permille = 30};

	(void)state;
	bad_link(FEATURES_PLAIN, 1500, &link);
	bad_link(FEATURES_ALL, 1500, &link);
}

static void test_heavy_loss(void **state)
{
	struct link_model link = {.delay_ns = 2 * MS, .loss_permille = 200};

	(void)state;
	bad_link(FEATURES_PLAIN, 1500, &link);
}

static void test_reorder_duplicate(void **state)
{
	struct link_model link = {.delay_ns = 3 * MS,
				  .reorder_permille = 200,
				  .duplicate_permille = 100,
				  .loss_permille = 10};

	(void)state;
	bad_link(FEATURES_PLAIN, 1280, &link);
	bad_link(FEATURES_ALL, 1500, &link);
}

static void test_corruption(void **state)
{
	struct link_model link = {.delay_ns = 1 * MS, .corrupt_permille = 50};

	(void)state;
	bad_link(FEATURES_PLAIN, 1500, &link);
}

/* ---- everything at once ---- */

#define CHAOS_PAIRS 24u

/* One direction of a connection: bytes are numbered, so that each can be checked where it arrives.
 */
struct flow {
	uint64_t sent, received;
};

struct chaos_pair {
	struct net_sock *sock[2];
	struct flow flow[2]; /* [i]: from sock[i] */
	uint16_t port;
	uint8_t salt;
};

static struct net_sock *chaos_listener[2];
static struct chaos_pair chaos[CHAOS_PAIRS];
static uint64_t chaos_checked;

static void chaos_close(struct chaos_pair *c, unsigned int i)
{
	if (c->sock[i] != NULL)
		net_close(c->sock[i]);
	c->sock[i] = NULL;
}

/* The client says first which pair it is, since accept knows no order. */
static void chaos_open(unsigned int index)
{
	struct chaos_pair *c = &chaos[index];
	unsigned int client = world_random() % 2;
	bool loopback = world_random() % 4 == 0;
	unsigned int server = loopback ? client : !client;
	uint8_t name = (uint8_t)index;
	int rc;

	*c = (struct chaos_pair){.salt = (uint8_t)world_random()};
	c->sock[0] = sock_new(&world.hosts[client], AF_INET, SOCK_STREAM);
	rc = sock_connect(c->sock[0], server == 0 ? "10.0.0.1" : "10.0.0.2", 80);
	assert_int_equal(rc, -EINPROGRESS);
	for (unsigned int i = 0; i < 300 && sock_send(c->sock[0], &name, 1, 0) != 1; i++)
		world_run(100 * MS, NULL, NULL);
}

static void chaos_accept(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct net_sock *sock;
		uint8_t name;

		while ((sock = sock_accept(chaos_listener[i])) != NULL) {
			for (unsigned int j = 0; j < 100 && sock_recv(sock, &name, 1, 0) == -EAGAIN;
			     j++)
				world_run(50 * MS, NULL, NULL);
			/* one that its client has given up, or that came twice */
			if (name >= CHAOS_PAIRS || chaos[name].sock[1] != NULL ||
			    chaos[name].sock[0] == NULL) {
				net_close(sock);
				continue;
			}
			chaos[name].sock[1] = sock;
		}
	}
}

static void chaos_send(struct chaos_pair *c, unsigned int i)
{
	static uint8_t buffer[20000];
	size_t want = 1 + world_random() % sizeof(buffer);
	ssize_t n;

	for (size_t k = 0; k < want; k++)
		buffer[k] = (uint8_t)(pattern(c->flow[i].sent + k) + c->salt + i);
	n = sock_send(c->sock[i], buffer, want, world_random() % 8 == 0 ? MSG_MORE : 0);
	if (n > 0)
		c->flow[i].sent += (uint64_t)n;
}

static void chaos_recv(struct chaos_pair *c, unsigned int i)
{
	static uint8_t buffer[20000];
	struct flow *flow = &c->flow[!i];
	ssize_t n = sock_recv(c->sock[i], buffer, 1 + world_random() % sizeof(buffer), 0);

	for (ssize_t k = 0; k < n; k++)
		assert_int_equal(buffer[k],
				 (uint8_t)(pattern(flow->received + (uint64_t)k) + c->salt + !i));
	if (n > 0) {
		flow->received += (uint64_t)n;
		chaos_checked += (uint64_t)n;
	}
}

static void chaos_turn(void)
{
	struct chaos_pair *c = &chaos[world_random() % CHAOS_PAIRS];
	unsigned int i = world_random() % 2;
	int on = (int)(world_random() % 2);

	if (c->sock[0] == NULL && c->sock[1] == NULL)
		chaos_open((unsigned int)(c - chaos));
	if (c->sock[i] == NULL)
		return;
	switch (world_random() % 64) {
	case 0:
		chaos_close(c, i);
		break;
	case 1:
		net_shutdown(c->sock[i], (int)(world_random() % 3));
		break;
	case 2:
		net_setsockopt(c->sock[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		break;
	case 3:
		net_setsockopt(c->sock[i], IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
		break;
	default:
		if (world_random() % 2)
			chaos_send(c, i);
		else
			chaos_recv(c, i);
		break;
	}
}

static void test_chaos(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		world_init(seed, seed % 2 ? FEATURES_ALL : FEATURES_PLAIN, true, 1500);
		world.link = (struct link_model){.delay_ns = 1 * MS,
						 .loss_permille = 20,
						 .reorder_permille = 50,
						 .duplicate_permille = 10};
		memset(chaos, 0, sizeof(chaos));
		chaos_checked = 0;
		for (unsigned int i = 0; i < 2; i++)
			chaos_listener[i] = sock_listener(&world.hosts[i], 80, 16);
		for (unsigned int turn = 0; turn < 20000; turn++) {
			chaos_turn();
			if (turn % 8 == 0) {
				world_run(world_random() % (2 * MS), NULL, NULL);
				chaos_accept();
			}
		}
		assert_true(chaos_checked > 1000000);
		for (unsigned int i = 0; i < CHAOS_PAIRS; i++) {
			chaos_close(&chaos[i], 0);
			chaos_close(&chaos[i], 1);
		}
		net_close(chaos_listener[0]);
		net_close(chaos_listener[1]);
		world.link.loss_permille = 0;
		world_run(2000 * SEC, NULL, NULL);
		for (unsigned int i = 0; i < 2; i++) {
			struct net_stats stats;

			/* nothing is left but what the RX ring holds */
			net_stats_get(world.hosts[i].net, &stats);
			assert_int_equal(stats.sockets, 0);
			assert_true(stats.buf_total - stats.buf_free <= VIRTNET_RX_MOST);
		}
		world_finish();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),         cmocka_unit_test(test_bulk_clean),
		cmocka_unit_test(test_bulk_loopback), cmocka_unit_test(test_loss),
		cmocka_unit_test(test_heavy_loss),    cmocka_unit_test(test_reorder_duplicate),
		cmocka_unit_test(test_corruption),    cmocka_unit_test(test_chaos),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
