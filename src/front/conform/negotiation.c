/* SPDX-License-Identifier: MIT */
/* Group negotiation: what the back end says of itself and of the disk, and when. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "front/conform/case.h"

static const char *const feature_keys[] = {"feature-barrier", "feature-flush-cache",
                                           "feature-discard", "feature-persistent",
                                           "discard-secure"};
static const struct {
	const char *key;
	uint64_t max;
} number_keys[] = {
    {"sectors", UINT64_MAX},
    {"sector-size", UINT32_MAX},
    {"physical-sector-size", UINT32_MAX},
    {"info", UINT32_MAX},
    {"discard-granularity", UINT32_MAX},
    {"discard-alignment", UINT32_MAX},
    {"max-ring-page-order", UINT32_MAX},
    {"max-ring-pages", UINT32_MAX},
    {"multi-queue-max-queues", UINT32_MAX},
    {"feature-max-indirect-segments", UINT32_MAX},
};
static const char *const transport_keys[] = {"max-ring-page-order", "max-ring-pages",
                                             "multi-queue-max-queues",
                                             "feature-max-indirect-segments"};
#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Without any of the front end's keys in xenstore. */
static void initwait_before_front_end(struct cf *c)
{
	static const char *const ours[] = {"ring-ref", "ring-ref0", "ring-page-order",
	                                   "event-channel", "protocol"};

	cf_open(c, NULL);
	cf_must(c, xenblkfront_reset(c->f), "waiting for InitWait");
	for (size_t i = 0; i < COUNT(ours); i++)
		cf_key(c, ours[i], NULL);
	/* Again, now that nothing is there that a driver could have left. */
	cf_state(c, XS_CLOSED);
	cf_wait(c, CF_STATE(XS_CLOSED), "after we were Closed");
	cf_state(c, XS_INITIALISING);
	cf_wait(c, CF_STATE(XS_INITWAIT), "with no key of a front end in xenstore");
}

static void waits_for_front_end(struct cf *c)
{
	cf_open(c, NULL);
	cf_must(c, xenblkfront_reset(c->f), "waiting for InitWait");
	int rc = xenblkfront_wait_backend(c->f, CF_STATE(XS_CONNECTED), CF_QUIET_MS);
	if (rc == XS_CONNECTED)
		cf_fail(c, "expected the back end to wait in InitWait, saw it Connected without a "
		           "front end");
	if (rc != -ETIMEDOUT)
		cf_must(c, rc, "watching the back end's state");
}

static void transport_at_initwait(struct cf *c)
{
	char before[COUNT(transport_keys)][256], after[256];
	bool was[COUNT(transport_keys)];

	cf_offer(c, NULL);
	for (size_t i = 0; i < COUNT(transport_keys); i++)
		was[i] = cf_back_key(c, transport_keys[i], before[i]);
	cf_state(c, XS_INITIALISED);
	cf_finish(c);
	for (size_t i = 0; i < COUNT(transport_keys); i++) {
		bool is = cf_back_key(c, transport_keys[i], after);
		if (is && !was[i])
			cf_fail(c,
			        "expected %s to be there in InitWait, saw it only when Connected",
			        transport_keys[i]);
		if (is && strcmp(before[i], after))
			cf_fail(c, "%s: expected \"%.40s\" as in InitWait, saw \"%.40s\"",
			        transport_keys[i], before[i], after);
	}
}

static void sectors_key(struct cf *c)
{
	uint64_t v;

	cf_connect(c, NULL);
	if (!cf_back_number(c, "sectors", UINT64_MAX, &v))
		cf_fail(c, "expected the key sectors before Connected, saw none");
	if (!v)
		cf_fail(c, "expected a size in sectors, saw 0");
}

static void sector_size_key(struct cf *c)
{
	uint64_t v;

	cf_connect(c, NULL);
	if (!cf_back_number(c, "sector-size", UINT32_MAX, &v))
		cf_fail(c, "expected the key sector-size before Connected, saw none");
	if (v < 512 || (v & (v - 1)))
		cf_fail(c, "expected a sector-size that is a power of two from 512, saw %" PRIu64,
		        v);
}

static void info_key(struct cf *c)
{
	uint64_t v;

	cf_connect(c, NULL);
	if (!cf_back_number(c, "info", UINT32_MAX, &v))
		cf_fail(c, "expected the key info before Connected, saw none");
}

static void info_known_bits(struct cf *c)
{
	cf_connect(c, NULL);
	uint32_t unknown =
	    c->info.info & ~(uint32_t)(VDISK_CDROM | VDISK_REMOVABLE | VDISK_READONLY);
	if (unknown)
		cf_fail(c, "expected bits of VDISK_* only, saw %#x beside them", unknown);
}

