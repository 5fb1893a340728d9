/* SPDX-License-Identifier: MIT */
/* Runs the cases: which, each within its time, and what is done about a back end that is down. */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "front/conform/case.h"

#define DEFAULT_TIMEOUT_MS 10000
#define REVIVE_TRIES 2

const char *conform_result_name(enum conform_result r)
{
	switch (r) {
	case CONFORM_PASS:
		return "pass";
	case CONFORM_FAIL:
		return "fail";
	case CONFORM_SKIP:
		return "skip";
	}
	return "?";
}

bool conform_matches(const struct conform_options *o, const struct conform_group *g,
                     const struct conform_case *k)
{
	if (o->group && strcmp(o->group, g->name))
		return false;
	if (!o->pattern)
		return true;
	return strpbrk(o->pattern, "*?[") ? !fnmatch(o->pattern, k->name, 0)
	                                  : strstr(k->name, o->pattern) != NULL;
}

unsigned conform_count(const struct conform_options *o)
{
	unsigned n = 0;

	for (const struct conform_group *g = conform_groups; g->name; g++)
		for (const struct conform_case *const *list = g->cases; *list; list++)
			for (const struct conform_case *k = *list; k->name; k++)
				n += conform_matches(o, g, k);
	return n;
}

/* ---- one case ---- */

static unsigned timeout_of(const struct conform_options *o)
{
	return o->disk.timeout_ms ?: DEFAULT_TIMEOUT_MS;
}

/* Whatever a case left: an orderly end if that is possible, else none. Keys of the ring are
 * replaced by the next connect; these are not. */
static void leave(struct cf *c)
{
	static const char *const keys[] = {"feature-large-sector-size", "feature-surprise-remove"};

	if (c->f)
		xenblkfront_disconnect(c->f);
	for (size_t i = 0; c->f && i < sizeof keys / sizeof *keys; i++)
		xenblkfront_write_key(c->f, keys[i], NULL);
	xenblkfront_close(c->f);
	c->f = NULL;
	c->mem = NULL;
}

/* Runs the function and leaves the disk disconnected; the verdict is in c. */
static void attempt(struct cf *c, const struct conform_case *k, void (*run)(struct cf *))
{
	unsigned ms = c->o->case_ms ?: 6 * timeout_of(c->o);

	c->at = k;
	c->deadline = clock_ns() + (uint64_t)ms * NS_PER_MS;
	c->result = CONFORM_PASS;
	c->detail[0] = 0;
	if (!setjmp(c->out))
		run(c);
	leave(c);
}

static void serves(struct cf *c)
{
	cf_connect(c, NULL);
	cf_works(c, "on a fresh connection");
	cf_disconnect(c);
}

static void answers(struct cf *c)
{
	cf_connect(c, NULL);
	cf_answers(c);
	cf_disconnect(c);
}

/* A fresh connection that works; the verdict of the case before is not touched. why: the reason if
 * there is none, at least CONFORM_DETAIL_MAX bytes. */
static bool revive(struct cf *c, bool sane, char *why)
{
	struct cf other = {.o = c->o};

	for (int i = 0; i < REVIVE_TRIES; i++) {
		attempt(&other, c->at, sane ? serves : answers);
		if (other.result == CONFORM_PASS)
			return true;
	}
	memcpy(why, other.detail, CONFORM_DETAIL_MAX);
	return false;
}

static void append(char *detail, const char *what, const char *why)
{
	size_t n = strlen(detail);

	snprintf(detail + n, CONFORM_DETAIL_MAX - n, "%s%s%.300s", n ? "; " : "", what, why);
}

/* Runs the case; false if the back end does not come back afterwards. sane: one that did serve the
 * right data at the start must do so again; another one needs but answer. */
