/* SPDX-License-Identifier: MIT */
/* The file engine's data calls. */
#ifndef STORAGE_FILE_IO_H
#define STORAGE_FILE_IO_H

#include "storage/file.h"

int file_queue_open(struct storage *s, struct io_uring *ring, struct storage_queue **out,
                    struct error *err);
void file_queue_close(struct storage_queue *q);
void file_submit(struct storage_queue *q, struct storage_io *io);

#endif
