/* SPDX-License-Identifier: MIT */
/*
 * What a new worker finds is not what the dead one left: a journal that is damaged, foreign or of
 * another version, a ring that the guest changed, an image that was replaced. The disk fails with
 * one clear line, and the request in hand is never executed from what did not check out.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/files.h"
#include "outage.h"

#include <xen/io/blkif.h>
#include "needs.h"

static void put(const struct outage *o, off_t at, const void *data, size_t n)
{
	int fd = open(o->journal, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, n, at), n);
	close(fd);
}

static void put32(const struct outage *o, size_t at, uint32_t v)
{
	put(o, (off_t)at, &v, sizeof v);
}

static void put64(const struct outage *o, size_t at, uint64_t v)
{
	put(o, (off_t)at, &v, sizeof v);
}

/* The slot of the request in hand: the only one that is not FREE. */
static size_t slot_at(const struct outage *o)
{
	struct journal_slot s;
	int fd = open(o->journal, O_RDONLY | O_CLOEXEC);

	for (size_t at = JOURNAL_HEADER_BYTES;; at += sizeof s) {
		assert_int_equal(pread(fd, &s, sizeof s, (off_t)at), sizeof s);
		if (s.state != JOURNAL_FREE) {
			close(fd);
			return at;
		}
	}
}

#define HEADER(field) offsetof(struct journal_header, field)
#define SLOT(field) (slot_at(o) + offsetof(struct journal_slot, field))

static void truncated_to_nothing(struct outage *o)
{
	assert_int_equal(truncate(o->journal, 0), 0);
}

static void truncated_header(struct outage *o)
{
	assert_int_equal(truncate(o->journal, 100), 0);
}

static void truncated_slots(struct outage *o)
{
	assert_int_equal(truncate(o->journal, JOURNAL_HEADER_BYTES), 0);
}

static void other_magic(struct outage *o)
{
	put64(o, HEADER(magic), 0x1122334455667788u);
}

static void future_version(struct outage *o)
{
	put32(o, HEADER(version), 99);
}

static void other_slot_size(struct outage *o)
{
	put32(o, HEADER(slot_size), 64);
}

static void more_slots(struct outage *o)
{
	put32(o, HEADER(slots), 64);
}

static void other_port(struct outage *o)
{
	put32(o, HEADER(identity.port), 77);
}

static void other_guest(struct outage *o)
{
	put(o, HEADER(identity.guest_uuid), "another", 8);
}

static void other_image(struct outage *o)
{
	put64(o, HEADER(identity.image_ino), 1);
}

static void unknown_state(struct outage *o)
{
	put32(o, SLOT(state), 3);
}

static void forgotten(struct outage *o)
{
	put32(o, SLOT(state), JOURNAL_FREE);
}

static void answered_by_nobody(struct outage *o)
{
	put64(o, SLOT(rsp), 5);
	put32(o, SLOT(state), JOURNAL_ANSWERED);
}

static void from_the_future(struct outage *o)
{
	put64(o, SLOT(seq), 1ull << 40);
}

static void cons_behind_rsp(struct outage *o)
{
	put64(o, HEADER(rsp), 1000);
}

static void cons_far_ahead(struct outage *o)
{
	put64(o, HEADER(cons), 1000);
}

static void stopped_before(struct outage *o)
{
	put32(o, HEADER(stopped), 1);
}

static void ones_everywhere(struct outage *o)
{
	char ones[sizeof(struct journal_slot)];

	memset(ones, 0xff, sizeof ones);
	put(o, (off_t)slot_at(o), ones, sizeof ones);
}

static void a_link(struct outage *o)
{
	char moved[140];

	snprintf(moved, sizeof moved, "%s.moved", o->journal);
	assert_int_equal(rename(o->journal, moved), 0);
	assert_int_equal(symlink(moved, o->journal), 0);
}

static void a_folder(struct outage *o)
{
	assert_int_equal(unlink(o->journal), 0);
	assert_int_equal(mkdir(o->journal, 0700), 0);
}

static void gone(struct outage *o)
{
	assert_int_equal(unlink(o->journal), 0);
}

static void rsp_prod_ahead(struct outage *o)
{
	xenblkfront_poke_rsp_prod(o->f, 1);
}

static void rsp_prod_behind(struct outage *o)
{
	xenblkfront_poke_rsp_prod(o->f, -1);
}

static void image_gone(struct outage *o)
{
	char moved[220];

	snprintf(moved, sizeof moved, "%s.moved", o->image);
	assert_int_equal(rename(o->image, moved), 0);
}

struct tamper {
	void (*with)(struct outage *o);
	const char *says;
};

