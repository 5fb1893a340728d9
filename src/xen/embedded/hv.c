/* SPDX-License-Identifier: MIT */
/* The hypervisor's life: start and end. */
#include "xen/embedded/hv.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "xen/embedded/hv_call.h"
#include "xen/embedded/hv_conn.h"
#include "xen/embedded/hv_domain.h"
#include "xen/embedded/hv_fault.h"
#include "xen/embedded/hv_listen.h"
#include "xen/embedded/hv_memfd.h"
#include "xen/embedded/hv_memory.h"
#include "xen/embedded/hv_store.h"
#include "xen/platform.h"

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
	hv->spare_fd = hv_spare_fd();
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
	rc = hv_listen(hv, &hv->calls, SOCK_SEQPACKET, path, hv_call_accepted, err);
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
