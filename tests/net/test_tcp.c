/*
 * TCP end to end: two stacks over a good and over a bad link, and over loopback.
 */
#include "tests/net/harness.h"

#include <netinet/tcp.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),         cmocka_unit_test(test_bulk_clean),
		cmocka_unit_test(test_bulk_loopback), cmocka_unit_test(test_loss),
		cmocka_unit_test(test_heavy_loss),    cmocka_unit_test(test_reorder_duplicate),
		cmocka_unit_test(test_corruption),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
