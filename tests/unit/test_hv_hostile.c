/* SPDX-License-Identifier: MIT */
/* Embedded Xen: clients that do not keep to the protocol end; nobody else notices. */
#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "hv_fixture.h"
#include "xen/embedded/hypercall.h"

static int dial(const char *dir, const char *name, int type)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_true(sock >= 0);
	snprintf(addr.sun_path, sizeof addr.sun_path, "%s/%s", dir, name);
	assert_int_equal(connect(sock, (struct sockaddr *)&addr, sizeof addr), 0);
	return sock;
}

static int dial_greeted(const char *dir, enum hv_kind kind)
{
	struct hv_request req = {.op = HV_HELLO, .arg = kind, .serial = HV_VERSION};
	struct hv_reply reply;
	int sock = dial(dir, HV_SOCKET, SOCK_SEQPACKET);

	assert_int_equal(send(sock, &req, sizeof req, 0), sizeof req);
	assert_int_equal(recv(sock, &reply, sizeof reply, 0), sizeof reply);
	assert_int_equal(reply.rc, 0);
	return sock;
}

/* The other side has ended the connection. */
static bool ended(int sock)
{
	struct pollfd p = {.fd = sock, .events = POLLRDHUP};

	return poll(&p, 1, 5000) == 1 && (p.revents & POLLHUP);
}

static unsigned open_files(pid_t pid)
{
	char path[64];
	unsigned n = 0;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	DIR *d = opendir(path);
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Everything is as it was, and works. A client that came and went may still wait to be let in. */
static void expect_sane(struct hv_test *t, const struct xen_usage *before, unsigned files)
{
	struct xen_usage after;
	struct xen_gntshr *s;
	uint32_t ref;

	for (int i = 0; i < 500; i++) {
		after = hv_usage_now(t);
		if (!memcmp(&after, before, sizeof after) && open_files(t->pid) == files)
			break;
		usleep(10000);
	}
	assert_memory_equal(&after, before, sizeof after);
	assert_int_equal(open_files(t->pid), files);
	s = hv_gntshr(t->front);
	hv_pages(s, 1, true, &ref);
	xen_gntshr_close(s);
}

static void packets_that_are_no_requests(void **state)
{
	struct hv_test *t = *state;
	static char big[sizeof(struct hv_request) + HV_REFS_MAX * 4 + 1];
	struct hv_request *req = (struct hv_request *)(void *)big;
	struct xen_usage before = hv_usage_now(t);
	unsigned files = open_files(t->pid);

	static const size_t sizes[] = {0, 1, sizeof *req - 1, sizeof *req + 1, sizeof big};
	for (int greeted = 0; greeted < 2; greeted++) {
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			int sock = greeted ? dial_greeted(t->dir, HV_GNTTAB)
			                   : dial(t->dir, HV_SOCKET, SOCK_SEQPACKET);
			*req = (struct hv_request){.op = HV_MAP, .bytes = HV_REFS_MAX * 4 + 1};
			if (sizes[i] != sizeof big)
				req->bytes = 0;
			assert_int_equal(send(sock, big, sizes[i], 0), sizes[i]);
			assert_true(ended(sock));
			close(sock);
		}
	}
	/* A good request before the greeting. */
	int sock = dial(t->dir, HV_SOCKET, SOCK_SEQPACKET);
	*req = (struct hv_request){.op = HV_USAGE};
	assert_int_equal(send(sock, req, sizeof *req, 0), sizeof *req);
	assert_true(ended(sock));
	close(sock);
	expect_sane(t, &before, files);
}

static int ask(int sock, struct hv_request req)
{
	struct hv_reply reply;

	assert_int_equal(send(sock, &req, sizeof req, 0), sizeof req);
	assert_true(recv(sock, &reply, sizeof reply, 0) == sizeof reply);
	return reply.rc;
}

