/* SPDX-License-Identifier: MIT */
/*
 * A root directory of the worker's own: an empty file system in memory, with the way to Xen mounted
 * into it, all that a worker still opens by path. Landlock and seccomp do not see whom a connect()
 * is meant for, nor what io_uring does; where no other socket and file has a name, nobody can reach
 * it.
 *
 * All is made ready as mounts that hang nowhere yet. Only then does the worker leave the host's
 * mounts: what is going to fail fails before that, and no copy of them is left behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/root.h"

#define ITEMS_MAX 8

/* Everything mounted, on its way to its place. Owned by root_enter. */
struct root {
	int fd; /* of the root itself */
	unsigned nr_items;
	struct {
		int fd;
		const char *path;
	} item[ITEMS_MAX];
	int old_ns, old_root; /* the way back */
	const char *step;     /* what was tried last */
};

static int attr_set(int mount, uint64_t attrs)
{
	struct mount_attr attr = {.attr_set = attrs};

	return mount_setattr(mount, "", AT_EMPTY_PATH, &attr, sizeof attr) ? -errno : 0;
}

/* An empty file at path, and all that leads to it. */
static int mount_point(int root, const char *path)
{
	char part[PATH_MAX];
	int fd;

	if (path[0] != '/' || strlen(path) >= sizeof part)
		return -EBADF;
	strcpy(part, path + 1);
	for (char *s = strchr(part, '/'); s; s = strchr(s + 1, '/')) {
		*s = '\0';
		if (mkdirat(root, part, 0755) && errno != EEXIST)
			return -errno;
		*s = '/';
	}
	fd = openat(root, part, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* A device or socket of the host's, to be found at the same path. */
static int item_add(struct root *r, const char *path)
{
	uint64_t attrs = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY;
	struct stat st;
	int rc, fd;

	if (r->nr_items == ITEMS_MAX)
		return -E2BIG;
	fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (fd < 0)
		return -errno;
	r->item[r->nr_items].fd = fd;
	r->item[r->nr_items++].path = path;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISCHR(st.st_mode))
		attrs |= MOUNT_ATTR_NODEV;
	rc = attr_set(fd, attrs);
	return rc ? rc : mount_point(r->fd, path);
}

static int empty_root(struct root *r)
{
	int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0)
		return -errno;
	if (fsconfig(fs, FSCONFIG_SET_STRING, "mode", "0755", 0) ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) ||
	    (r->fd = fsmount(fs, FSMOUNT_CLOEXEC, 0)) < 0) {
		int rc = -errno;
		close(fs);
		return rc;
	}
	close(fs);
	return 0;
}

static int prepare(struct root *r, const struct sandbox *s)
{
	int rc;

	r->step = "an empty file system";
	rc = empty_root(r);
	if (rc)
		return rc;
	for (unsigned i = 0; s->xen[i] && !rc; i++) {
		r->step = s->xen[i];
		rc = item_add(r, s->xen[i]);
	}
	if (rc)
		return rc;
	r->step = "closing the root";
	return attr_set(r->fd, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
	                           MOUNT_ATTR_NOEXEC);
}

/* The root becomes ours, what the host has mounted is let go of. Private first: what we do here is
 * no business of the host's. */
static int leave(struct root *r)
{
	r->step = "leaving the host's mounts";
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    move_mount(r->fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) || fchdir(r->fd) ||
	    syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
		return -errno;
	r->step = "mounting into the root";
	for (unsigned i = 0; i < r->nr_items; i++)
		if (move_mount(r->item[i].fd, "", AT_FDCWD, r->item[i].path,
		               MOVE_MOUNT_F_EMPTY_PATH))
			return -errno;
	return 0;
}

/* To where we came from. */
static int go_back(const struct root *r)
{
	return setns(r->old_ns, CLONE_NEWNS) || fchdir(r->old_root) || chroot(".") ? -errno : 0;
}

static int unshare_mounts(struct root *r)
{
	r->step = "a mount namespace";
	r->old_ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	r->old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return r->old_ns < 0 || r->old_root < 0 || unshare(CLONE_NEWNS) ? -errno : 0;
}

static void root_close(struct root *r)
{
	for (unsigned i = 0; i < r->nr_items; i++)
		close(r->item[i].fd);
	if (r->fd >= 0)
		close(r->fd);
	if (r->old_ns >= 0)
		close(r->old_ns);
	if (r->old_root >= 0)
		close(r->old_root);
}

int root_enter(const struct sandbox *s, struct error *err)
{
	struct root r = {.fd = -1, .old_ns = -1, .old_root = -1};
	int rc;

	rc = prepare(&r, s);
	if (!rc)
		rc = unshare_mounts(&r);
	if (!rc) {
		rc = leave(&r);
		if (rc && go_back(&r))
			rc = -ENOTRECOVERABLE;
	}
	root_close(&r);
	return rc ? error_set(err, rc, "%s: %s", r.step, error_name(rc)) : 0;
}
