/* SPDX-License-Identifier: MIT */
/* Virtual device names and numbers, as xen's docs/man/xen-vbd-interface.7.pandoc defines them. */
#ifndef BLKIF_VDEV_H
#define BLKIF_VDEV_H

#include <stdint.h>

#define VDEV_NAME_MAX 16

/*
 * "xvda", "xvda1", "xvdaa", "hda", "sdb3", "d0p1", or a number in decimal or 0x hex → the number
 * in the xenstore path: xvd: 202 << 8 | disk << 4 | partition while both are < 16, else
 * 1 << 28 | disk << 8 | partition; hd: majors 3 and 22 (4 disks); sd: 8 << 8 | disk << 4 |
 * partition. 0 or -EINVAL.
 */
int vdev_parse(const char *name, uint32_t *devid);

/* The xvd/hd/sd name of a number; "0xNNN" for numbers with no name. Always the same, always safe as
 * a file name. name has VDEV_NAME_MAX bytes. */
void vdev_name(uint32_t devid, char *name);

#endif
