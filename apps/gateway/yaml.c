/*
 * yaml.c - a YAML document as JSON, read by libyaml. Plain scalars are null, booleans and numbers
 * where JSON has such; all others are strings. Anchors may not make a document grow: nodes are
 * counted.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "apps/gateway/spec.h"

#define DEPTH_MAX 16U
#define NODES_MAX 10000U

struct reader {
	yaml_document_t document;
	unsigned nodes;
	char *error;
};

static json_t *node_json(struct reader *reader, const yaml_node_t *node, unsigned depth);

static json_t *scalar_json(struct reader *reader, const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;
	size_t size = node->data.scalar.length;
	json_t *value = NULL;

	if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
		if (size == 0 || strcmp(text, "~") == 0)
			return json_null();
		value = json_loadb(text, size, JSON_DECODE_ANY, NULL);
		if (json_is_object(value) || json_is_array(value)) {
			json_decref(value);
			value = NULL;
		}
	}
	if (value == NULL)
		value = json_stringn(text, size);
	if (value == NULL)
		snprintf(reader->error, SPEC_ERROR_MAX, "line %zu: not UTF-8",
			 node->start_mark.line + 1);
	return value;
}

static json_t *sequence_json(struct reader *reader, const yaml_node_t *node, unsigned depth)
{
	json_t *list = json_array();

	for (const yaml_node_item_t *item = node->data.sequence.items.start;
	     item < node->data.sequence.items.top; item++) {
		json_t *value =
			node_json(reader, yaml_document_get_node(&reader->document, *item), depth);

		if (value == NULL) {
			json_decref(list);
			return NULL;
		}
		json_array_append_new(list, value);
	}
	return list;
}

static json_t *mapping_json(struct reader *reader, const yaml_node_t *node, unsigned depth)
{
	json_t *map = json_object();

	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(&reader->document, pair->key);
		const char *name =
			key->type == YAML_SCALAR_NODE ? (const char *)key->data.scalar.value : "";
		json_t *value = NULL;

		if (*name == '\0' || json_object_get(map, name) != NULL)
			snprintf(reader->error, SPEC_ERROR_MAX, "line %zu: %s",
				 key->start_mark.line + 1,
				 *name == '\0' ? "a key must be a word" : "a key appears twice");
		else
			value = node_json(reader,
					  yaml_document_get_node(&reader->document, pair->value),
					  depth);
		if (value == NULL || json_object_set_new(map, name, value) < 0) {
			if (reader->error[0] == '\0')
				snprintf(reader->error, SPEC_ERROR_MAX, "line %zu: not UTF-8",
					 key->start_mark.line + 1);
			json_decref(map);
			return NULL;
		}
	}
	return map;
}

static json_t *node_json(struct reader *reader, const yaml_node_t *node, unsigned depth)
{
	if (depth >= DEPTH_MAX || ++reader->nodes > NODES_MAX) {
		snprintf(reader->error, SPEC_ERROR_MAX, "too large or too deep");
		return NULL;
	}
	switch (node->type) {
	case YAML_SEQUENCE_NODE:
		return sequence_json(reader, node, depth + 1);
	case YAML_MAPPING_NODE:
		return mapping_json(reader, node, depth + 1);
	default:
		return scalar_json(reader, node);
	}
}

json_t *yaml_parse(const char *text, size_t size, char error[SPEC_ERROR_MAX])
{
	struct reader reader = {.error = error};
	yaml_parser_t parser;
	const yaml_node_t *root;
	json_t *json = NULL;

	error[0] = '\0';
	if (!yaml_parser_initialize(&parser))
		return NULL;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
	if (!yaml_parser_load(&parser, &reader.document)) {
		snprintf(error, SPEC_ERROR_MAX, "line %zu: %s", parser.problem_mark.line + 1,
			 parser.problem != NULL ? parser.problem : "not YAML");
		yaml_parser_delete(&parser);
		return NULL;
	}
	root = yaml_document_get_root_node(&reader.document);
	if (root != NULL)
		json = node_json(&reader, root, 0);
	else
		snprintf(error, SPEC_ERROR_MAX, "empty");
	yaml_document_delete(&reader.document);
	yaml_parser_delete(&parser);
	return json;
}
