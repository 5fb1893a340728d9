/* SPDX-License-Identifier: MIT */
/* The folder of a disk in the run directory: what must survive processes is in it. It is the
 * supervisor's; of disk/files.h its workers have the content mapped. */
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
#include "blkif/ring.h"
#include "daemon/at.h"
#include "daemon/device.h"
#include "disk/files.h"

#define CONNECTION_MAGIC "xenblkd-connection-2"
#define CONNECTION_FRESH "fresh"
#define SOURCE_MAGIC "xenblkd-source-1"
#define INCOMING_NAME "incoming"

static int folder_fd(const struct device *dev)
{
	return at_disk(dev->d, dev->id);
}

/* A hole that a worker stores into when the file system is full would be a SIGBUS. Where the file
 * system cannot allocate (EOPNOTSUPP), that has to do. 0 or -errno. */
static int allocate(int fd, size_t bytes)
{
	return !fallocate(fd, 0, 0, (off_t)bytes) || errno == EOPNOTSUPP ? 0 : -errno;
}

/* A file of that size, at least: a worker may have it mapped, so it never shrinks. What is in it
 * stays. */
static int make_file(const struct device *dev, int dir, const char *name, size_t bytes, bool room,
                     struct error *err)
{
	int fd = at_file(dir, name, O_RDWR | O_CREAT);
	struct stat st;
	int rc = fd < 0 ? fd : 0;

	if (!rc && (fstat(fd, &st) || (st.st_size < (off_t)bytes && ftruncate(fd, (off_t)bytes))))
		rc = -errno;
	if (!rc && room)
		rc = allocate(fd, bytes);
	if (fd >= 0)
		close(fd);
	return rc ? error_set(err, rc, "cannot make %s/%s: %s%s", dev->folder, name, error_name(rc),
	                      error_is_transient(rc) ? "" : "; see what is in its place")
	          : 0;
}

static int make_journals(const struct device *dev, int dir, struct error *err)
{
	char name[32];
	int rc = 0;

	for (unsigned i = 0; i < WM_MAX_QUEUES && !rc; i++) {
		snprintf(name, sizeof name, FILES_JOURNAL, i);
		rc = make_file(dev, dir, name, JOURNAL_FILE_BYTES, false, err);
	}
	return rc;
}

static int make_texts(const struct device *dev, int dir, struct error *err)
{
#define NAME(name) #name,
	static const char *const names[] = {STATS_TEXTS(NAME)};
	char name[48];
	int fd = at_make_dir(dir, STATS_TEXTS_DIR);
	int rc = 0;

	if (fd < 0)
		return error_set(err, fd, "cannot make %s/" STATS_TEXTS_DIR ": %s", dev->folder,
		                 error_name(fd));
	close(fd);
	for (unsigned i = 0; i < STATS_NR_TEXTS && !rc; i++) {
		snprintf(name, sizeof name, FILES_TEXT, names[i]);
		rc = make_file(dev, dir, name, STATS_TEXT_BYTES, true, err);
	}
	return rc;
}

int folder_make(struct device *dev, struct error *err)
{
	int disks = at_make_dir(dev->d->run_fd, DISKS_NAME), dir, rc;

	dir = disks < 0 ? disks : at_make_dir(disks, dev->id);
	if (disks >= 0)
		close(disks);
	if (dir < 0)
		return error_set(err, dir, "cannot make %s: %s", dev->folder, error_name(dir));
	rc = make_file(dev, dir, FILES_STATS, sizeof(struct stats_page), true, err);
	if (!rc)
		rc = make_file(dev, dir, FILES_LOST, LOST_BYTES, true, err);
	if (!rc)
		rc = make_file(dev, dir, RECORD_NAME, RECORD_BYTES, true, err);
	if (!rc)
		rc = make_texts(dev, dir, err);
	if (!rc)
		rc = make_journals(dev, dir, err);
	close(dir);
	return rc;
}

int folder_reserve(struct device *dev, const struct ring_keys *keys, struct error *err)
{
	int dir = folder_fd(dev), rc = dir < 0 ? dir : 0;
	struct blkif_ring ring;
	char name[32];

	blkif_ring_attach(&ring, NULL, keys->order, keys->protocol);
	for (unsigned i = 0; i < keys->nr_queues && !rc; i++) {
		snprintf(name, sizeof name, FILES_JOURNAL, i);
		int fd = at_file(dir, name, O_RDWR);
		rc = fd < 0 ? fd : allocate(fd, JOURNAL_BYTES(ring.slots));
		if (fd >= 0)
			close(fd);
	}
	if (dir >= 0)
		close(dir);
	return rc ? error_set(err, rc, "cannot make room for the journals in %s: %s", dev->folder,
	                      error_name(rc))
	          : 0;
}

