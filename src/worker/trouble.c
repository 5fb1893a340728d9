/* SPDX-License-Identifier: MIT */
/* What the storage fails at, for the supervisor: at once, but not more than twice a second. */
#include <string.h>

#include "base/clock.h"
#include "worker/worker.h"

#define REPORT_NS (NS_PER_S / 2)

void trouble_report(struct worker *w)
{
	struct wm m = {.version = WM_VERSION, .type = WM_TROUBLE};
	uint64_t now = clock_ns();

	trouble_look(&w->shared.trouble, m.trouble);
	if (w->peer.fd < 0 || w->peer_other ||
	    !memcmp(m.trouble, w->trouble_reported, sizeof m.trouble))
		return;
	if (now - w->trouble_ns < REPORT_NS) {
		stats_later(w);
		return;
	}
	w->trouble_ns = now;
	memcpy(w->trouble_reported, m.trouble, sizeof m.trouble);
	session_send(w, &m);
}

void trouble_report_again(struct worker *w)
{
	memset(w->trouble_reported, 0, sizeof w->trouble_reported);
	w->trouble_ns = 0;
	trouble_report(w);
}
