/* SPDX-License-Identifier: MIT */
/* Whether a disk may be written is not believed on anybody's word: each descriptor of its image
 * that goes from one process to another is looked at by the one that gets it. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "control.h"
#include "disk/message.h"
#include "holder/holder.h"
#include "image_lock.h"
#include "limited.h"
#include "needs.h"
#include "storage/parcel.h"
#include "storage/parcel.h"

#define SEED 5
#define ID "1:xvda"

/* A worker that claims the image in another mode is ended, and that is its own doing: five in a row
 * are a crash loop. An honest one then serves the disk. */
static void liar(struct host *h, const char *mode, const char *lie)
{
	struct xenblkfront *f;
	char image[200];

	make_image(h, "a.img", SEED, image);
	limit(lie);
	host_disk(h, &(struct disk){.params = image, .mode = mode});
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	host_script(h, 1, XVDA, image);
	assert_fatal(h, 1, XVDA, ID,
	             "worker died 5 times in a row, last: it claimed the image in another mode");
	assert_true(host_log_has(h, "sent a claim that is not open as mode"));
	limit("");
	host_detach(h, 1, XVDA);
	host_attach(h, &(struct disk){.params = image, .mode = mode}, image);
	f = host_front_connected(h, 1, "xvda");
	assert_reads(f, 0, SEED);
	front_end(f);
	host_detach(h, 1, XVDA);
}

static void written_though_read_only(void **state)
{
	liar(*state, "r", "claim-rw");
}

static void read_only_though_written(void **state)
{
	liar(*state, "w", "claim-r");
}

static void written_blindly(void **state)
{
	liar(*state, "w", "claim-w");
}

/* Instead of the claim that the holder has. */
static void give_holder(struct host *h, const char *image, int flags)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int fd = open(image, flags | O_CLOEXEC);

	snprintf(un.sun_path, sizeof un.sun_path, "%s/" HOLDER_SOCKET, h->dir);
	assert_int_equal(connect(sock, (struct sockaddr *)&un, sizeof un), 0);
	int parcel = parcel_make(fd);
	assert_true(parcel >= 0);
	assert_int_equal(holder_send(sock, HOLDER_PUT, ID, parcel, 0), 0);
	close(parcel);
	close(fd);
	close(sock);
}

/* A claim that was kept is looked at before a worker gets it, and made anew if it is not right. */
static void kept(struct host *h, const char *mode, int flags)
{
	struct xenblkfront *f;
	char image[200];

	make_image(h, "a.img", SEED, image);
	host_attach(h, &(struct disk){.params = image, .mode = mode}, image);
	f = host_front_connected(h, 1, "xvda");
	pid_t worker = host_worker(h, ID);
	host_daemon_kill(h, SIGKILL);
	kill(worker, SIGKILL);
	give_holder(h, image, flags);
	host_daemon_start(h, NULL);
	assert_reads(f, 0, SEED);
	assert_true(host_log_has(h, "the claim of the image that was kept is not open as mode"));
	front_end(f);
	host_detach(h, 1, XVDA);
}

static void kept_for_writing(void **state)
{
	kept(*state, "r", O_RDWR);
}

static void kept_for_reading(void **state)
{
	kept(*state, "w", O_RDONLY);
}

/* A claim without its locks keeps nobody out. The next worker takes them again, or says who has the
 * image by now, and the disk waits. */
static void kept_without_locks(void **state)
{
	struct host *h = *state;
	struct xenblkfront *f;
	char image[200];

	make_image(h, "a.img", SEED, image);
	host_attach(h, &(struct disk){.params = image}, image);
	f = host_front_connected(h, 1, "xvda");
	pid_t worker = host_worker(h, ID);
	host_daemon_kill(h, SIGKILL);
	kill(worker, SIGKILL);
	give_holder(h, image, O_RDWR);
	int other = open(image, O_RDWR | O_CLOEXEC);
	wait_until(image_own(other));
	host_daemon_start(h, NULL);
	assert_held(h, 1, XVDA, ID, "is in use");
	close(other);
	json_t *answer = host_control(h, "recover", ID);
	assert_true(json_is_true(json_object_get(answer, "ok")));
	json_decref(answer);
	assert_reads(f, 0, SEED);
	other = open(image, O_RDWR | O_CLOEXEC);
	assert_false(image_own(other));
	close(other);
	front_end(f);
	host_detach(h, 1, XVDA);
}

/* A worker of our own, in the folder of that disk, told what we like; its answer is *m. */
static void ask_worker(struct host *h, struct wm *m, int fd)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char prog[300], dir[100];
	int status, listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(prog, sizeof prog, "%s/xenblkd-worker", h->build);
	snprintf(dir, sizeof dir, "%s/disks/" ID, h->dir);
	snprintf(un.sun_path, sizeof un.sun_path, "%s/mine.sock", h->dir);
	unlink(un.sun_path);
	assert_int_equal(bind(listener, (struct sockaddr *)&un, sizeof un), 0);
	assert_int_equal(listen(listener, 1), 0);
	pid_t pid = fork();
	if (!pid) {
		dup2(listener, 3);
		execl(prog, "liar", "--dir", dir, "--embedded", h->dir, "--domid", "1", "--devid",
		      "51712", "--name", ID, NULL);
		_exit(127);
	}
	assert_int_equal(connect(sock, (struct sockaddr *)&un, sizeof un), 0);
	assert_int_equal(wm_send(sock, m, 1, fd), 0);
	assert_true(recv(sock, m, sizeof *m, 0) > 0);
	/* It has no image, so it ends with us. */
	close(sock);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	close(listener);
}

/* A supervisor's word does not make a disk writable either. */
static void lying_supervisor(void **state)
{
	struct host *h = *state;
	char image[200];

	make_image(h, "a.img", SEED, image);
	host_attach(h, &(struct disk){.params = image, .mode = "r"}, image);
	wait_image_open(h, ID);
	for (unsigned readonly = 0; readonly < 2; readonly++) {
		struct wm m = {.type = WM_OPEN,
		               .open = {.target = {.engine = STORAGE_FILE},
		                        .readonly = (uint8_t)readonly,
		                        .has_claim = 1}};
		snprintf(m.open.target.path, sizeof m.open.target.path, "%s", image);
		int fd = open(image, (readonly ? O_RDWR : O_RDONLY) | O_CLOEXEC);
		int parcel = parcel_make(fd);
		ask_worker(h, &m, parcel);
		close(parcel);
		close(fd);
		assert_int_equal(m.type, WM_FAILED);
		assert_non_null(strstr(m.text, readonly ? "not open as a read-only disk's must be"
		                                        : "not open as a writable disk's must be"));
	}
	host_detach(h, 1, XVDA);
}

#define case_of_limited(name) cmocka_unit_test_setup_teardown(name, limited_setup, limited_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    case_of_limited(written_though_read_only), case_of_limited(read_only_though_written),
	    case_of_limited(written_blindly),          case_of_limited(kept_for_writing),
	    case_of_limited(kept_for_reading),         case_of_limited(lying_supervisor),
	    case_of_limited(kept_without_locks),
	};

	program_needs(lacks_io_uring());
	return cmocka_run_group_tests_name("claim_mode", tests, NULL, NULL);
}
