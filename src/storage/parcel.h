/* SPDX-License-Identifier: MIT */
/*
 * A claim that can be kept by a process that must never wait. Whoever has a descriptor of a file
 * waits for the file's server (FUSE, NFS) when it closes it, by exec and exit, too: in the kernel,
 * where no signal ends that. So the supervisor and the holder have none. A parcel is a socket in
 * whose queue a message lies that the claim is attached to. It can be passed on and closed like any
 * descriptor, and what it says of the claim can be read, without a question to the file system;
 * the claim lasts as long as the parcel. All who have a parcel have the same one: the message stays
 * in it, for it is only looked at (MSG_PEEK).
 */
#ifndef STORAGE_PARCEL_H
#define STORAGE_PARCEL_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/storage.h"

/* What the one who made it knew of the claim. The same in all versions: a parcel outlives those who
 * pass it on. */
struct parcel_label {
	uint64_t magic;
	struct storage_identity identity; /* as of claim_identify */
	uint8_t block;                    /* a block device; else a regular file */
	uint8_t mode;                     /* how it is open: O_RDONLY, O_WRONLY or O_RDWR */
	uint8_t far_away; /* on a file system whose server may be away: not to be looked at */
	uint8_t pad[5];
};

/* claim: lent. The parcel's descriptor, which is the caller's, or -errno. Waits for the file
 * system. Any thread. */
int parcel_make(int claim);
/* 0, or -errno: fd is no parcel, or an empty one. Never waits. Any thread. */
int parcel_read(int fd, struct parcel_label *label);
/* As claim_has_mode, by the label. */
bool parcel_has_mode(int fd, bool readonly);
/* A descriptor of the claim, the caller's, or -errno. Does not wait, but to close it may. Any
 * thread. */
int parcel_open(int fd);

#endif
