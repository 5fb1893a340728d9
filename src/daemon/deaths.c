/* SPDX-License-Identifier: MIT */
/* What follows from a worker's end: nothing, another one, or, if they keep dying, an error. */
#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/device.h"

#define BACKOFF_NS (100 * NS_PER_MS)
#define BACKOFF_MAX_NS (5 * NS_PER_S)
#define LACK_MAX_NS (1 * NS_PER_S) /* a try costs little, and a guest waits */

static void backoff_expired(struct loop_timer *t)
{
	device_dirty(container_of(t, struct device, worker.backoff));
}

/* Its word, hence untrusted. */
static void describe_call(int call, char *text, size_t cap)
{
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);

	if (name)
		snprintf(text, cap, ": forbidden system call %s", name);
	else
		snprintf(text, cap, ": forbidden system call %d", call);
	free(name);
}

static void describe(const struct worker *w, int code, int status, char *text, size_t cap)
{
	char call[64] = "";

	if (status == SIGSYS && w->forbidden >= 0)
		describe_call(w->forbidden, call, sizeof call);
	if (!code)
		snprintf(text, cap, "cause unknown, as an earlier xenblkd had started it");
	else if (w->blamed)
		snprintf(text, cap, "%s and was killed", w->blamed);
	else if (code == CLD_EXITED && status == 127)
		snprintf(text, cap, "could not be started, or exit status 127");
	else if (code == CLD_EXITED && status && w->last_words.text[0])
		snprintf(text, cap, "exit status %d: %.370s", status, w->last_words.text);
	else if (code == CLD_EXITED)
		snprintf(text, cap, "exit status %d", status);
	else
		snprintf(text, cap, "killed by signal %d (%s)%s", status, strsignal(status) ?: "?",
		         call);
}

/* By what people and the kernel (for want of memory) end a process that has done nothing wrong. */
static bool by_others(int sig)
{
	return sig == SIGKILL || sig == SIGTERM || sig == SIGINT || sig == SIGQUIT || sig == SIGHUP;
}

/* Deaths that a request may have caused: by any other signal. */
static bool is_fault(int code, int status)
{
	return (code == CLD_KILLED || code == CLD_DUMPED) && !by_others(status);
}

/* Whether it died of itself. */
static bool own_doing(const struct worker *w, int code, int status)
{
	return w->blamed || code == CLD_EXITED || is_fault(code, status);
}

/* How often in a row workers died over the same requests, this time included. */
static void count_stuck(struct device *dev)
{
	struct worker *w = &dev->worker;
	uint64_t published = peek_published(dev);
	bool progress =
	    dev->conn.generation != w->stuck_generation || published != w->stuck_published;

	w->stuck_generation = dev->conn.generation;
	w->stuck_published = published;
	if (!peek_requests(dev))
		w->stuck = 0;
	else
		w->stuck = progress ? 1 : w->stuck + 1;
}

/* Whether it is one too many. Of its own doing: of those in a row that did not live long, or got
 * nowhere. Of somebody else's: only of those that got nowhere. */
static bool count(struct worker *w, bool own)
{
	bool short_life = w->blamed || clock_ns() - w->start_ns < WORKER_LIFE_NS;

	if (!own)
		return w->stuck >= WORKER_KILLS;
	w->streak = short_life || w->stuck > 1 ? w->streak + 1 : 1;
	return w->streak >= WORKER_DEATHS;
}

/* The first restart is at once. */
static void arm_backoff(struct device *dev, unsigned streak)
{
	struct worker *w = &dev->worker;
	uint64_t ns = BACKOFF_MAX_NS;

	if (streak < 2)
		return;
	if (streak - 2 < 6)
		ns = BACKOFF_NS << (streak - 2);
	w->backoff.expired = backoff_expired;
	loop_timer_arm(&dev->d->loop, &w->backoff, ns < BACKOFF_MAX_NS ? ns : BACKOFF_MAX_NS);
}

void worker_later(struct device *dev)
{
	struct worker *w = &dev->worker;
	unsigned shift = w->lacks < 4 ? w->lacks : 4;

	w->lacks++;
	w->backoff.expired = backoff_expired;
	loop_timer_arm(&dev->d->loop, &w->backoff,
	               BACKOFF_NS << shift < LACK_MAX_NS ? BACKOFF_NS << shift : LACK_MAX_NS);
}

static void give_up(struct device *dev, unsigned deaths, const char *text)
{
	if (!dev->fatal)
		device_fails(dev, -EIO, false, "worker died %u times in a row, last: %s, with %s",
		             deaths, text, dev->worker.in_hand);
}

