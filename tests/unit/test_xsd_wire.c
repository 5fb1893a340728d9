/* SPDX-License-Identifier: MIT */
/* Framing, sizes, output queue and rubbish: what reaches the embedded xenstored before any meaning.
 */
#include "test_xsd.h"

static size_t frame(char *to, uint32_t type, uint32_t id, const void *p, size_t n)
{
	struct xsd_sockmsg hdr = {type, id, 0, (uint32_t)n};

	memcpy(to, &hdr, sizeof hdr);
	memcpy(to + sizeof hdr, p, n);
	return sizeof hdr + n;
}

static size_t conversation(char *buf)
{
	size_t n = frame(buf, XS_WRITE, 1, V("/a\0one"));

	n += frame(buf + n, XS_READ, 2, Z("/a"));
	n += frame(buf + n, XS_READ, 3, Z("/b"));
	return n + frame(buf + n, XS_READ, 4, Z("/a"));
}

static void byte_by_byte(void **state)
{
	struct client *cl = client(*state, 0);
	char buf[512];
	size_t n = conversation(buf);

	for (size_t i = 0; i < n; i++)
		assert_int_equal(xsd_input(cl->c, buf + i, 1), 0);
	assert_int_equal(xsd_input(cl->c, NULL, 0), 0);
	drain_by(cl, 1);
	assert_int_equal(cl->replies, 4);
	assert_int_equal(cl->hdr.req_id, 4);
	assert_string_equal(cl->data, "one");
	client_free(cl);
}

static void at_once(void **state)
{
	struct client *cl = client(*state, 0);
	char buf[512];
	size_t n = conversation(buf);

	assert_int_equal(xsd_input(cl->c, buf, n), 0);
	/* One call for all that became ready. */
	assert_int_equal(cl->ready, 1);
	drain_by(cl, 7);
	assert_int_equal(cl->replies, 4);
	assert_string_equal(cl->data, "one");
	assert_int_equal(cl->hdr.type, XS_READ);
	client_free(cl);
}

static void every_split(void **state)
{
	struct client *cl = client(*state, 0);
	char buf[512];
	size_t n = conversation(buf);

	for (size_t at = 0; at <= n; at++) {
		assert_int_equal(xsd_input(cl->c, buf, at), 0);
		assert_int_equal(xsd_input(cl->c, buf + at, n - at), 0);
		drain(cl);
		assert_int_equal(cl->replies, 4 * (at + 1));
	}
	client_free(cl);
}

static void ready_once_until_drained(void **state)
{
	struct client *cl = client(*state, 0), *other = client(*state, 0);

	send_only(cl, XS_READ, 0, Z("/a"));
	send_only(cl, XS_READ, 0, Z("/a"));
	assert_int_equal(cl->ready, 1);
	drain(cl);
	send_only(cl, XS_WATCH, 0, Z("/a\0t"));
	assert_int_equal(cl->ready, 2);
	drain(cl);
	/* Caused by someone else. */
	put(other, 0, "/a", "1");
	assert_int_equal(cl->ready, 3);
	events(cl, "/a|t", "/a|t", NULL);
	client_free(cl);
	client_free(other);
}

static void largest_payload(void **state)
{
	struct client *cl = client(*state, 0);
	char p[XENSTORE_PAYLOAD_MAX];

	memset(p, 'v', sizeof p);
	memcpy(p, "/a", 3);
	ok(cl, XS_WRITE, 0, p, sizeof p);
	gives(cl, XS_READ, 0, Z("/a"), p + 3, sizeof p - 3);
	client_free(cl);
}

