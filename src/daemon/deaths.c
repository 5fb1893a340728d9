/* SPDX-License-Identifier: MIT */
/* What follows from a worker's end: nothing, another one, or, if they keep dying, an error. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/device.h"

#define BACKOFF_NS (100 * NS_PER_MS)
#define BACKOFF_MAX_NS (5 * NS_PER_S)
#define STREAK_NS (60 * NS_PER_S) /* a death that long after the one before starts a new count */

static void backoff_expired(struct loop_timer *t)
{
	device_dirty(container_of(t, struct device, worker.backoff));
}

static void describe(int code, int status, char *text, size_t cap)
{
	if (code == CLD_EXITED && status == 127)
		snprintf(text, cap, "could not be started, or exit status 127");
	else if (code == CLD_EXITED)
		snprintf(text, cap, "exit status %d", status);
	else
		snprintf(text, cap, "killed by signal %d (%s)", status, strsignal(status) ?: "?");
}

/* Deaths that a request may have caused; kill -9 and the like are none. */
static bool is_fault(int code, int status)
{
	if (code != CLD_KILLED && code != CLD_DUMPED)
		return false;
	return status == SIGSEGV || status == SIGBUS || status == SIGILL || status == SIGFPE ||
	       status == SIGABRT || status == SIGSYS;
}

/* Whether it is one too many. */
static bool count(struct worker *w, uint64_t now)
{
	uint64_t last = w->nr_deaths ? w->deaths[(w->nr_deaths - 1) % WORKER_DEATHS] : 0;
	uint64_t *oldest = &w->deaths[w->nr_deaths % WORKER_DEATHS];

	w->streak = w->nr_deaths && now - last < STREAK_NS ? w->streak + 1 : 1;
	*oldest = now;
	w->nr_deaths++;
	/* After this one is stored, the next slot holds the oldest of the last WORKER_DEATHS. */
	oldest = &w->deaths[w->nr_deaths % WORKER_DEATHS];
	return w->nr_deaths >= WORKER_DEATHS && now - *oldest < WORKER_DEATHS_NS;
}

static void arm_backoff(struct device *dev)
{
	struct worker *w = &dev->worker;
	uint64_t ns = BACKOFF_MAX_NS;

	if (w->streak < 2)
		return;
	if (w->streak - 2 < 6)
		ns = BACKOFF_NS << (w->streak - 2);
	w->backoff.expired = backoff_expired;
	loop_timer_arm(&dev->d->loop, &w->backoff, ns < BACKOFF_MAX_NS ? ns : BACKOFF_MAX_NS);
}

void worker_ended(struct device *dev, int code, int status)
{
	bool expected = dev->worker.killed, ringed = dev->ring != RING_IDLE;
	struct error err;
	char text[80];

	if (dev->image != IMAGE_NONE && dev->image != IMAGE_FAILED &&
	    (code != CLD_EXITED || status))
		dev->unfenced = true;
	describe(code, status, text, sizeof text);
	loop_timer_cancel(&dev->slow);
	if (dev->image != IMAGE_FAILED)
		dev->image = dev->image == IMAGE_CLOSING ? IMAGE_CLOSED : IMAGE_NONE;
	dev->ring = RING_IDLE;
	dev->wait_lock = true;
	device_dirty(dev);
	if (dev->d->stopping) {
		log_debug("%s: worker: %s", dev->id, text);
		daemon_stop_check(dev->d);
		return;
	}
	if (expected && code == CLD_EXITED && !status)
		return;
	if (ringed && is_fault(code, status)) {
		dev->conn.faults++;
		if (folder_save_connection(dev, &err))
			log_warn("%s: %s", dev->id, err.text);
	}
	if (expected) {
		device_log(dev, "worker ended: %s", text);
		return;
	}
	bool too_many = count(&dev->worker, clock_ns());
	if (too_many && !dev->fatal) {
		device_fatal(dev, -EIO, false,
		             "worker died %u times within 10 s: %s; see its log lines above",
		             WORKER_DEATHS, text);
		return;
	}
	log_warn("%s: worker died: %s; starting another one", dev->id, text);
	arm_backoff(dev);
}
