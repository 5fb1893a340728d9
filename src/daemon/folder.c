/* SPDX-License-Identifier: MIT */
/* The folder of a disk in the run directory: what must survive processes stands there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/device.h"
#include "disk/stats.h"
#include "storage/lost.h"

#define CONNECTION_MAGIC "xenblkd-connection-2"
#define SOURCE_MAGIC "xenblkd-source-1"
#define INCOMING_NAME "incoming"

static int make_dir(const char *path, struct error *err)
{
	if (!mkdir(path, 0755) || errno == EEXIST)
		return 0;
	return error_set(err, -errno, "cannot make %s: %s", path, error_name(errno));
}

/* The counters go on through all workers of the device. */
static int make_stats(const struct device *dev, struct error *err)
{
	struct stats_page page = {.magic = STATS_MAGIC, .nr_queues = 1};
	char path[FOLDER_MAX + 16];
	struct stat st;
	int rc = 0;

	snprintf(path, sizeof path, "%s/stats", dev->folder);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return error_set(err, -errno, "cannot make %s: %s", path, error_name(errno));
	if (fstat(fd, &st))
		rc = -errno;
	else if (st.st_size != (off_t)sizeof page &&
	         pwrite(fd, &page, sizeof page, 0) != (ssize_t)sizeof page)
		rc = errno ? -errno : -ENOSPC;
	close(fd);
	return rc ? error_set(err, rc, "cannot write %s: %s", path, error_name(rc)) : 0;
}

int folder_make(struct device *dev, struct error *err)
{
	char path[FOLDER_MAX + 16];
	int rc;

	snprintf(path, sizeof path, "%s/disks", dev->d->run_dir);
	rc = make_dir(path, err);
	if (!rc)
		rc = make_dir(dev->folder, err);
	snprintf(path, sizeof path, "%s/statistics", dev->folder);
	if (!rc)
		rc = make_dir(path, err);
	return rc ? rc : make_stats(dev, err);
}

static bool says_already(const char *path, const char *text)
{
	char have[STORE_VALUE_MAX + 256];
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(have, 1, sizeof have, f) : 0;

	if (f)
		fclose(f);
	return f && n == strlen(text) && !memcmp(have, text, n);
}

static int write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");
	int bad = !f || fputs(text, f) < 0;

	/* What does not fit shows only now. */
	return (f && fclose(f)) || bad ? -errno : 0;
}

void folder_write(struct device *dev, const char *name, const char *fmt, ...)
{
	char path[FOLDER_MAX + 32], temp[FOLDER_MAX + 40], text[STORE_VALUE_MAX + 256];
	va_list ap;

	snprintf(path, sizeof path, "%s/%s", dev->folder, name);
	snprintf(temp, sizeof temp, "%s.new", path);
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	/* In a full run directory, too, it stays. */
	if (says_already(path, text))
		return;
	int rc = write_text(temp, text);
	if (!rc && rename(temp, path))
		rc = -errno;
	if (!rc)
		return;
	log_warn("%s: cannot write %s: %s", dev->id, path, error_name(rc));
	/* Rather none than half of it, or one that is not true any more. */
	unlink(temp);
	unlink(path);
}

/* Unlinks what `doomed` says in the directory, which is closed. */
static void clean(int dir_fd, bool (*doomed)(const char *name))
{
	DIR *dir = dir_fd < 0 ? NULL : fdopendir(dir_fd);

	if (!dir) {
		if (dir_fd >= 0)
			close(dir_fd);
		return;
	}
	for (struct dirent *e; (e = readdir(dir));)
		if (doomed(e->d_name))
			unlinkat(dir_fd, e->d_name, 0);
	closedir(dir);
}

static bool any(const char *name)
{
	return true;
}

static bool of_journal(const char *name)
{
	return !strncmp(name, "journal-", 8);
}

static int open_dir(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

void folder_remove(const char *folder)
{
	char path[FOLDER_MAX + 16];

	snprintf(path, sizeof path, "%s/statistics", folder);
	clean(open_dir(path), any);
	rmdir(path);
	clean(open_dir(folder), any);
	rmdir(folder);
}

bool folder_has_journals(struct device *dev, unsigned n)
{
	char path[FOLDER_MAX + 24];

	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof path, "%s/journal-%u", dev->folder, i);
		if (access(path, F_OK))
			return false;
	}
	return true;
}

void folder_drop_connection(struct device *dev)
{
	char path[FOLDER_MAX + 16];

	/* The journals first: a journal without its connection would be taken for one of a lost
	 * run directory, and be held against the connection that follows. */
	clean(open_dir(dev->folder), of_journal);
	snprintf(path, sizeof path, "%s/connection", dev->folder);
	unlink(path);
}

/* Once the guest has its own name nothing else tells that it comes from elsewhere. */
bool folder_incoming(struct device *dev)
{
	char path[FOLDER_MAX + 16], uuid[37];

	ring_guest_uuid(dev, uuid);
	snprintf(path, sizeof path, "%s/" INCOMING_NAME, dev->folder);
	return says_already(path, uuid);
}

