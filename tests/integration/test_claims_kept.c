/* SPDX-License-Identifier: MIT */
/* An image belongs to its disk from attach to detach, whatever dies meanwhile: worker, supervisor,
 * holder. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "claims.h"
#include "holder/holder.h"
#include "storage/parcel.h"

#define MANY 600 /* claims: more than the line to the holder has room for */

static bool owned(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	bool is = locks_met(fd, locks_byte(LOCK_OWNER), 1, true, NULL);

	close(fd);
	return is;
}

static void wait_worker(struct host *h, pid_t before)
{
	wait_until(host_worker(h, ID) > 0 && host_worker(h, ID) != before);
}

/* Between two workers, and while none is started, the image is the disk's. */
static void no_worker(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	pid_t worker = host_worker(h, ID);
	assert_int_equal(kill(h->daemon, SIGSTOP), 0);
	assert_int_equal(kill(worker, SIGKILL), 0);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	wait_until(image_is_still(fd));
	close(fd);
	assert_true(owned(path));
	assert_int_equal(kill(h->daemon, SIGCONT), 0);
	wait_worker(h, worker);
	assert_reads(f, 0, 3);
	/* The supervisor stops, and its workers with it: the guest waits, and so does its image. */
	host_daemon_kill(h, SIGTERM);
	assert_true(owned(path));
	host_daemon_start(h, NULL);
	assert_reads(f, 0, 3);
	/* Both die. */
	worker = host_worker(h, ID);
	host_daemon_kill(h, SIGKILL);
	assert_int_equal(kill(worker, SIGKILL), 0);
	usleep(QUIET_MS * 1000);
	assert_true(owned(path));
	host_daemon_start(h, NULL);
	assert_reads(f, 0, 3);
	front_end(f);
	host_detach(h, 1, XVDA);
	assert_false(owned(path));
}

/* Whoever of the two dies, the other one still has it. */
static void holder_dies(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	for (int i = 0; i < 3; i++) {
		host_holder_kill(h);
		assert_true(owned(path));
		wait_until(host_log_count(h, "xenblkd-holder has ended") == (unsigned)i + 1);
		assert_false(status_is(h, ID, "image_state", "none"));
		pid_t worker = host_worker(h, ID);
		host_daemon_kill(h, SIGKILL);
		assert_int_equal(kill(worker, SIGKILL), 0);
		assert_true(owned(path));
		host_daemon_start(h, NULL);
		assert_reads(f, 0, 3);
	}
	front_end(f);
	host_detach(h, 1, XVDA);
	assert_false(owned(path));
}

/* How many descriptors of that file the holder has. */
static unsigned held(struct host *h, const char *file)
{
	char path[64], link[300];
	pid_t holder = host_holder(h);
	unsigned n = 0;

	for (int fd = 0; fd < 2 * MANY; fd++) {
		snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)holder, fd);
		ssize_t length = readlink(path, link, sizeof link - 1);
		link[length > 0 ? length : 0] = '\0';
		n += !strcmp(link, file);
	}
	return n;
}

static int holder_line(struct host *h)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof addr.sun_path, "%s/" HOLDER_SOCKET, h->dir);
	assert_int_equal(connect(sock, (struct sockaddr *)&addr, sizeof addr), 0);
	return sock;
}

/* As a supervisor that has so many more disks would have left them. */
static void hold_many(struct host *h, const char *image, char parcels[64])
{
	int sock = holder_line(h);
	int fd = open(image, O_RDONLY | O_CLOEXEC), parcel = parcel_make(fd);
	char name[HOLDER_NAME_MAX];
	struct stat st;

	assert_int_equal(fstat(parcel, &st), 0);
	snprintf(parcels, 64, "socket:[%llu]", (unsigned long long)st.st_ino);

	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "%d:xvda", i + 2);
		assert_int_equal(holder_send(sock, HOLDER_PUT, name, parcel, 0), 0);
	}
	close(fd);
	close(parcel);
	wait_until(held(h, parcels) == MANY);
	close(sock);
}

