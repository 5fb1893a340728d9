/* SPDX-License-Identifier: MIT */
/* See worker_liar.h. */
#include "worker_liar.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "disk/message.h"
#include "storage/parcel.h"

#define LISTENER 3 /* as xenblkd starts a worker */

void lie(const char *what)
{
	bool read_only = !strcmp(what, "claim-r");
	struct wm m, claimed = {.type = WM_CLAIMED},
	             opened = {.type = WM_OPENED,
	                       .opened = {.size = 1 << 20,
	                                  .logical_block = 512,
	                                  .physical_block = 512,
	                                  .readonly = !strcmp(what, "claim-rw")}};
	int peer, fd, parcel;

	if (strcmp(what, "claim-rw") && !read_only && strcmp(what, "claim-w"))
		return;
	peer = accept4(LISTENER, NULL, NULL, SOCK_CLOEXEC);
	while (recv(peer, &m, sizeof m, 0) > 0) {
		if (m.type != WM_OPEN)
			continue;
		fd = open(m.open.target.path, read_only                  ? O_RDONLY
		                              : !strcmp(what, "claim-w") ? O_WRONLY
		                                                         : O_RDWR);
		parcel = parcel_make(fd);
		wm_send(peer, &claimed, 0, parcel);
		wm_send(peer, &opened, m.serial, -1);
		close(parcel);
		close(fd);
	}
	_exit(1);
}
