/* SPDX-License-Identifier: MIT */
/* Text tables: cells are collected, then printed once their widths are known. */
#include "ctl/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 16

/* Owned by its caller. */
struct table {
	unsigned columns;
	bool right[COLUMNS_MAX];
	char **cell; /* the headings are the first row */
	size_t cells;
	bool failed;
};

struct table *table_new(const char *const *headings)
{
	struct table *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	for (; headings[t->columns] && t->columns < COLUMNS_MAX; t->columns++)
		t->right[t->columns] = headings[t->columns][0] == '>';
	for (unsigned i = 0; i < t->columns; i++)
		table_add(t, "%s", headings[i] + t->right[i]);
	return t;
}

void table_add(struct table *t, const char *fmt, ...)
{
	char **more = realloc(t->cell, (t->cells + 1) * sizeof *more);
	va_list ap;

	if (!more) {
		t->failed = true;
		return;
	}
	t->cell = more;
	va_start(ap, fmt);
	if (vasprintf(&t->cell[t->cells], fmt, ap) < 0)
		t->failed = true;
	else
		t->cells++;
	va_end(ap);
}

/* Characters on the screen: bytes of UTF-8 that do not continue one. */
static size_t width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void print_row(const struct table *t, char *const *row, const size_t *widths, FILE *to)
{
	for (unsigned c = 0; c < t->columns; c++) {
		int pad = (int)(widths[c] - width(row[c]));
		bool last = c + 1 == t->columns;

		if (t->right[c])
			fprintf(to, "%*s%s", pad, "", row[c]);
		else
			fprintf(to, "%s%*s", row[c], last ? 0 : pad, "");
		fputs(last ? "\n" : "  ", to);
	}
}

bool table_print(struct table *t, FILE *to)
{
	size_t widths[COLUMNS_MAX] = {0};
	bool ok = !t->failed;

	for (size_t i = 0; i < t->cells; i++)
		if (width(t->cell[i]) > widths[i % t->columns])
			widths[i % t->columns] = width(t->cell[i]);
	for (size_t i = 0; ok && i + t->columns <= t->cells; i += t->columns)
		print_row(t, t->cell + i, widths, to);
	for (size_t i = 0; i < t->cells; i++)
		free(t->cell[i]);
	free(t->cell);
	free(t);
	return ok;
}
