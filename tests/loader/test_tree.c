/*
 * test_tree.c - the treap of mappings against an array with a byte for each page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "leat/base/bits.h"
#include "libos/mm_tree.h"

#define PAGES 512U
#define ROUNDS 40000U

/* The model: which node holds a page, 0: free. */
static struct vma_node *page[PAGES];

static bool model_gap(uint64_t len, uint64_t low, uint64_t high, uint64_t *ret)
{
	uint64_t at, k;

	for (at = high; at-- > low;) {
		for (k = 0; k < len && at + k < high && !page[at + k]; k++)
			;
		if (k == len) {
			*ret = at;
			return true;
		}
	}
	return false;
}

static void check(const struct vma_tree *tree)
{
	const struct vma_node *n = tree->first;
	unsigned i, count = 0;

	for (i = 0; i < PAGES; i++) {
		const struct vma_node *found = vma_tree_find(tree, i);
		unsigned k = i;

		while (k < PAGES && !page[k])
			k++;
		assert_ptr_equal(found, k < PAGES ? page[k] : NULL);
	}
	for (; n; n = n->next, count++) {
		assert_ptr_equal(page[n->v.start], n);
		if (n->next)
			assert_true(n->v.end <= n->next->v.start);
	}
	assert_int_equal(count, tree->count);
}

static void fill(struct vma_node *n, struct vma_node *with)
{
	uint64_t i;

	for (i = n->v.start; i < n->v.end; i++)
		page[i] = with;
}

static void step(struct vma_tree *tree)
{
	uint64_t len = 1 + (uint64_t)rand() % 12, low = (uint64_t)rand() % PAGES, at, want;
	struct vma_node *n = page[low];
	bool found;

	if (n && rand() % 3) {
		vma_tree_remove(tree, n);
		fill(n, NULL);
		free(n);
	} else if (n && n->v.end - n->v.start > 2) {
		fill(n, NULL);
		vma_tree_resize(tree, n, n->v.start + 1, n->v.end - 1);
		fill(n, n);
	}
	found = vma_tree_gap(tree, len, low, PAGES, &at);
	assert_int_equal(found, model_gap(len, low, PAGES, &want));
	if (!found)
		return;
	assert_int_equal(at, want);
	if (rand() % 3 == 0)
		return;
	n = calloc(1, sizeof(*n));
	n->v.start = at;
	n->v.end = at + len;
	vma_tree_insert(tree, n);
	fill(n, n);
}

static void test_random(void **state)
{
	unsigned seed = (unsigned)time(NULL), i;
	struct vma_tree tree;

	(void)state;
	printf("seed %u\n", seed);
	srand(seed);
	vma_tree_init(&tree);
	for (i = 0; i < ROUNDS; i++) {
		step(&tree);
		if (i % 64 == 0)
			check(&tree);
	}
	while (tree.first) {
		struct vma_node *n = tree.first;

		vma_tree_remove(&tree, n);
		free(n);
	}
	assert_null(tree.root);
}

static unsigned depth(const struct vma_node *n)
{
	return n ? 1 + MAX(depth(n->left), depth(n->right)) : 0;
}

/* As many mappings as a process can have, in order: the worst case of a plain tree. */
static void test_depth(void **state)
{
	struct vma_node *nodes = calloc(65536, sizeof(*nodes));
	struct vma_tree tree;
	uint64_t i;

	(void)state;
	vma_tree_init(&tree);
	for (i = 0; i < 65536; i++) {
		nodes[i].v.start = 2 * i;
		nodes[i].v.end = 2 * i + 1;
		vma_tree_insert(&tree, &nodes[i]);
	}
	assert_in_range(depth(tree.root), 16, 64);
	free(nodes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
