/* SPDX-License-Identifier: MIT */
/* Watches: which events come, to whom, in which order, how often. */
#include "test_xsd.h"

static void initial_event_behind_the_reply(void **state)
{
	struct client *cl = client(*state, 0);

	ok(cl, XS_WATCH, 0, Z("/not/there\0tok"));
	assert_int_equal(cl->events_before_reply, 0);
	events(cl, "/not/there|tok", NULL);
	/* A transaction id in the header means nothing here. */
	ok(cl, XS_WATCH, 77, Z("/x\0"));
	events(cl, "/x|", NULL);
	client_free(cl);
}

static void node_and_below(void **state)
{
	struct client *cl = client(*state, 0), *w = client(*state, 0);

	put(cl, 0, "/a/b", "1");
	ok(w, XS_WATCH, 0, Z("/a/b\0t"));
	events(w, "/a/b|t", NULL);
	put(cl, 0, "/a/b", "1"); /* the same value fires too */
	events(w, "/a/b|t", NULL);
	put(cl, 0, "/a/b/c/d", "1");
	events(w, "/a/b/c/d|t", NULL);
	ok(cl, XS_MKDIR, 0, Z("/a/b/e"));
	events(w, "/a/b/e|t", NULL);
	ok(cl, XS_SET_PERMS, 0, Z("/a/b/e\0r0"));
	events(w, "/a/b/e|t", NULL);
	ok(cl, XS_RM, 0, Z("/a/b/e"));
	events(w, "/a/b/e|t", NULL);
	/* Nothing of this concerns it. */
	put(cl, 0, "/a", "1");
	put(cl, 0, "/a/bb", "1");
	put(cl, 0, "/a/x/b", "1");
	ok(cl, XS_MKDIR, 0, Z("/a/b"));
	ok(cl, XS_RM, 0, Z("/a/b/none"));
	fails(cl, XS_RM, 0, Z("/a/b/none/none"), "ENOENT");
	has(cl, 0, "/a/b", "1");
	events(w, NULL);
	client_free(cl);
	client_free(w);
}

static void root_sees_all(void **state)
{
	struct client *cl = client(*state, 0);

	ok(cl, XS_WATCH, 0, Z("/\0t"));
	put(cl, 0, "/a/b", "1");
	put(cl, 0, "/", "1");
	xsd_domain_introduced(*state, 1);
	events(cl, "/|t", "/a/b|t", "/|t", NULL);
	client_free(cl);
}

/* A watch inside a removed subtree hears its own path; outside it hears the root of what went. */
static void removal(void **state)
{
	struct client *cl = client(*state, 0), *w = client(*state, 0);

	put(cl, 0, "/a/b/c/d", "1");
	put(cl, 0, "/a/b/x", "1");
	ok(w, XS_WATCH, 0, Z("/a/b/c\0c"));
	ok(w, XS_WATCH, 0, Z("/a/b/c/d\0d"));
	ok(w, XS_WATCH, 0, Z("/a/b/c/none\0n"));
	ok(w, XS_WATCH, 0, Z("/a/b\0b"));
	ok(w, XS_WATCH, 0, Z("/a\0a"));
	drain(w);
	w->events = 0;
	ok(cl, XS_RM, 0, Z("/a/b"));
	events(w, "/a/b|b", "/a/b|a", "/a/b/c|c", "/a/b/c/d|d", NULL);
	client_free(cl);
	client_free(w);
}

static void relative_watch(void **state)
{
	struct client *cl = client(*state, 0), *guest = client(*state, 3);

	put(cl, 0, "/local/domain/3/device", "");
	ok(cl, XS_SET_PERMS, 0, Z("/local/domain/3/device\0n3"));
	ok(guest, XS_WATCH, 0, Z("device\0t"));
	events(guest, "device|t", NULL);
	put(cl, 0, "/local/domain/3/device/vbd/1", "");
	events(guest, "device/vbd/1|t", NULL);
	ok(cl, XS_RM, 0, Z("/local/domain/3/device"));
	events(guest, "device|t", NULL);
	/* The absolute spelling is the same watch. */
	fails(guest, XS_WATCH, 0, Z("/local/domain/3/device\0t"), "EEXIST");
	ok(guest, XS_UNWATCH, 0, Z("/local/domain/3/device\0t"));
	client_free(cl);
	client_free(guest);
}

