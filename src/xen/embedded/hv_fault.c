/* SPDX-License-Identifier: MIT */
/* Faults on request: what a test wants to go wrong, in words. */
#include "xen/embedded/hv_fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/parse.h"
#include "xen/embedded/hv_domain_ref.h"
#include "xen/embedded/hv_event.h"
#include "xen/embedded/hv_store.h"
#include "xen/platform.h"

#define WORDS_MAX 6

static int fault_flag(struct hv_domain *d, uint32_t ref, bool on)
{
	/* Only this process writes to the table; copiers see the flag at their next look. */
	if (on)
		atomic_fetch_or(&d->table->entry[ref], HV_GRANT_FAULT);
	else
		atomic_fetch_and(&d->table->entry[ref], ~HV_GRANT_FAULT);
	return 0;
}

static void fault_end(struct hv *hv, struct hv_grant_fault *f)
{
	struct hv_domain *d = hv_domain_find(hv, f->domid);

	if (d)
		fault_flag(d, f->ref, false);
	list_remove(&f->link);
	free(f);
}

static struct hv_grant_fault *fault_find(struct hv *hv, uint16_t domid, uint32_t ref)
{
	list_for_each(it, tmp, &hv->faults)
	{
		struct hv_grant_fault *f = container_of(it, struct hv_grant_fault, link);
		if (f->domid == domid && f->ref == ref)
			return f;
	}
	return NULL;
}

int hv_fault_take(struct hv *hv, struct hv_domain *d, uint32_t ref)
{
	struct hv_grant_fault *f = fault_find(hv, d->domid, ref);

	if (!f)
		return 0;
	int status = f->status;
	if (--f->count == 0)
		fault_end(hv, f);
	return status;
}

static void refuse(struct hv_domain *d, int error, uint32_t count)
{
	d->refusal_errno = error;
	d->refusals = count;
	/* Only this process writes to the table; copiers see it before their next batch. */
	atomic_store(&d->table->refuse, count != 0);
}

int hv_refusal_take(struct hv_domain *d)
{
	if (!d->refusals)
		return 0;
	int error = d->refusal_errno;
	refuse(d, error, d->refusals - 1);
	return error;
}

void hv_faults_forget(struct hv *hv, int domid)
{
	list_for_each(it, tmp, &hv->faults)
	{
		struct hv_grant_fault *f = container_of(it, struct hv_grant_fault, link);
		if (domid < 0 || f->domid == domid)
			fault_end(hv, f);
	}
}

static struct hv_domain *parse_domain(struct hv *hv, const char *word)
{
	uint32_t domid;

	return parse_u32(word, 0, XEN_DOMID_MAX, &domid) ? NULL
	                                                 : hv_domain_find(hv, (uint16_t)domid);
}

static struct hv_port *parse_port(struct hv *hv, char **word)
{
	struct hv_domain *d = parse_domain(hv, word[0]);
	uint32_t port;

	return !d || parse_u32(word[1], 1, 0xffff, &port) ? NULL : hv_ids_get(&d->ports, port);
}

/* grant DOMID REF STATUS COUNT */
static int fault_grant(struct hv *hv, char **word)
{
	struct hv_domain *d = parse_domain(hv, word[0]);
	uint32_t ref, status, count;

	if (!d || parse_u32(word[1], 0, HV_REFS - 1, &ref) || word[2][0] != '-' ||
	    parse_u32(word[2] + 1, 1, INT16_MAX, &status) ||
	    parse_u32(word[3], 0, UINT32_MAX, &count))
		return -EINVAL;
	struct hv_grant_fault *f = fault_find(hv, d->domid, ref);
	if (f)
		fault_end(hv, f);
	if (count == 0)
		return 0;
	f = calloc(1, sizeof *f);
	if (!f)
		return -ENOMEM;
	*f = (struct hv_grant_fault){
	    .domid = d->domid, .ref = ref, .count = count, .status = (int16_t) - (int)status};
	list_append(&hv->faults, &f->link);
	return fault_flag(d, ref, true);
}

