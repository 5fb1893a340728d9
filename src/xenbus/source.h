/* SPDX-License-Identifier: MIT */
/* Which image a device shows, and how: from the keys of the toolstack and its scripts. Pure. */
#ifndef XENBUS_SOURCE_H
#define XENBUS_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "xen/store.h"
#include "xenbus/keys.h"

enum source_kind {
	SOURCE_WAIT,   /* not known yet, or the script is not through: no error */
	SOURCE_DEVICE, /* block device major:minor */
	SOURCE_TARGET, /* a TARGET text, see storage/storage.h */
};

struct source {
	enum source_kind kind;
	uint32_t major, minor;      /* DEVICE */
	char text[STORE_VALUE_MAX]; /* the key's; WAIT: params, or "" */
	char mode[16];              /* "" if not known */
	bool readonly, shared;
	unsigned info;        /* VDISK_* of the keys; those of the image come on top */
	uint64_t fingerprint; /* of all keys that were looked at: changes when one of them does */
};

/* 0, or -errno with *err naming the key. Everything in *out is valid also after an error, its kind
 * is SOURCE_WAIT then. Any thread. */
int source_read(const struct key_reader *r, struct source *out, struct error *err);

/* Whether both mean the same image, opened the same way. */
bool source_same(const struct source *a, const struct source *b);

#endif
