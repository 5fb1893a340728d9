/* SPDX-License-Identifier: MIT */
/* Names in error texts; for the files of this folder only. */
#ifndef STORAGE_SHORT_H
#define STORAGE_SHORT_H

#define STORAGE_SHORT_MAX 128

/* path for an error text, so that the rest of the line still fits: a long one loses its head. */
const char *storage_short(char buf[STORAGE_SHORT_MAX], const char *path);

#endif
