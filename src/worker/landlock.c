/* SPDX-License-Identifier: MIT */
/* Landlock: nothing can be opened but the way to Xen, and, as far as the kernel knows how, nobody
 * be called or signalled. Its numbers are spelled out: headers are often older than the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/landlock.h"
#include "worker/landlock.h"

/* Of the file system: version 1 knows 13 rights, 2 moving between folders, 3 truncating, 5 ioctl on
 * devices. */
#define FS_READ_WRITE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)
#define FS_IOCTL_DEV (1ull << 15)
#define NET_TCP 3ull   /* bind and connect; version 4 */
#define SCOPE_ALL 3ull /* abstract sockets, signals; version 6 */

struct ruleset {
	uint64_t fs, net, scoped;
};

/* All that the version knows. The size that it takes goes to *size. */
static struct ruleset everything(int version, size_t *size)
{
	static const unsigned fs_rights[LANDLOCK_KNOWN + 1] = {0, 13, 14, 15, 15, 16, 16};
	int v = version < LANDLOCK_KNOWN ? version : LANDLOCK_KNOWN;

	*size = v < 4 ? 8 : v < 6 ? 16 : 24;
	return (struct ruleset){
	    .fs = (1ull << fs_rights[v]) - 1,
	    .net = v < 4 ? 0 : NET_TCP,
	    .scoped = v < 6 ? 0 : SCOPE_ALL,
	};
}

static int allow(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr attr = {
	    .allowed_access = access,
	    .parent_fd = open(path, O_PATH | O_CLOEXEC),
	};
	int rc = 0;

	if (attr.parent_fd < 0 ||
	    syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &attr, 0))
		rc = -errno;
	if (attr.parent_fd >= 0)
		close(attr.parent_fd);
	return rc;
}

int landlock_enter(const char *const *paths)
{
	int version = landlock_version(), rc = 0;
	size_t size;

	if (!version)
		return 0;
	struct ruleset all = everything(version, &size);
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
	if (ruleset < 0)
		return -errno;
	/* These and no more: privcmd and hypercall beside them command the whole machine. */
	for (unsigned i = 0; paths[i] && !rc; i++)
		rc = allow(ruleset, paths[i], (FS_READ_WRITE | FS_IOCTL_DEV) & all.fs);
	if (!rc && syscall(SYS_landlock_restrict_self, ruleset, 0))
		rc = -errno;
	close(ruleset);
	return rc;
}
