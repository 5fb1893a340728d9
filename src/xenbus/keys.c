/* SPDX-License-Identifier: MIT */
/* The front end's ring keys. Both spellings of a one-page ring are in use: `ring-ref` alone, and
 * `ring-page-order` 0 with `ring-ref0`. */
#include "xenbus/keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

#define TEXT_MAX 64 /* no valid value of these keys is longer */

/* 0 with the text, or -ENOENT silently, or another -errno with *err. */
static int key_text(const struct key_reader *r, const char *name, char text[TEXT_MAX],
                    struct error *err)
{
	int rc = r->get(r->arg, r->frontend, name, text, TEXT_MAX);

	if (rc >= 0)
		return 0;
	if (rc == -ENOENT)
		return rc;
	if (rc == -EMSGSIZE)
		return error_set(err, rc, "front end's %s is longer than %d bytes", name,
		                 TEXT_MAX - 1);
	return error_set(err, rc, "cannot read front end's %s: %s", name, error_name(rc));
}

static int key_u32(const struct key_reader *r, const char *name, uint32_t min, uint32_t max,
                   uint32_t *out, struct error *err)
{
	char text[TEXT_MAX];
	int rc = key_text(r, name, text, err);

	if (rc)
		return rc;
	rc = parse_u32(text, min, max, out);
	if (rc)
		return error_set(err, rc, "front end's %s \"%.*s\" is not a number from %u to %u",
		                 name, KEY_QUOTE, text, min, max);
	return 0;
}

static int missing(struct error *err, const char *name)
{
	return error_set(err, -ENOENT, "front end has no key %s", name);
}

/* A one-page ring's reference: the preferred name, else the other one. */
static int single_ref(const struct key_reader *r, const char *name, const char *other,
                      uint32_t *out, struct error *err)
{
	int rc = key_u32(r, name, 0, UINT32_MAX, out, err);

	if (rc == -ENOENT)
		rc = key_u32(r, other, 0, UINT32_MAX, out, err);
	return rc == -ENOENT ? missing(err, name) : rc;
}

static int many_refs(const struct key_reader *r, struct ring_keys *out, struct error *err)
{
	for (uint32_t i = 0; i < 1u << out->order; i++) {
		char name[24];
		snprintf(name, sizeof name, "ring-ref%u", i);
		int rc = key_u32(r, name, 0, UINT32_MAX, &out->refs[i], err);
		if (rc)
			return rc == -ENOENT ? missing(err, name) : rc;
		for (uint32_t k = 0; k < i; k++)
			if (out->refs[k] == out->refs[i])
				return error_set(
				    err, -EINVAL,
				    "front end's ring-ref%u and ring-ref%u are both %u", k, i,
				    out->refs[i]);
	}
	return 0;
}

static int read_refs(const struct key_reader *r, struct ring_keys *out, struct error *err)
{
	int rc = key_u32(r, "ring-page-order", 0, RING_MAX_ORDER, &out->order, err);

	if (rc == -ENOENT)
		return single_ref(r, "ring-ref", "ring-ref0", &out->refs[0], err);
	if (rc)
		return rc;
	if (out->order == 0)
		return single_ref(r, "ring-ref0", "ring-ref", &out->refs[0], err);
	return many_refs(r, out, err);
}

static int read_protocol(const struct key_reader *r, enum blkif_protocol fallback,
                         struct ring_keys *out, struct error *err)
{
	char text[TEXT_MAX];
	int rc = key_text(r, "protocol", text, err);

	out->protocol = fallback;
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	rc = blkif_protocol_parse(text, &out->protocol);
	if (rc)
		return error_set(err, rc,
		                 "front end's protocol \"%.*s\" is unknown; x86_32-abi, x86_64-abi "
		                 "and native are known",
		                 KEY_QUOTE, text);
	return 0;
}

int ring_keys_read(const struct key_reader *r, enum blkif_protocol fallback, struct ring_keys *out,
                   struct error *err)
{
	struct ring_keys keys = {0};
	uint32_t queues;
	int rc = key_u32(r, "multi-queue-num-queues", 1, 1, &queues, err);

	if (!rc || rc == -ENOENT)
		rc = key_u32(r, "event-channel", 1, UINT32_MAX, &keys.port, err);
	if (rc == -ENOENT)
		return missing(err, "event-channel");
	if (!rc)
		rc = read_refs(r, &keys, err);
	if (!rc)
		rc = read_protocol(r, fallback, &keys, err);
	if (!rc)
		*out = keys;
	return rc;
}

unsigned ring_max_order(uint32_t map_pages)
{
	unsigned order = RING_MAX_ORDER;

	while (order && 1u << order > map_pages)
		order--;
	return order;
}
