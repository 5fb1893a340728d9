/* SPDX-License-Identifier: MIT */
/* From a TARGET's text to what it means. The text may come from xenstore: any length, any bytes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "storage/storage.h"

#define FORMS "a path from the root (/srv/disk.img), aio:/PATH, raw:/PATH, phy:/PATH or null:SIZE"

/* What to do instead, for the schemes that somebody may rightly expect. */
static const struct {
	const char *prefix, *remedy;
} known[] = {
    {"qcow2:", "convert the image (qemu-img convert -f qcow2 -O raw) and give the raw file"},
    {"vhd:", "convert the image (qemu-img convert -f vpc -O raw) and give the raw file"},
    {"nbd:", "connect it with nbd-client and give /dev/nbdN"},
    {"nbd+unix:", "connect it with nbd-client and give /dev/nbdN"},
    {"rbd:", "map it (rbd map POOL/IMAGE) and give /dev/rbdN"},
};

/* text without the prefix, or NULL. */
static const char *after(const char *text, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(text, prefix, n) ? NULL : text + n;
}

/* The text for an error line, so short that the remedy still fits. */
struct quoted {
	char text[100];
};

static struct quoted quote(const char *text)
{
	struct quoted q;

	if (snprintf(q.text, sizeof q.text, "%s", text) >= (int)sizeof q.text)
		memcpy(q.text + sizeof q.text - 4, "...", 4);
	return q;
}

static int parse_path(const char *text, const char *path, struct storage_target *out,
                      struct error *err)
{
	size_t len = strlen(path);

	if (*path != '/')
		return error_set(err, -EINVAL,
		                 "target \"%s\": the path does not begin with /; give it from the "
		                 "root, as in /srv/disk.img",
		                 quote(text).text);
	if (len >= sizeof out->path)
		return error_set(err, -EINVAL,
		                 "target \"%s\": the path has %zu characters, at most %zu are "
		                 "possible; use a shorter one or a symbolic link",
		                 quote(text).text, len, sizeof out->path - 1);
	*out = (struct storage_target){.engine = STORAGE_FILE};
	memcpy(out->path, path, len);
	return 0;
}

static int parse_null(const char *text, const char *size, struct storage_target *out,
                      struct error *err)
{
	uint64_t v;

	if (parse_size(size, &v) || !v || v % 512 || v > INT64_MAX)
		return error_set(
		    err, -EINVAL,
		    "target \"%s\": the size must be a multiple of 512 below 8388608T; "
		    "give it in bytes or with K, M, G or T, as in null:1G",
		    quote(text).text);
	*out = (struct storage_target){.engine = STORAGE_NULL, .size = v};
	return 0;
}

int storage_target_parse(const char *text, struct storage_target *out, struct error *err)
{
	const char *body = after(text, "aio:") ?: text;
	const char *rest;

	if (!*text)
		return error_set(err, -EINVAL, "the target is empty; give " FORMS);
	if ((rest = after(body, "null:")))
		return parse_null(text, rest, out, err);
	if ((rest = after(body, "raw:")) || (rest = after(body, "phy:")))
		return parse_path(text, rest, out, err);
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (after(body, known[i].prefix))
			return error_set(err, -ENOTSUP,
			                 "target \"%s\": this build has no engine for %.*s; %s",
			                 quote(text).text, (int)strlen(known[i].prefix) - 1,
			                 known[i].prefix, known[i].remedy);
	if (*body == '/' || body != text)
		return parse_path(text, body, out, err);
	return error_set(err, -EINVAL, "target \"%s\" is not understood; give " FORMS,
	                 quote(text).text);
}
