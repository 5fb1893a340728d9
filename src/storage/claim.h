/* SPDX-License-Identifier: MIT */
/*
 * Who owns an image. Two things keep disks apart:
 *
 * The claim lasts from attach to detach, whatever becomes of workers. It is one open file
 * description of the image, which is never read from or written to; it holds the ownership locks
 * below and, of a block device that is written and not shared, the kernel's exclusive claim
 * (O_EXCL: mounts, partitions, device mapper, other programs' exclusive opens). Every worker of the
 * disk opens the image through it, so that it gets the very file that was claimed, under whatever
 * name that stands by now. Those who keep it have it in a parcel (storage/parcel.h).
 *
 * The fence is a lock on the file description that a worker does its I/O with: the kernel drops it
 * when the last operation in flight has let go of the file.
 *
 * All locks are byte locks of open file descriptions (fcntl's F_OFD_SETLK): they exist on every
 * file system that has locks, and one kind cannot meet another (flock and byte locks are one and
 * the same thing on NFS). A block device's locks stand on the kernel's own node of it, by whatever
 * node it was named. docs/crash-recovery.md has the argument.
 */
#ifndef STORAGE_CLAIM_H
#define STORAGE_CLAIM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/claim_owner.h"
#include "storage/storage.h"

struct claim_spec {
	const struct storage_target *target;
	struct storage_identity
	    expected;          /* what it was, for a disk in use; all 0: whatever is there */
	bool readonly, shared; /* shared: writers may share the image (mode "w!") */
	/* The guest's device model opens the image beside us, on behalf of the same disk: QEMU's
	 * locks are respected but not taken. */
	bool emulated;
	uint64_t owner; /* claim_owner of the disk */
	bool wait;      /* for the one who has it, without limit; else -EBUSY */
};

/* Finds the image and claims it: *fd is the claim, the caller's. Opens a regular file or a block
 * device, and writes nothing. Blocks for a second at most where not told to wait, unless the
 * storage does. 0; -EBUSY: somebody has it; -ESTALE: not what was expected there; or another
 * -errno. *err names the holder, if that can be known, and the remedy. Any thread. */
int claim_take(const struct claim_spec *spec, int *fd, struct error *err);

/* A claim that was kept, under the same spec: it must have its ownership locks still, or gets them
 * again. -EBUSY: somebody else has them by now, and *err names him; or another -errno. Any thread;
 * waits for the file system. */
int claim_again(int fd, const struct claim_spec *spec, struct error *err);

/* Whether it is open exactly as a disk of that mode opens its image: for reading only, or for both.
 * Any thread. */
bool claim_has_mode(int fd, bool readonly);

/* What a claim (or any descriptor of an image) is. 0 or -errno. Any thread. */
int claim_identify(int fd, struct storage_identity *out);

/* *note says if the path names another file by now, or none; else it is "". The disk goes on with
 * the one that was claimed. Any thread; waits for the file system. */
void claim_check_name(int claim, const char *path, struct error *note);

/* Puts the fence of that disk on fd, the description that does its I/O: waits, without limit, until
 * the I/O of each earlier worker of the disk is over. 0 or -errno with *err. Any thread. */
int claim_fence(int fd, bool shared, uint64_t owner, const char *name, struct error *err);

#endif
