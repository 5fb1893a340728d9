/* SPDX-License-Identifier: MIT */
/* Transactions on a device's back end directory. */
#include "xenbus/publish.h"

#include <errno.h>

#include "xenbus/keys.h"

/* Reads `state` within the transaction, so that a removal or another writer makes it fail: a
 * deleted node must not come back, and a toolstack's Closing must not be written over. */
static int check_state(struct store *s, xs_transaction_t t, const char *backend, int from)
{
	uint64_t state;
	int rc = store_read_u64(s, t, backend, "state", from, from, &state);

	/* Not that number, or none at all: someone else wrote it. */
	return rc == -ERANGE || rc == -EINVAL || rc == -EMSGSIZE ? -ESTALE : rc;
}

static int write_initwait(struct store *s, xs_transaction_t t, const char *be,
                          const struct offer_keys *o)
{
	/* What a driver that had the device before promised does not bind this one. */
	static const char *const foreign[] = {
	    "feature-persistent",     "feature-max-indirect-segments",
	    "multi-queue-max-queues", "feature-large-sector-size",
	    "discard-granularity",    "discard-alignment",
	    "discard-secure"};
	int rc = 0;

	for (size_t i = 0; !rc && i < sizeof foreign / sizeof *foreign; i++)
		rc = store_rm(s, t, be, foreign[i]);
	if (!rc && o->max_indirect_segments)
		rc = store_write(s, t, be, "feature-max-indirect-segments", "%u",
		                 o->max_indirect_segments);
	if (!rc)
		rc = store_write(s, t, be, "multi-queue-max-queues", "%u", o->max_queues);
	if (!rc)
		rc = store_write(s, t, be, "max-ring-page-order", "%u", o->max_ring_order);
	if (!rc)
		rc = store_write(s, t, be, "state", "%d", XS_INITWAIT);
	return rc;
}

static int write_discard(struct store *s, xs_transaction_t t, const char *be,
                         const struct disk_keys *k)
{
	int rc = store_write(s, t, be, "feature-discard", "%d", k->discard);

	if (rc || !k->discard)
		return rc;
	rc = store_write(s, t, be, "discard-granularity", "%u", k->discard_granularity);
	if (!rc)
		rc = store_write(s, t, be, "discard-alignment", "%u", k->discard_alignment);
	if (!rc)
		rc = store_write(s, t, be, "discard-secure", "%d", k->discard_secure);
	return rc;
}

static int write_connected(struct store *s, xs_transaction_t t, const char *be,
                           const struct disk_keys *k)
{
	int rc = write_discard(s, t, be, k);

	if (!rc)
		rc = store_write(s, t, be, "feature-flush-cache", "%d", k->flush);
	if (!rc)
		rc = store_write(s, t, be, "feature-barrier", "%d", k->barrier);
	if (!rc)
		rc = store_write(s, t, be, "feature-persistent", "%d", k->persistent);
	if (!rc)
		rc = store_write(s, t, be, "sectors", "%llu", (unsigned long long)k->sectors);
	if (!rc)
		rc = store_write(s, t, be, "info", "%u", k->info);
	if (!rc)
		rc = store_write(s, t, be, "sector-size", "%u", k->sector_size);
	if (!rc)
		rc = store_write(s, t, be, "physical-sector-size", "%u", k->physical_sector_size);
	if (!rc)
		rc = store_write(s, t, be, "state", "%d", XS_CONNECTED);
	return rc;
}

static int write_size(struct store *s, xs_transaction_t t, const char *be,
                      const struct disk_keys *k)
{
	int rc = store_write(s, t, be, "sectors", "%llu", (unsigned long long)k->sectors);

	if (!rc)
		rc = store_write(s, t, be, "physical-sector-size", "%u", k->physical_sector_size);
	return rc ?: store_write(s, t, be, "state", "%d", XS_CONNECTED);
}

static int write_features(struct store *s, xs_transaction_t t, const char *be,
                          const struct disk_keys *k)
{
	int rc = write_discard(s, t, be, k);

	if (!rc)
		rc = store_write(s, t, be, "feature-flush-cache", "%d", k->flush);
	return rc ?: store_write(s, t, be, "feature-barrier", "%d", k->barrier);
}

/* What a transaction writes: o for the offer, k for all else. */
enum content { OFFER, DISK, SIZE, FEATURES };

static int write_content(struct store *s, xs_transaction_t t, const char *be, enum content what,
                         const struct offer_keys *o, const struct disk_keys *k)
{
	switch (what) {
	case OFFER:
		return write_initwait(s, t, be, o);
	case DISK:
		return write_connected(s, t, be, k);
	case SIZE:
		return write_size(s, t, be, k);
	case FEATURES:
		return write_features(s, t, be, k);
	}
	return -EINVAL;
}

static int publish(struct store *s, const char *be, int from, enum content what,
                   const struct offer_keys *o, const struct disk_keys *k)
{
	int rc = -EAGAIN;

	for (int i = 0; rc == -EAGAIN && i < STORE_TRIES; i++) {
		xs_transaction_t t;
		rc = store_begin(s, &t);
		if (rc)
			break;
		rc = check_state(s, t, be, from);
		if (!rc)
			rc = write_content(s, t, be, what, o, k);
		if (rc)
			store_end(s, t, false);
		else
			rc = store_end(s, t, true);
	}
	return rc;
}

static int removal_step(struct store *s, xs_transaction_t t, const char *be)
{
	uint64_t online = 1;
	int rc = check_state(s, t, be, XS_CLOSED);

	if (!rc)
		rc = store_read_u64(s, t, be, "online", 0, 1, &online);
	if (!rc && online)
		rc = -ESTALE;
	return rc ? rc : store_rm(s, t, be, NULL);
}

int publish_removal(struct store *s, const char *backend)
{
	int rc = -EAGAIN;

	for (int i = 0; rc == -EAGAIN && i < STORE_TRIES; i++) {
		xs_transaction_t t;
		rc = store_begin(s, &t);
		if (rc)
			break;
		rc = removal_step(s, t, backend);
		if (rc)
			store_end(s, t, false);
		else
			rc = store_end(s, t, true);
	}
	return rc;
}

int publish_initwait(struct store *s, const char *backend, int from, const struct offer_keys *o)
{
	return publish(s, backend, from, OFFER, o, NULL);
}

int publish_connected(struct store *s, const char *backend, int from, const struct disk_keys *k)
{
	return publish(s, backend, from, DISK, NULL, k);
}

int publish_resize(struct store *s, const char *backend, const struct disk_keys *k)
{
	return publish(s, backend, XS_CONNECTED, SIZE, NULL, k);
}

int publish_features(struct store *s, const char *backend, const struct disk_keys *k)
{
	return publish(s, backend, XS_CONNECTED, FEATURES, NULL, k);
}
