/* SPDX-License-Identifier: MIT */
/* Questions to the supervisor over its control socket: one line of JSON each way. */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <jansson.h>

#include "base/error.h"

#define CONTROL_SOCKET "control.sock"
#define CONTROL_TIMEOUT_MS 10000

/*
 * Sends {"cmd": cmd, "id": id} (id may be NULL) to the xenblkd of run_dir and waits for the answer.
 * 0 and *result (caller's reference), or with *err: -ENOENT, -ECONNREFUSED: no xenblkd there;
 * -EREMOTEIO: it answered with an error, whose text is *err; -ETIMEDOUT; -EPROTO: no sense in the
 * answer; -errno. Any thread.
 */
int control_request(const char *run_dir, const char *cmd, const char *id, int timeout_ms,
                    json_t **result, struct error *err);
/* Of what control_request returns: whether no xenblkd answered, which may be another matter a
 * moment later: it is being started again or upgraded, or has much to do. */
bool control_unheard(int rc);

#endif
