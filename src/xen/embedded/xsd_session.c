/* SPDX-License-Identifier: MIT */
/* Requests about watches, transactions and domains. */
#include "xen/embedded/xsd_session.h"

#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "xen/embedded/xsd_domain.h"
#include "xen/embedded/xsd_introduce.h"
#include "xen/embedded/xsd_message.h"
#include "xen/embedded/xsd_txn.h"
#include "xen/embedded/xsd_watch.h"

#define DOMID_SELF_NR 0x7ff0u

/* Path of a watch: canonical, or "@…" as it is. */
static int watch_args(struct xsd_request *rq, const char **token, bool *relative)
{
	const char *arg[2];
	int rc = xsd_args(rq, arg, 2, 2);

	if (rc < 0)
		return rc;
	*token = arg[1];
	if (!xsd_path_is_special(arg[0]))
		return xsd_path_canonical(arg[0], rq->c->dom->domid, rq->path, relative);
	*relative = false;
	strcpy(rq->path, arg[0]);
	return 0;
}

/* What a test wants it to fail with: 0 or -errno. */
static int watch_fault(struct xsd *x, const char *path)
{
	size_t mark = strlen(XSD_FAULT_WATCH), n = strlen(path), tail = strlen(x->fault_path);

	if (!x->fault_reads || strncmp(x->fault_path, XSD_FAULT_WATCH, mark) || n < tail - mark ||
	    strcmp(path + n - (tail - mark), x->fault_path + mark))
		return 0;
	x->fault_reads--;
	return -x->fault_error;
}

int xsd_do_watch(struct xsd_request *rq)
{
	struct xsd_watch *w;
	const char *token;
	bool relative;
	int rc = watch_args(rq, &token, &relative);

	if (!rc)
		rc = watch_fault(rq->c->x, rq->path);
	if (!rc)
		rc = xsd_watch_add(rq->c, rq->path, relative, token, &w);
	if (rc)
		return rc;
	xsd_reply_ok(rq);
	xsd_watch_initial(w);
	return 0;
}

int xsd_do_unwatch(struct xsd_request *rq)
{
	const char *token;
	bool relative;
	int rc = watch_args(rq, &token, &relative);

	if (!rc)
		rc = xsd_watch_del(rq->c, rq->path, token);
	if (!rc)
		xsd_reply_ok(rq);
	return rc;
}

int xsd_do_reset_watches(struct xsd_request *rq)
{
	xsd_watch_del_all(rq->c);
	list_for_each(it, tmp, &rq->c->txns) xsd_txn_free(container_of(it, struct xsd_txn, link));
	xsd_reply_ok(rq);
	return 0;
}

int xsd_do_transaction_start(struct xsd_request *rq)
{
	char text[16];
	uint32_t id;
	int rc;

	if (rq->txn)
		return -EBUSY;
	rc = xsd_txn_start(rq->c, &id);
	if (!rc)
		xsd_reply(rq, text, (size_t)snprintf(text, sizeof text, "%u", id) + 1);
	return rc;
}

int xsd_do_transaction_end(struct xsd_request *rq)
{
	const char *arg[1];
	int rc = xsd_args(rq, arg, 1, 1);

	if (rc < 0 || (strcmp(arg[0], "T") && strcmp(arg[0], "F")))
		return -EINVAL;
	if (!rq->txn)
		return -ENOENT;
	rc = arg[0][0] == 'T' ? xsd_txn_commit(rq->txn) : 0;
	xsd_txn_free(rq->txn);
	if (!rc)
		xsd_reply_ok(rq);
	return rc;
}

int xsd_do_control(struct xsd_request *rq)
{
	const char *arg[1];
	int rc = xsd_args(rq, arg, 1, 1);

	if (rc < 0)
		return rc;
	if (strcmp(arg[0], "help"))
		return -ENOSYS;
	xsd_reply(rq, "help", sizeof "help");
	return 0;
}

/* The domain that argument 0 names. */
static int domain_arg(struct xsd_request *rq, const char **arg, unsigned n, struct xsd_domain **d)
{
	uint32_t domid;
	int rc = xsd_args(rq, arg, n, n);

	if (rc < 0 || parse_u32(arg[0], 0, UINT16_MAX, &domid))
		return -EINVAL;
	*d = xsd_domain_of(rq->c->x, domid == DOMID_SELF_NR ? rq->c->dom->domid : (uint16_t)domid);
	return *d ? 0 : -ENOMEM;
}

int xsd_do_introduce(struct xsd_request *rq)
{
	struct xsd_domain *d;
	const char *arg[3];
	uint64_t frame;
	uint32_t port;
	int rc = domain_arg(rq, arg, 3, &d);

	if (!rc &&
	    (parse_u64(arg[1], 0, UINT64_MAX, &frame) || parse_u32(arg[2], 1, INT32_MAX, &port)))
		rc = -EINVAL;
	if (rc)
		return rc;
	xsd_reply_ok(rq);
	xsd_set_introduced(rq->c->x, d, true);
	return 0;
}

int xsd_do_release(struct xsd_request *rq)
{
	struct xsd_domain *d;
	const char *arg[1];
	int rc = domain_arg(rq, arg, 1, &d);

	if (rc)
		return rc;
	if (xsd_privileged(d))
		return -EINVAL;
	if (!d->introduced)
		return -ENOENT;
	xsd_reply_ok(rq);
	xsd_set_introduced(rq->c->x, d, false);
	return 0;
}

int xsd_do_resume(struct xsd_request *rq)
{
	struct xsd_domain *d;
	const char *arg[1];
	int rc = domain_arg(rq, arg, 1, &d);

	if (!rc && !d->introduced)
		rc = -ENOENT;
	if (!rc)
		xsd_reply_ok(rq);
	return rc;
}

int xsd_do_set_target(struct xsd_request *rq)
{
	struct xsd_domain *d;
	const char *arg[2];
	uint32_t target;
	int rc = domain_arg(rq, arg, 2, &d);

	if (!rc && parse_u32(arg[1], 0, UINT16_MAX, &target))
		rc = -EINVAL;
	if (!rc && !d->introduced)
		rc = -ENOENT;
	if (rc)
		return rc;
	d->has_target = true;
	d->target = (uint16_t)target;
	xsd_reply_ok(rq);
	return 0;
}

int xsd_do_is_domain_introduced(struct xsd_request *rq)
{
	struct xsd_domain *d;
	const char *arg[1];
	int rc = domain_arg(rq, arg, 1, &d);

	if (!rc)
		xsd_reply(rq, d->introduced ? "T" : "F", 2);
	return rc;
}

int xsd_do_get_domain_path(struct xsd_request *rq)
{
	char path[32];
	const char *arg[1];
	uint32_t domid;
	int rc = xsd_args(rq, arg, 1, 1);

	if (rc < 0 || parse_u32(arg[0], 0, UINT16_MAX, &domid))
		return -EINVAL;
	if (domid == DOMID_SELF_NR)
		domid = rq->c->dom->domid;
	xsd_reply(rq, path, (size_t)snprintf(path, sizeof path, "/local/domain/%u", domid) + 1);
	return 0;
}
