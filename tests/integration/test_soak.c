/* SPDX-License-Identifier: MIT */
/*
 * Fifty disks and one supervisor, to which everything happens at random: attach, connect, detach,
 * kills and upgrades of workers and of itself, storage that is not there or falls silent, conflicts
 * in xenstore, guests that write keys without end, a configuration that is read again. All along it
 * answers; a disk that is not where it was asked to be says why; and at the end nothing is left
 * over. SOAK_SECONDS=N: how long (120); SEED=N repeats a run as far as the machine's timing allows;
 * BAR=1 shows how far it is.
 */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "control.h"
#include "slow_mount.h"

#define DISKS 50u
#define DISKS_A_GUEST 5u
#define ANSWER_MS 20000 /* a list while everything happens; it is measured, too */
#define NOISY_KEYS 40u
#define SLOW_SLOT 42u /* its image is on slowfs */
#define SILENCE_MS 3000
#define RSS_MORE_KIB 2048 /* that the last third may cost the supervisor */

enum place { GONE, WAITING, CONNECTED };

struct slot {
	unsigned domid, devid;
	char id[16], target[256];
	enum place at;
	bool bad; /* its image is not there */
	struct xenblkfront *front;
};

struct soak {
	struct host *h;
	struct slot slot[DISKS];
	uint64_t rng, begun, seconds, worst_ns;
	bool bar, calm; /* calm: the supervisor is not replaced */
	unsigned counts[16];
	struct slow_mount slow; /* server 0: cannot be mounted here */
	uint64_t silent_until;  /* clock_ns(); 0: it answers */
};

static struct slow_mount mounted; /* also when the case has failed */

