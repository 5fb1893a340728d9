/* SPDX-License-Identifier: MIT */
/* Requests of the control socket: {"cmd":…,"id":…} in, {"ok":…,"result" or "error":…} out. */
#include "daemon/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "daemon/device.h"
#include "daemon/reexec.h"

json_t *command_error(const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	struct error err;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	error_set(&err, 0, "%s", text);
	json_t *s = json_string(err.text);
	/* What was quoted may have been cut within a character. */
	return json_pack("{s:b, s:o}", "ok", 0, "error",
	                 s ? s : json_string_nocheck("bad request"));
}

json_t *command_result(json_t *value)
{
	return json_pack("{s:b, s:o}", "ok", 1, "result", value);
}

/* "1:xvda" or "1:51712". */
static struct device *find(struct daemon *d, const char *id)
{
	char domid[8];
	const char *colon = strchr(id, ':');
	uint32_t dom, devid;

	if (!colon || (size_t)(colon - id) >= sizeof domid)
		return NULL;
	memcpy(domid, id, (size_t)(colon - id));
	domid[colon - id] = '\0';
	if (parse_u32(domid, 0, XEN_DOMID_MAX, &dom) || vdev_parse(colon + 1, &devid))
		return NULL;
	return table_find(d, (uint16_t)dom, devid);
}

static void add_status(struct device *dev, void *arg)
{
	json_array_append_new(arg, status_json(dev));
}

static void add_stats(struct device *dev, void *arg)
{
	json_array_append_new(arg, stats_json(dev));
}

static json_t *unknown(const char *id)
{
	return command_error("no disk \"%.40s\" here; see `xenblkctl list`", id);
}

static json_t *run_status(struct daemon *d, const char *id)
{
	struct device *dev = id ? find(d, id) : NULL;

	if (!id)
		return command_error("status needs an id like 1:xvda");
	return dev ? command_result(status_json(dev)) : unknown(id);
}

/* The answer to the worker is not waited for: status shows the size that it finds. */
static json_t *run_resize(struct daemon *d, const char *id)
{
	struct device *dev = id ? find(d, id) : NULL;

	if (!id)
		return command_error("resize needs an id like 1:xvda");
	if (!dev)
		return unknown(id);
	if (dev->image != IMAGE_OPEN)
		return command_error("%s has no open image whose size could be looked at", dev->id);
	if (dev->worker.other)
		return command_error("the worker of %s is of another version; see its status",
		                     dev->id);
	change_ask_size(dev);
	return command_result(json_object());
}

static json_t *run_stats(struct daemon *d, const char *id)
{
	struct device *dev = id ? find(d, id) : NULL;
	json_t *all;

	if (id && !dev)
		return unknown(id);
	all = json_array();
	if (dev)
		add_stats(dev, all);
	else
		table_each(d, add_stats, all);
	return command_result(all);
}

static json_t *run_recover(struct daemon *d, const char *id)
{
	struct device *dev = id ? find(d, id) : NULL;

	if (!id)
		return command_error("recover needs an id like 1:xvda");
	if (!dev)
		return unknown(id);
	const char *why = worker_revive(dev);
	return why ? command_error("disk %s: %s", dev->id, why) : command_result(json_object());
}

/* A disk's worker, or the supervisor itself; NULL: the answer comes later. */
static json_t *run_upgrade(struct daemon *d, uint64_t client, const char *id)
{
	struct device *dev = id ? find(d, id) : NULL;
	struct error err;
	int rc;

	if (d->stopping)
		return command_error("xenblkd is stopping");
	if (reexec_pending())
		return command_error("xenblkd is being upgraded already; try again");
	if (id && !dev)
		return unknown(id);
	if (!id) {
		rc = reexec_begin(d, client, &err);
	} else {
		rc = worker_program(d, &err);
		if (rc >= 0)
			rc = upgrade_begin(dev, rc, client, &err);
	}
	if (rc >= 0)
		return NULL;
	return id ? command_error("disk %s: %s", dev->id, err.text) : command_error("%s", err.text);
}

static json_t *run_list(struct daemon *d)
{
	json_t *all = json_array();

	table_each(d, add_status, all);
	return command_result(all);
}

static json_t *dispatch(struct daemon *d, const char *cmd, const char *id)
{
	if (!strcmp(cmd, "list"))
		return run_list(d);
	if (!strcmp(cmd, "status"))
		return run_status(d, id);
	if (!strcmp(cmd, "stats"))
		return run_stats(d, id);
	if (!strcmp(cmd, "resize"))
		return run_resize(d, id);
	if (!strcmp(cmd, "recover"))
		return run_recover(d, id);
	if (!strcmp(cmd, "version"))
		return command_result(json_pack(
		    "{s:s, s:i, s:s, s:I}", "version", XENBLKD_VERSION, "pid", (int)getpid(),
		    "run_dir", d->run_dir, "xenstore_calls", (json_int_t)store_calls(d->store)));
	if (!strcmp(cmd, "shutdown")) {
		daemon_stop(d);
		return command_result(json_object());
	}
	return command_error(
	    "unknown command \"%.40s\"; list, status, stats, resize, upgrade, recover, "
	    "version and shutdown are known",
	    cmd);
}

json_t *command_run(struct daemon *d, uint64_t client, const char *line, size_t n, bool *later)
{
	json_error_t bad;
	json_t *request = json_loadb(line, n, JSON_REJECT_DUPLICATES, &bad), *answer;
	const json_t *id = json_object_get(request, "id");
	const char *cmd = json_string_value(json_object_get(request, "cmd"));

	*later = false;
	if (!request)
		answer = command_error("request is no JSON: %.120s", bad.text);
	else if (!cmd)
		answer = command_error("request is no object with a string \"cmd\"");
	else if (id && !json_is_string(id) && !json_is_null(id))
		answer = command_error("\"id\" is no string");
	else if (!strcmp(cmd, "upgrade"))
		*later = !(answer = run_upgrade(d, client, json_string_value(id)));
	else
		answer = dispatch(d, cmd, json_string_value(id));
	json_decref(request);
	return answer;
}
