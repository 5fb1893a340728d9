/* SPDX-License-Identifier: MIT */
/* What the worker has of files (disk/files.h): memory, all of it there from its start on. */
#ifndef WORKER_FILES_H
#define WORKER_FILES_H

#include "base/error.h"
#include "disk/files.h"
#include "disk/message.h"

struct files {
	void *journal[WM_MAX_QUEUES];
	struct stats_page *stats;
	uint64_t *lost;
	uint64_t *text[STATS_NR_TEXTS];
	int owner_fd; /* of the owner lock, until that is taken; -1 */
};

/* At the start, in the folder as the supervisor made it. 0 or -errno with *err. */
int files_map(struct files *f, const char *folder, struct error *err);
/* Waits for the owner lock; idempotent. 0 or -errno with *err. */
int files_own(struct files *f, struct error *err);

#endif
