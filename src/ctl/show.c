/* SPDX-License-Identifier: MIT */
/* Human-readable output. A key that is missing prints as "-": an older xenblkd may not know it. */
#include "ctl/show.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blkif/vdev.h"
#include "ctl/table.h"
#include "xen/store.h"

#define CELL_MAX 1100

/* A member as text, whatever its type; "-" if there is none. text has CELL_MAX bytes. */
static const char *text_of(json_t *o, const char *key, char *text)
{
	json_t *v = json_object_get(o, key);

	snprintf(text, CELL_MAX, "-");
	if (json_is_string(v))
		snprintf(text, CELL_MAX, "%s", *json_string_value(v) ? json_string_value(v) : "-");
	else if (json_is_integer(v))
		snprintf(text, CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_boolean(v))
		snprintf(text, CELL_MAX, "%s", json_is_true(v) ? "yes" : "no");
	/* Some texts are a guest's. */
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	return text;
}

/* xenbus states may come as numbers. */
static const char *state_of(json_t *o, const char *key, char *text)
{
	json_t *v = json_object_get(o, key);

	if (!json_is_integer(v))
		return text_of(o, key, text);
	snprintf(text, CELL_MAX, "%s", xenbus_state_name((int)json_integer_value(v)));
	return text;
}

static uint64_t number_of(json_t *o, const char *key)
{
	json_int_t v = json_integer_value(json_object_get(o, key));

	return v > 0 ? (uint64_t)v : 0;
}

