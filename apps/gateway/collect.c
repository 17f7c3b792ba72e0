/*
 * collect.c - calls that do not come from a connection: the request is held here, the answer is
 * kept in memory until it is complete.
 */
#include <stdlib.h>
#include <string.h>

#include "apps/gateway/gateway.h"

#define ANSWER_MAX (64U << 20)

static void collect_head(struct call *call, int status, const h2o_header_t *headers, size_t nr)
{
	struct collected *collected = container_of(call, struct collected, call);

	(void)status;
	for (size_t i = 0; i < nr; i++) {
		const h2o_header_t *h = &headers[i];

		if (request_hop_by_hop(h->name->base, h->name->len))
			continue;
		/* what is no UTF-8 is left out */
		json_t *pair = json_pack("[s%, s%]", h->name->base, h->name->len, h->value.base,
					 h->value.len);

		if (pair != NULL)
			json_array_append_new(collected->answer_headers, pair);
	}
}

static void collect_body(struct call *call, const char *bytes, size_t size, bool last, bool broken)
{
	struct collected *collected = container_of(call, struct collected, call);
	h2o_iovec_t room;

	if (collected->answer->size + size > ANSWER_MAX) {
		broken = true;
		size = 0;
	}
	if (size != 0) {
		room = h2o_buffer_reserve(&collected->answer, size);
		memcpy(room.base, bytes, size);
		collected->answer->size += size;
	}
	collected->broken |= broken;
	if (last)
		collected->done(collected);
}

static const struct call_ops collect_ops = {collect_head, collect_body};

json_t *collect_request(const struct call *call)
{
	json_t *headers = json_array();

	for (size_t i = 0; i < call->nr_headers; i++) {
		const h2o_header_t *h = &call->headers[i];
		json_t *pair = json_pack("[s%, s%]", h->name->base, h->name->len, h->value.base,
					 h->value.len);

		if (pair != NULL && !request_hop_by_hop(h->name->base, h->name->len))
			json_array_append(headers, pair);
		json_decref(pair);
	}
	return json_pack("{s:s%, s:s%, s:s%, s:o}", "method", call->method.base, call->method.len,
			 "path", call->path.base, call->path.len, "authority",
			 call->authority.base != NULL ? call->authority.base : "",
			 call->authority.len, "headers", headers);
}

static h2o_iovec_t text_of(const json_t *json, const char *none)
{
	const char *text = json_string_value(json);

	if (text == NULL)
		text = none;
	return h2o_iovec_init(text, strlen(text));
}

static void headers_take(struct collected *collected)
{
	const json_t *headers = json_object_get(collected->request, "headers");
	size_t n = json_array_size(headers);

	collected->list = calloc(n + 1, sizeof(*collected->list));
	collected->names = calloc(n + 1, sizeof(*collected->names));
	if (collected->list == NULL || collected->names == NULL)
		abort(); /* as h2o does where memory ends */
	for (size_t i = 0; i < n; i++) {
		const json_t *pair = json_array_get(headers, i);

		collected->names[i] = text_of(json_array_get(pair, 0), "");
		collected->list[i].name = &collected->names[i];
		collected->list[i].value = text_of(json_array_get(pair, 1), "");
	}
	collected->call.headers = collected->list;
	collected->call.nr_headers = n;
}

struct collected *collect_create(json_t *request, char *body, size_t size, const char *route,
				 const char *id)
{
	struct collected *collected = calloc(1, sizeof(*collected));
	struct call *call;

	if (collected == NULL)
		abort(); /* as h2o does where memory ends */
	call = &collected->call;
	collected->request = request;
	collected->body = body;
	collected->answer_headers = json_array();
	h2o_buffer_init(&collected->answer, &h2o_socket_buffer_prototype);
	list_init(&call->node);
	call->method = text_of(json_object_get(request, "method"), "POST");
	call->path = text_of(json_object_get(request, "path"), "/");
	call->authority = text_of(json_object_get(request, "authority"), "leat");
	call->body = h2o_iovec_init(body, size);
	headers_take(collected);
	if (id != NULL)
		strncpy(call->id, id, sizeof(call->id) - 1);
	call_init(call, &collect_ops, route);
	return collected;
}

void collect_destroy(struct collected *collected)
{
	call_abandon(&collected->call);
	json_decref(collected->request);
	json_decref(collected->answer_headers);
	h2o_buffer_dispose(&collected->answer);
	free(collected->list);
	free(collected->names);
	free(collected->body);
	free(collected);
}
