/* SPDX-License-Identifier: MIT */
/* An image is looked up, opened and locked, or it is said who has it. */
#include "storage/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "storage/claimant.h"
#include "storage/locks.h"
#include "storage/open.h"
#include "storage/resolve.h"
#include "storage/short.h"
#include "storage/stack.h"

/* Who only looks at an image for a moment (a program that probes it, another claim that is being
 * tried) is no reason to refuse the disk. */
#define TRIES 50
#define PAUSE_NS 20000000

#ifndef BLKGETDISKSEQ
#define BLKGETDISKSEQ _IOR(0x12, 128, uint64_t)
#endif

int claim_identify(int fd, struct storage_identity *out)
{
	uint64_t seq = 0;
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	*out = (struct storage_identity){st.st_dev, st.st_ino};
	if (!S_ISBLK(st.st_mode))
		return 0;
	/* An older kernel has none. */
	if (ioctl(fd, BLKGETDISKSEQ, &seq))
		seq = 0;
	*out = (struct storage_identity){st.st_rdev, seq};
	return 0;
}

bool claim_has_mode(int fd, bool readonly)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) == (readonly ? O_RDONLY : O_RDWR);
}

/* One attempt. */
struct attempt {
	const struct claim_spec *spec;
	int path_fd; /* O_PATH */
	struct stat st;
	bool block, exclusive;     /* exclusive: writes, and shares with nobody */
	char node[STACK_NAME_MAX]; /* of a block device: the kernel's own; or "" */
	dev_t above;               /* a loop device that the image stands on itself; or 0 */
	int fd;                    /* the claim, or -1 */
	char why[CLAIMANT_MAX];    /* who has it, where that is known already; or "" */
};

/* A block device by the kernel's own node, so that its locks are met by whatever node others use.
 */
static int open_node(const struct attempt *a, int flags)
{
	int fd = a->node[0] ? open(a->node, flags | O_CLOEXEC) : -ENOENT;
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st) && S_ISBLK(st.st_mode) && st.st_rdev == a->st.st_rdev)
		return fd;
	if (fd >= 0)
		close(fd);
	else if (a->node[0] && errno == EBUSY)
		return -EBUSY;
	return file_reopen(a->path_fd, flags);
}

static int open_claim(struct attempt *a, struct error *err)
{
	const struct claim_spec *s = a->spec;
	int flags = s->readonly ? O_RDONLY : O_RDWR;

	if (a->block && a->exclusive)
		flags |= O_EXCL;
	/* Others may hold it exclusively; to find that out is all that the first open is for. */
	if (a->block && s->shared && !s->readonly) {
		int look = open_node(a, O_RDONLY | O_EXCL);
		if (look == -EBUSY)
			return -EBUSY;
		if (look >= 0)
			close(look);
	}
	a->fd = a->block ? open_node(a, flags) : file_reopen(a->path_fd, flags);
	/* udev looks into no device that somebody has locked so; nobody relies on it. */
	if (a->fd >= 0 && a->block && !s->readonly)
		flock(a->fd, LOCK_EX | LOCK_NB);
	if (a->fd >= 0)
		return 0;
	int rc = a->fd;
	a->fd = -1;
	if (rc == -EBUSY)
		return rc;
	return file_open_error(rc, s->target->path, a->path_fd, a->block, s->readonly, err);
}

/* Our own locks: one owner that writes, or readers and writers that share. */
static int own(int fd, const struct claim_spec *s)
{
	bool exclusive = !s->readonly && !s->shared;
	int rc = locks_take(fd, locks_byte(LOCK_OWNER), exclusive, false);

	if (!rc)
		rc = locks_take(fd, locks_disk(RANGE_NAME, s->owner), false, false);
	if (!rc && !exclusive)
		rc = locks_take(fd, locks_byte(s->readonly ? LOCK_READERS : LOCK_SHARERS), false,
		                false);
	return rc;
}

static int take_ownership(const struct attempt *a)
{
	const struct claim_spec *s = a->spec;
	int rc = own(a->fd, s);

	if (rc)
		return rc;
	/* Workers whose disk was let go of by force: their I/O may be under way. */
	if (locks_met_disk(a->fd, RANGE_FENCE, s->owner, false, NULL) ||
	    (a->exclusive && locks_met_disk(a->fd, RANGE_FENCE_SHARED, s->owner, false, NULL)))
		return -EBUSY;
	return 0;
}

static bool qemu_met(int fd, unsigned byte)
{
	return locks_met(fd, byte, 1, true, NULL);
}

/* Whether QEMU does to the image what we do not share, or does not share what we do. Claims of our
 * own that we share with have the same locks. */