static void note_fault(struct device *dev)
{
	struct error err;

	dev->conn.faults++;
	if (folder_save_connection(dev, &err))
		log_warn("%s: %s", dev->id, err.text);
}

/* One that an earlier supervisor started is no child of ours, and the kernel does not tell how it
 * ended. It noted itself if that was a fault; and if it was told to end, and nothing is left in its
 * hands, it ended in order. */
static void find_cause(const struct device *dev, int *code, int *status)
{
	int sig = *code ? 0 : peek_signal(dev);

	if (*code)
		return;
	*status = sig;
	if (sig)
		*code = CLD_KILLED;
	else if (dev->worker.killed && !peek_requests(dev))
		*code = CLD_EXITED;
}

void worker_ended(struct device *dev, int code, int status)
{
	struct worker *w = &dev->worker;
	bool ringed = dev->ring != RING_IDLE, useful = dev->image == IMAGE_OPEN;
	/* An adopted one that ends at once was at it already, or had nothing. */
	bool expected = (w->killed && !w->blamed) || w->was_adopting;
	char text[sizeof w->last_death];

	find_cause(dev, &code, &status);
	bool clean = code == CLD_EXITED && !status;
	if (!clean && (w->was_adopting || (dev->image != IMAGE_NONE && dev->image != IMAGE_FAILED)))
		dev->unfenced = true;
	describe(w, code, status, text, sizeof text);
	patience_over(dev);
	if (dev->image != IMAGE_FAILED)
		dev->image =
		    dev->image == IMAGE_CLOSING && !dev->renewing ? IMAGE_CLOSED : IMAGE_NONE;
	if (dev->image == IMAGE_CLOSED)
		image_unclaim(dev);
	dev->ring = RING_IDLE;
	dev->after_death = true;
	device_dirty(dev);
	upgrade_drained(dev);
	if (dev->d->stopping) {
		log_debug("%s: worker: %s", dev->id, text);
		daemon_stop_check(dev->d);
		return;
	}
	if (expected && clean)
		return;
	if ((ringed || w->was_adopting) &&
	    (is_fault(code, status) || (!expected && code == CLD_EXITED)))
		note_fault(dev);
	/* One that was about to be adopted may have been dying of a fault that nobody saw. */
	if (!expected || is_fault(code, status)) {
		snprintf(w->last_death, sizeof w->last_death, "%s", text);
		peek_in_hand(dev, w->in_hand, sizeof w->in_hand);
		count_stuck(dev);
	}
	if (expected) {
		device_log(dev, "worker ended: %s", text);
		return;
	}
	/* It did not come so far that it could have done wrong. */
	if (code == CLD_EXITED && status == WORKER_LACKS && !useful) {
		device_lacks(dev, -EBUSY, text);
		return;
	}
	bool own = own_doing(w, code, status);
	if (count(w, own)) {
		give_up(dev, own ? w->streak : w->stuck, text);
		return;
	}
	log_warn("%s: worker died: %s, with %s; starting another one", dev->id, text, w->in_hand);
	/* Not even those that others kill may spin: at their start, or over the same requests. */
	if (!own) {
		w->unborn = useful ? 0 : w->unborn + 1;
		arm_backoff(dev, w->unborn > w->stuck ? w->unborn : w->stuck);
	} else {
		arm_backoff(dev, w->streak);
	}
}

void worker_died_unseen(struct device *dev)
{
	int sig = dev->conn.generation ? peek_signal(dev) : 0;

	if (!sig)
		return;
	describe(&dev->worker, CLD_KILLED, sig, dev->worker.last_death,
	         sizeof dev->worker.last_death);
	peek_in_hand(dev, dev->worker.in_hand, sizeof dev->worker.in_hand);
	log_warn("%s: its worker had died: %s, with %s", dev->id, dev->worker.last_death,
	         dev->worker.in_hand);
	/* Perhaps counted already by a supervisor that died, too: an epoch more does no harm. */
	if (is_fault(CLD_KILLED, sig))
		note_fault(dev);
}

const char *worker_revive(struct device *dev)
{
	struct worker *w = &dev->worker;

	if (!dev->held && !timer_armed(&w->backoff))
		return dev->fatal ? "its front end was told: detach the disk and attach it again"
		                  : "it has not failed";
	w->streak = w->unborn = w->stuck = 0;
	loop_timer_cancel(&w->backoff);
	if (dev->held)
		device_recover(dev);
	device_dirty(dev);
	return NULL;
}
