/* SPDX-License-Identifier: MIT */
/* Path rules (characters, lengths, relative paths) and permission lists. */
#include "xen/embedded/xsd_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/io/xs_wire.h>

#include "base/parse.h"

_Static_assert(XSD_PATH_CAP == XENSTORE_ABS_PATH_MAX + 1, "header says it without xs_wire.h");

static bool good_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '/' || c == '_' || c == '@';
}

static bool good_text(const char *path, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!good_char(path[i]) || (path[i] == '/' && i + 1 < n && path[i + 1] == '/'))
			return false;
	}
	return n && (path[n - 1] != '/' || n == 1);
}

int xsd_path_canonical(const char *path, uint16_t domid, char out[XSD_PATH_CAP], bool *relative)
{
	size_t n = strlen(path);

	if (!good_text(path, n) || path[0] == '@')
		return -EINVAL;
	*relative = path[0] != '/';
	if (n > (*relative ? XENSTORE_REL_PATH_MAX : XENSTORE_ABS_PATH_MAX))
		return -EINVAL;
	if (*relative)
		snprintf(out, XSD_PATH_CAP, "/local/domain/%u/%s", domid, path);
	else
		memcpy(out, path, n + 1);
	return 0;
}

bool xsd_path_is_special(const char *path)
{
	return !strcmp(path, "@introduceDomain") || !strcmp(path, "@releaseDomain");
}

bool xsd_path_up(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || !path[1])
		return false;
	slash[slash == path] = '\0';
	return true;
}

size_t xsd_path_own_prefix(uint16_t domid)
{
	return (size_t)snprintf(NULL, 0, "/local/domain/%u/", domid);
}

const char *xsd_path_part(const char **at, size_t *n)
{
	const char *start = *at;

	if (*start == '/')
		start++;
	*n = strcspn(start, "/");
	*at = start + *n;
	return *n ? start : NULL;
}

struct xsd_perms *xsd_perms_new(const struct xsd_perm *p, unsigned n)
{
	struct xsd_perms *perms = malloc(sizeof *perms + n * sizeof *p);

	if (!perms)
		return NULL;
	perms->refs = 1;
	perms->n = n;
	memcpy(perms->p, p, n * sizeof *p);
	return perms;
}

struct xsd_perms *xsd_perms_get(struct xsd_perms *perms)
{
	perms->refs++;
	return perms;
}

void xsd_perms_put(struct xsd_perms *perms)
{
	if (perms && !--perms->refs)
		free(perms);
}

static const char letters[] = {'n', 'r', 'w', 'b'}; /* index: XSD_READ | XSD_WRITE */

int xsd_perm_parse(const char *s, struct xsd_perm *out)
{
	const char *l = s[0] ? memchr(letters, s[0], sizeof letters) : NULL;
	uint32_t domid;

	if (!l || parse_u32(s + 1, 0, UINT16_MAX, &domid))
		return -EINVAL;
	out->bits = (uint8_t)(l - letters);
	out->domid = (uint16_t)domid;
	return 0;
}

char xsd_perm_letter(uint8_t bits)
{
	return letters[bits & (XSD_READ | XSD_WRITE)];
}

uint8_t xsd_perms_of(const struct xsd_perms *perms, uint16_t domid)
{
	if (perms->p[0].domid == domid)
		return XSD_READ | XSD_WRITE | XSD_OWNER;
	for (unsigned i = 1; i < perms->n; i++) {
		if (perms->p[i].domid == domid)
			return perms->p[i].bits;
	}
	return perms->p[0].bits;
}