static bool qemu_in_the_way(const struct attempt *a, int fd, bool writes, bool shares)
{
	bool sharers = locks_met(a->fd, locks_byte(LOCK_SHARERS), 1, true, NULL);
	bool readers = locks_met(a->fd, locks_byte(LOCK_READERS), 1, true, NULL);

	if (qemu_met(fd, QEMU_UNSHARED + QEMU_READ))
		return true;
	if (!shares && !sharers && qemu_met(fd, QEMU_PERM + QEMU_WRITE))
		return true;
	return writes && !readers && qemu_met(fd, QEMU_UNSHARED + QEMU_WRITE);
}

/* QEMU's locks, in its order: first taken, then looked whether somebody else's are in the way. */
static int agree_with_qemu(const struct attempt *a)
{
	const struct claim_spec *s = a->spec;
	bool shares = s->shared && !s->readonly;
	int rc = 0;

	if (!s->emulated) {
		rc = locks_take(a->fd, QEMU_PERM + QEMU_READ, false, false);
		if (!rc && !s->readonly)
			rc = locks_take(a->fd, QEMU_PERM + QEMU_WRITE, false, false);
		if (!rc && !shares)
			rc = locks_take(a->fd, QEMU_UNSHARED + QEMU_WRITE, false, false);
	} else if (s->target->size) {
		/* The device model has it, on behalf of the same disk. */
		return 0;
	}
	if (rc)
		return rc;
	return qemu_in_the_way(a, a->fd, !s->readonly, shares) ? -EBUSY : 0;
}

static bool loop_in_use(const struct stack_loop *l, void *arg);

static bool file_below_in_use(const char *path, int fd, dev_t above, void *arg)
{
	struct attempt *a = arg;
	bool writes = a->exclusive;
	char who[CLAIMANT_MAX];
	struct stat st;

	/* Another loop device over it has the same bytes; the one above it is ours. */
	a->above = above;
	if (!fstat(fd, &st) && stack_loops_over(&st, loop_in_use, a))
		return true;
	if (!locks_met(fd, locks_byte(LOCK_OWNER), 1, writes, NULL) &&
	    !locks_met(fd, locks_disk(RANGE_FENCE, 0), LOCKS_SPAN, false, NULL) &&
	    !qemu_met(fd, QEMU_PERM + QEMU_WRITE) &&
	    !(writes && qemu_met(fd, QEMU_UNSHARED + QEMU_WRITE)))
		return false;
	who[0] = '\0';
	if (!fstat(fd, &st))
		claimant_find(fd, &st, 0, who);
	snprintf(a->why, sizeof a->why, "it stands on %.60s: %.80s", path, who);
	return true;
}

