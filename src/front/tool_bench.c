/* SPDX-License-Identifier: MIT */
/* xenblkfront bench: keeps requests in flight and measures how long each takes. */
#include "front/tool.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/blkif.h>

#include "base/clock.h"
#include "front/tool_message.h"
#include "front/tool_signal.h"

#define PAGE 4096u
#define SUB_BITS 6 /* buckets per power of two: 64, so a percentile is good to 1.6 % */
#define BUCKETS ((64 - SUB_BITS + 1) << SUB_BITS)
#define REAP_MAX 64

/* One request in flight. */
struct bench_slot {
	uint32_t refs[XENBLKFRONT_SEGS];
	void *pages;
	uint64_t start_ns;
	uint8_t op;
};

/* Belongs to the one thread of the tool. */
struct bench {
	struct xenblkfront *f;
	const struct tool_options *o;
	unsigned queues, depth, pages; /* depth: of each queue */
	uint64_t blocks, next;         /* places on the disk, of o->size each */
	uint64_t seed;
	struct bench_slot *slots; /* depth for each queue */
	uint64_t reads, writes, worst_ns;
	uint64_t *histogram; /* BUCKETS of nanoseconds */
};

static unsigned bucket_of(uint64_t ns)
{
	if (ns < 1u << SUB_BITS)
		return (unsigned)ns;
	unsigned shift = 63 - (unsigned)__builtin_clzll(ns) - SUB_BITS;
	return ((shift + 1) << SUB_BITS) + (unsigned)((ns >> shift) & ((1u << SUB_BITS) - 1));
}

/* The middle of a bucket. */
static uint64_t bucket_ns(unsigned b)
{
	unsigned shift = b >> SUB_BITS;

	if (!shift)
		return b;
	shift--;
	return ((uint64_t)(1u << SUB_BITS | (b & ((1u << SUB_BITS) - 1))) << shift) +
	       (((uint64_t)1 << shift) >> 1);
}

static double percentile_us(const struct bench *b, double part)
{
	uint64_t total = b->reads + b->writes, seen = 0;

	for (unsigned i = 0; i < BUCKETS; i++) {
		seen += b->histogram[i];
		if (seen && (double)seen >= part * (double)total)
			return (double)bucket_ns(i) / 1000;
	}
	return 0;
}

/* xorshift64: cheap, and the same sequence in every run. */
static uint64_t random_next(struct bench *b)
{
	b->seed ^= b->seed << 13;
	b->seed ^= b->seed >> 7;
	b->seed ^= b->seed << 17;
	return b->seed;
}

/* Into the selected queue. */
static int submit(struct bench *b, unsigned index)
{
	struct bench_slot *s = &b->slots[index];
	struct xenblkfront_request req = {.nr_segments = (uint16_t)b->pages};
	uint64_t place = b->o->sequential ? b->next++ % b->blocks : random_next(b) % b->blocks;
	uint32_t left = (uint32_t)(b->o->size / 512);

	s->op = BLKIF_OP_READ;
	if (b->o->op == BENCH_WRITE || (b->o->op == BENCH_MIXED && random_next(b) >> 63))
		s->op = BLKIF_OP_WRITE;
	req.op = s->op;
	req.sector = place * (b->o->size / 512);
	for (unsigned i = 0; i < b->pages; i++) {
		uint32_t here = left < 8 ? left : 8;
		req.seg[i] =
		    (struct xenblkfront_seg){.gref = s->refs[i], .last = (uint8_t)(here - 1)};
		left -= here;
	}
	s->start_ns = clock_ns();
	return xenblkfront_queue(b->f, &req, index);
}

static int account(struct bench *b, const struct xenblkfront_response *r)
{
	if (r->id >= (uint64_t)b->depth * b->queues)
		return tool_error("the back end answered with the unknown id %llu",
		                  (unsigned long long)r->id);
	const struct bench_slot *s = &b->slots[r->id];
	if (r->op != s->op)
		return tool_error("the back end answered operation %u with %u", s->op, r->op);
	if (r->status != BLKIF_RSP_OKAY)
		return tool_error("%s failed with status %d",
		                  s->op == BLKIF_OP_READ ? "READ" : "WRITE", r->status);
	uint64_t ns = clock_ns() - s->start_ns;
	b->histogram[bucket_of(ns)]++;
	if (ns > b->worst_ns)
		b->worst_ns = ns;
	if (s->op == BLKIF_OP_READ)
		b->reads++;
	else
		b->writes++;
	return 0;
}

static int fill(struct bench *b)
{
	int rc = 0;

	for (unsigned q = 0; q < b->queues && !rc; q++) {
		rc = xenblkfront_select(b->f, q);
		for (unsigned i = 0; i < b->depth && !rc; i++)
			rc = submit(b, q * b->depth + i);
		rc = rc ?: xenblkfront_kick(b->f);
	}
	return rc;
}

/* Takes what the selected queue has answered, and asks again. 0 or -errno; TOOL_FAILED if that is
 * said already. */
