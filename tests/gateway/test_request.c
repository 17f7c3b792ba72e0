/*
 * test_request.c - the head of the request to an instance: what is passed on, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "apps/gateway/gateway.h"

static h2o_iovec_t text(const char *s)
{
	return h2o_iovec_init(s, strlen(s));
}

static struct call call_of(const char *method, const char *path, const h2o_header_t *headers,
			   size_t nr)
{
	struct call call = {.method = text(method),
			    .path = text(path),
			    .authority = text("f.example"),
			    .headers = headers,
			    .nr_headers = nr};

	strcpy(call.id, "id-1");
	strcpy(call.traceparent, "tp");
	return call;
}

static void test_passed_on(void **state)
{
	h2o_iovec_t names[] = {text("ce-id"), text("connection"), text("x-call-id"),
			       text("transfer-encoding"), text("cookie")};
	const h2o_header_t headers[] = {{&names[0], NULL, text("A234")},
					{&names[1], NULL, text("close")},
					{&names[2], NULL, text("other")},
					{&names[3], NULL, text("chunked")},
					{&names[4], NULL, text("a=b c\t; d")}};
	struct call call = call_of("POST", "/a?b=c", headers, 5);
	h2o_iovec_t head;

	(void)state;
	call.body = text("12345");
	assert_int_equal(request_build(&call, &head), 0);
	assert_string_equal(head.base,
			    "POST /a?b=c HTTP/1.1\r\nhost: f.example\r\nce-id: A234\r\n"
			    "cookie: a=b c\t; d\r\nx-call-id: id-1\r\nx-start-time: 0\r\n"
			    "traceparent: tp\r\ncontent-length: 5\r\n\r\n");
	free(head.base);
}

static void refused(const char *method, const char *path, const char *name, const char *value)
{
	h2o_iovec_t n = text(name);
	const h2o_header_t header = {&n, NULL, text(value)};
	struct call call = call_of(method, path, &header, 1);
	h2o_iovec_t head;

	assert_int_equal(request_build(&call, &head), -EINVAL);
}

static void test_refused(void **state)
{
	(void)state;
	refused("GET", "/", "x", "a\r\nevil: 1");
	refused("GET", "/", "x", "a\nb");
	refused("GET", "/", "x\r\ny", "a");
	refused("GET", "/", "x: y", "a");
	refused("GET", "/", "", "a");
	refused("GET", "/ HTTP/1.1\r\nx: y", "x", "a");
	refused("GET", "/a b", "x", "a");
	refused("GET", "a", "x", "a");
	refused("GET", "", "x", "a");
	refused("GE T", "/", "x", "a");
	refused("", "/", "x", "a");
	refused("GET", "/\x7f", "x", "a");
}

/* No byte anywhere can add a line. */
static void test_any_byte(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		char value[] = {'a', (char)c, 'b'};
		h2o_iovec_t name = text("x");
		const h2o_header_t header = {&name, NULL, {value, 3}};
		struct call call = call_of("GET", "/", &header, 1);
		h2o_iovec_t head;
		unsigned lines = 0;

		if (request_build(&call, &head) < 0)
			continue;
		for (size_t i = 0; i < head.len; i++)
			lines += head.base[i] == '\n' || head.base[i] == '\r';
		assert_int_equal(lines, 14);
		free(head.base);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passed_on),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_any_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
