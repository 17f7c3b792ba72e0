/*
 * request.c - the head of the request that an instance gets. What would break its lines is refused:
 * HTTP/2 lets more through than HTTP/1 can say.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "apps/gateway/gateway.h"

static const char *const hop_by_hop[] = {
	"connection",        "keep-alive", "proxy-authenticate",
	"proxy-connection",  "te",         "trailer",
	"transfer-encoding", "upgrade",    "host",
	"content-length",    "expect",     "http2-settings",
};

bool request_hop_by_hop(const char *name, size_t size)
{
	for (size_t i = 0; i < sizeof(hop_by_hop) / sizeof(hop_by_hop[0]); i++)
		if (strlen(hop_by_hop[i]) == size && strncasecmp(hop_by_hop[i], name, size) == 0)
			return true;
	return false;
}

/* Ours: the caller's are not passed on beside them. */
static bool replaced(const char *name, size_t size)
{
	static const char *const names[] = {"x-call-id", "x-start-time", "traceparent"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) == size && strncasecmp(names[i], name, size) == 0)
			return true;
	return false;
}

static bool token_ok(h2o_iovec_t text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.base[i];

		if (c <= ' ' || c >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", c) != NULL)
			return false;
	}
	return text.len != 0;
}

static bool value_ok(h2o_iovec_t text, bool spaces)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.base[i];

		if ((c < ' ' && !(c == '\t' && spaces)) || c == 0x7f || (c == ' ' && !spaces))
			return false;
	}
	return true;
}

static int headers_print(FILE *out, const struct call *call)
{
	for (size_t i = 0; i < call->nr_headers; i++) {
		const h2o_header_t *h = &call->headers[i];

		if (request_hop_by_hop(h->name->base, h->name->len) ||
		    replaced(h->name->base, h->name->len))
			continue;
		if (!token_ok(*h->name) || !value_ok(h->value, true))
			return -EINVAL;
		fprintf(out, "%.*s: %.*s\r\n", (int)h->name->len, h->name->base, (int)h->value.len,
			h->value.base);
	}
	return 0;
}

int request_build(const struct call *call, h2o_iovec_t *ret_head)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out;
	int r;

	if (!token_ok(call->method) || !value_ok(call->path, false) || call->path.len == 0 ||
	    call->path.base[0] != '/' || !value_ok(call->authority, false))
		return -EINVAL;
	out = open_memstream(&text, &size);
	if (out == NULL)
		return -ENOMEM;
	fprintf(out, "%.*s %.*s HTTP/1.1\r\nhost: %.*s\r\n", (int)call->method.len,
		call->method.base, (int)call->path.len, call->path.base, (int)call->authority.len,
		call->authority.base);
	r = headers_print(out, call);
	fprintf(out, "x-call-id: %s\r\nx-start-time: %lld\r\ntraceparent: %s\r\n", call->id,
		(long long)call->arrived_time_ns, call->traceparent);
	if (call->body.len != 0 ||
	    !h2o_memis(call->method.base, call->method.len, H2O_STRLIT("GET")))
		fprintf(out, "content-length: %zu\r\n", call->body.len);
	fputs("\r\n", out);
	if (fclose(out) != 0 && r == 0)
		r = -ENOMEM;
	if (r < 0)
		free(text);
	else
		*ret_head = h2o_iovec_init(text, size);
	return r;
}
