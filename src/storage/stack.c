/* SPDX-License-Identifier: MIT */
/* Read from /sys and /proc, which every user may. */
#include "storage/stack.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DEPTH_MAX 8
#define SYS_MAX 128

static bool read_line(const char *path, char *text, size_t cap)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, cap - 1);

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return false;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return true;
}

static void sys_path(dev_t rdev, const char *below, char path[SYS_MAX])
{
	snprintf(path, SYS_MAX, "/sys/dev/block/%u:%u/%s", major(rdev), minor(rdev), below);
}

bool stack_node(dev_t rdev, char *path, size_t cap)
{
	char sys[SYS_MAX], line[256];
	bool found = false;
	struct stat st;

	sys_path(rdev, "uevent", sys);
	FILE *f = fopen(sys, "re");
	while (f && !found && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = '\0';
		found = !strncmp(line, "DEVNAME=", 8);
	}
	if (f)
		fclose(f);
	if (!found)
		return false;
	snprintf(path, cap, "/dev/%s", line + 8);
	return !stat(path, &st) && S_ISBLK(st.st_mode) && st.st_rdev == rdev;
}

/* The disk that a partition is a part of, or the device itself. */
static dev_t whole(dev_t rdev)
{
	char path[SYS_MAX], text[32];
	unsigned ma, mi;

	sys_path(rdev, "partition", path);
	if (access(path, F_OK))
		return rdev;
	sys_path(rdev, "../dev", path);
	if (!read_line(path, text, sizeof text) || sscanf(text, "%u:%u", &ma, &mi) != 2)
		return rdev;
	return makedev(ma, mi);
}

