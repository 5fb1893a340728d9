/* SPDX-License-Identifier: MIT */
/* The hotplug script's work, for xl. */
#ifndef CTL_HOTPLUG_H
#define CTL_HOTPLUG_H

#include "ctl/toolstack.h"

/*
 * action: "add" or "remove"; xenbus_path: as in xl's environment. add: has the image opened, then
 * reports hotplug-status=connected, or hotplug-error and hotplug-status=error. remove: waits until
 * xenblkd has closed the image. 0 or -errno with *err.
 */
int hotplug_run(struct toolstack *ts, const char *action, const char *xenbus_path,
                struct error *err);

#endif
