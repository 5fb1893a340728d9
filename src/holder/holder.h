/* SPDX-License-Identifier: MIT */
/*
 * xenblkd-holder keeps the claims of a run directory's disks (storage/claim.h) where neither a
 * supervisor's nor a worker's death can touch them: it parses no guest's bytes, and does nothing
 * else. It is started by the first supervisor and ends when no supervisor is connected and it holds
 * nothing or its socket was removed, or with the embedded Xen. One packet a message, over a
 * seqpacket socket; the messages are the same in all versions, because a holder serves supervisors
 * of later ones.
 */
#ifndef HOLDER_HOLDER_H
#define HOLDER_HOLDER_H

#include <stdint.h>
#include <sys/types.h>

#define HOLDER_SOCKET "holder.sock" /* in the run directory */
#define HOLDER_NAME_MAX 40

enum holder_op {
	HOLDER_PUT = 1, /* keep the descriptor that comes along, instead of one that has the name */
	HOLDER_DROP,    /* close the one of that name, if there is one; answered with END */
	HOLDER_LIST,    /* answered with an ITEM for each, then END */
	HOLDER_ITEM,    /* its descriptor comes along */
	HOLDER_END,
};

struct holder_message {
	uint32_t op;
	char name[HOLDER_NAME_MAX];
};

/* fd: lent, -1 for none. flags: of sendmsg. 0 or -errno. */
int holder_send(int sock, uint32_t op, const char *name, int fd, int flags);
/* fd: -1 if none came along. 1: a message; 0: the other end is gone; -errno. */
int holder_receive(int sock, struct holder_message *m, int *fd, int flags);

#endif
