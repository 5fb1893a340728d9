/* SPDX-License-Identifier: MIT */
/* The helper thread of a queue's discards. The data thread hears of their end through an eventfd
 * that its io_uring reads, but only while there is something to wait for: an idle disk has no
 * operation on its ring. */
#include "storage/discard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "storage/again.h"

#define HELPER_STACK (128 << 10)

static void list_put(struct discard_list *l, struct storage_io *io)
{
	io->next = NULL;
	*l->last = io;
	l->last = &io->next;
}

static struct storage_io *list_take_all(struct discard_list *l)
{
	struct storage_io *io = l->first;

	l->first = NULL;
	l->last = &l->first;
	return io;
}

static struct storage_io *list_take(struct discard_list *l)
{
	struct storage_io *io = l->first;

	l->first = io->next;
	if (!l->first)
		l->last = &l->first;
	return io;
}

static void turn_take(struct discard_turns *t)
{
	pthread_mutex_lock(&t->lock);
	for (uint64_t mine = t->last++; t->now != mine;)
		pthread_cond_wait(&t->next, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

static void turn_give(struct discard_turns *t)
{
	pthread_mutex_lock(&t->lock);
	t->now++;
	pthread_cond_broadcast(&t->next);
	pthread_mutex_unlock(&t->lock);
}

static int discard_piece(const struct discard *d, bool secure, uint64_t offset, uint64_t length)
{
	uint64_t range[2] = {offset, length};
	int r = d->block ? ioctl(d->fd, secure ? BLKSECDISCARD : BLKDISCARD, range)
	                 : fallocate(d->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	                             (off_t)offset, (off_t)length);
	return r ? -errno : 0;
}

uint64_t discard_pace(enum discard_kind kind, uint64_t piece, uint64_t took_ns)
{
	/* Twice as long for twice as many bytes, so a piece stays below `slow` while what it meets
	 * stays the same. When it does not, one piece of the largest size is the price: a file's
	 * data cost about a millisecond a MiB at worst (docs/data-plane.md). */
	static const struct {
		uint64_t min, max, quick_ns, slow_ns;
	} limits[DISCARD_KINDS] = {
	    [DISCARD_DATA] = {1ull << 20, 16ull << 20, NS_PER_MS / 5, NS_PER_MS},
	    [DISCARD_HOLE] = {1ull << 20, 4ull << 30, NS_PER_MS / 5, NS_PER_MS},
	    [DISCARD_DEVICE] = {64ull << 20, 1ull << 30, 5 * NS_PER_MS, 20 * NS_PER_MS},
	};
	uint64_t min = limits[kind].min, max = limits[kind].max;

	if (piece && took_ns < limits[kind].quick_ns)
		piece *= 2;
	else if (took_ns > 4 * limits[kind].slow_ns)
		piece = min;
	else if (took_ns > limits[kind].slow_ns)
		piece /= 2;
	return piece < min ? min : piece > max ? max : piece;
}

/* Where data begin, at or behind `at`. A file system that cannot tell has them everywhere. */
static uint64_t next_data(const struct discard *d, uint64_t at, uint64_t end)
{
	off_t data = lseek(d->fd, (off_t)at, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? end : at;
	return (uint64_t)data < end ? (uint64_t)data : end;
}

/* The piece that begins at `at`: *n its bytes. *data: where the next data was when that was looked
 * up last, which is not done for each piece, as it takes time for each extent. Nothing depends on
 * what is said of holes but the size: they are discarded like all else, as another process may be
 * writing there, and as a hole may have blocks that were allocated in advance. */
static enum discard_kind next_piece(const struct discard *d, uint64_t at, uint64_t end,
                                    uint64_t *data, uint64_t *n)
{
	enum discard_kind kind = d->block ? DISCARD_DEVICE : DISCARD_DATA;
	uint64_t *piece = d->turns->piece;

	if (!d->block && *data <= at)
		*data = next_data(d, at, end);
	for (int k = 0; k < DISCARD_KINDS; k++)
		piece[k] = piece[k] ? piece[k] : discard_pace((enum discard_kind)k, 0, 0);
	if (*data > at + piece[DISCARD_DATA]) {
		kind = DISCARD_HOLE;
		end = *data;
	}
	*n = piece[kind] - at % piece[kind];
	if (*n > end - at)
		*n = end - at;
	return kind;
}

/* One piece at `at`, when it is our turn; *n: its bytes. */
static int discard_next(const struct discard *d, bool secure, uint64_t at, uint64_t end,
                        uint64_t *data, uint64_t *n)
{
	turn_take(d->turns);
	enum discard_kind kind = next_piece(d, at, end, data, n);
	uint64_t begun = clock_ns(), *piece = &d->turns->piece[kind];
	int rc = discard_piece(d, secure, at, *n);
	uint64_t took = clock_ns() - begun, next = discard_pace(kind, *piece, took);
	/* A part of a piece says nothing of how quick a whole one is. */
	if (*n == *piece || next < *piece)
		*piece = next;
	turn_give(d->turns);
	return rc;
}

/* Pieces end at multiples of their size, so they do not cut the device's own units. */
static int discard_range(const struct discard *d, const struct storage_io *io)
{
	uint64_t at = io->offset, end = io->offset + io->length, data = 0, n;
	int rc = 0;

	for (; at < end && !rc; at += n)
		rc = discard_next(d, io->secure, at, end, &data, &n);
	return rc;
}

static void *helper_main(void *arg)
{
	struct discard *d = arg;

	/* By itself: others may not be allowed to open its comm file. */
	prctl(PR_SET_NAME, "discard");
	pthread_mutex_lock(&d->lock);
	for (;;) {
		while (!d->todo.first && !d->stop)
			pthread_cond_wait(&d->wake, &d->lock);
		if (!d->todo.first)
			break;
		struct storage_io *io = list_take(&d->todo);
		pthread_mutex_unlock(&d->lock);
		io->rc = discard_range(d, io);
		pthread_mutex_lock(&d->lock);
		list_put(&d->finished, io);
		pthread_mutex_unlock(&d->lock);
		/* Fails only if 2^64 - 1 wake-ups had not been read. */
		while (eventfd_write(d->eventfd, 1) && errno == EINTR) {
		}
		pthread_mutex_lock(&d->lock);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

static void arm(struct discard *d)
{
	struct io_uring_sqe *sqe = uring_sqe(d->ring);

	io_uring_prep_read(sqe, d->eventfd, &d->events, sizeof d->events, 0);
	uring_set_op(sqe, &d->uop);
	d->armed = true;
}

/* res does not matter: a wake-up without anything finished, or a failed read, is followed by
 * another one. */
static void events_done(struct uring_op *uop, int res)
{
	struct discard *d = container_of(uop, struct discard, uop);

	d->armed = false;
	pthread_mutex_lock(&d->lock);
	struct storage_io *io = list_take_all(&d->finished);
	pthread_mutex_unlock(&d->lock);
	while (io) {
		struct storage_io *next = io->next;
		d->outstanding--;
		storage_done(io, io->rc);
		io = next;
	}
	/* done() may have submitted more, which arms too. */
	if (d->outstanding && !d->armed)
		arm(d);
}

void discard_submit(struct discard *d, struct storage_io *io)
{
	pthread_mutex_lock(&d->lock);
	list_put(&d->todo, io);
	pthread_cond_signal(&d->wake);
	pthread_mutex_unlock(&d->lock);
	d->outstanding++;
	if (!d->armed)
		arm(d);
}

static int helper_start(struct discard *d)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int rc = pthread_attr_init(&attr);

	if (rc)
		return -rc;
	pthread_attr_setstacksize(&attr, HELPER_STACK);
	/* Signals are the other threads' business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&d->helper, &attr, helper_main, d);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -rc;
}

int discard_start(struct discard *d, int fd, bool block, struct discard_turns *turns,
                  struct io_uring *ring)
{
	*d = (struct discard){
	    .fd = fd, .block = block, .turns = turns, .ring = ring, .uop.done = events_done};
	list_take_all(&d->todo);
	list_take_all(&d->finished);
	/* Blocking: io_uring then waits for it, instead of completing with EAGAIN. */
	d->eventfd = eventfd(0, EFD_CLOEXEC);
	if (d->eventfd < 0)
		return -errno;
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->wake, NULL);
	int rc = helper_start(d);
	if (rc) {
		pthread_cond_destroy(&d->wake);
		pthread_mutex_destroy(&d->lock);
		close(d->eventfd);
	}
	return rc;
}

void discard_stop(struct discard *d)
{
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	pthread_cond_signal(&d->wake);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->helper, NULL);
	pthread_cond_destroy(&d->wake);
	pthread_mutex_destroy(&d->lock);
	close(d->eventfd);
}
