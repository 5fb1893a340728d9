/* SPDX-License-Identifier: MIT */
/* The life cycle's table: every (ours, theirs) pair in the situations that matter, and rules that
 * must hold over all inputs whatsoever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "xen/store.h"
#include "xenbus/decide.h"

/* One letter an action, so that a plane fits in nine lines. */
static char letter(enum action a)
{
	switch (a) {
	case ACT_NOTHING:
		return '.';
	case ACT_ADVERTISE:
		return 'A';
	case ACT_OPEN_IMAGE:
		return 'O';
	case ACT_CONNECT_RING:
		return 'C';
	case ACT_WRITE_CONNECTED:
		return 'W';
	case ACT_DISCONNECT_RING:
		return 'D';
	case ACT_WRITE_CLOSING:
		return '5';
	case ACT_WRITE_CLOSED:
		return '6';
	case ACT_RELEASE:
		return 'R';
	case ACT_REMOVE:
		return 'X';
	case ACT_FATAL_STATE:
		return 'F';
	}
	return '?';
}

struct plane {
	const char *what;
	struct snapshot s;
	const char *rows[9]; /* ours 0..8; one letter for theirs 0..8 */
};

static const struct plane planes[] = {
    {"nothing done yet, image unknown",
     {.online = true},
     {"XXXXXXXXX", "AAAAAAAAA", "..F..56FF", "..F..56FF", "66F..56FF", "66....6..", ".A...5...",
      ".........", "........."}},
    {"nothing done yet, image known",
     {.online = true, .source_ready = true},
     {"XXXXXXXXX", "AAAAAAAAA", "OOFOO56FF", "OOFOO56FF", "66FOO56FF", "66....6..", ".A.OO5...",
      ".........", "........."}},
    {"image being opened",
     {.online = true, .source_ready = true, .image = IMAGE_OPENING},
     {"RRRRRRRRR", "AAAAAAAAA", "..F..56FF", "..F..56FF", "66F..56FF", "66....6..", ".A...5...",
      ".........", "........."}},
    {"image open, ring idle",
     {.online = true, .source_ready = true, .image = IMAGE_OPEN},
     {"RRRRRRRRR", "AAAAAAAAA", "..FCC56FF", "..FCC56FF", "66FCC56FF", "66....6..", ".A.CC5...",
      ".........", "........."}},
    {"image open, ring connecting",
     {.online = true, .source_ready = true, .image = IMAGE_OPEN, .ring = RING_CONNECTING},
     {"DDDDDDDDD", "AAAAAAAAA", ".DF..5DFF", ".DF..5DFF", "DDF..5DFF", "DD....D..", "DDD..5DDD",
      ".........", "........."}},
    {"both halves there",
     {.online = true, .source_ready = true, .image = IMAGE_OPEN, .ring = RING_CONNECTED},
     {"DDDDDDDDD", "AAAAAAAAA", ".DFWW5DFF", ".DFWW5DFF", "DDF..5DFF", "DD....D..", "DDDWW5DDD",
      ".........", "........."}},
    {"both halves there, ring keys changed",
     {.online = true,
      .source_ready = true,
      .image = IMAGE_OPEN,
      .ring = RING_CONNECTED,
      .ring_changed = true},
     {"DDDDDDDDD", "AAAAAAAAA", ".DFDD5DFF", ".DFDD5DFF", "DDFDD5DFF", "DD....D..", "DDDDD5DDD",
      ".........", "........."}},
    {"ring draining",
     {.online = true, .source_ready = true, .image = IMAGE_OPEN, .ring = RING_DISCONNECTING},
     {".........", "AAAAAAAAA", "..F..5.FF", "..F..5.FF", "..F..5.FF", ".........", ".....5...",
      ".........", "........."}},
    {"ring failed, error not noted any more",
     {.online = true, .source_ready = true, .image = IMAGE_OPEN, .ring = RING_FAILED},
     {"DDDDDDDDD", "AAAAAAAAA", ".DFDD5DFF", ".DFDD5DFF", "DDFDD5DFF", "DD....D..", "DDDDD5DDD",
      ".........", "........."}},
    {"front end vanished after it was seen, ring idle",
     {.online = true, .source_ready = true, .image = IMAGE_OPEN, .fe_seen = true},
     {"RRRRRRRRR", "AAAAAAAAA", "6.FCC56FF", "6.FCC56FF", "66FCC56FF", "66....6..", ".A.CC5...",
      ".........", "........."}},
    {"failed, ring idle",
     {.online = true, .source_ready = true, .fatal = true, .image = IMAGE_FAILED},
     {"RRRRRRRRR", "AAAAAAAAA", "FFFFFFFFF", "FFFFFFFFF", "FFFFFFFFF", "6.....6..", ".A...5...",
      ".........", "........."}},
    {"failed, ring connected",
     {.online = true,
      .source_ready = true,
      .fatal = true,
      .image = IMAGE_OPEN,
      .ring = RING_CONNECTED},
     {"DDDDDDDDD", "AAAAAAAAA", "FFFFFFFFF", "FFFFFFFFF", "FFFFFFFFF", "D.....D..", "DDDDD5DDD",
      ".........", "........."}},
    {"going away, both halves there",
     {.source_ready = true, .fe_seen = true, .image = IMAGE_OPEN, .ring = RING_CONNECTED},
     {"DDDDDDDDD", "AAAAAAAAA", "DDFWW5DFF", "DDFWW5DFF", "DDF..5DFF", "DDDD..D..", "DDDDDDDDD",
      ".........", "........."}},
    {"going away, ring idle",
     {.source_ready = true, .fe_seen = true, .image = IMAGE_OPEN},
     {"RRRRRRRRR", "AAAAAAAAA", "R.FCC5RFF", "R.FCC5RFF", "RRFCC5RFF", "RRRR..R..", "RRRRRRRRR",
      ".........", "........."}},
    {"going away, image let go",
     {.source_ready = true, .fe_seen = true, .image = IMAGE_CLOSING},
     {".........", "AAAAAAAAA", "..F..5.FF", "..F..5.FF", "..F..5.FF", ".........", ".........",
      ".........", "........."}},
    {"going away, nothing held",
     {.fe_seen = true, .image = IMAGE_CLOSED},
     {"XXXXXXXXX", "AAAAAAAAA", "6.F..56FF", "6.F..56FF", "66F..56FF", "6666..6..", ".........",
      ".........", "........."}},
    {"going away, failed",
     {.fe_seen = true, .fatal = true, .image = IMAGE_FAILED},
     {"RRRRRRRRR", "AAAAAAAAA", "FFFFFFFFF", "FFFFFFFFF", "FFFFFFFFF", "RRRR..R..", "RRRRRRRRR",
      ".........", "........."}},
    {"going away, time is up, ring connected",
     {.source_ready = true,
      .fe_seen = true,
      .force = true,
      .image = IMAGE_OPEN,
      .ring = RING_CONNECTED},
     {"DDDDDDDDD", "AAAAAAAAA", "DDFWW5DFF", "DDFWW5DFF", "DDF..5DFF", "DDDDDDDDD", "DDDDDDDDD",
      ".........", "........."}},
    {"going away, time is up, nothing held",
     {.fe_seen = true, .force = true, .image = IMAGE_CLOSED},
     {"XXXXXXXXX", "AAAAAAAAA", "6.F..56FF", "6.F..56FF", "66F..56FF", "666666666", ".........",
      ".........", "........."}},
};

