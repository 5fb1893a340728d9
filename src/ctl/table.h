/* SPDX-License-Identifier: MIT */
/* Text tables with columns as wide as they need to be. */
#ifndef CTL_TABLE_H
#define CTL_TABLE_H

#include <stdbool.h>
#include <stdio.h>

struct table;

/* headings: NULL-terminated; one that begins with '>' makes a right-aligned column. NULL: no
 * memory. */
struct table *table_new(const char *const *headings);
/* The next cell, row by row; copied. */
void table_add(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints headings and rows, frees t. False if memory ran out on the way: nothing was printed. */
bool table_print(struct table *t, FILE *to);

#endif
