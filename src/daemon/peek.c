/* SPDX-License-Identifier: MIT */
/*
 * What a dead worker had in hand, for people to read. Its journals are read, never mapped: it may
 * have been taken over by its guest, and have written anything there, or still be at it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "blkif/abi.h"
#include "daemon/at.h"
#include "daemon/device.h"
#include "disk/files.h"

struct found {
	unsigned in_hand; /* requests taken and not answered */
	bool current;     /* `slot` is the one that ran alone */
	uint32_t protocol;
	uint64_t published;       /* responses, of all queues */
	uint32_t signal;          /* the worker's own note of how it died; 0: none */
	struct journal_slot slot; /* that one, or the oldest */
};

static const char *op_name(uint8_t op)
{
	switch (op) {
	case BLKIF_OP_READ:
		return "read";
	case BLKIF_OP_WRITE:
		return "write";
	case BLKIF_OP_WRITE_BARRIER:
		return "write barrier";
	case BLKIF_OP_FLUSH_DISKCACHE:
		return "flush";
	case BLKIF_OP_DISCARD:
		return "discard";
	case BLKIF_OP_INDIRECT:
		return "indirect request";
	}
	return "request of unknown kind";
}

static void read_slots(int fd, const struct journal_header *h, struct found *f)
{
	struct journal_slot s;

	for (uint32_t i = 0; i < h->slots; i++) {
		off_t at = JOURNAL_HEADER_BYTES + (off_t)i * (off_t)sizeof s;
		if (pread(fd, &s, sizeof s, at) != (ssize_t)sizeof s)
			return;
		if (s.state != JOURNAL_TAKEN)
			continue;
		f->in_hand++;
		bool current = h->current && s.seq + 1 == h->current;
		if (current || (!f->current && (f->in_hand == 1 || s.seq < f->slot.seq))) {
			f->slot = s;
			f->protocol = h->identity.protocol;
		}
		f->current |= current;
	}
}

/* False: there is no such journal. */
static bool read_journal(int dir, unsigned queue, struct found *f)
{
	struct journal_header h;
	char name[32];
	bool found = false;

	snprintf(name, sizeof name, FILES_JOURNAL, queue);
	int fd = at_file(dir, name, O_RDONLY);
	if (fd < 0)
		return false;
	if (pread(fd, &h, sizeof h, 0) == (ssize_t)sizeof h && h.magic == JOURNAL_MAGIC &&
	    (h.version == JOURNAL_VERSION || h.version == JOURNAL_VERSION - 1) &&
	    h.slots <= JOURNAL_SLOTS_MAX) {
		if (h.version >= 2 && h.signal)
			f->signal = h.signal;
		f->published += h.rsp;
		read_slots(fd, &h, f);
		found = true;
	}
	close(fd);
	return found;
}

static void read_journals(const struct device *dev, struct found *f)
{
	int dir = at_disk(dev->d, dev->id);

	*f = (struct found){0};
	if (dir < 0)
		return;
	for (unsigned q = 0; q < WM_MAX_QUEUES && read_journal(dir, q, f); q++)
		;
	close(dir);
}

int peek_signal(const struct device *dev)
{
	struct found f;

	read_journals(dev, &f);
	return f.signal < 64 ? (int)f.signal : 0;
}

unsigned peek_requests(const struct device *dev)
{
	struct found f;

	read_journals(dev, &f);
	return f.in_hand;
}

uint64_t peek_published(const struct device *dev)
{
	struct found f;

	read_journals(dev, &f);
	return f.published;
}

void peek_in_hand(const struct device *dev, char *text, size_t cap)
{
	struct found f;
	struct blkif_req req;

	read_journals(dev, &f);
	if (!f.in_hand) {
		snprintf(text, cap, "no request in hand");
		return;
	}
	blkif_decode_req(f.protocol == BLKIF_PROTO_X86_32 ? BLKIF_PROTO_X86_32 : BLKIF_PROTO_X86_64,
	                 f.slot.raw, &req);
	snprintf(text, cap, "%u request%s in hand, %s a %s at sector %llu", f.in_hand,
	         f.in_hand > 1 ? "s" : "",
	         f.current       ? "at work on"
	         : f.in_hand > 1 ? "the oldest"
	                         : "it is",
	         op_name(req.op), (unsigned long long)req.sector);
}
