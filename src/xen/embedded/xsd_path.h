/* SPDX-License-Identifier: MIT */
/* Paths and permissions of the embedded xenstored: rules, text forms, who may do what. */
#ifndef XEN_EMBEDDED_XSD_PATH_H
#define XEN_EMBEDDED_XSD_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XSD_PATH_CAP (3072 + 1) /* XENSTORE_ABS_PATH_MAX with the NUL */

/*
 * Checks path as domid gave it and makes it absolute in out (relative: below domid's own
 * directory); *relative says whether it was. 0 or -EINVAL. "@…" is refused.
 */
int xsd_path_canonical(const char *path, uint16_t domid, char out[XSD_PATH_CAP], bool *relative);
bool xsd_path_is_special(const char *path); /* one of the "@…" that can be watched */
/* Cuts the last part off: "/a/b" → "/a" → "/". False, and unchanged, for "/". */
bool xsd_path_up(char *path);
/* Length of "/local/domain/DOMID/" of an absolute path below it, to make an event's path relative.
 */
size_t xsd_path_own_prefix(uint16_t domid);
/* Next part of an absolute path from *at on: its start, length in *n, *at behind it; NULL at the
 * end. */
const char *xsd_path_part(const char **at, size_t *n);

enum {
	XSD_READ = 1,
	XSD_WRITE = 2,
	XSD_OWNER = 4, /* may change permissions */
};

struct xsd_perm {
	uint16_t domid;
	uint8_t bits; /* XSD_READ | XSD_WRITE */
};

/* Shared between nodes, never changed once made. p[0]: owner, and what everyone else may do.
 * Belongs to the store's thread. */
struct xsd_perms {
	unsigned refs, n;
	struct xsd_perm p[];
};

struct xsd_perms *xsd_perms_new(const struct xsd_perm *p,
                                unsigned n); /* one reference; NULL: no memory */
struct xsd_perms *xsd_perms_get(struct xsd_perms *perms);
void xsd_perms_put(struct xsd_perms *perms); /* NULL is fine */
/* "n0", "r7", "w1", "b2". 0 or -EINVAL. */
int xsd_perm_parse(const char *s, struct xsd_perm *out);
char xsd_perm_letter(uint8_t bits);
/* What domid may do, all three bits for the owner. Domain 0 is the caller's business. */
uint8_t xsd_perms_of(const struct xsd_perms *perms, uint16_t domid);

#endif
