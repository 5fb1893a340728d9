/* SPDX-License-Identifier: MIT */
/* What an engine is made of; for the files of this folder only. */
#ifndef STORAGE_ENGINE_H
#define STORAGE_ENGINE_H

#include "base/list.h"
#include "storage/storage.h"

/* What comes behind an engine's prefix in a TARGET: rest, which text ends with. Sets all of *out.
 * 0, or -EINVAL with *err, which names text and what would do. Pure. */
typedef int storage_parse(const char *text, const char *rest, struct storage_target *out,
                          struct error *err);

/* Contracts: those of the storage_* call of the same name. submit gets only what storage_submit let
 * through: within the size, and nothing that changes a read-only image. It ends each operation with
 * storage_done (again.h), and may see it again after a failure. */
struct storage_ops {
	int (*open)(const struct storage_spec *spec, struct storage **out, struct error *err);
	int (*queue_open)(struct storage *s, struct io_uring *ring, struct storage_queue **out,
	                  struct error *err);
	void (*submit)(struct storage_queue *q, struct storage_io *io);
	void (*queue_close)(struct storage_queue *q);
	/* The image's size now, bytes, not rounded. NULL: it never changes. */
	int (*size)(struct storage *s, uint64_t *size, struct error *err);
	void (*close)(struct storage *s);
};

/* Control thread; constant after open but for caps.size, so data threads may read it. Embedded in
 * the engine's own. */
struct storage {
	const struct storage_ops *ops; /* set by storage_open */
	struct storage_caps caps;
	struct lost *lost; /* see storage_submit; or NULL */
};

/* The data thread that opened it. Embedded in the engine's own; filled by storage_queue_open. */
struct storage_queue {
	struct storage *storage;
	struct io_uring *ring;
};

/* storage.c: as storage_submit, for an operation that was submitted before. */
void storage_start(struct storage_io *io);

#endif
