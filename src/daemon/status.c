/* SPDX-License-Identifier: MIT */
/* A device as JSON: what it is, how it is, what it did. */
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "blkif/request.h"
#include "daemon/at.h"
#include "daemon/device.h"
#include "disk/files.h"

_Static_assert(BLKIF_REFUSALS <= STATS_REFUSALS, "each reason has its counter");

/* Toolstacks write what they like; JSON is UTF-8. */
static json_t *text(const char *s)
{
	char plain[STORE_VALUE_MAX];
	json_t *j = json_string(s);

	if (j)
		return j;
	snprintf(plain, sizeof plain, "%s", s);
	for (char *p = plain; *p; p++)
		if ((unsigned char)*p >= 0x7f)
			*p = '?';
	return json_string(plain);
}

static json_t *text_or_null(const char *s)
{
	return s[0] ? text(s) : json_null();
}

/* The worker wrote it, and a worker may have been taken over: numbers only, whatever they are. */
static void read_page(const struct device *dev, struct stats_queue *sum)
{
	int dir = at_disk(dev->d, dev->id);
	struct stats_page page;

	*sum = (struct stats_queue){0};
	int fd = dir < 0 ? dir : at_file(dir, FILES_STATS, O_RDONLY);
	if (dir >= 0)
		close(dir);
	if (fd < 0)
		return;
	ssize_t n = pread(fd, &page, sizeof page, 0);
	close(fd);
	if (n != (ssize_t)sizeof page || page.magic != STATS_MAGIC)
		return;
	for (unsigned q = 0; q < STATS_MAX_QUEUES; q++) {
		const struct stats_queue *s = &page.queue[q];
		sum->oo_req += s->oo_req;
		sum->rd_req += s->rd_req;
		sum->wr_req += s->wr_req;
		sum->f_req += s->f_req;
		sum->ds_req += s->ds_req;
		sum->rd_sect += s->rd_sect;
		sum->wr_sect += s->wr_sect;
		sum->errors += s->errors;
		sum->rd_err += s->rd_err;
		sum->wr_err += s->wr_err;
		sum->f_err += s->f_err;
		sum->ds_err += s->ds_err;
		sum->notify += s->notify;
		sum->wakeups += s->wakeups;
		sum->inflight += s->inflight;
		sum->persistent += s->persistent;
		for (unsigned i = 0; i < STATS_REFUSALS; i++)
			sum->refused[i] += s->refused[i];
	}
}

/* Why requests were refused: how many for each reason that there was, and the most frequent one in
 * words. */
static void add_refused(const struct device *dev, json_t *j)
{
	json_t *refused = json_object();
	enum blkif_refusal most = BLKIF_OK;
	uint64_t all = 0;
	struct stats_queue s;
	char line[200] = "";

	read_page(dev, &s);
	for (enum blkif_refusal r = BLKIF_OK + 1; r < BLKIF_REFUSALS; r++) {
		if (!s.refused[r])
			continue;
		json_object_set_new(refused, blkif_refusal_name(r),
		                    json_integer((json_int_t)s.refused[r]));
		all += s.refused[r];
		if (most == BLKIF_OK || s.refused[r] > s.refused[most])
			most = r;
	}
	if (most != BLKIF_OK)
		snprintf(line, sizeof line, "%llu of %llu refused requests: %s (%s)",
		         (unsigned long long)s.refused[most], (unsigned long long)all,
		         blkif_refusal_text(most), blkif_refusal_name(most));
	json_object_set_new(j, "refused", refused);
	json_object_set_new(j, "refused_most", text_or_null(line));
}

/* Whether another disk that wants the image has to wait for this one. */
static bool image_held(const struct device *dev)
{
	bool used =
	    dev->image == IMAGE_OPENING || dev->image == IMAGE_OPEN || dev->image == IMAGE_CLOSING;

	/* What an earlier supervisor's worker has got is not known before it has said so. */
	return used || dev->claim >= 0 || dev->unasked || dev->worker.adopting ||
	       (dev->worker.hangs[0] && !dev->source.readonly);
}

static const char *worker_state(const struct worker *w)
{
	if (!w->pid)
		return "none";
	if (w->hangs[0])
		return "hangs";
	if (w->adopting)
		return "asked";
	return w->killed ? "ending" : "serving";
}