static void add_and_remove(void **state)
{
	struct client *cl = client(*state, 0), *other = client(*state, 0);

	ok(cl, XS_WATCH, 0, Z("/a\0t"));
	fails(cl, XS_WATCH, 0, Z("/a\0t"), "EEXIST");
	ok(cl, XS_WATCH, 0, Z("/a\0u"));
	ok(cl, XS_WATCH, 0, Z("/b\0t"));
	ok(other, XS_WATCH, 0, Z("/a\0t"));
	events(cl, "/a|t", "/a|u", "/b|t", NULL);
	events(other, "/a|t", NULL);
	fails(cl, XS_UNWATCH, 0, Z("/c\0t"), "ENOENT");
	fails(cl, XS_UNWATCH, 0, Z("/b\0u"), "ENOENT");
	ok(cl, XS_UNWATCH, 0, Z("/a\0t"));
	fails(cl, XS_UNWATCH, 0, Z("/a\0t"), "ENOENT");
	put(cl, 0, "/a", "1");
	events(cl, "/a|u", NULL);
	events(other, "/a|t", NULL);
	ok(cl, XS_RESET_WATCHES, 0, Z(""));
	put(cl, 0, "/a", "1");
	put(cl, 0, "/b", "1");
	events(cl, NULL);
	events(other, "/a|t", NULL);
	client_free(other);
	put(cl, 0, "/a", "1");
	client_free(cl);
}

static void malformed(void **state)
{
	static const uint32_t types[] = {XS_WATCH, XS_UNWATCH};
	struct client *cl = client(*state, 0);

	for (size_t i = 0; i < 2; i++) {
		fails(cl, types[i], 0, "", 0, "EINVAL");
		fails(cl, types[i], 0, Z("/a"), "EINVAL");
		fails(cl, types[i], 0, V("/a\0t"), "EINVAL");
		fails(cl, types[i], 0, Z("/a\0t\0001"), "EINVAL");
		fails(cl, types[i], 0, Z("@other\0t"), "EINVAL");
		fails(cl, types[i], 0, Z("a b\0t"), "EINVAL");
	}
	events(cl, NULL);
	client_free(cl);
}

static void special(void **state)
{
	struct client *cl = client(*state, 0), *guest = client(*state, 1);

	ok(cl, XS_WATCH, 0, Z("@introduceDomain\0i"));
	ok(cl, XS_WATCH, 0, Z("@releaseDomain\0r"));
	ok(guest, XS_WATCH, 0, Z("@releaseDomain\0g"));
	events(cl, "@introduceDomain|i", "@releaseDomain|r", NULL);
	events(guest, "@releaseDomain|g", NULL);
	xsd_domain_introduced(*state, 5);
	xsd_domain_introduced(*state, 5);
	events(cl, "@introduceDomain|i", NULL);
	ok(cl, XS_INTRODUCE, 0, Z("6\0001\0001"));
	assert_int_equal(cl->events_before_reply, 0);
	/* Never merged. */
	events(cl, "@introduceDomain|i", NULL);
	xsd_domain_introduced(*state, 7);
	xsd_domain_introduced(*state, 8);
	events(cl, "@introduceDomain|i", "@introduceDomain|i", NULL);
	xsd_domain_released(*state, 5);
	xsd_domain_released(*state, 5);
	ok(cl, XS_RELEASE, 0, Z("6"));
	events(cl, "@releaseDomain|r", "@releaseDomain|r", NULL);
	events(guest, NULL);
	/* Guests hear of it when they are let. */
	gives(cl, XS_GET_PERMS, 0, Z("@releaseDomain"), Z("n0"));
	ok(cl, XS_SET_PERMS, 0, Z("@releaseDomain\0n0\0r1"));
	gives(cl, XS_GET_PERMS, 0, Z("@releaseDomain"), Z("n0\0r1"));
	xsd_domain_released(*state, 7);
	events(guest, "@releaseDomain|g", NULL);
	ok(cl, XS_UNWATCH, 0, Z("@releaseDomain\0r"));
	client_free(cl);
	client_free(guest);
}