/* The kernel counts a user's descriptors that wait in sockets, and compares with the limit of the
 * process that sends one more: a worker's is low, once it meets its guest. */
static void one_of_many(void **state)
{
	struct host *h = *state;
	struct rlimit files;
	int fd, parcel[MANY];
	char path[200];

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	make_image(h, "many.img", 3, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	for (int i = 0; i < MANY; i++)
		assert_true((parcel[i] = parcel_make(fd)) >= 0);
	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	wait_until(owned(path));
	pid_t worker = host_worker(h, ID);
	assert_int_equal(kill(h->daemon, SIGSTOP), 0);
	assert_int_equal(kill(worker, SIGKILL), 0);
	usleep(QUIET_MS * 1000);
	assert_true(owned(path));
	assert_int_equal(kill(h->daemon, SIGCONT), 0);
	for (int i = 0; i < MANY; i++)
		close(parcel[i]);
	close(fd);
	host_detach(h, 1, XVDA);
}

/* A new holder gets all of them, and is not there yet when the first one comes. */
static void holder_of_many_dies(void **state)
{
	struct host *h = *state;
	char path[200], parcels[64];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	host_daemon_kill(h, SIGKILL);
	hold_many(h, path, parcels);
	/* While it does not know which disks there are, it keeps all claims. */
	assert_int_equal(xen_fault(h->xen, "read 5 /vbd/1/51712/state 1000000", NULL), 0);
	/* On one processor the new holder cannot keep up with who sends. */
	cpu_set_t all, one;
	assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
	CPU_ZERO(&one);
	for (int i = 0; !CPU_COUNT(&one); i++)
		if (CPU_ISSET(i, &all))
			CPU_SET(i, &one);
	assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
	host_daemon_start(h, NULL);
	assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
	host_holder_kill(h);
	wait_until(held(h, parcels) == MANY);
	assert_false(host_log_has(h, "cannot be started"));
	assert_int_equal(xen_fault(h->xen, "clear", NULL), 0);
	wait_until(!held(h, parcels));
	host_detach(h, 1, XVDA);
	wait_until(!owned(path));
}

/* What a supervisor said before it died counts, also if the next one is there by then. Here an
 * older one, which had no parcels. */
static void last_words(void **state)
{
	struct host *h = *state;
	char path[200], name[8];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	host_daemon_kill(h, SIGKILL);
	int line = holder_line(h), fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(holder_send(line, HOLDER_PUT, "2:xvda", fd, 0), 0);
	wait_until(held(h, path) == 1);
	host_holder_stop(h);
	for (int i = 3; i < 6; i++) {
		snprintf(name, sizeof name, "%d:xvda", i);
		assert_int_equal(holder_send(line, HOLDER_PUT, name, fd, 0), 0);
	}
	close(fd);
	close(line);
	line = holder_line(h);
	assert_int_equal(kill(host_holder(h), SIGCONT), 0);
	wait_until(held(h, path) == 4);
	close(line);
	host_daemon_start(h, NULL);
	wait_until(!held(h, path));
	host_detach(h, 1, XVDA);
}

/* One that does not answer keeps no image from others, and holds no supervisor up. */
static void holder_stops(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	host_holder_stop(h);
	host_detach(h, 1, XVDA);
	wait_until(!owned(path));
	attached(h, path, "w");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	host_holder_stop(h);
	host_daemon_kill(h, SIGKILL);
	host_daemon_start(h, NULL);
	assert_reads(f, 0, 3);
	front_end(f);
	host_detach(h, 1, XVDA);
	wait_until(!owned(path));
}

/* The toolstack takes a disk away that its guest has closed before: there is no more handshake, and
 * its script may want the device next. */
static void closed_before(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	front_end(f);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	assert_true(owned(path));
	host_write(h, "/local/domain/0/backend/vbd/1/51712", "online", "0");
	wait_until(!owned(path));
	host_detach(h, 1, XVDA);
}

/* The moment that a disk is gone, its device is free. */
static void free_at_once(void **state)
{
	struct host *h = *state;
	char path[200], dev[64];

	device(h, "a.img", path, dev);
	for (int i = 0; i < 10; i++) {
		attached(h, dev, "w");
		host_detach(h, 1, XVDA);
		int fd = open(dev, O_RDONLY | O_EXCL | O_CLOEXEC);
		assert_true(fd >= 0);
		close(fd);
	}
}

/* A disk that is gone when the next supervisor comes keeps nothing. */
static void gone_meanwhile(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	host_daemon_kill(h, SIGKILL);
	host_remove_nodes(h, 1, XVDA);
	assert_true(owned(path));
	host_daemon_start(h, NULL);
	wait_until(!owned(path));
	can_be_attached(h, path);
}

/* The next supervisor cannot read just now which image the disk had: that is no reason to let go of
 * it. A lease makes whoever does not wait for it hear EAGAIN, as if something ran short. */
static void record_unread(void **state)
{
	struct host *h = *state;
	char path[200], record[160];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	pid_t worker = host_worker(h, ID);
	host_daemon_kill(h, SIGKILL);
	assert_int_equal(kill(worker, SIGKILL), 0);
	snprintf(record, sizeof record, "%s/disks/" ID "/source", h->dir);
	signal(SIGIO, SIG_IGN); /* that somebody waits for the lease */
	int fd = open(record, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_SETLEASE, F_WRLCK), 0);
	host_daemon_start(h, NULL);
	host_wait_error(h, ID, "cannot read which image the disk had: ");
	assert_true(owned(path));
	assert_int_equal(fcntl(fd, F_SETLEASE, F_UNLCK), 0);
	close(fd);
	assert_reads(f, 0, 3);
	wait_until(status_is(h, ID, "error", ""));
	front_end(f);
	host_detach(h, 1, XVDA);
}

