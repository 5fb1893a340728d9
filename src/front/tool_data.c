/* SPDX-License-Identifier: MIT */
/* xenblkfront read, write, flush, discard, and their progress bar. */
#include "front/tool.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xen/io/blkif.h>

#include "base/clock.h"
#include "front/tool_message.h"
#include "front/tool_signal.h"

#define CHUNK \
	(4u << 20) /* more than the largest ring of 4 KiB pages needs to stay full for a while */
#define BAR 30
#define BAR_EVERY_NS (100 * NS_PER_MS)

/* On the stack of the command that shows it. */
struct progress {
	bool shown;
	const char *verb;
	uint64_t total, done; /* bytes; total 0: not known */
	uint64_t start_ns, last_ns;
};

typedef unsigned long long ull;

/* ---- progress ---- */

static void draw(const struct progress *p, uint64_t now, char end)
{
	double s = (double)(now - p->start_ns) / (double)NS_PER_S;
	double rate = s > 0 ? (double)p->done / 1048576 / s : 0;

	if (p->total) {
		unsigned percent = (unsigned)((double)p->done * 100 / (double)p->total);
		int full = (int)(percent * BAR / 100);
		fprintf(stderr, "\r%s [%.*s%*s] %3u%% %7.1f MiB/s %llu of %llu bytes%c", p->verb,
		        full, "##############################", BAR - full, "", percent, rate,
		        (ull)p->done, (ull)p->total, end);
	} else {
		fprintf(stderr, "\r%s %7.1f MiB/s %llu bytes%c", p->verb, rate, (ull)p->done, end);
	}
}

static void progress_start(struct progress *p, const struct tool_options *o, const char *verb,
                           uint64_t total)
{
	*p = (struct progress){.shown = o->progress || isatty(STDERR_FILENO),
	                       .verb = verb,
	                       .total = total,
	                       .start_ns = clock_ns()};
	p->last_ns = p->start_ns;
}

static void progress_add(struct progress *p, uint64_t n)
{
	p->done += n;
	if (!p->shown)
		return;
	uint64_t now = clock_ns();
	if (now - p->last_ns >= BAR_EVERY_NS) {
		p->last_ns = now;
		draw(p, now, ' ');
	}
}

static void progress_end(struct progress *p)
{
	if (p->shown)
		draw(p, clock_ns(), '\n');
}

/* ---- the range ---- */

/* Where the command works: *length 0 is possible. 0 or an exit status. */
static int range(struct xenblkfront *f, const struct tool_options *o, struct xenblkfront_info *i,
                 uint64_t *length)
{
	if (xenblkfront_get_info(f, i))
		return tool_front_error(f);
	uint64_t size = i->sectors * 512;
	if (o->offset > size)
		return tool_error("--offset %llu lies beyond the end: the disk has %llu bytes",
		                  (ull)o->offset, (ull)size);
	if (o->have_length && o->length > size - o->offset)
		return tool_error("%llu bytes at %llu lie beyond the end: the disk has %llu bytes",
		                  (ull)o->length, (ull)o->offset, (ull)size);
	*length = o->have_length ? o->length : size - o->offset;
	if (o->offset % i->sector_size || *length % i->sector_size)
		return tool_error("--offset and --length must be multiples of the sector size %u",
		                  i->sector_size);
	return 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- read ---- */

enum out_result { OUT_DONE, OUT_CLOSED, OUT_FAILED };

static enum out_result put_out(const uint8_t *buf, size_t n, bool pipe_out)
{
	while (n) {
		if (!tool_wait_fd(STDOUT_FILENO, POLLOUT))
			return OUT_FAILED;
		/* POLLOUT on a pipe promises just that much without blocking, and a signal must
		 * find us waiting in poll. */
		ssize_t w = write(STDOUT_FILENO, buf, pipe_out ? least(n, PIPE_BUF) : n);
		if (w < 0 && errno == EPIPE)
			return OUT_CLOSED;
		if (w < 0 && errno != EINTR && errno != EAGAIN) {
			tool_error("cannot write to standard output: %s", strerror(errno));
			return OUT_FAILED;
		}
		if (w > 0) {
			buf += w;
			n -= (size_t)w;
		}
	}
	return OUT_DONE;
}

int tool_read(struct xenblkfront *f, const struct tool_options *o)
{
	struct xenblkfront_info info;
	struct progress p;
	struct stat st;
	uint64_t left, at = o->offset;
	int rc = range(f, o, &info, &left);

	if (rc)
		return rc;
	uint8_t *buf = malloc(CHUNK);
	if (!buf)
		return tool_error("out of memory");
	bool pipe_out = !fstat(STDOUT_FILENO, &st) && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode);
	progress_start(&p, o, "read", left);
	while (left && !rc && !tool_interrupted()) {
		size_t n = least(left, CHUNK);
		if (xenblkfront_read(f, at, buf, n)) {
			rc = tool_front_error(f);
			break;
		}
		enum out_result r = put_out(buf, n, pipe_out);
		if (r == OUT_CLOSED)
			break;
		rc = r == OUT_FAILED ? TOOL_FAILED : 0;
		at += n;
		left -= n;
		progress_add(&p, n);
	}
	progress_end(&p);
	free(buf);
	return rc;
}

