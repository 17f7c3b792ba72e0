/*
 * The page pool and frag lists.
 */
#include "net/buf.h"

#include <errno.h>

#include "net/env.h"
#include "net/wire.h"

#define FRAG_CHUNK_BYTES 16384u

int buf_pool_init(struct buf_pool *pool, void *window, uint64_t offset, uint64_t bytes)
{
	uint64_t count = bytes / BUF_BYTES;

	if (count == 0 || count >= BUF_NONE || offset % BUF_BYTES != 0)
		return -EINVAL;
	pool->meta = net_env_alloc_raw(count * sizeof(*pool->meta));
	if (pool->meta == NULL)
		return -ENOMEM;
	pool->base = (uint8_t *)window + offset;
	pool->base_offset = offset;
	pool->count = (uint32_t)count;
	pool->reserve = (uint32_t)count / 8;
	pool->frag_free = NULL;
	pool->chunks = NULL;
	buf_pool_reset(pool);
	return 0;
}

void buf_pool_reset(struct buf_pool *pool)
{
	pool->fresh = 0;
	pool->free_head = BUF_NONE;
	pool->free_count = pool->count;
}

void buf_pool_finish(struct buf_pool *pool)
{
	while (pool->chunks != NULL) {
		struct frag *next = pool->chunks->next;

		net_env_free(pool->chunks, FRAG_CHUNK_BYTES);
		pool->chunks = next;
	}
	if (pool->meta != NULL)
		net_env_free(pool->meta, pool->count * sizeof(*pool->meta));
}

uint32_t buf_page_alloc(struct buf_pool *pool, bool may_use_reserve)
{
	uint32_t page = pool->free_head;

	if (pool->free_count <= (may_use_reserve ? 0 : pool->reserve))
		return BUF_NONE;
	if (page != BUF_NONE)
		pool->free_head = pool->meta[page].next;
	else
		page = pool->fresh++;
	pool->free_count--;
	pool->meta[page].refs = 1;
	pool->meta[page].used = 0;
	return page;
}

void buf_page_free(struct buf_pool *pool, uint32_t page)
{
	pool->meta[page].next = pool->free_head;
	pool->free_head = page;
	pool->free_count++;
}

static bool frag_chunk_add(struct buf_pool *pool)
{
	struct frag *chunk = net_env_alloc(FRAG_CHUNK_BYTES);

	if (chunk == NULL)
		return false;
	/* the first frag of a chunk links the chunks and is never handed out */
	chunk->next = pool->chunks;
	pool->chunks = chunk;
	for (size_t i = FRAG_CHUNK_BYTES / sizeof(*chunk); i-- > 1;) {
		chunk[i].next = pool->frag_free;
		pool->frag_free = &chunk[i];
	}
	return true;
}

struct frag *frag_alloc(struct buf_pool *pool)
{
	struct frag *frag;

	if (pool->frag_free == NULL && !frag_chunk_add(pool))
		return NULL;
	frag = pool->frag_free;
	pool->frag_free = frag->next;
	return frag;
}

void frag_free(struct buf_pool *pool, struct frag *frag)
{
	buf_page_unref(pool, frag->page);
	frag->next = pool->frag_free;
	pool->frag_free = frag;
}

void frag_list_free(struct buf_pool *pool, struct frag_list *list)
{
	struct frag *frag = list->head;

	while (frag != NULL) {
		struct frag *next = frag->next;

		frag_free(pool, frag);
		frag = next;
	}
	frag_list_init(list);
}

void frag_list_join(struct frag_list *to, struct frag_list *from)
{
	if (from->head == NULL)
		return;
	if (to->tail != NULL)
		to->tail->next = from->head;
	else
		to->head = from->head;
	to->tail = from->tail;
	to->bytes += from->bytes;
	frag_list_init(from);
}

