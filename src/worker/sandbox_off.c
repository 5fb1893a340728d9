/* SPDX-License-Identifier: MIT */
/* No sandbox: for builds with sanitizers, which need what it takes away. */
#include "worker/worker.h"

int sandbox_enter(const struct sandbox *s, struct error *err)
{
	return 0;
}

int sandbox_seal(struct error *err)
{
	return 0;
}
