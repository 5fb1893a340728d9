/* SPDX-License-Identifier: MIT */
/*
 * Exactly once in each queue, whenever somebody is killed: a flush that is to fail first puts its
 * own number into the queue's word. Killed before that, whatever flush comes next tells. Killed
 * after it, the request either is done again, and fails again by its number; or its answer was
 * journaled, and is published by the successor.
 */
#include "storage/lost.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"

#define BYTES (LOST_QUEUES * sizeof(uint64_t))
#define TOLD UINT64_MAX

/* Zeros are a file that says that nobody was told: so is one that was cut short by a kill. */
static uint64_t *map_file(const char *path, int flags)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	void *map = MAP_FAILED;
	/* Allocated here: a full run directory must not be noticed at a store. */
	int rc = fd < 0 ? errno : posix_fallocate(fd, 0, BYTES);

	if (!rc &&
	    (map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED)
		rc = errno;
	if (fd >= 0)
		close(fd);
	errno = rc;
	return map == MAP_FAILED ? NULL : map;
}

/* Of this process only. */
static uint64_t *map_memory(void)
{
	void *map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return map == MAP_FAILED ? NULL : map;
}

void lost_load(struct lost *l, const char *path)
{
	l->word = map_file(path, 0);
	if (l->word || errno == ENOENT)
		return;
	log_error("%s cannot be read: %s; the front end's next flush fails", path,
	          error_name(errno));
	l->word = map_memory();
}

static void set_all(struct lost *l, uint64_t from, uint64_t to)
{
	/* Relaxed: no queue's thread runs; the start of one orders it. */
	for (unsigned i = 0; l->word && i < LOST_QUEUES; i++)
		if (__atomic_load_n(&l->word[i], __ATOMIC_RELAXED) >= from)
			__atomic_store_n(&l->word[i], to, __ATOMIC_RELAXED);
}

void lost_note(struct lost *l, const char *path)
{
	if (!l->word && !(l->word = map_file(path, O_CREAT))) {
		log_error("cannot note it in %s: %s; were this worker killed, too, the front end "
		          "would not be told",
		          path, error_name(errno));
		l->word = map_memory();
	}
	set_all(l, 0, 0);
}

bool lost_tell(struct lost *l, unsigned queue, uint64_t request)
{
	if (!l->word || queue >= LOST_QUEUES)
		return false;
	uint64_t *word = &l->word[queue];
	/* Relaxed: this thread's own; a successor finds it no later than the answer, for the
	 * journal's stores are releases. */
	uint64_t now = __atomic_load_n(word, __ATOMIC_RELAXED);

	if (!now)
		__atomic_store_n(word, request + 1, __ATOMIC_RELAXED);
	return !now || now == request + 1;
}

void lost_renew(struct lost *l)
{
	set_all(l, 1, TOLD);
}

void lost_forget(struct lost *l, const char *path)
{
	if (!l->word)
		return;
	set_all(l, 0, TOLD);
	unlink(path);
}
