/* SPDX-License-Identifier: MIT */
/* Embedded Xen: domains come and go; the hypervisor process, too. */
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/io/xs_wire.h>
#include <xenstore.h>

#include "hv_fixture.h"
#include "../lib/needs.h"

static void create_and_destroy(void **state)
{
	struct hv_test *t = *state;
	struct error err = {0};
	struct stat st;
	char path[128];

	assert_int_equal(hv_usage_now(t).domains, 1);
	assert_int_equal(xen_domain_create(t->back, FRONT, &err), -EEXIST);
	assert_string_equal(err.text, "cannot create domain 7: it exists already");
	assert_int_equal(xen_domain_create(t->back, 0, &err), -EEXIST);
	assert_int_equal(xen_domain_create(t->back, 0x7ff0, &err), -EINVAL);
	assert_int_equal(xen_domain_destroy(t->back, 8, &err), -ENOENT);
	assert_string_equal(err.text, "cannot destroy domain 8: there is no such domain");
	assert_int_equal(xen_domain_destroy(t->back, 0, &err), -EINVAL);
	assert_int_equal(xen_domain_create(t->front, 8, &err), -EPERM);
	assert_int_equal(xen_domain_destroy(t->front, FRONT, &err), -EPERM);
	assert_int_equal(xen_domain_create(t->back, XEN_DOMID_MAX, &err), 0);
	assert_int_equal(hv_usage_now(t).domains, 2);
	snprintf(path, sizeof path, "%s/domains/%u/xenstored.sock", t->dir, XEN_DOMID_MAX);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(xen_domain_destroy(t->back, XEN_DOMID_MAX, &err), 0);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(hv_usage_now(t).domains, 1);
	struct xen_platform *p;
	assert_int_equal(xen_platform_open(t->dir, 8, &p, &err), -ENOENT);
	assert_null(p);
}

static struct xs_handle *store(const struct xen_platform *p)
{
	setenv("XENSTORED_PATH", xen_platform_store_path(p), 1);
	struct xs_handle *xs = xs_open(0);
	unsetenv("XENSTORED_PATH");
	assert_non_null(xs);
	return xs;
}

static void store_speaks_for_the_domain(void **state)
{
	struct hv_test *t = *state;
	struct xs_handle *back = store(t->back), *front = store(t->front);
	struct xs_permissions perms[2] = {{.id = FRONT, .perms = XS_PERM_NONE}};
	unsigned len, n;
	char *value, **event;

	assert_int_equal(hv_usage_now(t).store_conns, 2);
	assert_true(xs_write(back, XBT_NULL, "/local/domain/7/device", "", 0));
	assert_true(xs_set_permissions(back, XBT_NULL, "/local/domain/7/device", perms, 1));
	assert_true(xs_write(front, XBT_NULL, "device/x", "from 7", 6));
	value = xs_read(back, XBT_NULL, "/local/domain/7/device/x", &len);
	assert_string_equal(value, "from 7");
	free(value);
	assert_false(xs_write(front, XBT_NULL, "/local/domain/0/x", "y", 1));
	assert_int_equal(errno, EACCES);
	assert_true(xs_is_domain_introduced(back, FRONT));
	assert_false(xs_is_domain_introduced(back, 8));

	assert_true(xs_watch(back, "@introduceDomain", "new"));
	assert_true(xs_watch(back, "@releaseDomain", "gone"));
	for (int i = 0; i < 2; i++) /* each watch fires once at first */
		free(xs_read_watch(back, &n));
	assert_int_equal(xen_domain_create(t->back, 8, NULL), 0);
	event = xs_read_watch(back, &n);
	assert_string_equal(event[XS_WATCH_PATH], "@introduceDomain");
	free(event);
	assert_int_equal(xen_domain_destroy(t->back, 8, NULL), 0);
	event = xs_read_watch(back, &n);
	assert_string_equal(event[XS_WATCH_PATH], "@releaseDomain");
	free(event);

	/* The domain's end is its clients' end. */
	assert_int_equal(xen_domain_destroy(t->back, FRONT, NULL), 0);
	assert_null(xs_read(front, XBT_NULL, "device/x", &len));
	assert_int_equal(hv_usage_now(t).store_conns, 1);
	xs_close(front);
	xs_close(back);
	assert_int_equal(hv_usage_now(t).store_conns, 0);
}

/* The next message of that type; others are passed over. Its payload as a string. */
static void next_message(int sock, uint32_t type, char *payload, size_t cap)
{
	struct xsd_sockmsg msg;

	do {
		assert_int_equal(recv(sock, &msg, sizeof msg, MSG_WAITALL), sizeof msg);
		assert_true(msg.len < cap);
		assert_int_equal(recv(sock, payload, msg.len, MSG_WAITALL), msg.len);
		payload[msg.len] = '\0';
	} while (msg.type != type);
}

