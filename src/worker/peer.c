/* SPDX-License-Identifier: MIT */
/* What goes to the supervisor, if there is one at the moment. */
#include "worker/peer.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/log.h"

void peer_send(struct worker *w, const struct wm *m)
{
	if (w->peer.fd >= 0 && send(w->peer.fd, m, sizeof *m, MSG_NOSIGNAL) != sizeof *m)
		log_warn("cannot answer the supervisor: %s", error_name(errno));
}

void peer_pass_claim(struct worker *w)
{
	struct wm m = {.type = WM_CLAIMED};

	if (w->claim < 0 || w->peer.fd < 0)
		return;
	if (wm_send(w->peer.fd, &m, 0, w->claim))
		log_warn("cannot hand over the claim of the image: %s", error_name(errno));
}
