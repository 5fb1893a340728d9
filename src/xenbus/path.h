/* SPDX-License-Identifier: MIT */
/* Paths of devices, taken apart. Pure. */
#ifndef XENBUS_PATH_H
#define XENBUS_PATH_H

#include <stdbool.h>
#include <stdint.h>

enum path_depth {
	PATH_OTHER,  /* not below the root, or no valid numbers in it */
	PATH_KIND,   /* the root itself: …/backend/vbd */
	PATH_DOMAIN, /* …/vbd/1 */
	PATH_DEVICE, /* …/vbd/1/51712 or anything below it */
};

/* path: of a watch event. root: ".../backend/KIND", no slash at the end. Any thread. */
enum path_depth path_parse(const char *path, const char *root, uint16_t *domid, uint32_t *devid);

/* Whether path is dir or lies below it. */
bool path_below(const char *path, const char *dir);

/* Whether a `frontend` key names a device directory of that very domain and nothing else. */
bool path_is_frontend(const char *path, uint16_t domid);

#endif
