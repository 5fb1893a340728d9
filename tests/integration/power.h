/* SPDX-License-Identifier: MIT */
/*
 * A power cut, for disks with the volatile cache of storage/fault_cache.h: supervisor and worker
 * are killed, so that nobody serves and the image holds what was durable, and no more. The journal
 * stays, which a real power cut would take too: who is started again does what was in hand.
 */
#ifndef TESTS_INTEGRATION_POWER_H
#define TESTS_INTEGRATION_POWER_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>

#include "image_lock.h"
#include "control.h"

/* Attaches 1:xvda with these faults on a new image of zeros; the image's path. */
static inline const char *faulty_disk(struct host *h, const char *faults, uint64_t size)
{
	const char *image = host_image(h, "a.img", size);
	char target[300];

	snprintf(target, sizeof target, "fault:%s:%s", faults, image);
	host_attach(h, &(struct disk){.params = target}, target);
	return image;
}

/* When it returns, nothing is on its way to the image any more: the fence is open. */
static inline void power_off(struct host *h, const char *id, const char *image)
{
	pid_t worker = host_worker(h, id);
	int fd = open(image, O_RDONLY | O_CLOEXEC);

	assert_true(worker > 0 && fd >= 0);
	host_daemon_kill(h, SIGKILL);
	assert_int_equal(kill(worker, SIGKILL), 0);
	wait_until(image_is_still(fd));
	close(fd);
}

#endif
