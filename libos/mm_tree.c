/*
 * mm_tree.c - the treap of mappings.
 *
 * Recursion goes as deep as the tree: some 2.5 log2 n with random priorities, 40 levels of small
 * frames at 65,536 mappings (the most that the host kernel grants a process).
 */
#include "libos/mm_tree.h"

#include <stddef.h>

#include "leat/base/bits.h"

/* Recomputes what a node knows of its subtree from its children. */
static void node_pull(struct vma_node *n)
{
	uint64_t gap = 0;

	n->low = n->v.start;
	n->high = n->v.end;
	if (n->left) {
		n->low = n->left->low;
		gap = MAX(n->left->max_gap, n->v.start - n->left->high);
	}
	if (n->right) {
		n->high = n->right->high;
		gap = MAX(gap, n->right->max_gap);
		gap = MAX(gap, n->right->low - n->v.end);
	}
	n->max_gap = gap;
}

/* All of a lie below all of b. */
static struct vma_node *tree_merge(struct vma_node *a, struct vma_node *b)
{
	if (!a)
		return b;
	if (!b)
		return a;
	if (a->priority > b->priority) {
		a->right = tree_merge(a->right, b);
		node_pull(a);
		return a;
	}
	b->left = tree_merge(a, b->left);
	node_pull(b);
	return b;
}

/* Nodes that start below addr go to *ret_below, the others to *ret_above. */
static void tree_split(struct vma_node *n, uint64_t addr, struct vma_node **ret_below,
		       struct vma_node **ret_above)
{
	if (!n) {
		*ret_below = NULL;
		*ret_above = NULL;
		return;
	}
	if (n->v.start < addr) {
		tree_split(n->right, addr, &n->right, ret_above);
		*ret_below = n;
	} else {
		tree_split(n->left, addr, ret_below, &n->left);
		*ret_above = n;
	}
	node_pull(n);
}

/* Recomputes the path from the root to the node that starts at addr. */
static void tree_refresh(struct vma_node *n, uint64_t addr)
{
	if (!n)
		return;
	if (addr != n->v.start)
		tree_refresh(addr < n->v.start ? n->left : n->right, addr);
	node_pull(n);
}

void vma_tree_init(struct vma_tree *tree)
{
	*tree = (struct vma_tree){.seed = 0x9e3779b9U};
}

struct vma_node *vma_tree_find(const struct vma_tree *tree, uint64_t addr)
{
	struct vma_node *n = tree->root, *found = NULL;

	while (n) {
		if (n->v.end > addr) {
			found = n;
			if (n->v.start <= addr)
				break;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return found;
}

/* The last node that starts below addr. */
static struct vma_node *tree_find_below(const struct vma_tree *tree, uint64_t addr)
{
	struct vma_node *n = tree->root, *found = NULL;

	while (n) {
		if (n->v.start < addr) {
			found = n;
			n = n->right;
		} else {
			n = n->left;
		}
	}
	return found;
}

/* xorshift32: priorities only have to be spread, not secret. */
static uint32_t tree_random(struct vma_tree *tree)
{
	tree->seed ^= tree->seed << 13;
	tree->seed ^= tree->seed >> 17;
	tree->seed ^= tree->seed << 5;
	return tree->seed;
}

void vma_tree_insert(struct vma_tree *tree, struct vma_node *node)
{
	struct vma_node *below, *above;

	node->left = NULL;
	node->right = NULL;
	node->priority = tree_random(tree);
	node_pull(node);

	node->prev = tree_find_below(tree, node->v.start);
	node->next = node->prev ? node->prev->next : tree->first;
	if (node->prev)
		node->prev->next = node;
	else
		tree->first = node;
	if (node->next)
		node->next->prev = node;

	tree_split(tree->root, node->v.start, &below, &above);
	tree->root = tree_merge(tree_merge(below, node), above);
	tree->count++;
}

void vma_tree_remove(struct vma_tree *tree, struct vma_node *node)
{
	struct vma_node *below, *self, *above;

	tree_split(tree->root, node->v.start, &below, &above);
	tree_split(above, node->v.start + 1, &self, &above);
	tree->root = tree_merge(below, above);

	if (node->prev)
		node->prev->next = node->next;
	else
		tree->first = node->next;
	if (node->next)
		node->next->prev = node->prev;
	node->prev = NULL;
	node->next = NULL;
	tree->count--;
}

void vma_tree_resize(struct vma_tree *tree, struct vma_node *node, uint64_t start, uint64_t end)
{
	/* Order is kept: only the path above has to learn of it. */
	node->v.start = start;
	node->v.end = end;
	tree_refresh(tree->root, start);
}

struct gap_query {
	uint64_t len;
	uint64_t low;
	uint64_t high;
	uint64_t addr; /* the answer */
};

static bool gap_fits(struct gap_query *q, uint64_t start, uint64_t end)
{
	start = MAX(start, q->low);
	end = MIN(end, q->high);
	if (end < start || end - start < q->len)
		return false;
	q->addr = end - q->len;
	return true;
}

/* The highest hole between two nodes of the subtree. */
static bool gap_between(struct vma_node *n, struct gap_query *q)
{
	if (!n || n->max_gap < q->len || n->high <= q->low || n->low >= q->high)
		return false;
	return gap_between(n->right, q) || (n->right && gap_fits(q, n->v.end, n->right->low)) ||
	       (n->left && gap_fits(q, n->left->high, n->v.start)) || gap_between(n->left, q);
}

bool vma_tree_gap(const struct vma_tree *tree, uint64_t len, uint64_t low, uint64_t high,
		  uint64_t *ret_addr)
{
	struct gap_query q = {.len = len, .low = low, .high = high};
	struct vma_node *root = tree->root;
	bool found;

	if (!root)
		found = gap_fits(&q, low, high);
	else
		found = gap_fits(&q, root->high, high) || gap_between(root, &q) ||
			gap_fits(&q, low, root->low);
	if (found)
		*ret_addr = q.addr;
	return found;
}
