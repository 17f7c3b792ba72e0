/*
 * mm_tree.h - the ordered set of a process's mappings: private to mm*.c.
 *
 * A treap by address, so that tens of thousands of mappings cost logarithmic steps; every node also
 * knows the largest hole inside its subtree, which makes the search for a free range logarithmic
 * too.  Neighbours are linked in order of address.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "libos/mm.h"

struct vma_node {
	struct vma v; /* first: a const struct vma * from mm.h is a node */
	struct vma_node *left;
	struct vma_node *right;
	struct vma_node *prev;
	struct vma_node *next;
	uint64_t low; /* of the subtree: first start, last end, largest hole between two nodes */
	uint64_t high;
	uint64_t max_gap;
	uint32_t priority;
};

struct vma_tree {
	struct vma_node *root;
	struct vma_node *first;
	uint32_t seed;
	unsigned count;
};

void vma_tree_init(struct vma_tree *tree);

/* The node that holds addr, or the first one above it; NULL if none. */
struct vma_node *vma_tree_find(const struct vma_tree *tree, uint64_t addr);

/* The range of the node must be free. */
void vma_tree_insert(struct vma_tree *tree, struct vma_node *node);
void vma_tree_remove(struct vma_tree *tree, struct vma_node *node);

/* Gives a node of the tree new bounds, which must not pass its neighbours'. */
void vma_tree_resize(struct vma_tree *tree, struct vma_node *node, uint64_t start, uint64_t end);

/* The highest free [addr, addr + len) within [low, high). */
bool vma_tree_gap(const struct vma_tree *tree, uint64_t len, uint64_t low, uint64_t high,
		  uint64_t *ret_addr);
