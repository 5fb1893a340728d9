/* SPDX-License-Identifier: MIT */
/* Who may make a name in a directory can put a link there, and a process of root follows it. */
#include "base/private_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAY_OUT \
	"give a directory of this user's own, such as $XDG_RUNTIME_DIR/xb or, for root, /run/xb"

const char *private_flaw(const struct stat *st, uid_t us, bool last)
{
	if (st->st_uid != us && (last || st->st_uid != 0))
		return "belongs to";
	if (st->st_mode & S_IWOTH && (last || !(st->st_mode & S_ISVTX)))
		return "can be written by everybody and belongs to";
	/* root trusts the members of its group. */
	if (st->st_mode & S_IWGRP && (last || (st->st_gid && !(st->st_mode & S_ISVTX))))
		return "can be written by its group and belongs to";
	return NULL;
}

/* Files of users that our user namespace does not know seem to belong to this one. */
static bool unmapped(uid_t uid)
{
	unsigned long first = 0, outside = 0, count = UINT_MAX;
	unsigned overflow = 65534;
	FILE *f = fopen("/proc/self/uid_map", "re");

	if (f) {
		if (fscanf(f, "%lu %lu %lu", &first, &outside, &count) != 3)
			count = UINT_MAX;
		fclose(f);
	}
	f = fopen("/proc/sys/kernel/overflowuid", "re");
	if (f) {
		if (fscanf(f, "%u", &overflow) != 1)
			overflow = 65534;
		fclose(f);
	}
	return uid == overflow && count < UINT_MAX;
}

static int refuse(const char *path, const char *flaw, uid_t owner, struct error *err)
{
	const struct passwd *pw = getpwuid(owner);

	return error_set(err, -EPERM,
	                 "directory %s %s %s (uid %u): others could replace what is "
	                 "in it; " WAY_OUT,
	                 path, flaw, pw ? pw->pw_name : "an unknown user", (unsigned)owner);
}

static int make_all(const char *path)
{
	char part[PATH_MAX];

	if (strlen(path) >= sizeof part)
		return -ENAMETOOLONG;
	strcpy(part, path);
	for (char *p = part + 1;; p++) {
		if (*p && *p != '/')
			continue;
		char was = *p;
		*p = '\0';
		if (mkdir(part, was ? 0755 : 0700) && errno != EEXIST && (!was || errno != EROFS))
			return -errno;
		*p = was;
		if (!was)
			return 0;
	}
}

static int check_above(const char *real, struct error *err)
{
	char part[PATH_MAX];
	struct stat st;

	snprintf(part, sizeof part, "%s", real);
	for (char *slash; (slash = strrchr(part, '/'));) {
		slash[slash == part] = '\0';
		if (stat(part, &st))
			return error_set(err, -errno, "directory %s: cannot be looked at: %s", part,
			                 error_name(errno));
		const char *flaw = unmapped(st.st_uid) ? NULL : private_flaw(&st, geteuid(), false);
		if (flaw)
			return refuse(part, flaw, st.st_uid, err);
		if (slash == part)
			break;
	}
	return 0;
}

/* Whether the directory is empty, or was a run directory before. */
static bool is_for_us(int fd)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = again < 0 ? NULL : fdopendir(again);
	bool empty = dir;
	struct stat st;

	for (struct dirent *e; empty && (e = readdir(dir));)
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
	if (dir)
		closedir(dir);
	else if (again >= 0)
		close(again);
	return empty || (!fstatat(fd, "lock", &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode) &&
	                 st.st_uid == geteuid());
}

static int check(int fd, const char *real, struct error *err)
{
	struct stat st;
	const char *flaw;
	int rc = check_above(real, err);

	if (rc)
		return rc;
	if (fstat(fd, &st))
		return error_set(err, -errno, "directory %s: %s", real, error_name(errno));
	flaw = private_flaw(&st, geteuid(), true);
	if (flaw)
		return refuse(real, flaw, st.st_uid, err);
	/* Nor may others read what is in it: paths, references, ports. */
	if ((st.st_mode & 07777) == 0700)
		return 0;
	if (!is_for_us(fd))
		return error_set(
		    err, -ENOTEMPTY,
		    "directory %s has mode %o and other things in it, which other users could "
		    "no longer reach; give an empty directory, or a new name",
		    real, (unsigned)st.st_mode & 07777);
	if (fchmod(fd, 0700))
		return error_set(err, -errno, "directory %s: its mode cannot be set to 0700: %s",
		                 real, error_name(errno));
	return 0;
}

static bool same_dir(int fd, const char *path)
{
	struct stat ours, named;

	return !fstat(fd, &ours) && !lstat(path, &named) && ours.st_dev == named.st_dev &&
	       ours.st_ino == named.st_ino;
}

int private_dir(const char *path, char *real, size_t cap, struct error *err)
{
	char plain[PATH_MAX], found[PATH_MAX];
	size_t n = strlen(path);
	struct stat st;
	int fd, rc;

	/* "DIR/" would follow a link. */
	while (n > 1 && path[n - 1] == '/')
		n--;
	if (!n || n >= sizeof plain)
		return error_set(err, n ? -ENAMETOOLONG : -ENOENT, "directory \"%s\": %s", path,
		                 error_name(n ? ENAMETOOLONG : ENOENT));
	memcpy(plain, path, n);
	plain[n] = '\0';
	rc = make_all(plain);
	if (rc)
		return error_set(err, rc, "directory %s: cannot be made: %s; " WAY_OUT, plain,
		                 error_name(rc));
	if (!lstat(plain, &st) && S_ISLNK(st.st_mode))
		return refuse(plain, "is a symbolic link of", st.st_uid, err);
	fd = open(plain, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || !realpath(plain, found)) {
		rc = error_set(err, -errno, "directory %s: cannot be opened: %s; " WAY_OUT, plain,
		               error_name(errno));
		goto out;
	}
	/* Another user may have replaced it since it was opened. */
	rc = same_dir(fd, found)
	         ? check(fd, found, err)
	         : error_set(err, -ESTALE, "directory %s is being replaced; " WAY_OUT, plain);
	if (!rc && strlen(found) >= cap)
		rc = error_set(err, -ENAMETOOLONG,
		               "directory %s: its path must be shorter than %zu bytes, for sockets "
		               "are made in it; choose a shorter one",
		               found, cap);
	if (!rc)
		strcpy(real, found);
out:
	if (rc && fd >= 0)
		close(fd);
	return rc ? rc : fd;
}
