/* SPDX-License-Identifier: MIT */
/*
 * The embedded xenstored as a library without I/O: bytes of the wire protocol (xen/io/xs_wire.h)
 * in, bytes out. The hypervisor process (embedded/main.c) owns the sockets. Single-threaded.
 */
#ifndef XEN_EMBEDDED_XSD_H
#define XEN_EMBEDDED_XSD_H

#include <stddef.h>
#include <stdint.h>

struct xsd;      /* one store: tree, watches, transactions, connections */
struct xsd_conn; /* one client */

/* 0 or -ENOMEM; a fresh tree with /tool, /local/domain, /vm, /libxl as xenstored makes it. */
int xsd_new(struct xsd **out);
void xsd_free(struct xsd *x); /* with all its connections */

/* A client acting as domain domid (0 is privileged). output_ready(arg) is called when bytes wait
 * that did not before (replies or watch events, possibly caused by another client). */
struct xsd_conn *xsd_connect(struct xsd *x, uint16_t domid, void (*output_ready)(void *arg),
                             void *arg); /* NULL: no memory */
void xsd_disconnect(struct xsd_conn *c); /* aborts its transactions, drops its watches */

/* n bytes arrived, split in any way. 0, or -errno: the client broke the protocol (a payload over
 * 4096 bytes …) or ran over a limit that kills: disconnect it. */
int xsd_input(struct xsd_conn *c, const void *data, size_t n);
/* Bytes that wait to be sent: *data stays valid until the next call for this connection. Not always
 * all of them: consume, then ask again until it returns 0. */
size_t xsd_output(struct xsd_conn *c, const void **data);
void xsd_consume(struct xsd_conn *c, size_t n); /* n of them were sent */

/* A domain came or went: fires @introduceDomain / @releaseDomain; IS_DOMAIN_INTRODUCED answers by
 * it. Released: its quota accounting is forgotten, its nodes stay (the toolstack removes them). */
void xsd_domain_introduced(struct xsd *x, uint16_t domid);
void xsd_domain_released(struct xsd *x, uint16_t domid);

/* Fault on request: the next n commits fail with EAGAIN. */
void xsd_fault_conflicts(struct xsd *x, unsigned n);
/* Fault on request: the next n reads of nodes whose path ends with `path` (copied, cut) fail with
 * -error. Of one path at a time. Behind XSD_FAULT_WATCH: not reads, but watches of such a path. */
#define XSD_FAULT_WATCH "watch:"
void xsd_fault_reads(struct xsd *x, int error, const char *path, unsigned n);

unsigned xsd_connections(const struct xsd *x);

#endif
