/* SPDX-License-Identifier: MIT */
/* What cases are written with: verdicts and connections. */
#include "front/conform/case.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"

/* ---- verdicts ---- */

static void say(struct cf *c, const char *fmt, va_list ap)
{
	vsnprintf(c->detail, sizeof c->detail, fmt, ap);
}

void cf_fail(struct cf *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(c, fmt, ap);
	va_end(ap);
	c->result = CONFORM_FAIL;
	longjmp(c->out, 1);
}

void cf_skip(struct cf *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(c, fmt, ap);
	va_end(ap);
	c->result = CONFORM_SKIP;
	longjmp(c->out, 1);
}

void cf_note(struct cf *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(c, fmt, ap);
	va_end(ap);
}

int cf_must(struct cf *c, int rc, const char *what)
{
	if (rc < 0)
		cf_fail(c, "%s: %s", what,
		        c->f && xenblkfront_error(c->f)[0] ? xenblkfront_error(c->f)
		                                           : error_name(rc));
	return rc;
}

const char *cf_status(int status)
{
	switch (status) {
	case BLKIF_RSP_OKAY:
		return "OKAY";
	case BLKIF_RSP_ERROR:
		return "ERROR";
	case BLKIF_RSP_EOPNOTSUPP:
		return "EOPNOTSUPP";
	}
	return "a status that blkif.h does not have";
}

int cf_ms(struct cf *c, int max)
{
	uint64_t now = clock_ns();

	if (now >= c->deadline)
		cf_fail(c, "expected an end within %u s; the case took longer",
		        (c->o->case_ms ?: 6 * (c->o->disk.timeout_ms ?: 10000)) / 1000);
	uint64_t left = (c->deadline - now) / NS_PER_MS + 1;
	return left < (uint64_t)max ? (int)left : max;
}

/* ---- connections ---- */

static int answer_ms(struct cf *c)
{
	return cf_ms(c, (int)(c->o->disk.timeout_ms ?: 10000));
}

void cf_open(struct cf *c, const struct xenblkfront_options *more)
{
	struct xenblkfront_options o = more ? *more : (struct xenblkfront_options){0};

	xenblkfront_close(c->f);
	c->f = NULL;
	c->mem = NULL;
	c->next_id = 0x1000;
	o.run_dir = c->o->disk.run_dir;
	o.domid = c->o->disk.domid;
	o.vdev = c->o->disk.vdev;
	o.timeout_ms = (unsigned)answer_ms(c);
	cf_must(c, xenblkfront_open(&o, &c->f), "opening the front end");
}

static void connected(struct cf *c)
{
	void *mem;

	cf_must(c, xenblkfront_get_info(c->f, &c->info), "reading the back end's keys");
	cf_must(c, xenblkfront_alloc(c->f, CF_PAGES, true, &mem, c->ref), "granting pages");
	c->mem = mem;
}

void cf_connect(struct cf *c, const struct xenblkfront_options *more)
{
	cf_open(c, more);
	cf_must(c, xenblkfront_connect(c->f), "connecting");
	connected(c);
}

void cf_connect_rw(struct cf *c, const struct xenblkfront_options *more)
{
	cf_connect(c, more);
	if (c->info.info & VDISK_READONLY)
		cf_skip(c, "the disk is read-only");
}

void cf_connect_queues(struct cf *c, unsigned n, const struct xenblkfront_options *more)
{
	struct xenblkfront_options o = more ? *more : (struct xenblkfront_options){0};
	uint64_t max = 1;

	cf_open(c, NULL);
	cf_back_number(c, "multi-queue-max-queues", UINT32_MAX, &max);
	if (max < n)
		cf_skip(c, "not offered: multi-queue-max-queues is %llu", (unsigned long long)max);
	o.queues = n;
	cf_connect(c, &o);
}

void cf_select(struct cf *c, unsigned queue)
{
	cf_must(c, xenblkfront_select(c->f, queue), "choosing a queue");
}

void cf_offer(struct cf *c, const struct xenblkfront_options *more)
{
	cf_open(c, more);
	cf_must(c, xenblkfront_reset(c->f), "waiting for InitWait");
	cf_must(c, xenblkfront_publish_ring(c->f), "publishing the ring");
}

void cf_finish(struct cf *c)
{
	int state =
	    cf_wait(c, CF_STATE(XS_CONNECTED) | CF_CLOSES, "after the front end was Initialised");

	if (state != XS_CONNECTED)
		cf_fail(c, "expected the back end to be Connected, saw %s",
		        xenbus_state_name(state));
	cf_state(c, XS_CONNECTED);
	connected(c);
}

void cf_disconnect(struct cf *c)
{
	cf_must(c, xenblkfront_disconnect(c->f), "disconnecting");
	c->mem = NULL;
}

void cf_abandon(struct cf *c)
{
	xenblkfront_close(c->f);
	c->f = NULL;
	c->mem = NULL;
}

void cf_state(struct cf *c, int state)
{
	cf_must(c, xenblkfront_set_state(c->f, state), "writing our state");
}

int cf_wait(struct cf *c, unsigned mask, const char *why)
{
	int rc = xenblkfront_wait_backend(c->f, mask, answer_ms(c));

	if (rc < 0)
		cf_fail(c, "%s: %s", why, xenblkfront_error(c->f));
	return rc;
}

void cf_refused(struct cf *c, const char *what)
{
	int rc = xenblkfront_wait_backend(c->f, CF_STATE(XS_CONNECTED) | CF_CLOSES,
	                                  cf_ms(c, CF_REFUSE_MS));

	if (rc == XS_CONNECTED)
		cf_fail(c, "expected no connection with %s, saw the back end Connected", what);
	if (rc != -ETIMEDOUT)
		cf_must(c, rc, "watching the back end's state");
}

void cf_key(struct cf *c, const char *key, const char *value)
{
	cf_must(c, xenblkfront_write_key(c->f, key, value), "writing a key");
}

bool cf_back_key(struct cf *c, const char *key, char *buf)
{
	int rc = xenblkfront_read_backend_key(c->f, key, buf, 256);

	if (rc == -ENOENT)
		return false;
	cf_must(c, rc, "reading a key of the back end");
	return true;
}

bool cf_back_number(struct cf *c, const char *key, uint64_t max, uint64_t *out)
{
	char text[256];

	if (!cf_back_key(c, key, text))
		return false;
	if (parse_u64(text, 0, max, out))
		cf_fail(c, "expected %s to be a decimal number up to %llu, saw \"%.60s\"", key,
		        (unsigned long long)max, text);
	return true;
}

void cf_want_sector_512(struct cf *c)
{
	if (c->info.sector_size != 512)
		cf_skip(c, "the disk's sector-size is %u", c->info.sector_size);
}