/* It stays as long as there is something to hold, and then leaves nothing. */
static void holder_ends(void **state)
{
	struct host *h = *state;
	char path[200], socket[100];

	snprintf(socket, sizeof socket, "%s/holder.sock", h->dir);
	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	host_daemon_kill(h, SIGTERM);
	usleep(QUIET_MS * 1000);
	assert_true(host_holder(h) > 0);
	assert_int_equal(access(socket, F_OK), 0);
	host_daemon_start(h, NULL);
	host_detach(h, 1, XVDA);
	assert_true(host_holder(h) > 0);
	host_daemon_kill(h, SIGTERM);
	wait_until(!host_holder(h));
	assert_int_equal(access(socket, F_OK), -1);
}

/* The byte of the fence that the process has put on an image. */
static uint64_t fence_of(pid_t pid)
{
	char path[64], line[200];
	unsigned long long first;

	for (int fd = 0; fd < 64; fd++) {
		snprintf(path, sizeof path, "/proc/%d/fdinfo/%d", (int)pid, fd);
		FILE *f = fopen(path, "re");
		while (f && fgets(line, sizeof line, f))
			if (sscanf(line, "lock: %*s OFDLCK ADVISORY WRITE %*s %*s %llu", &first) ==
			        1 &&
			    first >= locks_disk(RANGE_FENCE, 0)) {
				fclose(f);
				return first;
			}
		if (f)
			fclose(f);
	}
	fail_msg("process %d has no fence", (int)pid);
	return 0;
}

