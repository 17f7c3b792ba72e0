/*
 * Packet memory. Pages of the window hold the bytes; the counters and lists about them live in the
 * arena. Free pages are reused last-in-first-out, and a page that was never used is taken only when
 * none is free, so that an instance touches no more of the window than it needs at its peak.
 *
 * A *frag* names a range of a page and holds one reference to it. Frags make up packets and the
 * queues of sockets; several may share a page.
 */
#pragma once

#include "net/util.h"

#define BUF_BYTES 4096u
#define BUF_NONE UINT32_MAX
/* A packet up to this size is worth copying behind its queue's last frag, to free its page. */
#define BUF_COPY_BYTES 512u

struct buf_meta {
	uint32_t next; /* free list */
	uint16_t refs;
	uint16_t used; /* bytes handed out so far: who owns the last of them may append */
};

struct buf_pool {
	uint8_t *base;        /* of page 0 */
	uint64_t base_offset; /* the same, in the window */
	uint32_t count;
	uint32_t fresh; /* pages from here on were never used */
	uint32_t free_head;
	uint32_t free_count; /* fresh ones included */
	uint32_t reserve;    /* pages that only the RX ring may take */
	struct buf_meta *meta;
	struct frag *frag_free;
	struct frag *chunks; /* all memory of frags, linked by the first of each chunk */
};

struct frag {
	struct frag *next;
	uint32_t page;
	uint32_t seq; /* of the first byte, in TCP's queues */
	uint16_t offset;
	uint16_t bytes;
};

struct frag_list {
	struct frag *head, *tail;
	uint32_t bytes;
};

int buf_pool_init(struct buf_pool *pool, void *window, uint64_t offset, uint64_t bytes);
/* All pages are free and untouched: whoever held one is gone, or the window is a new one. */
void buf_pool_reset(struct buf_pool *pool);
void buf_pool_finish(struct buf_pool *pool);

/* A page with one reference, or BUF_NONE. The RX ring may use the reserve. */
uint32_t buf_page_alloc(struct buf_pool *pool, bool may_use_reserve);
void buf_page_free(struct buf_pool *pool, uint32_t page);

static inline uint8_t *buf_page(const struct buf_pool *pool, uint32_t page)
{
	return pool->base + (size_t)page * BUF_BYTES;
}

static inline void buf_page_ref(struct buf_pool *pool, uint32_t page)
{
	pool->meta[page].refs++;
}

static inline void buf_page_unref(struct buf_pool *pool, uint32_t page)
{
	if (--pool->meta[page].refs == 0)
		buf_page_free(pool, page);
}

/* Packet memory runs low: senders get no more of it. */
static inline bool buf_low(const struct buf_pool *pool)
{
	return pool->free_count <= pool->reserve;
}

/* Half of it is used: queues grow no more. */
static inline bool buf_scarce(const struct buf_pool *pool)
{
	return pool->free_count < pool->count / 2;
}

/* A frag without a page, or NULL. */
struct frag *frag_alloc(struct buf_pool *pool);
/* Gives back the frag and its reference to the page. */
void frag_free(struct buf_pool *pool, struct frag *frag);

static inline uint8_t *frag_data(const struct buf_pool *pool, const struct frag *frag)
{
	return buf_page(pool, frag->page) + frag->offset;
}

static inline void frag_list_init(struct frag_list *list)
{
	list->head = NULL;
	list->tail = NULL;
	list->bytes = 0;
}

static inline void frag_list_push(struct frag_list *list, struct frag *frag)
{
	frag->next = NULL;
	if (list->tail != NULL)
		list->tail->next = frag;
	else
		list->head = frag;
	list->tail = frag;
	list->bytes += frag->bytes;
}

void frag_list_free(struct buf_pool *pool, struct frag_list *list);
/* Moves all of `from` behind `to`. */
void frag_list_join(struct frag_list *to, struct frag_list *from);
/* Drops `bytes` at the front; there are as many. */
void frag_list_pull(struct buf_pool *pool, struct frag_list *list, uint32_t bytes);
/* Cuts the list to `bytes`. */
void frag_list_trim(struct buf_pool *pool, struct frag_list *list, uint32_t bytes);

/*
 * Appends up to `bytes` from the program to the list, filling the last page first. Returns what was
 * copied, -EFAULT, or -ENOBUFS; `seq` numbers the first byte.
 */
int frag_list_append_user(struct buf_pool *pool, struct frag_list *list, uint32_t seq,
			  const void *user_src, uint32_t bytes);

/* The same from own memory. 0 or -ENOBUFS. */
int frag_list_append(struct buf_pool *pool, struct frag_list *list, uint32_t seq, const void *src,
		     uint32_t bytes);

/* Copies `bytes` from `offset` on into own memory; there are as many. */
void frag_list_peek(const struct buf_pool *pool, const struct frag_list *list, uint32_t offset,
		    void *dst, uint32_t bytes);

/* Checksum of `bytes` from `offset` on; they may begin and end anywhere. */
uint64_t frag_list_csum(const struct buf_pool *pool, const struct frag_list *list, uint32_t offset,
			uint32_t bytes);

/*
 * Appends `frag` to a receive queue: without a copy, unless it is small and fits behind the queue's
 * last bytes, so that many small packets that nobody reads do not pin a page each.
 */
void frag_list_receive(struct buf_pool *pool, struct frag_list *list, struct frag *frag);

/* Shares the range [offset, offset + bytes) of `from` behind `to`, by reference. 0 or -ENOBUFS. */
int frag_list_share(struct buf_pool *pool, struct frag_list *to, const struct frag_list *from,
		    uint32_t offset, uint32_t bytes);
