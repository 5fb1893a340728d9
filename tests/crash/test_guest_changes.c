/* SPDX-License-Identifier: MIT */
/*
 * The guest, or its toolstack, does something else while nobody serves the disk: it boots anew,
 * takes another ring, dies, is migrated, comes back under the same number. The write that was in
 * hand when the worker died is then never executed; and the disk works again.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "outage.h"

#include <xen/io/blkif.h>

/* Nothing of the old write, and a disk that works. */
static void works_without_it(struct outage *o)
{
	char buf[4096];

	assert_front(o->f, xenblkfront_read(o->f, OUTAGE_SECTOR * 512, buf, sizeof buf));
	assert_int_equal(outage_content(o, o->image), OUTAGE_OLD);
	assert_front(o->f, xenblkfront_write(o->f, 0, buf, sizeof buf));
	assert_int_equal(outage_content(o, o->image), OUTAGE_OLD);
}

/* It walks through these states without being answered, and then waits for InitWait. */
static void walks(void **state, const int *states)
{
	struct outage o;

	outage_taken(&o, *state);
	for (; *states; states++)
		assert_front(o.f, xenblkfront_set_state(o.f, *states));
	outage_end(&o);
	host_wait_state(o.h, 1, XVDA,
	                states[-1] == XS_INITIALISING ? XS_INITWAIT
	                : states[-1] == XS_CLOSING    ? XS_CLOSING
	                                              : XS_CLOSED);
	xenblkfront_close(o.f);
	o.f = host_front_connected(o.h, 1, "xvda");
	works_without_it(&o);
	outage_detach(&o);
}

static void reboots(void **state)
{
	static const int closing[] = {XS_CLOSING, 0}, closed[] = {XS_CLOSING, XS_CLOSED, 0},
	                 all[] = {XS_CLOSING, XS_CLOSED, XS_INITIALISING, 0};

	walks(state, closing);
	walks(state, closed);
	walks(state, all);
}

/* A new kernel that was told nothing of the old one's disk. */
static void kexecs(void **state)
{
	static const int states[] = {XS_INITIALISING, 0};

	walks(state, states);
}

/* Another ring, offered at once: the old one's pages are there still, and are not looked at. */
static void takes_another_ring(void **state)
{
	struct outage o;

	outage_taken(&o, *state);
	struct xenblkfront *another = host_front(o.h, 1, "xvda", NULL, 0);
	assert_front(another, xenblkfront_publish_ring(another));
	assert_front(another, xenblkfront_set_state(another, XS_INITIALISED));
	outage_end(&o);
	assert_front(another, xenblkfront_wait_backend(another, 1u << XS_CONNECTED, -1));
	for (int i = 0; i < WAIT_MS && !host_log_has(o.h, "connected again"); i++)
		usleep(1000);
	assert_int_equal(outage_content(&o, o.image), OUTAGE_OLD);
	assert_int_equal(xenblkfront_inflight(o.f), 1);
	xenblkfront_close(another);
	xenblkfront_close(o.f);
	o.f = host_front_connected(o.h, 1, "xvda");
	works_without_it(&o);
	outage_detach(&o);
}

static void destroy_domain(struct outage *o)
{
	struct error err;

	xenblkfront_close(o->f);
	assert_int_equal(xen_domain_destroy(o->h->xen, 1, &err), 0);
}

/* As libxl does it: the front end's directory goes first. */
static void dies(void **state)
{
	struct outage o;

	outage_taken(&o, *state);
	destroy_domain(&o);
	store_rm(o.h->store, XBT_NULL, host_fe(1, XVDA), NULL);
	host_offline(o.h, 1, XVDA);
	outage_end(&o);
	host_wait_state(o.h, 1, XVDA, XS_CLOSED);
	host_remove_nodes(o.h, 1, XVDA);
	host_wait_gone(o.h, "1:xvda");
	assert_int_equal(outage_content(&o, o.image), OUTAGE_OLD);
	assert_int_equal(access(o.folder, F_OK), -1);
}

