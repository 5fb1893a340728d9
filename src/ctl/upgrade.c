/* SPDX-License-Identifier: MIT */
/* Upgrades, one after the other: a host whose disks all pause at once would notice. */
#include "ctl/upgrade.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "ctl/client.h"

#define UPGRADE_TIMEOUT_MS 60000 /* above what xenblkd allows itself */

int upgrade_supervisor(const char *run_dir, struct error *err)
{
	json_t *r;
	int rc = control_request(run_dir, "upgrade", NULL, UPGRADE_TIMEOUT_MS, &r, err);

	if (!rc)
		printf("xenblkd is version %s now, process %" PRId64 "\n",
		       json_string_value(json_object_get(r, "version")) ?: "?",
		       (int64_t)json_integer_value(json_object_get(r, "pid")));
	json_decref(r);
	return rc;
}

int upgrade_disk(const char *run_dir, const char *id, struct error *err)
{
	json_t *r;
	int rc = control_request(run_dir, "upgrade", id, UPGRADE_TIMEOUT_MS, &r, err);

	int64_t pid = rc ? 0 : json_integer_value(json_object_get(r, "worker_pid"));

	if (pid)
		printf("%s: worker replaced, process %" PRId64 "; its requests waited %.1f ms\n",
		       id, pid, json_number_value(json_object_get(r, "pause_ms")));
	else if (!rc)
		printf("%s: no front end is connected: the old worker has ended, the next one "
		       "will be the installed program\n",
		       id);
	json_decref(r);
	return rc;
}

int upgrade_all(const char *run_dir, struct error *err)
{
	json_t *disks, *disk;
	unsigned failed = 0;
	size_t i;
	int rc = upgrade_supervisor(run_dir, err);

	if (!rc)
		rc = control_request(run_dir, "list", NULL, CONTROL_TIMEOUT_MS, &disks, err);
	if (rc)
		return rc;
	json_array_foreach(disks, i, disk)
	{
		const char *id = json_string_value(json_object_get(disk, "id"));
		if (!id || !json_integer_value(json_object_get(disk, "worker_pid")) ||
		    !upgrade_disk(run_dir, id, err))
			continue;
		fprintf(stderr, "xenblkctl: %s\n", err->text);
		failed++;
	}
	json_decref(disks);
	return failed
	           ? error_set(err, -EREMOTEIO, "%u of the disks keep the worker they had", failed)
	           : 0;
}
