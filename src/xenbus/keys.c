/* SPDX-License-Identifier: MIT */
/* The front end's ring keys. Both spellings of a one-page ring are in use: `ring-ref` alone, and
 * `ring-page-order` 0 with `ring-ref0`. One queue has its keys in the front end's own directory,
 * also where multi-queue-num-queues says 1; several have them in queue-0, queue-1, ... */
#include "xenbus/keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "xen/store.h"

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

/* Where a queue's keys are: "" or "queue-3/". */
struct prefix {
	char text[20];
};

static struct prefix queue_prefix(const struct ring_keys *k, uint32_t queue)
{
	struct prefix p = {""};

	if (k->nr_queues > 1)
		snprintf(p.text, sizeof p.text, "queue-%u/", queue);
	return p;
}

static int queue_u32(const struct key_reader *r, struct prefix at, const char *name, uint32_t min,
                     uint32_t *out, struct error *err)
{
	char path[48];

	snprintf(path, sizeof path, "%s%s", at.text, name);
	return key_u32(r, path, min, UINT32_MAX, out, err);
}

static int queue_missing(struct error *err, struct prefix at, const char *name)
{
	return error_set(err, -ENOENT, "front end has no key %s%s", at.text, name);
}

/* A one-page ring's reference: the preferred name, else the other one. */
static int single_ref(const struct key_reader *r, struct prefix at, const char *name,
                      const char *other, uint32_t *out, struct error *err)
{
	int rc = queue_u32(r, at, name, 0, out, err);

	if (rc == -ENOENT)
		rc = queue_u32(r, at, other, 0, out, err);
	return rc == -ENOENT ? queue_missing(err, at, name) : rc;
}

static int many_refs(const struct key_reader *r, struct prefix at, uint32_t count, uint32_t *refs,
                     struct error *err)
{
	for (uint32_t i = 0; i < count; i++) {
		char name[24];
		snprintf(name, sizeof name, "ring-ref%u", i);
		int rc = queue_u32(r, at, name, 0, &refs[i], err);
		if (rc)
			return rc == -ENOENT ? queue_missing(err, at, name) : rc;
	}
	return 0;
}

/* order_rc: whether ring-page-order was there (0) or not (-ENOENT). */
static int read_queue(const struct key_reader *r, int order_rc, uint32_t queue,
                      struct ring_keys *out, struct error *err)
{
	struct queue_keys *q = &out->queue[queue];
	struct prefix at = queue_prefix(out, queue);
	int rc = queue_u32(r, at, "event-channel", 1, &q->port, err);

	if (rc)
		return rc == -ENOENT ? queue_missing(err, at, "event-channel") : rc;
	if (order_rc)
		return single_ref(r, at, "ring-ref", "ring-ref0", &q->refs[0], err);
	if (out->order == 0)
		return single_ref(r, at, "ring-ref0", "ring-ref", &q->refs[0], err);
	return many_refs(r, at, 1u << out->order, q->refs, err);
}

/* What a ring's page is called in its keys. */
static void ref_name(const struct ring_keys *k, uint32_t page, char *name, size_t cap)
{
	struct prefix at = queue_prefix(k, page >> k->order);

	if (k->order)
		snprintf(name, cap, "%sring-ref%u", at.text, page & ((1u << k->order) - 1));
	else
		snprintf(name, cap, "%sring-ref", at.text);
}

static uint32_t page_ref(const struct ring_keys *k, uint32_t page)
{
	return k->queue[page >> k->order].refs[page & ((1u << k->order) - 1)];
}

/* Two rings on one page, or one ring that has a page twice, would each overwrite the other's
 * requests. At most 256 pages. */
static int check_overlap(const struct ring_keys *k, struct error *err)
{
	uint32_t pages = k->nr_queues << k->order;
	char first[48], second[48];

	for (uint32_t i = 1; i < pages; i++)
		for (uint32_t j = 0; j < i; j++) {
			if (page_ref(k, i) != page_ref(k, j))
				continue;
			ref_name(k, j, first, sizeof first);
			ref_name(k, i, second, sizeof second);
			return error_set(err, -EINVAL, "front end's %s and %s are both %u", first,
			                 second, page_ref(k, i));
		}
	for (uint32_t i = 1; i < k->nr_queues; i++)
		for (uint32_t j = 0; j < i; j++)
			if (k->queue[i].port == k->queue[j].port)
				return error_set(err, -EINVAL,
				                 "front end's queue-%u/event-channel and "
				                 "queue-%u/event-channel are both %u",
				                 j, i, k->queue[i].port);
	return 0;
}

/* A key that may be absent. */
static int optional_u32(const struct key_reader *r, const char *name, uint32_t min, uint32_t max,
                        uint32_t absent, uint32_t *out, struct error *err)
{
	int rc = key_u32(r, name, min, max, out, err);

	if (rc == -ENOENT) {
		*out = absent;
		return 0;
	}
	return rc;
}

static int read_queues(const struct key_reader *r, struct ring_keys *out, struct error *err)
{
	int order_rc = key_u32(r, "ring-page-order", 0, RING_MAX_ORDER, &out->order, err);
	int rc = order_rc == -ENOENT ? 0 : order_rc;

	for (uint32_t i = 0; i < out->nr_queues && !rc; i++)
		rc = read_queue(r, order_rc, i, out, err);
	return rc ? rc : check_overlap(out, err);
}

int ring_offer_read(const struct key_reader *r, const char *name, uint32_t max, uint32_t fallback,
                    uint32_t *out, struct error *err)
{
	char text[TEXT_MAX];
	int rc = r->get(r->arg, r->backend, name, text, TEXT_MAX);

	if (store_unread(rc))
		return error_set(err, rc, "cannot read %s: %s", name, error_name(rc));
	*out = fallback;
	if (rc >= 0)
		parse_u32(text, 0, max, out);
	return 0;
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
	uint32_t offered;
	struct ring_keys keys = {0};
	int rc = ring_offer_read(r, "multi-queue-max-queues", RING_MAX_QUEUES, 1, &offered, err);

	if (!rc)
		rc = optional_u32(r, "multi-queue-num-queues", 1, offered ?: 1, 1, &keys.nr_queues,
		                  err);

	if (!rc)
		rc = read_queues(r, &keys, err);
	if (!rc)
		rc = read_protocol(r, fallback, &keys, err);
	if (!rc)
		rc = optional_u32(r, "feature-persistent", 0, 1, 0, &keys.persistent, err);
	if (!rc)
		*out = keys;
	return rc;
}

bool ring_key(const char *name)
{
	/* `queue-`, `ring-ref`: and whatever number follows. */
	static const char *const starts[] = {"queue-",
	                                     "ring-ref",
	                                     "ring-page-order",
	                                     "event-channel",
	                                     "multi-queue-num-queues",
	                                     "protocol",
	                                     "feature-persistent"};

	for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
		if (!strncmp(name, starts[i], strlen(starts[i])))
			return true;
	return false;
}

unsigned ring_max_order(uint32_t map_pages)
{
	unsigned order = RING_MAX_ORDER;

	while (order && 1u << order > map_pages)
		order--;
	return order;
}