static void too_large_payload_kills(void **state)
{
	struct client *cl = client(*state, 0);
	struct xsd_sockmsg hdr = {XS_WRITE, 1, 0, XENSTORE_PAYLOAD_MAX + 1};

	/* Known from the header alone, before any of the payload. */
	assert_int_equal(xsd_input(cl->c, &hdr, sizeof hdr - 1), 0);
	assert_int_equal(xsd_input(cl->c, (char *)&hdr + sizeof hdr - 1, 1), -EPROTO);
	assert_int_equal(xsd_input(cl->c, "x", 1), -EPROTO);
	drain(cl);
	assert_int_equal(cl->replies, 0);
	client_free(cl);
}

static void unknown_types(void **state)
{
	static const uint32_t types[] = {XS_WATCH_EVENT, XS_ERROR,  20, 23, 24, 25, 26, 27,
	                                 XS_INVALID,     UINT32_MAX};
	struct client *cl = client(*state, 0), *guest = client(*state, 1);

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		bool privileged = types[i] >= 24 && types[i] <= 26;

		fails(cl, types[i], 0, Z("/a"), "ENOSYS");
		fails(guest, types[i], 0, Z("/a"), privileged ? "EACCES" : "ENOSYS");
	}
	client_free(cl);
	client_free(guest);
}

/* Output of a client that never reads is bounded, and the client is told off at its next word. */
static void unread_output_is_bounded(void **state)
{
	struct client *dom0 = client(*state, 0), *guest = client(*state, 5);
	char p[2000], path[] = "/local/domain/5/data";
	const void *data;
	int rc = 0, rounds = 0;
	size_t n = sizeof path;

	put(dom0, 0, path, "");
	ok(dom0, XS_SET_PERMS, 0, Z("/local/domain/5/data\0n5"));
	memset(p, 'v', sizeof p);
	memcpy(p, path, n);
	assert_int_equal(send_only(guest, XS_WRITE, 0, p, sizeof p), 0);
	while (!rc && rounds++ < 5000)
		rc = send_only(guest, XS_READ, 0, path, n);
	assert_int_equal(rc, -ENOBUFS);
	assert_in_range(rounds, (2500 * 1024) / 2000, (2600 * 1024) / 1950);
	assert_int_equal(xsd_output(guest->c, &data), 0);
	xsd_consume(guest->c, 100);
	/* Others go on, also with events for the dead one. */
	put(dom0, 0, path, "x");
	client_free(guest);
	client_free(dom0);
}

static uint32_t seed = 12345;

