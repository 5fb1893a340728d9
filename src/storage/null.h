/* SPDX-License-Identifier: MIT */
/* The null engine: reads zeros, forgets writes. */
#ifndef STORAGE_NULL_H
#define STORAGE_NULL_H

#include "storage/engine.h"

extern const struct storage_ops storage_null_ops;

/* As the parse of storage/engine.h: a size. */
int null_parse(const char *text, const char *size, struct storage_target *out, struct error *err);

#endif
