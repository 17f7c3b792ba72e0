/*
 * Fuzz target: the pure parsers. The first byte picks one; what it accepts must lie within the
 * input.
 */
#include <assert.h>

#include "net/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct tcp_options options;
	struct wire_quote quote;
	struct ip_info info;

	if (bytes == 0)
		return 0;
	bytes--;
	switch (data[0] % 5) {
	case 0:
		if (wire_ip4_parse(data + 1, bytes, bytes, &info) == 0)
			assert(info.l4_offset <= info.total_bytes && info.total_bytes <= bytes);
		break;
	case 1:
		if (wire_ip6_parse(data + 1, bytes, bytes, &info) == 0)
			assert(info.l4_offset <= bytes && info.total_bytes <= bytes);
		break;
	case 2:
		wire_tcp_options_parse(data + 1, bytes, &options);
		assert(options.sack_count <= TCP_MAX_SACKS && options.wscale <= 14);
		break;
	case 3:
		wire_quote4_parse(data + 1, bytes, &quote);
		break;
	default:
		wire_quote6_parse(data + 1, bytes, &quote);
		break;
	}
	return 0;
}