void frag_list_pull(struct buf_pool *pool, struct frag_list *list, uint32_t bytes)
{
	list->bytes -= bytes;
	while (list->head != NULL) {
		struct frag *frag = list->head;

		if (frag->bytes > bytes) {
			frag->offset = (uint16_t)(frag->offset + bytes);
			frag->bytes = (uint16_t)(frag->bytes - bytes);
			frag->seq += bytes;
			return;
		}
		bytes -= frag->bytes;
		list->head = frag->next;
		frag_free(pool, frag);
	}
	list->tail = NULL;
}

void frag_list_trim(struct buf_pool *pool, struct frag_list *list, uint32_t bytes)
{
	struct frag *frag = list->head;
	struct frag *last = NULL;
	uint32_t left = bytes;

	if (bytes >= list->bytes)
		return;
	while (frag != NULL && left > 0) {
		if (frag->bytes > left)
			frag->bytes = (uint16_t)left;
		left -= frag->bytes;
		last = frag;
		frag = frag->next;
	}
	if (last != NULL)
		last->next = NULL;
	else
		list->head = NULL;
	list->tail = last;
	list->bytes = bytes;
	while (frag != NULL) {
		struct frag *next = frag->next;

		frag_free(pool, frag);
		frag = next;
	}
}

/* The last frag, if its page has room behind it that nobody else has claimed. */
static struct frag *frag_list_open_tail(const struct buf_pool *pool, const struct frag_list *list)
{
	struct frag *tail = list->tail;

	if (tail == NULL)
		return NULL;
	if (tail->offset + tail->bytes != pool->meta[tail->page].used ||
	    pool->meta[tail->page].used == BUF_BYTES)
		return NULL;
	return tail;
}

/* A frag of no bytes at the end of the list, with room behind it; NULL without memory. */
static struct frag *frag_list_grow(struct buf_pool *pool, struct frag_list *list, uint32_t seq)
{
	struct frag *frag = frag_alloc(pool);

	if (frag == NULL)
		return NULL;
	frag->page = buf_page_alloc(pool, false);
	if (frag->page == BUF_NONE) {
		frag->next = pool->frag_free;
		pool->frag_free = frag;
		return NULL;
	}
	frag->offset = 0;
	frag->bytes = 0;
	frag->seq = seq;
	frag_list_push(list, frag);
	return frag;
}

/* Takes an empty frag off the end again, after a failed copy. */
static void frag_list_drop_empty(struct buf_pool *pool, struct frag_list *list)
{
	if (list->tail != NULL && list->tail->bytes == 0) {
		struct frag *empty = list->tail;
		struct frag *last = NULL;

		for (struct frag *f = list->head; f != empty; f = f->next)
			last = f;
		if (last != NULL)
			last->next = NULL;
		else
			list->head = NULL;
		list->tail = last;
		frag_free(pool, empty);
	}
}

int frag_list_append_user(struct buf_pool *pool, struct frag_list *list, uint32_t seq,
			  const void *user_src, uint32_t bytes)
{
	/* the program's: no pointer of ours, perhaps NULL */
	uintptr_t from = (uintptr_t)user_src;
	uint32_t done = 0;

	while (done < bytes) {
		struct frag *frag = frag_list_open_tail(pool, list);
		uint32_t part;

		if (frag == NULL)
			frag = frag_list_grow(pool, list, seq + done);
		if (frag == NULL)
			return done > 0 ? (int)done : -ENOBUFS;
		part = min_u32(bytes - done, BUF_BYTES - pool->meta[frag->page].used);
		if (net_env_copy_in(frag_data(pool, frag) + frag->bytes,
				    (const void *)(from + done), part) != 0) {
			frag_list_drop_empty(pool, list);
			return done > 0 ? (int)done : -EFAULT;
		}
		frag->bytes = (uint16_t)(frag->bytes + part);
		pool->meta[frag->page].used = (uint16_t)(pool->meta[frag->page].used + part);
		list->bytes += part;
		done += part;
	}
	return (int)done;
}

