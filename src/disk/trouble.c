/* SPDX-License-Identifier: MIT */
/* What the storage fails at. The lock is held for a few stores, and only where something failed. */
#include "disk/trouble.h"

#include <string.h>

void trouble_init(struct trouble *t)
{
	*t = (struct trouble){.lock = PTHREAD_MUTEX_INITIALIZER};
}

static bool fails(struct trouble *t, enum storage_op op, int rc, uint64_t sector, uint64_t now_ns)
{
	t->op[op].rc = rc;
	t->op[op].sector = sector;
	t->op[op].count++;
	t->last_ns[op] = now_ns;
	__atomic_fetch_or(&t->failing, 1u << op, __ATOMIC_RELAXED);
	return true;
}

static bool works(struct trouble *t, enum storage_op op, uint64_t now_ns)
{
	if (!t->op[op].count || now_ns - t->last_ns[op] < TROUBLE_QUIET_NS)
		return false;
	t->op[op] = (struct wm_trouble){0};
	__atomic_fetch_and(&t->failing, ~(1u << op), __ATOMIC_RELAXED);
	return true;
}

bool trouble_note(struct trouble *t, enum storage_op op, int rc, uint64_t sector, uint64_t now_ns)
{
	bool changed;

	pthread_mutex_lock(&t->lock);
	changed = rc ? fails(t, op, rc, sector, now_ns) : works(t, op, now_ns);
	pthread_mutex_unlock(&t->lock);
	return changed;
}

void trouble_look(struct trouble *t, struct wm_trouble op[WM_OPS])
{
	pthread_mutex_lock(&t->lock);
	memcpy(op, t->op, sizeof t->op);
	pthread_mutex_unlock(&t->lock);
}
