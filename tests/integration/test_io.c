/* SPDX-License-Identifier: MIT */
/* Data through the ring: every ABI, ring size and shape of request moves exactly the bytes it
 * names. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host.h"

#include <xen/io/blkif.h>

#define SIZE (8ull << 20)

static void attach_filled(struct host *h, char *path, size_t cap)
{
	const char *image = host_image(h, "disk.img", SIZE);

	host_fill(image, SIZE, 1);
	snprintf(path, cap, "%s", image);
	host_attach(h, &(struct disk){.params = path}, path);
}

static void assert_file_is(const char *path, uint64_t offset, const void *want, size_t length)
{
	char *got = malloc(length);
	int fd = open(path, O_RDONLY);

	assert_int_equal(pread(fd, got, length, (off_t)offset), length);
	assert_memory_equal(got, want, length);
	close(fd);
	free(got);
}

/* Whole disk read and compared, whole disk written and compared with the file. */
static void round_trip(struct host *h, const char *path, const char *abi, unsigned order,
                       uint32_t seed)
{
	struct xenblkfront *f = host_front(h, 1, "xvda", abi, order);
	char *data = malloc(SIZE), *want = malloc(SIZE);

	assert_front(f, xenblkfront_connect(f));
	assert_front(f, xenblkfront_read(f, 0, data, SIZE));
	host_pattern(want, 0, SIZE, seed);
	assert_memory_equal(data, want, SIZE);
	host_pattern(want, 0, SIZE, seed + 1);
	assert_front(f, xenblkfront_write(f, 0, want, SIZE));
	assert_front(f, xenblkfront_flush(f));
	assert_file_is(path, 0, want, SIZE);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	free(data);
	free(want);
}

static void abis_and_orders(void **state)
{
	static const char *const abis[] = {"x86_64", "x86_32", "native", "none"};
	struct host *h = *state;
	char path[200];
	uint32_t seed = 1;

	attach_filled(h, path, sizeof path);
	for (unsigned i = 0; i < 4; i++)
		round_trip(h, path, abis[i], 0, seed++);
	for (unsigned order = 1; order <= 4; order++)
		round_trip(h, path, order % 2 ? "x86_32" : "x86_64", order, seed++);
	host_detach(h, 1, XVDA);
}

/* Segments that begin and end inside pages, next to each other in the disk. */
static void odd_segments(void **state)
{
	struct host *h = *state;
	char path[200];
	void *pages;
	uint32_t refs[11];
	uint8_t want[8192];
	struct xenblkfront_request req = {.op = BLKIF_OP_WRITE, .nr_segments = 3, .sector = 100};
	static const uint8_t first[] = {1, 7, 3}, last[] = {4, 7, 5};

	attach_filled(h, path, sizeof path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_front(f, xenblkfront_alloc(f, 11, true, &pages, refs));
	host_pattern(pages, 1 << 30, 11 * 4096, 9);
	size_t n = 0;
	for (int i = 0; i < 3; i++) {
		req.seg[i] = (struct xenblkfront_seg){refs[i], first[i], last[i]};
		size_t len = (size_t)(last[i] - first[i] + 1) * 512;
		memcpy(want + n, (char *)pages + i * 4096 + first[i] * 512, len);
		n += len;
	}
	assert_int_equal(n, 8 * 512);
	assert_int_equal(host_request(f, &req), BLKIF_RSP_OKAY);
	assert_file_is(path, 100 * 512, want, n);
	uint8_t around[512];
	host_pattern(around, 99 * 512, 512, 1);
	assert_file_is(path, 99 * 512, around, 512);
	host_pattern(around, 108 * 512, 512, 1);
	assert_file_is(path, 108 * 512, around, 512);

	/* Read back into other pages: only the sectors named may change there. */
	memset(pages, 0xee, 11 * 4096);
	req.op = BLKIF_OP_READ;
	for (int i = 0; i < 3; i++)
		req.seg[i].gref = refs[5 + i];
	assert_int_equal(host_request(f, &req), BLKIF_RSP_OKAY);
	n = 0;
	for (int i = 0; i < 3; i++) {
		uint8_t page[4096];
		size_t len = (size_t)(last[i] - first[i] + 1) * 512;
		memset(page, 0xee, sizeof page);
		memcpy(page + first[i] * 512, want + n, len);
		assert_memory_equal((char *)pages + (5 + i) * 4096, page, 4096);
		n += len;
	}
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

/* The whole ring filled at once, many times: every request answered exactly once. */
static void full_rings(void **state)
{
	struct host *h = *state;
	char path[200];
	void *pages;
	uint32_t refs[32];
	struct xenblkfront_response rsp[32];

	attach_filled(h, path, sizeof path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_front(f, xenblkfront_alloc(f, 32, true, &pages, refs));
	for (uint64_t round = 0; round < 200; round++) {
		uint32_t seen = 0;
		for (unsigned i = 0; i < 32; i++) {
			struct xenblkfront_request req = {
			    .op = BLKIF_OP_READ,
			    .nr_segments = 1,
			    .sector = (round * 32 + i) % (SIZE / 4096) * 8,
			    .seg = {{refs[i], 0, 7}},
			};
			assert_front(f, xenblkfront_queue(f, &req, round << 32 | i));
		}
		struct xenblkfront_request extra = {.op = BLKIF_OP_FLUSH_DISKCACHE};
		assert_int_equal(xenblkfront_queue(f, &extra, 1), -EAGAIN);
		assert_front(f, xenblkfront_kick(f));
		for (unsigned got = 0; got < 32;) {
			int n = xenblkfront_reap(f, rsp, 32, -1);
			assert_true(n > 0);
			for (int k = 0; k < n; k++) {
				assert_int_equal(rsp[k].id >> 32, round);
				assert_int_equal(rsp[k].status, BLKIF_RSP_OKAY);
				assert_false(seen & 1u << (rsp[k].id & 31));
				seen |= 1u << (rsp[k].id & 31);
			}
			got += (unsigned)n;
		}
		assert_int_equal(seen, UINT32_MAX);
		uint8_t want[4096];
		uint64_t at = (round * 32 + 31) % (SIZE / 4096) * 4096;
		host_pattern(want, at, 4096, 1);
		assert_memory_equal((char *)pages + 31 * 4096, want, 4096);
	}
	assert_int_equal(host_stat(h, "1:xvda", "rd_req"), 200 * 32);
	assert_int_equal(host_stat(h, "1:xvda", "rd_sect"), 200 * 32 * 8);
	assert_int_equal(host_stat(h, "1:xvda", "errors"), 0);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

static void null_engine(void **state)
{
	struct host *h = *state;
	char buf[65536];

	host_disk(h, &(struct disk){.params = "null:1G"});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	host_write(h, host_be(1, XVDA), "hotplug-status", "connected");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	struct xenblkfront_info info;
	assert_front(f, xenblkfront_get_info(f, &info));
	assert_int_equal(info.sectors, 2097152);
	memset(buf, 1, sizeof buf);
	assert_front(f, xenblkfront_write(f, (1ull << 30) - sizeof buf, buf, sizeof buf));
	assert_front(f, xenblkfront_read(f, (1ull << 30) - sizeof buf, buf, sizeof buf));
	for (size_t i = 0; i < sizeof buf; i++)
		assert_int_equal(buf[i], 0);
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(h, 1, XVDA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(abis_and_orders, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(odd_segments, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(full_rings, host_setup, host_teardown),
	    cmocka_unit_test_setup_teardown(null_engine, host_setup, host_teardown),
	};

	return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
