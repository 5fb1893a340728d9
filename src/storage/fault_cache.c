/* SPDX-License-Identifier: MIT */
/* The volatile layer is a private mapping of the image: what is written to it is this process's
 * alone, and goes with it. It reaches the image by writes of whole blocks, which a kill does not
 * cut, as it might cut a copy into a shared mapping. */
#include "storage/fault_cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "storage/file.h"

struct fault_cache {
	pthread_mutex_t lock;
	int fd;
	uint32_t block, early;
	uint64_t size, rng;
	char *seen;      /* what is read */
	uint64_t writes; /* done so far */
	uint64_t *since; /* a block: the first write that is not in the image; 0: all are */
	char *bounce;    /* a block, aligned for direct I/O */
};

int fault_cache_make(struct storage *inner, uint32_t early, uint64_t seed, struct fault_cache **out,
                     struct error *err)
{
	const struct storage_caps *caps = storage_caps(inner);
	struct fault_cache *c;

	if (inner->ops != &storage_file_ops)
		return error_set(err, -EINVAL, "fault: a cache needs an image, and this has none");
	c = calloc(1, sizeof *c);
	if (!c)
		return error_set(err, -ENOMEM, "cannot open the disk: out of memory");
	*c = (struct fault_cache){.lock = PTHREAD_MUTEX_INITIALIZER,
	                          .fd = container_of(inner, struct file, base)->fd,
	                          .block = caps->logical_block,
	                          .early = early,
	                          .size = caps->size,
	                          .rng = seed * 2 + 1};
	c->seen =
	    mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, c->fd, 0);
	if (c->seen == MAP_FAILED)
		c->seen = NULL;
	c->since = calloc(c->size / c->block, sizeof *c->since);
	c->bounce = aligned_alloc(4096, 4096);
	if (!c->seen || !c->since || !c->bounce) {
		fault_cache_free(c);
		return error_set(err, -ENOMEM, "fault: no memory for a cache of the whole disk");
	}
	*out = c;
	return 0;
}

void fault_cache_free(struct fault_cache *c)
{
	if (!c)
		return;
	if (c->seen)
		munmap(c->seen, c->size);
	free(c->since);
	free(c->bounce);
	free(c);
}

/* Under the lock. */
static int write_back(struct fault_cache *c, uint64_t block)
{
	memcpy(c->bounce, c->seen + block * c->block, c->block);
	ssize_t n = pwrite(c->fd, c->bounce, c->block, (off_t)(block * c->block));
	if (n != (ssize_t)c->block)
		return n < 0 ? -errno : -EIO;
	c->since[block] = 0;
	return 0;
}

static bool goes_early(struct fault_cache *c)
{
	c->rng ^= c->rng << 13;
	c->rng ^= c->rng >> 7;
	c->rng ^= c->rng << 17;
	return c->rng % 100 < c->early;
}

/* Under the lock. */
static int change(struct fault_cache *c, const struct storage_io *io)
{
	uint64_t end = (io->offset + io->length) / c->block;
	int rc = 0;

	if (io->op == STORAGE_WRITE)
		memcpy(c->seen + io->offset, io->buf, io->length);
	else
		memset(c->seen + io->offset, 0, io->length);
	c->writes++;
	for (uint64_t b = io->offset / c->block; b < end && !rc; b++) {
		if (!c->since[b])
			c->since[b] = c->writes;
		if (c->early && goes_early(c))
			rc = write_back(c, b);
	}
	return rc;
}

int fault_cache_do(struct fault_cache *c, const struct storage_io *io)
{
	int rc = 0;

	pthread_mutex_lock(&c->lock);
	if (io->op == STORAGE_READ)
		memcpy(io->buf, c->seen + io->offset, io->length);
	else
		rc = change(c, io);
	pthread_mutex_unlock(&c->lock);
	return rc;
}

uint64_t fault_cache_mark(struct fault_cache *c)
{
	pthread_mutex_lock(&c->lock);
	uint64_t mark = c->writes;
	pthread_mutex_unlock(&c->lock);
	return mark;
}

/* A block that was written again since the mark goes as it is now: early, which a disk may do. */
int fault_cache_flush(struct fault_cache *c, uint64_t mark)
{
	int rc = 0;

	pthread_mutex_lock(&c->lock);
	for (uint64_t b = 0; b < c->size / c->block && !rc; b++)
		if (c->since[b] && c->since[b] <= mark)
			rc = write_back(c, b);
	pthread_mutex_unlock(&c->lock);
	return rc;
}
