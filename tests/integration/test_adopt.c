/* SPDX-License-Identifier: MIT */
/* A supervisor dies; its successor takes the workers over as they are, and does what was left
 * undone. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "adopt.h"
#include "disk/message.h"

static void folder_of(struct host *h, const char *id, char path[160])
{
	snprintf(path, 160, "%s/disks/%s", h->dir, id);
}

/* Same process, same answers about the disk, and it moves data all the time. */
static void as_it_was(void **state)
{
	static const char *const texts[] = {"state",       "mode",     "target",
	                                    "image_state", "protocol", "ring_state"};
	static const char *const numbers[] = {"sectors", "sector_size", "physical_sector_size",
	                                      "ring_order", "queues"};
	struct host *h = *state;
	struct disk_under_test t;
	char before[6][1024];
	int64_t n[5];

	disk_start(h, &t);
	for (int i = 0; i < 6; i++)
		snprintf(before[i], sizeof before[i], "%s", status_text(h, "1:xvda", texts[i]));
	for (int i = 0; i < 5; i++)
		n[i] = status_number(h, "1:xvda", numbers[i]);
	assert_true(n[0] > 0);
	for (int round = 0; round < 3; round++) {
		supervisor_dies(h);
		assert_reads(t.front, 0, SEED);
		host_daemon_start(h, NULL);
		assert_reads(t.front, 65536, SEED);
		wait_until(status_is(h, "1:xvda", "image_state", "open"));
		for (int i = 0; i < 6; i++)
			assert_string_equal(status_text(h, "1:xvda", texts[i]), before[i]);
		for (int i = 0; i < 5; i++)
			assert_int_equal(status_number(h, "1:xvda", numbers[i]), n[i]);
		assert_int_equal(host_worker(h, "1:xvda"), t.worker);
		assert_string_equal(status_text(h, "1:xvda", "error"), "");
		assert_string_equal(status_text(h, "1:xvda", "warning"), "");
	}
	assert_true(process_lives(t.worker));
	disk_end(h, &t);
	wait_until(!process_lives(t.worker));
}

/* An adopted worker that dies is replaced like any other. */
static void adopted_then_killed(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;

	disk_start(h, &t);
	supervisor_dies(h);
	host_daemon_start(h, NULL);
	wait_until(host_worker(h, "1:xvda") == t.worker);
	assert_int_equal(kill(t.worker, SIGKILL), 0);
	assert_reads(t.front, 0, SEED);
	assert_int_not_equal(host_worker(h, "1:xvda"), t.worker);
	disk_end(h, &t);
}

/* A fault counts, whoever was there to see it: nobody, or a supervisor that is not the parent. */
static void faults_unseen(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;

	if (SANITIZED) {
		print_message(
		    "# workers note no fault under sanitizers, which have their own handlers\n");
		skip();
	}
	disk_start(h, &t);
	supervisor_dies(h);
	assert_int_equal(kill(t.worker, SIGSEGV), 0);
	wait_until(!process_lives(t.worker));
	host_daemon_start(h, NULL);
	assert_reads(t.front, 0, SEED);
	assert_int_equal(status_number(h, "1:xvda", "faults"), 1);
	assert_string_equal(status_text(h, "1:xvda", "last_death"),
	                    "killed by signal 11 (Segmentation fault)");
	t.worker = host_worker(h, "1:xvda");
	supervisor_dies(h);
	host_daemon_start(h, NULL);
	wait_until(host_worker(h, "1:xvda") == t.worker);
	assert_int_equal(kill(t.worker, SIGBUS), 0);
	assert_reads(t.front, 0, SEED);
	wait_until(status_number(h, "1:xvda", "faults") == 2);
	assert_string_equal(status_text(h, "1:xvda", "last_death"),
	                    "killed by signal 7 (Bus error)");
	/* A kill is none. The last fault must have been seen to by a worker before that. */
	wait_until(host_worker(h, "1:xvda") > 0 &&
	           status_is(h, "1:xvda", "ring_state", "connected"));
	t.worker = host_worker(h, "1:xvda");
	supervisor_dies(h);
	assert_int_equal(kill(t.worker, SIGKILL), 0);
	host_daemon_start(h, NULL);
	assert_reads(t.front, 0, SEED);
	assert_int_equal(status_number(h, "1:xvda", "faults"), 2);
	disk_end(h, &t);
}

/* While no supervisor is there: one disk is detached, one taken out of xenstore, one comes, one
 * changes its front end. */