int frag_list_append(struct buf_pool *pool, struct frag_list *list, uint32_t seq, const void *src,
		     uint32_t bytes)
{
	const uint8_t *from = src;
	uint32_t done = 0;

	while (done < bytes) {
		struct frag *frag = frag_list_open_tail(pool, list);
		uint32_t part;

		if (frag == NULL)
			frag = frag_list_grow(pool, list, seq + done);
		if (frag == NULL)
			return -ENOBUFS;
		part = min_u32(bytes - done, BUF_BYTES - pool->meta[frag->page].used);
		memcpy(frag_data(pool, frag) + frag->bytes, from + done, part);
		frag->bytes = (uint16_t)(frag->bytes + part);
		pool->meta[frag->page].used = (uint16_t)(pool->meta[frag->page].used + part);
		list->bytes += part;
		done += part;
	}
	return 0;
}

void frag_list_peek(const struct buf_pool *pool, const struct frag_list *list, uint32_t offset,
		    void *dst, uint32_t bytes)
{
	uint8_t *to = dst;

	for (const struct frag *f = list->head; f != NULL && bytes > 0; f = f->next) {
		uint32_t part;

		if (offset >= f->bytes) {
			offset -= f->bytes;
			continue;
		}
		part = min_u32(f->bytes - offset, bytes);
		memcpy(to, frag_data(pool, f) + offset, part);
		to += part;
		bytes -= part;
		offset = 0;
	}
}

uint64_t frag_list_csum(const struct buf_pool *pool, const struct frag_list *list, uint32_t offset,
			uint32_t bytes)
{
	uint64_t sum = 0;
	uint32_t done = 0;

	for (const struct frag *f = list->head; f != NULL && done < bytes; f = f->next) {
		uint32_t part;
		uint64_t piece;

		if (offset >= f->bytes) {
			offset -= f->bytes;
			continue;
		}
		part = min_u32(f->bytes - offset, bytes - done);
		piece = csum_fold(csum_add(0, frag_data(pool, f) + offset, part));
		/* RFC 1071 2(B): bytes at odd places count swapped */
		sum += done % 2 != 0 ? be16((uint16_t)piece) : piece;
		done += part;
		offset = 0;
	}
	return sum;
}

void frag_list_receive(struct buf_pool *pool, struct frag_list *list, struct frag *frag)
{
	struct frag *tail = frag_list_open_tail(pool, list);

	if (tail == NULL || frag->bytes > BUF_COPY_BYTES ||
	    frag->bytes > BUF_BYTES - pool->meta[tail->page].used) {
		frag_list_push(list, frag);
		return;
	}
	memcpy(frag_data(pool, tail) + tail->bytes, frag_data(pool, frag), frag->bytes);
	tail->bytes = (uint16_t)(tail->bytes + frag->bytes);
	pool->meta[tail->page].used = (uint16_t)(pool->meta[tail->page].used + frag->bytes);
	list->bytes += frag->bytes;
	frag_free(pool, frag);
}

int frag_list_share(struct buf_pool *pool, struct frag_list *to, const struct frag_list *from,
		    uint32_t offset, uint32_t bytes)
{
	for (const struct frag *f = from->head; f != NULL && bytes > 0; f = f->next) {
		struct frag *copy;
		uint32_t part;

		if (offset >= f->bytes) {
			offset -= f->bytes;
			continue;
		}
		copy = frag_alloc(pool);
		if (copy == NULL)
			return -ENOBUFS;
		part = min_u32(f->bytes - offset, bytes);
		copy->page = f->page;
		copy->seq = f->seq + offset;
		copy->offset = (uint16_t)(f->offset + offset);
		copy->bytes = (uint16_t)part;
		buf_page_ref(pool, f->page);
		frag_list_push(to, copy);
		bytes -= part;
		offset = 0;
	}
	return 0;
}
