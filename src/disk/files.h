/* SPDX-License-Identifier: MIT */
/*
 * The files of a disk's folder that its workers use. The supervisor makes them before it starts a
 * worker, of fixed number and size; the worker maps them at its start, before its sandbox, and
 * closes the descriptors. So nothing that a worker does later makes, extends, renames or removes a
 * file. All else in the folder is the supervisor's, and no worker's business.
 *
 * Room: the supervisor allocates it (a store into a hole of a full file system would be a SIGBUS);
 * for the journals when a ring is connected, for the rest when the file is made. It stays with the
 * disk.
 *
 * Owner lock: flock on journal-0, for all of them. A worker takes it when the image is open, before
 * its first store to journal or ring. It belongs to the open file description, which the mapping
 * keeps alive when the descriptor is closed: it goes when the process's memory goes.
 */
#ifndef DISK_FILES_H
#define DISK_FILES_H

#include "disk/journal.h"
#include "disk/stats.h"
#include "storage/lost.h"

#define FILES_JOURNAL "journal-%u" /* of each queue; JOURNAL_FILE_BYTES, sparse */
#define FILES_STATS "stats"        /* struct stats_page */
#define FILES_LOST "lost"          /* LOST_BYTES */
#define FILES_TEXT "statistics/%s" /* of each of STATS_TEXTS; STATS_TEXT_BYTES */

#endif
