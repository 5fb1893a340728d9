/* SPDX-License-Identifier: MIT */
/* What systemd is told, by a socket that stands in for systemd's. */
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "package.h"

/* NOTIFY_SOCKET of the daemons that are started from now on; abstract: without a name in the file
 * system. */
static int listen_as_systemd(struct host *h, bool abstract)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof sa.sun_path, "%c%s/notify", abstract ? '@' : '/', h->dir + 1);
	setenv("NOTIFY_SOCKET", sa.sun_path, 1);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(sa.sun_path));
	if (abstract)
		sa.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
	return fd;
}

/* Within so many milliseconds; "": nothing came. */
static const char *heard(int fd, int ms)
{
	static char text[512];
	struct pollfd p = {.fd = fd, .events = POLLIN};

	text[0] = '\0';
	if (poll(&p, 1, ms) == 1) {
		ssize_t n = recv(fd, text, sizeof text - 1, 0);
		assert_true(n > 0);
		text[n] = '\0';
	}
	return text;
}

static void notified(int fd, const char *want)
{
	const char *text = heard(fd, WAIT_MS);

	if (strncmp(text, want, strlen(want)))
		fail_msg("%s, expected %s", text, want);
}

/* Others may come before it. */
static void notified_in_the_end(int fd, const char *want)
{
	uint64_t end = clock_ns() + WAIT_MS * NS_PER_MS;

	while (strcmp(heard(fd, WAIT_MS), want))
		if (clock_ns() > end)
			fail_msg("never told \"%s\"", want);
}

static int setup(void **state)
{
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return host_setup(state);
}

static void start_and_end(void **state)
{
	struct host *h = *state;

	for (int abstract = 0; abstract < 2; abstract++) {
		host_daemon_kill(h, SIGKILL);
		int fd = listen_as_systemd(h, abstract);
		host_daemon_start(h, NULL);
		notified(fd, "READY=1\nSTATUS=0 disks, 0 connected");
		assert_int_equal(ctl(h, NULL, "upgrade"), 0);
		notified(fd, "RELOADING=1\nMONOTONIC_USEC=");
		notified(fd, "READY=1\nSTATUS=0 disks, 0 connected");
		host_daemon_kill(h, SIGTERM);
		notified(fd, "STOPPING=1");
		close(fd);
		host_daemon_start(h, NULL);
	}
}

/* `systemctl status` shows it. */
static void status_follows(void **state)
{
	struct host *h = *state;
	char image[200];

	host_daemon_kill(h, SIGKILL);
	int fd = listen_as_systemd(h, false);
	host_daemon_start(h, NULL);
	notified(fd, "READY=1\nSTATUS=0 disks, 0 connected");
	snprintf(image, sizeof image, "%s", host_image(h, "a.img", 1 << 20));
	host_attach(h, &(struct disk){.params = image}, image);
	struct xenblkfront *f = host_front_connected(h, 1, "xvda");
	notified_in_the_end(fd, "STATUS=1 disk, 1 connected");
	host_disk(h, &(struct disk){.devid = XVDB, .params = "/no/such/image"});
	host_script(h, 1, XVDB, "/no/such/image");
	notified_in_the_end(fd, "STATUS=2 disks, 1 connected, 1 failed (xenblkctl list)");
	front_end(f);
	host_detach(h, 1, XVDA);
	host_detach(h, 1, XVDB);
	notified_in_the_end(fd, "STATUS=0 disks, 0 connected");
	close(fd);
}

/* Its watchdog kills a supervisor whose loop hangs, hence hears from a loop that runs only. */
static void watchdog(void **state)
{
	struct host *h = *state;

	host_daemon_kill(h, SIGKILL);
	int fd = listen_as_systemd(h, false);
	setenv("WATCHDOG_USEC", "100000", 1);
	host_daemon_start(h, NULL);
	notified(fd, "READY=1");
	for (int i = 0; i < 5; i++)
		notified(fd, "WATCHDOG=1");
	/* The program that replaces it goes on. */
	assert_int_equal(ctl(h, NULL, "upgrade"), 0);
	notified_in_the_end(fd, "READY=1\nSTATUS=0 disks, 0 connected");
	notified(fd, "WATCHDOG=1");

	kill(h->daemon, SIGSTOP);
	while (*heard(fd, 300))
		;
	kill(h->daemon, SIGCONT);
	notified(fd, "WATCHDOG=1");
	host_daemon_kill(h, SIGKILL);

	/* It watches another process. */
	setenv("WATCHDOG_PID", "1", 1);
	while (*heard(fd, 0))
		;
	host_daemon_start(h, NULL);
	notified(fd, "READY=1");
	assert_string_equal(heard(fd, 300), "");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(start_and_end, setup, host_teardown),
	    cmocka_unit_test_setup_teardown(status_follows, setup, host_teardown),
	    cmocka_unit_test_setup_teardown(watchdog, setup, host_teardown),
	};

	return cmocka_run_group_tests_name("systemd", tests, NULL, NULL);
}