static uint32_t rnd(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

/* Bytes that look right often enough to reach far. */
static size_t rubbish(char *p)
{
	static const char *const bits[] = {"/local/domain/1",
	                                   "/",
	                                   "a",
	                                   "b",
	                                   "//",
	                                   "@releaseDomain",
	                                   "T",
	                                   "F",
	                                   "r1",
	                                   "n0",
	                                   "b2",
	                                   "0",
	                                   "1",
	                                   "65536",
	                                   "-1",
	                                   "/a/b/c",
	                                   "\xff",
	                                   "..."};
	size_t n = 0;

	if (!rnd(50)) {
		n = rnd(XENSTORE_PAYLOAD_MAX + 1);
		memset(p, rnd(2) ? 'a' : '/', n);
		return n;
	}
	for (uint32_t k = rnd(5); k; k--) {
		const char *bit = bits[rnd(sizeof bits / sizeof *bits)];

		memcpy(p + n, bit, strlen(bit) + 1);
		n += strlen(bit) + (rnd(4) ? 1 : 0);
	}
	for (uint32_t k = rnd(20) ? 0 : 1 + rnd(8); k; k--)
		p[n++] = (char)rnd(256);
	return n;
}

#define CLIENTS 4

static void rubbish_never_crashes(void **state)
{
	struct client *cl[CLIENTS];
	char buf[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX + 64];

	for (int i = 0; i < CLIENTS; i++)
		cl[i] = client(*state, (uint16_t)(i / 2));
	for (int i = 0; i < 200000; i++) {
		struct client **c = &cl[rnd(CLIENTS)];
		struct xsd_sockmsg hdr = {rnd(28), rnd(9), rnd(3) ? 0 : rnd(5), 0};
		const void *data;
		size_t n = rubbish(buf + sizeof hdr);
		int rc;

		hdr.len = rnd(5000) ? (uint32_t)n : rnd(UINT32_MAX);
		memcpy(buf, &hdr, sizeof hdr);
		rc = xsd_input((*c)->c, buf, sizeof hdr + n);
		if (!rc && rnd(4)) {
			while ((n = xsd_output((*c)->c, &data)))
				xsd_consume((*c)->c, 1 + rnd((uint32_t)n));
		} else if (rc || !rnd(100)) {
			client_free(*c);
			*c = client(*state, (uint16_t)rnd(3));
		}
	}
	assert_int_equal(xsd_connections(*state), CLIENTS);
	for (int i = 0; i < CLIENTS; i++)
		client_free(cl[i]);
}

/* A store that is freed takes its clients with it: the leak checker looks. */
static void free_with_clients(void **state)
{
	struct xsd *x;
	struct client *cl;

	assert_int_equal(xsd_new(&x), 0);
	cl = client(x, 0);
	ok(cl, XS_WATCH, 0, Z("/\0t"));
	put(cl, begin(cl), "/in-a-transaction", "1");
	send_only(cl, XS_READ, 0, Z("/"));
	assert_int_equal(xsd_connections(x), 1);
	xsd_free(x);
	xsd_free(NULL);
	free(cl);
}

static struct xsd_conn *pair[2];
static unsigned kills;
static bool armed;

/* Whoever of the two is called first takes the other away. */
static void disconnect_other(void *arg)
{
	struct xsd_conn **other = arg;

	if (!armed || !*other)
		return;
	kills++;
	xsd_disconnect(*other);
	*other = NULL;
}

/* A callback may disconnect another client that has news as well. */
static void disconnect_other_in_callback(void **state)
{
	static const char watch[] = "\4\0\0\0\0\0\0\0\0\0\0\0\5\0\0\0/x\0t";
	struct client *writer = client(*state, 0);
	const void *data;
	size_t n;

	armed = false;
	kills = 0;
	for (int i = 0; i < 2; i++) {
		pair[i] = xsd_connect(*state, 0, disconnect_other, &pair[!i]);
		assert_int_equal(xsd_input(pair[i], watch, sizeof watch), 0);
		while ((n = xsd_output(pair[i], &data)))
			xsd_consume(pair[i], n);
	}
	armed = true;
	put(writer, 0, "/x", "1");
	assert_int_equal(kills, 1);
	assert_true(!pair[0] != !pair[1]);
	put(writer, 0, "/x", "2");
	xsd_disconnect(pair[0]);
	xsd_disconnect(pair[1]);
	client_free(writer);
}

static void disconnect_self(void *arg)
{
	xsd_disconnect(*(struct xsd_conn **)arg);
	*(struct xsd_conn **)arg = NULL;
}

/* … and itself, in the middle of its own input. */
static void disconnect_self_in_callback(void **state)
{
	struct xsd_sockmsg two[2] = {{XS_READ, 1, 0, 0}, {XS_READ, 2, 0, 0}};
	struct xsd_conn *c = xsd_connect(*state, 0, disconnect_self, &c);

	assert_int_equal(xsd_input(c, two, sizeof two), 0);
	assert_null(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    store_test(byte_by_byte),
	    store_test(at_once),
	    store_test(every_split),
	    store_test(ready_once_until_drained),
	    store_test(largest_payload),
	    store_test(too_large_payload_kills),
	    store_test(unknown_types),
	    store_test(unread_output_is_bounded),
	    store_test(rubbish_never_crashes),
	    store_test(free_with_clients),
	    store_test(disconnect_other_in_callback),
	    store_test(disconnect_self_in_callback),
	};

	return cmocka_run_group_tests_name("xsd_wire", tests, NULL, NULL);
}
