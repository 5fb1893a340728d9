/* SPDX-License-Identifier: MIT */
/* The shared ring with both ends at work: nothing torn, no wake-up lost. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "blkif/ring.h"

#define PAGE 4096u

static uint8_t *map_ring(unsigned order)
{
	uint8_t *shared =
	    mmap(NULL, PAGE << order, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(shared, MAP_FAILED);
	return shared;
}

static void unmap_ring(uint8_t *shared, unsigned order)
{
	munmap(shared, PAGE << order);
}

static void set_word(uint8_t *shared, size_t at, uint32_t v)
{
	memcpy(shared + at, &v, 4);
}

/* ---- both ends at once ---- */

#define LOST_MS 10000

/* Shared by the two threads; each field is written before they start, or by the one named. */
struct hammer {
	struct blkif_ring front, back;
	uint32_t start, total;
	int to_back, to_front; /* eventfds: remember that there was an event, as a port does */
	const char *problem;   /* back thread, read after join */
	uint32_t back_sleeps;  /* back thread */
};

static bool wait_event(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t n;

	if (poll(&p, 1, LOST_MS) != 1)
		return false;
	return read(fd, &n, sizeof n) == sizeof n;
}

static void notify(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof one) != sizeof one)
		abort();
}

static void *back_end(void *arg)
{
	struct hammer *h = arg;
	uint32_t cons = h->start, pub = cons, end = h->start + h->total;

	while (cons != end) {
		uint32_t prod = blkif_ring_req_prod(&h->back);
		if (prod == cons) {
			prod = blkif_ring_arm_req(&h->back, cons);
			if (prod == cons) {
				h->back_sleeps++;
				if (!wait_event(h->to_back)) {
					h->problem = "lost wake-up of the back end";
					return NULL;
				}
				continue;
			}
		}
		if (prod - cons > h->back.slots) {
			h->problem = "more requests than slots";
			return NULL;
		}
		for (; cons != prod; cons++) {
			uint8_t raw[BLKIF_SLOT_MAX];
			struct blkif_req q;
			blkif_ring_copy_req(&h->back, cons, raw);
			blkif_decode_req(h->back.proto, raw, &q);
			if (q.id != (uint64_t)cons * 3 || q.sector != ~q.id ||
			    q.handle != (uint16_t)cons || q.seg[0].gref != cons ||
			    q.seg[10].gref != ~cons) {
				h->problem = "a request arrived torn";
				return NULL;
			}
			struct blkif_rsp rsp = {.id = ~q.id, .op = q.op, .status = (int16_t)cons};
			blkif_ring_put_rsp(&h->back, cons, &rsp);
		}
		if (blkif_ring_publish(&h->back, pub, cons))
			notify(h->to_front);
		pub = cons;
	}
	return NULL;
}

static const char *front_end(struct hammer *h)
{
	uint32_t prod = h->start, cons = prod, end = h->start + h->total;
	uint32_t burst = 1;

	while (cons != end) {
		uint32_t from = prod;
		/* Bursts of all sizes, so that both ends run dry now and then. */
		burst = burst * 5 % 37 + 1;
		for (uint32_t i = 0; i < burst && prod != end && prod - cons < h->front.slots;
		     i++) {
			struct blkif_req q = {.op = BLKIF_OP_READ,
			                      .nr_segments = 11,
			                      .id = (uint64_t)prod * 3,
			                      .sector = ~((uint64_t)prod * 3),
			                      .handle = (uint16_t)prod};
			uint8_t raw[BLKIF_SLOT_MAX];
			q.seg[0].gref = prod;
			q.seg[10].gref = ~prod;
			blkif_encode_req(h->front.proto, &q, raw);
			blkif_ring_put_req(&h->front, prod, raw);
			prod++;
		}
		if (prod != from && blkif_ring_push_req(&h->front, from, prod))
			notify(h->to_back);
		uint32_t have = blkif_ring_peek_rsp(&h->front);
		if (have == cons && (prod == end || prod - cons == h->front.slots)) {
			have = blkif_ring_arm_rsp(&h->front, cons);
			if (have == cons && !wait_event(h->to_front))
				return "lost wake-up of the front end";
		}
		if (have - cons > prod - cons)
			return "more responses than requests";
		for (; cons != have; cons++) {
			struct blkif_rsp rsp;
			blkif_ring_get_rsp(&h->front, cons, &rsp);
			if (rsp.id != ~((uint64_t)cons * 3) || rsp.op != BLKIF_OP_READ ||
			    rsp.status != (int16_t)cons)
				return "a response arrived torn";
		}
	}
	return NULL;
}