static void changes_meanwhile(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;
	char b[200], c[200], folder[160];

	disk_start(h, &t);
	make_image(h, "b.img", 6, b);
	host_attach(h, &(struct disk){.domid = 2, .devid = XVDB, .params = b}, b);
	struct xenblkfront *fb = host_front_connected(h, 2, "xvdb");
	pid_t wb = host_worker(h, "2:xvdb");
	supervisor_dies(h);
	/* 1:xvda: the toolstack takes it away, its front end agrees */
	host_offline(h, 1, XVDA);
	front_state(h, 1, XVDA, XS_CLOSED);
	/* 2:xvdb: gone altogether, as after xl destroy */
	xenblkfront_close(fb);
	host_remove_nodes(h, 2, XVDB);
	/* 3:xvda: new */
	make_image(h, "c.img", 7, c);
	host_disk(h, &(struct disk){.domid = 3, .params = c});
	assert_true(process_lives(wb));
	host_daemon_start(h, NULL);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	wait_until(!process_lives(t.worker));
	wait_until(!process_lives(wb));
	folder_of(h, "2:xvdb", folder);
	wait_until(access(folder, F_OK) && errno == ENOENT);
	host_wait_state(h, 3, XVDA, XS_INITWAIT);
	host_script(h, 3, XVDA, c);
	struct xenblkfront *fc = host_front_connected(h, 3, "xvda");
	assert_reads(fc, 0, 7);
	front_end(fc);
	host_detach(h, 3, XVDA);
	xenblkfront_close(t.front);
	host_remove_nodes(h, 1, XVDA);
	host_wait_gone(h, "1:xvda");
	/* The image is free again, for a new disk of the same name. */
	host_attach(h, &(struct disk){.domid = 2, .devid = XVDB, .params = b}, b);
	fb = host_front_connected(h, 2, "xvdb");
	assert_reads(fb, 0, 6);
	front_end(fb);
	host_detach(h, 2, XVDB);
}

/* A front end that went and came again has another ring; the old one is let go. */
static void reconnected_meanwhile(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;

	disk_start(h, &t);
	supervisor_dies(h);
	/* Its guest is started anew by kexec: no Closing, another ring. */
	xenblkfront_close(t.front);
	struct xenblkfront *f = host_front(h, 1, "xvda", NULL, 1);
	host_daemon_start(h, NULL);
	assert_front(f, xenblkfront_connect(f));
	assert_reads(f, 0, SEED);
	assert_int_equal(status_number(h, "1:xvda", "ring_order"), 1);
	t.front = f;
	disk_end(h, &t);
}

/* The image's key changes while nobody looks: as ever, the disk stays what it is, and says so. */
static void image_key_changed_meanwhile(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;
	char b[200];

	disk_start(h, &t);
	make_image(h, "b.img", 6, b);
	supervisor_dies(h);
	host_script(h, 1, XVDA, b);
	host_daemon_start(h, NULL);
	wait_until(strstr(status_text(h, "1:xvda", "warning"), "is not supported"));
	assert_string_equal(status_text(h, "1:xvda", "target"), t.image);
	assert_reads(t.front, 0, SEED);
	assert_int_equal(host_worker(h, "1:xvda"), t.worker);
	disk_end(h, &t);
}
/* What a worker says that its guest has taken over. */
enum lie {
	LIE_FLOOD,
	LIE_DISK,
	LIE_IMAGE,
	LIE_GENERATION,
	LIE_RING_ALONE,
	LIE_BYTES,
	LIE_SILENCE,
	LIES, /* so many are tried one after the other */
	LIE_WRITABLE,
};

static void __attribute__((noreturn)) liar(const char *path, enum lie lie, int ready)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	struct wm m, answer = {.version = WM_VERSION, .type = WM_STATE};

	unlink(path);
	strcpy(sa.sun_path, path);
	if (bind(fd, (struct sockaddr *)&sa, sizeof sa) || listen(fd, 4) ||
	    write(ready, "r", 1) != 1)
		_exit(1);
	int peer = accept(fd, NULL, NULL);
	if (recv(peer, &m, sizeof m, 0) < WM_HEAD_BYTES || m.type != WM_HELLO)
		_exit(1);
	answer.serial = m.serial;
	answer.flags = WM_HAS_IMAGE | WM_HAS_RING;
	answer.generation = lie == LIE_GENERATION ? 77 : 1;
	answer.state.domid = lie == LIE_DISK ? 2 : 1;
	answer.state.devid = XVDA;
	answer.state.caps.size = MIB;
	answer.state.caps.logical_block = lie == LIE_IMAGE ? 7 : 512;
	answer.state.caps.physical_block = 512;
	if (lie == LIE_RING_ALONE)
		answer.flags = WM_HAS_RING;
	answer.type = lie == LIE_FLOOD ? WM_RESIZED : WM_STATE;
	while (lie == LIE_FLOOD && send(peer, &answer, sizeof answer, 0) > 0) {
	}
	if (lie != LIE_SILENCE)
		send(peer, &answer, lie == LIE_BYTES ? 5 : sizeof answer, 0);
	pause();
	_exit(1);
}

