/* SPDX-License-Identifier: MIT */
/* Reads the configuration file. A line that is not understood is an error: a setting that silently
 * does not count is worse than a start that fails. */
#include "daemon/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 4096

/* One line of a disk's section. */
struct entry {
	struct entry *next;
	unsigned setting; /* index into the table */
	char *value;      /* checked */
	char disk[];      /* ID or image */
};

struct config {
	struct entry *first, **last;
};

/* Where the file is read. */
struct parser {
	struct config *c;
	struct settings *defaults;
	const char *path;
	unsigned line;
	enum { NOWHERE, DEFAULTS, DISK } section;
	char disk[LINE_MAX_BYTES];
};

static char *trim(char *s)
{
	char *end = s + strlen(s);

	while (isspace((unsigned char)*s))
		s++;
	while (end > s && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return s;
}

static int bad(const struct parser *p, struct error *err, const char *what)
{
	return error_set(err, -EINVAL, "%.200s line %u: %s", p->path, p->line, what);
}

/* "[defaults]", "[disk X]". */
static int parse_section(struct parser *p, char *s, struct error *err)
{
	size_t n = strlen(s);

	if (s[n - 1] != ']')
		return bad(p, err, "a section's name ends with ]");
	s[n - 1] = '\0';
	s = trim(s + 1);
	if (!strcmp(s, "defaults")) {
		p->section = DEFAULTS;
		return 0;
	}
	if (strncmp(s, "disk", 4) || !isspace((unsigned char)s[4]) || !*trim(s + 4))
		return bad(p, err, "there are sections [defaults] and [disk ID-OR-IMAGE]");
	p->section = DISK;
	strcpy(p->disk, trim(s + 4));
	return 0;
}

static int add_entry(struct parser *p, unsigned setting, const char *value, struct error *err)
{
	struct entry *e = calloc(1, sizeof *e + strlen(p->disk) + 1);

	if (e)
		e->value = strdup(value);
	if (!e || !e->value) {
		free(e);
		return error_set(err, -ENOMEM, "out of memory");
	}
	e->setting = setting;
	strcpy(e->disk, p->disk);
	*p->c->last = e;
	p->c->last = &e->next;
	return 0;
}

static int parse_setting(struct parser *p, char *s, struct error *err)
{
	struct settings scratch;
	struct error why;
	char text[ERROR_TEXT_MAX - 250];
	char *equals = strchr(s, '=');

	if (!equals)
		return bad(p, err, "is neither \"name = value\" nor a section");
	*equals = '\0';
	s = trim(s);
	char *value = trim(equals + 1);
	int setting = settings_find(s);
	if (setting < 0) {
		snprintf(text, sizeof text, "there is no setting \"%.60s\"", s);
		return bad(p, err, text);
	}
	if (p->section == NOWHERE)
		return bad(p, err, "stands before the first section");
	if (settings_set(p->section == DEFAULTS ? p->defaults : &scratch, (unsigned)setting, value,
	                 &why)) {
		snprintf(text, sizeof text, "%.240s", why.text);
		return bad(p, err, text);
	}
	return p->section == DISK ? add_entry(p, (unsigned)setting, value, err) : 0;
}

static int parse_line(struct parser *p, char *s, struct error *err)
{
	s = trim(s);
	if (!*s || *s == '#' || *s == ';')
		return 0;
	return *s == '[' ? parse_section(p, s, err) : parse_setting(p, s, err);
}

static int parse_file(struct parser *p, FILE *f, struct error *err)
{
	char line[LINE_MAX_BYTES];
	int rc = 0;

	while (!rc && fgets(line, sizeof line, f)) {
		p->line++;
		if (!strchr(line, '\n') && !feof(f))
			return bad(p, err, "is too long");
		rc = parse_line(p, line, err);
	}
	if (!rc && ferror(f))
		rc = error_set(err, -EIO, "cannot read %.200s", p->path);
	return rc;
}

int config_load(const char *path, struct settings *defaults, struct config **out, struct error *err)
{
	struct parser *p = calloc(1, sizeof *p);
	struct config *c = calloc(1, sizeof *c);
	FILE *f = NULL;
	int rc = 0;

	*out = NULL;
	if (!p || !c)
		rc = error_set(err, -ENOMEM, "out of memory");
	if (!rc && path && !(f = fopen(path, "re")))
		rc = error_set(err, -errno, "cannot open the configuration file %.200s: %s", path,
		               error_name(errno));
	if (c)
		c->last = &c->first;
	if (!rc && f) {
		p->c = c;
		p->defaults = defaults;
		p->path = path;
		rc = parse_file(p, f, err);
	}
	if (f)
		fclose(f);
	free(p);
	if (rc)
		config_free(c);
	else
		*out = c;
	return rc;
}

void config_free(struct config *c)
{
	while (c && c->first) {
		struct entry *e = c->first;
		c->first = e->next;
		free(e->value);
		free(e);
	}
	free(c);
}

/* "raw:/srv/disk.img" and "/srv/disk.img" are one image. */
static bool names(const char *wanted, const char *id, const char *image)
{
	const char *colon = strchr(image, ':');

	if (!strcmp(wanted, id) || (*image && !strcmp(wanted, image)))
		return true;
	return colon && colon[1] == '/' && !strcmp(wanted, colon + 1);
}

void config_apply(const struct config *c, const char *id, const char *image, struct settings *s)
{
	struct error err;

	for (const struct entry *e = c->first; e; e = e->next)
		if (names(e->disk, id, image))
			settings_set(s, e->setting, e->value, &err);
}