/* One that nobody uses is no harm: who comes to use it as a disk finds our claim below. */
static bool loop_in_use(const struct stack_loop *l, void *arg)
{
	struct attempt *a = arg;
	char who[CLAIMANT_MAX] = "";
	bool used;

	if (l->rdev == a->above || (!a->exclusive && !l->writes))
		return false;
	int fd = open(l->node, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
	used = fd < 0 ? errno == EBUSY
	              : locks_met(fd, locks_byte(LOCK_OWNER), 1, a->exclusive, NULL) ||
	                    qemu_met(fd, QEMU_PERM + QEMU_WRITE);
	if (fd >= 0)
		close(fd);
	/* Who may not open it can still read where it is mounted. */
	if (stack_user(l->rdev, who, sizeof who))
		used = true;
	if (used)
		snprintf(a->why, sizeof a->why, "loop device %.30s on it is in use%s%.80s", l->node,
		         who[0] ? ": " : "", who);
	return used;
}

/* The same bytes under another name. */
static int look_beside(struct attempt *a)
{
	if (a->spec->shared)
		return 0;
	a->above = 0;
	if (stack_loops_over(&a->st, loop_in_use, a))
		return -EBUSY;
	return a->block && stack_files_below(a->st.st_rdev, file_below_in_use, a) ? -EBUSY : 0;
}

static int attempt(struct attempt *a, struct error *err)
{
	int rc = open_claim(a, err);

	if (!rc)
		rc = take_ownership(a);
	if (!rc)
		rc = agree_with_qemu(a);
	if (!rc)
		rc = look_beside(a);
	if (rc && a->fd >= 0) {
		close(a->fd);
		a->fd = -1;
	}
	return rc;
}

static int busy_error(struct attempt *a, const char *name, struct error *err)
{
	if (!a->why[0]) {
		int fd = a->block ? open_node(a, O_RDONLY) : file_reopen(a->path_fd, O_RDONLY);
		claimant_find(fd, &a->st, a->spec->owner, a->why);
		if (fd >= 0)
			close(fd);
	}
	return error_set(err, -EBUSY,
	                 "image %s is in use: %s; end that first, or share the image with mode w!",
	                 name, a->why);
}

static int check_expected(const struct attempt *a, const char *name, struct error *err)
{
	const struct storage_identity *e = &a->spec->expected;
	struct storage_identity now;
	int rc = claim_identify(a->fd, &now);

	if (rc)
		return error_set(err, rc, "image %s: %s; check its storage", name, error_name(rc));
	if ((!e->dev && !e->ino) || (now.dev == e->dev && now.ino == e->ino))
		return 0;
	return error_set(err, -ESTALE,
	                 "image %s has been replaced by another one since the disk was attached; "
	                 "put the old one back, or detach the disk",
	                 name);
}

/* Tries until it is ours, or the time is over. */
static int claim_patiently(struct attempt *a, const char *name, struct error *err)
{
	for (int tries = 0;;) {
		a->why[0] = '\0';
		int rc = attempt(a, err);
		if (rc != -EBUSY)
			return rc;
		if (!a->spec->wait && ++tries >= TRIES)
			return busy_error(a, name, err);
		nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
	}
}

int claim_take(const struct claim_spec *spec, int *fd, struct error *err)
{
	struct attempt a = {.spec = spec, .fd = -1};
	char buf[STORAGE_SHORT_MAX];
	const char *name = storage_short(buf, spec->target->path);
	int rc;

	*fd = -1;
	err->text[0] = '\0';
	rc = file_resolve(spec->target, &a.path_fd, &a.st, err);
	if (rc)
		return rc;
	a.block = S_ISBLK(a.st.st_mode);
	a.exclusive = !spec->readonly && !spec->shared;
	if (a.block && !stack_node(a.st.st_rdev, a.node, sizeof a.node))
		a.node[0] = '\0';
	rc = claim_patiently(&a, name, err);
	if (!rc)
		rc = check_expected(&a, name, err);
	else if (!err->text[0])
		error_set(err, rc, "image %s cannot be locked: %s; check its storage", name,
		          error_name(rc));
	close(a.path_fd);
	if (rc && a.fd >= 0)
		close(a.fd);
	else
		*fd = a.fd;
	return rc;
}

int claim_again(int fd, const struct claim_spec *spec, struct error *err)
{
	char buf[STORAGE_SHORT_MAX], why[CLAIMANT_MAX] = "";
	const char *name = storage_short(buf, spec->target->path);
	struct stat st;
	int rc = own(fd, spec);

	if (!rc)
		return 0;
	if (rc != -EBUSY)
		return error_set(err, rc, "image %s cannot be locked: %s; check its storage", name,
		                 error_name(rc));
	if (!fstat(fd, &st))
		claimant_find(fd, &st, spec->owner, why);
	return error_set(err, rc, "image %s is in use: %s; end that first", name, why);
}

void claim_check_name(int claim, const char *path, struct error *note)
{
	char buf[STORAGE_SHORT_MAX];
	const char *name = storage_short(buf, path);
	struct stat ours, named;

	note->text[0] = '\0';
	/* A device's node may be made anew; whether the disk behind it is the same, file.c looks.
	 */
	if (fstat(claim, &ours) || !S_ISREG(ours.st_mode))
		return;
	if (stat(path, &named)) {
		if (errno == ENOENT)
			error_set(note, 0,
			          "image %s has been renamed or removed; the disk goes on with it "
			          "until it "
			          "is detached; if it has no other name, its data is gone then",
			          name);
		return;
	}
	if (named.st_dev != ours.st_dev || named.st_ino != ours.st_ino)
		error_set(note, 0,
		          "image %s: another file has its name now; the disk goes on with the one "
		          "that it was attached with until it is detached",
		          name);
}

int claim_fence(int fd, bool shared, uint64_t owner, const char *name, struct error *err)
{
	const enum locks_range range = shared ? RANGE_FENCE_SHARED : RANGE_FENCE;
	/* An earlier worker of the disk may have had it in the other mode. */
	const enum locks_range other = shared ? RANGE_FENCE : RANGE_FENCE_SHARED;
	int rc = locks_take(fd, locks_disk(other, owner), true, true);

	if (!rc)
		rc = locks_leave(fd, locks_disk(other, owner));
	if (!rc)
		rc = locks_take(fd, locks_disk(range, owner), true, true);
	return rc ? error_set(err, rc, "image %s cannot be locked: %s; check its storage", name,
	                      error_name(rc))
	          : 0;
}