static bool says_already(int dir, const char *name, const char *text)
{
	char have[STORE_VALUE_MAX + 256];
	FILE *f = at_stream(dir, name, "r");
	size_t n = f ? fread(have, 1, sizeof have, f) : 0;

	if (f)
		fclose(f);
	return f && n == strlen(text) && !memcmp(have, text, n);
}

bool folder_read(const struct device *dev, const char *name, char *text, size_t cap)
{
	int dir = folder_fd(dev);
	FILE *f = dir < 0 ? NULL : at_stream(dir, name, "r");
	size_t n = f ? fread(text, 1, cap - 1, f) : 0;

	if (f)
		fclose(f);
	if (dir >= 0)
		close(dir);
	text[n] = '\0';
	return n;
}

static int write_text(int dir, const char *name, const char *text)
{
	FILE *f = at_stream(dir, name, "w");
	int bad = !f || fputs(text, f) < 0;

	/* What does not fit shows only now. */
	return (f && fclose(f)) || bad ? -errno : 0;
}

void folder_write(struct device *dev, const char *name, const char *fmt, ...)
{
	char temp[48], text[STORE_VALUE_MAX + 256];
	int dir = folder_fd(dev), rc = dir < 0 ? dir : 0;
	va_list ap;

	snprintf(temp, sizeof temp, "%s.new", name);
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	/* In a full run directory, too, it stays. */
	if (rc || says_already(dir, name, text))
		goto out;
	rc = write_text(dir, temp, text);
	if (!rc && renameat(dir, temp, dir, name))
		rc = -errno;
	if (rc) {
		/* Rather none than half of it, or one that is not true any more. */
		unlinkat(dir, temp, 0);
		unlinkat(dir, name, 0);
	}
out:
	if (rc)
		log_warn("%s: cannot write %s/%s: %s", dev->id, dev->folder, name, error_name(rc));
	if (dir >= 0)
		close(dir);
}

void folder_drop(const struct device *dev, const char *name)
{
	int dir = folder_fd(dev);

	if (dir < 0)
		return;
	unlinkat(dir, name, 0);
	close(dir);
}

/* Of directory `name` in `at`: its files, then itself. */
static void remove_dir(int at, const char *name)
{
	int fd = at_dir(at, name);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (struct dirent *e; (e = readdir(dir));)
		unlinkat(fd, e->d_name, 0);
	closedir(dir);
	unlinkat(at, name, AT_REMOVEDIR);
}

void folder_remove(struct daemon *d, const char *name)
{
	int disks = at_disks(d), dir;

	if (disks < 0)
		return;
	dir = at_dir(disks, name);
	if (dir >= 0) {
		remove_dir(dir, STATS_TEXTS_DIR);
		close(dir);
	}
	remove_dir(disks, name);
	close(disks);
}

/* The magic of that queue's journal; 0: it is empty, or there is none. With clear: makes it empty,
 * as a worker would: one that still runs notes nothing in it that counts. */
static int journal_magic(int dir, unsigned queue, bool clear, uint64_t *magic)
{
	uint64_t none = 0;
	char name[32];
	int rc = 0;

	*magic = 0;
	snprintf(name, sizeof name, FILES_JOURNAL, queue);
	int fd = at_file(dir, name, O_RDWR);
	if (fd < 0)
		return error_is_transient(fd) ? fd : 0;
	if (pread(fd, magic, sizeof *magic, 0) != (ssize_t)sizeof *magic)
		*magic = 0;
	if (*magic && clear && pwrite(fd, &none, sizeof none, 0) < 0) {
		rc = error_is_transient(errno) ? -errno : 0;
		log_error("%s cannot be emptied: %s", name, error_name(errno));
	}
	close(fd);
	return rc;
}

int folder_has_journals(struct device *dev, unsigned n)
{
	int dir = folder_fd(dev), rc = 0;
	uint64_t magic = dir >= 0;

	for (unsigned i = 0; i < n && magic && !rc; i++)
		rc = journal_magic(dir, i, false, &magic);
	if (dir >= 0)
		close(dir);
	else if (error_is_transient(dir))
		rc = dir;
	return rc ?: magic != 0;
}

