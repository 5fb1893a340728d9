/* SPDX-License-Identifier: MIT */
/* Most have ended before anybody looks; one that hangs in the kernel is looked at when its pidfd
 * tells, and all disks are served meanwhile. */
#include "daemon/reap.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct dead {
	struct list link;
	struct loop *loop;
	struct loop_fd end;
	pid_t pid;
};

/* All that are waited for, so that each is known to somebody. Owned by the loop's thread. */
static struct list all = {&all, &all};

static void ended(struct loop_fd *lfd, uint32_t events)
{
	struct dead *dead = container_of(lfd, struct dead, end);

	waitpid(dead->pid, NULL, WNOHANG);
	loop_del(dead->loop, lfd);
	close(lfd->fd);
	list_remove(&dead->link);
	free(dead);
}

void reap(struct loop *loop, pid_t pid, int pidfd)
{
	struct dead *dead = NULL;

	if (waitpid(pid, NULL, WNOHANG) == 0) {
		dead = pidfd >= 0 ? malloc(sizeof *dead) : NULL;
		if (dead) {
			*dead = (struct dead){
			    .loop = loop, .end = {.fd = pidfd, .ready = ended}, .pid = pid};
			list_append(&all, &dead->link);
			if (!loop_add(loop, &dead->end, EPOLLIN))
				return;
			list_remove(&dead->link);
			free(dead);
		}
		/* Short of memory: it stays a zombie, which costs less than to wait. */
	}
	if (pidfd >= 0)
		close(pidfd);
}
