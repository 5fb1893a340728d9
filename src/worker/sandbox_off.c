/* SPDX-License-Identifier: MIT */
/* No sandbox: for builds with sanitizers, which need what it takes away. */
#include "worker/worker.h"

int sandbox_enter(struct sandbox *s, struct error *err)
{
	s->image_there = false;
	return 0;
}