/* Migrated: nothing is taken up, nothing closed, while the toolstack says nothing else. */
static void migrated_away(void **state)
{
	struct snapshot s = {.ours = XS_CONNECTED,
	                     .online = true,
	                     .source_ready = true,
	                     .unfenced = true,
	                     .away = true};

	for (s.image = IMAGE_NONE; s.image <= IMAGE_CLOSED; s.image++)
		for (s.theirs = XS_INITIALISED; s.theirs <= XS_CONNECTED; s.theirs++)
			assert_int_equal(decide(&s), ACT_NOTHING);
	/* A worker that lives goes on. */
	s.image = IMAGE_OPEN;
	s.theirs = XS_CONNECTED;
	s.ring = RING_CONNECTED;
	assert_int_equal(decide(&s), ACT_NOTHING);
	/* The front end's end is its end here, too. */
	s.ring = RING_IDLE;
	s.theirs = XS_UNKNOWN;
	assert_int_equal(decide(&s), ACT_WRITE_CLOSED);
	s.away = false;
	s.theirs = XS_CONNECTED;
	assert_int_equal(decide(&s), ACT_CONNECT_RING);
}

/* Whoever uses a disk keeps it, whatever becomes of what serves it. */
static void who_is_held(void **state)
{
	static const char *const rows[9] = {".........", ".........", ".........",
	                                    ".........", "..HHH..HH", ".........",
	                                    ".........", ".........", "........."};

	for (int ours = 0; ours <= 8; ours++)
		for (int theirs = 0; theirs <= 8; theirs++)
			assert_int_equal(decide_holds(ours, theirs), rows[ours][theirs] == 'H');
	/* Not read yet. */
	assert_true(decide_holds(XS_CONNECTED, -1));
	assert_false(decide_holds(-1, -1));
}

