/* SPDX-License-Identifier: MIT */
/* See harness.h. */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/list.h"
#include "storage/claim.h"
#include "storage/engines.h"
#include "../lib/scratch.h"
#include "../lib/needs.h"

#define DIR_PREFIX "xenblkd-test-storage."

static char dir[128];
static pid_t dir_owner;

static void remove_tree(const char *path)
{
	run((const char *const[]){"rm", "-rf", "--one-file-system", path, NULL});
}

static void remove_own_dir(void)
{
	if (getpid() == dir_owner)
		remove_tree(dir);
}

/* Of tests that were killed. */
static void remove_stale_dirs(void)
{
	DIR *d = opendir(scratch_disk_dir());

	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		int pid, end = 0;
		char path[400];
		if (sscanf(e->d_name, DIR_PREFIX "%d.%n", &pid, &end) != 1 || !end)
			continue;
		if (!kill(pid, 0) || errno != ESRCH)
			continue;
		snprintf(path, sizeof path, "%s/%s", scratch_disk_dir(), e->d_name);
		remove_tree(path);
	}
	closedir(d);
}

/* Every engine needs it. */
__attribute__((constructor)) static void need_io_uring(void)
{
	program_needs(lacks_io_uring());
}

const char *test_dir(void)
{
	if (*dir)
		return dir;
	remove_stale_dirs();
	snprintf(dir, sizeof dir, "%s/" DIR_PREFIX "%d.XXXXXX", scratch_disk_dir(), (int)getpid());
	assert_non_null(mkdtemp(dir));
	dir_owner = getpid();
	atexit(remove_own_dir);
	return dir;
}

const char *test_path(const char *name)
{
	static char paths[8][256];
	static unsigned at;
	char *p = paths[at++ % 8];

	snprintf(p, sizeof paths[0], "%s/%s", test_dir(), name);
	return p;
}

void image_create(const char *path, uint64_t size)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

unsigned char pattern(uint64_t offset)
{
	/* No two sectors are alike. */
	return (unsigned char)(offset % 251 + offset / 512 * 7 + offset / 131072);
}

void image_fill(const char *path, uint64_t size)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	unsigned char *buf = buffer(1 << 20);

	assert_true(fd >= 0);
	for (uint64_t at = 0; at < size;) {
		size_t n = size - at < 1 << 20 ? (size_t)(size - at) : 1 << 20;
		for (size_t i = 0; i < n; i++)
			buf[i] = pattern(at + i);
		assert_int_equal(pwrite(fd, buf, n, (off_t)at), n);
		at += n;
	}
	free(buf);
	close(fd);
}

const char *image_faults;
struct lost *image_lost;
unsigned rig_asker;

uint32_t image_devid(pid_t pid)
{
	return 0x1000000 + (uint32_t)pid;
}

static uint64_t owner(int flags)
{
	return claim_owner(0, 1, flags & OPEN_OWNED ? 7 : image_devid(getpid()));
}

/* Of the images that are open, as a supervisor keeps them. */
static struct {
	struct storage *storage;
	int fd;
} claims[16];

static void claims_hold(struct storage *s, int fd)
{
	size_t i = 0;

	while (i < sizeof claims / sizeof *claims && claims[i].storage)
		i++;
	assert_true(i < sizeof claims / sizeof *claims);
	claims[i].storage = s;
	claims[i].fd = fd;
}

int image_open(const char *path, int flags, struct storage **out, struct error *err)
{
	struct storage_spec spec = {.readonly = flags & OPEN_RO,
	                            .shared = flags & OPEN_SHARED,
	                            .after_death = flags & OPEN_WAIT,
	                            .lost = image_lost,
	                            .owner = owner(flags),
	                            .fd = -1};
	struct claim_spec claim = {.target = &spec.target,
	                           .readonly = spec.readonly,
	                           .shared = spec.shared,
	                           .emulated = flags & OPEN_EMULATED,
	                           .owner = spec.owner,
	                           .wait = flags & OPEN_WAIT};
	int rc;

	*out = NULL;
	err->text[0] = 0;
	rc = storage_target_parse(path, &spec.target, err);
	if (!rc && spec.target.engine == STORAGE_FILE)
		rc = claim_take(&claim, &spec.fd, err);
	if (rc)
		return rc;
	if (image_faults)
		snprintf(spec.target.fault, sizeof spec.target.fault, "%s", image_faults);
	rc = storage_open(&spec, out, err);
	if (spec.fd < 0)
		return rc;
	if (rc)
		close(spec.fd);
	else
		claims_hold(*out, spec.fd);
	return rc;
}

