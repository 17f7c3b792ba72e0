/*
 * arena.c - the arena's memory: a buddy allocator of pages, and slabs of small objects on top.
 *
 * The arena begins with struct instance and struct arena; the page table of the allocator (one
 * struct page a page) follows as a sparse array.  Pages above `frontier` were never used.  Guard:
 * the instance lock.
 */
#include "libos/arena.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "leat/base/bits.h"
#include "libos/arena_host.h"
#include "libos/instance.h"

#define PAGE ABI_PAGE_SIZE
#define ORDER_MAX 15U      /* blocks of up to 128 MiB */
#define ORDER_GIVE_BACK 8U /* free blocks from 1 MiB up go back to the host */
#define SLAB_MAX 2048U     /* larger objects are pages of their own */
#define SLAB_BIG_FROM 512U /* objects above this have slabs of SLAB_BIG_ORDER */
#define SLAB_BIG_ORDER 2U
#define NR_CLASSES (sizeof(class_size) / sizeof(class_size[0]))
#define NONE UINT32_MAX
#define LINK_END UINT16_MAX

enum page_state {
	PAGE_NONE,  /* inside a block, or never used */
	PAGE_FREE,  /* first page of a free block */
	PAGE_USED,  /* first page of a block that was handed out */
	PAGE_SLAB,  /* first page of a slab */
	PAGE_INNER, /* another page of a slab: `next` is the first */
};

struct page {
	uint32_t next; /* in a list of free blocks or of slabs with room; page numbers */
	uint32_t prev;
	uint8_t state; /* enum page_state */
	uint8_t order;
	uint8_t class;
	bool given_back; /* free: holds no host memory */
	uint16_t used;   /* slab: objects handed out */
	uint16_t free;   /* slab: first free object + 1 (its index), 0: none */
};

struct arena {
	struct page *pages;
	uint32_t frontier;
	uint32_t limit; /* pages */
	uint32_t first; /* pages below hold the allocator itself */
	uint32_t free_list[ORDER_MAX + 1];
	uint32_t partial[32]; /* slabs with room, by class */
	uint64_t used_bytes;
	uint64_t given_back_pages;
};

static const uint16_t class_size[] = {16,  32,  48,  64,  128,  192,  256, 320,
				      384, 512, 640, 768, 1024, 1536, 2048};

_Static_assert(sizeof(struct page) == 16, "a page costs 16 bytes");

static struct arena *arena(void)
{
	return instance()->arena_state;
}

static struct page *page_at(uint32_t nr)
{
	return &arena()->pages[nr];
}

static uint32_t page_nr(const void *ptr)
{
	return (uint32_t)(((uint64_t)(uintptr_t)ptr - ABI_ARENA_BASE) / PAGE);
}

static void *page_ptr(uint32_t nr)
{
	return (void *)(ABI_ARENA_BASE + (uint64_t)nr * PAGE);
}

/* ---- lists of page numbers ---- */

static void list_push(uint32_t *head, uint32_t nr)
{
	struct page *page = page_at(nr);

	page->prev = NONE;
	page->next = *head;
	if (*head != NONE)
		page_at(*head)->prev = nr;
	*head = nr;
}

static void list_unlink(uint32_t *head, uint32_t nr)
{
	struct page *page = page_at(nr);

	if (page->prev != NONE)
		page_at(page->prev)->next = page->next;
	else
		*head = page->next;
	if (page->next != NONE)
		page_at(page->next)->prev = page->prev;
}

/* ---- pages ---- */

static void block_insert(uint32_t nr, unsigned order, bool given_back)
{
	struct page *page = page_at(nr);

	page->state = PAGE_FREE;
	page->order = (uint8_t)order;
	page->given_back = given_back;
	list_push(&arena()->free_list[order], nr);
}

static void block_remove(uint32_t nr)
{
	struct page *page = page_at(nr);

	list_unlink(&arena()->free_list[page->order], nr);
	page->state = PAGE_NONE;
	if (page->given_back)
		arena()->given_back_pages -= 1UL << page->order;
}

/* Moves the frontier up behind an aligned block of the order; what was skipped becomes free. */
static uint32_t frontier_take(unsigned order)
{
	struct arena *a = arena();
	uint32_t size = 1U << order;

	if (align_up(a->frontier, size) + size > a->limit)
		return NONE;
	while ((a->frontier & (size - 1)) != 0) {
		unsigned step = (unsigned)__builtin_ctz(a->frontier);

		a->given_back_pages += 1UL << step; /* never touched: holds no memory */
		block_insert(a->frontier, step, true);
		a->frontier += 1U << step;
	}
	a->frontier += size;
	return a->frontier - size;
}