static void info_tells_mode(struct cf *c)
{
	char mode[256];

	cf_connect(c, NULL);
	if (!cf_back_key(c, "mode", mode))
		cf_skip(c, "the back end has no key mode");
	bool want = !strchr(mode, 'w'), is = c->info.info & VDISK_READONLY;
	if (is != want)
		cf_fail(c, "mode is \"%.20s\": expected VDISK_READONLY %s in info, saw info %u",
		        mode, want ? "set" : "clear", c->info.info);
}

static void info_tells_cdrom(struct cf *c)
{
	cf_connect(c, NULL);
	if (!c->info.device_type[0])
		cf_skip(c, "the toolstack wrote no device-type");
	bool want = !strcmp(c->info.device_type, "cdrom"), is = c->info.info & VDISK_CDROM;
	if (is != want)
		cf_fail(c, "device-type is %s: expected VDISK_CDROM %s in info, saw info %u",
		        c->info.device_type, want ? "set" : "clear", c->info.info);
}

static void physical_sector_size(struct cf *c)
{
	uint64_t physical;

	cf_connect(c, NULL);
	if (!cf_back_number(c, "physical-sector-size", UINT32_MAX, &physical))
		cf_skip(c, "not offered: no physical-sector-size");
	if (!physical || physical % c->info.sector_size)
		cf_fail(c, "expected a multiple of sector-size %u, saw %" PRIu64,
		        c->info.sector_size, physical);
}

static void size_fits_physical_sectors(struct cf *c)
{
	uint64_t physical;

	cf_connect(c, NULL);
	if (!cf_back_number(c, "physical-sector-size", UINT32_MAX, &physical) || !physical)
		cf_skip(c, "not offered: no physical-sector-size");
	if (c->info.sectors * 512 % physical)
		cf_fail(c,
		        "expected sectors * 512 to be a multiple of %" PRIu64 ", saw %" PRIu64
		        " sectors",
		        physical, c->info.sectors);
}

static void size_fits_sectors(struct cf *c)
{
	cf_connect(c, NULL);
	if (c->info.sectors * 512 % c->info.sector_size)
		cf_fail(c,
		        "expected sectors * 512 to be a multiple of sector-size %u, saw %" PRIu64
		        " sectors",
		        c->info.sector_size, c->info.sectors);
}

static void numbers_are_decimal(struct cf *c)
{
	uint64_t v;

	cf_connect(c, NULL);
	for (size_t i = 0; i < COUNT(number_keys); i++)
		cf_back_number(c, number_keys[i].key, number_keys[i].max, &v);
}

static void features_are_boolean(struct cf *c)
{
	uint64_t v;

	cf_connect(c, NULL);
	for (size_t i = 0; i < COUNT(feature_keys); i++)
		cf_back_number(c, feature_keys[i], 1, &v);
}

static void ring_order_and_pages_agree(struct cf *c)
{
	uint64_t order, pages;

	cf_connect(c, NULL);
	bool has_order = cf_back_number(c, "max-ring-page-order", UINT32_MAX, &order);
	if (!cf_back_number(c, "max-ring-pages", UINT32_MAX, &pages))
		cf_skip(c, "not offered: no max-ring-pages (deprecated)");
	if (!has_order || order > 31 || pages != 1ull << order)
		cf_fail(c, "expected max-ring-pages to be 1 << max-ring-page-order, saw %" PRIu64,
		        pages);
}

static void discard_keys_complete(struct cf *c)
{
	uint64_t v;

	cf_connect(c, NULL);
	if (!c->info.discard)
		cf_skip(c, "not offered: feature-discard");
	if (!cf_back_number(c, "discard-granularity", UINT32_MAX, &v))
		cf_fail(c, "expected discard-granularity beside feature-discard, saw none");
	if (!v)
		cf_fail(c, "expected discard-granularity in bytes, saw 0");
	if (!cf_back_number(c, "discard-alignment", UINT32_MAX, &v))
		cf_fail(c, "expected discard-alignment beside feature-discard, saw none");
}

static void discard_enable_obeyed(struct cf *c)
{
	uint64_t v;

	cf_connect(c, NULL);
	if (!cf_back_number(c, "discard-enable", 1, &v) || v)
		cf_skip(c, "the toolstack did not write discard-enable=0");
	if (c->info.discard)
		cf_fail(c, "discard-enable is 0: expected no discard, saw feature-discard 1");
}

static void secure_only_with_discard(struct cf *c)
{
	cf_connect(c, NULL);
	if (!c->info.discard_secure)
		cf_skip(c, "not offered: discard-secure");
	if (!c->info.discard)
		cf_fail(c, "expected feature-discard beside discard-secure, saw none");
}