void size_text(uint64_t bytes, char *text)
{
	static const char *const unit[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	unsigned u = 0;

	while (value >= 1024 && u + 1 < sizeof unit / sizeof *unit) {
		value /= 1024;
		u++;
	}
	/* Whole numbers stay whole; others get one digit. */
	bool whole = value == (double)(uint64_t)value;
	snprintf(text, SIZE_TEXT_MAX, "%.*f %s", whole ? 0 : 1, value, unit[u]);
}

static const char *size_of(json_t *o, const char *key, char *text)
{
	if (!json_object_get(o, key) || json_is_null(json_object_get(o, key)))
		return "-";
	size_text(number_of(o, key) << 9, text);
	return text;
}

static void print(struct table *t)
{
	if (t && !table_print(t, stdout))
		fprintf(stderr, "xenblkctl: out of memory\n");
}

/* xvdb comes before xvdaa, 2:xvda before 10:xvda. */
static int by_id(const void *a, const void *b)
{
	const char *id[2] = {json_string_value(json_object_get(*(json_t *const *)a, "id")),
	                     json_string_value(json_object_get(*(json_t *const *)b, "id"))};
	unsigned domid[2] = {0, 0};
	uint32_t devid[2] = {0, 0};

	for (int i = 0; i < 2; i++) {
		const char *colon = id[i] ? strchr(id[i], ':') : NULL;
		if (!colon || sscanf(id[i], "%u", &domid[i]) != 1 ||
		    vdev_parse(colon + 1, &devid[i]))
			domid[i] = devid[i] = UINT32_MAX;
	}
	return domid[0] != domid[1]   ? (domid[0] < domid[1] ? -1 : 1)
	       : devid[0] != devid[1] ? (devid[0] < devid[1] ? -1 : 1)
	                              : 0;
}

void sort_disks(json_t *disks)
{
	size_t n = json_array_size(disks);
	json_t **all = n ? calloc(n, sizeof(json_t *)) : NULL;

	if (!all)
		return; /* unsorted, but complete */
	for (size_t i = 0; i < n; i++)
		all[i] = json_incref(json_array_get(disks, i));
	qsort(all, n, sizeof *all, by_id);
	for (size_t i = 0; i < n; i++)
		json_array_set_new(disks, i, all[i]);
	free(all);
}

void show_list(json_t *disks)
{
	static const char *const headings[] = {"ID",    "STATE", "FRONT END", "IMAGE",
	                                       ">SIZE", "MODE",  "TARGET",    NULL};
	char text[CELL_MAX], size[SIZE_TEXT_MAX];
	struct table *t;
	json_t *disk;
	size_t i;

	if (!json_array_size(disks)) {
		printf("no disks\n");
		return;
	}
	t = table_new(headings);
	if (!t)
		return;
	json_array_foreach(disks, i, disk)
	{
		table_add(t, "%s", text_of(disk, "id", text));
		table_add(t, "%s", state_of(disk, "state", text));
		table_add(t, "%s", state_of(disk, "frontend_state", text));
		table_add(t, "%s", text_of(disk, "image_state", text));
		table_add(t, "%s", size_of(disk, "sectors", size));
		table_add(t, "%s", text_of(disk, "mode", text));
		table_add(t, "%s", text_of(disk, "target", text));
	}
	print(t);
	json_array_foreach(disks, i, disk)
	{
		char id[CELL_MAX];
		if (strcmp(text_of(disk, "error", text), "-"))
			printf("%s: error: %s\n", text_of(disk, "id", id), text);
		if (strcmp(text_of(disk, "storage_error", text), "-"))
			printf("%s: %s\n", text_of(disk, "id", id), text);
		/* Of a disk that is not there yet, what it waits for. */
		if (!strcmp(text_of(disk, "image_state", id), "opening") &&
		    strcmp(text_of(disk, "warning", text), "-"))
			printf("%s: %s\n", text_of(disk, "id", id), text);
	}
}

static void line(const char *name, const char *value)
{
	if (strcmp(value, "-"))
		printf("%-14s %s\n", name, value);
}

static void show_geometry(json_t *d)
{
	char size[SIZE_TEXT_MAX];

	if (!number_of(d, "sectors"))
		return;
	size_text(number_of(d, "sectors") << 9, size);
	printf("%-14s %s: %" PRIu64 " sectors of 512 bytes; blocks of %" PRIu64
	       " (logical), %" PRIu64 " (physical) bytes\n",
	       "size", size, number_of(d, "sectors"), number_of(d, "sector_size"),
	       number_of(d, "physical_sector_size"));
}

static void show_ring(json_t *d)
{
	char protocol[CELL_MAX], state[CELL_MAX];

	text_of(d, "protocol", protocol);
	if (!strcmp(protocol, "-"))
		return;
	uint64_t pages = (uint64_t)1 << (number_of(d, "ring_order") & 15);
	uint64_t queues = number_of(d, "queues");

	printf("%-14s %s, %" PRIu64 " page%s, %" PRIu64 " queue%s, %s\n", "ring", protocol, pages,
	       pages == 1 ? "" : "s", queues, queues == 1 ? "" : "s",
	       text_of(d, "ring_state", state));
}

static const char *access_of(json_t *d)
{
	bool readonly = json_is_true(json_object_get(d, "readonly"));
	bool shared = json_is_true(json_object_get(d, "shared"));

	return readonly ? "read-only" : shared ? "read-write, shared" : "read-write";
}

void show_status(json_t *d)
{
	char text[CELL_MAX], with[CELL_MAX];

	line("disk", text_of(d, "id", text));
	printf("%-14s %s", "back end", state_of(d, "state", text));
	printf("  (%s)\n", text_of(d, "backend_path", text));
	printf("%-14s %s", "front end", state_of(d, "frontend_state", text));
	printf("  (%s)\n", text_of(d, "frontend_path", text));
	line("online", text_of(d, "online", text));
	line("target", text_of(d, "target", text));
	printf("%-14s %s, %s%s\n", "image", text_of(d, "image_state", text), access_of(d),
	       json_is_true(json_object_get(d, "direct")) ? ", direct I/O" : "");
	show_geometry(d);
	show_ring(d);
	line("worker", text_of(d, "worker_pid", text));
	if (strcmp(text_of(d, "last_death", text), "-"))
		printf("%-14s %s; with %s\n", "last death", text_of(d, "last_death", text),
		       text_of(d, "last_death_with", with));
	line("refused", text_of(d, "refused_most", text));
	line("warning", text_of(d, "warning", text));
	line("storage", text_of(d, "storage_error", text));
	line("error", text_of(d, "error", text));
}

/* Sum of an object of numbers. */
static uint64_t total_of(json_t *o)
{
	const char *key;
	json_t *value;
	uint64_t sum = 0;

	json_object_foreach(o, key, value) sum += number_of(o, key);
	return sum;
}

void show_stats(json_t *stats)
{
	static const char *const headings[] = {"ID",         ">READS",     ">READ",     ">WRITES",
	                                       ">WRITTEN",   ">FLUSHES",   ">DISCARDS", ">ERRORS",
	                                       ">REFUSED",   ">NO MEMORY", ">NOTIFIES", ">WAKE-UPS",
	                                       ">IN FLIGHT", NULL};
	static const char *const after[] = {"f_req",  "ds_req", "errors",  "refused",
	                                    "oo_req", "notify", "wakeups", "inflight"};
	char text[CELL_MAX], size[SIZE_TEXT_MAX];
	struct table *t;
	json_t *one;
	size_t i;

	if (!json_array_size(stats)) {
		printf("no disks\n");
		return;
	}
	t = table_new(headings);
	if (!t)
		return;
	json_array_foreach(stats, i, one)
	{
		table_add(t, "%s", text_of(one, "id", text));
		table_add(t, "%s", text_of(one, "rd_req", text));
		table_add(t, "%s", size_of(one, "rd_sect", size));
		table_add(t, "%s", text_of(one, "wr_req", text));
		table_add(t, "%s", size_of(one, "wr_sect", size));
		for (size_t k = 0; k < sizeof after / sizeof *after; k++) {
			json_t *v = json_object_get(one, after[k]);
			if (json_is_object(v))
				table_add(t, "%" PRIu64, total_of(v));
			else
				table_add(t, "%s", text_of(one, after[k], text));
		}
	}
	print(t);
}

/* One list for both forms of output. */
static const struct {
	const char *key, *words;
	size_t offset;
} usage_rows[] = {
    {"domains", "domains besides domain 0", offsetof(struct xen_usage, domains)},
    {"clients", "open handles, this one included", offsetof(struct xen_usage, clients)},
    {"grants", "grant references handed out", offsetof(struct xen_usage, grants)},
    {"maps", "grant references mapped", offsetof(struct xen_usage, maps)},
    {"ports", "event-channel ports", offsetof(struct xen_usage, ports)},
    {"interdomain", "of these, bound to another domain", offsetof(struct xen_usage, interdomain)},
    {"store_conns", "xenstore connections", offsetof(struct xen_usage, store_conns)},
};
#define USAGE_ROWS (sizeof usage_rows / sizeof *usage_rows)

static uint32_t usage_value(const struct xen_usage *usage, size_t row)
{
	uint32_t v;

	memcpy(&v, (const char *)usage + usage_rows[row].offset, sizeof v);
	return v;
}

void show_usage(const struct xen_usage *usage)
{
	for (size_t i = 0; i < USAGE_ROWS; i++)
		printf("%8" PRIu32 "  %s\n", usage_value(usage, i), usage_rows[i].words);
}

json_t *usage_json(const struct xen_usage *usage)
{
	json_t *o = json_object();

	for (size_t i = 0; o && i < USAGE_ROWS; i++)
		json_object_set_new(o, usage_rows[i].key, json_integer(usage_value(usage, i)));
	return o;
}

void show_attached(const char *id, const char *target, json_t *status)
{
	char size[SIZE_TEXT_MAX];

	size_text(number_of(status, "sectors") << 9, size);
	printf("%s attached: %s (%s, %s)\n", id, target, size, access_of(status));
}
