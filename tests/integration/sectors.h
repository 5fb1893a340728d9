/* SPDX-License-Identifier: MIT */
/* What the tests of sectors share: a loop device with blocks of 4 KiB as disk, requests of one
 * page, a configuration. */
#ifndef TESTS_INTEGRATION_SECTORS_H
#define TESTS_INTEGRATION_SECTORS_H

#include "loop_device.h"

#define ID "1:xvda"
#define SEED 71
#define SECTORS (MIB / 512)

struct fixture {
	struct host *h;
	struct xenblkfront *f;
	char path[200], dev[64], number[32];
	uint8_t *page;
	uint32_t ref;
};

static inline void connect(struct fixture *x, unsigned queues)
{
	x->f = host_front_with(x->h, &(struct xenblkfront_options){.queues = queues});
	assert_front(x->f, xenblkfront_alloc(x->f, 1, true, (void **)&x->page, &x->ref));
}

/* xenblkd with these options, and a loop device with blocks of 4 KiB as disk, attached. */
static inline void attach(struct fixture *x, const char *const *extra, const char *mode)
{
	x->h = malloc(sizeof *x->h);
	host_start(x->h, extra);
	make_image(x->h, "a.img", SEED, x->path);
	loop_setup(x->path, 4096, x->dev, x->number);
	host_disk(x->h, &(struct disk){.params = x->dev, .mode = mode});
	host_wait_state(x->h, 1, XVDA, XS_INITWAIT);
	host_write(x->h, host_be(1, XVDA), "physical-device", "%s", x->number);
	host_write(x->h, host_be(1, XVDA), "hotplug-status", "connected");
	wait_image_open(x->h, ID);
}

/* … and connected. */
static inline void start(struct fixture *x, const char *const *extra)
{
	attach(x, extra, NULL);
	connect(x, 0);
}

static inline void finish(struct fixture *x)
{
	front_end(x->f);
	host_detach(x->h, 1, XVDA);
	host_teardown((void **)&x->h);
	loop_end(x->dev);
}

static inline int request(struct fixture *x, uint8_t op, uint64_t sector, unsigned first,
                          unsigned last)
{
	struct xenblkfront_request r = {.op = op,
	                                .nr_segments = 1,
	                                .sector = sector,
	                                .seg = {{x->ref, (uint8_t)first, (uint8_t)last}}};

	return host_request(x->f, &r);
}

static inline void assert_key(struct fixture *x, const char *key, const char *value)
{
	assert_string_equal(host_read(x->h, host_be(1, XVDA), key), value);
}

/* The page begins with what stands at that byte of the disk. */
static inline void assert_page(struct fixture *x, uint64_t offset, size_t from, size_t n)
{
	uint8_t want[4096];

	host_pattern(want, offset, n, SEED);
	assert_memory_equal(x->page + from, want, n);
}

static inline void write_config(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

#endif