static const struct tamper tampers[] = {
    {truncated_to_nothing, "the journal is lost and 1 requests are in the ring"},
    {truncated_header, "belongs to another"},
    {truncated_slots, "journal and ring do not fit: slots do not add up"},
    {other_magic, "is not a journal of xenblkd"},
    {future_version, "has version 99, this worker knows"},
    {other_slot_size, "is damaged: sizes do not fit its version"},
    {more_slots, "is damaged: 64 slots, expected 32"},
    {other_port, "belongs to another connection"},
    {other_guest, "belongs to another connection"},
    {other_image, "belongs to another image"},
    {unknown_state, "journal and ring do not fit: impossible slot"},
    {forgotten, "journal and ring do not fit: slots do not add up"},
    {answered_by_nobody, "journal and ring do not fit: impossible slot"},
    {from_the_future, "journal and ring do not fit: impossible slot"},
    {cons_behind_rsp, "journal and ring do not fit: impossible counters"},
    {cons_far_ahead, "journal and ring do not fit: impossible counters"},
    {stopped_before, "journal and ring do not fit: it was stopped before"},
    {ones_everywhere, "journal and ring do not fit: impossible slot"},
    {gone, "the journal is lost and 1 requests are in the ring"},
    {rsp_prod_ahead, "journal and ring do not fit: the guest changed rsp_prod"},
    {rsp_prod_behind, "journal and ring do not fit: the guest changed rsp_prod"},
};

/* Each: the write was taken and not executed, then this; it is never executed. */
static void never_executed(void **state)
{
	struct xenblkfront_response rsp;
	struct outage o;

	for (size_t i = 0; i < sizeof tampers / sizeof *tampers; i++) {
		outage_attach(&o, *state);
		outage_begin(&o, CRASH_TAKE_CONS);
		tampers[i].with(&o);
		outage_end(&o);
		host_wait_error(o.h, "1:xvda", tampers[i].says);
		if (tampers[i].with != rsp_prod_ahead)
			assert_true(xenblkfront_reap(o.f, &rsp, 1, 0) <= 0);
		outage_failed(&o, tampers[i].says);
		outage_detach(&o);
		assert_int_equal(truncate(o.h->log, 0), 0);
	}
}

/* Somebody put something else in the journal's place: an error as well, but not healed by a
 * reconnect; and what a link leads to is not touched. */
static void not_a_file(struct crash_host *c, void (*put_there)(struct outage *o), const char *says)
{
	struct stat before, after;
	struct outage o;

	outage_attach(&o, c);
	outage_begin(&o, CRASH_TAKE_CONS);
	put_there(&o);
	assert_int_equal(stat(o.journal, &before), 0);
	outage_end(&o);
	host_wait_error(o.h, "1:xvda", says);
	assert_int_equal(outage_content(&o, o.image), OUTAGE_OLD);
	assert_int_equal(stat(o.journal, &after), 0);
	assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	assert_int_equal(remove(o.journal), 0);
	xenblkfront_close(o.f);
	o.f = host_front_connected(o.h, 1, "xvda");
	outage_detach(&o);
}

static void journal_is_a_folder(void **state)
{
	not_a_file(*state, a_folder, "journal-0: Is a directory");
}

static void journal_is_a_link(void **state)
{
	not_a_file(*state, a_link, "journal-0: Too many levels of symbolic links");
}

/* Untouched, the same outage is survived: the tests above fail for their reason. */
static void untouched(void **state)
{
	char path[STORE_PATH_MAX], event[STORE_PATH_MAX], token[16];
	struct outage o;

	outage_attach(&o, *state);
	/* Nor is Connected left, or written again: an event would be one too many. */
	snprintf(path, sizeof path, "%s/state", host_be(1, XVDA));
	assert_int_equal(store_watch(o.h->store, path, "state"), 0);
	/* Each watch begins with one. */
	while (store_check_watch(o.h->store, event, sizeof event, token, sizeof token) <= 0)
		usleep(1000);
	outage_begin(&o, CRASH_TAKE_CONS);
	assert_int_equal(outage_content(&o, o.image), OUTAGE_OLD);
	outage_end(&o);
	assert_int_equal(outage_answer(&o), BLKIF_RSP_OKAY);
	assert_int_equal(outage_content(&o, o.image), OUTAGE_NEW);
	while (!host_log_has(o.h, "connected again"))
		usleep(1000);
	assert_true(host_state_stays(o.h, 1, XVDA, XS_CONNECTED, 200));
	assert_int_equal(store_check_watch(o.h->store, event, sizeof event, token, sizeof token),
	                 0);
	store_unwatch(o.h->store, path, "state");
	outage_detach(&o);
}

/* More requests than the ring has: what was taken in order is answered, then the ring is stopped.
 */