/* *ret_fresh: the host has no memory behind the pages, so that they read as zeros. */
static void *block_alloc(unsigned order, bool *ret_fresh)
{
	struct arena *a = arena();
	uint32_t nr = NONE;
	unsigned from;
	bool given_back = true;

	if (order > ORDER_MAX)
		return NULL;
	for (from = order; from <= ORDER_MAX; from++)
		if (a->free_list[from] != NONE)
			break;
	if (from > ORDER_MAX) {
		nr = frontier_take(order);
		if (nr == NONE)
			return NULL;
	} else {
		nr = a->free_list[from];
		given_back = page_at(nr)->given_back;
		block_remove(nr);
		while (from > order) {
			from--;
			if (given_back)
				a->given_back_pages += 1UL << from;
			block_insert(nr + (1U << from), from, given_back);
		}
	}
	page_at(nr)->state = PAGE_USED;
	page_at(nr)->order = (uint8_t)order;
	a->used_bytes += PAGE << order;
	*ret_fresh = given_back;
	return page_ptr(nr);
}

void *page_alloc(unsigned order)
{
	bool fresh;

	return block_alloc(order, &fresh);
}

/* Unites the block with its free neighbours; returns the block that came of it. */
static uint32_t block_unite(uint32_t nr, unsigned *inout_order)
{
	struct arena *a = arena();
	unsigned order = *inout_order;

	while (order < ORDER_MAX) {
		uint32_t buddy = nr ^ 1U << order;

		if (buddy < a->first || buddy + (1U << order) > a->frontier ||
		    page_at(buddy)->state != PAGE_FREE || page_at(buddy)->order != order)
			break;
		block_remove(buddy);
		nr &= ~(1U << order);
		order++;
	}
	*inout_order = order;
	return nr;
}

void page_free(void *pages, unsigned order)
{
	struct arena *a = arena();
	uint32_t nr;
	bool give_back;

	if (pages == NULL)
		return;
	nr = page_nr(pages);
	if (page_at(nr)->state != PAGE_USED || page_at(nr)->order != order)
		panic("arena: bad free of %p, order %u", pages, order);
	a->used_bytes -= PAGE << order;
	page_at(nr)->state = PAGE_NONE;
	nr = block_unite(nr, &order);
	give_back = order >= ORDER_GIVE_BACK;
	if (give_back) {
		arena_give_back(page_ptr(nr), PAGE << order);
		a->given_back_pages += 1UL << order;
	}
	block_insert(nr, order, give_back);
}

/* ---- objects ---- */

static unsigned class_of(size_t size)
{
	unsigned class = 0;

	while (class_size[class] < size)
		class ++;
	return class;
}

static unsigned slab_order(unsigned class)
{
	return class_size[class] > SLAB_BIG_FROM ? SLAB_BIG_ORDER : 0;
}

static unsigned slab_room(unsigned class)
{
	return (unsigned)((PAGE << slab_order(class)) / class_size[class]);
}

static uint16_t *slab_object(uint32_t nr, unsigned class, unsigned index)
{
	return (uint16_t *)((char *)page_ptr(nr) + (size_t)index * class_size[class]);
}

/*
 * A free object begins with the link to the next one: its index + 1, LINK_END, or 0: the object
 * behind it.  So a slab of fresh pages is a list as it is, and touches no page before its first
 * object there is handed out.
 */
static uint16_t slab_next(uint32_t nr, unsigned class, unsigned index)
{
	uint16_t link = *slab_object(nr, class, index);

	if (link == 0)
		link = index + 1 < slab_room(class) ? (uint16_t)(index + 2) : LINK_END;
	return link == LINK_END ? 0 : link;
}

static uint32_t slab_create(unsigned class)
{
	unsigned order = slab_order(class);
	bool fresh;
	void *memory = block_alloc(order, &fresh);
	struct page *page;
	uint32_t nr;

	if (memory == NULL)
		return NONE;
	arena()->used_bytes -= PAGE << order; /* counted by the object */
	nr = page_nr(memory);
	page = page_at(nr);
	page->state = PAGE_SLAB;
	page->class = (uint8_t) class;
	page->used = 0;
	page->free = 1;
	for (unsigned i = 0; !fresh && i < slab_room(class); i++)
		*slab_object(nr, class, i) = 0;
	for (uint32_t i = 1; i < 1U << order; i++) {
		page_at(nr + i)->state = PAGE_INNER;
		page_at(nr + i)->next = nr;
	}
	list_push(&arena()->partial[class], nr);
	return nr;
}

