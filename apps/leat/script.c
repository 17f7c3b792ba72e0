/*
 * script.c - scripts that set up a filter and send packets through it.
 */
#include "apps/leat/script.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/leat/bytes.h"

#define WORDS_MAX 1024
#define NAMES_MAX 64
#define EXPANSIONS_MAX 4096 /* of one line: names that name each other end here */

struct name {
	char *name;
	char *text;
};

struct parser {
	struct script *script;
	struct name names[NAMES_MAX];
	unsigned int nr_names;
	char *words[WORDS_MAX + 1];
	unsigned int nr_words;
	unsigned int expansions;
};

static const struct {
	const char *name;
	uint32_t verdict;
} verdicts[] = {{"drop", LEAT_DROP}, {"pass", LEAT_PASS}, {"redirect", LEAT_REDIRECT}};

const char *script_verdict_name(uint32_t verdict)
{
	size_t i;

	for (i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
		if (verdicts[i].verdict == verdict)
			return verdicts[i].name;
	return "a drop by an unknown verdict";
}

void script_fail(struct script *script, const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "%s:%u: ", script->path, script->line);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	script->failures++;
}

/* ---- words ---- */

static const char *name_text(const struct parser *p, const char *name)
{
	unsigned int i;

	for (i = p->nr_names; i-- > 0;)
		if (strcmp(p->names[i].name, name) == 0)
			return p->names[i].text;
	return NULL;
}

/* Splits @text into p->words, replacing $NAMEs. The words are the parser's, freed by words_free. */
static bool words_add(struct parser *p, const char *text)
{
	char *copy = strdup(text), *save, *word;
	bool ok = copy && p->expansions++ < EXPANSIONS_MAX;

	for (word = ok ? strtok_r(copy, " \t\n", &save) : NULL; ok && word;
	     word = strtok_r(NULL, " \t\n", &save)) {
		const char *named = *word == '$' ? name_text(p, word + 1) : NULL;

		if (*word == '#')
			break;
		if (*word == '$')
			ok = named && words_add(p, named);
		else if (p->nr_words < WORDS_MAX)
			p->words[p->nr_words++] = strdup(word);
		else
			ok = false;
	}
	free(copy);
	p->words[p->nr_words] = NULL;
	return ok;
}

static void words_free(struct parser *p)
{
	while (p->nr_words)
		free(p->words[--p->nr_words]);
	p->words[0] = NULL;
	p->expansions = 0;
}

/* ---- lines ---- */

static void line_set(struct parser *p, const char *text)
{
	char name[64];
	int end = 0;

	if (sscanf(text, " set %63s = %n", name, &end) != 1 || !end) {
		script_fail(p->script, "set NAME = WORDS");
		return;
	}
	if (p->nr_names == NAMES_MAX) {
		script_fail(p->script, "more than %d names", NAMES_MAX);
		return;
	}
	p->names[p->nr_names++] = (struct name){strdup(name), strdup(text + end)};
}

/* Sets the one value of the map of that name in all instances, if the filter has it. */
static void set_identity(struct script *script, const struct leat_identity *id)
{
	const uint32_t zero = 0;
	struct ebpf_map_info info;
	unsigned int i;

	for (i = 0; i < script->nr_inst; i++) {
		struct ebpf_map *map = ebpf_instance_map(script->inst[i], LEAT_MAP_IDENTITY);

		if (!map)
			continue;
		ebpf_map_info(map, &info);
		if (info.value_size != sizeof(*id) || ebpf_map_update(map, &zero, id, 0))
			script_fail(script, "the map identity is not an array of the identity");
	}
}

static bool identity_word(struct leat_identity *id, const char *word, const char *value)
{
	uint8_t addr[16];
	uint64_t n;
	bool v4;

	if (strcmp(word, "mac") == 0)
		return bytes_mac(value, id->mac);
	if (strcmp(word, "ip") == 0) {
		if (!bytes_addr(value, addr, &v4))
			return false;
		if (v4)
			memcpy(&id->ipv4, addr + 12, 4);
		else
			memcpy(id->ipv6, addr, 16);
		return true;
	}
	if (strcmp(word, "flags") == 0)
		return bytes_number(value, UINT16_MAX, &n) && ((id->flags = (uint16_t)n), true);
	if (!bytes_number(value, UINT32_MAX, &n))
		return false;
	if (strcmp(word, "tenant") == 0)
		id->tenant = (uint32_t)n;
	else if (strcmp(word, "instance") == 0)
		id->instance = (uint32_t)n;
	else if (strcmp(word, "vlan") == 0)
		id->vlan = (uint16_t)n;
	else
		return false;
	return true;
}

