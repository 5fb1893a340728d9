/* SPDX-License-Identifier: MIT */
/* A file system whose writes are late, and that can fall silent. */
#include "slowfs.h"

#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SILENCE_MS 60000

static struct slowfs *control;
static char data[SLOWFS_SIZE];

static bool is_file(const char *path)
{
	return !strcmp(path, "/" SLOWFS_FILE);
}

/* Not for ever, because while it is silent a test that has failed cannot be ended. */
static void answer(void)
{
	if (__atomic_load_n(&control->silent, __ATOMIC_ACQUIRE))
		__atomic_add_fetch(&control->asked, 1, __ATOMIC_ACQ_REL);
	for (int i = 0; i < SILENCE_MS && __atomic_load_n(&control->silent, __ATOMIC_ACQUIRE); i++)
		usleep(1000);
}

static void *fs_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	config->attr_timeout = config->entry_timeout = 0;
	return NULL;
}

static int fs_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	answer();
	memset(st, 0, sizeof *st);
	st->st_nlink = 1;
	st->st_mode = S_IFDIR | 0755;
	if (!strcmp(path, "/"))
		return 0;
	st->st_mode = S_IFREG | 0644;
	st->st_size = sizeof data;
	return is_file(path) ? 0 : -ENOENT;
}

static int fs_open(const char *path, struct fuse_file_info *fi)
{
	answer();
	return is_file(path) ? 0 : -ENOENT;
}

static int fs_flush(const char *path, struct fuse_file_info *fi)
{
	answer();
	return 0;
}

static int fs_statfs(const char *path, struct statvfs *st)
{
	answer();
	memset(st, 0, sizeof *st);
	return 0;
}

static int fs_read(const char *path, char *buf, size_t n, off_t at, struct fuse_file_info *fi)
{
	answer();
	if (at < 0 || at >= (off_t)sizeof data)
		return 0;
	if (n > sizeof data - (size_t)at)
		n = sizeof data - (size_t)at;
	memcpy(buf, data + at, n);
	return (int)n;
}

/* Whether this write is one to hold back. */
static bool take_hold(void)
{
	uint32_t n = __atomic_load_n(&control->hold, __ATOMIC_ACQUIRE);

	while (n)
		if (__atomic_compare_exchange_n(&control->hold, &n, n - 1, false, __ATOMIC_ACQ_REL,
		                                __ATOMIC_ACQUIRE))
			return true;
	return false;
}

static void note_change(void)
{
	__atomic_add_fetch(&control->changes, 1, __ATOMIC_ACQ_REL);
}

static int fs_fallocate(const char *path, int mode, off_t at, off_t n, struct fuse_file_info *fi)
{
	note_change();
	return -EOPNOTSUPP;
}

static int fs_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	note_change();
	return -EOPNOTSUPP;
}

static int fs_write(const char *path, const char *buf, size_t n, off_t at,
                    struct fuse_file_info *fi)
{
	bool late = take_hold();

	answer();
	note_change();
	if (at < 0 || at > (off_t)sizeof data || n > sizeof data - (size_t)at)
		return -ENOSPC;
	if (late) {
		__atomic_add_fetch(&control->held, 1, __ATOMIC_ACQ_REL);
		while (!__atomic_load_n(&control->release, __ATOMIC_ACQUIRE))
			usleep(1000);
	}
	memcpy(data + at, buf, n);
	if (late)
		__atomic_add_fetch(&control->done, 1, __ATOMIC_ACQ_REL);
	return (int)n;
}

static int fs_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	if (__atomic_load_n(&control->sync, __ATOMIC_ACQUIRE))
		__atomic_add_fetch(&control->syncs, 1, __ATOMIC_ACQ_REL);
	for (int i = 0; i < SILENCE_MS && __atomic_load_n(&control->sync, __ATOMIC_ACQUIRE); i++)
		usleep(1000);
	answer();
	return 0;
}

static const struct fuse_operations operations = {
    .init = fs_init,
    .getattr = fs_getattr,
    .open = fs_open,
    .flush = fs_flush,
    .statfs = fs_statfs,
    .read = fs_read,
    .write = fs_write,
    .fsync = fs_fsync,
    .fallocate = fs_fallocate,
    .truncate = fs_truncate,
};

int main(int argc, char **argv)
{
	char *args[] = {argv[0], (char *)"-f", argv[1]};

	if (argc != 3)
		return 2;
	int fd = open(argv[2], O_RDWR | O_CLOEXEC);
	control = fd < 0 ? MAP_FAILED
	                 : mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (control == MAP_FAILED) {
		perror(argv[2]);
		return 1;
	}
	return fuse_main(3, args, &operations, NULL);
}
