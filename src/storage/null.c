/* SPDX-License-Identifier: MIT */
/* The null engine: reads zeros, forgets writes. Measures everything but the storage. */
#include "storage/null.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "storage/again.h"

int null_parse(const char *text, const char *size, struct storage_target *out, struct error *err)
{
	uint64_t v;

	if (parse_size(size, &v) || !v || v % 512 || v > INT64_MAX)
		return error_set(
		    err, -EINVAL,
		    "target \"%s\": the size must be a multiple of 512 below 8388608T; "
		    "give it in bytes or with K, M, G or T, as in null:1G",
		    target_quote(text).text);
	*out = (struct storage_target){.engine = STORAGE_NULL, .size = v};
	return 0;
}

static int null_open(const struct storage_spec *spec, struct storage **out, struct error *err)
{
	struct storage *s = calloc(1, sizeof *s);

	if (!s)
		return error_set(err, -ENOMEM, "cannot open a null disk: out of memory");
	s->caps = (struct storage_caps){
	    .size = spec->target.size,
	    .logical_block = 512,
	    .physical_block = 512,
	    .readonly = spec->readonly,
	    .flush = true,
	    .discard = !spec->readonly,
	    .discard_granularity = spec->readonly ? 0 : 512,
	};
	*out = s;
	return 0;
}

static void null_close(struct storage *s)
{
	free(s);
}

static int null_queue_open(struct storage *s, struct io_uring *ring, struct storage_queue **out,
                           struct error *err)
{
	*out = calloc(1, sizeof **out);
	return *out ? 0 : error_set(err, -ENOMEM, "cannot open a null disk: out of memory");
}

static void null_queue_close(struct storage_queue *q)
{
	free(q);
}

static void null_submit(struct storage_queue *q, struct storage_io *io)
{
	if (io->op == STORAGE_READ)
		memset(io->buf, 0, io->length);
	storage_done(io, 0);
}

const struct storage_ops storage_null_ops = {
    .open = null_open,
    .queue_open = null_queue_open,
    .submit = null_submit,
    .queue_close = null_queue_close,
    .close = null_close,
};
