/* SPDX-License-Identifier: MIT */
/* The image of a disk: claimed and opened by the worker; the claim is kept here, until the disk is
 * detached. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/device.h"
#include "daemon/steps.h"
#include "storage/claim.h"
#include "storage/engines.h"
#include "storage/parcel.h"

#define QUIT_NS (5 * NS_PER_S)
#define IDENTITY_NAME "identity"

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

/* What the guest knows that uses the disk, or whose last I/O has to be seen out; 0: nobody does.
 * Returns 0, or -errno: it cannot be read. */
static int size_in_use(struct device *dev, uint64_t *size)
{
	bool in_use = dev->ours == XS_CONNECTED || dev->unfenced || dev->renewing;

	*size = in_use ? dev->caps.size : 0;
	if (*size || !in_use)
		return 0;
	return ring_told_size(dev, size);
}

/* size: as of size_in_use. */
static int find_target(struct device *dev, uint64_t size, struct storage_target *target,
                       struct error *err)
{
	const struct source *s = &dev->source;
	char fault[STORAGE_FAULT_MAX] = "";
	int rc;

	*target = (struct storage_target){.engine = STORAGE_FILE};
	if (s->kind == SOURCE_DEVICE)
		rc = device_node(s->major, s->minor, target->path, sizeof target->path, err);
	else
		rc = storage_target_parse(test_faults(dev, s->text, fault, sizeof fault), target,
		                          err);
	memcpy(target->fault, fault, sizeof fault);
	if (s->kind == SOURCE_DEVICE)
		target->rdev = makedev(s->major, s->minor);
	if (target->engine == STORAGE_FILE)
		target->size = size;
	return rc;
}

/* Of a disk that had its image before we started. A new one of its number has another image. */
void image_claim_again(struct device *dev)
{
	int fd = claims_find(dev->d, dev->id);

	if (fd < 0)
		return;
	dev->claim = fd;
	/* A record that cannot be read just now is read when it is compared. */
	int rc = folder_load_source(dev, &dev->claimed);
	dev->claimed_unread = error_is_transient(rc);
	if (store_read_state(dev->d->store, XBT_NULL, dev->backend) == XS_INITIALISING ||
	    (rc && !dev->claimed_unread))
		image_unclaim(dev);
}

bool image_awaits_claim(const struct device *dev)
{
	return dev->claim < 0 && dev->ring == RING_IDLE &&
	       (dev->image == IMAGE_OPENING || dev->image == IMAGE_OPEN);
}

/* A claim that is open in another mode than the disk's would be a read-only disk that is written.
 */
static void check_kept_mode(struct device *dev)
{
	struct parcel_label label;

	/* Without a record of the mode, or if it cannot be looked at now, the worker that opens it
	 * checks. */
	if (dev->claim < 0 || dev->source.kind == SOURCE_WAIT ||
	    error_is_transient(parcel_read(dev->claim, &label)) ||
	    parcel_has_mode(dev->claim, dev->source.readonly))
		return;
	log_error("%s: the claim of the image that was kept is not open as mode %s says: it is let "
	          "go of, and the image claimed again",
	          dev->id, dev->source.mode);
	close(dev->claim);
	dev->claim = -1;
	claims_drop(dev->d, dev->id);
}

void image_claimed(struct device *dev, int fd)
{
	struct parcel_label label;

	if (fd < 0 || parcel_read(fd, &label) || !image_awaits_claim(dev)) {
		if (fd >= 0)
			close(fd);
		log_warn("%s: its worker sent no claim of the image; while no worker has it open, "
		         "others may take it",
		         dev->id);
		return;
	}
	if (dev->source.kind != SOURCE_WAIT && !parcel_has_mode(fd, dev->source.readonly)) {
		log_error("%s: the worker (process %d) sent a claim that is not open as mode %s "
		          "says; killed",
		          dev->id, dev->worker.pid, dev->source.mode);
		close(fd);
		worker_blame(dev, "it claimed the image in another mode than the disk's");
		return;
	}
	dev->claim = fd;
	dev->claimed = dev->source;
	claims_put(dev);
	if (dev->image == IMAGE_OPEN)
		size_watch(dev);
}

void image_unclaim(struct device *dev)
{
	size_forget(dev);
	dev->image_note.text[0] = '\0';
	if (dev->claim >= 0) {
		close(dev->claim);
		dev->claim = -1;
		claims_drop(dev->d, dev->id);
	}
	folder_drop(dev, IDENTITY_NAME);
}

/* From the first time that it is open: until the disk is detached it has no other image, even where
 * the claim is lost with all processes that had it. */
static void identity_note(struct device *dev)
{
	struct parcel_label label;

	if (dev->claim >= 0 && !parcel_read(dev->claim, &label))
		folder_write(dev, IDENTITY_NAME, "%llx %llx\n",
		             (unsigned long long)label.identity.dev,
		             (unsigned long long)label.identity.ino);
}

static struct storage_identity identity_noted(const struct device *dev)
{
	unsigned long long disk, number;
	char text[64];

	if (!folder_read(dev, IDENTITY_NAME, text, sizeof text) ||
	    sscanf(text, "%llx %llx", &disk, &number) != 2)
		return (struct storage_identity){0};
	return (struct storage_identity){disk, number};
}

/* A device model opens the images of an HVM guest, too, and serves them until the guest's front end
 * takes over. 1, 0 or -errno. */
