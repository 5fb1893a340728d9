/* SPDX-License-Identifier: MIT */
/* The image of a disk: resolved and checked here, opened by the worker. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/device.h"
#include "daemon/steps.h"

#define QUIT_NS (5 * NS_PER_S)

/* The node of a block device: udev's link, else the name that the kernel gave it. */
static int device_node(uint32_t major, uint32_t minor, char *path, size_t cap, struct error *err)
{
	char uevent[64], line[256];
	struct stat st;

	snprintf(path, cap, "/dev/block/%u:%u", major, minor);
	if (!stat(path, &st))
		return 0;
	snprintf(uevent, sizeof uevent, "/sys/dev/block/%u:%u/uevent", major, minor);
	FILE *f = fopen(uevent, "re");
	path[0] = '\0';
	while (f && !path[0] && fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "DEVNAME=", 8))
			snprintf(path, cap, "/dev/%s", line + 8);
	}
	if (f)
		fclose(f);
	if (path[0])
		return 0;
	return error_set(err, -ENODEV,
	                 "physical-device %x:%x: this machine has no such block device; see lsblk",
	                 major, minor);
}

/* "fault:SPEC:TARGET" of a supervisor that was started for tests: SPEC goes to fault, the rest is
 * returned. */
static const char *test_faults(const struct device *dev, const char *text, char *fault, size_t cap)
{
	const char *spec, *end;

	if (!dev->d->opt.test_faults || strncmp(text, "fault:", 6))
		return text;
	spec = text + 6;
	end = strchr(spec, ':');
	if (!end || (size_t)(end - spec) >= cap)
		return text;
	memcpy(fault, spec, (size_t)(end - spec));
	fault[end - spec] = '\0';
	return end + 1;
}

/* What the guest knows that uses the disk, or whose last I/O has to be seen out; 0: nobody does. */
static uint64_t size_in_use(struct device *dev)
{
	if (dev->ours != XS_CONNECTED && !dev->unfenced)
		return 0;
	return dev->caps.size ?: ring_told_size(dev);
}

/* The target, and an O_PATH descriptor of it in *fd (-1: it needs none). */
static int resolve(struct device *dev, struct storage_target *target, int *fd, struct error *err)
{
	const struct source *s = &dev->source;
	char fault[STORAGE_FAULT_MAX] = "";
	struct stat st;
	int rc;

	*fd = -1;
	*target = (struct storage_target){.engine = STORAGE_FILE};
	if (s->kind == SOURCE_DEVICE)
		rc = device_node(s->major, s->minor, target->path, sizeof target->path, err);
	else
		rc = storage_target_parse(test_faults(dev, s->text, fault, sizeof fault), target,
		                          err);
	memcpy(target->fault, fault, sizeof fault);
	if (target->engine == STORAGE_FILE)
		target->size = size_in_use(dev);
	if (!rc)
		rc = storage_resolve(target, fd, err);
	if (rc || s->kind != SOURCE_DEVICE)
		return rc;
	if (!fstat(*fd, &st) && S_ISBLK(st.st_mode) && st.st_rdev == makedev(s->major, s->minor))
		return 0;
	close(*fd);
	*fd = -1;
	return error_set(err, -ENODEV, "physical-device %x:%x: %.200s is another device", s->major,
	                 s->minor, target->path);
}

int image_resolve(struct device *dev, int *fd, struct error *err)
{
	struct storage_target target;

	return resolve(dev, &target, fd, err);
}

static void failed(struct device *dev, int rc, const char *text)
{
	if (error_is_transient(rc)) {
		dev->image = IMAGE_NONE;
		device_lacks(dev, rc, text);
		return;
	}
	folder_set_incoming(dev, false);
	dev->image = IMAGE_FAILED;
	dev->unfenced = false;
	device_fatal(dev, rc, true, "%s", text);
}

void image_wrong_program(struct device *dev, uint32_t version)
{
	struct error err;

	patience_over(dev);
	error_set(
	    &err, 0,
	    "xenblkd-worker speaks version %u, this xenblkd %u: install both from one package, "
	    "then `xenblkctl upgrade`",
	    version, WM_VERSION);
	if (dev->ours != XS_CONNECTED) {
		failed(dev, -EPROTO, err.text);
		return;
	}
	/* No reason to take the disk from its guest: it waits. */
	dev->image = IMAGE_NONE;
	device_hold(dev, "%s", err.text);
}

void image_open(struct device *dev)
{
	struct wm m = {.type = WM_OPEN};
	struct error err;
	int fd, rc;

	dev->source = dev->wanted;
	rc = resolve(dev, &m.open.target, &fd, &err);
	if (!rc)
		rc = worker_start(dev, &err);
	if (rc) {
		if (fd >= 0)
			close(fd);
		failed(dev, rc, err.text);
		return;
	}
	m.open.readonly = dev->source.readonly;
	m.open.shared = dev->source.shared;
	m.open.has_fd = fd >= 0;
	/* Who migrates holds the image until the guest runs here, or for good, if it does not come
	 * about. On one host, or on a file system with locks across hosts, that is in our way. */
	dev->incoming = device_guest_is(dev, MIGRATION_INCOMING) || folder_incoming(dev);
	folder_set_incoming(dev, dev->incoming);
	m.open.wait_lock = dev->wait_lock || dev->incoming;
	dev->image = IMAGE_OPENING;
	folder_save_source(dev);
	patience_start(dev);
	dev->worker.open_serial = worker_send(dev, &m, fd);
	upgrade_step(STEP_OPENING, 0, dev->worker.pid);
	size_hold(dev, fd);
}

void image_release(struct device *dev)
{
	if (!dev->worker.pid) {
		dev->image = IMAGE_CLOSED;
		return;
	}
	dev->image = IMAGE_CLOSING;
	worker_quit(dev, QUIT_NS);
}

void image_answer(struct device *dev, const struct wm *m)
{
	struct error err;

	if (dev->image != IMAGE_OPENING)
		return;
	patience_over(dev);
	if (m->type == WM_FAILED) {
		error_set(&err, 0, "%.*s", (int)sizeof m->text - 1, m->text);
		failed(dev, m->rc, err.text);
		/* The next attempt gets a worker that has tried nothing yet. */
		worker_quit(dev, QUIT_NS);
		return;
	}
	/* A worker is not trusted: its numbers are divided by, and told to the guest. */
	if (!storage_caps_sane(&m->opened) || (dev->source.readonly && !m->opened.readonly)) {
		failed(dev, -EPROTO, "the worker says what no image can be; see its log lines");
		worker_kill(dev);
		return;
	}
	dev->image = IMAGE_OPEN;
	folder_set_incoming(dev, false);
	dev->wait_lock = dev->unfenced = false;
	device_lacks_nothing(dev);
	dev->caps = m->opened;
	size_watch(dev);
	folder_write(dev, "physical_device", "%x:%x\n", dev->caps.major, dev->caps.minor);
	folder_write(dev, "mode", "%s\n", dev->source.mode);
}

bool image_differs(const struct device *dev)
{
	const struct source *open = &dev->source, *now = &dev->wanted;

	if (now->kind == SOURCE_WAIT || source_same(open, now))
		return false;
	/* A script writes physical-device-path and physical-device one after the other. */
	if (now->kind == SOURCE_DEVICE && open->kind == SOURCE_TARGET &&
	    now->readonly == open->readonly && now->shared == open->shared)
		return now->major != dev->caps.major || now->minor != dev->caps.minor;
	return true;
}