static void req_prod_changed(void **state)
{
	struct outage o;

	outage_attach(&o, *state);
	outage_begin(&o, CRASH_TAKE_CONS);
	xenblkfront_poke_req_prod(o.f, 1u << 31);
	outage_end(&o);
	assert_int_equal(outage_answer(&o), BLKIF_RSP_OKAY);
	host_wait_error(o.h, "1:xvda", "req_prod overran the ring");
	xenblkfront_close(o.f);
	o.f = host_front_connected(o.h, 1, "xvda");
	outage_detach(&o);
}

/* Another image was renamed over it: neither gets the write that was meant for the first. */
/* The disk goes on with the image that it was attached with, whatever its name means by now. */
static void image_replaced(void **state)
{
	struct outage o;
	char other[200], old[220];

	outage_attach(&o, *state);
	snprintf(other, sizeof other, "%s", host_image(o.h, "other.img", OUTAGE_SIZE));
	host_fill(other, OUTAGE_SIZE, OUTAGE_OLD);
	snprintf(old, sizeof old, "%s.old", o.image);
	outage_begin(&o, CRASH_TAKE_CONS);
	assert_int_equal(rename(o.image, old), 0);
	assert_int_equal(rename(other, o.image), 0);
	outage_end(&o);
	assert_int_equal(outage_answer(&o), BLKIF_RSP_OKAY);
	assert_int_equal(outage_content(&o, old), OUTAGE_NEW);
	assert_int_equal(outage_content(&o, o.image), OUTAGE_OLD);
	outage_detach(&o);
}

static void image_missing(void **state)
{
	struct outage o;
	char moved[220];

	outage_attach(&o, *state);
	snprintf(moved, sizeof moved, "%s.moved", o.image);
	outage_begin(&o, CRASH_TAKE_CONS);
	image_gone(&o);
	outage_end(&o);
	assert_int_equal(outage_answer(&o), BLKIF_RSP_OKAY);
	assert_int_equal(outage_content(&o, moved), OUTAGE_NEW);
	outage_detach(&o);
}

/* All that had the claim have died: what stands there now is looked at, and not taken for the image. */
static void image_replaced_unseen(void **state)
{
	struct outage o;
	char other[200], old[220];

	outage_attach(&o, *state);
	snprintf(other, sizeof other, "%s", host_image(o.h, "other.img", OUTAGE_SIZE));
	host_fill(other, OUTAGE_SIZE, OUTAGE_OLD);
	snprintf(old, sizeof old, "%s.old", o.image);
	outage_begin(&o, CRASH_TAKE_CONS);
	host_daemon_kill(o.h, SIGKILL);
	host_holder_kill(o.h);
	assert_int_equal(rename(o.image, old), 0);
	assert_int_equal(rename(other, o.image), 0);
	host_daemon_start(o.h, NULL);
	outage_end(&o);
	host_wait_error(o.h, "1:xvda", "has been replaced by another one since the disk was attached");
	/* Nor by a front end that comes again. */
	xenblkfront_close(o.f);
	o.f = host_front(o.h, 1, "xvda", NULL, 0);
	assert_true(xenblkfront_connect(o.f) < 0);
	assert_int_equal(outage_content(&o, old), OUTAGE_OLD);
	assert_int_equal(rename(old, o.image), 0);
	xenblkfront_close(o.f);
	o.f = host_front_connected(o.h, 1, "xvda");
	outage_detach(&o);
}