void folder_set_incoming(struct device *dev, bool incoming)
{
	char path[FOLDER_MAX + 16], uuid[37];

	if (incoming) {
		/* a domain number may come to mean another guest */
		ring_guest_uuid(dev, uuid);
		folder_write(dev, INCOMING_NAME, "%s", uuid);
		return;
	}
	snprintf(path, sizeof path, "%s/" INCOMING_NAME, dev->folder);
	unlink(path);
}

void folder_drop_lost(struct device *dev)
{
	char path[FOLDER_MAX + 16];

	snprintf(path, sizeof path, "%s/" LOST_NAME, dev->folder);
	unlink(path);
}

int folder_save_connection(struct device *dev, struct error *err)
{
	const struct ring_keys *k = &dev->conn.keys;
	char path[FOLDER_MAX + 32], temp[FOLDER_MAX + 32];

	snprintf(path, sizeof path, "%s/connection", dev->folder);
	snprintf(temp, sizeof temp, "%s/connection.new", dev->folder);
	FILE *f = fopen(temp, "we");
	if (!f)
		return error_set(err, -errno, "cannot write %s: %s", temp, error_name(errno));
	fprintf(f, CONNECTION_MAGIC " %llu %llu %u %u %u %u %u\n",
	        (unsigned long long)dev->conn.generation, (unsigned long long)dev->conn.faults,
	        dev->conn.sector_units, k->protocol, k->order, k->persistent, k->nr_queues);
	for (unsigned q = 0; q < k->nr_queues; q++) {
		fprintf(f, "%u", k->queue[q].port);
		for (unsigned i = 0; i < 1u << k->order; i++)
			fprintf(f, " %u", k->queue[q].refs[i]);
		fputc('\n', f);
	}
	int bad = ferror(f);
	if (!fclose(f) && !bad && !rename(temp, path))
		return 0;
	int rc = errno ? -errno : -EIO;
	unlink(temp);
	return error_set(err, rc, "cannot write %s: %s", path, error_name(rc));
}

static int load_queue(FILE *f, unsigned order, struct queue_keys *q)
{
	if (fscanf(f, " %u", &q->port) != 1)
		return -EINVAL;
	for (unsigned i = 0; i < 1u << order; i++)
		if (fscanf(f, " %u", &q->refs[i]) != 1)
			return -EINVAL;
	return 0;
}

int folder_load_connection(const struct device *dev, struct connection *out)
{
	struct connection c = {0};
	unsigned long long generation, faults;
	char path[FOLDER_MAX + 32];
	unsigned protocol;
	int rc = -EINVAL;

	snprintf(path, sizeof path, "%s/connection", dev->folder);
	FILE *f = fopen(path, "re");
	if (!f)
		return -errno;
	if (fscanf(f, CONNECTION_MAGIC " %llu %llu %u %u %u %u %u", &generation, &faults,
	           &c.sector_units, &protocol, &c.keys.order, &c.keys.persistent,
	           &c.keys.nr_queues) != 7 ||
	    c.keys.order > RING_MAX_ORDER || c.keys.nr_queues > RING_MAX_QUEUES)
		goto out;
	for (unsigned i = 0; i < c.keys.nr_queues; i++)
		if (load_queue(f, c.keys.order, &c.keys.queue[i]))
			goto out;
	c.generation = generation;
	c.faults = faults;
	c.keys.protocol = (enum blkif_protocol)protocol;
	*out = c;
	rc = 0;
out:
	fclose(f);
	return rc;
}

void folder_save_source(struct device *dev)
{
	const struct source *s = &dev->source;
	char mode[sizeof s->mode];

	/* A word, whatever the toolstack wrote. */
	snprintf(mode, sizeof mode, "%s", s->mode[0] ? s->mode : "-");
	mode[strcspn(mode, " \t\n\v\f\r")] = '\0';
	folder_write(dev, "source", SOURCE_MAGIC " %d %x %x %d %d %u %s\n%s", (int)s->kind,
	             s->major, s->minor, s->readonly, s->shared, s->info, mode[0] ? mode : "-",
	             s->text);
}

int folder_load_source(const struct device *dev, struct source *out)
{
	char path[FOLDER_MAX + 16];
	int kind, readonly, shared, rc = -EINVAL;

	*out = (struct source){0};
	snprintf(path, sizeof path, "%s/source", dev->folder);
	FILE *f = fopen(path, "re");
	if (!f)
		return -errno;
	if (fscanf(f, SOURCE_MAGIC " %d %x %x %d %d %u %15s", &kind, &out->major, &out->minor,
	           &readonly, &shared, &out->info, out->mode) == 7 &&
	    (kind == SOURCE_DEVICE || kind == SOURCE_TARGET) && fgetc(f) == '\n') {
		out->kind = (enum source_kind)kind;
		out->readonly = readonly;
		out->shared = shared;
		if (!strcmp(out->mode, "-"))
			out->mode[0] = '\0';
		out->text[fread(out->text, 1, sizeof out->text - 1, f)] = '\0';
		rc = 0;
	}
	fclose(f);
	return rc;
}
