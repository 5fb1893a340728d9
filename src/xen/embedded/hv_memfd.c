/* SPDX-License-Identifier: MIT */
/* Memory that the hypervisor shares with its clients. */
#include "xen/embedded/hv_memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int hv_memfd(const char *name, size_t size, bool ours, void **mem)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -errno;
	void *at = NULL;
	/* A client must not shrink it under us (we would get SIGBUS), nor seal it further. */
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | (ours ? F_SEAL_FUTURE_WRITE : 0);
	if (ftruncate(fd, (off_t)size))
		goto fail;
	if (mem) {
		at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
		if (at == MAP_FAILED)
			goto fail;
	}
	if (fcntl(fd, F_ADD_SEALS, seals))
		goto fail;
	if (mem)
		*mem = at;
	return fd;
fail:;
	int rc = -errno;
	if (at && at != MAP_FAILED)
		munmap(at, size);
	close(fd);
	return rc;
}
