/* SPDX-License-Identifier: MIT */
/*
 * What the storage tests share: a folder on the disk, an open image with its ring, loop devices.
 * Nothing is left behind however a test ends: loop devices are set to go with their last
 * descriptor, mounts live in the test's own mount namespace, and folders of dead tests are removed
 * by the next one.
 */
#ifndef TESTS_STORAGE_HARNESS_H
#define TESTS_STORAGE_HARNESS_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/types.h>

#include "storage/storage.h"

/* A fresh folder of this process, on a disk; the same at every call. */
const char *test_dir(void);

/* A path in test_dir, or in another folder; static, good for the next 8 calls. */
const char *test_path(const char *name);

/* Creates path with that size (sparse). Fails the test if that is impossible. */
void image_create(const char *path, uint64_t size);
/* The byte that stands at that offset of an image filled by image_fill. */
unsigned char pattern(uint64_t offset);
void image_fill(const char *path, uint64_t size);

enum open_flags { OPEN_RO = 1, OPEN_SHARED = 2, OPEN_WAIT = 4, OPEN_OWNED = 8, OPEN_EMULATED = 16 };

/* Faults (storage/fault.h) of the images opened from now on; NULL: none. */
extern const char *image_faults;

/* What was lost is noted there; set by those who care. Flushes are numbered, and come from queue
 * rig_asker. */
extern struct lost *image_lost;
extern unsigned rig_asker;

/* storage_target_parse, claim_take, storage_open. *out is NULL after an error. OPEN_WAIT: waits for
 * the image, and opens it as after a death. */
int image_open(const char *path, int flags, struct storage **out, struct error *err);
/* Each process is a disk of its own (1:this), but those that are told to be one (OPEN_OWNED: 1:7).
 */
uint32_t image_devid(pid_t pid);
/* With its claim. NULL is fine. */
void image_close(struct storage *s);

/* An image with one queue, as a data thread has it. */
struct rig {
	struct storage *storage;
	const struct storage_caps *caps;
	struct storage_queue *queue;
	struct io_uring ring;
	unsigned completions; /* that came over the ring since rig_open */
};

/* Fails the test if that is impossible. */
void rig_open(struct rig *r, const char *path, int flags);
/* Returns image_open's result. */
int rig_try_open(struct rig *r, const char *path, int flags, struct error *err);
void rig_close(struct rig *r);

/* One operation with what became of it. */
struct rig_io {
	struct storage_io io;
	int rc;
	unsigned order; /* 0: not done, else the how manieth it was since rig_open */
};

void rig_submit(struct rig *r, struct rig_io *io, enum storage_op op, void *buf, uint64_t offset,
                uint64_t length);
/* Until io is done. Returns its result. */
int rig_wait(struct rig *r, struct rig_io *io);
/* Both. */
int rig_do(struct rig *r, enum storage_op op, void *buf, uint64_t offset, uint64_t length);

/* Aligned to 4096, zeroed; free() it. */
void *buffer(size_t size);

/* Runs fn(arg) with stderr going to text (cut to size). */
void capture_stderr(void (*fn)(void *arg), void *arg, char *text, size_t size);

/* NULL, or why loop devices and mounts cannot be used here. */
const char *loop_missing(void);
/* A loop device on the file; its path is written to dev. It goes with the returned descriptor. */
int loop_open(const char *file, unsigned block_size, bool readonly, char dev[32]);

/* Gives the process a mount namespace of its own; then mounts. */
void private_mounts(void);
void mount_new(const char *source, const char *dir, const char *type, const char *options);

/* Runs a program, waits; its exit status. Output only if it fails. */
int run(const char *const argv[]);

#endif