static int guest_is_emulated(struct device *dev)
{
	char path[64], type[STORE_VALUE_MAX];

	snprintf(path, sizeof path, "/libxl/%u", dev->domid);
	int rc = store_read(dev->d->store, XBT_NULL, path, "type", type, sizeof type);
	if (rc < 0)
		return store_unread(rc) ? rc : 0;
	return !strcmp(type, "hvm");
}

/* FNV-1a. */
static uint64_t hash(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3ull;
	return h;
}

/* A machine has one Xen for the time it runs; an embedded one is a directory. */
void image_start(struct daemon *d)
{
	char boot[64] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, boot, sizeof boot - 1);

	if (fd >= 0)
		close(fd);
	boot[n > 0 ? n : 0] = '\0';
	d->instance = hash(hash(0xcbf29ce484222325ull, boot), d->opt.embedded ? d->run_dir : "");
}

static void failed(struct device *dev, int rc, const char *text)
{
	if (error_is_transient(rc)) {
		dev->image = IMAGE_NONE;
		device_lacks(dev, rc, text);
		return;
	}
	folder_set_incoming(dev, false);
	if (device_fails(dev, rc, true, "%s", text)) {
		dev->image = IMAGE_NONE;
		return;
	}
	/* Repaired, it may be another one, as long as its guest has seen none. */
	if (!identity_noted(dev).dev)
		image_unclaim(dev);
	dev->image = IMAGE_FAILED;
	dev->unfenced = dev->renewing = false;
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
	failed(dev, -EPROTO, err.text);
}

/* Who migrates holds the image until the guest runs here, or for good, if it does not come about.
 * On one host, or on a file system with locks across hosts, that is in our way. 1, 0 or -errno. */
static int is_incoming(struct device *dev)
{
	int rc = device_guest_is(dev, MIGRATION_INCOMING);

	return rc ? rc : folder_incoming(dev);
}

void image_open(struct device *dev)
{
	struct wm m = {.type = WM_OPEN};
	struct error err;
	int rc, incoming, emulated;
	uint64_t size;

	incoming = is_incoming(dev);
	emulated = guest_is_emulated(dev);
	rc = incoming < 0 ? incoming : emulated < 0 ? emulated : size_in_use(dev, &size);
	if (rc) {
		error_set(&err, rc, "cannot read what the guest was told: %s", error_name(rc));
		device_lacks(dev, rc, err.text);
		return;
	}
	dev->source = dev->wanted;
	/* The toolstack may name another one while none is open. */
	rc = dev->claim < 0 || dev->claimed_unread ? folder_load_source(dev, &dev->claimed) : 0;
	if (error_is_transient(rc)) {
		error_set(&err, rc, "cannot read which image the disk had: %s", error_name(rc));
		device_lacks(dev, rc, err.text);
		return;
	}
	dev->claimed_unread = false;
	if (rc || !source_same(&dev->claimed, &dev->source))
		image_unclaim(dev);
	check_kept_mode(dev);
	rc = find_target(dev, size, &m.open.target, &err);
	if (!rc)
		rc = worker_start(dev, &err);
	if (rc) {
		failed(dev, rc, err.text);
		return;
	}
	m.open.readonly = dev->source.readonly;
	m.open.shared = dev->source.shared;
	m.open.has_claim = dev->claim >= 0;
	m.open.emulated = (uint8_t)emulated;
	m.open.owner = claim_owner(dev->d->instance, dev->domid, dev->devid);
	m.open.expected = identity_noted(dev);
	dev->incoming = incoming;
	folder_set_incoming(dev, dev->incoming);
	m.open.wait_owner = dev->incoming;
	m.open.after_death = dev->after_death || dev->incoming;
	dev->image = IMAGE_OPENING;
	folder_save_source(dev);
	patience_start(dev);
	dev->worker.open_serial = worker_send(dev, &m, dev->claim);
	upgrade_step(STEP_OPENING, 0, dev->worker.pid);
}

void image_release(struct device *dev)
{
	dev->renewing = false;
	if (!dev->worker.pid) {
		dev->image = IMAGE_CLOSED;
		image_unclaim(dev);
		return;
	}
	dev->image = IMAGE_CLOSING;
	worker_quit(dev, QUIT_NS);
}

/* It is opened again as soon as the worker has ended, of whatever size it is by now. */
void image_renew(struct device *dev)
{
	image_release(dev);
	size_forget(dev);
	dev->renewing = true;
}

static void note_caps(struct device *dev, struct storage_caps c)
{
	/* What it withdrew in the last connection it has not learned since. */
	if (dev->renewing) {
		c.flush &= dev->caps.flush;
		c.discard &= dev->caps.discard;
		c.discard_secure &= dev->caps.discard_secure;
	}
	dev->caps = c;
	dev->renewing = false;
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
		failed(dev, -EPROTO,
		       "the worker describes an image that cannot be; attach the disk again");
		worker_kill(dev);
		return;
	}
	dev->image = IMAGE_OPEN;
	error_set(&dev->image_note, 0, "%.*s", (int)sizeof m->text - 1, m->text);
	folder_set_incoming(dev, false);
	identity_note(dev);
	dev->after_death = dev->unfenced = false;
	device_lacks_nothing(dev);
	note_caps(dev, m->opened);
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