/* ---- write ---- */

/* Fills buf from standard input; short only at its end. Count, or -1 (said, or a signal). */
static ssize_t get_in(uint8_t *buf, size_t cap)
{
	size_t n = 0;

	while (n < cap) {
		if (!tool_wait_fd(STDIN_FILENO, POLLIN))
			return -1;
		ssize_t r = read(STDIN_FILENO, buf + n, cap - n);
		if (!r)
			break;
		if (r < 0 && errno != EINTR && errno != EAGAIN) {
			tool_error("cannot read standard input: %s", strerror(errno));
			return -1;
		}
		if (r > 0)
			n += (size_t)r;
	}
	return (ssize_t)n;
}

/* One byte more than fits is one too many. */
static int check_all_taken(uint64_t room)
{
	uint8_t byte;

	if (get_in(&byte, 1) > 0)
		return tool_error(
		    "standard input is longer than the %llu bytes up to the end of the "
		    "disk: these were written, the rest was not",
		    (ull)room);
	return 0;
}

/* *disk_failed: a flush would be pointless. */
static int copy_in(struct xenblkfront *f, const struct tool_options *o, uint64_t room,
                   uint32_t sector_size, struct progress *p, bool *disk_failed)
{
	uint64_t at = o->offset, left = room;
	uint8_t *buf = malloc(CHUNK);
	int rc = 0;

	if (!buf)
		return tool_error("out of memory");
	while (left && !rc && !tool_interrupted()) {
		size_t want = least(left, CHUNK);
		ssize_t n = get_in(buf, want);
		if (n < 0) {
			rc = TOOL_FAILED;
			break;
		}
		size_t tail = (size_t)n % sector_size, whole = (size_t)n - tail;
		if (whole && xenblkfront_write(f, at, buf, whole)) {
			rc = tool_front_error(f);
			*disk_failed = true;
			break;
		}
		progress_add(p, whole);
		at += whole;
		left -= whole;
		if (tail)
			rc = tool_error(
			    "standard input ends with %zu bytes that fill no sector of %u: "
			    "the %llu bytes before them were written; pad the input "
			    "(truncate -s %%%u FILE)",
			    tail, sector_size, (ull)(at - o->offset), sector_size);
		if ((size_t)n < want)
			break;
	}
	if (!left && !rc && !o->have_length && !tool_interrupted())
		rc = check_all_taken(room);
	free(buf);
	return rc;
}

/* As a guest does: with what the back end offers; nothing offered means nothing is cached. */
static int make_durable(struct xenblkfront *f, const struct xenblkfront_info *i)
{
	int rc = 0;

	if (i->flush)
		rc = xenblkfront_flush(f);
	else if (i->barrier)
		rc = xenblkfront_barrier(f);
	return rc ? tool_front_error(f) : 0;
}

int tool_write(struct xenblkfront *f, const struct tool_options *o)
{
	struct xenblkfront_info info;
	struct progress p;
	struct stat st;
	bool disk_failed = false;
	uint64_t room, total;
	int rc = range(f, o, &info, &room);

	if (rc)
		return rc;
	if (info.info & VDISK_READONLY)
		return tool_error("%s is read-only: attach it with --mode w to write to it",
		                  o->front.vdev);
	total = o->have_length ? room : 0;
	if (!fstat(STDIN_FILENO, &st) && S_ISREG(st.st_mode))
		total = least(room, (uint64_t)st.st_size);
	progress_start(&p, o, "write", total);
	rc = copy_in(f, o, room, info.sector_size, &p, &disk_failed);
	progress_end(&p);
	/* Also after bad input or a signal: what was written is to stay. */
	int r = o->no_flush || disk_failed ? 0 : make_durable(f, &info);
	return rc ?: r;
}

int tool_flush(struct xenblkfront *f, const struct tool_options *o)
{
	struct xenblkfront_info info;

	if (xenblkfront_get_info(f, &info))
		return tool_front_error(f);
	return make_durable(f, &info);
}

int tool_discard(struct xenblkfront *f, const struct tool_options *o)
{
	struct xenblkfront_info info;
	uint64_t length;
	int rc = range(f, o, &info, &length);

	if (rc)
		return rc;
	if (!info.discard || (o->secure && !info.discard_secure))
		return tool_error("%s does not offer %sdiscard", o->front.vdev,
		                  o->secure ? "secure " : "");
	return xenblkfront_discard(f, o->offset, length, o->secure) ? tool_front_error(f) : 0;
}