/* Half a megabyte of events for a client that reads late. libxenstore would read ahead. */
static void store_waits_for_a_slow_client(void **state)
{
	struct hv_test *t = *state;
	struct xs_handle *back = store(t->back);
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = 20};
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char path[96], payload[256];
	struct {
		struct xsd_sockmsg msg;
		char body[8];
	} watch = {{.type = XS_WATCH, .len = 8}, "/tool\0t"};

	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	strcpy(addr.sun_path, xen_platform_store_path(t->back));
	assert_int_equal(connect(sock, (struct sockaddr *)&addr, sizeof addr), 0);
	assert_int_equal(send(sock, &watch, sizeof watch, 0), sizeof watch);
	next_message(sock, XS_WATCH_EVENT, payload, sizeof payload);
	assert_string_equal(payload, "/tool");
	for (int i = 0; i < 6000; i++) {
		snprintf(path, sizeof path, "/tool/%050d", i);
		assert_true(xs_write(back, XBT_NULL, path, "", 0));
	}
	for (int i = 0; i < 6000; i++) {
		next_message(sock, XS_WATCH_EVENT, payload, sizeof payload);
		snprintf(path, sizeof path, "/tool/%050d", i);
		assert_string_equal(payload, path);
	}
	close(sock);
	xs_close(back);
}

static void handles_of_a_destroyed_domain(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front), *s0 = hv_gntshr(t->back);
	struct xen_gnttab *g = hv_gnttab(t->back), *gf = hv_gnttab(t->front);
	struct xen_evtchn *f = hv_evtchn(t->front), *b = hv_evtchn(t->back);
	uint32_t ref, ref0, fp = (uint32_t)xen_evtchn_bind_unbound(f, BACK);
	uint32_t bp = (uint32_t)xen_evtchn_bind_interdomain(b, FRONT, fp);
	char *page = hv_pages(s, 1, true, &ref), buf[8];
	struct xen_usage u;
	void *seen, *seen0, *none;

	assert_int_equal(xen_gntshr_share(s0, FRONT, 1, true, &ref0, &none), 0);
	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &ref, true, &seen), 0);
	assert_int_equal(xen_gnttab_map(gf, BACK, 1, &ref0, true, &seen0), 0);
	strcpy(page, "old");
	struct xen_copy c = {.local = buf, .ref = ref, .length = 8};
	assert_int_equal(xen_gnttab_copy(g, FRONT, &c, 1), 0);
	assert_int_equal(c.status, GNTST_okay);

	assert_int_equal(xen_domain_destroy(t->back, FRONT, NULL), 0);
	/* Of the domain itself only the map is left, which its process must let go of. */
	u = hv_usage_now(t);
	assert_int_equal(u.domains, 0);
	assert_int_equal(u.grants, 1);
	assert_int_equal(u.ports, 1);
	assert_int_equal(u.interdomain, 0);
	assert_int_equal(u.maps, 2);
	assert_int_equal(xen_gntshr_share(s, BACK, 1, true, &ref, &none), -EIO);
	assert_int_equal(xen_gnttab_map(gf, BACK, 1, &ref0, true, &none), -ENODEV);
	assert_int_equal(xen_evtchn_bind_unbound(f, BACK), -EIO);
	assert_int_equal(xen_evtchn_notify(f, fp), -EIO);
	assert_int_equal(xen_evtchn_pending(f), -EIO);
	assert_int_equal(xen_usage(t->front, &u), -EIO);
	assert_int_equal(xen_gnttab_unmap(gf, seen0, 1), 0);
	assert_int_equal(hv_usage_now(t).maps, 1);
	/* Domain 0's end. */
	assert_int_equal(xen_evtchn_notify(b, bp), 0);
	assert_string_equal(seen, "old");
	assert_int_equal(xen_gnttab_copy(g, FRONT, &c, 1), 0);
	assert_int_equal(c.status, GNTST_bad_domain);

	/* Made anew: nothing of the old one shows. */
	assert_int_equal(xen_domain_create(t->back, FRONT, NULL), 0);
	struct xen_platform *front = hv_open(t->dir, FRONT);
	struct xen_gntshr *s2 = hv_gntshr(front);
	struct xen_evtchn *f2 = hv_evtchn(front);
	assert_int_equal(xen_gnttab_copy(g, FRONT, &c, 1), 0);
	assert_int_equal(c.status, GNTST_general_error);
	uint32_t ref2;
	char *page2 = hv_pages(s2, 1, true, &ref2);
	assert_int_equal(ref2, ref);
	strcpy(page2, "new");
	assert_int_equal(xen_gnttab_copy(g, FRONT, &c, 1), 0);
	assert_int_equal(c.status, GNTST_okay);
	assert_string_equal(buf, "new");
	void *seen2;
	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &ref2, true, &seen2), 0);
	assert_string_equal(seen2, "new");
	assert_string_equal(seen, "old");
	/* Domain 0's port is reserved for that domain number, as in Xen. */
	int fp2 = xen_evtchn_bind_interdomain(f2, BACK, bp);
	assert_true(fp2 > 0);
	assert_int_equal(xen_evtchn_notify(f, fp), -EIO); /* the old handle cannot meddle */
	assert_int_equal(xen_evtchn_unmask(f, fp), -EIO);
	assert_int_equal(xen_evtchn_pending(f2), fp2);
	assert_int_equal(xen_gnttab_unmap(g, seen, 1), 0);
	assert_int_equal(xen_gnttab_unmap(g, seen2, 1), 0);
	xen_gntshr_close(s);
	xen_gntshr_close(s0);
	xen_gntshr_close(s2);
	xen_gnttab_close(g);
	xen_gnttab_close(gf);
	xen_evtchn_close(f);
	xen_evtchn_close(f2);
	xen_evtchn_close(b);
	xen_platform_close(front);
}