/* Nobody hears Closed of an image that may still be written, and nobody starts another worker; not
 * even when time is up. */
static void worker_hangs(void **state)
{
	struct snapshot s = {.unfenced = true, .hangs = true};

	for (int bits = 0; bits < 8; bits++) {
		s.online = bits & 1;
		s.force = bits & 2;
		s.fe_seen = bits & 4;
		for (s.ours = XS_UNKNOWN; s.ours <= XS_CLOSED; s.ours++)
			for (s.theirs = XS_UNKNOWN; s.theirs <= XS_CLOSED; s.theirs++) {
				assert_int_not_equal(decide(&s), ACT_WRITE_CLOSED);
				assert_int_not_equal(decide(&s), ACT_OPEN_IMAGE);
			}
	}
	s = (struct snapshot){.ours = XS_CLOSING, .theirs = XS_CLOSED};
	assert_int_equal(decide(&s), ACT_WRITE_CLOSED);
}

/* A disk that is held is let go of when its front end leaves, behind its last worker's I/O. */
static void held_and_left(void **state)
{
	struct snapshot s = {.ours = XS_CONNECTED,
	                     .online = true,
	                     .source_ready = true,
	                     .unfenced = true,
	                     .held = true};

	for (s.theirs = XS_UNKNOWN; s.theirs <= XS_CLOSED; s.theirs++) {
		bool up = s.theirs == XS_INITIALISED || s.theirs == XS_CONNECTED;
		bool gone =
		    s.theirs == XS_UNKNOWN || s.theirs == XS_INITIALISING || s.theirs == XS_CLOSED;
		if (up)
			assert_int_equal(decide(&s), ACT_NOTHING);
		if (gone)
			assert_int_equal(decide(&s), ACT_OPEN_IMAGE);
	}
}

static void table(void **state)
{
	for (size_t i = 0; i < sizeof planes / sizeof *planes; i++) {
		for (int ours = 0; ours <= 8; ours++) {
			char got[10] = "";
			for (int theirs = 0; theirs <= 8; theirs++) {
				struct snapshot s = planes[i].s;
				s.ours = ours;
				s.theirs = theirs;
				got[theirs] = letter(decide(&s));
			}
			if (strcmp(got, planes[i].rows[ours]))
				fail_msg("%s: ours %s: %s, expected %s", planes[i].what,
				         xenbus_state_name(ours), got, planes[i].rows[ours]);
		}
	}
}

/* ---- rules over the full product ---- */

static void for_all(void (*check)(const struct snapshot *))
{
	for (unsigned bits = 0; bits < 128; bits++)
		for (int ours = -1; ours <= 9; ours++)
			for (int theirs = 0; theirs <= 8; theirs++)
				for (int image = IMAGE_NONE; image <= IMAGE_CLOSED; image++)
					for (int ring = RING_IDLE; ring <= RING_FAILED; ring++) {
						struct snapshot s = {
						    .ours = ours,
						    .theirs = theirs,
						    .fe_seen = bits & 1,
						    .online = bits & 2,
						    .fatal = bits & 4,
						    .source_ready = bits & 8,
						    .ring_changed = bits & 16,
						    .force = bits & 32,
						    .held = bits & 64,
						    .image = (enum image_phase)image,
						    .ring = (enum ring_phase)ring,
						};
						check(&s);
					}
}

static bool writes(enum action a)
{
	return a == ACT_ADVERTISE || a == ACT_WRITE_CONNECTED || a == ACT_WRITE_CLOSING ||
	       a == ACT_WRITE_CLOSED || a == ACT_FATAL_STATE;
}

