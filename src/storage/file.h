/* SPDX-License-Identifier: MIT */
/* The file engine: an image that is a regular file or block device. */
#ifndef STORAGE_FILE_H
#define STORAGE_FILE_H

#include "storage/discard.h"
#include "storage/engine.h"

/* Control thread; constant after open. */
struct file {
	struct storage base;
	int fd; /* the only description that I/O goes through; it carries the fence */
	bool block;
	struct discard_turns turns; /* of the queues' helpers */
};

/* The data thread that opened it. */
struct file_queue {
	struct storage_queue base;
	int fd;
	struct discard discard; /* in use if caps.discard */
};

extern const struct storage_ops storage_file_ops;

#endif