void image_close(struct storage *s)
{
	storage_close(s);
	for (size_t i = 0; i < sizeof claims / sizeof *claims; i++)
		if (s && claims[i].storage == s) {
			close(claims[i].fd);
			claims[i].storage = NULL;
		}
}

static unsigned done_count;

int rig_try_open(struct rig *r, const char *path, int flags, struct error *err)
{
	int rc = image_open(path, flags, &r->storage, err);

	if (rc)
		return rc;
	done_count = 0;
	r->completions = 0;
	r->caps = storage_caps(r->storage);
	assert_int_equal(io_uring_queue_init(64, &r->ring, 0), 0);
	assert_int_equal(storage_queue_open(r->storage, &r->ring, &r->queue, err), 0);
	return 0;
}

void rig_open(struct rig *r, const char *path, int flags)
{
	struct error err;

	if (rig_try_open(r, path, flags, &err))
		fail_msg("%s", err.text);
}

void rig_close(struct rig *r)
{
	storage_queue_close(r->queue);
	io_uring_queue_exit(&r->ring);
	image_close(r->storage);
}

static void rig_io_done(struct storage_io *io, int rc)
{
	struct rig_io *ri = container_of(io, struct rig_io, io);

	assert_int_equal(ri->order, 0);
	ri->order = ++done_count;
	ri->rc = rc;
}

void rig_submit(struct rig *r, struct rig_io *io, enum storage_op op, void *buf, uint64_t offset,
                uint64_t length)
{
	static uint64_t requests;

	*io = (struct rig_io){.io = {.op = op,
	                             .buf = buf,
	                             .offset = offset,
	                             .length = length,
	                             .asker = rig_asker,
	                             .request = requests++,
	                             /* The engine's, left by an earlier operation. */
	                             .tries = 1000,
	                             .done = rig_io_done}};
	storage_submit(r->queue, &io->io);
	io_uring_submit(&r->ring);
}

int rig_wait(struct rig *r, struct rig_io *io)
{
	while (!io->order) {
		struct io_uring_cqe *cqe;
		struct __kernel_timespec ts = {.tv_sec = 60};
		assert_true(io_uring_submit(&r->ring) >= 0);
		int rc = io_uring_wait_cqe_timeout(&r->ring, &cqe, &ts);
		if (rc && rc != -EINTR)
			fail_msg("nothing completes: %s", error_name(rc));
		r->completions += uring_reap(&r->ring);
	}
	return io->rc;
}

int rig_do(struct rig *r, enum storage_op op, void *buf, uint64_t offset, uint64_t length)
{
	struct rig_io io;

	rig_submit(r, &io, op, buf, offset, length);
	return rig_wait(r, &io);
}

void *buffer(size_t size)
{
	void *p = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);

	assert_non_null(p);
	return memset(p, 0, size);
}

void capture_stderr(void (*fn)(void *arg), void *arg, char *text, size_t size)
{
	int saved = dup(STDERR_FILENO);
	int fd = open(test_path("stderr"), O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

	assert_true(saved >= 0 && fd >= 0);
	dup2(fd, STDERR_FILENO);
	fn(arg);
	dup2(saved, STDERR_FILENO);
	close(saved);
	ssize_t n = pread(fd, text, size - 1, 0);
	text[n > 0 ? n : 0] = 0;
	close(fd);
}

const char *loop_missing(void)
{
	return lacks_loop_device() ?: lacks_own_root();
}

int loop_open(const char *file, unsigned block_size, bool readonly, char dev[32])
{
	struct loop_config config = {.block_size = block_size,
	                             .info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_PARTSCAN |
	                                              (readonly ? LO_FLAGS_READ_ONLY : 0)};
	int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int back = open(file, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	int fd, rc;

	assert_true(ctl >= 0 && back >= 0);
	config.fd = (__u32)back;
	do {
		int n = ioctl(ctl, LOOP_CTL_GET_FREE);
		assert_true(n >= 0);
		snprintf(dev, 32, "/dev/loop%d", n);
		fd = open(dev, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
		assert_true(fd >= 0);
		rc = ioctl(fd, LOOP_CONFIGURE, &config);
		if (rc)
			close(fd);
	} while (rc && errno == EBUSY); /* somebody else took it meanwhile */
	assert_int_equal(rc, 0);
	close(back);
	close(ctl);
	return fd;
}

void private_mounts(void)
{
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
}

void mount_new(const char *source, const char *where, const char *type, const char *options)
{
	assert_true(!mkdir(where, 0700) || errno == EEXIST);
	if (mount(source, where, type, 0, options))
		fail_msg("mount %s: %s", source, strerror(errno));
}

int run(const char *const argv[])
{
	pid_t pid = fork();

	if (!pid) {
		int null = open("/dev/null", O_WRONLY);
		dup2(null, STDOUT_FILENO);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	int status = -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
