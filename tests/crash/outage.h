/* SPDX-License-Identifier: MIT */
/*
 * An outage held open: the worker has died at a known step with known requests in hand, and the
 * supervisor is stopped, so that a test can change the world before the next worker looks at it.
 */
#ifndef TESTS_CRASH_OUTAGE_H
#define TESTS_CRASH_OUTAGE_H

#include "crash_host.h"

#define OUTAGE_SIZE (4ull << 20)
#define OUTAGE_OLD 7 /* host_pattern's seed of what is in the image */
#define OUTAGE_NEW 8 /* … and of what the request in hand would write */
#define OUTAGE_SECTOR 2048

struct outage {
	struct crash_host *c;
	struct host *h;
	struct xenblkfront *f;
	char image[200];
	char journal[120];
	char folder[100];
	void *page; /* data of the write in hand */
	uint32_t ref;
};

/* Attaches 1:xvda, writes nothing yet. */
void outage_attach(struct outage *o, struct crash_host *c);
/* The same on an image of OUTAGE_SIZE bytes that is there already. */
void outage_attach_image(struct outage *o, struct crash_host *c, const char *image,
                         const char *mode);
/* Kills the worker at that step of a write of OUTAGE_NEW to OUTAGE_SECTOR; then nobody serves. */
void outage_begin(struct outage *o, enum crash_step step);
/* Attaches, and then dies with the write taken but not executed: what would be executed if anything
 * were. */
void outage_taken(struct outage *o, struct crash_host *c);
/* Puts the write onto the ring; the part of outage_begin that the guest has. */
void outage_write(struct outage *o);
/* The supervisor goes on. */
void outage_end(struct outage *o);
/* Stops nothing, but waits for the answer to the write, and returns its status. */
int outage_answer(struct outage *o);
/* What is in the image at OUTAGE_SECTOR: OUTAGE_OLD or OUTAGE_NEW, or 0 for neither. */
int outage_content(const struct outage *o, const char *image);
/* The disk is held with that text; the guest connects again, and the disk works. */
void outage_failed(struct outage *o, const char *text);
/* The front end ends in order, and the disk is detached. */
void outage_detach(struct outage *o);

#endif