struct json_t *status_json(struct device *dev)
{
	bool open = dev->image == IMAGE_OPEN;
	bool connected = dev->ring == RING_CONNECTED;
	/* Not connected: a front end would be shown the device's, unless settings say otherwise. */
	uint32_t shown = dev->keys.sector_size ?: dev->caps.logical_block;
	const struct source *s =
	    dev->image == IMAGE_NONE || dev->image == IMAGE_CLOSED ? &dev->wanted : &dev->source;
	json_t *j =
	    json_pack("{s:s, s:s, s:i, s:I, s:s, s:s, s:s}", "id", dev->id, "kind", dev->kind,
	              "domid", dev->domid, "devid", (json_int_t)dev->devid, "vdev", dev->vdev,
	              "backend_path", dev->backend, "frontend_path", dev->frontend);

	json_object_set_new(j, "state", json_string(xenbus_state_name(dev->ours)));
	json_object_set_new(j, "frontend_state", json_string(xenbus_state_name(dev->theirs)));
	json_object_set_new(j, "online", json_boolean(dev->online));
	json_object_set_new(j, "mode", text(s->mode));
	json_object_set_new(j, "target", text(s->text));
	json_object_set_new(j, "image_state",
	                    json_string((dev->foreign && !open) || dev->held
	                                    ? "failed"
	                                    : image_phase_name(dev->image)));
	json_object_set_new(j, "image_held", json_boolean(image_held(dev)));
	json_object_set_new(
	    j, "awaits_handover",
	    json_boolean(dev->image == IMAGE_OPENING && dev->incoming && dev->slow_opening));
	json_object_set_new(j, "direct", json_boolean(open && dev->caps.direct));
	json_object_set_new(j, "sectors",
	                    json_integer(open ? (json_int_t)(dev->caps.size / 512) : 0));
	json_object_set_new(j, "sector_size", json_integer(open ? dev->caps.logical_block : 0));
	json_object_set_new(j, "physical_sector_size",
	                    json_integer(open && shown ? storage_physical(&dev->caps, shown) : 0));
	json_object_set_new(j, "readonly",
	                    json_boolean(s->readonly || (open && dev->caps.readonly)));
	json_object_set_new(j, "shared", json_boolean(s->shared));
	json_object_set_new(j, "protocol",
	                    connected ? json_string(blkif_protocol_name(dev->conn.keys.protocol))
	                              : json_null());
	json_object_set_new(j, "ring_order", json_integer(connected ? dev->conn.keys.order : 0));
	json_object_set_new(j, "queues", json_integer(connected ? dev->conn.keys.nr_queues : 0));
	json_object_set_new(
	    j, "ring_state",
	    json_string(dev->stopped && connected ? "stopped" : ring_phase_name(dev->ring)));
	json_object_set_new(j, "worker_pid", json_integer(dev->worker.pid));
	json_object_set_new(j, "worker_state", json_string(worker_state(&dev->worker)));
	json_object_set_new(j, "last_death", text_or_null(dev->worker.last_death));
	json_object_set_new(j, "last_death_with", text_or_null(dev->worker.in_hand));
	json_object_set_new(j, "faults", json_integer((json_int_t)dev->conn.faults));
	json_object_set_new(j, "error", text_or_null(dev->error.text));
	json_object_set_new(j, "warning", text_or_null(dev->warning.text));
	json_object_set_new(j, "storage_error", text_or_null(dev->trouble.now.text));
	add_refused(dev, j);
	return j;
}

struct json_t *stats_json(struct device *dev)
{
	struct stats_queue s;
	json_t *refused = json_object(), *j;
	char device[32];

	read_page(dev, &s);
	for (int r = BLKIF_OK + 1; r < BLKIF_REFUSALS; r++)
		json_object_set_new(refused, blkif_refusal_name((enum blkif_refusal)r),
		                    json_integer((json_int_t)s.refused[r]));
	snprintf(device, sizeof device, "%x:%x", dev->caps.major, dev->caps.minor);
	j = json_pack("{s:s, s:o, s:s, s:o}", "id", dev->id, "refused", refused, "physical_device",
	              device, "mode",
	              text(dev->image == IMAGE_NONE ? dev->wanted.mode : dev->source.mode));
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {
	    {"oo_req", s.oo_req},   {"rd_req", s.rd_req},     {"wr_req", s.wr_req},
	    {"f_req", s.f_req},     {"ds_req", s.ds_req},     {"rd_sect", s.rd_sect},
	    {"wr_sect", s.wr_sect}, {"errors", s.errors},     {"notify", s.notify},
	    {"wakeups", s.wakeups}, {"inflight", s.inflight}, {"persistent", s.persistent},
	    {"rd_err", s.rd_err},   {"wr_err", s.wr_err},     {"f_err", s.f_err},
	    {"ds_err", s.ds_err},
	};
	for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
		json_object_set_new(j, numbers[i].name, json_integer((json_int_t)numbers[i].value));
	return j;
}
