/* SPDX-License-Identifier: MIT */
/* The hypervisor's life: start, listening, end. */
#include "xen/embedded/hv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "xen/platform.h"

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

/* ---- listening ---- */

static int spare_fd_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void listener_ready(struct loop_fd *lfd, uint32_t events)
{
	struct hv_listener *l = container_of(lfd, struct hv_listener, lfd);
	struct hv *hv = l->hv;
	int fd = accept4(lfd->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		l->accepted(l, fd);
		return;
	}
	if ((errno != EMFILE && errno != ENFILE) || hv->spare_fd < 0)
		return;
	/* Out of descriptors: turn the client away, or it would wake us for ever. */
	log_warn("too many open files: a client was turned away; raise the limit (ulimit -n)");
	close(hv->spare_fd);
	fd = accept4(lfd->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	hv->spare_fd = spare_fd_open();
}

int hv_listen(struct hv *hv, struct hv_listener *l, int type, const char *path,
              void (*accepted)(struct hv_listener *l, int fd), struct error *err)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int rc;

	*l = (struct hv_listener){.lfd = {-1, listener_ready}, .hv = hv, .accepted = accepted};
	if (strlen(path) >= sizeof addr.sun_path)
		return error_set(err, -ENAMETOOLONG, "socket path '%s' is too long", path);
	strcpy(addr.sun_path, path);
	unlink(path); /* what a killed predecessor left */
	l->lfd.fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->lfd.fd < 0)
		goto fail;
	if (bind(l->lfd.fd, (struct sockaddr *)&addr, sizeof addr) || chmod(path, 0600) ||
	    listen(l->lfd.fd, SOMAXCONN))
		goto fail;
	rc = loop_add(hv->loop, &l->lfd, EPOLLIN);
	if (!rc)
		return 0;
	errno = -rc;
fail:
	rc = -errno;
	error_set(err, rc, "cannot listen on '%s': %s", path, error_name(rc));
	if (l->lfd.fd >= 0)
		close(l->lfd.fd);
	l->lfd.fd = -1;
	return rc;
}

void hv_unlisten(struct hv_listener *l, const char *path)
{
	if (!l->hv || l->lfd.fd < 0)
		return;
	loop_del(l->hv->loop, &l->lfd);
	close(l->lfd.fd);
	l->lfd.fd = -1;
	unlink(path);
}

/* ---- start and end ---- */

/* Domain directories of a predecessor that was killed. */
static void sweep(const char *dir)
{
	char path[512];
	struct dirent *de;

	snprintf(path, sizeof path, "%s/domains", dir);
	DIR *dp = opendir(path);
	if (!dp)
		return;
	while ((de = readdir(dp))) {
		if (de->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/domains/%s/" HV_STORE_SOCKET, dir, de->d_name);
		unlink(path);
		snprintf(path, sizeof path, "%s/domains/%s", dir, de->d_name);
		rmdir(path);
	}
	closedir(dp);
}

int hv_new(struct loop *loop, const char *dir, struct hv **out, struct error *err)
{
	char path[128];
	struct hv *hv = calloc(1, sizeof *hv);
	int rc = -ENOMEM;

	if (!hv)
		return error_set(err, rc, "cannot start: out of memory");
	hv->loop = loop;
	hv->dir = dir;
	hv->lines_fd = hv->slots_fd = -1;
	list_init(&hv->conns);
	list_init(&hv->faults);
	list_init(&hv->store_conns);
	list_init(&hv->store_dirty);
	hv_memory_init(hv);
	hv->spare_fd = spare_fd_open();
	if (!(hv->call = calloc(1, sizeof *hv->call)))
		goto memory;
	rc = hv->lines_fd =
	    hv_memfd("xen-lines", HV_LINES * sizeof(struct hv_line), false, (void **)&hv->line_mem);
	if (rc < 0)
		goto memory;
	rc = hv->slots_fd =
	    hv_memfd("xen-slots", HV_SLOTS * sizeof(struct hv_slot), false, (void **)&hv->slot_mem);
	if (rc < 0)
		goto memory;
	snprintf(path, sizeof path, "%s/domains", dir);
	if (mkdir(path, 0700) && errno != EEXIST) {
		rc = error_set(err, -errno, "cannot make '%s': %s", path, error_name(errno));
		goto out;
	}
	sweep(dir);
	if ((rc = hv_store_init(hv, err)) || (rc = hv_domain_create(hv, 0, err)))
		goto out;
	snprintf(path, sizeof path, "%s/" HV_SOCKET, dir);
	rc = hv_listen(hv, &hv->calls, SOCK_SEQPACKET, path, hv_conn_accepted, err);
	goto out;
memory:
	error_set(err, rc, "cannot make shared memory: %s", error_name(rc));
out:
	if (rc < 0) {
		hv_free(hv);
		return rc;
	}
	*out = hv;
	return 0;
}

void hv_free(struct hv *hv)
{
	char path[128];

	if (!hv)
		return;
	snprintf(path, sizeof path, "%s/" HV_SOCKET, hv->dir);
	hv_unlisten(&hv->calls, path);
	list_for_each(it, tmp, &hv->conns) hv_conn_close(container_of(it, struct hv_conn, link));
	for (unsigned i = 0; i <= XEN_DOMID_MAX; i++)
		if (hv->domains[i])
			hv_domain_destroy(hv, (uint16_t)i);
	hv_store_fini(hv);
	hv_memory_fini(hv);
	hv_faults_forget(hv, -1);
	snprintf(path, sizeof path, "%s/domains", hv->dir);
	rmdir(path);
	if (hv->line_mem)
		munmap(hv->line_mem, HV_LINES * sizeof(struct hv_line));
	if (hv->slot_mem)
		munmap(hv->slot_mem, HV_SLOTS * sizeof(struct hv_slot));
	if (hv->lines_fd >= 0)
		close(hv->lines_fd);
	if (hv->slots_fd >= 0)
		close(hv->slots_fd);
	if (hv->spare_fd >= 0)
		close(hv->spare_fd);
	hv_ids_free(&hv->lines);
	hv_ids_free(&hv->slots);
	free(hv->call);
	free(hv);
}