static void check_rules(const struct snapshot *s)
{
	enum action a = decide(s);

	assert_string_not_equal(action_name(a), "?");
	/* A deleted node must not come back. */
	if (s->ours == 0)
		assert_false(writes(a));
	if (s->ours < 0 || s->ours > XS_CLOSED)
		assert_int_equal(a, ACT_NOTHING);
	/* The toolstack has been told that the device is closed for good. */
	if (s->ours == XS_CLOSED && !s->online)
		assert_false(writes(a) || a == ACT_OPEN_IMAGE || a == ACT_CONNECT_RING);
	if (a == ACT_WRITE_CONNECTED) {
		assert_int_equal(s->ring, RING_CONNECTED);
		assert_int_equal(s->image, IMAGE_OPEN);
		assert_false(s->fatal || s->ring_changed);
		assert_true(s->theirs == XS_INITIALISED || s->theirs == XS_CONNECTED);
		assert_true(s->ours == XS_INITWAIT || s->ours == XS_INITIALISED ||
		            (s->ours == XS_CLOSED && s->online));
	}
	if (a == ACT_CONNECT_RING) {
		assert_int_equal(s->ring, RING_IDLE);
		assert_int_equal(s->image, IMAGE_OPEN);
		assert_false(s->fatal);
	}
	if (a == ACT_OPEN_IMAGE)
		assert_true(s->source_ready && !s->fatal &&
		            (s->image == IMAGE_NONE || s->image == IMAGE_CLOSED));
	/* Closed promises that the ring is not touched any more, and with online=0, nor the image.
	 */
	if (a == ACT_WRITE_CLOSED) {
		assert_int_equal(s->ring, RING_IDLE);
		if (!s->online)
			assert_true(s->image == IMAGE_NONE || s->image == IMAGE_CLOSED);
	}
	if (a == ACT_RELEASE)
		assert_true(s->ring == RING_IDLE && (!s->online || s->ours == 0));
	if (a == ACT_REMOVE)
		assert_true(s->ours == 0 && s->ring == RING_IDLE);
	/* The guest of a disk that is held waits: nothing is tried, nothing is said to it. */
	if (s->held && !s->fatal && s->ours == XS_CONNECTED && s->theirs == XS_CONNECTED)
		assert_int_equal(a, ACT_NOTHING);
	/* Only the toolstack takes a connected pair apart, or the front end, or an error. */
	if (s->ours == XS_CONNECTED && s->theirs == XS_CONNECTED && !s->fatal)
		assert_false(writes(a));
}

static void rules(void **state)
{
	for_all(check_rules);
}

/* The effect of an action that succeeds. */
static void perform(struct snapshot *s, enum action a)
{
	switch (a) {
	case ACT_ADVERTISE:
		s->ours = XS_INITWAIT;
		s->fatal = false;
		if (s->image == IMAGE_FAILED)
			s->image = IMAGE_NONE;
		break;
	case ACT_OPEN_IMAGE:
		s->image = IMAGE_OPENING;
		break;
	case ACT_CONNECT_RING:
		s->ring = RING_CONNECTING;
		s->ring_changed = false;
		break;
	case ACT_WRITE_CONNECTED:
		s->ours = XS_CONNECTED;
		break;
	case ACT_DISCONNECT_RING:
		s->ring = RING_DISCONNECTING;
		break;
	case ACT_WRITE_CLOSING:
		s->ours = XS_CLOSING;
		break;
	case ACT_WRITE_CLOSED:
		s->ours = XS_CLOSED;
		break;
	case ACT_RELEASE:
		s->image = IMAGE_CLOSING;
		break;
	case ACT_FATAL_STATE:
		s->fatal = true;
		if (s->ours >= XS_INITIALISING && s->ours <= XS_CONNECTED)
			s->ours = XS_CLOSING;
		break;
	case ACT_NOTHING:
	case ACT_REMOVE:
		break;
	}
}

/* What the worker answers; false if it owes nothing. */
static bool answer(struct snapshot *s)
{
	if (s->ring == RING_CONNECTING)
		s->ring = RING_CONNECTED;
	else if (s->ring == RING_DISCONNECTING)
		s->ring = RING_IDLE;
	else if (s->image == IMAGE_OPENING) {
		s->image = IMAGE_OPEN;
		s->unfenced = false; /* its lock came with it */
	} else if (s->image == IMAGE_CLOSING)
		s->image = IMAGE_CLOSED;
	else
		return false;
	return true;
}

static void check_converges(const struct snapshot *start)
{
	struct snapshot s = *start;
	int steps = 0;

	do {
		enum action a;
		while ((a = decide(&s)) != ACT_NOTHING && a != ACT_REMOVE) {
			perform(&s, a);
			if (++steps > 10)
				fail_msg("spins: ours %d theirs %d image %d ring %d online %d "
				         "fatal %d: %s",
				         start->ours, start->theirs, start->image, start->ring,
				         start->online, start->fatal, action_name(a));
		}
		if (a == ACT_REMOVE)
			return;
	} while (answer(&s));
	/* Where it stands still, it is where it should be. */
	bool up = s.theirs == XS_INITIALISED || s.theirs == XS_CONNECTED;
	if (s.ours == XS_INITWAIT && up && s.source_ready)
		assert_int_equal(s.image, IMAGE_FAILED);
	if (s.theirs == XS_CLOSED && s.ours <= XS_CLOSED && s.ours > 0)
		assert_int_equal(s.ours, XS_CLOSED);
	if (s.ours == XS_CLOSED && !s.online)
		assert_true(s.ring == RING_IDLE &&
		            (s.image == IMAGE_NONE || s.image == IMAGE_CLOSED));
}

