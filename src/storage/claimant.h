/* SPDX-License-Identifier: MIT */
/* Who has an image that cannot be claimed, for people; for the files of this folder only. */
#ifndef STORAGE_CLAIMANT_H
#define STORAGE_CLAIMANT_H

#include <stdint.h>
#include <sys/stat.h>

#define CLAIMANT_MAX 160

/* In words that follow "is in use: ". fd: of the image, in whatever mode; owner: who asks. */
void claimant_find(int fd, const struct stat *st, uint64_t owner, char text[CLAIMANT_MAX]);

#endif
