/* SPDX-License-Identifier: MIT */
/* A request that three workers fall over by a fault is answered ERROR, and it alone; kill -9 never
 * makes one of that kind. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "crash_host.h"

#include <xen/io/blkif.h>

#define SIZE (1ull << 20)
#define SECTOR 512 /* of the suspect */
#define REQUESTS 5
#define KILLS 10 /* in a row over the same requests: the disk fails */

/* Writes around SECTOR, one of them to it; statuses by position. */
static void write_around(struct xenblkfront *f, int status[REQUESTS])
{
	struct xenblkfront_response rsp;
	void *pages;
	uint32_t refs[REQUESTS];
	bool answered[REQUESTS] = {false};

	assert_front(f, xenblkfront_alloc(f, REQUESTS, true, &pages, refs));
	for (unsigned i = 0; i < REQUESTS; i++) {
		struct xenblkfront_request req = {
		    .op = BLKIF_OP_WRITE,
		    .sector = SECTOR + (i - REQUESTS / 2) * 8,
		    .nr_segments = 1,
		    .seg = {{refs[i], 0, 7}},
		};
		assert_front(f, xenblkfront_queue(f, &req, i));
	}
	assert_front(f, xenblkfront_kick(f));
	for (unsigned n = 0; n < REQUESTS; n++) {
		assert_front(f, xenblkfront_reap(f, &rsp, 1, -1));
		assert_in_range(rsp.id, 0, REQUESTS - 1);
		assert_false(answered[rsp.id]);
		answered[rsp.id] = true;
		status[rsp.id] = rsp.status;
	}
	assert_int_equal(xenblkfront_reap(f, &rsp, 1, 0), -ETIMEDOUT);
}

struct death {
	enum crash_step step;
	uint64_t what;
	int signal;
};

/* The deaths happen, and the suspect is answered with that status; all others OKAY. */
static void expect(struct crash_host *c, const struct death *deaths, unsigned n, int want)
{
	const char *image = host_image(&c->h, "a.img", SIZE);
	int status[REQUESTS];

	host_attach(&c->h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(&c->h, 1, "xvda");
	crash_clear(c);
	for (unsigned i = 0; i < n; i++)
		crash_order(c, deaths[i].step, 1, deaths[i].what, deaths[i].signal);
	write_around(f, status);
	assert_true(crash_wait(c));
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(status[i], i == REQUESTS / 2 ? want : BLKIF_RSP_OKAY);
	/* The disk goes on. */
	crash_clear(c);
	assert_int_equal(host_state(&c->h, 1, XVDA), XS_CONNECTED);
	write_around(f, status);
	assert_int_equal(status[REQUESTS / 2], BLKIF_RSP_OKAY);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(&c->h, 1, XVDA);
}

static void three_faults(void **state)
{
	static const struct death d[] = {
	    {CRASH_START, SECTOR, SIGILL},
	    {CRASH_START, SECTOR, SIGILL},
	    {CRASH_START, SECTOR, SIGILL},
	};

	expect(*state, d, 3, BLKIF_RSP_ERROR);
}

static void two_faults(void **state)
{
	static const struct death d[] = {
	    {CRASH_START, SECTOR, SIGILL},
	    {CRASH_START, SECTOR, SIGILL},
	};

	expect(*state, d, 2, BLKIF_RSP_OKAY);
}

static void every_fault_counts(void **state)
{
	/* A sanitizer catches the others itself. */
#ifdef __SANITIZE_ADDRESS__
	static const int signals[] = {SIGILL, SIGSYS, SIGTRAP, SIGSTKFLT};
#else
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL,  SIGFPE,
	                              SIGABRT, SIGSYS, SIGTRAP, SIGSTKFLT};
#endif
	for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
		const struct death d[] = {
		    {CRASH_START, SECTOR, signals[i]},
		    {CRASH_START, SECTOR, signals[i]},
		    {CRASH_START, SECTOR, signals[i]},
		};
		expect(*state, d, 3, BLKIF_RSP_ERROR);
	}
}