static uint64_t rnd(struct soak *s)
{
	s->rng ^= s->rng << 13;
	s->rng ^= s->rng >> 7;
	s->rng ^= s->rng << 17;
	return s->rng;
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* ---- it answers ---- */

/* One `list`, and how long it takes. */
static void ask(struct soak *s)
{
	uint64_t start = clock_ns();
	json_t *answer = host_control(s->h, "list", NULL);

	assert_true(json_is_true(json_object_get(answer, "ok")));
	json_decref(answer);
	uint64_t took = clock_ns() - start;
	s->worst_ns = took > s->worst_ns ? took : s->worst_ns;
	assert_true(took < ANSWER_MS * NS_PER_MS);
}

/* ---- what happens to a disk ---- */

static void attach(struct soak *s, struct slot *v)
{
	host_disk(s->h, &(struct disk){.domid = v->domid, .devid = v->devid, .params = v->target});
	host_script(s->h, v->domid, v->devid, v->target);
	v->at = WAITING;
}

static const struct {
	const char *abi;
	unsigned order, queues;
	bool persistent;
} kinds[] = {{"x86_64", 0, 0, false}, {"x86_32", 4, 2, true}, {"native", 2, 4, false}};

static void connect_front(struct soak *s, struct slot *v)
{
	unsigned k = (unsigned)(rnd(s) % 3);
	char vdev[8];

	if (v->bad)
		return;
	host_wait_state(s->h, v->domid, v->devid, XS_INITWAIT);
	snprintf(vdev, sizeof vdev, "%s", strchr(v->id, ':') + 1);
	v->front = host_front_with(s->h, &(struct xenblkfront_options){
	                                     .domid = v->domid,
	                                     .vdev = vdev,
	                                     .abi = kinds[k].abi,
	                                     .ring_order = kinds[k].order,
	                                     .queues = kinds[k].queues,
	                                     .persistent = kinds[k].persistent,
	                                 });
	v->at = CONNECTED;
}

/* Deaths in a row are a crash loop: the disk is held until somebody says otherwise. */
static void help(struct soak *s, struct slot *v)
{
	if (strstr(status_text(s->h, v->id, "error"), "xenblkctl recover"))
		json_decref(host_control(s->h, "recover", v->id));
}

static void use(struct soak *s, struct slot *v)
{
	char want[4096], got[4096];
	uint64_t at = rnd(s) % (MIB / sizeof want) * sizeof want;

	help(s, v);
	host_pattern(want, at, sizeof want, v->devid + v->domid);
	assert_front(v->front, xenblkfront_write(v->front, at, want, sizeof want));
	assert_front(v->front, xenblkfront_flush(v->front));
	assert_front(v->front, xenblkfront_read(v->front, at, got, sizeof got));
	assert_memory_equal(got, want, sizeof got);
}

static void detach(struct soak *s, struct slot *v)
{
	if (v->at == CONNECTED) {
		help(s, v);
		/* Some guests go without a word. */
		if (rnd(s) % 4)
			assert_front(v->front, xenblkfront_disconnect(v->front));
		else
			host_write(s->h, host_fe(v->domid, v->devid), "state", "%d", XS_CLOSED);
		xenblkfront_close(v->front);
		v->front = NULL;
	}
	host_detach(s->h, v->domid, v->devid);
	v->at = GONE;
}

static void kill_worker(struct soak *s, struct slot *v)
{
	pid_t pid = host_worker(s->h, v->id);
	/* Faults in a row would take away a disk that no guest has yet; and what waits for a silent
	 * file system does not end before that answers. */
	bool bear = v->at == CONNECTED && !s->silent_until;
	int sig = rnd(s) % 4 || !bear ? SIGKILL : SIGILL;

	if (!pid)
		return;
	kill(pid, sig);
	/* And the one too many may be this one, the more often the quicker the machine is. */
	if (sig == SIGILL) {
		wait_until(host_worker(s->h, v->id) != pid);
		help(s, v);
	}
}

/* It answers when it is done, or says why it is not. */
static void upgrade_worker(struct soak *s, struct slot *v)
{
	json_decref(host_control(s->h, "upgrade", v->id));
}

static void make_noise(struct soak *s, struct slot *v)
{
	char key[24];

	if (v->at == GONE)
		return;
	for (unsigned i = 0; i < NOISY_KEYS; i++) {
		snprintf(key, sizeof key, "noise-%u", (unsigned)(rnd(s) % 4));
		host_write(s->h, host_fe(v->domid, v->devid), key, "%u", i);
	}
}

/* ---- and to all of them ---- */

static const char *const with_faults[] = {"--test-faults", NULL};

static bool any_connected(const struct soak *s)
{
	for (unsigned i = 0; i < DISKS; i++)
		if (s->slot[i].at == CONNECTED)
			return true;
	return false;
}

/* One that stops in order takes the embedded Xen along unless a disk is left. */
static void replace_supervisor(struct soak *s)
{
	unsigned how = (unsigned)(rnd(s) % (any_connected(s) ? 3 : 2));

	if (how == 0) {
		json_t *answer = host_control(s->h, "upgrade", NULL);
		assert_true(json_is_true(json_object_get(answer, "ok")));
		json_decref(answer);
		return;
	}
	host_daemon_kill(s->h, how == 1 ? SIGKILL : SIGTERM);
	host_daemon_start(s->h, with_faults);
}

/* While the supervisor takes a disk up; the front ends of this test do not try again. */
static void conflict(struct soak *s, struct slot *v)
{
	struct error err;

	if (v->at != GONE)
		return;
	attach(s, v);
	assert_int_equal(xen_fault(s->h->xen, "conflict 5", &err), 0);
	usleep(20000);
	assert_int_equal(xen_fault(s->h->xen, "clear", &err), 0);
}

/* Its file system is waited for by nobody else. */
static void fall_silent(struct soak *s)
{
	if (!s->slow.server || s->silent_until)
		return;
	slow_silent(&s->slow, true);
	s->silent_until = clock_ns() + rnd(s) % SILENCE_MS * NS_PER_MS;
}

static void speak_again(struct soak *s, bool now)
{
	if (!s->silent_until || (!now && clock_ns() < s->silent_until))
		return;
	slow_silent(&s->slow, false);
	s->silent_until = 0;
}

enum event { MOVE, USE, DETACH, KILL, UPGRADE, NOISE, CONFLICT, SUPERVISOR, RELOAD, SILENCE };
/* Of 32. */
static const uint8_t dice[32] = {
    SILENCE, MOVE, MOVE, MOVE,   MOVE,   MOVE,  MOVE,    MOVE,    MOVE,     MOVE,       MOVE,
    USE,     USE,  USE,  USE,    USE,    USE,   USE,     USE,     USE,      USE,        RELOAD,
    KILL,    KILL, KILL, DETACH, DETACH, NOISE, UPGRADE, UPGRADE, CONFLICT, SUPERVISOR,
};

static void happen(struct soak *s)
{
	enum event e = dice[rnd(s) % 32];
	struct slot *v = &s->slot[rnd(s) % DISKS];

	speak_again(s, false);
	/* What waits for an answer of that file system would make the test wait, too. */
	if (s->silent_until && v == &s->slot[SLOW_SLOT] && e != KILL)
		return;
	s->counts[e]++;
	switch (e) {
	case MOVE:
		if (v->at == GONE)
			attach(s, v);
		else if (v->at == WAITING)
			connect_front(s, v);
		break;
	case USE:
		if (v->at == CONNECTED)
			use(s, v);
		break;
	case DETACH:
		if (v->at != GONE)
			detach(s, v);
		break;
	case KILL:
		kill_worker(s, v);
		break;
	case UPGRADE:
		upgrade_worker(s, v);
		break;
	case NOISE:
		make_noise(s, v);
		break;
	case CONFLICT:
		conflict(s, v);
		break;
	case SUPERVISOR:
		if (!s->calm)
			replace_supervisor(s);
		break;
	case RELOAD:
		kill(s->h->daemon, SIGHUP);
		break;
	case SILENCE:
		fall_silent(s);
		break;
	}
	ask(s);
}

/* ---- what must hold in between, and at the end ---- */

/* Where it was asked to be, or it says why not. */
static bool explained(struct soak *s, struct slot *v)
{
	int state = host_state(s->h, v->domid, v->devid);

	if (*status_text(s->h, v->id, "error"))
		return true;
	return v->at == WAITING ? state == XS_INITWAIT && !v->bad : state == XS_CONNECTED;
}

static void all_is_explained(struct soak *s)
{
	for (unsigned i = 0; i < DISKS; i++) {
		struct slot *v = &s->slot[i];
		uint64_t end = clock_ns() + WAIT_MS * NS_PER_MS;
		while (v->at != GONE && !explained(s, v)) {
			if (clock_ns() > end)
				fail_msg("%s is in state %d, and does not say why", v->id,
				         host_state(s->h, v->domid, v->devid));
			usleep(2000);
		}
	}
}

static unsigned entries(const char *path)
{
	DIR *dir = opendir(path);
	unsigned n = 0;

	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n;
}

struct left {
	struct xen_usage xen;
	unsigned descriptors, folders;
	long rss_kib;
};

static long rss_kib(pid_t pid)
{
	char path[40], line[128];
	long kib = 0;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		sscanf(line, "VmRSS: %ld", &kib);
	fclose(f);
	return kib;
}

static struct left look(struct soak *s)
{
	struct left l;
	char path[128];

	memset(&l, 0, sizeof l);
	snprintf(path, sizeof path, "/proc/%d/fd", (int)s->h->daemon);
	l.descriptors = entries(path);
	snprintf(path, sizeof path, "%s/disks", s->h->dir);
	l.folders = entries(path);
	assert_int_equal(xen_usage(s->h->xen, &l.xen), 0);
	l.rss_kib = rss_kib(s->h->daemon);
	return l;
}

/* With nothing attached; once nothing changes any more. */
static struct left empty(struct soak *s)
{
	speak_again(s, true);
	for (unsigned i = 0; i < DISKS; i++)
		if (s->slot[i].at != GONE)
			detach(s, &s->slot[i]);

	struct left last, now = look(s);
	do {
		last = now;
		usleep(200000);
		now = look(s);
		last.rss_kib = now.rss_kib;
	} while (memcmp(&last, &now, sizeof now));
	return now;
}

static void assert_no_leak(const struct left *before, const struct left *after)
{
	assert_int_equal(after->folders, 0);
	assert_int_equal(after->descriptors, before->descriptors);
	assert_int_equal(after->xen.maps, before->xen.maps);
	assert_int_equal(after->xen.grants, before->xen.grants);
	assert_int_equal(after->xen.ports, before->xen.ports);
	assert_int_equal(after->xen.clients, before->xen.clients);
	assert_int_equal(after->xen.store_conns, before->xen.store_conns);
}

static void progress(struct soak *s)
{
	uint64_t now = (clock_ns() - s->begun) / NS_PER_S;

	if (s->bar)
		fprintf(stderr, "\r%llu of %llu s, slowest answer %llu ms ",
		        (unsigned long long)now, (unsigned long long)s->seconds,
		        (unsigned long long)(s->worst_ns / NS_PER_MS));
}

static void soak_for(struct soak *s, uint64_t seconds)
{
	uint64_t end = clock_ns() + seconds * NS_PER_S, next = clock_ns();

	while (clock_ns() < end) {
		happen(s);
		if (clock_ns() < next)
			continue;
		all_is_explained(s);
		progress(s);
		next = clock_ns() + 5 * NS_PER_S;
	}
	all_is_explained(s);
}

static void prepare(struct soak *s)
{
	const char *why = slow_try(&s->slow, s->h);
	char name[16];

	mounted = s->slow;
	if (why)
		print_message("# without a file system that falls silent: %s\n", why);
	for (unsigned i = 0; i < DISKS; i++) {
		struct slot *v = &s->slot[i];
		unsigned unit = i % DISKS_A_GUEST;
		v->domid = 1 + i / DISKS_A_GUEST;
		v->devid = XVDA + 16 * unit;
		v->bad = unit == 3 && i % 2;
		snprintf(v->id, sizeof v->id, "%u:xvd%c", v->domid, 'a' + unit);
		snprintf(name, sizeof name, "s%u.img", i);
		if (v->bad)
			strcpy(v->target, "/no/such/image");
		else
			snprintf(v->target, sizeof v->target, "%s%s",
			         unit == 4 ? "fault:delay=1/2000,late=1/2000:" : "",
			         s->slow.server && i == SLOW_SLOT ? s->slow.image
			                                          : host_image(s->h, name, MIB));
	}
}

static void everything_at_once(void **state)
{
	struct soak s = {
	    .h = *state,
	    .begun = clock_ns(),
	    .seconds = number("SOAK_SECONDS", 120),
	    .bar = number("BAR", 0) != 0,
	};
	uint64_t seed = number("SEED", (uint64_t)time(NULL) * 2654435761u + (unsigned)getpid());

	print_message("# SEED=%llu SOAK_SECONDS=%llu\n", (unsigned long long)seed,
	              (unsigned long long)s.seconds);
	s.rng = seed | 1;
	prepare(&s);
	/* What there is with nothing attached, all connections being served. */
	attach(&s, &s.slot[0]);
	host_wait_state(s.h, s.slot[0].domid, s.slot[0].devid, XS_INITWAIT);
	struct left first = empty(&s);
	soak_for(&s, s.seconds * 2 / 3);
	s.calm = true;
	struct left before = empty(&s);
	assert_no_leak(&first, &before);
	/* A supervisor that has just taken over has not had all disks yet. */
	for (unsigned i = 0; i < DISKS; i++)
		attach(&s, &s.slot[i]);
	all_is_explained(&s);
	before = empty(&s);
	soak_for(&s, s.seconds - s.seconds * 2 / 3);
	struct left after = empty(&s);
	assert_no_leak(&first, &after);
	print_message(
	    "# events: %u moves, %u uses, %u detached, %u kills, %u upgrades, %u of noise, "
	    "%u conflicts, %u supervisors, %u reloads, %u silences; slowest answer %llu ms; "
	    "supervisor %ld KiB, "
	    "%ld KiB before the last third\n",
	    s.counts[MOVE], s.counts[USE], s.counts[DETACH], s.counts[KILL], s.counts[UPGRADE],
	    s.counts[NOISE], s.counts[CONFLICT], s.counts[SUPERVISOR], s.counts[RELOAD],
	    s.counts[SILENCE], (unsigned long long)(s.worst_ns / NS_PER_MS), after.rss_kib,
	    before.rss_kib);
	if (!SANITIZED)
		assert_true(after.rss_kib < before.rss_kib + RSS_MORE_KIB);
	slow_stop(&mounted);
}

static int setup(void **state)
{
	struct host *h = malloc(sizeof *h);

	host_start(h, with_faults);
	*state = h;
	return 0;
}

/* First the file system: nothing that waits for it can be ended. */
static int teardown(void **state)
{
	slow_stop(&mounted);
	return host_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(everything_at_once, setup, teardown),
	};

	return cmocka_run_group_tests_name("soak", tests, NULL, NULL);
}