static void destroy_and_create_many_times(void **state)
{
	struct hv_test *t = *state;
	struct xen_gnttab *g = hv_gnttab(t->back);
	struct xen_usage before = hv_usage_now(t);

	for (int round = 0; round < 50; round++) {
		assert_int_equal(xen_domain_create(t->back, 9, NULL), 0);
		struct xen_platform *p = hv_open(t->dir, 9);
		struct xen_gntshr *s = hv_gntshr(p);
		uint32_t ref;
		char *page = hv_pages(s, 1, true, &ref), buf[16];
		snprintf(page, 16, "round %d", round);
		struct xen_copy c = {.local = buf, .ref = ref, .length = 16};
		assert_int_equal(xen_gnttab_copy(g, 9, &c, 1), 0);
		assert_int_equal(c.status, 0);
		assert_string_equal(buf, page);
		assert_int_equal(xen_domain_destroy(t->back, 9, NULL), 0);
		xen_gntshr_close(s);
		xen_platform_close(p);
	}
	struct xen_usage after = hv_usage_now(t);
	assert_memory_equal(&after, &before, sizeof after);
	xen_gnttab_close(g);
}

static void two_side_by_side(void **state)
{
	struct hv_test *t = *state, *o;

	hv_setup((void **)&o);
	struct xen_gntshr *s = hv_gntshr(t->front), *os = hv_gntshr(o->front);
	struct xen_gnttab *g = hv_gnttab(t->back), *og = hv_gnttab(o->back);
	struct xen_evtchn *f = hv_evtchn(t->front), *ob = hv_evtchn(o->back);
	uint32_t ref, oref;
	void *seen, *oseen;

	strcpy(hv_pages(s, 1, true, &ref), "one");
	strcpy(hv_pages(os, 1, true, &oref), "two");
	assert_int_equal(ref, oref);
	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &ref, true, &seen), 0);
	assert_int_equal(xen_gnttab_map(og, FRONT, 1, &ref, true, &oseen), 0);
	assert_string_equal(seen, "one");
	assert_string_equal(oseen, "two");
	int fp = xen_evtchn_bind_unbound(f, BACK);
	assert_int_equal(xen_evtchn_bind_interdomain(ob, FRONT, (uint32_t)fp), -EINVAL);
	xen_gntshr_close(os);
	xen_gnttab_close(og);
	xen_evtchn_close(ob);
	hv_teardown((void **)&o);
	assert_int_equal(hv_usage_now(t).maps, 1);
	xen_gntshr_close(s);
	xen_gnttab_close(g);
	xen_evtchn_close(f);
}

/* Exit status and what it printed (both streams) of the program with these arguments. */
static int run(char *out, size_t cap, const char *arg)
{
	char program[PATH_MAX];
	int fd[2], status;
	size_t n = 0;
	ssize_t r;

	hv_program(program, sizeof program);
	assert_int_equal(pipe(fd), 0);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(fd[1], 1);
		dup2(fd[1], 2);
		close(fd[0]);
		execl(program, program, arg, (char *)NULL);
		_exit(127);
	}
	close(fd[1]);
	while ((r = read(fd[0], out + n, cap - 1 - n)) > 0)
		n += (size_t)r;
	out[n] = '\0';
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void refuses_to_start(void **state)
{
	struct hv_test *t = *state;
	char out[1024], expect[256], longer[100] = "/tmp/";

	assert_int_equal(run(out, sizeof out, t->dir), 1);
	snprintf(expect, sizeof expect,
	         "xenblkd-xen: error: another xenblkd-xen serves '%s' already: stop it, or choose "
	         "another directory\n",
	         t->dir);
	assert_string_equal(out, expect);
	memset(longer + 5, 'd', 73);
	assert_int_equal(run(out, sizeof out, longer), 1);
	assert_non_null(strstr(out, "is 78 bytes long; sockets in it need at most 77"));
	assert_int_equal(run(out, sizeof out, "/proc/no/such"), 1);
	assert_non_null(strstr(out, "directory /proc/no/such: cannot be made: "));
	assert_int_equal(run(out, sizeof out, ""), 2);
	assert_int_equal(run(out, sizeof out, "--nonsense"), 2);
	/* The refused ones did no harm. */
	assert_int_equal(hv_usage_now(t).domains, 1);
}