/* identity mac M ip A ip A6 tenant N instance N vlan N flags N */
static void line_identity(struct parser *p, char **words)
{
	struct leat_identity id = {.ipv4_prefix = 16, .ipv6_prefix = 64};

	for (; *words; words += 2)
		if (!words[1] || !identity_word(&id, words[0], words[1])) {
			script_fail(p->script, "identity: '%s' is not understood", words[0]);
			return;
		}
	p->script->ctx.tenant = id.tenant;
	p->script->ctx.instance = id.instance;
	set_identity(p->script, &id);
}

static bool context_word(struct leat_pkt_ctx *ctx, const char *word, uint64_t n)
{
	if (strcmp(word, "peer_tenant") == 0)
		ctx->peer_tenant = (uint32_t)n;
	else if (strcmp(word, "peer_tag") == 0)
		ctx->peer_tag = (uint32_t)n;
	else if (strcmp(word, "tag") == 0)
		ctx->tag = (uint32_t)n;
	else if (strcmp(word, "port") == 0)
		ctx->port = (uint32_t)n;
	else if (strcmp(word, "flags") == 0)
		ctx->flags = (uint32_t)n;
	else if (strcmp(word, "gso_size") == 0)
		ctx->gso_size = (uint32_t)n;
	else
		return false;
	return true;
}

/* context NAME N ...: fields of struct leat_pkt_ctx, until they are set again */
static void line_context(struct parser *p, char **words)
{
	uint64_t n;

	for (; *words; words += 2)
		if (!words[1] || !bytes_number(words[1], UINT32_MAX, &n) ||
		    !context_word(&p->script->ctx, words[0], n)) {
			script_fail(p->script, "context: '%s' is not understood", words[0]);
			return;
		}
}

/* time MS: milliseconds later */
static void line_later(struct parser *p, char **words)
{
	uint64_t ms;

	if (!words[0] || words[1] || !bytes_number(words[0], UINT32_MAX, &ms)) {
		script_fail(p->script, "later MILLISECONDS");
		return;
	}
	p->script->ctx.now_ns += ms * 1000000;
}

static bool collect(struct parser *p, char ***words, const char *end, uint8_t *bytes, size_t room,
		    size_t *ret_size)
{
	*ret_size = 0;
	for (; **words && (!end || strcmp(**words, end) != 0); (*words)++)
		if (!bytes_add(**words, bytes, room, ret_size)) {
			script_fail(p->script, "'%s' is not understood, or too long", **words);
			return false;
		}
	return true;
}

static void map_change(struct parser *p, struct ebpf_map *map, const uint8_t *key, uint8_t *value,
		       const char *verb)
{
	struct ebpf_map_info info;
	uint8_t *now;
	int r;

	ebpf_map_info(map, &info);
	if (strcmp(verb, "=") == 0) {
		r = ebpf_map_update(map, key, value, 0);
		if (r)
			script_fail(p->script, "map %s: %s", info.name, strerror(-r));
		return;
	}
	now = malloc(info.value_size);
	r = now ? ebpf_map_lookup(map, key, now) : -ENOMEM;
	if (strcmp(verb, "gone") == 0) {
		if (r != -ENOENT)
			script_fail(p->script, "map %s: the key is there", info.name);
	} else if (r) {
		script_fail(p->script, "map %s: %s", info.name, strerror(-r));
	} else if (memcmp(now, value, info.value_size) != 0) {
		script_fail(p->script, "map %s: the value is another one", info.name);
	}
	free(now);
}

/* map NAME KEY = VALUE; map NAME KEY is VALUE; map NAME KEY gone */
static void line_map(struct parser *p, char **words)
{
	static uint8_t key[512], value[1 << 20];
	struct script *script = p->script;
	struct ebpf_map_info info;
	struct ebpf_map *map = NULL;
	const char *verb = NULL;
	size_t key_size, value_size;
	unsigned int i;

	for (i = 0; words[0] && words[i]; i++)
		if (strcmp(words[i], "=") == 0 || strcmp(words[i], "is") == 0 ||
		    strcmp(words[i], "gone") == 0)
			verb = words[i];
	if (words[0])
		map = ebpf_instance_map(script->inst[0], words[0]);
	if (!verb || !map) {
		script_fail(script, verb ? "no map has this name" : "map NAME KEY = VALUE");
		return;
	}
	ebpf_map_info(map, &info);
	i = 0;
	words++;
	if (!collect(p, &words, verb, key, sizeof(key), &key_size))
		return;
	words++;
	if (!collect(p, &words, NULL, value, sizeof(value), &value_size))
		return;
	/* the rest of a value is zero: of a list of rules, say */
	if (value_size < info.value_size)
		memset(value + value_size, 0, info.value_size - value_size);
	if (key_size != info.key_size || value_size > info.value_size) {
		script_fail(script, "map %s: %zu bytes of key and %zu of value; it has %u and %u",
			    info.name, key_size, value_size, info.key_size, info.value_size);
		return;
	}
	/* packets are judged by the first two only: bpf_test.c keeps the others as they were set */
	for (i = 0; i < script->nr_inst; i++)
		if (strcmp(verb, "=") == 0 || i < 2)
			map_change(p, ebpf_instance_map(script->inst[i], info.name), key, value,
				   verb);
}

