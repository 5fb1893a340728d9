/* SPDX-License-Identifier: MIT */
/* Error texts of the control paths. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of the printable UTF-8 character at p, or 0. */
static int printable(const unsigned char *p)
{
	/* By the lead byte: how many follow, and the range of the first of these, which keeps out
	 * over-long forms, surrogates and what lies behind U+10FFFF. */
	int more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : 1;
	unsigned min = 0x80, max = 0xbf;

	if (*p < 0x80)
		return *p >= 0x20 && *p != 0x7f;
	if (*p < 0xc2 || *p > 0xf4)
		return 0;
	if (*p == 0xc2 || *p == 0xe0)
		min = 0xa0; /* below U+00A0 there are control characters, too */
	else if (*p == 0xf0)
		min = 0x90;
	else if (*p == 0xed)
		max = 0x9f;
	else if (*p == 0xf4)
		max = 0x8f;
	for (int i = 1; i <= more; i++, min = 0x80, max = 0xbf)
		if (p[i] < min || p[i] > max)
			return 0;
	return more + 1;
}

void text_printable(char *text)
{
	while (*text) {
		int n = printable((const unsigned char *)text);
		if (!n)
			*text = '?';
		text += n ? n : 1;
	}
}

int error_set(struct error *err, int rc, const char *fmt, ...)
{
	if (!err)
		return rc;
	/* Via a copy: callers extend a text by passing err->text as an argument. */
	char text[ERROR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	text_printable(text);
	memcpy(err->text, text, sizeof text);
	return rc;
}

/* What runs short, and comes back. */
static const struct {
	int rc;
	const char *remedy;
} shortages[] = {
    {EAGAIN, "raise the limit of processes (ulimit -u, systemd's TasksMax) or end some"},
    {EDQUOT, "free room there, or raise the quota"},
    {EINTR, "none is needed"},
    {EMFILE, "raise the limit of open files (ulimit -n, systemd's LimitNOFILE)"},
    {ENFILE, "raise the machine's limit of open files (sysctl fs.file-max)"},
    {ENOBUFS, "free memory, or raise the limit of locked memory (ulimit -l)"},
    {ENOMEM, "free memory, or raise the limit of locked memory (ulimit -l, systemd's "
             "LimitMEMLOCK)"},
    {ENOSPC, "free room in the run directory"},
    {ETOOMANYREFS,
     "raise the limit of open files (ulimit -n, systemd's LimitNOFILE): each disk's claim counts"},
};

bool error_is_transient(int rc)
{
	return *error_remedy(rc);
}

const char *error_remedy(int rc)
{
	for (size_t i = 0; i < sizeof shortages / sizeof *shortages; i++)
		if (shortages[i].rc == abs(rc))
			return shortages[i].remedy;
	return "";
}

const char *error_name(int rc)
{
	return strerrordesc_np(abs(rc)) ?: "unknown error";
}