/* The supervisor dies before it has read of the claim that its worker made. */
static void claimed_unseen(void **state)
{
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	uint64_t fence = fence_of(host_worker(h, ID));
	host_detach(h, 1, XVDA);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(locks_take(fd, fence, true, false), 0);
	host_attach(h, &(struct disk){0}, path);
	wait_until(owned(path));
	assert_int_equal(kill(h->daemon, SIGSTOP), 0);
	close(fd);
	usleep(QUIET_MS * 1000);
	host_daemon_kill(h, SIGKILL);
	host_daemon_start(h, NULL);
	wait_image_open(h, ID);
	pid_t worker = host_worker(h, ID);
	host_daemon_kill(h, SIGKILL);
	assert_int_equal(kill(worker, SIGKILL), 0);
	usleep(QUIET_MS * 1000);
	assert_true(owned(path));
	host_daemon_start(h, NULL);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_reads(f, 0, 3);
	/* Served, its guest could not get at it. */
	char line[300], out[64];
	snprintf(line, sizeof line, "ls -l /proc/%d/fd 2>/dev/null | grep -c 'a.img'",
	         (int)host_worker(h, ID));
	run(out, sizeof out, line);
	assert_string_equal(out, "1");
	front_end(f);
	host_detach(h, 1, XVDA);
	assert_false(owned(path));
}

/* I/O of a disk that was taken away by force may be under way still. */
static void others_fence(void **state)
{
	static const char *const modes[] = {"w", "r", "w!"};
	struct host *h = *state;
	char path[200];

	make_image(h, "a.img", 1, path);
	for (unsigned i = 0; i < 3; i++) {
		int fd = open(path, O_RDWR | O_CLOEXEC);
		assert_int_equal(
		    locks_take(fd, locks_disk(RANGE_FENCE, claim_owner(0, 3, XVDB)), true, false),
		    0);
		refused(h, path, modes[i], "disk 3:xvdb of xenblkd has it");
		close(fd);
		attached(h, path, modes[i]);
		host_detach(h, 1, XVDA);
	}
}

/* Whoever removes the run directory of a host whose supervisor has stopped wants none of it back.
 */
static void run_directory_removed(void **state)
{
	struct host *h = *state;
	char path[200], socket[100];

	snprintf(socket, sizeof socket, "%s/holder.sock", h->dir);
	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	host_daemon_kill(h, SIGTERM);
	assert_true(owned(path));
	assert_int_equal(unlink(socket), 0);
	wait_until(!host_holder(h));
	wait_until(!owned(path));
}

/* A disk of the same name that was attached meanwhile has the image that its own keys name. */
static void another_of_its_name(void **state)
{
	struct host *h = *state;
	char path[200], old[210];

	make_image(h, "a.img", 3, path);
	attached(h, path, "w");
	host_daemon_kill(h, SIGKILL);
	host_remove_nodes(h, 1, XVDA);
	snprintf(old, sizeof old, "%s.old", path);
	assert_int_equal(rename(path, old), 0);
	make_image(h, "a.img", 4, path);
	host_disk(h, &(struct disk){0});
	host_daemon_start(h, NULL);
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	host_script(h, 1, XVDA, path);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	assert_reads(f, 0, 4);
	front_end(f);
	host_detach(h, 1, XVDA);
	wait_until(!owned(old));
}

/* Of a holder that died nothing is left, not even a zombie. */
static void no_zombie(void **state)
{
	struct host *h = *state;
	char path[40];

	pid_t holder = host_holder(h);
	snprintf(path, sizeof path, "/proc/%d", (int)holder);
	assert_int_equal(kill(holder, SIGKILL), 0);
	wait_until(access(path, F_OK));
	wait_until(host_holder(h) > 0);
	assert_int_not_equal(host_holder(h), holder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(no_zombie),
	    owner_case(no_worker),
	    owner_case(holder_dies),
	    owner_case(holder_ends),
	    owner_case(holder_stops),
	    owner_case(one_of_many),
	    owner_case(holder_of_many_dies),
	    owner_case(last_words),
	    owner_case(closed_before),
	    owner_case(free_at_once),
	    owner_case(claimed_unseen),
	    owner_case(others_fence),
	    owner_case(run_directory_removed),
	    owner_case(gone_meanwhile),
	    owner_case(record_unread),
	    owner_case(another_of_its_name),
	};

	return cmocka_run_group_tests_name("claims_kept", tests, NULL, NULL);
}
