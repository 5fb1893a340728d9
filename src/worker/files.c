/* SPDX-License-Identifier: MIT */
/* The worker's files, mapped while it still trusts itself, and from then on memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/files.h"

/* The name is relative to the folder. *fd: left open if it is asked for. NULL with *err and errno.
 */
static void *map_file(int dir, const char *name, size_t bytes, int *fd_out, struct error *err)
{
	int fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	void *map = MAP_FAILED;
	struct stat st;
	int rc = 0;

	if (fd < 0 || fstat(fd, &st))
		rc = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size < (off_t)bytes)
		rc = -EINVAL;
	if (!rc &&
	    (map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED)
		rc = -errno;
	if (fd >= 0 && (rc || !fd_out))
		close(fd);
	else if (fd_out)
		*fd_out = fd;
	if (!rc)
		return map;
	error_set(err, rc, "cannot map %s of the disk's folder: %s", name, error_name(rc));
	errno = -rc;
	return NULL;
}

static int map_journals(struct files *f, int dir, struct error *err)
{
	char name[32];

	for (unsigned i = 0; i < WM_MAX_QUEUES; i++) {
		snprintf(name, sizeof name, FILES_JOURNAL, i);
		f->journal[i] =
		    map_file(dir, name, JOURNAL_FILE_BYTES, i ? NULL : &f->owner_fd, err);
		if (!f->journal[i])
			return -errno;
	}
	return 0;
}

static int map_texts(struct files *f, int dir, struct error *err)
{
#define NAME(name) #name,
	static const char *const names[] = {STATS_TEXTS(NAME)};
	char name[48];

	for (unsigned i = 0; i < STATS_NR_TEXTS; i++) {
		snprintf(name, sizeof name, FILES_TEXT, names[i]);
		f->text[i] = map_file(dir, name, STATS_TEXT_BYTES, NULL, err);
		if (!f->text[i])
			return -errno;
	}
	return 0;
}

int files_map(struct files *f, const char *folder, struct error *err)
{
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int rc;

	f->owner_fd = -1;
	if (dir < 0)
		return error_set(err, -errno, "cannot open the disk's folder %s: %s", folder,
		                 error_name(errno));
	rc = map_journals(f, dir, err);
	if (!rc)
		rc = map_texts(f, dir, err);
	if (!rc && (!(f->stats = map_file(dir, FILES_STATS, sizeof *f->stats, NULL, err)) ||
	            !(f->lost = map_file(dir, FILES_LOST, LOST_BYTES, NULL, err))))
		rc = -errno;
	close(dir);
	return rc;
}

int files_own(struct files *f, struct error *err)
{
	int rc = 0;

	if (f->owner_fd < 0)
		return 0;
	/* Who holds it is dead, or dying. */
	while (!rc && flock(f->owner_fd, LOCK_EX))
		if (errno != EINTR)
			rc = error_set(err, -errno, "cannot lock the disk's journals: %s",
			               error_name(errno));
	/* The mapping keeps what the lock belongs to. */
	close(f->owner_fd);
	f->owner_fd = -1;
	return rc;
}