static void hammer(enum blkif_protocol proto, unsigned order, uint32_t total)
{
	uint8_t *shared = map_ring(order);
	struct hammer h = {.start = 0 - total / 2, /* wraps half-way */
	                   .total = total,
	                   .to_back = eventfd(0, EFD_CLOEXEC),
	                   .to_front = eventfd(0, EFD_CLOEXEC)};
	pthread_t thread;
	const char *problem;

	blkif_ring_attach(&h.front, shared, order, proto);
	blkif_ring_attach(&h.back, shared, order, proto);
	blkif_ring_init(&h.front);
	set_word(shared, 0, h.start);
	set_word(shared, 4, h.start + 1);
	set_word(shared, 8, h.start);
	set_word(shared, 12, h.start + 1);
	assert_int_equal(pthread_create(&thread, NULL, back_end, &h), 0);
	problem = front_end(&h);
	pthread_join(thread, NULL);
	if (problem || h.problem)
		fail_msg("front: %s; back: %s", problem ? problem : "fine",
		         h.problem ? h.problem : "fine");
	close(h.to_back);
	close(h.to_front);
	unmap_ring(shared, order);
}

static void two_ends(void **state)
{
	hammer(BLKIF_PROTO_X86_64, 0, 600000);
	hammer(BLKIF_PROTO_X86_32, 2, 400000);
}

/* ---- the moment of falling asleep ---- */

#define ROUNDS 150000

/* Both threads, through atomics only. */
struct duel {
	struct blkif_ring front, back;
	uint32_t arrived;    /* rounds entered, by both together */
	bool notified, seen; /* front thread; back thread: read by the front between two rounds */
};

/* Both leave within some nanoseconds of each other. */
static void meet(uint32_t *arrived, uint32_t target)
{
	/* Both directions: what the other did before it arrived is visible after we leave. */
	__atomic_fetch_add(arrived, 1, __ATOMIC_ACQ_REL);
	for (unsigned spins = 0; __atomic_load_n(arrived, __ATOMIC_ACQUIRE) < target;)
		if (++spins % 2000 == 0)
			sched_yield(); /* perhaps there is but one CPU for us */
}

static void dither(uint32_t n)
{
	for (volatile uint32_t i = 0; i < n; i++)
		;
}

/* A CPU of its own for each end, if there are two: the n-th that we may use. */
static void pin(int n)
{
	cpu_set_t may, one;

	if (sched_getaffinity(0, sizeof may, &may) || CPU_COUNT(&may) < 2)
		return;
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &may) && n-- == 0)
			CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof one, &one);
}

static void *falls_asleep(void *arg)
{
	struct duel *d = arg;

	pin(1);

	for (uint32_t i = 0; i < ROUNDS; i++) {
		blkif_ring_req_prod(&d->back); /* has the header's cache line at hand */
		meet(&d->arrived, 4 * i + 2);
		dither(i % 5);
		d->seen = blkif_ring_arm_req(&d->back, i) != i;
		meet(&d->arrived, 4 * i + 4);
	}
	return NULL;
}

/* A request pushed while the back end falls asleep: it is seen, or an event is sent. Without
 * one of the full fences some hundred rounds in 150000 fail on two free CPUs; on a busy machine
 * perhaps none does. */
static void either_sees_the_other(void **state)
{
	uint8_t *shared = map_ring(0);
	struct duel d = {.arrived = 0};
	uint32_t lost = 0;
	pthread_t thread;

	blkif_ring_attach(&d.front, shared, 0, BLKIF_PROTO_X86_64);
	blkif_ring_attach(&d.back, shared, 0, BLKIF_PROTO_X86_64);
	blkif_ring_init(&d.front);
	set_word(shared, 4, 0); /* the event before the first: nobody has armed yet */
	assert_int_equal(pthread_create(&thread, NULL, falls_asleep, &d), 0);
	pin(0); /* last case of the program: nothing runs pinned afterwards */
	for (uint32_t i = 0; i < ROUNDS; i++) {
		blkif_ring_peek_rsp(&d.front);
		meet(&d.arrived, 4 * i + 2);
		dither(i / 5 % 5);
		d.notified = blkif_ring_push_req(&d.front, i, i + 1);
		meet(&d.arrived, 4 * i + 4);
		if (!d.notified && !d.seen)
			lost++;
	}
	pthread_join(thread, NULL);
	assert_int_equal(lost, 0);
	unmap_ring(shared, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(two_ends),
	    cmocka_unit_test(either_sees_the_other),
	};

	return cmocka_run_group_tests_name("ring_threads", tests, NULL, NULL);
}