static void greetings_and_requests_that_are_refused(void **state)
{
	struct hv_test *t = *state;
	struct xen_usage before = hv_usage_now(t);
	unsigned files = open_files(t->pid);
	int sock = dial(t->dir, HV_SOCKET, SOCK_SEQPACKET);
	struct hv_request hello = {.op = HV_HELLO, .serial = HV_VERSION + 1};

	assert_int_equal(ask(sock, hello), -EPROTO);
	hello.serial = HV_VERSION;
	hello.arg = HV_KINDS;
	assert_int_equal(ask(sock, hello), -EINVAL);
	hello.arg = HV_PLATFORM;
	hello.domid = 9;
	assert_int_equal(ask(sock, hello), -ENOENT);
	hello.domid = 0xffff;
	assert_int_equal(ask(sock, hello), -ENOENT);
	hello.domid = FRONT;
	assert_int_equal(ask(sock, hello), 0);
	assert_int_equal(ask(sock, hello), -EINVAL);
	/* Another kind of handle's, or nobody's. */
	static const uint32_t ops[] = {0, HV_MEMORY, HV_MAP, HV_UNMAP, HV_SHARE, HV_BIND, 99, ~0u};
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
		assert_int_equal(ask(sock, (struct hv_request){.op = ops[i]}), -EINVAL);
	assert_int_equal(ask(sock, (struct hv_request){.op = HV_DOMAIN_CREATE, .domid = 9}),
	                 -EPERM);
	close(sock);
	expect_sane(t, &before, files);
}

/* Any request of each kind of handle with any numbers, from a fixed start. */
static void random_requests(void **state)
{
	struct hv_test *t = *state;
	struct xen_usage before = hv_usage_now(t);
	unsigned files = open_files(t->pid);
	struct {
		struct hv_request req;
		uint32_t words[8];
	} packet;
	unsigned seed = 12345;

	for (int round = 0; round < 40; round++) {
		enum hv_kind kind = (enum hv_kind)(round % HV_KINDS);
		int sock = dial_greeted(t->dir, kind);
		for (int i = 0; i < 300; i++) {
			static const uint16_t domids[] = {0, FRONT, 8, 0x7fef, 0x7ff0, 0xffff};
			char reply[sizeof(struct hv_reply) + HV_REFS_MAX * 4];
			packet.req = (struct hv_request){.op = (uint32_t)rand_r(&seed) % 18,
			                                 .domid = domids[rand_r(&seed) % 6],
			                                 .flag = (uint16_t)(rand_r(&seed) % 2),
			                                 .arg = (uint32_t)rand_r(&seed) % 12,
			                                 .bytes = (uint32_t)rand_r(&seed) % 33};
			if (packet.req.op == HV_BYE || packet.req.op == HV_DOMAIN_DESTROY)
				continue;
			if (rand_r(&seed) % 8 == 0)
				packet.req.arg = ~packet.req.arg;
			for (int w = 0; w < 8; w++)
				packet.words[w] = (uint32_t)rand_r(&seed) % 16;
			size_t n = sizeof packet.req + packet.req.bytes;
			assert_int_equal(send(sock, &packet, n, 0), n);
			assert_true(recv(sock, reply, sizeof reply, 0) >=
			            (int)sizeof(struct hv_reply));
		}
		close(sock);
	}
	static const uint16_t made[] = {8, XEN_DOMID_MAX};
	for (int i = 0; i < 2; i++)
		xen_domain_destroy(t->back, made[i], NULL);
	hv_fault_set(t, "clear");
	expect_sane(t, &before, files);
}

