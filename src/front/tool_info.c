/* SPDX-License-Identifier: MIT */
/* xenblkfront info. */
#include "front/tool.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <xen/io/blkif.h>

#include "front/tool_message.h"

static int print_json(const struct xenblkfront_info *i)
{
	json_t *j = json_pack("{s:I s:I s:I s:I s:I}", "sectors", (json_int_t)i->sectors, "bytes",
	                      (json_int_t)(i->sectors * 512), "sector_size",
	                      (json_int_t)i->sector_size, "physical_sector_size",
	                      (json_int_t)i->physical_sector_size, "info", (json_int_t)i->info);
	json_t *more = json_pack(
	    "{s:b s:b s:b s:b s:b s:b s:b s:b s:I s:I s:I s:I s:I s:I s:I}", "cdrom",
	    !!(i->info & VDISK_CDROM), "removable", !!(i->info & VDISK_REMOVABLE), "readonly",
	    !!(i->info & VDISK_READONLY), "flush", i->flush, "barrier", i->barrier, "discard",
	    i->discard, "discard_secure", i->discard_secure, "persistent", i->persistent,
	    "discard_granularity", (json_int_t)i->discard_granularity, "discard_alignment",
	    (json_int_t)i->discard_alignment, "max_ring_order", (json_int_t)i->max_ring_order,
	    "max_queues", (json_int_t)i->max_queues, "max_indirect_segments",
	    (json_int_t)i->max_indirect_segments, "ring_slots", (json_int_t)i->ring_slots, "queues",
	    (json_int_t)i->queues);
	/* Text that is no UTF-8 (somebody else wrote it) makes these NULL, and is left out then. */
	json_t *mode = json_string(i->mode), *type = json_string(i->device_type);
	bool ok = j && more && !json_object_update(j, more) &&
	          !json_object_set_new(j, "abi", json_string(i->abi)) &&
	          !json_object_set_new(j, "mode", mode ?: json_null()) &&
	          !json_object_set_new(j, "device_type", type ?: json_null()) &&
	          !json_dumpf(j, stdout, JSON_INDENT(2)) && putchar('\n') != EOF;

	json_decref(more);
	json_decref(j);
	return ok ? TOOL_OK
	          : tool_error("cannot write JSON to standard output: %s", strerror(errno));
}

static const char *yes(bool b)
{
	return b ? "yes" : "no";
}

static void print_text(const struct xenblkfront_info *i)
{
	if (!i->sectors)
		printf(
		    "size                   not known yet: the back end tells it when it connects "
		    "(info --connect)\n");
	else
		printf("size                   %" PRIu64 " bytes (%" PRIu64 " sectors of 512)\n",
		       i->sectors * 512, i->sectors);
	if (i->sector_size)
		printf("sector size            %u, physical %u\n", i->sector_size,
		       i->physical_sector_size);
	printf("kind                   %s%s%s, mode %s\n", i->device_type[0] ? i->device_type : "?",
	       i->info & VDISK_REMOVABLE ? ", removable" : "",
	       i->info & VDISK_READONLY ? ", read-only" : "", i->mode[0] ? i->mode : "?");
	printf("flush                  %s\n", yes(i->flush));
	printf("barrier                %s\n", yes(i->barrier));
	if (i->discard)
		printf("discard                yes, granularity %u, alignment %u, secure %s\n",
		       i->discard_granularity, i->discard_alignment, yes(i->discard_secure));
	else
		printf("discard                no\n");
	printf("persistent grants      %s\n", yes(i->persistent));
	printf("largest ring order     %u\n", i->max_ring_order);
	printf("queues                 %u\n", i->max_queues);
	printf("indirect segments      %u\n", i->max_indirect_segments);
	if (i->ring_slots)
		printf("rings in use           %u of %u slots, %s\n", i->queues, i->ring_slots,
		       i->abi);
}

int tool_info(struct xenblkfront *f, const struct tool_options *o)
{
	struct xenblkfront_info i;

	if (xenblkfront_get_info(f, &i))
		return tool_front_error(f);
	int rc = TOOL_OK;
	if (o->json)
		rc = print_json(&i);
	else
		print_text(&i);
	if (fflush(stdout) && errno != EPIPE)
		rc = tool_error("cannot write to standard output: %s", strerror(errno));
	return rc;
}