/* Dead, and nobody has tidied up: its ring cannot be mapped any more. */
static void dies_untidily(void **state)
{
	struct outage o;

	outage_taken(&o, *state);
	destroy_domain(&o);
	outage_end(&o);
	host_wait_error(o.h, "1:xvda", "cannot map ring");
	assert_int_equal(outage_content(&o, o.image), OUTAGE_OLD);
	store_rm(o.h->store, XBT_NULL, host_fe(1, XVDA), NULL);
	host_detach(o.h, 1, XVDA);
}

/* The new domain's front end gets the numbers of references and port that the old one had. */
static void comes_back_as_another(struct outage *o)
{
	destroy_domain(o);
	host_remove_nodes(o->h, 1, XVDA);
	host_disk(o->h, &(struct disk){.params = o->image});
	host_script(o->h, 1, XVDA, o->image);
	outage_end(o);
	host_wait_state(o->h, 1, XVDA, XS_INITWAIT);
	o->f = host_front_connected(o->h, 1, "xvda");
	works_without_it(o);
	outage_detach(o);
}

/* The worker lives, and has the old domain's ring still, which nobody will ever fill again; the new
 * front end does not wait for InitWait, and offers a ring of the same numbers before anybody looks.
 */
static void number_used_anew_beside_a_worker(void **state)
{
	struct xenblkfront_response rsp;
	struct outage o;

	outage_attach(&o, *state);
	assert_int_equal(kill(o.h->daemon, SIGSTOP), 0);
	destroy_domain(&o);
	host_remove_nodes(o.h, 1, XVDA);
	host_disk(o.h, &(struct disk){.params = o.image});
	host_script(o.h, 1, XVDA, o.image);
	o.f = host_front(o.h, 1, "xvda", NULL, 0);
	assert_front(o.f, xenblkfront_publish_ring(o.f));
	assert_front(o.f, xenblkfront_set_state(o.f, XS_INITIALISED));
	assert_front(o.f, xenblkfront_alloc(o.f, 1, true, &o.page, &o.ref));
	outage_write(&o);
	outage_end(&o);
	assert_front(o.f, xenblkfront_wait_backend(o.f, 1u << XS_CONNECTED, -1));
	assert_int_equal(xenblkfront_reap(o.f, &rsp, 1, -1), 1);
	assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	xenblkfront_close(o.f);
	host_detach(o.h, 1, XVDA);
}

/* All of it between two looks: gone, and a new domain with the same number and image. */
static void number_used_anew(void **state)
{
	struct outage o;

	outage_taken(&o, *state);
	comes_back_as_another(&o);
}

/* The same, and the death of the old worker is noticed only after the new guest was seen: what it
 * had in hand must be forgotten by then. The new ring has the same references and port. */
static void number_used_anew_before_the_death(void **state)
{
	struct outage o;

	outage_attach(&o, *state);
	pid_t worker = host_worker(o.h, "1:xvda");
	assert_int_equal(kill(o.h->daemon, SIGSTOP), 0);
	crash_order(o.c, CRASH_TAKE_CONS, 1, CRASH_ANY, SIGSTOP);
	outage_write(&o);
	assert_true(crash_wait(o.c));
	destroy_domain(&o);
	host_remove_nodes(o.h, 1, XVDA);
	host_disk(o.h, &(struct disk){.params = o.image});
	host_script(o.h, 1, XVDA, o.image);
	outage_end(&o);
	host_wait_state(o.h, 1, XVDA, XS_INITWAIT);
	assert_int_equal(kill(worker, SIGKILL), 0);
	o.f = host_front_connected(o.h, 1, "xvda");
	works_without_it(&o);
	outage_detach(&o);
}

static void name_domain(struct outage *o, const char *name)
{
	host_write(o->h, "/local/domain/1", "name", "%s", name);
}

/* Migrated: the guest writes to the same image on another host; here nothing is done any more. */
static void migrated(void **state)
{
	struct outage o;

	outage_taken(&o, *state);
	name_domain(&o, "guest--migratedaway");
	outage_end(&o);
	assert_true(host_state_stays(o.h, 1, XVDA, XS_CONNECTED, 1500));
	assert_int_equal(host_worker(o.h, "1:xvda"), 0);
	assert_int_equal(outage_content(&o, o.image), OUTAGE_OLD);
	destroy_domain(&o);
	store_rm(o.h->store, XBT_NULL, host_fe(1, XVDA), NULL);
	host_detach(o.h, 1, XVDA);
	assert_int_equal(outage_content(&o, o.image), OUTAGE_OLD);
}

