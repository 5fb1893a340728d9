/* SPDX-License-Identifier: MIT */
/* What the queues of one disk share. */
#include "disk/shared.h"

#include <unistd.h>

void shared_init(struct disk_shared *s)
{
	*s = (struct disk_shared){0};
	blocks_init(&s->blocks);
	trouble_init(&s->trouble);
	for (unsigned i = 0; i < WM_MAX_QUEUES; i++)
		s->wake_fd[i] = -1;
}

void shared_wake(const struct disk_shared *s, unsigned queue)
{
	uint64_t one = 1;

	/* Fails only if 2^64 - 1 wake-ups had not been read: then there is one anyway. */
	if (s->wake_fd[queue] >= 0 && write(s->wake_fd[queue], &one, sizeof one) < 0) {
	}
}

bool shared_suspect_enter(struct disk_shared *s, unsigned queue)
{
	uint32_t none = 0;

	/* Sequentially consistent: who fails has seen the holder's number, and the holder's leave,
	 * which comes later, wakes it. */
	return __atomic_compare_exchange_n(&s->suspect, &none, queue + 1, false, __ATOMIC_SEQ_CST,
	                                   __ATOMIC_SEQ_CST);
}

void shared_suspect_leave(struct disk_shared *s, unsigned queue)
{
	/* Before the wake-ups: who is woken must find it free. Pairs with the exchange above. */
	__atomic_store_n(&s->suspect, 0, __ATOMIC_SEQ_CST);
	for (unsigned i = 0; i < WM_MAX_QUEUES; i++)
		if (i != queue)
			shared_wake(s, i);
}