static void slab_destroy(uint32_t nr)
{
	struct page *page = page_at(nr);
	unsigned order = slab_order(page->class);

	list_unlink(&arena()->partial[page->class], nr);
	for (uint32_t i = 1; i < 1U << order; i++)
		page_at(nr + i)->state = PAGE_NONE;
	page->state = PAGE_USED;
	arena()->used_bytes += PAGE << order;
	page_free(page_ptr(nr), order);
}

static unsigned order_of(size_t size)
{
	unsigned order = 0;

	while (order <= ORDER_MAX && PAGE << order < size)
		order++;
	return order;
}

void *arena_alloc(size_t size)
{
	struct arena *a = arena();
	unsigned class;
	uint16_t *object;
	struct page *page;
	uint32_t nr;

	if (size > SLAB_MAX)
		return page_alloc(order_of(size));
	class = class_of(size);
	nr = a->partial[class];
	if (nr == NONE)
		nr = slab_create(class);
	if (nr == NONE)
		return NULL;
	page = page_at(nr);
	object = slab_object(nr, class, page->free - 1U);
	page->free = slab_next(nr, class, page->free - 1U);
	page->used++;
	if (page->free == 0)
		list_unlink(&a->partial[class], nr);
	a->used_bytes += class_size[class];
	return object;
}

void *arena_zalloc(size_t size)
{
	bool fresh = false;
	void *obj = size > SLAB_MAX ? block_alloc(order_of(size), &fresh) : arena_alloc(size);

	if (obj != NULL && !fresh)
		memset(obj, 0, size);
	return obj;
}

static void object_free(uint32_t nr, void *obj)
{
	struct arena *a = arena();
	struct page *page = page_at(nr);
	unsigned class = page->class;
	size_t off = (size_t)((char *)obj - (char *)page_ptr(nr));

	if (off % class_size[class] != 0 || page->used == 0)
		panic("arena: bad free of %p", obj);
	if (page->free == 0)
		list_push(&a->partial[class], nr);
	*(uint16_t *)obj = page->free == 0 ? LINK_END : page->free;
	page->free = (uint16_t)(off / class_size[class] + 1);
	page->used--;
	a->used_bytes -= class_size[class];
	/* The last slab with room stays, so that one object made and freed in turn is cheap. */
	if (page->used == 0 && (page->next != NONE || page->prev != NONE))
		slab_destroy(nr);
}

void arena_free(void *obj)
{
	uint32_t nr;

	if (obj == NULL)
		return;
	nr = page_nr(obj);
	if (page_at(nr)->state == PAGE_INNER)
		nr = page_at(nr)->next;
	if (page_at(nr)->state == PAGE_SLAB)
		object_free(nr, obj);
	else
		page_free(obj, page_at(nr)->order);
}

void arena_init(uint64_t limit_bytes)
{
	struct instance *inst = instance();
	struct arena *a = (struct arena *)(ABI_ARENA_BASE + align_up(sizeof(*inst), PAGE));
	uint64_t table = (uint64_t)(uintptr_t)a + align_up(sizeof(*a), PAGE);
	uint64_t limit = MIN(limit_bytes, ABI_ARENA_MAX) / PAGE;

	inst->arena_state = a;
	inst->arena_limit_bytes = limit * PAGE;
	a->pages = (struct page *)table;
	a->limit = (uint32_t)limit;
	a->frontier = page_nr((void *)align_up(table + limit * sizeof(struct page), PAGE));
	a->first = a->frontier;
	for (unsigned i = 0; i <= ORDER_MAX; i++)
		a->free_list[i] = NONE;
	for (unsigned i = 0; i < NR_CLASSES; i++)
		a->partial[i] = NONE;
}

uint64_t arena_end(void)
{
	return ABI_ARENA_BASE + (uint64_t)arena()->frontier * PAGE;
}

uint64_t arena_table_end(void)
{
	return (uint64_t)(uintptr_t)&arena()->pages[arena()->frontier];
}

uint64_t arena_data_start(void)
{
	return ABI_ARENA_BASE + (uint64_t)arena()->first * PAGE;
}

void arena_stats_get(struct arena_stats *ret_stats)
{
	const struct arena *a = arena();
	uint64_t pages = a->frontier - a->first;

	ret_stats->used_bytes = a->used_bytes;
	ret_stats->taken_bytes = (pages - a->given_back_pages) * PAGE;
	ret_stats->limit_bytes = a->limit * PAGE;
}
