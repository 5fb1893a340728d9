/* SPDX-License-Identifier: MIT */
/* Migration where both halves of the guest see the same image and its lock: within one host, or on
 * a network file system. As xl does it: the new domain's disk is attached while the old one,
 * suspended, still has it; then one of the two is destroyed. */
#include <signal.h>

#include "image_lock.h"
#include "control.h"

#define OLD "1:xvda"
#define NEW "2:xvda"

/* The hotplug script of the new domain's disk; its exit status. */
static int run_script(struct host *h)
{
	char command[900];

	snprintf(command, sizeof command,
	         "XENBUS_PATH=backend/vbd/2/%u '%s/xenblkctl' --run-dir '%s' hotplug add "
	         ">'%s/script' 2>&1",
	         XVDA, h->build, h->dir, h->dir);
	int status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void name_domain(struct host *h, unsigned domid, const char *name)
{
	char dir[64];

	snprintf(dir, sizeof dir, "/local/domain/%u", domid);
	host_write(h, dir, "name", "%s", name);
}

/* The guest at home, and the nodes of its disk where it arrives. */
static struct xenblkfront *depart(struct host *h, char path[200])
{
	make_image(h, "moved.img", 3, path);
	host_attach(h, &(struct disk){.params = path}, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	name_domain(h, 1, "guest");
	name_domain(h, 2, "guest--incoming");
	host_disk(h, &(struct disk){.domid = 2, .params = path});
	host_wait_state(h, 2, XVDA, XS_INITWAIT);
	return f;
}

/* The old half's last write is what the new one reads, through the lock and nothing else. */
static void moved(void **state)
{
	struct host *h = *state;
	char path[200], data[4096], got[4096];
	struct xenblkfront *old = depart(h, path);

	assert_int_equal(run_script(h), 0);
	assert_true(status_number(h, NEW, "awaits_handover"));
	assert_true(status_is(h, NEW, "image_state", "opening"));
	assert_string_equal(host_read(h, host_be(2, XVDA), "hotplug-status"), "connected");
	wait_until(strstr(status_text(h, NEW, "warning"), "waits for the host"));
	name_domain(h, 1, "guest--migratedaway");
	name_domain(h, 2, "guest");
	memset(data, 0xa7, sizeof data);
	assert_front(old, xenblkfront_write(old, 8192, data, sizeof data));
	assert_true(host_state_stays(h, 2, XVDA, XS_INITWAIT, QUIET_MS));
	front_end(old);
	host_detach(h, 1, XVDA);

	struct xenblkfront *f = host_front_connected(h, 2, "xvda");
	assert_front(f, xenblkfront_read(f, 8192, got, sizeof got));
	assert_memory_equal(got, data, sizeof got);
	assert_false(status_number(h, NEW, "awaits_handover"));
	assert_string_equal(status_text(h, NEW, "warning"), "");
	front_end(f);
}

/* Whether the process has put its fence on an image. */
static bool has_fence(pid_t pid)
{
	char path[64], line[200];
	unsigned long long first;
	bool found = false;

	for (int fd = 0; fd < 64 && !found; fd++) {
		snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", (int)pid, fd);
		FILE *f = fopen(path, "re");
		while (f && !found && fgets(line, sizeof line, f))
			found = sscanf(line, "lock: %*s OFDLCK ADVISORY WRITE %*s %*s %llu",
			               &first) == 1 &&
			        first >= locks_disk(RANGE_FENCE, 0);
		if (f)
			fclose(f);
	}
	return found;
}

/* What dies once the new half has its name, which does not tell any more that it comes from
 * elsewhere. */
enum { SUPERVISOR, WORKER_TOO, OLD_HALF_TOO };

static void moved_without_supervisor(struct host *h, int what)
{
	char path[200], note[200];
	struct xenblkfront *old = depart(h, path);

	assert_int_equal(run_script(h), 0);
	snprintf(note, sizeof note, "%s/disks/" NEW "/incoming", h->dir);
	assert_int_equal(access(note, F_OK), 0);
	pid_t waiting = host_worker(h, NEW), serving = host_worker(h, OLD);
	host_daemon_kill(h, SIGKILL);
	if (what == WORKER_TOO)
		assert_int_equal(kill(waiting, SIGKILL), 0);
	if (what == OLD_HALF_TOO)
		assert_int_equal(kill(serving, SIGKILL), 0);
	name_domain(h, 1, "guest--migratedaway");
	name_domain(h, 2, "guest");
	if (what == OLD_HALF_TOO) {
		/* its image is free now, and is opened while there is nobody to tell */
		host_remove_nodes(h, 1, XVDA);
		host_holder_kill(h);
		wait_until(has_fence(waiting));
		host_daemon_start(h, NULL);
		xenblkfront_close(old);
	} else {
		host_daemon_start(h, NULL);
		wait_until(status_number(h, NEW, "awaits_handover"));
		assert_string_equal(status_text(h, NEW, "error"), "");
		assert_true(host_state_stays(h, 2, XVDA, XS_INITWAIT, QUIET_MS));
		front_end(old);
		host_detach(h, 1, XVDA);
	}

	struct xenblkfront *f = host_front_connected(h, 2, "xvda");
	assert_reads(f, 0, 3);
	assert_false(status_number(h, NEW, "awaits_handover"));
	assert_int_equal(access(note, F_OK), -1);
	front_end(f);
}

static void another_supervisor(void **state)
{
	moved_without_supervisor(*state, SUPERVISOR);
}

static void another_supervisor_and_worker(void **state)
{
	moved_without_supervisor(*state, WORKER_TOO);
}

static void opened_without_supervisor(void **state)
{
	moved_without_supervisor(*state, OLD_HALF_TOO);
}

/* It does not come about: the new half goes, and the old one has never lost its image. */
static void stayed(void **state)
{
	struct host *h = *state;
	char path[200];
	struct xenblkfront *old = depart(h, path);
	pid_t worker = host_worker(h, OLD);

	assert_int_equal(run_script(h), 0);
	host_detach(h, 2, XVDA);
	assert_reads(old, 0, 3);
	assert_int_equal(host_worker(h, OLD), worker);
	front_end(old);
}

/* What cannot be opened here ends the migration at once, while the guest can still stay. */
static void cannot_be_opened(void **state)
{
	struct host *h = *state;
	char path[200], line[400] = "";
	struct xenblkfront *old = depart(h, path);

	front_end(old);
	host_detach(h, 2, XVDA);
	host_disk(h, &(struct disk){.domid = 2, .params = "/nowhere/moved.img"});
	host_wait_state(h, 2, XVDA, XS_INITWAIT);
	assert_int_equal(run_script(h), 1);
	snprintf(line, sizeof line, "%s/script", h->dir);
	FILE *said = fopen(line, "r");
	assert_non_null(said);
	assert_non_null(fgets(line, sizeof line, said));
	fclose(said);
	assert_non_null(strstr(line, "/nowhere/moved.img"));
	assert_string_equal(host_read(h, host_be(2, XVDA), "hotplug-status"), "error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {case_of(moved),
	                                   case_of(another_supervisor),
	                                   case_of(another_supervisor_and_worker),
	                                   case_of(opened_without_supervisor),
	                                   case_of(stayed),
	                                   case_of(cannot_be_opened)};

	return cmocka_run_group_tests_name("migration", tests, NULL, NULL);
}