/* The file behind a loop device, by its number where we may ask the device, else by its name. */
static bool loop_file(const char *name, const char *node, struct stat *st)
{
	char path[STACK_NAME_MAX + 64], file[1024];
	struct loop_info64 info;

	int fd = open(node, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int rc = fd < 0 ? -1 : ioctl(fd, LOOP_GET_STATUS64, &info);
	if (fd >= 0)
		close(fd);
	if (!rc) {
		*st = (struct stat){
		    .st_dev = info.lo_device, .st_ino = info.lo_inode, .st_rdev = info.lo_rdevice};
		return true;
	}
	snprintf(path, sizeof path, "/sys/block/%.32s/loop/backing_file", name);
	if (!read_line(path, file, sizeof file) || stat(file, st))
		return false;
	if (!S_ISBLK(st->st_mode))
		st->st_rdev = 0;
	return true;
}

static bool loop_look(const char *name, const struct stat *image, struct stack_loop *l)
{
	dev_t rdev = S_ISBLK(image->st_mode) ? image->st_rdev : 0;
	char path[STACK_NAME_MAX], text[32];
	unsigned ma, mi;
	struct stat st;

	if (strncmp(name, "loop", 4) || strlen(name) > 32)
		return false;
	snprintf(path, sizeof path, "/sys/block/%.32s/loop", name);
	snprintf(l->node, sizeof l->node, "/dev/%.32s", name);
	if (access(path, F_OK) || !loop_file(name, l->node, &st))
		return false;
	if (rdev ? st.st_rdev != rdev : st.st_dev != image->st_dev || st.st_ino != image->st_ino)
		return false;
	snprintf(path, sizeof path, "/sys/block/%.32s/ro", name);
	l->writes = !(read_line(path, text, sizeof text) && !strcmp(text, "1"));
	snprintf(path, sizeof path, "/sys/block/%.32s/dev", name);
	if (!read_line(path, text, sizeof text) || sscanf(text, "%u:%u", &ma, &mi) != 2)
		return false;
	l->rdev = makedev(ma, mi);
	return true;
}

bool stack_loops_over(const struct stat *image, bool (*fn)(const struct stack_loop *l, void *arg),
                      void *arg)
{
	DIR *dir = opendir("/sys/block");
	struct stack_loop l;
	bool done = false;

	for (struct dirent *e; dir && !done && (e = readdir(dir));)
		done = loop_look(e->d_name, image, &l) && fn(&l, arg);
	if (dir)
		closedir(dir);
	return done;
}

struct below {
	bool (*fn)(const char *path, int fd, dev_t above, void *arg);
	void *arg;
};

static bool visit(dev_t rdev, unsigned depth, const struct below *b);

static bool visit_slaves(dev_t rdev, unsigned depth, const struct below *b)
{
	char path[SYS_MAX], text[32], dev[SYS_MAX + 300];
	bool done = false;
	unsigned ma, mi;

	sys_path(rdev, "slaves", path);
	DIR *dir = opendir(path);
	for (struct dirent *e; dir && !done && (e = readdir(dir));) {
		snprintf(dev, sizeof dev, "%s/%s/dev", path, e->d_name);
		if (e->d_name[0] != '.' && read_line(dev, text, sizeof text) &&
		    sscanf(text, "%u:%u", &ma, &mi) == 2)
			done = visit(makedev(ma, mi), depth + 1, b);
	}
	if (dir)
		closedir(dir);
	return done;
}

static bool visit(dev_t rdev, unsigned depth, const struct below *b)
{
	char path[SYS_MAX], file[1024];
	struct stat st;
	bool done = false;

	if (depth == DEPTH_MAX)
		return false;
	rdev = whole(rdev);
	sys_path(rdev, "loop/backing_file", path);
	if (!read_line(path, file, sizeof file))
		return visit_slaves(rdev, depth, b);
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	if (!fstat(fd, &st) && S_ISBLK(st.st_mode))
		done = b->fn(file, fd, rdev, b->arg) || visit(st.st_rdev, depth + 1, b);
	else
		done = b->fn(file, fd, rdev, b->arg);
	close(fd);
	return done;
}

bool stack_files_below(dev_t rdev, bool (*fn)(const char *path, int fd, dev_t above, void *arg),
                       void *arg)
{
	return visit(rdev, 0, &(struct below){fn, arg});
}

static bool mounted(dev_t rdev, char *at, size_t cap)
{
	char line[1024], where[512];
	bool found = false;
	unsigned ma, mi;
	FILE *f = fopen("/proc/self/mountinfo", "re");

	while (f && !found && fgets(line, sizeof line, f)) {
		found = sscanf(line, "%*u %*u %u:%u %*s %511s", &ma, &mi, where) == 3 &&
		        makedev(ma, mi) == rdev;
		if (found)
			snprintf(at, cap, "%.*s", (int)cap - 1, where);
	}
	if (f)
		fclose(f);
	return found;
}

static bool swapped(dev_t rdev)
{
	char line[512], name[256];
	bool found = false;
	struct stat st;
	FILE *f = fopen("/proc/swaps", "re");

	while (f && !found && fgets(line, sizeof line, f))
		found = sscanf(line, "%255s", name) == 1 && name[0] == '/' && !stat(name, &st) &&
		        S_ISBLK(st.st_mode) && st.st_rdev == rdev;
	if (f)
		fclose(f);
	return found;
}

/* The first name in one of the device's folders under /sys. */
static bool first_entry(dev_t rdev, const char *folder, char *name, size_t cap)
{
	char path[SYS_MAX];

	sys_path(rdev, folder, path);
	DIR *dir = opendir(path);
	bool found = false;
	for (struct dirent *e; dir && !found && (e = readdir(dir));)
		if ((found = e->d_name[0] != '.'))
			snprintf(name, cap, "%.60s", e->d_name);
	if (dir)
		closedir(dir);
	return found;
}

static bool user_of(dev_t rdev, const char *what, char *text, size_t cap)
{
	char name[512];

	if (mounted(rdev, name, sizeof name))
		snprintf(text, cap, "%s is mounted at %.80s", what, name);
	else if (swapped(rdev))
		snprintf(text, cap, "%s is swap space", what);
	else if (first_entry(rdev, "holders", name, sizeof name))
		snprintf(text, cap, "%s is a part of /dev/%s", what, name);
	else
		return false;
	return true;
}

bool stack_relatives(dev_t rdev, bool (*fn)(dev_t rdev, const char *what, void *arg), void *arg)
{
	char path[SYS_MAX], dev[SYS_MAX + 300], line[32], what[STACK_NAME_MAX];
	dev_t disk = whole(rdev);
	bool done = fn(rdev, "it", arg);
	unsigned ma, mi;

	if (disk != rdev)
		return done || fn(disk, "the disk that it is a partition of", arg);
	sys_path(rdev, "", path);
	DIR *dir = done ? NULL : opendir(path);
	for (struct dirent *e; dir && !done && (e = readdir(dir));) {
		snprintf(dev, sizeof dev, "%s%s/partition", path, e->d_name);
		if (e->d_name[0] == '.' || access(dev, F_OK))
			continue;
		snprintf(dev, sizeof dev, "%s%s/dev", path, e->d_name);
		snprintf(what, sizeof what, "its partition /dev/%.60s", e->d_name);
		done = read_line(dev, line, sizeof line) && sscanf(line, "%u:%u", &ma, &mi) == 2 &&
		       fn(makedev(ma, mi), what, arg);
	}
	if (dir)
		closedir(dir);
	return done;
}

struct user {
	char *text;
	size_t cap;
};

static bool user_of_relative(dev_t rdev, const char *what, void *arg)
{
	struct user *u = arg;

	return user_of(rdev, what, u->text, u->cap);
}

bool stack_user(dev_t rdev, char *text, size_t cap)
{
	return stack_relatives(rdev, user_of_relative, &(struct user){text, cap});
}