/* The migration fails, the guest goes on here: so does its disk. */
static void migration_failed(void **state)
{
	struct outage o;

	outage_taken(&o, *state);
	name_domain(&o, "guest--migratedaway");
	outage_end(&o);
	assert_true(host_state_stays(o.h, 1, XVDA, XS_CONNECTED, 500));
	assert_int_equal(outage_content(&o, o.image), OUTAGE_OLD);
	name_domain(&o, "guest");
	assert_int_equal(outage_answer(&o), BLKIF_RSP_OKAY);
	assert_int_equal(outage_content(&o, o.image), OUTAGE_NEW);
	outage_detach(&o);
}

static void output_of(const char *command, char *text, size_t cap)
{
	FILE *p = popen(command, "r");

	text[0] = '\0';
	assert_non_null(p);
	if (!fgets(text, (int)cap, p))
		text[0] = '\0';
	pclose(p);
	text[strcspn(text, "\n")] = '\0';
}

/* Another disk behind the same device node. */
static void device_used_anew(void **state)
{
	struct crash_host *c = *state;
	struct outage o = {.c = c, .h = &c->h};
	char first[200], second[200], command[300], dev[64];

	snprintf(first, sizeof first, "%s", host_image(&c->h, "first.img", OUTAGE_SIZE));
	snprintf(second, sizeof second, "%s", host_image(&c->h, "second.img", OUTAGE_SIZE));
	host_fill(first, OUTAGE_SIZE, OUTAGE_OLD);
	host_fill(second, OUTAGE_SIZE, OUTAGE_OLD);
	snprintf(command, sizeof command, "losetup -f --show %s 2>/dev/null", first);
	output_of(command, dev, sizeof dev);
	snprintf(command, sizeof command, "/sys/block/%s/diskseq", dev[0] ? dev + 5 : "none");
	if (!dev[0] || access(command, R_OK)) {
		print_message("# no loop device, or a kernel that does not number disks\n");
		skip();
	}
	outage_attach_image(&o, c, dev, "w");
	outage_begin(&o, CRASH_TAKE_CONS);
	/* As long as it is claimed, the kernel gives its number to no other disk. */
	snprintf(command, sizeof command, "losetup -d %s && losetup %s %s 2>&1", dev, dev, second);
	assert_int_not_equal(system(command), 0);
	host_daemon_kill(o.h, SIGKILL);
	host_holder_kill(o.h);
	/* The kernel gives the number up some time after the last of the killed processes. */
	snprintf(command, sizeof command,
	         "for i in $(seq 400); do losetup %s %s 2>&1 && exit; sleep 0.05; done; exit 1",
	         dev, second);
	assert_int_equal(system(command), 0);
	host_daemon_start(o.h, NULL);
	outage_end(&o);
	host_wait_error(o.h, "1:xvda",
	                "has been replaced by another one since the disk was attached");
	assert_int_equal(outage_content(&o, first), OUTAGE_OLD);
	assert_int_equal(outage_content(&o, second), OUTAGE_OLD);
	xenblkfront_close(o.f);
	store_rm(o.h->store, XBT_NULL, host_fe(1, XVDA), NULL);
	host_detach(o.h, 1, XVDA);
	snprintf(command, sizeof command, "losetup -d %s", dev);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    crash_case(reboots),
	    crash_case(kexecs),
	    crash_case(takes_another_ring),
	    crash_case(dies),
	    crash_case(dies_untidily),
	    crash_case(number_used_anew),
	    crash_case(number_used_anew_beside_a_worker),
	    crash_case(number_used_anew_before_the_death),
	    crash_case(migrated),
	    crash_case(migration_failed),
	    crash_case(device_used_anew),
	};

	return cmocka_run_group_tests_name("guest_changes", tests, NULL, NULL);
}