int folder_empty_journals(struct device *dev)
{
	int dir = folder_fd(dev), rc = 0;
	uint64_t magic;

	if (dir < 0)
		return error_is_transient(dir) ? dir : 0;
	for (unsigned i = 0; i < WM_MAX_QUEUES && !rc; i++)
		rc = journal_magic(dir, i, true, &magic);
	close(dir);
	return rc;
}

int folder_drop_connection(struct device *dev)
{
	/* The journals first: a journal without its connection would be taken for one of a lost
	 * run directory, and be held against the connection that follows. */
	int rc = folder_empty_journals(dev);

	if (!rc)
		folder_drop(dev, "connection");
	return rc;
}

/* Once the guest has its own name nothing else tells that it comes from elsewhere. */
int folder_incoming(struct device *dev)
{
	char uuid[37];
	int rc = ring_guest_uuid(dev, uuid), dir = rc ? rc : folder_fd(dev);

	if (dir < 0)
		return rc || error_is_transient(dir) ? dir : 0;
	bool says = says_already(dir, INCOMING_NAME, uuid);
	close(dir);
	return says;
}

void folder_set_incoming(struct device *dev, bool incoming)
{
	char uuid[37];

	if (incoming) {
		/* a domain number may come to mean another guest */
		if (!ring_guest_uuid(dev, uuid))
			folder_write(dev, INCOMING_NAME, "%s", uuid);
		return;
	}
	folder_drop(dev, INCOMING_NAME);
}

void folder_drop_lost(struct device *dev)
{
	static const char zeros[LOST_BYTES];
	int dir = folder_fd(dev);
	int fd = dir < 0 ? dir : at_file(dir, FILES_LOST, O_WRONLY);

	if (fd >= 0 && pwrite(fd, zeros, sizeof zeros, 0) < 0)
		log_error("%s: %s/" FILES_LOST " cannot be cleared: %s", dev->id, dev->folder,
		          error_name(errno));
	if (fd >= 0)
		close(fd);
	if (dir >= 0)
		close(dir);
}

static void print_connection(FILE *f, const struct connection *c)
{
	const struct ring_keys *k = &c->keys;

	fprintf(f, CONNECTION_MAGIC " %llu %llu %u %u %u %u %u\n",
	        (unsigned long long)c->generation, (unsigned long long)c->faults, c->sector_units,
	        k->protocol, k->order, k->persistent, k->nr_queues);
	for (unsigned q = 0; q < k->nr_queues; q++) {
		fprintf(f, "%u", k->queue[q].port);
		for (unsigned i = 0; i < 1u << k->order; i++)
			fprintf(f, " %u", k->queue[q].refs[i]);
		fputc('\n', f);
	}
	/* Where nobody looked for it in earlier versions. */
	if (c->fresh)
		fputs(CONNECTION_FRESH "\n", f);
}

int folder_save_connection(struct device *dev, struct error *err)
{
	static const char name[] = "connection", temp[] = "connection.new";
	int dir = folder_fd(dev), rc = 0;
	FILE *f = dir < 0 ? NULL : at_stream(dir, temp, "w");

	if (!f) {
		rc = dir < 0 ? dir : -errno;
	} else {
		print_connection(f, &dev->conn);
		int bad = ferror(f);
		if (fclose(f) || bad || renameat(dir, temp, dir, name)) {
			rc = errno ? -errno : -EIO;
			unlinkat(dir, temp, 0);
		}
	}
	if (dir >= 0)
		close(dir);
	return rc ? error_set(err, rc, "cannot write %s/%s: %s", dev->folder, name, error_name(rc))
	          : 0;
}

/* A file of the folder, to be read; NULL and errno. */
static FILE *folder_stream(const struct device *dev, const char *name)
{
	int dir = folder_fd(dev);
	FILE *f;

	if (dir < 0) {
		errno = -dir;
		return NULL;
	}
	f = at_stream(dir, name, "r");
	int saved = errno;
	close(dir);
	errno = saved;
	return f;
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
	unsigned protocol;
	char word[16];
	int rc = -EINVAL;
	FILE *f = folder_stream(dev, "connection");

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
	c.fresh = fscanf(f, " %15s", word) == 1 && !strcmp(word, CONNECTION_FRESH);
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
	int kind, readonly, shared, rc = -EINVAL;
	FILE *f = folder_stream(dev, "source");

	*out = (struct source){0};
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
