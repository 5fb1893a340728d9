/* SPDX-License-Identifier: MIT */
/* Under which other names the kernel knows an image: loop devices over it, files below it. For the
 * files of this folder only. */
#ifndef STORAGE_STACK_H
#define STORAGE_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#define STACK_NAME_MAX 200

/* A loop device over an image. */
struct stack_loop {
	char node[STACK_NAME_MAX]; /* "/dev/loop3" */
	dev_t rdev;
	bool writes;
};

/* Calls fn with each loop device over the image until it returns true. True if fn did. */
bool stack_loops_over(const struct stat *image, bool (*fn)(const struct stack_loop *l, void *arg),
                      void *arg);

/* Calls fn with the path and a descriptor (read-only) of each file that the block device stands on,
 * through loop devices, partitions and device mapper, until it returns true; above: the loop device
 * over it. Files that cannot be opened are passed over. True if fn did. */
bool stack_files_below(dev_t rdev, bool (*fn)(const char *path, int fd, dev_t above, void *arg),
                       void *arg);

/* Calls fn with the block device ("it"), then with its partitions or with the disk that it is a
 * partition of, until it returns true. what: in words. True if fn did. */
bool stack_relatives(dev_t rdev, bool (*fn)(dev_t rdev, const char *what, void *arg), void *arg);

/* Who uses one of these, in words: "it is mounted at /srv", "its partition /dev/sdb1 is swap
 * space". False: not known. */
bool stack_user(dev_t rdev, char *text, size_t cap);

/* /dev/NAME of a block device, as the kernel calls it. False: it is not there. */
bool stack_node(dev_t rdev, char *path, size_t cap);

#endif