static void longest_directory_works(void **state)
{
	struct hv_test *t = *state;
	char dir[78];
	struct xen_platform *p;
	struct error err = {0};

	strcpy(dir, t->dir);
	memset(dir + strlen(dir), 'd', 77 - strlen(dir));
	dir[strlen(t->dir)] = '/';
	dir[77] = '\0';
	assert_int_equal(strlen(dir), 77);
	pid_t pid = hv_start(dir);
	p = hv_open(dir, 0);
	assert_int_equal(xen_domain_create(p, XEN_DOMID_MAX, &err), 0);
	struct xen_platform *guest = hv_open(dir, XEN_DOMID_MAX);
	xs_close(store(guest));
	xen_platform_close(guest);
	xen_platform_close(p);
	hv_stop(pid);
	hv_rmdir(dir);
	strcpy(dir + 70, "1234567");
	assert_int_equal(xen_platform_open(dir, 0, &p, &err), -ENOENT);
	assert_non_null(strstr(err.text, "start xenblkd-xen on it"));
	char longer[80];
	snprintf(longer, sizeof longer, "%s8", dir);
	assert_int_equal(xen_platform_open(longer, 0, &p, &err), -ENAMETOOLONG);
}

static void killed_hypervisor(void **state)
{
	struct hv_test *t = *state;
	struct xen_gntshr *s = hv_gntshr(t->front);
	struct xen_gnttab *g = hv_gnttab(t->back), *g2;
	struct xen_evtchn *b = hv_evtchn(t->back);
	uint32_t ref;
	char *page = hv_pages(s, 1, true, &ref);
	struct xen_usage u;
	void *seen, *none;
	struct error err = {0};

	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &ref, true, &seen), 0);
	kill(t->pid, SIGKILL);
	assert_int_equal(waitpid(t->pid, NULL, 0), t->pid);
	assert_int_equal(xen_gnttab_map(g, FRONT, 1, &ref, true, &none), -EIO);
	assert_int_equal(xen_gnttab_unmap(g, seen, 1), -EIO);
	assert_int_equal(xen_gntshr_unshare(s, page, 1), -EIO);
	assert_int_equal(xen_evtchn_bind_unbound(b, FRONT), -EIO);
	struct pollfd p = {.fd = xen_evtchn_fd(b), .events = POLLIN};
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(xen_evtchn_pending(b), -EIO);
	assert_int_equal(xen_usage(t->back, &u), -EIO);
	assert_int_equal(xen_fault(t->back, "clear", &err), -EIO);
	assert_int_equal(xen_domain_create(t->back, 8, &err), -EIO);
	assert_int_equal(xen_gnttab_open(t->back, &g2, &err), -ECONNREFUSED);
	/* A new one takes the directory over, with what the old one left lying there. */
	t->pid = hv_start(t->dir);
	struct xen_platform *again = hv_open(t->dir, 0);
	assert_int_equal(xen_usage(again, &u), 0);
	assert_int_equal(u.domains, 0);
	assert_int_equal(xen_domain_create(again, 8, &err), 0);
	xen_platform_close(again);
	xen_gntshr_close(s);
	xen_gnttab_close(g);
	xen_evtchn_close(b);
}

static void real_xen_is_not_there(void **state)
{
	struct xen_platform *p;
	struct error err = {0};

	if (access("/sys/hypervisor", F_OK) == 0 || access("/proc/xen", F_OK) == 0)
		needs("needs a machine without a Xen: this one may have one");
	assert_int_equal(xen_platform_open(NULL, 0, &p, &err), -ENODEV);
	assert_null(p);
	assert_non_null(strstr(err.text, "--embedded DIR"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {HV_TEST(create_and_destroy),
	                                   HV_TEST(store_speaks_for_the_domain),
	                                   HV_TEST(store_waits_for_a_slow_client),
	                                   HV_TEST(handles_of_a_destroyed_domain),
	                                   HV_TEST(destroy_and_create_many_times),
	                                   HV_TEST(two_side_by_side),
	                                   HV_TEST(refuses_to_start),
	                                   HV_TEST(longest_directory_works),
	                                   HV_TEST(killed_hypervisor),
	                                   cmocka_unit_test(real_xen_is_not_there)};

	return cmocka_run_group_tests_name("hv_domain", tests, NULL, NULL);
}