static void indirect_is_more(struct cf *c)
{
	uint64_t v;

	cf_connect(c, NULL);
	if (!cf_back_number(c, "feature-max-indirect-segments", UINT32_MAX, &v))
		cf_skip(c, "not offered: feature-max-indirect-segments");
	uint32_t most = BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST * CF_PAGE / 8;
	if (!v || v > most)
		cf_fail(c, "expected 1 to %u (8 pages of descriptors), saw %" PRIu64, most, v);
}

static void queues_at_least_one(struct cf *c)
{
	uint64_t v;

	cf_connect(c, NULL);
	if (!cf_back_number(c, "multi-queue-max-queues", UINT32_MAX, &v))
		cf_skip(c, "not offered: multi-queue-max-queues");
	if (!v)
		cf_fail(c, "expected a number greater than zero, saw 0");
}

static void same_keys_again(struct cf *c)
{
	char first[COUNT(number_keys) + COUNT(feature_keys)][256], again[256];
	bool was[COUNT(number_keys) + COUNT(feature_keys)];

	for (unsigned round = 0; round < 2; round++) {
		cf_connect(c, NULL);
		for (size_t i = 0; i < COUNT(was); i++) {
			const char *key = i < COUNT(number_keys)
			                      ? number_keys[i].key
			                      : feature_keys[i - COUNT(number_keys)];
			if (!round) {
				was[i] = cf_back_key(c, key, first[i]);
				continue;
			}
			bool is = cf_back_key(c, key, again);
			if (is != was[i] || (is && strcmp(again, first[i])))
				cf_fail(c, "%s: expected \"%.40s\" as at first, saw \"%.40s\"", key,
				        was[i] ? first[i] : "", is ? again : "");
		}
		cf_disconnect(c);
	}
}

const struct conform_case conform_negotiation[] = {
    {"initwait-before-front-end",
     "blkif.h: STATE DIAGRAMS, Startup: Back publishes features, then InitWait; Front comes after",
     initwait_before_front_end},
    {"waits-for-front-end",
     "blkif.h: STATE DIAGRAMS, Startup: Back connects after Front is Initialised",
     waits_for_front_end},
    {"transport-parameters-at-initwait",
     "blkif.h: STATE DIAGRAMS, Startup: transport parameters are published before InitWait",
     transport_at_initwait},
    {"sectors-before-connected",
     "blkif.h: sectors; STATE DIAGRAMS: device properties are published before Connected",
     sectors_key},
    {"sector-size-before-connected",
     "blkif.h: sector-size: a power of two with a minimum value of 512", sector_size_key},
    {"info-before-connected",
     "blkif.h: info; STATE DIAGRAMS: device properties are published before Connected", info_key},
    {"info-has-known-bits", "blkif.h: info: the VDISK_* macros define the meaning of each bit",
     info_known_bits},
    {"info-tells-mode", "blkif.h: mode, info, VDISK_READONLY", info_tells_mode},
    {"info-tells-cdrom",
     "convention: VDISK_CDROM follows the toolstack's device-type (xen-blkback, QEMU, tapdisk)",
     info_tells_cdrom},
    {"physical-sector-size-is-multiple",
     "blkif.h: physical-sector-size: an integer multiple of sector-size", physical_sector_size},
    {"size-fits-physical-sectors",
     "blkif.h: sectors: the size is a multiple of physical-sector-size if that is present",
     size_fits_physical_sectors},
    {"size-fits-sectors", "blkif.h: sectors, sector-size: a disk of whole logical blocks",
     size_fits_sectors},
    {"numbers-are-decimal",
     "blkif.h: Feature and Parameter Negotiation: numeric nodes are encoded in decimal",
     numbers_are_decimal},
    {"features-are-boolean", "blkif.h: feature-*, discard-secure: 0/1 (boolean)",
     features_are_boolean},
    {"ring-order-and-pages-agree",
     "blkif.h: Note 3: identical ring parameters, adjusted for unit differences",
     ring_order_and_pages_agree},
    {"discard-keys-complete",
     "blkif.h: Note 4: back ends with discard include discard-granularity and discard-alignment",
     discard_keys_complete},
    {"discard-enable-obeyed", "blkif.h: discard-enable", discard_enable_obeyed},
    {"secure-only-with-discard", "blkif.h: discard-secure: BLKIF_OP_DISCARD with a flag",
     secure_only_with_discard},
    {"indirect-limit-fits",
     "blkif.h: BLKIF_OP_INDIRECT, BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST: 8 pages of descriptors",
     indirect_is_more},
    {"max-queues-at-least-one", "blkif.h: Multiple hardware queues/rings", queues_at_least_one},
    {"same-keys-after-reconnect",
     "convention: the disk is the same for the next driver of the guest (no feature was withdrawn)",
     same_keys_again},
    {0},
};
