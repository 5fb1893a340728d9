/* SPDX-License-Identifier: MIT */
/* What waits to be sent to a client: replies and watch events, each event once. */
#include "xen/embedded/xsd_out.h"

#include <stdlib.h>
#include <string.h>

#include "xen/embedded/xsd_domain.h"

#define CHUNK_SIZE 8192

/* An event of which no byte is sent yet. */
struct event {
	struct xsd_hlink link; /* conn->pending */
	struct list order;     /* conn->events */
	uint64_t at;           /* position in the stream */
	const char *payload;   /* within its chunk, which outlives us */
	size_t len;
};

static struct xsd_chunk *last_chunk(struct xsd_conn *c)
{
	return list_empty(&c->out) ? NULL : container_of(c->out.prev, struct xsd_chunk, link);
}

static struct xsd_chunk *room(struct xsd_conn *c, size_t n)
{
	struct xsd_chunk *k = last_chunk(c);

	if (k && k->cap - k->end >= n)
		return k;
	k = malloc(sizeof *k + CHUNK_SIZE);
	if (!k)
		return NULL;
	k->start = k->end = 0;
	k->cap = CHUNK_SIZE;
	list_append(&c->out, &k->link);
	return k;
}

static void die(struct xsd_conn *c, int rc)
{
	c->dead = rc;
	xsd_out_clear(c);
}

static void drop_event(struct xsd_conn *c, struct event *e)
{
	xsd_hash_del(&c->pending, &e->link);
	list_remove(&e->order);
	free(e);
}

/* The payload's place in the queue, NULL if the connection is dead. */
static char *append(struct xsd_conn *c, const struct xsd_sockmsg *hdr)
{
	size_t n = sizeof *hdr + hdr->len;
	struct xsd_chunk *k;
	char *to;

	if (c->dead)
		return NULL;
	if (!xsd_privileged(c->dom) && c->queued - c->sent + n > XSD_QUOTA_OUTPUT) {
		die(c, -ENOBUFS);
		return NULL;
	}
	k = room(c, n);
	if (!k) {
		die(c, -ENOMEM);
		return NULL;
	}
	if (c->queued == c->sent && list_empty(&c->ready_link))
		list_append(&c->x->ready, &c->ready_link);
	to = k->data + k->end;
	memcpy(to, hdr, sizeof *hdr);
	k->end += n;
	c->queued += n;
	return to + sizeof *hdr;
}

void xsd_out_message(struct xsd_conn *c, const struct xsd_sockmsg *hdr, const void *payload)
{
	char *to = append(c, hdr);

	if (to && hdr->len)
		memcpy(to, payload, hdr->len);
}

static bool is_pending(const struct xsd_conn *c, uint64_t hash, const char *payload, size_t len)
{
	for (struct xsd_hlink *l = xsd_hash_first(&c->pending, hash); l; l = xsd_hash_next(l)) {
		const struct event *e = container_of(l, struct event, link);

		if (e->len == len && !memcmp(e->payload, payload, len))
			return true;
	}
	return false;
}

void xsd_out_event(struct xsd_conn *c, const char *path, const char *token)
{
	size_t path_n = strlen(path) + 1, token_n = strlen(token) + 1;
	struct xsd_sockmsg hdr = {.type = XS_WATCH_EVENT, .len = (uint32_t)(path_n + token_n)};
	char payload[XENSTORE_PAYLOAD_MAX];
	struct event *e;
	uint64_t hash, at = c->queued;
	char *to;

	/* No message can carry it. */
	if (path_n + token_n > sizeof payload)
		return;
	memcpy(payload, path, path_n);
	memcpy(payload + path_n, token, token_n);
	hash = xsd_hash_bytes(payload, hdr.len);
	/* Domains coming and going are counted by some clients: these are never merged. */
	if (path[0] != '@' && is_pending(c, hash, payload, hdr.len))
		return;
	to = append(c, &hdr);
	if (!to)
		return;
	memcpy(to, payload, hdr.len);
	/* Without memory to remember it the event may be sent twice: harmless. */
	e = malloc(sizeof *e);
	if (!e)
		return;
	*e = (struct event){.at = at, .payload = to, .len = hdr.len};
	if (xsd_hash_add(&c->pending, &e->link, hash)) {
		free(e);
		return;
	}
	list_append(&c->events, &e->order);
}

void xsd_out_clear(struct xsd_conn *c)
{
	list_for_each(it, tmp, &c->events) drop_event(c, container_of(it, struct event, order));
	list_for_each(it, tmp, &c->out) free(container_of(it, struct xsd_chunk, link));
	list_init(&c->out);
	c->sent = c->queued;
	xsd_hash_fini(&c->pending);
}

void xsd_out_flush_ready(struct xsd *x)
{
	/* The callback may disconnect this or another client: start over from the list each time.
	 */
	while (!list_empty(&x->ready)) {
		struct xsd_conn *c = container_of(x->ready.next, struct xsd_conn, ready_link);

		list_remove(&c->ready_link);
		if (c->output_ready && c->queued != c->sent)
			c->output_ready(c->arg);
	}
}

size_t xsd_output(struct xsd_conn *c, const void **data)
{
	struct xsd_chunk *k;

	if (list_empty(&c->out))
		return 0;
	k = container_of(c->out.next, struct xsd_chunk, link);
	*data = k->data + k->start;
	return k->end - k->start;
}

void xsd_consume(struct xsd_conn *c, size_t n)
{
	/* The queue may have been dropped since the caller looked at it. */
	if (n > c->queued - c->sent)
		n = c->queued - c->sent;
	c->sent += n;
	list_for_each(it, tmp, &c->events)
	{
		struct event *e = container_of(it, struct event, order);

		if (e->at >= c->sent)
			break;
		drop_event(c, e);
	}
	while (n) {
		struct xsd_chunk *k = container_of(c->out.next, struct xsd_chunk, link);
		size_t part = k->end - k->start < n ? k->end - k->start : n;

		k->start += part;
		n -= part;
		if (k->start == k->end) {
			list_remove(&k->link);
			free(k);
		}
	}
}