/* The image of a read-only disk is open for writing, whoever did that. */
static void writable_for_a_reader(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;
	char path[180];
	int ready[2], status;
	char byte;

	make_image(h, "a.img", SEED, t.image);
	host_attach(h, &(struct disk){.params = t.image, .mode = "r"}, t.image);
	t.front = host_front_connected(h, 1, "xvda");
	t.worker = host_worker(h, "1:xvda");
	supervisor_dies(h);
	assert_int_equal(kill(t.worker, SIGKILL), 0);
	wait_until(!process_lives(t.worker));
	snprintf(path, sizeof path, "%s/disks/1:xvda/worker.sock", h->dir);
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (!pid)
		liar(path, LIE_WRITABLE, ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	host_daemon_start(h, NULL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_true(host_log_has(h, "has an image open for writing, and the disk is read-only"));
	assert_reads(t.front, 0, SEED);
	close(ready[0]);
	close(ready[1]);
	disk_end(h, &t);
}

/* As one that a guest has taken over might try to get lost: nobody finds it where it listened. */
static void stops_listening(struct host *h, const char *id)
{
	char path[180];

	snprintf(path, sizeof path, "%s/disks/%s/worker.sock", h->dir, id);
	assert_int_equal(unlink(path), 0);
}

/* The next supervisor finds it all the same, ends it, and another one serves the disk. */
static void worker_gets_lost(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;

	disk_start(h, &t);
	stops_listening(h, "1:xvda");
	supervisor_dies(h);
	host_daemon_start(h, NULL);
	wait_until(!process_lives(t.worker));
	assert_reads(t.front, 0, SEED);
	assert_int_not_equal(host_worker(h, "1:xvda"), t.worker);
	assert_true(host_log_has(h, "does not answer; killed"));
	disk_end(h, &t);
}

/* So many call it that no more can, and it answers none. */
static void worker_accepts_nobody(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct host *h = *state;
	struct disk_under_test t;
	int fd[200], n = 0;

	disk_start(h, &t);
	snprintf(un.sun_path, sizeof un.sun_path, "%s/disks/1:xvda/worker.sock", h->dir);
	supervisor_dies(h);
	assert_int_equal(kill(t.worker, SIGSTOP), 0);
	do {
		assert_true(n < 200);
		fd[n] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	} while (!connect(fd[n++], (struct sockaddr *)&un, sizeof un));
	assert_int_equal(errno, EAGAIN);
	host_daemon_start(h, NULL);
	assert_reads(t.front, 0, SEED);
	assert_false(process_lives(t.worker));
	while (n)
		close(fd[--n]);
	disk_end(h, &t);
}

/* Nor is Closed written, or the disk's folder removed, before it has ended. */
static void lost_and_detached(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;
	char folder[160];

	disk_start(h, &t);
	folder_of(h, "1:xvda", folder);
	stops_listening(h, "1:xvda");
	supervisor_dies(h);
	host_offline(h, 1, XVDA);
	host_daemon_start(h, NULL);
	host_wait_state(h, 1, XVDA, XS_CLOSED);
	assert_false(process_lives(t.worker));
	host_remove_nodes(h, 1, XVDA);
	host_wait_gone(h, "1:xvda");
	xenblkfront_close(t.front);
	/* The same without a device. */
	disk_start(h, &t);
	stops_listening(h, "1:xvda");
	supervisor_dies(h);
	xenblkfront_close(t.front);
	host_remove_nodes(h, 1, XVDA);
	host_daemon_start(h, NULL);
	wait_until(access(folder, F_OK));
	assert_false(process_lives(t.worker));
}

/* A number that another process has by now is no worker: it is left alone. */
static void number_of_another_process(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;
	char path[200], text[64];
	pid_t other = fork();
	int fd;

	if (!other)
		for (;;)
			pause();
	disk_start(h, &t);
	supervisor_dies(h);
	assert_int_equal(kill(t.worker, SIGKILL), 0);
	snprintf(path, sizeof path, "%s/disks/1:xvda/workers", h->dir);
	fd = open(path, O_RDWR);
	snprintf(text, sizeof text, "%d 1 ", (int)other);
	assert_true(pwrite(fd, text, strlen(text), 0) > 0);
	close(fd);
	host_daemon_start(h, NULL);
	assert_reads(t.front, 0, SEED);
	assert_true(process_lives(other));
	kill(other, SIGKILL);
	assert_int_equal(waitpid(other, NULL, 0), other);
	disk_end(h, &t);
}

static void lying_worker(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;
	char path[180];
	int ready[2], status;
	char byte;

	disk_start(h, &t);
	assert_int_equal(pipe(ready), 0);
	for (enum lie lie = 0; lie < LIES; lie++) {
		pid_t worker = host_worker(h, "1:xvda");
		supervisor_dies(h);
		assert_int_equal(kill(worker, SIGKILL), 0);
		wait_until(!process_lives(worker));
		snprintf(path, sizeof path, "%s/disks/1:xvda/worker.sock", h->dir);
		pid_t pid = fork();
		if (!pid)
			liar(path, lie, ready[1]);
		assert_int_equal(read(ready[0], &byte, 1), 1);
		host_daemon_start(h, NULL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		wait_until(host_log_count(h, "more than 20 messages a second; killed") == 1);
		assert_reads(t.front, 0, SEED);
		assert_string_equal(status_text(h, "1:xvda", "error"), "");
	}
	close(ready[0]);
	close(ready[1]);
	disk_end(h, &t);
}

/* The domain's number belongs to another guest now, whose keys happen to be the same: nothing of
 * the old ring is done. */
static void number_used_anew(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;

	host_write(h, "/local/domain/1", "vm", "/vm/11111111-1111-1111-1111-111111111111");
	disk_start(h, &t);
	supervisor_dies(h);
	host_write(h, "/local/domain/1", "vm", "/vm/22222222-2222-2222-2222-222222222222");
	host_daemon_start(h, NULL);
	wait_until(!process_lives(t.worker));
	assert_true(host_log_has(h, "the ring of another guest"));
	assert_held(h, 1, XVDA, "1:xvda", "belongs to another connection");
	xenblkfront_close(t.front);
	store_rm(h->store, XBT_NULL, host_fe(1, XVDA), NULL);
	host_detach(h, 1, XVDA);
}

/* A ring that was stopped for good is known to be so to each supervisor. */
static void stopped_ring(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;

	disk_start(h, &t);
	xenblkfront_poke_req_prod(t.front, 1u << 31);
	host_wait_error(h, "1:xvda", "overran the ring");
	supervisor_dies(h);
	host_daemon_start(h, NULL);
	host_wait_error(h, "1:xvda", "overran the ring");
	wait_until(status_is(h, "1:xvda", "ring_state", "stopped"));
	assert_int_equal(host_worker(h, "1:xvda"), t.worker);
	xenblkfront_close(t.front);
	t.front = host_front_connected(h, 1, "xvda");
	assert_reads(t.front, 0, SEED);
	assert_string_equal(status_text(h, "1:xvda", "error"), "");
	disk_end(h, &t);
}

/* Killed between fork and exec of a worker: for a moment the lock lives on in the child. */
static void lock_in_a_child(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;
	char path[160];

	disk_start(h, &t);
	supervisor_dies(h);
	snprintf(path, sizeof path, "%s/lock", h->dir);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	pid_t child = fork();
	if (!child) {
		usleep(300 * 1000);
		_exit(0);
	}
	close(fd);
	host_daemon_start(h, NULL);
	assert_int_equal(waitpid(child, NULL, WNOHANG), child);
	assert_reads(t.front, 0, SEED);
	disk_end(h, &t);
}

/* Each supervisor of many dies while it takes over, or before. */
static void many_supervisors(void **state)
{
	struct host *h = *state;
	struct disk_under_test t;

	disk_start(h, &t);
	supervisor_dies(h);
	for (int i = 0; i < 20; i++) {
		char program[300];
		snprintf(program, sizeof program, "%s/xenblkd", h->build);
		pid_t pid = fork();
		if (!pid) {
			int log = open(h->log, O_WRONLY | O_APPEND);
			dup2(log, 1);
			dup2(log, 2);
			execl(program, "xenblkd", "--embedded", h->dir, NULL);
			_exit(127);
		}
		usleep((unsigned)i * 1000);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	host_daemon_start(h, NULL);
	assert_reads(t.front, 0, SEED);
	assert_int_equal(host_worker(h, "1:xvda"), t.worker);
	assert_int_equal(host_state(h, 1, XVDA), XS_CONNECTED);
	disk_end(h, &t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of(as_it_was),
	    case_of(adopted_then_killed),
	    case_of(faults_unseen),
	    case_of(changes_meanwhile),
	    case_of(reconnected_meanwhile),
	    case_of(image_key_changed_meanwhile),
	    case_of(lying_worker),
	    case_of(writable_for_a_reader),
	    case_of(worker_gets_lost),
	    case_of(worker_accepts_nobody),
	    case_of(lost_and_detached),
	    case_of(number_of_another_process),
	    case_of(number_used_anew),
	    case_of(stopped_ring),
	    case_of(lock_in_a_child),
	    case_of(many_supervisors),
	};

	return cmocka_run_group_tests_name("adopt", tests, NULL, NULL);
}
