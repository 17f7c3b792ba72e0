/*
 * stats.c - see stats.h.
 */
#include "apps/leat/stats.h"

#include "apps/leat/leat.h"

json_int_t stats_number(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

json_int_t stats_sum(json_t *json)
{
	json_int_t sum = 0;
	const char *key;
	json_t *value;

	json_object_foreach(json, key, value) sum += json_integer_value(value);
	return sum;
}

json_t *stats_fetch(int fd)
{
	json_t *all = NULL;
	json_int_t after = 0;
	bool more = true;

	while (more) {
		json_t *request = json_pack("{s:s, s:I}", "op", "stats", "after", after);
		json_t *page = daemon_call(fd, request, NULL, 0, NULL, NULL);
		json_t *list = json_object_get(page, "instances");
		size_t n = json_array_size(list);

		json_decref(request);
		if (page == NULL) {
			json_decref(all);
			return NULL;
		}
		more = json_is_true(json_object_get(page, "more"));
		if (n > 0)
			after = stats_number(json_array_get(list, n - 1), "id");
		if (all == NULL) {
			all = page;
			continue;
		}
		json_array_extend(json_object_get(all, "instances"), list);
		json_decref(page);
	}
	json_object_del(all, "more");
	json_object_del(all, "ok");
	return all;
}
