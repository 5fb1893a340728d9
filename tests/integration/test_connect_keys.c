/* SPDX-License-Identifier: MIT */
/* What stands in xenstore, in the run directory and in the process list once a disk is connected.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "control.h"

#define ID "1:xvda"
#define SEED 51

struct key {
	const char *name, *value; /* NULL: not looked at here */
};

/* The toolstack's and its script's; the rest of the directory is ours. */
static bool is_toolstacks(const char *name)
{
	static const char *const names[] = {
	    "frontend",       "frontend-id",   "online",
	    "removable",      "bootable",      "dev",
	    "type",           "mode",          "device-type",
	    "discard-enable", "specification", "params",
	    "script",         "state",         "physical-device-path",
	    "hotplug-status",
	};

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

static const struct key *find(const struct key *keys, const char *name)
{
	for (; keys->name; keys++)
		if (!strcmp(keys->name, name))
			return keys;
	return NULL;
}

/* These and no others, with these values. */
static void assert_keys(struct host *h, const struct key *keys)
{
	char **names, dir[STORE_PATH_MAX];
	unsigned n;

	snprintf(dir, sizeof dir, "%s", host_be(1, XVDA));
	assert_int_equal(store_list(h->store, XBT_NULL, dir, &names, &n), 0);
	for (unsigned i = 0; i < n; i++)
		if (!is_toolstacks(names[i]) && !find(keys, names[i]))
			fail_msg("there is a key %s = %s", names[i], host_read(h, dir, names[i]));
	free(names);
	for (; keys->name; keys++) {
		assert_true(store_exists(h->store, XBT_NULL, dir, keys->name));
		const char *is = host_read(h, dir, keys->name);
		if (keys->value && strcmp(is, keys->value))
			fail_msg("%s is %s, not %s", keys->name, is, keys->value);
	}
}

/* A power of two of at least 512. */
static void assert_block(struct host *h, const char *key)
{
	unsigned long v = strtoul(host_read(h, host_be(1, XVDA), key), NULL, 10);

	assert_true(v >= 512 && !(v & (v - 1)));
}

/* Attached, connected, keys compared, detached. granular: whether the discard group is there. */
static void connected_keys(struct host *h, const struct disk *d, const struct key *keys,
                           bool granular)
{
	char path[200];

	make_image(h, "a.img", SEED, path);
	host_attach(h, d, path);
	/* What must be known before the front end offers its ring. */
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	assert_string_equal(host_read(h, host_be(1, XVDA), "max-ring-page-order"), "4");
	assert_string_equal(host_read(h, host_be(1, XVDA), "sectors"), "");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_keys(h, keys);
	assert_block(h, "physical-sector-size");
	if (granular)
		assert_block(h, "discard-granularity");
	assert_reads(f, 0, SEED);
	front_end(f);
	host_detach(h, 1, XVDA);
}

static void keys_of_a_writable_file(void **state)
{
	static const struct key keys[] = {
	    {"max-ring-page-order", "4"},
	    {"multi-queue-max-queues"},
	    {"feature-max-indirect-segments", "256"},
	    {"feature-persistent", "1"},
	    {"sectors", "2048"},
	    {"sector-size", "512"},
	    {"physical-sector-size"},
	    {"info", "0"},
	    {"feature-flush-cache", "1"},
	    {"feature-barrier", "1"},
	    {"feature-discard", "1"},
	    {"discard-granularity"},
	    {"discard-alignment", "0"},
	    {"discard-secure", "0"},
	    {0},
	};

	connected_keys(*state, &(struct disk){0}, keys, true);
}

static const struct key without_discard[] = {
    {"max-ring-page-order", "4"},
    {"multi-queue-max-queues"},
    {"feature-max-indirect-segments", "256"},
    {"feature-persistent", "1"},
    {"sectors", "2048"},
    {"sector-size", "512"},
    {"physical-sector-size"},
    {"info"},
    {"feature-flush-cache", "1"},
    {"feature-barrier", "1"},
    {"feature-discard", "0"},
    {0},
};

static void keys_of_a_read_only_file(void **state)
{
	connected_keys(*state, &(struct disk){.mode = "r"}, without_discard, false);
}

static void keys_without_discard(void **state)
{
	connected_keys(*state, &(struct disk){.discard_enable = "0"}, without_discard, false);
}

/* libxl writes it always; other toolstacks may not, and mean yes. */
static void discard_is_the_default(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", SEED, path);
	host_attach(h, &(struct disk){.discard_enable = "-"}, path);
	front_end(host_front_connected(h, 1, "xvda"));
	assert_string_equal(host_read(h, host_be(1, XVDA), "feature-discard"), "1");
}

/* Another writer in the middle of our transaction: it is done again. */
static void conflicts_are_retried(void **state)
{
	struct host *h = *state;
	struct error err;
	char path[200];

	make_image(h, "a.img", SEED, path);
	host_disk(h, &(struct disk){.domid = 3}); /* its domain is there before the faults are */
	host_wait_state(h, 3, XVDA, XS_INITWAIT);
	host_detach(h, 3, XVDA);
	/* InitWait */
	assert_int_equal(xen_fault(h->xen, "conflict 3", &err), 0);
	host_write(h, host_be(3, XVDA), "frontend", "%s", host_fe(3, XVDA));
	host_write(h, host_be(3, XVDA), "frontend-id", "3");
	host_write(h, host_be(3, XVDA), "state", "1");
	host_wait_state(h, 3, XVDA, XS_INITWAIT);
	assert_string_equal(host_read(h, host_be(3, XVDA), "max-ring-page-order"), "4");
	assert_int_equal(xen_fault(h->xen, "clear", &err), 0);
	/* Connected, Closing, Closed */
	host_attach(h, &(struct disk){0}, path);
	struct xenblkfront *f = host_front(h, 1, "xvda", NULL, 0);
	assert_front(f, xenblkfront_publish_ring(f));
	assert_int_equal(xen_fault(h->xen, "conflict 3", &err), 0);
	assert_front(f, xenblkfront_set_state(f, XS_INITIALISED));
	host_wait_state(h, 1, XVDA, XS_CONNECTED);
	assert_string_equal(host_read(h, host_be(1, XVDA), "sectors"), "2048");
	assert_front(f, xenblkfront_set_state(f, XS_CONNECTED));
	assert_reads(f, 0, SEED);
	assert_int_equal(xen_fault(h->xen, "conflict 3", &err), 0);
	assert_front(f, xenblkfront_set_state(f, XS_CLOSING));
	host_wait_state(h, 1, XVDA, XS_CLOSING);
	assert_int_equal(xen_fault(h->xen, "conflict 3", &err), 0);
	assert_front(f, xenblkfront_set_state(f, XS_CLOSED));
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	assert_string_equal(status_text(h, ID, "error"), "");
	/* At once, and not as something that went wrong. */
	assert_false(host_log_has(h, "conflict"));
	assert_false(host_log_has(h, "warning: " ID));
	xenblkfront_close(f);
}

/* ---- statistics ---- */

/* Number in a plain file of the disk's folder. */
static uint64_t file_number(struct host *h, const char *name)
{
	char path[200];
	unsigned long long v = 0;

	snprintf(path, sizeof path, "%s/disks/%s/statistics/%s", h->dir, ID, name);
	FILE *f = fopen(path, "r");
	if (!f)
		fail_msg("there is no %s", path);
	assert_int_equal(fscanf(f, "%llu\n", &v), 1);
	fclose(f);
	return v;
}

static const char *file_text(struct host *h, const char *name)
{
	static char text[64];
	char path[200];

	snprintf(path, sizeof path, "%s/disks/%s/%s", h->dir, ID, name);
	FILE *f = fopen(path, "r");
	if (!f)
		fail_msg("there is no %s", path);
	assert_non_null(fgets(text, sizeof text, f));
	fclose(f);
	text[strcspn(text, "\n")] = 0;
	return text;
}

static void statistics(void **state)
{
	static const char *const names[] = {"oo_req", "rd_req",  "wr_req", "f_req",
	                                    "ds_req", "rd_sect", "wr_sect"};
	struct host *h = *state;
	char path[200], data[16384];

	make_image(h, "a.img", SEED, path);
	host_attach(h, &(struct disk){0}, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	for (unsigned i = 0; i < 7; i++) {
		assert_int_equal(host_stat(h, ID, names[i]), 0);
		assert_int_equal(file_number(h, names[i]), 0);
	}
	assert_front(f, xenblkfront_read(f, 0, data, 16384));
	assert_front(f, xenblkfront_write(f, 0, data, 8192));
	assert_front(f, xenblkfront_write(f, 8192, data, 512));
	assert_front(f, xenblkfront_flush(f));
	assert_front(f, xenblkfront_discard(f, MIB / 2, MIB / 4, false));
	assert_int_equal(host_stat(h, ID, "rd_req"), 1);
	assert_int_equal(host_stat(h, ID, "rd_sect"), 32);
	assert_int_equal(host_stat(h, ID, "wr_req"), 2);
	assert_int_equal(host_stat(h, ID, "wr_sect"), 17);
	assert_int_equal(host_stat(h, ID, "f_req"), 1);
	assert_int_equal(host_stat(h, ID, "ds_req"), 1);
	/* The plain files follow, within a second or so. */
	for (unsigned i = 0; i < 7; i++)
		wait_until(file_number(h, names[i]) == host_stat(h, ID, names[i]));
	/* And not only once. */
	assert_front(f, xenblkfront_flush(f));
	wait_until(file_number(h, "f_req") == 2);
	assert_string_equal(file_text(h, "physical_device"), "0:0");
	assert_string_equal(file_text(h, "mode"), "w");
	json_t *answer = host_control(h, "stats", ID);
	json_t *disk = json_array_get(json_object_get(answer, "result"), 0);
	assert_string_equal(json_string_value(json_object_get(disk, "physical_device")), "0:0");
	assert_string_equal(json_string_value(json_object_get(disk, "mode")), "w");
	json_decref(answer);
	/* They count on over a reconnect, and go with the disk. */
	front_end(f);
	f = host_front_connected(h, 1, "xvda");
	assert_front(f, xenblkfront_read(f, 0, data, 512));
	assert_int_equal(host_stat(h, ID, "rd_req"), 2);
	assert_int_equal(host_stat(h, ID, "rd_sect"), 33);
	front_end(f);
	host_detach(h, 1, XVDA);
	snprintf(data, sizeof data, "%s/disks/%s", h->dir, ID);
	assert_int_not_equal(access(data, F_OK), 0);
}

/* ---- names ---- */

static void read_line(const char *path, char *text, size_t cap)
{
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	size_t n = fread(text, 1, cap - 1, f);
	fclose(f);
	text[n] = 0;
	text[strcspn(text, "\n")] = 0;
}

static void names_in_the_process_list(void **state)
{
	struct host *h = *state;
	char path[200], text[256], dir[64];
	bool found = false;

	make_image(h, "a.img", SEED, path);
	host_attach(h, &(struct disk){0}, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	pid_t pid = host_worker(h, ID);
	snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	read_line(path, text, sizeof text);
	assert_string_equal(text, "xenblkd.1.xvda");
	snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
	read_line(path, text, sizeof text);
	assert_string_equal(text, "xenblkd.1.xvda"); /* argv[0] */
	snprintf(dir, sizeof dir, "/proc/%d/task", (int)pid);
	DIR *d = opendir(dir);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%.40s/%.20s/comm", dir, e->d_name);
		read_line(path, text, sizeof text);
		found = found || !strcmp(text, "1.xvda-0");
	}
	closedir(d);
	assert_true(found);
	front_end(f);
}

/* ---- caches ---- */

static unsigned cached_pages(const char *path)
{
	unsigned char in[MIB / 4096];
	unsigned n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *map = mmap(NULL, MIB, PROT_READ, MAP_SHARED, fd, 0);

	assert_true(map != MAP_FAILED);
	assert_int_equal(mincore(map, MIB, in), 0);
	for (unsigned i = 0; i < sizeof in; i++)
		n += in[i] & 1;
	munmap(map, MIB);
	close(fd);
	return n;
}

/* An image that was copied a moment ago is still in the page cache, unwritten. */
static void caches_before_the_first_io(void **state)
{
	struct host *h = *state;
	char path[200], data[4096], want[4096];

	make_image(h, "a.img", SEED, path);
	if (!cached_pages(path)) {
		print_message("skipped: this file system caches nothing\n");
		skip();
	}
	host_attach(h, &(struct disk){0}, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	if (!status_number(h, ID, "direct")) {
		print_message("skipped: no direct I/O here, so the cache is the one in use\n");
		front_end(f);
		skip();
	}
	assert_int_equal(cached_pages(path), 0);
	assert_reads(f, 0, SEED);
	/* And who reads the file afterwards sees what the guest wrote. */
	memset(want, 0x77, sizeof want);
	assert_front(f, xenblkfront_write(f, 4096, want, sizeof want));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, data, sizeof data, 4096), sizeof data);
	close(fd);
	assert_memory_equal(data, want, sizeof data);
	front_end(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(keys_of_a_writable_file),   case_of(keys_of_a_read_only_file),
	    case_of(keys_without_discard),      case_of(discard_is_the_default),
	    case_of(conflicts_are_retried),     case_of(statistics),
	    case_of(names_in_the_process_list), case_of(caches_before_the_first_io),
	};

	return cmocka_run_group_tests_name("connect_keys", tests, NULL, NULL);
}