/* refuse-copies DOMID ERRNO COUNT */
static int fault_refuse_copies(struct hv *hv, char **word)
{
	struct hv_domain *d = parse_domain(hv, word[0]);
	uint32_t error, count;

	if (!d || parse_u32(word[1], 1, 4095, &error) || parse_u32(word[2], 0, UINT32_MAX, &count))
		return -EINVAL;
	refuse(d, (int)error, count);
	return 0;
}

static int fault_lose_event(struct hv *hv, char **word)
{
	struct hv_port *p = parse_port(hv, word);
	uint32_t count;

	if (!p || parse_u32(word[2], 0, UINT32_MAX, &count))
		return -EINVAL;
	atomic_store(&hv_port_end(p)->drop, count); /* counted down by whoever sends to it */
	return 0;
}

static int fault_spurious_event(struct hv *hv, char **word)
{
	struct hv_port *p = parse_port(hv, word);

	if (!p)
		return -EINVAL;
	hv_port_raise(p);
	return 0;
}

static int fault_conflict(struct hv *hv, char **word)
{
	uint32_t count;

	if (parse_u32(word[0], 0, UINT32_MAX, &count))
		return -EINVAL;
	xsd_fault_conflicts(hv->xsd, count);
	return 0;
}

/* read ERRNO PATH COUNT */
static int fault_read(struct hv *hv, char **word)
{
	uint32_t error, count;

	if (parse_u32(word[0], 1, 4095, &error) || parse_u32(word[2], 0, UINT32_MAX, &count))
		return -EINVAL;
	xsd_fault_reads(hv->xsd, (int)error, word[1], count);
	return 0;
}

static int fault_delay_store(struct hv *hv, char **word)
{
	uint32_t ms;

	if (parse_u32(word[0], 0, 3600000, &ms))
		return -EINVAL;
	hv_store_delay(hv, ms * NS_PER_MS);
	return 0;
}

static int fault_clear(struct hv *hv, char **word)
{
	hv_faults_forget(hv, -1);
	for (size_t i = 0; i < sizeof hv->domains / sizeof *hv->domains; i++)
		if (hv->domains[i])
			refuse(hv->domains[i], 0, 0);
	list_for_each(it, tmp, &hv->conns)
	{
		struct hv_conn *c = container_of(it, struct hv_conn, link);
		for (uint32_t port = 0; port < c->ports.size; port++)
			if (c->ports.slot[port])
				atomic_store(&hv_port_end(c->ports.slot[port])->drop, 0);
	}
	xsd_fault_conflicts(hv->xsd, 0);
	xsd_fault_reads(hv->xsd, 0, "", 0);
	hv_store_delay(hv, 0);
	return 0;
}

int hv_fault(struct hv *hv, const char *text)
{
	static const struct {
		const char *name;
		int words; /* behind the name */
		int (*fn)(struct hv *hv, char **word);
	} kinds[] = {
	    {"grant", 4, fault_grant},
	    {"refuse-copies", 3, fault_refuse_copies},
	    {"lose-event", 3, fault_lose_event},
	    {"spurious-event", 2, fault_spurious_event},
	    {"conflict", 1, fault_conflict},
	    {"read", 3, fault_read},
	    {"delay-store", 1, fault_delay_store},
	    {"clear", 0, fault_clear},
	};
	char copy[HV_TEXT_MAX + 1], *word[WORDS_MAX], *save = NULL;
	int n = 0;

	strncpy(copy, text, HV_TEXT_MAX);
	copy[HV_TEXT_MAX] = '\0';
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		if (n == WORDS_MAX)
			return -EINVAL;
		word[n++] = w;
	}
	for (size_t i = 0; n && i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(word[0], kinds[i].name) && n - 1 == kinds[i].words)
			return kinds[i].fn(hv, word + 1);
	return -EINVAL;
}