static int turn(struct bench *b, bool more)
{
	struct xenblkfront_response rsp[REAP_MAX];
	int rc = 0, n = xenblkfront_reap(b->f, rsp, REAP_MAX, 0);

	if (n == -ETIMEDOUT)
		return 0;
	for (int i = 0; i < n && !rc; i++) {
		rc = account(b, &rsp[i]);
		if (!rc && more)
			rc = submit(b, (unsigned)rsp[i].id);
	}
	return n < 0 ? n : rc ?: xenblkfront_kick(b->f);
}

static int loop(struct bench *b, uint64_t *elapsed)
{
	uint64_t start = clock_ns(), end = start + b->o->seconds * NS_PER_S;
	bool more = true;
	int rc = fill(b);

	for (unsigned busy = 1; !rc && busy;) {
		rc = xenblkfront_wait(b->f, -1);
		more = more && clock_ns() < end && !tool_interrupted();
		busy = 0;
		for (unsigned q = 0; q < b->queues && !rc; q++) {
			rc = xenblkfront_select(b->f, q) ?: turn(b, more);
			busy += xenblkfront_inflight(b->f);
		}
	}
	*elapsed = clock_ns() - start;
	return rc < 0 ? tool_front_error(b->f) : rc;
}

static int report(const struct bench *b, uint64_t elapsed)
{
	static const char *const ops[] = {"read", "write", "mixed"};
	double s = (double)elapsed / (double)NS_PER_S, n = (double)(b->reads + b->writes);
	double mib = n * (double)b->o->size / 1048576;

	if (!b->o->json) {
		printf("%s %s, %llu bytes, depth %u, queues %u, %.2f s\n", ops[b->o->op],
		       b->o->sequential ? "seq" : "rand", (unsigned long long)b->o->size, b->depth,
		       b->queues, s);
		printf("IOPS     %.0f\nMiB/s    %.1f\n", n / s, mib / s);
		printf("latency  median %.1f us, p99 %.1f us, max %.1f us\n", percentile_us(b, 0.5),
		       percentile_us(b, 0.99), (double)b->worst_ns / 1000);
		return 0;
	}
	json_t *j = json_pack("{s:s s:s s:I s:i s:i s:f s:I s:I s:f s:f}", "op", ops[b->o->op],
	                      "pattern", b->o->sequential ? "seq" : "rand", "size",
	                      (json_int_t)b->o->size, "depth", (int)b->depth, "queues",
	                      (int)b->queues, "seconds", s, "reads", (json_int_t)b->reads, "writes",
	                      (json_int_t)b->writes, "iops", n / s, "mib_per_second", mib / s);
	json_t *l = json_pack("{s:f s:f s:f}", "median", percentile_us(b, 0.5), "p99",
	                      percentile_us(b, 0.99), "max", (double)b->worst_ns / 1000);
	bool ok = j && l && !json_object_set(j, "latency_us", l) &&
	          !json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10)) &&
	          putchar('\n') != EOF;
	json_decref(l);
	json_decref(j);
	return ok ? 0 : tool_error("cannot write JSON to standard output: %s", strerror(errno));
}

static int prepare(struct bench *b)
{
	struct xenblkfront_info info;
	uint64_t size = b->o->size;

	if (xenblkfront_get_info(b->f, &info))
		return tool_front_error(b->f);
	if (!size || size % info.sector_size || size > XENBLKFRONT_SEGS * PAGE)
		return tool_error(
		    "--size must be a multiple of the sector size %u, and at most 44K",
		    info.sector_size);
	if (b->o->op != BENCH_READ && info.info & VDISK_READONLY)
		return tool_error("%s is read-only: use --op read", b->o->front.vdev);
	b->blocks = info.sectors / (size / 512);
	if (!b->blocks)
		return tool_error("the disk is smaller than one request: use a smaller --size");
	if (b->o->depth > info.ring_slots)
		return tool_error("--depth %u is more than the %u slots of the ring: use a larger "
		                  "--ring-order",
		                  b->o->depth, info.ring_slots);
	b->depth = b->o->depth;
	b->queues = info.queues;
	b->pages = (unsigned)((size + PAGE - 1) / PAGE);
	b->slots = calloc((size_t)b->depth * b->queues, sizeof *b->slots);
	b->histogram = calloc(BUCKETS, sizeof *b->histogram);
	if (!b->slots || !b->histogram)
		return tool_error("out of memory");
	for (unsigned i = 0; i < b->depth * b->queues; i++)
		if (xenblkfront_alloc(b->f, b->pages, true, &b->slots[i].pages, b->slots[i].refs))
			return tool_front_error(b->f);
	return 0;
}

int tool_bench(struct xenblkfront *f, const struct tool_options *o)
{
	struct bench b = {.f = f, .o = o, .seed = 0x9e3779b97f4a7c15};
	uint64_t elapsed = 0;
	int rc = prepare(&b);

	rc = rc ?: loop(&b, &elapsed);
	rc = rc ?: report(&b, elapsed);
	if (fflush(stdout) && errno != EPIPE)
		rc = tool_error("cannot write to standard output: %s", strerror(errno));
	/* The pages stay granted until the handle is closed: the back end may still map them. */
	free(b.slots);
	free(b.histogram);
	return rc;
}