static bool judge(struct cf *c, const struct conform_group *g, const struct conform_case *k,
                  bool sane)
{
	char why[CONFORM_DETAIL_MAX];

	attempt(c, k, k->run);
	if (c->result != CONFORM_FAIL && !g->hostile)
		return true;
	if (revive(c, sane, why))
		return true;
	c->result = CONFORM_FAIL;
	append(c->detail, "afterwards the back end cannot be used any more: ", why);
	return false;
}

/* ---- all of them ---- */

/* Is there a disk that answers at all? */
static int first_look(const struct conform_options *o, struct xenblkfront_info *info,
                      struct error *err)
{
	struct xenblkfront *f;
	int rc = xenblkfront_open(&o->disk, &f);

	rc = rc ?: xenblkfront_connect(f);
	rc = rc ?: xenblkfront_get_info(f, info);
	if (rc)
		error_set(err, rc, "%s", xenblkfront_error(f));
	else if (info->sectors < CF_MIN_SECTORS)
		rc = error_set(
		    err, -EINVAL,
		    "the disk has %llu sectors: the suite needs one of 4 MiB (%u sectors)",
		    (unsigned long long)info->sectors, CF_MIN_SECTORS);
	if (f)
		xenblkfront_disconnect(f);
	xenblkfront_close(f);
	return rc;
}

/* On the stack of conform_run. */
struct run {
	const struct conform_options *o;
	struct cf c;
	bool sane;                     /* at the start, a page came back as it was written */
	bool gone;                     /* the case before has left a back end that cannot be used */
	char down[CONFORM_DETAIL_MAX]; /* why the rest is skipped; empty: it is not */
	const struct conform_case *last;
	int rc;
};

/* Once more from the start, with the host's help. */
static void bring_back(struct run *p)
{
	char why[CONFORM_DETAIL_MAX];
	struct error err = {""};

	p->gone = false;
	if (!p->o->revive) {
		snprintf(p->down, sizeof p->down, "back end does not answer any more");
	} else if (!p->o->revive(p->o->arg, p->last, &err)) {
		snprintf(p->down, sizeof p->down, "back end could not be revived: %s", err.text);
	} else if (!revive(&p->c, p->sane, why)) {
		snprintf(p->down, sizeof p->down, "back end was revived in vain: %.400s", why);
	}
	text_printable(p->down);
}

static void stop_if_told(struct run *p)
{
	if (p->rc || !p->o->stop || !p->o->stop(p->o->arg))
		return;
	snprintf(p->down, sizeof p->down, "interrupted");
	p->rc = -EINTR;
}

static void one(struct run *p, const struct conform_group *g, const struct conform_case *k)
{
	const struct conform_options *o = p->o;
	struct conform_outcome out = {.group = g, .at = k, .result = CONFORM_SKIP};

	stop_if_told(p);
	if (!p->down[0] && p->gone) {
		bring_back(p);
		/* Then the help may have been what was interrupted. */
		stop_if_told(p);
	}
	if (p->down[0]) {
		memcpy(out.detail, p->down, sizeof out.detail);
	} else {
		if (o->begins)
			o->begins(o->arg, g, k);
		p->gone = !judge(&p->c, g, k, p->sane);
		p->last = k;
		out.result = p->c.result;
		memcpy(out.detail, p->c.detail, sizeof out.detail);
		text_printable(out.detail);
	}
	if (o->ends)
		o->ends(o->arg, &out);
}

int conform_run(const struct conform_options *o, struct xenblkfront_info *info, struct error *err)
{
	struct run p = {.o = o, .c = {.o = o}};
	struct xenblkfront_info unused;
	int rc = first_look(o, info ?: &unused, err);

	if (rc)
		return rc;
	attempt(&p.c, NULL, serves);
	p.sane = p.c.result == CONFORM_PASS;
	for (const struct conform_group *g = conform_groups; g->name; g++)
		for (const struct conform_case *const *list = g->cases; *list; list++)
			for (const struct conform_case *k = *list; k->name; k++)
				if (conform_matches(o, g, k))
					one(&p, g, k);
	return p.rc;
}