static void converges(void **state)
{
	for_all(check_converges);
}

/* ---- walks of real front ends: what our state becomes after each of their steps ---- */

static int settle(struct snapshot *s)
{
	int steps = 0;

	do {
		enum action a;
		while ((a = decide(s)) != ACT_NOTHING && a != ACT_REMOVE) {
			perform(s, a);
			assert_in_range(++steps, 1, 30);
		}
	} while (answer(s));
	return s->ours;
}

static void walk(const char *theirs, const char *ours)
{
	struct snapshot s = {
	    .ours = XS_INITIALISING, .online = true, .source_ready = true, .fe_seen = true};

	for (size_t i = 0; theirs[i]; i++) {
		s.theirs = theirs[i] - '0';
		if (settle(&s) != ours[i] - '0')
			fail_msg("walk %s: step %zu: ours is %d, expected %c", theirs, i, s.ours,
			         ours[i]);
	}
}

/* ---- another driver has it ---- */

static void check_foreign(const struct snapshot *start)
{
	struct snapshot s = *start;
	enum action a;

	s.foreign = true;
	a = decide(&s);
	if (s.ours == XS_UNKNOWN || s.force ||
	    (s.ours == XS_CONNECTED && s.ring == RING_CONNECTED)) {
		s.foreign = false;
		assert_int_equal(a, decide(&s));
		return;
	}
	assert_true(a == ACT_NOTHING || a == ACT_DISCONNECT_RING || a == ACT_RELEASE);
	if (a == ACT_RELEASE)
		assert_int_equal(s.ring, RING_IDLE);
	if (a == ACT_NOTHING)
		assert_true(
		    s.ring == RING_DISCONNECTING ||
		    (s.ring == RING_IDLE && (s.image == IMAGE_NONE || s.image == IMAGE_CLOSING ||
		                             s.image == IMAGE_CLOSED)));
}

/* Only InitWait is advertised anew for it: the other states do that by themselves. */
static void check_retake(const struct snapshot *start)
{
	struct snapshot s = *start;
	bool initwait = s.ours == XS_INITWAIT || s.ours == XS_INITIALISED;
	enum action plain = decide(&s);

	s.retake = true;
	assert_int_equal(decide(&s), initwait && s.ring == RING_IDLE ? ACT_ADVERTISE : plain);
}

/* A worker died with I/O on its way: Closed only once that is known to have ended. */
static void check_fence(const struct snapshot *start)
{
	struct snapshot s = *start;

	s.unfenced = true;
	if (!s.force && s.image != IMAGE_OPEN && s.image != IMAGE_FAILED)
		assert_int_not_equal(decide(&s), ACT_WRITE_CLOSED);
	/* Nothing keeps it for ever: it may be opened, or the toolstack's time is up. */
	if (s.source_ready || s.force)
		check_converges(&s);
}

static void fence(void **state)
{
	for_all(check_fence);
}

static void foreign(void **state)
{
	for_all(check_foreign);
	for_all(check_retake);
}

static void walks(void **state)
{
	walk("134", "244");         /* Linux */
	walk("1345613", "2445624"); /* Linux, driver unloaded and loaded */
	walk("1561344", "2562444"); /* Windows at boot */
	walk("45613", "45624");     /* MiniOS: Connected before us; its reset */
	walk("45613", "45624");     /* kexec: reset from Connected */
	walk("46134", "46244");     /* Closing missed */
	walk("40", "46");           /* the domain is destroyed */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table),         cmocka_unit_test(migrated_away),
	    cmocka_unit_test(rules),         cmocka_unit_test(converges),
	    cmocka_unit_test(walks),         cmocka_unit_test(foreign),
	    cmocka_unit_test(fence),         cmocka_unit_test(who_is_held),
	    cmocka_unit_test(held_and_left), cmocka_unit_test(worker_hangs)};

	return cmocka_run_group_tests_name("decide", tests, NULL, NULL);
}
