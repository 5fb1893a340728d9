/* SPDX-License-Identifier: MIT */
/* In-memory client for the tests of the embedded xenstored: one request, its reply, the events
 * seen. */
#ifndef TEST_XSD_H
#define TEST_XSD_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <xen/io/xs_wire.h>

#include "xen/embedded/xsd.h"

#define EVENTS_MAX 256
#define EVENT_TEXT 160

struct client {
	struct xsd_conn *c;
	unsigned ready; /* calls of output_ready */
	struct xsd_sockmsg hdr;
	char data[XENSTORE_PAYLOAD_MAX + 1]; /* of the last reply, with a NUL behind it */
	unsigned replies;
	unsigned events, events_before_reply;
	char event[EVENTS_MAX][EVENT_TEXT]; /* "path|token" */
};

static inline void on_ready(void *arg)
{
	((struct client *)arg)->ready++;
}

static inline struct client *client(struct xsd *x, uint16_t domid)
{
	struct client *cl = calloc(1, sizeof *cl);

	assert_non_null(cl);
	cl->c = xsd_connect(x, domid, on_ready, cl);
	assert_non_null(cl->c);
	return cl;
}

static inline void client_free(struct client *cl)
{
	xsd_disconnect(cl->c);
	free(cl);
}

static inline void message(struct client *cl, const struct xsd_sockmsg *hdr, const char *payload)
{
	if (hdr->type != XS_WATCH_EVENT) {
		cl->hdr = *hdr;
		memcpy(cl->data, payload, hdr->len);
		cl->data[hdr->len] = '\0';
		cl->replies++;
		cl->events_before_reply = cl->events;
		return;
	}
	assert_int_equal(hdr->req_id, 0);
	assert_int_equal(hdr->tx_id, 0);
	assert_true(cl->events < EVENTS_MAX);
	snprintf(cl->event[cl->events++], EVENT_TEXT, "%s|%s", payload,
	         payload + strlen(payload) + 1);
}

/* Takes all output, at most `step` bytes at a time. */
static inline void drain_by(struct client *cl, size_t step)
{
	static char buf[8 << 20];
	const void *data;
	size_t n, len = 0, at = 0;

	while ((n = xsd_output(cl->c, &data))) {
		n = n < step ? n : step;
		assert_true(len + n <= sizeof buf);
		memcpy(buf + len, data, n);
		len += n;
		xsd_consume(cl->c, n);
	}
	while (at < len) {
		struct xsd_sockmsg hdr;

		assert_true(len - at >= sizeof hdr);
		memcpy(&hdr, buf + at, sizeof hdr);
		assert_true(hdr.len <= XENSTORE_PAYLOAD_MAX);
		assert_true(len - at - sizeof hdr >= hdr.len);
		message(cl, &hdr, buf + at + sizeof hdr);
		at += sizeof hdr + hdr.len;
	}
}

static inline void drain(struct client *cl)
{
	drain_by(cl, SIZE_MAX);
}

/* Without looking at the output. */
static inline int send_only(struct client *cl, uint32_t type, uint32_t tx, const void *p, size_t n)
{
	char msg[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
	struct xsd_sockmsg hdr = {type, 0x1234, tx, (uint32_t)n};

	memcpy(msg, &hdr, sizeof hdr);
	memcpy(msg + sizeof hdr, p, n);
	return xsd_input(cl->c, msg, sizeof hdr + n);
}

static inline void request(struct client *cl, uint32_t type, uint32_t tx, const void *p, size_t n)
{
	unsigned replies;

	drain(cl);
	replies = cl->replies;
	assert_int_equal(send_only(cl, type, tx, p, n), 0);
	drain(cl);
	assert_int_equal(cl->replies, replies + 1);
	assert_int_equal(cl->hdr.req_id, 0x1234);
	assert_int_equal(cl->hdr.tx_id, tx);
}

/* Strings, each with its NUL ("a\0b" ends in one by itself) and values, which have none at the end.
 */
#define Z(s) (s), sizeof(s)
#define V(s) (s), sizeof(s) - 1

/* The reply must be exactly n bytes like p. */
static inline void gives(struct client *cl, uint32_t type, uint32_t tx, const void *req,
                         size_t req_n, const void *p, size_t n)
{
	request(cl, type, tx, req, req_n);
	if (cl->hdr.type == XS_ERROR)
		assert_string_equal(cl->data, "no error");
	assert_int_equal(cl->hdr.type, type);
	assert_int_equal(cl->hdr.len, n);
	assert_memory_equal(cl->data, p, n);
}

static inline void ok(struct client *cl, uint32_t type, uint32_t tx, const void *req, size_t n)
{
	gives(cl, type, tx, req, n, Z("OK"));
}

static inline void fails(struct client *cl, uint32_t type, uint32_t tx, const void *req, size_t n,
                         const char *error)
{
	request(cl, type, tx, req, n);
	assert_int_equal(cl->hdr.type, XS_ERROR);
	assert_string_equal(cl->data, error);
	assert_int_equal(cl->hdr.len, strlen(error) + 1);
}

static inline void put(struct client *cl, uint32_t tx, const char *path, const char *value)
{
	char p[XENSTORE_PAYLOAD_MAX];
	size_t n = (size_t)snprintf(p, sizeof p, "%s", path) + 1;

	memcpy(p + n, value, strlen(value));
	ok(cl, XS_WRITE, tx, p, n + strlen(value));
}

static inline void has(struct client *cl, uint32_t tx, const char *path, const char *value)
{
	gives(cl, XS_READ, tx, path, strlen(path) + 1, value, strlen(value));
}

static inline void lacks(struct client *cl, uint32_t tx, const char *path)
{
	fails(cl, XS_READ, tx, path, strlen(path) + 1, "ENOENT");
}

static inline uint32_t begin(struct client *cl)
{
	request(cl, XS_TRANSACTION_START, 0, Z(""));
	assert_int_equal(cl->hdr.type, XS_TRANSACTION_START);
	assert_int_equal(cl->hdr.len, strlen(cl->data) + 1);
	return (uint32_t)strtoul(cl->data, NULL, 10);
}

static inline void commit(struct client *cl, uint32_t tx)
{
	ok(cl, XS_TRANSACTION_END, tx, Z("T"));
}

static inline void commit_conflicts(struct client *cl, uint32_t tx)
{
	fails(cl, XS_TRANSACTION_END, tx, Z("T"), "EAGAIN");
}

/* The events seen since the last look are exactly these, in this order: NULL ends the list. */
static inline void events(struct client *cl, ...)
{
	const char *want;
	unsigned i = 0;
	va_list ap;

	drain(cl);
	va_start(ap, cl);
	while ((want = va_arg(ap, const char *))) {
		if (i >= cl->events)
			assert_string_equal("no event", want);
		assert_string_equal(cl->event[i++], want);
	}
	va_end(ap);
	if (i != cl->events)
		assert_string_equal(cl->event[i], "no more events");
	cl->events = 0;
}

static inline int store_setup(void **state)
{
	struct xsd *x;

	if (xsd_new(&x))
		return -1;
	*state = x;
	return 0;
}

static inline int store_teardown(void **state)
{
	assert_int_equal(xsd_connections(*state), 0);
	xsd_free(*state);
	return 0;
}

#define store_test(f) cmocka_unit_test_setup_teardown(f, store_setup, store_teardown)

#endif