/* Descriptors that a client sends along are not kept. */
static void descriptors_sent_along(void **state)
{
	struct hv_test *t = *state;
	struct xen_usage before = hv_usage_now(t);
	unsigned files = open_files(t->pid);
	int sock = dial_greeted(t->dir, HV_PLATFORM), fds[8];
	struct hv_request req = {.op = HV_FAULT};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof fds)];
	} ctl = {0};

	for (int i = 0; i < 8; i++)
		fds[i] = i % 3;
	for (int i = 0; i < 50; i++) {
		struct iovec iov = {&req, sizeof req};
		struct msghdr msg = {.msg_iov = &iov,
		                     .msg_iovlen = 1,
		                     .msg_control = ctl.room,
		                     .msg_controllen = sizeof ctl.room};
		struct hv_reply reply;
		struct cmsghdr *cm = CMSG_FIRSTHDR(&msg);
		*cm = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
		                       .cmsg_type = SCM_RIGHTS,
		                       .cmsg_len = CMSG_LEN(sizeof fds)};
		memcpy(CMSG_DATA(cm), fds, sizeof fds);
		assert_int_equal(sendmsg(sock, &msg, 0), sizeof req);
		assert_int_equal(recv(sock, &reply, sizeof reply, 0), sizeof reply);
		assert_int_equal(reply.rc, -EINVAL);
	}
	close(sock);
	expect_sane(t, &before, files);
}

/* Asks and never listens: cut off, not waited for. */
static void answers_not_taken(void **state)
{
	struct hv_test *t = *state;
	struct xen_usage before = hv_usage_now(t);
	unsigned files = open_files(t->pid);
	int sock = dial_greeted(t->dir, HV_PLATFORM);
	struct hv_request req = {.op = HV_USAGE};
	int i;

	for (i = 0; i < 100000; i++)
		if (send(sock, &req, sizeof req, MSG_NOSIGNAL) < 0)
			break;
	assert_in_range(i, 10, 99999);
	assert_true(errno == EPIPE || errno == ECONNRESET);
	close(sock);
	expect_sane(t, &before, files);
}

static void silent_and_many(void **state)
{
	struct hv_test *t = *state;
	struct xen_usage before = hv_usage_now(t);
	unsigned files = open_files(t->pid);
	int sock[400];

	for (int i = 0; i < 400; i++)
		sock[i] = i % 2 ? dial(t->dir, HV_SOCKET, SOCK_SEQPACKET)
		                : dial(t->dir, HV_STORE_SOCKET, SOCK_STREAM);
	for (int i = 0; i < 500 && hv_usage_now(t).clients + hv_usage_now(t).store_conns <
	                               before.clients + 400;
	     i++)
		usleep(10000);
	assert_int_equal(hv_usage_now(t).clients, before.clients + 200);
	assert_int_equal(hv_usage_now(t).store_conns, 200);
	for (int i = 0; i < 400; i++)
		close(sock[i]);
	expect_sane(t, &before, files);
}

static void store_garbage(void **state)
{
	struct hv_test *t = *state;
	struct xen_usage before = hv_usage_now(t);
	unsigned files = open_files(t->pid), seed = 99;
	char junk[5000];

	for (int round = 0; round < 100; round++) {
		int sock = dial(t->dir, round % 2 ? HV_STORE_SOCKET : "domains/7/" HV_STORE_SOCKET,
		                SOCK_STREAM);
		for (size_t i = 0; i < sizeof junk; i++)
			junk[i] = (char)rand_r(&seed);
		if (round % 3 == 0)
			memset(junk, 0xff, 16); /* a length of 4 GiB */
		send(sock, junk, 1 + (size_t)rand_r(&seed) % sizeof junk, MSG_NOSIGNAL);
		if (round % 3 == 0)
			assert_true(ended(sock));
		close(sock);
	}
	expect_sane(t, &before, files);
}

int main(void)
{
	const struct CMUnitTest tests[] = {HV_TEST(packets_that_are_no_requests),
	                                   HV_TEST(greetings_and_requests_that_are_refused),
	                                   HV_TEST(random_requests),
	                                   HV_TEST(descriptors_sent_along),
	                                   HV_TEST(answers_not_taken),
	                                   HV_TEST(silent_and_many),
	                                   HV_TEST(store_garbage)};

	return cmocka_run_group_tests_name("hv_hostile", tests, NULL, NULL);
}
