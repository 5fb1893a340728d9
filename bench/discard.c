/* SPDX-License-Identifier: MIT */
/*
 * What discards cost those who read and write meanwhile: latencies of single 4 KiB requests to a
 * file in bits of 64 KiB, first by themselves, then in the same queue while one discard after the
 * other of all those bits is under way. At last, how long a discard of a hole of a TiB takes.
 *
 * usage: discard [MIB [ROUNDS]]     (1024 5; so much is discarded, so often)
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "host.h"

#include <xen/io/blkif.h>

#define MIB (1ull << 20)
#define BIT (64u << 10)
#define PLACES 4096u /* of 4 KiB, behind what is discarded */
#define SAMPLES 1000000u
#define ALONE_NS (NS_PER_S * 2)
#define DISCARD 1

struct series {
	unsigned n;
	uint32_t *us;
};

static struct xenblkfront *front;
static uint32_t ref;
static uint64_t discarded; /* bytes */

static void put(const struct xenblkfront_request *r, uint64_t id)
{
	if (xenblkfront_queue(front, r, id) || xenblkfront_kick(front))
		fail_msg("%s", xenblkfront_error(front));
}

static uint64_t take(void)
{
	struct xenblkfront_response rsp;

	if (xenblkfront_reap(front, &rsp, 1, -1) != 1 || rsp.status)
		fail_msg("%s", xenblkfront_error(front));
	return rsp.id;
}

/* One after the other until `until`, or until the discard is answered. */
static void measure(uint8_t op, uint64_t until, struct series *s)
{
	struct xenblkfront_request r = {.op = op, .nr_segments = 1, .seg = {{ref, 0, 7}}};
	bool over = false;

	while (!over && (!until || clock_ns() < until)) {
		uint64_t begun = clock_ns();
		r.sector = discarded / 512 + (unsigned)rand() % PLACES * 8;
		put(&r, DISCARD + 1);
		while (take() == DISCARD)
			over = true;
		if (s->n < SAMPLES)
			s->us[s->n++] = (uint32_t)((clock_ns() - begun) / 1000);
	}
	/* The discard had been sent before, so nothing is left in flight but it. */
}

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void show(const char *what, struct series *s)
{
	qsort(s->us, s->n, sizeof *s->us, by_size);
	if (s->n)
		printf("%-24s %8u %8u %8u %8u %8u\n", what, s->n, s->us[s->n / 2],
		       s->us[s->n - 1 - s->n / 100], s->us[s->n - 1 - s->n / 1000],
		       s->us[s->n - 1]);
	s->n = 0;
}

/* Every other bit of what is discarded is there again. */
static void allocate(int fd)
{
	for (uint64_t at = 0; at < discarded; at += 2 * BIT)
		if (fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)at, BIT))
			fail_msg("%s", "fallocate");
	fsync(fd);
}

static void discard_hole(struct host *h)
{
	struct xenblkfront_request d = {.op = BLKIF_OP_DISCARD, .nr_sectors = 1ull << 31};
	const char *path = host_image(h, "hole.img", 1ull << 40);

	host_attach(h, &(struct disk){.devid = XVDA + 16, .params = path}, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvdb");
	uint64_t begun = clock_ns();
	if (host_request(f, &d))
		fail_msg("%s", "discard of a hole");
	printf("a discard of a hole of 1 TiB took %llu us\n",
	       (unsigned long long)((clock_ns() - begun) / 1000));
	xenblkfront_disconnect(f);
	xenblkfront_close(f);
	host_detach(h, 1, XVDA + 16);
}

int main(int argc, char **argv)
{
	unsigned mib = argc > 1 ? (unsigned)atoi(argv[1]) : 1024;
	unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 5;
	static const uint8_t ops[] = {BLKIF_OP_READ, BLKIF_OP_WRITE};
	static const char *const names[][2] = {{"reads, alone", "reads beside discards"},
	                                       {"writes, alone", "writes beside discards"}};
	struct series s = {.us = malloc(SAMPLES * sizeof *s.us)};
	uint64_t took = 0, longest = 0;
	struct host h;
	void *page;

	discarded = mib * MIB;
	host_start(&h, NULL);
	const char *path = host_image(&h, "a.img", discarded + PLACES * 4096ull);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	/* Written, so that reads and writes find blocks there. */
	for (uint64_t at = 0; at < PLACES * 4096ull; at += BIT) {
		static char bit[BIT] = {1};
		if (pwrite(fd, bit, BIT, (off_t)(discarded + at)) != BIT)
			fail_msg("%s", "pwrite");
	}
	allocate(fd);
	host_attach(&h, &(struct disk){.params = path}, path);
	front = host_front_connected(&h, 1, "xvda");
	if (xenblkfront_alloc(front, 1, true, &page, &ref))
		fail_msg("%s", xenblkfront_error(front));
	printf("%-24s %8s %8s %8s %8s %8s\n", "microseconds", "requests", "median", "99%", "99.9%",
	       "longest");
	for (unsigned i = 0; i < 2; i++) {
		measure(ops[i], clock_ns() + ALONE_NS, &s);
		show(names[i][0], &s);
		for (unsigned k = 0; k < rounds; k++) {
			struct xenblkfront_request d = {.op = BLKIF_OP_DISCARD,
			                                .nr_sectors = discarded / 512};
			allocate(fd);
			uint64_t begun = clock_ns();
			put(&d, DISCARD);
			measure(ops[i], 0, &s);
			uint64_t ns = clock_ns() - begun;
			took += ns;
			longest = ns > longest ? ns : longest;
		}
		show(names[i][1], &s);
	}
	printf("a discard of %u MiB took %llu ms on average, %llu ms at most\n", mib,
	       (unsigned long long)(took / rounds / 2 / NS_PER_MS),
	       (unsigned long long)(longest / NS_PER_MS));
	close(fd);
	discard_hole(&h);
	xenblkfront_disconnect(front);
	xenblkfront_close(front);
	host_detach(&h, 1, XVDA);
	host_stop(&h);
	free(s.us);
	return 0;
}
