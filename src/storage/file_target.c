/* SPDX-License-Identifier: MIT */
/* A TARGET that names a file or block device. */
#include "storage/file_target.h"

#include <errno.h>
#include <string.h>

int file_target_parse(const char *text, const char *path, struct storage_target *out,
                      struct error *err)
{
	size_t len = strlen(path);

	if (*path != '/')
		return error_set(err, -EINVAL,
		                 "target \"%s\": the path does not begin with /; give it from the "
		                 "root, as in /srv/disk.img",
		                 target_quote(text).text);
	if (len >= sizeof out->path)
		return error_set(err, -EINVAL,
		                 "target \"%s\": the path has %zu characters, at most %zu are "
		                 "possible; use a shorter one or a symbolic link",
		                 target_quote(text).text, len, sizeof out->path - 1);
	*out = (struct storage_target){.engine = STORAGE_FILE};
	memcpy(out->path, path, len);
	return 0;
}