static void permission_filter(void **state)
{
	struct client *cl = client(*state, 0), *guest = client(*state, 1);

	put(cl, 0, "/be/hidden", "");
	put(cl, 0, "/be/shown", "");
	ok(cl, XS_SET_PERMS, 0, Z("/be/shown\0n0\0r1"));
	ok(guest, XS_WATCH, 0, Z("/be\0t"));
	ok(guest, XS_WATCH, 0, Z("/be/hidden\0h"));
	events(guest, "/be|t", "/be/hidden|h", NULL);
	put(cl, 0, "/be/hidden", "1");
	events(guest, NULL);
	put(cl, 0, "/be/shown", "1");
	events(guest, "/be/shown|t", NULL);
	/* A child of something readable is heard of, though it cannot be read. */
	put(cl, 0, "/be/shown/sub", "1");
	ok(cl, XS_SET_PERMS, 0, Z("/be/shown/sub\0n0"));
	put(cl, 0, "/be/shown/sub", "2");
	events(guest, "/be/shown/sub|t", NULL);
	put(cl, 0, "/be/shown/sub/subsub", "2");
	events(guest, NULL);
	/* Losing the right to read is the last thing heard. */
	ok(cl, XS_SET_PERMS, 0, Z("/be/shown\0n0"));
	events(guest, "/be/shown|t", NULL);
	put(cl, 0, "/be/shown", "3");
	events(guest, NULL);
	client_free(cl);
	client_free(guest);
}

static void permission_filter_on_removal(void **state)
{
	struct client *cl = client(*state, 0), *guest = client(*state, 1);

	put(cl, 0, "/be/open", "");
	ok(cl, XS_SET_PERMS, 0, Z("/be/open\0r0"));
	put(cl, 0, "/be/open/shut", "");
	ok(cl, XS_SET_PERMS, 0, Z("/be/open/shut\0n0"));
	put(cl, 0, "/be/open/shut/deep", "");
	put(cl, 0, "/be/shut", "");
	ok(guest, XS_WATCH, 0, Z("/be/open\0o"));
	ok(guest, XS_WATCH, 0, Z("/be/open/shut\0s"));
	ok(guest, XS_WATCH, 0, Z("/be/open/shut/deep\0d"));
	ok(guest, XS_WATCH, 0, Z("/be/shut\0x"));
	ok(guest, XS_WATCH, 0, Z("/be\0b"));
	drain(guest);
	guest->events = 0;
	/* What was readable before it went decides. */
	ok(cl, XS_RM, 0, Z("/be/open"));
	events(guest, "/be/open|o", "/be/open|b", "/be/open/shut|s", NULL);
	ok(cl, XS_RM, 0, Z("/be/shut"));
	events(guest, NULL);
	client_free(cl);
	client_free(guest);
}

static void identical_pending_events_merge(void **state)
{
	struct client *cl = client(*state, 0), *w = client(*state, 0);
	const void *data;

	ok(w, XS_WATCH, 0, Z("/a\0t"));
	ok(w, XS_WATCH, 0, Z("/a\0u"));
	events(w, "/a|t", "/a|u", NULL);
	for (int i = 0; i < 5; i++) {
		put(cl, 0, "/a", "1");
		put(cl, 0, "/a/b", "1");
	}
	events(w, "/a|u", "/a|t", "/a/b|u", "/a/b|t", NULL);
	put(cl, 0, "/a", "1");
	/* Once its first byte is sent, the next one is new. */
	assert_true(xsd_output(w->c, &data) > 40);
	assert_memory_equal((const char *)data + 16, "/a\0u", 5);
	xsd_consume(w->c, 1);
	put(cl, 0, "/a", "1");
	assert_int_equal(xsd_output(w->c, &data), 3 * (16 + 5) - 1);
	xsd_consume(w->c, 3 * (16 + 5) - 1);
	put(cl, 0, "/a", "1");
	events(w, "/a|u", "/a|t", NULL);
	client_free(cl);
	client_free(w);
}

/* An event that fits no message is lost, alone. */
static void too_long_event(void **state)
{
	struct client *cl = client(*state, 0);
	char w[3000], path[3000];

	memset(w, 't', sizeof w);
	memcpy(w, "/a", 3);
	w[sizeof w - 1] = '\0';
	ok(cl, XS_WATCH, 0, w, sizeof w);
	ok(cl, XS_WATCH, 0, Z("/a\0s"));
	drain(cl);
	cl->events = 0;
	memset(path, 'p', sizeof path);
	memcpy(path, "/a/", 3);
	path[1200] = '\0';
	put(cl, 0, path, "");
	drain(cl);
	assert_int_equal(cl->events, 1);
	client_free(cl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    store_test(initial_event_behind_the_reply),
	    store_test(node_and_below),
	    store_test(root_sees_all),
	    store_test(removal),
	    store_test(relative_watch),
	    store_test(add_and_remove),
	    store_test(malformed),
	    store_test(special),
	    store_test(permission_filter),
	    store_test(permission_filter_on_removal),
	    store_test(identical_pending_events_merge),
	    store_test(too_long_event),
	};

	return cmocka_run_group_tests_name("xsd_watch", tests, NULL, NULL);
}
