/* SPDX-License-Identifier: MIT */
/* Paths of devices, taken apart. */
#include "xenbus/path.h"

#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "xen/platform.h"

/* The number up to the next slash or the end; *p moves behind the slash. Only the canonical
 * spelling: "007" would be a second name of the same device. */
static bool number(const char **p, uint32_t max, uint32_t *out)
{
	char text[11];
	size_t n = strcspn(*p, "/");

	if (n == 0 || n >= sizeof text || ((*p)[0] == '0' && n > 1))
		return false;
	memcpy(text, *p, n);
	text[n] = '\0';
	*p += n + ((*p)[n] == '/');
	return parse_u32(text, 0, max, out) == 0;
}

enum path_depth path_parse(const char *path, const char *root, uint16_t *domid, uint32_t *devid)
{
	size_t n = strlen(root);
	uint32_t dom, dev;

	if (strncmp(path, root, n) || (path[n] != '/' && path[n] != '\0'))
		return PATH_OTHER;
	path += n;
	if (!*path || !*++path)
		return PATH_KIND;
	if (!number(&path, XEN_DOMID_MAX, &dom))
		return PATH_OTHER;
	*domid = (uint16_t)dom;
	if (!*path)
		return PATH_DOMAIN;
	if (!number(&path, UINT32_MAX, &dev))
		return PATH_OTHER;
	*devid = dev;
	return PATH_DEVICE;
}

bool path_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && (path[n] == '\0' || path[n] == '/');
}

bool path_is_frontend(const char *path, uint16_t domid)
{
	char prefix[48];
	int n = snprintf(prefix, sizeof prefix, "/local/domain/%u/device/", domid);

	if (strncmp(path, prefix, (size_t)n))
		return false;
	/* KIND/DEVID, in the characters of the names in use; so no "//" and nothing to escape. */
	const char *p = path + n;
	size_t kind = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789_-");
	if (!kind || p[kind] != '/')
		return false;
	p += kind + 1;
	return *p && strspn(p, "0123456789") == strlen(p);
}
