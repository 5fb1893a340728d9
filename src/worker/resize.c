/* SPDX-License-Identifier: MIT */
/* The supervisor has reason to believe that the image has changed its size. */
#include "worker/resize.h"

#include "base/log.h"
#include "worker/peer.h"

void resize_check(struct worker *w, uint32_t serial)
{
	struct wm m = {.version = WM_VERSION, .type = WM_RESIZED, .serial = serial};
	struct error err;
	uint64_t before;
	int rc = 0;

	if (!w->storage)
		return;
	before = storage_size(w->storage);
	rc = storage_resize(w->storage, &err);
	if (rc)
		log_warn("%s", err.text);
	m.opened = *storage_caps(w->storage);
	if (m.opened.size != before)
		log_info("the image has %llu bytes now, it had %llu",
		         (unsigned long long)m.opened.size, (unsigned long long)before);
	peer_send(w, &m);
}