static void fill(const char *path)
{
	static const char zeros[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	while (write(fd, zeros, sizeof zeros) > 0)
		;
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

/* The folder of all disks, with little room, and a file to fill it with. */
static void small_directory(struct crash_host *c, char disks[96], char filler[120])
{
	snprintf(disks, 96, "%s/disks", c->h.dir);
	snprintf(filler, 120, "%s/filler", disks);
	assert_int_equal(mkdir(disks, 0755), 0);
	needs(lacks_admin());
	assert_int_equal(mount("tmpfs", disks, "tmpfs", 0, "size=256k"), 0);
}

/* No room for journals: a new connection is refused, with what to do about it; one that has its
 * journal is recovered all the same. */
static void run_directory_full(void **state)
{
	struct crash_host *c = *state;
	struct outage o;
	char disks[96], filler[120];

	small_directory(c, disks, filler);
	outage_attach(&o, c);
	outage_begin(&o, CRASH_TAKE_CONS);
	fill(filler);
	outage_end(&o);
	assert_int_equal(outage_answer(&o), BLKIF_RSP_OKAY);
	/* The same guest, connecting anew. */
	assert_front(o.f, xenblkfront_disconnect(o.f));
	fill(filler);
	assert_int_not_equal(xenblkfront_connect(o.f), 0);
	host_wait_error(o.h, "1:xvda", "No space left on device");
	xenblkfront_close(o.f);
	assert_int_equal(unlink(filler), 0);
	o.f = host_front_connected(o.h, 1, "xvda");
	outage_detach(&o);
	assert_int_equal(umount2(disks, MNT_DETACH), 0);
}

/* The disk's keys as a whole: each change of them would be another try. */
static void attach_at_once(struct host *h, unsigned devid, const char *image)
{
	xs_transaction_t t;

	host_disk(h, &(struct disk){.devid = devid, .params = image});
	host_wait_state(h, 1, devid, XS_INITWAIT);
	const char *be = host_be(1, devid);
	assert_int_equal(store_begin(h->store, &t), 0);
	assert_int_equal(store_write(h->store, t, be, "physical-device-path", image), 0);
	assert_int_equal(store_write(h->store, t, be, "hotplug-status", "connected"), 0);
	assert_int_equal(store_end(h->store, t, true), 0);
}

/* No room for another disk: it is refused with one line, and the first one neither sees it, nor is
 * its poison forgotten. */
static void no_room_for_another(void **state)
{
	struct crash_host *c = *state;
	struct outage o;
	char disks[96], filler[120], second[200], path[140];

	small_directory(c, disks, filler);
	outage_attach(&o, c);
	pid_t worker = host_worker(o.h, "1:xvda");
	fill(filler);
	snprintf(second, sizeof second, "%s", host_image(o.h, "second.img", OUTAGE_SIZE));
	attach_at_once(o.h, XVDB, second);
	host_wait_error(o.h, "1:xvdb", "No space left on device");
	assert_int_equal(host_log_count(o.h, "No space left on device"), 1);
	assert_int_equal(host_worker(o.h, "1:xvda"), worker);
	for (int i = 0; i < 3; i++)
		crash_order(c, CRASH_START, 1, OUTAGE_SECTOR, SIGILL);
	outage_write(&o);
	assert_int_equal(outage_answer(&o), BLKIF_RSP_ERROR);
	assert_true(crash_wait(c));
	assert_true(host_log_has(o.h, "1:xvda/connection: No space left on device"));
	/* What did not change stands there still. */
	assert_false(host_log_has(o.h, "1:xvda/source: No space"));
	snprintf(path, sizeof path, "%s/source", o.folder);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(outage_content(&o, o.image), OUTAGE_OLD);
	outage_write(&o);
	assert_int_equal(outage_answer(&o), BLKIF_RSP_OKAY);
	host_detach(o.h, 1, XVDB);
	assert_int_equal(unlink(filler), 0);
	host_attach(o.h, &(struct disk){.devid = XVDB, .params = second}, second);
	struct xenblkfront *f = host_front_connected(o.h, 1, "xvdb");
	assert_front(f, xenblkfront_disconnect(f));
	xenblkfront_close(f);
	host_detach(o.h, 1, XVDB);
	outage_detach(&o);
	assert_int_equal(umount2(disks, MNT_DETACH), 0);
}

static size_t pages(size_t bytes)
{
	return (bytes + 4095) / 4096 * 4096;
}

/* What a disk takes from the start, in pages. */
static size_t own_room(void)
{
	return pages(sizeof(struct stats_page)) + pages(LOST_BYTES) +
	       STATS_NR_TEXTS * pages(STATS_TEXT_BYTES) + 4096; /* which processes */
}

/* Room for its counters, but not for the note of what its image is: there is none, and no half. */
static void no_room_for_a_note(void **state)
{
	struct crash_host *c = *state;
	struct outage o;
	struct stat full;
	char disks[96], filler[120], second[200], path[140];

	small_directory(c, disks, filler);
	outage_attach(&o, c);
	fill(filler);
	assert_int_equal(stat(filler, &full), 0);
	assert_int_equal(truncate(filler, full.st_size - (off_t)own_room()), 0);
	snprintf(second, sizeof second, "%s", host_image(o.h, "second.img", OUTAGE_SIZE));
	host_attach(o.h, &(struct disk){.devid = XVDB, .params = second}, second);
	for (int i = 0; i < WAIT_MS && !host_log_has(o.h, "1:xvdb/source: No space left"); i++)
		usleep(1000);
	assert_true(host_log_has(o.h, "1:xvdb/source: No space left on device"));
	snprintf(path, sizeof path, "%s/1:xvdb/source", disks);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof path, "%s/1:xvdb/source.new", disks);
	assert_int_equal(access(path, F_OK), -1);
	host_detach(o.h, 1, XVDB);
	outage_detach(&o);
	assert_int_equal(umount2(disks, MNT_DETACH), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    crash_case(untouched),          crash_case(never_executed),      crash_case(journal_is_a_folder),
	    crash_case(journal_is_a_link),
	    crash_case(req_prod_changed),   crash_case(image_replaced),      crash_case(image_missing),
	    crash_case(image_replaced_unseen),
	    crash_case(run_directory_full), crash_case(no_room_for_another), crash_case(no_room_for_a_note),
	};

	return cmocka_run_group_tests_name("bad_journal", tests, NULL, NULL);
}