static void kills_never_count(void **state)
{
	static const int signals[] = {SIGKILL, SIGTERM};

	for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) {
		const struct death d[] = {
		    {CRASH_START, SECTOR, signals[i]},
		    {CRASH_START, SECTOR, signals[i]},
		    {CRASH_START, SECTOR, signals[i]},
		    {CRASH_START, SECTOR, signals[i]},
		};
		expect(*state, d, 4, BLKIF_RSP_OKAY);
	}
}

/* A string of the disk's status; "" if it is null. */
static const char *status_says(struct host *h, const char *key)
{
	static char text[300];
	json_t *s = host_status(h, "1:xvda");
	const char *value = json_string_value(json_object_get(s, key));

	snprintf(text, sizeof text, "%s", value ? value : "");
	json_decref(s);
	return text;
}

/* Whoever kills it, and for whatever reason: one that gets nowhere has an end, and somebody is
 * told. The request waits; it is not answered ERROR. */
static void kills_without_progress(void **state)
{
	struct crash_host *c = *state;
	const char *image = host_image(&c->h, "a.img", SIZE);
	struct xenblkfront_response rsp;
	uint32_t ref;
	void *page;

	host_attach(&c->h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(&c->h, 1, "xvda");
	assert_front(f, xenblkfront_alloc(f, 1, true, &page, &ref));
	crash_clear(c);
	for (unsigned i = 0; i < KILLS; i++)
		crash_order(c, CRASH_START, 1, SECTOR, SIGKILL);
	struct xenblkfront_request req = {
	    .op = BLKIF_OP_WRITE,
	    .sector = SECTOR,
	    .nr_segments = 1,
	    .seg = {{ref, 0, 7}},
	};
	assert_front(f, xenblkfront_queue(f, &req, 1));
	assert_front(f, xenblkfront_kick(f));
	/* The pauses between them alone are 15 seconds. */
	for (unsigned i = 0; i < 3 && !crash_wait(c); i++)
		;
	host_wait_error(&c->h, "1:xvda",
	                "worker died 10 times in a row, last: killed by signal 9 (Killed), with 1 "
	                "request in hand, it is a write at sector 512;");
	assert_int_equal(host_state(&c->h, 1, XVDA), XS_CONNECTED);
	json_decref(host_control(&c->h, "recover", "1:xvda"));
	assert_int_equal(xenblkfront_reap(f, &rsp, 1, -1), 1);
	assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(&c->h, 1, XVDA);
}

/* More kills than those, each with a request in hand, but each with another one. */
static void kills_with_progress(void **state)
{
	struct crash_host *c = *state;
	const char *image = host_image(&c->h, "a.img", SIZE);
	struct xenblkfront_response rsp;
	uint32_t ref;
	void *page;

	host_attach(&c->h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(&c->h, 1, "xvda");
	assert_front(f, xenblkfront_alloc(f, 1, true, &page, &ref));
	crash_clear(c);
	for (unsigned i = 0; i < KILLS + 2; i++)
		crash_order(c, CRASH_START, 1, i * 8, SIGKILL);
	for (unsigned i = 0; i < KILLS + 2; i++) {
		struct xenblkfront_request req = {
		    .op = BLKIF_OP_WRITE,
		    .sector = i * 8,
		    .nr_segments = 1,
		    .seg = {{ref, 0, 7}},
		};
		assert_front(f, xenblkfront_queue(f, &req, i));
		assert_front(f, xenblkfront_kick(f));
		assert_int_equal(xenblkfront_reap(f, &rsp, 1, WAIT_MS), 1);
		assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	}
	assert_true(crash_wait(c));
	assert_string_equal(status_says(&c->h, "error"), "");
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(&c->h, 1, XVDA);
}

/* One fault, counted again by each recovery that is killed while it counts? No. */
static void kills_while_counting(void **state)
{
	static const struct death fault_stored[] = {
	    {CRASH_START, SECTOR, SIGILL},
	    {CRASH_RECOVER_FAULT, CRASH_ANY, SIGKILL},
	    {CRASH_RECOVER_FAULT, CRASH_ANY, SIGKILL},
	    {CRASH_RECOVER_FAULT, CRASH_ANY, SIGKILL},
	};
	static const struct death counted[] = {
	    {CRASH_START, SECTOR, SIGILL},
	    {CRASH_RECOVER_ATTEMPT, CRASH_ANY, SIGKILL},
	    {CRASH_RECOVER_ATTEMPT, CRASH_ANY, SIGKILL},
	    {CRASH_RECOVER_ATTEMPT, CRASH_ANY, SIGKILL},
	};

	expect(*state, fault_stored, 4, BLKIF_RSP_OKAY);
	expect(*state, counted, 4, BLKIF_RSP_OKAY);
}

/* The second fault comes while the suspect runs alone, and kills in between take nothing away. */
static void kills_between_faults(void **state)
{
	static const struct death d[] = {
	    {CRASH_START, SECTOR, SIGILL},
	    {CRASH_START, SECTOR, SIGILL},
	    {CRASH_RECOVER_CURRENT, CRASH_ANY, SIGKILL},
	    {CRASH_START, SECTOR, SIGILL},
	};

	expect(*state, d, 4, BLKIF_RSP_ERROR);
}

static void innocent_beside(struct crash_host *c)
{
	const char *image = host_image(&c->h, "a.img", SIZE);
	struct xenblkfront_response rsp;
	void *pages;
	uint32_t refs[REQUESTS];

	host_attach(&c->h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_with(&c->h, &(struct xenblkfront_options){.queues = 2});
	assert_front(f, xenblkfront_alloc(f, REQUESTS, true, &pages, refs));
	crash_clear(c);
	for (unsigned i = 0; i < 3; i++)
		crash_order(c, CRASH_START, 1, SECTOR, SIGILL);
	/* Nobody takes anything before all of it is there. */
	pid_t worker = host_worker(&c->h, "1:xvda");
	assert_int_equal(kill(worker, SIGSTOP), 0);
	for (unsigned i = 0; i < REQUESTS; i++) {
		struct xenblkfront_request req = {
		    .op = BLKIF_OP_WRITE,
		    .sector = SECTOR + i * 8,
		    .nr_segments = 1,
		    .seg = {{refs[i], 0, 7}},
		};
		assert_front(f, xenblkfront_select(f, i != 0));
		assert_front(f, xenblkfront_queue(f, &req, i));
		assert_front(f, xenblkfront_kick(f));
	}
	assert_int_equal(kill(worker, SIGCONT), 0);
	for (unsigned n = 0, queue = 0; n < REQUESTS; queue = !queue) {
		assert_front(f, xenblkfront_wait(f, -1));
		assert_front(f, xenblkfront_select(f, queue));
		for (; xenblkfront_reap(f, &rsp, 1, 0) == 1; n++)
			assert_int_equal(rsp.status, rsp.id ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR);
	}
	assert_true(crash_wait(c));
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(&c->h, 1, XVDA);
}

static unsigned status_faults(struct host *h)
{
	json_t *s = host_status(h, "1:xvda");
	unsigned n = (unsigned)json_integer_value(json_object_get(s, "faults"));

	json_decref(s);
	return n;
}

/* Its end, by its name, and a fault of the request. */
static void forbidden_call(void **state)
{
	static const char death[] = "killed by signal 31 (Bad system call): forbidden system call "
	                            "getppid";
	struct crash_host *c = *state;
	const char *image = host_image(&c->h, "a.img", SIZE);
	int status[REQUESTS];

#ifdef __SANITIZE_ADDRESS__
	print_message("# built with sanitizers, hence without the sandbox\n");
	skip();
#endif
	host_attach(&c->h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(&c->h, 1, "xvda");
	crash_clear(c);
	crash_order(c, CRASH_START, 1, SECTOR, CRASH_FORBIDDEN);
	write_around(f, status);
	assert_int_equal(status[REQUESTS / 2], BLKIF_RSP_OKAY);
	assert_true(crash_wait(c));
	assert_string_equal(status_says(&c->h, "last_death"), death);
	assert_int_equal(status_faults(&c->h), 1);
	assert_true(host_log_has(&c->h, death));
	crash_clear(c);
	for (unsigned i = 0; i < 3; i++)
		crash_order(c, CRASH_START, 1, SECTOR, CRASH_FORBIDDEN);
	write_around(f, status);
	assert_int_equal(status[REQUESTS / 2], BLKIF_RSP_ERROR);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(&c->h, 1, XVDA);
}

/* Five workers fall, none of them three times over one request: the disk fails, and its status says
 * over which request the last one did, and by what. What it waits for is done once it is told to.
 */
static void crash_loop_over_requests(void **state)
{
	static const uint64_t at[] = {SECTOR - 8, SECTOR - 8, SECTOR + 8, SECTOR + 8, SECTOR + 16};
	struct crash_host *c = *state;
	const char *image = host_image(&c->h, "a.img", SIZE);
	struct xenblkfront_response rsp;
	uint32_t ref;
	void *page;

	host_attach(&c->h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(&c->h, 1, "xvda");
	assert_front(f, xenblkfront_alloc(f, 1, true, &page, &ref));
	crash_clear(c);
	for (unsigned i = 0; i < sizeof at / sizeof *at; i++)
		crash_order(c, CRASH_START, 1, at[i], SIGILL);
	for (unsigned i = 0; i < sizeof at / sizeof *at; i++) {
		if (i && at[i] == at[i - 1])
			continue;
		struct xenblkfront_request req = {
		    .op = BLKIF_OP_WRITE,
		    .sector = at[i],
		    .nr_segments = 1,
		    .seg = {{ref, 0, 7}},
		};
		assert_front(f, xenblkfront_queue(f, &req, i));
		assert_front(f, xenblkfront_kick(f));
		if (at[i] == SECTOR + 16)
			break;
		assert_int_equal(xenblkfront_reap(f, &rsp, 1, -1), 1);
		assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	}
	host_wait_error(&c->h, "1:xvda",
	                "worker died 5 times in a row, last: killed by signal 4 (Illegal "
	                "instruction), with 1 request in hand, it is a write at sector 528;");
	assert_string_equal(status_says(&c->h, "last_death"),
	                    "killed by signal 4 (Illegal instruction)");
	assert_string_equal(status_says(&c->h, "last_death_with"),
	                    "1 request in hand, it is a write at sector 528");
	json_decref(host_control(&c->h, "recover", "1:xvda"));
	assert_int_equal(xenblkfront_reap(f, &rsp, 1, -1), 1);
	assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(&c->h, 1, XVDA);
}

/* What another queue had in hand is not to blame for what the suspect does alone. Whether it is in
 * hand at each of the deaths is chance. */
static void other_queues_are_innocent(void **state)
{
	for (unsigned i = 0; i < 16; i++)
		innocent_beside(*state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    crash_case(three_faults),
	    crash_case(two_faults),
	    crash_case(every_fault_counts),
	    crash_case(kills_never_count),
	    crash_case(kills_without_progress),
	    crash_case(kills_with_progress),
	    crash_case(kills_while_counting),
	    crash_case(kills_between_faults),
	    crash_case(other_queues_are_innocent),
	    crash_case(crash_loop_over_requests),
	    crash_case(forbidden_call),
	};

	return cmocka_run_group_tests_name("poison", tests, NULL, NULL);
}
