/* SPDX-License-Identifier: MIT */
/* A claim on its way from a socket to itself. */
#include "storage/parcel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "storage/claim.h"

#define MAGIC 0x6c6370616e656278ull

union control {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static const unsigned long elsewhere[] = {
    NFS_SUPER_MAGIC, FUSE_SUPER_MAGIC, CEPH_SUPER_MAGIC,  CIFS_SUPER_MAGIC,
    SMB_SUPER_MAGIC, SMB2_SUPER_MAGIC, AFS_FS_MAGIC,      AFS_SUPER_MAGIC,
    V9FS_MAGIC,      CODA_SUPER_MAGIC, OCFS2_SUPER_MAGIC, 0x01161970 /* GFS2 */,
};

/* Their servers may be away. */
static bool is_far_away(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs))
		return true;
	for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
		if ((unsigned long)fs.f_type == elsewhere[i])
			return true;
	return false;
}

static int write_label(int claim, struct parcel_label *label)
{
	int flags = fcntl(claim, F_GETFL), rc;
	struct stat st;

	*label = (struct parcel_label){.magic = MAGIC};
	if (flags < 0 || fstat(claim, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return -EINVAL;
	rc = claim_identify(claim, &label->identity);
	label->block = S_ISBLK(st.st_mode);
	label->mode = (uint8_t)(flags & O_ACCMODE);
	label->far_away = !label->block && is_far_away(claim);
	return rc;
}

int parcel_make(int claim)
{
	union control control = {0};
	struct parcel_label label;
	struct iovec iov = {&label, sizeof label};
	struct msghdr h = {.msg_iov = &iov,
	                   .msg_iovlen = 1,
	                   .msg_control = &control,
	                   .msg_controllen = sizeof control};
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	int pair[2], rc = write_label(claim, &label);

	if (rc)
		return rc;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof claim);
	memcpy(CMSG_DATA(c), &claim, sizeof claim);
	if (sendmsg(pair[1], &h, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		rc = -errno;
	close(pair[1]);
	if (rc)
		close(pair[0]);
	return rc ? rc : pair[0];
}

/* claim NULL: without room for it the kernel does not make a descriptor of it, which somebody would
 * have to close. */
static int look(int fd, struct parcel_label *label, int *claim)
{
	union control control;
	struct iovec iov = {label, sizeof *label};
	struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};

	if (claim) {
		h.msg_control = &control;
		/* Without the padding, in which the kernel would find room for another one. */
		h.msg_controllen = CMSG_LEN(sizeof *claim);
		*claim = -1;
	}
	ssize_t n = recvmsg(fd, &h, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	struct cmsghdr *c = claim ? CMSG_FIRSTHDR(&h) : NULL;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(claim, CMSG_DATA(c), sizeof *claim);
	return n == sizeof *label && label->magic == MAGIC ? 0 : -EBADMSG;
}

int parcel_read(int fd, struct parcel_label *label)
{
	return look(fd, label, NULL);
}

bool parcel_has_mode(int fd, bool readonly)
{
	struct parcel_label label;

	return !parcel_read(fd, &label) && label.mode == (readonly ? O_RDONLY : O_RDWR);
}

int parcel_open(int fd)
{
	struct parcel_label label;
	int claim, rc = look(fd, &label, &claim);

	if (!rc && claim < 0)
		return -EMFILE;
	if (rc && claim >= 0)
		close(claim);
	return rc ? rc : claim;
}