static bool parse_verdict(const char *word, uint32_t *ret_verdict)
{
	size_t i;

	for (i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
		if (strcmp(verdicts[i].name, word) == 0) {
			*ret_verdict = verdicts[i].verdict;
			return true;
		}
	return false;
}

static bool build(struct parser *p, char **words, struct packet *ret_packet)
{
	const char *error;

	if (packet_build(words, ret_packet, &error))
		return true;
	script_fail(p->script, "%s", error);
	return false;
}

/* [bench NAME] egress|ingress VERDICT [COUNTER] : LAYERS */
static void line_packet(struct parser *p, char **words)
{
	static struct script_packet sp;
	uint64_t redirect;

	sp.bench = NULL;
	sp.counter = -1;
	sp.redirect = 0;
	if (strcmp(words[0], "bench") == 0 && words[1] && words[2]) {
		sp.bench = words[1];
		words += 2;
	}
	sp.section = strcmp(words[0], "egress") == 0 ? LEAT_SEC_EGRESS : LEAT_SEC_INGRESS;
	words++;
	if (!*words || !parse_verdict(*words, &sp.verdict)) {
		script_fail(p->script, "a verdict is missing: pass, drop or redirect");
		return;
	}
	words++;
	if (sp.verdict == LEAT_REDIRECT && *words && bytes_number(*words, UINT32_MAX, &redirect)) {
		sp.redirect = (uint32_t)redirect;
		words++;
	}
	if (*words && strcmp(*words, ":") != 0) {
		sp.counter = bpf_counter_index(*words);
		if (sp.counter < 0) {
			script_fail(p->script, "no counter '%s'", *words);
			return;
		}
		words++;
	}
	if (!*words || strcmp(*words, ":") != 0) {
		script_fail(p->script, "a colon and a packet are missing");
		return;
	}
	if (build(p, words + 1, &sp.packet) && !p->script->packet(p->script, &sp))
		p->script->failures += p->script->failures == 0;
}

/* gives : LAYERS */
static void line_gives(struct parser *p, char **words)
{
	static struct packet expected;

	if (!*words || strcmp(*words, ":") != 0)
		script_fail(p->script, "gives : LAYERS");
	else if (p->script->gives && build(p, words + 1, &expected))
		p->script->gives(p->script, &expected);
}

static void line_run(struct parser *p, const char *text)
{
	char **words = p->words;

	if (strncmp(text, "set ", 4) == 0) {
		line_set(p, text);
		return;
	}
	if (!words_add(p, text))
		script_fail(p->script, "an unknown $NAME, or too many words");
	else if (!words[0])
		return;
	else if (strcmp(words[0], "identity") == 0)
		line_identity(p, words + 1);
	else if (strcmp(words[0], "context") == 0)
		line_context(p, words + 1);
	else if (strcmp(words[0], "later") == 0)
		line_later(p, words + 1);
	else if (strcmp(words[0], "map") == 0)
		line_map(p, words + 1);
	else if (strcmp(words[0], "gives") == 0)
		line_gives(p, words + 1);
	else if (strcmp(words[0], "counted") == 0 && !words[1])
		p->script->failures += p->script->counted && !p->script->counted(p->script);
	else if (strcmp(words[0], "egress") == 0 || strcmp(words[0], "ingress") == 0 ||
		 strcmp(words[0], "bench") == 0)
		line_packet(p, words);
	else
		script_fail(p->script, "'%s' begins no line of a script", words[0]);
}

bool script_run(struct script *script)
{
	struct parser p = {.script = script};
	FILE *file = fopen(script->path, "r");
	char *line = NULL;
	size_t size = 0;

	if (!file) {
		fprintf(stderr, "leat: %s: %s\n", script->path, strerror(errno));
		return false;
	}
	script->ctx.now_ns = 1000000000;
	while (getline(&line, &size, file) >= 0) {
		script->line++;
		line[strcspn(line, "\n")] = '\0';
		line_run(&p, line);
		words_free(&p);
	}
	while (p.nr_names) {
		p.nr_names--;
		free(p.names[p.nr_names].name);
		free(p.names[p.nr_names].text);
	}
	free(line);
	fclose(file);
	return script->failures == 0;
}
