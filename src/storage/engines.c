/* SPDX-License-Identifier: MIT */
/* All engines: which TARGETs are theirs, and what opens them. A TARGET's text may come from
 * xenstore: any length, any bytes. */
#include "storage/engines.h"

#include <errno.h>
#include <string.h>

#include "storage/fault.h"
#include "storage/file.h"
#include "storage/file_target.h"
#include "storage/null.h"

#define FORMS "a path from the root (/srv/disk.img), aio:/PATH, raw:/PATH, phy:/PATH or null:SIZE"

/* An engine, or a form that somebody may rightly expect and this build does not have. */
static const struct scheme {
	const char *prefix;
	enum storage_engine engine;
	storage_parse *parse; /* NULL: not built in */
	const struct storage_ops *ops;
	const char *remedy; /* what to do instead */
} schemes[] = {
    {"null:", STORAGE_NULL, null_parse, &storage_null_ops},
    {"raw:", STORAGE_FILE, file_target_parse, &storage_file_ops},
    {"phy:", STORAGE_FILE, file_target_parse, &storage_file_ops},
    {"qcow2:",
     .remedy = "convert the image (qemu-img convert -f qcow2 -O raw) and give the raw file"},
    {"vhd:", .remedy = "convert the image (qemu-img convert -f vpc -O raw) and give the raw file"},
    {"nbd:", .remedy = "connect it with nbd-client and give /dev/nbdN"},
    {"nbd+unix:", .remedy = "connect it with nbd-client and give /dev/nbdN"},
    {"rbd:", .remedy = "map it (rbd map POOL/IMAGE) and give /dev/rbdN"},
};
#define SCHEMES_NR (sizeof schemes / sizeof *schemes)

/* text without the prefix, or NULL. */
static const char *after(const char *text, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(text, prefix, n) ? NULL : text + n;
}

int storage_target_parse(const char *text, struct storage_target *out, struct error *err)
{
	const char *body = after(text, "aio:") ?: text;

	if (!*text)
		return error_set(err, -EINVAL, "the target is empty; give " FORMS);
	for (const struct scheme *s = schemes; s < schemes + SCHEMES_NR; s++) {
		const char *rest = after(body, s->prefix);
		if (rest && s->parse)
			return s->parse(text, rest, out, err);
		if (rest)
			return error_set(err, -ENOTSUP,
			                 "target \"%s\": this build has no engine for %.*s; %s",
			                 target_quote(text).text, (int)strlen(s->prefix) - 1,
			                 s->prefix, s->remedy);
	}
	if (*body == '/' || body != text)
		return file_target_parse(text, body, out, err);
	return error_set(err, -EINVAL, "target \"%s\" is not understood; give " FORMS,
	                 target_quote(text).text);
}

static const struct storage_ops *engine_ops(enum storage_engine engine)
{
	for (const struct scheme *s = schemes; s < schemes + SCHEMES_NR; s++)
		if (s->ops && s->engine == engine)
			return s->ops;
	return NULL;
}

int storage_open(const struct storage_spec *spec, struct storage **out, struct error *err)
{
	const struct storage_ops *ops = engine_ops(spec->target.engine);

	if (!ops)
		return error_set(err, -EINVAL, "storage engine %d does not exist",
		                 (int)spec->target.engine);
	int rc = ops->open(spec, out, err);
	if (rc)
		return rc;
	(*out)->ops = ops;
	if (spec->target.fault[0] && (rc = fault_wrap(spec->target.fault, out, err))) {
		storage_close(*out);
		*out = NULL;
	}
	return rc;
}
