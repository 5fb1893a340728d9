/* SPDX-License-Identifier: MIT */
/* What the tests of removal share: a disk brought to any stage, and whether its image is in use. */
#ifndef TESTS_INTEGRATION_REMOVAL_H
#define TESTS_INTEGRATION_REMOVAL_H

#include <fcntl.h>
#include <sys/file.h>

#include "image_lock.h"
#include "control.h"

#define ID "1:xvda"
#define SEED 21

static inline void attach(struct host *h, char path[200])
{
	make_image(h, "a.img", SEED, path);
	host_attach(h, &(struct disk){.params = path}, path);
}

static inline bool lock_is_free(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	bool ok = image_is_free(fd);
	close(fd);
	return ok;
}

enum stage { FRESH, SCRIPT, INITIALISED, CONNECTED, CLOSING, CLOSED, STAGES };

static inline struct xenblkfront *reach(struct host *h, enum stage stage, char path[200])
{
	struct xenblkfront *f = NULL;

	make_image(h, "a.img", SEED, path);
	host_disk(h, &(struct disk){.params = path});
	if (stage == FRESH)
		return NULL;
	host_wait_state(h, 1, XVDA, XS_INITWAIT);
	host_script(h, 1, XVDA, path);
	if (stage == SCRIPT)
		return NULL;
	f = host_front(h, 1, "xvda", NULL, 0);
	assert_front(f, xenblkfront_publish_ring(f));
	assert_front(f, xenblkfront_set_state(f, XS_INITIALISED));
	if (stage == INITIALISED)
		return f;
	host_wait_state(h, 1, XVDA, XS_CONNECTED);
	front_state(h, 1, XVDA, XS_CONNECTED);
	if (stage == CONNECTED)
		return f;
	front_state(h, 1, XVDA, XS_CLOSING);
	if (stage == CLOSING)
		return f;
	front_state(h, 1, XVDA, XS_CLOSED);
	return f;
}

#endif
