/* SPDX-License-Identifier: MIT */
/* From a lock, a mount or a loop device to the one who has it. */
#include "storage/claimant.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "blkif/vdev.h"
#include "storage/claim_owner.h"
#include "storage/locks.h"
#include "storage/stack.h"

/* Whether one of the locks that the descriptor has is on that inode. */
static bool has_lock(const char *pid, const char *fd, const char *inode)
{
	char path[64], line[256];
	bool found = false;

	snprintf(path, sizeof path, "/proc/%.10s/fdinfo/%.10s", pid, fd);
	FILE *f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof line, f))
		found = !strncmp(line, "lock:", 5) && strstr(line, inode);
	if (f)
		fclose(f);
	return found;
}

static bool process_has_lock(const char *pid, const char *inode)
{
	char path[64];
	bool found = false;

	snprintf(path, sizeof path, "/proc/%.10s/fdinfo", pid);
	DIR *dir = opendir(path);
	for (struct dirent *e; dir && !found && (e = readdir(dir));)
		found = e->d_name[0] != '.' && has_lock(pid, e->d_name, inode);
	if (dir)
		closedir(dir);
	return found;
}

static void process_name(const char *pid, char *name, size_t cap)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%.10s/comm", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, name, cap - 1);
	if (fd >= 0)
		close(fd);
	name[n > 0 ? n : 0] = '\0';
	name[strcspn(name, "\n")] = '\0';
}

/* A process other than this one that has a lock on the image. */
static bool process_find(const struct stat *st, char text[CLAIMANT_MAX])
{
	char inode[64], name[32];
	bool found = false;

	/* As /proc writes it; of file systems that have no device of their own it may be another
	 * number, then nothing is found. */
	snprintf(inode, sizeof inode, " %02x:%02x:%llu ", major(st->st_dev), minor(st->st_dev),
	         (unsigned long long)st->st_ino);
	DIR *dir = opendir("/proc");
	for (struct dirent *e; dir && !found && (e = readdir(dir));) {
		if (e->d_name[0] < '1' || e->d_name[0] > '9' || atoi(e->d_name) == getpid())
			continue;
		found = process_has_lock(e->d_name, inode);
		if (!found)
			continue;
		process_name(e->d_name, name, sizeof name);
		snprintf(text, CLAIMANT_MAX, "process %.10s (%s) has locked it", e->d_name, name);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* A disk of ours whose claim or I/O is on what fd is. */
static bool disk_find(int fd, uint64_t owner, const char *what, char text[CLAIMANT_MAX])
{
	char vdev[VDEV_NAME_MAX];
	uint64_t other;
	uint32_t devid;
	uint16_t domid;

	if (!locks_met_disk(fd, RANGE_NAME, owner, true, &other) &&
	    !locks_met_disk(fd, RANGE_FENCE, owner, true, &other) &&
	    !locks_met_disk(fd, RANGE_FENCE_SHARED, owner, true, &other))
		return false;
	claim_owner_disk(other, &domid, &devid);
	vdev_name(devid, vdev);
	snprintf(text, CLAIMANT_MAX, "disk %u:%s of xenblkd has %s", domid, vdev, what);
	return true;
}

struct relatives {
	uint64_t owner;
	char *text;
};

static bool disk_find_relative(dev_t rdev, const char *what, void *arg)
{
	const struct relatives *r = arg;
	char node[STACK_NAME_MAX];
	bool found;
	int fd = stack_node(rdev, node, sizeof node) ? open(node, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
	                                             : -1;

	if (fd < 0)
		return false;
	found = disk_find(fd, r->owner, what, r->text);
	close(fd);
	return found;
}

void claimant_find(int fd, const struct stat *st, uint64_t owner, char text[CLAIMANT_MAX])
{
	struct relatives r = {owner, text};

	if (disk_find(fd, owner, "it", text))
		return;
	if (S_ISBLK(st->st_mode) && (stack_relatives(st->st_rdev, disk_find_relative, &r) ||
	                             stack_user(st->st_rdev, text, CLAIMANT_MAX)))
		return;
	if (!process_find(st, text))
		snprintf(text, CLAIMANT_MAX, "another process has it");
}
